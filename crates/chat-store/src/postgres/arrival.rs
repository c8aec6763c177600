//! Waiting for a database server that is not there yet.

use std::time::Duration;

use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::{Instant, sleep, timeout};

use super::failure::passes;
use crate::{DatabaseUrl, StoreError, cause};

/// Waits until a Postgres server accepts connections, at most for so long. It
/// may be starting, on this machine or on another one. SQLite and the memory
/// are always there.
///
/// # Errors
/// [`StoreError::CannotOpen`] when the time is over, and at once for what
/// waiting does not mend: a wrong password, or a database that does not exist.
pub async fn wait_until_reachable(url: &DatabaseUrl, within: Duration) -> Result<(), StoreError> {
    let DatabaseUrl::Postgres(url) = url else { return Ok(()) };
    let options = url.options().clone().disable_statement_logging();
    let started = Instant::now();
    let mut logged: Option<Instant> = None;
    let mut pause = PAUSE_FIRST;
    loop {
        let error = match timeout(CONNECT_TIMEOUT, options.connect()).await {
            Ok(Ok(connection)) => {
                if logged.is_some() {
                    tracing::info!(database = %url, seconds = started.elapsed().as_secs(), "the database can be reached");
                }
                // The server does not have to answer the goodbye.
                let _ = timeout(CONNECT_TIMEOUT, connection.close()).await;
                return Ok(());
            }
            Ok(Err(error)) if !may_come(&error) => return Err(StoreError::cannot_open(url, error)),
            Ok(Err(error)) => cause::plain(error),
            Err(_) => "the server does not answer".into(),
        };
        let waited = started.elapsed();
        if waited + pause > within {
            let error = match within.as_secs() {
                0 => error,
                seconds => format!("it could not be reached within {seconds} s: {error}").into(),
            };
            return Err(StoreError::cannot_open(url, error));
        }
        if logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL) {
            let left = (within - waited).as_secs();
            tracing::warn!(database = %url, %error, seconds_left = left, "waiting for the database");
            logged = Some(Instant::now());
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Whether the server may be there in a moment.
fn may_come(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| passes(&code)),
        _ => false,
    }
}

/// A host that is down does not refuse the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Short, so that the server starts soon after its database.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Between two lines in the log.
const LOG_INTERVAL: Duration = Duration::from_secs(15);
