//! Requests and their answers, and pages of history for the application.

use std::collections::BTreeMap;

use super::{Output, PAGE_NUMBERS_MAX, PageFrom, Refused, Session};
use crate::frame::{History, Item, Request};
use crate::{Event, HistoryPage, Topic};

/// The requests without an answer, by their `ref`.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The last `ref` that was given.
    last: u64,
    expected: BTreeMap<u64, Expected>,
    /// How many of them are for pages.
    pages: usize,
    /// When the last answer was received, or the first request was sent while no
    /// answer was expected.
    pub(super) last_answer_ms: u64,
}

/// The request that an answer belongs to.
#[derive(Debug)]
pub(super) enum Expected {
    /// Joining this room.
    Joined(String),
    /// Leaving this room.
    Left(String),
    /// A page for the application, by the number that the application was given.
    Page(u64),
    /// A page of the entries that were missed in the conversation with this user.
    CatchUp(String),
}

/// A page of history that waits to be requested.
#[derive(Debug)]
pub(super) struct QueuedPage {
    request: u64,
    topic: Topic,
    from: PageFrom,
    limit: Option<u32>,
}

impl Requests {
    /// No requests, for a new connection. Numbers are not used twice, so that an
    /// application can tell its requests apart.
    pub(super) fn after(other: &Self) -> Self {
        Self { last: other.last, ..Self::default() }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

impl Session {
    /// Requests a page of history, with at most `limit` messages (50 if `None`).
    /// Returns the number that the answer has: [`Event::History`] or
    /// [`Event::NoHistory`].
    ///
    /// # Errors
    ///
    /// [`Refused::Offline`], [`Refused::TooManyPages`], [`Refused::Unsupported`],
    /// [`Refused::TooManyNumbers`].
    pub fn history(
        &mut self,
        now_ms: u64,
        topic: Topic,
        from: PageFrom,
        limit: Option<u32>,
    ) -> Result<u64, Refused> {
        if !self.is_online() {
            return Err(Refused::Offline);
        }
        if matches!(from, PageFrom::Around(_) | PageFrom::Numbers(_)) && !self.server.features.reply {
            return Err(Refused::Unsupported { feature: "reply" });
        }
        if matches!(&from, PageFrom::Numbers(seqs) if seqs.len() > PAGE_NUMBERS_MAX) {
            return Err(Refused::TooManyNumbers { max: PAGE_NUMBERS_MAX });
        }
        let requested = self.requests.expected.values();
        let requested = requested.filter(|expected| matches!(expected, Expected::Page(_))).count();
        if requested + self.history.len() >= self.options.history_max {
            return Err(Refused::TooManyPages { max: self.options.history_max });
        }
        let request = self.requests.next();
        self.history.push_back(QueuedPage { request, topic, from, limit });
        self.send_due(now_ms);
        Ok(request)
    }

    pub(super) fn send_page_requests(&mut self, now_ms: u64) {
        while self.may_request_page()
            && let Some(QueuedPage { request, topic, from, limit }) = self.history.pop_front()
        {
            self.request_page(Expected::Page(request), &topic, &from, limit, now_ms);
        }
    }

    /// Whether one more page may be requested. The server pauses a client with too
    /// many unanswered pages, which would hold up its sends too.
    pub(super) fn may_request_page(&self) -> bool {
        self.requests.pages < PAGES_MAX
    }

    pub(super) fn request_page(
        &mut self,
        what: Expected,
        topic: &Topic,
        from: &PageFrom,
        limit: Option<u32>,
        now_ms: u64,
    ) {
        self.requests.pages += 1;
        let is_for_application = matches!(what, Expected::Page(_));
        let reference = self.expect(what, now_ms).to_string();
        let (room, with) = match topic {
            Topic::Room(room) => (Some(room.as_str()), None),
            Topic::Private(with) => (None, Some(with.as_str())),
        };
        let (mut before, mut after, mut around, mut seqs) = (None, None, None, None);
        match from {
            PageFrom::Latest => {}
            PageFrom::Before(seq) => before = Some(*seq),
            PageFrom::After(seq) => after = Some(*seq),
            PageFrom::Around(seq) => around = Some(*seq),
            PageFrom::Numbers(numbers) => seqs = Some(&**numbers),
        }
        // What was missed is read densely, so that no number is missing.
        let is_of_messages = around.is_some() || seqs.is_some();
        let fold = (self.options.fold && is_for_application) || is_of_messages;
        let limit = limit.filter(|_| seqs.is_none());
        let request = Request::History { room, with, before, after, around, seqs, limit, fold, reference };
        self.transmit(&request);
    }

    /// Hands a page to the application.
    pub(super) fn page_received(&mut self, request: u64, page: History) {
        // The numbers of a page that is not folded have no gap.
        let numbers = page.entries.first().zip(page.entries.last());
        let numbers = numbers.map(|((first, _), (last, _))| (*first, *last));
        let is_dense =
            |(first, last): &(u64, u64)| last.wrapping_sub(*first) + 1 == page.entries.len() as u64;
        let covers = page.covers.or_else(|| numbers.filter(is_dense));
        let (mut messages, mut changes) = (Vec::new(), Vec::new());
        for (_, item) in page.entries {
            match item {
                Item::Message(entry) => messages.push(entry),
                Item::Change(change) => changes.push(change),
                Item::Unknown => {}
            }
        }
        let page = HistoryPage {
            topic: page.topic,
            epoch: page.epoch,
            first: page.first,
            covers,
            messages,
            changes,
            has_more: page.has_more,
            has_more_before: page.has_more_before,
            has_more_after: page.has_more_after,
        };
        self.emit(Event::History { request, page });
    }

    /// Fails the requested and the waiting pages.
    pub(super) fn history_lost_connection(&mut self) {
        let requested = std::mem::take(&mut self.requests.expected);
        let requested = requested.into_values().filter_map(|expected| match expected {
            Expected::Page(request) => Some(request),
            _ => None,
        });
        let queued = std::mem::take(&mut self.history).into_iter().map(|queued| queued.request);
        for request in requested.chain(queued) {
            let (code, message) = ("offline".to_owned(), "the connection was lost".to_owned());
            self.emit(Event::NoHistory { request, code, message });
        }
    }

    /// Notes that a request is sent; returns its `ref`.
    pub(super) fn expect(&mut self, what: Expected, now_ms: u64) -> u64 {
        self.start_answer_timer(now_ms);
        let reference = self.requests.next();
        self.requests.expected.insert(reference, what);
        reference
    }

    /// Takes the request that an answer with this `ref` belongs to.
    pub(super) fn complete(&mut self, reference: Option<u64>, now_ms: u64) -> Option<Expected> {
        let what = self.requests.expected.remove(&reference?)?;
        if matches!(what, Expected::Page(_) | Expected::CatchUp(_)) {
            self.requests.pages -= 1;
        }
        self.requests.last_answer_ms = now_ms;
        Some(what)
    }

    /// A request or a message is about to be sent: the wait for an answer begins,
    /// unless one is expected already.
    pub(super) fn start_answer_timer(&mut self, now_ms: u64) {
        if !self.is_waiting() {
            self.requests.last_answer_ms = now_ms;
        }
    }

    /// When the connection counts as dead if no answer is received.
    pub(super) fn answer_deadline_ms(&self) -> u64 {
        if self.is_waiting() {
            self.requests.last_answer_ms + self.options.answer_timeout_ms
        } else {
            u64::MAX
        }
    }

    fn is_waiting(&self) -> bool {
        !self.requests.expected.is_empty() || self.outbox.in_flight() > 0
    }

    pub(super) fn transmit(&mut self, request: &Request<'_>) {
        self.out.push_back(Output::Transmit(request.write()));
    }
}

/// Pages requested at the same time; at 4 the server stops reading from a client.
const PAGES_MAX: usize = 3;
