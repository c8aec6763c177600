//! Programs that steps of the test command need beside cargo.

use std::process::{Command, Stdio};

use crate::apt;

/// A program that a machine may lack.
pub(crate) struct Component {
    pub(crate) name: &'static str,
    /// How to get it where this program does not install it.
    pub(crate) install: &'static str,
    /// Whether it is there. As root on Debian it is installed first.
    pub(crate) find: fn() -> bool,
}

pub(crate) const RUSTFMT: Component = Component {
    name: "rustfmt",
    install: "rustup component add rustfmt",
    find: || has_rust_component("fmt", "rustfmt"),
};

pub(crate) const CLIPPY: Component = Component {
    name: "clippy",
    install: "rustup component add clippy",
    find: || has_rust_component("clippy", "clippy"),
};

/// Which components are missing, each looked for once.
#[derive(Default)]
pub(crate) struct Components {
    found: Vec<(&'static str, bool)>,
}

impl Components {
    /// Looks for a component, if that was not done before.
    pub(crate) fn has(&mut self, component: &Component) -> bool {
        if let Some((_, is_present)) = self.found.iter().find(|(name, _)| *name == component.name) {
            return *is_present;
        }
        let is_present = (component.find)();
        if !is_present {
            println!("{} is missing: {}", component.name, component.install);
        }
        self.found.push((component.name, is_present));
        is_present
    }
}

fn has_rust_component(subcommand: &str, component: &str) -> bool {
    cargo_has(subcommand)
        || (apt::may_install()
            && apt::announce(component)
            && succeeds(Command::new("rustup").args(["component", "add", component]))
            && cargo_has(subcommand))
}

fn cargo_has(subcommand: &str) -> bool {
    let mut command = crate::cargo();
    succeeds(command.args([subcommand, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Whether a command could be run, and was successful.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}
