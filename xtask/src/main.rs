//! The project's tasks, run as `cargo xtask <task>`. The standard library is
//! all they need, so that the first run does not wait for a build.

mod apt;
mod migrate;
mod page;
mod postgres;
mod prove;
mod simulate;
mod test;

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    match Task::parse(env::args_os().skip(1)) {
        Ok(Task::Help) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Task::Test) => test::run(),
        Ok(Task::Page { stories }) => page::run(&stories),
        Ok(Task::Screenshots) => page::screenshots(),
        Ok(Task::Migrate { args }) => migrate::run(args),
        Ok(Task::Prove { args }) => prove::run(args),
        Ok(Task::Simulate { args }) => simulate::run(args),
        Err(UsageError(sentence)) => {
            eprint!("error: {sentence}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

const HELP: &str = "\
Usage: cargo xtask <task>

Tasks:
  test                            all checks: format, lints, docs, tests, simulator
  page [story ...]                the page's checks; with names, these stories in the browser
  screenshots                     takes the README's pictures of the page anew
  migrate [up|down|status] [...]  the database's schema, as `server migrate`
  prove [--release] <story> [...] proof on the real server: `prove help` lists the stories
  simulate [--seeds N] [...]      a whole chat under faults: `simulate --help` lists the options
  help                            this list
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Help,
    Test,
    Screenshots,
    /// `stories` are files of `web/test/browser`.
    Page {
        stories: Vec<OsString>,
    },
    /// `args` are the server's to understand.
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
}

/// A command line that names no task, in a sentence for whoever typed it.
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
            Some("migrate") => return Ok(Self::Migrate { args }),
            Some("prove") => return Ok(Self::Prove { args }),
            Some("simulate") => return Ok(Self::Simulate { args }),
            Some("page") => return Ok(Self::Page { stories: args }),
            Some("screenshots") => Self::Screenshots,
            Some("test") => Self::Test,
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

/// The cargo that runs this, and not another one that comes first in `PATH`.
fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Task, String> {
        Task::parse(line.split_whitespace().map(OsString::from)).map_err(|UsageError(sentence)| sentence)
    }

    #[test]
    fn tasks_are_named() {
        assert_eq!(parse("test"), Ok(Task::Test));
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
    fn what_is_no_task_is_named_in_the_error() {
        assert_eq!(parse(""), Err("no task was named".to_owned()));
        assert_eq!(parse("tset"), Err("there is no task `tset`".to_owned()));
        assert_eq!(parse("test fast"), Err("`test` takes no arguments, but got `fast`".to_owned()));
    }

    #[test]
    fn the_help_lists_every_task() {
        for task in ["test", "page", "screenshots", "migrate", "prove", "simulate", "help"] {
            assert!(HELP.lines().any(|line| line.trim_start().starts_with(task)), "{task}");
        }
    }
}
