//! What is to be sent, in order, until it is answered for good.

use std::collections::VecDeque;

use super::{Refused, Session, Unsent};
use crate::frame::{Ack, Refusal, Request};
use crate::session::Output;
use crate::{Event, Place, Rng};

/// Sends without a final answer. Those on their way come first.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    items: VecDeque<Item>,
    bytes: usize,
    in_flight: usize,
    /// Something was refused for now: nothing is sent before this, nor before
    /// everything on its way is answered.
    hold_until_ms: Option<u64>,
    /// Refusals for now since the last receipt.
    failures: u32,
}

#[derive(Debug)]
struct Item {
    unsent: Unsent,
    /// It is on its way, and has no answer.
    in_flight: bool,
}

impl Outbox {
    pub(super) fn restore(unsent: Vec<Unsent>) -> Self {
        let bytes = unsent.iter().map(|unsent| unsent.text.len()).sum();
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
        self.items.iter().any(|item| matches!(&item.unsent.to, Place::Room(to) if to == room))
    }

    pub(super) fn next_ms(&self) -> u64 {
        self.hold_until_ms.filter(|_| self.in_flight == 0).unwrap_or(u64::MAX)
    }

    fn position(&self, nonce: &str) -> Option<usize> {
        self.items.iter().position(|item| item.unsent.nonce == nonce)
    }

    fn remove(&mut self, index: usize) -> Option<Unsent> {
        let item = self.items.remove(index)?;
        self.in_flight -= usize::from(item.in_flight);
        self.bytes -= item.unsent.text.len();
        Some(item.unsent)
    }

    /// An answer came that is not final.
    fn land(&mut self, index: usize) {
        if let Some(item) = self.items.get_mut(index)
            && std::mem::take(&mut item.in_flight)
        {
            item.unsent.may_be_stored = true;
            self.in_flight -= 1;
        }
    }
}

impl Session {
    /// Takes a message to a room or a person. Returns its nonce, by which
    /// [`Event::Stored`] or [`Event::NotSent`] names it; callers may give their
    /// own, 1 to 64 characters that none of the user's messages has (sending
    /// again with a nonce that the server knows stores nothing new).
    ///
    /// # Errors
    ///
    /// [`Refused::NotJoined`], [`Refused::OutboxFull`], [`Refused::BadNonce`],
    /// [`Refused::NonceInUse`].
    pub fn send(
        &mut self,
        now_ms: u64,
        to: Place,
        text: impl Into<String>,
        nonce: Option<String>,
    ) -> Result<String, Refused> {
        let text = text.into();
        let options = &self.options;
        if self.outbox.len() >= options.outbox_max_messages
            || self.outbox.bytes + text.len() > options.outbox_max_bytes
        {
            return Err(Refused::OutboxFull {
                max_messages: options.outbox_max_messages,
                max_bytes: options.outbox_max_bytes,
            });
        }
        if let Place::Room(room) = &to
            && !self.is_wanted(room)
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
        self.outbox.bytes += text.len();
        let unsent = Unsent { nonce: nonce.clone(), to, text, may_be_stored: false };
        self.outbox.items.push_back(Item { unsent, in_flight: false });
        self.go_on(now_ms);
        Ok(nonce)
    }

    pub(super) fn go_on_with_outbox(&mut self, now_ms: u64) {
        if let Some(until_ms) = self.outbox.hold_until_ms {
            if self.outbox.in_flight > 0 || now_ms < until_ms {
                return;
            }
            self.outbox.hold_until_ms = None;
        }
        let most = self.options.in_flight_max.max(1).min(self.server.unanswered_max);
        while self.outbox.in_flight < most
            && let Some(item) = self.outbox.items.get(self.outbox.in_flight)
        {
            let Unsent { nonce, to, text, .. } = &item.unsent;
            let frame = match to {
                Place::Room(room) if !self.is_in(room) => return,
                Place::Room(room) => Request::Message { room, text, nonce }.write(),
                Place::Person(to) => Request::Private { to, text, nonce }.write(),
            };
            if frame.len() > self.server.message_max_bytes {
                let message = format!("a message has at most {} bytes", self.server.message_max_bytes);
                self.give_up(self.outbox.in_flight, TEXT_TOO_LONG, &message, false);
                continue;
            }
            self.begins_to_wait(now_ms);
            self.outbox.items[self.outbox.in_flight].in_flight = true;
            self.outbox.in_flight += 1;
            self.out.push_back(Output::Transmit(frame));
        }
    }

    pub(super) fn acknowledged(&mut self, ack: Ack, now_ms: u64) {
        let Ack { nonce, room, to, seq, timestamp, duplicate } = ack;
        let Some(unsent) = self.outbox.position(&nonce).and_then(|index| self.outbox.remove(index)) else {
            return;
        };
        self.answers.waiting_since_ms = now_ms;
        self.outbox.failures = 0;
        let place = match (room, to) {
            (Some(room), _) => Place::Room(room),
            (None, Some(to)) => Place::Person(to),
            (None, None) => unsent.to,
        };
        self.tell(Event::Stored { nonce, place, seq, timestamp, duplicate });
    }

    pub(super) fn send_refused(&mut self, refusal: Refusal, now_ms: u64) {
        let Some(index) = refusal.nonce.as_deref().and_then(|nonce| self.outbox.position(nonce)) else {
            return;
        };
        self.answers.waiting_since_ms = now_ms;
        let room = match &self.outbox.items[index].unsent.to {
            Place::Room(room) if refusal.code == "not_joined" => Some(room.clone()),
            _ => None,
        };
        if !refusal.is_retryable() && room.is_none() {
            return self.give_up(index, &refusal.code, &refusal.message, true);
        }
        if let Some(room) = room {
            // The server has put us out without a word: comes in again.
            self.resync(&room, now_ms);
        }
        self.outbox.land(index);
        if self.outbox.hold_until_ms.is_none() {
            let failures = self.outbox.failures;
            self.outbox.failures += 1;
            self.outbox.hold_until_ms = Some(self.retry_ms(&refusal, failures, now_ms));
        }
    }

    /// Nothing is on its way any more; all of it is to be sent again. If the
    /// server closed for what was too big, that was the biggest.
    pub(super) fn outbox_lost_connection(&mut self, was_too_big: bool) {
        let sizes = self.outbox.items.iter().enumerate().filter(|(_, item)| item.in_flight);
        let biggest = sizes.max_by_key(|(_, item)| item.unsent.text.len()).map(|(index, _)| index);
        if let Some(biggest) = biggest.filter(|_| was_too_big) {
            self.give_up(biggest, TEXT_TOO_LONG, "the server closed the connection: too big", true);
        }
        for index in 0..self.outbox.items.len() {
            self.outbox.land(index);
        }
        self.outbox.hold_until_ms = None;
    }

    pub(super) fn give_up_outbox_of_room(&mut self, room: &str, code: &str, message: &str) {
        while let Some(index) =
            self.outbox.items.iter().position(|item| matches!(&item.unsent.to, Place::Room(to) if to == room))
        {
            self.give_up(index, code, message, false);
        }
    }

    pub(super) fn give_up_outbox_of_another(&mut self) {
        while self.outbox.len() > 0 {
            self.give_up(0, "other_user", "somebody else has signed in", false);
        }
    }

    /// `is_answer`: the server said so of the try that is on its way.
    fn give_up(&mut self, index: usize, code: &str, message: &str, is_answer: bool) {
        let Some(item) = self.outbox.items.get(index) else { return };
        let may_be_stored = item.unsent.may_be_stored || (item.in_flight && !is_answer);
        let Some(unsent) = self.outbox.remove(index) else { return };
        let (code, message) = (code.to_owned(), message.to_owned());
        self.tell(Event::NotSent { nonce: unsent.nonce, code, message, may_be_stored });
    }
}

/// A nonce of 16 bytes as 32 hexadecimal digits: six bytes of time, so that a
/// database stores neighbours together, and ten random bytes.
fn make_nonce(rng: &mut Rng, now_ms: u64) -> String {
    let time = now_ms & 0xFFFF_FFFF_FFFF;
    format!("{time:012x}{:04x}{:016x}", rng.next_u64() >> 48, rng.next_u64())
}

/// The server's code for it.
const TEXT_TOO_LONG: &str = "text_too_long";
/// Characters of a nonce, as the protocol has it.
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
