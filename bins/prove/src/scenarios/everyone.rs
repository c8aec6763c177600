//! Thousands of clients reconnect at once after a `kill -9`.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chat_client::Options;

use super::{Verdict, print_findings};
use crate::Everyone;
use crate::crowd::{Crowd, Habits, Pace, finish};
use crate::server::{Plan, Server};

pub(crate) async fn everyone(options: &Everyone) -> Result<Verdict, Box<dyn Error>> {
    let Everyone { clients, store } = *options;
    println!("{clients} clients reconnect on {store:?}");
    let Some(mut server) = Server::start(Plan::new(store, 2)).await? else {
        return Ok(Verdict::NotRun(format!("everyone on {store:?}: it is not on this machine")));
    };
    let habits = Habits {
        clients,
        users: Some(50),
        watchers: 0,
        rooms: 100,
        rooms_each: 1,
        pace: Pace::Rate(20.0),
        leaving: 0.0,
        crashing: 0.0,
        slow: 0.0,
        final_messages: false,
        // Those of a real client: full jitter between 0.5 and 30 s.
        options: Options::default(),
        ..Habits::default()
    };
    let cookies = server.accounts(&habits.names()).await?;
    let crowd = Crowd::start(&habits, server.address, &cookies);
    let all_joined = crowd.until(|shared| &shared.joined, clients, TIMEOUT).await;
    println!("  all joined after {:.1?}", all_joined.ok_or("not every client joined")?);
    tokio::time::sleep(Duration::from_secs(3)).await;

    server.kill().await?;
    crowd.shared.joined.store(0, Ordering::Relaxed);
    let killed = Instant::now();
    server.restart().await?;
    let restarted = killed.elapsed();
    let back = crowd.until(|shared| &shared.joined, clients, TIMEOUT).await;
    let took = killed.elapsed();
    // The server counts from its start.
    let logins = server.metric("chat_logins_total").await? as u64;
    let resident = server.resident_bytes()?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (_, findings) = finish(crowd, &mut server, Vec::new(), TIMEOUT).await?;
    print_findings(&findings);
    let line = format!(
        "everyone: {clients} clients resumed {:.1} s after KILL (started again after {:.1} s), {logins} passwords hashed, \
         {} MiB resident, {findings}",
        took.as_secs_f64(),
        restarted.as_secs_f64(),
        resident >> 20,
    );
    let is_good = back.is_some() && took <= Duration::from_secs(30) && logins == 0 && findings.is_good();
    Ok(Verdict::of(is_good, line))
}

const TIMEOUT: Duration = Duration::from_secs(90);
