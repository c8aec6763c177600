//! How often each user may do something that costs much.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chat_core::Username;

/// What users have done of one kind in the last minute.
pub(crate) struct UserRate {
    per_minute: u32,
    users: Mutex<Users>,
}

#[derive(Default)]
struct Users {
    /// When each user may again do as much as a new one.
    full_at: HashMap<Username, Instant>,
    /// When users who did nothing for a minute were last removed.
    swept_at: Option<Instant>,
}

impl UserRate {
    /// Allows each user `per_minute` times at once, and then as many in each minute.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute: per_minute.max(1), users: Mutex::default() }
    }

    /// Counts one time of a user.
    ///
    /// # Errors
    ///
    /// If the user does it too often: the seconds after which to try again.
    pub(crate) fn count(&self, user: &Username, now: Instant) -> Result<(), u64> {
        let cost = MINUTE / self.per_minute;
        // Each change of the map is whole in one statement.
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let Users { full_at, swept_at } = &mut *users;
        let is_due = swept_at.is_none_or(|at| now.saturating_duration_since(at) >= SWEEP_INTERVAL);
        if full_at.len() >= USERS_MAX && is_due {
            *swept_at = Some(now);
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
/// The shortest time between two removals: each looks at all users.
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
            rate.users.lock().unwrap().full_at.len()
        };
        for number in 0..USERS_MAX {
            count(number, 0);
        }
        assert_eq!(count(USERS_MAX, 0), USERS_MAX + 1);
        assert_eq!(count(USERS_MAX + 1, 999), USERS_MAX + 2);
        assert_eq!(count(USERS_MAX + 2, 1_000), 1);
    }
}
