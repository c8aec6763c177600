//! How many files are received, or sent, at one time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chat_core::Username;

/// How many files are received, or sent, at one time, of each user and in all. Cloning
/// increments a reference count.
#[derive(Clone)]
pub(crate) struct Permits {
    in_all_max: usize,
    of_user_max: usize,
    users: Arc<Mutex<HashMap<Username, usize>>>,
}

/// Why a file cannot be received, or sent, now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TooMany {
    /// The user has as many as a user may: one only, while half of all places are taken.
    OfUser,
    /// All users together have as many as there may be.
    InAll,
}

impl Permits {
    /// At most `in_all_max` files (`usize::MAX`: any number), and `of_user_max` of each user.
    pub(crate) fn new(in_all_max: usize, of_user_max: usize) -> Self {
        Self { in_all_max, of_user_max, users: Arc::default() }
    }

    /// Takes a permit for one file.
    ///
    /// # Errors
    ///
    /// [`TooMany`].
    pub(crate) fn take(&self, user: &Username) -> Result<Permit, TooMany> {
        let mut users = self.users();
        let in_all = users.values().sum::<usize>();
        if in_all >= self.in_all_max {
            return Err(TooMany::InAll);
        }
        // The second half of the places is for users who have none.
        let of_user_max = if in_all >= self.in_all_max.div_ceil(2) { 1 } else { self.of_user_max };
        let of_user = users.entry(user.clone()).or_default();
        if *of_user >= of_user_max {
            return Err(TooMany::OfUser);
        }
        *of_user += 1;
        Ok(Permit { permits: self.clone(), user: user.clone() })
    }

    fn users(&self) -> MutexGuard<'_, HashMap<Username, usize>> {
        // Each change is complete in one statement, so that a poisoned lock is safe.
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permit for one file, which is given back when this value is dropped.
pub(crate) struct Permit {
    permits: Permits,
    user: Username,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut users = self.permits.users();
        if let Some(count) = users.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_limited_for_a_user_and_in_all_and_come_back() {
        let permits = Permits::new(4, 2);
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| Username::known(name).unwrap());
        let first = permits.take(&alice).ok().unwrap();
        let _second = permits.take(&alice).ok().unwrap();
        assert_eq!(permits.take(&alice).err(), Some(TooMany::OfUser));
        let third = permits.take(&bob).ok().unwrap();
        assert_eq!(permits.take(&bob).err(), Some(TooMany::OfUser), "half of the places are taken");
        let fourth = permits.take(&carol).ok().unwrap();
        assert_eq!(permits.take(&carol).err(), Some(TooMany::InAll));
        drop((first, third, fourth));
        assert!(permits.take(&alice).is_ok());
    }
}
