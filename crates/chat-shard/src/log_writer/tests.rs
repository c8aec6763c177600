use std::sync::Mutex;
use std::task::Waker;

use chat_core::{
    Access, Actor, Body, ChangeRules, Commit, Conversations, DraftId, Emoji, Memberships, MessageText,
    MessagesFrom, Outcome, Page, PageFrom, PageLimits, ReadState, Receipt, RoomAccess, RoomChange, RoomInfo,
    RoomName, Subscription, UserMark, Username,
};
use chat_store::{Feed, MemoryStore, MessageReactions, StoreError, StoreFuture};
use tokio::sync::Semaphore;

use super::*;
use crate::cluster::tests::FakeFeed;
use crate::shared_inbox::{Item, SharedInbox};

/// The first letter of a room tells its lane. A batch waits for a permit of
/// its lane; one with the text "lost" fails.
pub(crate) struct Lanes {
    memory: MemoryStore,
    permits: [Semaphore; 2],
    batches: Mutex<Vec<Vec<String>>>,
    /// So many changes are made, but their answers are lost.
    lost_changes: AtomicUsize,
    /// What other servers commit.
    pub(crate) feed: Option<FakeFeed>,
}

impl Lanes {
    pub(crate) fn new() -> Self {
        Self {
            memory: MemoryStore::default(),
            permits: [Semaphore::new(0), Semaphore::new(0)],
            batches: Mutex::default(),
            lost_changes: AtomicUsize::new(0),
            feed: None,
        }
    }
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

    fn counts<'a>(&'a self, user: &'a Username, topic: &'a Topic, read: u64) -> StoreFuture<'a, ReadState> {
        self.memory.counts(user, topic, read)
    }

    fn keep<'a>(&'a self, marks: &'a [UserMark]) -> StoreFuture<'a, ()> {
        self.memory.keep(marks)
    }

    fn epoch(&self) -> &str {
        self.memory.epoch()
    }

    fn feed(&self) -> Option<&dyn Feed> {
        self.feed.as_ref().map(|feed| feed as &dyn Feed)
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
        let log = Arc::new(Lanes::new());
        let inboxes: Vec<_> = (0..2).map(|_| Arc::new(SharedInbox::new(1 << 20))).collect();
        let bus = Arc::new(Bus::new(inboxes.clone()));
        let options = ShardOptions { batch_max, ..ShardOptions::default() };
        let metrics = AppendMetrics::default();
        let failed = CancellationToken::new();
        let (writer, writing) = LogWriter::new(log.clone(), bus, None, &options, metrics.clone(), failed);
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
