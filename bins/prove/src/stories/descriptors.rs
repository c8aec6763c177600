//! Descriptors may run out: who is in stays, and the next one is let in as soon
//! as there is room.

use std::error::Error;
use std::time::{Duration, Instant};

use serde_json::json;

use super::resume::as_error;
use super::{Verdict, has};
use crate::line::Line;
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
    let open = || Line::open(server.address, &cookies[0], None);
    let mut lines = Vec::new();
    while lines.len() < 80
        && let Ok(Ok(line)) = tokio::time::timeout(Duration::from_secs(1), open()).await
    {
        lines.push(line);
    }
    let most = lines.len();
    if most == 80 {
        return Ok(Verdict::Wrong("descriptors: they do not run out".to_owned()));
    }
    // Who is in talks on, for longer than the loop of a server that spins would allow.
    let (first, others) = lines.split_first_mut().ok_or("nobody was let in")?;
    first.join("room 0", None).await.map_err(as_error)?;
    let second = others.first_mut().ok_or("only one was let in")?;
    second.join("room 0", None).await.map_err(as_error)?;
    for turn in 0..50 {
        let nonce = format!("n{turn}");
        let message = json!({ "type": "message", "room": "room 0", "text": nonce, "nonce": nonce });
        first.send(&message).await.map_err(as_error)?;
        first.next_of("ack").await.map_err(as_error)?;
        second.next_of("message").await.map_err(as_error)?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lines.truncate(most - 10);
    let freed = Instant::now();
    let again = loop {
        if let Ok(Ok(_)) =
            tokio::time::timeout(Duration::from_millis(1_000), Line::open(server.address, &cookies[0], None))
                .await
        {
            break Some(freed.elapsed());
        }
        if freed.elapsed() > Duration::from_secs(10) {
            break None;
        }
    };
    let lives = server.runs();
    let took = again.map_or("never".to_owned(), |again| format!("{:.0} ms", again.as_secs_f64() * 1000.0));
    let line = format!(
        "descriptors: 64, {most} sockets, then nobody more; 50 of 50 messages acknowledged meanwhile; serving {took} after 10 were free"
    );
    Ok(Verdict::of(lives && again.is_some_and(|again| again <= Duration::from_secs(1)), line))
}
