//! `cargo xtask bench`: the server beside others. Builds it and `load` optimised, and fetches Bun and
//! the package `ws`, which nothing else of the project needs.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::page;

/// Runs `load bench` with `args`.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    match bench(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(args: Vec<OsString>) -> io::Result<ExitCode> {
    let target = page::target()?;
    let mut build = crate::cargo();
    build.args(["build", "--release", "--package", "server", "--package", "load"]);
    if !build.status()?.success() {
        return Ok(ExitCode::FAILURE);
    }
    let mut load = Command::new(target.join("release/load"));
    load.arg("bench").arg("--out").arg(target.join("bench"));
    match peers(&target.join("bench/peers")) {
        Ok(folder) => drop(load.arg("--peers").arg(folder)),
        Err(error) => eprintln!("Bun and Node are left out: {error}"),
    }
    Ok(crate::exit_code(load.args(args).status()?))
}

/// The other servers with what they need, in a folder.
fn peers(folder: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    for file in fs::read_dir(crate::root().join("bins/load/peers"))? {
        let file = file?;
        fs::copy(file.path(), folder.join(file.file_name()))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder);
    if npm.status()?.success() {
        Ok(folder.to_owned())
    } else {
        Err(io::Error::other("npm could not install them (apt-get install nodejs npm)"))
    }
}
