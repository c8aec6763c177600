//! Connections for single statements.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use tokio::sync::Semaphore;

use super::PostgresOptions;
use super::database::Database;
use super::deadline::Deadline;
use super::failure::Failure;
use crate::StoreError;

/// Connections for single statements, opened when needed: for everything but batches.
/// A statement must be repeatable, as one whose connection is lost is retried.
///
/// This is not sqlx's own pool, which checks a returned connection and waits for its
/// answer without a limit. Here a connection whose statement was dropped is closed.
pub(super) struct Pool {
    database: Database,
    call_timeout: Duration,
    attempt_timeout: Duration,
    /// A permit for each connection that is not in use.
    free: Semaphore,
    connections: u32,
    idle: Mutex<Vec<PgConnection>>,
}

/// Makes a change in a transaction, in attempts: `$change` on the connection `$connection`.
/// Under a lock, if there is one, it sees the changes of all earlier ones.
macro_rules! write {
    ($store:ident, $connection:ident => $change:expr) => {
        write!($store, None, $connection => $change)
    };
    ($store:ident, $lock:expr, $connection:ident => $change:expr) => {
        Box::pin($store.pool.attempts(move || async move {
            let mut connection = $store.pool.begin($lock).await?;
            let done = {
                let $connection = &mut connection;
                $change.await?
            };
            sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
            $store.pool.put_back(connection);
            Ok(done)
        }))
    };
}
pub(super) use write;

/// A statement with its parameters.
pub(super) type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

impl Pool {
    pub(super) fn new(database: Database, options: &PostgresOptions) -> Self {
        let connections = options.readers_max.max(1);
        Self {
            database,
            call_timeout: options.call_timeout,
            attempt_timeout: options.attempt_timeout,
            free: Semaphore::new(connections as usize),
            connections,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Begins a transaction, under a lock if there is one, so that it sees the changes of all
    /// earlier transactions under the lock. One that is dropped ends with its connection, and its
    /// lock with it.
    pub(super) async fn begin(&self, lock: Option<i64>) -> Result<PgConnection, Failure> {
        let mut connection = self.connection().await?;
        sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
        if let Some(lock) = lock {
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock).execute(&mut connection).await?;
        }
        Ok(connection)
    }

    /// Runs a statement and returns its rows. `query` makes it anew for each attempt.
    pub(super) async fn rows<'q>(
        &self,
        query: impl Fn() -> Query<'q> + Send + Sync,
    ) -> Result<Vec<PgRow>, StoreError> {
        self.rows_within(self.call_timeout, query).await
    }

    /// Runs a statement and returns its only row, if there is one.
    pub(super) async fn row<'q>(
        &self,
        query: impl Fn() -> Query<'q> + Send + Sync,
    ) -> Result<Option<PgRow>, StoreError> {
        Ok(self.rows(query).await?.pop())
    }

    /// The same as [`rows`](Self::rows), with another deadline.
    pub(super) async fn rows_within<'q>(
        &self,
        timeout: Duration,
        query: impl Fn() -> Query<'q> + Send + Sync,
    ) -> Result<Vec<PgRow>, StoreError> {
        self.run(timeout, || self.attempt(query())).await
    }

    /// Makes attempts until one succeeds. An attempt that is dropped must not use its
    /// connection again, and must be repeatable.
    pub(super) async fn attempts<T, F>(&self, attempt: impl Fn() -> F + Send + Sync) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        self.run(self.call_timeout, attempt).await
    }

    async fn run<T, F>(
        &self,
        timeout: Duration,
        attempt: impl Fn() -> F + Send + Sync,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let mut deadline = Deadline::after(timeout);
        let permit = deadline.wait(self.free.acquire()).await?;
        let _permit = permit.map_err(|_| StoreError::unavailable("the store was closed"))?;
        loop {
            match deadline.attempt(self.attempt_timeout, attempt()).await {
                Ok(result) => return Ok(result),
                Err(failure) => {
                    // If the server was restarted, the other connections are lost, too.
                    self.idle().clear();
                    deadline.pause(failure).await?;
                }
            }
        }
    }

    async fn attempt(&self, query: Query<'_>) -> Result<Vec<PgRow>, Failure> {
        let mut connection = self.connection().await?;
        let rows = query.fetch_all(&mut connection).await?;
        self.put_back(connection);
        Ok(rows)
    }

    /// Takes a connection for one attempt.
    pub(super) async fn connection(&self) -> Result<PgConnection, Failure> {
        let idle = self.idle().pop();
        match idle {
            Some(connection) => Ok(connection),
            None => self.database.connect().await,
        }
    }

    /// Puts a connection back after an attempt that has ended all that it began.
    pub(super) fn put_back(&self, connection: PgConnection) {
        self.idle().push(connection);
    }

    /// Waits for statements that run, and closes the connections. Later calls fail.
    pub(super) async fn close(&self) {
        // An error means that the pool is closed already.
        if let Ok(all) = self.free.acquire_many(self.connections).await {
            all.forget();
        }
        self.free.close();
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            // A server that does not answer is not waited for.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, connection.close()).await;
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<PgConnection>> {
        // Each change is complete in one call, so that a poisoned lock is safe.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
