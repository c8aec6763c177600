//! A whole chat in one thread under a seeded schedule: hubs, a log that is
//! slow, fails and loses answers, a bus that loses, doubles and reorders,
//! people who come, write, stop reading and go. An oracle looks at every step.
//!
//! A failure prints its seed, and that seed is the same run again:
//!
//! ```text
//! SIMULATE_SEED=7 cargo test -p chat-core --test simulator
//! SIMULATE_SEEDS=100000 cargo test --release -p chat-core --test simulator
//! ```

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "how much to simulate comes from the environment, and what came of it is worth seeing"
)]

mod log;
mod oracle;
mod random;
mod rates;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use chat_core::HubOptions;

use crate::world::{Summary, World};

#[test]
fn every_seed_keeps_the_promises() {
    let seeds = match number("SIMULATE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATE_SEEDS").unwrap_or(SEEDS),
    };
    let (mut events, mut frames) = (0, 0);
    for seed in seeds.clone() {
        match run(seed, &|_| {}) {
            Ok(summary) => (events, frames) = (events + summary.events, frames + summary.frames),
            Err(failure) => {
                panic!("{failure}\n\nSIMULATE_SEED={seed} cargo test -p chat-core --test simulator")
            }
        }
    }
    // Shown with --nocapture.
    println!("seeds {seeds:?}: {events} events, {frames} frames");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [1, 2, 3] {
        let summaries = [run(seed, &|_| {}), run(seed, &|_| {})];
        assert_eq!(summaries[0], summaries[1]);
    }
    assert_ne!(run(1, &|_| {}), run(2, &|_| {}));
}

/// The oracle is tested too: it must notice a hub that does wrong.
#[cfg(feature = "planted-bugs")]
mod planted {
    use chat_core::PlantedBug;

    use super::run;

    fn caught(bug: PlantedBug) {
        let failure = (0..PLANTED_SEEDS).find_map(|seed| {
            let failure = run(seed, &|options| options.planted = Some(bug)).err()?;
            let what = failure.lines().next().unwrap_or_default().to_owned();
            Some(format!("{bug:?}: {what}"))
        });
        // Shown with --nocapture.
        println!(
            "{}",
            failure.unwrap_or_else(|| panic!("{bug:?} was not caught within {PLANTED_SEEDS} seeds"))
        );
    }

    const PLANTED_SEEDS: u64 = 300;

    macro_rules! each_is_caught {
        ($($test:ident: $bug:ident),* $(,)?) => {$(
            #[test]
            fn $test() {
                caught(PlantedBug::$bug);
            }
        )*};
    }
    each_is_caught! {
        a_hub_that_does_not_look_for_gaps: NoGapCheck,
        a_hub_that_does_not_look_for_duplicates: NoDuplicateCheck,
        a_hub_that_reads_before_it_subscribes: ReadBeforeSubscribe,
        a_hub_that_delivers_after_leave: DeliverAfterLeave,
        a_hub_that_shows_what_is_not_stored: ShowBeforeCommit,
        a_hub_that_skips_those_who_are_slow: SkipWhenSlow,
        a_hub_that_tells_everybody: PrivateToAll,
        a_hub_without_credits: NoCredit,
        a_hub_that_gives_a_failed_read_up: NoReadRetry,
        a_hub_that_waits_for_ever: NoDraftTimeout,
    }
}

/// Runs one seed. What is wrong, if anything, comes with the last steps
/// before it.
fn run(seed: u64, change: &dyn Fn(&mut HubOptions)) -> Result<Summary, String> {
    let attempt = |keep_steps| {
        let mut world = World::new(seed, keep_steps, change);
        let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
        let outcome = outcome.unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            Err(format!("a hub panicked: {}", message.or(panic.downcast_ref().copied()).unwrap_or("?")))
        });
        outcome.map_err(|what| world.report(&what))
    };
    // Writing the steps down takes time: only when they are to be shown.
    attempt(false).or_else(|_| attempt(true))
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}

/// What an ordinary test run has time for.
const SEEDS: u64 = 60;
