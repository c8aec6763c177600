//! Measures how many messages a second the logs store, by the size of a batch.
//!
//! `cargo run --release -p lanechat-store --example append_rate [folder]`
//!
//! The folder (default: the system's temporary folder) should be on the disk that is
//! measured: on a RAM disk a flush costs nothing. Postgres, if it is installed, has its
//! data in the temporary folder (`TMPDIR`) and its default settings; it is measured with
//! one batch at a time, and with one batch at a time in each of four lanes.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chat_core::{Body, ChangeRules, Draft, DraftId, MessageText, Nonce, RoomName, Topic, Username};
use chat_store::test_postgres::TestCluster;
use chat_store::{DatabaseUrl, EventLog, MemoryStore, SqliteOptions, SqliteStore, Stores};
use futures_util::future::join_all;
use uuid::Uuid;

const BATCHES: [usize; 3] = [1, 32, 512];
const ROOMS: usize = 50;
const USERS: usize = 200;
/// The duration of each measurement.
const DURATION: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    println!(
        "{:11} {:>6} {:>7} {:>12} {:>12} {:>12}",
        "store", "batch", "nonces", "messages/s", "median µs", "slowest ms"
    );
    for nonces in [false, true] {
        for batch in BATCHES {
            measure("memory", &MemoryStore::default(), batch, nonces).await?;
        }
    }
    for nonces in [false, true] {
        for batch in BATCHES {
            let folder = tempfile::tempdir_in(&folder)?;
            let store = SqliteStore::open(&folder.path().join("chat.db"), SqliteOptions::default()).await?;
            measure("sqlite", &store, batch, nonces).await?;
            store.close().await;
        }
    }
    let Some(cluster) = TestCluster::start() else { return Ok(()) };
    for lanes in [1, 4] {
        for nonces in [false, true] {
            for batch in BATCHES {
                let database = cluster.database(true);
                let stores = Stores::open(&DatabaseUrl::parse(&database.text)?).await?;
                measure_lanes(lanes, &*stores.log, batch, nonces).await?;
                stores.close().await;
            }
        }
    }
    Ok(())
}

/// Measures with one batch at a time in each of some lanes.
async fn measure_lanes(
    lanes: usize,
    log: &dyn EventLog,
    batch: usize,
    nonces: bool,
) -> Result<(), Box<dyn Error>> {
    let name = format!("postgres ×{lanes}");
    if lanes == 1 {
        return measure(&name, log, batch, nonces).await;
    }
    let start = Instant::now();
    let writing = (0..lanes).map(async |lane| {
        let mut messages = Messages::new(nonces)?;
        messages.rooms.retain(|room| log.lane(room) == lane);
        let mut times = Vec::new();
        while start.elapsed() < DURATION {
            let drafts: Vec<Draft> = (0..batch).map(|_| messages.next()).collect();
            let start = Instant::now();
            log.append(&drafts, 1_795_371_797_000).await?;
            times.push(start.elapsed());
        }
        Ok::<_, Box<dyn Error>>(times)
    });
    let mut times = Vec::new();
    for lane in join_all(writing).await {
        times.extend(lane?);
    }
    report(&name, batch, nonces, times, start.elapsed());
    Ok(())
}

async fn measure(name: &str, log: &dyn EventLog, batch: usize, nonces: bool) -> Result<(), Box<dyn Error>> {
    let mut messages = Messages::new(nonces)?;
    let mut times = Vec::new();
    let mut spent = Duration::ZERO;
    while spent < DURATION {
        let drafts: Vec<Draft> = (0..batch).map(|_| messages.next()).collect();
        let start = Instant::now();
        log.append(&drafts, 1_795_371_797_000).await?;
        let time = start.elapsed();
        spent += time;
        times.push(time);
    }
    report(name, batch, nonces, times, spent);
    Ok(())
}

fn report(name: &str, batch: usize, nonces: bool, mut times: Vec<Duration>, spent: Duration) {
    times.sort_unstable();
    let rate = (times.len() * batch) as f64 / spent.as_secs_f64();
    let median = times[times.len() / 2].as_secs_f64() * 1e6;
    let slowest = times[times.len() - 1].as_secs_f64() * 1e3;
    let with = if nonces { "yes" } else { "no" };
    println!("{name:11} {batch:>6} {with:>7} {rate:>12.0} {median:>12.0} {slowest:>12.1}");
}

/// Messages of some hundred bytes by many users in some rooms.
struct Messages {
    nonces: bool,
    rooms: Vec<Topic>,
    users: Vec<Username>,
    text: MessageText,
    count: usize,
}

impl Messages {
    fn new(nonces: bool) -> Result<Self, Box<dyn Error>> {
        let mut rooms = Vec::new();
        for room in 0..ROOMS {
            rooms.push(Topic::Room(RoomName::parse(&format!("room {room}"))?));
        }
        let mut users = Vec::new();
        for user in 0..USERS {
            users.push(Username::parse(&format!("user {user}"))?);
        }
        let text = MessageText::parse(&"Съешь ещё этих мягких булок. ".repeat(2), 4096)?;
        Ok(Self { nonces, rooms, users, text, count: 0 })
    }

    fn next(&mut self) -> Draft {
        self.count += 1;
        Draft {
            id: DraftId(self.count as u64),
            topic: self.rooms[self.count % self.rooms.len()].clone(),
            from: self.users[self.count * 7 % USERS].clone(),
            room: None,
            body: Body::message(self.text.clone()),
            files: Vec::new(),
            nonce: if self.nonces { Nonce::parse(&Uuid::now_v7().to_string()) } else { None },
            check: false,
            may_administer: false,
            by_server: false,
            refused: None,
            rules: ChangeRules::default(),
        }
    }
}
