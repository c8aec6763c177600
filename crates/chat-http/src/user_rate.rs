//! How often each user may do something that costs much.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chat_core::Username;

/// What users have done of one kind in the last minute.
pub(crate) struct UserRate {
    per_minute: u32,
    /// When each user may again do as much as a new one.
    full_at: Mutex<HashMap<Username, Instant>>,
}

impl UserRate {
    /// Allows each user `per_minute` times at once, and then as many in each minute.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute: per_minute.max(1), full_at: Mutex::default() }
    }

    /// Counts one time of a user.
    ///
    /// # Errors
    ///
    /// If the user does it too often: the seconds after which to try again.
    pub(crate) fn count(&self, user: &Username, now: Instant) -> Result<(), u64> {
        let cost = MINUTE / self.per_minute;
        // Each change of the map is whole in one statement.
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= USERS_MAX {
            full_at.retain(|_, full_at| *full_at > now);
        }
        let full = full_at.get(user).copied().unwrap_or(now).max(now) + cost;
        let wait = full.saturating_duration_since(now + MINUTE);
        if !wait.is_zero() {
            return Err(wait.as_secs() + 1);
        }
        full_at.insert(user.clone(), full);
        Ok(())
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// With so many users in the map, those who did nothing for a minute are removed.
const USERS_MAX: usize = 10_000;

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
}
