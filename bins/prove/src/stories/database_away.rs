//! The database may go away: it stands still for ten seconds, and is ended.

use std::error::Error;
use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use super::{SETTLE, Verdict, tell};
use crate::crowd::{Crowd, Habits, Pace, settle};
use crate::server::{Plan, Server, Store};

pub(crate) async fn database_away() -> Result<Verdict, Box<dyn Error>> {
    println!("Postgres stands still, and is ended");
    let Some(mut server) = Server::start(Plan::new(Store::Postgres, 2)).await? else {
        return Ok(Verdict::NotRun("the database away: there is no Postgres on this machine".to_owned()));
    };
    let habits = Habits { pace: Pace::Rate(150.0), slow: 0.0, ..Habits::default() };
    let cookies = server.accounts(&habits.names()).await?;
    let crowd = Crowd::start(&habits, server.address, &cookies);
    crowd.until(|shared| &shared.acked, 300, SETTLE).await.ok_or("nobody talks")?;
    let resident = server.resident_bytes()?;

    let cluster = server.cluster.as_ref().ok_or("it is on Postgres")?;
    let before = crowd.count(|shared| &shared.unavailable);
    let paused = Instant::now();
    cluster.pause();
    let told = crowd.until(|shared| &shared.unavailable, before + 1, AWAY).await;
    tokio::time::sleep(AWAY.saturating_sub(paused.elapsed())).await;
    let grown = server.resident_bytes()?.saturating_sub(resident);
    cluster.resume();
    let acked = crowd.count(|shared| &shared.acked);
    let normal = crowd.until(|shared| &shared.acked, acked + 50, SETTLE).await;

    let mut ended = Vec::new();
    for away in [Duration::ZERO, Duration::from_secs(3)] {
        tokio::time::sleep(Duration::from_secs(1)).await;
        block_in_place(|| cluster.stop());
        tokio::time::sleep(away).await;
        if !block_in_place(|| cluster.start_again()) {
            return Err("Postgres does not start again".into());
        }
        let acked = crowd.count(|shared| &shared.acked);
        ended.push(crowd.until(|shared| &shared.acked, acked + 50, SETTLE).await);
    }
    let lives = server.runs();
    let (_, findings) = settle(crowd, habits.rooms, &mut server, Vec::new(), SETTLE).await?;
    tell(&findings);
    let seconds = |time: Option<Duration>| {
        time.map_or("never".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
    };
    let line = format!(
        "database away: 10 s still: first told unavailable after {}, +{} MiB, normal after {}; ended twice: normal after {} and {}; {findings}",
        seconds(told),
        grown >> 20,
        seconds(normal),
        seconds(ended[0]),
        seconds(ended[1]),
    );
    let is_soon = |time: &Option<Duration>| time.is_some_and(|time| time <= Duration::from_secs(2));
    let is_good = findings.is_good()
        && lives
        && told.is_none_or(|told| told <= Duration::from_millis(5_500))
        && is_soon(&normal)
        && ended.iter().all(is_soon);
    Ok(Verdict::of(is_good, line))
}

const AWAY: Duration = Duration::from_secs(10);
