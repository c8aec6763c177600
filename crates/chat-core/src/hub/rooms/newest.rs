//! The numbers of a room's newest messages.

use std::collections::VecDeque;

use crate::{NEWEST_MESSAGES, Page};

/// The numbers of a room's newest messages: where a replay of so many messages begins.
#[derive(Debug, Default)]
pub(super) struct Newest {
    /// In rising order, at most [`NEWEST_MESSAGES`]. No message from `complete_from` on is
    /// missing.
    seqs: VecDeque<u64>,
    complete_from: u64,
    /// Older entries than this are not kept.
    first_kept: u64,
}

impl Newest {
    /// The numbers of messages that are delivered from now on, after `top`.
    pub(super) fn after(top: u64) -> Self {
        Self { seqs: VecDeque::new(), complete_from: top + 1, first_kept: 0 }
    }

    /// Adds those of the newest page of the log.
    pub(super) fn learn(&mut self, page: &Page) {
        let from = match page.newest.first() {
            Some(&oldest) if page.newest.len() >= NEWEST_MESSAGES => oldest,
            _ => page.first,
        };
        self.first_kept = self.first_kept.max(page.first);
        if from >= self.complete_from || page.last + 1 < self.complete_from {
            // It has nothing older, or is older than all that is known.
            return;
        }
        for &seq in page.newest.iter().rev().filter(|seq| **seq < self.complete_from) {
            self.seqs.push_front(seq);
        }
        self.complete_from = from;
        self.bound();
    }

    /// Adds a message that was delivered.
    pub(super) fn push(&mut self, seq: u64) {
        self.seqs.push_back(seq);
        self.bound();
    }

    /// Drops those below `first`, which the log no longer keeps.
    pub(super) fn forget_before(&mut self, first: u64) {
        while self.seqs.pop_front_if(|seq| *seq < first).is_some() {}
        self.first_kept = self.first_kept.max(first);
    }

    /// The number after which the newest `limit` messages up to `top`, the newest entry,
    /// begin; `None` if it does not know as many, and there may be more.
    pub(super) fn start_of(&self, limit: usize, top: u64) -> Option<u64> {
        let limit = limit.min(NEWEST_MESSAGES);
        let is_known = self.seqs.len() >= limit || self.complete_from <= self.first_kept;
        let index = self.seqs.len().saturating_sub(limit);
        is_known.then(|| self.seqs.get(index).map_or(top, |seq| seq.saturating_sub(1)))
    }

    fn bound(&mut self) {
        while self.seqs.len() > NEWEST_MESSAGES {
            if let Some(dropped) = self.seqs.pop_front() {
                self.complete_from = dropped + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(newest: std::ops::RangeInclusive<u64>, first: u64, last: u64) -> Page {
        Page { newest: newest.collect(), first, last, ..Page::default() }
    }

    #[test]
    fn a_replay_begins_at_the_oldest_of_so_many_messages() {
        let mut newest = Newest::after(9);
        assert_eq!((newest.start_of(0, 9), newest.start_of(1, 9)), (Some(9), None));
        newest.learn(&page(4..=6, 2, 9));
        assert_eq!([0, 2, 3, 50].map(|limit| newest.start_of(limit, 9)), [9, 4, 3, 3].map(Some));
        newest.push(12);
        assert_eq!([0, 1, 2].map(|limit| newest.start_of(limit, 12)), [12, 11, 5].map(Some));
        newest.forget_before(6);
        assert_eq!(newest.start_of(50, 12), Some(5));
        newest.forget_before(13);
        assert_eq!(newest.start_of(50, 12), Some(12));
    }

    #[test]
    fn messages_that_are_delivered_while_the_page_is_read_count_once() {
        let mut newest = Newest::after(9);
        newest.push(10);
        newest.push(12);
        assert_eq!([1, 2, 3].map(|limit| newest.start_of(limit, 12)), [Some(11), Some(9), None]);
        newest.learn(&Page { newest: vec![3, 8, 10, 12, 13], first: 1, last: 13, ..Page::default() });
        assert_eq!([2, 3, 9].map(|limit| newest.start_of(limit, 12)), [9, 7, 2].map(Some));
    }

    #[test]
    fn it_keeps_no_more_than_a_page_names() {
        let mut newest = Newest::after(200);
        newest.learn(&page(101..=200, 1, 200));
        assert_eq!(newest.start_of(1_000, 200), Some(100));
        newest.push(201);
        newest.push(202);
        assert_eq!(newest.start_of(100, 202), Some(102));
        newest.forget_before(150);
        assert_eq!((newest.start_of(53, 202), newest.start_of(54, 202)), (Some(149), Some(149)));
    }
}
