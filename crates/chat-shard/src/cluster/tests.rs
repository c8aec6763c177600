//! A server beside another one, whose feed and bus bring what a test demands. The clock is that of the
//! runtime, which goes on when nothing else is to be done.

use std::sync::atomic::AtomicUsize;
use std::task::Waker;

use chat_cluster::{BusCounts, Channel, Control, FeedPage, FeedStart, Part, ServerRow};
use chat_core::{Access, GoneReason, Missed, PresenceKind, RoomName, Subscription, Topic, Username};
use chat_store::{FeedRead, StoreError, StoreFuture};
use tokio::time::sleep;

use super::*;
use crate::log_writer::tests::Lanes;
use crate::server_bus::BusSink;
use crate::shared_inbox::SharedInbox;

/// A feed that answers each read at once.
#[derive(Default)]
pub(crate) struct FakeFeed {
    epoch: String,
    start: FeedStart,
    /// Changes of the next answers.
    answers: Mutex<VecDeque<ChangeAnswer>>,
    is_away: AtomicBool,
    reads: AtomicUsize,
    told: Mutex<Vec<Vec<u8>>>,
}

type ChangeAnswer = Box<dyn FnOnce(&mut FeedRead) + Send>;

impl Feed for FakeFeed {
    fn incarnation(&self) -> Incarnation {
        server(OWN)
    }

    fn start(&self) -> &FeedStart {
        &self.start
    }

    fn now_ms(&self) -> u64 {
        wall_ms()
    }

    fn beat(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn tell<'a>(&'a self, messages: &'a [Vec<u8>]) -> StoreFuture<'a, ()> {
        self.told.lock().unwrap().extend_from_slice(messages);
        Box::pin(async { Ok(()) })
    }

    fn claim_files<'a>(&'a self, _place: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(async { Ok(true) })
    }

    fn after<'a>(&'a self, _seen: &'a [Point]) -> StoreFuture<'a, FeedRead> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.is_away.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreError::Unavailable { source: "it is away".into() }) });
        }
        let servers = [OWN, OTHER].map(server);
        let page = FeedPage { servers: servers.to_vec(), is_whole: true, ..FeedPage::default() };
        let row = |incarnation| ServerRow {
            incarnation,
            age_ms: 0,
            has_left: false,
            bus_format: BUS_FORMAT,
            looked: 1,
            opened: 1,
        };
        let (epoch, servers) = (self.epoch.clone(), servers.map(row).to_vec());
        let mut read = FeedRead { page, epoch, servers, ..FeedRead::default() };
        if let Some(change) = self.answers.lock().unwrap().pop_front() {
            change(&mut read);
        }
        Box::pin(async { Ok(read) })
    }
}

/// A bus that carries what a test hands to its sink.
struct FakeBus;

impl chat_cluster::Bus for FakeBus {
    fn publish(&self, _to: Channel, _message: tungstenite::Bytes) {}

    fn is_up(&self) -> bool {
        true
    }

    fn counts(&self) -> BusCounts {
        BusCounts::default()
    }
}

struct Scene {
    log: Arc<Lanes>,
    inbox: Arc<SharedInbox>,
    cluster: Arc<Cluster>,
    sink: BusSink,
    failed: CancellationToken,
}

impl Scene {
    /// Two servers, with a bus between them or without. The first reads are answered with these
    /// changes.
    fn start(has_bus: bool, answers: Vec<ChangeAnswer>) -> Self {
        let mut log = Lanes::new();
        let epoch = log.epoch().to_owned();
        log.feed = Some(FakeFeed {
            epoch: epoch.clone(),
            answers: Mutex::new(answers.into()),
            ..FakeFeed::default()
        });
        let log = Arc::new(log);
        let inbox = Arc::new(SharedInbox::new(1 << 20));
        let bus = Arc::new(Bus::new(vec![Arc::clone(&inbox)]));
        bus.subscribe(0, Subscription::Room(kitchen()));
        let sink = BusSink::default();
        let server_bus = ServerBus::new(Arc::new(FakeBus), sink.clone(), SECRET, &epoch);
        let options = ShardOptions { server_bus: has_bus.then_some(server_bus), ..ShardOptions::default() };
        let (metrics, failed) = (ClusterMetrics::default(), CancellationToken::new());
        let dyn_log: Arc<dyn EventLog> = Arc::clone(&log) as _;
        let cluster = Cluster::of(&dyn_log, &bus, &options, metrics, &failed).unwrap();
        tokio::spawn(Arc::clone(&cluster).run(CancellationToken::new()));
        Self { log, inbox, cluster, sink, failed }
    }

    fn feed(&self) -> &FakeFeed {
        self.log.feed.as_ref().unwrap()
    }

    /// The other server tells over the bus that it lives, and how many commits it has made.
    fn hear(&self, beat: u64, commits: u64) {
        let newest = vec![(Lane(0), commits)];
        let message =
            Heartbeat { from: server(OTHER), beat, newest, presence_counter: 0, presence_checksum: 0 };
        let key = Key::new(SECRET, self.log.epoch());
        self.sink.take(BusEvent::Message(encode(&Message::Heartbeat(message), &key).into()));
    }

    /// What the shard has got since the last call.
    fn items(&self) -> Vec<Item> {
        self.inbox.take(Waker::noop()).into_iter().flatten().collect()
    }

    fn withheld(&self) -> Vec<Withheld> {
        let items = self.items().into_iter();
        items
            .filter_map(|item| if let Item::Withhold(withheld) = item { Some(withheld) } else { None })
            .collect()
    }
}

const OWN: u32 = 2;
const OTHER: u32 = 1;
const SECRET: &[u8] = b"a secret of the database";

fn server(number: u32) -> Incarnation {
    Incarnation::new(number).unwrap()
}

fn kitchen() -> RoomName {
    RoomName::parse("kitchen").unwrap()
}

async fn pass(ms: u64) {
    sleep(Duration::from_millis(ms)).await;
}

#[tokio::test(start_paused = true)]
async fn what_another_server_has_committed_reaches_the_shards() {
    let part = Part { topic: Topic::Room(kitchen()), first: 1, last: 2, previous: None, entries: None };
    let at = Point { writer: Writer { incarnation: server(OTHER), lane: Lane(0) }, n: 1 };
    let record = Record { at, parts: vec![part.clone()], controls: Vec::new() };
    let scene = Scene::start(true, vec![Box::new(|read| read.page.records.push(record))]);
    pass(100).await;
    let missed: Vec<Missed> = scene
        .items()
        .into_iter()
        .flat_map(|item| if let Item::Missed(missed) = item { missed } else { Vec::new() })
        .collect();
    assert_eq!(missed, [part.missed()]);
    assert!(scene.cluster.has_others());
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_full_of_messages_is_followed_by_another_at_once() {
    let full = || -> ChangeAnswer { Box::new(|read| read.has_more_messages = true) };
    let scene = Scene::start(true, Vec::new());
    pass(100).await;
    let reads = scene.feed().reads.load(Ordering::Relaxed);
    scene.feed().answers.lock().unwrap().extend([full(), full()]);
    // One poll falls into this time, as they come every 500 ms.
    pass(500).await;
    assert_eq!(scene.feed().reads.load(Ordering::Relaxed), reads + 3);
}

#[tokio::test(start_paused = true)]
async fn without_a_bus_a_snapshot_of_presence_goes_through_the_database() {
    let ask = Message::AskSnapshot { from: server(OTHER), to: server(OWN) };
    let answer: ChangeAnswer = Box::new(move |read| {
        let key = Key::new(&[], &read.epoch);
        read.messages.push(encode(&ask, &key));
    });
    let scene = Scene::start(false, Vec::new());
    // The other server is known.
    pass(100).await;
    scene.feed().answers.lock().unwrap().push_back(answer);
    let change = PresenceChange {
        hub: scene.cluster.hub_id(0).unwrap(),
        room: kitchen(),
        user: Username::known("alice").unwrap(),
        kind: PresenceKind::Joined,
        connections: 1,
        at_s: 1,
    };
    scene.cluster.presence(change.clone());
    pass(600).await;
    let (told, key) = (scene.feed().told.lock().unwrap().clone(), Key::new(&[], scene.log.epoch()));
    let told: Vec<String> = told
        .iter()
        .filter_map(|bytes| match decode(bytes, &key) {
            Ok(Opened::Message(Message::Delta(delta))) => Some(format!("delta of {}", delta.changes.len())),
            Ok(Opened::Message(Message::Snapshot(part))) => {
                Some(format!("snapshot of {}", part.present.len()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(told, ["delta of 1", "snapshot of 1"]);
}

/// Others may have removed members, and closed rooms.
#[tokio::test(start_paused = true)]
async fn rooms_wait_while_the_feed_is_not_read() {
    use Withheld::{AllRooms, ClosedRooms, Nothing};
    for lacks_a_commit in [false, true] {
        let scene = Scene::start(true, Vec::new());
        scene.hear(1, 0);
        pass(600).await;
        assert_eq!(scene.withheld(), []);
        scene.feed().is_away.store(true, Ordering::Relaxed);
        pass(1_000).await;
        assert_eq!(scene.withheld(), [ClosedRooms]);
        scene.hear(2, u64::from(lacks_a_commit));
        assert_eq!(scene.withheld(), if lacks_a_commit { vec![AllRooms] } else { Vec::new() });
        pass(9_000).await;
        assert_eq!(scene.withheld(), if lacks_a_commit { Vec::new() } else { vec![AllRooms] });
        assert_eq!(scene.cluster.unready(), Some(ClusterFault::Database));
        scene.feed().is_away.store(false, Ordering::Relaxed);
        pass(600).await;
        assert_eq!(scene.withheld(), [Nothing]);
        assert_eq!(scene.cluster.unready(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_ends_in_another_epoch() {
    let scene = Scene::start(true, vec![Box::new(|read| read.epoch = "another".to_owned())]);
    pass(100).await;
    assert!(scene.failed.is_cancelled());
}

/// The store makes a change, and its answer is lost, or late.
#[tokio::test(start_paused = true)]
async fn a_change_that_may_be_made_is_read_from_the_feed() {
    /// What the lane learns 100 ms after it has begun, and whether the shards get the change from the
    /// feed then.
    #[derive(Clone, Copy)]
    enum Learns {
        Made,
        Failed,
        Refused,
        Nothing,
    }
    let read_it = || -> ChangeAnswer {
        let at = Point { writer: Writer { incarnation: server(OWN), lane: Lane::CONTROL }, n: 1 };
        let (room, user, reason) = (kitchen(), Username::known("bob").unwrap(), GoneReason::Removed);
        let change = RoomChange::Gone { room, user, reason, access: Access::Closed, top: 1 };
        Box::new(move |read| {
            read.page.records.push(Record {
                at,
                parts: Vec::new(),
                controls: vec![Control::Room(kitchen())],
            });
            read.changes.insert(at, vec![change]);
        })
    };
    for (learns, is_shown) in
        [(Learns::Made, false), (Learns::Failed, true), (Learns::Refused, true), (Learns::Nothing, true)]
    {
        for reads_before in [true, false] {
            let scene = Scene::start(true, Vec::new());
            pass(100).await;
            let lane = scene.log.lane(&Topic::Room(kitchen()));
            let shows = |count: usize| {
                let items = scene.items();
                assert_eq!(items.iter().filter(|item| matches!(item, Item::Changes(_))).count(), count);
            };
            let read = || async {
                scene.feed().answers.lock().unwrap().push_back(read_it());
                // It is told that there is something to read.
                scene.cluster.changed();
                pass(50).await;
            };
            scene.cluster.changing(lane);
            // Of another lane, which knows nothing of this one.
            scene.cluster.changing(lane + 1);
            scene.cluster.change_failed(lane + 1);
            if reads_before {
                read().await;
                shows(0);
            }
            pass(50).await;
            match learns {
                Learns::Made => scene.cluster.change_made(lane),
                Learns::Failed => scene.cluster.change_failed(lane),
                Learns::Refused => scene.cluster.change_refused(lane),
                Learns::Nothing => pass(1_000).await,
            }
            if !reads_before {
                shows(0);
                read().await;
            }
            shows(usize::from(is_shown));
            if matches!(learns, Learns::Refused) {
                // Another read has ended it.
                scene.cluster.changed();
                pass(600).await;
                assert_eq!(scene.cluster.state().changing.keys().collect::<Vec<_>>(), [&(lane + 1)]);
            }
        }
    }
}
