//! Limits on how much is done at one time, for each user or network and in all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Limits how many operations run at one time, for each `K` (a user, or a network) and in all.
#[derive(Debug)]
pub(crate) struct Permits<K> {
    in_all_max: usize,
    of_one_max: usize,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

/// Why an operation cannot begin now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TooMany {
    /// This one has as many as one may have: one only, while half of all places are taken.
    OfOne,
    /// All together have as many as there may be.
    InAll,
}

impl<K: Eq + Hash + Clone> Permits<K> {
    /// At most `in_all_max` at one time (`usize::MAX`: any number), and `of_one_max` of each.
    pub(crate) fn new(in_all_max: usize, of_one_max: usize) -> Self {
        Self { in_all_max, of_one_max, taken: Arc::default() }
    }

    /// Takes a permit for one operation.
    ///
    /// # Errors
    ///
    /// [`TooMany`].
    pub(crate) fn take(&self, one: &K) -> Result<Permit<K>, TooMany> {
        let mut taken = lock(&self.taken);
        let in_all = taken.values().sum::<usize>();
        if in_all >= self.in_all_max {
            return Err(TooMany::InAll);
        }
        // The second half of the places is for those who have none.
        let of_one_max = if in_all >= self.in_all_max.div_ceil(2) { 1 } else { self.of_one_max };
        let of_one = taken.entry(one.clone()).or_default();
        if *of_one >= of_one_max {
            return Err(TooMany::OfOne);
        }
        *of_one += 1;
        Ok(Permit { taken: Arc::clone(&self.taken), one: one.clone() })
    }
}

fn lock<K>(taken: &Mutex<HashMap<K, usize>>) -> MutexGuard<'_, HashMap<K, usize>> {
    // Each change is complete in one statement, so that a poisoned lock is safe.
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The permit for one operation, which is given back when this value is dropped.
#[derive(Debug)]
pub(crate) struct Permit<K: Eq + Hash> {
    taken: Arc<Mutex<HashMap<K, usize>>>,
    one: K,
}

impl<K: Eq + Hash> Drop for Permit<K> {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(count) = taken.get_mut(&self.one) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.one);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_limited_for_each_and_in_all_and_come_back() {
        let permits = Permits::new(4, 2);
        let first = permits.take(&"alice").ok().unwrap();
        let _second = permits.take(&"alice").ok().unwrap();
        assert_eq!(permits.take(&"alice").err(), Some(TooMany::OfOne));
        let third = permits.take(&"bob").ok().unwrap();
        assert_eq!(permits.take(&"bob").err(), Some(TooMany::OfOne), "half of the places are taken");
        let fourth = permits.take(&"carol").ok().unwrap();
        assert_eq!(permits.take(&"carol").err(), Some(TooMany::InAll));
        drop((first, third, fourth));
        assert!(permits.take(&"alice").is_ok());
    }
}
