//! Counts the processor's instructions for what the chat does most, by callgrind (a tool of
//! valgrind), and compares them with the bounds in `bounds.toml`.
//!
//! ```text
//! cargo xtask test instructions                   # counts, and fails where a bound is exceeded
//! UPDATE_BOUNDS=1 cargo xtask test instructions   # writes the bounds anew
//! cargo run --profile instructions -p instructions -- delivery-v2     # only this one
//! ```
//!
//! Instructions, unlike times, come out the same on a busy machine. The operations run in this
//! program, without a server: `docs/performance.md` says what is therefore not in the numbers.

mod bounds;
mod callgrind;
mod chat;
mod operations;

use std::error::Error;
use std::process::ExitCode;

use crate::bounds::Bounds;
use crate::operations::{OPERATIONS, Operation};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [command, name, rounds] if command == callgrind::PERFORM => perform(name, rounds),
        names => select(names).and_then(|operations| count(&operations)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The named operations; all if none is named.
fn select(names: &[String]) -> Result<Vec<&'static Operation>, Box<dyn Error>> {
    if let Some(unknown) = names.iter().find(|name| find(name).is_none()) {
        let all: Vec<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
        return Err(format!("there is no operation `{unknown}`; there are: {}", all.join(", ")).into());
    }
    let is_named =
        |operation: &&Operation| names.is_empty() || names.iter().any(|name| name == operation.name);
    Ok(OPERATIONS.iter().filter(is_named).collect())
}

fn find(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.name == name)
}

/// Counts operations, and compares them with their bounds, or writes the bounds anew.
fn count(operations: &[&'static Operation]) -> Result<(), Box<dyn Error>> {
    let counts = callgrind::count_all(operations)?;
    let mut bounds = Bounds::read()?;
    if std::env::var_os("UPDATE_BOUNDS").is_some() {
        for (operation, instructions) in operations.iter().zip(counts) {
            bounds.set(operation.name, instructions);
        }
        return bounds.write();
    }
    let mut exceeded = Vec::new();
    for (operation, instructions) in operations.iter().zip(counts) {
        let verdict = bounds.judge(operation, instructions);
        println!("{verdict}");
        if verdict.is_exceeded() && !IS_OF_THE_BOUNDS {
            println!("  The bounds are for x86_64 on Linux: nothing fails here.");
        } else if verdict.is_exceeded() {
            exceeded.push(verdict.to_string());
        }
    }
    if exceeded.is_empty() { Ok(()) } else { Err(exceeded.join("\nerror: ").into()) }
}

/// Whether this program was built for the machine that the bounds are for.
const IS_OF_THE_BOUNDS: bool = cfg!(all(target_arch = "x86_64", target_os = "linux"));

/// Performs an operation so many rounds. Callgrind counts what that costs.
fn perform(name: &str, rounds: &str) -> Result<(), Box<dyn Error>> {
    let operation = find(name).ok_or("there is no such operation")?;
    operation.perform(rounds.parse()?)
}
