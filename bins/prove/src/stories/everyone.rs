//! Everybody may come back at once: thousands of clients after a `kill -9`.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chat_client::Options;

use super::{Verdict, tell};
use crate::Everyone;
use crate::crowd::{Crowd, Habits, Pace, settle};
use crate::server::{Plan, Server};

pub(crate) async fn everyone(options: &Everyone) -> Result<Verdict, Box<dyn Error>> {
    let Everyone { clients, store } = *options;
    println!("{clients} clients come back on {store:?}");
    let Some(mut server) = Server::start(Plan::new(store, 2)).await? else {
        return Ok(Verdict::NotRun(format!("everybody on {store:?}: it is not on this machine")));
    };
    let habits = Habits {
        clients,
        people: Some(50),
        watchers: 0,
        rooms: 100,
        rooms_each: 1,
        pace: Pace::Rate(20.0),
        leaving: 0.0,
        crashing: 0.0,
        slow: 0.0,
        last_words: false,
        // As a real client: full jitter between 0.5 and 30 s.
        options: Options::default(),
        ..Habits::default()
    };
    let cookies = server.accounts(&habits.names()).await?;
    let crowd = Crowd::start(&habits, server.address, &cookies);
    let all_in = crowd.until(|shared| &shared.joined, clients, PATIENCE).await;
    println!("  all in after {:.1?}", all_in.ok_or("not everybody came in")?);
    tokio::time::sleep(Duration::from_secs(3)).await;

    server.kill().await?;
    crowd.shared.joined.store(0, Ordering::Relaxed);
    let killed = Instant::now();
    server.restart().await?;
    let restarted = killed.elapsed();
    let back = crowd.until(|shared| &shared.joined, clients, PATIENCE).await;
    let took = killed.elapsed();
    // The counts of a server begin with its start.
    let logins = server.metric("chat_logins_total").await? as u64;
    let resident = server.resident_bytes()?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (_, findings) = settle(crowd, habits.rooms, &mut server, Vec::new(), PATIENCE).await?;
    tell(&findings);
    let line = format!(
        "everybody: {clients} clients resumed {:.1} s after KILL (started again after {:.1} s), {logins} passwords hashed, \
         {} MiB resident, {findings}",
        took.as_secs_f64(),
        restarted.as_secs_f64(),
        resident >> 20,
    );
    let is_good = back.is_some() && took <= Duration::from_secs(30) && logins == 0 && findings.is_good();
    Ok(Verdict::of(is_good, line))
}

const PATIENCE: Duration = Duration::from_secs(90);
