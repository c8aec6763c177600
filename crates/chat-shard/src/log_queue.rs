//! What waits for the log, and what fails with what: the writer's rules as a plain value.

use std::collections::VecDeque;

use chat_core::{Draft, Outcome, Receipt, Topic, WantedChange};

use crate::inbox::Item;
use crate::planted::{Planted, planted};
use crate::routing::{Origin, Origins, receipts_by_shard, receipts_of_calls};

/// The drafts and the changes of rooms that wait for the log, in its lanes.
///
/// The order of each lane is kept across failures: a batch that fails takes with it
/// the drafts that wait behind it, and what a shard hands over before it has processed
/// the failure fails, too. Stored now, it would overtake the retry of what failed.
///
/// A change of a room has its place among the drafts of its lane. It never fails: a
/// change whose answer was lost may have been made, and is repeated until its answer is
/// known, before anything else of the lane. Meanwhile the drafts of the lane fail, as if
/// they were a batch of their own.
///
/// Drafts of a [call](Self::call), which come from no shard, are stored and fail with those of
/// shards.
///
/// It has no lock, task or clock: the server shares it between threads, and the
/// simulator runs it as it is. `A` is what answers the caller of a change.
pub struct LogQueue<A> {
    lanes: Vec<Lane<A>>,
    /// Drafts in all lanes, those of running batches included.
    drafts: usize,
    drafts_max: usize,
    /// Changes in all lanes, those that run included.
    changes: usize,
    planted: Planted,
}

struct Lane<A> {
    waiting: VecDeque<Waiting<A>>,
    /// Nothing stores its batches any more.
    is_dead: bool,
    /// How often drafts of each shard failed here.
    failures: Vec<u64>,
}

enum Waiting<A> {
    Drafts(Handover),
    Change(QueuedChange<A>),
}

/// The drafts of one turn of a shard, or of a call, for one lane.
struct Handover {
    origin: Origin,
    drafts: Vec<Draft>,
    /// How many failures of the lane the shard had processed; 0 of a call.
    failures_seen: u64,
}

/// What a lane does next.
#[derive(Debug)]
pub enum Work<A> {
    /// To store these drafts.
    Batch(Batch),
    /// To make this change.
    Change(QueuedChange<A>),
}

/// A change of a room on its way to the log.
#[derive(Debug)]
pub struct QueuedChange<A> {
    /// The change.
    pub wanted: WantedChange,
    /// The time of the change, in milliseconds since 1970 (UTC): the same for each
    /// attempt, because the log knows a creation that it has made by it.
    pub now_ms: u64,
    /// How many attempts have failed.
    pub failed: u32,
    /// Answers the caller.
    pub answer: A,
}

/// Drafts to be stored in one transaction.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    /// In the order in which they have to be stored.
    pub drafts: Vec<Draft>,
    /// The shards and calls that they came from.
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

impl<A> LogQueue<A> {
    /// An empty queue for a log with so many lanes (at least 1), and for so many shards.
    pub fn new(lanes: usize, shards: usize, drafts_max: usize) -> Self {
        let lane = || Lane { waiting: VecDeque::new(), is_dead: false, failures: vec![0; shards] };
        Self {
            lanes: std::iter::repeat_with(lane).take(lanes).collect(),
            drafts: 0,
            drafts_max,
            changes: 0,
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
            let origin = Origin::Shard(shard);
            self.accept_in(lane, Handover { origin, drafts, failures_seen: failures_seen[lane] })
        });
        accepted.collect()
    }

    /// Queues the drafts of a call, all of topics of this lane. They fail as those of a shard do,
    /// but for the rule about failures that it has not seen: nobody waits for a call to send again
    /// what comes before.
    pub fn call(&mut self, lane: usize, call: u64, drafts: Vec<Draft>) -> Option<Failure> {
        self.accept_in(lane, Handover { origin: Origin::Call(call), drafts, failures_seen: 0 })
    }

    fn accept_in(&mut self, lane: usize, handover: Handover) -> Option<Failure> {
        if self.drafts >= self.drafts_max || self.lanes[lane].is_dead {
            return Some(self.count_failure(lane, handover.into()));
        }
        self.drafts += handover.drafts.len();
        self.lanes[lane].waiting.push_back(Waiting::Drafts(handover));
        None
    }

    /// Queues a change of a room whose lane this is, and returns whether it is queued: it is
    /// dropped if [`CHANGES_MAX`] changes wait already, or if the lane is dead.
    #[must_use]
    pub fn change(&mut self, lane: usize, wanted: WantedChange, now_ms: u64, answer: A) -> bool {
        if self.changes >= CHANGES_MAX || self.lanes[lane].is_dead {
            return false;
        }
        self.changes += 1;
        let change = QueuedChange { wanted, now_ms, failed: 0, answer };
        self.lanes[lane].waiting.push_back(Waiting::Change(change));
        true
    }

    /// Takes what a lane does next: a change, or a batch of whole turns of shards and whole calls,
    /// until it has `drafts_max` drafts. What was handed over too early is added to `failures`.
    /// `None` if nothing is left to be done.
    ///
    /// A lane may do one thing at a time. A batch ends with [`stored`](Self::stored) or
    /// [`fail`](Self::fail), and a change with [`changed`](Self::changed) or
    /// [`repeat`](Self::repeat).
    pub fn next(&mut self, lane: usize, drafts_max: usize, failures: &mut Vec<Failure>) -> Option<Work<A>> {
        let mut batch = Batch::default();
        while batch.drafts.len() < drafts_max
            && let Some(next) = self.lanes[lane].waiting.pop_front()
        {
            let handover = match next {
                Waiting::Drafts(handover) => handover,
                Waiting::Change(change) if batch.drafts.is_empty() => return Some(Work::Change(change)),
                other => {
                    self.lanes[lane].waiting.push_front(other);
                    break;
                }
            };
            let seen = match handover.origin {
                Origin::Shard(shard) => handover.failures_seen == self.lanes[lane].failures[shard],
                Origin::Call(_) => true,
            };
            if seen || planted!(self.planted, StoreBehindAFailure) {
                batch.add(handover);
            } else {
                self.drafts -= handover.drafts.len();
                failures.push(self.count_failure(lane, handover.into()));
            }
        }
        (!batch.drafts.is_empty()).then_some(Work::Batch(batch))
    }

    /// A batch was stored.
    pub fn stored(&mut self, batch: &Batch) {
        self.drafts -= batch.drafts.len();
    }

    /// A batch was not stored: it fails, and with it the drafts that wait in its lane,
    /// since no shard could know of the failure when it handed them over.
    pub fn fail(&mut self, lane: usize, mut batch: Batch) -> Failure {
        if !planted!(self.planted, StoreBehindAFailure) {
            for waiting in std::mem::take(&mut self.lanes[lane].waiting) {
                match waiting {
                    Waiting::Drafts(handover) => batch.add(handover),
                    other => self.lanes[lane].waiting.push_back(other),
                }
            }
        }
        self.drafts -= batch.drafts.len();
        self.count_failure(lane, batch)
    }

    /// The answer to a change is known, or it is given up for good.
    pub fn changed(&mut self) {
        self.changes -= 1;
    }

    /// An attempt to make a change has failed: the change is the next thing that its lane
    /// does, and the drafts that wait there fail.
    pub fn repeat(&mut self, lane: usize, change: QueuedChange<A>) -> Failure {
        let failure = self.fail(lane, Batch::default());
        if planted!(self.planted, NoRepeat) {
            self.changes -= 1;
            return failure;
        }
        let change = QueuedChange { failed: change.failed.saturating_add(1), ..change };
        self.lanes[lane].waiting.push_front(Waiting::Change(change));
        failure
    }

    /// Nothing stores the batches of a lane any more: the drafts that wait there fail, and
    /// so does what is handed over later. Its changes are dropped.
    pub fn abandon(&mut self, lane: usize) -> Failure {
        self.lanes[lane].is_dead = true;
        let failure = self.fail(lane, Batch::default());
        self.changes -= std::mem::take(&mut self.lanes[lane].waiting).len();
        failure
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
            if batch.origins.iter().any(|(origin, _)| *origin == Origin::Shard(shard)) {
                *failures += 1;
            }
        }
        Failure { lane, batch, planted: self.planted }
    }
}

/// How many changes of rooms may wait for the log, in all lanes. While the store does not
/// answer, their callers give them up after some seconds; the changes wait on.
pub const CHANGES_MAX: usize = 1_024;

impl Failure {
    /// How many drafts were not stored.
    pub fn drafts(&self) -> usize {
        self.batch.drafts.len()
    }

    /// The calls that are concerned, with their receipts.
    pub fn calls(&self) -> impl Iterator<Item = (u64, Vec<Receipt>)> {
        receipts_of_calls(self.receipts(), &self.batch.origins)
    }

    fn receipts(&self) -> Vec<Receipt> {
        let outcome = match planted!(self.planted, AckAFailure) {
            true => Outcome::Stored { seq: 1, at_ms: 0 },
            false => Outcome::Failed,
        };
        let receipt = |draft: &Draft| Receipt::new(draft.id, outcome.clone());
        self.batch.drafts.iter().map(receipt).collect()
    }

    /// What is to be pushed to which of `shards` shards: each that is concerned gets its
    /// receipts in one [`Item::Failure`], since it counts those.
    pub fn into_items<C>(self, shards: usize) -> impl Iterator<Item = (usize, Item<C>)> {
        let receipts = self.receipts();
        let Self { lane, batch, .. } = self;
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
        self.origins.push((handover.origin, handover.drafts.len()));
        if self.drafts.is_empty() {
            self.drafts = handover.drafts;
        } else {
            self.drafts.extend(handover.drafts);
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_core::{Actor, Body, DraftId, MessageText, RoomName, Username};

    use super::*;

    fn draft(id: u64) -> Draft {
        Draft {
            id: DraftId(id),
            topic: Topic::Room(RoomName::default()),
            from: Username::known("alice").unwrap(),
            room: None,
            body: Body::message(MessageText::stored("hi")),
            files: Vec::new(),
            nonce: None,
            check: false,
            may_administer: true,
            by_server: false,
            refused: None,
            rules: chat_core::ChangeRules::default(),
        }
    }

    #[test]
    fn a_failure_counts_in_its_lane_only() {
        let mut queue = LogQueue::<()>::new(2, 1, 100);
        assert!(queue.accept(0, vec![(0, vec![draft(1)]), (1, vec![draft(2)])], &[0, 0]).is_empty());
        let batch = batch_of(queue.next(0, 100, &mut Vec::new()));
        assert_eq!(failed(queue.fail(0, batch)), [(0, 1)]);
        assert!(queue.accept(0, vec![(1, vec![draft(3)])], &[0, 0]).is_empty());
        let mut failures = Vec::new();
        assert_eq!(ids(&batch_of(queue.next(1, 100, &mut failures))), [2, 3]);
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
    struct Queue(LogQueue<&'static str>);

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
            let batch = self.0.next(0, 100, &mut failures).map(|work| batch_of(Some(work)));
            (batch, failures.into_iter().flat_map(failed).collect())
        }
    }

    fn batch_of<A>(work: Option<Work<A>>) -> Batch {
        match work {
            Some(Work::Batch(batch)) => batch,
            _ => panic!("not a batch"),
        }
    }

    fn change_of(work: Option<Work<&'static str>>) -> QueuedChange<&'static str> {
        match work {
            Some(Work::Change(change)) => change,
            _ => panic!("not a change"),
        }
    }

    fn leave() -> WantedChange {
        let user = Username::known("alice").unwrap();
        let by = Actor { user: user.clone(), is_administrator: false };
        WantedChange::Remove { room: RoomName::default(), user, by }
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

    #[test]
    fn a_change_has_its_place_among_the_drafts() {
        let mut queue = Queue::new(100);
        queue.accept(0, 1, 0);
        assert!(queue.0.change(0, leave(), 7, "first"));
        assert!(queue.0.change(0, leave(), 8, "second"));
        queue.accept(1, 2, 0);
        let batch = queue.next().0.unwrap();
        assert_eq!(ids(&batch), [1]);
        queue.0.stored(&batch);
        for (answer, now_ms) in [("first", 7), ("second", 8)] {
            let change = change_of(queue.0.next(0, 100, &mut Vec::new()));
            assert_eq!((change.answer, change.now_ms), (answer, now_ms));
            queue.0.changed();
        }
        assert_eq!(ids(&queue.next().0.unwrap()), [2]);
    }

    #[test]
    fn a_call_is_stored_and_fails_with_the_drafts_around_it() {
        let mut queue = Queue::new(100);
        let call = |queue: &mut Queue, call, id| queue.0.call(0, call, vec![draft(id)]).is_none();
        queue.accept(0, 1, 0);
        assert!(call(&mut queue, 7, 2));
        queue.accept(1, 3, 0);
        let batch = queue.next().0.unwrap();
        assert_eq!(ids(&batch), [1, 2, 3]);
        assert!(call(&mut queue, 8, 4));
        let failure = queue.0.fail(0, batch);
        let calls = |failure: &Failure| {
            failure.calls().map(|(call, receipts)| (call, receipts.len())).collect::<Vec<_>>()
        };
        assert_eq!(calls(&failure), [(7, 1), (8, 1)]);
        assert_eq!(failed(failure), [(0, 1), (1, 3)]);
        // A call has no failures to see.
        assert!(call(&mut queue, 9, 5));
        let batch = queue.next().0.unwrap();
        assert_eq!(batch.origins, [(Origin::Call(9), 1)]);
        queue.0.stored(&batch);
        let failure = queue.0.abandon(0);
        assert_eq!(calls(&failure), []);
        let failure = queue.0.call(0, 10, vec![draft(6)]).unwrap();
        assert_eq!(calls(&failure), [(10, 1)], "the lane is dead");
    }

    #[test]
    fn a_change_outlives_the_failure_of_a_batch() {
        let mut queue = Queue::new(100);
        queue.accept(0, 1, 0);
        let batch = queue.next().0.unwrap();
        queue.accept(1, 2, 0);
        assert!(queue.0.change(0, leave(), 7, "leave"));
        queue.accept(0, 3, 0);
        assert_eq!(failed(queue.0.fail(0, batch)), [(0, 1), (0, 3), (1, 2)]);
        assert_eq!(change_of(queue.0.next(0, 100, &mut Vec::new())).answer, "leave");
    }

    #[test]
    fn a_change_is_repeated_before_anything_else_and_the_drafts_behind_it_fail() {
        let mut queue = Queue::new(100);
        assert!(queue.0.change(0, leave(), 7, "first"));
        assert!(queue.0.change(0, leave(), 8, "second"));
        let change = change_of(queue.0.next(0, 100, &mut Vec::new()));
        queue.accept(0, 1, 0);
        assert_eq!(failed(queue.0.repeat(0, change)), [(0, 1)]);
        // The shard has seen the failure, and sends again.
        queue.accept(0, 2, 1);
        let change = change_of(queue.0.next(0, 100, &mut Vec::new()));
        assert_eq!((change.answer, change.now_ms, change.failed), ("first", 7, 1));
        queue.0.changed();
        assert_eq!(change_of(queue.0.next(0, 100, &mut Vec::new())).answer, "second");
        queue.0.changed();
        assert_eq!(ids(&queue.next().0.unwrap()), [2]);
    }

    #[test]
    fn changes_are_bounded_and_a_dead_lane_takes_none() {
        let mut queue = Queue::new(100);
        for _ in 0..CHANGES_MAX {
            assert!(queue.0.change(0, leave(), 7, "leave"));
        }
        assert!(!queue.0.change(0, leave(), 7, "one more"));
        change_of(queue.0.next(0, 100, &mut Vec::new()));
        assert!(!queue.0.change(0, leave(), 7, "one more"), "the one that runs counts, too");
        queue.0.changed();
        assert!(queue.0.change(0, leave(), 7, "one more"));
        assert_eq!(failed(queue.0.abandon(0)), []);
        assert!(!queue.0.change(0, leave(), 7, "too late"));
        assert!(queue.0.is_empty(0));
    }
}
