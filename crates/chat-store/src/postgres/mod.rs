//! The Postgres store.

mod accounts;
mod administration;
mod append;
mod arrival;
mod bots;
mod database;
mod deadline;
mod ended_sessions;
mod failure;
mod feed;
mod feed_json;
mod files;
mod gate;
mod lane;
mod maintenance;
mod names;
mod outgoing;
mod pool;
mod push;
mod roles;
mod rooms;
mod search;
mod server_lock;
mod shared;
mod statements;
mod trim;
mod words;

use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use chat_cluster::{Record, Writer};
use chat_core::{
    ChangeRefused, Commit, Conversations, Draft, Emoji, Memberships, MessagesFrom, Page, PageFrom,
    PageLimits, ReadState, RoomAccess, RoomChange, RoomName, Topic, UserMark, Username, WantedChange,
};
use futures_util::future::join_all;
use siphasher::sip::SipHasher13;
use sqlx::Connection as _;
use uuid::Uuid;

use crate::pages;
use crate::rooms::read;
use crate::rows::Columns as _;
use crate::search::indexer::Indexer;
use crate::{
    EventLog, Feed, MessageReactions, PostgresUrl, Retention, StoreError, StoreFuture, TrimPosition, Trimmed,
    columns, schema,
};
pub use arrival::wait_until_reachable;
use database::Database;
use ended_sessions::EndedSessions;
use failure::Failure;
use feed::{EndedHints, PostgresFeed, Registered};
use gate::Gate;
use lane::Lane;
pub(crate) use maintenance::connect;
use pool::Pool;
pub use server_lock::{OtherServers, ServerLock};
pub(crate) use server_lock::{exclude_connected, exclude_servers};

/// A store of users, sessions and the log in one Postgres database (13 or later).
///
/// A few lanes store batches at the same time, each on a connection of its own; a topic
/// has one lane. Single statements share a few other connections. Each commit is on the
/// server's disk before it is acknowledged (`synchronous_commit`).
///
/// The database server may stop and start at any time. A call is retried until it is
/// answered or its deadline has passed, and a connection on which a call was dropped is
/// not used again. A commit whose answer was lost is resolved before the next batch, so
/// that it is neither stored twice nor reported wrongly.
pub struct PostgresStore {
    epoch: String,
    lanes: Vec<Lane>,
    /// Hashes topics to lanes, with a random key of the database: clients choose the names of
    /// rooms, and must not know which rooms share a lane. It is the same on all servers, so that
    /// their transactions wait for each other in one lane, not across all.
    lane_hash: SipHasher13,
    feed: PostgresFeed,
    pool: Pool,
    indexer: Indexer,
    ended_sessions: EndedSessions,
    check_timeout: Duration,
}

/// The limits of a Postgres store.
#[derive(Debug, Clone, Copy)]
pub struct PostgresOptions {
    /// The number of batches that are stored at the same time, each on a connection of
    /// its own.
    pub lanes: usize,
    /// The number of connections for everything else, opened when needed.
    pub readers_max: u32,
    /// The time that a call may take, over all its attempts.
    pub call_timeout: Duration,
    /// The time that one attempt may take, and each of its statements on the server.
    pub attempt_timeout: Duration,
    /// The time that a transaction may wait for its next statement. A server that is frozen in one
    /// holds the rooms that it has locked for as long.
    pub idle_in_transaction_timeout: Duration,
    /// The time that opening a connection may take.
    pub connect_timeout: Duration,
    /// The time that a [`check`](EventLog::check) may take.
    pub check_timeout: Duration,
}

impl Default for PostgresOptions {
    /// 4 lanes and 4 connections. 4 s for a call, as a draft fails after 5 s; of these
    /// an attempt gets 2.5 s and a connection 1 s, which leaves time to resolve a commit
    /// whose answer was lost. 0.9 s for a check.
    fn default() -> Self {
        Self {
            lanes: 4,
            readers_max: 4,
            call_timeout: Duration::from_secs(4),
            attempt_timeout: Duration::from_millis(2_500),
            idle_in_transaction_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            check_timeout: Duration::from_millis(900),
        }
    }
}

impl PostgresStore {
    /// Opens a database that [`migrations::up`](crate::migrations::up) has brought to this version's
    /// schema; another one is refused ([`StoreError::OldSchema`],
    /// [`StoreError::NewerSchema`]).
    pub async fn open(url: &PostgresUrl, options: PostgresOptions) -> Result<Self, StoreError> {
        let lanes = options.lanes.clamp(1, LANES_MAX);
        let start = prepare(url, lanes).await?;
        let incarnation = start.incarnation;
        let database = Database::new(url, &options).of_server(incarnation);
        let pool = Pool::new(database.clone(), &options);
        let epoch = meta(&pool, "epoch", || Uuid::new_v4().to_string()).await?;
        search::prepare(&pool, &epoch).await?;
        let lane_hash = lane_hash(&pool).await?;
        let gate = Arc::new(Gate::new(incarnation, start.timeline, &epoch, &start.rows));
        let writers = (0..lanes as u16).map(|lane| Writer { incarnation, lane: chat_cluster::Lane(lane) });
        let lanes =
            writers.map(|writer| Lane::new(writer, database.clone(), Arc::clone(&gate), &options)).collect();
        let check_timeout = options.check_timeout;
        let ended = Arc::<EndedHints>::default();
        let feed = PostgresFeed::new(start, &database, gate, options.attempt_timeout, Arc::clone(&ended));
        let (indexer, ended_sessions) = (Indexer::new(), EndedSessions::new(database, ended));
        Ok(Self { epoch, lanes, lane_hash, feed, pool, indexer, ended_sessions, check_timeout })
    }

    /// Waits for calls that run, then closes the connections. Later calls fail with
    /// [`StoreError::Unavailable`].
    pub async fn close(&self) {
        join_all(self.lanes.iter().map(Lane::close)).await;
        self.finish_index().await;
        self.feed.leave().await;
        self.pool.close().await;
    }
}

impl EventLog for PostgresStore {
    /// Uses the lane of the first topic. A batch that also has topics of other lanes may
    /// wait for them.
    fn append<'a>(&'a self, drafts: &'a [Draft], now_ms: u64) -> StoreFuture<'a, Commit> {
        Box::pin(async move { Ok(self.append_recorded(drafts, now_ms).await?.0) })
    }

    fn append_recorded<'a>(
        &'a self,
        drafts: &'a [Draft],
        now_ms: u64,
    ) -> StoreFuture<'a, (Commit, Option<Record>)> {
        Box::pin(async move {
            match drafts.first() {
                None => Ok((Commit::default(), None)),
                Some(first) => {
                    let stored = self.lanes[self.lane(&first.topic)].append(drafts, now_ms).await?;
                    self.indexer.note(&stored.0);
                    Ok(stored)
                }
            }
        })
    }

    fn feed(&self) -> Option<&dyn Feed> {
        Some(&self.feed)
    }

    fn lanes(&self) -> usize {
        self.lanes.len()
    }

    fn lane(&self, topic: &Topic) -> usize {
        let mut hasher = self.lane_hash;
        columns::topic_key(topic).hash(&mut hasher);
        // The result is less than the number of lanes, which is a usize.
        (hasher.finish() % self.lanes.len() as u64) as usize
    }

    fn page<'a>(&'a self, topic: &'a Topic, from: PageFrom, limits: PageLimits) -> StoreFuture<'a, Page> {
        Box::pin(pages::page(&self.pool, topic, from, limits))
    }

    fn messages<'a>(
        &'a self,
        topic: &'a Topic,
        from: &'a MessagesFrom,
        limits: PageLimits,
    ) -> StoreFuture<'a, Page> {
        Box::pin(pages::messages(&self.pool, topic, from, limits))
    }

    fn reactions<'a>(
        &'a self,
        topic: &'a Topic,
        seq: u64,
        user: &'a Username,
    ) -> StoreFuture<'a, Option<MessageReactions>> {
        Box::pin(pages::reactions(&self.pool, topic, seq, user))
    }

    fn reactors<'a>(
        &'a self,
        topic: &'a Topic,
        seq: u64,
        emoji: &'a Emoji,
        after: u64,
        max: usize,
    ) -> StoreFuture<'a, Vec<(Username, u64)>> {
        Box::pin(pages::reactors(&self.pool, topic, seq, emoji, after, max))
    }

    fn conversations<'a>(&'a self, user: &'a Username, limit: usize) -> StoreFuture<'a, Conversations> {
        Box::pin(read::conversations(&self.pool, user, limit))
    }

    /// Uses a connection of the pool. Each transaction locks the room's row in `topics`
    /// before it looks at anything, so that a commit whose answer was lost is complete
    /// when a repeated call looks.
    fn change<'a>(
        &'a self,
        wanted: &'a WantedChange,
        now_ms: u64,
    ) -> StoreFuture<'a, Result<Vec<RoomChange>, ChangeRefused>> {
        Box::pin(self.pool.attempts(move || rooms::change(&self.pool, wanted, now_ms)))
    }

    fn memberships<'a>(
        &'a self,
        user: &'a Username,
        limit: usize,
        counted: usize,
    ) -> StoreFuture<'a, Memberships> {
        Box::pin(read::memberships(&self.pool, user, limit, counted))
    }

    fn access<'a>(&'a self, user: &'a Username, room: &'a RoomName) -> StoreFuture<'a, RoomAccess> {
        Box::pin(read::access(&self.pool, user, room))
    }

    fn tops<'a>(&'a self, rooms: &'a [RoomName]) -> StoreFuture<'a, Vec<u64>> {
        Box::pin(read::tops(&self.pool, rooms))
    }

    fn counts<'a>(&'a self, user: &'a Username, topic: &'a Topic, read: u64) -> StoreFuture<'a, ReadState> {
        Box::pin(read::counts(&self.pool, user, topic, read))
    }

    fn keep<'a>(&'a self, marks: &'a [UserMark]) -> StoreFuture<'a, ()> {
        Box::pin(async move { read::keep(&mut &self.pool, marks).await })
    }

    fn trim<'a>(
        &'a self,
        retention: &'a Retention,
        from: TrimPosition,
        now_ms: u64,
        max_entries: usize,
    ) -> StoreFuture<'a, Trimmed> {
        Box::pin(async move {
            let trimmed = trim::trim(&self.pool, retention, from, now_ms, max_entries).await?;
            self.indexer.note_trimmed(&trimmed.topics);
            Ok(trimmed)
        })
    }

    fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Reads, and asks whether the server accepts writes. A write would tell more, but
    /// would cost a flush of the disk for each check.
    fn check(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            let rows = self.pool.rows_within(self.check_timeout, || sqlx::query(CHECK)).await?;
            let row = rows.first().ok_or(StoreError::Damaged { what: "no epoch" })?;
            match row.flag(0)? {
                false => Ok(()),
                true => Err(StoreError::unavailable("the database server is read-only")),
            }
        })
    }

    fn check_write(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            self.check().await?;
            self.pool.rows_within(self.check_timeout, || sqlx::query(CHECK_WRITE)).await?;
            Ok(())
        })
    }
}

const CHECK: &str = "SELECT current_setting('transaction_read_only')::bool FROM meta WHERE key = 'epoch'";
/// Writes a new version of the row, also with the same value.
const CHECK_WRITE: &str = "UPDATE meta SET value = value WHERE key = 'epoch'";

/// The most lanes: a lane has a number of 16 bits in the feed, whose last one is another writer's.
const LANES_MAX: usize = 1_000;

/// Checks the schema, reserves names and registers this start, on a connection without a time
/// limit, as there may be many accounts.
async fn prepare(url: &PostgresUrl, lanes: usize) -> Result<Registered, StoreError> {
    let mut connection = connect(url).await?;
    schema::postgres::check(&mut connection, url).await?;
    names::complete(&mut connection).await?;
    words::complete(&mut connection).await?;
    let registered = feed::register(&mut connection, lanes).await.map_err(|failure| match failure {
        Failure::Passing(cause) => StoreError::cannot_open(url, cause),
        Failure::Final(error) => error,
    })?;
    connection.close().await.map_err(StoreError::unavailable)?;
    Ok(registered)
}

/// The hash by which topics get their lanes. Its key is made when a server first opens the database.
async fn lane_hash(pool: &Pool) -> Result<SipHasher13, StoreError> {
    const KEY: &str = "lane_seed";
    let key = meta(pool, KEY, || Uuid::from_u64_pair(random(), random()).simple().to_string()).await?;
    let key = Uuid::try_parse(&key).map_err(|_| StoreError::Damaged { what: "the key of the lanes" })?;
    let (high, low) = key.as_u64_pair();
    Ok(SipHasher13::new_with_keys(high, low))
}

fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// Reads a value of the database, which is made when a server first opens it.
async fn meta(pool: &Pool, key: &str, new: impl FnOnce() -> String) -> Result<String, StoreError> {
    let find = || sqlx::query("SELECT value FROM meta WHERE key = $1").bind(key);
    let mut row = pool.row(find).await?;
    if row.is_none() {
        let new = new();
        // If two servers start at once, the value of the first one stays.
        let make = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
        pool.rows(|| sqlx::query(make).bind(key).bind(&new)).await?;
        row = pool.row(find).await?;
    }
    Ok(row.ok_or(StoreError::Damaged { what: "a missing value of meta" })?.text(0)?.to_owned())
}

#[cfg(all(test, feature = "test-postgres"))]
mod tests {
    use sqlx::Row as _;

    use super::*;
    use crate::DatabaseUrl;
    use crate::administration::database as administration;
    use crate::changes::sql::{ChangeSql, POSTGRES as CHANGES_SQL};
    use crate::changes::trim as oldest;
    use crate::files::sql as files;
    use crate::rooms::{fill, members, sql};

    const CHANGES: ChangeSql = CHANGES_SQL;
    const FILES: files::FileSql = files::POSTGRES;
    use crate::test_postgres::TestDatabase;

    /// The planner has no statistics of a new table, and poor ones of an almost empty
    /// table; its plans must still be right for a large table.
    #[tokio::test]
    async fn every_statement_uses_an_index_even_with_statistics_of_empty_tables() {
        let Some(database) = TestDatabase::migrated() else { return };
        let DatabaseUrl::Postgres(url) = &database.url else { panic!("{:?}", database.url) };
        let mut connection = Database::new(url, &PostgresOptions::default()).connect().await.ok().unwrap();
        for analyze in ["SELECT", "ANALYZE"] {
            sqlx::raw_sql(analyze).execute(&mut connection).await.unwrap();
            for (sql, values) in [
                (pages::sql::POSTGRES.latest, 6),
                (pages::sql::POSTGRES.before, 6),
                (pages::sql::POSTGRES.after, 6),
                (pages::sql::POSTGRES.messages_before, 6),
                (pages::sql::POSTGRES.messages_after, 6),
                (pages::sql::POSTGRES.messages_around, 7),
                (pages::sql::POSTGRES.messages_numbered, 5),
                (pages::sql::POSTGRES.reactions, 5),
                (pages::sql::REACTORS.postgres, 7),
                (append::KNOWN_NONCES, 2),
                (append::RECIPIENTS, 1),
                (accounts::FIND_USER, 1),
                (accounts::FIND_USER_IGNORING_CASE, 3),
                (accounts::CREATE_USER, 11),
                (accounts::FIND_SUBJECT, 2),
                (accounts::FIND_USERS, 1),
                (words::LIST, 4),
                (words::SEARCH, 4),
                (roles::IS_ADMINISTRATOR, 1),
                (accounts::REMOVE_USER, 4),
                (accounts::LIST_USERS, 2),
                (names::FIND, 3),
                (accounts::FIND_SESSION, 2),
                (accounts::VALID_SESSIONS, 2),
                (trim::FIRST_ENTRIES, 2),
                (trim::OLDEST_ENTRIES, 2),
                (trim::REMOVE, 3),
                (trim::LOCK, 1),
                (CHANGES.administrators, 1),
                (CHANGES.targets, 1),
                (CHANGES.reacted, 1),
                (CHANGES.reactors, 2),
                (CHANGES.remove_mentions, 1),
                (CHANGES.replace_texts, 1),
                (CHANGES.remove_all_reactions, 1),
                (CHANGES.remove_reactions, 1),
                (oldest::CHANGES_AFTER, 2),
                (oldest::MESSAGE_BEFORE, 3),
                (feed::START, 0),
                (feed::AFTER, 7),
                (feed::LOOK, 2),
                (feed::PRUNE, 3),
                (trim::FORGET, 2),
                (append::LOCK, 3),
                (append::REMOVE_UNUSED, 3),
                (sql::POSTGRES.room_facts, 1),
                (sql::POSTGRES.roles, 1),
                (read::TOPS.postgres, 1),
                (sql::POSTGRES.keep, 1),
                (sql::POSTGRES.add_members, 1),
                (sql::POSTGRES.count_members, 1),
                (sql::POSTGRES.title_rooms, 1),
                (sql::POSTGRES.missing_members, 2),
                (members::ROLE, 2),
                (members::OTHER_MODERATOR, 2),
                (members::ROOMS, 1),
                (read::CONVERSATIONS.postgres, 2),
                (read::MEMBERSHIPS.postgres, 3),
                (read::MEMBERSHIPS_BY_POSITION.postgres, 3),
                (read::COUNTS, 6),
                (read::ACCESS, 2),
                (read::FIND_ROOM, 1),
                (read::ROOMS_OF.postgres, 2),
                (read::MEMBERS_OF.postgres, 3),
                (fill::NEXT_TOPIC, 1),
                (fill::AUTHORS, 3),
                (FILES.free, 1),
                (FILES.show, 1),
                (FILES.attach, 1),
                (FILES.take_back, 1),
                (FILES.lock, 2),
                (FILES.mark_old, 2),
                (FILES.forget, 1),
                (files::IS_KNOWN, 1),
                (files::USED_BY, 2),
                (files::STORE, 7),
                (files::DROP, 1),
                (files::ANY_OLD, 1),
                (files::TO_REMOVE, 1),
                (files::FIND, 1),
                (files::AFTER, 2),
                (administration::FORGET_OF_USER, 3),
                (administration::FORGET_OF_PART, 2),
                (administration::FORGET_DONE_OF_USER, 2),
                (administration::FORGET_DONE, 1),
                (administration::AUDIT, 2),
                (administration::INVITES_OF_OTHERS, 5),
                (administration::INVITES_OF_USER, 5),
                (administration::INVITES_TO_ROOM, 5),
                (administration::FIND_INVITE, 2),
                (administration::COUNT_INVITES, 2),
                (administration::USE_INVITE, 2),
                (administration::FIND_BAN, 1),
                (administration::BANS_OF_POSTGRES, 1),
                (crate::bots::database::AMONG_POSTGRES, 1),
                (administration::DELETIONS, 1),
                (administration::PART_END, 3),
                (administration::MESSAGES_OF, 5),
                (administration::FIND_LINK, 2),
                (administration::OPEN_REPORT, 5),
                (administration::COUNT_OPEN, 1),
            ] {
                let nulls = vec!["NULL"; values].join(", ");
                let values = if values == 0 { String::new() } else { format!("({nulls})") };
                let text = format!("DEALLOCATE ALL; PREPARE p AS {sql}; EXPLAIN EXECUTE p{values}");
                let plan = sqlx::raw_sql(sqlx::AssertSqlSafe(text)).fetch_all(&mut connection).await;
                let plan = plan.unwrap_or_else(|error| panic!("{error}: {sql}"));
                let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
                assert!(plan.iter().any(|step| step.contains("Index")), "{plan:#?}");
                // At most one page is sorted, by a key that is in order already. A bitmap
                // loses this order, and is right only where none is needed.
                let unordered = [
                    append::REMOVE_UNUSED,
                    trim::LOCK,
                    trim::REMOVE,
                    oldest::CHANGES_AFTER,
                    CHANGES.remove_all_reactions,
                    accounts::FIND_USER_IGNORING_CASE,
                    accounts::FIND_USERS,
                    accounts::REMOVE_USER,
                    accounts::CREATE_USER,
                    members::ROOMS,
                    read::MEMBERSHIPS.postgres,
                    read::MEMBERSHIPS_BY_POSITION.postgres,
                    read::ROOMS_OF.postgres,
                    files::AFTER,
                    administration::FORGET_OF_USER,
                    administration::FORGET_OF_PART,
                    administration::FORGET_DONE_OF_USER,
                    administration::FORGET_DONE,
                    administration::INVITES_OF_USER,
                    administration::INVITES_TO_ROOM,
                    administration::FIND_INVITE,
                    administration::COUNT_INVITES,
                    administration::USE_INVITE,
                    administration::BANS_OF_POSTGRES,
                    crate::bots::database::AMONG_POSTGRES,
                    administration::DELETIONS,
                    administration::MESSAGES_OF,
                    administration::OPEN_REPORT,
                    administration::COUNT_OPEN,
                ];
                let needs_order = !unordered.contains(&sql);
                // There are few servers: all are looked at, and only then the rows of each.
                let reads_all_servers = [feed::START, feed::AFTER, feed::LOOK, feed::PRUNE].contains(&sql);
                if reads_all_servers {
                    assert!(!plan.iter().any(|step| step.contains("Seq Scan on commits")), "{plan:#?}");
                    continue;
                }
                let mut bad = vec!["Seq Scan", "Hash Join", "Merge Join"];
                // A join with a filter looks at many rows of one side for each of the other.
                let lists = [
                    read::CONVERSATIONS,
                    read::MEMBERSHIPS,
                    read::MEMBERSHIPS_BY_POSITION,
                    read::ROOMS_OF,
                    read::TOPS,
                ];
                let is_list = lists.iter().any(|list| list.postgres == sql);
                bad.extend(is_list.then_some("Join Filter"));
                bad.extend(needs_order.then_some("Bitmap"));
                assert!(!plan.iter().any(|step| bad.iter().any(|bad| step.contains(bad))), "{plan:#?}");
            }
        }
    }
}
