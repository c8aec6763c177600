//! A temporary Postgres server, for the tests of this crate and of the crates above.
//!
//! Each test program starts one server when its first test needs it, and each test has a
//! database on it. The programs of Postgres are searched in `$PG_BIN`, `$PATH` and
//! `/usr/lib/postgresql/*/bin`. `TEST_DATABASE_URL` names a running server instead, with
//! an account that may create databases. Where there is neither, the tests print that
//! they were not run; with `CI=true` this is an error.
//!
//! Functions panic where a program for users would return an error, as tests need no
//! more.

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
    /// Its address as text.
    pub text: String,
    /// The address of the server on which this database must be dropped; `None` on a
    /// temporary server.
    drop_from: Option<String>,
    name: String,
}

impl TestDatabase {
    /// Creates a database with this version's schema; `None` (and a printed line) if no
    /// Postgres is installed.
    pub fn migrated() -> Option<Self> {
        Self::create(true)
    }

    /// Creates an empty database.
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

/// The server of this test program.
enum Server {
    Temporary(TestCluster),
    /// `TEST_DATABASE_URL`.
    Given(String),
}

impl Server {
    fn find() -> Result<Self, String> {
        match std::env::var("TEST_DATABASE_URL") {
            Ok(url) => Ok(Self::Given(url)),
            Err(_) => Ok(Self::Temporary(TestCluster::found(false)?)),
        }
    }

    fn database(&self, migrated: bool) -> TestDatabase {
        match self {
            Self::Temporary(cluster) => cluster.database(migrated),
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

/// A database, by its name and the address of its server.
fn at(server: &str, name: String, drop_from: Option<String>) -> TestDatabase {
    let (address, options) = server.split_once('?').unwrap_or((server, ""));
    let host_at = address.find("://").map_or(0, |colon| colon + 3);
    let host_end = address[host_at..].find('/').map_or(address.len(), |slash| host_at + slash);
    let text = format!("{}/{name}?{options}", &address[..host_end]);
    let url = DatabaseUrl::parse(&text).expect("a URL like the server's");
    TestDatabase { url, text, drop_from, name }
}

/// A name that no other test program and no earlier run has used.
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
        done.expect("the test server executes the statement");
    });
}

fn migrate(url: &DatabaseUrl) {
    block_on(migrations::up(url)).expect("a new database can be migrated");
}

/// Runs a future on a thread of its own, as the caller may be in a runtime already.
fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(future)
        });
        thread.join().expect("it does not panic")
    })
}

/// Prints that a test was not run, past the test runner, which captures the output of
/// passing tests.
fn not_run(why: &str) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    let line = format!("\nNOT RUN: {test}: {why}\n");
    assert!(std::env::var("CI").map_or(true, |ci| ci != "true"), "CI=true, and{line}");
    // A failed write to stderr cannot be reported anywhere.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
