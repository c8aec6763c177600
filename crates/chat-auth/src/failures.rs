//! The sign-ins that a limiter remembers.

use std::collections::{BTreeMap, HashMap};

/// What counts for each key: its failures, or all its attempts. Keys are hashes, times are
/// seconds since the limiter was made.
#[derive(Default)]
pub(crate) struct Failures {
    by_key: HashMap<u64, RecentFailures>,
    /// The number of keys after the last clearing.
    cleared_to: usize,
    /// When the last clearing found nothing to forget.
    full_at: Option<u32>,
}

/// What counts for one key within its window, and the attempts that are pending.
pub(crate) struct RecentFailures {
    /// The failures (or attempts), the oldest first.
    pub(crate) failures: Vec<Failure>,
    /// How many are allowed within the window.
    max: usize,
    /// How long a failure counts, in seconds.
    window: u32,
    /// Attempts that have begun and not ended.
    pub(crate) pending: usize,
}

/// A failed sign-in, or an attempt.
pub(crate) struct Failure {
    /// When it was, in seconds.
    pub(crate) at: u32,
    /// The account that the name had found; `None` if there was none.
    pub(crate) account: Option<AccountTag>,
}

/// A part of the hash of an account's exact name: two accounts of one key are told apart
/// by it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct AccountTag(pub(crate) u32);

impl Failures {
    /// What counts for this key, of which `max` are allowed within `window` seconds.
    pub(crate) fn of(&mut self, key: u64, window: u32, max: usize) -> &mut RecentFailures {
        let new = || RecentFailures { failures: Vec::new(), max, window, pending: 0 };
        self.by_key.entry(key).or_insert_with(new)
    }

    /// What counts for this key, if anything does.
    pub(crate) fn get(&self, key: u64) -> Option<&RecentFailures> {
        self.by_key.get(&key)
    }

    /// Forgets the key if nothing is known of it.
    pub(crate) fn forget_if_empty(&mut self, key: u64) {
        if self.by_key.get(&key).is_some_and(RecentFailures::is_empty) {
            self.by_key.remove(&key);
        }
    }

    /// Keeps the number of keys below `max`, with those of one attempt to come, and returns
    /// whether there is room for them. Forgets what is older than its window each time that
    /// the number has doubled; then, if that is not enough, the keys with the fewest failures,
    /// of which an attacker needs very many to fill the memory. A key that is at its limit
    /// stays: its account would be open to further guesses.
    pub(crate) fn make_room(&mut self, now: u32, max: usize) -> bool {
        let has_room = |number: usize| number + KEYS_OF_AN_ATTEMPT <= max;
        let len = self.by_key.len();
        if has_room(len) && len + KEYS_OF_AN_ATTEMPT <= (2 * self.cleared_to).max(CLEARED_FROM) {
            return true;
        }
        if self.full_at == Some(now) {
            // Looking at all keys once more would find the same.
            return false;
        }
        self.by_key.retain(|_, recent| {
            recent.forget_old(now);
            !recent.is_empty()
        });
        if !has_room(self.by_key.len()) {
            self.forget_low(self.by_key.len() - max / 4 * 3);
        }
        self.cleared_to = self.by_key.len();
        let has_room = has_room(self.by_key.len());
        self.full_at = (!has_room).then_some(now);
        has_room
    }

    /// Forgets about `wanted` keys, those with the fewest failures.
    fn forget_low(&mut self, wanted: usize) {
        let mut keys_with = BTreeMap::<usize, usize>::new();
        for recent in self.by_key.values().filter(|recent| recent.may_be_forgotten()) {
            *keys_with.entry(recent.failures.len()).or_default() += 1;
        }
        let mut found = 0;
        let most = keys_with.into_iter().find(|(_, keys)| {
            found += keys;
            found >= wanted
        });
        // If all of them are too few, all of them go.
        let most = most.map_or(usize::MAX, |(failures, _)| failures);
        self.by_key.retain(|_, recent| !recent.may_be_forgotten() || recent.failures.len() > most);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    #[cfg(test)]
    pub(crate) fn has_none(&self) -> bool {
        self.by_key.values().all(RecentFailures::is_empty)
    }
}

impl RecentFailures {
    /// Forgets failures that are older than the window.
    pub(crate) fn forget_old(&mut self, now: u32) {
        let window = self.window;
        self.failures.retain(|failure| now < failure.at.saturating_add(window));
    }

    /// How many seconds must pass before another attempt; `None` if one is allowed now.
    pub(crate) fn wait(&self, now: u32) -> Option<u32> {
        let over = self.failures.len().checked_sub(self.max)?;
        let oldest_that_counts = self.failures.get(over).map_or(now, |failure| failure.at);
        Some(oldest_that_counts.saturating_add(self.window).saturating_sub(now).max(1))
    }

    /// Whether the pending attempts and one more stay below the limit, even if all of them
    /// fail.
    pub(crate) fn is_free(&self) -> bool {
        self.failures.len() + self.pending < self.max
    }

    /// Failures within the window, as of the last attempt, and pending attempts.
    pub(crate) fn counted(&self) -> usize {
        self.failures.len() + self.pending
    }

    fn may_be_forgotten(&self) -> bool {
        self.pending == 0 && self.failures.len() < self.max
    }

    fn is_empty(&self) -> bool {
        self.failures.is_empty() && self.pending == 0
    }
}

/// Keys that one attempt may add.
const KEYS_OF_AN_ATTEMPT: usize = 4;
/// Below this number of keys nothing is cleared.
const CLEARED_FROM: usize = 1_000;
