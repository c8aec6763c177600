//! Private conversations: live, and what was missed of them.

use std::collections::BTreeMap;

use super::requests::Expected;
use super::{PageFrom, Session};
use crate::frame::{Hello, History, Refusal};
use crate::{Entry, Event, Place};

/// Conversations of which something is missing.
#[derive(Debug, Default)]
pub(super) struct CatchUp {
    missing: BTreeMap<String, Missing>,
    /// A conversation that is not known and that `hello` did not list has
    /// nothing that came while we were away.
    others_are_old: bool,
    /// How far everything is seen once this connection has nothing to catch up.
    mark: u64,
}

#[derive(Debug)]
struct Missing {
    /// How far the conversation is known to go.
    heard: u64,
    /// Where it is to be read from is not known: its latest messages.
    from_latest: bool,
    /// When to ask, unless that was done.
    ask_at_ms: Option<u64>,
    failures: u32,
}

impl CatchUp {
    pub(super) fn next_ms(&self) -> u64 {
        self.missing.values().filter_map(|missing| missing.ask_at_ms).min().unwrap_or(u64::MAX)
    }

    fn add(&mut self, with: &str, heard: u64, from_latest: bool) {
        let missing = Missing { heard, from_latest, ask_at_ms: Some(0), failures: 0 };
        self.missing.insert(with.to_owned(), missing);
    }
}

impl Session {
    /// `hello` says how far each conversation goes: what is new among them is
    /// read from the history, and live messages go on behind it.
    pub(super) fn greet_privates(&mut self, hello: Hello) {
        let Hello { user, epoch, privates: listed, has_more, .. } = hello;
        let is_first = self.seen.epoch().is_none() || self.seen.user() != Some(&*user);
        let is_renumbered = !is_first && self.seen.epoch() != Some(&*epoch);
        let may_hide = has_more && self.seen.may_hide(&listed);
        let was_complete = self.seen.is_complete();
        let mut resets: Vec<String> = Vec::new();
        let mut catch_up = CatchUp { others_are_old: is_first || !may_hide, ..CatchUp::default() };
        if !is_first {
            for listed in &listed {
                match self.seen.person(&listed.with) {
                    Some(seq) if !is_renumbered && seq >= listed.seq => {}
                    Some(_) if !is_renumbered => catch_up.add(&listed.with, listed.seq, false),
                    Some(_) => catch_up.add(&listed.with, listed.seq, true),
                    // It began while we were away.
                    None if was_complete => catch_up.add(&listed.with, listed.seq, false),
                    None => {
                        resets.push(listed.with.clone());
                        catch_up.add(&listed.with, listed.seq, true);
                    }
                }
            }
            for (with, seq) in self.seen.people() {
                if is_renumbered {
                    resets.push(with.to_owned());
                }
                let is_listed = catch_up.missing.contains_key(with);
                if !is_listed && has_more && (may_hide || is_renumbered) {
                    catch_up.add(with, if is_renumbered { 0 } else { seq }, is_renumbered);
                }
            }
            if is_renumbered {
                catch_up.others_are_old = !has_more;
            }
        }
        self.tell(Event::Online { user, epoch, conversations: listed, has_more });
        for with in resets {
            self.tell(Event::Reset { place: Place::Person(with) });
        }
        catch_up.mark = self.seen.mark();
        self.catch_up = catch_up;
    }

    /// A good connection is lost.
    pub(super) fn settle_privates(&mut self) {
        if self.catch_up.missing.is_empty() {
            self.seen.settle(self.catch_up.mark);
        }
    }

    /// A live message came; `None`: an entry of an unknown kind.
    pub(super) fn private_entry(&mut self, with: String, seq: u64, entry: Option<Entry>, now_ms: u64) {
        let seen = self.seen.person(&with);
        if let Some(missing) = self.catch_up.missing.get_mut(&with) {
            missing.heard = missing.heard.max(seq);
            if seen.is_some_and(|seen| seen + 1 == seq) && !missing.from_latest {
                self.tell_private(with, seq, entry);
            }
            return;
        }
        let seen = match seen {
            Some(seen) => seen,
            None if self.seen.is_complete() => {
                self.seen.advance(&Place::Person(with.clone()), 0);
                0
            }
            None if self.catch_up.others_are_old => seq.saturating_sub(1),
            None => {
                self.tell(Event::Reset { place: Place::Person(with.clone()) });
                return self.catch_up.add(&with, seq, true);
            }
        };
        if seq == seen + 1 {
            self.tell_private(with, seq, entry);
        } else if seq > seen {
            self.catch_up.add(&with, seq, false);
            self.go_on_with_privates(now_ms);
        }
    }

    pub(super) fn go_on_with_privates(&mut self, now_ms: u64) {
        while self.may_ask_for_page() && self.catch_up.next_ms() <= now_ms {
            let due = self.catch_up.missing.iter_mut();
            let Some((with, missing)) = due.min_by_key(|(_, missing)| missing.ask_at_ms.unwrap_or(u64::MAX))
            else {
                return;
            };
            missing.ask_at_ms = None;
            let (with, from_latest) = (with.clone(), missing.from_latest);
            let from = match self.seen.person(&with) {
                Some(seq) if !from_latest => PageFrom::After(seq),
                _ => PageFrom::Latest,
            };
            let limit = if from_latest { None } else { Some(PAGE_MAX) };
            let place = Place::Person(with.clone());
            self.ask_for_page(Expected::CatchUp(with), &place, from, limit, now_ms);
        }
    }

    /// A page of what was missed came.
    pub(super) fn caught_up(&mut self, with: &str, page: History, now_ms: u64) {
        let Some(missing) = self.catch_up.missing.get_mut(with) else { return };
        let place = Place::Person(with.to_owned());
        let before = self.seen.person(with);
        let from_latest = std::mem::take(&mut missing.from_latest);
        missing.failures = 0;
        let heard = missing.heard;
        if let Some(seen) = before
            && !from_latest
            && page.first > seen + 1
        {
            // A part of it is no longer kept.
            self.tell(Event::Reset { place: place.clone() });
            self.seen.advance(&place, page.first - 1);
        }
        let page_last = page.entries.last().map(|(seq, _)| *seq);
        for (seq, entry) in page.entries {
            match self.seen.person(with) {
                Some(seen) if seq <= seen => continue,
                Some(seen) if seq > seen + 1 => self.tell(Event::Reset { place: place.clone() }),
                _ => {}
            }
            self.tell_private(with.to_owned(), seq, entry);
        }
        let seen = self.seen.person(with);
        // Live messages may have come before the page: then what it says of more
        // is old.
        let goes_on = page.has_more && !from_latest && page_last >= seen;
        let is_behind = seen.is_none_or(|seen| seen < heard) || goes_on;
        if !is_behind {
            self.catch_up.missing.remove(with);
        } else if seen > before {
            self.ask_again(with, now_ms);
        } else {
            // The server has less than it said: nothing of that can be had.
            if !from_latest {
                self.tell(Event::Reset { place: place.clone() });
            }
            self.seen.advance(&place, heard);
            self.catch_up.missing.remove(with);
        }
    }

    pub(super) fn catch_up_refused(&mut self, with: &str, refusal: &Refusal, now_ms: u64) {
        let failures = self.catch_up.missing.get(with).map_or(0, |missing| missing.failures);
        let at_ms = self.retry_ms(refusal, failures, now_ms);
        if let Some(missing) = self.catch_up.missing.get_mut(with) {
            missing.failures += 1;
        }
        self.ask_again(with, at_ms);
    }

    fn ask_again(&mut self, with: &str, at_ms: u64) {
        if let Some(missing) = self.catch_up.missing.get_mut(with) {
            missing.ask_at_ms = Some(at_ms);
        }
    }

    fn tell_private(&mut self, with: String, seq: u64, entry: Option<Entry>) {
        let place = Place::Person(with);
        match entry {
            Some(entry) => self.tell(Event::Message { place, entry }),
            None => self.seen.advance(&place, seq),
        }
    }
}

/// Messages of one page, as many as the server gives.
const PAGE_MAX: u32 = 100;
