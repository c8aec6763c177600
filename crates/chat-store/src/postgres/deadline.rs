//! The deadline of a call.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::failure::Failure;
use crate::StoreError;

/// The time by which a call must be answered, over all its attempts, and the pause
/// before the next attempt.
pub(super) struct Deadline {
    at: Instant,
    pause: Duration,
}

impl Deadline {
    /// A deadline `timeout` from now.
    pub(super) fn after(timeout: Duration) -> Self {
        Self { at: Instant::now() + timeout, pause: PAUSE_FIRST }
    }

    /// Waits for something that cannot fail, at most until the deadline.
    pub(super) async fn wait<T>(&self, waited_for: impl Future<Output = T>) -> Result<T, StoreError> {
        timeout_at(self.at, waited_for)
            .await
            .map_err(|_| StoreError::unavailable("all connections to the database were in use for too long"))
    }

    /// Makes one attempt, which takes at most `limit`. An attempt that takes longer is
    /// dropped.
    pub(super) async fn attempt<T>(
        &self,
        limit: Duration,
        attempt: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let at = self.at.min(Instant::now() + limit);
        match timeout_at(at, attempt).await {
            Ok(result) => result,
            Err(_) => Err(Failure::passing(NO_ANSWER)),
        }
    }

    /// Pauses before the next attempt.
    ///
    /// # Errors
    ///
    /// If there is no time for another attempt, or the failure is final.
    pub(super) async fn pause(&mut self, after: Failure) -> Result<(), StoreError> {
        let cause = match after {
            Failure::Passing(cause) => cause,
            Failure::Final(error) => return Err(error),
        };
        let next = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        if next >= self.at {
            return Err(StoreError::Unavailable { source: cause });
        }
        tracing::debug!(%cause, "retrying a query");
        sleep_until(next).await;
        Ok(())
    }
}

const NO_ANSWER: &str = "the database did not answer in time";

/// Short, as an idle connection that has ended only needs to be replaced.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
/// Short, so that a server that is back is used soon.
const PAUSE_MAX: Duration = Duration::from_millis(250);
