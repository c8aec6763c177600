//! Proves the server's promises. Each scenario starts a real server from the same
//! build, on this machine's loopback and in folders of its own, lets clients talk
//! over it while faults happen, and compares the clients' records with the store.
//!
//! ```text
//! cargo xtask prove kill --store sqlite --kills 100
//! ```

mod crowd;
mod http;
mod ledger;
mod mount;
mod proxy;
mod raw;
mod relay;
mod remains;
mod scenarios;
mod server;

use std::error::Error;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::scenarios::Verdict;
use crate::scenarios::cluster::Bus;
use crate::server::Store;

/// Proves the promises of the server on a real one.
#[derive(Parser)]
#[command(name = "prove")]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// `kill` and `webhooks` on SQLite and Postgres, `files` and `pushes` on SQLite, and `cluster`, for half a
    /// minute each: part of `cargo xtask test`.
    Quick,
    /// `kill -9` at random moments, behind a bad network.
    Kill(Workload),
    /// `kill -9` at random moments, while files are uploaded, sent and deleted.
    Files(Files),
    /// `kill -9` at random moments, while messages are delivered to outgoing webhooks.
    Webhooks(Deliveries),
    /// `kill -9` at random moments, while browsers are notified.
    Pushes(Deliveries),
    /// The HTTP calls, as `docs/openapi.yaml` describes them; needs Schemathesis. Part of `cargo xtask test`.
    Api(Api),
    /// Three servers on one Postgres: kills, frozen servers, cut networks, failovers.
    Cluster(Cluster),
    /// Power cuts, on an ext4 of its own, while users talk and upload files; needs root.
    Cut(Workload),
    /// Forced retries: acknowledgements that do not arrive.
    Retry(Retry),
    /// Resumes behind 100 missed messages.
    Resume(Resume),
    /// Thousands of clients that reconnect after a `kill -9`.
    Everyone(Everyone),
    /// A graceful restart with connected clients.
    Graceful(Workload),
    /// A disk that fails, and one that is full.
    FailedWrites,
    /// A clock that is put forward and back.
    Clocks,
    /// Clients that stop reading.
    SlowReaders,
    /// A Postgres that is paused, and stopped.
    DatabaseAway,
    /// File descriptors that run out.
    Descriptors,
    /// All scenarios, one after another.
    All,
}

/// The clients, their messages, and the length of a run.
#[derive(Args, Clone)]
pub(crate) struct Workload {
    /// The store of the messages.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub(crate) store: Store,
    /// Threads of the server that own sockets.
    #[arg(long, default_value_t = 2)]
    pub(crate) shards: usize,
    /// Clients of protocol v2.
    #[arg(long, default_value_t = 16)]
    pub(crate) clients: usize,
    /// Clients of protocol v2 that use the published driver.
    #[arg(long, default_value_t = 4)]
    pub(crate) bots: usize,
    /// Connections of protocol v1.
    #[arg(long, default_value_t = 4)]
    pub(crate) watchers: usize,
    /// Rooms; each client joins three of them.
    #[arg(long, default_value_t = 6)]
    pub(crate) rooms: usize,
    /// Messages a second, of all clients together.
    #[arg(long, default_value_t = 300.0)]
    pub(crate) rate: f64,
    /// Kills, or power cuts.
    #[arg(long, default_value_t = 20)]
    pub(crate) kills: usize,
    /// Milliseconds between two kills or cuts, on average.
    #[arg(long, default_value_t = 1500)]
    pub(crate) every_ms: u64,
    /// Minutes after which the run ends, also with fewer kills.
    #[arg(long, default_value_t = 30.0)]
    pub(crate) minutes: f64,
    /// The seed of all random choices; a new one for each run by default.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Connects the clients directly, without the faulty network.
    #[arg(long)]
    pub(crate) direct: bool,
    /// Whether the files of SQLite are searched for what was taken back, a minute later.
    #[arg(skip = true)]
    pub(crate) files: bool,
}

#[derive(Args)]
pub(crate) struct Cluster {
    /// The store is Postgres.
    #[command(flatten)]
    pub(crate) workload: Workload,
    /// What carries news between the servers, beside the database.
    #[arg(long, value_enum, default_value = "nats")]
    pub(crate) bus: Bus,
    /// Failovers to a synchronous standby, between the kills.
    #[arg(long, default_value_t = 2)]
    pub(crate) failovers: usize,
}

#[derive(Args)]
pub(crate) struct Files {
    /// The store of the messages.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub(crate) store: Store,
    /// Kills.
    #[arg(long, default_value_t = 40)]
    pub(crate) kills: usize,
    /// The seed of all random choices; a new one for each run by default.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

#[derive(Args)]
pub(crate) struct Deliveries {
    /// The store of the messages.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub(crate) store: Store,
    /// Kills.
    #[arg(long, default_value_t = 25)]
    pub(crate) kills: usize,
    /// The seed of all random choices; a new one for each run by default.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

#[derive(Args)]
pub(crate) struct Api {
    /// Random requests of each call.
    #[arg(long, default_value_t = 15)]
    pub(crate) examples: usize,
    /// The seed of the requests.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Args)]
pub(crate) struct Retry {
    /// Retries to force.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) retries: usize,
    /// The store of the messages.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub(crate) store: Store,
}

#[derive(Args)]
pub(crate) struct Resume {
    /// Clients.
    #[arg(long, default_value_t = 500)]
    pub(crate) clients: usize,
    /// Messages that each of them missed.
    #[arg(long, default_value_t = 100)]
    pub(crate) missed: u64,
    /// The store of the messages.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub(crate) store: Store,
}

#[derive(Args)]
pub(crate) struct Everyone {
    /// Clients.
    #[arg(long, default_value_t = 5_000)]
    pub(crate) clients: usize,
    /// The store of the messages.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub(crate) store: Store,
}

#[tokio::main]
async fn main() -> ExitCode {
    // Each socket needs a descriptor.
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        eprintln!("the limit of descriptors was not raised: {error}");
    }
    match run(Cli::parse().scenario).await {
        Ok(verdicts) => conclude(&verdicts),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(scenario: Scenario) -> Result<Vec<Verdict>, Box<dyn Error>> {
    Ok(vec![match scenario {
        Scenario::Quick => return scenarios::quick().await,
        Scenario::All => return scenarios::all().await,
        Scenario::Kill(workload) => scenarios::kill::kill(&workload).await?,
        Scenario::Cluster(options) => scenarios::cluster::cluster(&options).await?,
        Scenario::Files(options) => scenarios::files::files(&options).await?,
        Scenario::Webhooks(options) => scenarios::deliveries::webhooks(&options).await?,
        Scenario::Pushes(options) => scenarios::deliveries::pushes(&options).await?,
        Scenario::Api(options) => scenarios::api::api(&options).await?,
        Scenario::Cut(workload) => scenarios::cut::cut(&workload).await?,
        Scenario::Retry(options) => scenarios::retry::retry(&options).await?,
        Scenario::Resume(options) => scenarios::resume::resume(&options).await?,
        Scenario::Everyone(options) => scenarios::everyone::everyone(&options).await?,
        Scenario::Graceful(workload) => scenarios::graceful::graceful(&workload).await?,
        Scenario::FailedWrites => return scenarios::failed_writes::failed_writes().await,
        Scenario::Clocks => scenarios::clocks::clocks().await?,
        Scenario::SlowReaders => scenarios::slow_readers::slow_readers().await?,
        Scenario::DatabaseAway => scenarios::database_away::database_away().await?,
        Scenario::Descriptors => scenarios::descriptors::descriptors().await?,
    }])
}

/// Prints the results, one line each. Returns success unless one failed, or, where
/// `CI=true`, could not be run.
fn conclude(verdicts: &[Verdict]) -> ExitCode {
    println!();
    for verdict in verdicts {
        println!("{verdict}");
    }
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let is_good = verdicts.iter().all(|verdict| match verdict {
        Verdict::Passed(_) => true,
        Verdict::Failed(_) => false,
        Verdict::NotRun(_) => !is_ci,
    });
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
