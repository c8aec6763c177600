//! From where names have signed in.

use std::collections::HashSet;

/// Names with the networks from which they have signed in, as hashes. Those that were used
/// last are kept.
#[derive(Default)]
pub(crate) struct KnownPlaces {
    newer: HashSet<u64>,
    older: HashSet<u64>,
}

impl KnownPlaces {
    /// Whether the name has signed in from there. Using a place keeps it.
    pub(crate) fn contains(&mut self, place: u64, max: usize) -> bool {
        if self.newer.contains(&place) {
            return true;
        }
        let is_known = self.older.contains(&place);
        if is_known {
            self.insert(place, max);
        }
        is_known
    }

    /// Remembers a place. Of more than `max` places, half of those are forgotten that were
    /// used longest ago.
    pub(crate) fn insert(&mut self, place: u64, max: usize) {
        if self.newer.insert(place) && self.newer.len() > max / 2 {
            self.older = std::mem::take(&mut self.newer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_are_used_stay_and_memory_is_bounded() {
        let mut places = KnownPlaces::default();
        places.insert(0, 100);
        for place in 1..10_000 {
            places.insert(place, 100);
            assert!(places.contains(0, 100), "{place}");
            assert!(places.newer.len() + places.older.len() <= 102);
        }
        assert!(!places.contains(1, 100));
    }
}
