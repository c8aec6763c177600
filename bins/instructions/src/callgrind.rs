//! Counting by callgrind.

use std::error::Error;
use std::num::NonZero;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use crate::operations::Operation;

/// The command of this program that performs one operation, which callgrind counts.
pub(crate) const PERFORM: &str = "perform";

/// The instructions of each operation, in their order.
///
/// The difference of two runs, of which one performs an operation twice as often, leaves out the
/// start and the end of the program. As many runs go on side by side as there are processors.
pub(crate) fn count_all(operations: &[&'static Operation]) -> Result<Vec<u64>, Box<dyn Error>> {
    let runs: Vec<(&Operation, u32)> = operations
        .iter()
        .flat_map(|operation| [(*operation, operation.rounds), (*operation, 2 * operation.rounds)])
        .collect();
    let counts = Mutex::new(vec![0; runs.len()]);
    let waiting = Mutex::new(runs.iter().enumerate());
    let work = || -> Result<(), String> {
        loop {
            let next = waiting.lock().map_err(|error| error.to_string())?.next();
            let Some((index, (operation, rounds))) = next else { return Ok(()) };
            let count = run(operation, *rounds).map_err(|error| format!("{}: {error}", operation.name))?;
            counts.lock().map_err(|error| error.to_string())?[index] = count;
        }
    };
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a thread has panicked")?)
    })?;
    let counts = counts.into_inner()?;
    let differences = counts.chunks_exact(2).map(|pair| pair[1].saturating_sub(pair[0]));
    let of_one = |(operation, instructions): (&&Operation, u64)| {
        let times = u64::from(operation.rounds) * operation.in_round;
        (instructions + times / 2) / times
    };
    Ok(operations.iter().zip(differences).map(of_one).collect())
}

/// The instructions of a run of this program in all its threads, without those of the kernel.
fn run(operation: &Operation, rounds: u32) -> Result<u64, Box<dyn Error>> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe()?);
    valgrind.args([PERFORM, operation.name, &rounds.to_string()]).env("GLIBC_TUNABLES", EVERY_PROCESSOR);
    let output = valgrind.output().map_err(|error| format!("valgrind could not be started: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    // "==1234== Collected : 56789"
    let collected = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    match collected {
        Some(collected) if output.status.success() => Ok(collected),
        _ => Err(format!("valgrind ended with {}:\n{said}", output.status).into()),
    }
}

/// Has glibc copy and compare memory as it does on the oldest processors. Otherwise it chooses by what the
/// processor can, and counts would differ between machines by up to a tenth.
const EVERY_PROCESSOR: &str =
    "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX_Fast_Unaligned_Load,-ERMS,-SSSE3,-SSE4_1,-SSE4_2";
