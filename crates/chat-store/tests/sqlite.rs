//! What holds for a store in a file, beside the contract: it stays, it belongs
//! to one server, and failures leave it whole.

// Clippy takes only `#[test]` functions for tests, not what they call.
#![allow(clippy::unwrap_used)]

mod common;

use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use chat_core::{Draft, Outcome};
use chat_store::{DatabaseUrl, EventLog, SqliteOptions, SqliteStore, StoreError, Stores, migrations};
use common::{ALL, Place, WithNonce as _, draft, name, pair, private, room, said, session};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

/// The newest schema.
const NEWEST: i64 = 6;

/// Another program with the same file.
async fn other_program(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

async fn run(program: &mut SqliteConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(program).await.unwrap();
}

fn message(error: &StoreError) -> String {
    error.to_string()
}

async fn refusal(path: &Path) -> StoreError {
    match SqliteStore::open(path, SqliteOptions::default()).await {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let place = Place::sqlite().await;
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
    assert_ne!(Place::sqlite().await.stores.log.epoch(), epoch);
}

#[tokio::test]
async fn a_second_server_is_refused() {
    let place = Place::sqlite().await;
    let in_use = format!("the database {} is in use by another server", place.path().display());
    assert_eq!(message(&refusal(&place.path()).await), in_use);
    let url = DatabaseUrl::Sqlite(place.path());
    assert!(matches!(migrations::up(&url).await, Err(StoreError::InUse { .. })));
    assert!(matches!(migrations::down(&url).await, Err(StoreError::InUse { .. })));
    #[cfg(unix)]
    {
        let link = place.path().with_file_name("link.db");
        std::os::unix::fs::symlink(place.path(), &link).unwrap();
        assert_eq!(message(&refusal(&link).await), in_use);
    }
    // Looking is fine, and so is the next server once this one has closed.
    assert!(migrations::status(&url).await.unwrap().iter().all(|step| step.applied));
    place.append(&[draft(&room("kitchen"), "alice", "a")], 1).await;
    place.reopened().await;
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let place = Place::sqlite().await;
    let stores = place.stores.clone();
    place.stores.close().await;
    let draft = draft(&room("kitchen"), "alice", "a");
    let refused = stores.log.append(std::slice::from_ref(&draft), 1).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    assert!(stores.log.page(&draft.topic, chat_core::PageFrom::Latest, ALL).await.is_err());
    assert!(stores.log.check().await.is_err());
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash() {
    let place = Place::sqlite().await;
    let kitchen = room("kitchen");
    for text in ["a", "b", "c"] {
        place.append(&[draft(&kitchen, "alice", text)], 1).await;
    }
    // What a power cut leaves: the files as they are, without a goodbye.
    let after = tempfile::tempdir().unwrap();
    for file in ["chat.db", "chat.db-wal"] {
        std::fs::copy(place.path().with_file_name(file), after.path().join(file)).unwrap();
    }
    let url = DatabaseUrl::Sqlite(after.path().join("chat.db"));
    let stores = Stores::open(&url).await.unwrap();
    let page = stores.log.page(&kitchen, chat_core::PageFrom::Latest, ALL).await.unwrap();
    assert_eq!(said(&page), ["a", "b", "c"]);
    assert_eq!(stores.log.epoch(), place.stores.log.epoch());
    stores.close().await;
}

/// A batch that touches every table.
fn batch(nonce: &str) -> Vec<Draft> {
    vec![
        draft(&room("kitchen"), "alice", nonce),
        draft(&room("kitchen"), "alice", nonce).nonce(nonce),
        draft(&room("garden"), "alice", nonce).nonce(&format!("{nonce}'")),
    ]
}

async fn nothing_is_stored_then_it_recovers(failure: &'static str) {
    let place = Place::sqlite().await;
    place.append(&batch("before"), 1).await;
    let mut program = other_program(&place.path()).await;
    run(&mut program, failure).await;

    let failed = place.stores.log.append(&batch("lost"), 5).await;
    assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failure}: {failed:?}");
    assert_eq!(place.all(&room("kitchen")).await.last, 2, "{failure}");
    assert_eq!(place.all(&room("garden")).await.last, 1, "{failure}");
    // The very next write finds the file free and the connection usable.
    run(&mut program, "DROP TRIGGER failure").await;

    let stored = |seq| Outcome::Stored { seq, at_ms: 3 };
    assert_eq!(place.append(&batch("lost"), 3).await, [stored(3), stored(4), stored(2)], "{failure}");
    assert_eq!(said(&place.all(&room("kitchen")).await), ["before", "before", "lost", "lost"]);
    program.close().await.unwrap();
    place.reopened().await;
}

#[tokio::test]
async fn a_failing_statement_stores_nothing() {
    for failure in [
        "CREATE TRIGGER failure BEFORE INSERT ON topics BEGIN SELECT RAISE(ABORT, 'first step'); END;
         CREATE TRIGGER failure2 BEFORE UPDATE ON topics WHEN NEW.last_at = 5
            BEGIN SELECT RAISE(ABORT, 'first step'); END;",
        "CREATE TRIGGER failure BEFORE INSERT ON entries WHEN NEW.nonce = 'lost'
            BEGIN SELECT RAISE(ABORT, 'in the middle of a statement'); END",
        // Leaves what the statement did before it failed.
        "CREATE TRIGGER failure BEFORE INSERT ON nonces WHEN NEW.nonce = 'lost'''
            BEGIN SELECT RAISE(FAIL, 'last step'); END",
        // As for a full disk, SQLite itself ends the transaction.
        "CREATE TRIGGER failure BEFORE INSERT ON nonces WHEN NEW.nonce = 'lost'''
            BEGIN SELECT RAISE(ROLLBACK, 'disk full'); END",
    ] {
        nothing_is_stored_then_it_recovers(failure).await;
    }
}

#[tokio::test]
async fn a_failing_commit_stores_nothing() {
    // A constraint that is checked at the end, and leaves the transaction open.
    nothing_is_stored_then_it_recovers(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER failure AFTER INSERT ON entries WHEN NEW.text = 'lost'
            BEGIN INSERT INTO child VALUES (1); END;",
    )
    .await;
}

#[tokio::test]
async fn a_file_that_is_locked_for_long_is_unavailable_for_as_long() {
    let place = Place::sqlite().await;
    let path = place.path();
    place.stores.clone().close().await;
    let options = SqliteOptions { busy_timeout: Duration::from_millis(50), ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, options).await.unwrap();
    let mut program = other_program(&path).await;
    run(&mut program, "BEGIN IMMEDIATE").await;
    let failed = store.append(&batch("a"), 1).await;
    assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failed:?}");
    assert!(store.check().await.is_err());
    // Reading goes on.
    assert_eq!(store.page(&room("kitchen"), chat_core::PageFrom::Latest, ALL).await.unwrap().last, 0);
    run(&mut program, "ROLLBACK").await;
    store.append(&batch("a"), 1).await.unwrap();
    store.check().await.unwrap();
    store.close().await;
}

/// Polls a future without rest, and drops it after that time.
async fn give_up_after<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let start = Instant::now();
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending if start.elapsed() >= time => Poll::Ready(None),
        Poll::Pending => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn an_append_dropped_at_any_moment_leaves_the_store_working() {
    let place = Place::sqlite().await;
    let (kitchen, garden) = (room("kitchen"), room("garden"));
    let start = Instant::now();
    place.append(&batch("whole"), 1).await;
    let whole = start.elapsed();
    let mut dropped = 0;
    for round in 0..60 {
        let nonce = format!("{round}");
        let patience = whole * round / 40;
        if give_up_after(patience, place.stores.log.append(&batch(&nonce), 1)).await.is_none() {
            dropped += 1;
        }
        place.append(&[draft(&kitchen, "bob", "next")], 1).await;
        let (in_kitchen, in_garden) = (place.all(&kitchen).await, place.all(&garden).await);
        for page in [&in_kitchen, &in_garden] {
            assert!(page.entries.iter().map(|e| e.seq).eq(1..=page.last), "after {patience:?}");
        }
        // All of it or nothing; the retry tells which.
        let count = |page| said(page).iter().filter(|text| **text == nonce).count();
        assert_eq!(count(&in_kitchen), count(&in_garden) * 2, "after {patience:?}");
        let retry = place.append(&batch(&nonce)[1..], 2).await;
        let stored = retry.iter().filter(|outcome| matches!(outcome, Outcome::Stored { .. })).count();
        assert_eq!(stored, if count(&in_garden) == 1 { 0 } else { 2 }, "after {patience:?}");
    }
    assert!(dropped >= 6, "{dropped} is less than an append has statements");
    place.reopened().await;
}

#[tokio::test]
async fn an_append_dropped_while_it_waits_leaves_the_store_working() {
    let place = Place::sqlite().await;
    let mut program = other_program(&place.path()).await;
    run(&mut program, "BEGIN IMMEDIATE").await;
    let waiting = batch("a");
    let append = place.stores.log.append(&waiting, 1);
    assert!(tokio::time::timeout(Duration::from_millis(50), append).await.is_err());
    run(&mut program, "COMMIT").await;
    let first = Outcome::Stored { seq: 1, at_ms: 2 };
    assert_eq!(place.append(&batch("b"), 2).await[0], first);
    assert_eq!(said(&place.all(&room("kitchen")).await), ["b", "b"]);
}

#[tokio::test]
async fn what_cannot_be_opened_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);

    let directory = refusal(folder.path()).await;
    assert!(message(&directory).ends_with(": it is a directory"), "{directory}");
    let nowhere = refusal(&path("missing/chat.db")).await;
    assert!(message(&nowhere).contains("its folder: No such file"), "{nowhere}");
    std::fs::write(path("file"), "").unwrap();
    let below_a_file = refusal(&path("file/chat.db")).await;
    assert!(message(&below_a_file).contains(": Not a directory"), "{below_a_file}");
    let unnamed = refusal(Path::new("..")).await;
    assert!(matches!(unnamed, StoreError::CannotOpen { .. }), "{unnamed}");

    let notes = "Dear diary, ".repeat(1000);
    std::fs::write(path("notes.txt"), &notes).unwrap();
    let not_ours = refusal(&path("notes.txt")).await;
    assert_eq!(message(&not_ours), format!("{} is not a database of this chat", path("notes.txt").display()));
    assert_eq!(std::fs::read_to_string(path("notes.txt")).unwrap(), notes);
}

#[tokio::test]
async fn another_programs_database_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for (file, tables) in [
        ("plain.db", "CREATE TABLE songs (id INTEGER)"),
        (
            "sqlx.db",
            "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, checksum BLOB);
             INSERT INTO _sqlx_migrations VALUES (1, 'songs', x'00')",
        ),
    ] {
        let path = folder.path().join(file);
        let mut program = other_program(&path).await;
        run(&mut program, tables).await;
        program.close().await.unwrap();
        let before = std::fs::read(&path).unwrap();
        let refused = refusal(&path).await;
        assert!(matches!(refused, StoreError::NotOurs { .. }), "{refused}");
        assert!(matches!(
            migrations::status(&DatabaseUrl::Sqlite(path.clone())).await,
            Err(StoreError::NotOurs { .. })
        ));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[tokio::test]
async fn a_newer_schema_is_left_to_a_newer_server() {
    let place = Place::sqlite().await;
    let path = place.path();
    place.stores.clone().close().await;
    let mut program = other_program(&path).await;
    run(
        &mut program,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9, 'reactions', TRUE, x'00', 0)",
    )
    .await;
    program.close().await.unwrap();
    let newer = format!(
        "the database {} has schema 9, this version knows up to {NEWEST}: it needs a newer server",
        path.display()
    );
    assert_eq!(message(&refusal(&path).await), newer);
    let url = DatabaseUrl::Sqlite(path);
    assert_eq!(message(&migrations::up(&url).await.unwrap_err()), newer);
    assert_eq!(message(&migrations::down(&url).await.unwrap_err()), newer);
    let steps = migrations::status(&url).await.unwrap();
    assert_eq!(
        steps.last().map(|step| (step.version, step.name.as_str(), step.applied)),
        Some((9, "reactions", true))
    );
}

#[tokio::test]
async fn a_step_that_was_changed_afterwards_is_noticed() {
    let place = Place::sqlite().await;
    let path = place.path();
    place.stores.clone().close().await;
    let mut program = other_program(&path).await;
    run(&mut program, "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 2").await;
    program.close().await.unwrap();
    let refused = refusal(&path).await;
    assert!(message(&refused).ends_with("its migration 2 is not the one of this version"), "{refused}");
}

#[tokio::test]
async fn the_schema_goes_up_and_down() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(folder.path().join("chat.db"));
    let applied = async || {
        let steps = migrations::status(&url).await.unwrap();
        steps.into_iter().map(|step| (step.version, step.applied)).collect::<Vec<_>>()
    };
    let first = |count| (1..=NEWEST).map(|version| (version, version <= count)).collect::<Vec<_>>();
    assert_eq!(applied().await, first(0));
    assert_eq!(migrations::down(&url).await.unwrap(), None);
    assert!(!folder.path().join("chat.db").exists());

    let steps =
        [(5, "retention"), (4, "conversations"), (3, "sessions"), (2, "names"), (1, "log"), (0, "accounts")];
    for _ in 0..2 {
        migrations::up(&url).await.unwrap();
        assert_eq!(applied().await, first(NEWEST));
        for (left, name) in steps {
            assert_eq!(migrations::down(&url).await.unwrap().map(|step| step.name), Some(name.into()));
            assert_eq!(applied().await, first(left));
        }
        assert_eq!(migrations::down(&url).await.unwrap(), None);
    }
    // Nothing is left behind by the ways back.
    let mut program = other_program(&folder.path().join("chat.db")).await;
    let left = sqlx::query(
        "SELECT group_concat(name) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
    )
    .fetch_one(&mut program)
    .await
    .unwrap();
    assert_eq!(left.get::<&str, _>(0), "_sqlx_migrations");

    assert_eq!(migrations::status(&DatabaseUrl::Memory).await.unwrap(), []);
    migrations::up(&DatabaseUrl::Memory).await.unwrap();
    assert_eq!(migrations::down(&DatabaseUrl::Memory).await.unwrap(), None);
}

#[tokio::test]
async fn accounts_that_came_about_elsewhere_keep_their_names_to_themselves() {
    let place = Place::sqlite().await;
    place.account("carol").await;
    place.stores.clone().close().await;
    let mut program = other_program(&place.path()).await;
    // By hand, before names were kept, and by the rules of another version.
    run(
        &mut program,
        "INSERT INTO users (username, password_hash, created_at) VALUES
             ('alice', 'x', 1), ('Alice', 'x', 1), ('b	b ', 'x', 1);
         UPDATE names SET cased = 'old', folded = 'old', rules = 1",
    )
    .await;
    program.close().await.unwrap();
    let place = place.reopened().await;
    for person in ["alice", "Alice", "b	b "] {
        assert!(place.stores.users.find_user(&name(person)).await.unwrap().is_some());
    }
    for alike in ["ALICE", "аlice", "B b", "Саrol"] {
        let refused = place.stores.users.check_new_name(&name(alike)).await;
        assert!(matches!(refused, Err(StoreError::NameLooksTaken)), "{alike}: {refused:?}");
    }
    place.stores.users.check_new_name(&name("old")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_start_at_once_one_gets_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(folder.path().join("chat.db"));
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = url.clone();
        starts.spawn(async move { Stores::open(&url).await });
    }
    let (opened, refused): (Vec<_>, Vec<_>) = starts.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(opened.len(), 1);
    for refusal in refused.into_iter().filter_map(Result::err) {
        assert!(matches!(refusal, StoreError::InUse { .. }), "{refusal}");
    }
    for stores in opened.into_iter().flatten() {
        stores.log.append(&[draft(&room("kitchen"), "alice", "a")], 1).await.unwrap();
        stores.close().await;
    }
    // The same for two that only migrate: who comes too late may come again.
    let mut migrations = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = DatabaseUrl::Sqlite(folder.path().join("migrated.db"));
        migrations.spawn(async move {
            while let Err(refusal) = migrations::up(&url).await {
                assert!(matches!(refusal, StoreError::InUse { .. }), "{refusal}");
                tokio::task::yield_now().await;
            }
            migrations::status(&url).await.unwrap()
        });
    }
    for steps in migrations.join_all().await {
        assert!(steps.iter().all(|step| step.applied));
    }
}
