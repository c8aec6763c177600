//! `cargo xtask simulate`: as many seeds of the simulator as there is time for.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs `simulate`, built with optimisations; `args` are its own.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let status = crate::cargo()
        .args(["run", "--quiet", "--profile", "simulate", "--package", "chat-simulator", "--"])
        .args(args)
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        // The simulator has said which seed failed, and how.
        Ok(status) => match status.code().and_then(|code| u8::try_from(code).ok()) {
            Some(code) => ExitCode::from(code),
            None => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!("error: cargo could not be started: {error}");
            ExitCode::FAILURE
        }
    }
}
