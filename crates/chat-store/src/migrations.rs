//! Migrations: bringing a database to this version's schema, and back.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "postgres")]
use sqlx::postgres::PgConnection;
#[cfg(feature = "sqlite")]
use sqlx::sqlite::SqliteConnection;

#[cfg(feature = "postgres")]
use crate::PostgresUrl;
use crate::schema::{self, Recorded};
pub use crate::schema::{Loss, MigrationStatus};
#[cfg(feature = "sqlite")]
use crate::sqlite::DatabaseFile;
use crate::{DatabaseUrl, StoreError};

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
        #[cfg(feature = "sqlite")]
        DatabaseUrl::Sqlite(path) => sqlite::up(path).await,
        #[cfg(not(feature = "sqlite"))]
        DatabaseUrl::Sqlite(_) => Err(StoreError::without_sqlite(url)),
        #[cfg(feature = "postgres")]
        DatabaseUrl::Postgres(url) => postgres::up(url).await,
        #[cfg(not(feature = "postgres"))]
        DatabaseUrl::Postgres(url) => url.absurd(),
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
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteConnection, Box<DatabaseFile>),
    #[cfg(feature = "postgres")]
    Postgres(PgConnection, PostgresUrl),
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
            #[cfg(feature = "sqlite")]
            DatabaseUrl::Sqlite(path) => sqlite::claim(path).await,
            #[cfg(not(feature = "sqlite"))]
            DatabaseUrl::Sqlite(_) => Err(StoreError::without_sqlite(url)),
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(url) => postgres::claim(url).await,
            #[cfg(not(feature = "postgres"))]
            DatabaseUrl::Postgres(url) => url.absurd(),
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
    /// [`StoreError::InUse`] if a server has connected to a Postgres since the claim,
    /// and [`StoreError::CannotOpen`] with the database's message.
    pub async fn run(self) -> Result<MigrationStatus, StoreError> {
        let version = self.step.version;
        match self.database {
            #[cfg(feature = "sqlite")]
            Claimed::Sqlite(connection, file) => sqlite::undo(connection, &file, version).await?,
            #[cfg(feature = "postgres")]
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
        #[cfg(not(feature = "sqlite"))]
        DatabaseUrl::Sqlite(_) => return Err(StoreError::without_sqlite(url)),
        #[cfg(feature = "sqlite")]
        DatabaseUrl::Sqlite(path) => (sqlite::status(path).await?, schema::sqlite::STEPS),
        #[cfg(not(feature = "postgres"))]
        DatabaseUrl::Postgres(url) => url.absurd(),
        #[cfg(feature = "postgres")]
        DatabaseUrl::Postgres(url) => (postgres::status(url).await?, schema::postgres::STEPS),
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
