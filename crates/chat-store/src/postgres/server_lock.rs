//! The mark that a running server leaves on its Postgres database.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::PostgresOptions;
use super::database::Database;
use super::failure::Failure;
use super::pool::CLOSE_TIMEOUT;
use crate::{DatabaseUrl, PostgresUrl, StoreError};

/// The mark of a running server on its database, while this value lives: by it
/// a second server, and a command that needs the database for itself, see the
/// first one. An SQLite file has its own ([`StoreError::InUse`] when it is
/// opened), a memory store needs none.
///
/// It is a session's advisory lock, so that it ends with a server that crashes.
/// Every server holds it *shared*; one that refuses others first takes it
/// *exclusively* for a moment, which fails where another server is.
pub struct ServerLock {
    watch: Option<Watch>,
}

/// The task that keeps the lock's session.
struct Watch {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

/// Whether a program may start although a server has the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherServers {
    /// The start fails with [`StoreError::InUse`].
    Refuse,
    /// The start goes on.
    Allow,
}

impl ServerLock {
    /// Takes the lock. The connection of a server that was killed, or whose
    /// machine failed, may live on for some seconds: waits up to 10 s for it to
    /// end, and logs that.
    ///
    /// From then on a task watches the lock's connection. If it is lost (the
    /// database restarts, say), the task takes the lock again, and logs an error
    /// if another server has it by then. The server goes on in any case.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another server has the database, and
    /// [`StoreError::CannotOpen`] if the database cannot be reached.
    pub async fn acquire(url: &DatabaseUrl, others: OtherServers) -> Result<Self, StoreError> {
        let DatabaseUrl::Postgres(url) = url else { return Ok(Self { watch: None }) };
        let database = Database::for_lock(url);
        let failed = |failure| match failure {
            Failure::Passing(cause) | Failure::Final(StoreError::Unavailable { source: cause }) => {
                StoreError::cannot_open(url, cause)
            }
            Failure::Final(error) => error,
        };
        let mut connection = database.connect().await.map_err(failed)?;
        let ends = Instant::now() + WAIT_MAX;
        let mut is_logged = false;
        while !take(&mut connection, others).await.map_err(failed)? {
            if Instant::now() >= ends {
                return Err(StoreError::InUse { database: url.to_string() });
            }
            if !is_logged {
                let seconds = WAIT_MAX.as_secs();
                tracing::warn!(database = %url, seconds, "another server or command has the database: waiting for its end");
                is_logged = true;
            }
            sleep(PAUSE).await;
        }
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(watch(connection, database, url.clone(), others, stopped));
        Ok(Self { watch: Some(Watch { task, stop }) })
    }

    /// Gives the lock back, after everything else on the database is closed.
    pub async fn release(self) {
        if let Some(Watch { task, stop }) = self.watch {
            // An error says that the task has ended already.
            let _ = stop.send(());
            let _ = task.await;
        }
    }
}

/// Asks for the shared lock; `false` where others are in the way.
async fn take(connection: &mut PgConnection, others: OtherServers) -> Result<bool, Failure> {
    match others {
        OtherServers::Allow => try_lock(connection, TRY_SHARED).await,
        OtherServers::Refuse => {
            if !try_lock(connection, TRY_EXCLUSIVE).await? {
                return Ok(false);
            }
            // Beside its own exclusive lock a session gets the shared one at once.
            for then in [SHARE, UNLOCK] {
                sqlx::query(then).bind(LOCK).execute(&mut *connection).await?;
            }
            Ok(true)
        }
    }
}

/// Takes the lock exclusively until the connection ends, so that no server
/// starts meanwhile. A server that has just ended may take a moment to be gone.
///
/// # Errors
/// [`StoreError::InUse`] if a server is connected, also one of a version
/// without this lock.
pub(crate) async fn exclude_servers(
    connection: &mut PgConnection,
    url: &PostgresUrl,
) -> Result<(), StoreError> {
    let failed = |source| StoreError::cannot_open(url, source);
    // After a restart of the database, an idle server connects again a moment later
    // than this command. Until then the lock is left to it.
    let row = sqlx::query(HAS_JUST_STARTED).fetch_one(&mut *connection).await;
    if row.and_then(|row| row.try_get(0)).map_err(failed)? {
        sleep(SERVERS_RETURN_WITHIN).await;
    }
    exclude_connected(connection, url).await
}

/// As [`exclude_servers`], which was called before on the same connection.
pub(crate) async fn exclude_connected(
    connection: &mut PgConnection,
    url: &PostgresUrl,
) -> Result<(), StoreError> {
    let failed = |source| StoreError::cannot_open(url, source);
    let ends = Instant::now() + EXCLUDE_WAIT_MAX;
    let mut is_locked = false;
    loop {
        if !is_locked {
            let row = sqlx::query(TRY_EXCLUSIVE).bind(LOCK).fetch_one(&mut *connection).await;
            is_locked = row.and_then(|row| row.try_get(0)).map_err(failed)?;
        }
        let servers = url.options().get_application_name().unwrap_or("chat");
        let row = sqlx::query(SERVERS_CONNECTED).bind(servers).fetch_one(&mut *connection).await;
        let are_connected: bool = row.and_then(|row| row.try_get(0)).map_err(failed)?;
        if is_locked && !are_connected {
            return Ok(());
        }
        if Instant::now() >= ends {
            return Err(StoreError::InUse { database: url.to_string() });
        }
        sleep(PAUSE).await;
    }
}

async fn try_lock(connection: &mut PgConnection, sql: &'static str) -> Result<bool, Failure> {
    let row = sqlx::query(sql).bind(LOCK).fetch_one(connection).await?;
    Ok(row.try_get(0)?)
}

/// Keeps the lock until `stopped`.
async fn watch(
    mut connection: PgConnection,
    database: Database,
    url: PostgresUrl,
    others: OtherServers,
    mut stopped: oneshot::Receiver<()>,
) {
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            () = sleep(CHECK_INTERVAL) => {}
        }
        let is_lost = tokio::select! {
            _ = &mut stopped => break,
            answer = timeout(CHECK_TIMEOUT, connection.ping()) => !matches!(answer, Ok(Ok(()))),
        };
        if is_lost {
            tracing::warn!(database = %url, "the connection that holds the server's lock was lost");
            connection = tokio::select! {
                _ = &mut stopped => return,
                again = take_again(&database, &url, others) => again,
            };
        }
    }
    // A server that does not answer needs no goodbye.
    let _ = timeout(CLOSE_TIMEOUT, connection.close()).await;
}

/// Takes the lock again, however long that takes. What is in the way may be the
/// lost session itself, for as long as the database has not noticed its end.
async fn take_again(database: &Database, url: &PostgresUrl, others: OtherServers) -> PgConnection {
    let mut refused_since: Option<Instant> = None;
    let mut is_logged = false;
    // Kept while it is refused, so that a command that holds the lock sees this server.
    let mut kept: Option<PgConnection> = None;
    loop {
        let connected = match kept.take() {
            Some(connection) => Ok(connection),
            None => database.connect().await,
        };
        if let Ok(mut connection) = connected {
            match take(&mut connection, others).await {
                Ok(true) => {
                    tracing::info!(database = %url, "the server's lock was taken again");
                    return connection;
                }
                Ok(false) if refused_since.get_or_insert_with(Instant::now).elapsed() >= WAIT_MAX => {
                    if !is_logged {
                        tracing::error!(database = %url, "another server or command has the database: stop one of them");
                        is_logged = true;
                    }
                    // Beside the other server's, so that commands see that servers run.
                    match take(&mut connection, OtherServers::Allow).await {
                        Ok(true) => return connection,
                        Ok(false) => kept = Some(connection),
                        Err(_) => {}
                    }
                }
                Ok(false) => kept = Some(connection),
                Err(_) => {}
            }
        }
        sleep(AGAIN_PAUSE).await;
    }
}

/// "chat" in ASCII. The second key of the lock is the schema: one database may have
/// several chats. There is none where the search path names no existing schema; the
/// migrations then fail.
const LOCK: i32 = 0x6368_6174;
const TRY_EXCLUSIVE: &str = "SELECT pg_try_advisory_lock($1, hashtext(coalesce(current_schema()::text, '')))";
const TRY_SHARED: &str =
    "SELECT pg_try_advisory_lock_shared($1, hashtext(coalesce(current_schema()::text, '')))";
const SHARE: &str = "SELECT pg_advisory_lock_shared($1, hashtext(coalesce(current_schema()::text, '')))";
const UNLOCK: &str = "SELECT pg_advisory_unlock($1, hashtext(coalesce(current_schema()::text, '')))";
const SERVERS_CONNECTED: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = $1)";

/// Longer than the database takes to notice that a server's machine is gone,
/// see [`Database::for_lock`].
const WAIT_MAX: Duration = Duration::from_secs(10);
/// A server's sessions end some milliseconds after its process.
const EXCLUDE_WAIT_MAX: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);
/// How often the lock's connection is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
const AGAIN_PAUSE: Duration = Duration::from_secs(1);
/// More than [`CHECK_INTERVAL`], [`AGAIN_PAUSE`] and the time to connect.
const SERVERS_RETURN_WITHIN: Duration = Duration::from_secs(4);
/// A minute, because a database that recovers accepts connections only some time
/// after its start.
const HAS_JUST_STARTED: &str = "SELECT clock_timestamp() - pg_postmaster_start_time() < interval '1 minute'";

impl Database {
    /// For the connection that holds the lock: of a machine that is gone, the
    /// database notices so within 8 s (4 s idle, and two probes of 2 s each).
    fn for_lock(url: &PostgresUrl) -> Self {
        let limits =
            PostgresOptions { connect_timeout: Duration::from_secs(5), ..PostgresOptions::default() };
        Self::new(url, &limits).keepalive("4", "2", "2").unacknowledged("8000")
    }
}
