//! The page's own checks: types, the logic without a browser, and scenarios of
//! people in real browsers on a real server. Also the README's screenshots.
//!
//! The page needs no Node, but its checks do. Their tools are installed below
//! `target`, in the versions of `web/package-lock.json`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::apt;
use crate::component::{Component, Components};

pub(crate) const NODE: Component =
    Component { name: "Node", install: "apt-get install nodejs npm (Node 20 or newer)", find: || has_node() };

pub(crate) const TOOLS: Component = Component {
    name: "the page's toolchain",
    install: "apt-get install npm; npm must reach its registry",
    find: || has_tools(),
};

pub(crate) const BROWSER: Component = Component {
    name: "Chromium",
    install: "apt-get install chromium, or set CHROMIUM to a browser's path",
    find: || has_browser(),
};

/// `cargo xtask page`: all checks of the page, or some scenarios only.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    if args.first().is_some_and(|task| task == "gallery") {
        return gallery(args.get(1).map(OsString::as_os_str).unwrap_or_default());
    }
    if args.iter().eq(["pace"]) {
        return pace();
    }
    let is_everything = args.is_empty();
    let selection = match Selection::parse(args) {
        Ok(selection) => selection,
        Err(sentence) => {
            eprintln!(
                "error: {sentence}\n\nUsage: cargo xtask page [--headed] [--name TEXT] [file ...]\n       cargo xtask page gallery [TEXT]\n       cargo xtask page pace"
            );
            return ExitCode::from(2);
        }
    };
    perform(|| {
        let mut checks = if is_everything { vec![types()?, logic()?] } else { Vec::new() };
        checks.push(scenarios(&selection)?);
        Ok(checks)
    })
}

/// `cargo xtask screenshots`: takes new pictures and a new recording for the README.
pub(crate) fn screenshots() -> ExitCode {
    perform(|| {
        let mut command = browser_command()?;
        command.arg(web().join("test/browser/screenshots.mjs"));
        Ok(vec![command])
    })
}

/// `cargo xtask page gallery`: a picture of every state, width, look and language below
/// `target/gallery`, or only of those whose width, look and language contain a text, such
/// as `phone-dark`. Each is checked by axe.
fn gallery(name: &OsStr) -> ExitCode {
    perform(|| {
        let mut command = browser_command()?;
        command.env("GALLERY", target()?.join("gallery")).env("GALLERY_NAME", name);
        command.args(["--test", "--test-reporter=spec"]).arg(web().join("test/browser/gallery.mjs"));
        Ok(vec![command])
    })
}

/// `cargo xtask page pace`: how busy a page is while 50 messages a second arrive. A benchmark with
/// a bound, for a quiet machine.
fn pace() -> ExitCode {
    perform(|| {
        let mut command = browser_command()?;
        command.args(["--test", "--test-reporter=spec"]).arg(web().join("test/browser/pace.mjs"));
        Ok(vec![command])
    })
}

/// The type check.
pub(crate) fn types() -> io::Result<Command> {
    let mut command = node_command()?;
    command.arg(tools()?.join("node_modules/typescript/bin/tsc")).arg("--project").arg(web());
    Ok(command)
}

/// The tests of the page's logic, without a browser.
pub(crate) fn logic() -> io::Result<Command> {
    let mut command = node_command()?;
    command.args(["--test", "--test-reporter=dot"]).args(files("test", ".test.js")?);
    Ok(command)
}

/// All scenarios in a browser. The server must have been built.
pub(crate) fn all_scenarios() -> io::Result<Command> {
    scenarios(&Selection::default())
}

/// Which scenarios to run in a browser, and how.
#[derive(Debug, Default, PartialEq, Eq)]
struct Selection {
    /// Whether the browser is visible.
    is_headed: bool,
    /// Only scenarios whose names contain this text.
    name: Option<String>,
    /// Only those files of `web/test/browser`, without `.test.mjs`; all if empty.
    files: Vec<OsString>,
}

impl Selection {
    fn parse(args: Vec<OsString>) -> Result<Self, String> {
        let mut selection = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.to_str() {
                Some("--headed") => selection.is_headed = true,
                Some("--name") => {
                    let name = args.next().and_then(|name| name.into_string().ok());
                    selection.name = Some(name.ok_or("--name needs a text")?);
                }
                Some(option) if option.starts_with('-') => {
                    return Err(format!("there is no option `{option}`"));
                }
                _ => selection.files.push(arg),
            }
        }
        Ok(selection)
    }

    /// The files among `all` that have selected scenarios.
    fn files_of(&self, all: Vec<PathBuf>) -> io::Result<Vec<PathBuf>> {
        let stem = |file: &Path| file.file_name().and_then(OsStr::to_str).unwrap_or_default().to_owned();
        let is = |file: &Path, wanted: &OsStr| {
            stem(file).strip_suffix(SCENARIOS).is_some_and(|stem| wanted == OsStr::new(stem))
        };
        if let Some(unknown) = self.files.iter().find(|wanted| !all.iter().any(|file| is(file, wanted))) {
            let known: Vec<String> = all.iter().map(|file| stem(file).replace(SCENARIOS, "")).collect();
            return Err(io::Error::other(format!(
                "there is no file of scenarios `{}`, only {}",
                unknown.display(),
                known.join(", ")
            )));
        }
        let mut files = all;
        files.retain(|file| self.files.is_empty() || self.files.iter().any(|wanted| is(file, wanted)));
        if let Some(name) = &self.name {
            // Node passes when no name matches; a typing error must not.
            files.retain(|file| fs::read_to_string(file).is_ok_and(|text| text.contains(name)));
            if files.is_empty() {
                return Err(io::Error::other(format!("no scenario's name contains `{name}`")));
            }
        }
        Ok(files)
    }
}

fn scenarios(selection: &Selection) -> io::Result<Command> {
    let mut command = browser_command()?;
    command.arg(web().join("test/browser/run.mjs"));
    if selection.is_headed {
        let has_display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| env::var_os(name).is_some());
        if cfg!(target_os = "linux") && !has_display {
            return Err(io::Error::other("a visible browser needs a display: DISPLAY is not set"));
        }
        command.env("HEADED", "1").arg("--concurrency=1");
    } else {
        // Several at once: people wait more than they work.
        command.arg("--concurrency=3");
    }
    if let Some(name) = &selection.name {
        command.arg(format!("--name={}", escaped(name)));
    }
    command.args(selection.files_of(files("test/browser", SCENARIOS)?)?);
    Ok(command)
}

/// A regular expression of JavaScript that matches this text.
fn escaped(text: &str) -> String {
    let mut pattern = String::new();
    for letter in text.chars() {
        if r"\^$.|?*+()[]{}/".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// Node, with the paths of the server, the tools and the browser.
fn browser_command() -> io::Result<Command> {
    let browser = browser().ok_or_else(|| io::Error::other("there is no Chromium"))?;
    let mut command = node_command()?;
    command.env("TEST_SERVER", target()?.join("debug/server")).env("TEST_TOOLS", tools()?);
    if let Some(light) = light_browser() {
        command.env("CHROMIUM_LIGHT", light);
    }
    command.env("CHROMIUM", browser).current_dir(crate::root());
    Ok(command)
}

pub(crate) fn node_command() -> io::Result<Command> {
    node().map(Command::new).ok_or_else(|| io::Error::other("there is no Node that is new enough"))
}

/// Looks for the components, builds the server, and runs commands one after
/// another, up to the first that fails.
fn perform(commands: impl FnOnce() -> io::Result<Vec<Command>>) -> ExitCode {
    let mut components = Components::default();
    if ![NODE, TOOLS, BROWSER].iter().all(|component| components.has(component)) {
        return ExitCode::FAILURE;
    }
    let run = |commands: Vec<Command>| {
        let mut build = crate::cargo();
        // With a test among them, cargo takes the features of the tests' build: little is built anew.
        build.args(["build", "--quiet", "--workspace", "--bin", "server", "--bin", "axum-host"]);
        build.args(["--test", "minimal"]);
        [build].into_iter().chain(commands).try_for_each(succeed)
    };
    match commands().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn succeed(mut command: Command) -> io::Result<()> {
    let status = command.status()?;
    let program = Path::new(command.get_program()).display().to_string();
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{program} ended with {status}"))) }
}

/// The files of a folder of `web` with this ending, in order.
fn files(folder: &str, ending: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(web().join(folder))? {
        let path = entry?.path();
        if path.to_str().is_some_and(|path| path.ends_with(ending)) {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Whether there is a Node that is new enough. As root on Debian it is installed
/// first; where Debian's own is too old, npm installs another.
fn has_node() -> bool {
    node().is_some()
        || (apt::install("Node", &["nodejs", "npm"])
            && (node().is_some() || (install_node() && node().is_some())))
}

/// Whether the tools are installed in the wanted versions; npm installs them.
fn has_tools() -> bool {
    node().is_some() && (are_tools_current() || (has_npm() && install_tools()))
}

/// Whether there is npm, which Debian packs apart from Node.
fn has_npm() -> bool {
    let is_present =
        || Command::new("npm").arg("--version").output().is_ok_and(|output| output.status.success());
    is_present() || (apt::install("npm", &["npm"]) && is_present())
}

/// Whether there is a browser. As root on Debian it is installed first, and so are a font for
/// emoji, without which the browser draws boxes, and one with the widths of Arial, without which
/// lines break elsewhere until the page's own font has come. Without the light browser the scenarios
/// take twice the time.
fn has_browser() -> bool {
    let is_present = browser().is_some() || (apt::install("Chromium", &["chromium"]) && browser().is_some());
    if is_present && light_browser().is_none() && env::var_os("CHROMIUM").is_none() {
        apt::install("Chromium without a window", &["chromium-headless-shell"]);
    }
    if is_present && !has_fonts(&["emoji", "liberation sans"]) {
        let fonts = &["fontconfig", "fonts-liberation", "fonts-noto-color-emoji"];
        apt::install("A font for emoji, or Liberation Sans,", fonts);
    }
    is_present
}

/// Whether `fc-list` shows fonts with these parts of names.
fn has_fonts(names: &[&str]) -> bool {
    let fonts = Command::new("fc-list").args([":", "family"]).output();
    fonts.is_ok_and(|output| {
        let list = String::from_utf8_lossy(&output.stdout).to_lowercase();
        names.iter().all(|name| list.contains(name))
    })
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
        && npm(&folder, &["install", "--no-save", &format!("node@{NODE_VERSION}")])
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
        && npm(&tools, &["ci", "--ignore-scripts"])
}

/// Runs npm in a folder. Returns whether it succeeded.
fn npm(folder: &Path, arguments: &[&str]) -> bool {
    let mut command = Command::new("npm");
    command.args(arguments).args(["--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder);
    command.status().is_ok_and(|status| status.success())
}

/// The browser: `$CHROMIUM`, or a program in `PATH` with one of the usual names.
fn browser() -> Option<PathBuf> {
    let named = env::var_os("CHROMIUM").map(PathBuf::from).filter(|program| program.is_file());
    named.or_else(|| in_path(&["chromium", "google-chrome", "google-chrome-stable", "chromium-browser"]))
}

/// The same browser without windows, menus and notifications, which takes half of the time. It plays
/// all scenarios that need none of these, unless `$CHROMIUM` names a browser for all.
fn light_browser() -> Option<PathBuf> {
    let is_named = env::var_os("CHROMIUM").is_some();
    if is_named { None } else { in_path(&["chromium-headless-shell", "chrome-headless-shell"]) }
}

/// The first program in `PATH` that has one of these names.
fn in_path(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found =
        names.iter().flat_map(|name| env::split_paths(&path).map(move |folder| folder.join(name)));
    found.find(|program| program.is_file())
}

fn web() -> PathBuf {
    crate::root().join("web")
}

/// The folder into which npm installs the tools.
pub(crate) fn tools() -> io::Result<PathBuf> {
    Ok(target()?.join("web"))
}

/// Cargo's target folder, which has this program.
pub(crate) fn target() -> io::Result<PathBuf> {
    let own = env::current_exe()?;
    let target = own.parent().and_then(Path::parent);
    target.map(Path::to_owned).ok_or_else(|| io::Error::other("this program is in no folder"))
}

/// The ending of files with scenarios.
const SCENARIOS: &str = ".test.mjs";
/// The oldest Node that the tools run on.
const NODE_MIN_MAJOR: u32 = 20;
/// The Node that npm installs where Debian's is older.
const NODE_VERSION: &str = "22";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Selection, String> {
        Selection::parse(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn scenarios_are_selected_by_file_and_name() {
        let selection = parse("--headed --name offline talk door").unwrap();
        let files = vec!["talk".into(), "door".into()];
        assert_eq!(selection, Selection { is_headed: true, name: Some("offline".into()), files });
        assert_eq!(parse(""), Ok(Selection::default()));
        assert_eq!(parse("--name"), Err("--name needs a text".to_owned()));
        assert_eq!(parse("--headless"), Err("there is no option `--headless`".to_owned()));
    }

    #[test]
    fn selected_files_exist() {
        let all = || files("test/browser", SCENARIOS).unwrap();
        assert_eq!(parse("").unwrap().files_of(all()).unwrap(), all());
        let talk = parse("talk").unwrap().files_of(all()).unwrap();
        assert!(talk.len() == 1 && talk[0].ends_with("test/browser/talk.test.mjs"), "{talk:?}");
        let error = parse("tlak").unwrap().files_of(all()).unwrap_err().to_string();
        assert!(error.starts_with("there is no file of scenarios `tlak`, only "), "{error}");
        let error = parse("--name no-such-name").unwrap().files_of(all()).unwrap_err();
        assert_eq!(error.to_string(), "no scenario's name contains `no-such-name`");
    }

    #[test]
    fn a_name_is_matched_as_it_is_written() {
        assert_eq!(escaped("who are you? (really)"), r"who are you\? \(really\)");
    }
}
