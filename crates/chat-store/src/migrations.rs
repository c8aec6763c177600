//! The schema of a database and how it came about: SQL in `migrations/` at the
//! root of the workspace, carried in the program.
//!
//! Each step has a way back. Applied steps are recorded in the database with a
//! checksum of their text, so that a published one cannot be changed unnoticed.

use std::path::Path;

use sqlx::migrate::{Migrate as _, Migration, MigrationType};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _, SqlSafeStr as _};

use crate::sqlite::DatabaseFile;
use crate::{DatabaseUrl, StoreError};

/// One step of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number, from 1.
    pub version: i64,
    /// What it is about, in a word.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

/// Brings a database to this version's schema; it is made if it is not there.
/// A store that opens one does the same. A memory store has nothing to do.
pub async fn up(url: &DatabaseUrl) -> Result<(), StoreError> {
    let DatabaseUrl::Sqlite(path) = url else { return Ok(()) };
    let file = DatabaseFile::claim(path)?;
    let mut connection = file.connect().await?;
    run(&mut connection, file.path()).await?;
    connection.close().await.map_err(StoreError::unavailable)
}

/// Takes the newest step back, with all data that it made room for, and says
/// which it was; `None` if there is none left.
pub async fn down(url: &DatabaseUrl) -> Result<Option<MigrationStatus>, StoreError> {
    let DatabaseUrl::Sqlite(path) = url else { return Ok(None) };
    if !path.exists() {
        return Ok(None);
    }
    let file = DatabaseFile::claim(path)?;
    let mut connection = file.connect().await?;
    let undone = recorded(&mut connection, file.path()).await?.pop();
    // That it is one of ours was checked when the file was opened.
    let way_back =
        undone.as_ref().and_then(|undone| STEPS.iter().find(|step| step.version == undone.version));
    if let Some(step) = way_back {
        connection
            .revert(TABLE, &step.down())
            .await
            .map_err(|source| StoreError::cannot_open(file.path(), source))?;
    }
    connection.close().await.map_err(StoreError::unavailable)?;
    Ok(undone.map(|step| MigrationStatus { version: step.version, name: step.name, applied: false }))
}

/// The steps that this program knows or the database has, by number. It asks
/// for no lock and changes nothing: a server may be running.
pub async fn status(url: &DatabaseUrl) -> Result<Vec<MigrationStatus>, StoreError> {
    let DatabaseUrl::Sqlite(path) = url else { return Ok(Vec::new()) };
    let mut steps = Vec::new();
    if path.exists() {
        let mut connection = DatabaseFile::look_at(path).await?;
        for Recorded { version, name, .. } in recorded(&mut connection, path).await? {
            steps.push(MigrationStatus { version, name, applied: true });
        }
        connection.close().await.map_err(StoreError::unavailable)?;
    }
    for step in STEPS {
        if steps.iter().all(|known| known.version != step.version) {
            steps.push(MigrationStatus { version: step.version, name: step.name.into(), applied: false });
        }
    }
    steps.sort_by_key(|step| step.version);
    Ok(steps)
}

/// Refuses, before anything is written, what belongs to another program or to
/// a newer version of this one, and a database whose steps were other ones.
pub(crate) async fn check(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let known = STEPS.last().map_or(0, |step| step.version);
    for recorded in recorded(connection, path).await?.iter().rev() {
        let found = recorded.version;
        let Some(step) = STEPS.iter().find(|step| step.version == found) else {
            return Err(StoreError::NewerSchema { path: path.into(), found, known });
        };
        if step.up().checksum != recorded.checksum {
            let changed = format!("its migration {found} is not the one of this version");
            return Err(StoreError::cannot_open(path, changed));
        }
    }
    Ok(())
}

/// Applies what is missing, each step in a transaction. The caller holds the
/// database's lock: two at once would both find a step missing.
///
/// By hand instead of by sqlx's `Migrator`, whose futures are not `Send` with a
/// single connection (`Acquire` is "not general enough").
pub(crate) async fn run(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::cannot_open(path, source);
    let applied = recorded(connection, path).await?;
    connection.ensure_migrations_table(TABLE).await.map_err(failed)?;
    for step in STEPS {
        if applied.iter().all(|done| done.version != step.version) {
            connection.apply(TABLE, &step.up()).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// A step that a database has.
struct Recorded {
    version: i64,
    name: String,
    checksum: Vec<u8>,
}

/// What a database says it has, by number; nothing for an empty one.
async fn recorded(connection: &mut SqliteConnection, path: &Path) -> Result<Vec<Recorded>, StoreError> {
    let failed = |error| read_failed(path, error);
    let tables = sqlx::query("SELECT count(*), count(*) FILTER (WHERE name = '_sqlx_migrations') FROM sqlite_schema WHERE type = 'table'")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let (all, ours): (i64, i64) = (tables.try_get(0).map_err(failed)?, tables.try_get(1).map_err(failed)?);
    if ours == 0 {
        let empty = all == 0;
        return if empty { Ok(Vec::new()) } else { Err(StoreError::NotOurs { path: path.into() }) };
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
    // Other programs use the same table.
    if let (Some(found), Some(ours)) = (steps.first(), STEPS.first())
        && (found.version, found.name.as_str()) != (ours.version, ours.name)
    {
        return Err(StoreError::NotOurs { path: path.into() });
    }
    Ok(steps)
}

/// Translates the failure of a first look at a file.
pub(crate) fn read_failed(path: &Path, error: sqlx::Error) -> StoreError {
    // https://sqlite.org/rescode.html#notadb
    const NOT_A_DATABASE: &str = "26";
    let code = error.as_database_error().and_then(|e| e.code());
    match code.as_deref() {
        Some(NOT_A_DATABASE) => StoreError::NotOurs { path: path.into() },
        _ => StoreError::cannot_open(path, error),
    }
}

/// A step, and the way back.
struct Step {
    version: i64,
    name: &'static str,
    up: &'static str,
    down: &'static str,
}

impl Step {
    fn up(&self) -> Migration {
        self.migration(MigrationType::ReversibleUp, self.up)
    }

    fn down(&self) -> Migration {
        self.migration(MigrationType::ReversibleDown, self.down)
    }

    fn migration(&self, kind: MigrationType, sql: &'static str) -> Migration {
        Migration::new(self.version, self.name.into(), kind, sql.into_sql_str(), false)
    }
}

/// Where sqlx records the steps of a database.
const TABLE: &str = "_sqlx_migrations";

const STEPS: &[Step] = &[
    Step {
        version: 1,
        name: "accounts",
        up: include_str!("../../../migrations/sqlite/0001_accounts.up.sql"),
        down: include_str!("../../../migrations/sqlite/0001_accounts.down.sql"),
    },
    Step {
        version: 2,
        name: "log",
        up: include_str!("../../../migrations/sqlite/0002_log.up.sql"),
        down: include_str!("../../../migrations/sqlite/0002_log.down.sql"),
    },
];
