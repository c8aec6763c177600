//! The address of a database.

use std::fmt;
use std::path::PathBuf;
#[cfg(feature = "postgres")]
use std::str::FromStr as _;

#[cfg(feature = "postgres")]
use sqlx::postgres::PgConnectOptions;

/// The address of a database, as an operator writes it. `Display` and `Debug` show no
/// password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// `sqlite:chat.db`, `sqlite:///var/lib/chat/chat.db`: a file, created if it is
    /// missing.
    Sqlite(PathBuf),
    /// `postgres://user:password@host/database`: an existing database, which must be
    /// migrated before it is opened.
    Postgres(PostgresUrl),
    /// `memory:`: the memory of the server's process.
    Memory,
}

/// The address of a Postgres database.
#[cfg(feature = "postgres")]
#[derive(Clone)]
pub struct PostgresUrl {
    text: String,
    options: Box<PgConnectOptions>,
}

/// The address of a Postgres database, of which there is none without the feature `postgres`.
#[cfg(not(feature = "postgres"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl(std::convert::Infallible);

impl DatabaseUrl {
    /// Parses `sqlite:path`, `sqlite://path`, `postgres://…`, `postgresql://…` or
    /// `memory:`. The path of a file is taken literally: `%` has no special meaning, and
    /// `?` is refused. A Postgres address has the syntax of libpq: `?sslmode=…` sets
    /// whether the connection is encrypted (default `prefer`), and parts that it lacks
    /// come from `PGUSER`, `PGPASSWORD` and so on.
    ///
    /// # Errors
    ///
    /// See [`DatabaseUrlError`].
    pub fn parse(url: &str) -> Result<Self, DatabaseUrlError> {
        let (scheme, rest) = url.split_once(':').ok_or(DatabaseUrlError::NoScheme)?;
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err(DatabaseUrlError::MemoryWithPath),
            #[cfg(feature = "sqlite")]
            "sqlite" => match rest.strip_prefix("//").unwrap_or(rest) {
                "" => Err(DatabaseUrlError::NoPath),
                ":memory:" => Err(DatabaseUrlError::SqliteInMemory),
                path if path.contains(['?', '\0']) => Err(DatabaseUrlError::Options),
                path => Ok(Self::Sqlite(path.into())),
            },
            #[cfg(not(feature = "sqlite"))]
            "sqlite" => Err(DatabaseUrlError::WithoutSqlite),
            #[cfg(not(feature = "postgres"))]
            "postgres" | "postgresql" => Err(DatabaseUrlError::WithoutPostgres),
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" if rest.starts_with("//") => match PgConnectOptions::from_str(url) {
                Ok(options) => {
                    Ok(Self::Postgres(PostgresUrl { text: url.to_owned(), options: Box::new(options) }))
                }
                Err(_) => Err(DatabaseUrlError::Postgres),
            },
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => Err(DatabaseUrlError::Postgres),
            _ => Err(DatabaseUrlError::UnknownScheme),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

#[cfg(feature = "postgres")]
impl PostgresUrl {
    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.options
    }
}

#[cfg(not(feature = "postgres"))]
impl PostgresUrl {
    /// Proves that there is no such address.
    pub(crate) fn absurd(&self) -> ! {
        match self.0 {}
    }
}

#[cfg(not(feature = "postgres"))]
impl fmt::Display for PostgresUrl {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.absurd()
    }
}

/// Host, port and name of the database, without user, password and options.
#[cfg(feature = "postgres")]
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        let database = options.get_database().unwrap_or(options.get_username());
        match options.get_socket() {
            Some(folder) => write!(f, "postgres://{}/{database}", folder.display()),
            None => write!(f, "postgres://{}:{}/{database}", options.get_host(), options.get_port()),
        }
    }
}

#[cfg(feature = "postgres")]
impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "postgres")]
impl PartialEq for PostgresUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

#[cfg(feature = "postgres")]
impl Eq for PostgresUrl {}

/// Why a text is no address of a database. The sentences are for operators; they do not
/// repeat the text, as it may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    /// There is no colon.
    #[error("a database is written sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE or memory:")]
    NoScheme,
    /// The scheme (the part before the colon) is unknown.
    #[error("only sqlite:PATH, postgres://… and memory: are known as databases")]
    UnknownScheme,
    /// The program was built without the feature `sqlite`.
    #[error("this program was built without SQLite")]
    WithoutSqlite,
    /// The program was built without the feature `postgres`.
    #[error("this program was built without Postgres")]
    WithoutPostgres,
    /// A Postgres address cannot be parsed.
    #[error(
        "a Postgres database is written postgres://USER:PASSWORD@HOST:PORT/DATABASE, \
         with %XX for what is not a letter or digit"
    )]
    Postgres,
    /// `sqlite:` without a path.
    #[error("sqlite: needs the path of a file, as in sqlite:chat.db")]
    NoPath,
    /// `sqlite::memory:`.
    #[error("a database in memory is written memory:")]
    SqliteInMemory,
    /// `memory:` with a path.
    #[error("memory: takes no path")]
    MemoryWithPath,
    /// `sqlite:` with options such as `?mode=…`.
    #[error("sqlite: takes a path without options (no '?')")]
    Options,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed() {
        let file = |path: &str| Ok(DatabaseUrl::Sqlite(path.into()));
        for (url, meant) in [
            ("sqlite:chat.db", file("chat.db")),
            ("sqlite://data/chat.db", file("data/chat.db")),
            ("sqlite:/srv/chat.db", file("/srv/chat.db")),
            ("sqlite:///srv/чат 1.db", file("/srv/чат 1.db")),
            ("memory:", Ok(DatabaseUrl::Memory)),
            ("chat.db", Err(DatabaseUrlError::NoScheme)),
            ("", Err(DatabaseUrlError::NoScheme)),
            ("sqlite:", Err(DatabaseUrlError::NoPath)),
            ("sqlite://", Err(DatabaseUrlError::NoPath)),
            ("sqlite::memory:", Err(DatabaseUrlError::SqliteInMemory)),
            ("memory:x", Err(DatabaseUrlError::MemoryWithPath)),
            ("sqlite:chat.db?mode=rwc", Err(DatabaseUrlError::Options)),
            ("postgres:chat", Err(DatabaseUrlError::Postgres)),
            ("postgres://host:port/chat", Err(DatabaseUrlError::Postgres)),
            ("postgres://host/chat?sslmode=perhaps", Err(DatabaseUrlError::Postgres)),
            ("mysql://host/chat", Err(DatabaseUrlError::UnknownScheme)),
        ] {
            assert_eq!(DatabaseUrl::parse(url), meant, "{url}");
        }
    }

    #[test]
    fn a_postgres_url_is_shown_without_secrets() {
        for (url, shown) in [
            ("postgres://ann:s3cret@db.example:5433/chat?sslmode=require", "postgres://db.example:5433/chat"),
            ("postgresql://ann:p%40s3cret@[::1]/chat", "postgres://[::1]:5432/chat"),
            ("postgres://ann@db/chat?password=s3cret", "postgres://db:5432/chat"),
            ("postgres://ann:s3cret@%2Frun%2Fpostgresql/chat", "postgres:///run/postgresql/chat"),
        ] {
            let parsed = DatabaseUrl::parse(url).unwrap();
            assert_eq!(parsed.to_string(), shown);
            assert!(!format!("{parsed:?}").contains("s3cret"), "{parsed:?}");
            assert_eq!(DatabaseUrl::parse(url).unwrap(), parsed);
        }
        assert_eq!(DatabaseUrl::parse("sqlite:a b.db").unwrap().to_string(), "sqlite:a b.db");
        assert_eq!(DatabaseUrl::Memory.to_string(), "memory:");
    }
}
