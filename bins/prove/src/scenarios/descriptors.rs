//! File descriptors run out: connected clients stay, and the next one is accepted as
//! soon as a descriptor is free.

use std::error::Error;
use std::time::{Duration, Instant};

use serde_json::json;

use super::resume::as_error;
use super::{Verdict, has};
use crate::raw::RawConnection;
use crate::server::{Plan, Server, Store};

pub(crate) async fn descriptors() -> Result<Verdict, Box<dyn Error>> {
    if !has("prlimit") {
        return Ok(Verdict::NotRun("descriptors: this machine has no prlimit".to_owned()));
    }
    println!("64 descriptors");
    let wrapper = ["prlimit", "--nofile=64"].map(str::to_owned).to_vec();
    let plan = Plan { wrapper, ..Plan::new(Store::Sqlite, 2) };
    let Some(mut server) = Server::start(plan).await? else { return Err("SQLite is always here".into()) };
    let cookies = server.accounts(&["alice".to_owned()]).await?;
    let open = || RawConnection::open(server.address, &cookies[0], None);
    let mut connections = Vec::new();
    while connections.len() < 80
        && let Ok(Ok(connection)) = tokio::time::timeout(Duration::from_secs(1), open()).await
    {
        connections.push(connection);
    }
    let max = connections.len();
    if max == 80 {
        return Ok(Verdict::Failed("descriptors: they do not run out".to_owned()));
    }
    // Connected clients go on for longer than a server whose accept loop spins would allow.
    let (first, others) = connections.split_first_mut().ok_or("no client was accepted")?;
    first.join("room 0", None).await.map_err(as_error)?;
    let second = others.first_mut().ok_or("only one client was accepted")?;
    second.join("room 0", None).await.map_err(as_error)?;
    for turn in 0..50 {
        let nonce = format!("n{turn}");
        let message = json!({ "type": "message", "room": "room 0", "text": nonce, "nonce": nonce });
        first.send(&message).await.map_err(as_error)?;
        first.next_of("ack").await.map_err(as_error)?;
        second.next_of("message").await.map_err(as_error)?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    connections.truncate(max - 10);
    let freed = Instant::now();
    let again = loop {
        if let Ok(Ok(_)) = tokio::time::timeout(
            Duration::from_millis(1_000),
            RawConnection::open(server.address, &cookies[0], None),
        )
        .await
        {
            break Some(freed.elapsed());
        }
        if freed.elapsed() > Duration::from_secs(10) {
            break None;
        }
    };
    let is_running = server.runs();
    let took = again.map_or("never".to_owned(), |again| format!("{:.0} ms", again.as_secs_f64() * 1000.0));
    let line = format!(
        "descriptors: 64, {max} sockets, then no more; 50 of 50 messages acknowledged meanwhile; serving {took} after 10 were freed"
    );
    Ok(Verdict::of(is_running && again.is_some_and(|again| again <= Duration::from_secs(1)), line))
}
