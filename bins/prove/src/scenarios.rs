//! The scenarios, one for each promise.

pub(crate) mod api;
pub(crate) mod clocks;
pub(crate) mod cluster;
pub(crate) mod cut;
pub(crate) mod database_away;
pub(crate) mod deliveries;
pub(crate) mod descriptors;
pub(crate) mod everyone;
pub(crate) mod failed_writes;
pub(crate) mod files;
pub(crate) mod graceful;
pub(crate) mod kill;
pub(crate) mod resume;
pub(crate) mod retry;
pub(crate) mod slow_readers;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::cluster::Bus;
use crate::ledger::Findings;
use crate::server::Store;
use crate::{Cluster, Deliveries, Everyone, Files, Resume, Retry, Workload};

/// The result of a scenario, in one line.
pub(crate) enum Verdict {
    Passed(String),
    Failed(String),
    /// This machine lacks a component.
    NotRun(String),
}

impl Verdict {
    pub(crate) fn of(is_good: bool, line: String) -> Self {
        if is_good { Self::Passed(line) } else { Self::Failed(line) }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(line) => f.write_str(line),
            Self::Failed(line) => write!(f, "FAILED: {line}"),
            Self::NotRun(why) => write!(f, "NOT RUN: {why}"),
        }
    }
}

/// The short run of the test command.
pub(crate) async fn quick() -> Result<Vec<Verdict>, Box<dyn Error>> {
    let mut verdicts = Vec::new();
    for store in [Store::Sqlite, Store::Postgres] {
        let workload = Workload { store, kills: 8, minutes: 0.3, files: false, ..Workload::default() };
        verdicts.push(kill::kill(&workload).await?);
    }
    verdicts.push(files::files(&Files { store: Store::Sqlite, kills: 5, seed: None }).await?);
    for store in [Store::Sqlite, Store::Postgres] {
        verdicts.push(deliveries::webhooks(&Deliveries { store, kills: 3, seed: None }).await?);
    }
    verdicts.push(deliveries::pushes(&Deliveries { store: Store::Sqlite, kills: 3, seed: None }).await?);
    let workload = Workload { kills: 3, rate: 60.0, minutes: 0.5, ..Workload::default() };
    verdicts.push(cluster::cluster(&Cluster { workload, bus: Bus::Nats, failovers: 0 }).await?);
    Ok(verdicts)
}

/// Every scenario at its usual size.
pub(crate) async fn all() -> Result<Vec<Verdict>, Box<dyn Error>> {
    let mut verdicts = Vec::new();
    for store in [Store::Sqlite, Store::Postgres] {
        verdicts.push(kill::kill(&Workload { store, ..Workload::default() }).await?);
        verdicts.push(files::files(&Files { store, kills: 40, seed: None }).await?);
        verdicts.push(deliveries::webhooks(&Deliveries { store, kills: 25, seed: None }).await?);
        verdicts.push(deliveries::pushes(&Deliveries { store, kills: 25, seed: None }).await?);
    }
    for bus in [Bus::Nats, Bus::None] {
        let workload = Workload { kills: 60, ..Workload::default() };
        verdicts.push(cluster::cluster(&Cluster { workload, bus, failovers: 3 }).await?);
    }
    verdicts.push(cut::cut(&Workload { kills: 5, ..Workload::default() }).await?);
    verdicts.push(retry::retry(&Retry { retries: 10_000, store: Store::Sqlite }).await?);
    verdicts.push(resume::resume(&Resume { clients: 500, missed: 100, store: Store::Sqlite }).await?);
    verdicts.push(everyone::everyone(&Everyone { clients: 5_000, store: Store::Sqlite }).await?);
    verdicts.push(graceful::graceful(&Workload { clients: 300, rate: 200.0, ..Workload::default() }).await?);
    verdicts.extend(failed_writes::failed_writes().await?);
    verdicts.push(clocks::clocks().await?);
    verdicts.push(slow_readers::slow_readers().await?);
    verdicts.push(database_away::database_away().await?);
    verdicts.push(descriptors::descriptors().await?);
    Ok(verdicts)
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            store: Store::Sqlite,
            shards: 2,
            clients: 16,
            bots: 4,
            watchers: 4,
            rooms: 6,
            rate: 300.0,
            kills: 20,
            every_ms: 1500,
            minutes: 30.0,
            seed: None,
            direct: false,
            files: true,
        }
    }
}

impl Workload {
    /// The given seed, or one from the clock.
    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            now.as_nanos() as u64 & 0xFFFF_FFFF
        })
    }
}

/// Prints the counts of a check and the first violations of each kind.
pub(crate) fn print_findings(findings: &Findings) {
    println!("  {}", findings.counts);
    for error in &findings.unexpected {
        println!("  unexpected: {error}");
    }
    let mut shown = BTreeMap::new();
    for violation in &findings.violations {
        let count: &mut usize = shown.entry(violation.kind).or_default();
        *count += 1;
        if *count <= 5 {
            println!("  {:?}: {}", violation.kind, violation.description);
        }
    }
    for (kind, count) in shown.into_iter().filter(|(_, count)| *count > 5) {
        println!("  {kind:?}: {} more", count - 5);
    }
}

/// Whether a program is in `PATH`.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The quantile of sorted values.
pub(crate) fn at_share(sorted: &[Duration], share: f64) -> Duration {
    match sorted.len() {
        0 => Duration::ZERO,
        len => sorted[((len - 1) as f64 * share) as usize],
    }
}

/// The path of a file in one of `folders`, or in a folder `faketime` two levels below.
pub(crate) fn find_file(folders: &[&str], name: &str) -> Option<std::path::PathBuf> {
    let direct = folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    direct.or_else(|| {
        let inner = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok());
        inner
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("faketime").join(name))
            .find(|path| path.is_file())
    })
}

/// How long clients may take to reach an expected state.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);
