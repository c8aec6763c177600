//! Migrations of an SQLite file.

use std::path::Path;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};

use super::{Claimed, MigrationStatus, Undo};
use crate::StoreError;
use crate::open_error::read_failed;
use crate::schema::sqlite::{STEPS, recorded, run};
use crate::schema::{Recorded, losses, revert};
use crate::sqlite::DatabaseFile;

pub(super) async fn up(path: &Path) -> Result<Vec<MigrationStatus>, StoreError> {
    let file = DatabaseFile::claim(path)?;
    let mut connection = file.connect().await?;
    let applied = run(&mut connection, file.path()).await?;
    connection.close().await.map_err(StoreError::unavailable)?;
    Ok(applied)
}

pub(super) async fn claim(path: &Path) -> Result<Option<Undo>, StoreError> {
    if !path.exists() {
        return Ok(None);
    }
    let file = DatabaseFile::claim(path)?;
    let mut connection = file.connect().await?;
    let newest = recorded(&mut connection, file.path()).await?.pop();
    let step = STEPS.iter().find(|step| newest.as_ref().is_some_and(|newest| newest.version == step.version));
    let (Some(newest), Some(step)) = (newest, step) else { return Ok(None) };
    let count = async |sql| sqlx::query(sql).fetch_one(&mut connection).await?.try_get(0);
    let losses = losses(step, count).await.map_err(|error| read_failed(path, error))?;
    Ok(Some(Undo { step: newest.status(), losses, database: Claimed::Sqlite(connection, Box::new(file)) }))
}

pub(super) async fn undo(
    mut connection: SqliteConnection,
    file: &DatabaseFile,
    version: i64,
) -> Result<(), StoreError> {
    let undone = revert(&mut connection, version, STEPS).await;
    undone.map_err(|source| StoreError::cannot_open(file.path().display(), source))?;
    connection.close().await.map_err(StoreError::unavailable)
}

pub(super) async fn status(path: &Path) -> Result<Vec<Recorded>, StoreError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut connection = DatabaseFile::look_at(path).await?;
    let recorded = recorded(&mut connection, path).await?;
    connection.close().await.map_err(StoreError::unavailable)?;
    Ok(recorded)
}
