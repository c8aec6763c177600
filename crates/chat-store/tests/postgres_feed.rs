//! The feed of a Postgres store: what several servers on one database learn of each other.

// Clippy takes only `#[test]` functions for tests, not what they call.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chat_cluster::{Control, FeedStart, Incarnation, Lane, Point, Record, Sequencer, Writer};
use chat_core::{Access, Draft, RoomChange, Topic};
use chat_store::test_postgres::TestDatabase;
use chat_store::{Ended, Feed, FeedRead, PostgresOptions, PostgresStore, StoreError, Stores};
use common::proxy::{Fate, Proxy};
use common::{
    SESSIONS_MAX, TestStore, WithNonce as _, create, draft, edit, name, open, private, put, react, remove,
    room, room_name, session,
};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Row as _};

fn feed(stores: &Stores) -> &dyn Feed {
    stores.log.feed().unwrap()
}

/// Another server on the same database.
async fn another(store: &TestStore) -> Stores {
    open(&store.database().url).await.unwrap()
}

async fn append(stores: &Stores, drafts: &[Draft]) {
    stores.log.append(drafts, 1).await.unwrap();
}

/// How far a reader is that has these records.
fn newest(records: &[Record]) -> Vec<Point> {
    let seen: BTreeMap<Writer, u64> = records.iter().map(|record| (record.at.writer, record.at.n)).collect();
    seen.into_iter().map(|(writer, n)| Point { writer, n }).collect()
}

/// Everything that the feed has.
async fn read_all(stores: &Stores) -> FeedRead {
    feed(stores).after(&[]).await.unwrap()
}

async fn connect(store: &TestStore) -> PgConnection {
    store.database().text.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}

async fn run(store: &TestStore, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&mut connect(store).await).await.unwrap();
}

async fn count(store: &TestStore, sql: &'static str) -> i64 {
    sqlx::query(sql).fetch_one(&mut connect(store).await).await.unwrap().get(0)
}

/// A record as text, with writers by the numbers of their servers: `1.1 kitchen 1-2 after 2.1`.
fn told(record: &Record, servers: &[Incarnation]) -> String {
    let point = |at: Point| {
        let server = servers.iter().position(|server| *server == at.writer.incarnation).unwrap() + 1;
        format!("{server}.{}", at.n)
    };
    let mut words = vec![point(record.at)];
    for part in &record.parts {
        let topic = match &part.topic {
            Topic::Room(room) => room.as_str().to_owned(),
            Topic::Pair(pair) => format!("{}+{}", pair.low().as_str(), pair.high().as_str()),
        };
        words.push(format!("{topic} {}-{}", part.first, part.last));
        words.extend(part.previous.map(|at| format!("after {}", point(at))));
    }
    words.join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_are_registered_one_after_another() {
    let Some(database) = TestDatabase::migrated() else { return };
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = database.url.clone();
        starting.spawn(async move { open(&url).await.unwrap() });
    }
    let stores = starting.join_all().await;
    let all: BTreeSet<Incarnation> = stores.iter().map(|stores| feed(stores).incarnation()).collect();
    assert_eq!(all.len(), 8);
    for stores in &stores {
        let own = feed(stores).incarnation();
        let seen = &feed(stores).start().servers;
        for earlier in all.range(..=own) {
            assert!(seen.contains(earlier), "{own} does not see {earlier}: {seen:?}");
        }
    }
    let mut seen: Vec<bool> = Vec::new();
    for stores in stores {
        stores.close().await;
    }
    let stores = open(&database.url).await.unwrap();
    let servers = read_all(&stores).await.servers;
    seen.extend(servers.iter().map(|row| row.has_left));
    assert_eq!(seen, [vec![true; 8], vec![false]].concat(), "who has closed has left");
    assert!(servers.iter().all(|row| row.age_ms < 60_000));
    stores.close().await;
}

#[tokio::test]
async fn the_commits_of_two_servers_are_numbered_and_know_what_precedes_them() {
    let Some(one) = TestStore::postgres().await else { return };
    let two = another(&one).await;
    one.accounts("alice bob").await;
    let pair = || private("alice", "bob", "hi");
    append(&one, &[pair(), draft(&room("kitchen"), "alice", "a"), draft(&room("kitchen"), "bob", "b")]).await;
    append(&two, &[pair()]).await;
    // An edit and a reaction are entries like others.
    append(&two, &[edit(&room("kitchen"), "alice", 1, "c"), react(&room("kitchen"), "bob", 1, "👍")]).await;
    append(&one, &[pair()]).await;
    let read = read_all(&one).await;
    assert!(read.page.is_whole);
    assert_eq!(read.epoch, one.log.epoch());
    let servers = [feed(&one).incarnation(), feed(&two).incarnation()];
    let records = &read.page.records;
    let mut told: Vec<_> = records.iter().map(|record| told(record, &servers)).collect();
    // All servers have a topic in the same lane.
    assert_eq!(two.log.lane(&room("kitchen")), one.log.lane(&room("kitchen")));
    let same_lane = one.log.lane(&pair().topic) == one.log.lane(&room("kitchen"));
    let second = if same_lane { "2.2 kitchen 3-4 after 1.1" } else { "2.1 kitchen 3-4 after 1.1" };
    told.sort();
    let mut expected = vec![
        "1.1 kitchen 1-2 alice+bob 1-1",
        "1.2 alice+bob 3-3 after 2.1",
        "2.1 alice+bob 2-2 after 1.1",
        second,
    ];
    expected.sort_unstable();
    assert_eq!(told, expected);
    // Who has read all of it gets only what comes then.
    let seen = newest(records);
    assert_eq!(feed(&two).after(&seen).await.unwrap().page.records, []);
    append(&one, &[pair()]).await;
    let next = feed(&two).after(&seen).await.unwrap().page.records;
    assert_eq!(
        next.iter().map(|record| self::told(record, &servers)).collect::<Vec<_>>(),
        ["1.3 alice+bob 4-4 after 1.2"]
    );
    // A start that comes later begins behind everything.
    let three = another(&one).await;
    let FeedStart { seen, .. } = feed(&three).start();
    assert_eq!(feed(&three).after(seen).await.unwrap().page.records, []);
}

/// What the server of a lane is told of its own commit is what the others read.
#[tokio::test]
async fn a_commit_is_told_to_its_own_server_as_to_the_others() {
    let Some(store) = TestStore::postgres().await else { return };
    for round in 0..3 {
        let drafts =
            [draft(&room("kitchen"), "alice", "a"), draft(&room(&format!("new {round}")), "bob", "b")];
        let (commit, record) = store.log.append_recorded(&drafts, 1).await.unwrap();
        let record = record.unwrap();
        assert_eq!(record.at.n, round + 1);
        let entries = record.parts.iter().flat_map(|part| part.entries.as_deref().unwrap());
        assert_eq!(entries.count(), commit.entries.len());
        let read = read_all(&store).await;
        assert_eq!(read.page.records.last(), Some(&record));
        // The authors became members.
        let changes = read.changes.get(&record.at).map_or(&[][..], Vec::as_slice);
        assert_eq!(changes, commit.changes);
        assert_eq!(changes.is_empty(), record.controls.is_empty());
    }
    // A refusal is nothing that others must know of.
    let (_, record) = store.log.append_recorded(&[private("alice", "nobody", "lost")], 1).await.unwrap();
    assert_eq!(record, None);
    // What was stored before is: its entry may not have come to the sender's server yet.
    let again = [draft(&room("kitchen"), "alice", "a").nonce("n")];
    store.append(&again, 1).await;
    let (_, record) = store.log.append_recorded(&again, 1).await.unwrap();
    assert_eq!(record.unwrap().parts, []);
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_takes_no_number() {
    let Some(store) = TestStore::postgres().await else { return };
    run(
        &store,
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = 'disk_full'; END $$;
         CREATE TRIGGER failure BEFORE INSERT ON entries FOR EACH ROW
            WHEN (NEW.text = 'lost') EXECUTE FUNCTION fail()",
    )
    .await;
    for n in 1..=3 {
        let failed = store.log.append(&[draft(&room("kitchen"), "alice", "lost")], 1).await;
        assert!(failed.is_err(), "{failed:?}");
        let (_, record) =
            store.log.append_recorded(&[draft(&room("kitchen"), "alice", "kept")], 1).await.unwrap();
        let record = record.unwrap();
        assert_eq!((record.at.n, record.parts[0].first), (n, n));
    }
    let numbers: Vec<_> = read_all(&store).await.page.records.iter().map(|record| record.at.n).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

/// A lane that gave a commit up knows its number before it takes the next one, and the feed has
/// every commit once.
#[tokio::test]
async fn a_commit_that_was_given_up_has_its_number_if_it_is_stored() {
    let Some(database) = TestDatabase::migrated() else { return };
    let proxy = Proxy::before(&database).await;
    let impatient = PostgresOptions {
        // One attempt for each call.
        call_timeout: Duration::from_secs(3),
        attempt_timeout: Duration::from_secs(3),
        ..PostgresOptions::default()
    };
    let store = PostgresStore::open(&proxy.url(), impatient).await.unwrap();
    let others = open(&database.url).await.unwrap();
    let log: &dyn chat_store::EventLog = &store;
    let send = |text: &str| [draft(&room("kitchen"), "alice", text)];
    log.append(&send("before"), 1).await.unwrap();
    let mut next = 2;
    for (fate, is_stored) in [(Fate::NoAnswer, true), (Fate::Lost, false)] {
        proxy.next_commit(fate);
        let given_up = log.append_recorded(&send("given up"), 1).await;
        assert!(given_up.is_err(), "{fate:?}: {given_up:?}");
        next += u64::from(is_stored);
        let (_, record) = log.append_recorded(&send("after"), 1).await.unwrap();
        let record = record.unwrap();
        assert_eq!((record.at.n, record.parts[0].first), (next, next), "{fate:?}");
        next += 1;
    }
    let numbers: Vec<_> = read_all(&others).await.page.records.iter().map(|record| record.at.n).collect();
    assert_eq!(numbers, (1..next).collect::<Vec<_>>());
    store.close().await;
    others.close().await;
}

#[tokio::test]
async fn changes_of_rooms_and_ended_sessions_are_in_the_feed() {
    let Some(one) = TestStore::postgres().await else { return };
    let two = another(&one).await;
    one.accounts("alice bob").await;
    let mut made: Vec<RoomChange> = Vec::new();
    for wanted in [
        create("~cellar", Access::Closed, "alice", &["bob"]),
        put("~cellar", "alice", "bob", None),
        remove("~cellar", "alice", "bob"),
    ] {
        made.extend(one.log.change(&wanted, 1).await.unwrap().unwrap());
    }
    // A change that is refused is none.
    one.log.change(&create("~cellar", Access::Closed, "bob", &[]), 2).await.unwrap().unwrap_err();
    let read = read_all(&two).await;
    let incarnation = feed(&one).incarnation();
    let writer = Writer { incarnation, lane: Lane::CONTROL };
    let at: Vec<Point> = read.page.records.iter().map(|record| record.at).collect();
    assert_eq!(at, [1, 2, 3].map(|n| Point { writer, n }));
    for record in &read.page.records {
        assert_eq!(record.controls, [Control::Room(room_name("~cellar"))]);
    }
    assert_eq!(read.changes.into_values().flatten().collect::<Vec<_>>(), made);

    // The listener begins with a hint of its own.
    assert_eq!(two.sessions.next_ended().await.unwrap(), Ended::Unknown);
    let session = session("s", "bob", 1, u64::MAX >> 1);
    one.sessions.open_session(&session, SESSIONS_MAX).await.unwrap();
    one.sessions.revoke_sessions_of(&name("bob")).await.unwrap();
    let read = feed(&two).after(&at[2..]).await.unwrap();
    let record =
        Record { at: Point { writer, n: 4 }, parts: vec![], controls: vec![Control::User(name("bob"))] };
    assert_eq!(read.page.records, [record]);
    assert_eq!(two.sessions.next_ended().await.unwrap(), Ended::Of(name("bob")));
}

#[tokio::test]
async fn a_reader_that_is_far_behind_reads_the_oldest_rows_of_every_writer_first() {
    let Some(one) = TestStore::postgres().await else { return };
    let two = another(&one).await;
    for _ in 0..250 {
        append(&one, &[draft(&room("kitchen"), "alice", "a")]).await;
    }
    append(&two, &[draft(&room("kitchen"), "bob", "b")]).await;
    let start = FeedStart { seen: Vec::new(), ..feed(&two).start().clone() };
    let mut sequencer = Sequencer::new(feed(&two).incarnation(), &start, Default::default());
    let mut reads = Vec::new();
    sequencer.read_now();
    while reads.len() < 10 && !reads.last().is_some_and(|(is_whole, _)| *is_whole) {
        let seen: Vec<Point> = sequencer.seen().collect();
        let page = feed(&two).after(&seen).await.unwrap().page;
        reads.push((page.is_whole, page.records.len()));
        sequencer.feed(0, page);
    }
    assert_eq!(reads, [(false, 201), (true, 50)]);
    assert_eq!(sequencer.seen().map(|point| point.n).sum::<u64>(), 251);
}

#[tokio::test]
async fn rows_go_ten_minutes_later_and_the_newest_of_a_writer_with_its_server() {
    let Some(one) = TestStore::postgres().await else { return };
    let two = another(&one).await;
    for store in [&*one, &two] {
        for _ in 0..3 {
            append(store, &[draft(&room("kitchen"), "alice", "a")]).await;
        }
    }
    let rows = async || count(&one, "SELECT count(*) FROM commits").await;
    let beat_often = async || {
        for _ in 0..61 {
            feed(&one).beat().await.unwrap();
        }
    };
    run(&one, "UPDATE commits SET at = at - 540000").await;
    beat_often().await;
    assert_eq!(rows().await, 6, "ten minutes are not over");
    run(&one, "UPDATE commits SET at = at - 70000").await;
    beat_often().await;
    assert_eq!(rows().await, 4, "a server that lives removes its own rows");
    run(&one, "UPDATE servers SET seen_at = seen_at - 90000").await;
    beat_often().await;
    assert_eq!(rows().await, 2, "those of a silent one are removed, too");
    assert_eq!(read_all(&one).await.servers.len(), 2);
    run(&one, "UPDATE servers SET seen_at = seen_at - 600000").await;
    beat_often().await;
    assert_eq!(rows().await, 1);
    let servers = read_all(&one).await.servers;
    assert_eq!(servers.iter().map(|row| row.incarnation).collect::<Vec<_>>(), [feed(&one).incarnation()]);
    assert!(servers[0].age_ms < 60_000, "{servers:?}");
}

#[tokio::test]
async fn the_clock_is_that_of_the_database() {
    let Some(store) = TestStore::postgres().await else { return };
    let before = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    assert!(feed(&store).now_ms().abs_diff(before) < 60_000);
    read_all(&store).await;
    assert!(feed(&store).now_ms().abs_diff(before) < 60_000);
}

#[tokio::test]
async fn a_read_that_is_full_of_messages_says_that_there_may_be_more() {
    let Some(store) = TestStore::postgres().await else { return };
    let other = another(&store).await;
    let messages: Vec<Vec<u8>> = (0..150u8).map(|number| vec![number]).collect();
    feed(&other).tell(&messages).await.unwrap();
    let (first, rest) = (read_all(&store).await, read_all(&store).await);
    assert_eq!((first.messages.len(), first.has_more_messages), (100, true));
    assert!(!rest.has_more_messages);
    assert_eq!([first.messages, rest.messages].concat(), messages);
    // Its own ones fill a read, too.
    assert!(read_all(&other).await.has_more_messages);
}

/// A virtual machine was cloned: two processes are one start of a server.
#[tokio::test]
async fn the_copy_of_a_server_is_refused() {
    let Some(store) = TestStore::postgres().await else { return };
    append(&store, &[draft(&room("kitchen"), "alice", "first")]).await;
    // The other process was faster.
    run(&store, "INSERT INTO commits (writer, n, at, parts) SELECT writer, n + 1, at, parts FROM commits")
        .await;
    for _ in 0..2 {
        let refused = store.log.append(&[draft(&room("kitchen"), "alice", "second")], 1).await;
        assert!(matches!(refused, Err(StoreError::ServerTwice)), "{refused:?}");
    }
    assert_eq!(count(&store, "SELECT count(*) FROM entries").await, 1);
}

/// A process that is frozen in a transaction keeps others from its rooms for a second, not for as long
/// as it is frozen. Here, its COMMIT is lost, and it waits.
#[tokio::test]
async fn a_frozen_server_holds_a_room_for_a_second() {
    let Some(database) = TestDatabase::migrated() else { return };
    let proxy = Proxy::before(&database).await;
    let patient = Duration::from_secs(60);
    let options = PostgresOptions { call_timeout: patient, attempt_timeout: patient, ..Default::default() };
    let frozen = PostgresStore::open(&proxy.url(), options).await.unwrap();
    let other = PostgresStore::open(&proxy.url(), options).await.unwrap();
    let log: &dyn chat_store::EventLog = &frozen;
    let drafts = [draft(&room("kitchen"), "alice", "frozen")];
    proxy.next_commit(Fate::Lost);
    let first = log.append(&drafts, 1);
    let second = async {
        while !proxy.has_applied_fate() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let drafts = [draft(&room("kitchen"), "bob", "other")];
        chat_store::EventLog::append(&other, &drafts, 1).await
    };
    tokio::select! {
        stored = second => assert_eq!(stored.unwrap().entries[0].seq, 1),
        done = first => panic!("its connection is silent: {done:?}"),
        () = tokio::time::sleep(Duration::from_secs(30)) => panic!("the room is still held"),
    }
}
