//! The schema of a Postgres database.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::{Recorded, Step, apply_missing, refuse_others, refuse_unknown, revert};
use crate::{PostgresUrl, StoreError};

/// How long to wait for an answer to the first words to a server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn up(url: &PostgresUrl) -> Result<(), StoreError> {
    let mut connection = connect(url).await?;
    refuse_encoding(&mut connection, url).await?;
    lock(&mut connection, url).await?;
    let recorded = recorded(&mut connection, url).await?;
    refuse_unknown(&recorded, STEPS, &url.to_string())?;
    let applied = apply_missing(&mut connection, &recorded, STEPS).await;
    applied.map_err(|source| StoreError::cannot_open(url, source))?;
    // The lock ends with the connection.
    connection.close().await.map_err(StoreError::unavailable)
}

pub(super) async fn down(url: &PostgresUrl) -> Result<Option<Recorded>, StoreError> {
    let mut connection = connect(url).await?;
    lock(&mut connection, url).await?;
    let mut recorded = recorded(&mut connection, url).await?;
    refuse_unknown(&recorded, STEPS, &url.to_string())?;
    let undone = recorded.pop();
    if let Some(undone) = &undone {
        let reverted = revert(&mut connection, undone, STEPS).await;
        reverted.map_err(|source| StoreError::cannot_open(url, source))?;
    }
    connection.close().await.map_err(StoreError::unavailable)?;
    Ok(undone)
}

pub(super) async fn status(url: &PostgresUrl) -> Result<Vec<Recorded>, StoreError> {
    let mut connection = connect(url).await?;
    let recorded = recorded(&mut connection, url).await?;
    connection.close().await.map_err(StoreError::unavailable)?;
    Ok(recorded)
}

/// Refuses every schema but this version's. Nothing is changed.
pub(crate) async fn check(url: &PostgresUrl) -> Result<(), StoreError> {
    let recorded = status(url).await?;
    let database = url.to_string();
    refuse_unknown(&recorded, STEPS, &database)?;
    let (found, needed) =
        (recorded.last().map_or(0, |step| step.version), STEPS.last().map_or(0, |step| step.version));
    if STEPS.iter().any(|step| recorded.iter().all(|done| done.version != step.version)) {
        return Err(StoreError::OldSchema { database, found, needed });
    }
    Ok(())
}

/// For work on the whole database.
pub(crate) async fn connect(url: &PostgresUrl) -> Result<PgConnection, StoreError> {
    // Who migrates may wait for the lock and for large tables.
    let options = url.options().clone().disable_statement_logging().options([
        ("statement_timeout", "0"),
        ("lock_timeout", LOCK_TIMEOUT),
        // Not every "it is there already" needs to be told.
        ("client_min_messages", "warning"),
    ]);
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(connected) => connected.map_err(|source| StoreError::cannot_open(url, source)),
        Err(_) => Err(StoreError::cannot_open(url, "the server does not answer")),
    }
}

/// For another migration to end, and for a table in use.
const LOCK_TIMEOUT: &str = "60s";

/// One migration at a time: a lock by a number of this program's own. Servers
/// that run do not ask for it.
async fn lock(connection: &mut PgConnection, url: &PostgresUrl) -> Result<(), StoreError> {
    let locked = sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(connection).await;
    locked.map_err(|source| StoreError::cannot_open(url, source))?;
    Ok(())
}

/// "chat" in ASCII, and the kind of the lock.
const LOCK: i64 = 0x6368_6174_0000_0001;

/// A database that knows only some letters would fail at the first message
/// with another one.
async fn refuse_encoding(connection: &mut PgConnection, url: &PostgresUrl) -> Result<(), StoreError> {
    let failed = |source| StoreError::cannot_open(url, source);
    let row = sqlx::query("SELECT current_setting('server_encoding')")
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    match row.try_get::<&str, _>(0).map_err(failed)? {
        "UTF8" => Ok(()),
        other => Err(StoreError::cannot_open(url, format!("its encoding is {other}, it must be UTF8"))),
    }
}

/// What a database says it has, by number; nothing for one without our table.
/// Unlike a file, it may well have tables of somebody else.
async fn recorded(connection: &mut PgConnection, url: &PostgresUrl) -> Result<Vec<Recorded>, StoreError> {
    let failed = |source| StoreError::cannot_open(url, source);
    let table = sqlx::query("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if !table.try_get::<bool, _>(0).map_err(failed)? {
        return Ok(Vec::new());
    }
    let rows = sqlx::query("SELECT version, description, checksum FROM _sqlx_migrations ORDER BY version")
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    let mut steps = Vec::with_capacity(rows.len());
    for row in rows {
        steps.push(Recorded {
            version: row.try_get(0).map_err(failed)?,
            name: row.try_get(1).map_err(failed)?,
            checksum: row.try_get(2).map_err(failed)?,
        });
    }
    refuse_others(&steps, STEPS, &url.to_string())?;
    Ok(steps)
}

pub(super) const STEPS: &[Step] = &[
    Step {
        version: 1,
        name: "accounts",
        up: include_str!("../../../../migrations/postgres/0001_accounts.up.sql"),
        down: include_str!("../../../../migrations/postgres/0001_accounts.down.sql"),
    },
    Step {
        version: 2,
        name: "log",
        up: include_str!("../../../../migrations/postgres/0002_log.up.sql"),
        down: include_str!("../../../../migrations/postgres/0002_log.down.sql"),
    },
    Step {
        version: 3,
        name: "names",
        up: include_str!("../../../../migrations/postgres/0003_names.up.sql"),
        down: include_str!("../../../../migrations/postgres/0003_names.down.sql"),
    },
    Step {
        version: 4,
        name: "sessions",
        up: include_str!("../../../../migrations/postgres/0004_sessions.up.sql"),
        down: include_str!("../../../../migrations/postgres/0004_sessions.down.sql"),
    },
    Step {
        version: 5,
        name: "conversations",
        up: include_str!("../../../../migrations/postgres/0005_conversations.up.sql"),
        down: include_str!("../../../../migrations/postgres/0005_conversations.down.sql"),
    },
    Step {
        version: 6,
        name: "retention",
        up: include_str!("../../../../migrations/postgres/0006_retention.up.sql"),
        down: include_str!("../../../../migrations/postgres/0006_retention.down.sql"),
    },
];
