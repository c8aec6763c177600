//! The SQLite store.

mod accounts;
mod administration;
mod append;
mod bots;
mod direct;
mod file;
mod files;
mod leftovers;
mod names;
mod outgoing;
mod push;
mod redaction;
mod roles;
mod rooms;
mod search;
mod statements;
mod trim;
mod words;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chat_core::{
    ChangeRefused, Commit, Conversations, Draft, Emoji, Memberships, MessagesFrom, Page, PageFrom,
    PageLimits, ReadState, RoomAccess, RoomChange, RoomName, Topic, UserMark, Username, WantedChange,
};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqlitePoolOptions};
use uuid::Uuid;

use crate::open_error::explained;
use crate::pages;
use crate::rooms::read;
use crate::{EventLog, MessageReactions, Retention, StoreError, StoreFuture, TrimPosition, Trimmed, schema};
pub(crate) use file::DatabaseFile;
use leftovers::Pages;
use redaction::Redaction;
use search::Search;
use writer::{Appended, Writer};

/// A store of users, sessions and the log in one SQLite file: the default store.
///
/// One connection writes at a time, a few others read meanwhile (WAL), and each commit is
/// on the disk before it is acknowledged (`synchronous=FULL`). One process has the file
/// at a time.
///
/// SQLite makes the checkpoints, which copy the WAL into the database: the commit that
/// finds more than 1,000 pages (4 MB) in the WAL makes one. A checkpoint by another
/// connection would rarely find the WAL idle, which is necessary to start the WAL over:
/// the WAL would grow for as long as messages are written. Made by the writer, it stays
/// at about 4 MB, and drafts that arrive during a checkpoint form one larger batch.
///
/// A text that was replaced or deleted is overwritten (`secure_delete`). After
/// [`SqliteOptions::redact_within`] another checkpoint truncates the WAL. Then the file is
/// read, and copies of rows that SQLite left in its pages are overwritten (only on Unix): a
/// few at a time, between drafts. The pause between two readings is thirty times as long as
/// the first took, so that the text is in no file after 60 s, if the file is read within
/// 1 s (some GB in the cache of the system, or on a fast disk) and has few such copies. That
/// is not so the first time after an update from a version without `secure_delete`, when all
/// copies of all texts that were ever moved are overwritten; copies behind the end of a text
/// that is longer than a page are not found then.
pub struct SqliteStore {
    epoch: String,
    writer: Arc<Writer>,
    redaction: Redaction,
    readers: SqlitePool,
    search: Search,
}

/// The limits of an SQLite store.
#[derive(Debug, Clone, Copy)]
pub struct SqliteOptions {
    /// The time to wait for a lock of another program on the file (a backup,
    /// `sqlite3`), and for a free connection that reads.
    pub busy_timeout: Duration,
    /// The number of connections that read, each with a thread of its own, opened when
    /// needed.
    pub readers_max: u32,
    /// The time after which a text that was replaced or deleted is not in the WAL any more, if
    /// no reader holds the checkpoint back: then it is tried again every 2 s. Each round costs
    /// a few flushes of the disk, for which drafts wait; there is at most one in this time, and
    /// none if no text was taken back. Then the whole file is read beside the drafts, which
    /// takes at most a thirtieth of the time.
    pub redact_within: Duration,
}

impl Default for SqliteOptions {
    /// 5 s, after which a draft fails; 4 connections; 20 s.
    fn default() -> Self {
        Self { busy_timeout: Duration::from_secs(5), readers_max: 4, redact_within: Duration::from_secs(20) }
    }
}

impl SqliteStore {
    /// Opens a database, made if it is not there, and brings it up to this
    /// version's schema. It belongs to this store until
    /// [`close`](Self::close) or the end of the process: a second one is
    /// refused ([`StoreError::InUse`]).
    pub async fn open(path: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        let file = DatabaseFile::claim_with(path, options)?;
        let mut connection = file.connect().await?;
        schema::sqlite::run(&mut connection, file.path()).await?;
        let epoch = epoch(&mut connection).await.map_err(|error| explained(path, error))?;
        names::complete(&mut connection).await.map_err(|error| explained(path, error))?;
        words::complete(&mut connection).await.map_err(|error| explained(path, error))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(options.readers_max.max(1))
            .acquire_timeout(options.busy_timeout)
            // A connection to a file does not become invalid.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(file.reading());
        let is_due = redaction::is_due(&mut connection).await.map_err(|error| explained(path, error))?;
        let pages =
            Pages::open(file.path()).map_err(|error| StoreError::cannot_open(path.display(), error))?;
        let search = Search::open(file.path(), &epoch, options).await?;
        let writer = Arc::new(Writer::new(connection, file, options.busy_timeout));
        let redaction = Redaction::start(&writer, pages, options.redact_within, is_due);
        Ok(Self { epoch, writer, redaction, readers, search })
    }

    /// Waits for calls that run, closes the file and releases it. Later calls fail with
    /// [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.search.close(&self.readers).await;
        self.redaction.close().await;
        self.readers.close().await;
        // The last connection to close removes the WAL, and must be able to write.
        self.writer.close().await;
    }
}

impl EventLog for SqliteStore {
    fn append<'a>(&'a self, drafts: &'a [Draft], now_ms: u64) -> StoreFuture<'a, Commit> {
        Box::pin(async move {
            if drafts.is_empty() {
                return Ok(Commit::default());
            }
            let Appended { commit, redacts } = self.writer.append(drafts, now_ms).await?;
            if redacts {
                self.redaction.request();
            }
            self.search.note(&commit);
            Ok(commit)
        })
    }

    fn page<'a>(&'a self, topic: &'a Topic, from: PageFrom, limits: PageLimits) -> StoreFuture<'a, Page> {
        Box::pin(pages::page(&self.readers, topic, from, limits))
    }

    fn messages<'a>(
        &'a self,
        topic: &'a Topic,
        from: &'a MessagesFrom,
        limits: PageLimits,
    ) -> StoreFuture<'a, Page> {
        Box::pin(pages::messages(&self.readers, topic, from, limits))
    }

    fn reactions<'a>(
        &'a self,
        topic: &'a Topic,
        seq: u64,
        user: &'a Username,
    ) -> StoreFuture<'a, Option<MessageReactions>> {
        Box::pin(pages::reactions(&self.readers, topic, seq, user))
    }

    fn reactors<'a>(
        &'a self,
        topic: &'a Topic,
        seq: u64,
        emoji: &'a Emoji,
        after: u64,
        max: usize,
    ) -> StoreFuture<'a, Vec<(Username, u64)>> {
        Box::pin(pages::reactors(&self.readers, topic, seq, emoji, after, max))
    }

    fn conversations<'a>(&'a self, user: &'a Username, limit: usize) -> StoreFuture<'a, Conversations> {
        Box::pin(read::conversations(&self.readers, user, limit))
    }

    fn change<'a>(
        &'a self,
        wanted: &'a WantedChange,
        now_ms: u64,
    ) -> StoreFuture<'a, Result<Vec<RoomChange>, ChangeRefused>> {
        Box::pin(rooms::change(&self.writer, wanted, now_ms))
    }

    fn memberships<'a>(
        &'a self,
        user: &'a Username,
        limit: usize,
        counted: usize,
    ) -> StoreFuture<'a, Memberships> {
        Box::pin(read::memberships(&self.readers, user, limit, counted))
    }

    fn access<'a>(&'a self, user: &'a Username, room: &'a RoomName) -> StoreFuture<'a, RoomAccess> {
        Box::pin(read::access(&self.readers, user, room))
    }

    fn tops<'a>(&'a self, rooms: &'a [RoomName]) -> StoreFuture<'a, Vec<u64>> {
        Box::pin(read::tops(&self.readers, rooms))
    }

    fn counts<'a>(&'a self, user: &'a Username, topic: &'a Topic, read: u64) -> StoreFuture<'a, ReadState> {
        Box::pin(read::counts(&self.readers, user, topic, read))
    }

    fn keep<'a>(&'a self, marks: &'a [UserMark]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            if marks.is_empty() {
                return Ok(());
            }
            let mut writing = self.writer.begin().await?;
            let work = read::keep(&mut writing.connection, marks).await;
            writing.finish(work).await
        })
    }

    fn trim<'a>(
        &'a self,
        retention: &'a Retention,
        from: TrimPosition,
        now_ms: u64,
        max_entries: usize,
    ) -> StoreFuture<'a, Trimmed> {
        Box::pin(async move {
            let trimmed =
                trim::trim(&self.readers, &self.writer, retention, from, now_ms, max_entries).await?;
            self.search.note_trimmed(&trimmed.topics);
            Ok(trimmed)
        })
    }

    fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Reads, and begins a transaction with the right to write. A write would tell more,
    /// but would cost a flush of the disk for each check.
    fn check(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            let read = sqlx::query("SELECT value FROM meta WHERE key = 'epoch'");
            read.fetch_one(&self.readers).await.map_err(StoreError::unavailable)?;
            self.writer.begin().await?.finish(Ok(())).await
        })
    }

    fn check_write(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            let mut writing = self.writer.begin().await?;
            // An update to the same value would write nothing.
            let work = async {
                for statement in [
                    "INSERT INTO meta (key, value) VALUES ('write check', '')",
                    "DELETE FROM meta WHERE key = 'write check'",
                ] {
                    sqlx::query(statement)
                        .execute(&mut writing.connection)
                        .await
                        .map_err(StoreError::unavailable)?;
                }
                Ok(())
            };
            let work = work.await;
            writing.finish(work).await
        })
    }
}

/// Reads the epoch, which is made when a server first opens the database.
async fn epoch(connection: &mut SqliteConnection) -> Result<String, StoreError> {
    sqlx::query("INSERT INTO meta (key, value) VALUES ('epoch', ?1) ON CONFLICT (key) DO NOTHING")
        .bind(Uuid::new_v4().to_string())
        .execute(&mut *connection)
        .await
        .map_err(StoreError::unavailable)?;
    sqlx::query("SELECT value FROM meta WHERE key = 'epoch'")
        .fetch_one(connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(StoreError::unavailable)
}

#[cfg(test)]
mod tests {
    use chat_core::SearchScope;

    use super::*;
    use crate::administration::database as administration;
    use crate::changes::sql::{ChangeSql, SQLITE};
    use crate::changes::trim as oldest;
    use crate::files::sql as files;
    use crate::rooms::{fill, members, sql};
    use crate::search::walk;

    const CHANGES: ChangeSql = SQLITE;
    const FILES: files::FileSql = files::SQLITE;

    /// SQLite plans with the statistics that `PRAGMA optimize` made when the file was last
    /// closed, and reading all of an almost empty table looks cheap.
    #[tokio::test]
    async fn every_statement_uses_an_index_even_with_statistics_of_empty_tables() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.db");
        for _ in 0..2 {
            let store = SqliteStore::open(&path, SqliteOptions::default()).await.unwrap();
            for sql in [
                pages::sql::SQLITE.messages_numbered,
                pages::sql::SQLITE.reactions,
                append::KNOWN_NONCES,
                append::FIND_TOPICS,
                CHANGES.administrators,
                CHANGES.targets,
                CHANGES.reacted,
                CHANGES.reactors,
                CHANGES.remove_mentions,
                CHANGES.replace_texts,
                CHANGES.keep_states,
                CHANGES.remove_all_reactions,
                CHANGES.remove_reactions,
                oldest::CHANGES_AFTER,
                oldest::MESSAGE_BEFORE,
                trim::REMOVE_CHANGES,
                trim::REMOVE_STATES,
                trim::REMOVE_REMEMBERED,
                append::RECIPIENTS,
                names::FIND,
                accounts::FIND_USER_IGNORING_CASE,
                accounts::FIND_SUBJECT,
                accounts::FIND_USERS,
                words::LIST,
                words::SEARCH,
                words::FORGET,
                roles::IS_ADMINISTRATOR,
                accounts::SESSIONS_OF,
                accounts::VALID_SESSIONS,
                trim::FIRST_ENTRIES,
                trim::OLDEST_ENTRIES,
                trim::REMOVE,
                trim::FORGET,
                trim::ANY_OUTLIVED,
                trim::REMOVE_OUTLIVED,
                trim::REMOVE_MENTIONS,
                FILES.free,
                FILES.show,
                FILES.attach,
                FILES.take_back,
                FILES.lock,
                FILES.mark_old,
                FILES.forget,
                files::IS_KNOWN,
                files::USED_BY,
                files::STORE,
                files::DROP,
                files::ANY_OLD,
                files::TO_REMOVE,
                files::FIND,
                files::AFTER,
                sql::SQLITE.room_facts,
                sql::SQLITE.roles,
                read::TOPS.sqlite,
                sql::SQLITE.keep,
                sql::SQLITE.add_members,
                sql::SQLITE.count_members,
                sql::SQLITE.title_rooms,
                sql::SQLITE.missing_members,
                members::ROLE,
                members::OTHER_MODERATOR,
                members::ROOMS,
                read::COUNTS,
                read::ACCESS,
                read::FIND_ROOM,
                fill::NEXT_TOPIC,
                administration::FORGET_OF_USER,
                administration::FORGET_OF_PART,
                administration::FORGET_DONE_OF_USER,
                administration::AUDIT,
                administration::INVITES_OF_OTHERS,
                administration::INVITES_OF_USER,
                administration::INVITES_TO_ROOM,
                administration::FIND_INVITE,
                administration::COUNT_INVITES,
                administration::USE_INVITE,
                administration::WITHDRAW_ALL,
                administration::WITHDRAW_AS_ADMINISTRATOR,
                administration::WITHDRAW_OF_STRANGERS,
                administration::WITHDRAW_FROM_ROOM,
                administration::FIND_BAN,
                administration::BANS,
                administration::BANS_OF_SQLITE,
                crate::bots::database::AMONG_SQLITE,
                administration::PART_END,
                administration::MESSAGES_OF,
                administration::FIND_LINK,
                administration::OPEN_REPORT,
                administration::COUNT_OPEN,
                administration::REPORTS,
            ] {
                for step in plan(&store, sql).await {
                    assert!(!reads_all(&step) && !step.contains("B-TREE"), "{step}: {sql}");
                }
            }
            // These merge rows that are in order already; only the head, one row, is sorted.
            for sql in [
                pages::sql::SQLITE.latest,
                pages::sql::SQLITE.before,
                pages::sql::SQLITE.after,
                pages::sql::SQLITE.messages_before,
                pages::sql::SQLITE.messages_after,
            ] {
                let plan = plan(&store, sql).await;
                assert!(!plan.iter().any(|step| reads_all(step)), "{plan:#?}: {sql}");
                assert_eq!(plan.iter().filter(|step| step.contains("B-TREE")).count(), 1, "{plan:#?}");
            }
            // Both sides are found by the key.
            let plan_around = plan(&store, pages::sql::SQLITE.messages_around).await;
            let by_key =
                |step: &&String| step.starts_with("SEARCH entries USING PRIMARY KEY (topic=? AND seq");
            assert_eq!(plan_around.iter().filter(by_key).count(), 2, "{plan_around:#?}");
            assert!(!plan_around.iter().any(|step| step.contains("B-TREE")), "{plan_around:#?}");
            // These sort what they found by an index.
            for sql in [
                pages::sql::REACTORS.sqlite,
                read::CONVERSATIONS.sqlite,
                read::MEMBERSHIPS.sqlite,
                read::MEMBERSHIPS_BY_POSITION.sqlite,
                read::ROOMS_OF.sqlite,
                read::MEMBERS_OF.sqlite,
                fill::AUTHORS,
                administration::REPORTS_OF_MODERATOR,
            ] {
                for step in plan(&store, sql).await {
                    assert!(!reads_all(&step), "{step}: {sql}");
                }
            }
            // The index of the rooms that are left out has no others.
            for step in plan(&store, pages::sql::READABLE.sqlite).await {
                let is_bounded = step == "SCAN rooms USING COVERING INDEX closed_named_rooms";
                assert!(is_bounded || !reads_all(&step), "{step}");
            }
            store.close().await;
        }
    }

    /// A search costs so much, however many rooms were closed.
    #[tokio::test]
    async fn a_search_depends_on_a_bounded_number_of_rooms() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            SqliteStore::open(&folder.path().join("chat.db"), SqliteOptions::default()).await.unwrap();
        let mut writing = store.writer.begin().await.unwrap();
        let fill = "CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
                 SELECT i FROM n;
             INSERT INTO topics (kind, name, other, last_seq, last_at) SELECT 1, 'attic ' || i, '', 1, i FROM n
              UNION ALL SELECT 1, '~' || i, '', 1, i FROM n;
             INSERT INTO rooms (name, title, description, access, archived, members, joins, created_at)
             SELECT name, name, '', 2, 0, 1, 1, 0 FROM topics;
             INSERT INTO members (room, username, role, joined_at, position)
             SELECT '~' || i, 'alice', 1, 0, 1 FROM n";
        sqlx::raw_sql(fill).execute(&mut writing.connection).await.unwrap();
        writing.finish(Ok(())).await.unwrap();
        let alice = Username::parse("alice").unwrap();
        let readable = walk::readable(&mut &store.readers, &alice, &SearchScope::All).await.unwrap().unwrap();
        assert_eq!(readable.own.len(), usize::try_from(walk::OWN_CLOSED_ROOMS_MAX).unwrap());
        assert_eq!(readable.closed.len(), usize::try_from(walk::LEFT_OUT_ROOMS_MAX).unwrap());
        store.close().await;
    }

    #[test]
    fn no_statement_that_is_run_often_is_planned_anew_for_its_limit() {
        for sql in [
            pages::sql::SQLITE.latest,
            pages::sql::SQLITE.before,
            pages::sql::SQLITE.after,
            pages::sql::SQLITE.messages_before,
            pages::sql::SQLITE.messages_after,
            pages::sql::SQLITE.messages_around,
            pages::sql::READABLE.sqlite,
            pages::sql::REACTORS.sqlite,
            read::CONVERSATIONS.sqlite,
            read::MEMBERSHIPS.sqlite,
            read::MEMBERSHIPS_BY_POSITION.sqlite,
            read::ROOMS_OF.sqlite,
            read::MEMBERS_OF.sqlite,
            CHANGES.reactors,
            accounts::FIND_USERS,
            words::LIST,
            words::SEARCH,
            search::FIND,
        ] {
            let limits = sql.split("LIMIT ").skip(1);
            for limit in limits.filter(|limit| limit.starts_with(['$', '?'])) {
                let after = limit[1..].trim_start_matches(|digit: char| digit.is_ascii_digit());
                assert!(after.starts_with(" + "), "{sql}");
            }
        }
    }

    async fn plan(store: &SqliteStore, sql: &'static str) -> Vec<String> {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let steps = sqlx::query(explain).fetch_all(&store.readers).await.unwrap();
        steps.iter().map(|step| step.get(3)).collect()
    }

    /// Whether a step of a plan reads all of a table, and not of a subquery or a parameter.
    fn reads_all(step: &str) -> bool {
        let subqueries = [
            "lower", "higher", "c", "f", "s", "ends", "topic", "head", "known", "bounded", "n", "o", "d",
            "others", "always", "mine", "part", "own", "closed",
        ];
        step.strip_prefix("SCAN ").is_some_and(|of| {
            let is_subquery = subqueries.contains(&of) || of.starts_with("(subquery");
            !is_subquery && !of.contains("VIRTUAL TABLE") && of != "CONSTANT ROW"
        })
    }
}
