//! Feeds the parsers of the chat with damaged inputs: `fuzz TARGET --seconds N [--seed N]`.
//!
//! Each target takes the inputs of its folder in `corpus/`, damages them, and checks more than
//! that nothing panics. It is no coverage-guided fuzzer, and needs no special compiler: a run is
//! repeated exactly by its seed (`multipart` goes through sockets, and is repeated in its inputs
//! only). What it finds is written to `target/fuzz/`; a copy in the corpus makes it a test.

mod mutation;
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::mutation::Mutator;
use crate::targets::{TARGETS, Target};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(run) = Run::parse(&arguments) else {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("Usage: fuzz TARGET [--seconds N] [--seed N]\nTargets: {}", names.join(", "));
        return ExitCode::from(2);
    };
    let until = Instant::now() + run.duration;
    match fuzz(run.target, run.seed, |_| Instant::now() < until) {
        Ok(inputs) => {
            println!("{}: {inputs} inputs, seed {}: nothing found", run.target.name, run.seed);
            ExitCode::SUCCESS
        }
        Err(found) => {
            println!("{found}");
            ExitCode::FAILURE
        }
    }
}

/// A command line.
struct Run {
    target: &'static Target,
    duration: Duration,
    seed: u64,
}

impl Run {
    fn parse(arguments: &[String]) -> Option<Self> {
        let (name, mut options) = arguments.split_first()?;
        let target = TARGETS.iter().find(|target| target.name == name)?;
        let mut run = Self { target, duration: Duration::from_secs(60), seed: 1 };
        while let [option, value, rest @ ..] = options {
            let value: u64 = value.parse().ok()?;
            match option.as_str() {
                "--seconds" => run.duration = Duration::from_secs(value),
                "--seed" => run.seed = value,
                _ => return None,
            }
            options = rest;
        }
        options.is_empty().then_some(run)
    }
}

/// Feeds a target with its corpus, and then with damaged inputs while `may_go_on` says so of
/// their number. Returns how many inputs there were; an error names an input that failed.
fn fuzz(target: &Target, seed: u64, may_go_on: impl Fn(u64) -> bool) -> Result<u64, String> {
    let corpus = corpus(target.name);
    let mut mutator = Mutator::new(seed, &corpus);
    let mut check = (target.start)();
    let mut inputs = 0;
    let mut next = corpus.iter().cloned();
    loop {
        let input = match next.next() {
            Some(input) => input,
            None if may_go_on(inputs) => mutator.next(),
            None => return Ok(inputs),
        };
        inputs += 1;
        // A target that panicked is not used again.
        if catch_unwind(AssertUnwindSafe(|| check(&input))).is_err() {
            let name = target.name;
            let place = write_found(name, seed, inputs, &input);
            return Err(format!("{name}: input {inputs} of seed {seed} failed: {place}"));
        }
    }
}

/// The inputs in the folder of a target, in a fixed order.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a file of the corpus")).collect()
}

fn write_found(target: &str, seed: u64, number: u64, input: &[u8]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz");
    let path = folder.join(format!("{target}-{seed}-{number}"));
    match fs::create_dir_all(&folder).and_then(|()| fs::write(&path, input)) {
        Ok(()) => path.display().to_string(),
        Err(_) => format!("{:?}", String::from_utf8_lossy(input)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Short, as it is a part of each run of the tests.
    #[test]
    fn no_target_finds_anything() {
        for target in TARGETS {
            let started = Instant::now();
            let inputs = target.inputs_in_tests;
            let found = fuzz(target, 1, |number| number < inputs && started.elapsed().as_secs() < 20);
            println!("{}: {found:?} in {:?}", target.name, started.elapsed());
            assert!(found.is_ok(), "{found:?}");
        }
    }

    /// A target that panics where only a deep input gets finds that: the inputs reach what they
    /// are meant for.
    #[test]
    fn each_target_reaches_a_planted_panic() {
        for target in TARGETS {
            let reached = std::sync::atomic::AtomicU64::new(0);
            let mut check = (target.start)();
            let corpus = corpus(target.name);
            let mut mutator = Mutator::new(2, &corpus);
            for number in 0..20 * target.inputs_in_tests {
                let input = mutator.next();
                if check(&input) == targets::Depth::Deep && !corpus.contains(&input) {
                    reached.store(number + 1, std::sync::atomic::Ordering::Relaxed);
                    break;
                }
            }
            let reached = reached.into_inner();
            assert!(reached > 0, "{}: no damaged input gets far", target.name);
            println!("{}: input {reached} gets far", target.name);
            // The loop itself notices a panic there.
            let planted = Target { start: target.planted, ..*target };
            let found = fuzz(&planted, 2, |number| number < 20 * target.inputs_in_tests);
            assert!(found.is_err_and(|found| found.contains("failed")), "{}", target.name);
        }
    }
}
