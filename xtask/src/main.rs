//! The project's tasks, run as `cargo xtask <task>`. The standard library is
//! all they need, so that the first run does not wait for a build.

mod migrate;
mod postgres;
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
        Ok(Task::Migrate { args }) => migrate::run(args),
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
  migrate [up|down|status] [...]  the database's schema, as `server migrate`
  help                            this list
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Help,
    Test,
    /// `args` are the server's to understand.
    Migrate {
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
    fn what_is_no_task_is_named_in_the_error() {
        assert_eq!(parse(""), Err("no task was named".to_owned()));
        assert_eq!(parse("tset"), Err("there is no task `tset`".to_owned()));
        assert_eq!(parse("test fast"), Err("`test` takes no arguments, but got `fast`".to_owned()));
    }

    #[test]
    fn the_help_lists_every_task() {
        for task in ["test", "migrate", "help"] {
            assert!(HELP.lines().any(|line| line.trim_start().starts_with(task)), "{task}");
        }
    }
}
