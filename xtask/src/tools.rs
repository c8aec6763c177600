//! Programs of others that tests run beside the server, or against it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// A certificate authority for tests. Without it, ACME is not tested, and the tests say so.
pub(crate) const PEBBLE: Component =
    Component { name: "Pebble", install: "apt-get install pebble", find: || is_present("pebble", "pebble") };

/// Without it, its example in `docs/proxy.md` is not tested, and the tests say so.
pub(crate) const NGINX: Component =
    Component { name: "nginx", install: "apt-get install nginx", find: || is_present("nginx", "nginx") };

/// Likewise.
pub(crate) const CADDY: Component =
    Component { name: "Caddy", install: "apt-get install caddy", find: || is_present("caddy", "caddy") };

/// The bus between servers. Without it, that is not tested, and the tests say so.
pub(crate) const NATS: Component = Component {
    name: "nats-server",
    install: "apt-get install nats-server",
    find: || is_present("nats-server", "nats-server"),
};

/// Counts the processor's instructions. It is no service, and looks for its parts where the package has them.
pub(crate) const VALGRIND: Component = Component {
    name: "valgrind",
    install: "apt-get install valgrind",
    find: || is_installed("valgrind") || apt::install("valgrind", &["valgrind"]),
};

/// Autobahn's cases of RFC 6455. Without it, frames are tested by the tests' own cases only.
pub(crate) const KOSOKU: Component = Component {
    name: "kosoku",
    install: "pip install kosoku==0.1.0",
    find: || is_there_with_pip("kosoku", KOSOKU.install),
};

/// Makes requests from `docs/openapi.yaml`.
pub(crate) const SCHEMATHESIS: Component = Component {
    name: "schemathesis",
    install: "pip install schemathesis==4.32.5",
    find: || is_there_with_pip("schemathesis", SCHEMATHESIS.install),
};

/// Whether the tests will find the program. On Debian, its package is unpacked into
/// `target/tools/debian` first, and not installed: most of them are services that would start.
fn is_present(program: &str, package: &str) -> bool {
    let is_unpacked = || ["usr/bin", "usr/sbin"].iter().any(|bin| folder().join(bin).join(program).is_file());
    is_installed(program) || is_unpacked() || (unpack(program, package) && is_unpacked())
}

/// Whether a program is in `$PATH`, or in `/usr/sbin`, which only root has there.
fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.any(|folder| folder.join(program).is_file())
}

fn unpack(program: &str, package: &str) -> bool {
    let packages = folder().join("packages").join(package);
    if !apt::may_download() || !apt::announce(program) || fs::create_dir_all(&packages).is_err() {
        return false;
    }
    let mut download = Command::new("apt-get");
    download.args(["-q", "download", package]).current_dir(&packages);
    // The lists may be there already, or only root may fetch them.
    if !(succeeds(&mut download) || (apt::may_install() && apt::update() && succeeds(&mut download))) {
        return false;
    }
    fs::read_dir(&packages).into_iter().flatten().flatten().all(|found| {
        let mut unpack = Command::new("dpkg-deb");
        succeeds(unpack.arg("--extract").arg(found.path()).arg(folder()))
    })
}

/// Whether a program in Python is there, after `install`, in an environment of its own below
/// `target/tools`, if it was missing.
fn is_there_with_pip(program: &str, install: &str) -> bool {
    let folder = crate::root().join("target/tools").join(program);
    let is_there = || folder.join("bin").join(program).is_file();
    is_there() || is_installed(program) || (install_with_pip(program, install, &folder) && is_there())
}

/// On Debian, Python has `venv` in a package of its own.
fn install_with_pip(program: &str, install: &str, folder: &Path) -> bool {
    let make = || {
        let mut python = Command::new("python3");
        python.args(["-m", "venv"]).arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
        succeeds(&mut python)
    };
    let mut pip = Command::new(folder.join("bin/pip"));
    apt::announce(program)
        && (make() || (apt::may_install() && apt::install("python3-venv", &["python3-venv"]) && make()))
        && succeeds(pip.args(["--quiet"]).args(install.split(' ').skip(1)))
}

fn folder() -> PathBuf {
    crate::root().join("target/tools/debian")
}
