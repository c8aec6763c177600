//! Debian's packages, for components that a machine lacks.

use std::path::Path;
use std::process::Command;

/// Whether this program installs missing components by itself: as root on Debian.
pub(crate) fn may_install() -> bool {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    is_root && Path::new("/usr/bin/apt-get").exists()
}

/// Whether packages can be downloaded and unpacked, which nobody has to be root for.
pub(crate) fn may_download() -> bool {
    Path::new("/usr/bin/apt-get").exists()
}

/// Installs packages, if that is allowed here. `what` names them for people.
pub(crate) fn install(what: &str, packages: &[&str]) -> bool {
    may_install() && announce(what) && update() && get_packages(packages)
}

/// Prints that a component is about to be installed. Always true, to be chained.
pub(crate) fn announce(what: &str) -> bool {
    println!("\n==> {what} is missing: installing it");
    true
}

/// Fetches the newest lists of packages.
pub(crate) fn update() -> bool {
    apt_get(&["update"])
}

/// Installs packages, without those that they merely recommend.
pub(crate) fn get_packages(packages: &[&str]) -> bool {
    apt_get(&[&["install", "-y", "--no-install-recommends"], packages].concat())
}

fn apt_get(arguments: &[&str]) -> bool {
    let mut command = Command::new("apt-get");
    command.arg("-q").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command.status().is_ok_and(|status| status.success())
}
