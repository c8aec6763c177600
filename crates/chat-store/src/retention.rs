//! How long entries are kept, as far as it is the same in every store.

use chat_core::Topic;

/// Which entries of a log are kept. By default all of them.
///
/// What is kept of a topic has no hole: its oldest entries go first. Whatever is
/// said here, an entry stays for [`KEPT_AT_LEAST_MS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Entries of each room and each private conversation.
    pub entries: Option<u64>,
    /// How old an entry may become, in milliseconds.
    pub age_ms: Option<u64>,
}

/// Every entry is kept for this long: whoever missed one a moment ago still finds
/// it, and so does a store that looks for what became of a lost commit. Much
/// longer than either takes, as the clocks of several servers differ.
pub const KEPT_AT_LEAST_MS: u64 = 5 * 60 * 1000;

/// A nonce is known for this long after its message was stored, even if the
/// message is gone; and as long as the message is there.
pub const NONCES_KEPT_MS: u64 = 7 * 86_400_000;

impl Retention {
    /// Whether there is nothing to do.
    pub fn keeps_all(&self) -> bool {
        self.entries.is_none() && self.age_ms.is_none()
    }
}

/// How far a look through a log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrimPosition(pub(crate) Stage);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The topics behind this row are to be looked at.
    Topics { after: i64 },
    /// The nonces whose entries are gone.
    Nonces,
}

impl Default for Stage {
    fn default() -> Self {
        Self::Topics { after: i64::MIN }
    }
}

/// What was removed from a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// How many entries.
    pub entries: u64,
    /// How many nonces.
    pub nonces: u64,
    /// The topics that lost entries, and the number below which all are gone.
    pub topics: Vec<(Topic, u64)>,
    /// Where to go on; `None` at the end.
    pub next: Option<TrimPosition>,
}

/// A retention at a moment: decides about one entry after the other. As numbers
/// and stamps rise, those that go are the first ones of their topic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    entries: Option<u64>,
    /// What was stored before goes.
    old_ms: u64,
    /// What was stored after stays.
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

    /// Whether the entry goes, in a topic with that last number.
    pub(crate) fn takes(&self, seq: u64, at_ms: u64, last: u64) -> bool {
        let too_many = self.entries.is_some_and(|kept| last.saturating_sub(seq) >= kept);
        at_ms < self.young_ms && (too_many || at_ms < self.old_ms)
    }
}

/// Nonces of messages that were stored before this are forgotten with them.
pub(crate) fn nonces_before(now_ms: u64) -> u64 {
    now_ms.saturating_sub(NONCES_KEPT_MS)
}

/// The oldest entries of topics that are to go: `(topic, up to this number)`, as
/// many as may go at once.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) cuts: Vec<(i64, u64)>,
    pub(crate) topics: Vec<(Topic, u64)>,
    pub(crate) entries: usize,
}

impl Plan {
    /// Takes in the oldest entries of a topic, number and stamp, as far as they go.
    pub(crate) fn add(&mut self, id: i64, topic: Topic, last: u64, oldest: &[(u64, u64)], cut: Cut) {
        let go = oldest.iter().take_while(|(seq, at_ms)| cut.takes(*seq, *at_ms, last));
        let (count, upto) = go.fold((0, 0), |(count, _), (seq, _)| (count + 1, *seq));
        if count > 0 {
            self.entries += count;
            self.cuts.push((id, upto));
            self.topics.push((topic, upto + 1));
        }
    }
}

/// Topics that are looked at in one go.
pub(crate) const TOPICS_AT_ONCE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_is_too_old_or_one_too_many_but_never_new() {
        let now = 100 * KEPT_AT_LEAST_MS;
        let takes = |entries, age_ms, seq, age| {
            Cut::of(&Retention { entries, age_ms }, now).takes(seq, now - age, 10)
        };
        let (young, old) = (KEPT_AT_LEAST_MS, KEPT_AT_LEAST_MS + 1);
        assert!(!takes(None, None, 1, now));
        assert!(takes(Some(3), None, 7, old) && !takes(Some(3), None, 8, old));
        assert!(!takes(Some(3), None, 7, young));
        assert!(takes(Some(0), None, 10, old) && !takes(Some(u64::MAX), None, 1, old));
        assert!(takes(None, Some(2 * old), 10, 2 * old + 1) && !takes(None, Some(2 * old), 1, 2 * old));
        assert!(!takes(None, Some(0), 1, young));
    }
}
