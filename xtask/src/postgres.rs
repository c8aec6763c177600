//! The Postgres that tests start for themselves.

use std::env;
use std::fs;

use crate::apt;
use crate::component::Component;

/// Without it, tests and `prove` run on SQLite and memory only, and say so.
pub(crate) const POSTGRES: Component = Component {
    name: "Postgres",
    install: "apt-get install postgresql, or set PG_BIN or TEST_DATABASE_URL",
    find: is_present,
};

/// Whether the tests will find a Postgres. As root on Debian it is installed
/// first, without the cluster that Debian would otherwise create and start.
fn is_present() -> bool {
    env::var_os("TEST_DATABASE_URL").is_some() || has_programs() || (install() && has_programs())
}

/// Looks for `initdb` in `$PG_BIN`, in `$PATH` and in Debian's folders, as the
/// tests do.
fn has_programs() -> bool {
    let named = env::var_os("PG_BIN").map(Into::into);
    let path = env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = debian.map(|version| version.path().join("bin"));
    let mut folders = named.into_iter().chain(env::split_paths(&path)).chain(debian);
    folders.any(|folder| folder.join("initdb").is_file())
}

fn install() -> bool {
    apt::may_install()
        && apt::announce("Postgres")
        && apt::update()
        && apt::get_packages(&["postgresql-common"])
        && fs::create_dir_all(CLUSTER_SETTINGS).is_ok()
        && fs::write(format!("{CLUSTER_SETTINGS}/no-main.conf"), "create_main_cluster = false\n").is_ok()
        && apt::get_packages(&["postgresql"])
}

/// The folder of Debian's settings for new clusters.
const CLUSTER_SETTINGS: &str = "/etc/postgresql-common/createcluster.d";
