//! Servers of others that tests start for themselves.

use std::env;
use std::path::Path;

use crate::apt;
use crate::component::Component;

/// A certificate authority for tests. Without it, ACME is not tested, and the tests say so.
pub(crate) const PEBBLE: Component =
    Component { name: "Pebble", install: "apt-get install pebble", find: || is_present("Pebble", "pebble") };

/// Without it, its example in `docs/proxy.md` is not tested, and the tests say so.
pub(crate) const NGINX: Component =
    Component { name: "nginx", install: "apt-get install nginx", find: || is_present("nginx", "nginx") };

/// Likewise.
pub(crate) const CADDY: Component =
    Component { name: "Caddy", install: "apt-get install caddy", find: || is_present("Caddy", "caddy") };

/// Whether the tests will find a program, which is in the package of the same name.
fn is_present(name: &str, program: &str) -> bool {
    let is_there = || {
        let path = env::var_os("PATH").unwrap_or_default();
        let is_in = |folder: &Path| folder.join(program).is_file();
        env::split_paths(&path).any(|folder| is_in(&folder)) || is_in(Path::new("/usr/sbin"))
    };
    is_there() || (apt::install(name, &[program]) && is_there())
}
