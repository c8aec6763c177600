//! A graceful restart: each client gets `reconnect` and a close frame.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chat_client::Options;
use rustix::process::Signal;
use tokio::task::JoinSet;

use super::{DEADLINE, Verdict, print_findings};
use crate::Workload;
use crate::crowd::{Crowd, Habits, finish};
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
        users: Some(workload.clients.min(40)),
        leaving: 0.0,
        crashing: 0.0,
        slow: 0.0,
        final_messages: false,
        bots: 0,
        watchers: 0,
        options: Options::default(),
        ..workload.habits(seed)
    };
    let cookies = server.accounts(&habits.names()).await?;
    let crowd = Crowd::start(&habits, server.address, &cookies);
    let joins = habits.clients * habits.rooms_each;
    crowd.until(|shared| &shared.joined, joins, DEADLINE).await.ok_or("not every client joined")?;
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
        crowd.until(|shared| &shared.joined, joins, DEADLINE).await.ok_or("not every client is back")?;
    let (ledger, findings) = finish(crowd, &mut server, Vec::new(), DEADLINE).await?;
    print_findings(&findings);
    let mut closed_after: Vec<Duration> = Vec::new();
    for connection in &ledger.connections {
        let has_reconnect = connection.frames.iter().any(|(_, frame)| matches!(frame, Frame::Reconnect));
        let closed =
            connection.frames.iter().find(|(_, frame)| matches!(frame, Frame::Closed { code: Some(1012) }));
        if let (true, Some((at, _))) = (has_reconnect, closed) {
            closed_after.push(*at - from);
        }
    }
    closed_after.sort_unstable();
    let informed = closed_after.len();
    let (first, last) =
        (closed_after.first().copied().unwrap_or_default(), closed_after.last().copied().unwrap_or_default());
    let line = format!(
        "SIGTERM: ready for {:.0} ms more, {informed} of {} clients got reconnect and 1012 between {:.1} and {:.1} s, \
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
        && informed == habits.clients
        && exited <= Duration::from_secs(15)
        && status.success();
    Ok(Verdict::of(is_good, line))
}

/// The time after the signal of the last request that `/readyz` answered with 200.
async fn until_unready(server: SocketAddr, stopped: Instant) -> Duration {
    let mut requests = JoinSet::new();
    while stopped.elapsed() < Duration::from_secs(1) {
        requests.spawn(async move {
            let requested = stopped.elapsed();
            http::get(server, "/readyz").await.is_ok_and(|answer| answer.status == 200).then_some(requested)
        });
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    requests.join_all().await.into_iter().flatten().max().unwrap_or_default()
}
