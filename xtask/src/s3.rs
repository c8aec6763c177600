//! The S3-compatible server that tests start for themselves.

use std::env;
use std::path::PathBuf;

use crate::component::{Component, succeeds};

/// Without it, files are tested in folders only, and the tests say so.
pub(crate) const S3: Component = Component {
    name: "s3s-fs",
    install: "cargo install s3s-fs --version 0.14.1 --locked --features binary --debug --root target/tools",
    find: is_present,
};

/// Whether the tests will find the server. It is compiled if it is missing, which takes two
/// minutes, once: as a dependency of the tests it would be compiled with each of them.
fn is_present() -> bool {
    let named = env::var_os("S3S_FS").map(PathBuf::from);
    let program = || crate::root().join("target/tools/bin/s3s-fs").is_file();
    named.is_some_and(|named| named.is_file()) || program() || (install() && program())
}

fn install() -> bool {
    println!("\n==> s3s-fs is missing: installing it into target/tools");
    let mut command = crate::cargo();
    succeeds(command.args(S3.install.split(' ').skip(1)).current_dir(crate::root()))
}
