//! The connections that write.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chat_core::{Commit, Draft};
use futures_util::FutureExt as _;
use rusqlite::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::sync::{Mutex, MutexGuard, oneshot};
use tokio::task::spawn_blocking;

use super::leftovers::Pages;
use super::{DatabaseFile, append, redaction};
use crate::rows::Columns as _;
use crate::statements::Statements as _;
use crate::{StoreError, changes};

/// The connections that write, of which one does at a time: one stores batches ([`Writer::append`]), and
/// the other one makes all other changes. SQLite allows one writer at a time, and waiting for a
/// tokio lock costs less than SQLite's own waiting, which sleeps.
///
/// A connection is in the slot only between transactions: a transaction takes it out,
/// and puts it back only when it has ended. If it does not end, because even `ROLLBACK`
/// failed or because the caller dropped the future, the connection is closed, which
/// rolls back, and the next transaction opens another one. A transaction therefore never
/// finds one that an earlier caller left open.
pub(super) struct Writer {
    options: SqliteConnectOptions,
    /// The time that a statement waits for a lock of another program.
    busy_timeout: Duration,
    slot: Arc<Mutex<Slot>>,
}

/// Makes a change in a transaction of its own: `$change` on the connection `$writing`.
macro_rules! write {
    ($store:ident, $writing:ident => $change:expr) => {
        Box::pin(async move {
            let mut writing = $store.writer.begin().await?;
            let work = {
                let $writing = &mut writing.connection;
                $change.await
            };
            writing.finish(work).await
        })
    };
}
pub(super) use write;

struct Slot {
    connection: Option<SqliteConnection>,
    /// The connection that stores batches.
    batches: Option<Connection>,
    /// The lock on the file; `None` once the store is closed.
    file: Option<DatabaseFile>,
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection, file: DatabaseFile, busy_timeout: Duration) -> Self {
        let options = file.writing();
        Self {
            options,
            busy_timeout,
            slot: Arc::new(Mutex::new(Slot {
                connection: Some(connection),
                batches: None,
                file: Some(file),
            })),
        }
    }

    /// Waits for the connection and begins a transaction with the right to write. One
    /// that asked for this right later would fail at once where it had to wait.
    pub(super) async fn begin(&self) -> Result<Writing<'_>, StoreError> {
        let mut slot = self.slot.lock().await;
        if slot.file.is_none() {
            return Err(closed());
        }
        let failed = |error| StoreError::unavailable(error).in_file(self.options.get_filename());
        let mut connection = match slot.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(failed)?,
        };
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.map_err(failed)?;
        Ok(Writing { path: self.options.get_filename(), slot, connection })
    }

    /// Stores a batch in a transaction, on a thread that may block. If the caller drops the future
    /// before the commit begins, the transaction is rolled back; others wait for its end.
    pub(super) async fn append(&self, drafts: &[Draft], now_ms: u64) -> Result<Appended, StoreError> {
        let mut slot = Arc::clone(&self.slot).lock_owned().await;
        let drafts = drafts.to_vec();
        let (answer, answered) = oneshot::channel();
        spawn_blocking(move || {
            let result = slot.append(&drafts, now_ms, || !answer.is_closed());
            drop(slot);
            // The caller has given the batch up.
            let _ = answer.send(result);
        });
        // Without an answer, the thread has panicked: the connection is not in its slot any more.
        answered.await.map_err(StoreError::unavailable)?
    }

    /// Removes the texts that were replaced or deleted before from the WAL, and returns how far
    /// redaction [was asked for](super::redaction::ASK) until then. `None` if readers of an
    /// older state hold it back. Drafts wait meanwhile.
    pub(super) async fn truncate_wal(&self) -> Result<Option<String>, StoreError> {
        self.with_empty_wal(None).await
    }

    /// Overwrites the copies of rows in a few pages of the database. Returns whether it did:
    /// readers of an older state hold it back. Drafts wait meanwhile.
    pub(super) async fn overwrite(&self, pages: &Arc<Pages>, found: Vec<u64>) -> Result<bool, StoreError> {
        Ok(self.with_empty_wal(Some((Arc::clone(pages), found))).await?.is_some())
    }

    /// Copies the WAL into the database, truncates it, and then overwrites copies of rows in
    /// these pages. Returns how far redaction was asked for, or `None` if it could not.
    async fn with_empty_wal(
        &self,
        leftovers: Option<(Arc<Pages>, Vec<u64>)>,
    ) -> Result<Option<String>, StoreError> {
        let mut slot = self.slot.lock().await;
        if slot.file.is_none() {
            return Ok(None);
        }
        let path = self.options.get_filename();
        let failed = |error| StoreError::unavailable(error).in_file(path);
        let mut connection = match slot.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(failed)?,
        };
        let asked = sqlx::query(redaction::ASKED).fetch_optional(&mut connection).await.map_err(failed)?;
        let asked = asked.map_or(Ok(String::new()), |row| row.text(0).map(str::to_owned))?;
        set_busy_timeout(&mut connection, CHECKPOINT_WAIT).await.map_err(failed)?;
        let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut connection).await;
        let mut is_done = checkpoint.map_err(failed)?.integer(0)? == 0;
        set_busy_timeout(&mut connection, self.busy_timeout).await.map_err(failed)?;
        if is_done && let Some((pages, found)) = leftovers {
            // Until the end of this transaction no other program writes either: the WAL
            // stays empty, and nobody copies it into the pages.
            sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.map_err(failed)?;
            let mut wal = path.as_os_str().to_owned();
            wal.push("-wal");
            is_done = std::fs::metadata(wal).is_ok_and(|wal| wal.len() == 0);
            if is_done {
                // Whatever fails from here on, the cache of this connection is gone.
                slot.batches = None;
                let work = spawn_blocking(move || pages.overwrite(&found));
                work.await.map_err(StoreError::unavailable)?.map_err(StoreError::unavailable)?;
            }
            sqlx::query("ROLLBACK").execute(&mut connection).await.map_err(failed)?;
            // The pages in the cache still have the copies.
            sqlx::query("PRAGMA shrink_memory").execute(&mut connection).await.map_err(failed)?;
        }
        slot.connection = Some(connection);
        Ok(is_done.then_some(asked))
    }

    /// Notes that all copies of what redaction was asked for are gone.
    pub(super) async fn redacted(&self, asked: &str) -> Result<(), StoreError> {
        let mut writing = self.begin().await?;
        let done = sqlx::query(redaction::DONE).bind(asked).execute(&mut writing.connection).await;
        writing.finish(done.map(drop).map_err(StoreError::unavailable)).await
    }

    /// Waits for the transaction that runs, closes the connection and releases the file.
    /// Errors are only logged: everything acknowledged is on the disk.
    pub(super) async fn close(&self) {
        let mut slot = self.slot.lock().await;
        if let Some(batches) = slot.batches.take() {
            // It may be the last connection, which makes a checkpoint.
            let closing = spawn_blocking(move || {
                if let Err(error) = batches.execute_batch("PRAGMA optimize") {
                    tracing::debug!(%error, "the statistics of the database were not brought up to date");
                }
            });
            // A panic was reported.
            let _ = closing.await;
        }
        if let Some(connection) = slot.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "closing the database failed; acknowledged messages are on the disk");
        }
        slot.file = None;
    }
}

/// The time that a checkpoint waits for readers; most reads take less. Drafts wait as long.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(50);

async fn set_busy_timeout(connection: &mut SqliteConnection, time: Duration) -> Result<(), sqlx::Error> {
    let sql = AssertSqlSafe(format!("PRAGMA busy_timeout = {}", time.as_millis()));
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

fn closed() -> StoreError {
    StoreError::unavailable("the store was closed")
}

/// What [`Writer::append`] has stored.
pub(super) struct Appended {
    pub(super) commit: Commit,
    /// Texts were replaced or deleted.
    pub(super) redacts: bool,
}

impl Slot {
    /// Stores a batch in a transaction, which is rolled back if it is not wanted any more.
    fn append(
        &mut self,
        drafts: &[Draft],
        now_ms: u64,
        is_wanted: impl Fn() -> bool + Send,
    ) -> Result<Appended, StoreError> {
        let file = self.file.as_ref().ok_or_else(closed)?;
        let failed = |error| StoreError::unavailable(error).in_file(file.path());
        let mut connection = match self.batches.take() {
            Some(connection) => connection,
            None => file.open_for_batches().map_err(failed)?,
        };
        let transaction = async {
            connection.rows("BEGIN IMMEDIATE", &[]).await?;
            let mut work = store(&mut connection, drafts, now_ms).await;
            if !is_wanted() {
                work = Err(StoreError::unavailable("the batch was given up"));
            }
            let end = connection.rows(if work.is_ok() { "COMMIT" } else { "ROLLBACK" }, &[]).await;
            Ok::<_, StoreError>((work, end))
        };
        let ended = transaction.now_or_never().expect("its statements do not wait");
        let (work, end) = ended.map_err(|error| error.in_file(file.path()))?;
        let result = match (work, end) {
            (work, Ok(_)) => {
                self.batches = Some(connection);
                work
            }
            (Ok(_), Err(error)) | (Err(error), Err(_)) => Err(error),
        };
        result.map_err(|error| error.in_file(file.path()))
    }
}

/// Stores a batch, and notes what it takes back.
async fn store(connection: &mut Connection, drafts: &[Draft], now_ms: u64) -> Result<Appended, StoreError> {
    let commit = append::append(connection, drafts, now_ms).await?;
    let redacts = changes::redacts(&commit);
    if redacts {
        redaction::ask(connection).await?;
    }
    Ok(Appended { commit, redacts })
}

/// A transaction that writes. Dropping it rolls it back.
pub(super) struct Writing<'a> {
    slot: MutexGuard<'a, Slot>,
    path: &'a Path,
    pub(super) connection: SqliteConnection,
}

impl Writing<'_> {
    /// Rolls back.
    pub(super) async fn roll_back(mut self) -> Result<(), StoreError> {
        let end = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
        end.map_err(|error| StoreError::unavailable(error).in_file(self.path))?;
        self.slot.connection = Some(self.connection);
        Ok(())
    }

    /// Commits if `work` succeeded, otherwise rolls back; returns the result of `work`.
    pub(super) async fn finish<T>(mut self, work: Result<T, StoreError>) -> Result<T, StoreError> {
        let end = match &work {
            Ok(_) => sqlx::query("COMMIT").execute(&mut self.connection).await,
            Err(_) => sqlx::query("ROLLBACK").execute(&mut self.connection).await,
        };
        let result = match (work, end) {
            (work, Ok(_)) => {
                self.slot.connection = Some(self.connection);
                work
            }
            (Ok(_), Err(error)) => Err(StoreError::unavailable(error)),
            (Err(error), Err(_)) => Err(error),
        };
        result.map_err(|error| error.in_file(self.path))
    }
}
