//! How long a caller waits, over all that is tried for it.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::failure::Failure;
use crate::StoreError;

/// How long a caller waits, over all that is tried for it.
pub(super) struct Patience {
    ends: Instant,
    pause: Duration,
}

impl Patience {
    pub(super) fn of(total: Duration) -> Self {
        Self { ends: Instant::now() + total, pause: PAUSE_FIRST }
    }

    /// Waits for something that cannot fail, at most until the end.
    pub(super) async fn wait<T>(&self, waited_for: impl Future<Output = T>) -> Result<T, StoreError> {
        timeout_at(self.ends, waited_for)
            .await
            .map_err(|_| StoreError::unavailable("all connections to the database were in use for too long"))
    }

    /// One try, which takes at most `limit`. Given up in the middle, its future
    /// is dropped.
    pub(super) async fn attempt<T>(
        &self,
        limit: Duration,
        attempt: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let ends = self.ends.min(Instant::now() + limit);
        match timeout_at(ends, attempt).await {
            Ok(result) => result,
            Err(_) => Err(Failure::passing(NO_ANSWER)),
        }
    }

    /// Waits before the next try. An error says that there is no time for one,
    /// or that it would be in vain.
    pub(super) async fn pause(&mut self, after: Failure) -> Result<(), StoreError> {
        let cause = match after {
            Failure::Passing(cause) => cause,
            Failure::Final(error) => return Err(error),
        };
        let next = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        if next >= self.ends {
            return Err(StoreError::Unavailable { source: cause });
        }
        tracing::debug!(%cause, "asking the database again");
        sleep_until(next).await;
        Ok(())
    }
}

const NO_ANSWER: &str = "the database did not answer in time";

/// A connection that ended while nobody looked is replaced at once.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
/// Short, so that a server that is back is found soon.
const PAUSE_MAX: Duration = Duration::from_millis(250);
