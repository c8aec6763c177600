//! How far a topic has got in this hub, and whether something is missing.

/// The numbers of a topic as this hub has seen them go by.
///
/// Whatever the bus carries is only a hint: an entry is taken when it is the
/// next one, and anything else shows either that it is old or that the log
/// must be read.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    /// The number of the last entry taken; `None` until the log has said.
    top: Option<u64>,
    /// The highest number known to be committed.
    heard: u64,
}

/// What a number means to a feed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// The next one: take it.
    Next,
    /// Taken before: drop it.
    Known,
    /// Something before it is missing, or nothing is known yet: read the log.
    Hole,
}

impl Feed {
    /// A feed that has taken everything up to `top`.
    pub(crate) fn at(top: u64) -> Self {
        Self { top: Some(top), heard: top }
    }

    pub(crate) fn top(&self) -> Option<u64> {
        self.top
    }

    /// Judges an entry; [`Offer::Next`] moves the feed on.
    pub(crate) fn offer(&mut self, seq: u64) -> Offer {
        self.heard = self.heard.max(seq);
        match self.top {
            Some(top) if seq <= top => Offer::Known,
            Some(top) if seq == top + 1 => {
                self.top = Some(seq);
                Offer::Next
            }
            _ => Offer::Hole,
        }
    }

    /// Somebody says that entries up to `seq` are committed.
    pub(crate) fn hear(&mut self, seq: u64) {
        self.heard = self.heard.max(seq);
    }

    /// Starts at `top`, where the log was when it was read.
    pub(crate) fn start(&mut self, top: u64) {
        debug_assert!(self.top.is_none(), "a feed starts once");
        self.top = Some(top);
        self.heard = self.heard.max(top);
    }

    /// Passes over entries that the log no longer keeps.
    pub(crate) fn skip_to(&mut self, seq: u64) {
        self.top = self.top.map(|top| top.max(seq));
    }

    /// Entries are committed that were not taken.
    pub(crate) fn is_behind(&self) -> bool {
        self.top.is_none_or(|top| top < self.heard)
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
    fn nothing_is_taken_before_the_log_has_said_where_it_is() {
        let mut feed = Feed::default();
        assert_eq!(feed.offer(5), Offer::Hole);
        feed.start(4);
        assert!(feed.is_behind());
        assert_eq!(feed.offer(5), Offer::Next);
    }

    #[test]
    fn what_is_no_longer_kept_is_passed_over() {
        let mut feed = Feed::at(3);
        feed.hear(9);
        feed.skip_to(9);
        assert!(!feed.is_behind());
        assert_eq!(feed.offer(10), Offer::Next);
    }
}
