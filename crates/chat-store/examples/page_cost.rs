//! Measures pages of a topic with 1,000,000 entries, 300,000 of which are changes of
//! messages, and of one with 100,000 reactions between two messages, against pages of a
//! topic with 1,000,000 messages and no changes.
//!
//! `cargo run --release -p lanechat-store --example page_cost [folder]`
//!
//! Each line has the medians of calls that were made in turn, in µs, and their ratio.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use chat_core::{MessagesFrom, PageFrom, PageLimits, RoomName, Topic};
use chat_store::test_postgres::TestCluster;
use chat_store::{DatabaseUrl, EventLog, Stores};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

const CALLS: u64 = 400;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder =
        tempfile::tempdir_in(std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from))?;
    println!("{:9} {:44} {:>8} {:>8} {:>6}", "store", "call", "plain", "changed", "ratio");
    let path = folder.path().join("chat.db");
    let url = DatabaseUrl::Sqlite(path.clone());
    Stores::open(&url).await?.close().await;
    let mut connection = SqliteConnectOptions::new().filename(&path).connect().await?;
    for sql in fill("WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to})") {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    }
    connection.close().await?;
    measure("sqlite", &*Stores::open(&url).await?.log).await?;

    let Some(cluster) = TestCluster::start() else { return Ok(()) };
    let database = cluster.database(true);
    let mut connection = database.text.parse::<PgConnectOptions>()?.connect().await?;
    for sql in fill("WITH n(i) AS (SELECT generate_series({from}, {to}))") {
        let sql = sql.replace("last_at) VALUES", "last_at) OVERRIDING SYSTEM VALUE VALUES");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    }
    connection.close().await?;
    measure("postgres", &*Stores::open(&DatabaseUrl::parse(&database.text)?).await?.log).await?;
    Ok(())
}

/// The statements that fill a database. In the room "changed", the entries with numbers that
/// end in 3 are edits, and those that end in 6 or 9 reactions, of the message before each.
fn fill(numbers: &str) -> Vec<String> {
    let numbers =
        |from: u32, to: u32| numbers.replace("{from}", &from.to_string()).replace("{to}", &to.to_string());
    let (all, gap) = (numbers(1, 1_000_000), numbers(1_001, 101_000));
    let message =
        "1, 'member ' || (i % 3), 'Съешь ещё этих мягких булок. Съешь ещё этих мягких булок.', i FROM n";
    let entries = "INSERT INTO entries (topic, seq, kind, sender, text, at)";
    let changes = "INSERT INTO changes (topic, seq, kind, target, sender, at, emoji)";
    let states = "INSERT INTO states (topic, seq, updated, edit_seq, edited_at, reactions)";
    let reactions = "INSERT INTO reactions (topic, target, emoji, username, seq, at)";
    vec![
        "INSERT INTO topics (id, kind, name, other, last_seq, last_at) VALUES
             (1, 1, 'plain', '', 1000000, 1000000), (2, 1, 'changed', '', 1000000, 1000000),
             (3, 1, 'gap', '', 102000, 102000)"
            .to_owned(),
        format!("{entries} {all} SELECT 1, i, {message}"),
        format!("{entries} {all} SELECT 2, i, {message} WHERE i % 10 NOT IN (3, 6, 9)"),
        format!(
            "{changes} {all} SELECT 2, i, CASE i % 10 WHEN 3 THEN 2 ELSE 4 END, i - 1, 'member ' || ((i - 1) % 3), i,
                    CASE i % 10 WHEN 3 THEN NULL ELSE '👍' END FROM n WHERE i % 10 IN (3, 6, 9)"
        ),
        format!(
            "{states} {all} SELECT 2, i - 1, i, CASE i % 10 WHEN 3 THEN i END, CASE i % 10 WHEN 3 THEN i END,
                    CASE i % 10 WHEN 3 THEN NULL ELSE '[[\"👍\",1,[\"member 1\"]]]' END
               FROM n WHERE i % 10 IN (3, 6, 9)"
        ),
        format!(
            "{reactions} {all} SELECT 2, i - 1, '👍', 'member 1', i, i FROM n WHERE i % 10 IN (6, 9)"
        ),
        format!("{entries} {} SELECT 3, i, {message}", numbers(1, 1_000)),
        format!("{changes} {gap} SELECT 3, i, 4, 1000, 'user ' || i, i, '👍' FROM n"),
        format!("{reactions} {gap} SELECT 3, 1000, '👍', 'user ' || i, i, i FROM n"),
        "INSERT INTO states (topic, seq, updated, reactions) VALUES
             (3, 1000, 101000, '[[\"👍\",100000,[\"user 1001\",\"user 1002\",\"user 1003\",\"user 1004\",\"user 1005\"]]]')"
            .to_owned(),
        format!("{entries} {} SELECT 3, i, {message}", numbers(101_001, 102_000)),
    ]
}

async fn measure(store: &str, log: &dyn EventLog) -> Result<(), Box<dyn Error>> {
    let topic = |name| RoomName::parse(name).map(Topic::Room);
    let (plain, changed, gap) = (topic("plain")?, topic("changed")?, topic("gap")?);
    for entries in [50, 100] {
        let limits = PageLimits { entries, bytes: 64 * 1024 };
        // Places all over the topic, the same in both.
        let anywhere = |call: u64| PageFrom::Before(1_000 + call * 7_919_317 % 998_000);
        let latest = |_| PageFrom::Latest;
        let resumed = |call: u64| PageFrom::After(call * 7_919_317 % 998_000);
        // 20 entries behind the reactions, and as far from the end of the other topic.
        let behind = |_| PageFrom::Before(101_020);
        let inside = |call: u64| PageFrom::Before(2_000 + call * 7_919_317 % 98_000);
        for (place, plain_from, other, other_from) in [
            ("latest", &latest as &dyn Fn(u64) -> PageFrom, &changed, &latest as &dyn Fn(u64) -> PageFrom),
            ("anywhere, before", &anywhere, &changed, &anywhere),
            ("anywhere, after", &resumed, &changed, &resumed),
            ("behind 100,000 reactions", &behind, &gap, &behind),
            ("among 100,000 reactions", &inside, &gap, &inside),
        ] {
            for folded in [false, true] {
                let mut times = [Vec::new(), Vec::new()];
                for call in 0..CALLS {
                    let pages = [(&plain, plain_from(call)), (other, other_from(call))];
                    for (times, (topic, from)) in times.iter_mut().zip(pages) {
                        let start = Instant::now();
                        let page = if folded {
                            log.messages(topic, &MessagesFrom::Page(from), limits).await?
                        } else {
                            log.page(topic, from, limits).await?
                        };
                        times.push(start.elapsed().as_micros());
                        assert_eq!(page.entries.len(), entries, "{place}");
                    }
                }
                let kind = if folded { "messages" } else { "entries" };
                let [plain, changed] = times.map(median);
                println!(
                    "{store:9} {:44} {plain:>8} {changed:>8} {:>6.2}",
                    format!("{entries} {kind}, {place}"),
                    changed as f64 / plain as f64
                );
            }
        }
    }
    Ok(())
}

fn median(mut times: Vec<u128>) -> u128 {
    times.sort_unstable();
    times[times.len() / 2]
}
