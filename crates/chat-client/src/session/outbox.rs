//! The outbox: sends in order, kept until each has its final answer.
//!
//! A change of an own message that has no number yet waits for it, and holds up what was
//! sent to its topic later, but no other topic: a later send of another topic is moved in
//! front of it.
//!
//! Changes of one message are sent one at a time. A refusal leaves no trace: if it is lost
//! with the connection, and a later change of the message was stored, the repeated one would
//! be made behind that.

use std::collections::{BTreeSet, VecDeque};

use super::{Output, Refused, Session, Unsent};
use crate::frame::{Ack, Refusal, Request, SendTo};
use crate::{
    ChangeKind, Event, FILES_MAX, Features, MENTIONS_MAX, NewChange, NewMessage, Rng, Target, Topic,
    UnsentChange,
};

/// Sends without a final answer; those in flight come first, in the order in which they
/// were transmitted. The sends to one topic are in the order of the calls.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    items: VecDeque<Item>,
    /// Bytes of texts, mentioned names and files in `items`.
    bytes: usize,
    in_flight: usize,
    /// A send was refused for the moment: nothing is sent before this time, nor
    /// before every send in flight is answered.
    retry_at_ms: Option<u64>,
    /// Temporary refusals since the last acknowledgement.
    failures: u32,
    /// The messages that were stored last, for changes that name them by their nonces: the
    /// application may not have handled their [`Event::Stored`] yet.
    stored: VecDeque<StoredMessage>,
}

#[derive(Debug)]
struct StoredMessage {
    nonce: String,
    topic: Topic,
    seq: u64,
}

#[derive(Debug)]
struct Item {
    unsent: Unsent,
    /// It was transmitted on this connection and has no answer.
    in_flight: bool,
}

/// Why the connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// A message was too big for the server (1009).
    MessageTooBig,
    Other,
}

/// Why a send fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The server refused the attempt in flight, which therefore did not store it.
    Refusal,
    /// The session gave the send up; an attempt in flight may be stored.
    Here,
}

impl Outbox {
    pub(super) fn restore(unsent: Vec<Unsent>) -> Self {
        let bytes = unsent.iter().map(Unsent::bytes).sum();
        let items = unsent.into_iter().map(|unsent| Item { unsent, in_flight: false }).collect();
        Self { items, bytes, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn unsent(&self) -> impl Iterator<Item = Unsent> {
        self.items.iter().map(|item| {
            let may_be_stored = item.unsent.may_be_stored || item.in_flight;
            Unsent { may_be_stored, ..item.unsent.clone() }
        })
    }

    pub(super) fn has_room(&self, room: &str) -> bool {
        self.items.iter().any(|item| matches!(&item.unsent.to, Topic::Room(to) if to == room))
    }

    /// When a send that was refused for the moment is due again.
    pub(super) fn next_ms(&self) -> u64 {
        self.retry_at_ms.filter(|_| self.in_flight == 0).unwrap_or(u64::MAX)
    }

    fn position(&self, nonce: &str) -> Option<usize> {
        self.items.iter().position(|item| item.unsent.nonce == nonce)
    }

    /// The message that a change is for, by its number if that is known; `None` if there is
    /// no such message in the topic.
    fn resolve(&self, to: &Topic, target: Target) -> Option<Target> {
        let Target::Nonce(nonce) = &target else { return Some(target) };
        if self.items.iter().any(|item| item.is_message(to, nonce)) {
            return Some(target);
        }
        let stored = self.stored.iter().rev().find(|stored| stored.nonce == *nonce && stored.topic == *to)?;
        Some(Target::Number(stored.seq))
    }

    /// Takes note of the number of a message, for the changes that wait for it. Returns
    /// whether each of them is for a message of this topic.
    fn message_stored(&mut self, nonce: &str, topic: &Topic, seq: u64) -> bool {
        let mut is_theirs = true;
        for item in &mut self.items {
            if let Some(change) = &mut item.unsent.change
                && matches!(&change.target, Target::Nonce(target) if target == nonce)
            {
                if item.unsent.to == *topic {
                    change.target = Target::Number(seq);
                } else {
                    is_theirs = false;
                }
            }
        }
        if self.stored.len() >= STORED_MAX {
            self.stored.pop_front();
        }
        self.stored.push_back(StoredMessage { nonce: nonce.to_owned(), topic: topic.clone(), seq });
        is_theirs
    }

    /// The next send that does not wait for the number of a message. A change whose message
    /// is not in front of it is one, too: it is to fail.
    fn next(&self) -> Option<usize> {
        let mut waiting: BTreeSet<&Topic> = BTreeSet::new();
        for (index, item) in self.items.iter().enumerate().skip(self.in_flight) {
            if waiting.contains(&item.unsent.to) {
                continue;
            }
            match item.unsent.awaits() {
                Some(nonce) if self.has_message_before(index, nonce) => {
                    waiting.insert(&item.unsent.to);
                }
                None if self.is_being_changed(&item.unsent) => {
                    waiting.insert(&item.unsent.to);
                }
                _ => return Some(index),
            }
        }
        None
    }

    /// Whether another change of the same message is in flight.
    fn is_being_changed(&self, unsent: &Unsent) -> bool {
        let Some(change) = &unsent.change else { return false };
        let is_of_it = |other: &Unsent| {
            other.to == unsent.to && other.change.as_ref().is_some_and(|other| other.target == change.target)
        };
        self.items.iter().take(self.in_flight).any(|item| is_of_it(&item.unsent))
    }

    fn has_message_before(&self, index: usize, nonce: &str) -> bool {
        let to = &self.items[index].unsent.to;
        self.items.iter().take(index).any(|item| item.is_message(to, nonce))
    }

    /// Moves a send behind those in flight, in front of those that wait, and marks it as
    /// being in flight.
    fn start(&mut self, index: usize) {
        if let Some(mut item) = self.items.remove(index) {
            item.in_flight = true;
            self.items.insert(self.in_flight, item);
            self.in_flight += 1;
        }
    }

    fn remove(&mut self, index: usize) -> Option<Unsent> {
        let item = self.items.remove(index)?;
        self.in_flight -= usize::from(item.in_flight);
        self.bytes -= item.unsent.bytes();
        Some(item.unsent)
    }

    /// Marks a send as not in flight: it will be transmitted again.
    fn requeue(&mut self, index: usize) {
        if let Some(item) = self.items.get_mut(index)
            && std::mem::take(&mut item.in_flight)
        {
            item.unsent.may_be_stored = true;
            self.in_flight -= 1;
        }
    }
}

impl Item {
    fn is_message(&self, to: &Topic, nonce: &str) -> bool {
        self.unsent.change.is_none() && self.unsent.nonce == nonce && self.unsent.to == *to
    }
}

impl Unsent {
    /// The nonce of the message for whose number it waits.
    fn awaits(&self) -> Option<&str> {
        match &self.change.as_ref()?.target {
            Target::Nonce(nonce) => Some(nonce),
            Target::Number(_) => None,
        }
    }

    /// The frame that sends it to a server with these features.
    fn write(&self, features: Features) -> Result<String, CannotWrite> {
        let Self { nonce, to, text, mentions, mention_all, change, .. } = self;
        let known = |mentions, mention_all| match to {
            Topic::Room(_) if features.mentions => (mentions, mention_all),
            _ => (&[][..], false),
        };
        let Some(UnsentChange { target, kind }) = change else {
            // A server that does not know files would store a message without them.
            if !self.files.is_empty() && !features.files {
                return Err(CannotWrite::Unsupported(FILES));
            }
            let reply_to = self.reply_to.filter(|_| features.reply);
            let (mentions, mention_all) = known(&**mentions, *mention_all);
            let files = self.files.iter().map(|file| &*file.id).collect();
            let request = match to {
                Topic::Room(room) => {
                    Request::Message { room, text, nonce, mentions, mention_all, reply_to, files }
                }
                Topic::Private(to) => Request::Private { to, text, nonce, reply_to, files },
            };
            return Ok(request.write());
        };
        let Target::Number(target) = *target else { return Err(CannotWrite::NoMessage) };
        if !kind.is_in(features) {
            return Err(CannotWrite::Unsupported(kind.feature()));
        }
        let to = SendTo::from(to);
        let request = match kind {
            ChangeKind::Edit { text, mentions, mention_all } => {
                let (mentions, mention_all) = known(&**mentions, *mention_all);
                let text = text.as_deref().unwrap_or_default();
                Request::Edit { to, target, text, nonce, mentions, mention_all }
            }
            ChangeKind::Delete => Request::Delete { to, target, nonce },
            ChangeKind::React { emoji } => Request::React { to, target, emoji, nonce },
            ChangeKind::Unreact { emoji } => Request::Unreact { to, target, emoji, nonce },
        };
        Ok(request.write())
    }
}

/// Why a send is not sent to this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CannotWrite {
    /// It changes a message that was not sent.
    NoMessage,
    /// The server lacks this feature.
    Unsupported(&'static str),
}

impl Session {
    /// Accepts a message to a room or a user, which mentions nobody: see
    /// [`send_message`](Self::send_message).
    ///
    /// # Errors
    ///
    /// Those of [`send_message`](Self::send_message).
    pub fn send(
        &mut self,
        now_ms: u64,
        to: Topic,
        text: impl Into<String>,
        nonce: Option<String>,
    ) -> Result<String, Refused> {
        self.send_message(now_ms, NewMessage { nonce, ..NewMessage::new(to, text) })
    }

    /// Accepts a message to a room or a user. Returns its nonce, by which
    /// [`Event::Stored`] or [`Event::NotSent`] names it. A server without the feature
    /// `mentions` is not told whom it mentions. The bytes of its files are stored already: it
    /// waits for nothing.
    ///
    /// # Errors
    ///
    /// [`Refused::NotJoined`], [`Refused::OutboxFull`], [`Refused::BadNonce`],
    /// [`Refused::NonceInUse`], [`Refused::TooManyMentions`], [`Refused::TooManyFiles`], and
    /// [`Refused::Unsupported`] for files, unless no server has said yet which features it
    /// has.
    pub fn send_message(&mut self, now_ms: u64, message: NewMessage) -> Result<String, Refused> {
        let NewMessage { to, text, nonce, mentions, mention_all, reply_to, files } = message;
        check_mentions(&mentions)?;
        if files.len() > FILES_MAX {
            return Err(Refused::TooManyFiles { max: FILES_MAX });
        }
        if !files.is_empty() && self.server.is_known && !self.server.features.files {
            return Err(Refused::Unsupported { feature: FILES });
        }
        let unsent = Unsent {
            nonce: String::new(),
            to,
            text,
            may_be_stored: false,
            mentions,
            mention_all,
            reply_to,
            files,
            change: None,
        };
        self.queue(now_ms, unsent, nonce)
    }

    /// Replaces the text of one's own message with one that mentions nobody: see
    /// [`change`](Self::change).
    ///
    /// # Errors
    ///
    /// Those of [`change`](Self::change).
    pub fn edit(
        &mut self,
        now_ms: u64,
        to: Topic,
        target: impl Into<Target>,
        text: impl Into<String>,
    ) -> Result<String, Refused> {
        self.change(now_ms, NewChange::edit(to, target, text))
    }

    /// Takes a message back: see [`change`](Self::change).
    ///
    /// # Errors
    ///
    /// Those of [`change`](Self::change).
    pub fn delete(&mut self, now_ms: u64, to: Topic, target: impl Into<Target>) -> Result<String, Refused> {
        self.change(now_ms, NewChange::delete(to, target))
    }

    /// Reacts to a message with one emoji: see [`change`](Self::change).
    ///
    /// # Errors
    ///
    /// Those of [`change`](Self::change).
    pub fn react(
        &mut self,
        now_ms: u64,
        to: Topic,
        target: impl Into<Target>,
        emoji: impl Into<String>,
    ) -> Result<String, Refused> {
        self.change(now_ms, NewChange::react(to, target, emoji))
    }

    /// Takes a reaction back: see [`change`](Self::change).
    ///
    /// # Errors
    ///
    /// Those of [`change`](Self::change).
    pub fn unreact(
        &mut self,
        now_ms: u64,
        to: Topic,
        target: impl Into<Target>,
        emoji: impl Into<String>,
    ) -> Result<String, Refused> {
        self.change(now_ms, NewChange::unreact(to, target, emoji))
    }

    /// Accepts a change of a message. Returns its nonce, by which [`Event::Stored`] or
    /// [`Event::NotSent`] names it.
    ///
    /// Changes wait in the outbox like messages. What one calls for one topic is sent in that
    /// order. A change of one's own message that is not stored yet
    /// ([`Target::Nonce`]) is sent behind it: it waits, together with the later sends to the
    /// same topic, until the message has its number, and fails with it. Likewise it waits for
    /// the answer to an earlier change of the same message. The message is sent
    /// as it is, also if it is edited or deleted before it was transmitted: the server may
    /// have an earlier attempt of it.
    ///
    /// # Errors
    ///
    /// [`Refused::UnknownMessage`]; [`Refused::Unsupported`], unless no server has said yet
    /// which features it has; those of [`send_message`](Self::send_message).
    pub fn change(&mut self, now_ms: u64, change: NewChange) -> Result<String, Refused> {
        let NewChange { to, target, kind, nonce } = change;
        if self.server.is_known && !kind.is_in(self.server.features) {
            return Err(Refused::Unsupported { feature: kind.feature() });
        }
        if let ChangeKind::Edit { mentions, .. } = &kind {
            check_mentions(mentions)?;
        }
        let target = self.outbox.resolve(&to, target).ok_or(Refused::UnknownMessage)?;
        let unsent = Unsent {
            nonce: String::new(),
            to,
            text: String::new(),
            may_be_stored: false,
            mentions: Vec::new(),
            mention_all: false,
            reply_to: None,
            files: Vec::new(),
            change: Some(UnsentChange { target, kind }),
        };
        self.queue(now_ms, unsent, nonce)
    }

    /// Queues a send with the caller's nonce, or with one that is made here. Returns the
    /// nonce.
    fn queue(&mut self, now_ms: u64, mut unsent: Unsent, nonce: Option<String>) -> Result<String, Refused> {
        let options = &self.options;
        if self.outbox.len() >= options.outbox_max_messages
            || self.outbox.bytes + unsent.bytes() > options.outbox_max_bytes
        {
            return Err(Refused::OutboxFull {
                max_messages: options.outbox_max_messages,
                max_bytes: options.outbox_max_bytes,
            });
        }
        if let Topic::Room(room) = &unsent.to
            && !self.accepts_sends(room)
        {
            return Err(Refused::NotJoined);
        }
        let nonce = match nonce {
            None => make_nonce(&mut self.rng, now_ms),
            Some(nonce) => {
                let chars = nonce.chars().count();
                if !(1..=NONCE_MAX_CHARS).contains(&chars) || nonce.chars().any(char::is_control) {
                    return Err(Refused::BadNonce);
                }
                if self.outbox.position(&nonce).is_some() {
                    return Err(Refused::NonceInUse);
                }
                nonce
            }
        };
        unsent.nonce.clone_from(&nonce);
        self.emit(Event::Queued { unsent: unsent.clone() });
        self.outbox.bytes += unsent.bytes();
        self.outbox.items.push_back(Item { unsent, in_flight: false });
        self.send_due(now_ms);
        Ok(nonce)
    }

    /// Transmits sends while the server's and the session's limits allow it.
    pub(super) fn send_outbox(&mut self, now_ms: u64) {
        if let Some(until_ms) = self.outbox.retry_at_ms {
            if self.outbox.in_flight > 0 || now_ms < until_ms {
                return;
            }
            self.outbox.retry_at_ms = None;
        }
        let max = self.options.in_flight_max.max(1).min(self.server.unanswered_max);
        while self.outbox.in_flight < max
            && let Some(index) = self.outbox.next()
        {
            let unsent = &self.outbox.items[index].unsent;
            if let Topic::Room(room) = &unsent.to
                && !self.is_in(room)
            {
                return;
            }
            let frame = match unsent.write(self.server.features) {
                Ok(frame) => frame,
                Err(CannotWrite::NoMessage) => {
                    self.fail_send(index, NOT_SENT, MESSAGE_NOT_SENT, Cause::Here);
                    continue;
                }
                Err(CannotWrite::Unsupported(feature)) => {
                    let message = format!("the server has no feature `{feature}`");
                    self.fail_send(index, UNSUPPORTED, &message, Cause::Here);
                    continue;
                }
            };
            if frame.len() > self.server.message_max_bytes {
                let message = format!("a message has at most {} bytes", self.server.message_max_bytes);
                self.fail_send(index, TEXT_TOO_LONG, &message, Cause::Here);
                continue;
            }
            self.start_answer_timer(now_ms);
            self.outbox.start(index);
            self.out.push_back(Output::Transmit(frame));
        }
    }

    pub(super) fn acknowledged(&mut self, ack: Ack, now_ms: u64) {
        let Ack { nonce, room, to, seq, timestamp, duplicate, not_members } = ack;
        let Some(unsent) = self.outbox.position(&nonce).and_then(|index| self.outbox.remove(index)) else {
            return;
        };
        self.requests.last_answer_ms = now_ms;
        self.outbox.failures = 0;
        let topic = match (room, to) {
            (Some(room), _) => Topic::Room(room),
            (None, Some(to)) => Topic::Private(to),
            (None, None) => unsent.to,
        };
        let is_message = unsent.change.is_none();
        let is_theirs = !is_message || self.outbox.message_stored(&nonce, &topic, seq);
        let waited_for = nonce.clone();
        self.emit(Event::Stored { nonce, topic, seq, timestamp, duplicate, not_members });
        if !is_theirs {
            // The nonce was used before, for a message in another topic.
            self.fail_changes_of(&waited_for);
        }
    }

    pub(super) fn send_refused(&mut self, refusal: Refusal, now_ms: u64) {
        let Some(index) = refusal.nonce.as_deref().and_then(|nonce| self.outbox.position(nonce)) else {
            return;
        };
        self.requests.last_answer_ms = now_ms;
        let room = match &self.outbox.items[index].unsent.to {
            Topic::Room(room) if refusal.code == "not_joined" => Some(room.clone()),
            _ => None,
        };
        if !refusal.is_retryable() && room.is_none() {
            return self.fail_send(index, &refusal.code, &refusal.message, Cause::Refusal);
        }
        if let Topic::Room(to) = &self.outbox.items[index].unsent.to
            && !self.rooms.contains_key(to)
        {
            let cause = if room.is_some() { Cause::Refusal } else { Cause::Here };
            return self.fail_send(index, FORBIDDEN, ENDED, cause);
        }
        if let Some(room) = room {
            // The server removed this client from the room without a frame.
            self.resync(&room, now_ms);
        }
        self.outbox.requeue(index);
        if self.outbox.retry_at_ms.is_none() {
            let failures = self.outbox.failures;
            self.outbox.failures += 1;
            self.outbox.retry_at_ms = Some(self.retry_at_ms(&refusal, failures, now_ms));
        }
    }

    /// Marks all sends as not in flight. If the server closed the connection
    /// because a message was too big, the biggest one in flight fails.
    pub(super) fn outbox_lost_connection(&mut self, loss: Loss) {
        let sizes = self.outbox.items.iter().enumerate().filter(|(_, item)| item.in_flight);
        let biggest = sizes.max_by_key(|(_, item)| item.unsent.bytes()).map(|(index, _)| index);
        if let Some(biggest) = biggest.filter(|_| loss == Loss::MessageTooBig) {
            self.fail_send(
                biggest,
                TEXT_TOO_LONG,
                "the server closed the connection: a message was too big",
                Cause::Refusal,
            );
        }
        for index in 0..self.outbox.items.len() {
            self.outbox.requeue(index);
        }
        self.outbox.retry_at_ms = None;
        self.fail_sends(FORBIDDEN, ENDED, |session, _, room| !session.rooms.contains_key(room));
    }

    /// Fails every send to a room.
    pub(super) fn fail_sends_to_room(&mut self, room: &str, code: &str, message: &str) {
        self.fail_sends(code, message, |_, _, to| to == room);
    }

    /// Fails every send to a room that the server has ended, except those in flight:
    /// the server still answers them.
    pub(super) fn fail_waiting_sends_to_room(&mut self, room: &str) {
        self.fail_sends(FORBIDDEN, ENDED, |_, item, to| to == room && !item.in_flight);
    }

    /// Fails every send to a room for which `is_failed` holds.
    fn fail_sends(&mut self, code: &str, message: &str, is_failed: impl Fn(&Self, &Item, &str) -> bool) {
        let is_due = |session: &Self, item: &Item| match &item.unsent.to {
            Topic::Room(room) => is_failed(session, item, room),
            Topic::Private(_) => false,
        };
        while let Some(index) = self.outbox.items.iter().position(|item| is_due(self, item)) {
            self.fail_send(index, code, message, Cause::Here);
        }
    }

    /// Fails every send, as another user has signed in.
    pub(super) fn fail_all_sends(&mut self) {
        while self.outbox.len() > 0 {
            self.fail_send(0, "other_user", "another user has signed in", Cause::Here);
        }
    }

    /// Removes a send and reports it as not sent.
    fn fail_send(&mut self, index: usize, code: &str, message: &str, cause: Cause) {
        let Some(item) = self.outbox.items.get(index) else { return };
        let may_be_stored = item.unsent.may_be_stored || (item.in_flight && cause != Cause::Refusal);
        let Some(unsent) = self.outbox.remove(index) else { return };
        let (code, message) = (code.to_owned(), message.to_owned());
        let nonce = unsent.nonce.clone();
        self.emit(Event::NotSent { nonce, code, message, may_be_stored });
        if unsent.change.is_none() {
            self.fail_changes_of(&unsent.nonce);
        }
    }

    /// Fails the changes that wait for the number of a message, which it will not have.
    fn fail_changes_of(&mut self, nonce: &str) {
        while let Some(index) = self.outbox.items.iter().position(|item| item.unsent.awaits() == Some(nonce))
        {
            self.fail_send(index, NOT_SENT, MESSAGE_NOT_SENT, Cause::Here);
        }
    }
}

fn check_mentions(mentions: &[String]) -> Result<(), Refused> {
    if mentions.len() > MENTIONS_MAX {
        return Err(Refused::TooManyMentions { max: MENTIONS_MAX });
    }
    Ok(())
}

/// A nonce of 16 bytes as 32 hexadecimal digits: six bytes of time, so that a
/// database stores neighbours together, and ten random bytes.
fn make_nonce(rng: &mut Rng, now_ms: u64) -> String {
    let time = now_ms & 0xFFFF_FFFF_FFFF;
    format!("{time:012x}{:04x}{:016x}", rng.next_u64() >> 48, rng.next_u64())
}

/// The server's code for what the user may not do.
const FORBIDDEN: &str = "forbidden";
/// What [`FORBIDDEN`] means for a room that the server has ended.
const ENDED: &str = "only members may write to this room";
/// The server's code for a message that is too long.
const TEXT_TOO_LONG: &str = "text_too_long";
/// The session's own code for a change of a message that was not sent.
const NOT_SENT: &str = "not_sent";
const MESSAGE_NOT_SENT: &str = "the message that it changes was not sent";
/// The session's own code for a change that the server does not have.
const UNSUPPORTED: &str = "unsupported";
/// The feature that a server must have for files.
const FILES: &str = "files";
/// How many stored messages can be named by their nonces: as many as wait in the events of
/// an application, and some more.
const STORED_MAX: usize = 300;
/// The protocol's limit for a nonce.
const NONCE_MAX_CHARS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_ordered_by_time_and_all_different() {
        let mut rng = Rng::new(7);
        let first = make_nonce(&mut rng, 1_000);
        let second = make_nonce(&mut rng, 1_000);
        let third = make_nonce(&mut rng, 1_001);
        assert_eq!(first.len(), 32);
        assert!(first != second && first < third && second < third);
        assert_eq!(make_nonce(&mut Rng::new(7), 1_000), first);
    }
}
