//! The log's writer: a task for each lane of the log that stores one batch after
//! another, and makes changes of rooms between them. Drafts that arrive while a commit
//! runs go into the next batch.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use chat_core::{ChangeRefused, Draft, Receipt, Topic, WantedChange};
use chat_store::{EventLog, StoreError};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::causes::causes;
use crate::clock::now_ms;
use crate::cluster::Cluster;
use crate::hooks::{HookFuture, HookSet, apply, proposed};
use crate::log_queue::{Batch, LogQueue, QueuedChange, Work, drafts_by_lane};
use crate::metrics::AppendMetrics;
use crate::options::ShardOptions;
use crate::routing::Origin;

/// A shard's way to the log: it hands its drafts over once a turn.
#[derive(Clone)]
pub(crate) struct LogWriter {
    shared: Arc<Shared>,
    _handle: Arc<Handle>,
}

/// What the shards and the lanes' tasks share.
struct Shared {
    log: Arc<dyn EventLog>,
    bus: Arc<Bus>,
    /// The way of commits to the bus where the database may have several servers.
    cluster: Option<Arc<Cluster>>,
    /// Locked once for each turn with drafts, and twice for each batch. The hubs'
    /// credits bound what they wait for; the queue's cap bounds what they have given
    /// up while the log hangs.
    queue: Mutex<LogQueue<Answer>>,
    /// For each lane: drafts or changes wait, or the writer ends.
    wake: Vec<Notify>,
    /// The last handle is gone: nothing is queued any more.
    closed: AtomicBool,
    /// The lanes whose last batch failed.
    failing: Arc<AtomicUsize>,
    batch_max: usize,
    hooks: HookSet,
    hook_timeout: Duration,
    metrics: AppendMetrics,
}

/// Tells the caller of a change what became of it.
type Answer = oneshot::Sender<Result<(), ChangeRefused>>;

/// Ends the lanes' tasks when the last [`LogWriter`] is dropped.
struct Handle(Arc<Shared>);

impl LogWriter {
    /// The writer, and the future that writes until all its clones are dropped and
    /// everything queued is stored. If one lane's task panics, `failed` is cancelled.
    pub(crate) fn new(
        log: Arc<dyn EventLog>,
        bus: Arc<Bus>,
        cluster: Option<Arc<Cluster>>,
        options: &ShardOptions,
        metrics: AppendMetrics,
        failed: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let lanes = log.lanes().max(1);
        let shared = Arc::new(Shared {
            queue: Mutex::new(LogQueue::new(lanes, bus.shards(), options.append_queue_max)),
            log,
            bus,
            cluster,
            wake: (0..lanes).map(|_| Notify::new()).collect(),
            closed: AtomicBool::new(false),
            failing: Arc::default(),
            batch_max: options.batch_max.max(1),
            hooks: options.hooks.clone(),
            hook_timeout: options.hook_timeout,
            metrics,
        });
        let _handle = Arc::new(Handle(Arc::clone(&shared)));
        let writing = write_all(Arc::clone(&shared), failed);
        (Self { shared, _handle }, writing)
    }

    /// The number of the log's lanes.
    pub(crate) fn lanes(&self) -> usize {
        self.shared.wake.len()
    }

    /// The number of lanes whose last batch failed.
    pub(crate) fn failing(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.shared.failing)
    }

    /// Has a change of a room made, in its lane. The answer is sent when the change is in all
    /// inboxes: before this returns, where the log is in this process's memory. Its sender
    /// is dropped if the change was given up.
    pub(crate) fn change(&self, wanted: WantedChange) -> oneshot::Receiver<Result<(), ChangeRefused>> {
        let Shared { log, bus, metrics, wake, .. } = &*self.shared;
        let (answer, answered) = oneshot::channel();
        let in_place = || log.change_in_place(&wanted, now_ms(), &mut |changes| bus.publish_changes(changes));
        if let Some(result) = self.is_in_place().then(in_place).flatten() {
            metrics.changes.inc_by(u64::from(result.is_ok()));
            // The receiver is below.
            let _ = answer.send(result);
            return answered;
        }
        let lane = log.lane(&Topic::Room(wanted.room().clone()));
        if self.shared.queue().change(lane, wanted, self.shared.now_ms(), answer) {
            wake[lane].notify_one();
        } else {
            tracing::warn!("a change of a room was refused, because too many wait");
        }
        answered
    }

    /// Has drafts stored that come from no shard, of any topics. The receipts come, for each lane
    /// in the order of its drafts, when the entries are in the inboxes that they concern.
    pub(crate) fn call(&self, drafts: Vec<Draft>) -> Vec<oneshot::Receiver<Vec<Receipt>>> {
        let Shared { log, bus, metrics, wake, .. } = &*self.shared;
        if self.is_in_place() {
            let (call, answered) = bus.begin_call();
            let origins = [(Origin::Call(call), drafts.len())];
            let commit = log.append_in_place(&drafts, now_ms(), &mut |commit| bus.publish(commit, &origins));
            if let Some(commit) = commit {
                metrics.entries.inc_by(commit.entries.len() as u64);
                return vec![answered];
            }
        }
        let drafts = drafts_by_lane(drafts, wake.len(), |topic| log.lane(topic));
        let queue = |(lane, drafts): (usize, Vec<Draft>)| {
            let (call, answered) = bus.begin_call();
            let failure = self.shared.queue().call(lane, call, drafts);
            match failure {
                None => wake[lane].notify_one(),
                Some(failure) => {
                    metrics.refusals.inc_by(failure.drafts() as u64);
                    bus.publish_failure(failure);
                }
            }
            answered
        };
        drafts.into_iter().map(queue).collect()
    }

    /// Whether a log in memory stores drafts in place: hooks are asked before, which takes time.
    fn is_in_place(&self) -> bool {
        self.shared.hooks.get().is_none()
    }

    /// Has a shard's drafts stored, those of a topic in this order. The receipts
    /// come through its inbox: before this returns, where the log is in this
    /// process's memory.
    ///
    /// `failures_seen` has the number of failures that the shard has processed, for
    /// each lane.
    pub(crate) fn append(&self, shard: usize, drafts: Vec<Draft>, failures_seen: &[u64]) {
        let Shared { log, bus, metrics, wake, .. } = &*self.shared;
        let origins = [(Origin::Shard(shard), drafts.len())];
        let in_place = || log.append_in_place(&drafts, now_ms(), &mut |commit| bus.publish(commit, &origins));
        if let Some(commit) = self.is_in_place().then(in_place).flatten() {
            metrics.entries.inc_by(commit.entries.len() as u64);
            return;
        }
        let drafts = drafts_by_lane(drafts, wake.len(), |topic| log.lane(topic));
        let mut queue = self.shared.queue();
        let failures = queue.accept(shard, drafts, failures_seen);
        let waiting: Vec<usize> = (0..wake.len()).filter(|lane| !queue.is_empty(*lane)).collect();
        drop(queue);
        for lane in waiting {
            wake[lane].notify_one();
        }
        for failure in failures {
            metrics.refusals.inc_by(failure.drafts() as u64);
            bus.publish_failure(failure);
        }
    }
}

/// Runs the tasks of the lanes. Without one of them the server cannot go on.
async fn write_all(shared: Arc<Shared>, failed: CancellationToken) {
    let mut writing = JoinSet::new();
    let lanes = 0..shared.wake.len();
    let lanes: HashMap<_, _> =
        lanes.map(|lane| (writing.spawn(write(Arc::clone(&shared), lane)).id(), lane)).collect();
    while let Some(ended) = writing.join_next_with_id().await {
        if let Err(error) = ended {
            tracing::error!("the task of a lane of the log panicked");
            failed.cancel();
            let failure = shared.queue().abandon(lanes[&error.id()]);
            shared.bus.publish_failure(failure);
        }
    }
}

/// Does the work of one lane, one thing at a time.
async fn write(shared: Arc<Shared>, lane: usize) {
    let Shared { bus, metrics, .. } = &*shared;
    let mut failures = Vec::new();
    let mut outage = None;
    loop {
        // Read before the queue: nothing is queued after it.
        let is_closed = shared.closed.load(Ordering::Acquire);
        let work = shared.queue().next(lane, shared.batch_max, &mut failures);
        for failure in failures.drain(..) {
            metrics.refusals.inc_by(failure.drafts() as u64);
            bus.publish_failure(failure);
        }
        match work {
            Some(Work::Batch(batch)) => shared.store(lane, batch, &mut outage).await,
            Some(Work::Change(change)) => shared.make(lane, change, is_closed, &mut outage).await,
            None if is_closed => return,
            None => shared.wake[lane].notified().await,
        }
    }
}

/// The time in which every batch and every change of a lane has failed.
struct Outage {
    since: Instant,
    attempts: u64,
}

/// The pause after the first failure of a change …
const REPEAT_AFTER: Duration = Duration::from_millis(100);
/// … and the longest one. Each is twice as long as the one before.
const REPEAT_AFTER_MAX: Duration = Duration::from_secs(1);

impl Shared {
    /// Stores a batch.
    async fn store(&self, lane: usize, mut batch: Batch, outage: &mut Option<Outage>) {
        let Self { log, bus, metrics, .. } = self;
        if !self.judge(&mut batch).await {
            let failure = self.queue().fail(lane, batch);
            tracing::warn!(
                drafts = failure.drafts(),
                "messages were not stored: a hook did not answer in time"
            );
            metrics.refusals.inc_by(failure.drafts() as u64);
            return bus.publish_failure(failure);
        }
        let started = Instant::now();
        if let Some(cluster) = &self.cluster {
            cluster.storing(lane);
        }
        match log.append_recorded(&batch.drafts, self.now_ms()).await {
            Ok((commit, record)) => {
                metrics.stored(&commit, started.elapsed());
                self.queue().stored(&batch);
                match (&self.cluster, record) {
                    (Some(cluster), Some(record)) => cluster.commit(record, commit, batch.origins),
                    (cluster, _) => {
                        if let Some(cluster) = cluster {
                            cluster.stored_nothing(lane);
                        }
                        bus.publish(&commit, &batch.origins);
                        bus.publish_retried(&commit, now_ms());
                    }
                }
                self.recovered(outage);
            }
            Err(error) => {
                let failure = self.queue().fail(lane, batch);
                metrics.failures.inc();
                let drafts = failure.drafts();
                tracing::error!(error = %causes(&error), drafts, "messages could not be stored");
                if let Some(cluster) = &self.cluster {
                    cluster.gave_up(lane);
                    if matches!(error, StoreError::ServerTwice) {
                        cluster.fail();
                    }
                }
                self.count_failure(outage, started);
                bus.publish_failure(failure);
            }
        }
    }

    /// Asks the hooks about the drafts of a batch, all at once. Returns whether all answers came in
    /// time.
    async fn judge(&self, batch: &mut Batch) -> bool {
        let Some(hooks) = self.hooks.get() else { return true };
        let verdicts = {
            let asked = batch.drafts.iter().enumerate();
            let asked =
                asked.filter_map(|(index, draft)| Some((index, hooks.before_append(proposed(draft)?))));
            tokio::time::timeout(self.hook_timeout, all(asked.collect())).await
        };
        let Ok(verdicts) = verdicts else { return false };
        for (index, verdict) in verdicts {
            apply(&mut batch.drafts[index], verdict);
        }
        true
    }

    /// Makes a change. If the store fails, the change is the next thing that the lane does:
    /// the store may have made it, and nothing may be stored in the room before its members
    /// are known. A writer that is closed gives it up, since no client is left.
    async fn make(
        &self,
        lane: usize,
        change: QueuedChange<Answer>,
        is_closed: bool,
        outage: &mut Option<Outage>,
    ) {
        let Self { bus, metrics, .. } = self;
        let started = Instant::now();
        if let Some(cluster) = &self.cluster {
            cluster.changing(lane);
        }
        match self.log.change(&change.wanted, change.now_ms).await {
            Ok(result) => {
                self.queue().changed();
                let answer = result.map(|changes| bus.publish_changes(&changes));
                if let Some(cluster) = &self.cluster {
                    match answer {
                        Ok(()) => {
                            cluster.change_made(lane);
                            cluster.changed();
                        }
                        Err(_) => cluster.change_refused(lane),
                    }
                }
                metrics.changes.inc_by(u64::from(answer.is_ok()));
                self.recovered(outage);
                // The caller may have given up.
                let _ = change.answer.send(answer);
            }
            Err(error) => {
                metrics.change_failures.inc();
                self.count_failure(outage, started);
                if change.failed == 0 || is_closed {
                    let (room, error) = (change.wanted.room().as_str(), causes(&error));
                    tracing::error!(room, error, given_up = is_closed, "a room could not be changed");
                }
                if is_closed {
                    return self.queue().changed();
                }
                if let Some(cluster) = &self.cluster {
                    cluster.change_failed(lane);
                }
                let pause = REPEAT_AFTER.saturating_mul(1 << change.failed.min(10)).min(REPEAT_AFTER_MAX);
                let failure = self.queue().repeat(lane, change);
                bus.publish_failure(failure);
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// The time of what is stored now.
    fn now_ms(&self) -> u64 {
        self.cluster.as_ref().map_or_else(now_ms, |cluster| cluster.now_ms())
    }

    fn count_failure(&self, outage: &mut Option<Outage>, started: Instant) {
        let outage = outage.get_or_insert_with(|| {
            self.failing.fetch_add(1, Ordering::Relaxed);
            Outage { since: started, attempts: 0 }
        });
        outage.attempts += 1;
    }

    fn recovered(&self, outage: &mut Option<Outage>) {
        if let Some(Outage { since, attempts }) = outage.take() {
            self.failing.fetch_sub(1, Ordering::Relaxed);
            let seconds = since.elapsed().as_secs();
            tracing::info!(seconds, failed_attempts = attempts, "messages are stored again");
        }
    }

    fn queue(&self) -> MutexGuard<'_, LogQueue<Answer>> {
        // A panic inside leaves at worst a failure that is not counted, and ends the
        // server.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves when all of these futures have, with the numbers that they were given.
async fn all<T>(futures: Vec<(usize, HookFuture<'_, T>)>) -> Vec<(usize, T)> {
    let mut waiting = futures;
    let mut answers = Vec::with_capacity(waiting.len());
    std::future::poll_fn(move |context| {
        waiting.retain_mut(|(index, future)| match future.as_mut().poll(context) {
            Poll::Ready(answer) => {
                answers.push((*index, answer));
                false
            }
            Poll::Pending => true,
        });
        if waiting.is_empty() { Poll::Ready(std::mem::take(&mut answers)) } else { Poll::Pending }
    })
    .await
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        for wake in &self.0.wake {
            wake.notify_one();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
