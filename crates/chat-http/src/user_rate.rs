//! How often each user, or each address, may do something that costs much.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chat_core::Username;

/// What users have done of one kind in the last minute.
pub(crate) type UserRate = Rate<Username>;

/// What each user, or each address, has done of one kind in the last time.
pub(crate) struct Rate<K> {
    max: u32,
    within: Duration,
    keys: Mutex<Keys<K>>,
}

struct Keys<K> {
    /// When each may again do as much as a new one.
    full_at: HashMap<K, Instant>,
    /// When those that did nothing in the last time were last removed.
    swept_at: Option<Instant>,
}

impl UserRate {
    /// Allows each user `per_minute` times at once, and then as many in each minute.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self::within(Duration::from_secs(60), per_minute)
    }
}

impl<K: Clone + Eq + Hash> Rate<K> {
    /// Allows each key `max` times (at least one) at once, and then as many within this time.
    pub(crate) fn within(within: Duration, max: u32) -> Self {
        Self { max: max.max(1), within, keys: Mutex::new(Keys { full_at: HashMap::new(), swept_at: None }) }
    }

    /// Counts one time.
    ///
    /// # Errors
    ///
    /// If this is too often: the seconds after which to try again.
    pub(crate) fn count(&self, key: &K, now: Instant) -> Result<(), u64> {
        let mut keys = self.keys();
        let Keys { full_at, swept_at } = &mut *keys;
        let is_due = swept_at.is_none_or(|at| now.saturating_duration_since(at) >= SWEEP_INTERVAL);
        if full_at.len() >= KEYS_MAX && is_due {
            *swept_at = Some(now);
            full_at.retain(|_, full_at| *full_at > now);
        }
        let full = self.after(full_at, key, now)?;
        full_at.insert(key.clone(), full);
        Ok(())
    }

    /// Whether [`count`](Self::count) would allow it.
    ///
    /// # Errors
    ///
    /// Those of `count`.
    pub(crate) fn check(&self, key: &K, now: Instant) -> Result<(), u64> {
        self.after(&self.keys().full_at, key, now).map(|_| ())
    }

    /// Takes back one time that was counted.
    pub(crate) fn give_back(&self, key: &K) {
        if let Some(full_at) = self.keys().full_at.get_mut(key) {
            *full_at = full_at.checked_sub(self.within / self.max).unwrap_or(*full_at);
        }
    }

    /// When the key may again do as much as a new one, after one more time.
    fn after(&self, full_at: &HashMap<K, Instant>, key: &K, now: Instant) -> Result<Instant, u64> {
        let full = full_at.get(key).copied().unwrap_or(now).max(now) + self.within / self.max;
        let wait = full.saturating_duration_since(now + self.within);
        if wait.is_zero() { Ok(full) } else { Err(wait.as_secs() + 1) }
    }

    fn keys(&self) -> MutexGuard<'_, Keys<K>> {
        // Each change of the map is whole in one statement.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With so many keys in the map, those that did nothing in the last time are removed.
const KEYS_MAX: usize = 10_000;
/// The shortest time between two removals: each looks at all keys.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_steady_rate_for_each_user() {
        let rate = UserRate::new(60);
        let [alice, bob] = ["alice", "bob"].map(|name| Username::known(name).unwrap());
        let start = Instant::now();
        for _ in 0..60 {
            rate.count(&alice, start).unwrap();
        }
        let refused = rate.count(&alice, start).unwrap_err();
        assert!((1..=2).contains(&refused), "{refused}");
        rate.count(&bob, start).unwrap();
        let later = start + Duration::from_secs(2);
        assert!(rate.count(&alice, later).is_ok());
        assert!(rate.count(&alice, later).is_ok());
        assert!(rate.count(&alice, later).is_err());
    }

    #[test]
    fn users_who_do_nothing_are_removed_at_most_once_a_second() {
        // What a user has done is forgotten after a millisecond.
        let rate = UserRate::new(60_000);
        let start = Instant::now();
        let count = |number: usize, ms| {
            let user = Username::known(&format!("user {number}")).unwrap();
            rate.count(&user, start + Duration::from_millis(ms)).unwrap();
            rate.keys.lock().unwrap().full_at.len()
        };
        for number in 0..KEYS_MAX {
            count(number, 0);
        }
        assert_eq!(count(KEYS_MAX, 0), KEYS_MAX + 1);
        assert_eq!(count(KEYS_MAX + 1, 999), KEYS_MAX + 2);
        assert_eq!(count(KEYS_MAX + 2, 1_000), 1);
    }
}
