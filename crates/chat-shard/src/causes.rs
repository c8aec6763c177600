//! An error as one line of a log.

/// The error's sentence, and those of all its sources behind it, each after a colon.
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
