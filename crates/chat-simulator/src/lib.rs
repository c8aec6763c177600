//! A whole chat in one thread under a seeded schedule: servers with their shards, the
//! log they share, the bus within and between them, users with both versions of the
//! protocol and with the real client, and faults of all kinds. An oracle checks every
//! step.
//!
//! A failure prints its seed, and the same seed is the same run again:
//!
//! ```text
//! cargo xtask simulate --seeds 100000
//! cargo xtask simulate --seed 7 --trace
//! ```
//!
//! Hubs, turns, inboxes, what sockets hold and keep, the routing of commits, the writer's
//! queue, what three servers do with what they tell each other, and the client are the real
//! ones (chat-core, chat-shard, chat-cluster, chat-client), which do no I/O. What lies around
//! them is a model: the log and the feed, sockets, the bus between the servers. Changes of
//! rooms are on no bus here: a server reads them from the log where they matter.
//!
//! The modules:
//!
//! | | |
//! |---|---|
//! | `world` | the events, in the order of (time, number) |
//! | `hubs` | the hubs' shards, and sockets |
//! | `calls` | changes of rooms and members, and marks |
//! | `storing`, `log` | the log and its answers |
//! | `cluster` | the feed and the bus between the servers, and who is present elsewhere |
//! | `people` | users with v1, and with v2 and any request |
//! | `acts` | what users do in a topic: messages, answers, changes of messages |
//! | `files` | uploads, sweeps, and users who read files |
//! | `apps`, `timelines` | users with the real client, and what their applications show |
//! | `faults` | servers that crash and drain, partitions, outages, clocks, retention |
//! | `failovers` | a standby that takes over and lacks commits, without hubs: a run of its own |
//! | `oracle` | the checks of every step, and of the end |
//! | `planted` | bugs on purpose: each must be caught |

mod acts;
mod apps;
mod calls;
mod cluster;
mod failovers;
mod faults;
mod files;
mod hook;
mod hubs;
mod log;
mod oracle;
mod people;
mod planted;
mod rates;
mod storing;
mod timelines;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use planted::Bug;

use crate::failovers::Failovers;
use crate::world::World;

/// The settings of a run, beside its seed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// A bug on purpose.
    pub bug: Option<Bug>,
    /// The number of last steps that are kept.
    pub trace: Option<usize>,
}

/// The summary of a run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The number of events.
    pub events: u64,
    /// Frames that hubs put out, each counted once for each recipient.
    pub frames: u64,
    /// A hash of all events and outputs: the same for the same seed.
    pub trace: u64,
    /// How often each kind of thing was seen.
    pub seen: BTreeMap<&'static str, u64>,
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// The time in the run, in milliseconds.
    pub at_ms: u64,
    /// What is wrong, in a sentence.
    pub what: String,
    /// The last steps, if the settings ask for them.
    pub steps: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        write!(f, "seed {}, {} ms: {}", self.seed, self.at_ms, self.what)
    }
}

/// Runs one seed, and returns its last steps, if the settings ask for them.
///
/// # Errors
///
/// A [`Failure`], if a check failed or a hub or client panicked.
pub fn simulate_with_steps(seed: u64, settings: &Settings) -> Result<(Summary, Vec<String>), Failure> {
    let mut world = World::new(seed, settings);
    let outcome = or_panic(|| world.run());
    let steps = world.take_trace();
    let mut summary = match outcome {
        Ok(summary) => summary,
        Err(what) => return Err(Failure { seed, at_ms: world.now_ms, what, steps }),
    };
    let mut failovers = Failovers::new(seed, settings.bug);
    match or_panic(|| failovers.run()) {
        Ok(seen) => summary.seen.extend(seen),
        Err(what) => return Err(Failure { seed, at_ms: failovers.now_ms(), what, steps: Vec::new() }),
    }
    Ok((summary, steps))
}

/// What a run returns; a panic is an error.
fn or_panic<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("a panic: {}", message.or(panic.downcast_ref().copied()).unwrap_or("?")))
    })
}

/// Runs one seed.
///
/// # Errors
///
/// A [`Failure`], if a check failed or a hub or client panicked.
pub fn simulate(seed: u64, settings: &Settings) -> Result<Summary, Failure> {
    simulate_with_steps(seed, settings).map(|(summary, _)| summary)
}
