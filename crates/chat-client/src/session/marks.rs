//! Read marks and levels on their way to the server.

use std::collections::BTreeMap;

use super::{Mark, Output, Session};
use crate::frame::{Hello, Refusal, Request};
use crate::{Counts, Event, Level, Topic};

/// The read marks and levels that the server may not have kept yet.
///
/// The server does not answer a mark, and keeps it within 2 s. A mark stays here until the
/// connection has outlasted it by [`KEPT_AFTER_MS`]. That a `hello` shows it is not enough:
/// the server may have it in memory only.
#[derive(Debug)]
pub(super) struct Marks {
    reads: BTreeMap<Topic, Pending<u64>>,
    levels: BTreeMap<Topic, Pending<Level>>,
    /// The earliest time at which one is due; `u64::MAX` if none is.
    due_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Pending<T> {
    value: T,
    /// When to send it; `None` once it was sent on this connection.
    due_ms: Option<u64>,
    /// When it, or the mark before it, was sent last.
    sent_ms: Option<u64>,
    /// The `ref` with which it was sent last.
    reference: u64,
}

impl<T> Pending<T> {
    fn new(value: T, due_ms: u64) -> Self {
        Self { value, due_ms: Some(due_ms), sent_ms: None, reference: 0 }
    }

    /// Replaces the value, to be sent no sooner than the server takes note of it.
    fn replace(&mut self, value: T, now_ms: u64) {
        let due_ms = self.sent_ms.map_or(now_ms, |sent_ms| now_ms.max(sent_ms + SEND_EVERY_MS));
        (self.value, self.due_ms) = (value, Some(self.due_ms.unwrap_or(due_ms)));
    }

    /// Notes that it is sent now, with this `ref`; returns the `ref`.
    fn sent(&mut self, now_ms: u64, reference: u64) -> String {
        (self.due_ms, self.sent_ms, self.reference) = (None, Some(now_ms), reference);
        reference.to_string()
    }

    fn is_due(&self, now_ms: u64) -> bool {
        self.due_ms.is_some_and(|due_ms| due_ms <= now_ms)
    }

    /// Whether the server has kept it: the connection was alive long after it was sent.
    fn is_kept(&self, received_ms: u64) -> bool {
        self.due_ms.is_none() && self.sent_ms.is_some_and(|sent_ms| sent_ms + KEPT_AFTER_MS <= received_ms)
    }
}

impl Marks {
    pub(super) fn restore(marks: Vec<Mark>) -> Self {
        let mut restored = Self { reads: BTreeMap::new(), levels: BTreeMap::new(), due_ms: u64::MAX };
        for Mark { topic, read, level } in marks {
            if let Some(level) = level {
                restored.levels.insert(topic.clone(), Pending::new(level, 0));
            }
            if let Some(read) = read {
                restored.reads.insert(topic, Pending::new(read, 0));
            }
        }
        restored.look_up_due();
        restored
    }

    pub(super) fn kept(&self) -> Vec<Mark> {
        let mut marks: BTreeMap<&Topic, (Option<u64>, Option<Level>)> = BTreeMap::new();
        for (topic, pending) in &self.reads {
            marks.entry(topic).or_default().0 = Some(pending.value);
        }
        for (topic, pending) in &self.levels {
            marks.entry(topic).or_default().1 = Some(pending.value);
        }
        let mark = |(topic, (read, level)): (&Topic, _)| Mark { topic: topic.clone(), read, level };
        marks.into_iter().map(mark).collect()
    }

    fn look_up_due(&mut self) {
        let reads = self.reads.values().filter_map(|pending| pending.due_ms);
        let levels = self.levels.values().filter_map(|pending| pending.due_ms);
        self.due_ms = reads.chain(levels).min().unwrap_or(u64::MAX);
    }

    /// Forgets those that the server has kept by now.
    fn forget_kept(&mut self, received_ms: u64) {
        self.reads.retain(|_, pending| !pending.is_kept(received_ms));
        self.levels.retain(|_, pending| !pending.is_kept(received_ms));
    }
}

impl Session {
    /// Reports that the user has read a topic up to this number. The mark belongs to the
    /// account: the user's other devices get it, and messages up to it are no longer
    /// unread. A number below the present mark does nothing, and one above the topic's
    /// last known number counts as that. [`Event::Read`] follows if the mark rises.
    ///
    /// The mark is sent at most twice a second for each topic, and again after a lost
    /// connection. A server without the feature `read` gets none.
    pub fn read(&mut self, now_ms: u64, topic: &Topic, upto: u64) {
        let top = self.account.top(topic).max(self.seen.seq(topic));
        let upto = top.map_or(upto, |top| upto.min(top));
        let before = self.account.known_read(topic).max(self.marks.reads.get(topic).map(|mark| mark.value));
        if upto > before.unwrap_or(0) {
            self.marks.forget_kept(self.received_ms);
            match self.marks.reads.get_mut(topic) {
                Some(mark) => mark.replace(upto, now_ms),
                None => {
                    self.marks.reads.insert(topic.clone(), Pending::new(upto, now_ms));
                }
            }
            self.marks.look_up_due();
            let top = self.account.top(topic).unwrap_or(upto);
            self.emit(Event::Read { topic: topic.clone(), upto, top, counts: None });
        }
        self.send_due(now_ms);
    }

    /// Sets what the user is notified of in a topic, on all devices. [`Event::Level`]
    /// follows if that is something else than before. A server without the feature
    /// `read` is not told.
    pub fn set_level(&mut self, now_ms: u64, topic: &Topic, level: Level) {
        let before = self.marks.levels.get(topic).map(|mark| mark.value);
        if before.or_else(|| self.account.level(topic)) != Some(level) {
            self.marks.forget_kept(self.received_ms);
            match self.marks.levels.get_mut(topic) {
                Some(mark) => mark.replace(level, now_ms),
                None => {
                    self.marks.levels.insert(topic.clone(), Pending::new(level, now_ms));
                }
            }
            self.marks.look_up_due();
            self.emit(Event::Level { topic: topic.clone(), level });
        }
        self.send_due(now_ms);
    }

    /// Sends the marks and levels that wait for their time, before the connection is
    /// closed.
    pub fn flush_marks(&mut self, now_ms: u64) {
        let reads = self.marks.reads.values_mut().map(|pending| &mut pending.due_ms);
        let levels = self.marks.levels.values_mut().map(|pending| &mut pending.due_ms);
        for due_ms in reads.chain(levels).flatten() {
            *due_ms = now_ms.min(*due_ms);
        }
        self.marks.look_up_due();
        self.send_due(now_ms);
    }

    pub(super) fn send_marks(&mut self, now_ms: u64) {
        if !self.server.features.read || self.marks.due_ms > now_ms {
            return;
        }
        let Self { marks, requests, out, .. } = self;
        for (topic, mark) in marks.reads.iter_mut().filter(|(_, mark)| mark.is_due(now_ms)) {
            let reference = mark.sent(now_ms, requests.next());
            let frame = Request::Read { of: topic.into(), upto: mark.value, reference }.write();
            out.push_back(Output::Transmit(frame));
        }
        for (topic, mark) in marks.levels.iter_mut().filter(|(_, mark)| mark.is_due(now_ms)) {
            let reference = mark.sent(now_ms, requests.next());
            let frame = Request::Level { of: topic.into(), level: mark.value, reference }.write();
            out.push_back(Output::Transmit(frame));
        }
        marks.look_up_due();
    }

    /// When the next mark is to be sent on this connection.
    pub(super) fn next_mark_ms(&self) -> u64 {
        if self.server.features.read { self.marks.due_ms } else { u64::MAX }
    }

    /// Takes note of the marks that `hello` shows: they are not sent again.
    pub(super) fn marks_shown(&mut self, hello: &Hello, now_ms: u64) {
        let rooms = hello.rooms.iter().map(|room| (Topic::room(&*room.room), room.read, room.level));
        let privates = hello.privates.iter();
        let privates = privates.map(|listed| (Topic::private(&*listed.with), listed.read, listed.level));
        for (topic, read, level) in rooms.chain(privates) {
            if let Some(mark) = self.marks.reads.get_mut(&topic).filter(|mark| mark.value <= read) {
                (mark.due_ms, mark.sent_ms) = (None, Some(now_ms));
            }
            if let Some(mark) = self.marks.levels.get_mut(&topic).filter(|mark| mark.value == level) {
                (mark.due_ms, mark.sent_ms) = (None, Some(now_ms));
            }
        }
        self.marks.look_up_due();
    }

    /// Shows the application the marks that `hello` did not show.
    pub(super) fn show_marks(&mut self) {
        let reads = self.marks.reads.iter().filter(|(_, mark)| mark.due_ms.is_some());
        let reads = reads.map(|(topic, mark)| {
            let (topic, upto) = (topic.clone(), mark.value);
            let top = self.account.top(&topic).unwrap_or(upto);
            Event::Read { topic, upto, top, counts: None }
        });
        let levels = self.marks.levels.iter().filter(|(_, mark)| mark.due_ms.is_some());
        let levels = levels.map(|(topic, mark)| Event::Level { topic: topic.clone(), level: mark.value });
        for event in reads.chain(levels).collect::<Vec<_>>() {
            self.emit(event);
        }
    }

    /// The numbers start anew, or another user has signed in.
    pub(super) fn forget_marks(&mut self, is_other_user: bool) {
        self.marks.reads.clear();
        if is_other_user {
            self.marks.levels.clear();
        }
        self.marks.look_up_due();
    }

    pub(super) fn marks_lost_connection(&mut self) {
        self.marks.forget_kept(self.received_ms);
        for mark in self.marks.reads.values_mut() {
            (mark.due_ms, mark.sent_ms) = (Some(0), None);
        }
        for mark in self.marks.levels.values_mut() {
            (mark.due_ms, mark.sent_ms) = (Some(0), None);
        }
        self.marks.look_up_due();
    }

    /// Takes the refusal of a mark or level. Returns whether it was one.
    pub(super) fn mark_refused(&mut self, reference: u64, refusal: &Refusal, now_ms: u64) -> bool {
        let retry_at_ms = refusal.is_retryable().then(|| self.retry_at_ms(refusal, 0, now_ms));
        let marks = &mut self.marks;
        let is_read = refuse(&mut marks.reads, reference, retry_at_ms);
        let is_mark = is_read || refuse(&mut marks.levels, reference, retry_at_ms);
        marks.look_up_due();
        is_mark
    }

    /// Takes a mark that another device set, or counts that the server has made.
    pub(super) fn read_elsewhere(&mut self, topic: Topic, upto: u64, top: u64, counts: Counts) {
        self.emit(Event::Read { topic, upto, top, counts: Some(counts) });
    }

    /// Takes a level that another device set.
    pub(super) fn level_elsewhere(&mut self, topic: Topic, level: Level) {
        self.marks.levels.remove(&topic);
        self.marks.look_up_due();
        self.emit(Event::Level { topic, level });
    }
}

/// Sends the value with this `ref` again at that time, or forgets it. Returns whether
/// there is one.
fn refuse<T>(pending: &mut BTreeMap<Topic, Pending<T>>, reference: u64, retry_at_ms: Option<u64>) -> bool {
    let Some((topic, mark)) = pending.iter_mut().find(|(_, mark)| mark.reference == reference) else {
        return false;
    };
    if mark.due_ms.is_none() {
        mark.due_ms = retry_at_ms;
        if retry_at_ms.is_none() {
            let topic = topic.clone();
            pending.remove(&topic);
        }
    }
    true
}

/// A topic's mark is sent at most this often.
const SEND_EVERY_MS: u64 = 500;
/// A mark was kept if something was received this long after it was sent: the server
/// keeps marks within 2 s.
const KEPT_AFTER_MS: u64 = 10_000;
