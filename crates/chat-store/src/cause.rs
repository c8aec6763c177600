//! Foreign errors, as far as they are shown to an operator.

use std::error::Error;
#[cfg(feature = "sqlite")]
use std::path::Path;

use sqlx::migrate::MigrateError;
#[cfg(feature = "sqlite")]
use sqlx::sqlite::SqliteError;

/// A foreign error that a [`StoreError`](crate::StoreError) carries.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// The message of a database server or of SQLite, without the line of their source code
/// that sqlx adds ("at line 334").
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct DatabaseMessage {
    message: String,
    code: Option<String>,
}

#[cfg(feature = "sqlite")]
impl DatabaseMessage {
    /// SQLSTATE, or SQLite's extended result code.
    pub(crate) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

/// The same error without the text that sqlx puts around it.
pub(crate) fn plain(cause: impl Into<Cause>) -> Cause {
    let cause = match cause.into().downcast::<MigrateError>() {
        Ok(error) => match *error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            other => other.into(),
        },
        Err(cause) => cause,
    };
    #[cfg(feature = "sqlite")]
    let cause = match cause.downcast::<rusqlite::Error>() {
        Ok(error) => match *error {
            rusqlite::Error::SqliteFailure(failure, message) => {
                let code = failure.extended_code.to_string();
                let meaning = sqlite_meaning(&code).map(str::to_owned).or(message);
                let message = meaning.unwrap_or_else(|| failure.to_string());
                return DatabaseMessage { message, code: Some(code) }.into();
            }
            other => other.into(),
        },
        Err(cause) => cause,
    };
    match cause.downcast::<sqlx::Error>() {
        Ok(error) => match *error {
            sqlx::Error::Database(error) => {
                let code = error.code().map(|code| code.into_owned());
                #[cfg(feature = "sqlite")]
                if error.try_downcast_ref::<SqliteError>().is_some()
                    && let Some(meaning) = code.as_deref().and_then(sqlite_meaning)
                {
                    return DatabaseMessage { message: meaning.to_owned(), code }.into();
                }
                DatabaseMessage { message: error.message().to_owned(), code }.into()
            }
            sqlx::Error::Io(error) => error.into(),
            other => other.into(),
        },
        Err(cause) => cause,
    }
}

/// The same error with the file in which it happened.
#[cfg(feature = "sqlite")]
pub(crate) fn in_file(cause: Cause, path: &Path) -> Cause {
    match cause.downcast::<DatabaseMessage>() {
        Ok(error) => {
            let message = format!("{}: {}", path.display(), error.message);
            DatabaseMessage { message, code: error.code }.into()
        }
        Err(cause) => format!("{}: {cause}", path.display()).into(),
    }
}

/// Whether SQLite says that a file is damaged, or is no database.
#[cfg(feature = "sqlite")]
pub(crate) fn is_damaged_file(cause: &Cause) -> bool {
    let message = cause.downcast_ref::<DatabaseMessage>();
    let code = message.and_then(DatabaseMessage::code).and_then(sqlite_code);
    matches!(code, Some(CORRUPT | NOTADB))
}

/// What a result code of SQLite means, where its own message ("disk I/O error") leaves
/// an operator without the cause.
#[cfg(feature = "sqlite")]
fn sqlite_meaning(code: &str) -> Option<&'static str> {
    match sqlite_code(code)? {
        BUSY | LOCKED => Some("another process has locked the file"),
        READONLY => Some("the file or its folder is read-only"),
        IOERR => Some("the file cannot be read or written: the disk may be full or broken"),
        FULL => Some("the disk is full"),
        CANTOPEN => Some("the file cannot be opened: its folder or the permission may be missing"),
        _ => None,
    }
}

/// The result code in the low byte of an extended one, see
/// <https://sqlite.org/rescode.html>.
#[cfg(feature = "sqlite")]
pub(crate) fn sqlite_code(extended: &str) -> Option<u32> {
    extended.parse::<u32>().ok().map(|code| code & 0xff)
}

#[cfg(feature = "sqlite")]
const BUSY: u32 = 5;
#[cfg(feature = "sqlite")]
const LOCKED: u32 = 6;
#[cfg(feature = "sqlite")]
const CORRUPT: u32 = 11;
#[cfg(feature = "sqlite")]
const NOTADB: u32 = 26;
#[cfg(feature = "sqlite")]
pub(crate) const READONLY: u32 = 8;
#[cfg(feature = "sqlite")]
pub(crate) const IOERR: u32 = 10;
#[cfg(feature = "sqlite")]
pub(crate) const FULL: u32 = 13;
#[cfg(feature = "sqlite")]
pub(crate) const CANTOPEN: u32 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_sqlite_have_a_meaning_for_an_operator() {
        // SQLITE_IOERR_SHMSIZE: the `-shm` file cannot grow, as on a full disk.
        assert_eq!(
            sqlite_meaning("4874"),
            Some("the file cannot be read or written: the disk may be full or broken")
        );
        // SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT.
        for code in ["5", "517"] {
            assert_eq!(sqlite_meaning(code), Some("another process has locked the file"));
        }
        // SQLITE_CONSTRAINT has a message of its own.
        assert_eq!(sqlite_meaning("19"), None);
    }

    #[tokio::test]
    async fn a_full_file_is_reported_without_the_words_of_sqlite() {
        let mut connection =
            sqlx::ConnectOptions::connect(&sqlx::sqlite::SqliteConnectOptions::new()).await.unwrap();
        let fill = "PRAGMA max_page_count = 2; CREATE TABLE a (x); CREATE TABLE b (x);";
        let error = sqlx::raw_sql(fill).execute(&mut connection).await.unwrap_err();
        assert!(error.to_string().contains("code: 13"), "{error}");
        assert_eq!(plain(error).to_string(), "the disk is full");
    }
}
