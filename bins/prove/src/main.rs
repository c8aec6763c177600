//! Proves on a real server what is promised. It starts one from the same build,
//! on this machine's loopback and in folders of its own, has clients talk over
//! it while bad things happen, and compares what they wrote down with the store.
//!
//! ```text
//! cargo xtask prove kill --store sqlite --kills 100
//! ```

mod crowd;
mod http;
mod ledger;
mod line;
mod mount;
mod proxy;
mod server;
mod stories;

use std::error::Error;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::server::Store;
use crate::stories::Verdict;

/// Proves on a real server what is promised.
#[derive(Parser)]
#[command(name = "prove")]
struct Cli {
    #[command(subcommand)]
    story: Story,
}

#[derive(Subcommand)]
enum Story {
    /// KILL and PROXY on every store, for half a minute each: part of `cargo xtask test`.
    Quick,
    /// `kill -9` at random moments, behind a bad network.
    Kill(Workload),
    /// Power cuts on an ext4 of its own; needs root.
    Cut(Workload),
    /// Forced retries: acknowledgements that nobody gets.
    Retry(Retry),
    /// Coming back after 100 missed messages.
    Resume(Resume),
    /// Thousands come back after a `kill -9`.
    Everyone(Everyone),
    /// A stop that everybody is told of.
    Graceful(Workload),
    /// The disk fails, and is full.
    FailedWrites,
    /// The clock is put forward and back.
    Clocks,
    /// Clients that stop reading.
    SlowReaders,
    /// Postgres stands still, and is ended.
    DatabaseAway,
    /// No descriptors left.
    Descriptors,
    /// All of them, one after the other.
    All,
}

/// Who talks, how much, and for how long.
#[derive(Args, Clone)]
pub(crate) struct Workload {
    /// Where the messages are kept.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub(crate) store: Store,
    /// Threads of the server that own sockets.
    #[arg(long, default_value_t = 2)]
    pub(crate) shards: usize,
    /// Clients of protocol v2.
    #[arg(long, default_value_t = 16)]
    pub(crate) clients: usize,
    /// Clients of protocol v2 that are the published driver.
    #[arg(long, default_value_t = 4)]
    pub(crate) bots: usize,
    /// Connections of protocol v1.
    #[arg(long, default_value_t = 4)]
    pub(crate) watchers: usize,
    /// Rooms; everybody is in three of them.
    #[arg(long, default_value_t = 6)]
    pub(crate) rooms: usize,
    /// Messages a second, of all clients together.
    #[arg(long, default_value_t = 300.0)]
    pub(crate) rate: f64,
    /// Kills, or power cuts.
    #[arg(long, default_value_t = 20)]
    pub(crate) kills: usize,
    /// Milliseconds between two of them, on average.
    #[arg(long, default_value_t = 1500)]
    pub(crate) every_ms: u64,
    /// Ends after so long, however many kills there were.
    #[arg(long, default_value_t = 30.0)]
    pub(crate) minutes: f64,
    /// The same seed makes the same choices; another one each time unless said.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Without the bad network.
    #[arg(long)]
    pub(crate) direct: bool,
}

#[derive(Args)]
pub(crate) struct Retry {
    /// Retries to force.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) retries: usize,
    /// Where the messages are kept.
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
    /// Where the messages are kept.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub(crate) store: Store,
}

#[derive(Args)]
pub(crate) struct Everyone {
    /// Clients.
    #[arg(long, default_value_t = 5_000)]
    pub(crate) clients: usize,
    /// Where the messages are kept.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub(crate) store: Store,
}

#[tokio::main]
async fn main() -> ExitCode {
    // Each socket needs one.
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        eprintln!("the limit of descriptors stays: {error}");
    }
    match run(Cli::parse().story).await {
        Ok(verdicts) => conclude(&verdicts),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(story: Story) -> Result<Vec<Verdict>, Box<dyn Error>> {
    Ok(vec![match story {
        Story::Quick => return stories::quick().await,
        Story::All => return stories::all().await,
        Story::Kill(workload) => stories::kill::kill(&workload).await?,
        Story::Cut(workload) => stories::cut::cut(&workload).await?,
        Story::Retry(options) => stories::retry::retry(&options).await?,
        Story::Resume(options) => stories::resume::resume(&options).await?,
        Story::Everyone(options) => stories::everyone::everyone(&options).await?,
        Story::Graceful(workload) => stories::graceful::graceful(&workload).await?,
        Story::FailedWrites => return stories::failed_writes::failed_writes().await,
        Story::Clocks => stories::clocks::clocks().await?,
        Story::SlowReaders => stories::slow_readers::slow_readers().await?,
        Story::DatabaseAway => stories::database_away::database_away().await?,
        Story::Descriptors => stories::descriptors::descriptors().await?,
    }])
}

/// The lines that count come last.
fn conclude(verdicts: &[Verdict]) -> ExitCode {
    println!();
    for verdict in verdicts {
        println!("{verdict}");
    }
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    let is_good = verdicts.iter().all(|verdict| match verdict {
        Verdict::Shown(_) => true,
        Verdict::Wrong(_) => false,
        Verdict::NotRun(_) => !is_ci,
    });
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
