//! The frames of protocol v2, as a client writes and reads them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{
    Access, AttachedFile, Change, ChangeKind, Conversation, Counts, Entry, Event, Features, Level,
    Membership, Presence, Reaction, Role, Topic, account,
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
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_to: Option<u64>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        files: Vec<&'a str>,
    },
    Private {
        to: &'a str,
        text: &'a str,
        nonce: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_to: Option<u64>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        files: Vec<&'a str>,
    },
    Edit {
        #[serde(flatten)]
        to: SendTo<'a>,
        target: u64,
        text: &'a str,
        nonce: &'a str,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        mentions: &'a [String],
        #[serde(skip_serializing_if = "is_false")]
        mention_all: bool,
    },
    Delete {
        #[serde(flatten)]
        to: SendTo<'a>,
        target: u64,
        nonce: &'a str,
    },
    React {
        #[serde(flatten)]
        to: SendTo<'a>,
        target: u64,
        emoji: &'a str,
        nonce: &'a str,
    },
    Unreact {
        #[serde(flatten)]
        to: SendTo<'a>,
        target: u64,
        emoji: &'a str,
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
        around: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        seqs: Option<&'a [u64]>,
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

/// The topic of a send.
#[derive(Serialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SendTo<'a> {
    Room(&'a str),
    To(&'a str),
}

impl<'a> From<&'a Topic> for SendTo<'a> {
    fn from(topic: &'a Topic) -> Self {
        match topic {
            Topic::Room(room) => Self::Room(room),
            Topic::Private(to) => Self::To(to),
        }
    }
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
    /// An entry of a room.
    Room {
        room: String,
        seq: u64,
        item: Item,
    },
    /// An entry of a private conversation.
    Private {
        from: String,
        to: String,
        seq: u64,
        item: Item,
    },
    /// Of a later version of the protocol, and not about anything known here.
    Unknown,
}

/// An entry, by its kind.
#[derive(Debug)]
pub(crate) enum Item {
    Message(Entry),
    Change(Change),
    /// Of a kind that is not known here: it only takes its number.
    Unknown,
}

impl Item {
    pub(crate) fn event(self, topic: Topic, seq: u64) -> Event {
        match self {
            Self::Message(entry) => Event::Message { topic, entry },
            Self::Change(change) => Event::Change { topic, change },
            Self::Unknown => Event::UnknownEntry { topic, seq },
        }
    }
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
    /// The entries, each with its number.
    pub(crate) entries: Vec<(u64, Item)>,
    pub(crate) has_more: bool,
    pub(crate) has_more_before: bool,
    pub(crate) has_more_after: bool,
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
        "message" | "private" | "edit" | "delete" | "react" | "unreact" => entry(&kind, text),
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

/// An entry of a known kind; of an unknown one if it lacks a field of its kind.
fn entry(kind: &str, text: &str) -> Option<Frame> {
    let Ok(fields) = serde_json::from_str::<EntryFields>(text) else { return numbered(text) };
    let (seq, from) = (fields.seq, fields.from.clone());
    match (fields.room.clone(), fields.to.clone()) {
        (Some(room), _) if kind != "private" => {
            Some(Frame::Room { room, seq, item: fields.item(kind).unwrap_or(Item::Unknown) })
        }
        (None, Some(to)) if kind != "message" => {
            Some(Frame::Private { from, to, seq, item: fields.item(kind).unwrap_or(Item::Unknown) })
        }
        _ => numbered(text),
    }
}

/// An entry of which only the number is understood.
fn numbered(text: &str) -> Option<Frame> {
    let Numbers { room, from, to, seq } = serde_json::from_str(text).ok()?;
    match (room, from, to) {
        (Some(room), _, _) => Some(Frame::Room { room, seq, item: Item::Unknown }),
        (None, Some(from), Some(to)) => Some(Frame::Private { from, to, seq, item: Item::Unknown }),
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

/// The fields of messages and changes.
#[derive(Deserialize)]
struct EntryFields {
    room: Option<String>,
    from: String,
    to: Option<String>,
    seq: u64,
    #[serde(default)]
    timestamp: u64,
    nonce: Option<String>,
    text: Option<String>,
    #[serde(default)]
    mentions: Vec<String>,
    #[serde(default)]
    mention_all: bool,
    reply_to: Option<u64>,
    #[serde(default)]
    files: Vec<AttachedFile>,
    edited: Option<u64>,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    reactions: Vec<Reaction>,
    #[serde(default)]
    updated: u64,
    target: Option<u64>,
    emoji: Option<String>,
}

impl EntryFields {
    /// `None` if a field of this kind is missing.
    fn item(self, kind: &str) -> Option<Item> {
        let Self { seq, from, timestamp, nonce, text, mentions, mention_all, deleted, .. } = self;
        let kind = match kind {
            "message" | "private" => {
                let Self { reply_to, files, edited, reactions, updated, .. } = self;
                let may_be_blank = deleted || !files.is_empty();
                let text = if may_be_blank { text.unwrap_or_default() } else { text? };
                return Some(Item::Message(Entry {
                    seq,
                    from,
                    text,
                    timestamp,
                    nonce,
                    mentions,
                    mention_all,
                    reply_to,
                    files,
                    edited,
                    deleted,
                    reactions,
                    updated,
                }));
            }
            "edit" => ChangeKind::Edit { text, mentions, mention_all },
            "delete" => ChangeKind::Delete,
            "react" => ChangeKind::React { emoji: self.emoji? },
            "unreact" => ChangeKind::Unreact { emoji: self.emoji? },
            _ => return None,
        };
        let target = self.target?;
        Some(Item::Change(Change { seq, target, from, timestamp, nonce, kind }))
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
    #[serde(default)]
    has_more: bool,
    #[serde(default)]
    has_more_before: bool,
    #[serde(default)]
    has_more_after: bool,
    #[serde(rename = "ref", default, deserialize_with = "number")]
    reference: Option<u64>,
}

impl HistoryFields {
    fn frame(self) -> Frame {
        let Some(topic) = topic(self.room, self.with) else { return Frame::Unknown };
        let entries = self.messages.into_iter().filter_map(|value| {
            let seq = value.get("seq")?.as_u64()?;
            let kind = value.get("type").and_then(|kind| kind.as_str()).unwrap_or_default().to_owned();
            let fields = serde_json::from_value::<EntryFields>(value).ok();
            Some((seq, fields.and_then(|fields| fields.item(&kind)).unwrap_or(Item::Unknown)))
        });
        Frame::History(History {
            topic,
            epoch: self.epoch,
            first: self.first,
            covers: self.from.zip(self.upto),
            entries: entries.collect(),
            has_more: self.has_more || self.has_more_before || self.has_more_after,
            has_more_before: self.has_more_before,
            has_more_after: self.has_more_after,
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
    Ok(Features {
        delete: has("delete"),
        edit: has("edit"),
        files: has("files"),
        mentions: has("mentions"),
        react: has("react"),
        read: has("read"),
        reply: has("reply"),
        rooms: has("rooms"),
        typing: has("typing"),
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(value: &bool) -> bool {
    !value
}
