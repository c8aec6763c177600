//! A whole chat in one thread under a seeded schedule: servers with their hubs,
//! the log they share, the bus within and between them, people with both
//! versions of the protocol and the real client, and all that can go wrong. An
//! oracle looks at every step.
//!
//! A failure prints its seed, and that seed is the same run again:
//!
//! ```text
//! cargo xtask simulate --seeds 100000
//! cargo xtask simulate --seed 7 --trace
//! ```
//!
//! Nothing here is a model of a hub or of a client: both are the real ones,
//! which do no I/O of their own. What is modelled is what lies around them:
//!
//! | | |
//! |---|---|
//! | `world` | the events, in the order of (time, number) |
//! | `hubs` | a hub's thread: turns, sockets, inbox |
//! | `storing`, `log` | the writers, the log, the bus within a server and between two |
//! | `people` | people with v1, and with v2 and no manners |
//! | `apps` | people with the real client, and what their applications show |
//! | `fate` | servers that stop, crash and do not hear each other; clocks; retention |
//! | `oracle` | what must be true at every step, and in the end |
//! | `planted` | bugs on purpose: each must be caught |

mod apps;
mod fate;
mod hubs;
mod log;
mod oracle;
mod people;
mod planted;
mod rates;
mod storing;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use planted::Bug;

use crate::world::World;

/// How a run is to be different from others.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// Something is done wrong on purpose.
    pub bug: Option<Bug>,
    /// The last so many steps are written down.
    pub trace: Option<usize>,
}

/// What a run was.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many things happened.
    pub events: u64,
    /// Frames that hubs put out, each counted once for each recipient.
    pub frames: u64,
    /// Of everything that happened and was put out: the same for the same seed.
    pub trace: u64,
    /// How often what was seen.
    pub seen: BTreeMap<&'static str, u64>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In which run.
    pub seed: u64,
    /// After how many milliseconds.
    pub at_ms: u64,
    /// A sentence.
    pub what: String,
    /// The steps that led there, if they were asked for.
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

/// Runs one seed, and returns the steps too, if they were asked for.
///
/// # Errors
///
/// A [`Failure`], if a promise was broken or a hub or client panicked.
pub fn simulate_with_steps(seed: u64, settings: &Settings) -> Result<(Summary, Vec<String>), Failure> {
    let mut world = World::new(seed, settings);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    let outcome = outcome.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("a panic: {}", message.or(panic.downcast_ref().copied()).unwrap_or("?")))
    });
    let steps = world.take_trace();
    match outcome {
        Ok(summary) => Ok((summary, steps)),
        Err(what) => Err(Failure { seed: world.seed, at_ms: world.now_ms, what, steps }),
    }
}

/// Runs one seed.
///
/// # Errors
///
/// A [`Failure`], if a promise was broken or a hub or client panicked.
pub fn simulate(seed: u64, settings: &Settings) -> Result<Summary, Failure> {
    simulate_with_steps(seed, settings).map(|(summary, _)| summary)
}
