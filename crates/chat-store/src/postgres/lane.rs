//! A connection that stores batches.

use std::sync::Arc;
use std::time::Duration;

use chat_cluster::{Point, Record, Writer};
use chat_core::{Commit, Draft};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

use super::PostgresOptions;
use super::append::{self, Ending};
use super::database::Database;
use super::deadline::Deadline;
use super::failure::Failure;
use super::feed;
use super::gate::Gate;
use super::pool::CLOSE_TIMEOUT;
use crate::rows::Columns as _;
use crate::{StoreError, rows};

/// A connection that stores batches, one after the other.
///
/// A session is kept only between transactions. If a transaction does not complete,
/// because the connection broke, the deadline passed, or the caller dropped the future,
/// its session is abandoned. The backend process of the session may still run on the
/// server, hold locks on the rows of topics, and even commit, as messages to it may
/// still be on their way. The first thing that this lane then does on the server is to
/// end that backend and to wait until it is gone. After that the outcome of its
/// transaction is certain, and can be read from the feed: each transaction has written the next
/// number of this lane there.
pub(super) struct Lane {
    writer: Writer,
    database: Database,
    gate: Arc<Gate>,
    call_timeout: Duration,
    attempt_timeout: Duration,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    session: Option<Session>,
    /// The backend of a session that was abandoned within a transaction; it may still
    /// run.
    abandoned: Option<Backend>,
    /// The number of the lane's newest commit. While a backend is abandoned, the next one may be
    /// committed, too.
    newest: u64,
    /// The timeline on which it was found there, or committed.
    timeline: u32,
    /// Another process commits as this lane: see [`StoreError::ServerTwice`].
    is_copied: bool,
    closed: bool,
}

struct Session {
    connection: PgConnection,
    backend: Backend,
    /// The timeline of the database server: see [`Gate`].
    timeline: u32,
}

/// The server's process for a session.
#[derive(Clone)]
struct Backend {
    pid: i32,
    /// When it started: process ids are used again, at the latest after a restart.
    started: String,
}

/// A commit with an unknown outcome.
struct Unresolved {
    commit: Commit,
    record: Record,
}

impl Lane {
    pub(super) fn new(
        writer: Writer,
        database: Database,
        gate: Arc<Gate>,
        options: &PostgresOptions,
    ) -> Self {
        Self {
            writer,
            database,
            gate,
            call_timeout: options.call_timeout,
            attempt_timeout: options.attempt_timeout,
            slot: Mutex::default(),
        }
    }

    /// Stores a batch; retries while it is certain that nothing of it was stored. Returns what the
    /// feed has of it, too.
    pub(super) async fn append(
        &self,
        drafts: &[Draft],
        now_ms: u64,
    ) -> Result<(Commit, Option<Record>), StoreError> {
        let mut deadline = Deadline::after(self.call_timeout);
        let mut slot = deadline.wait(self.slot.lock()).await?;
        let mut unresolved = None;
        loop {
            let attempt = slot.attempt(self, drafts, now_ms, &mut unresolved);
            match deadline.attempt(self.attempt_timeout, attempt).await {
                Ok(stored) => return Ok(stored),
                Err(failure) => {
                    slot.is_copied |= matches!(failure, Failure::Final(StoreError::ServerTwice));
                    if let Err(error) = deadline.pause(failure).await {
                        if unresolved.is_some() {
                            tracing::warn!(
                                messages = drafts.len(),
                                "a commit has an unknown outcome: its messages may be stored"
                            );
                        }
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Waits for the batch that is being stored, and closes the connection.
    pub(super) async fn close(&self) {
        let mut slot = self.slot.lock().await;
        slot.closed = true;
        if let Some(session) = slot.session.take() {
            // A server that does not answer is not waited for.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, session.connection.close()).await;
        }
    }
}

impl Slot {
    async fn attempt(
        &mut self,
        lane: &Lane,
        drafts: &[Draft],
        now_ms: u64,
        unresolved: &mut Option<Unresolved>,
    ) -> Result<(Commit, Option<Record>), Failure> {
        let mut session = self.session(lane).await?;
        // The session of such a commit is gone: if it was not stored, the batch can be stored as
        // if it had never been tried.
        if let Some(Unresolved { commit, record }) = unresolved.take()
            && record.at.n <= self.newest
        {
            self.session = Some(session);
            return Ok((commit, Some(record)));
        }
        if !lane.gate.may_append(session.timeline) {
            // A session with the server of before is of no use any more.
            self.session = lane.gate.is_on(session.timeline).then_some(session);
            return Err(Failure::passing(NOT_YET));
        }
        self.abandoned = Some(session.backend.clone());
        let at = Point { writer: lane.writer, n: self.newest + 1 };
        let (commit, ending) = append::append(&mut session.connection, drafts, now_ms, at).await?;
        let stored = match ending {
            // There is nothing to commit, so that the outcome does not matter.
            Ending::Nothing => {
                sqlx::raw_sql("ROLLBACK").execute(&mut session.connection).await?;
                (commit, None)
            }
            Ending::Recorded(record) => {
                *unresolved = Some(Unresolved { commit, record });
                // Any error here leaves the outcome unknown: it may come after the
                // commit.
                let end = sqlx::raw_sql("COMMIT").execute(&mut session.connection).await;
                end.map_err(Failure::passing)?;
                self.newest = at.n;
                let stored = unresolved.take().map(|stored| (stored.commit, Some(stored.record)));
                stored.ok_or(StoreError::Damaged { what: "a commit that was forgotten" })?
            }
        };
        self.abandoned = None;
        self.session = Some(session);
        Ok(stored)
    }

    /// The kept session, or a new one after the backend of an abandoned one is gone, and its
    /// outcome is known.
    async fn session(&mut self, lane: &Lane) -> Result<Session, Failure> {
        if self.closed {
            return Err(StoreError::unavailable("the store was closed").into());
        }
        if self.is_copied {
            return Err(StoreError::ServerTwice.into());
        }
        if let Some(session) = self.session.take() {
            return Ok(session);
        }
        let mut session = Session::open(&lane.database).await?;
        if let Some(abandoned) = &self.abandoned {
            session.end(abandoned).await?;
        }
        if self.timeline != session.timeline {
            lane.gate.opened(session.timeline);
            let newest = Point { writer: lane.writer, n: self.newest };
            if self.newest > 0 && feed::is_missing(&mut session.connection, newest).await? {
                lane.gate.missing(session.timeline);
                return Err(Failure::passing("the database server that has taken over lacks commits"));
            }
            self.timeline = session.timeline;
        }
        if self.abandoned.is_some() {
            self.newest = feed::newest(&mut session.connection, lane.writer).await?;
            self.abandoned = None;
        }
        Ok(session)
    }
}

impl Session {
    async fn open(database: &Database) -> Result<Self, Failure> {
        let mut connection = database.connect().await?;
        let row = sqlx::query(OPENED).fetch_one(&mut connection).await?;
        let backend = Backend { pid: rows::get(&row, 0)?, started: rows::get(&row, 1)? };
        Ok(Self { connection, backend, timeline: feed::timeline_of(row.number(2)?)? })
    }

    /// Ends another session's backend; returns when it is gone.
    async fn end(&mut self, other: &Backend) -> Result<(), Failure> {
        loop {
            let found = sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE pid = $1 AND backend_start::text = $2",
            )
            .bind(other.pid)
            .bind(&other.started)
            .fetch_optional(&mut self.connection)
            .await?;
            if found.is_none() {
                return Ok(());
            }
            tokio::time::sleep(END_PAUSE).await;
        }
    }
}

const OPENED: &str = concat!(
    "SELECT pid, backend_start::text, ",
    feed::timeline!(),
    " FROM pg_stat_activity WHERE pid = pg_backend_pid()"
);

const NOT_YET: &str = "another database server has taken over: not all servers of the chat have looked yet \
                       for what they know to be stored";

/// The pause between two checks whether a backend is gone. Most are at the first.
const END_PAUSE: Duration = Duration::from_millis(10);
