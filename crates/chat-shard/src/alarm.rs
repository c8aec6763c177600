//! The signal that a shard has panicked.

use tokio_util::sync::CancellationToken;

/// Cancels its token if it is dropped by a panic: a step that a hub did half leaves it
/// in a state that cannot be relied upon.
pub(crate) struct Alarm<'a>(pub(crate) &'a CancellationToken);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}
