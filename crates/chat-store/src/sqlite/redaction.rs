//! Removing what was taken back from the files of a database.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};

use super::leftovers::Pages;
use super::writer::Writer;
use crate::StoreError;
use crate::statements::Statements;

/// A task that empties the WAL some time after a text was replaced or deleted: until then,
/// the WAL still has the pages before. Then it reads the database, and overwrites copies of
/// the text that SQLite has [left](super::leftovers) in its pages. One round serves all texts
/// of this time. A row of the database says that a round is due, until it is finished: also
/// after a crash.
pub(super) struct Redaction {
    task: Mutex<Option<Task>>,
    request: mpsc::Sender<()>,
    /// Open until the connections are closed.
    pages: Arc<Pages>,
}

struct Task {
    /// Ends the task when it is dropped.
    end: mpsc::Sender<()>,
    handle: JoinHandle<()>,
}

impl Redaction {
    /// Starts the task. `is_due`: whether a round was not finished when the database was last
    /// open.
    pub(super) fn start(writer: &Arc<Writer>, pages: Pages, within: Duration, is_due: bool) -> Self {
        let (request, requests) = mpsc::channel(1);
        let (end, ends) = mpsc::channel(1);
        let pages = Arc::new(pages);
        let run = Run {
            writer: Arc::downgrade(writer),
            pages: Arc::clone(&pages),
            requests,
            ends,
            within,
            scan_after: Instant::now(),
        };
        let task = Mutex::new(Some(Task { end, handle: tokio::spawn(run.run()) }));
        let redaction = Self { task, request, pages };
        if is_due {
            redaction.request();
        }
        redaction
    }

    /// A text was replaced or deleted.
    pub(super) fn request(&self) {
        // A full channel has a request that is not served yet.
        let _ = self.request.try_send(());
    }

    /// Ends the task, and waits for it: for at most one portion.
    pub(super) async fn close(&self) {
        self.pages.stop();
        if let Some(Task { end, handle }) = self.task.lock().await.take() {
            drop(end);
            // It ended with the runtime.
            let _ = handle.await;
        }
    }
}

/// Notes in the database that a round is due, in the transaction that replaces or deletes the
/// text.
pub(super) async fn ask<S: Statements<Error = StoreError>>(statements: &mut S) -> Result<(), StoreError> {
    statements.rows(ASK, &[]).await.map(drop)
}

/// Whether a round is due.
pub(super) async fn is_due(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let asked = sqlx::query(ASKED).fetch_optional(connection).await;
    Ok(asked.map_err(StoreError::unavailable)?.is_some())
}

/// Counts: what is asked for while a round runs is not done by it.
pub(super) const ASK: &str = "INSERT INTO meta (key, value) VALUES ('redaction', '1')
     ON CONFLICT (key) DO UPDATE SET value = value + 1";

/// How far redaction was asked for.
pub(super) const ASKED: &str = "SELECT value FROM meta WHERE key = 'redaction'";

/// Notes that it was done so far.
pub(super) const DONE: &str = "DELETE FROM meta WHERE key = 'redaction' AND value = ?1";

/// The running task.
struct Run {
    writer: Weak<Writer>,
    pages: Arc<Pages>,
    requests: mpsc::Receiver<()>,
    ends: mpsc::Receiver<()>,
    within: Duration,
    /// When the database may be read again.
    scan_after: Instant,
}

/// What the task does when the store is closed or was dropped.
struct Ended;

impl Run {
    async fn run(mut self) {
        let (mut truncation, mut scan) = (None, None);
        while self.step(&mut truncation, &mut scan).await.is_ok() {}
    }

    /// Waits for what is next, and does it.
    async fn step(
        &mut self,
        truncation: &mut Option<Truncation>,
        scan: &mut Option<Scan>,
    ) -> Result<(), Ended> {
        let truncate_at = truncation.as_ref().map(|truncation| truncation.at);
        let scan_at = scan.as_ref().map(|_| self.scan_after);
        let next = truncate_at.into_iter().chain(scan_at).min();
        tokio::select! {
            _ = self.ends.recv() => return Err(Ended),
            request = self.requests.recv(), if truncation.is_none() => {
                request.ok_or(Ended)?;
                *truncation = Some(Truncation::asked(self.within));
                return Ok(());
            }
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
        if let Some(due) = truncation.as_mut().filter(|due| due.at <= Instant::now()) {
            // What was taken back until now is in this checkpoint.
            let _ = self.requests.try_recv();
            let writer = self.writer.upgrade().ok_or(Ended)?;
            match writer.truncate_wal().await {
                Ok(Some(asked)) => {
                    *scan = Some(Scan { asked, is_repeated: false });
                    *truncation = None;
                }
                Ok(None) => due.retry(self.within),
                Err(error) => {
                    tracing::warn!(%error, "deleted texts are still in the WAL of the database");
                    due.retry(self.within);
                }
            }
        } else if let Some(due) = scan {
            match self.scan(due).await? {
                Ok(true) => *scan = None,
                Ok(false) => due.is_repeated = true,
                Err(error) => {
                    tracing::warn!(%error, "deleted texts may still be in the file of the database");
                    self.scan_after = self.scan_after.max(Instant::now() + RETRY_PAUSE);
                }
            }
        }
        Ok(())
    }

    /// Reads the database, and overwrites what it finds. Returns whether that was all: rows may
    /// move while much is overwritten, and what was left with them is found the next time.
    async fn scan(&mut self, scan: &Scan) -> Result<Result<bool, StoreError>, Ended> {
        let started = Instant::now();
        let pages = Arc::clone(&self.pages);
        let found = spawn_blocking(move || pages.find()).await.map_err(|_| Ended)?;
        self.scan_after = Instant::now() + started.elapsed() * PAUSE_SCANS;
        let found = match found {
            Ok(found) => found,
            Err(error) => return Ok(Err(StoreError::unavailable(error))),
        };
        if let Err(error) = self.overwrite_all(&found).await? {
            return Ok(Err(error));
        }
        if self.pages.is_stopped() {
            return Err(Ended);
        }
        if found.len() > PORTION && !scan.is_repeated {
            return Ok(Ok(false));
        }
        let writer = self.writer.upgrade().ok_or(Ended)?;
        Ok(writer.redacted(&scan.asked).await.map(|()| true))
    }

    /// Overwrites what is left in these pages, in portions between which drafts are stored.
    async fn overwrite_all(&mut self, found: &[u64]) -> Result<Result<(), StoreError>, Ended> {
        for portion in found.chunks(PORTION) {
            let pause = loop {
                match self.overwrite(portion).await? {
                    Ok(Some(took)) => break took,
                    Ok(None) => self.pause(RETRY_PAUSE).await?,
                    Err(error) => return Ok(Err(error)),
                }
            };
            // Drafts are stored at least half of the time.
            self.pause(pause).await?;
        }
        Ok(Ok(()))
    }

    /// Overwrites what is left in some pages. Returns how long that took, or `None` if readers
    /// of an older state hold it back.
    async fn overwrite(&self, portion: &[u64]) -> Result<Result<Option<Duration>, StoreError>, Ended> {
        let writer = self.writer.upgrade().ok_or(Ended)?;
        let started = Instant::now();
        let done = writer.overwrite(&self.pages, portion.to_vec()).await;
        Ok(done.map(|is_done| is_done.then(|| started.elapsed())))
    }

    async fn pause(&mut self, pause: Duration) -> Result<(), Ended> {
        if self.pages.is_stopped() || timeout(pause, self.ends.recv()).await.is_ok() {
            return Err(Ended);
        }
        Ok(())
    }
}

/// A reading of the database that is due.
struct Scan {
    /// How far redaction was asked for when the WAL was truncated.
    asked: String,
    /// Whether the reading before found much.
    is_repeated: bool,
}

/// A checkpoint that is due.
struct Truncation {
    at: Instant,
    asked_at: Instant,
    has_warned: bool,
}

impl Truncation {
    fn asked(within: Duration) -> Self {
        let now = Instant::now();
        Self { at: now + within, asked_at: now, has_warned: false }
    }

    fn retry(&mut self, within: Duration) {
        if !self.has_warned && self.asked_at.elapsed() > within + WARN_AFTER {
            tracing::warn!("deleted texts are still in the WAL: a program reads the database for long");
            self.has_warned = true;
        }
        self.at = Instant::now() + RETRY_PAUSE;
    }
}

/// The pause after a checkpoint that a reader held back. Each of them may delay drafts.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
const WARN_AFTER: Duration = Duration::from_secs(60);

/// The pages that are overwritten while drafts wait: 1 MiB, and one flush of the disk.
const PORTION: usize = 256;

/// The pause after the database was read, as a multiple of the time that this took: reading
/// takes at most a thirtieth of the time.
const PAUSE_SCANS: u32 = 30;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions as _, Row as _};

    use super::*;
    use crate::{EventLog as _, SqliteOptions, SqliteStore};

    fn needles(path: &Path) -> usize {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(6).filter(|bytes| *bytes == b"needle").count()
    }

    /// The copies are those that a version without `secure_delete` left, in all places.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn drafts_are_stored_while_many_copies_are_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.db");
        let options = SqliteOptions { redact_within: Duration::from_secs(3600), ..SqliteOptions::default() };
        let store = SqliteStore::open(&path, options).await.unwrap();
        let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        for sql in [
            "PRAGMA secure_delete = OFF",
            "CREATE TABLE old (key INTEGER PRIMARY KEY, text TEXT) WITHOUT ROWID",
            "CREATE TABLE older (key INTEGER PRIMARY KEY, text TEXT) WITHOUT ROWID",
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             INSERT INTO old SELECT i * 7919 % 20011, 'needle' || hex(randomblob(50)) FROM n",
            "INSERT INTO older SELECT * FROM old",
            "DROP TABLE older",
            "UPDATE old SET text = ''  WHERE key % 2 = 0",
            "UPDATE old SET text = hex(randomblob(53)) WHERE key % 2 = 1",
        ] {
            sqlx::raw_sql(sql).execute(&mut other).await.unwrap();
        }
        store.writer.truncate_wal().await.unwrap().unwrap();
        let pages = Arc::clone(&store.redaction.pages);
        let found = pages.find().unwrap();
        let portions = found.len() / PORTION;
        assert!(portions >= 3 && needles(&path) > 1000, "{portions}, {}", needles(&path));
        let (_request, requests) = mpsc::channel(1);
        let (_end, ends) = mpsc::channel(1);
        let writer = Arc::downgrade(&store.writer);
        let scan_after = Instant::now();
        let mut run =
            Run { writer, pages: Arc::clone(&pages), requests, ends, within: Duration::ZERO, scan_after };
        let mut left = Vec::new();
        tokio::select! {
            biased;
            done = run.overwrite_all(&found) => assert!(matches!(done, Ok(Ok(())))),
            () = async {
                loop {
                    store.check_write().await.unwrap();
                    left.push(pages.find().unwrap().len());
                }
            } => {}
        }
        let between = PORTION..found.len() - PORTION;
        assert!(left.iter().any(|left| between.contains(left)), "{left:?}");
        let scan = Scan { asked: String::new(), is_repeated: false };
        assert!(matches!(run.scan(&scan).await, Ok(Ok(true))));
        let checked = sqlx::query("PRAGMA integrity_check").fetch_one(&mut other).await.unwrap();
        assert_eq!((needles(&path), checked.get::<&str, _>(0)), (0, "ok"));
        store.close().await;
    }
}
