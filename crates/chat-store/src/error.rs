//! Errors of stores.

use std::error::Error;
#[cfg(feature = "databases")]
use std::fmt::Display;
#[cfg(feature = "sqlite")]
use std::path::Path;

#[cfg(feature = "databases")]
use crate::cause;

/// An error of a store. Each variant documents the choice that it leaves.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is or was an account of this name: choose another name.
    #[error("username already exists")]
    NameTaken,
    /// The name is confusable with the name of another account, or of a removed one:
    /// choose another name.
    #[error("username looks too much like an existing one")]
    NameConfusable,
    /// There are as many accounts as there may be: nobody can register.
    #[error("there are {max} accounts, as many as there may be")]
    TooManyAccounts {
        /// See [`RegistrationTerms::accounts_max`](crate::RegistrationTerms::accounts_max).
        max: u64,
    },
    /// The store does not answer, is full, or was closed. Nothing of the call was
    /// stored, unless the connection was lost during the commit. Retry later; drafts
    /// with a nonce can be sent again in any case.
    #[error("the store is not available")]
    Unavailable {
        /// The error of the database or of the connection.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store contains data that this program did not write: repair it, or restore
    /// a backup.
    #[error("the store contains {what}")]
    Damaged {
        /// The data, as in "a negative number".
        what: &'static str,
    },
    /// Another process has stored something as this start of the server: this one is its copy, as of
    /// a virtual machine that was cloned while it ran. End this process, and start it again.
    #[error("another process has taken this server's place in the database: one is a copy of the other")]
    ServerTwice,
    /// A server or another command uses the database: stop it first.
    #[error("the database {database} is in use by another server or command")]
    InUse {
        /// The database.
        database: String,
    },
    /// The database has data: choose another one, or allow that its data is deleted.
    #[error("the database {database} is not empty")]
    NotEmpty {
        /// The database.
        database: String,
    },
    /// The database belongs to another program and was not changed: choose another
    /// one.
    #[error("{database} is not a database of this chat")]
    NotOurs {
        /// The database.
        database: String,
    },
    /// The schema of the database is older than this version's: migrate it.
    #[error("the database {database} has schema {found}, this version needs {needed}")]
    OldSchema {
        /// The database.
        database: String,
        /// Its highest migration, 0 if it has none.
        found: i64,
        /// The highest migration of this version.
        needed: i64,
    },
    /// The schema of the database is newer than this version's: install a newer
    /// version.
    #[error(
        "the database {database} has schema {found}, this version knows up to {known}: it needs a newer server"
    )]
    NewerSchema {
        /// The database.
        database: String,
        /// Its highest migration.
        found: i64,
        /// The highest migration of this version.
        known: i64,
    },
    /// The database cannot be opened: remove the cause, or choose another one.
    #[error("cannot open the database {database}: {source}")]
    CannotOpen {
        /// The database.
        database: String,
        /// The error of the database or of the operating system.
        source: Box<dyn Error + Send + Sync>,
    },
}

#[cfg(feature = "databases")]
impl StoreError {
    pub(crate) fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable { source: cause::plain(source) }
    }

    pub(crate) fn cannot_open(
        database: impl Display,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::CannotOpen { database: database.to_string(), source: cause::plain(source) }
    }

    /// The error for an SQLite file where the feature `sqlite` is missing.
    #[cfg(not(feature = "sqlite"))]
    pub(crate) fn without_sqlite(url: &crate::DatabaseUrl) -> Self {
        Self::cannot_open(url, crate::DatabaseUrlError::WithoutSqlite)
    }

    /// Names the file of the database in an error that has no name yet.
    #[cfg(feature = "sqlite")]
    pub(crate) fn in_file(self, path: &Path) -> Self {
        match self {
            Self::Unavailable { source } => Self::Unavailable { source: cause::in_file(source, path) },
            other => other,
        }
    }
}
