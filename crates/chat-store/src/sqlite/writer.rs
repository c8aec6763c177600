//! The connection that writes.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{Mutex, MutexGuard};

use super::DatabaseFile;
use crate::StoreError;

/// The connection that writes. SQLite allows one writer at a time, and waiting for a
/// tokio lock costs less than SQLite's own waiting, which sleeps.
///
/// The connection is in its slot only between transactions: a transaction takes it out,
/// and puts it back only when it has ended. If it does not end, because even `ROLLBACK`
/// failed or because the caller dropped the future, the connection is closed, which
/// rolls back, and the next transaction opens another one. A transaction therefore never
/// finds one that an earlier caller left open.
pub(super) struct Writer {
    options: SqliteConnectOptions,
    slot: Mutex<Slot>,
}

struct Slot {
    connection: Option<SqliteConnection>,
    /// The lock on the file; `None` once the store is closed.
    file: Option<DatabaseFile>,
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection, file: DatabaseFile) -> Self {
        let options = file.writing();
        Self { options, slot: Mutex::new(Slot { connection: Some(connection), file: Some(file) }) }
    }

    /// Waits for the connection and begins a transaction with the right to write. One
    /// that asked for this right later would fail at once where it had to wait.
    pub(super) async fn begin(&self) -> Result<Writing<'_>, StoreError> {
        let mut slot = self.slot.lock().await;
        if slot.file.is_none() {
            return Err(StoreError::unavailable("the store was closed"));
        }
        let failed = |error| StoreError::unavailable(error).in_file(self.options.get_filename());
        let mut connection = match slot.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(failed)?,
        };
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.map_err(failed)?;
        Ok(Writing { path: self.options.get_filename(), slot, connection })
    }

    /// Waits for the transaction that runs, closes the connection and releases the file.
    /// Errors are only logged: everything acknowledged is on the disk.
    pub(super) async fn close(&self) {
        let mut slot = self.slot.lock().await;
        if let Some(connection) = slot.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "closing the database failed; acknowledged messages are on the disk");
        }
        slot.file = None;
    }
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
