//! The bounds: how many instructions an operation may cost.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use crate::operations::{OPERATIONS, Operation};

/// The contents of `bounds.toml`, by the names of the operations.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Bounds(BTreeMap<String, Bound>);

/// What one operation may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bound {
    instructions: u64,
    /// How much more than that is no regression.
    margin_percent: u64,
}

impl Bounds {
    pub(crate) fn read() -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(path()).map_err(|error| format!("{}: {error}", path().display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, Box<dyn Error>> {
        let bounds: Self = toml::from_str(text).map_err(|error| format!("bounds.toml: {error}"))?;
        match bounds.0.keys().find(|name| !OPERATIONS.iter().any(|operation| operation.name == **name)) {
            Some(unknown) => Err(format!("bounds.toml has `{unknown}`, which is no operation").into()),
            None => Ok(bounds),
        }
    }

    /// Sets a bound. Its margin stays as it is.
    pub(crate) fn set(&mut self, name: &str, instructions: u64) {
        let margin_percent = self.0.get(name).map_or(NEW_MARGIN_PERCENT, |bound| bound.margin_percent);
        self.0.insert(name.to_owned(), Bound { instructions, margin_percent });
    }

    pub(crate) fn write(&self) -> Result<(), Box<dyn Error>> {
        fs::write(path(), self.to_string())?;
        println!("written: {}", path().display());
        Ok(())
    }

    /// Compares what an operation costs with its bound.
    pub(crate) fn judge(&self, operation: &'static Operation, instructions: u64) -> Verdict {
        let bound = self.0.get(operation.name).copied();
        Verdict { what: operation.what, instructions, bound }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        for operation in OPERATIONS {
            if let Some(Bound { instructions, margin_percent }) = self.0.get(operation.name) {
                let (name, what) = (operation.name, operation.what);
                writeln!(f, "\n# {what}")?;
                writeln!(
                    f,
                    "{name} = {{ instructions = {instructions}, margin_percent = {margin_percent} }}"
                )?;
            }
        }
        Ok(())
    }
}

/// What an operation costs beside what it may cost, as a sentence.
pub(crate) struct Verdict {
    what: &'static str,
    instructions: u64,
    bound: Option<Bound>,
}

impl Verdict {
    /// Whether the operation costs too much, or has no bound.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.bound.is_none_or(|Bound { instructions, margin_percent }| {
            self.instructions * 100 > instructions * (100 + margin_percent)
        })
    }

    /// Whether the bound should be lowered: a regression of the same size would not be seen.
    fn is_far_below(&self) -> bool {
        self.bound.is_some_and(|Bound { instructions, margin_percent }| {
            self.instructions * 100 < instructions * (100 - margin_percent.min(100))
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, costs) = (self.what, Thousands(self.instructions));
        write!(f, "{what} costs {costs} instructions")?;
        let Some(Bound { instructions, margin_percent }) = self.bound else {
            return write!(f, ", and has no bound: {UPDATE} writes one");
        };
        let difference = self.instructions.abs_diff(instructions) as f64 * 100.0 / instructions.max(1) as f64;
        let direction = if self.instructions > instructions { "more" } else { "less" };
        let bound = Thousands(instructions);
        write!(f, ", {difference:.1} % {direction} than the bound {bound}")?;
        match (self.is_exceeded(), self.is_far_below()) {
            (true, _) => write!(f, " ({margin_percent} % are allowed)"),
            (_, true) => write!(f, ": {UPDATE} lowers it"),
            _ => Ok(()),
        }
    }
}

/// A number with a comma after each group of three digits.
struct Thousands(u64);

impl fmt::Display for Thousands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..1000 => write!(f, "{}", self.0),
            number => write!(f, "{},{:03}", Thousands(number / 1000), number % 1000),
        }
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("bounds.toml")
}

/// The margin of a bound that is new.
const NEW_MARGIN_PERCENT: u64 = 5;
const UPDATE: &str = "UPDATE_BOUNDS=1 cargo xtask test instructions";
const HEAD: &str = "\
# How many instructions of the processor an operation may cost (x86_64, Linux, the profile `instructions`).
# More than the margin above it fails `cargo xtask test instructions`; what the numbers contain, and why
# the margins are as they are, is in docs/performance.md.
# UPDATE_BOUNDS=1 cargo xtask test instructions writes the numbers anew, and leaves the margins.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(instructions: u64) -> Verdict {
        let bounds = Bounds::parse("delivery-v2 = { instructions = 1107, margin_percent = 5 }").unwrap();
        bounds
            .judge(OPERATIONS.iter().find(|operation| operation.name == "delivery-v2").unwrap(), instructions)
    }

    #[test]
    fn a_regression_is_named_with_its_size() {
        assert!(verdict(1240).is_exceeded());
        assert_eq!(
            verdict(1240).to_string(),
            "a delivery to v2 costs 1,240 instructions, 12.0 % more than the bound 1,107 (5 % are allowed)"
        );
    }

    #[test]
    fn the_margin_is_allowed() {
        assert!(!verdict(1162).is_exceeded());
        assert!(verdict(1163).is_exceeded());
        assert!(!verdict(900).is_exceeded());
        assert!(verdict(900).to_string().ends_with("lowers it"));
        assert!(!verdict(1052).to_string().ends_with("lowers it"));
    }

    #[test]
    fn an_operation_without_a_bound_is_not_passed_over() {
        let verdict = Bounds::default().judge(&OPERATIONS[0], 1);
        assert!(verdict.is_exceeded());
        assert!(verdict.to_string().contains("has no bound"));
        assert!(Bounds::parse("nothing = { instructions = 1, margin_percent = 5 }").is_err());
    }

    #[test]
    fn the_committed_bounds_are_written_as_this_program_writes_them() {
        let bounds = Bounds::read().unwrap();
        assert_eq!(bounds.to_string(), fs::read_to_string(path()).unwrap());
        for operation in OPERATIONS {
            assert!(bounds.0.contains_key(operation.name), "{}", operation.name);
        }
    }
}
