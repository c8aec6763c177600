//! One value of a setting, where it came from, and what can be wrong with it.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Setting;
use super::nearest::nearest;

/// One value, before it is parsed.
pub(super) struct Value {
    pub(super) setting: &'static Setting,
    pub(super) text: OsString,
    pub(super) source: Source,
}

/// Where a value came from.
pub(super) enum Source {
    Flag,
    Variable,
    File { path: PathBuf, line: usize },
}

/// An error in the settings: one sentence that names where the value came from.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingError {
    /// The configuration file is not there, or not readable.
    #[error("the configuration file {path} cannot be read")]
    Unreadable {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    /// The configuration file is not TOML, or has something that is not a setting.
    #[error("the configuration file {path}, line {line}: {message}")]
    Malformed { path: PathBuf, line: usize, message: String },
    /// A value is wrong.
    #[error("{origin}: {message}")]
    Invalid {
        /// The flag, the environment variable, or the key with its file and line.
        origin: String,
        message: String,
    },
}

impl SettingError {
    pub(super) fn invalid(origin: String, message: impl ToString) -> Self {
        Self::Invalid { origin, message: message.to_string() }
    }
}

impl Source {
    pub(super) fn origin(&self, setting: &Setting) -> String {
        match self {
            Self::Flag => format!("--{}", setting.flag()),
            Self::Variable => setting.variable(),
            Self::File { path, line } => format!("{} in {}, line {line}", setting.key, path.display()),
        }
    }
}

/// The sentence about a name that is not a setting.
pub(super) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(near) => format!("there is no setting {name}; did you mean {near}?"),
        None => format!("there is no setting {name}"),
    }
}
