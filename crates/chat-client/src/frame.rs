//! The frames of protocol v2, as a client writes and reads them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Conversation, Entry, Presence, Topic};

/// A frame that a client sends.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Request<'a> {
    Join {
        room: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        since: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<&'a str>,
        #[serde(rename = "ref")]
        reference: String,
    },
    Leave {
        room: &'a str,
        #[serde(rename = "ref")]
        reference: String,
    },
    Message {
        room: &'a str,
        text: &'a str,
        nonce: &'a str,
    },
    Private {
        to: &'a str,
        text: &'a str,
        nonce: &'a str,
    },
    History {
        #[serde(skip_serializing_if = "Option::is_none")]
        room: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        with: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        before: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        #[serde(rename = "ref")]
        reference: String,
    },
    Typing {
        #[serde(skip_serializing_if = "Option::is_none")]
        room: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<&'a str>,
        active: bool,
    },
}

impl Request<'_> {
    pub(crate) fn write(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers always serialise")
    }
}

/// A frame that the server sends.
#[derive(Debug)]
pub(crate) enum Frame {
    Hello(Hello),
    Joined(Joined),
    Left {
        reference: Option<u64>,
    },
    Ack(Ack),
    History(History),
    Presence {
        room: String,
        change: Presence,
    },
    Typing {
        topic: Topic,
        user: String,
        active: bool,
    },
    Error(Refusal),
    Reconnect {
        after_ms: u64,
    },
    /// An entry of a room; one of an unknown kind only takes its number.
    Room {
        room: String,
        seq: u64,
        entry: Option<Entry>,
    },
    /// An entry of a private conversation.
    Private {
        from: String,
        to: String,
        seq: u64,
        entry: Option<Entry>,
    },
    /// Of a later version of the protocol, and not about anything known here.
    Unknown,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Hello {
    pub(crate) user: String,
    pub(crate) epoch: String,
    pub(crate) heartbeat_seconds: Option<u64>,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) features: Vec<String>,
    #[serde(default)]
    pub(crate) privates: Vec<Conversation>,
    #[serde(default)]
    pub(crate) has_more: bool,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Limits {
    pub(crate) message_max_bytes: Option<usize>,
    pub(crate) unanswered_max: Option<usize>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Joined {
    pub(crate) room: String,
    pub(crate) epoch: String,
    pub(crate) seq: u64,
    pub(crate) recovered: bool,
    #[serde(default)]
    pub(crate) online: u64,
    #[serde(default)]
    pub(crate) members: Vec<String>,
    #[serde(rename = "ref", default, deserialize_with = "number")]
    pub(crate) reference: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Ack {
    pub(crate) nonce: String,
    pub(crate) room: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) timestamp: u64,
    #[serde(default)]
    pub(crate) duplicate: bool,
}

#[derive(Debug)]
pub(crate) struct History {
    pub(crate) topic: Topic,
    pub(crate) epoch: String,
    pub(crate) first: u64,
    /// The numbers of the page, each with its message unless it is of an
    /// unknown kind.
    pub(crate) entries: Vec<(u64, Option<Entry>)>,
    pub(crate) has_more: bool,
    pub(crate) reference: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(rename = "ref", default, deserialize_with = "number")]
    pub(crate) reference: Option<u64>,
    pub(crate) nonce: Option<String>,
    /// Whole seconds.
    pub(crate) retry_after: Option<u64>,
}

impl Refusal {
    /// Whether the same request may succeed later.
    pub(crate) fn is_retryable(&self) -> bool {
        self.code == "unavailable" || self.retry_after.is_some()
    }
}

/// Reads a frame. A frame of a known type that lacks a required field is treated
/// as one of an unknown type.
pub(crate) fn parse(text: &str) -> Frame {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    let Ok(Kind { kind }) = serde_json::from_str(text) else { return Frame::Unknown };
    let frame = match &*kind {
        "message" => read(text, Message::frame).or_else(|| numbered(text)),
        "private" => read(text, Private::frame).or_else(|| numbered(text)),
        "ack" => read(text, Frame::Ack),
        "hello" => read(text, Frame::Hello),
        "joined" => read(text, Frame::Joined),
        "left" => read(text, |Left { reference }| Frame::Left { reference }),
        "history" => read(text, HistoryFields::frame),
        "presence" => read(text, PresenceFields::frame),
        "typing" => read(text, TypingFields::frame),
        "error" => read(text, Frame::Error),
        "reconnect" => read(text, |Reconnect { after_ms }| Frame::Reconnect { after_ms }),
        _ => numbered(text),
    };
    frame.unwrap_or(Frame::Unknown)
}

fn read<'a, T: Deserialize<'a>>(text: &'a str, frame: impl FnOnce(T) -> Frame) -> Option<Frame> {
    serde_json::from_str(text).ok().map(frame)
}

/// An entry of which only the number is understood.
fn numbered(text: &str) -> Option<Frame> {
    let Numbers { room, from, to, seq } = serde_json::from_str(text).ok()?;
    match (room, from, to) {
        (Some(room), _, _) => Some(Frame::Room { room, seq, entry: None }),
        (None, Some(from), Some(to)) => Some(Frame::Private { from, to, seq, entry: None }),
        _ => None,
    }
}

/// The fields that entries of every kind have.
#[derive(Deserialize)]
struct Numbers {
    room: Option<String>,
    from: Option<String>,
    to: Option<String>,
    seq: u64,
}

#[derive(Deserialize)]
struct Message {
    room: String,
    seq: u64,
    from: String,
    text: String,
    #[serde(default)]
    timestamp: u64,
    nonce: Option<String>,
}

impl Message {
    fn frame(self) -> Frame {
        let Self { room, seq, from, text, timestamp, nonce } = self;
        Frame::Room { room, seq, entry: Some(Entry { seq, from, text, timestamp, nonce }) }
    }
}

#[derive(Deserialize)]
struct Private {
    from: String,
    to: String,
    seq: u64,
    text: String,
    #[serde(default)]
    timestamp: u64,
    nonce: Option<String>,
}

impl Private {
    fn frame(self) -> Frame {
        let Self { from, to, seq, text, timestamp, nonce } = self;
        let entry = Some(Entry { seq, from: from.clone(), text, timestamp, nonce });
        Frame::Private { from, to, seq, entry }
    }
}

#[derive(Deserialize)]
struct Left {
    #[serde(rename = "ref", default, deserialize_with = "number")]
    reference: Option<u64>,
}

#[derive(Deserialize)]
struct Reconnect {
    #[serde(default)]
    after_ms: u64,
}

#[derive(Deserialize)]
struct PresenceFields {
    room: String,
    user: Option<String>,
    online: Online,
}

impl PresenceFields {
    fn frame(self) -> Frame {
        let change = match (self.user, self.online) {
            (Some(user), Online::Is(true)) => Presence::Came(user),
            (Some(user), Online::Is(false)) => Presence::Gone(user),
            (_, Online::Count(count)) => Presence::Count(count),
            (None, Online::Is(_)) => return Frame::Unknown,
        };
        Frame::Presence { room: self.room, change }
    }
}

#[derive(Deserialize)]
struct TypingFields {
    room: Option<String>,
    user: Option<String>,
    from: Option<String>,
    active: bool,
}

impl TypingFields {
    fn frame(self) -> Frame {
        let active = self.active;
        match (self.room, self.user, self.from) {
            (Some(room), Some(user), _) => Frame::Typing { topic: Topic::Room(room), user, active },
            (None, _, Some(user)) => Frame::Typing { topic: Topic::Private(user.clone()), user, active },
            _ => Frame::Unknown,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Online {
    Is(bool),
    Count(u64),
}

#[derive(Deserialize)]
struct HistoryFields {
    room: Option<String>,
    with: Option<String>,
    epoch: String,
    first: u64,
    messages: Vec<serde_json::Value>,
    has_more: bool,
    #[serde(rename = "ref", default, deserialize_with = "number")]
    reference: Option<u64>,
}

impl HistoryFields {
    fn frame(self) -> Frame {
        let topic = match (self.room, self.with) {
            (Some(room), _) => Topic::Room(room),
            (None, Some(with)) => Topic::Private(with),
            (None, None) => return Frame::Unknown,
        };
        let is_message = |value: &serde_json::Value| {
            matches!(value.get("type").and_then(|kind| kind.as_str()), Some("message" | "private"))
        };
        let entries = self.messages.into_iter().filter_map(|value| {
            let seq = value.get("seq")?.as_u64()?;
            let entry = is_message(&value).then(|| serde_json::from_value(value).ok()).flatten();
            Some((seq, entry))
        });
        Frame::History(History {
            topic,
            epoch: self.epoch,
            first: self.first,
            entries: entries.collect(),
            has_more: self.has_more,
            reference: self.reference,
        })
    }
}

/// A `ref` of this crate: a number, as a string.
fn number<'de, D: serde::Deserializer<'de>>(field: D) -> Result<Option<u64>, D::Error> {
    let text: Option<Cow<'de, str>> = Deserialize::deserialize(field)?;
    Ok(text.and_then(|text| text.parse().ok()))
}
