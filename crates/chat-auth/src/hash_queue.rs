//! The queue in front of the threads that hash passwords.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::{Password, Verdict};

/// A queue of jobs with a fixed capacity. Jobs whose caller no longer waits are skipped.
pub(crate) struct HashQueue {
    state: Mutex<State>,
    arrived: Condvar,
    max: usize,
}

/// Work for a thread, with the channel for its result.
pub(crate) enum Job {
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

/// Why a job is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum QueueError {
    /// As many jobs wait as may.
    Full,
    /// The queue was closed.
    Closed,
}

struct State {
    waiting: VecDeque<Job>,
    closed: bool,
}

impl HashQueue {
    /// An empty queue, in which `max` jobs may wait.
    pub(crate) fn new(max: usize) -> Self {
        let state = State { waiting: VecDeque::new(), closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new(), max }
    }

    /// Adds a job.
    pub(crate) fn push(&self, job: Job) -> Result<(), QueueError> {
        let mut state = self.state();
        if state.closed {
            return Err(QueueError::Closed);
        }
        if state.waiting.len() >= self.max {
            state.waiting.retain(|waiting| !waiting.is_abandoned());
            if state.waiting.len() >= self.max {
                return Err(QueueError::Full);
            }
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
                if !job.is_abandoned() {
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

    /// The number of jobs that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    /// The number of jobs that may wait.
    pub(crate) fn waiting_max(&self) -> usize {
        self.max
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change is half done where a thread could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
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
    use super::*;

    fn job() -> (Job, oneshot::Receiver<String>) {
        let (answer, hash) = oneshot::channel();
        (Job::Hash { password: Password::parse("p".to_owned()).unwrap(), answer }, hash)
    }

    #[test]
    fn a_thread_without_work_is_idle() {
        let queue = HashQueue::new(1);
        assert!(matches!(queue.next(Some(Duration::from_millis(1))), Next::Idle));
        queue.close();
        assert!(matches!(queue.next(None), Next::Closed));
    }

    #[test]
    fn an_abandoned_job_gives_its_slot_back() {
        let queue = HashQueue::new(1);
        for _ in 0..5 {
            let (job, _abandoned) = job();
            queue.push(job).unwrap();
        }
        let (kept, _hash) = job();
        queue.push(kept).unwrap();
        assert_eq!(queue.push(job().0), Err(QueueError::Full));
        assert!(matches!(queue.next(None), Next::Job(_)));
    }

    #[tokio::test]
    async fn closing_answers_those_that_wait() {
        let queue = HashQueue::new(1);
        let (job, hash) = job();
        queue.push(job).unwrap();
        queue.close();
        assert!(hash.await.is_err());
        assert_eq!(queue.push(self::job().0), Err(QueueError::Closed));
    }
}
