//! The one wall clock of a server: everything below takes the time as an argument.

use std::time::SystemTime;

/// Milliseconds since 1970 (UTC).
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock before 1970 is wrong by so much that 0 is as good as any.
    since.map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}
