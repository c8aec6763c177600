//! Errors in log lines.

/// Writes an error and all its sources in one line, with colons between.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        sentence += ": ";
        sentence += &error.to_string();
        cause = error.source();
    }
    sentence
}
