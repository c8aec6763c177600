//! Messages of a client that the hub does not take yet, as a plain value.

use std::collections::VecDeque;

/// The messages of one client that arrived while the hub had paused it, in order, and
/// behind them the end of its side.
///
/// An empty value holds no heap.
#[derive(Default)]
pub struct Held {
    messages: VecDeque<Box<str>>,
    bytes: usize,
    /// The client has ended its side.
    has_ended: bool,
    /// The hub was stepped with that.
    end_is_taken: bool,
}

/// What the hub takes next of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum HeldInput {
    /// A message.
    Message(Box<str>),
    /// The client has ended its side, behind all its messages.
    Goodbye,
}

impl Held {
    /// Whether the hub takes the client's next message at once. Otherwise it has to be
    /// [held](Self::hold).
    pub fn goes_past(&self, is_paused: bool) -> bool {
        self.messages.is_empty() && !is_paused
    }

    /// Holds a message.
    pub fn hold(&mut self, text: &str) {
        self.bytes += HELD_MESSAGE_BYTES + text.len();
        self.messages.push_back(text.into());
    }

    /// The client has ended its side: nothing is held after this.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// What the hub is to be stepped with next; `is_paused` says whether it has paused
    /// the client now, after the last step.
    pub fn next(&mut self, is_paused: bool) -> Option<HeldInput> {
        if self.messages.is_empty() {
            let is_new = self.has_ended && !std::mem::replace(&mut self.end_is_taken, self.has_ended);
            return is_new.then_some(HeldInput::Goodbye);
        }
        if is_paused {
            return None;
        }
        let text = self.messages.pop_front()?;
        self.bytes -= HELD_MESSAGE_BYTES + text.len();
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
        Some(HeldInput::Message(text))
    }

    /// Drops all messages.
    pub fn clear(&mut self) {
        (self.messages, self.bytes) = (VecDeque::new(), 0);
    }

    /// Whether no message is held.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The number of held messages.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// What the held messages take, roughly, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a held message takes beside its text, roughly, in bytes.
const HELD_MESSAGE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_goodbye_follows_the_messages_and_is_given_once() {
        let mut held = Held::default();
        assert!(held.goes_past(false) && !held.goes_past(true));
        held.hold("1");
        held.hold("2");
        held.end();
        assert!(!held.goes_past(false), "no message overtakes another");
        assert_eq!(held.next(true), None);
        assert_eq!(held.next(false), Some(HeldInput::Message("1".into())));
        assert_eq!(held.next(true), None, "the hub has paused the client again");
        assert_eq!(held.next(false), Some(HeldInput::Message("2".into())));
        assert_eq!(held.bytes(), 0);
        assert_eq!(held.next(true), Some(HeldInput::Goodbye));
        assert_eq!(held.next(false), None);
    }
}
