//! `cargo xtask migrate`: migrations of the schema belong to the server, so that
//! an installation without this checkout can run them too.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs `server migrate` in the folder where the task was called, since that
/// is where the server looks for its configuration.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    crate::run_package(&["--package", "server", "--", "migrate"], args)
}
