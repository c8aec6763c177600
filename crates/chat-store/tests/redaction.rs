//! Texts that were taken back are in no file of an SQLite database, nor in later backups.

// Clippy takes only `#[test]` functions for tests, not what they call.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use chat_core::{FileQuotas, ReservedFile};
use chat_store::{
    Backup, DatabaseUrl, EventLog as _, FileRepository as _, SearchIndex as _, SqliteOptions, SqliteStore,
};
use common::{delete, draft, edit, file, file_id, name, room, with_files};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};

const SECRET: &str = "needle";

/// How often the secret is in the files of a database.
fn found(path: &Path) -> usize {
    let mut count = 0;
    for ending in ["", "-wal", "-journal"] {
        let mut file = path.as_os_str().to_owned();
        file.push(ending);
        let bytes = fs::read(Path::new(&file)).unwrap_or_default();
        count += bytes.windows(SECRET.len()).filter(|bytes| *bytes == SECRET.as_bytes()).count();
    }
    count
}

async fn until_gone(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while found(path) > 0 {
        assert!(Instant::now() < deadline, "{} are left", found(path));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Messages in many rooms at once, so that SQLite splits pages and moves rows; some are
/// longer than a page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_were_taken_back_are_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let options = SqliteOptions { redact_within: Duration::from_millis(200), ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, options).await.unwrap();
    let mut rng = SplitMix64::seed_from_u64(7);
    let mut below = |end: usize| usize::try_from(rng.next_u64() % end as u64).unwrap();
    let rooms: Vec<_> = (0..30).map(|number| room(&format!("room{number}"))).collect();
    let mut messages = Vec::new();
    let mut counts = vec![0; rooms.len()];
    for _ in 0..60 {
        let mut batch = Vec::new();
        for _ in 0..50 {
            let here = below(rooms.len());
            let repeated = if below(40) == 0 { 1_500 } else { below(40) };
            batch.push(draft(&rooms[here], "alice", &SECRET.repeat(repeated + 1)));
            counts[here] += 1;
            messages.push((here, counts[here]));
        }
        store.append(&batch, 1000).await.unwrap();
    }
    assert!(found(&path) > 10_000);
    // A reader of the state before holds the checkpoint back.
    let other = SqliteConnectOptions::new().filename(&path);
    let mut reader = other.connect().await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM entries").execute(&mut reader).await.unwrap();
    for batch in messages.chunks(100) {
        let mut drafts = Vec::new();
        for (here, seq) in batch {
            let (room, length) = (&rooms[*here], 1 + below(90));
            drafts.push(match seq % 3 {
                0 => delete(room, "alice", *seq),
                1 => edit(room, "alice", *seq, &"clean".repeat(length + 1)),
                _ => edit(room, "alice", *seq, "x"),
            });
        }
        let commit = store.append(&drafts, 2000).await.unwrap();
        assert_eq!(commit.entries.len(), drafts.len());
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(found(&path) > 0);
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    until_gone(&path).await;
    // Pages that the writer had in its cache do not bring them back.
    for _ in 0..20 {
        let batch: Vec<_> = rooms.iter().map(|room| draft(room, "alice", "on")).collect();
        store.append(&batch, 3000).await.unwrap();
    }
    let checkpoint = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)");
    checkpoint.execute(&mut reader).await.unwrap();
    let checked = sqlx::query("PRAGMA integrity_check").fetch_one(&mut reader).await.unwrap();
    assert_eq!((found(&path), checked.get::<&str, _>(0)), (0, "ok"));
    store.close().await;
    assert_eq!(found(&path), 0);
}

/// In the record, and in the message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_files_that_were_taken_back_are_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let options = SqliteOptions { redact_within: Duration::from_millis(200), ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, options).await.unwrap();
    let (kitchen, alice) = (room("kitchen"), name("alice"));
    for message in 0..40 {
        let numbers: Vec<u64> = (message * 10..message * 10 + 10).collect();
        for number in &numbers {
            let reserved = ReservedFile { id: file_id(*number), owner: alice.clone(), bytes: 9 };
            store.reserve_file(&reserved, FileQuotas::default(), 1).await.unwrap().unwrap();
            let called = SECRET.repeat(1 + (*number % 30) as usize);
            assert!(store.store_file(&alice, &file(*number, &called), 2).await.unwrap());
        }
        store.append(&[with_files(draft(&kitchen, "alice", "on"), &numbers)], 1000).await.unwrap();
    }
    assert!(found(&path) > 1_000);
    for message in 1..=40 {
        store.append(&[delete(&kitchen, "alice", message)], 2000).await.unwrap();
    }
    until_gone(&path).await;
    store.close().await;
    assert_eq!(found(&path), 0);
}

/// The row of a database that says that a round is due.
async fn is_due(path: &Path) -> bool {
    let mut reader = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let query = sqlx::query("SELECT count(*) FROM meta WHERE key = 'redaction'");
    query.fetch_one(&mut reader).await.unwrap().get::<i64, _>(0) == 1
}

/// The words of messages are also in the file of the search. Many documents, so that its pages
/// are written anew and merged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_that_were_taken_back_are_not_in_the_file_of_the_search() {
    let folder = tempfile::tempdir().unwrap();
    let (path, index) = (folder.path().join("chat.db"), folder.path().join("chat.search.db"));
    let options = SqliteOptions { redact_within: Duration::from_millis(200), ..SqliteOptions::default() };
    let store = SqliteStore::open(&path, options).await.unwrap();
    let kitchen = room("kitchen");
    let mut last = 0;
    for batch in 0..40_u64 {
        let drafts: Vec<_> = (0..50_u64)
            .map(|number| {
                let number = batch * 50 + number;
                // Words of their own, and words that begin alike.
                let words = format!("w{} {SECRET}{number} {SECRET} x{}", number * 7919 % 1000, number % 13);
                draft(&kitchen, "alice", &words.repeat(1 + batch as usize % 3))
            })
            .collect();
        last += drafts.len() as u64;
        store.append(&drafts, 1000 + batch).await.unwrap();
        while store.index_some(200).await.unwrap().has_more {}
    }
    assert!(found(&index) > 1_000);
    for batch in (1..=last).collect::<Vec<_>>().chunks(97) {
        let drafts: Vec<_> = batch
            .iter()
            .map(|seq| match seq % 2 {
                0 => delete(&kitchen, "alice", *seq),
                _ => edit(&kitchen, "alice", *seq, &format!("clean {seq}")),
            })
            .collect();
        store.append(&drafts, 2000).await.unwrap();
        while store.index_some(300).await.unwrap().has_more {}
    }
    until_gone(&index).await;
    store.close().await;
    assert_eq!(found(&index), 0);
    // What is left of the index is whole.
    let mut reader = SqliteConnectOptions::new().filename(&index).connect().await.unwrap();
    sqlx::raw_sql("INSERT INTO found (found, rank) VALUES ('integrity-check', 1)")
        .execute(&mut reader)
        .await
        .unwrap();
    let checked = sqlx::query("PRAGMA integrity_check").fetch_one(&mut reader).await.unwrap();
    assert_eq!(checked.get::<&str, _>(0), "ok");
}

/// The background task did not run between the deletion and the end.
#[tokio::test]
async fn words_that_were_taken_back_just_before_the_end_leave_the_file_of_the_search() {
    let folder = tempfile::tempdir().unwrap();
    let (path, index) = (folder.path().join("chat.db"), folder.path().join("chat.search.db"));
    let store = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap();
    let kitchen = room("kitchen");
    store.append(&[draft(&kitchen, "alice", SECRET), draft(&kitchen, "alice", SECRET)], 1000).await.unwrap();
    while store.index_some(10).await.unwrap().has_more {}
    let changes = [delete(&kitchen, "alice", 1), edit(&kitchen, "alice", 2, "clean")];
    store.append(&changes, 2000).await.unwrap();
    assert!(found(&index) > 0);
    store.close().await;
    assert_eq!(found(&index), 0);
}

/// In a copy of the files, as a crash leaves them: the WAL still has the text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_was_not_finished_is_due_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let store = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap();
    let kitchen = room("kitchen");
    store.append(&[draft(&kitchen, "alice", SECRET)], 1000).await.unwrap();
    assert!(!is_due(&path).await);
    store.append(&[delete(&kitchen, "alice", 1)], 2000).await.unwrap();
    let copy = folder.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    fs::copy(folder.path().join("chat.db-wal"), folder.path().join("copy.db-wal")).unwrap();
    store.close().await;
    assert!(found(&copy) > 0 && is_due(&path).await);
    let options = SqliteOptions { redact_within: Duration::from_millis(100), ..SqliteOptions::default() };
    let store = SqliteStore::open(&copy, options).await.unwrap();
    until_gone(&copy).await;
    let deadline = Instant::now() + Duration::from_secs(120);
    while is_due(&copy).await {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    store.close().await;
}

/// Also before the checkpoint.
#[tokio::test]
async fn a_backup_has_nothing_of_a_text_that_was_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let store = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap();
    let kitchen = room("kitchen");
    let drafts = [1, 30, 2_000].map(|count| draft(&kitchen, "alice", &SECRET.repeat(count)));
    store.append(&drafts, 1000).await.unwrap();
    let changes =
        [edit(&kitchen, "alice", 1, "x"), delete(&kitchen, "alice", 2), delete(&kitchen, "alice", 3)];
    store.append(&changes, 2000).await.unwrap();
    assert!(found(&path) > 0);
    let file = folder.path().join("backup.db");
    fs::write(&file, "").unwrap();
    let mut backup = Backup::write(&DatabaseUrl::Sqlite(path), &file, 5).await.unwrap();
    let contents = backup.contents().await.unwrap();
    assert_eq!((contents.entries, contents.changes), (3, 3));
    backup.close().await.unwrap();
    assert_eq!(found(&file), 0);
    store.close().await;
}
