//! The clients of `sdk/` and `docs/`, on the server that was built: the npm package, the bot in
//! Python, and browsers that are notified through a push service of others.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::component::{Component, succeeds};
use crate::page;

pub(crate) const PYTHON: Component =
    Component { name: "Python", install: "apt-get install python3 (3.11 or newer)", find: has_python };

/// The tests of `sdk/test`. The server must have been built.
pub(crate) fn tests() -> io::Result<Command> {
    let mut command = page::node_command()?;
    command.env("TEST_SERVER", page::target()?.join("debug/server")).env("TEST_TOOLS", page::tools()?);
    // Node 20 has its WebSocket behind this flag.
    command.args(["--experimental-websocket", "--test", "--test-reporter=dot"]).args(files()?);
    Ok(command)
}

fn files() -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(crate::root().join("sdk/test"))? {
        let path = entry?.path();
        if path.to_str().is_some_and(|path| path.ends_with(".test.mjs")) {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn has_python() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import sys; sys.exit(sys.version_info < (3, 11))"]);
    succeeds(python.stdout(Stdio::null()).stderr(Stdio::null()))
}
