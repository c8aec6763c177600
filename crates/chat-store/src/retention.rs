//! How long entries are kept: the rules that every store has in common.

use chat_core::{FileId, Topic};

/// Which entries of a log are kept; by default all of them.
///
/// The kept entries of a topic have no gap: its oldest entries are removed first. No
/// limit removes an entry before [`KEPT_AT_LEAST_MS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// The number of messages of each topic. Changes before the oldest of them are removed,
    /// too.
    pub entries: Option<u64>,
    /// The age that an entry may reach, in milliseconds.
    pub age_ms: Option<u64>,
}

/// Every entry is kept for 5 minutes: a hub that missed it can still read it, and so can
/// a store that resolves a commit whose answer was lost. Both take seconds; the rest
/// allows for the different clocks of several servers.
pub const KEPT_AT_LEAST_MS: u64 = 5 * 60 * 1000;

/// A nonce is known for 7 days after its message was stored, even if the message was
/// removed, and for as long as the message is kept.
pub const NONCES_KEPT_MS: u64 = 7 * 86_400_000;

impl Retention {
    /// Whether every entry is kept.
    pub fn keeps_all(&self) -> bool {
        self.entries.is_none() && self.age_ms.is_none()
    }
}

/// The position of a trim in a log, to continue from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrimPosition(pub(crate) Stage);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Entries of topics whose rows have a higher id are next.
    Topics { after: i64 },
    /// Nonces whose entries were removed are next.
    #[cfg(feature = "databases")]
    Nonces,
}

impl Default for Stage {
    fn default() -> Self {
        Self::Topics { after: i64::MIN }
    }
}

/// What one step of a trim removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// The number of removed entries.
    pub entries: u64,
    /// The number of removed nonces.
    pub nonces: u64,
    /// The topics that lost entries, each with the oldest number kept.
    pub topics: Vec<(Topic, u64)>,
    /// The files of removed messages, which are marked to be removed. Files may be missing if
    /// the database's answer was lost.
    pub files: Vec<FileId>,
    /// The position of the next step; `None` at the end of the log.
    pub next: Option<TrimPosition>,
}

/// A retention at one moment, which decides about single entries. As numbers and stamps
/// rise, the entries that it removes are the first of their topic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    entries: Option<u64>,
    /// Entries with a lower stamp are too old.
    old_ms: u64,
    /// Entries with this stamp or a higher one stay.
    young_ms: u64,
}

impl Cut {
    pub(crate) fn of(retention: &Retention, now_ms: u64) -> Self {
        Self {
            entries: retention.entries,
            old_ms: retention.age_ms.map_or(0, |age| now_ms.saturating_sub(age)),
            young_ms: now_ms.saturating_sub(KEPT_AT_LEAST_MS),
        }
    }

    /// The number of messages of each topic that are kept.
    pub(crate) fn messages(&self) -> Option<u64> {
        self.entries
    }

    /// Whether an entry is removed, in a topic where this is the number of the oldest
    /// message among those whose number is limited; 1 if it has fewer.
    pub(crate) fn removes(&self, seq: u64, at_ms: u64, oldest_kept: u64) -> bool {
        at_ms < self.young_ms && (seq < oldest_kept || at_ms < self.old_ms)
    }
}

/// Nonces of messages with a lower stamp are removed with their messages.
#[cfg(feature = "databases")]
pub(crate) fn nonces_before(now_ms: u64) -> u64 {
    now_ms.saturating_sub(NONCES_KEPT_MS)
}

/// The entries that one step of a trim removes.
#[cfg(feature = "databases")]
#[derive(Default)]
pub(crate) struct Plan {
    /// The id of a topic's row, and the last number that is removed.
    pub(crate) cuts: Vec<(i64, u64)>,
    /// See [`Trimmed::topics`].
    pub(crate) topics: Vec<(Topic, u64)>,
    /// The number of these entries.
    pub(crate) entries: usize,
}

#[cfg(feature = "databases")]
impl Plan {
    /// Adds the first entries of a topic (number and stamp) that `cut` removes.
    pub(crate) fn add(&mut self, id: i64, topic: Topic, oldest_kept: u64, oldest: &[(u64, u64)], cut: Cut) {
        let removed = oldest.iter().take_while(|(seq, at_ms)| cut.removes(*seq, *at_ms, oldest_kept));
        let (count, upto) = removed.fold((0, 0), |(count, _), (seq, _)| (count + 1, *seq));
        if count > 0 {
            self.entries += count;
            self.cuts.push((id, upto));
            self.topics.push((topic, upto + 1));
        }
    }
}

/// The number of topics that one step looks at.
#[cfg(feature = "databases")]
pub(crate) const TOPICS_AT_ONCE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_too_old_or_too_many_are_removed_but_never_new_ones() {
        let now = 100 * KEPT_AT_LEAST_MS;
        // An entry with the number 7, of this age.
        let removes = |age_ms, oldest_kept, age| {
            Cut::of(&Retention { entries: None, age_ms }, now).removes(7, now - age, oldest_kept)
        };
        let (young, old) = (KEPT_AT_LEAST_MS, KEPT_AT_LEAST_MS + 1);
        assert!(!removes(None, 1, now));
        assert!(removes(None, 8, old) && !removes(None, 7, old));
        assert!(!removes(None, 8, young));
        assert!(removes(Some(2 * old), 1, 2 * old + 1) && !removes(Some(2 * old), 1, 2 * old));
        assert!(!removes(Some(0), 1, young));
    }
}
