//! The jobs of the threads that hash passwords.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_turns::Turn;
use tokio::sync::oneshot;

use crate::{Password, Verdict};

/// Jobs that have their turn: about as many as there are threads. Jobs whose caller no longer
/// waits are skipped.
pub(crate) struct HashQueue {
    state: Mutex<State>,
    arrived: Condvar,
}

/// Work for a thread, and the turn that ends with it.
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) turn: Turn,
}

/// What a thread computes, with the channel for its result.
pub(crate) enum Work {
    /// Hash a new password.
    Hash { password: Password, answer: oneshot::Sender<String> },
    /// Check a password against the hash of an account, if there is one.
    Verify { password: Password, hash: Option<String>, answer: oneshot::Sender<Verdict> },
}

/// What a thread does next.
pub(crate) enum Next {
    /// This job.
    Job(Job),
    /// Nothing: no job came for the time that was given.
    Idle,
    /// End: the queue was closed.
    Closed,
}

/// A job is not taken: the queue was closed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueClosed;

struct State {
    waiting: VecDeque<Job>,
    closed: bool,
}

impl HashQueue {
    /// An empty queue.
    pub(crate) fn new() -> Self {
        let state = State { waiting: VecDeque::new(), closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }

    /// Adds a job.
    pub(crate) fn push(&self, job: Job) -> Result<(), QueueClosed> {
        let mut state = self.state();
        if state.closed {
            return Err(QueueClosed);
        }
        state.waiting.push_back(job);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for a job, for at most `idle` or, without it, for any time.
    pub(crate) fn next(&self, idle: Option<Duration>) -> Next {
        let mut state = self.state();
        loop {
            if state.closed {
                return Next::Closed;
            }
            while let Some(job) = state.waiting.pop_front() {
                if !job.work.is_abandoned() {
                    return Next::Job(job);
                }
            }
            match idle {
                None => state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(idle) => {
                    let waited = self.arrived.wait_timeout(state, idle);
                    let timeout;
                    (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() && state.waiting.is_empty() && !state.closed {
                        return Next::Idle;
                    }
                }
            }
        }
    }

    /// Drops all waiting jobs, and ends the threads.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        // The callers notice that their sender was dropped.
        state.waiting.clear();
        self.arrived.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change is half done where a thread could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    /// Whether the caller no longer waits for the result.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Hash { answer, .. } => answer.is_closed(),
            Self::Verify { answer, .. } => answer.is_closed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_turns::{Line, TurnQueue};

    use super::*;

    async fn job() -> (Job, oneshot::Receiver<String>) {
        let turns = TurnQueue::new(1, &[Line { waiting_max: 1, waiting_of_one_max: 1 }]);
        let (answer, hash) = oneshot::channel();
        let work = Work::Hash { password: Password::parse("p".to_owned()).unwrap(), answer };
        (Job { work, turn: turns.turn(0, "a").await.unwrap() }, hash)
    }

    #[test]
    fn a_thread_without_work_is_idle() {
        let queue = HashQueue::new();
        assert!(matches!(queue.next(Some(Duration::from_millis(1))), Next::Idle));
        queue.close();
        assert!(matches!(queue.next(None), Next::Closed));
    }

    #[tokio::test]
    async fn closing_answers_those_that_wait() {
        let queue = HashQueue::new();
        let (job, hash) = job().await;
        queue.push(job).unwrap();
        queue.close();
        assert!(hash.await.is_err());
        assert_eq!(queue.push(self::job().await.0), Err(QueueClosed));
    }
}
