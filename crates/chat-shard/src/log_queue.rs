//! What waits for the log, and what fails with what: the writer's rules as a plain value.

use std::collections::VecDeque;

use chat_core::{Draft, Outcome, Receipt, Topic};

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
    shards: usize,
    /// Drafts in all lanes, those of running batches included.
    drafts: usize,
    drafts_max: usize,
    planted: Planted,
}

struct Lane {
    waiting: VecDeque<Handover>,
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

/// Drafts that were not stored. Each shard in it has to get its receipts in one
/// [`Item::Failure`](crate::inbox::Item::Failure), since it counts those.
#[derive(Debug)]
#[must_use]
pub struct Failure {
    /// The lane.
    pub lane: usize,
    /// The receipts of each shard that is concerned.
    pub receipts: Vec<(usize, Vec<Receipt>)>,
}

impl LogQueue {
    /// An empty queue for a log with so many lanes (at least 1), and for so many shards.
    pub fn new(lanes: usize, shards: usize, drafts_max: usize) -> Self {
        let lane = || Lane { waiting: VecDeque::new(), failures: vec![0; shards] };
        Self {
            lanes: std::iter::repeat_with(lane).take(lanes).collect(),
            shards,
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

    /// Queues the drafts of a shard's turn, each in the lane of its topic. If
    /// `drafts_max` drafts wait already, those of a lane fail.
    ///
    /// `failures_seen` has the number of failures that the shard has processed, for
    /// each lane.
    pub fn accept(
        &mut self,
        shard: usize,
        drafts: Vec<Draft>,
        failures_seen: &[u64],
        lane: impl Fn(&Topic) -> usize,
    ) -> Vec<Failure> {
        let mut failures = Vec::new();
        if self.lanes.len() == 1 {
            failures.extend(self.accept_in(0, Handover { shard, drafts, failures_seen: failures_seen[0] }));
            return failures;
        }
        let mut by_lane = vec![Vec::new(); self.lanes.len()];
        for draft in drafts {
            by_lane[lane(&draft.topic)].push(draft);
        }
        for (lane, drafts) in by_lane.into_iter().enumerate().filter(|(_, drafts)| !drafts.is_empty()) {
            failures
                .extend(self.accept_in(lane, Handover { shard, drafts, failures_seen: failures_seen[lane] }));
        }
        failures
    }

    fn accept_in(&mut self, lane: usize, handover: Handover) -> Option<Failure> {
        if self.drafts >= self.drafts_max {
            let origins = vec![(handover.shard, handover.drafts.len())];
            return Some(self.count_failure(lane, &handover.drafts, &origins));
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
                let origins = vec![(handover.shard, handover.drafts.len())];
                failures.push(self.count_failure(lane, &handover.drafts, &origins));
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
        self.count_failure(lane, &batch.drafts, &batch.origins)
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
    fn count_failure(&mut self, lane: usize, drafts: &[Draft], origins: &Origins) -> Failure {
        let outcome = match planted!(self.planted, AckAFailure) {
            true => Outcome::Stored { seq: 1, at_ms: 0 },
            false => Outcome::Failed,
        };
        let receipt = |draft: &Draft| Receipt { draft: draft.id, outcome: outcome.clone() };
        let receipts: Vec<_> = drafts.iter().map(receipt).collect();
        let by_shard = receipts_by_shard(&receipts, origins, self.shards).into_iter().enumerate();
        let receipts: Vec<_> = by_shard.filter(|(_, receipts)| !receipts.is_empty()).collect();
        for (shard, _) in &receipts {
            self.lanes[lane].failures[*shard] += 1;
        }
        Failure { lane, receipts }
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
            body: Body::Message { text: MessageText::stored("hi") },
            nonce: None,
        }
    }

    /// Two shards, one lane.
    struct Queue(LogQueue);

    impl Queue {
        fn new(drafts_max: usize) -> Self {
            Self(LogQueue::new(1, 2, drafts_max))
        }

        /// Queues one draft, and returns what failed.
        fn accept(&mut self, shard: usize, id: u64, seen: u64) -> Vec<(usize, u64)> {
            let failures = self.0.accept(shard, vec![draft(id)], &[seen], |_| 0);
            failures.iter().flat_map(failed).collect()
        }

        /// The next batch, and what failed on the way to it.
        fn next(&mut self) -> (Option<Batch>, Vec<(usize, u64)>) {
            let mut failures = Vec::new();
            let batch = self.0.next_batch(0, 100, &mut failures);
            (batch, failures.iter().flat_map(failed).collect())
        }
    }

    /// The shard and id of each draft.
    fn failed(failure: &Failure) -> Vec<(usize, u64)> {
        let receipts = failure.receipts.iter();
        receipts.flat_map(|(shard, its)| its.iter().map(|receipt| (*shard, receipt.draft.0))).collect()
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
        assert_eq!(failed(&queue.0.fail(0, batch)), [(0, 1), (0, 3), (1, 2)]);
        assert_eq!((queue.next().0.is_none(), queue.0.drafts()), (true, 0));
    }

    #[test]
    fn what_a_shard_hands_over_before_it_has_seen_a_failure_fails() {
        let mut queue = Queue::new(100);
        queue.accept(0, 1, 0);
        let batch = queue.next().0.unwrap();
        assert_eq!(failed(&queue.0.fail(0, batch)), [(0, 1)]);
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
