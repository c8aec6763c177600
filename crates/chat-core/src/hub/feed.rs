//! How far a topic was delivered on this hub, and whether entries are missing.

/// How far a topic was delivered on this hub, and how far it is committed.
///
/// What the bus carries is only a hint: an entry is taken when it is the next
/// one; any other is either old, or shows that the log must be read.
#[derive(Debug, Default)]
pub(super) struct Feed {
    /// The number of the last entry taken; `None` until the log was read.
    top: Option<u64>,
    /// The highest number known to be committed.
    committed: u64,
}

/// What the number of an entry means to a feed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// The next one: take it.
    Next,
    /// Taken before: drop it.
    Known,
    /// Something before it is missing, or nothing is known yet: read the log.
    Hole,
}

impl Feed {
    /// A feed that has taken everything up to `top`.
    pub(super) fn at(top: u64) -> Self {
        Self { top: Some(top), committed: top }
    }

    pub(super) fn top(&self) -> Option<u64> {
        self.top
    }

    /// The highest number known to be committed.
    pub(super) fn committed(&self) -> u64 {
        self.committed
    }

    /// Classifies an entry; [`Offer::Next`] moves the feed to it.
    pub(super) fn offer(&mut self, seq: u64) -> Offer {
        self.committed = self.committed.max(seq);
        match self.top {
            Some(top) if seq <= top => Offer::Known,
            Some(top) if seq == top + 1 => {
                self.top = Some(seq);
                Offer::Next
            }
            _ => Offer::Hole,
        }
    }

    /// Notes that entries up to `seq` are committed.
    pub(super) fn note_committed(&mut self, seq: u64) {
        self.committed = self.committed.max(seq);
    }

    /// Starts the feed at `top`, the topic's highest number when the log was read.
    pub(super) fn start(&mut self, top: u64) {
        debug_assert!(self.top.is_none(), "a feed starts once");
        self.top = Some(top);
        self.committed = self.committed.max(top);
    }

    /// Skips missing entries up to `seq`, which the log no longer keeps. Returns
    /// whether any were missing.
    pub(super) fn skip_to(&mut self, seq: u64) -> bool {
        let skips = self.is_behind() && self.top.is_some_and(|top| top < seq);
        if skips {
            self.top = Some(seq);
        }
        skips
    }

    /// Whether entries are committed that were not taken.
    pub(super) fn is_behind(&self) -> bool {
        self.top.is_none_or(|top| top < self.committed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_is_taken_the_known_dropped_a_hole_noticed() {
        let mut feed = Feed::at(3);
        assert_eq!(feed.offer(4), Offer::Next);
        assert_eq!(feed.offer(4), Offer::Known);
        assert_eq!(feed.offer(1), Offer::Known);
        assert_eq!(feed.offer(7), Offer::Hole);
        assert!(feed.is_behind());
        assert_eq!(feed.top(), Some(4));
        for seq in 5..=7 {
            assert_eq!(feed.offer(seq), Offer::Next);
        }
        assert!(!feed.is_behind());
    }

    #[test]
    fn nothing_is_taken_before_the_log_was_read() {
        let mut feed = Feed::default();
        assert_eq!(feed.offer(5), Offer::Hole);
        feed.start(4);
        assert!(feed.is_behind());
        assert_eq!(feed.offer(5), Offer::Next);
    }

    #[test]
    fn entries_no_longer_kept_are_skipped() {
        let mut feed = Feed::at(3);
        feed.note_committed(9);
        assert!(feed.skip_to(9));
        assert!(!feed.is_behind());
        assert!(!feed.skip_to(9));
        assert_eq!(feed.offer(10), Offer::Next);
    }
}
