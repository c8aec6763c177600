//! Postgres for the tests: its programs, installed where that is possible.

use std::env;
use std::fs;

use crate::apt;

/// How to get it where this program cannot.
pub(crate) const INSTALL: &str = "apt-get install postgresql, or set PG_BIN or TEST_DATABASE_URL";

/// Whether the tests will find a Postgres. As root on Debian it is installed
/// first, without the cluster that Debian would otherwise make and start.
pub(crate) fn is_present() -> bool {
    env::var_os("TEST_DATABASE_URL").is_some() || has_programs() || (install() && has_programs())
}

/// `initdb` in `$PG_BIN`, in `$PATH` or where Debian puts it: where the tests look, too.
fn has_programs() -> bool {
    let named = env::var_os("PG_BIN").map(Into::into);
    let path = env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = debian.map(|version| version.path().join("bin"));
    let mut folders = named.into_iter().chain(env::split_paths(&path)).chain(debian);
    folders.any(|folder| folder.join("initdb").is_file())
}

fn install() -> bool {
    if !apt::is_here() {
        return false;
    }
    println!("\n==> Postgres is missing: installing it");
    apt::update()
        && apt::install(&["postgresql-common"])
        && fs::create_dir_all(CLUSTERS).is_ok()
        && fs::write(format!("{CLUSTERS}/no-main.conf"), "create_main_cluster = false\n").is_ok()
        && apt::install(&["postgresql"])
}

/// Debian's settings for new clusters.
const CLUSTERS: &str = "/etc/postgresql-common/createcluster.d";
