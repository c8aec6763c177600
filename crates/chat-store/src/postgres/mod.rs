//! A store in a Postgres database.

mod accounts;
mod append;
mod arrival;
mod conversations;
mod database;
mod failure;
mod lane;
mod names;
mod page;
mod patience;
mod pool;
mod server_lock;
mod trim;

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use chat_core::{Commit, Conversations, Draft, Page, PageFrom, PageLimits, Topic, Username};
use futures_util::future::join_all;
use sqlx::Connection as _;
use uuid::Uuid;

use crate::rows::Columns as _;
use crate::{Answer, EventLog, PostgresUrl, Retention, StoreError, TrimPosition, Trimmed, migrations};
pub use arrival::wait_until_reachable;
use database::Database;
use lane::Lane;
use pool::Pool;
pub(crate) use server_lock::exclude_servers;
pub use server_lock::{OtherServers, ServerLock};

/// Users, sessions and the log in one Postgres database (13 or later).
///
/// A few lanes store batches at the same time, each over a connection of its
/// own, and a topic has one lane; single statements share a few connections
/// beside them. Each commit is on the server's disk before it is acknowledged
/// (`synchronous_commit`).
///
/// The server may go away and come back at any time. Whatever was asked is
/// asked again until it is answered or the patience is over, and no connection
/// on which something was given up is used again. A commit whose answer was
/// lost is looked up, so that it is neither stored twice nor reported wrongly.
pub struct PostgresStore {
    epoch: String,
    lanes: Vec<Lane>,
    /// Decides in which lane a topic is. Strangers name rooms: they must not
    /// know which share a lane.
    placing: RandomState,
    pool: Pool,
    check_timeout: Duration,
}

/// How a Postgres database is used.
#[derive(Debug, Clone, Copy)]
pub struct PostgresOptions {
    /// Batches that are stored at the same time, each over a connection of its
    /// own.
    pub lanes: usize,
    /// Connections for everything else, made when needed.
    pub readers_max: u32,
    /// How long whoever asks for something waits, over all tries.
    pub patience: Duration,
    /// How long one try may take, and each of its statements on the server.
    pub attempt_timeout: Duration,
    /// How long a new connection may take.
    pub connect_timeout: Duration,
    /// How long [`check`](EventLog::check) waits.
    pub check_timeout: Duration,
}

impl Default for PostgresOptions {
    /// 4 lanes and 4 connections. 4 s, as a draft may stay unanswered for 5 s;
    /// of these a try gets 2.5 s and a connection 1 s, which leaves time to
    /// find out about a commit whose answer was lost. 0.9 s for a check.
    fn default() -> Self {
        Self {
            lanes: 4,
            readers_max: 4,
            patience: Duration::from_secs(4),
            attempt_timeout: Duration::from_millis(2_500),
            connect_timeout: Duration::from_secs(1),
            check_timeout: Duration::from_millis(900),
        }
    }
}

impl PostgresStore {
    /// Opens a database that [`migrations::up`] has brought to this version's
    /// schema; another one is refused ([`StoreError::OldSchema`],
    /// [`StoreError::NewerSchema`]).
    pub async fn open(url: &PostgresUrl, options: PostgresOptions) -> Result<Self, StoreError> {
        migrations::postgres::check(url).await?;
        complete_names(url).await?;
        let database = Database::new(url, &options);
        let pool = Pool::new(database.clone(), &options);
        let epoch = epoch(&pool).await?;
        let lanes = (0..options.lanes.max(1)).map(|_| Lane::new(database.clone(), &options)).collect();
        let check_timeout = options.check_timeout;
        Ok(Self { epoch, lanes, placing: RandomState::new(), pool, check_timeout })
    }

    /// Waits for what is being asked, then closes the connections. Every call
    /// after this answers [`StoreError::Unavailable`].
    pub async fn close(&self) {
        join_all(self.lanes.iter().map(Lane::close)).await;
        self.pool.close().await;
    }
}

impl EventLog for PostgresStore {
    /// By the lane of the first topic. A batch may have topics of other lanes,
    /// too; it may then have to wait for them.
    fn append<'a>(&'a self, drafts: &'a [Draft], now_ms: u64) -> Answer<'a, Commit> {
        Box::pin(async move {
            match drafts.first() {
                None => Ok(Commit::default()),
                Some(first) => self.lanes[self.lane(&first.topic)].append(drafts, now_ms).await,
            }
        })
    }

    fn lanes(&self) -> usize {
        self.lanes.len()
    }

    fn lane(&self, topic: &Topic) -> usize {
        let lanes = self.lanes.len() as u64;
        // Less than their number, which was a usize.
        (self.placing.hash_one(topic) % lanes) as usize
    }

    fn page<'a>(&'a self, topic: &'a Topic, from: PageFrom, limits: PageLimits) -> Answer<'a, Page> {
        Box::pin(page::page(&self.pool, topic, from, limits))
    }

    fn conversations<'a>(&'a self, user: &'a Username, limit: usize) -> Answer<'a, Conversations> {
        Box::pin(conversations::conversations(&self.pool, user, limit))
    }

    fn trim<'a>(
        &'a self,
        retention: &'a Retention,
        from: TrimPosition,
        now_ms: u64,
        max_entries: usize,
    ) -> Answer<'a, Trimmed> {
        Box::pin(trim::trim(&self.pool, retention, from, now_ms, max_entries))
    }

    fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Reads, and asks whether the server takes writes. Writing something
    /// would tell more, and cost a flush of the disk each time somebody asks.
    fn check(&self) -> Answer<'_, ()> {
        Box::pin(async {
            let rows = self.pool.rows_within(self.check_timeout, || sqlx::query(CHECK)).await?;
            let row = rows.first().ok_or(StoreError::Damaged { what: "no name of its numbering" })?;
            match row.flag(0)? {
                false => Ok(()),
                true => Err(StoreError::unavailable("the database server only reads")),
            }
        })
    }
}

const CHECK: &str = "SELECT current_setting('transaction_read_only')::bool FROM meta WHERE key = 'epoch'";

/// Over a connection that may take its time: there may be many accounts.
async fn complete_names(url: &PostgresUrl) -> Result<(), StoreError> {
    let mut connection = migrations::postgres::connect(url).await?;
    names::complete(&mut connection).await?;
    connection.close().await.map_err(StoreError::unavailable)
}

/// The name of the numbering, made when a server first opens the database.
async fn epoch(pool: &Pool) -> Result<String, StoreError> {
    const NO_EPOCH: StoreError = StoreError::Damaged { what: "no name of its numbering" };
    let find = || sqlx::query("SELECT value FROM meta WHERE key = 'epoch'");
    let mut row = pool.row(find).await?;
    if row.is_none() {
        let new = Uuid::new_v4().to_string();
        // Of two that start at once, one is quicker.
        let make = "INSERT INTO meta (key, value) VALUES ('epoch', $1) ON CONFLICT (key) DO NOTHING";
        pool.rows(|| sqlx::query(make).bind(&new)).await?;
        row = pool.row(find).await?;
    }
    Ok(row.ok_or(NO_EPOCH)?.text(0)?.to_owned())
}

#[cfg(all(test, feature = "test-postgres"))]
mod tests {
    use sqlx::Row as _;

    use super::*;
    use crate::DatabaseUrl;
    use crate::test_postgres::TestDatabase;

    /// The planner knows nothing of a new table, and little of an almost empty
    /// one; what it makes of that must still be right for a large one.
    #[tokio::test]
    async fn nothing_is_searched_through_even_on_the_statistics_of_empty_tables() {
        let Some(database) = TestDatabase::migrated() else { return };
        let DatabaseUrl::Postgres(url) = &database.url else { panic!("{:?}", database.url) };
        let mut connection = Database::new(url, &PostgresOptions::default()).connect().await.ok().unwrap();
        for analyze in ["SELECT", "ANALYZE"] {
            sqlx::raw_sql(analyze).execute(&mut connection).await.unwrap();
            for (sql, values) in [
                (page::FORWARD, 6),
                (page::BACKWARD, 6),
                (append::KNOWN_NONCES, 2),
                (append::RECIPIENTS, 1),
                (accounts::FIND_USER, 1),
                (accounts::SAME_SKELETON, 1),
                (accounts::CREATE_USER, 9),
                (accounts::REMOVE_USER, 4),
                (accounts::LIST_USERS, 2),
                (names::FIND, 3),
                (accounts::FIND_SESSION, 2),
                (accounts::GOOD_SESSIONS, 2),
                (trim::FIRST_ENTRIES, 2),
                (trim::OLDEST_ENTRIES, 2),
                (trim::REMOVE, 3),
                (trim::FORGET, 2),
            ] {
                let nulls = vec!["NULL"; values].join(", ");
                let text = format!("DEALLOCATE ALL; PREPARE p AS {sql}; EXPLAIN EXECUTE p({nulls})");
                let plan = sqlx::raw_sql(sqlx::AssertSqlSafe(text)).fetch_all(&mut connection).await.unwrap();
                let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
                assert!(plan.iter().any(|step| step.contains("Index")), "{plan:#?}");
                // What is sorted is one page at most, by a key that has its order already.
                // A bitmap loses that order: it is fine only where none is wanted.
                let needs_order = sql != accounts::SAME_SKELETON;
                let mut bad = vec!["Seq Scan", "Hash", "Merge"];
                bad.extend(needs_order.then_some("Bitmap"));
                assert!(!plan.iter().any(|step| bad.iter().any(|bad| step.contains(bad))), "{plan:#?}");
            }
        }
    }
}
