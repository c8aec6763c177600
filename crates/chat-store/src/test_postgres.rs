//! A throwaway Postgres, for the tests of this crate and of those above.
//!
//! Each test program has one server of its own, started when the first test
//! asks for it, and each test a database in it. The programs of Postgres are
//! looked for in `$PG_BIN`, in `$PATH` and in `/usr/lib/postgresql/*/bin`; a
//! set `TEST_DATABASE_URL` names a server that is there already instead, by an
//! account that may create databases. Where there is neither, the tests say
//! that they were not run, which is an error where `CI=true`.
//!
//! It panics where a program for people would give a reason: tests want that.

mod cluster;
mod programs;

use std::future::Future;
use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::{DatabaseUrl, migrations};
pub use cluster::TestCluster;

/// A database for one test.
pub struct TestDatabase {
    /// Its address.
    pub url: DatabaseUrl,
    /// Its address as a text.
    pub text: String,
    /// The address of the server's own database, where this one is to be
    /// dropped; a server of ours goes away as a whole.
    drop_from: Option<String>,
    name: String,
}

impl TestDatabase {
    /// With this version's schema; `None` (and a line for whoever reads) where
    /// there is no Postgres.
    pub fn migrated() -> Option<Self> {
        Self::create(true)
    }

    /// With nothing in it.
    pub fn empty() -> Option<Self> {
        Self::create(false)
    }

    fn create(migrated: bool) -> Option<Self> {
        static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
        match SERVER.get_or_init(Server::find) {
            Ok(server) => Some(server.database(migrated)),
            Err(why) => {
                not_run(why);
                None
            }
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some(server) = &self.drop_from {
            run(server, format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        }
    }
}

/// Where the databases of this test program are made.
enum Server {
    Ours(TestCluster),
    /// `TEST_DATABASE_URL`.
    Given(String),
}

impl Server {
    fn find() -> Result<Self, String> {
        match std::env::var("TEST_DATABASE_URL") {
            Ok(url) => Ok(Self::Given(url)),
            Err(_) => Ok(Self::Ours(TestCluster::found(false)?)),
        }
    }

    fn database(&self, migrated: bool) -> TestDatabase {
        match self {
            Self::Ours(cluster) => cluster.database(migrated),
            Self::Given(url) => {
                let name = new_name();
                run(url, format!("CREATE DATABASE {name} TEMPLATE template0"));
                let database = at(url, name, Some(url.clone()));
                if migrated {
                    migrate(&database.url);
                }
                database
            }
        }
    }
}

/// The database of that name on the server of another one.
fn at(server: &str, name: String, drop_from: Option<String>) -> TestDatabase {
    let (address, options) = server.split_once('?').unwrap_or((server, ""));
    let host_at = address.find("://").map_or(0, |colon| colon + 3);
    let host_end = address[host_at..].find('/').map_or(address.len(), |slash| host_at + slash);
    let text = format!("{}/{name}?{options}", &address[..host_end]);
    let url = DatabaseUrl::parse(&text).expect("a URL like the server's");
    TestDatabase { url, text, drop_from, name }
}

/// Unlike those of other test programs and of earlier runs.
fn new_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("chat_{}_{count}", uuid::Uuid::new_v4().simple())
}

/// Runs one statement.
fn run(url: &str, sql: String) {
    let options: PgConnectOptions = url.parse().expect("the address of a Postgres");
    block_on(async {
        let mut connection = options.connect().await.expect("the test server answers");
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await;
        done.expect("the test server does what it is told");
    });
}

fn migrate(url: &DatabaseUrl) {
    block_on(migrations::up(url)).expect("a new database can be migrated");
}

/// On a thread of its own: the caller may be in a runtime already.
fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(future)
        });
        thread.join().expect("it does not panic")
    })
}

/// Says so past the test runner, which keeps what a passing test prints.
fn not_run(why: &str) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    let line = format!("\nNOT RUN: {test}: {why}\n");
    assert!(std::env::var("CI").map_or(true, |ci| ci != "true"), "CI=true, and{line}");
    // There is nobody else to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
