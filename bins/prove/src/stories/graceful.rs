//! A restart that everybody is told of.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chat_client::Options;
use rustix::process::Signal;
use tokio::task::JoinSet;

use super::{SETTLE, Verdict, tell};
use crate::Workload;
use crate::crowd::{Crowd, Habits, settle};
use crate::http;
use crate::ledger::Frame;
use crate::server::{Plan, Server};

pub(crate) async fn graceful(workload: &Workload) -> Result<Verdict, Box<dyn Error>> {
    let seed = workload.seed();
    println!("SIGTERM with {} clients on {:?}, seed {seed}", workload.clients, workload.store);
    let Some(mut server) = Server::start(Plan::new(workload.store, workload.shards)).await? else {
        return Ok(Verdict::NotRun(format!("restart on {:?}: it is not on this machine", workload.store)));
    };
    let habits = Habits {
        people: Some(workload.clients.min(40)),
        leaving: 0.0,
        crashing: 0.0,
        slow: 0.0,
        last_words: false,
        bots: 0,
        watchers: 0,
        options: Options::default(),
        ..workload.habits(seed)
    };
    let cookies = server.accounts(&habits.names()).await?;
    let crowd = Crowd::start(&habits, server.address, &cookies);
    let memberships = habits.clients * habits.rooms_each;
    crowd.until(|shared| &shared.joined, memberships, SETTLE).await.ok_or("not everybody came in")?;
    tokio::time::sleep(Duration::from_secs(2)).await;

    let (from, stopped) = (crowd.now(), Instant::now());
    server.signal(Signal::TERM)?;
    let unready = tokio::spawn(until_unready(server.address, stopped));
    let status = server.wait(Duration::from_secs(30)).await?;
    let exited = stopped.elapsed();
    let unready = unready.await?;
    crowd.shared.joined.store(0, Ordering::Relaxed);
    server.restart().await?;
    let back =
        crowd.until(|shared| &shared.joined, memberships, SETTLE).await.ok_or("not everybody is back")?;
    let (ledger, findings) = settle(crowd, habits.rooms, &mut server, Vec::new(), SETTLE).await?;
    tell(&findings);
    let mut let_go: Vec<Duration> = Vec::new();
    let mut told = 0;
    for wire in &ledger.wires {
        let told_here = wire.frames.iter().any(|(_, frame)| matches!(frame, Frame::Reconnect));
        let closed =
            wire.frames.iter().find(|(_, frame)| matches!(frame, Frame::Closed { code: Some(1012) }));
        if let (true, Some((at, _))) = (told_here, closed) {
            told += 1;
            let_go.push(*at - from);
        }
    }
    let_go.sort_unstable();
    let (first, last) =
        (let_go.first().copied().unwrap_or_default(), let_go.last().copied().unwrap_or_default());
    let line = format!(
        "SIGTERM: ready for {:.0} ms more, {told} of {} clients got reconnect and 1012 between {:.1} and {:.1} s, \
         exit ({status}) after {:.1} s, all back {:.1} s after the start, {findings}",
        unready.as_secs_f64() * 1000.0,
        habits.clients,
        first.as_secs_f64(),
        last.as_secs_f64(),
        exited.as_secs_f64(),
        back.as_secs_f64(),
    );
    let is_good = findings.is_good()
        && unready <= Duration::from_millis(100)
        && told == habits.clients
        && exited <= Duration::from_secs(15)
        && status.success();
    Ok(Verdict::of(is_good, line))
}

/// The latest moment after the signal at which somebody asked and was told that
/// the server is ready.
async fn until_unready(server: SocketAddr, stopped: Instant) -> Duration {
    let mut asking = JoinSet::new();
    while stopped.elapsed() < Duration::from_secs(1) {
        asking.spawn(async move {
            let asked = stopped.elapsed();
            http::get(server, "/readyz").await.is_ok_and(|answer| answer.status == 200).then_some(asked)
        });
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    asking.join_all().await.into_iter().flatten().max().unwrap_or_default()
}
