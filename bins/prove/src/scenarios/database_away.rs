//! The database becomes unreachable: it is paused for ten seconds, and stopped twice.

use std::error::Error;
use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use super::{DEADLINE, Verdict, print_findings};
use crate::crowd::{Crowd, Habits, Pace, finish};
use crate::server::{Plan, Server, Store};

pub(crate) async fn database_away() -> Result<Verdict, Box<dyn Error>> {
    println!("Postgres is paused, and stopped");
    let Some(mut server) = Server::start(Plan::new(Store::Postgres, 2)).await? else {
        return Ok(Verdict::NotRun("database away: there is no Postgres on this machine".to_owned()));
    };
    let habits = Habits { pace: Pace::Rate(150.0), slow: 0.0, ..Habits::default() };
    let cookies = server.accounts(&habits.names()).await?;
    let crowd = Crowd::start(&habits, server.address, &cookies);
    crowd.until(|shared| &shared.acked, 300, DEADLINE).await.ok_or("no message was acknowledged")?;
    let resident = server.resident_bytes()?;

    let cluster = server.cluster.as_ref().ok_or("it is on Postgres")?;
    let before = crowd.count(|shared| &shared.unavailable);
    let paused = Instant::now();
    cluster.pause();
    let first_refusal = crowd.until(|shared| &shared.unavailable, before + 1, AWAY).await;
    tokio::time::sleep(AWAY.saturating_sub(paused.elapsed())).await;
    let grown = server.resident_bytes()?.saturating_sub(resident);
    cluster.resume();
    let acked = crowd.count(|shared| &shared.acked);
    let normal = crowd.until(|shared| &shared.acked, acked + 50, DEADLINE).await;

    let mut stopped = Vec::new();
    for away in [Duration::ZERO, Duration::from_secs(3)] {
        tokio::time::sleep(Duration::from_secs(1)).await;
        block_in_place(|| cluster.stop());
        tokio::time::sleep(away).await;
        if !block_in_place(|| cluster.start_again()) {
            return Err("Postgres does not start again".into());
        }
        let acked = crowd.count(|shared| &shared.acked);
        stopped.push(crowd.until(|shared| &shared.acked, acked + 50, DEADLINE).await);
    }
    let is_running = server.runs();
    let (_, findings) = finish(crowd, &mut server, Vec::new(), DEADLINE).await?;
    print_findings(&findings);
    let seconds = |time: Option<Duration>| {
        time.map_or("never".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
    };
    let line = format!(
        "database away: paused for 10 s: first `unavailable` after {}, +{} MiB, normal after {}; stopped twice: normal after {} and {}; {findings}",
        seconds(first_refusal),
        grown >> 20,
        seconds(normal),
        seconds(stopped[0]),
        seconds(stopped[1]),
    );
    let is_soon = |time: &Option<Duration>| time.is_some_and(|time| time <= Duration::from_secs(2));
    let is_good = findings.is_good()
        && is_running
        && first_refusal.is_none_or(|after| after <= Duration::from_millis(5_500))
        && is_soon(&normal)
        && stopped.iter().all(is_soon);
    Ok(Verdict::of(is_good, line))
}

const AWAY: Duration = Duration::from_secs(10);
