//! How fast each user may change rooms and their members: every change is a transaction
//! of its own, before which the messages of its lane wait.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chat_core::Username;

use crate::error::HttpError;

/// The changes that users have made in the last minute.
pub(crate) struct RoomChangeRate {
    per_minute: u32,
    /// When each user may again make as many changes as a new one.
    full_at: Mutex<HashMap<Username, Instant>>,
}

impl RoomChangeRate {
    /// Allows each user `per_minute` changes at once, and then as many in each minute.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute: per_minute.max(1), full_at: Mutex::default() }
    }

    /// Counts a change of a user.
    ///
    /// # Errors
    ///
    /// [`HttpError::TooManyChanges`] if the user makes changes too fast.
    pub(crate) fn count(&self, user: &Username, now: Instant) -> Result<(), HttpError> {
        let cost = MINUTE / self.per_minute;
        // Every change of the map is whole in one statement.
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= USERS_MAX {
            full_at.retain(|_, full_at| *full_at > now);
        }
        let full = full_at.get(user).copied().unwrap_or(now).max(now) + cost;
        let wait = full.saturating_duration_since(now + MINUTE);
        if !wait.is_zero() {
            return Err(HttpError::TooManyChanges { retry_after_seconds: wait.as_secs() + 1 });
        }
        full_at.insert(user.clone(), full);
        Ok(())
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// With so many users in the map, those who have made no change for a minute are removed.
const USERS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_steady_rate_for_each_user() {
        let rate = RoomChangeRate::new(60);
        let [alice, bob] = ["alice", "bob"].map(|name| Username::known(name).unwrap());
        let start = Instant::now();
        for _ in 0..60 {
            rate.count(&alice, start).unwrap();
        }
        let refused = rate.count(&alice, start).unwrap_err();
        assert!(matches!(refused, HttpError::TooManyChanges { retry_after_seconds: 1..=2 }), "{refused}");
        rate.count(&bob, start).unwrap();
        let later = start + Duration::from_secs(2);
        assert!(rate.count(&alice, later).is_ok());
        assert!(rate.count(&alice, later).is_ok());
        assert!(rate.count(&alice, later).is_err());
    }
}
