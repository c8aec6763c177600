//! What a browser is told of a message.

use chat_core::{Entry, Topic, Username};
use chat_store::DuePush;
use serde::Serialize;

use super::encryption::PLAINTEXT_MAX;

/// What a browser is told of a message: what its notification shows, and where it leads.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct PushMessage<'a> {
    /// The room of the message; either this or `with`.
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    /// The other user of the private conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    with: Option<&'a str>,
    /// The number of the message.
    seq: u64,
    /// The title of the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    /// The author.
    from: &'a str,
    /// The beginning of the text, which may be empty.
    text: &'a str,
    /// How many files the message has.
    files: usize,
    /// When the message was stored, in whole seconds since 1970.
    timestamp: u64,
    /// The language in which the browser's page was shown last.
    language: &'a str,
    /// The name of the chat.
    chat: &'a str,
}

impl<'a> PushMessage<'a> {
    pub(crate) fn new(push: &'a DuePush, entry: &'a Entry, chat: &'a str) -> Self {
        let (room, with) = match &entry.topic {
            Topic::Room(room) => (Some(room.as_str()), None),
            Topic::Pair(pair) => (None, Some(other(pair.low(), pair.high(), &push.to.user).as_str())),
        };
        Self {
            room,
            with,
            seq: entry.seq,
            title: push.title.as_deref(),
            from: entry.from.as_str(),
            text: beginning(entry.body.text(), TEXT_CHARS),
            files: entry.body.files().len(),
            timestamp: entry.at_ms / 1000,
            language: &push.to.language,
            chat,
        }
    }

    /// The message in JSON, of at most [`PLAINTEXT_MAX`] bytes. `None` if it cannot be that short.
    pub(crate) fn json(mut self) -> Option<Vec<u8>> {
        loop {
            let json = serde_json::to_vec(&self).ok()?;
            if json.len() <= PLAINTEXT_MAX {
                return Some(json);
            }
            if self.text.is_empty() {
                return None;
            }
            self.text = beginning(self.text, self.text.chars().count() / 2);
        }
    }
}

/// As much as notifications show.
const TEXT_CHARS: usize = 300;

/// The first characters of a text.
fn beginning(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(end, _)| &text[..end])
}

fn other<'a>(one: &'a Username, two: &'a Username, user: &Username) -> &'a Username {
    if one == user { two } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_text_fits() {
        let text = "\u{1}".repeat(4_096);
        let message = PushMessage {
            room: Some("kitchen"),
            with: None,
            seq: u64::MAX,
            title: Some("Kitchen"),
            from: "alice",
            text: beginning(&text, 1_000),
            files: 10,
            timestamp: 1,
            language: "en",
            chat: "Chat",
        };
        let json = message.json().unwrap();
        assert!(json.len() <= PLAINTEXT_MAX && json.len() > PLAINTEXT_MAX / 3);
        assert_eq!(beginning("Ёлка", 2), "Ёл");
        assert_eq!(beginning("Ёлка", 9), "Ёлка");
    }
}
