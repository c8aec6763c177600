//! The steps of a database's schema: SQL in `migrations/` at the root of the
//! workspace, embedded in the program.
//!
//! Each step can be undone. Applied steps are recorded in the database with a
//! checksum of their text, so that a change to a published step is noticed.

pub(crate) mod postgres;
pub(crate) mod sqlite;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;

use crate::sqlite::DatabaseFile;
use crate::{DatabaseUrl, PostgresUrl, StoreError};

/// One step of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number, from 1.
    pub version: i64,
    /// Its subject, in a word.
    pub name: String,
    /// Whether the database has the step.
    pub applied: bool,
}

/// Brings a database to this version's schema; returns the steps that were
/// applied. An SQLite file is created if it is missing. Opening one with
/// [`Stores::open`](crate::Stores::open) migrates it too, while a Postgres
/// database is migrated only here: of two calls at the same time the second one
/// waits, and a database of the original chat keeps its accounts. A memory store
/// has no steps.
///
/// # Errors
/// [`StoreError::InUse`] if a server has an SQLite file, and the errors of opening
/// a database.
pub async fn up(url: &DatabaseUrl) -> Result<Vec<MigrationStatus>, StoreError> {
    match url {
        DatabaseUrl::Sqlite(path) => sqlite::up(path).await,
        DatabaseUrl::Postgres(url) => postgres::up(url).await,
        DatabaseUrl::Memory => Ok(Vec::new()),
    }
}

/// Undoes the newest step, without a question about the data that it loses;
/// returns the step, or `None` if there is none left. See [`Undo`].
///
/// # Errors
/// Those of [`Undo::claim`] and [`Undo::run`].
pub async fn down(url: &DatabaseUrl) -> Result<Option<MigrationStatus>, StoreError> {
    match Undo::claim(url).await? {
        Some(undo) => undo.run().await.map(Some),
        None => Ok(None),
    }
}

/// The newest step of a database, about to be undone. No server can start on the
/// database while this value lives. Dropped, it has changed nothing.
pub struct Undo {
    step: MigrationStatus,
    losses: Vec<Loss>,
    database: Claimed,
}

/// A database that no server uses.
enum Claimed {
    Sqlite(SqliteConnection, Box<DatabaseFile>),
    Postgres(PgConnection, PostgresUrl),
}

/// Rows that undoing a step deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// How many rows.
    pub rows: u64,
    /// What a row is: "message".
    pub one: &'static str,
    /// The same for several: "messages".
    pub many: &'static str,
}

impl Undo {
    /// Finds the newest step and counts what undoing it would delete. `None`: the
    /// database has no steps.
    ///
    /// The accounts of the original chat, if they existed before the first step,
    /// stay: users who registered since, or whose password was hashed again, have
    /// a hash there that the original cannot verify.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if a server is connected to the database, and the
    /// errors of opening one.
    pub async fn claim(url: &DatabaseUrl) -> Result<Option<Self>, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) => sqlite::claim(path).await,
            DatabaseUrl::Postgres(url) => postgres::claim(url).await,
            DatabaseUrl::Memory => Ok(None),
        }
    }

    /// The step that would be undone.
    pub fn step(&self) -> &MigrationStatus {
        &self.step
    }

    /// What undoing the step would delete; empty if it loses nothing.
    pub fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// Undoes the step, in one transaction, and returns it.
    ///
    /// # Errors
    /// [`StoreError::CannotOpen`] with the database's message.
    pub async fn run(self) -> Result<MigrationStatus, StoreError> {
        let version = self.step.version;
        match self.database {
            Claimed::Sqlite(connection, file) => sqlite::undo(connection, &file, version).await?,
            Claimed::Postgres(connection, url) => postgres::undo(connection, &url, version).await?,
        }
        Ok(MigrationStatus { applied: false, ..self.step })
    }
}

/// Lists the steps that this program knows or the database has, by number. It
/// takes no lock and changes nothing: a server may be running.
///
/// # Errors
/// Those of opening a database.
pub async fn status(url: &DatabaseUrl) -> Result<Vec<MigrationStatus>, StoreError> {
    let (recorded, known) = match url {
        DatabaseUrl::Sqlite(path) => (sqlite::status(path).await?, sqlite::STEPS),
        DatabaseUrl::Postgres(url) => (postgres::status(url).await?, postgres::STEPS),
        DatabaseUrl::Memory => return Ok(Vec::new()),
    };
    let mut steps: Vec<_> = recorded.iter().map(Recorded::status).collect();
    for step in known {
        if steps.iter().all(|known| known.version != step.version) {
            steps.push(MigrationStatus { version: step.version, name: step.name.into(), applied: false });
        }
    }
    steps.sort_by_key(|step| step.version);
    Ok(steps)
}

/// A step, and how to undo it.
struct Step {
    version: i64,
    name: &'static str,
    up: &'static str,
    down: &'static str,
    /// What undoing the step deletes.
    loses: &'static [Counted],
}

/// A kind of rows, and the query that counts them.
struct Counted {
    one: &'static str,
    many: &'static str,
    sql: &'static str,
}

/// The queries count the same in both databases, and stand here once.
mod lost {
    use super::Counted;

    pub(super) const ACCOUNTS: Counted =
        Counted { one: "account", many: "accounts", sql: "SELECT count(*) FROM users" };
    pub(super) const SESSIONS: Counted =
        Counted { one: "session", many: "sessions", sql: "SELECT count(*) FROM sessions" };
    pub(super) const MESSAGES: Counted =
        Counted { one: "message", many: "messages", sql: "SELECT count(*) FROM entries" };
    pub(super) const REMOVED_NAMES: Counted = Counted {
        one: "reserved name of a removed account",
        many: "reserved names of removed accounts",
        sql: "SELECT count(*) FROM names WHERE NOT EXISTS
                (SELECT 1 FROM users WHERE users.username = names.username)",
    };
    pub(super) const DEVICES: Counted = Counted {
        one: "device and address of a session",
        many: "devices and addresses of sessions",
        sql: "SELECT count(*) FROM sessions WHERE device <> '' OR address <> ''",
    };
    pub(super) const NONCES: Counted = Counted {
        one: "nonce of a deleted message",
        many: "nonces of deleted messages",
        sql: "SELECT count(*) FROM outlived_nonces",
    };
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

impl Recorded {
    fn status(&self) -> MigrationStatus {
        MigrationStatus { version: self.version, name: self.name.clone(), applied: true }
    }
}

/// What undoing the newest step deletes. `count` counts with one query.
async fn losses(
    step: &Step,
    mut count: impl AsyncFnMut(&'static str) -> Result<i64, sqlx::Error>,
) -> Result<Vec<Loss>, sqlx::Error> {
    let mut losses = Vec::new();
    for Counted { one, many, sql } in step.loses {
        if let Ok(rows @ 1..) = u64::try_from(count(sql).await?) {
            losses.push(Loss { rows, one, many });
        }
    }
    Ok(losses)
}

/// Refuses steps that another program recorded: some programs use the same table.
fn refuse_others(recorded: &[Recorded], steps: &[Step], database: &str) -> Result<(), StoreError> {
    match (recorded.first(), steps.first()) {
        (Some(found), Some(ours)) if (found.version, found.name.as_str()) != (ours.version, ours.name) => {
            Err(StoreError::NotOurs { database: database.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Refuses the steps of a newer version, and steps with another text than this version's.
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

/// Applies the missing steps, each in a transaction, and returns them. The caller
/// holds the database's lock: two at once would both find a step missing.
///
/// By hand instead of by sqlx's `Migrator`, whose futures are not `Send` with a
/// single connection (`Acquire` is "not general enough").
async fn apply_missing(
    connection: &mut impl Migrate,
    recorded: &[Recorded],
    steps: &[Step],
) -> Result<Vec<MigrationStatus>, MigrateError> {
    connection.ensure_migrations_table(TABLE).await?;
    let mut applied = Vec::new();
    for step in steps {
        if recorded.iter().all(|done| done.version != step.version) {
            connection.apply(TABLE, &step.up()).await?;
            applied.push(MigrationStatus { version: step.version, name: step.name.into(), applied: true });
        }
    }
    Ok(applied)
}

/// Undoes a step. That it is one of ours was checked before.
async fn revert(connection: &mut impl Migrate, version: i64, steps: &[Step]) -> Result<(), MigrateError> {
    if let Some(step) = steps.iter().find(|step| step.version == version) {
        connection.revert(TABLE, &step.down()).await?;
    }
    Ok(())
}

/// The table in which sqlx records the steps of a database.
const TABLE: &str = "_sqlx_migrations";
