//! Private conversations: live messages, and pages of those that were missed.

use std::collections::BTreeMap;

use super::requests::Expected;
use super::{PageFrom, Session};
use crate::frame::{Hello, History, Item, Refusal};
use crate::{Event, Topic};

/// The conversations whose messages are missing in part.
#[derive(Debug, Default)]
pub(super) struct CatchUp {
    missing: BTreeMap<String, Missing>,
    /// A conversation that is neither known nor listed by `hello` has no message
    /// that was sent while this client was offline.
    unlisted_are_seen: bool,
    /// The mark up to which everything is seen once nothing is missing.
    mark: u64,
}

#[derive(Debug)]
struct Missing {
    /// The highest number that is known to exist.
    known_seq: u64,
    start: Start,
    /// When to request a page; `None` while one is requested.
    request_at_ms: Option<u64>,
    /// Temporary refusals in a row.
    failures: u32,
}

/// Where the pages of a conversation's missing messages start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// After the last seen number.
    Seen,
    /// The last seen number is unknown: only the latest messages are read.
    Latest,
}

impl CatchUp {
    pub(super) fn next_ms(&self) -> u64 {
        self.missing.values().filter_map(|missing| missing.request_at_ms).min().unwrap_or(u64::MAX)
    }

    fn add(&mut self, with: &str, known_seq: u64, start: Start) {
        let missing = Missing { known_seq, start, request_at_ms: Some(0), failures: 0 };
        self.missing.insert(with.to_owned(), missing);
    }
}

impl Session {
    /// Takes the list of conversations in `hello`: entries that were missed are read
    /// from the history, and live messages continue behind them.
    pub(super) fn private_hello(&mut self, hello: Hello) {
        let Hello { user, epoch, privates: listed, has_more, rooms, has_more_rooms, features, .. } = hello;
        let is_first = self.seen.epoch().is_none() || self.seen.user() != Some(&*user);
        let is_renumbered = !is_first && self.seen.epoch() != Some(&*epoch);
        let may_hide = has_more && self.seen.may_hide(&listed);
        let was_complete = self.seen.is_complete();
        let mut resets: Vec<String> = Vec::new();
        let mut catch_up = CatchUp { unlisted_are_seen: is_first || !may_hide, ..CatchUp::default() };
        if !is_first {
            for listed in &listed {
                match self.seen.private(&listed.with) {
                    Some(seq) if !is_renumbered && seq >= listed.seq => {}
                    Some(_) if !is_renumbered => catch_up.add(&listed.with, listed.seq, Start::Seen),
                    Some(_) => catch_up.add(&listed.with, listed.seq, Start::Latest),
                    // It began while this client was offline.
                    None if was_complete => catch_up.add(&listed.with, listed.seq, Start::Seen),
                    None => {
                        resets.push(listed.with.clone());
                        catch_up.add(&listed.with, listed.seq, Start::Latest);
                    }
                }
            }
            for (with, seq) in self.seen.privates() {
                if is_renumbered {
                    resets.push(with.to_owned());
                }
                let is_listed = catch_up.missing.contains_key(with);
                if !is_listed && has_more && (may_hide || is_renumbered) {
                    let (known_seq, start) =
                        if is_renumbered { (0, Start::Latest) } else { (seq, Start::Seen) };
                    catch_up.add(with, known_seq, start);
                }
            }
            if is_renumbered {
                catch_up.unlisted_are_seen = !has_more;
            }
        }
        let conversations = listed;
        self.emit(Event::Online { user, epoch, conversations, has_more, rooms, has_more_rooms, features });
        for with in resets {
            self.emit(Event::Reset { topic: Topic::Private(with) });
        }
        catch_up.mark = self.seen.mark();
        self.catch_up = catch_up;
    }

    /// A connection is lost that lasted: if nothing is missing, everything up to its
    /// `hello` has been seen.
    pub(super) fn stable_connection_lost(&mut self) {
        if self.catch_up.missing.is_empty() {
            self.seen.caught_up(self.catch_up.mark);
        }
    }

    /// Takes a live entry.
    pub(super) fn private_entry(&mut self, with: String, seq: u64, item: Item, now_ms: u64) {
        let seen = self.seen.private(&with);
        if let Some(missing) = self.catch_up.missing.get_mut(&with) {
            missing.known_seq = missing.known_seq.max(seq);
            if seen.is_some_and(|seen| seen + 1 == seq) && missing.start == Start::Seen {
                self.emit(item.event(Topic::Private(with), seq));
            }
            return;
        }
        let seen = match seen {
            Some(seen) => seen,
            None if self.seen.is_complete() => {
                self.seen.advance(&Topic::Private(with.clone()), 0);
                0
            }
            None if self.catch_up.unlisted_are_seen => seq.saturating_sub(1),
            None => {
                self.emit(Event::Reset { topic: Topic::Private(with.clone()) });
                return self.catch_up.add(&with, seq, Start::Latest);
            }
        };
        if seq == seen + 1 {
            self.emit(item.event(Topic::Private(with), seq));
        } else if seq > seen {
            self.catch_up.add(&with, seq, Start::Seen);
            self.send_catch_up_requests(now_ms);
        }
    }

    /// Requests the pages that are due.
    pub(super) fn send_catch_up_requests(&mut self, now_ms: u64) {
        while self.may_request_page() && self.catch_up.next_ms() <= now_ms {
            let due = self.catch_up.missing.iter_mut();
            let Some((with, missing)) =
                due.min_by_key(|(_, missing)| missing.request_at_ms.unwrap_or(u64::MAX))
            else {
                return;
            };
            missing.request_at_ms = None;
            let (with, start) = (with.clone(), missing.start);
            let from = match self.seen.private(&with) {
                Some(seq) if start == Start::Seen => PageFrom::After(seq),
                _ => PageFrom::Latest,
            };
            let limit = (start == Start::Seen).then_some(PAGE_MAX);
            let topic = Topic::Private(with.clone());
            self.request_page(Expected::CatchUp(with), &topic, &from, limit, now_ms);
        }
    }

    /// Takes a page of a conversation's missing messages.
    pub(super) fn caught_up(&mut self, with: &str, page: History, now_ms: u64) {
        let Some(missing) = self.catch_up.missing.get_mut(with) else { return };
        let topic = Topic::Private(with.to_owned());
        let before = self.seen.private(with);
        let start = std::mem::replace(&mut missing.start, Start::Seen);
        missing.failures = 0;
        let known_seq = missing.known_seq;
        if let Some(seen) = before
            && start == Start::Seen
            && page.first > seen + 1
        {
            // The server no longer keeps a part of them.
            self.emit(Event::Reset { topic: topic.clone() });
            self.seen.advance(&topic, page.first - 1);
        }
        let page_last = page.entries.last().map(|(seq, _)| *seq);
        for (seq, item) in page.entries {
            match self.seen.private(with) {
                Some(seen) if seq <= seen => continue,
                Some(seen) if seq > seen + 1 => self.emit(Event::Reset { topic: topic.clone() }),
                _ => {}
            }
            self.emit(item.event(topic.clone(), seq));
        }
        let seen = self.seen.private(with);
        // If live messages came before the page, its `has_more` is out of date.
        let has_next_page = page.has_more && start == Start::Seen && page_last >= seen;
        let is_behind = seen.is_none_or(|seen| seen < known_seq) || has_next_page;
        if !is_behind {
            self.catch_up.missing.remove(with);
        } else if seen > before {
            self.request_again(with, now_ms);
        } else {
            // The server has fewer entries than it listed: the rest cannot be read.
            if start == Start::Seen {
                self.emit(Event::Reset { topic: topic.clone() });
            }
            self.seen.advance(&topic, known_seq);
            self.catch_up.missing.remove(with);
        }
    }

    pub(super) fn catch_up_refused(&mut self, with: &str, refusal: &Refusal, now_ms: u64) {
        let failures = self.catch_up.missing.get(with).map_or(0, |missing| missing.failures);
        let at_ms = self.retry_at_ms(refusal, failures, now_ms);
        if let Some(missing) = self.catch_up.missing.get_mut(with) {
            missing.failures += 1;
        }
        self.request_again(with, at_ms);
    }

    fn request_again(&mut self, with: &str, at_ms: u64) {
        if let Some(missing) = self.catch_up.missing.get_mut(with) {
            missing.request_at_ms = Some(at_ms);
        }
    }
}

/// Messages of one page: the server's own limit.
const PAGE_MAX: u32 = 100;
