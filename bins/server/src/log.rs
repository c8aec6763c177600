//! Where log lines go, and in which format.

use std::io::IsTerminal as _;

use crate::config::{Config, LogFormat};

/// Writes log lines to standard error from now on.
///
/// Fields with texts of users are logged as values (`user = name.as_str()`): the
/// human format quotes and escapes them, JSON writes them as a JSON string.
/// `?` in place of that would quote them twice in JSON.
pub(crate) fn to_stderr(config: &Config) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(config.log_filter.clone())
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Human => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
