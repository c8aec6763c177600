//! Which store is meant.

use std::path::PathBuf;

/// Which store is meant, as an operator writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// `sqlite:chat.db`, `sqlite:///var/lib/chat/chat.db`: a file, made if it
    /// is not there.
    Sqlite(PathBuf),
    /// `memory:`, gone when the server stops.
    Memory,
}

impl DatabaseUrl {
    /// Reads `sqlite:path`, `sqlite://path` or `memory:`. The path is taken as
    /// it is written, without `%` or `?` meaning anything.
    pub fn parse(url: &str) -> Result<Self, DatabaseUrlError> {
        let (scheme, rest) = url.split_once(':').ok_or(DatabaseUrlError::NoScheme)?;
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err(DatabaseUrlError::MemoryWithPath),
            "sqlite" => match rest.strip_prefix("//").unwrap_or(rest) {
                "" => Err(DatabaseUrlError::NoPath),
                ":memory:" => Err(DatabaseUrlError::SqliteInMemory),
                path if path.contains(['?', '\0']) => Err(DatabaseUrlError::Options),
                path => Ok(Self::Sqlite(path.into())),
            },
            "postgres" | "postgresql" => Err(DatabaseUrlError::Postgres),
            _ => Err(DatabaseUrlError::UnknownScheme),
        }
    }
}

/// Why a text names no store. The sentences are for operators, and do not
/// repeat the text: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    /// No colon in it.
    #[error("a database is written sqlite:PATH or memory:")]
    NoScheme,
    /// Something before the colon that is no store of this program.
    #[error("only sqlite:PATH and memory: are known as databases")]
    UnknownScheme,
    /// A Postgres address.
    #[error("postgres is not supported in this version yet: use sqlite:PATH")]
    Postgres,
    /// `sqlite:` and nothing after it.
    #[error("sqlite: needs the path of a file, as in sqlite:chat.db")]
    NoPath,
    /// `sqlite::memory:`.
    #[error("a database in memory is written memory:")]
    SqliteInMemory,
    /// `memory:` with something after it.
    #[error("memory: takes no path")]
    MemoryWithPath,
    /// `?mode=…` and the like.
    #[error("sqlite: takes a path without options (no '?')")]
    Options,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_file_or_the_memory() {
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
            ("postgres://u:secret@host/chat", Err(DatabaseUrlError::Postgres)),
            ("postgresql://host/chat", Err(DatabaseUrlError::Postgres)),
            ("mysql://host/chat", Err(DatabaseUrlError::UnknownScheme)),
        ] {
            assert_eq!(DatabaseUrl::parse(url), meant, "{url}");
        }
    }
}
