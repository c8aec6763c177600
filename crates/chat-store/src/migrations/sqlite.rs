//! The schema of an SQLite file.

use std::path::Path;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};

use super::{
    Claimed, MigrationStatus, Recorded, Step, Undo, apply_missing, losses, lost, refuse_others,
    refuse_unknown, revert,
};
use crate::StoreError;
use crate::sqlite::{DatabaseFile, explained};

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

/// Refuses, before anything is written, a database of another program or of a
/// newer version of this one, and one whose steps have another text.
pub(crate) async fn check(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let recorded = recorded(connection, path).await?;
    refuse_unknown(&recorded, STEPS, &path.display().to_string())
}

/// Refuses a file that is not the database of a chat; an empty file is not.
pub(crate) async fn check_ours(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let recorded = recorded(connection, path).await?;
    if recorded.iter().all(|step| step.version < LOG) {
        return Err(not_ours(path));
    }
    refuse_unknown(&recorded, STEPS, &path.display().to_string())
}

/// The step that creates the log, and the table with the store's own facts.
const LOG: i64 = 2;

/// Applies the missing steps and returns them. The caller holds the file's lock.
pub(crate) async fn run(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<Vec<MigrationStatus>, StoreError> {
    let recorded = recorded(connection, path).await?;
    let applied = apply_missing(connection, &recorded, STEPS).await;
    applied.map_err(|source| explained(path, StoreError::cannot_open(path.display(), source)))
}

/// The steps that a database has, by number; none for an empty one.
async fn recorded(connection: &mut SqliteConnection, path: &Path) -> Result<Vec<Recorded>, StoreError> {
    let failed = |error| read_failed(path, error);
    let tables = sqlx::query("SELECT count(*), count(*) FILTER (WHERE name = '_sqlx_migrations') FROM sqlite_schema WHERE type = 'table'")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let (all, ours): (i64, i64) = (tables.try_get(0).map_err(failed)?, tables.try_get(1).map_err(failed)?);
    if ours == 0 {
        return if all == 0 { Ok(Vec::new()) } else { Err(not_ours(path)) };
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
    refuse_others(&steps, STEPS, &path.display().to_string())?;
    Ok(steps)
}

/// Translates an error of the first queries on a file.
pub(crate) fn read_failed(path: &Path, error: sqlx::Error) -> StoreError {
    // https://sqlite.org/rescode.html#notadb
    const NOT_A_DATABASE: &str = "26";
    let code = error.as_database_error().and_then(|e| e.code());
    match code.as_deref() {
        Some(NOT_A_DATABASE) => not_ours(path),
        _ => explained(path, StoreError::cannot_open(path.display(), error)),
    }
}

fn not_ours(path: &Path) -> StoreError {
    StoreError::NotOurs { database: path.display().to_string() }
}

pub(super) const STEPS: &[Step] = &[
    Step {
        version: 1,
        name: "accounts",
        up: include_str!("../../../../migrations/sqlite/0001_accounts.up.sql"),
        down: include_str!("../../../../migrations/sqlite/0001_accounts.down.sql"),
        loses: &[lost::ACCOUNTS, lost::SESSIONS],
    },
    Step {
        version: 2,
        name: "log",
        up: include_str!("../../../../migrations/sqlite/0002_log.up.sql"),
        down: include_str!("../../../../migrations/sqlite/0002_log.down.sql"),
        loses: &[lost::MESSAGES],
    },
    Step {
        version: 3,
        name: "names",
        up: include_str!("../../../../migrations/sqlite/0003_names.up.sql"),
        down: include_str!("../../../../migrations/sqlite/0003_names.down.sql"),
        loses: &[lost::REMOVED_NAMES],
    },
    Step {
        version: 4,
        name: "sessions",
        up: include_str!("../../../../migrations/sqlite/0004_sessions.up.sql"),
        down: include_str!("../../../../migrations/sqlite/0004_sessions.down.sql"),
        loses: &[lost::DEVICES],
    },
    Step {
        version: 5,
        name: "conversations",
        up: include_str!("../../../../migrations/sqlite/0005_conversations.up.sql"),
        down: include_str!("../../../../migrations/sqlite/0005_conversations.down.sql"),
        loses: &[],
    },
    Step {
        version: 6,
        name: "retention",
        up: include_str!("../../../../migrations/sqlite/0006_retention.up.sql"),
        down: include_str!("../../../../migrations/sqlite/0006_retention.down.sql"),
        loses: &[lost::NONCES],
    },
];
