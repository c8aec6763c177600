//! Migrations of a Postgres database.

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

use super::{Claimed, MigrationStatus, Undo};
use crate::postgres::{connect, exclude_connected, exclude_servers};
use crate::schema::postgres::{STEPS, recorded, usable};
use crate::schema::{Recorded, apply_missing, losses, refuse_unknown, revert};
use crate::{PostgresUrl, StoreError};

pub(super) async fn up(url: &PostgresUrl) -> Result<Vec<MigrationStatus>, StoreError> {
    let mut connection = connect(url).await?;
    refuse_encoding(&mut connection, url).await?;
    lock(&mut connection, url).await?;
    let recorded = usable(&mut connection, url).await?;
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
    // Since the claim, a person may have thought about it for long.
    exclude_connected(&mut connection, url).await?;
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

/// Takes the lock of migrations: there is one at a time. Running servers do not
/// take it.
async fn lock(connection: &mut PgConnection, url: &PostgresUrl) -> Result<(), StoreError> {
    let locked = sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(connection).await;
    locked.map_err(|source| StoreError::cannot_open(url, source))?;
    Ok(())
}

/// "chat" in ASCII, and a number. The lock of running servers has two keys of 32 bits,
/// which Postgres keeps apart from this one.
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
