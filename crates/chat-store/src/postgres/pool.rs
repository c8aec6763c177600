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

    pub(super) async fn rows_within<'q>(
        &self,
        patience: Duration,
        query: impl Fn() -> Query<'q> + Send + Sync,
    ) -> Result<Vec<PgRow>, StoreError> {
        let mut patience = Patience::of(patience);
        let permit = patience.wait(self.free.acquire()).await?;
        let _permit = permit.map_err(|_| StoreError::unavailable("the store was closed"))?;
        loop {
            match patience.attempt(self.attempt_timeout, self.attempt(query())).await {
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
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.database.connect().await?,
        };
        let rows = query.fetch_all(&mut connection).await?;
        self.idle().push(connection);
        Ok(rows)
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
