//! The making of pictures, apart from everything else.

use std::io::{self, Read as _, Seek as _};
use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use super::incoming::ReceivedAvatar;
use super::picture::{Picture, PictureError, PictureLimits};
use crate::HttpOptions;
use crate::error::HttpError;

/// Makes pictures from what was uploaded, each on a thread that lives for that one
/// picture, and so many at a time as [`picture_threads`](HttpOptions::picture_threads)
/// says. Those that wait stand in a queue of
/// [`picture_queue_max`](HttpOptions::picture_queue_max), in the order in which they
/// came; who hangs up leaves it.
pub(crate) struct Pictures {
    limits: PictureLimits,
    waiting: Semaphore,
    turns: Arc<Semaphore>,
    /// A thread cannot be cut off: the server ends after it.
    tasks: TaskTracker,
}

impl Pictures {
    pub(crate) fn new(options: &HttpOptions, tasks: TaskTracker) -> Self {
        Self {
            limits: PictureLimits {
                pixels_max: options.picture_pixels_max,
                side_max: options.picture_side_max,
                memory_max: options.picture_memory_max,
            },
            waiting: Semaphore::new(options.picture_queue_max),
            turns: Arc::new(Semaphore::new(options.picture_threads.max(1))),
            tasks,
        }
    }

    /// The picture; what was uploaded is gone afterwards.
    pub(crate) async fn make(&self, avatar: ReceivedAvatar) -> Result<Picture, HttpError> {
        let turn = match self.turns.clone().try_acquire_owned() {
            Ok(turn) => turn,
            Err(_) => {
                let _place = self.waiting.try_acquire().map_err(|_| HttpError::Busy)?;
                self.turns.clone().acquire_owned().await.expect("this semaphore is never closed")
            }
        };
        let (answer, picture) = oneshot::channel();
        let (limits, task) = (self.limits, self.tasks.token());
        let work = move || {
            let made = make(&avatar, limits);
            drop(avatar);
            // Whoever asked may have gone.
            let _ = answer.send(made);
            drop((turn, task));
        };
        std::thread::Builder::new().name("picture".to_owned()).spawn(work).map_err(HttpError::File)?;
        // A thread that panicked has met a file that its decoder did not expect.
        picture.await.unwrap_or(Err(PictureError::Damaged(None).into()))
    }
}

fn make(avatar: &ReceivedAvatar, limits: PictureLimits) -> Result<Picture, HttpError> {
    let file = whole(&avatar.file).map_err(HttpError::File)?;
    Ok(Picture::read(&file, avatar.format, limits)?)
}

/// What is in a file, which was kept small when it was written.
fn whole(mut file: &std::fs::File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(file.metadata()?.len().try_into().unwrap_or(0));
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
