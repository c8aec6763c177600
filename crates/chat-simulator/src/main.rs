//! `simulate [--seeds N] [--seed S] [--trace] [--keep-going] [--threads N]`: many runs, on
//! all cores.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use chat_simulator::{Failure, Settings, Summary, simulate, simulate_with_steps};

const HELP: &str = "\
Usage: simulate [--seeds N] [--seed S] [--trace] [--keep-going] [--threads N]

  --seeds N    the number of runs (1000), from --seed on (0)
  --seed S     this run; with --seeds, the first of many
  --trace      one run, with every step
  --keep-going print each run that fails in one line, and go on; exit with 1 at the end
  --threads N  runs at the same time (one for each core)
";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(sentence) => {
            eprint!("error: {sentence}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    // A panic is reported with its seed; the usual message has none.
    std::panic::set_hook(Box::new(|_| {}));
    if options.trace { trace(options.first) } else { run(&options) }
}

/// The options of the command line.
struct Options {
    first: u64,
    seeds: u64,
    trace: bool,
    keep_going: bool,
    threads: usize,
}

impl Options {
    /// Parses the arguments; `None` if they ask for help.
    fn parse(args: impl IntoIterator<Item = String>) -> Result<Option<Self>, String> {
        let mut args = args.into_iter();
        let (mut seed, mut seeds, mut threads) = (None, None, None);
        let (mut trace, mut keep_going) = (false, false);
        while let Some(arg) = args.next() {
            let mut number = || {
                let value = args.next().ok_or_else(|| format!("{arg} needs a number"))?;
                value.parse::<u64>().map_err(|_| format!("{arg} needs a number, not `{value}`"))
            };
            match arg.as_str() {
                "--seed" => seed = Some(number()?),
                "--seeds" => seeds = Some(number()?),
                "--threads" => threads = Some(number()?),
                "--trace" => trace = true,
                "--keep-going" => keep_going = true,
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("there is no option `{arg}`")),
            }
        }
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        Ok(Some(Self {
            first: seed.unwrap_or(0),
            seeds: seeds.unwrap_or(if seed.is_some() { 1 } else { SEEDS }),
            trace,
            keep_going,
            threads: threads.map_or_else(cores, |threads| threads.max(1) as usize),
        }))
    }
}

fn trace(seed: u64) -> ExitCode {
    let settings = Settings { trace: Some(usize::MAX), ..Settings::default() };
    match simulate_with_steps(seed, &settings) {
        Ok((summary, steps)) => {
            steps.iter().for_each(|step| println!("{step}"));
            println!("seed {seed}: {} events, trace {:016x}: all is well", summary.events, summary.trace);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> ExitCode {
    let started = Instant::now();
    let next = AtomicU64::new(options.first);
    let end = options.first.saturating_add(options.seeds);
    let stops = AtomicBool::new(false);
    let failures = AtomicU64::new(0);
    let total = Mutex::new((Summary::default(), 0_u64));
    let first_failure: Mutex<Option<Failure>> = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| {
                while !stops.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    match simulate(seed, &Settings::default()) {
                        Ok(summary) => {
                            let mut total = total.lock().expect("nothing panics with it");
                            add(&mut total.0, &summary);
                            total.1 += 1;
                            if total.1.is_multiple_of(PROGRESS_SEEDS) {
                                progress(total.1, &total.0, started);
                            }
                        }
                        Err(failure) if options.keep_going => {
                            failures.fetch_add(1, Ordering::Relaxed);
                            println!("{failure}");
                        }
                        Err(failure) => {
                            stops.store(true, Ordering::Relaxed);
                            let mut first = first_failure.lock().expect("nothing panics with it");
                            if first.as_ref().is_none_or(|first| failure.seed < first.seed) {
                                *first = Some(failure);
                            }
                        }
                    }
                }
            });
        }
    });
    let (summary, seeds) = total.into_inner().expect("nothing panics with it");
    progress(seeds, &summary, started);
    for (what, count) in &summary.seen {
        println!("  {count:>12} {what}");
    }
    let Some(failure) = first_failure.into_inner().expect("nothing panics with it") else {
        return exit_code(failures.into_inner());
    };
    // Again, with the last steps.
    let settings = Settings { trace: Some(STEPS_SHOWN), ..Settings::default() };
    let failure = simulate(failure.seed, &settings).err().unwrap_or(failure);
    println!("{failure}\n\ncargo xtask simulate --seed {} --trace", failure.seed);
    ExitCode::FAILURE
}

/// The exit code of runs of which so many failed.
fn exit_code(failures: u64) -> ExitCode {
    if failures == 0 {
        return ExitCode::SUCCESS;
    }
    println!("{failures} runs failed");
    ExitCode::FAILURE
}

fn add(total: &mut Summary, summary: &Summary) {
    total.events += summary.events;
    total.frames += summary.frames;
    for (what, count) in &summary.seen {
        *total.seen.entry(what).or_insert(0) += count;
    }
}

fn progress(seeds: u64, summary: &Summary, started: Instant) {
    let seconds = started.elapsed().as_secs_f64().max(0.001);
    println!(
        "{seeds} seeds, {} events, {} frames in {seconds:.1} s: {:.0} seeds and {:.0} events a second",
        summary.events,
        summary.frames,
        seeds as f64 / seconds,
        summary.events as f64 / seconds,
    );
}

/// The default number of runs.
const SEEDS: u64 = 1_000;
/// The number of runs between two lines on the progress.
const PROGRESS_SEEDS: u64 = 10_000;
/// The number of last steps that are shown of a run that failed.
const STEPS_SHOWN: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_fail_are_a_failure_also_if_others_follow() {
        assert_eq!(exit_code(0), ExitCode::SUCCESS);
        assert_eq!(exit_code(1), ExitCode::FAILURE);
    }
}
