//! What waits for the log, and what fails with what: the writer's rules as a plain value.

use std::collections::VecDeque;

use chat_core::{Draft, Outcome, Receipt, Topic};

use crate::inbox::Item;
use crate::planted::{Planted, planted};
use crate::routing::{Origins, receipts_by_shard};

/// The drafts that wait for the log, in its lanes.
///
/// The order of each lane is kept across failures: a batch that fails takes with it
/// what waits behind it, and what a shard hands over before it has processed the
/// failure fails, too. Stored now, it would overtake the retry of what failed.
///
/// It has no lock, task or clock: the server shares it between threads, and the
/// simulator runs it as it is.
pub struct LogQueue {
    lanes: Vec<Lane>,
    /// Drafts in all lanes, those of running batches included.
    drafts: usize,
    drafts_max: usize,
    planted: Planted,
}

struct Lane {
    waiting: VecDeque<Handover>,
    /// Nothing stores its batches any more.
    is_dead: bool,
    /// How often drafts of each shard failed here.
    failures: Vec<u64>,
}

/// The drafts of one turn of a shard for one lane.
struct Handover {
    shard: usize,
    drafts: Vec<Draft>,
    /// How many failures of the lane the shard had processed.
    failures_seen: u64,
}

/// Drafts to be stored in one transaction.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    /// In the order in which they have to be stored.
    pub drafts: Vec<Draft>,
    /// The shards that they came from.
    pub origins: Origins,
}

/// Drafts that were not stored.
#[derive(Debug)]
#[must_use]
pub struct Failure {
    lane: usize,
    batch: Batch,
    planted: Planted,
}

/// Splits drafts by the lanes of their topics, which are numbered from 0 to `lanes - 1`.
/// The order of each lane is kept.
pub fn drafts_by_lane(
    drafts: Vec<Draft>,
    lanes: usize,
    lane: impl Fn(&Topic) -> usize,
) -> Vec<(usize, Vec<Draft>)> {
    if lanes == 1 {
        return vec![(0, drafts)];
    }
    let mut by_lane = vec![Vec::new(); lanes];
    for draft in drafts {
        by_lane[lane(&draft.topic)].push(draft);
    }
    by_lane.into_iter().enumerate().filter(|(_, drafts)| !drafts.is_empty()).collect()
}

impl LogQueue {
    /// An empty queue for a log with so many lanes (at least 1), and for so many shards.
    pub fn new(lanes: usize, shards: usize, drafts_max: usize) -> Self {
        let lane = || Lane { waiting: VecDeque::new(), is_dead: false, failures: vec![0; shards] };
        Self {
            lanes: std::iter::repeat_with(lane).take(lanes).collect(),
            drafts: 0,
            drafts_max,
            planted: Planted::default(),
        }
    }

    /// The same with a bug on purpose.
    #[cfg(feature = "planted-bugs")]
    #[must_use]
    pub fn with_bug(self, bug: Option<crate::PlantedBug>) -> Self {
        Self { planted: bug, ..self }
    }

    /// Queues the drafts of a shard's turn, split by [`drafts_by_lane`]. Those of a lane
    /// fail if `drafts_max` drafts wait already, or if the lane is dead.
    ///
    /// `failures_seen` has the number of failures that the shard has processed, for
    /// each lane.
    pub fn accept(
        &mut self,
        shard: usize,
        drafts: Vec<(usize, Vec<Draft>)>,
        failures_seen: &[u64],
    ) -> Vec<Failure> {
        let handovers = drafts.into_iter();
        let accepted = handovers.filter_map(|(lane, drafts)| {
            self.accept_in(lane, Handover { shard, drafts, failures_seen: failures_seen[lane] })
        });
        accepted.collect()
    }

    fn accept_in(&mut self, lane: usize, handover: Handover) -> Option<Failure> {
        if self.drafts >= self.drafts_max || self.lanes[lane].is_dead {
            return Some(self.count_failure(lane, handover.into()));
        }
        self.drafts += handover.drafts.len();
        self.lanes[lane].waiting.push_back(handover);
        None
    }

    /// Takes the next batch of a lane: whole turns of shards, until it has `drafts_max`
    /// drafts. What was handed over too early is added to `failures`. `None` if nothing
    /// is left to be stored.
    ///
    /// One batch of a lane may run at a time. It ends with [`stored`](Self::stored) or
    /// [`fail`](Self::fail).
    pub fn next_batch(
        &mut self,
        lane: usize,
        drafts_max: usize,
        failures: &mut Vec<Failure>,
    ) -> Option<Batch> {
        let mut batch = Batch::default();
        while batch.drafts.len() < drafts_max
            && let Some(handover) = self.lanes[lane].waiting.pop_front()
        {
            let seen = handover.failures_seen == self.lanes[lane].failures[handover.shard];
            if seen || planted!(self.planted, StoreBehindAFailure) {
                batch.add(handover);
            } else {
                self.drafts -= handover.drafts.len();
                failures.push(self.count_failure(lane, handover.into()));
            }
        }
        (!batch.drafts.is_empty()).then_some(batch)
    }

    /// A batch was stored.
    pub fn stored(&mut self, batch: &Batch) {
        self.drafts -= batch.drafts.len();
    }

    /// A batch was not stored: it fails, and with it what waits in its lane, since no
    /// shard could know of the failure when it was handed over.
    pub fn fail(&mut self, lane: usize, mut batch: Batch) -> Failure {
        if !planted!(self.planted, StoreBehindAFailure) {
            for handover in std::mem::take(&mut self.lanes[lane].waiting) {
                batch.add(handover);
            }
        }
        self.drafts -= batch.drafts.len();
        self.count_failure(lane, batch)
    }

    /// Nothing stores the batches of a lane any more: what waits there fails, and so does
    /// what is handed over later.
    pub fn abandon(&mut self, lane: usize) -> Failure {
        self.lanes[lane].is_dead = true;
        self.fail(lane, Batch::default())
    }

    /// Whether a lane has nothing that waits.
    pub fn is_empty(&self, lane: usize) -> bool {
        self.lanes[lane].waiting.is_empty()
    }

    /// How many drafts wait or are being stored, in all lanes.
    pub fn drafts(&self) -> usize {
        self.drafts
    }

    /// Counts a failure for each shard that has drafts among these.
    fn count_failure(&mut self, lane: usize, batch: Batch) -> Failure {
        for (shard, failures) in self.lanes[lane].failures.iter_mut().enumerate() {
            if batch.origins.iter().any(|(origin, _)| *origin == shard) {
                *failures += 1;
            }
        }
        Failure { lane, batch, planted: self.planted }
    }
}

impl Failure {
    /// How many drafts were not stored.
    pub fn drafts(&self) -> usize {
        self.batch.drafts.len()
    }

    /// What is to be pushed to which of `shards` shards: each that is concerned gets its
    /// receipts in one [`Item::Failure`], since it counts those.
    pub fn into_items<C>(self, shards: usize) -> impl Iterator<Item = (usize, Item<C>)> {
        let Self { lane, batch, planted } = self;
        let outcome = match planted!(planted, AckAFailure) {
            true => Outcome::Stored { seq: 1, at_ms: 0 },
            false => Outcome::Failed,
        };
        let receipt = |draft: &Draft| Receipt::new(draft.id, outcome.clone());
        let receipts: Vec<_> = batch.drafts.iter().map(receipt).collect();
        let by_shard = receipts_by_shard(&receipts, &batch.origins, shards).into_iter().enumerate();
        let concerned = by_shard.filter(|(_, receipts)| !receipts.is_empty());
        concerned.map(move |(shard, receipts)| (shard, Item::Failure { lane, receipts }))
    }
}

impl From<Handover> for Batch {
    fn from(handover: Handover) -> Self {
        let mut batch = Self::default();
        batch.add(handover);
        batch
    }
}

impl Batch {
    fn add(&mut self, handover: Handover) {
        self.origins.push((handover.shard, handover.drafts.len()));
        if self.drafts.is_empty() {
            self.drafts = handover.drafts;
        } else {
            self.drafts.extend(handover.drafts);
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_core::{Body, DraftId, MessageText, RoomName, Username};

    use super::*;

    fn draft(id: u64) -> Draft {
        Draft {
            id: DraftId(id),
            topic: Topic::Room(RoomName::default()),
            from: Username::known("alice").unwrap(),
            room: None,
            body: Body::message(MessageText::stored("hi")),
            nonce: None,
            check: false,
        }
    }

    #[test]
    fn a_failure_counts_in_its_lane_only() {
        let mut queue = LogQueue::new(2, 1, 100);
        assert!(queue.accept(0, vec![(0, vec![draft(1)]), (1, vec![draft(2)])], &[0, 0]).is_empty());
        let batch = queue.next_batch(0, 100, &mut Vec::new()).unwrap();
        assert_eq!(failed(queue.fail(0, batch)), [(0, 1)]);
        assert!(queue.accept(0, vec![(1, vec![draft(3)])], &[0, 0]).is_empty());
        let mut failures = Vec::new();
        assert_eq!(ids(&queue.next_batch(1, 100, &mut failures).unwrap()), [2, 3]);
        assert!(failures.is_empty());
    }

    #[test]
    fn a_dead_lane_fails_what_waits_and_what_comes() {
        let mut queue = Queue::new(100);
        queue.accept(0, 1, 0);
        assert_eq!(failed(queue.0.abandon(0)), [(0, 1)]);
        assert_eq!(queue.accept(0, 2, 1), [(0, 2)]);
        assert_eq!(queue.0.drafts(), 0);
    }

    /// Two shards, one lane.
    struct Queue(LogQueue);

    impl Queue {
        fn new(drafts_max: usize) -> Self {
            Self(LogQueue::new(1, 2, drafts_max))
        }

        /// Queues one draft, and returns what failed.
        fn accept(&mut self, shard: usize, id: u64, seen: u64) -> Vec<(usize, u64)> {
            let failures = self.0.accept(shard, vec![(0, vec![draft(id)])], &[seen]);
            failures.into_iter().flat_map(failed).collect()
        }

        /// The next batch, and what failed on the way to it.
        fn next(&mut self) -> (Option<Batch>, Vec<(usize, u64)>) {
            let mut failures = Vec::new();
            let batch = self.0.next_batch(0, 100, &mut failures);
            (batch, failures.into_iter().flat_map(failed).collect())
        }
    }

    /// The shard and id of each draft.
    fn failed(failure: Failure) -> Vec<(usize, u64)> {
        let items = failure.into_items::<()>(2);
        let ids = items.flat_map(|(shard, item)| match item {
            Item::Failure { receipts, .. } => {
                receipts.into_iter().map(move |receipt| (shard, receipt.draft.0))
            }
            _ => panic!("not a failure"),
        });
        ids.collect()
    }

    fn ids(batch: &Batch) -> Vec<u64> {
        batch.drafts.iter().map(|draft| draft.id.0).collect()
    }

    #[test]
    fn a_batch_that_fails_takes_with_it_what_waits() {
        let mut queue = Queue::new(100);
        queue.accept(0, 1, 0);
        let batch = queue.next().0.unwrap();
        queue.accept(1, 2, 0);
        queue.accept(0, 3, 0);
        assert_eq!(failed(queue.0.fail(0, batch)), [(0, 1), (0, 3), (1, 2)]);
        assert_eq!((queue.next().0.is_none(), queue.0.drafts()), (true, 0));
    }

    #[test]
    fn what_a_shard_hands_over_before_it_has_seen_a_failure_fails() {
        let mut queue = Queue::new(100);
        queue.accept(0, 1, 0);
        let batch = queue.next().0.unwrap();
        assert_eq!(failed(queue.0.fail(0, batch)), [(0, 1)]);
        queue.accept(0, 2, 0);
        queue.accept(1, 3, 0);
        let (batch, early) = queue.next();
        assert_eq!((ids(&batch.unwrap()), early), (vec![3], vec![(0, 2)]));
        // That was a failure of its own.
        queue.accept(0, 4, 1);
        assert_eq!(queue.next().1, [(0, 4)]);
        queue.accept(0, 5, 3);
        assert_eq!(ids(&queue.next().0.unwrap()), [5]);
    }

    #[test]
    fn drafts_beyond_the_cap_fail_until_a_batch_has_ended() {
        let mut queue = Queue::new(2);
        queue.accept(0, 1, 0);
        let batch = queue.next().0.unwrap();
        assert_eq!(queue.accept(1, 2, 0), []);
        assert_eq!(queue.accept(1, 3, 0), [(1, 3)], "the batch that runs counts, too");
        queue.0.stored(&batch);
        assert_eq!(queue.accept(0, 4, 0), []);
        assert_eq!(ids(&queue.next().0.unwrap()), [4], "shard 1 has not seen its failure");
    }
}
