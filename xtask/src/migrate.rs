//! `cargo xtask migrate`: the schema's migrations belong to the server, so
//! that an installation without this checkout can run them too.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs `server migrate` in the folder where the task was called, since that
/// is where the server looks for its configuration.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    let status =
        crate::cargo().args(["run", "--quiet", "--package", "server", "--", "migrate"]).args(args).status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        // The server has said what was wrong; a code of its own is passed on.
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
