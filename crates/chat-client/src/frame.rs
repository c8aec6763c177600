//! The frames of protocol v2, as a client writes and reads them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{
    Access, Conversation, Counts, Entry, Features, Level, Membership, Presence, Role, Topic, account,
};

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
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        #[serde(skip_serializing_if = "is_false")]
        fold: bool,
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
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        mentions: &'a [String],
        #[serde(skip_serializing_if = "is_false")]
        mention_all: bool,
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
        #[serde(skip_serializing_if = "is_false")]
        fold: bool,
        #[serde(rename = "ref")]
        reference: String,
    },
    Read {
        #[serde(flatten)]
        of: Of<'a>,
        upto: u64,
        #[serde(rename = "ref")]
        reference: String,
    },
    Level {
        #[serde(flatten)]
        of: Of<'a>,
        level: Level,
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

/// The topic of a request.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Of<'a> {
    Room(&'a str),
    With(&'a str),
}

impl<'a> From<&'a Topic> for Of<'a> {
    fn from(topic: &'a Topic) -> Self {
        match topic {
            Topic::Room(room) => Self::Room(room),
            Topic::Private(with) => Self::With(with),
        }
    }
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
    /// The replay of a folded join has ended.
    Replayed {
        room: String,
        upto: u64,
    },
    Left(Left),
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
    /// A membership, or its room, has changed.
    Membership {
        room: String,
        title: String,
        access: Access,
        archived: bool,
        role: Role,
    },
    /// A membership has ended.
    NotMember {
        room: String,
    },
    Activity {
        room: String,
        top: u64,
        at: u64,
        new: u64,
        mentions: u64,
    },
    Read {
        topic: Topic,
        upto: u64,
        top: u64,
        counts: Counts,
    },
    Level {
        topic: Topic,
        level: Level,
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
    #[serde(default, deserialize_with = "features")]
    pub(crate) features: Features,
    #[serde(default)]
    pub(crate) privates: Vec<Conversation>,
    #[serde(default)]
    pub(crate) has_more: bool,
    #[serde(default)]
    pub(crate) rooms: Vec<Membership>,
    #[serde(default)]
    pub(crate) has_more_rooms: bool,
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
    /// Of a folded join: the first number that the replay covers.
    pub(crate) from: Option<u64>,
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
    #[serde(default)]
    pub(crate) not_members: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct History {
    pub(crate) topic: Topic,
    pub(crate) epoch: String,
    pub(crate) first: u64,
    /// Of a folded page: the numbers that it covers.
    pub(crate) covers: Option<(u64, u64)>,
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
        "replayed" => read(text, |Replayed { room, upto }| Frame::Replayed { room, upto }),
        "left" => read(text, Frame::Left),
        "history" => read(text, HistoryFields::frame),
        "presence" => read(text, PresenceFields::frame),
        "typing" => read(text, TypingFields::frame),
        "room" => read(text, RoomFields::frame),
        "activity" => read(text, ActivityFields::frame),
        "read" => read(text, ReadFields::frame),
        "level" => read(text, LevelFields::frame),
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
    #[serde(default)]
    mentions: Vec<String>,
    #[serde(default)]
    mention_all: bool,
}

impl Message {
    fn frame(self) -> Frame {
        let Self { room, seq, from, text, timestamp, nonce, mentions, mention_all } = self;
        let entry = Entry { seq, from, text, timestamp, nonce, mentions, mention_all };
        Frame::Room { room, seq, entry: Some(entry) }
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
        let (mentions, mention_all) = (Vec::new(), false);
        let entry = Some(Entry { seq, from: from.clone(), text, timestamp, nonce, mentions, mention_all });
        Frame::Private { from, to, seq, entry }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Left {
    pub(crate) room: Option<String>,
    /// Why the server ended it, without a request.
    pub(crate) reason: Option<String>,
    #[serde(rename = "ref", default, deserialize_with = "number")]
    pub(crate) reference: Option<u64>,
}

#[derive(Deserialize)]
struct Replayed {
    room: String,
    upto: u64,
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
struct RoomFields {
    room: String,
    member: Option<bool>,
    #[serde(default)]
    title: String,
    #[serde(default)]
    access: Access,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    role: Role,
}

impl RoomFields {
    fn frame(self) -> Frame {
        let Self { room, member, title, access, archived, role } = self;
        if member == Some(false) {
            Frame::NotMember { room }
        } else {
            Frame::Membership { room, title, access, archived, role }
        }
    }
}

#[derive(Deserialize)]
struct ActivityFields {
    room: String,
    top: u64,
    #[serde(default)]
    at: u64,
    #[serde(default)]
    new: u64,
    #[serde(default)]
    mentions: u64,
}

impl ActivityFields {
    fn frame(self) -> Frame {
        let Self { room, top, at, new, mentions } = self;
        Frame::Activity { room, top, at, new, mentions }
    }
}

#[derive(Deserialize)]
struct ReadFields {
    room: Option<String>,
    with: Option<String>,
    upto: u64,
    top: u64,
    unread: u64,
    #[serde(default)]
    mentions: u64,
}

impl ReadFields {
    fn frame(self) -> Frame {
        let Self { upto, top, unread, mentions, .. } = self;
        let counts = Counts { unread: account::capped(unread), mentions: account::capped(mentions) };
        match topic(self.room, self.with) {
            Some(topic) => Frame::Read { topic, upto, top, counts },
            None => Frame::Unknown,
        }
    }
}

#[derive(Deserialize)]
struct LevelFields {
    room: Option<String>,
    with: Option<String>,
    level: Level,
}

impl LevelFields {
    fn frame(self) -> Frame {
        match topic(self.room, self.with) {
            Some(topic) => Frame::Level { topic, level: self.level },
            None => Frame::Unknown,
        }
    }
}

/// The topic of a frame that names a room or the other user of a conversation.
fn topic(room: Option<String>, with: Option<String>) -> Option<Topic> {
    room.map(Topic::Room).or_else(|| with.map(Topic::Private))
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
    from: Option<u64>,
    upto: Option<u64>,
    messages: Vec<serde_json::Value>,
    has_more: bool,
    #[serde(rename = "ref", default, deserialize_with = "number")]
    reference: Option<u64>,
}

impl HistoryFields {
    fn frame(self) -> Frame {
        let Some(topic) = topic(self.room, self.with) else { return Frame::Unknown };
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
            covers: self.from.zip(self.upto),
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

fn features<'de, D: serde::Deserializer<'de>>(field: D) -> Result<Features, D::Error> {
    let names: Vec<Cow<'de, str>> = Deserialize::deserialize(field)?;
    let has = |feature: &str| names.iter().any(|name| name == feature);
    Ok(Features { mentions: has("mentions"), read: has("read"), rooms: has("rooms"), typing: has("typing") })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(value: &bool) -> bool {
    !value
}
