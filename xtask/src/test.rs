//! `cargo xtask test`: everything that must hold before a change is accepted.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::component::{CLIPPY, Component, Components, RUSTFMT};
use crate::page::{BROWSER, NODE, TOOLS};
use crate::postgres::POSTGRES;
use crate::s3::S3;
use crate::sdk::PYTHON;
use crate::tools::{
    CADDY, FAIL2BAN, KOSOKU, NATS, NGINX, PEBBLE, PROMTOOL, SCHEMATHESIS, SLOWHTTPTEST, VALGRIND,
};
use crate::{packages, page, prove, sdk};

/// Runs all steps, or the named ones, up to the first that fails, and prints
/// the outcome of each. `--list` prints the steps instead.
pub(crate) fn run(args: &[OsString]) -> ExitCode {
    if args.iter().any(|arg| arg == "--list") {
        print!("{}", list());
        return ExitCode::SUCCESS;
    }
    let steps = match select(STEPS, args) {
        Ok(steps) => steps,
        Err(name) => {
            eprint!("error: there is no step `{}`\n\n{}", name.display(), list());
            return ExitCode::from(2);
        }
    };
    // Before anything runs, so that a missing component is known at once.
    let mut components = Components::default();
    for component in steps.iter().flat_map(|step| step.needs.iter().chain(step.wants)) {
        components.has(component);
    }
    let is_ci = env::var("CI").is_ok_and(|value| value == "true");
    let report = Report::of(&steps, |step, taken| step.perform(&mut components, taken));
    println!("\n{report}");
    match report.verdict(is_ci) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// The steps, in the order in which they run: those that fail quickly come first.
const STEPS: &[Step] = &[
    Step { needs: &[RUSTFMT], ..Step::cargo("format", &["fmt", "--all", "--check"]) },
    Step {
        needs: &[CLIPPY],
        ..Step::cargo("lints", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])
    },
    // The crates as programs of others have them that leave parts out. The tests have all parts.
    Step { needs: &[CLIPPY], ..Step::cargo("no-features", NO_FEATURES) },
    Step { needs: &[CLIPPY], ..Step::cargo("only-sqlite", ONLY_SQLITE) },
    Step { needs: &[CLIPPY], ..Step::cargo("only-postgres", ONLY_POSTGRES) },
    Step {
        env: DENY_DOC_WARNINGS,
        ..Step::cargo("private-docs", &["doc", "--workspace", "--no-deps", "--document-private-items"])
    },
    // The public items of the crates, documented, and compared with the lists in `docs/api`.
    Step::cargo("public-api", PUBLIC_API),
    // The crates for others as they would be published. What they embed (the page, the SQL) is in
    // folders at the root, which they have links to.
    Step::cargo("packages", packages::PACK),
    // A package is built from what it contains.
    Step::cargo("package-build", &["package", "--quiet", "--allow-dirty", "-p", "lanechat-core"]),
    Step {
        wants: &[POSTGRES, S3, PROMTOOL, FAIL2BAN, SLOWHTTPTEST, KOSOKU, NATS, PEBBLE, NGINX, CADDY],
        ..Step::cargo("tests", &["test", "--workspace"])
    },
    // Three thousand runs, without a bug in the build of the next step; `cargo xtask simulate` does as many
    // as one wants.
    Step::cargo(
        "simulator",
        &[
            "run",
            "--profile",
            "simulate",
            "--package",
            "lanechat-simulator",
            "--features",
            "planted-bugs",
            "--",
            "--seeds",
            "3000",
        ],
    ),
    // Each planted bug must be caught, or the simulator proves nothing.
    Step::cargo(
        "planted-bugs",
        &["test", "--profile", "simulate", "--package", "lanechat-simulator", "--features", "planted-bugs"],
    ),
    // With a test among them, cargo takes the features that the step `tests` has built everything with.
    Step::cargo(BUILD, PROGRAMS),
    // KILL behind a bad network; `cargo xtask prove` has the long runs.
    Step {
        program: Program { name: "prove", command: || prove::program("debug").map(Command::new) },
        wants: &[POSTGRES, NATS],
        is_behind_build: true,
        ..Step::cargo("prove", &["quick"])
    },
    // The HTTP calls of the server that was built above, as the document describes them.
    Step {
        program: Program { name: "prove", command: || prove::program("debug").map(Command::new) },
        needs: &[SCHEMATHESIS],
        is_behind_build: true,
        ..Step::cargo("api-fuzz", &["api"])
    },
    Step {
        program: Program { name: "tsc", command: page::types },
        needs: &[NODE, TOOLS],
        ..Step::cargo("page-types", &[])
    },
    Step {
        program: Program { name: "node", command: page::logic },
        needs: &[NODE],
        ..Step::cargo("page-logic", &[])
    },
    // Programs of others, on the server that was built above.
    Step {
        program: Program { name: "node", command: sdk::tests },
        needs: &[NODE, TOOLS, PYTHON],
        is_behind_build: true,
        ..Step::cargo("sdk", &[])
    },
    // People in browsers, on the server that was built above.
    Step {
        program: Program { name: "node", command: page::all_scenarios },
        needs: &[NODE, TOOLS, BROWSER],
        is_behind_build: true,
        // On a machine that is so slow, files of scenarios are left out rather than everything lost.
        ends_within: Some(Duration::from_secs(72 * 60)),
        ..Step::cargo("page-scenarios", &[])
    },
    // What a delivery, a post, a connect and a resume cost, against the bounds of `bins/instructions`.
    // It builds the chat once more: on a slow machine that would take the others' time.
    Step {
        begins_within: Some(Duration::from_secs(75 * 60)),
        needs: &[VALGRIND],
        ..Step::cargo(
            "instructions",
            &["run", "--quiet", "--profile", "instructions", "--package", "instructions"],
        )
    },
];

/// The stores without a database, shards without sockets, the client without a socket.
#[rustfmt::skip]
const NO_FEATURES: &[&str] = &[
    "clippy", "--no-default-features",
    "-p", "lanechat-client", "-p", "lanechat-shard", "-p", "lanechat-store", "-p", "lanechat-tokio",
    "--", "--deny", "warnings",
];

/// A server with SQLite and the page: no pictures, no buckets, no TLS.
#[rustfmt::skip]
const ONLY_SQLITE: &[&str] = &[
    "clippy", "--no-default-features",
    "-p", "server", "-p", "lanechat-http", "-p", "lanechat-shard", "-p", "lanechat-store",
    "--features", "server/sqlite,server/page", "--", "--deny", "warnings",
];

/// A server with Postgres, pictures and TLS: no page.
#[rustfmt::skip]
const ONLY_POSTGRES: &[&str] = &[
    "clippy", "--no-default-features", "-p", "server", "-p", "lanechat-http", "-p", "lanechat-store",
    "--features", "server/postgres,server/pictures,server/tls", "--", "--deny", "warnings",
];

#[rustfmt::skip]
const PROGRAMS: &[&str] = &[
    "build", "--workspace", "--bin", "server", "--bin", "prove", "--bin", "axum-host", "--test", "minimal",
];

#[rustfmt::skip]
const PUBLIC_API: &[&str] = &[
    "test", "--workspace", "--features", "lanechat-spec/public-api", "--test", "public_api",
];

/// The seconds in which a program may begin something, in its environment.
const SECONDS_LEFT: &str = "SECONDS_LEFT";

/// The exit code of a program that has left something out for lack of time, and failed nowhere.
const LEFT_SOME_OUT: i32 = 75;

/// The step that builds the programs which later steps start.
const BUILD: &str = "build";

const DENY_DOC_WARNINGS: &[(&str, &str)] = &[("RUSTDOCFLAGS", "-D warnings")];

/// One call of a program at the root of the workspace.
struct Step {
    name: &'static str,
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    /// Without one of these the step is not run, which is an error where `CI=true`.
    needs: &'static [Component],
    /// Without one of these, parts of the step are left out.
    wants: &'static [Component],
    /// It starts a program that the step [`BUILD`] builds.
    is_behind_build: bool,
    /// It is left out if the steps before it have taken longer.
    begins_within: Option<Duration>,
    /// Its program begins nothing new when this has passed since the first step, and ends with
    /// [`LEFT_SOME_OUT`] then. It gets the time that is left as [`SECONDS_LEFT`].
    ends_within: Option<Duration>,
    program: Program,
}

/// The program that a step runs, mostly cargo.
struct Program {
    name: &'static str,
    command: fn() -> io::Result<Command>,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// With the reason.
    Failed(String),
    /// Passed without the parts that need the component.
    InPart {
        missing: &'static str,
        install: &'static str,
    },
    /// Not run, as the component is missing.
    NotRun {
        missing: &'static str,
        install: &'static str,
    },
    /// Not run, as the steps before it have taken so long.
    TooLate(Duration),
    /// Passed, but for what would have begun too late.
    LeftSomeOut,
}

impl Step {
    const fn cargo(name: &'static str, args: &'static [&'static str]) -> Self {
        let program = Program { name: "cargo", command: || Ok(crate::cargo()) };
        Self {
            name,
            args,
            env: &[],
            needs: &[],
            wants: &[],
            is_behind_build: false,
            begins_within: None,
            ends_within: None,
            program,
        }
    }

    /// `taken` is the time since the first step.
    fn perform(&self, components: &mut Components, taken: Duration) -> Outcome {
        let mut first_missing =
            |list: &'static [Component]| list.iter().find(|component| !components.has(component));
        if let Some(&Component { name, install, .. }) = first_missing(self.needs) {
            return Outcome::NotRun { missing: name, install };
        }
        let lacks = first_missing(self.wants);
        let program = self.program.name;
        println!("\n==> {}: {program} {}", self.name, self.args.join(" "));
        let status = (self.program.command)().and_then(|mut command| {
            if let Some(limit) = self.ends_within {
                command.env(SECONDS_LEFT, limit.saturating_sub(taken).as_secs().to_string());
            }
            command.args(self.args).envs(self.env.iter().copied()).current_dir(crate::root()).status()
        });
        match status {
            Ok(status) if status.success() => match lacks {
                None => Outcome::Passed,
                Some(&Component { name, install, .. }) => Outcome::InPart { missing: name, install },
            },
            Ok(status) if self.ends_within.is_some() && status.code() == Some(LEFT_SOME_OUT) => {
                Outcome::LeftSomeOut
            }
            Ok(status) => Outcome::Failed(format!("`{program} {}` ended with {status}", self.args.join(" "))),
            Err(error) => Outcome::Failed(format!("{program} could not be started: {error}")),
        }
    }
}

/// The named steps in their usual order, each once, with the build that they
/// need; all steps if none is named. The error is a name that no step has.
fn select<'a>(all: &'a [Step], names: &'a [OsString]) -> Result<Vec<&'a Step>, &'a OsString> {
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|step| *name == step.name)) {
        return Err(unknown);
    }
    let is_named = |step: &Step| names.is_empty() || names.iter().any(|name| name == step.name);
    let needs_build = all.iter().any(|step| is_named(step) && step.is_behind_build);
    Ok(all.iter().filter(|step| is_named(step) || (needs_build && step.name == BUILD)).collect())
}

/// The steps, one a line, with the programs that they need.
fn list() -> String {
    let mut list = String::from("Steps of `cargo xtask test`, in order:\n");
    for step in STEPS {
        let mut line = format!("  {:<16}{} {}", step.name, step.program.name, step.args.join(" "));
        let needs: Vec<&str> = step.needs.iter().chain(step.wants).map(|component| component.name).collect();
        if !needs.is_empty() {
            line = format!("{} (with {})", line.trim_end(), needs.join(", "));
        }
        list.push_str(line.trim_end());
        list.push('\n');
    }
    list
}

/// The outcomes of the steps in their order, and the steps behind a failure.
struct Report {
    done: Vec<(&'static str, Outcome, Duration)>,
    left_out: Vec<&'static str>,
}

impl Report {
    fn of(steps: &[&Step], mut perform: impl FnMut(&Step, Duration) -> Outcome) -> Self {
        let mut report = Self { done: Vec::new(), left_out: Vec::new() };
        let begun = Instant::now();
        for step in steps {
            if report.failure().is_some() {
                report.left_out.push(step.name);
                continue;
            }
            let start = Instant::now();
            let taken = start - begun;
            let is_late = step.begins_within.is_some_and(|limit| taken > limit);
            let outcome = if is_late { Outcome::TooLate(taken) } else { perform(step, taken) };
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

    /// Whether the change may be accepted; the error is the reason why not.
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
                "CI=true, and these steps could not be run, or only in part: {}",
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
                Outcome::LeftSomeOut => writeln!(
                    f,
                    "  {name:<14} IN PART  {seconds:>7.1} s  some were left out for lack of time, see above: \
                     cargo xtask test {name}"
                )?,
                Outcome::TooLate(taken) => {
                    let minutes = taken.as_secs() / 60;
                    writeln!(
                        f,
                        "  {name:<14} NOT RUN  {minutes} minutes had passed: cargo xtask test {name}"
                    )?;
                }
            }
        }
        for name in &self.left_out {
            writeln!(f, "  {name:<14} left out")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &[Step] = &[Step::cargo("one", &[]), Step::cargo("two", &[]), Step::cargo("three", &[])];

    #[test]
    fn a_step_that_would_begin_too_late_is_not_run_which_the_report_says() {
        let late = Step { begins_within: Some(Duration::ZERO), ..Step::cargo("late", &[]) };
        let report = Report::of(&[&THREE[0], &late], |step, _| {
            assert_ne!(step.name, "late");
            std::thread::sleep(Duration::from_millis(2));
            Outcome::Passed
        });
        assert_eq!(report.verdict(true), Ok(()));
        assert!(report.to_string().contains("late           NOT RUN  0 minutes had passed"), "{report}");
    }

    fn report(outcomes: [Outcome; 3]) -> Report {
        let mut outcomes = outcomes.into_iter();
        let steps: Vec<&Step> = THREE.iter().collect();
        Report::of(&steps, |_, _| outcomes.next().unwrap())
    }

    fn not_run() -> Outcome {
        Outcome::NotRun { missing: "clippy", install: "rustup component add clippy" }
    }

    fn selected(names: &[&str]) -> Result<Vec<&'static str>, OsString> {
        let names: Vec<OsString> = names.iter().map(OsString::from).collect();
        let steps = select(STEPS, &names).map_err(OsString::clone)?;
        Ok(steps.iter().map(|step| step.name).collect())
    }

    #[test]
    fn without_names_all_steps_run() {
        assert_eq!(selected(&[]).unwrap().len(), STEPS.len());
    }

    #[test]
    fn named_steps_run_in_their_usual_order_and_once() {
        assert_eq!(selected(&["lints", "format", "lints"]), Ok(vec!["format", "lints"]));
    }

    #[test]
    fn a_step_that_starts_a_program_has_it_built() {
        assert_eq!(selected(&["prove"]), Ok(vec!["build", "prove"]));
        assert_eq!(selected(&["page-scenarios"]), Ok(vec!["build", "page-scenarios"]));
        assert_eq!(selected(&["page-logic"]), Ok(vec!["page-logic"]));
    }

    #[test]
    fn an_unknown_step_is_an_error() {
        assert_eq!(selected(&["format", "lint"]), Err("lint".into()));
    }

    #[test]
    fn the_list_has_every_step() {
        let list = list();
        for step in STEPS {
            assert!(list.lines().any(|line| line.trim_start().starts_with(step.name)), "{}", step.name);
            assert!(!step.name.contains(' '), "{} cannot be typed without quotes", step.name);
        }
    }

    #[test]
    fn all_steps_pass() {
        let report = report([Outcome::Passed, Outcome::Passed, Outcome::Passed]);
        assert_eq!(report.verdict(true), Ok(()));
        assert_eq!(report.to_string().matches("passed").count(), 3);
    }

    #[test]
    fn what_a_step_leaves_out_for_lack_of_time_is_reported_and_no_failure() {
        fn script() -> io::Result<Command> {
            let mut command = Command::new("sh");
            command.args(["-c", "test $SECONDS_LEFT = 50 || exit 1; exit 75"]);
            Ok(command)
        }
        let program = Program { name: "sh", command: script };
        let slow = Step { program, ends_within: Some(Duration::from_secs(60)), ..Step::cargo("slow", &[]) };
        let outcome = slow.perform(&mut Components::default(), Duration::from_secs(10));
        assert_eq!(outcome, Outcome::LeftSomeOut);
        let report = Report::of(&[&slow], |_, _| Outcome::LeftSomeOut);
        assert_eq!(report.verdict(true), Ok(()));
        assert!(report.to_string().contains("slow           IN PART"), "{report}");
    }

    #[test]
    fn steps_behind_a_failure_are_left_out() {
        let report = report([Outcome::Passed, Outcome::Failed("exit status: 101".into()), Outcome::Passed]);
        assert_eq!(report.verdict(false), Err("the step `two` failed: exit status: 101".to_owned()));
        assert_eq!(report.left_out, ["three"]);
        assert!(report.to_string().contains("two            FAILED"));
    }

    #[test]
    fn a_missing_component_is_an_error_in_ci_only() {
        let report = report([Outcome::Passed, not_run(), Outcome::Passed]);
        assert_eq!(report.verdict(false), Ok(()));
        let sentence = "CI=true, and these steps could not be run, or only in part: two".to_owned();
        assert_eq!(report.verdict(true), Err(sentence));
        assert!(report.to_string().contains("NOT RUN  clippy is missing: rustup component add clippy"));
    }
}
