//! The page's own checks: types, the logic without a browser, and stories of
//! people in real browsers at a real server. Also its pictures for the README.
//!
//! The page needs no Node; its checks do. What they need is installed below
//! `target`, at the versions of `web/package-lock.json`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::apt;

/// How to get what this program cannot.
pub(crate) const INSTALL_NODE: &str = "apt-get install nodejs npm (Node 20 or newer)";
pub(crate) const INSTALL_TOOLS: &str = "npm must reach its registry";
pub(crate) const INSTALL_BROWSER: &str = "apt-get install chromium, or set CHROMIUM";

/// `cargo xtask page`: all checks of the page, or the named stories alone.
pub(crate) fn run(stories: &[OsString]) -> ExitCode {
    let checks: &[fn() -> io::Result<Command>] =
        if stories.is_empty() { &[types, logic, all_stories] } else { &[] };
    perform(|| {
        for check in checks {
            succeed(check()?)?;
        }
        if checks.is_empty() { succeed(tell(files("test/browser", ".test.mjs", stories)?)?) } else { Ok(()) }
    })
}

/// `cargo xtask screenshots`: takes them anew.
pub(crate) fn screenshots() -> ExitCode {
    perform(|| {
        let mut command = stage()?;
        command.arg(web().join("test/browser/screenshots.mjs"));
        succeed(command)
    })
}

/// Whether there is a Node that is new enough. As root on Debian it is installed
/// first; where Debian's own is too old, npm has another.
pub(crate) fn has_node() -> bool {
    node().is_some()
        || (install("Node", &["nodejs", "npm"]) && (node().is_some() || (install_node() && node().is_some())))
}

/// Whether the tools are there, which npm installs.
pub(crate) fn has_tools() -> bool {
    has_node() && (are_tools_current() || install_tools())
}

/// Whether there are a browser and the tools to drive it.
pub(crate) fn has_browser() -> bool {
    has_tools()
        && (browser().is_some()
            || (install("Chromium", &["chromium", "fonts-noto-color-emoji"]) && browser().is_some()))
}

/// The type check.
pub(crate) fn types() -> io::Result<Command> {
    let mut command = node_command()?;
    command.arg(tools()?.join("node_modules/typescript/bin/tsc")).arg("--project").arg(web());
    Ok(command)
}

/// The rules of the page, without a browser.
pub(crate) fn logic() -> io::Result<Command> {
    let mut command = node_command()?;
    command.args(["--test", "--test-reporter=dot"]).args(files("test", ".test.js", &[])?);
    Ok(command)
}

/// All stories in a browser. The server must have been built.
pub(crate) fn all_stories() -> io::Result<Command> {
    tell(files("test/browser", ".test.mjs", &[])?)
}

fn tell(files: Vec<PathBuf>) -> io::Result<Command> {
    let mut command = stage()?;
    // Some at once: people wait more than they work.
    command.args(["--test", "--test-reporter=spec", "--test-concurrency=3"]).args(files);
    Ok(command)
}

/// Node, told where the server, the tools and the browser are.
fn stage() -> io::Result<Command> {
    let browser = browser().ok_or_else(|| io::Error::other("there is no Chromium"))?;
    let mut command = node_command()?;
    command.env("CHAT_SERVER", target()?.join("debug/server")).env("CHAT_TOOLS", tools()?);
    command.env("CHROMIUM", browser).current_dir(crate::test::root());
    Ok(command)
}

fn node_command() -> io::Result<Command> {
    node().map(Command::new).ok_or_else(|| io::Error::other("there is no Node that is new enough"))
}

/// Builds the server and does something with it.
fn perform(act: impl FnOnce() -> io::Result<()>) -> ExitCode {
    let mut build = crate::cargo();
    build.args(["build", "--quiet", "--package", "server"]);
    let done = succeed(build).and_then(|()| {
        if has_browser() {
            act()
        } else {
            Err(io::Error::other(format!("{INSTALL_NODE}; {INSTALL_BROWSER}")))
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn succeed(mut command: Command) -> io::Result<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("it ended with {status}"))) }
}

/// The files of a folder with that ending, in order; of those, the ones named.
fn files(folder: &str, ending: &str, names: &[OsString]) -> io::Result<Vec<PathBuf>> {
    let folder = web().join(folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(ending));
        if stem.is_some_and(|stem| names.is_empty() || names.iter().any(|name| name == OsStr::new(stem))) {
            files.push(folder.join(name));
        }
    }
    files.sort_unstable();
    if files.len() < names.len() {
        return Err(io::Error::other(format!("{} has no such story", folder.display())));
    }
    Ok(files)
}

/// The Node in `PATH`, or the one that npm installed, if it is new enough.
fn node() -> Option<PathBuf> {
    let own = target().ok().map(|target| target.join("node/node_modules/node/bin/node"));
    [Some(PathBuf::from("node")), own].into_iter().flatten().find(|node| {
        let version = Command::new(node).arg("--version").output();
        let version = version.ok().and_then(|output| String::from_utf8(output.stdout).ok());
        let major = version
            .as_deref()
            .and_then(|text| text.trim().strip_prefix('v')?.split('.').next()?.parse().ok());
        major.is_some_and(|major: u32| major >= NODE_MIN_MAJOR)
    })
}

fn install_node() -> bool {
    println!("\n==> Debian's Node is too old: installing another below target");
    let Ok(folder) = target().map(|target| target.join("node")) else { return false };
    fs::create_dir_all(&folder).is_ok()
        && npm(&folder, &["install", "--no-save", &format!("node@{NODE_VERSION}")]).is_some()
}

fn are_tools_current() -> bool {
    let Ok(tools) = tools() else { return false };
    let installed = fs::read(tools.join("node_modules/.package-lock.json"));
    let wanted = fs::read(web().join("package-lock.json"));
    let copied = fs::read(tools.join("package-lock.json"));
    installed.is_ok() && wanted.is_ok_and(|wanted| copied.is_ok_and(|copied| copied == wanted))
}

fn install_tools() -> bool {
    let Ok(tools) = tools() else { return false };
    println!("\n==> installing the page's tools into {}", tools.display());
    fs::create_dir_all(&tools).is_ok()
        && ["package.json", "package-lock.json"]
            .iter()
            .all(|file| fs::copy(web().join(file), tools.join(file)).is_ok())
        && npm(&tools, &["ci", "--ignore-scripts"]).is_some()
}

/// Runs npm in a folder, with the Node that was found.
fn npm(folder: &Path, arguments: &[&str]) -> Option<()> {
    let mut command = Command::new("npm");
    command.args(arguments).args(["--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder);
    command.status().ok()?.success().then_some(())
}

/// The browser: `$CHROMIUM`, or one of its usual names.
fn browser() -> Option<PathBuf> {
    let named = env::var_os("CHROMIUM").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "google-chrome", "google-chrome-stable", "chromium-browser"];
    let found = names.iter().flat_map(|name| env::split_paths(&path).map(move |folder| folder.join(name)));
    named.into_iter().chain(found).find(|program| program.is_file())
}

fn install(what: &str, packages: &[&str]) -> bool {
    if !apt::is_here() {
        return false;
    }
    println!("\n==> {what} is missing: installing it");
    apt::update() && apt::install(packages)
}

fn web() -> PathBuf {
    crate::test::root().join("web")
}

/// Where npm puts the tools.
fn tools() -> io::Result<PathBuf> {
    Ok(target()?.join("web"))
}

/// Cargo's folder, in which this program is, too.
fn target() -> io::Result<PathBuf> {
    let own = env::current_exe()?;
    let target = own.parent().and_then(Path::parent);
    target.map(Path::to_owned).ok_or_else(|| io::Error::other("this program is in no folder"))
}

/// The oldest that the tools run on.
const NODE_MIN_MAJOR: u32 = 20;
/// What npm installs where Debian's is older.
const NODE_VERSION: &str = "22";
