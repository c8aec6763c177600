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
use chat_store::EventLog;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::causes::causes;
use crate::clock::now_ms;
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
        options: &ShardOptions,
        metrics: AppendMetrics,
        failed: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let lanes = log.lanes().max(1);
        let shared = Arc::new(Shared {
            queue: Mutex::new(LogQueue::new(lanes, bus.shards(), options.append_queue_max)),
            log,
            bus,
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
        if self.shared.queue().change(lane, wanted, now_ms(), answer) {
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
        match log.append(&batch.drafts, now_ms()).await {
            Ok(commit) => {
                metrics.stored(&commit, started.elapsed());
                self.queue().stored(&batch);
                bus.publish(&commit, &batch.origins);
                bus.publish_retried(&commit, now_ms());
                self.recovered(outage);
            }
            Err(error) => {
                let failure = self.queue().fail(lane, batch);
                metrics.failures.inc();
                let drafts = failure.drafts();
                tracing::error!(error = %causes(&error), drafts, "messages could not be stored");
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
        match self.log.change(&change.wanted, change.now_ms).await {
            Ok(result) => {
                self.queue().changed();
                let answer = result.map(|changes| bus.publish_changes(&changes));
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
                let pause = REPEAT_AFTER.saturating_mul(1 << change.failed.min(10)).min(REPEAT_AFTER_MAX);
                let failure = self.queue().repeat(lane, change);
                bus.publish_failure(failure);
                tokio::time::sleep(pause).await;
            }
        }
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
mod tests {
    use std::sync::Mutex;
    use std::task::Waker;

    use chat_core::{
        Access, Actor, Body, ChangeRules, Commit, Conversations, DraftId, Emoji, Memberships, MessageText,
        MessagesFrom, Outcome, Page, PageFrom, PageLimits, ReadState, Receipt, RoomAccess, RoomChange,
        RoomInfo, RoomName, Subscription, UserMark, Username,
    };
    use chat_store::{MemoryStore, MessageReactions, StoreError, StoreFuture};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::shared_inbox::{Item, SharedInbox};

    /// The first letter of a room tells its lane. A batch waits for a permit of
    /// its lane; one with the text "lost" fails.
    struct Lanes {
        memory: MemoryStore,
        permits: [Semaphore; 2],
        batches: Mutex<Vec<Vec<String>>>,
        /// So many changes are made, but their answers are lost.
        lost_changes: AtomicUsize,
    }

    impl EventLog for Lanes {
        fn append<'a>(&'a self, drafts: &'a [Draft], now_ms: u64) -> StoreFuture<'a, Commit> {
            Box::pin(async move {
                self.permits[self.lane(&drafts[0].topic)].acquire().await.unwrap().forget();
                let texts: Vec<String> = drafts.iter().map(|draft| draft.body.text().into()).collect();
                let is_lost = texts.iter().any(|text| text == "lost");
                assert!(texts[0] != "panic", "a store that panics");
                self.batches.lock().unwrap().push(texts);
                if is_lost {
                    return Err(StoreError::Unavailable { source: "disk on fire".into() });
                }
                self.memory.append(drafts, now_ms).await
            })
        }

        fn change<'a>(
            &'a self,
            wanted: &'a WantedChange,
            now_ms: u64,
        ) -> StoreFuture<'a, Result<Vec<RoomChange>, ChangeRefused>> {
            Box::pin(async move {
                let lane = self.lane(&Topic::Room(wanted.room().clone()));
                self.permits[lane].acquire().await.unwrap().forget();
                self.batches.lock().unwrap().push(vec!["change".to_owned()]);
                let answer = self.memory.change(wanted, now_ms).await;
                let left = self.lost_changes.load(Ordering::Relaxed);
                if left > 0 {
                    self.lost_changes.store(left - 1, Ordering::Relaxed);
                    return Err(StoreError::Unavailable { source: "the answer is lost".into() });
                }
                answer
            })
        }

        fn lanes(&self) -> usize {
            self.permits.len()
        }

        fn lane(&self, topic: &Topic) -> usize {
            usize::from(matches!(topic, Topic::Room(room) if room.as_str().starts_with('b')))
        }

        fn page<'a>(&'a self, topic: &'a Topic, from: PageFrom, limits: PageLimits) -> StoreFuture<'a, Page> {
            self.memory.page(topic, from, limits)
        }

        fn messages<'a>(
            &'a self,
            topic: &'a Topic,
            from: &'a MessagesFrom,
            limits: PageLimits,
        ) -> StoreFuture<'a, Page> {
            self.memory.messages(topic, from, limits)
        }

        fn reactions<'a>(
            &'a self,
            topic: &'a Topic,
            seq: u64,
            user: &'a Username,
        ) -> StoreFuture<'a, Option<MessageReactions>> {
            self.memory.reactions(topic, seq, user)
        }

        fn reactors<'a>(
            &'a self,
            topic: &'a Topic,
            seq: u64,
            emoji: &'a Emoji,
            after: u64,
            max: usize,
        ) -> StoreFuture<'a, Vec<(Username, u64)>> {
            self.memory.reactors(topic, seq, emoji, after, max)
        }

        fn conversations<'a>(&'a self, user: &'a Username, limit: usize) -> StoreFuture<'a, Conversations> {
            self.memory.conversations(user, limit)
        }

        fn memberships<'a>(
            &'a self,
            user: &'a Username,
            limit: usize,
            counted: usize,
        ) -> StoreFuture<'a, Memberships> {
            self.memory.memberships(user, limit, counted)
        }

        fn access<'a>(&'a self, user: &'a Username, room: &'a RoomName) -> StoreFuture<'a, RoomAccess> {
            self.memory.access(user, room)
        }

        fn tops<'a>(&'a self, rooms: &'a [RoomName]) -> StoreFuture<'a, Vec<u64>> {
            self.memory.tops(rooms)
        }

        fn counts<'a>(
            &'a self,
            user: &'a Username,
            topic: &'a Topic,
            read: u64,
        ) -> StoreFuture<'a, ReadState> {
            self.memory.counts(user, topic, read)
        }

        fn keep<'a>(&'a self, marks: &'a [UserMark]) -> StoreFuture<'a, ()> {
            self.memory.keep(marks)
        }

        fn epoch(&self) -> &str {
            self.memory.epoch()
        }

        fn check(&self) -> StoreFuture<'_, ()> {
            self.memory.check()
        }
    }

    struct Writing {
        log: Arc<Lanes>,
        inboxes: Vec<Arc<SharedInbox>>,
        writer: LogWriter,
        metrics: AppendMetrics,
        task: tokio::task::JoinHandle<()>,
    }

    impl Writing {
        fn start() -> Self {
            Self::start_with(100)
        }

        fn start_with(batch_max: usize) -> Self {
            let permits = [Semaphore::new(0), Semaphore::new(0)];
            let log = Arc::new(Lanes {
                memory: MemoryStore::default(),
                permits,
                batches: Mutex::default(),
                lost_changes: AtomicUsize::new(0),
            });
            let inboxes: Vec<_> = (0..2).map(|_| Arc::new(SharedInbox::new(1 << 20))).collect();
            let bus = Arc::new(Bus::new(inboxes.clone()));
            let options = ShardOptions { batch_max, ..ShardOptions::default() };
            let metrics = AppendMetrics::default();
            let failed = CancellationToken::new();
            let (writer, writing) = LogWriter::new(log.clone(), bus, &options, metrics.clone(), failed);
            Self { log, inboxes, writer, metrics, task: tokio::spawn(writing) }
        }

        fn subscribe(&self, shard: usize, rooms: &[&str]) {
            for room in rooms {
                let room = Subscription::Room(RoomName::parse(room).unwrap());
                self.writer.shared.bus.subscribe(shard, room);
            }
        }

        /// What is in a shard's inbox: the numbers of entries, `!` for a failure, and each
        /// change.
        fn inbox(&self, shard: usize) -> Vec<String> {
            let items = self.inboxes[shard].take(Waker::noop()).into_iter().flatten();
            let words = items.flat_map(|item| match item {
                Item::Commit { entries, .. } => entries.iter().map(|entry| entry.seq.to_string()).collect(),
                Item::Failure { .. } => vec!["!".to_owned()],
                Item::Changes(changes) => changes.iter().map(in_words).collect(),
                _ => panic!("something else in the inbox"),
            });
            words.collect()
        }

        /// Lets all batches through, and returns each shard's receipts once the
        /// writer has ended.
        async fn end(self) -> [Vec<(u64, Outcome)>; 2] {
            let Self { log, inboxes, writer, task, .. } = self;
            drop(writer);
            log.permits.iter().for_each(|lane| lane.add_permits(100));
            task.await.unwrap();
            let receipts = |shard: usize| {
                let delivery = inboxes[shard].take(Waker::noop());
                let items = delivery.into_iter().flatten();
                let receipts = items.flat_map(|item| match item {
                    Item::Commit { receipts, .. } | Item::Failure { receipts, .. } => receipts,
                    Item::Changes(_) => Vec::new(),
                    _ => panic!("something else in the inbox"),
                });
                receipts.map(|Receipt { draft, outcome, .. }| (draft.0, outcome)).collect()
            };
            [receipts(0), receipts(1)]
        }
    }

    fn draft(id: u64, room: &str, text: &str) -> Draft {
        Draft {
            id: DraftId(id),
            topic: Topic::Room(RoomName::parse(room).unwrap()),
            from: Username::known("alice").unwrap(),
            room: None,
            body: Body::message(MessageText::stored(text)),
            files: Vec::new(),
            nonce: None,
            check: false,
            may_administer: true,
            by_server: false,
            refused: None,
            rules: ChangeRules::default(),
        }
    }

    fn in_words(change: &RoomChange) -> String {
        match change {
            RoomChange::Info { info, .. } => format!("is {}", info.access.as_str()),
            RoomChange::Member { user, role, .. } => format!("{user} is {}", role.as_str()),
            RoomChange::Gone { user, top, .. } => format!("{user} is gone behind {top}"),
        }
    }

    fn create(room: &str) -> WantedChange {
        let room = RoomName::parse(room).unwrap();
        let info = RoomInfo { access: Access::Closed, ..RoomInfo::opened(&room) };
        WantedChange::Create { room, info, members: Vec::new(), by: Username::known("alice").unwrap() }
    }

    fn leave(room: &str) -> WantedChange {
        let user = Username::known("alice").unwrap();
        let by = Actor { user: user.clone(), is_administrator: false };
        WantedChange::Remove { room: RoomName::parse(room).unwrap(), user, by }
    }

    fn seq(outcome: &Outcome) -> Option<u64> {
        match outcome {
            Outcome::Stored { seq, .. } => Some(*seq),
            _ => None,
        }
    }

    /// Lets both lanes take what they wait for.
    async fn until_taken() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn each_lane_keeps_the_order_and_each_shard_gets_its_own_receipts() {
        let writing = Writing::start();
        writing.writer.append(0, vec![draft(1, "a", "1"), draft(2, "b", "2"), draft(3, "a", "3")], &[0, 0]);
        until_taken().await;
        // These find both lanes busy.
        writing.writer.append(1, vec![draft(1, "b", "4"), draft(2, "a", "5"), draft(3, "b", "6")], &[0, 0]);
        writing.writer.append(0, vec![draft(4, "b", "7"), draft(5, "a", "8")], &[0, 0]);
        let log = Arc::clone(&writing.log);
        let [mut one, mut other] = writing.end().await;
        let mut batches = log.batches.lock().unwrap().clone();
        batches.sort();
        assert_eq!(batches, [vec!["1", "3"], vec!["2"], vec!["4", "6", "7"], vec!["5", "8"]]);
        // Between lanes there is no order.
        one.sort_by_key(|(id, _)| *id);
        other.sort_by_key(|(id, _)| *id);
        let seqs = |receipts: &[(u64, Outcome)]| -> Vec<_> {
            receipts.iter().map(|(id, outcome)| (*id, seq(outcome))).collect()
        };
        assert_eq!(seqs(&one), [(1, Some(1)), (2, Some(1)), (3, Some(2)), (4, Some(4)), (5, Some(4))]);
        assert_eq!(seqs(&other), [(1, Some(2)), (2, Some(3)), (3, Some(3))]);
    }

    #[tokio::test]
    async fn a_failure_fails_what_waits_in_its_lane() {
        let writing = Writing::start();
        writing.writer.append(0, vec![draft(1, "a", "lost"), draft(2, "b", "2")], &[0, 0]);
        until_taken().await;
        writing.writer.append(1, vec![draft(1, "a", "behind"), draft(2, "b", "beside")], &[0, 0]);
        let log = Arc::clone(&writing.log);
        let [mut one, mut other] = writing.end().await;
        one.sort_by_key(|(id, _)| *id);
        other.sort_by_key(|(id, _)| *id);
        assert_eq!(one[0], (1, Outcome::Failed));
        assert_eq!(seq(&one[1].1), Some(1));
        assert_eq!(other[0], (1, Outcome::Failed));
        assert_eq!(seq(&other[1].1), Some(2));
        assert_eq!(log.batches.lock().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn drafts_handed_over_before_a_failure_is_seen_fail() {
        let writing = Writing::start();
        writing.writer.append(0, vec![draft(1, "a", "lost")], &[0, 0]);
        writing.log.permits[0].add_permits(1);
        until_taken().await;
        // The lane is free again, and these two shards have not looked into
        // their inboxes; only one of them has something to find there.
        writing.writer.append(0, vec![draft(2, "a", "too early")], &[0, 0]);
        writing.writer.append(1, vec![draft(1, "a", "another's")], &[0, 0]);
        writing.log.permits[0].add_permits(10);
        until_taken().await;
        writing.writer.append(0, vec![draft(3, "a", "again")], &[2, 0]);
        let [one, other] = writing.end().await;
        assert_eq!(one[..2], [(1, Outcome::Failed), (2, Outcome::Failed)]);
        assert_eq!(seq(&one[2].1), Some(2));
        assert_eq!(seq(&other[0].1), Some(1));
    }

    #[tokio::test]
    async fn drafts_for_a_lane_whose_task_has_panicked_fail_at_once() {
        let writing = Writing::start();
        writing.log.permits[0].add_permits(1);
        writing.writer.append(0, vec![draft(1, "a", "panic")], &[0, 0]);
        until_taken().await;
        writing.writer.append(0, vec![draft(2, "a", "2"), draft(3, "b", "3")], &[0, 0]);
        let [mut one, _] = writing.end().await;
        one.sort_by_key(|(id, _)| *id);
        assert_eq!(one[0], (2, Outcome::Failed));
        assert_eq!((one[1].0, seq(&one[1].1)), (3, Some(1)));
    }

    #[tokio::test]
    async fn a_batch_takes_at_least_one_turn() {
        let writing = Writing::start_with(0);
        writing.writer.append(0, vec![draft(1, "a", "1")], &[0, 0]);
        let [one, _] = writing.end().await;
        assert_eq!(one.len(), 1);
    }

    #[tokio::test]
    async fn a_writer_that_is_closed_stores_what_waits() {
        let writing = Writing::start();
        writing.writer.append(0, vec![draft(1, "a", "1")], &[0, 0]);
        until_taken().await;
        writing.writer.append(0, vec![draft(2, "a", "2")], &[0, 0]);
        let [one, _] = writing.end().await;
        let seqs: Vec<_> = one.iter().map(|(_, outcome)| seq(outcome)).collect();
        assert_eq!(seqs, [Some(1), Some(2)]);
    }

    #[tokio::test]
    async fn failures_and_entries_are_counted_where_they_are_stored() {
        let writing = Writing::start();
        let (metrics, failing) = (writing.metrics.clone(), writing.writer.failing());
        writing.log.permits.iter().for_each(|lane| lane.add_permits(100));
        for (failures_seen, batches) in [(0, 1), (1, 2)] {
            writing.writer.append(0, vec![draft(failures_seen, "a", "lost")], &[failures_seen, 0]);
            until_taken().await;
            assert_eq!((metrics.failures.get(), failing.load(Ordering::Relaxed)), (batches, 1));
            assert_eq!(metrics.refusals.get(), 0);
        }
        // The other lane works, which says nothing of this one.
        writing.writer.append(0, vec![draft(3, "b", "2"), draft(4, "b", "3")], &[2, 0]);
        until_taken().await;
        assert_eq!((metrics.entries.get(), failing.load(Ordering::Relaxed)), (2, 1));
        // Handed over too early: it fails, too.
        writing.writer.append(0, vec![draft(5, "a", "too early")], &[1, 0]);
        until_taken().await;
        assert_eq!((metrics.failures.get(), failing.load(Ordering::Relaxed)), (2, 1));
        assert_eq!(metrics.refusals.get(), 1);
        writing.writer.append(0, vec![draft(6, "a", "again")], &[3, 0]);
        writing.end().await;
        assert_eq!((metrics.entries.get(), failing.load(Ordering::Relaxed)), (3, 0));
    }

    #[tokio::test]
    async fn a_change_is_made_between_the_batches_of_its_lane_and_reaches_all_shards() {
        let writing = Writing::start();
        writing.subscribe(0, &["a", "b"]);
        writing.log.permits[0].add_permits(1);
        writing.writer.change(create("a")).await.unwrap().unwrap();
        assert_eq!(writing.inbox(1), ["is closed", "alice is moderator"]);
        assert_eq!(writing.inbox(0), ["is closed", "alice is moderator"]);
        // A batch of the lane runs; the other lane does not wait for what is behind it.
        writing.writer.append(0, vec![draft(1, "a", "1")], &[0, 0]);
        until_taken().await;
        writing.writer.append(0, vec![draft(2, "a", "2"), draft(3, "b", "other")], &[0, 0]);
        let left = writing.writer.change(leave("a"));
        writing.writer.append(0, vec![Draft { check: true, ..draft(4, "a", "too late") }], &[0, 0]);
        writing.log.permits[1].add_permits(1);
        until_taken().await;
        assert_eq!(writing.inbox(0), ["1"], "only that of the other lane");
        writing.log.permits[0].add_permits(3);
        left.await.unwrap().unwrap();
        assert_eq!(writing.inbox(1), ["alice is gone behind 2"]);
        until_taken().await;
        assert_eq!(writing.inbox(0), ["1", "2", "alice is gone behind 2"]);
        writing.log.permits[0].add_permits(1);
        until_taken().await;
        assert_eq!(writing.log.batches.lock().unwrap().last().unwrap(), &["too late"]);
        assert_eq!(writing.metrics.changes.get(), 2);
        writing.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_whose_answer_is_lost_is_repeated_before_anything_else() {
        let writing = Writing::start();
        writing.subscribe(0, &["a"]);
        writing.log.permits[0].add_permits(100);
        writing.writer.change(create("a")).await.unwrap().unwrap();
        writing.inbox(0);
        writing.log.lost_changes.store(2, Ordering::Relaxed);
        let left = writing.writer.change(leave("a"));
        writing.writer.append(0, vec![draft(1, "a", "fails")], &[0, 0]);
        left.await.unwrap().unwrap();
        assert_eq!(writing.inbox(0), ["!", "alice is gone behind 0"], "she was gone since the first attempt");
        assert_eq!(writing.inbox(1), ["is closed", "alice is moderator", "alice is gone behind 0"]);
        let (failures, failing) = (writing.metrics.change_failures.get(), writing.writer.failing());
        assert_eq!((failures, failing.load(Ordering::Relaxed)), (2, 0));
        let changes = vec!["change"; 4];
        assert_eq!(writing.log.batches.lock().unwrap().concat(), changes);
        writing.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_creation_whose_answer_is_lost_is_made_once() {
        let writing = Writing::start();
        writing.log.permits[0].add_permits(100);
        writing.log.lost_changes.store(1, Ordering::Relaxed);
        writing.writer.change(create("a")).await.unwrap().unwrap();
        assert_eq!(writing.inbox(0), ["is closed", "alice is moderator"]);
        let WantedChange::Create { room, info, members, .. } = create("a") else { panic!("no creation") };
        let again = WantedChange::Create { room, info, members, by: Username::known("bob").unwrap() };
        assert_eq!(writing.writer.change(again).await.unwrap(), Err(ChangeRefused::Exists));
        writing.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_is_closed_makes_what_waits_or_gives_it_up() {
        for (lost, is_made) in [(1, true), (1_000, false)] {
            let writing = Writing::start();
            writing.log.permits[0].add_permits(100);
            writing.log.lost_changes.store(lost, Ordering::Relaxed);
            let created = writing.writer.change(create("a"));
            until_taken().await;
            tokio::time::timeout(Duration::from_secs(5), writing.end()).await.unwrap();
            assert_eq!(created.await.is_ok(), is_made);
        }
    }
}
