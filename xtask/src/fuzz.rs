//! `cargo xtask fuzz`: damaged inputs for the parsers, built with optimisations and assertions.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs `fuzz` with `args`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    crate::run_package(&["--profile", "simulate", "--package", "fuzz", "--"], args)
}
