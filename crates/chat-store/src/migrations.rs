//! The schema of a database and how it came about: SQL in `migrations/` at the
//! root of the workspace, carried in the program.
//!
//! Each step has a way back. Applied steps are recorded in the database with a
//! checksum of their text, so that a published one cannot be changed unnoticed.

pub(crate) mod postgres;
pub(crate) mod sqlite;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType};

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

/// Brings a database to this version's schema. An SQLite file is made if it is
/// not there, and a store that opens one does the same. In Postgres it happens
/// only here: of two that start at once the second waits for the first, and a
/// database of the original chat keeps its accounts. A memory store has
/// nothing to do.
pub async fn up(url: &DatabaseUrl) -> Result<(), StoreError> {
    match url {
        DatabaseUrl::Sqlite(path) => sqlite::up(path).await,
        DatabaseUrl::Postgres(url) => postgres::up(url).await,
        DatabaseUrl::Memory => Ok(()),
    }
}

/// Takes the newest step back, with all data that it made room for, and says
/// which it was; `None` if there is none left.
///
/// The accounts of the original chat, where they were there before the first
/// step, stay: those who came since, or whose password was hashed anew, have a
/// hash there that the original does not know.
pub async fn down(url: &DatabaseUrl) -> Result<Option<MigrationStatus>, StoreError> {
    let undone = match url {
        DatabaseUrl::Sqlite(path) => sqlite::down(path).await?,
        DatabaseUrl::Postgres(url) => postgres::down(url).await?,
        DatabaseUrl::Memory => None,
    };
    Ok(undone.map(|step| MigrationStatus { version: step.version, name: step.name, applied: false }))
}

/// The steps that this program knows or the database has, by number. It asks
/// for no lock and changes nothing: a server may be running.
pub async fn status(url: &DatabaseUrl) -> Result<Vec<MigrationStatus>, StoreError> {
    let (recorded, known) = match url {
        DatabaseUrl::Sqlite(path) => (sqlite::status(path).await?, sqlite::STEPS),
        DatabaseUrl::Postgres(url) => (postgres::status(url).await?, postgres::STEPS),
        DatabaseUrl::Memory => return Ok(Vec::new()),
    };
    let mut steps: Vec<_> = recorded
        .into_iter()
        .map(|Recorded { version, name, .. }| MigrationStatus { version, name, applied: true })
        .collect();
    for step in known {
        if steps.iter().all(|known| known.version != step.version) {
            steps.push(MigrationStatus { version: step.version, name: step.name.into(), applied: false });
        }
    }
    steps.sort_by_key(|step| step.version);
    Ok(steps)
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

/// A step that a database has.
struct Recorded {
    version: i64,
    name: String,
    checksum: Vec<u8>,
}

/// Refuses what another program recorded: some use the same table.
fn refuse_others(recorded: &[Recorded], steps: &[Step], database: &str) -> Result<(), StoreError> {
    match (recorded.first(), steps.first()) {
        (Some(found), Some(ours)) if (found.version, found.name.as_str()) != (ours.version, ours.name) => {
            Err(StoreError::NotOurs { database: database.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Refuses the steps of a newer version, and a database whose steps were other ones.
fn refuse_unknown(recorded: &[Recorded], steps: &[Step], database: &str) -> Result<(), StoreError> {
    let known = steps.last().map_or(0, |step| step.version);
    for recorded in recorded.iter().rev() {
        let found = recorded.version;
        let Some(step) = steps.iter().find(|step| step.version == found) else {
            return Err(StoreError::NewerSchema { database: database.to_owned(), found, known });
        };
        if step.up().checksum != recorded.checksum {
            let changed = format!("its migration {found} is not the one of this version");
            return Err(StoreError::cannot_open(database, changed));
        }
    }
    Ok(())
}

/// Applies what is missing, each step in a transaction. The caller holds the
/// database's lock: two at once would both find a step missing.
///
/// By hand instead of by sqlx's `Migrator`, whose futures are not `Send` with a
/// single connection (`Acquire` is "not general enough").
async fn apply_missing(
    connection: &mut impl Migrate,
    recorded: &[Recorded],
    steps: &[Step],
) -> Result<(), MigrateError> {
    connection.ensure_migrations_table(TABLE).await?;
    for step in steps {
        if recorded.iter().all(|done| done.version != step.version) {
            connection.apply(TABLE, &step.up()).await?;
        }
    }
    Ok(())
}

/// Takes a step back. That it is one of ours was checked before.
async fn revert(
    connection: &mut impl Migrate,
    undone: &Recorded,
    steps: &[Step],
) -> Result<(), MigrateError> {
    if let Some(step) = steps.iter().find(|step| step.version == undone.version) {
        connection.revert(TABLE, &step.down()).await?;
    }
    Ok(())
}

/// Where sqlx records the steps of a database.
const TABLE: &str = "_sqlx_migrations";
