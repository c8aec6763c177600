//! Requests and their answers, and the history that an application asks for.

use std::collections::BTreeMap;

use super::{PageFrom, Refused, Session};
use crate::frame::{History, Request};
use crate::session::Output;
use crate::{Event, HistoryPage, Place};

/// Requests on their way, each by its `ref`.
#[derive(Debug, Default)]
pub(super) struct Answers {
    last: u64,
    expected: BTreeMap<u64, Expected>,
    /// Pages of history among them.
    pages: usize,
    /// When the last answer to anything came, or the first request was sent
    /// while none was expected.
    pub(super) waiting_since_ms: u64,
}

/// What an answer is about.
#[derive(Debug)]
pub(super) enum Expected {
    Joined(String),
    Left(String),
    /// A page for the application, by its number.
    Page(u64),
    /// A page of what was missed of a conversation.
    CatchUp(String),
}

/// A page of history that the application asked for.
#[derive(Debug)]
pub(super) struct Queued {
    request: u64,
    place: Place,
    from: PageFrom,
    limit: Option<u32>,
}

impl Answers {
    /// Of a new connection: numbers are not used twice, so that an application
    /// can tell its requests apart.
    pub(super) fn after(other: &Self) -> Self {
        Self { last: other.last, ..Self::default() }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

impl Session {
    /// Asks for a page of history, at most `limit` messages (50 unless said).
    /// Returns the number that the answer has, [`Event::History`] or
    /// [`Event::NoHistory`].
    ///
    /// # Errors
    ///
    /// [`Refused::Offline`] and [`Refused::TooManyPages`].
    pub fn history(
        &mut self,
        now_ms: u64,
        place: Place,
        from: PageFrom,
        limit: Option<u32>,
    ) -> Result<u64, Refused> {
        if !self.is_online() {
            return Err(Refused::Offline);
        }
        let asked = self.answers.expected.values();
        let asked = asked.filter(|expected| matches!(expected, Expected::Page(_))).count();
        if asked + self.history.len() >= self.options.history_max {
            return Err(Refused::TooManyPages { max: self.options.history_max });
        }
        let request = self.answers.next();
        self.history.push_back(Queued { request, place, from, limit });
        self.go_on(now_ms);
        Ok(request)
    }

    pub(super) fn go_on_with_history(&mut self, now_ms: u64) {
        while self.may_ask_for_page()
            && let Some(Queued { request, place, from, limit }) = self.history.pop_front()
        {
            self.ask_for_page(Expected::Page(request), &place, from, limit, now_ms);
        }
    }

    /// The server reads a few pages at a time, and no sends meanwhile: one of
    /// its places stays free.
    pub(super) fn may_ask_for_page(&self) -> bool {
        self.answers.pages < PAGES_MAX
    }

    pub(super) fn ask_for_page(
        &mut self,
        what: Expected,
        place: &Place,
        from: PageFrom,
        limit: Option<u32>,
        now_ms: u64,
    ) {
        self.answers.pages += 1;
        let reference = self.expect(what, now_ms).to_string();
        let (room, with) = match place {
            Place::Room(room) => (Some(room.as_str()), None),
            Place::Person(with) => (None, Some(with.as_str())),
        };
        let (before, after) = match from {
            PageFrom::Latest => (None, None),
            PageFrom::Before(before) => (Some(before), None),
            PageFrom::After(after) => (None, Some(after)),
        };
        self.transmit(&Request::History { room, with, before, after, limit, reference });
    }

    pub(super) fn history_came(&mut self, request: u64, page: History) {
        let page = HistoryPage {
            place: page.place,
            epoch: page.epoch,
            first: page.first,
            messages: page.entries.into_iter().filter_map(|(_, entry)| entry).collect(),
            has_more: page.has_more,
        };
        self.tell(Event::History { request, page });
    }

    pub(super) fn history_lost_connection(&mut self) {
        let asked = std::mem::take(&mut self.answers.expected);
        let asked = asked.into_values().filter_map(|expected| match expected {
            Expected::Page(request) => Some(request),
            _ => None,
        });
        let queued = std::mem::take(&mut self.history).into_iter().map(|queued| queued.request);
        for request in asked.chain(queued) {
            let (code, message) = ("offline".to_owned(), "the connection was lost".to_owned());
            self.tell(Event::NoHistory { request, code, message });
        }
    }

    /// A number for a request whose answer is about this.
    pub(super) fn expect(&mut self, what: Expected, now_ms: u64) -> u64 {
        self.begins_to_wait(now_ms);
        let reference = self.answers.next();
        self.answers.expected.insert(reference, what);
        reference
    }

    /// What an answer is about.
    pub(super) fn answered(&mut self, reference: Option<u64>, now_ms: u64) -> Option<Expected> {
        let what = self.answers.expected.remove(&reference?)?;
        if matches!(what, Expected::Page(_) | Expected::CatchUp(_)) {
            self.answers.pages -= 1;
        }
        self.answers.waiting_since_ms = now_ms;
        Some(what)
    }

    /// Something is about to be asked.
    pub(super) fn begins_to_wait(&mut self, now_ms: u64) {
        if !self.is_waiting() {
            self.answers.waiting_since_ms = now_ms;
        }
    }

    pub(super) fn answer_overdue_at_ms(&self) -> u64 {
        if self.is_waiting() {
            self.answers.waiting_since_ms + self.options.answer_timeout_ms
        } else {
            u64::MAX
        }
    }

    fn is_waiting(&self) -> bool {
        !self.answers.expected.is_empty() || self.outbox.in_flight() > 0
    }

    pub(super) fn transmit(&mut self, request: &Request<'_>) {
        self.out.push_back(Output::Transmit(request.write()));
    }
}

/// Pages asked for at the same time; at 4 the server stops reading from us.
const PAGES_MAX: usize = 3;
