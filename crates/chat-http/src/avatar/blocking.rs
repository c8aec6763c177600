//! File work, away from the threads that carry requests.

use std::io;

/// Runs file work on a thread that may block.
///
/// The work is not cancelled when this future is dropped: it runs to its end and its
/// result is dropped, so that guards in the result still remove their files.
///
/// # Errors
///
/// The error of the work, or one of the kind `Other` if the work panicked.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
