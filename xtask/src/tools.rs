//! Programs of Debian's packages that tests run beside the server.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::apt;
use crate::component::{Component, succeeds};

/// Without it, the alarms of `deploy/` are compared with the metrics, but not tried.
pub(crate) const PROMTOOL: Component = Component {
    name: "promtool",
    install: "apt-get install prometheus",
    find: || is_present("promtool", "prometheus"),
};

/// Without it, the filter of `deploy/fail2ban` is tried by the tests' own expressions only.
pub(crate) const FAIL2BAN: Component = Component {
    name: "fail2ban-regex",
    install: "apt-get install fail2ban",
    find: || is_present("fail2ban-regex", "fail2ban"),
};

/// Without it, slow clients are those of the tests only.
pub(crate) const SLOWHTTPTEST: Component = Component {
    name: "slowhttptest",
    install: "apt-get install slowhttptest",
    find: || is_present("slowhttptest", "slowhttptest"),
};

/// Whether the tests will find the program. As root on Debian, its package is unpacked into
/// `target/tools/debian` first, and not installed: two of them are services that would start.
fn is_present(program: &str, package: &str) -> bool {
    let unpacked = folder().join("usr/bin").join(program);
    let path = env::var_os("PATH").unwrap_or_default();
    let is_installed = env::split_paths(&path).any(|folder| folder.join(program).is_file());
    is_installed || unpacked.is_file() || (unpack(program, package) && unpacked.is_file())
}

fn unpack(program: &str, package: &str) -> bool {
    let packages = folder().join("packages").join(package);
    if !apt::may_install() || !apt::announce(program) || fs::create_dir_all(&packages).is_err() {
        return false;
    }
    let mut download = Command::new("apt-get");
    download.args(["-q", "download", package]).current_dir(&packages);
    if !apt::update() || !succeeds(&mut download) {
        return false;
    }
    fs::read_dir(&packages).into_iter().flatten().flatten().all(|found| {
        let mut unpack = Command::new("dpkg-deb");
        succeeds(unpack.arg("--extract").arg(found.path()).arg(folder()))
    })
}

fn folder() -> PathBuf {
    crate::root().join("target/tools/debian")
}
