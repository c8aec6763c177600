//! A result that is reused for a time.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// The last result of a computation, reused for a time. Callers that come while the
/// computation runs wait for its result, so that many callers cost as much as one.
pub(crate) struct Cached<T> {
    lifetime: Duration,
    last: Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> Cached<T> {
    /// Results are reused for `lifetime`.
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self { lifetime, last: Mutex::new(None) }
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
}
