//! Connections for work on a whole Postgres database.

use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnection;

use crate::{PostgresUrl, StoreError};

/// Opens a connection for work on the whole database.
pub(crate) async fn connect(url: &PostgresUrl) -> Result<PgConnection, StoreError> {
    // A migration may wait for its lock, and for large tables.
    let options = url.options().clone().disable_statement_logging().options([
        ("statement_timeout", "0"),
        ("lock_timeout", LOCK_TIMEOUT),
        // Without notices such as "already exists, skipping".
        ("client_min_messages", "warning"),
    ]);
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(connected) => connected.map_err(|source| StoreError::cannot_open(url, source)),
        Err(_) => Err(StoreError::cannot_open(url, "the server does not answer")),
    }
}

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Enough for another migration to end, and for a table in use.
const LOCK_TIMEOUT: &str = "60s";
