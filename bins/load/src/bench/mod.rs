//! The chat beside other servers, in the same scenarios and the same run. Each scenario has rounds, in
//! which the servers take turns: what makes the machine slow for a while, makes all of them slow.
//! The server has one core, and this program another.

pub(crate) mod floor;
mod fsync;
mod peer;
mod report;
mod scenario;
mod sockets;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use chat_store::test_postgres::TestCluster;

pub(crate) use self::peer::on_first_core;
use self::peer::{Peer, Running};
use self::report::{Figures, Report};
use self::scenario::{Kind, SCENARIOS, Scenario};
use self::sockets::{Sockets, connects};

#[derive(clap::Args)]
pub(crate) struct Bench {
    /// Only scenarios with this in the name.
    filter: Option<String>,
    /// Rounds of each scenario, in which the servers take turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of load in each round, for each server.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// The folder with Bun, the package `ws` and the servers that run on them. Without it, the chat
    /// is compared with the bare floor only.
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Only servers with one of these names: chat, chat-sqlite, chat-postgres, bun, node, floor.
    #[arg(long, value_delimiter = ',')]
    servers: Vec<String>,
    /// The folder of the results: results.json and chart.svg.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Lists the scenarios.
    #[arg(long)]
    list: bool,
}

/// Runs the scenarios. Returns whether nothing was lost, doubled or reordered.
pub(crate) async fn bench(options: &Bench) -> Result<bool, Box<dyn Error>> {
    if options.list {
        SCENARIOS.iter().for_each(|scenario| println!("{:24} {}", scenario.name, scenario.what));
        return Ok(true);
    }
    let is_wanted = |scenario: &&Scenario| {
        options.filter.as_ref().is_none_or(|filter| scenario.name.contains(filter.as_str()))
    };
    let scenarios: Vec<&Scenario> = SCENARIOS.iter().filter(is_wanted).collect();
    let is_named =
        |peer: &Peer| options.servers.is_empty() || options.servers.iter().any(|it| it == peer.name());
    let uses_postgres =
        scenarios.iter().any(|it| it.peers.contains(&Peer::Postgres)) && is_named(&Peer::Postgres);
    let cluster = if uses_postgres { tokio::task::block_in_place(TestCluster::start) } else { None };
    let mut report = Report::new(fsync::median()?);
    for scenario in scenarios {
        let can_run = |peer: &&Peer| match peer {
            Peer::Bun | Peer::Node => options.peers.is_some(),
            Peer::Postgres => cluster.is_some(),
            Peer::Memory | Peer::Sqlite | Peer::Floor => true,
        };
        let peers: Vec<Peer> =
            scenario.peers.iter().filter(can_run).copied().filter(|peer| is_named(peer)).collect();
        for round in 0..options.rounds {
            for turn in 0..peers.len() {
                let peer = peers[(round + turn) % peers.len()];
                let running = Running::start(peer, options.peers.as_deref(), cluster.as_ref()).await?;
                peer::stay_off_the_servers_core()?;
                let time = Duration::from_secs(options.seconds);
                let figures = tokio::task::block_in_place(|| run(scenario, &running, time))
                    .map_err(|error| format!("{}, {}: {error}", scenario.name, peer.name()))?;
                report.add(scenario, peer, figures);
            }
        }
        report.print(scenario);
    }
    if let Some(out) = &options.out {
        report.write(out)?;
    }
    Ok(report.is_whole())
}

/// One scenario on one server.
fn run(scenario: &Scenario, running: &Running, time: Duration) -> Result<Figures, Box<dyn Error>> {
    let process = &running.process;
    let mut figures = Figures::default();
    match scenario.kind {
        Kind::Talk { rooms, clients, pace, slow } => {
            let mut sockets = Sockets::open(running.address, &running.cookies, rooms, clients)?;
            sockets.stop_reading(slow)?;
            let mut cpu = Vec::new();
            let (counted, elapsed, lost) = sockets.talk(pace, time, || {
                cpu.push(process.cpu()?);
                Ok(())
            })?;
            let [before, after] = cpu[..] else { return Err("two readings are expected".into()) };
            figures.per_second = counted.deliveries as f64 / elapsed.as_secs_f64();
            figures.cpu_us = (after - before).as_secs_f64() * 1e6 / counted.deliveries.max(1) as f64;
            figures.per_read = counted.per_read();
            figures.wrong = lost + counted.repeated + counted.skipped;
            figures.set_latencies(counted.latencies_us);
        }
        Kind::Connects { beside } => {
            // The first ones find cold caches, and our server learns to know the user.
            connects(running.address, &running.cookies, beside, time / 4)?;
            let before = process.cpu()?;
            let opened = connects(running.address, &running.cookies, beside, time)?;
            figures.per_second = opened as f64 / time.as_secs_f64();
            figures.cpu_us = (process.cpu()? - before).as_secs_f64() * 1e6 / opened.max(1) as f64;
        }
        Kind::Idle { sockets: count } => {
            let before = process.pss_bytes()?;
            let sockets = Sockets::open(running.address, &running.cookies, count / 10, 10)?;
            std::thread::sleep(Duration::from_secs(1));
            let cpu = process.cpu()?;
            std::thread::sleep(time);
            figures.cpu_us = (process.cpu()? - cpu).as_secs_f64() * 1e6 / time.as_secs_f64();
            figures.bytes = process.pss_bytes()?.saturating_sub(before) as f64 / sockets.len() as f64;
        }
    }
    Ok(figures)
}
