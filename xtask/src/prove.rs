//! `cargo xtask prove`: scenarios on the real server. Builds the server and
//! `prove` first, with the same profile, as `prove` starts the server.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Runs `prove` with `args`; a leading `--release` selects the optimised build.
pub(crate) fn run(mut args: Vec<OsString>) -> ExitCode {
    let is_release = args.first().is_some_and(|first| first == "--release");
    if is_release {
        args.remove(0);
    }
    let mut build = crate::cargo();
    build.args(["build", "--quiet"]);
    if is_release {
        build.args(["--release", "--package", "server", "--package", "prove"]);
    } else {
        // With a test among them, cargo takes the features of the tests' build: little is built anew.
        build.args(["--workspace", "--bin", "server", "--bin", "prove", "--test", "minimal"]);
    }
    match build.status() {
        Ok(status) if status.success() => {}
        Ok(_) => return ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: cargo could not be started: {error}");
            return ExitCode::FAILURE;
        }
    }
    let profile = if is_release { "release" } else { "debug" };
    match program(profile).and_then(|program| Command::new(program).args(args).status()) {
        Ok(status) => crate::exit_code(status),
        Err(error) => {
            eprintln!("error: prove could not be started: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The path of the built program: beside this program's own folder.
pub(crate) fn program(profile: &str) -> io::Result<PathBuf> {
    let own = env::current_exe()?;
    let target = own.parent().and_then(|profile| profile.parent());
    let target = target.ok_or_else(|| io::Error::other("this program is in no folder"))?;
    Ok(target.join(profile).join("prove"))
}
