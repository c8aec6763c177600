//! Programs that some tests need, from Debian's packages.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// A program of a package: in `$PATH`, or where `cargo xtask test` unpacks it. `None`, and a loud
/// line, if it is missing; an error where `CI=true`.
pub(crate) fn tool(program: &str, package: &str) -> Option<Command> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/debian");
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Only root has `/usr/sbin` in its path.
    let further = ["/usr/sbin".into(), unpacked.join("usr/bin"), unpacked.join("usr/sbin")];
    let mut folders = std::env::split_paths(&path).chain(further);
    let found = folders.find_map(|folder| Some(folder.join(program)).filter(|path| path.is_file()));
    let Some(found) = found else {
        // Not captured by the harness of tests.
        writeln!(std::io::stderr().lock(), "NOT RUN: {program} is missing: apt-get install {package}")
            .unwrap();
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{program} is missing");
        return None;
    };
    let mut command = Command::new(found);
    command.env("PYTHONPATH", unpacked.join("usr/lib/python3/dist-packages"));
    Some(command)
}
