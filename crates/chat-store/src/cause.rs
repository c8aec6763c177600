//! What a database said, in its own words.

use std::error::Error;

use sqlx::migrate::MigrateError;

/// A foreign error that a [`StoreError`](crate::StoreError) carries.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// An error of a database server or of SQLite. sqlx adds the line of *their*
/// source code to it ("at line 334"), which tells an operator nothing.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct DatabaseMessage {
    message: String,
    code: Option<String>,
}

impl DatabaseMessage {
    /// SQLSTATE, or SQLite's extended result code.
    pub(crate) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

/// The same error without what sqlx puts around it.
pub(crate) fn plain(cause: impl Into<Cause>) -> Cause {
    let cause = match cause.into().downcast::<MigrateError>() {
        Ok(error) => match *error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            other => other.into(),
        },
        Err(cause) => cause,
    };
    match cause.downcast::<sqlx::Error>() {
        Ok(error) => match *error {
            sqlx::Error::Database(error) => DatabaseMessage {
                message: error.message().to_owned(),
                code: error.code().map(|code| code.into_owned()),
            }
            .into(),
            sqlx::Error::Io(error) => error.into(),
            other => other.into(),
        },
        Err(cause) => cause,
    }
}
