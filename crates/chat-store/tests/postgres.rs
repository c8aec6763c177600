//! What holds for a store in Postgres, beside the contract: it stays, its lanes
//! do not get in each other's way, and failures leave it whole.

// Clippy takes only `#[test]` functions for tests, not what they call.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use chat_core::{Access, Draft, Outcome, Topic};
use chat_store::test_postgres::TestDatabase;
use chat_store::{Ended, NewBan, StoreError};
use common::proxy::Proxy;
use common::{SESSIONS_MAX, TestStore, WithNonce as _, batch, checked, draft, edit, name, open, room, texts};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Row as _};

/// Another program with the same database.
async fn other_program(store: &TestStore) -> PgConnection {
    store.database().text.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}

async fn run(program: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(program).await.unwrap();
}

#[tokio::test]
async fn a_commit_waits_for_the_disk_whatever_the_servers_default() {
    let Some(store) = TestStore::postgres().await else { return };
    let mut program = other_program(&store).await;
    // Records the setting that the transaction of a batch has.
    run(
        &mut program,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$;
         CREATE TABLE seen (value TEXT);
         CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;
         CREATE TRIGGER look BEFORE INSERT ON entries FOR EACH ROW EXECUTE FUNCTION look()",
    )
    .await;
    let store = store.reopened().await;
    store.append(&[draft(&room("kitchen"), "alice", "a")], 1).await;
    let mut program = other_program(&store).await;
    let seen = sqlx::query("SELECT value, current_setting('synchronous_commit') FROM seen");
    let row = seen.fetch_one(&mut program).await.unwrap();
    assert_eq!((row.get::<&str, _>(0), row.get::<&str, _>(1)), ("on", "off"));
}

/// Two servers on one database delete the messages of banned users in turn.
#[tokio::test]
async fn one_server_at_a_time_has_the_turn_to_delete() {
    let Some(store) = TestStore::postgres().await else { return };
    let other = open(&store.database().url).await.unwrap();
    let turn = store.administration.deletion_turn().await.unwrap().unwrap();
    assert!(other.administration.deletion_turn().await.unwrap().is_none());
    turn.end().await;
    let turn = other.administration.deletion_turn().await.unwrap().unwrap();
    assert!(store.administration.deletion_turn().await.unwrap().is_none());
    drop(turn);
    // The database notices the end of the connection.
    let free = async {
        while store.administration.deletion_turn().await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), free).await.unwrap();
    other.close().await;
}

/// A server is told of sessions that another one ends, and of its bans.
#[tokio::test]
async fn a_server_is_told_of_sessions_that_another_one_ends() {
    let Some(store) = TestStore::postgres().await else { return };
    store.accounts("alice bob eve").await;
    let other = open(&store.database().url).await.unwrap();
    for (id, user) in [("one", "alice"), ("two", "alice"), ("three", "bob")] {
        store
            .sessions
            .open_session(&common::session(id, user, 1, u64::MAX >> 1), SESSIONS_MAX)
            .await
            .unwrap();
    }
    let next = async || {
        let next = store.sessions.next_ended();
        tokio::time::timeout(Duration::from_secs(30), next).await.expect("it is told").unwrap()
    };
    // Whatever came before was perhaps missed.
    assert_eq!(next().await, Ended::Unknown);
    other.sessions.revoke_session(&chat_core::SessionId::new("one")).await.unwrap();
    assert_eq!(next().await, Ended::Of(name("alice")));
    other.sessions.revoke_sessions_of(&name("alice")).await.unwrap();
    assert_eq!(next().await, Ended::Of(name("alice")));
    let ban = |user| NewBan {
        user: name(user),
        reason: String::new(),
        delete_messages: false,
        without_account: false,
    };
    let ended = other.administration.ban(&ban("bob"), None, 2).await.unwrap().unwrap();
    assert_eq!(ended, [chat_core::SessionId::new("three")]);
    assert_eq!(next().await, Ended::Of(name("bob")));
    // Without a session.
    other.administration.ban(&ban("eve"), None, 2).await.unwrap().unwrap();
    assert_eq!(next().await, Ended::Of(name("eve")));
    other.users.set_administrator(&name("alice"), true, 3).await.unwrap();
    assert_eq!(next().await, Ended::Role(name("alice")));
    // A connection that was lost is replaced, and nothing is relied upon.
    let mut program = other_program(&store).await;
    run(
        &mut program,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE query LIKE 'LISTEN%' AND datname = current_database()",
    )
    .await;
    assert_eq!(next().await, Ended::Unknown);
    other.close().await;
}

/// Two servers on one database index in turn.
#[tokio::test]
async fn an_index_is_written_by_one_server_at_a_time() {
    let Some(store) = TestStore::postgres().await else { return };
    store.append(&[draft(&room("kitchen"), "alice", "cake")], 1).await;
    let mut other = other_program(&store).await;
    // The turn of the servers of all versions.
    run(&mut other, "BEGIN; SELECT pg_advisory_xact_lock(x'6368617473656172'::bigint)").await;
    let step = store.search.index_some(10).await.unwrap();
    assert_eq!((step.messages, step.has_more), (0, true));
    run(&mut other, "COMMIT").await;
    let mut messages = 0;
    loop {
        let step = store.search.index_some(10).await.unwrap();
        messages += step.messages;
        if !step.has_more {
            break;
        }
    }
    assert_eq!(messages, 1);
    // The turn was given back.
    let free = sqlx::query("SELECT pg_try_advisory_xact_lock(x'6368617473656172'::bigint)");
    assert!(free.fetch_one(&mut other).await.unwrap().get::<bool, _>(0));
}

/// A server that ends takes words out of the index in its turn, or leaves them to the next start.
#[tokio::test]
async fn a_server_that_ends_writes_the_index_in_its_turn() {
    let Some(store) = TestStore::postgres().await else { return };
    let kitchen = room("kitchen");
    let count = "SELECT count(*) FROM search_documents WHERE words @@ 'cake'::tsquery";
    store.append(&[draft(&kitchen, "alice", "cake"), draft(&kitchen, "alice", "cake")], 1).await;
    while store.search.index_some(10).await.unwrap().has_more {}
    let mut other = other_program(&store).await;
    store.append(&[edit(&kitchen, "alice", 1, "soup")], 2).await;
    run(&mut other, "BEGIN; SELECT pg_advisory_xact_lock(x'6368617473656172'::bigint)").await;
    let store = store.reopened().await;
    let left: i64 = sqlx::query(count).fetch_one(&mut other).await.unwrap().get(0);
    assert_eq!(left, 2);
    run(&mut other, "COMMIT").await;
    // The new server has not indexed the edit yet.
    store.append(&[edit(&kitchen, "alice", 2, "stew")], 3).await;
    let store = store.reopened().await;
    let left: i64 = sqlx::query(count).fetch_one(&mut other).await.unwrap().get(0);
    assert_eq!(left, 1);
    while store.search.index_some(10).await.unwrap().has_more {}
    let left: i64 = sqlx::query(count).fetch_one(&mut other).await.unwrap().get(0);
    assert_eq!(left, 0);
}

/// Retries of one nonce in different topics, in different lanes at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonce_in_many_lanes_at_once_is_stored_once() {
    const SENDERS: usize = 8;
    const NONCES: usize = 80;
    let Some(store) = TestStore::postgres().await else { return };
    // Slow inserts make the transactions overlap.
    let slow = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
                    BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END $$;
                CREATE TRIGGER wait BEFORE INSERT ON nonces FOR EACH ROW EXECUTE FUNCTION wait();";
    run(&mut other_program(&store).await, slow).await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let log = Arc::clone(&store.log);
        senders.spawn(async move {
            let mut outcomes = Vec::new();
            for first in (0..NONCES).step_by(10) {
                // Each sender has another order, and writes to a room of its own or to
                // a common one.
                let mut nonces: Vec<usize> = (first..first + 10).collect();
                if sender % 4 < 2 {
                    nonces.reverse();
                }
                let rooms = [room(&format!("room {sender}")), room("all")];
                let drafts: Vec<Draft> = nonces
                    .iter()
                    .map(|nonce| {
                        draft(&rooms[nonce % 2 * (sender % 2)], "alice", &format!("{nonce}"))
                            .nonce(&format!("{nonce}"))
                    })
                    .collect();
                let commit = log.append(&drafts, 1).await.unwrap();
                for (draft, receipt) in drafts.into_iter().zip(commit.receipts) {
                    let store = match receipt.outcome {
                        Outcome::Stored { seq, .. } => (draft.topic, seq),
                        Outcome::Duplicate { topic, seq, .. } => (topic, seq),
                        other => panic!("{other:?}"),
                    };
                    outcomes.push((draft.body.text().to_owned(), store));
                }
            }
            outcomes
        });
    }
    let mut entries: BTreeMap<String, (Topic, u64)> = BTreeMap::new();
    for (text, found) in senders.join_all().await.into_iter().flatten() {
        let first = entries.entry(text.clone()).or_insert_with(|| found.clone());
        assert_eq!(*first, found, "two entries of {text}");
    }
    assert_eq!(entries.len(), NONCES);
    let mut stored = Vec::new();
    for topic in (0..SENDERS).map(|sender| room(&format!("room {sender}"))).chain([room("all")]) {
        let page = store.all(&topic).await;
        assert!(page.entries.iter().map(|entry| entry.seq).eq(1..=page.last));
        stored.extend(page.entries.iter().map(|entry| entry.body.text().to_owned()));
    }
    stored.sort();
    assert!(stored.iter().eq(entries.keys()), "{stored:?}");
    assert_eq!(deadlocks(store).await, 0);
}

/// Batches with the same topics in all orders, some of them new and some looked at: a
/// transaction waits only for one that is further on in the order of topics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_lanes_leave_no_gap_and_never_deadlock() {
    const WRITERS: usize = 8;
    const BATCHES: usize = 25;
    let Some(store) = TestStore::postgres().await else { return };
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let log = Arc::clone(&store.log);
        writers.spawn(async move {
            for batch in 0..BATCHES {
                let mut topics: Vec<Topic> =
                    ["a", "b", "c", "d", &format!("new {batch}")].into_iter().map(room).collect();
                topics.rotate_left((writer + batch) % 5);
                if writer % 2 == 0 {
                    topics.reverse();
                }
                let text = format!("{writer}/{batch}");
                let drafts: Vec<_> = topics
                    .iter()
                    .enumerate()
                    .map(|(index, topic)| {
                        let check = (writer + batch + index) % 3 == 0;
                        let draft = draft(topic, "alice", &text).nonce(&format!("{text}/{index}"));
                        Draft { check, ..draft }
                    })
                    .collect();
                let commit = log.append(&drafts, 1).await.unwrap();
                assert_eq!(commit.entries.len(), drafts.len());
            }
        });
    }
    writers.join_all().await;
    for topic in ["a", "b", "c", "d"] {
        let page = store.all(&room(topic)).await;
        assert!(page.entries.iter().map(|entry| entry.seq).eq(1..=(WRITERS * BATCHES) as u64));
        // Each writer's entries are in the order of its batches.
        for writer in 0..WRITERS {
            let prefix = format!("{writer}/");
            let mine: Vec<usize> =
                texts(&page).iter().filter_map(|text| text.strip_prefix(&prefix)?.parse().ok()).collect();
            assert!(mine.iter().copied().eq(0..BATCHES), "{mine:?}");
        }
    }
    for batch in 0..BATCHES {
        assert_eq!(store.all(&room(&format!("new {batch}"))).await.last, WRITERS as u64);
    }
    assert_eq!(deadlocks(store).await, 0);
}

/// The rows of rooms have another order than their names, in which batches lock them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_on_many_rooms_and_batches_never_deadlock() {
    const ROOMS: [&str; 6] = ["f", "e", "d", "c", "b", "a"];
    let Some(store) = TestStore::postgres().await else { return };
    store.accounts("alice bob carol").await;
    for room in ROOMS {
        store
            .append(&[draft(&self::room(room), "alice", "hi"), draft(&self::room(room), "bob", "hi")], 1)
            .await;
        store.change(&common::create(room, Access::Open, "carol", &[])).await.unwrap();
    }
    // Each new member and each member who leaves takes long enough for a batch to come
    // between two rooms.
    let slow = "INSERT INTO members_fill (topic, seq) VALUES (0, 0);
                CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
                    BEGIN PERFORM pg_sleep(0.02); RETURN coalesce(NEW, OLD); END $$;
                CREATE TRIGGER wait BEFORE INSERT OR DELETE ON members
                    FOR EACH ROW EXECUTE FUNCTION wait();";
    run(&mut other_program(&store).await, slow).await;
    let is_done = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..3 {
        let (log, is_done) = (Arc::clone(&store.log), Arc::clone(&is_done));
        writers.spawn(async move {
            while !is_done.load(Ordering::Relaxed) {
                let mut drafts: Vec<_> =
                    ROOMS.iter().map(|room| draft(&self::room(room), "carol", "hi")).collect();
                // No room, the first or the last one is looked at.
                drafts[writer / 2 * 5].check = writer > 0;
                assert_eq!(log.append(&drafts, 2).await.unwrap().entries.len(), ROOMS.len());
            }
        });
    }
    while store.rooms.fill_members(1000).await.unwrap() {}
    assert_eq!(store.members("a").await, ["alice member", "bob member", "carol moderator"]);
    store.users.remove_user(&name("bob")).await.unwrap();
    assert_eq!(store.members("f").await, ["alice member", "carol moderator"]);
    is_done.store(true, Ordering::Relaxed);
    writers.join_all().await;
    assert_eq!(deadlocks(store).await, 0);
}

#[tokio::test]
async fn a_room_that_becomes_closed_while_a_message_opens_it_stays_closed() {
    let Some(store) = TestStore::postgres().await else { return };
    let mut program = other_program(&store).await;
    run(
        &mut program,
        "BEGIN; INSERT INTO topics (kind, name, other, last_seq, last_at, special)
                VALUES (1, 'kitchen', '', 0, 0, 1)",
    )
    .await;
    let drafts = [checked(draft(&room("kitchen"), "bob", "hi"))];
    let mut waits = pin!(store.append(&drafts, 1));
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut waits).await.is_err());
    run(
        &mut program,
        "INSERT INTO rooms (name, title, description, access, archived, members, joins, created_at)
                VALUES ('kitchen', 'Kitchen', '', 2, 0, 0, 0, 1); COMMIT",
    )
    .await;
    assert_eq!(waits.await, [Outcome::Forbidden]);
}

#[tokio::test]
async fn forbidden_messages_leave_no_row_of_a_room_that_does_not_exist() {
    let Some(store) = TestStore::postgres().await else { return };
    let drafts = ["~nowhere", "kitchen"].map(|name| checked(draft(&room(name), "bob", "hi")));
    let stored = Outcome::Stored { seq: 1, at_ms: 1 };
    assert_eq!(store.append(&drafts, 1).await, [Outcome::Forbidden, stored]);
    // A created room without a message keeps its row.
    store.account("alice").await;
    store.change(&common::create("~empty", Access::Closed, "alice", &[])).await.unwrap();
    let drafts = ["~empty", "~nowhere", "kitchen"].map(|name| checked(draft(&room(name), "bob", "hi")));
    store.append(&drafts, 2).await;
    let names = "SELECT string_agg(name, ' ' ORDER BY name) FROM topics";
    let row = sqlx::query(names).fetch_one(&mut other_program(&store).await).await.unwrap();
    assert_eq!(row.get::<&str, _>(0), "kitchen ~empty");
}

/// The number of deadlocks that the database server resolved. The store retries, so
/// that only the database server knows.
async fn deadlocks(store: TestStore) -> i64 {
    let mut program = other_program(&store).await;
    // A connection reports its counts when it ends.
    store.stores.close().await;
    let others = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while sqlx::query(others).fetch_one(&mut program).await.unwrap().get::<i64, _>(0) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    sqlx::query(counted).fetch_one(&mut program).await.unwrap().get(0)
}

#[tokio::test]
async fn a_lane_does_not_wait_for_another() {
    let Some(store) = TestStore::postgres().await else { return };
    let log = &store.log;
    assert_eq!(log.lanes(), 4);
    let kitchen = room("kitchen");
    let elsewhere = (0..100).map(|index| room(&format!("room {index}")));
    let other = elsewhere.into_iter().find(|topic| log.lane(topic) != log.lane(&kitchen)).unwrap();
    store.append(&[draft(&kitchen, "alice", "a"), draft(&other, "alice", "b")], 1).await;

    let mut program = other_program(&store).await;
    run(&mut program, "BEGIN; SELECT FROM topics WHERE name = 'kitchen' FOR UPDATE").await;
    let blocked_drafts = [draft(&kitchen, "alice", "c")];
    let mut blocked = pin!(log.append(&blocked_drafts, 1));
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut blocked).await.is_err());
    let free = [draft(&other, "alice", "d")];
    let passed = tokio::time::timeout(Duration::from_secs(10), log.append(&free, 1)).await;
    assert_eq!(passed.unwrap().unwrap().receipts.len(), 1);
    run(&mut program, "ROLLBACK").await;
    blocked.await.unwrap();
    assert_eq!(texts(&store.all(&kitchen).await), ["a", "c"]);
}

#[tokio::test]
async fn a_statement_that_fails_for_good_stores_nothing_and_is_not_retried() {
    for failure in [
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = 'disk_full'; END $$;
         CREATE TRIGGER failure BEFORE INSERT ON entries FOR EACH ROW
            WHEN (NEW.text = 'lost') EXECUTE FUNCTION fail()",
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'last step' USING ERRCODE = 'io_error'; END $$;
         CREATE TRIGGER failure BEFORE INSERT ON nonces FOR EACH ROW
            WHEN (NEW.nonce = 'lost''') EXECUTE FUNCTION fail()",
    ] {
        let Some(store) = TestStore::postgres().await else { return };
        store.append(&batch("before"), 1).await;
        run(&mut other_program(&store).await, failure).await;
        let start = Instant::now();
        let failed = store.log.append(&batch("lost"), 2).await;
        assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failed:?}");
        // A call that is retried ends at its limit, after 30 s.
        assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
        assert_eq!(store.append(&batch("after"), 3).await[0], Outcome::Stored { seq: 3, at_ms: 3 });
        assert_eq!(texts(&store.all(&room("kitchen")).await), ["before", "before", "after", "after"]);
    }
}

/// Drops a future that is not done after so many polls. A poll follows each answer
/// of the database server.
async fn give_up_after<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Pending if left > 0 => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
        }
    })
    .await
}

#[tokio::test]
async fn an_append_dropped_at_any_moment_leaves_the_store_working() {
    let Some(database) = TestDatabase::migrated() else { return };
    // The proxy runs in this thread: no answer arrives before the future that waits
    // for it was polled, however quick the database server is.
    let proxy = Proxy::before(&database).await;
    let store = TestStore::behind(&proxy, database).await;
    store.append(&batch("first"), 1).await;
    let mut dropped = 0;
    for round in 0..60_u32 {
        let nonce = format!("{round}");
        let drafts = batch(&nonce);
        let limit = round % 30;
        let is_dropped = store.append_dropped(&nonce, &drafts, |append| give_up_after(limit, append)).await;
        dropped += u32::from(is_dropped);
    }
    assert!(dropped >= 10, "{dropped} is less than twice what an append has statements");
}

#[tokio::test]
async fn the_check_fails_if_the_database_server_is_read_only() {
    let Some(database) = TestDatabase::migrated() else { return };
    let stores = open(&database.url).await.unwrap();
    stores.log.check().await.unwrap();
    // A server that starts registers itself, so that the database becomes read-only later.
    let mut program = database.text.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    let read_only = "DO $$ BEGIN
             EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
         END $$;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid()";
    run(&mut program, read_only).await;
    let refused = stores.log.check().await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused}");
}
