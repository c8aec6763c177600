//! The queue, shared by the requests.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::turns::{Arrival, Line, Turns};

/// Permits, and the lines of requests that wait for one.
///
/// A full line takes the place of a new request from the name that has the most in it. A
/// request that is dropped leaves its line.
#[derive(Clone)]
pub struct TurnQueue {
    turns: Arc<Mutex<Turns<Turn>>>,
}

/// As many requests as allowed wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("as many requests as allowed wait")]
pub struct QueueFull;

impl TurnQueue {
    /// A queue with `permits` permits (at least one), and these lines, of which the first ones
    /// go first.
    ///
    /// # Panics
    ///
    /// Without a line.
    pub fn new(permits: usize, lines: &[Line]) -> Self {
        Self { turns: Arc::new(Mutex::new(Turns::new(permits.max(1), lines))) }
    }

    /// Waits in a line for a turn on behalf of `who`, any name by which turns are shared out
    /// fairly.
    ///
    /// # Errors
    ///
    /// [`QueueFull`], at once, or when the request of another name needs the place.
    ///
    /// # Panics
    ///
    /// If there is no such line.
    pub async fn turn(&self, line: usize, who: &str) -> Result<Turn, QueueFull> {
        let arrival = self.turns().arrive(line, who);
        match arrival {
            Arrival::Now => Ok(Turn { turns: Some(Arc::clone(&self.turns)) }),
            Arrival::Later(turn) => turn.await.map_err(|_| QueueFull),
            Arrival::Full => Err(QueueFull),
        }
    }

    /// The number of requests that wait, in all lines.
    pub fn waiting(&self) -> usize {
        self.turns().len()
    }

    fn turns(&self) -> MutexGuard<'_, Turns<Turn>> {
        lock(&self.turns)
    }
}

fn lock(turns: &Mutex<Turns<Turn>>) -> MutexGuard<'_, Turns<Turn>> {
    // Each change is complete in one call, so that a poisoned lock is safe.
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The turn of one request: a permit. Dropping it gives it to the next request.
pub struct Turn {
    /// `None` once the permit belongs to another turn.
    turns: Option<Arc<Mutex<Turns<Turn>>>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.turns.take() else { return };
        loop {
            let Some(next) = lock(&turns).next() else { return };
            match next.send(Self { turns: Some(Arc::clone(&turns)) }) {
                Ok(()) => return,
                // Its client has gone. The permit is still ours.
                Err(mut unused) => unused.turns = None,
            }
        }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_permit_is_never_lost() {
        let queue = TurnQueue::new(1, &[Line { waiting_max: 8, waiting_of_one_max: 8 }]);
        let turn = queue.turn(0, "a").await.unwrap();
        let mut waiting = Box::pin(queue.turn(0, "a"));
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut waiting).await.is_err());
        assert_eq!(queue.waiting(), 1);
        // The turn is in the channel when its request is dropped.
        drop(turn);
        drop(waiting);
        drop(queue.turn(0, "b").await.unwrap());
        queue.turn(0, "c").await.unwrap();
    }
}
