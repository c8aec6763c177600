//! What a store could not do.

use std::error::Error;
use std::fmt::Display;

use crate::cause;

/// What a store could not do; each names the choice it leaves.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is an account of that name, or there was one: take another.
    #[error("username already exists")]
    NameTaken,
    /// It could be mistaken for the name of another account, or of one that was
    /// removed: take another.
    #[error("username looks too much like an existing one")]
    NameLooksTaken,
    /// The store does not answer, is full, or was closed. Nothing of the call
    /// was stored, unless the connection was lost in the commit itself: the
    /// same drafts may be sent again, their nonces tell. Try again later.
    #[error("the store is not available")]
    Unavailable {
        /// What the database said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Something is stored that this program did not write: repair it, or
    /// restore a backup.
    #[error("the store holds {what}")]
    Damaged {
        /// What was found, as in "a negative number".
        what: &'static str,
    },
    /// A server, or another command, has the database: stop that one first.
    #[error("the database {database} is in use by another server")]
    InUse {
        /// The database.
        database: String,
    },
    /// There is something in it already: name another, or say that it may go.
    #[error("the database {database} is not empty: --replace deletes what is in it")]
    NotEmpty {
        /// The database.
        database: String,
    },
    /// It belongs to something else and was left as it is: name another.
    #[error("{database} is not a database of this chat")]
    NotOurs {
        /// The database.
        database: String,
    },
    /// The database is not of this version yet: migrate it.
    #[error(
        "the database {database} has schema {found}, this version needs {needed}: run `server migrate up` first"
    )]
    OldSchema {
        /// The database.
        database: String,
        /// Its highest migration, 0 if it has none.
        found: i64,
        /// The highest migration of this program.
        needed: i64,
    },
    /// The database is not of this version any more: install a newer one.
    #[error(
        "the database {database} has schema {found}, this version knows up to {known}: it needs a newer server"
    )]
    NewerSchema {
        /// The database.
        database: String,
        /// Its highest migration.
        found: i64,
        /// The highest migration of this program.
        known: i64,
    },
    /// There is no database to be had there: mend the place, or name another.
    #[error("cannot open the database {database}: {source}")]
    CannotOpen {
        /// The database.
        database: String,
        /// What the system said.
        source: Box<dyn Error + Send + Sync>,
    },
}

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
}
