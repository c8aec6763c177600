//! The connections for single statements.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use tokio::sync::Semaphore;

use super::PostgresOptions;
use super::database::Database;
use super::failure::Failure;
use super::patience::Patience;
use crate::StoreError;

/// The connections for single statements, made when needed: everything but
/// batches. A statement must be one that may be repeated, since one whose
/// connection is lost is.
///
/// Not sqlx's own pool: that one asks a connection, when it is given back,
/// whether it still answers, and waits for that without an end. Here, what was
/// given up in the middle is closed.
pub(super) struct Pool {
    database: Database,
    patience: Duration,
    attempt_timeout: Duration,
    /// A permit for each connection in use.
    free: Semaphore,
    connections: u32,
    idle: Mutex<Vec<PgConnection>>,
}

/// A statement with its values.
pub(super) type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

impl Pool {
    pub(super) fn new(database: Database, options: &PostgresOptions) -> Self {
        let connections = options.readers_max.max(1);
        Self {
            database,
            patience: options.patience,
            attempt_timeout: options.attempt_timeout,
            free: Semaphore::new(connections as usize),
            connections,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// What a statement answers. It is made anew for each try.
    pub(super) async fn rows<'q>(
        &self,
        query: impl Fn() -> Query<'q> + Send + Sync,
    ) -> Result<Vec<PgRow>, StoreError> {
        self.rows_within(self.patience, query).await
    }

    /// The one row that a statement answers, if any.
    pub(super) async fn row<'q>(
        &self,
        query: impl Fn() -> Query<'q> + Send + Sync,
    ) -> Result<Option<PgRow>, StoreError> {
        Ok(self.rows(query).await?.pop())
    }

    /// The same for a statement that must see what every other one under the
    /// lock of that number did: it waits for them first. A statement that took
    /// the lock itself would still see the time before it waited.
    pub(super) async fn row_under_lock<'q>(
        &self,
        lock: i64,
        query: impl Fn() -> Query<'q> + Send + Sync,
    ) -> Result<Option<PgRow>, StoreError> {
        Ok(self.ask(self.patience, || self.attempt_under_lock(lock, query())).await?.pop())
    }

    pub(super) async fn rows_within<'q>(
        &self,
        patience: Duration,
        query: impl Fn() -> Query<'q> + Send + Sync,
    ) -> Result<Vec<PgRow>, StoreError> {
        self.ask(patience, || self.attempt(query())).await
    }

    async fn ask<F>(
        &self,
        patience: Duration,
        attempt: impl Fn() -> F + Send + Sync,
    ) -> Result<Vec<PgRow>, StoreError>
    where
        F: Future<Output = Result<Vec<PgRow>, Failure>> + Send,
    {
        let mut patience = Patience::of(patience);
        let permit = patience.wait(self.free.acquire()).await?;
        let _permit = permit.map_err(|_| StoreError::unavailable("the store was closed"))?;
        loop {
            match patience.attempt(self.attempt_timeout, attempt()).await {
                Ok(rows) => return Ok(rows),
                Err(failure) => {
                    // What happened to one happened to the others: a restart.
                    self.idle().clear();
                    patience.pause(failure).await?;
                }
            }
        }
    }

    async fn attempt(&self, query: Query<'_>) -> Result<Vec<PgRow>, Failure> {
        let mut connection = self.connection().await?;
        let rows = query.fetch_all(&mut connection).await?;
        self.idle().push(connection);
        Ok(rows)
    }

    /// What is not committed goes with its connection, and the lock with it.
    async fn attempt_under_lock(&self, lock: i64, query: Query<'_>) -> Result<Vec<PgRow>, Failure> {
        let mut connection = self.connection().await?;
        sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock).execute(&mut connection).await?;
        let rows = query.fetch_all(&mut connection).await?;
        sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
        self.idle().push(connection);
        Ok(rows)
    }

    async fn connection(&self) -> Result<PgConnection, Failure> {
        let idle = self.idle().pop();
        match idle {
            Some(connection) => Ok(connection),
            None => self.database.connect().await,
        }
    }

    /// Waits for what runs, and closes. Later calls fail.
    pub(super) async fn close(&self) {
        // An error says that it is closed already.
        if let Ok(all) = self.free.acquire_many(self.connections).await {
            all.forget();
        }
        self.free.close();
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            // A server that does not answer needs no goodbye.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, connection.close()).await;
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<PgConnection>> {
        // Every change is whole in one call.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
