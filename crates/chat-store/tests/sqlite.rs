//! What an SQLite store does beyond the contract: one process has the file, and
//! failures and crashes leave it consistent.

// Clippy takes only `#[test]` functions for tests, not what they call.
#![allow(clippy::unwrap_used)]

mod common;

use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use chat_core::{Outcome, SearchScope, SearchedWords};
use chat_store::{
    DatabaseUrl, EventLog, SearchQuery, SqliteOptions, SqliteStore, StoreError, Stores, migrations,
};
use common::{ALL, TestStore, batch, delete, draft, edit, name, room, texts};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

/// The newest schema.
const NEWEST: i64 = 22;

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
async fn a_second_server_is_refused() {
    let store = TestStore::sqlite().await;
    let in_use = format!("the database {} is in use by another server or command", store.path().display());
    assert_eq!(message(&refusal(&store.path()).await), in_use);
    let url = DatabaseUrl::Sqlite(store.path());
    assert!(matches!(migrations::up(&url).await, Err(StoreError::InUse { .. })));
    assert!(matches!(migrations::down(&url).await, Err(StoreError::InUse { .. })));
    #[cfg(unix)]
    {
        let link = store.path().with_file_name("link.db");
        std::os::unix::fs::symlink(store.path(), &link).unwrap();
        assert_eq!(message(&refusal(&link).await), in_use);
    }
    // The status can be read meanwhile, and the next server can start after this one.
    assert!(migrations::status(&url).await.unwrap().iter().all(|step| step.applied));
    store.append(&[draft(&room("kitchen"), "alice", "a")], 1).await;
    store.reopened().await;
}

/// The folder is named only where no file can be written in it.
#[tokio::test]
async fn a_file_that_cannot_be_opened_is_named() {
    for ending in ["", ".lock"] {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().canonicalize().unwrap().join("chat.db");
        let file = folder.path().join(format!("chat.db{ending}"));
        // Nobody can open it, not even root: its target's folder does not exist.
        std::os::unix::fs::symlink("missing/target", &file).unwrap();
        let sentence = message(&refusal(&database).await);
        assert!(!sentence.contains("no file can be written"), "{sentence}");
        assert!(sentence.contains(&format!("chat.db{ending}: ")), "{sentence}");
    }
}

/// What the search finds after the index was brought up to date.
async fn search_cake(store: &TestStore) -> usize {
    while store.search.index_some(10).await.unwrap().has_more {}
    let query = SearchQuery {
        words: SearchedWords::parse("cake").unwrap(),
        scope: SearchScope::All,
        from: None,
        before: None,
        limit: 50,
    };
    store.search.search(&name("alice"), &query).await.unwrap().messages.len()
}

#[tokio::test]
async fn an_index_of_the_search_that_is_missing_or_damaged_is_made_anew() {
    let mut store = TestStore::sqlite().await;
    let texts: Vec<_> = (0..40).map(|_| draft(&room("kitchen"), "alice", &"cake ".repeat(50))).collect();
    store.append(&texts, 1).await;
    let index = store.path().with_file_name("chat.search.db");
    for damage in ["nothing", "missing", "garbage", "half", "one page", "only a header", "a dangling link"] {
        assert_eq!(search_cake(&store).await, 40, "before {damage}");
        let (url, kept) = store.closed().await;
        let bytes = std::fs::read(&index).unwrap();
        assert!(bytes.len() > 16_384);
        match damage {
            "missing" => std::fs::remove_file(&index).unwrap(),
            "garbage" => std::fs::write(&index, "not a database ".repeat(1_000)).unwrap(),
            "half" => std::fs::write(&index, &bytes[..bytes.len() / 2]).unwrap(),
            "one page" => std::fs::write(&index, &bytes[..4_096]).unwrap(),
            "only a header" => std::fs::write(&index, &bytes[..100]).unwrap(),
            "a dangling link" => {
                std::fs::remove_file(&index).unwrap();
                std::os::unix::fs::symlink("missing/target", &index).unwrap();
            }
            _ => {}
        }
        store = TestStore::open_kept(url, kept).await;
    }
    assert_eq!(search_cake(&store).await, 40);
    // Nothing of a damaged index is kept: it has words of messages.
    let files = std::fs::read_dir(index.parent().unwrap()).unwrap();
    assert!(!files.flatten().any(|file| file.file_name().to_string_lossy().contains(".before-")));
}

/// The file has its full length and a sound beginning, so that the start sees nothing.
#[tokio::test]
async fn an_index_of_the_search_that_is_damaged_in_the_middle_is_made_anew() {
    for is_searched_first in [true, false] {
        let mut store = TestStore::sqlite().await;
        let index = store.path().with_file_name("chat.search.db");
        let count = 600;
        for batch in 0..count / 50 {
            let text = |number| format!("cake {} w{}", "crumbs ".repeat(20), batch * 50 + number);
            let drafts: Vec<_> =
                (0..50).map(|number| draft(&room("kitchen"), "alice", &text(number))).collect();
            store.append(&drafts, batch * 1000).await;
        }
        assert_eq!(search_cake(&store).await, 50);
        let (url, kept) = store.closed().await;
        let mut bytes = std::fs::read(&index).unwrap();
        assert!(bytes.len() > 30 * 4_096);
        let end = bytes.len() - 4_096;
        bytes[4 * 4_096..end].fill(0xA5);
        std::fs::write(&index, bytes).unwrap();
        store = TestStore::open_kept(url, kept).await;
        if is_searched_first {
            let query = SearchQuery {
                words: SearchedWords::parse("cake").unwrap(),
                scope: SearchScope::All,
                from: None,
                before: None,
                limit: 50,
            };
            assert!(store.search.search(&name("alice"), &query).await.is_err());
            // The background task is woken.
            tokio::time::timeout(Duration::from_secs(20), store.search.committed()).await.unwrap();
        } else {
            let changes =
                [edit(&room("kitchen"), "alice", 300, "bread"), draft(&room("kitchen"), "alice", "x")];
            store.append(&changes, 1_000_000).await;
        }
        let (mut was_damaged, mut messages) = (0, 0);
        loop {
            let step = store.search.index_some(100).await.unwrap();
            was_damaged += u64::from(step.was_damaged);
            messages += step.messages;
            if !step.has_more {
                break;
            }
        }
        assert_eq!(was_damaged, 1);
        assert!(messages >= count, "{messages}");
        assert_eq!(search_cake(&store).await, 50);
        let (_, kept) = store.closed().await;
        assert!(!std::fs::read(&index).unwrap().windows(4_096).any(|bytes| bytes == [0xA5; 4_096]));
        drop(kept);
    }
}

/// A topic with an entry that cannot be read holds up no other topic.
#[tokio::test]
async fn a_damaged_entry_is_left_out_of_the_index_of_the_search() {
    let store = TestStore::sqlite().await;
    for number in 0..5 {
        let here = room(&format!("room{number}"));
        store.append(&[draft(&here, "alice", "cake"), draft(&here, "alice", "cake")], 1 + number).await;
    }
    let path = store.path();
    let (url, kept) = store.closed().await;
    let mut program = other_program(&path).await;
    run(&mut program, "UPDATE entries SET sender = '' WHERE topic = 2 AND seq = 1").await;
    program.close().await.unwrap();
    std::fs::remove_file(path.with_file_name("chat.search.db")).unwrap();
    let store = TestStore::open_kept(url, kept).await;
    assert_eq!(search_cake(&store).await, 8);
    // New messages of other rooms, and what was taken back.
    let changes = [draft(&room("room4"), "alice", "cake"), delete(&room("room3"), "alice", 1)];
    store.append(&changes, 1000).await;
    assert_eq!(search_cake(&store).await, 8);
    assert!(!store.search.index_some(10).await.unwrap().has_more);
}

#[tokio::test]
async fn what_is_in_the_place_of_the_index_of_the_search_is_kept() {
    let store = TestStore::sqlite().await;
    store.append(&[draft(&room("kitchen"), "alice", "cake")], 1).await;
    let index = store.path().with_file_name("chat.search.db");
    let (url, kept) = store.closed().await;
    std::fs::remove_file(&index).unwrap();
    let mut program = other_program(&index).await;
    run(&mut program, "CREATE TABLE meta (key TEXT, value TEXT); INSERT INTO meta VALUES ('a', 'b')").await;
    program.close().await.unwrap();
    let before = std::fs::read(&index).unwrap();
    let store = TestStore::open_kept(url, kept).await;
    assert_eq!(search_cake(&store).await, 1);
    let (url, kept) = store.closed().await;
    std::fs::remove_file(&index).unwrap();
    std::fs::create_dir(&index).unwrap();
    let store = TestStore::open_kept(url, kept).await;
    assert_eq!(search_cake(&store).await, 1);
    let files = std::fs::read_dir(index.parent().unwrap()).unwrap().flatten();
    let kept: Vec<_> =
        files.map(|file| file.path()).filter(|path| path.to_string_lossy().contains(".before-")).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    let file = kept.iter().find(|path| path.is_file()).unwrap();
    assert!(std::fs::read(file).unwrap() == before);
}

/// A command that runs as root, on the database of another user.
#[tokio::test]
async fn the_index_of_the_search_belongs_to_the_owner_of_the_database() {
    use std::os::unix::fs::{MetadataExt as _, chown};

    let store = TestStore::sqlite().await;
    let index = store.path().with_file_name("chat.search.db");
    let path = store.path();
    let (url, kept) = store.closed().await;
    // Only root can give files away.
    if chown(&path, Some(4_321), Some(4_321)).is_err() {
        return;
    }
    std::fs::remove_file(&index).unwrap();
    let store = TestStore::open_kept(url, kept).await;
    assert_eq!(search_cake(&store).await, 0);
    for ending in ["", "-wal", "-shm", ".lock"] {
        let file = std::fs::metadata(format!("{}{ending}", index.display())).unwrap();
        assert_eq!((file.uid(), file.gid()), (4_321, 4_321), "{ending}");
    }
}

#[tokio::test]
async fn acknowledged_entries_survive_a_crash() {
    let store = TestStore::sqlite().await;
    let kitchen = room("kitchen");
    for text in ["a", "b", "c"] {
        store.append(&[draft(&kitchen, "alice", text)], 1).await;
    }
    // A power cut leaves the files as they are at one moment.
    let after = tempfile::tempdir().unwrap();
    for file in ["chat.db", "chat.db-wal"] {
        std::fs::copy(store.path().with_file_name(file), after.path().join(file)).unwrap();
    }
    let url = DatabaseUrl::Sqlite(after.path().join("chat.db"));
    let stores = Stores::open(&url).await.unwrap();
    let page = stores.log.page(&kitchen, chat_core::PageFrom::Latest, ALL).await.unwrap();
    assert_eq!(texts(&page), ["a", "b", "c"]);
    assert_eq!(stores.log.epoch(), store.log.epoch());
    stores.close().await;
}

async fn check_that_a_failure_stores_nothing(failure: &'static str) {
    let store = TestStore::sqlite().await;
    store.append(&batch("before"), 1).await;
    let mut program = other_program(&store.path()).await;
    run(&mut program, failure).await;

    let failed = store.log.append(&batch("lost"), 5).await;
    assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failure}: {failed:?}");
    assert_eq!(store.all(&room("kitchen")).await.last, 2, "{failure}");
    assert_eq!(store.all(&room("garden")).await.last, 1, "{failure}");
    // The next write finds the file unlocked and the connection usable.
    run(&mut program, "DROP TRIGGER failure").await;

    let stored = |seq| Outcome::Stored { seq, at_ms: 3 };
    assert_eq!(store.append(&batch("lost"), 3).await, [stored(3), stored(4), stored(2)], "{failure}");
    assert_eq!(texts(&store.all(&room("kitchen")).await), ["before", "before", "lost", "lost"]);
    program.close().await.unwrap();
    store.reopened().await;
}

#[tokio::test]
async fn a_failing_statement_stores_nothing() {
    for failure in [
        "CREATE TRIGGER failure BEFORE INSERT ON topics BEGIN SELECT RAISE(ABORT, 'first step'); END;
         CREATE TRIGGER failure2 BEFORE UPDATE ON topics WHEN NEW.last_at = 5
            BEGIN SELECT RAISE(ABORT, 'first step'); END;",
        "CREATE TRIGGER failure BEFORE INSERT ON entries WHEN NEW.nonce = 'lost'
            BEGIN SELECT RAISE(ABORT, 'in the middle of a statement'); END",
        // FAIL keeps what the statement did before it failed.
        "CREATE TRIGGER failure BEFORE INSERT ON nonces WHEN NEW.nonce = 'lost'''
            BEGIN SELECT RAISE(FAIL, 'last step'); END",
        // As on a full disk, SQLite itself rolls the transaction back.
        "CREATE TRIGGER failure BEFORE INSERT ON nonces WHEN NEW.nonce = 'lost'''
            BEGIN SELECT RAISE(ROLLBACK, 'disk full'); END",
    ] {
        check_that_a_failure_stores_nothing(failure).await;
    }
}

#[tokio::test]
async fn a_failing_commit_stores_nothing() {
    // A deferred constraint fails at COMMIT and leaves the transaction open.
    check_that_a_failure_stores_nothing(
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER failure AFTER INSERT ON entries WHEN NEW.text = 'lost'
            BEGIN INSERT INTO child VALUES (1); END;",
    )
    .await;
}

#[tokio::test]
async fn a_file_locked_by_another_program_is_unavailable_until_it_is_unlocked() {
    let store = TestStore::sqlite().await;
    let path = store.path();
    store.stores.clone().close().await;
    let options = SqliteOptions { busy_timeout: Duration::from_secs(1), ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, options).await.unwrap();
    let mut program = other_program(&path).await;
    run(&mut program, "BEGIN IMMEDIATE").await;
    let failed = store.append(&batch("a"), 1).await;
    let Err(StoreError::Unavailable { source }) = failed else { panic!("{failed:?}") };
    let cause = format!("{}: another process has locked the file", path.canonicalize().unwrap().display());
    assert_eq!(source.to_string(), cause);
    assert!(store.check().await.is_err());
    // Reads still work.
    assert_eq!(store.page(&room("kitchen"), chat_core::PageFrom::Latest, ALL).await.unwrap().last, 0);
    run(&mut program, "ROLLBACK").await;
    store.append(&batch("a"), 1).await.unwrap();
    store.check().await.unwrap();
    store.close().await;
}

/// Polls a future without pause, and drops it after `time`.
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
    let store = TestStore::sqlite().await;
    let mut dropped = 0;
    for round in 0..60 {
        let start = Instant::now();
        store.append(&batch(&format!("whole {round}")), 1).await;
        let whole = start.elapsed();
        let nonce = format!("{round}");
        let drafts = batch(&nonce);
        let limit = whole * round / 40;
        let is_dropped = store.append_dropped(&nonce, &drafts, |append| give_up_after(limit, append)).await;
        dropped += u32::from(is_dropped);
    }
    assert!(dropped >= 6, "{dropped} is less than an append has statements");
    store.reopened().await;
}

#[tokio::test]
async fn an_append_dropped_while_it_waits_for_a_lock_leaves_the_store_working() {
    let store = TestStore::sqlite().await;
    let mut program = other_program(&store.path()).await;
    run(&mut program, "BEGIN IMMEDIATE").await;
    let waiting = batch("a");
    let append = store.log.append(&waiting, 1);
    assert!(tokio::time::timeout(Duration::from_millis(50), append).await.is_err());
    run(&mut program, "COMMIT").await;
    let first = Outcome::Stored { seq: 1, at_ms: 2 };
    assert_eq!(store.append(&batch("b"), 2).await[0], first);
    assert_eq!(texts(&store.all(&room("kitchen")).await), ["b", "b"]);
}

#[tokio::test]
async fn a_refusal_to_open_names_the_file_and_the_cause() {
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
async fn a_database_of_another_program_is_left_as_it_is() {
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
async fn a_newer_schema_is_refused() {
    let store = TestStore::sqlite().await;
    let path = store.path();
    store.stores.clone().close().await;
    let mut program = other_program(&path).await;
    run(
        &mut program,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (1000, 'later', TRUE, x'00', 0)",
    )
    .await;
    program.close().await.unwrap();
    let newer = format!(
        "the database {} has schema 1000, this version knows up to {NEWEST}: it needs a newer server",
        path.display()
    );
    assert_eq!(message(&refusal(&path).await), newer);
    let url = DatabaseUrl::Sqlite(path);
    assert_eq!(message(&migrations::up(&url).await.unwrap_err()), newer);
    assert_eq!(message(&migrations::down(&url).await.unwrap_err()), newer);
    let steps = migrations::status(&url).await.unwrap();
    assert_eq!(
        steps.last().map(|step| (step.version, step.name.as_str(), step.applied)),
        Some((1000, "later", true))
    );
}

#[tokio::test]
async fn a_changed_migration_is_refused() {
    let store = TestStore::sqlite().await;
    let path = store.path();
    store.stores.clone().close().await;
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

    let steps = [
        (21, "barrier"),
        (20, "bus"),
        (19, "shared"),
        (18, "feed"),
        (17, "push_shares"),
        (16, "outgoing"),
        (15, "subjects"),
        (14, "bots"),
        (13, "push"),
        (12, "moderation"),
        (11, "administration"),
        (10, "search"),
        (9, "files"),
        (8, "changes"),
        (7, "rooms"),
        (6, "administrators"),
        (5, "retention"),
        (4, "conversations"),
        (3, "sessions"),
        (2, "names"),
        (1, "log"),
        (0, "accounts"),
    ];
    for _ in 0..2 {
        migrations::up(&url).await.unwrap();
        assert_eq!(applied().await, first(NEWEST));
        for (left, name) in steps {
            assert_eq!(migrations::down(&url).await.unwrap().map(|step| step.name), Some(name.into()));
            assert_eq!(applied().await, first(left));
        }
        assert_eq!(migrations::down(&url).await.unwrap(), None);
    }
    // Undoing all steps leaves nothing behind.
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
async fn undoing_the_step_of_administrators_names_the_roles_that_it_deletes() {
    let store = TestStore::sqlite().await;
    store.account("alice").await;
    store.users.set_administrator(&name("alice"), true, 1).await.unwrap();
    let url = DatabaseUrl::Sqlite(store.path());
    store.stores.clone().close().await;
    for name in [
        "barrier",
        "bus",
        "shared",
        "feed",
        "push_shares",
        "outgoing",
        "subjects",
        "bots",
        "push",
        "moderation",
        "administration",
        "search",
        "files",
        "changes",
        "rooms",
    ] {
        assert_eq!(migrations::down(&url).await.unwrap().unwrap().name, name);
    }
    let undo = migrations::Undo::claim(&url).await.unwrap().unwrap();
    let losses: Vec<_> = undo.losses().iter().map(|loss| (loss.rows, loss.one)).collect();
    assert_eq!((undo.step().version, losses), (7, vec![(1, "role of an administrator")]));
}

#[tokio::test]
async fn names_of_accounts_added_by_other_programs_are_reserved_when_the_store_opens() {
    let store = TestStore::sqlite().await;
    store.account("carol").await;
    store.stores.clone().close().await;
    let mut program = other_program(&store.path()).await;
    // Added by hand, before the table `names`, and under another version of the rules.
    run(
        &mut program,
        "INSERT INTO users (username, password_hash, created_at) VALUES
             ('alice', 'x', 1), ('Alice', 'x', 1), ('b	b ', 'x', 1);
         UPDATE names SET cased = 'old', folded = 'old', rules = 1",
    )
    .await;
    program.close().await.unwrap();
    let store = store.reopened().await;
    for person in ["alice", "Alice", "b	b "] {
        assert!(store.users.find_user(&name(person)).await.unwrap().is_some());
    }
    for alike in ["ALICE", "аlice", "B b", "Саrol"] {
        let refused = store.users.check_new_name(&name(alike)).await;
        assert!(matches!(refused, Err(StoreError::NameConfusable)), "{alike}: {refused:?}");
    }
    store.users.check_new_name(&name("old")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_servers_that_start_at_once_one_gets_the_database() {
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
    // The same holds for migrations; one that is refused can be tried again.
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
