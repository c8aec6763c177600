//! Failed attempts, and whether a retry may help.

use std::error::Error;

use crate::{StoreError, cause};

/// A failed attempt.
pub(crate) enum Failure {
    /// The server or the connection failed, or another transaction was first: a retry
    /// may succeed.
    Passing(Box<dyn Error + Send + Sync>),
    /// A retry would fail, too.
    Final(StoreError),
}

impl Failure {
    pub(super) fn passing(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Passing(cause::plain(cause))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Final(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let passes = match &error {
            sqlx::Error::Database(error) => error.code().is_some_and(|code| passes(&code)),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
            _ => false,
        };
        if passes { Self::passing(error) } else { Self::Final(StoreError::unavailable(error)) }
    }
}

/// Whether the cause behind an SQLSTATE may be over in a moment.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) fn passes(code: &str) -> bool {
    // Connection lost; transaction rolled back (deadlocks); an operator or a timeout
    // intervened, the server starts or stops.
    ["08", "40", "57"].iter().any(|class| code.starts_with(class))
        // Too many connections; a lock was not available; a read-only server after a
        // failover; a transaction that waited for its next statement for too long; a standby
        // that has not taken over yet; a plan from before the last migration.
        || ["53300", "55P03", "25006", "25P03", "55000", "0A000"].contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_passes_and_a_full_disk_does_not() {
        for code in ["57P01", "57P03", "57014", "08006", "40P01", "53300", "25006", "25P03", "55000"] {
            assert!(passes(code), "{code}");
        }
        // Full disk, wrong password, no such table, U+0000 in a text.
        for code in ["53100", "28P01", "42P01", "22021", ""] {
            assert!(!passes(code), "{code}");
        }
    }
}
