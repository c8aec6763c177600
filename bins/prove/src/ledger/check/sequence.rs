//! The order of numbers in a topic.

use std::collections::BTreeSet;

use crate::ledger::Kind;

/// The expected numbers of a topic.
#[derive(Default)]
pub(super) struct Sequence {
    /// The next number; any number may come first where it is unknown.
    pub(super) next: Option<u64>,
    /// The numbers that were left out so far.
    pub(super) missing: BTreeSet<u64>,
    /// Numbers up to `joined_at_seq` belong to a resume.
    pub(super) is_resume: bool,
    /// The room's last number when it was joined.
    pub(super) joined_at_seq: u64,
}

impl Sequence {
    /// The numbers after this one.
    pub(super) fn after(seq: u64) -> Self {
        Self { next: Some(seq + 1), ..Self::default() }
    }

    /// Takes a number; returns what is wrong with it. A number that is left out is
    /// only wrong if it does not come later.
    pub(super) fn take(&mut self, seq: u64) -> Option<Kind> {
        let next = match self.next {
            Some(next) => next,
            // A replay begins at or before the last number at the join, or right behind it.
            None if self.joined_at_seq > 0 && seq > self.joined_at_seq => self.joined_at_seq + 1,
            None => seq,
        };
        if seq < next {
            let is_late = self.missing.remove(&seq);
            return Some(if is_late { Kind::Reordered } else { Kind::Duplicated });
        }
        self.missing.extend((next..seq).take(MISSING_MAX));
        self.next = Some(seq + 1);
        None
    }
}

/// How many numbers of one gap are listed.
const MISSING_MAX: usize = 100;
