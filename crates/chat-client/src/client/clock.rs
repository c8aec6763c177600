//! The clock of a client.

use std::time::SystemTime;

use tokio::time::Instant;

/// Starts with the time since 1970 and counts on steadily from there, whatever
/// happens to the system's clock.
pub(super) struct Clock {
    started: Instant,
    started_ms: u64,
}

impl Clock {
    pub(super) fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            started: Instant::now(),
            started_ms: u64::try_from(since_1970.as_millis()).unwrap_or_default(),
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.started_ms + u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }
}
