//! An answer that is good for everybody who asks for a while.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// The last answer and when it was found. Whoever asks while another one looks
/// waits for what that one finds, so that many who ask cost as much as one.
pub(crate) struct Fresh<T> {
    for_: Duration,
    last: Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> Fresh<T> {
    /// Answers are good for this long.
    pub(crate) fn new(for_: Duration) -> Self {
        Self { for_, last: Mutex::new(None) }
    }

    /// The last answer, if it is fresh, or a new one.
    pub(crate) async fn get(&self, find: impl Future<Output = T>) -> T {
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < self.for_
        {
            return answer.clone();
        }
        let answer = find.await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_looks_for_all() {
        let fresh = Fresh::new(Duration::from_secs(600));
        let slow = async |answer: u32| {
            tokio::task::yield_now().await;
            answer
        };
        let (one, other) = tokio::join!(fresh.get(slow(1)), fresh.get(slow(2)));
        assert_eq!((one, other), (1, 1));
        assert_eq!(fresh.get(slow(3)).await, 1);
        let never_fresh = Fresh::new(Duration::ZERO);
        assert_eq!(never_fresh.get(slow(4)).await, 4);
        assert_eq!(never_fresh.get(slow(5)).await, 5);
    }
}
