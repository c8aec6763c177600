//! What holds for a store in Postgres, beside the contract: it stays, its lanes
//! do not get in each other's way, and failures leave it whole.

// Clippy takes only `#[test]` functions for tests, not what they call.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use chat_core::{Draft, Outcome, PageFrom, Topic};
use chat_store::test_postgres::TestDatabase;
use chat_store::{StoreError, Stores};
use common::proxy::Proxy;
use common::{ALL, Place, WithNonce as _, draft, name, pair, private, room, said, session};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Row as _};

/// Another program with the same database.
async fn other_program(place: &Place) -> PgConnection {
    place.database().text.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}

async fn run(program: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(program).await.unwrap();
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let Some(place) = Place::postgres().await else { return };
    let epoch = place.stores.log.epoch().to_owned();
    place.account("bob").await;
    let session = session("s", "bob", 5, 50);
    place.stores.sessions.open_session(&session).await.unwrap();
    place
        .append(&[draft(&room("kitchen"), "alice", "Привет").nonce("n"), private("alice", "bob", "psst")], 9)
        .await;

    let place = place.reopened().await;
    assert_eq!(place.stores.log.epoch(), epoch);
    assert!(place.stores.users.find_user(&name("bob")).await.unwrap().is_some());
    assert_eq!(place.stores.sessions.find_session(&session.id, 49).await.unwrap(), Some(session));
    assert_eq!(said(&place.all(&room("kitchen")).await), ["Привет"]);
    assert_eq!(said(&place.all(&pair("bob", "alice")).await), ["psst"]);
    let again = [draft(&room("garden"), "alice", "x").nonce("n"), draft(&room("kitchen"), "alice", "y")];
    assert_eq!(
        place.append(&again, 1).await,
        [
            Outcome::Duplicate { topic: room("kitchen"), seq: 1, at_ms: 9 },
            Outcome::Stored { seq: 2, at_ms: 9 }
        ]
    );
    // Another database is another numbering.
    assert_ne!(Place::postgres().await.unwrap().stores.log.epoch(), epoch);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let Some(place) = Place::postgres().await else { return };
    let stores = place.stores.clone();
    let draft = draft(&room("kitchen"), "alice", "a");
    stores.log.append(std::slice::from_ref(&draft), 1).await.unwrap();
    place.stores.clone().close().await;
    let refused = stores.log.append(std::slice::from_ref(&draft), 1).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    assert!(stores.log.page(&draft.topic, PageFrom::Latest, ALL).await.is_err());
    assert!(stores.log.check().await.is_err());
    // Again is fine.
    stores.close().await;
}

#[tokio::test]
async fn whatever_the_server_is_set_to_a_commit_waits_for_the_disk() {
    let Some(place) = Place::postgres().await else { return };
    let mut program = other_program(&place).await;
    // What a batch is written with, as its own transaction sees it.
    run(
        &mut program,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$;
         CREATE TABLE seen (value TEXT);
         CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;
         CREATE TRIGGER look BEFORE INSERT ON entries FOR EACH ROW EXECUTE FUNCTION look()",
    )
    .await;
    let place = place.reopened().await;
    place.append(&[draft(&room("kitchen"), "alice", "a")], 1).await;
    let mut program = other_program(&place).await;
    let seen = sqlx::query("SELECT value, current_setting('synchronous_commit') FROM seen");
    let row = seen.fetch_one(&mut program).await.unwrap();
    assert_eq!((row.get::<&str, _>(0), row.get::<&str, _>(1)), ("on", "off"));
}

/// Retries of one nonce under different topics, in different lanes at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonce_in_many_lanes_at_once_is_stored_once() {
    const SENDERS: usize = 8;
    const NONCES: usize = 80;
    let Some(place) = Place::postgres().await else { return };
    // So that they meet.
    let slow = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
                    BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END $$;
                CREATE TRIGGER wait BEFORE INSERT ON nonces FOR EACH ROW EXECUTE FUNCTION wait();";
    run(&mut other_program(&place).await, slow).await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let log = Arc::clone(&place.stores.log);
        senders.spawn(async move {
            let mut outcomes = Vec::new();
            for first in (0..NONCES).step_by(10) {
                // Each in another order, in a room of its own and some in one
                // of all.
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
                    let place = match receipt.outcome {
                        Outcome::Stored { seq, .. } => (draft.topic, seq),
                        Outcome::Duplicate { topic, seq, .. } => (topic, seq),
                        other => panic!("{other:?}"),
                    };
                    outcomes.push((draft.body.text().to_owned(), place));
                }
            }
            outcomes
        });
    }
    let mut places: BTreeMap<String, (Topic, u64)> = BTreeMap::new();
    for (text, found) in senders.join_all().await.into_iter().flatten() {
        let first = places.entry(text.clone()).or_insert_with(|| found.clone());
        assert_eq!(*first, found, "two places of {text}");
    }
    assert_eq!(places.len(), NONCES);
    let mut stored = Vec::new();
    for topic in (0..SENDERS).map(|sender| room(&format!("room {sender}"))).chain([room("all")]) {
        let page = place.all(&topic).await;
        assert!(page.entries.iter().map(|entry| entry.seq).eq(1..=page.last));
        stored.extend(page.entries.iter().map(|entry| entry.body.text().to_owned()));
    }
    stored.sort();
    assert!(stored.iter().eq(places.keys()), "{stored:?}");
    assert_eq!(deadlocks(place).await, 0);
}

/// Batches over the same topics in all orders, some of them new: whoever waits
/// waits for one that is further on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_in_parallel_count_without_a_hole_and_never_lock_each_other_out() {
    const WRITERS: usize = 8;
    const BATCHES: usize = 25;
    let Some(place) = Place::postgres().await else { return };
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let log = Arc::clone(&place.stores.log);
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
                    .map(|(index, topic)| draft(topic, "alice", &text).nonce(&format!("{text}/{index}")))
                    .collect();
                let commit = log.append(&drafts, 1).await.unwrap();
                assert_eq!(commit.entries.len(), drafts.len());
            }
        });
    }
    writers.join_all().await;
    for topic in ["a", "b", "c", "d"] {
        let page = place.all(&room(topic)).await;
        assert!(page.entries.iter().map(|entry| entry.seq).eq(1..=(WRITERS * BATCHES) as u64));
        // The order of each writer is that of its batches.
        for writer in 0..WRITERS {
            let prefix = format!("{writer}/");
            let mine: Vec<usize> =
                said(&page).iter().filter_map(|text| text.strip_prefix(&prefix)?.parse().ok()).collect();
            assert!(mine.iter().copied().eq(0..BATCHES), "{mine:?}");
        }
    }
    for batch in 0..BATCHES {
        assert_eq!(place.all(&room(&format!("new {batch}"))).await.last, WRITERS as u64);
    }
    assert_eq!(deadlocks(place).await, 0);
}

/// How often the server had to end a transaction so that another could go on.
/// The store would have tried again, so that only the server knows.
async fn deadlocks(place: Place) -> i64 {
    let mut program = other_program(&place).await;
    // A connection tells what it has counted when it ends.
    place.stores.close().await;
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
    let Some(place) = Place::postgres().await else { return };
    let log = &place.stores.log;
    assert_eq!(log.lanes(), 4);
    let kitchen = room("kitchen");
    let elsewhere = (0..100).map(|index| room(&format!("room {index}")));
    let other = elsewhere.into_iter().find(|topic| log.lane(topic) != log.lane(&kitchen)).unwrap();
    place.append(&[draft(&kitchen, "alice", "a"), draft(&other, "alice", "b")], 1).await;

    let mut program = other_program(&place).await;
    run(&mut program, "BEGIN; SELECT FROM topics WHERE name = 'kitchen' FOR UPDATE").await;
    let blocked_drafts = [draft(&kitchen, "alice", "c")];
    let mut blocked = pin!(log.append(&blocked_drafts, 1));
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut blocked).await.is_err());
    let free = [draft(&other, "alice", "d")];
    let passed = tokio::time::timeout(Duration::from_millis(500), log.append(&free, 1)).await;
    assert_eq!(passed.unwrap().unwrap().receipts.len(), 1);
    run(&mut program, "ROLLBACK").await;
    blocked.await.unwrap();
    assert_eq!(said(&place.all(&kitchen).await), ["a", "c"]);
}

/// A batch that touches every table.
fn batch(nonce: &str) -> Vec<Draft> {
    vec![
        draft(&room("kitchen"), "alice", nonce),
        draft(&room("kitchen"), "alice", nonce).nonce(nonce),
        draft(&room("garden"), "alice", nonce).nonce(&format!("{nonce}'")),
    ]
}

#[tokio::test]
async fn a_statement_that_fails_stores_nothing_and_is_not_tried_again() {
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
        let Some(place) = Place::postgres().await else { return };
        place.append(&batch("before"), 1).await;
        run(&mut other_program(&place).await, failure).await;
        let start = Instant::now();
        let failed = place.stores.log.append(&batch("lost"), 2).await;
        assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failed:?}");
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert_eq!(place.append(&batch("after"), 3).await[0], Outcome::Stored { seq: 3, at_ms: 3 });
        assert_eq!(said(&place.all(&room("kitchen")).await), ["before", "before", "after", "after"]);
    }
}

/// Drops a future that is not done after it was polled that often. It is polled
/// when the server has answered something.
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
    // In this thread: no answer is there before the one who waits for it was
    // polled, however quick the server is.
    let proxy = Proxy::before(&database).await;
    let place = Place::behind(&proxy, database).await;
    let (kitchen, garden) = (room("kitchen"), room("garden"));
    place.append(&batch("first"), 1).await;
    let mut dropped = 0;
    for round in 0..60_u32 {
        let nonce = format!("{round}");
        let polls = round % 30;
        if give_up_after(polls, place.stores.log.append(&batch(&nonce), 1)).await.is_none() {
            dropped += 1;
        }
        place.append(&[draft(&kitchen, "bob", "next")], 1).await;
        let (in_kitchen, in_garden) = (place.all(&kitchen).await, place.all(&garden).await);
        for page in [&in_kitchen, &in_garden] {
            assert!(page.entries.iter().map(|e| e.seq).eq(1..=page.last), "after {polls} polls");
        }
        // All of it or nothing; the retry tells which.
        let count = |page| said(page).iter().filter(|text| **text == nonce).count();
        assert_eq!(count(&in_kitchen), count(&in_garden) * 2, "after {polls} polls");
        let retry = place.append(&batch(&nonce)[1..], 2).await;
        let stored = retry.iter().filter(|outcome| matches!(outcome, Outcome::Stored { .. })).count();
        assert_eq!(stored, if count(&in_garden) == 1 { 0 } else { 2 }, "after {polls} polls");
    }
    assert!(dropped >= 16, "{dropped} is less than twice what an append has statements");
}

#[tokio::test]
async fn it_says_when_the_server_only_reads() {
    let Some(database) = TestDatabase::migrated() else { return };
    let stores = Stores::open(&database.url).await.unwrap();
    stores.log.check().await.unwrap();
    stores.close().await;
    let url = format!("{}&options=-c%20default_transaction_read_only%3Don", database.text);
    let url = chat_store::DatabaseUrl::parse(&url).unwrap();
    // It cannot even make a name for its numbering, unless there is one.
    let stores = Stores::open(&url).await.unwrap();
    let refused = stores.log.check().await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused}");
}
