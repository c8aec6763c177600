//! `cargo xtask test`: everything that must hold before a change is taken.

use std::env;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::{page, postgres, prove};

/// Runs all steps up to the first that fails, then says what became of each.
pub(crate) fn run() -> ExitCode {
    let is_ci = env::var("CI").is_ok_and(|value| value == "true");
    let report = Report::of(STEPS, Step::perform);
    println!("\n{report}");
    match report.verdict(is_ci) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// In this order: what is quick to fail comes first.
const STEPS: &[Step] = &[
    Step { needs: Some(RUSTFMT), ..Step::new("format", &["fmt", "--all", "--check"]) },
    Step {
        needs: Some(CLIPPY),
        ..Step::new("lints", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])
    },
    Step { env: DENY_DOC_WARNINGS, ..Step::new("docs", &["doc", "--workspace", "--no-deps"]) },
    Step {
        env: DENY_DOC_WARNINGS,
        ..Step::new("private docs", &["doc", "--workspace", "--no-deps", "--document-private-items"])
    },
    Step { wants: Some(POSTGRES), ..Step::new("tests", &["test", "--workspace"]) },
    // Three thousand runs; `cargo xtask simulate` has time for more.
    Step::new(
        "simulator",
        &["run", "--profile", "simulate", "--package", "chat-simulator", "--", "--seeds", "3000"],
    ),
    // Each planted bug must be caught, or the simulator proves nothing.
    Step::new(
        "planted bugs",
        &["test", "--profile", "simulate", "--package", "chat-simulator", "--features", "planted-bugs"],
    ),
    Step::new("build", &["build", "--package", "server", "--package", "prove"]),
    // KILL behind a bad network; the long runs are `cargo xtask prove`'s own.
    Step { program: PROVE, wants: Some(POSTGRES), ..Step::new("prove", &["quick"]) },
    Step {
        program: Program { name: "tsc", command: page::types },
        needs: Some(TOOLS),
        ..Step::new("page types", &[])
    },
    Step {
        program: Program { name: "node", command: page::logic },
        needs: Some(NODE),
        ..Step::new("page logic", &[])
    },
    // People in browsers, at the server that was built above.
    Step {
        program: Program { name: "node", command: page::all_stories },
        needs: Some(BROWSER),
        ..Step::new("page stories", &[])
    },
];

const CARGO: Program = Program { name: "cargo", command: || Ok(crate::cargo()) };
const PROVE: Program = Program { name: "prove", command: || prove::program("debug").map(Command::new) };

const DENY_DOC_WARNINGS: &[(&str, &str)] = &[("RUSTDOCFLAGS", "-D warnings")];

const RUSTFMT: Component =
    Component { name: "rustfmt", install: "rustup component add rustfmt", is_present: || cargo_has("fmt") };
/// The tests run without it, and say which stories they left out.
const POSTGRES: Component =
    Component { name: "Postgres", install: postgres::INSTALL, is_present: postgres::is_present };
const CLIPPY: Component =
    Component { name: "clippy", install: "rustup component add clippy", is_present: || cargo_has("clippy") };

const NODE: Component = Component { name: "Node", install: page::INSTALL_NODE, is_present: page::has_node };
const TOOLS: Component =
    Component { name: "TypeScript", install: page::INSTALL_TOOLS, is_present: page::has_tools };
const BROWSER: Component =
    Component { name: "Chromium", install: page::INSTALL_BROWSER, is_present: page::has_browser };

/// One call of a program at the root of the workspace.
struct Step {
    name: &'static str,
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    needs: Option<Component>,
    /// Without this, parts of the step are left out.
    wants: Option<Component>,
    program: Program,
}

/// What a step runs, mostly cargo.
struct Program {
    name: &'static str,
    command: fn() -> io::Result<Command>,
}

/// Something that a machine may lack. Without it a step is left out, which is
/// said loudly, and is an error where `CI=true`.
struct Component {
    name: &'static str,
    /// How to get it.
    install: &'static str,
    is_present: fn() -> bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// With what is known about it.
    Failed(String),
    /// All but what needs the component.
    InPart {
        missing: &'static str,
        install: &'static str,
    },
    /// The component is missing.
    NotRun {
        missing: &'static str,
        install: &'static str,
    },
}

impl Step {
    const fn new(name: &'static str, args: &'static [&'static str]) -> Self {
        Self { name, args, env: &[], needs: None, wants: None, program: CARGO }
    }

    fn perform(&self) -> Outcome {
        if let Some(Component { name, install, is_present }) = self.needs
            && !is_present()
        {
            return Outcome::NotRun { missing: name, install };
        }
        let lacks = self.wants.as_ref().filter(|component| !(component.is_present)());
        let program = self.program.name;
        println!("\n==> {}: {program} {}", self.name, self.args.join(" "));
        let status = (self.program.command)().and_then(|mut command| {
            command.args(self.args).envs(self.env.iter().copied()).current_dir(root()).status()
        });
        match status {
            Ok(status) if status.success() => match lacks {
                None => Outcome::Passed,
                Some(&Component { name, install, .. }) => Outcome::InPart { missing: name, install },
            },
            Ok(status) => Outcome::Failed(format!("`{program} {}` ended with {status}", self.args.join(" "))),
            Err(error) => Outcome::Failed(format!("{program} could not be started: {error}")),
        }
    }
}

/// What became of the steps, in their order, and which ones never had their turn.
struct Report {
    done: Vec<(&'static str, Outcome, Duration)>,
    left: Vec<&'static str>,
}

impl Report {
    fn of(steps: &[Step], mut perform: impl FnMut(&Step) -> Outcome) -> Self {
        let mut report = Self { done: Vec::new(), left: Vec::new() };
        for step in steps {
            if report.failure().is_some() {
                report.left.push(step.name);
                continue;
            }
            let start = Instant::now();
            let outcome = perform(step);
            report.done.push((step.name, outcome, start.elapsed()));
        }
        report
    }

    fn failure(&self) -> Option<(&'static str, &str)> {
        self.done.iter().find_map(|(name, outcome, _)| match outcome {
            Outcome::Failed(why) => Some((*name, why.as_str())),
            _ => None,
        })
    }

    /// Whether the change may be taken; if not, why.
    fn verdict(&self, is_ci: bool) -> Result<(), String> {
        if let Some((name, why)) = self.failure() {
            return Err(format!("the step `{name}` failed: {why}"));
        }
        let not_run: Vec<&str> = self
            .done
            .iter()
            .filter(|(_, outcome, _)| matches!(outcome, Outcome::NotRun { .. } | Outcome::InPart { .. }))
            .map(|(name, _, _)| *name)
            .collect();
        if is_ci && !not_run.is_empty() {
            return Err(format!(
                "CI=true, and these steps could not be run, or not whole: {}",
                not_run.join(", ")
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Steps:")?;
        for (name, outcome, time) in &self.done {
            let seconds = time.as_secs_f64();
            match outcome {
                Outcome::Passed => writeln!(f, "  {name:<14} passed   {seconds:>7.1} s")?,
                Outcome::Failed(_) => writeln!(f, "  {name:<14} FAILED   {seconds:>7.1} s")?,
                Outcome::InPart { missing, install } => {
                    writeln!(f, "  {name:<14} IN PART  {seconds:>7.1} s  {missing} is missing: {install}")?;
                }
                Outcome::NotRun { missing, install } => {
                    writeln!(f, "  {name:<14} NOT RUN  {missing} is missing: {install}")?;
                }
            }
        }
        for name in &self.left {
            writeln!(f, "  {name:<14} left out")?;
        }
        Ok(())
    }
}

fn cargo_has(subcommand: &str) -> bool {
    crate::cargo()
        .args([subcommand, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &[Step] = &[Step::new("one", &[]), Step::new("two", &[]), Step::new("three", &[])];

    fn report(outcomes: [Outcome; 3]) -> Report {
        let mut outcomes = outcomes.into_iter();
        Report::of(THREE, |_| outcomes.next().unwrap())
    }

    fn not_run() -> Outcome {
        Outcome::NotRun { missing: "clippy", install: "rustup component add clippy" }
    }

    #[test]
    fn all_steps_pass() {
        let report = report([Outcome::Passed, Outcome::Passed, Outcome::Passed]);
        assert_eq!(report.verdict(true), Ok(()));
        assert_eq!(report.to_string().matches("passed").count(), 3);
    }

    #[test]
    fn a_failure_leaves_out_the_rest() {
        let report = report([Outcome::Passed, Outcome::Failed("exit status: 101".into()), Outcome::Passed]);
        assert_eq!(report.verdict(false), Err("the step `two` failed: exit status: 101".to_owned()));
        assert_eq!(report.left, ["three"]);
        assert!(report.to_string().contains("two            FAILED"));
    }

    #[test]
    fn a_missing_component_is_an_error_in_ci_only() {
        let report = report([Outcome::Passed, not_run(), Outcome::Passed]);
        assert_eq!(report.verdict(false), Ok(()));
        let sentence = "CI=true, and these steps could not be run, or not whole: two".to_owned();
        assert_eq!(report.verdict(true), Err(sentence));
        assert!(report.to_string().contains("NOT RUN  clippy is missing: rustup component add clippy"));
    }
}
