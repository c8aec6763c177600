//! The schema of a Postgres database.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::{
    Claimed, Counted, MigrationStatus, Recorded, Step, Undo, apply_missing, losses, lost, refuse_others,
    refuse_unknown, revert,
};
use crate::postgres::exclude_servers;
use crate::{PostgresUrl, StoreError};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn up(url: &PostgresUrl) -> Result<Vec<MigrationStatus>, StoreError> {
    let mut connection = connect(url).await?;
    refuse_encoding(&mut connection, url).await?;
    lock(&mut connection, url).await?;
    let recorded = recorded(&mut connection, url).await?;
    refuse_unknown(&recorded, STEPS, &url.to_string())?;
    let applied = apply_missing(&mut connection, &recorded, STEPS).await;
    let applied = applied.map_err(|source| StoreError::cannot_open(url, source))?;
    // The lock ends with the connection.
    connection.close().await.map_err(StoreError::unavailable)?;
    Ok(applied)
}

pub(super) async fn claim(url: &PostgresUrl) -> Result<Option<Undo>, StoreError> {
    let mut connection = connect(url).await?;
    lock(&mut connection, url).await?;
    exclude_servers(&mut connection, url).await?;
    let recorded = recorded(&mut connection, url).await?;
    refuse_unknown(&recorded, STEPS, &url.to_string())?;
    let newest = recorded.last();
    let step = STEPS.iter().find(|step| newest.is_some_and(|newest| newest.version == step.version));
    let (Some(newest), Some(step)) = (newest, step) else { return Ok(None) };
    let count = async |sql| sqlx::query(sql).fetch_one(&mut connection).await?.try_get(0);
    let losses = losses(step, count).await.map_err(|error| StoreError::cannot_open(url, error))?;
    Ok(Some(Undo { step: newest.status(), losses, database: Claimed::Postgres(connection, url.clone()) }))
}

pub(super) async fn undo(
    mut connection: PgConnection,
    url: &PostgresUrl,
    version: i64,
) -> Result<(), StoreError> {
    let undone = revert(&mut connection, version, STEPS).await;
    undone.map_err(|source| StoreError::cannot_open(url, source))?;
    // The locks end with the connection.
    connection.close().await.map_err(StoreError::unavailable)
}

pub(super) async fn status(url: &PostgresUrl) -> Result<Vec<Recorded>, StoreError> {
    let mut connection = connect(url).await?;
    let recorded = recorded(&mut connection, url).await?;
    connection.close().await.map_err(StoreError::unavailable)?;
    Ok(recorded)
}

/// Refuses every schema but this version's, and changes nothing.
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

/// Enough for another migration to end, and for a table in use.
const LOCK_TIMEOUT: &str = "60s";

/// Takes the lock of migrations: there is one at a time. Running servers do not
/// take it.
async fn lock(connection: &mut PgConnection, url: &PostgresUrl) -> Result<(), StoreError> {
    let locked = sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(connection).await;
    locked.map_err(|source| StoreError::cannot_open(url, source))?;
    Ok(())
}

/// "chat" in ASCII, and the kind of the lock; 3 is the lock of running servers.
const LOCK: i64 = 0x6368_6174_0000_0001;

/// Refuses a database that is not in UTF-8: it would fail at the first message
/// with a character that it does not have.
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

/// The steps that a database has, by number; none for one without the table of
/// steps. Unlike a file, it may have tables of other programs.
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

/// A `users` table that was taken over from the original stays.
const MADE_ACCOUNTS: Counted = Counted {
    sql: "SELECT count(*) FROM users WHERE (SELECT value FROM meta WHERE key = 'users') = 'made'",
    ..lost::ACCOUNTS
};

pub(super) const STEPS: &[Step] = &[
    Step {
        version: 1,
        name: "accounts",
        up: include_str!("../../../../migrations/postgres/0001_accounts.up.sql"),
        down: include_str!("../../../../migrations/postgres/0001_accounts.down.sql"),
        loses: &[MADE_ACCOUNTS, lost::SESSIONS],
    },
    Step {
        version: 2,
        name: "log",
        up: include_str!("../../../../migrations/postgres/0002_log.up.sql"),
        down: include_str!("../../../../migrations/postgres/0002_log.down.sql"),
        loses: &[lost::MESSAGES],
    },
    Step {
        version: 3,
        name: "names",
        up: include_str!("../../../../migrations/postgres/0003_names.up.sql"),
        down: include_str!("../../../../migrations/postgres/0003_names.down.sql"),
        loses: &[lost::REMOVED_NAMES],
    },
    Step {
        version: 4,
        name: "sessions",
        up: include_str!("../../../../migrations/postgres/0004_sessions.up.sql"),
        down: include_str!("../../../../migrations/postgres/0004_sessions.down.sql"),
        loses: &[lost::DEVICES],
    },
    Step {
        version: 5,
        name: "conversations",
        up: include_str!("../../../../migrations/postgres/0005_conversations.up.sql"),
        down: include_str!("../../../../migrations/postgres/0005_conversations.down.sql"),
        loses: &[],
    },
    Step {
        version: 6,
        name: "retention",
        up: include_str!("../../../../migrations/postgres/0006_retention.up.sql"),
        down: include_str!("../../../../migrations/postgres/0006_retention.down.sql"),
        loses: &[lost::NONCES],
    },
];
