//! The queue in front of the threads that decode and encode pictures.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::decode::PictureLimits;
use crate::turns::{Arrival, Turns};

/// The queue in front of the threads that decode and encode pictures. Each picture has a
/// thread of its own, and only a limited number of them work at one time.
///
/// Users get their turns one after another, however many requests each of them has. A full
/// queue takes the place of a new request from the user who has the most. A request that
/// is dropped leaves the queue.
#[derive(Clone)]
pub struct PictureQueue {
    shared: Arc<Shared>,
}

struct Shared {
    limits: PictureLimits,
    turns: Mutex<Turns<PictureTurn>>,
    /// Tracks the threads: they cannot be cancelled, so the server waits for them.
    tasks: TaskTracker,
}

/// As many pictures as allowed wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("as many pictures as allowed wait")]
pub struct QueueFull;

impl PictureQueue {
    /// A queue for `threads` threads (at least one), in which `waiting_max` requests may
    /// wait. `tasks` tracks the threads.
    pub fn new(threads: usize, waiting_max: usize, limits: PictureLimits, tasks: TaskTracker) -> Self {
        let turns = Mutex::new(Turns::new(threads.max(1), waiting_max));
        Self { shared: Arc::new(Shared { limits, turns, tasks }) }
    }

    /// Waits for a turn on behalf of `user`, any name by which turns are shared out fairly.
    ///
    /// # Errors
    ///
    /// [`QueueFull`], at once, or when another user's request needs the place.
    pub async fn turn(&self, user: &str) -> Result<PictureTurn, QueueFull> {
        let arrival = self.shared.turns().arrive(user);
        match arrival {
            Arrival::Now => Ok(PictureTurn { shared: Some(Arc::clone(&self.shared)) }),
            Arrival::Later(turn) => turn.await.map_err(|_| QueueFull),
            Arrival::Full => Err(QueueFull),
        }
    }

    /// The number of requests that wait.
    pub fn waiting(&self) -> usize {
        self.shared.turns().len()
    }
}

impl Shared {
    fn turns(&self) -> MutexGuard<'_, Turns<PictureTurn>> {
        // Each change is complete in one call, so that a poisoned lock is safe.
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn of one request: a permit for one thread. Dropping it gives it to the next
/// request.
pub struct PictureTurn {
    /// `None` once the permit belongs to another turn.
    shared: Option<Arc<Shared>>,
}

impl PictureTurn {
    /// Runs the work on a thread of its own, which keeps the turn until it has ended, also
    /// if this future is dropped. `None` if the work panicked: decoders do, on files that
    /// they do not expect.
    ///
    /// # Errors
    ///
    /// The system has no thread left.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(PictureLimits) -> T + Send + 'static,
    ) -> io::Result<Option<T>> {
        let shared = Arc::clone(self.shared.as_ref().expect("only `drop` takes it"));
        let (answer, made) = oneshot::channel();
        let task = shared.tasks.token();
        let limits = shared.limits;
        let work = move || {
            let made = work(limits);
            drop(self);
            // The request may have been dropped.
            let _ = answer.send(made);
            drop(task);
        };
        std::thread::Builder::new().name("picture".to_owned()).spawn(work)?;
        Ok(made.await.ok())
    }
}

impl Drop for PictureTurn {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else { return };
        loop {
            let Some(next) = shared.turns().next() else { return };
            match next.send(Self { shared: Some(Arc::clone(&shared)) }) {
                Ok(()) => return,
                // Its client has gone. The permit is still ours.
                Err(mut unused) => unused.shared = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn queue(threads: usize) -> PictureQueue {
        let limits = PictureLimits { pixels_max: 1, side_max: 1, memory_max: 1 };
        PictureQueue::new(threads, 8, limits, TaskTracker::new())
    }

    #[tokio::test]
    async fn a_permit_is_never_lost() {
        let queue = queue(1);
        let turn = queue.turn("a").await.unwrap();
        let mut waiting = Box::pin(queue.turn("a"));
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut waiting).await.is_err());
        assert_eq!(queue.waiting(), 1);
        // The turn is in the channel when its request is dropped.
        drop(turn);
        drop(waiting);
        let turn = queue.turn("b").await.unwrap();
        assert_eq!(turn.run(|_| 5).await.unwrap(), Some(5));
        // The hook prints this panic.
        assert_eq!(queue.turn("b").await.unwrap().run(|_| panic!("expected")).await.unwrap(), None::<()>);
        queue.turn("c").await.unwrap();
    }
}
