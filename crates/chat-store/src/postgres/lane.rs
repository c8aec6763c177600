//! One connection that stores batches, one after the other.

use std::time::Duration;

use chat_core::{Commit, Draft};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

use super::PostgresOptions;
use super::append::{self, Mark};
use super::database::Database;
use super::failure::Failure;
use super::patience::Patience;
use super::pool::CLOSE_TIMEOUT;
use crate::{StoreError, rows};

/// One connection that stores batches, one after the other.
///
/// A session is only ever kept between transactions. Where a transaction does
/// not come to its end, because the connection broke, the time was up, or the
/// caller's future was dropped half-way, the session is given up. Its half on
/// the server may live on, hold the topics' rows, and even commit: what was
/// sent to it may still be on its way. So the next thing that this lane does
/// on the server is to end that half and wait until it is gone. Then it is
/// certain what became of its transaction, and the entries tell.
pub(super) struct Lane {
    database: Database,
    patience: Duration,
    attempt_timeout: Duration,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    session: Option<Session>,
    /// Was given up within a transaction, and may not have ended.
    abandoned: Option<Backend>,
    closed: bool,
}

struct Session {
    connection: PgConnection,
    backend: Backend,
}

/// The server's half of a session.
#[derive(Clone)]
struct Backend {
    pid: i32,
    /// A number is used again, at the latest after a restart.
    started: String,
}

/// A commit of which it is not known whether it happened.
struct Unsettled {
    commit: Commit,
    mark: Mark,
}

impl Lane {
    pub(super) fn new(database: Database, options: &PostgresOptions) -> Self {
        Self {
            database,
            patience: options.patience,
            attempt_timeout: options.attempt_timeout,
            slot: Mutex::default(),
        }
    }

    /// Stores a batch, and tries again as long as it is certain that nothing of
    /// it was stored.
    pub(super) async fn append(&self, drafts: &[Draft], now_ms: u64) -> Result<Commit, StoreError> {
        let mut patience = Patience::of(self.patience);
        let mut slot = patience.wait(self.slot.lock()).await?;
        let mut unsettled = None;
        loop {
            let attempt = slot.attempt(&self.database, drafts, now_ms, &mut unsettled);
            match patience.attempt(self.attempt_timeout, attempt).await {
                Ok(commit) => return Ok(commit),
                Err(failure) => {
                    if let Err(error) = patience.pause(failure).await {
                        if unsettled.is_some() {
                            tracing::warn!("it stays unknown whether {} messages were stored", drafts.len());
                        }
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Waits for the batch that is being stored, and closes.
    pub(super) async fn close(&self) {
        let mut slot = self.slot.lock().await;
        slot.closed = true;
        if let Some(session) = slot.session.take() {
            // A server that does not answer needs no goodbye.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, session.connection.close()).await;
        }
    }
}

impl Slot {
    async fn attempt(
        &mut self,
        database: &Database,
        drafts: &[Draft],
        now_ms: u64,
        unsettled: &mut Option<Unsettled>,
    ) -> Result<Commit, Failure> {
        let mut session = self.session(database).await?;
        if let Some(last) = settle(unsettled, &mut session).await? {
            self.session = Some(session);
            return Ok(last);
        }
        self.abandoned = Some(session.backend.clone());
        let (commit, mark) = append::append(&mut session.connection, drafts, now_ms).await?;
        let commit = match mark {
            // Nothing to write, so that it does not matter how this ends.
            None => {
                sqlx::raw_sql("ROLLBACK").execute(&mut session.connection).await?;
                commit
            }
            Some(mark) => {
                let unsettled = unsettled.insert(Unsettled { commit, mark });
                // Whatever is said here instead of "done" leaves open whether
                // it is: even an error may come after the commit.
                let end = sqlx::raw_sql("COMMIT").execute(&mut session.connection).await;
                end.map_err(Failure::passing)?;
                std::mem::take(&mut unsettled.commit)
            }
        };
        self.abandoned = None;
        self.session = Some(session);
        Ok(commit)
    }

    /// The session that was kept, or a new one; nothing of an old one is left.
    async fn session(&mut self, database: &Database) -> Result<Session, Failure> {
        if self.closed {
            return Err(StoreError::unavailable("the store was closed").into());
        }
        if let Some(session) = self.session.take() {
            return Ok(session);
        }
        let mut session = Session::open(database).await?;
        if let Some(abandoned) = &self.abandoned {
            session.end(abandoned).await?;
            self.abandoned = None;
        }
        Ok(session)
    }
}

impl Session {
    async fn open(database: &Database) -> Result<Self, Failure> {
        let mut connection = database.connect().await?;
        let row =
            sqlx::query("SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()")
                .fetch_one(&mut connection)
                .await?;
        let backend = Backend { pid: rows::get(&row, 0)?, started: rows::get(&row, 1)? };
        Ok(Self { connection, backend })
    }

    /// Ends another session on the server; resolves when it is gone.
    async fn end(&mut self, other: &Backend) -> Result<(), Failure> {
        loop {
            let there = sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE pid = $1 AND backend_start::text = $2",
            )
            .bind(other.pid)
            .bind(&other.started)
            .fetch_optional(&mut self.connection)
            .await?;
            if there.is_none() {
                return Ok(());
            }
            tokio::time::sleep(END_PAUSE).await;
        }
    }
}

/// Between two looks whether a session is gone. Most are at the first.
const END_PAUSE: Duration = Duration::from_millis(10);

/// Finds out about a commit whose session is gone: what was committed if it
/// was. If not, it is as if it had never been tried.
async fn settle(unsettled: &mut Option<Unsettled>, session: &mut Session) -> Result<Option<Commit>, Failure> {
    let Some(Unsettled { commit, mark }) = unsettled else { return Ok(None) };
    let stored = mark.is_stored(&mut session.connection).await?;
    let commit = std::mem::take(commit);
    *unsettled = None;
    Ok(stored.then_some(commit))
}
