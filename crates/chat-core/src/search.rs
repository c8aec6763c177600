//! What a search of messages asks for, beside its words.

use crate::{RoomName, Username};

/// Where a user searches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchScope {
    /// In all that the user may read.
    All,
    /// In a room.
    Room(RoomName),
    /// In the user's private conversation with this one.
    With(Username),
}

/// The position of a message among all messages of a store, from which a search continues
/// with older ones. In a topic, the order of positions is that of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SearchPosition {
    /// When the message was stored, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// Its place among the messages of this millisecond.
    pub place: u64,
}

impl SearchPosition {
    /// The position as a text, which [`read`](Self::read) understands.
    pub fn written(self) -> String {
        format!("{:x}.{:x}", self.at_ms, self.place)
    }

    /// Reads a position; `None` of another text.
    pub fn read(text: &str) -> Option<Self> {
        let (at_ms, place) = text.split_once('.')?;
        let number = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            u64::from_str_radix(text, 16).ok().filter(|_| is_number)
        };
        Some(Self { at_ms: number(at_ms)?, place: number(place)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        for (at_ms, place) in [(0, 0), (1_795_371_797_000, 17), (u64::MAX, u64::MAX)] {
            let position = SearchPosition { at_ms, place };
            assert_eq!(SearchPosition::read(&position.written()), Some(position));
        }
        for text in ["", ".", "1", "1.", ".1", "1.g", "+1.1", "1.1.1", "1.10000000000000000", " 1.1"] {
            assert_eq!(SearchPosition::read(text), None, "{text:?}");
        }
    }
}
