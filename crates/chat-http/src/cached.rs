//! A result that is reused for a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// The last result of a computation, reused for a time. Callers that come while the
/// computation runs wait for its result, so that many callers cost as much as one.
pub(crate) struct Cached<T> {
    lifetime: Duration,
    rest: u32,
    last: Arc<Mutex<Option<Last<T>>>>,
}

struct Last<T> {
    computed_at: Instant,
    /// The time that the computation took.
    took: Duration,
    result: T,
}

impl<T> Last<T> {
    fn is_young(&self, lifetime: Duration, rest: u32) -> bool {
        self.computed_at.elapsed() < lifetime.max(self.took * rest)
    }
}

impl<T: Clone> Cached<T> {
    /// Results are reused for `lifetime`.
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self { lifetime, rest: 0, last: Arc::default() }
    }

    /// Results are also reused for `rest` times as long as their computation took, so that
    /// an expensive one takes a small share of the time.
    pub(crate) fn resting(self, rest: u32) -> Self {
        Self { rest, ..self }
    }

    /// The last result if it is young enough, otherwise that of `compute`.
    pub(crate) async fn get(&self, compute: impl Future<Output = T>) -> T {
        let mut last = self.last.lock().await;
        if let Some(last) = &*last
            && last.is_young(self.lifetime, self.rest)
        {
            return last.result.clone();
        }
        let started = Instant::now();
        let result = compute.await;
        *last = Some(Last { computed_at: Instant::now(), took: started.elapsed(), result: result.clone() });
        result
    }

    /// Forgets the last result, so that the next caller gets one that was computed after this.
    /// A computation that runs ends first.
    pub(crate) async fn forget(&self) {
        *self.last.lock().await = None;
    }

    /// The same as [`Self::get`], for a computation that is expensive: it runs in a task of its own, and
    /// goes on when its caller gives up, so that no caller makes it start again.
    ///
    /// # Errors
    ///
    /// If the computation panics.
    pub(crate) async fn get_detached(
        &self,
        tasks: &TaskTracker,
        compute: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError>
    where
        T: Send + 'static,
    {
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if let Some(last) = &*last
            && last.is_young(self.lifetime, self.rest)
        {
            return Ok(last.result.clone());
        }
        let computed = tasks.spawn(async move {
            let started = Instant::now();
            let result = compute.await;
            *last =
                Some(Last { computed_at: Instant::now(), took: started.elapsed(), result: result.clone() });
            result
        });
        computed.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn callers_at_the_same_time_share_a_result() {
        let cached = Cached::new(Duration::from_secs(600));
        let slow = async |result: u32| {
            tokio::task::yield_now().await;
            result
        };
        let (one, other) = tokio::join!(cached.get(slow(1)), cached.get(slow(2)));
        assert_eq!((one, other), (1, 1));
        assert_eq!(cached.get(slow(3)).await, 1);
        cached.forget().await;
        assert_eq!(cached.get(slow(2)).await, 2);
        let never_cached = Cached::new(Duration::ZERO);
        assert_eq!(never_cached.get(slow(4)).await, 4);
        assert_eq!(never_cached.get(slow(5)).await, 5);
    }

    #[test]
    fn the_result_of_a_slow_computation_is_reused_for_longer() {
        let seconds = Duration::from_secs;
        let is_young = |ago, took| {
            let computed_at = Instant::now() - seconds(ago);
            Last { computed_at, took: seconds(took), result: () }.is_young(seconds(10), 20)
        };
        assert!(is_young(9, 0) && !is_young(11, 0));
        assert!(is_young(39, 2) && !is_young(41, 2));
    }

    #[tokio::test]
    async fn a_detached_computation_outlives_its_caller() {
        let (cached, tasks) = (Cached::new(Duration::from_secs(600)), TaskTracker::new());
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let first = cached.get_detached(&tasks, async { wait.await.map(|()| 1).unwrap() });
        assert!(tokio::time::timeout(Duration::from_millis(20), first).await.is_err(), "it waits");
        go.send(()).unwrap();
        assert_eq!(cached.get_detached(&tasks, async { 2 }).await.unwrap(), 1);
        let broken = Cached::<u32>::new(Duration::ZERO);
        assert!(broken.get_detached(&tasks, async { panic!("planted") }).await.is_err());
        assert_eq!(broken.get_detached(&tasks, async { 3 }).await.unwrap(), 3);
    }
}
