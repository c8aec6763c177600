//! `cargo xtask simulate`: runs of the simulator, built with optimisations.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs `simulate` with `args`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    crate::run_package(&["--profile", "simulate", "--package", "lanechat-simulator", "--"], args)
}
