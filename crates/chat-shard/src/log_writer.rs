//! From the shards to the log: what arrived while the last commit ran goes
//! into the next one. A log may have several lanes; each topic is in one.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use chat_core::Draft;
use chat_store::EventLog;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bus::{Bus, Origins};
use crate::causes::causes;
use crate::clock::now_ms;
use crate::metrics::AppendMetrics;
use crate::options::{SHARDS_MAX, ShardOptions};

/// Where a shard hands over its drafts, once a turn.
#[derive(Clone)]
pub(crate) struct LogWriter {
    log: Arc<dyn EventLog>,
    bus: Arc<Bus>,
    /// One for each lane. Each hub's credits bound what it waits for …
    queues: Vec<mpsc::UnboundedSender<Handed>>,
    /// … and this what they have given up while a log hangs: the drafts in all
    /// queues.
    queued: Arc<AtomicUsize>,
    queued_max: usize,
    /// How often each lane failed drafts of each shard.
    failures: Arc<[Vec<AtomicU64>]>,
}

/// What a shard hands over to a lane at the end of a turn.
struct Handed {
    shard: usize,
    drafts: Vec<Draft>,
    /// How many failures of this lane the shard had heard of.
    failures_heard: u64,
}

impl LogWriter {
    /// The handle, and the task that writes until the last handle is dropped.
    pub(crate) fn new(
        log: Arc<dyn EventLog>,
        bus: Arc<Bus>,
        options: &ShardOptions,
        metrics: AppendMetrics,
        failed: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let queued = Arc::new(AtomicUsize::new(0));
        let mut queues = Vec::new();
        let mut lanes = Vec::new();
        let count = log.lanes().max(1);
        let of_each_shard = || (0..SHARDS_MAX).map(|_| AtomicU64::new(0)).collect();
        let failures: Arc<[Vec<AtomicU64>]> = (0..count).map(|_| of_each_shard()).collect();
        for number in 0..count {
            let (queue, waiting) = mpsc::unbounded_channel();
            queues.push(queue);
            let lane = Lane {
                number,
                failures: Arc::clone(&failures),
                log: Arc::clone(&log),
                bus: Arc::clone(&bus),
                waiting,
                queued: Arc::clone(&queued),
                batch_max: options.batch_max,
                metrics: metrics.clone(),
            };
            lanes.push(lane.write());
        }
        (
            Self { log, bus, queues, queued, queued_max: options.append_queue_max, failures },
            all(lanes, failed),
        )
    }

    pub(crate) fn lanes(&self) -> usize {
        self.queues.len()
    }

    /// Has a shard's drafts stored, those of a topic in this order. The answers
    /// come through its inbox: before this returns, where the log is in this
    /// process's memory.
    ///
    /// `failures_heard` tells how many failures of each lane the shard has taken
    /// from its inbox: what was sent before it could know of the last one must
    /// not be stored before that is sent again.
    pub(crate) fn append(&self, shard: usize, drafts: Vec<Draft>, failures_heard: &[u64]) {
        let origins = vec![(shard, drafts.len())];
        let in_place =
            self.log.append_in_place(&drafts, now_ms(), &mut |commit| self.bus.publish(commit, &origins));
        if in_place.is_some() {
            return;
        }
        for (lane, drafts) in self.by_lane(drafts).into_iter().enumerate() {
            if drafts.is_empty() {
                continue;
            }
            let origins = vec![(shard, drafts.len())];
            let handed = Handed { shard, drafts, failures_heard: failures_heard[lane] };
            if self.queued.fetch_add(handed.drafts.len(), Ordering::Relaxed) >= self.queued_max {
                self.queued.fetch_sub(handed.drafts.len(), Ordering::Relaxed);
                self.fail(lane, &handed.drafts, &origins);
            } else if let Err(mpsc::error::SendError(handed)) = self.queues[lane].send(handed) {
                self.fail(lane, &handed.drafts, &origins);
            }
        }
    }

    fn fail(&self, lane: usize, drafts: &[Draft], origins: &Origins) {
        fail(&self.failures[lane], &self.bus, lane, drafts, origins);
    }

    fn by_lane(&self, drafts: Vec<Draft>) -> Vec<Vec<Draft>> {
        if self.queues.len() == 1 {
            return vec![drafts];
        }
        let mut lanes = vec![Vec::new(); self.queues.len()];
        for draft in drafts {
            lanes[self.log.lane(&draft.topic)].push(draft);
        }
        lanes
    }
}

/// Tells the shards that nothing of these drafts was stored, and counts it.
fn fail(failures: &[AtomicU64], bus: &Bus, lane: usize, drafts: &[Draft], origins: &Origins) {
    let mut shards: Vec<usize> = origins.iter().map(|(shard, _)| *shard).collect();
    shards.sort_unstable();
    shards.dedup();
    for shard in shards {
        failures[shard].fetch_add(1, Ordering::SeqCst);
    }
    bus.publish_failure(lane, drafts, origins);
}

/// A task for each lane. Without one of them the server cannot go on.
async fn all(lanes: Vec<impl Future<Output = ()> + Send + 'static>, failed: CancellationToken) {
    let mut writing: JoinSet<()> = lanes.into_iter().collect();
    while let Some(ended) = writing.join_next().await {
        if ended.is_err() {
            tracing::error!("a lane of the log had ended by a panic");
            failed.cancel();
        }
    }
}

/// One lane of the log: one batch at a time.
struct Lane {
    number: usize,
    failures: Arc<[Vec<AtomicU64>]>,
    log: Arc<dyn EventLog>,
    bus: Arc<Bus>,
    waiting: mpsc::UnboundedReceiver<Handed>,
    queued: Arc<AtomicUsize>,
    batch_max: usize,
    metrics: AppendMetrics,
}

impl Lane {
    async fn write(mut self) {
        let mut batch = Batch::default();
        while let Some(first) = self.waiting.recv().await {
            self.take(&mut batch, first);
            while batch.drafts.len() < self.batch_max
                && let Ok(more) = self.waiting.try_recv()
            {
                self.take(&mut batch, more);
            }
            if batch.drafts.is_empty() {
                continue;
            }
            let started = Instant::now();
            match self.log.append(&batch.drafts, now_ms()).await {
                Ok(commit) => {
                    self.metrics.stored(batch.drafts.len(), started.elapsed());
                    self.bus.publish(&commit, &batch.origins);
                    self.bus.publish_again(&commit, now_ms());
                }
                Err(error) => {
                    self.metrics.failed();
                    // What waits in this lane was sent before anybody could
                    // know of the failure: stored now, it would overtake the
                    // retry of what failed.
                    while let Ok(more) = self.waiting.try_recv() {
                        batch.add(more);
                    }
                    let (error, drafts) = (causes(&error), batch.drafts.len());
                    tracing::error!(error, drafts, "messages could not be stored");
                    let failures = &self.failures[self.number];
                    fail(failures, &self.bus, self.number, &batch.drafts, &batch.origins);
                }
            }
            self.queued.fetch_sub(batch.drafts.len(), Ordering::Relaxed);
            batch.drafts.clear();
            batch.drafts.shrink_to(self.batch_max);
            batch.origins.clear();
        }
    }
}

impl Lane {
    /// Adds to the batch, unless the shard could not know yet that something
    /// before it had failed.
    fn take(&self, batch: &mut Batch, handed: Handed) {
        let failures = &self.failures[self.number];
        if handed.failures_heard == failures[handed.shard].load(Ordering::SeqCst) {
            return batch.add(handed);
        }
        let origins = vec![(handed.shard, handed.drafts.len())];
        fail(failures, &self.bus, self.number, &handed.drafts, &origins);
        self.queued.fetch_sub(handed.drafts.len(), Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Batch {
    drafts: Vec<Draft>,
    origins: Origins,
}

impl Batch {
    fn add(&mut self, handed: Handed) {
        self.origins.push((handed.shard, handed.drafts.len()));
        self.drafts.extend(handed.drafts);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::task::Waker;

    use chat_core::{
        Body, Commit, Conversations, DraftId, MessageText, Outcome, Page, PageFrom, PageLimits, Receipt,
        RoomName, Topic, Username,
    };
    use chat_store::{Answer, MemoryStore, StoreError};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::inbox::{Inbox, Item};

    /// The first letter of a room tells its lane. A batch waits for a permit of
    /// its lane; one with the text "lost" fails.
    struct Lanes {
        memory: MemoryStore,
        permits: [Semaphore; 2],
        batches: Mutex<Vec<Vec<String>>>,
    }

    impl EventLog for Lanes {
        fn append<'a>(&'a self, drafts: &'a [Draft], now_ms: u64) -> Answer<'a, Commit> {
            Box::pin(async move {
                self.permits[self.lane(&drafts[0].topic)].acquire().await.unwrap().forget();
                let texts: Vec<String> = drafts.iter().map(|draft| draft.body.text().into()).collect();
                let is_lost = texts.iter().any(|text| text == "lost");
                self.batches.lock().unwrap().push(texts);
                if is_lost {
                    return Err(StoreError::Unavailable { source: "disk on fire".into() });
                }
                self.memory.append(drafts, now_ms).await
            })
        }

        fn lanes(&self) -> usize {
            self.permits.len()
        }

        fn lane(&self, topic: &Topic) -> usize {
            usize::from(matches!(topic, Topic::Room(room) if room.as_str().starts_with('b')))
        }

        fn page<'a>(&'a self, topic: &'a Topic, from: PageFrom, limits: PageLimits) -> Answer<'a, Page> {
            self.memory.page(topic, from, limits)
        }

        fn conversations<'a>(&'a self, user: &'a Username, limit: usize) -> Answer<'a, Conversations> {
            self.memory.conversations(user, limit)
        }

        fn epoch(&self) -> &str {
            self.memory.epoch()
        }

        fn check(&self) -> Answer<'_, ()> {
            self.memory.check()
        }
    }

    struct Writing {
        log: Arc<Lanes>,
        inboxes: Vec<Arc<Inbox>>,
        writer: LogWriter,
        task: tokio::task::JoinHandle<()>,
    }

    impl Writing {
        fn start() -> Self {
            let permits = [Semaphore::new(0), Semaphore::new(0)];
            let log = Arc::new(Lanes { memory: MemoryStore::default(), permits, batches: Mutex::default() });
            let inboxes: Vec<_> = (0..2).map(|_| Arc::new(Inbox::new(1 << 20))).collect();
            let bus = Arc::new(Bus::new(inboxes.clone()));
            let options = ShardOptions { batch_max: 100, ..ShardOptions::default() };
            let (writer, writing) = LogWriter::new(
                log.clone(),
                bus,
                &options,
                AppendMetrics::default(),
                CancellationToken::new(),
            );
            Self { log, inboxes, writer, task: tokio::spawn(writing) }
        }

        /// Lets all batches through, and returns each shard's receipts once the
        /// writer has ended.
        async fn end(self) -> [Vec<(u64, Outcome)>; 2] {
            let Self { log, inboxes, writer, task } = self;
            drop(writer);
            log.permits.iter().for_each(|lane| lane.add_permits(100));
            task.await.unwrap();
            let receipts = |shard: usize| {
                let delivery = inboxes[shard].take(Waker::noop());
                let items = delivery.into_iter().flatten();
                let receipts = items.flat_map(|item| match item {
                    Item::Commit { receipts, .. } | Item::Failure { receipts, .. } => receipts,
                    _ => panic!("something else in the inbox"),
                });
                receipts.map(|Receipt { draft, outcome }| (draft.0, outcome)).collect()
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
            body: Body::Message { text: MessageText::stored(text) },
            nonce: None,
        }
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
    async fn a_failure_takes_with_it_what_waits_in_its_lane() {
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
    async fn what_was_sent_before_a_failure_was_heard_of_fails_too() {
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
}
