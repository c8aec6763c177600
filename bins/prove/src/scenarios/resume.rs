//! Resumes are complete and fast.

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use super::{Verdict, at_share};
use crate::Resume;
use crate::raw::RawConnection;
use crate::server::{Plan, Server};

pub(crate) async fn resume(options: &Resume) -> Result<Verdict, Box<dyn Error>> {
    let Resume { clients, missed, store } = *options;
    println!("{clients} clients resume behind {missed} messages on {store:?}");
    let Some(server) = Server::start(Plan::new(store, 2)).await? else {
        return Ok(Verdict::NotRun(format!("resume on {store:?}: it is not on this machine")));
    };
    let names: Vec<String> = (0..20).map(|number| format!("user{number}")).collect();
    let cookies = server.accounts(&names).await?;
    let mut author = RawConnection::open(server.address, &cookies[0], None).await.map_err(as_error)?;
    let joined = author.join(ROOM, None).await.map_err(as_error)?;
    let epoch = joined["epoch"].as_str().ok_or("no epoch")?.to_owned();
    let mut top = 0;
    let mut lines = Vec::new();
    for spread in [SPREAD, Duration::ZERO] {
        // All clients join, …
        let mut online = JoinSet::new();
        for number in 0..clients {
            let (address, cookie) = (server.address, cookies[number % cookies.len()].clone());
            online.spawn(async move {
                let mut connection = RawConnection::open(address, &cookie, None).await?;
                connection.join(ROOM, None).await?;
                Ok::<RawConnection, Box<dyn Error + Send + Sync>>(connection)
            });
        }
        let mut joined = Vec::new();
        while let Some(connection) = online.join_next().await {
            joined.push(connection?.map_err(as_error)?);
        }
        // … disconnect, miss messages, …
        drop(joined);
        for _ in 0..missed {
            top += 1;
            let message = json!({ "type": "message", "room": ROOM, "text": format!("message {top}"), "nonce": top.to_string() });
            author.send(&message).await.map_err(as_error)?;
            author.next_of("ack").await.map_err(as_error)?;
        }
        // … and resume.
        let mut back = JoinSet::new();
        for number in 0..clients {
            let (address, cookie) = (server.address, cookies[number % cookies.len()].clone());
            let (since, epoch) = (top - missed, epoch.clone());
            let after = spread * number as u32 / clients as u32;
            back.spawn(async move {
                tokio::time::sleep(after).await;
                reconnect(address, &cookie, since, &epoch, top).await
            });
        }
        let (mut joins, mut connects) = (Vec::new(), Vec::new());
        while let Some(times) = back.join_next().await {
            let (from_connect, from_join) = times?.map_err(as_error)?;
            connects.push(from_connect);
            joins.push(from_join);
        }
        joins.sort_unstable();
        connects.sort_unstable();
        lines.push((
            at_share(&joins, 0.99),
            format!(
                "within {:.0} s: {:.1} ms median, {:.1} ms p99 ({:.1} ms with connecting)",
                spread.as_secs_f64(),
                milliseconds(at_share(&joins, 0.5)),
                milliseconds(at_share(&joins, 0.99)),
                milliseconds(at_share(&connects, 0.99)),
            ),
        ));
    }
    let rounds: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
    let line =
        format!("resume: {clients} clients, {missed} missed messages, all complete; {}", rounds.join("; "));
    Ok(Verdict::of(lines[0].0 <= Duration::from_millis(250), line))
}

/// Resumes; returns how long it took from connecting and from joining until every
/// message was there.
async fn reconnect(
    server: SocketAddr,
    cookie: &str,
    since: u64,
    epoch: &str,
    top: u64,
) -> Result<(Duration, Duration), Box<dyn Error + Send + Sync>> {
    let connecting = Instant::now();
    let mut connection = RawConnection::open(server, cookie, None).await?;
    let joining = Instant::now();
    let joined = connection.join(ROOM, Some((since, epoch))).await?;
    if joined["recovered"] != true || joined["seq"] != top {
        return Err(format!("not resumed: {joined}").into());
    }
    for expected in since + 1..=top {
        let message = connection.next_of("message").await?;
        if message["seq"] != expected {
            return Err(format!("{expected} was expected: {message}").into());
        }
    }
    Ok((connecting.elapsed(), joining.elapsed()))
}

pub(crate) fn as_error(error: Box<dyn Error + Send + Sync>) -> Box<dyn Error> {
    error
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

const ROOM: &str = "room 0";
/// Real clients wait for a random time before they reconnect; here they are spread
/// over this time.
const SPREAD: Duration = Duration::from_secs(5);
