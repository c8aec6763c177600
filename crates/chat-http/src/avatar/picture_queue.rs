//! The queue in front of the threads that decode and encode pictures.

use std::io::{self, Read as _, Seek as _};
use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use super::error::{AvatarError, PictureError};
use super::incoming::ReceivedAvatar;
use super::picture::{Picture, PictureLimits};
use crate::HttpOptions;

/// Makes pictures from uploads, each on a thread of its own, and at most
/// [`picture_threads`](HttpOptions::picture_threads) at one time. Further uploads wait
/// in a queue of [`picture_queue_max`](HttpOptions::picture_queue_max), in the order in
/// which they came. A request whose client hangs up leaves the queue.
pub(crate) struct PictureQueue {
    limits: PictureLimits,
    /// One permit for each upload that may wait.
    waiting: Semaphore,
    /// One permit for each thread.
    threads: Arc<Semaphore>,
    /// Tracks the threads: they cannot be cancelled, so the server waits for them.
    tasks: TaskTracker,
}

impl PictureQueue {
    pub(crate) fn new(options: &HttpOptions, tasks: TaskTracker) -> Self {
        Self {
            limits: PictureLimits {
                pixels_max: options.picture_pixels_max,
                side_max: options.picture_side_max,
                memory_max: options.picture_memory_max,
            },
            waiting: Semaphore::new(options.picture_queue_max),
            threads: Arc::new(Semaphore::new(options.picture_threads.max(1))),
            tasks,
        }
    }

    /// The picture of an upload, whose file is removed.
    ///
    /// # Errors
    ///
    /// [`AvatarError::Busy`] if the queue is full, [`AvatarError::Picture`], and
    /// [`AvatarError::Io`].
    pub(crate) async fn make(&self, avatar: ReceivedAvatar) -> Result<Picture, AvatarError> {
        let thread = match self.threads.clone().try_acquire_owned() {
            Ok(thread) => thread,
            Err(_) => {
                let _waiting = self.waiting.try_acquire().map_err(|_| AvatarError::Busy)?;
                self.threads.clone().acquire_owned().await.expect("this semaphore is never closed")
            }
        };
        let (answer, picture) = oneshot::channel();
        let (limits, task) = (self.limits, self.tasks.token());
        let work = move || {
            let made = make(&avatar, limits);
            drop(avatar);
            // The request may have been dropped.
            let _ = answer.send(made);
            drop((thread, task));
        };
        std::thread::Builder::new().name("picture".to_owned()).spawn(work)?;
        // The thread panics only where a decoder does, on a file that it does not expect.
        picture.await.unwrap_or(Err(PictureError::Damaged(None).into()))
    }
}

fn make(avatar: &ReceivedAvatar, limits: PictureLimits) -> Result<Picture, AvatarError> {
    let file = read_whole(&avatar.file)?;
    Ok(Picture::read(&file, avatar.format, limits)?)
}

/// The content of a file whose size was limited when it was written.
fn read_whole(mut file: &std::fs::File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(file.metadata()?.len().try_into().unwrap_or(0));
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
