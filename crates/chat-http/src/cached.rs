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
    last: Arc<Mutex<Option<(Instant, T)>>>,
}

impl<T: Clone> Cached<T> {
    /// Results are reused for `lifetime`.
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self { lifetime, last: Arc::default() }
    }

    /// The last result if it is young enough, otherwise that of `compute`.
    pub(crate) async fn get(&self, compute: impl Future<Output = T>) -> T {
        let mut last = self.last.lock().await;
        if let Some((at, result)) = &*last
            && at.elapsed() < self.lifetime
        {
            return result.clone();
        }
        let result = compute.await;
        *last = Some((Instant::now(), result.clone()));
        result
    }

    /// The same, for a computation that is expensive: it runs in a task of its own, and
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
        if let Some((at, result)) = &*last
            && at.elapsed() < self.lifetime
        {
            return Ok(result.clone());
        }
        let computed = tasks.spawn(async move {
            let result = compute.await;
            *last = Some((Instant::now(), result.clone()));
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
        let never_cached = Cached::new(Duration::ZERO);
        assert_eq!(never_cached.get(slow(4)).await, 4);
        assert_eq!(never_cached.get(slow(5)).await, 5);
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
