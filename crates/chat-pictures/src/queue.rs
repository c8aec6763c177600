//! The queue in front of the threads that decode and encode pictures.

use std::io;
use std::sync::Arc;

use chat_turns::{Line, Turn, TurnQueue};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

pub use chat_turns::QueueFull;

use crate::PictureLimits;

/// The queue in front of the threads that decode and encode pictures. Each picture has a
/// thread of its own, and only a limited number of them work at one time.
///
/// Users get their turns one after another, however many requests each of them has, and
/// addresses that register do, behind the users. A full queue takes the place of a new request
/// from the user who has the most. A request that is dropped leaves the queue.
#[derive(Clone)]
pub struct PictureQueue {
    shared: Arc<Shared>,
}

struct Shared {
    limits: PictureLimits,
    turns: TurnQueue,
    /// Tracks the threads: they cannot be cancelled, so the server waits for them.
    tasks: TaskTracker,
}

/// Who waits for a turn.
#[derive(Debug, Clone, Copy)]
pub enum PictureFor<'a> {
    /// A user, by name.
    User(&'a str),
    /// Somebody who registers, by their address.
    Registration(&'a str),
}

impl PictureQueue {
    /// A queue for `threads` threads (at least one), in which `waiting_max` requests of users
    /// may wait, and as many of people who register. `tasks` tracks the threads.
    pub fn new(threads: usize, waiting_max: usize, limits: PictureLimits, tasks: TaskTracker) -> Self {
        let users = Line { waiting_max, waiting_of_one_max: waiting_max };
        // Not all of one address: the next one finds a place.
        let registrations = Line { waiting_max, waiting_of_one_max: (3 * waiting_max).div_ceil(4) };
        let turns = TurnQueue::new(threads, &[users, registrations]);
        Self { shared: Arc::new(Shared { limits, turns, tasks }) }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    ///
    /// [`QueueFull`], at once, or when the request of another user needs the place.
    pub async fn turn(&self, on_behalf: PictureFor<'_>) -> Result<PictureTurn, QueueFull> {
        let (line, who) = match on_behalf {
            PictureFor::User(name) => (0, name),
            PictureFor::Registration(address) => (1, address),
        };
        let turn = self.shared.turns.turn(line, who).await?;
        Ok(PictureTurn { shared: Arc::clone(&self.shared), turn })
    }

    /// The number of requests that wait.
    pub fn waiting(&self) -> usize {
        self.shared.turns.waiting()
    }
}

/// The turn of one request: a permit for one thread. Dropping it gives it to the next
/// request.
pub struct PictureTurn {
    shared: Arc<Shared>,
    turn: Turn,
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
        let Self { shared, turn } = self;
        let (answer, made) = oneshot::channel();
        let task = shared.tasks.token();
        let limits = shared.limits;
        let work = move || {
            let made = work(limits);
            drop(turn);
            // The request may have been dropped.
            let _ = answer.send(made);
            drop(task);
        };
        std::thread::Builder::new().name("picture".to_owned()).spawn(work)?;
        Ok(made.await.ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_ends_with_its_work_also_by_a_panic() {
        let limits = PictureLimits { pixels_max: 1, side_max: 1, memory_max: 1 };
        let queue = PictureQueue::new(1, 8, limits, TaskTracker::new());
        let turn = queue.turn(PictureFor::User("b")).await.unwrap();
        assert_eq!(turn.run(|_| 5).await.unwrap(), Some(5));
        // The hook prints this panic.
        let turn = queue.turn(PictureFor::Registration("192.0.2.1")).await.unwrap();
        assert_eq!(turn.run(|_| panic!("expected")).await.unwrap(), None::<()>);
        queue.turn(PictureFor::User("c")).await.unwrap();
    }
}
