//! Steps at which a process of a test ends, so that it is seen what a crash leaves.

/// Ends the process without any clean-up, as a crash does, if the environment names this
/// step in `CHAT_TEST_CRASH_AT`. Does nothing without the feature `failpoints`, which only
/// tests have.
pub fn reached(step: &str) {
    #[cfg(feature = "failpoints")]
    if std::env::var_os("CHAT_TEST_CRASH_AT").is_some_and(|named| named == step) {
        std::process::abort();
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = step;
}
