//! Measures what a `hello` of a client reads from the databases, for a user with 200 rooms
//! and 1,000 private conversations, and for one with 100,000 conversations.
//!
//! `cargo run --release -p lanechat-store --example hello_cost [folder]`
//!
//! The columns are the time of a call, and the CPU time of this process (Linux only; of
//! Postgres, the time that its server works is not in it).

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chat_core::{RoomName, Topic, Username};
use chat_store::test_postgres::TestCluster;
use chat_store::{DatabaseUrl, Stores};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

const CALLS: u32 = 300;

/// Makes a call many times, and prints what one costs.
macro_rules! measured {
    ($store:expr, $call:literal, $future:expr) => {{
        $future.await?;
        let (start, cpu) = (Instant::now(), cpu_time());
        for _ in 0..CALLS {
            $future.await?;
        }
        let (time, cpu) = (start.elapsed() / CALLS, (cpu_time() - cpu) / CALLS);
        println!("{:9} {:44} {:>8} {:>8}", $store, $call, time.as_micros(), cpu.as_micros());
    }};
}
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder =
        tempfile::tempdir_in(std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from))?;
    println!("{:9} {:44} {:>8} {:>8}", "store", "call", "time µs", "CPU µs");
    let path = folder.path().join("chat.db");
    let url = DatabaseUrl::Sqlite(path.clone());
    Stores::open(&url).await?.close().await;
    let mut connection = SqliteConnectOptions::new().filename(&path).connect().await?;
    for sql in fill("WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to})") {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    }
    connection.close().await?;
    measure("sqlite", &Stores::open(&url).await?).await?;

    let Some(cluster) = TestCluster::start() else { return Ok(()) };
    let database = cluster.database(true);
    let mut connection = database.text.parse::<PgConnectOptions>()?.connect().await?;
    for sql in fill("WITH n(i) AS (SELECT generate_series({from}, {to}))") {
        let sql = sql.replace("last_at) WITH", "last_at) OVERRIDING SYSTEM VALUE WITH");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    }
    connection.close().await?;
    measure("postgres", &Stores::open(&DatabaseUrl::parse(&database.text)?).await?).await?;
    Ok(())
}

/// The statements that fill a database. `user` is a member of 200 rooms of 2,000, and has
/// 1,000 conversations; `popular` has 100,000. A tenth of it is unread.
fn fill(numbers: &str) -> Vec<String> {
    let numbers =
        |from: u32, to: u32| numbers.replace("{from}", &from.to_string()).replace("{to}", &to.to_string());
    let text = "Съешь ещё этих мягких булок. ".repeat(2);
    let mut statements = vec![
        format!(
            "INSERT INTO topics (id, kind, name, other, last_seq, last_at) {} SELECT i, 1, 'room ' || i, '', 200, 1000000 + i * 7919 % 100000 FROM n",
            numbers(1, 2000)
        ),
        format!(
            "INSERT INTO rooms (name, title, description, access, archived, members, joins, created_at) {} SELECT 'room ' || i, 'Room ' || i, '', 1, 0, 50, 50, 0 FROM n",
            numbers(1, 2000)
        ),
        format!(
            "INSERT INTO members (room, username, role, joined_at, position) {} SELECT 'room ' || (i % 2000 + 1), 'member ' || (i / 2000), 1, 0, i / 2000 FROM n",
            numbers(0, 97_999)
        ),
        format!(
            "INSERT INTO members (room, username, role, joined_at, position) {} SELECT 'room ' || (i * 10), 'user', 1, 0, 50 FROM n",
            numbers(1, 200)
        ),
        format!(
            "INSERT INTO marks (username, kind, name, read_seq) {} SELECT 'user', 1, 'room ' || (i * 10), CASE i % 10 WHEN 0 THEN 20 ELSE 200 END FROM n",
            numbers(1, 200)
        ),
        format!(
            "INSERT INTO entries (topic, seq, kind, sender, text, at) {} SELECT i / 200 + 1, i % 200 + 1, 1, 'member ' || (i % 3), '{text}', 1000000 FROM n",
            numbers(0, 399_999)
        ),
        format!(
            "INSERT INTO mentions (topic, username, seq, author) {} SELECT i / 10 + 1, 'user', i % 10 * 20 + 1, 'member 0' FROM n",
            numbers(0, 19_999)
        ),
    ];
    for (user, first, count) in [("user", 10_000, 1_000), ("popular", 100_000, 100_000)] {
        let numbers = || numbers(first, first + count - 1);
        // The other user is the lower name of the pair or the higher one.
        let (low, high) = (
            format!("CASE i % 2 WHEN 0 THEN 'a' || i ELSE '{user}' END"),
            format!("CASE i % 2 WHEN 0 THEN '{user}' ELSE 'z' || i END"),
        );
        statements.push(format!(
            "INSERT INTO topics (id, kind, name, other, last_seq, last_at) {} SELECT i, 2, {low}, {high}, 20, 1000000 + i * 7919 % 100000 FROM n",
            numbers()
        ));
        statements.push(format!(
            "INSERT INTO entries (topic, seq, kind, sender, text, at) {} SELECT i, 20, 1, CASE i % 2 WHEN 0 THEN 'a' ELSE 'z' END || i, '{text}', 1000000 FROM n",
            numbers()
        ));
        statements.push(format!(
            "INSERT INTO marks (username, kind, name, read_seq) {} SELECT '{user}', 2, CASE i % 2 WHEN 0 THEN 'a' ELSE 'z' END || i, CASE i % 10 WHEN 0 THEN 10 ELSE 20 END FROM n",
            numbers()
        ));
    }
    statements
}

async fn measure(name: &str, stores: &Stores) -> Result<(), Box<dyn Error>> {
    let (user, popular) = (Username::parse("user")?, Username::parse("popular")?);
    let log = &*stores.log;
    let rooms = log.memberships(&user, 1000, 0).await?.rooms;
    let names: Vec<RoomName> = rooms.into_iter().map(|room| room.room).collect();
    assert_eq!(names.len(), 200);
    let room = Topic::Room(names[0].clone());
    measured!(name, "memberships: 200 rooms, none counted", log.memberships(&user, 1000, 0));
    measured!(name, "memberships: 200 rooms, all counted", log.memberships(&user, 1000, 200));
    measured!(name, "tops of 200 rooms", log.tops(&names));
    measured!(name, "200 of 1,000 conversations", log.conversations(&user, 200));
    measured!(name, "200 of 100,000 conversations", log.conversations(&popular, 200));
    measured!(name, "counts of a room", log.counts(&user, &room, 0));
    measured!(name, "access to a room", log.access(&user, &names[0]));
    measured!(name, "1,000 of 2,000 open rooms", stores.rooms.open_rooms(1000));
    Ok(())
}

/// The CPU time of this process, to 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
