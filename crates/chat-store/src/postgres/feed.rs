//! The feed: the table of servers, and a row for each commit.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_cluster::{
    BUS_FORMAT, Control, FeedStart, Incarnation, Lane, Part, Point, Record, ServerRow, Writer,
};
use chat_core::{Commit, Entry, Outcome, RoomChange, Topic};
use serde_json::Value;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection as _, Row as _};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::database::Database;
use super::failure::Failure;
use super::feed_json::{changes_json, parse_changes};
use super::gate::Gate;
use crate::feed::{FEED_KEPT_MS, Feed, FeedRead, SERVER_LIVES_MS};
use crate::rows::Columns as _;
use crate::{Ended, StoreError, StoreFuture, columns};

/// The feed of one start of a server, on a connection of its own: it is read on time, however busy
/// the others are.
pub(super) struct PostgresFeed {
    incarnation: Incarnation,
    start: FeedStart,
    database: Database,
    connection: Mutex<Option<PgConnection>>,
    answer_timeout: Duration,
    /// How many beats come before the next one that removes old rows.
    beats_to_prune: AtomicU64,
    clock: Mutex<Clock>,
    /// The last message of other servers that was read.
    message: AtomicI64,
    gate: Arc<Gate>,
    /// The feed was read: a program that only beats looks for commits with its beats.
    is_read: AtomicBool,
    ended: Arc<EndedHints>,
}

/// What the feed has told of users whose sessions or roles have changed, for
/// [`next_ended`](crate::SessionRepository::next_ended).
#[derive(Default)]
pub(super) struct EndedHints {
    waiting: Mutex<VecDeque<Ended>>,
    added: Notify,
}

/// A start of a server that the database knows.
pub(super) struct Registered {
    pub(super) incarnation: Incarnation,
    /// The timeline of the database server, and the table of servers there.
    pub(super) timeline: u32,
    pub(super) rows: Vec<ServerRow>,
    start: FeedStart,
    clock: Clock,
    message: i64,
}

/// What the database's clock has said, and when it was asked.
#[derive(Clone, Copy)]
struct Clock {
    db_ms: u64,
    asked: Instant,
}

/// Registers a start. Registrations come one after another: who sees the row of one sees the rows
/// of all before it.
pub(super) async fn register(connection: &mut PgConnection, lanes: usize) -> Result<Registered, Failure> {
    sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(REGISTER_LOCK).execute(&mut *connection).await?;
    let row = sqlx::query(REGISTER)
        .bind(columns::column(lanes as u64))
        .bind(i64::from(BUS_FORMAT))
        .fetch_one(&mut *connection)
        .await?;
    let id = row.number(0)?;
    let asked = Instant::now();
    let row = sqlx::query(START).fetch_one(&mut *connection).await?;
    sqlx::raw_sql("COMMIT").execute(connection).await?;
    let rows = server_rows(row.text(0)?)?;
    let timeline = timeline_of(row.number(4)?)?;
    let start = FeedStart {
        servers: rows.iter().map(|row| row.incarnation).collect(),
        seen: parse::<Vec<(i64, i64)>>(row.text(1)?)?.into_iter().map(point).collect::<Result<_, _>>()?,
        db_ms: row.number(2)?,
    };
    let clock = Clock { db_ms: start.db_ms, asked };
    let message = row.integer(3)?;
    Ok(Registered { incarnation: incarnation(columns::column(id))?, timeline, rows, start, clock, message })
}

impl PostgresFeed {
    pub(super) fn new(
        registered: Registered,
        database: &Database,
        gate: Arc<Gate>,
        answer_timeout: Duration,
        ended: Arc<EndedHints>,
    ) -> Self {
        let Registered { incarnation, start, clock, message, .. } = registered;
        Self {
            incarnation,
            start,
            // Nothing that this connection writes needs to survive a crash of the database.
            database: database.clone().without_flushes(),
            connection: Mutex::default(),
            answer_timeout,
            beats_to_prune: AtomicU64::new(BEATS_FOR_A_PRUNE),
            clock: Mutex::new(clock),
            message: AtomicI64::new(message),
            gate,
            is_read: AtomicBool::new(false),
            ended,
        }
    }

    /// Says that this server has stopped in order, and closes the connection.
    pub(super) async fn leave(&self) {
        let leaving = async {
            let mut connection = self.connection().await?;
            sqlx::query(LEAVE).bind(self.id()).execute(&mut connection).await?;
            Ok(connection.close().await?)
        };
        // Without an answer, the others notice it by the age of the row.
        let _ = self.in_time(leaving).await;
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        // Every change is whole in one statement.
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn id(&self) -> i64 {
        i64::from(self.incarnation.number())
    }

    /// The kept connection, or a new one. It is [kept](Self::keep) if all is answered in time.
    async fn connection(&self) -> Result<PgConnection, Failure> {
        let kept = self.kept().take();
        match kept {
            Some(connection) => Ok(connection),
            None => self.database.connect().await,
        }
    }

    fn keep(&self, connection: PgConnection) {
        *self.kept() = Some(connection);
    }

    fn kept(&self) -> MutexGuard<'_, Option<PgConnection>> {
        // Every change is whole in one statement.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, StoreError> {
        let done = timeout(self.answer_timeout, work).await;
        match done.unwrap_or_else(|_| Err(Failure::passing("the database did not answer in time"))) {
            Ok(answer) => Ok(answer),
            Err(Failure::Passing(source)) => Err(StoreError::Unavailable { source }),
            Err(Failure::Final(error)) => Err(error),
        }
    }

    /// Removes rows that are no longer kept: of this start and of those that have ended. The newest
    /// row of a writer stays as long as the row of its server. Returns whether there are perhaps
    /// more.
    async fn prune(&self, connection: &mut PgConnection) -> Result<bool, Failure> {
        let kept_ms = columns::column(FEED_KEPT_MS);
        let prune = sqlx::query(PRUNE).bind(self.id()).bind(kept_ms).bind(PRUNED_AT_ONCE);
        let pruned = prune.execute(&mut *connection).await?.rows_affected();
        sqlx::query(FORGET_SERVERS).bind(self.id()).bind(kept_ms).execute(&mut *connection).await?;
        sqlx::query(FORGET_MESSAGES).bind(MESSAGES_KEPT_MS).execute(connection).await?;
        Ok(pruned >= PRUNED_AT_ONCE.unsigned_abs())
    }
}

impl Feed for PostgresFeed {
    fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    fn start(&self) -> &FeedStart {
        &self.start
    }

    fn now_ms(&self) -> u64 {
        let Clock { db_ms, asked } = *self.clock();
        db_ms + u64::try_from(asked.elapsed().as_millis()).unwrap_or(0)
    }

    fn beat(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.in_time(async {
            let mut connection = self.connection().await?;
            sqlx::query(BEAT).bind(self.id()).execute(&mut connection).await?;
            if self.gate.is_shut() && !self.is_read.load(Ordering::Relaxed) {
                // Of what others have stored, this program has taken nothing.
                self.read(&mut connection, &[], &[]).await?;
            }
            let left = self.beats_to_prune.load(Ordering::Relaxed);
            let is_full = left == 0 && self.prune(&mut connection).await?;
            let next = if left == 0 { BEATS_FOR_A_PRUNE } else { left - 1 };
            self.beats_to_prune.store(if is_full { 0 } else { next }, Ordering::Relaxed);
            self.keep(connection);
            Ok(())
        }))
    }

    fn tell<'a>(&'a self, messages: &'a [Vec<u8>]) -> StoreFuture<'a, ()> {
        Box::pin(self.in_time(async move {
            let mut connection = self.connection().await?;
            sqlx::query(TELL).bind(self.id()).bind(messages).execute(&mut connection).await?;
            self.keep(connection);
            Ok(())
        }))
    }

    fn claim_files<'a>(&'a self, place: &'a str) -> StoreFuture<'a, bool> {
        let lives_ms = columns::column(SERVER_LIVES_MS);
        Box::pin(self.in_time(async move {
            let mut connection = self.connection().await?;
            let claim = sqlx::query(CLAIM_FILES).bind(self.id()).bind(place).bind(lives_ms);
            let claimed = claim.fetch_optional(&mut connection).await?;
            self.keep(connection);
            Ok(claimed.is_some())
        }))
    }

    fn after<'a>(&'a self, seen: &'a [Point]) -> StoreFuture<'a, FeedRead> {
        Box::pin(async move {
            let writers: Vec<i64> = seen.iter().map(|point| writer_column(point.writer)).collect();
            let numbers: Vec<i64> = seen.iter().map(|point| columns::column(point.n)).collect();
            self.is_read.store(true, Ordering::Relaxed);
            let asked = Instant::now();
            let reading = async {
                let mut connection = self.connection().await?;
                let answer = self.read(&mut connection, &writers, &numbers).await?;
                self.keep(connection);
                Ok(answer)
            };
            let (row, timeline, epoch, servers) = self.in_time(reading).await?;
            let db_ms = row.number(1)?;
            *self.clock() = Clock { db_ms, asked };
            let messages =
                row.try_get(4).map_err(|_| StoreError::Damaged { what: "the messages of servers" })?;
            self.message.fetch_max(row.integer(5)?, Ordering::Relaxed);
            let has_more_messages = row.integer(8)? >= MESSAGES_AT_ONCE;
            let mut read =
                FeedRead { servers, timeline, epoch, messages, has_more_messages, ..FeedRead::default() };
            read.page.servers = read.servers.iter().map(|row| row.incarnation).collect();
            read.page.db_ms = db_ms;
            read.page.is_whole = true;
            let mut rows_of = (None, 0);
            for (writer, n, parts, controls) in parse::<Vec<CommitColumns>>(row.text(3)?)? {
                rows_of =
                    if rows_of.0 == Some(writer) { (rows_of.0, rows_of.1 + 1) } else { (Some(writer), 1) };
                if rows_of.1 > PAGE_ROWS {
                    read.page.is_whole = false;
                    continue;
                }
                self.add(&mut read, point((writer, n))?, parts, controls)?;
            }
            Ok(read)
        })
    }
}

impl PostgresFeed {
    /// Reads the feed after these points. On a timeline that is new to this server, they are also
    /// looked for, and what follows from that is written.
    async fn read(
        &self,
        connection: &mut PgConnection,
        writers: &[i64],
        numbers: &[i64],
    ) -> Result<(PgRow, u32, String, Vec<ServerRow>), Failure> {
        let looked = self.gate.looked().map_or(0, i64::from);
        let read = sqlx::query(AFTER).bind(writers).bind(numbers).bind(PAGE_ROWS as i64 + 1);
        let message = self.message.load(Ordering::Relaxed);
        let read = read.bind(message).bind(self.id()).bind(MESSAGES_AT_ONCE).bind(looked);
        let row = read.fetch_one(&mut *connection).await?;
        let epoch = row.text_or_null(0)?.ok_or(StoreError::Damaged { what: "no epoch" })?.to_owned();
        let servers = server_rows(row.text(2)?)?;
        let (timeline, missing) = (timeline_of(row.number(6)?)?, row.number(7)?);
        if let Some(ended) = self.gate.read(timeline, &epoch, &servers, missing == 0) {
            tracing::error!(
                missing,
                "another database server has taken over, and lacks messages that were stored: all numbers start anew"
            );
            sqlx::raw_sql("BEGIN; SET LOCAL synchronous_commit = on").execute(&mut *connection).await?;
            let next = Uuid::new_v4().to_string();
            sqlx::query(END_EPOCH).bind(ended).bind(next).execute(&mut *connection).await?;
            sqlx::raw_sql("COMMIT").execute(&mut *connection).await?;
        }
        let own = servers.iter().find(|row| row.incarnation == self.incarnation);
        if let (Some(own), Some(looked)) = (own, self.gate.looked())
            && own.looked != looked
        {
            tracing::info!("another database server has taken over, and has all that this server knows of");
            sqlx::query(LOOKED).bind(self.id()).bind(i64::from(looked)).execute(&mut *connection).await?;
        }
        if own.is_some_and(|row| row.opened != timeline) && self.gate.may_append(timeline) {
            sqlx::query(OPENED).bind(self.id()).bind(i64::from(timeline)).execute(&mut *connection).await?;
        }
        Ok((row, timeline, epoch, servers))
    }

    /// Adds a row of the feed to an answer.
    fn add(
        &self,
        read: &mut FeedRead,
        at: Point,
        parts: Vec<PartColumns>,
        controls: Option<Vec<Value>>,
    ) -> Result<(), StoreError> {
        let mut record = Record { at, parts: Vec::with_capacity(parts.len()), controls: Vec::new() };
        for (kind, name, other, first, last, writer, n) in parts {
            let previous = match (writer, n) {
                (Some(writer), Some(n)) => Some(point((writer, n))?),
                _ => None,
            };
            let topic = columns::topic((kind, &name, &other))?;
            record.parts.push(Part { topic, first, last, previous, entries: None });
        }
        for control in controls.into_iter().flatten() {
            let user = |key| control.get(key).and_then(Value::as_str).map(columns::username).transpose();
            if let Some(user) = user("sessions_of")? {
                self.hint(at, Ended::Of(user.clone()));
                record.controls.push(Control::User(user));
            } else if let Some(user) = user("role_of")? {
                self.hint(at, Ended::Role(user.clone()));
                record.controls.push(Control::User(user));
            } else if let Some(changes) = control.get("changes") {
                let changes = parse_changes(changes)?;
                record.controls.extend(rooms(&changes));
                read.changes.entry(at).or_default().extend(changes);
            } else {
                // Of a newer server.
                self.hint(at, Ended::Unknown);
                record.controls.push(Control::Unknown);
            }
        }
        read.page.records.push(record);
        Ok(())
    }

    fn hint(&self, at: Point, hint: Ended) {
        if at.writer.incarnation != self.incarnation {
            self.ended.add(hint);
        }
    }
}

impl EndedHints {
    fn add(&self, hint: Ended) {
        let mut waiting = self.waiting();
        // A row may be read twice.
        if !waiting.contains(&hint) {
            if waiting.len() >= HINTS_MAX {
                waiting.clear();
                waiting.push_back(Ended::Unknown);
            } else {
                waiting.push_back(hint);
            }
        }
        drop(waiting);
        self.added.notify_one();
    }

    pub(super) fn take(&self) -> Option<Ended> {
        self.waiting().pop_front()
    }

    /// Resolves when there may be hints.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Ended>> {
        // Every change is whole in one statement.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The record of a commit, if there is something to commit: entries, or a draft that another commit
/// has stored. Before its sender is told so, the feed is read: its entry may not have come yet.
pub(super) fn record(commit: &Commit, at: Point, previous: &BTreeMap<Topic, Point>) -> Option<Record> {
    let mut outcomes = commit.receipts.iter().map(|receipt| &receipt.outcome);
    let is_empty = commit.entries.is_empty() && commit.remembered.is_empty();
    if is_empty && !outcomes.any(|outcome| matches!(outcome, Outcome::Duplicate { .. })) {
        return None;
    }
    let mut by_topic: BTreeMap<&Topic, Vec<Arc<Entry>>> = BTreeMap::new();
    for entry in &commit.entries {
        by_topic.entry(&entry.topic).or_default().push(Arc::clone(entry));
    }
    let part = |(topic, entries): (&Topic, Vec<Arc<Entry>>)| {
        let (first, last) = (entries.first()?.seq, entries.last()?.seq);
        let previous = previous.get(topic).copied();
        Some(Part { topic: topic.clone(), first, last, previous, entries: Some(entries.into()) })
    };
    let parts = by_topic.into_iter().filter_map(part).collect();
    Some(Record { at, parts, controls: rooms(&commit.changes) })
}

/// The rooms that are changed, each once.
fn rooms(changes: &[RoomChange]) -> Vec<Control> {
    let mut rooms = Vec::new();
    for change in changes {
        let room = Control::Room(change.room().clone());
        if !rooms.contains(&room) {
            rooms.push(room);
        }
    }
    rooms
}

/// The columns `parts` and `controls` of a commit.
pub(super) fn columns_of(
    record: &Record,
    changes: &[RoomChange],
) -> Result<(String, Option<String>), StoreError> {
    let part = |part: &Part| -> PartColumns {
        let (kind, name, other) = columns::topic_key(&part.topic);
        let (writer, n) = part.previous.map(|at| (writer_column(at.writer), columns::column(at.n))).unzip();
        (kind, name.to_owned(), other.to_owned(), part.first, part.last, writer, n)
    };
    let parts: Vec<PartColumns> = record.parts.iter().map(part).collect();
    let controls = (!changes.is_empty()).then(|| Value::Array(vec![changes_json(changes)]).to_string());
    let parts =
        serde_json::to_string(&parts).map_err(|_| StoreError::Damaged { what: "the parts of a commit" })?;
    Ok((parts, controls))
}

/// Tells the other servers of changes of rooms, in their transaction.
pub(super) async fn tell_of_changes(
    connection: &mut PgConnection,
    changes: &[RoomChange],
) -> Result<(), Failure> {
    if !changes.is_empty() {
        let what = changes_json(changes).to_string();
        sqlx::query("SELECT tell_servers($1::text::json)").bind(what).execute(connection).await?;
    }
    Ok(())
}

/// The number of the newest commit of a writer.
pub(super) async fn newest(connection: &mut PgConnection, writer: Writer) -> Result<u64, Failure> {
    let row = sqlx::query(NEWEST).bind(writer_column(writer)).fetch_optional(connection).await?;
    Ok(row.map(|row| row.number(0)).transpose()?.unwrap_or(0))
}

/// Whether a commit of this server is not in the database.
pub(super) async fn is_missing(connection: &mut PgConnection, at: Point) -> Result<bool, Failure> {
    let look = sqlx::query(LOOK).bind(vec![writer_column(at.writer)]).bind(vec![columns::column(at.n)]);
    Ok(look.fetch_one(connection).await?.number(0)? > 0)
}

/// `kind, name, other, first, last`, and the writer and number of the commit before.
type PartColumns = (i64, String, String, u64, u64, Option<i64>, Option<i64>);
/// `writer, n, parts, controls`.
type CommitColumns = (i64, i64, Vec<PartColumns>, Option<Vec<Value>>);
/// `id`, the age in milliseconds, `has_left, bus_format, looked, opened`.
type ServerColumns = (i64, i64, i64, i64, i64, i64);

fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|_| StoreError::Damaged { what: "the feed" })
}

pub(super) fn writer_column(writer: Writer) -> i64 {
    i64::from(writer.incarnation.number()) * LANES + i64::from(writer.lane.0)
}

/// The columns `writer` and `n`.
pub(super) fn point((writer, n): (i64, i64)) -> Result<Point, StoreError> {
    let lane = u16::try_from(writer.rem_euclid(LANES)).map_err(|_| DAMAGED)?;
    let incarnation = incarnation(writer.div_euclid(LANES))?;
    Ok(Point { writer: Writer { incarnation, lane: Lane(lane) }, n: columns::number(n)? })
}

fn incarnation(id: i64) -> Result<Incarnation, StoreError> {
    u32::try_from(id).ok().and_then(Incarnation::new).ok_or(DAMAGED)
}

pub(super) fn timeline_of(number: u64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|_| DAMAGED)
}

fn server_rows(json: &str) -> Result<Vec<ServerRow>, StoreError> {
    parse::<Vec<ServerColumns>>(json)?.into_iter().map(server_row).collect()
}

fn server_row(columns: ServerColumns) -> Result<ServerRow, StoreError> {
    let (id, age_ms, has_left, bus_format, looked, opened) = columns;
    Ok(ServerRow {
        incarnation: incarnation(id)?,
        // The clock of the database may have gone back.
        age_ms: u64::try_from(age_ms).unwrap_or(0),
        has_left: has_left != 0,
        bus_format: u8::try_from(bus_format).unwrap_or(u8::MAX),
        looked: u32::try_from(looked).map_err(|_| DAMAGED)?,
        opened: u32::try_from(opened).map_err(|_| DAMAGED)?,
    })
}

const DAMAGED: StoreError = StoreError::Damaged { what: "the table of servers" };

/// The lanes that a start may have, the one of control entries included.
const LANES: i64 = 65_536;
/// Rows of each writer in one read.
const PAGE_ROWS: usize = 200;
/// 30 s lie between two prunes, unless there is more to remove.
const BEATS_FOR_A_PRUNE: u64 = 60;
/// Rows of each writer that one prune removes: a server with four lanes that commits 16,000 batches a
/// second keeps up.
const PRUNED_AT_ONCE: i64 = 2_000;
/// Messages of other servers in one read.
const MESSAGES_AT_ONCE: i64 = 100;
/// For how long messages of servers are kept, in milliseconds: each server reads them within a second,
/// or else asks for what it lacks.
const MESSAGES_KEPT_MS: i64 = 30_000;
/// Hints that wait; beyond them, everything is checked.
const HINTS_MAX: usize = 1_000;
/// "chatfeed" in ASCII.
const REGISTER_LOCK: i64 = 0x6368_6174_6665_6564;

/// The database's clock.
macro_rules! now {
    () => {
        "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}
pub(super) use now;

/// The timeline of the database server: another one since a standby has taken over.
/// (`pg_control_checkpoint` would tell it after the next checkpoint only.) Where a standby has not
/// taken over, this is an error.
macro_rules! timeline {
    () => {
        "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint"
    };
}
pub(super) use timeline;

/// The table of servers, as JSON.
macro_rules! table {
    () => {
        concat!(
            "(SELECT coalesce(json_agg(json_build_array(s.id, ",
            now!(),
            " - s.seen_at, s.has_left, s.bus_format, s.looked, s.opened) ORDER BY s.id), '[]')::text
               FROM servers AS s)"
        )
    };
}

/// How many of the writers `$1` have not committed the numbers `$2`. The feed keeps the newest row of
/// a writer as long as the row of its server; the servers whose rows are gone are those before the
/// newest.
macro_rules! look {
    () => {
        "(SELECT count(*) FROM unnest($1::bigint[], $2::bigint[]) AS known (writer, n)
               WHERE (known.writer / 65536 > (SELECT coalesce(max(id), 0) FROM servers)
                      OR EXISTS (SELECT FROM servers WHERE id = known.writer / 65536))
                 AND NOT EXISTS (SELECT FROM commits AS c WHERE c.writer = known.writer AND c.n >= known.n))"
    };
}

/// The writers of the servers `s`.
macro_rules! writers {
    () => {
        "SELECT s.id * 65536 + l.lane AS writer, s.id, s.seen_at
           FROM servers AS s
          CROSS JOIN LATERAL (SELECT generate_series(0, s.lanes - 1) AS lane UNION ALL SELECT 65535) AS l"
    };
}

const REGISTER: &str = concat!(
    "INSERT INTO servers (lanes, bus_format, seen_at, looked) VALUES ($1, $2, ",
    now!(),
    ", ",
    timeline!(),
    ") RETURNING id"
);

pub(super) const START: &str = concat!(
    "SELECT ",
    table!(),
    ",
            (SELECT coalesce(json_agg(json_build_array(w.writer, newest.n)), '[]')::text
               FROM (",
    writers!(),
    ") AS w CROSS JOIN LATERAL
                    (SELECT c.n FROM commits AS c WHERE c.writer = w.writer ORDER BY c.n DESC LIMIT 1) AS newest),
            ",
    now!(),
    ",
            (SELECT coalesce(max(id), 0) FROM bus_messages),
            ",
    timeline!()
);

const BEAT: &str = concat!(
    "UPDATE servers SET seen_at = ",
    now!(),
    " WHERE id = (SELECT id FROM servers WHERE id = $1 FOR UPDATE SKIP LOCKED)"
);

const LEAVE: &str = "UPDATE servers SET has_left = 1 WHERE id = $1";

/// One snapshot of everything.
pub(super) const AFTER: &str = concat!(
    "SELECT (SELECT value FROM meta WHERE key = 'epoch'),
            ",
    now!(),
    ",
            ",
    table!(),
    ",
            (SELECT coalesce(json_agg(json_build_array(r.writer, r.n, r.parts, r.controls)
                                      ORDER BY r.writer, r.n), '[]')::text
               FROM (",
    writers!(),
    ") AS w
               LEFT JOIN unnest($1::bigint[], $2::bigint[]) AS seen (writer, n) ON seen.writer = w.writer
              CROSS JOIN LATERAL (SELECT c.writer, c.n, c.parts, c.controls FROM commits AS c
                      WHERE c.writer = w.writer AND c.n > coalesce(seen.n, 0)
                      ORDER BY c.n LIMIT $3) AS r),
            coalesce(told.messages, '{}'), coalesce(told.last, 0), ",
    timeline!(),
    ", CASE ",
    timeline!(),
    " WHEN $7::bigint THEN 0 ELSE ",
    look!(),
    " END, told.count
       FROM (SELECT array_agg(m.message ORDER BY m.id) FILTER (WHERE m.server <> $5) AS messages,
                    max(m.id) AS last, count(*) AS count
               FROM (SELECT b.id, b.server, b.message FROM bus_messages AS b
                      WHERE b.id > $4 ORDER BY b.id LIMIT $6) AS m) AS told"
);

/// A server that starts is in the table before it claims: of two with different places, one sees the
/// other.
const CLAIM_FILES: &str = concat!(
    "INSERT INTO meta (key, value) VALUES ('files', $2)
     ON CONFLICT (key) DO UPDATE SET value = excluded.value
      WHERE meta.value = excluded.value
         OR NOT EXISTS (SELECT FROM servers AS s WHERE s.id <> $1 AND s.has_left = 0 AND s.seen_at > ",
    now!(),
    " - $3) RETURNING 1"
);

const TELL: &str = concat!(
    "INSERT INTO bus_messages (server, at, message)
     SELECT $1, ",
    now!(),
    ", m.message FROM unnest($2::bytea[]) WITH ORDINALITY AS m (message, place) ORDER BY m.place"
);

pub(super) const FORGET_MESSAGES: &str = concat!("DELETE FROM bus_messages WHERE at < ", now!(), " - $1");

pub(super) const LOOK: &str = concat!("SELECT ", look!());

const LOOKED: &str = "UPDATE servers SET looked = $2 WHERE id = $1";

const OPENED: &str = "UPDATE servers SET opened = $2 WHERE id = $1";

const END_EPOCH: &str = "UPDATE meta SET value = $2 WHERE key = 'epoch' AND value = $1";

const NEWEST: &str = "SELECT n FROM commits WHERE writer = $1 ORDER BY n DESC LIMIT 1";

/// Of this server, and of those that have been silent for a minute.
pub(super) const PRUNE: &str = concat!(
    "DELETE FROM commits AS c USING (
         SELECT o.writer, o.n
           FROM (",
    writers!(),
    ") AS w
          CROSS JOIN LATERAL (SELECT k.writer, k.n, k.at FROM commits AS k
                  WHERE k.writer = w.writer ORDER BY k.n LIMIT $3) AS o
          WHERE (w.id = $1 OR w.seen_at < ",
    now!(),
    " - 60000)
            AND o.at < ",
    now!(),
    " - $2
            AND o.n < (SELECT m.n FROM commits AS m WHERE m.writer = o.writer ORDER BY m.n DESC LIMIT 1)) AS old
      WHERE c.writer = old.writer AND c.n = old.n"
);

const FORGET_SERVERS: &str = concat!(
    "WITH gone AS (
         DELETE FROM servers WHERE id <> $1 AND seen_at < ",
    now!(),
    " - $2 RETURNING id)
     DELETE FROM commits AS c USING gone
      WHERE c.writer >= gone.id * 65536 AND c.writer < (gone.id + 1) * 65536"
);
