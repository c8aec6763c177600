//! The one connection that writes.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{Mutex, MutexGuard};

use super::DatabaseFile;
use crate::StoreError;

/// The one connection that writes: SQLite has room for one writer, and waiting
/// for a tokio lock costs less than SQLite's own waiting, which sleeps.
///
/// It is only ever lent out between transactions. Who borrows it takes it out
/// of its slot, and only a transaction that came to its end puts it back. Where
/// that does not happen, because a statement failed in a way that even
/// `ROLLBACK` did, or because the caller's future was dropped half-way, the
/// connection is closed, which rolls back, and the next one to write opens
/// another. So nobody can find a transaction that somebody else left open.
pub(super) struct Writer {
    options: SqliteConnectOptions,
    slot: Mutex<Slot>,
}

struct Slot {
    connection: Option<SqliteConnection>,
    /// `None` once closed.
    file: Option<DatabaseFile>,
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection, file: DatabaseFile) -> Self {
        let options = file.writing();
        Self { options, slot: Mutex::new(Slot { connection: Some(connection), file: Some(file) }) }
    }

    /// Waits for its turn and begins a transaction that may write from its
    /// start on: one that only turns into a writing one fails at once where it
    /// would have to wait.
    pub(super) async fn begin(&self) -> Result<Writing<'_>, StoreError> {
        let mut slot = self.slot.lock().await;
        if slot.file.is_none() {
            return Err(StoreError::unavailable("the store was closed"));
        }
        let mut connection = match slot.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(StoreError::unavailable)?,
        };
        match sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await {
            Ok(_) => Ok(Writing { slot, connection }),
            Err(error) => Err(StoreError::unavailable(error)),
        }
    }

    /// Waits for the transaction that runs, closes, and gives the file back.
    /// Failures are only logged: all that was acknowledged is on the disk.
    pub(super) async fn close(&self) {
        let mut slot = self.slot.lock().await;
        if let Some(connection) = slot.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the database did not close well");
        }
        slot.file = None;
    }
}

/// A transaction that writes. Dropped, it is rolled back.
pub(super) struct Writing<'a> {
    slot: MutexGuard<'a, Slot>,
    pub(super) connection: SqliteConnection,
}

impl Writing<'_> {
    /// Commits if the work was done, otherwise rolls back; answers the work's result.
    pub(super) async fn finish<T>(mut self, work: Result<T, StoreError>) -> Result<T, StoreError> {
        let end = match &work {
            Ok(_) => sqlx::query("COMMIT").execute(&mut self.connection).await,
            Err(_) => sqlx::query("ROLLBACK").execute(&mut self.connection).await,
        };
        match (work, end) {
            (work, Ok(_)) => {
                self.slot.connection = Some(self.connection);
                work
            }
            (Ok(_), Err(error)) => Err(StoreError::unavailable(error)),
            (Err(error), Err(_)) => Err(error),
        }
    }
}
