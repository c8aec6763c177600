//! What tells the server that a shard cannot go on.

use tokio_util::sync::CancellationToken;

/// Tells when a panic passes by: what a hub did half cannot be relied upon.
pub(crate) struct Alarm<'a>(pub(crate) &'a CancellationToken);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}
