//! `kill -9` at random moments, behind a faulty network, and a start on the same data.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chat_client::Rng;

use super::{DEADLINE, Verdict, print_findings};
use crate::Workload;
use crate::crowd::{ClosedRoom, Crowd, Habits, Pace, finish_and_look};
use crate::proxy::{Faults, Proxy};
use crate::server::{Plan, Server};

pub(crate) async fn kill(workload: &Workload) -> Result<Verdict, Box<dyn Error>> {
    let seed = workload.seed();
    println!("KILL on {:?}, seed {seed}", workload.store);
    let Some(mut server) = Server::start(Plan::new(workload.store, workload.shards)).await? else {
        return Ok(Verdict::NotRun(format!("kill on {:?}: it is not on this machine", workload.store)));
    };
    let mut habits = workload.habits(seed);
    let names = habits.names();
    let cookies = server.accounts(&names).await?;
    let room = ClosedRoom::create(server.address, &names, &cookies[0]).await?;
    habits.closed_room = Some(room.name.clone());
    let faults = if workload.direct { Faults::NONE } else { Faults::MIXED };
    let proxy = Proxy::start(server.address, faults, seed).await?;
    let mut crowd = Crowd::start(&habits, proxy.address, &cookies);
    let mut rng = Rng::for_part(seed, 77);
    let mut kills = 0;
    while kills < workload.kills && crowd.now() < Duration::from_secs_f64(workload.minutes * 60.0) {
        tokio::time::sleep(rng.milliseconds(workload.every_ms / 10..workload.every_ms * 19 / 10)).await;
        crowd.server_keeps_no_marks();
        server.kill().await?;
        kills += 1;
        // Sometimes the server stays down for a while.
        let down = if rng.random_bool(0.2) { rng.milliseconds(0..800) } else { Duration::ZERO };
        tokio::time::sleep(down).await;
        server.restart().await?;
        if kills == workload.kills / 2 {
            // A user with two clients, which may be offline at this moment.
            room.remove(&names[names.len() / 4], &mut crowd, Duration::ZERO).await?;
        }
    }
    proxy.stop_faults();
    let took = crowd.now();
    let (_, findings) = finish_and_look(crowd, &mut server, &cookies[0], workload.files, DEADLINE).await?;
    let counts = &proxy.counts;
    println!(
        "  {:.0} s; proxy: {} connections, {} reset, {} black-holed, {} acknowledgements dropped",
        took.as_secs_f64(),
        counts.connections.load(Ordering::Relaxed),
        counts.reset.load(Ordering::Relaxed),
        counts.black_holed.load(Ordering::Relaxed),
        counts.acks_dropped.load(Ordering::Relaxed),
    );
    print_findings(&findings);
    Ok(Verdict::of(findings.is_good(), format!("{:?}: {kills} kills, {findings}", workload.store)))
}

impl Workload {
    pub(crate) fn habits(&self, seed: u64) -> Habits {
        Habits {
            clients: self.clients,
            bots: self.bots,
            watchers: self.watchers,
            rooms: self.rooms,
            rooms_each: self.rooms.min(3),
            pace: Pace::Rate(self.rate),
            seed,
            ..Habits::default()
        }
    }
}
