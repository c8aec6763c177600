//! A slow reader harms only itself: clients that stop reading, beside others whose
//! messages are timed, in rounds with and without slow readers.

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use super::resume::{as_error, milliseconds};
use super::{Verdict, at_share};
use crate::raw::RawConnection;
use crate::server::{Plan, Server, Store};

pub(crate) async fn slow_readers() -> Result<Verdict, Box<dyn Error>> {
    println!("{SLOW} clients that stop reading");
    let Some(server) = Server::start(Plan::new(Store::Memory, 2)).await? else {
        return Err("memory is always here".into());
    };
    let names: Vec<String> = (0..20).map(|number| format!("user{number}")).collect();
    let cookies = server.accounts(&names).await?;
    let (mut good_rounds, mut ratios, mut growth, mut closings) = (0, Vec::new(), 0, Vec::new());
    talk(server.address, &cookies, &server, 0.0).await?;
    for round in 0..ROUNDS {
        // As many clients that read, for the same work of the server.
        let mut reading = JoinSet::new();
        for line in listeners(&server, &cookies, None).await? {
            let mut stream = line.socket.into_inner();
            reading.spawn(async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await });
        }
        let alone = talk(server.address, &cookies, &server, 0.0).await?;
        reading.shutdown().await;
        let slow = listeners(&server, &cookies, Some(4096)).await?;
        let resident = server.resident_bytes()?;
        let closed_before = server.metric("chat_slow_closes_total").await?;
        let beside = talk(server.address, &cookies, &server, closed_before + SLOW as f64).await?;
        drop(slow);
        let ratio = beside.p99.as_secs_f64() / alone.p99.as_secs_f64();
        good_rounds += usize::from(ratio <= 1.5);
        ratios.push(format!("{ratio:.2}"));
        growth = growth.max(beside.resident.saturating_sub(resident));
        println!(
            "  round {round}: p99 {:.1} ms beside readers, {:.1} ms beside slow readers; first closed {:?} after the first byte, last {:?}; {:+.1} MiB",
            milliseconds(alone.p99),
            milliseconds(beside.p99),
            beside.first_close,
            beside.last_close,
            (beside.resident as f64 - resident as f64) / 1048576.0,
        );
        closings.push(beside.first_close.zip(beside.last_close).map(|(first, last)| last - first));
    }
    let longest = closings.iter().copied().flatten().max();
    let all_closed = closings.iter().all(Option::is_some);
    let line = format!(
        "slow readers: {SLOW} a round, p99 of others x {}, all gone within {} of the first close, at most {:.0} KiB more for each",
        ratios.join(", "),
        longest
            .filter(|_| all_closed)
            .map_or("(never)".to_owned(), |longest| format!("{:.1} s", longest.as_secs_f64())),
        growth as f64 / 1024.0 / SLOW as f64,
    );
    let is_good = good_rounds + 1 >= ROUNDS
        && all_closed
        && longest.is_some_and(|longest| longest <= GONE_WITHIN)
        && growth <= (SLOW * 300 * 1024) as u64;
    Ok(Verdict::of(is_good, line))
}

/// Clients that have joined the room.
async fn listeners(
    server: &Server,
    cookies: &[String],
    receive_buffer: Option<u32>,
) -> Result<Vec<RawConnection>, Box<dyn Error>> {
    let mut lines = Vec::new();
    for number in 0..SLOW {
        let cookie = &cookies[number % cookies.len()];
        let mut line = RawConnection::open(server.address, cookie, receive_buffer).await.map_err(as_error)?;
        line.join(ROOM, None).await.map_err(as_error)?;
        lines.push(line);
    }
    Ok(lines)
}

struct Round {
    p99: Duration,
    resident: u64,
    first_close: Option<Duration>,
    last_close: Option<Duration>,
}

/// Ten clients send and time the echoes. With `closes`, the closing of slow readers
/// is timed too.
async fn talk(
    server: SocketAddr,
    cookies: &[String],
    watched: &Server,
    closes: f64,
) -> Result<Round, Box<dyn Error>> {
    let mut talkers = Vec::new();
    for (number, cookie) in cookies.iter().enumerate().take(TALKERS) {
        let mut line = RawConnection::open(server, cookie, None).await.map_err(as_error)?;
        line.join(ROOM, None).await.map_err(as_error)?;
        talkers.push(tokio::spawn(talker(line, number)));
    }
    let started = Instant::now();
    let mut round = Round { p99: Duration::ZERO, resident: 0, first_close: None, last_close: None };
    while closes > 0.0
        && (started.elapsed() < ROUND || round.last_close.is_none())
        && started.elapsed() < 2 * ROUND
    {
        round.resident = round.resident.max(watched.resident_bytes()?);
        let closed = watched.metric("chat_slow_closes_total").await?;
        if closed > closes - SLOW as f64 {
            round.first_close.get_or_insert(started.elapsed());
        }
        // Closed, and disconnected.
        if closed >= closes && watched.metric("chat_connections").await? <= TALKERS as f64 {
            round.last_close.get_or_insert(started.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut times = Vec::new();
    for talker in talkers {
        times.extend(talker.await?.map_err(as_error)?);
    }
    times.sort_unstable();
    round.p99 = at_share(&times, 0.99);
    Ok(round)
}

async fn talker(
    mut line: RawConnection,
    number: usize,
) -> Result<Vec<Duration>, Box<dyn Error + Send + Sync>> {
    let (started, mut times) = (Instant::now(), Vec::new());
    let unique = format!("{number} {:?}", std::time::SystemTime::now());
    tokio::time::sleep(Duration::from_millis(17 * number as u64)).await;
    for turn in 0.. {
        if started.elapsed() > ROUND {
            break;
        }
        let nonce = format!("{turn} {unique}").replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        let nonce: String = nonce.chars().take(64).collect();
        let sent = Instant::now();
        line.send(&json!({ "type": "message", "room": ROOM, "text": "x".repeat(4000), "nonce": nonce }))
            .await?;
        while line.next_of("message").await?["nonce"] != nonce.as_str() {}
        times.push(sent.elapsed());
        tokio::time::sleep(EVERY.saturating_sub(sent.elapsed())).await;
    }
    Ok(times)
}

/// The goal is ten seconds; the rest is for the measurement.
const GONE_WITHIN: Duration = Duration::from_millis(10_500);
const ROOM: &str = "room 0";
const SLOW: usize = 200;
const TALKERS: usize = 10;
const ROUNDS: usize = 5;
/// Long enough to fill the system's own buffer of a socket on loopback: 2.6 MB.
const ROUND: Duration = Duration::from_secs(20);
/// The interval of each talker's messages: 200 KB a second together.
const EVERY: Duration = Duration::from_millis(200);
