//! Debian's packages, for what a machine lacks.

use std::path::Path;
use std::process::Command;

/// Whether this program may install packages here: as root, on Debian.
pub(crate) fn is_here() -> bool {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    is_root && Path::new("/usr/bin/apt-get").exists()
}

/// Asks for the newest lists of packages.
pub(crate) fn update() -> bool {
    get(&["update"])
}

pub(crate) fn install(packages: &[&str]) -> bool {
    get(&[&["install", "-y", "--no-install-recommends"], packages].concat())
}

fn get(arguments: &[&str]) -> bool {
    let mut command = Command::new("apt-get");
    command.arg("-q").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command.status().is_ok_and(|status| status.success())
}
