//! The project's tasks, run as `cargo xtask <task>`. They need nothing but the
//! standard library, so that the first run does not wait for a build.

mod apt;
mod bench;
mod component;
mod fuzz;
mod migrate;
mod packages;
mod page;
mod postgres;
mod prove;
#[cfg(test)]
mod release;
mod s3;
mod sdk;
mod simulate;
mod test;
mod tools;

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

fn main() -> ExitCode {
    match Task::parse(env::args_os().skip(1)) {
        Ok(Task::Help) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Task::Test { args }) => test::run(&args),
        Ok(Task::Page { args }) => page::run(args),
        Ok(Task::Screenshots) => page::screenshots(),
        Ok(Task::Migrate { args }) => migrate::run(args),
        Ok(Task::Prove { args }) => prove::run(args),
        Ok(Task::Simulate { args }) => simulate::run(args),
        Ok(Task::Fuzz { args }) => fuzz::run(args),
        Ok(Task::Bench { args }) => bench::run(args),
        Err(UsageError(sentence)) => {
            eprint!("error: {sentence}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

const HELP: &str = "\
Usage: cargo xtask <task>

Tasks:
  test [step ...]                 all checks, or the named steps; `test --list` lists the steps
  page [file ...]                 the page's checks; with files of web/test/browser, only their scenarios
       [--name TEXT] [--headed]   only scenarios with TEXT in the name; in a visible browser
  page gallery [TEXT]             pictures of every state, width, look and language below target/gallery
  page pace                       how busy a page is while 50 messages a second arrive, on a quiet machine
  screenshots                     takes new pictures and a new recording for the README
  migrate [up|down|status] [...]  the database's schema, as `server migrate`
  prove [--release] <scenario>    a scenario on the real server; `prove help` lists them
  simulate [--seeds N] [...]      whole chats under faults; `simulate --help` lists the options
  bench [SCENARIO] [...]          the server beside Bun, Node and a bare floor; `bench --list` lists the scenarios
  fuzz TARGET [--seconds N]       damaged inputs for a parser; without a target, the list of them
  help                            this list
";

/// The task that the command line names.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Help,
    Screenshots,
    /// `args` are steps, or `--list`.
    Test {
        args: Vec<OsString>,
    },
    /// `args` select scenarios.
    Page {
        args: Vec<OsString>,
    },
    /// `args` are those of `server migrate`.
    Migrate {
        args: Vec<OsString>,
    },
    /// `args` are those of `bins/prove`.
    Prove {
        args: Vec<OsString>,
    },
    /// `args` are those of `crates/chat-simulator`.
    Simulate {
        args: Vec<OsString>,
    },
    /// `args` are those of `load bench`.
    Bench {
        args: Vec<OsString>,
    },
    /// `args` are those of `bins/fuzz`.
    Fuzz {
        args: Vec<OsString>,
    },
}

/// A command line that names no task, in a sentence for the person who typed it.
#[derive(Debug, PartialEq, Eq)]
struct UsageError(String);

impl Task {
    fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let mut args = args.into_iter();
        let Some(name) = args.next() else {
            return Err(UsageError("no task was named".to_owned()));
        };
        let args: Vec<OsString> = args.collect();
        let task = match name.to_str() {
            Some("test") => return Ok(Self::Test { args }),
            Some("page") => return Ok(Self::Page { args }),
            Some("migrate") => return Ok(Self::Migrate { args }),
            Some("prove") => return Ok(Self::Prove { args }),
            Some("simulate") => return Ok(Self::Simulate { args }),
            Some("bench") => return Ok(Self::Bench { args }),
            Some("fuzz") => return Ok(Self::Fuzz { args }),
            Some("screenshots") => Self::Screenshots,
            Some("help" | "--help" | "-h") => Self::Help,
            _ => return Err(UsageError(format!("there is no task `{}`", name.display()))),
        };
        match args.first() {
            None => Ok(task),
            Some(extra) => Err(UsageError(format!(
                "`{}` takes no arguments, but got `{}`",
                name.display(),
                extra.display()
            ))),
        }
    }
}

/// The root of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

/// The cargo that runs this program, rather than another one that comes first in
/// `PATH`.
fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Builds and runs a program of the workspace: `cargo run` with `options`, then
/// the program's own `args`.
fn run_package(options: &[&str], args: Vec<OsString>) -> ExitCode {
    match cargo().args(["run", "--quiet"]).args(options).args(args).status() {
        Ok(status) => exit_code(status),
        Err(error) => {
            eprintln!("error: cargo could not be started: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Passes on the exit code of a program, which has printed its own error.
fn exit_code(status: ExitStatus) -> ExitCode {
    if status.success() {
        return ExitCode::SUCCESS;
    }
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) => ExitCode::from(code),
        None => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Task, String> {
        Task::parse(line.split_whitespace().map(OsString::from)).map_err(|UsageError(sentence)| sentence)
    }

    #[test]
    fn tasks_are_named() {
        assert_eq!(parse("test"), Ok(Task::Test { args: vec![] }));
        assert_eq!(parse("test lints"), Ok(Task::Test { args: vec!["lints".into()] }));
        for help in ["help", "--help", "-h"] {
            assert_eq!(parse(help), Ok(Task::Help));
        }
    }

    #[test]
    fn migrate_passes_everything_on() {
        assert_eq!(parse("migrate"), Ok(Task::Migrate { args: vec![] }));
        let args = ["down", "--help", "--", "test"].map(OsString::from).to_vec();
        assert_eq!(parse("migrate down --help -- test"), Ok(Task::Migrate { args }));
    }

    #[test]
    fn prove_passes_everything_on() {
        let args = ["kill", "--kills", "100"].map(OsString::from).to_vec();
        assert_eq!(parse("prove kill --kills 100"), Ok(Task::Prove { args }));
    }

    #[test]
    fn an_unknown_task_is_named_in_the_error() {
        assert_eq!(parse(""), Err("no task was named".to_owned()));
        assert_eq!(parse("tset"), Err("there is no task `tset`".to_owned()));
        let sentence = "`screenshots` takes no arguments, but got `fast`".to_owned();
        assert_eq!(parse("screenshots fast"), Err(sentence));
    }

    #[test]
    fn the_help_lists_every_task() {
        for task in ["test", "page", "screenshots", "migrate", "prove", "simulate", "fuzz", "help"] {
            assert!(HELP.lines().any(|line| line.trim_start().starts_with(task)), "{task}");
        }
    }
}
