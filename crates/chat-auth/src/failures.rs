//! The failed sign-ins that a limiter remembers.

use std::collections::HashMap;

/// The failures of accounts, and of accounts with addresses, by the hash of each. Times
/// are seconds since the limiter was made.
#[derive(Default)]
pub(crate) struct Failures {
    by_key: HashMap<u64, RecentFailures>,
    /// The number of keys after the last clearing.
    cleared_to: usize,
}

/// The failures of one key within its window, and the attempts that are pending.
pub(crate) struct RecentFailures {
    /// The failures, the oldest first.
    pub(crate) failures: Vec<Failure>,
    /// How long a failure counts, in seconds.
    window: u32,
    /// Attempts that have begun and not ended.
    pub(crate) pending: usize,
}

/// A failed sign-in.
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
    /// The failures of this key, whose window has `window` seconds.
    pub(crate) fn of(&mut self, key: u64, window: u32) -> &mut RecentFailures {
        self.by_key.entry(key).or_insert(RecentFailures { failures: Vec::new(), window, pending: 0 })
    }

    /// Forgets the key if nothing is known of it.
    pub(crate) fn forget_if_empty(&mut self, key: u64) {
        if self.by_key.get(&key).is_some_and(RecentFailures::is_empty) {
            self.by_key.remove(&key);
        }
    }

    /// Keeps the number of keys below `max`, with two more to come. Forgets what is older
    /// than its window each time that the number has doubled.
    pub(crate) fn make_room(&mut self, now: u32, max: usize) {
        if self.by_key.len() + 2 <= max.min((2 * self.cleared_to).max(CLEARED_FROM)) {
            return;
        }
        self.by_key.retain(|_, recent| {
            recent.forget_old(now);
            !recent.is_empty()
        });
        if self.by_key.len() + 2 > max {
            // Forgets an arbitrary half: an attacker who fills the memory cannot choose
            // which keys are forgotten.
            let mut keep = false;
            self.by_key.retain(|_, recent| {
                keep = !keep;
                keep || recent.pending > 0
            });
        }
        self.cleared_to = self.by_key.len();
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

    /// How many seconds must pass before another attempt, if `max` failures are allowed;
    /// `None` if an attempt is allowed now.
    pub(crate) fn wait(&self, max: usize, now: u32) -> Option<u32> {
        let over = self.failures.len().checked_sub(max)?;
        let oldest_that_counts = self.failures.get(over).map_or(now, |failure| failure.at);
        Some(oldest_that_counts.saturating_add(self.window).saturating_sub(now).max(1))
    }

    fn is_empty(&self) -> bool {
        self.failures.is_empty() && self.pending == 0
    }
}

/// Below this number of keys nothing is cleared.
const CLEARED_FROM: usize = 1_000;
