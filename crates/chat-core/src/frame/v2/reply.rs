//! The frames that v2 clients are sent.

use std::io;

use serde::{Serialize, Serializer};

use super::{About, ErrorCode};
use crate::file::FileFields;
use crate::{Access, Body, Entry, GoneReason, Level, MessageText, Nonce, Reaction, Role, Topic, Username};

/// What a user may do on this server, beside what the roles in rooms allow.
#[derive(Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum ServerRole {
    Member,
    Administrator,
}

/// The frames of the server, except entries.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Reply<'a> {
    /// The first frame: what a client needs to know.
    Hello {
        /// The version of the protocol.
        protocol: u32,
        /// The user of this connection.
        user: &'a str,
        /// The epoch of all rooms and conversations.
        epoch: &'a str,
        /// How often the server pings, in seconds.
        heartbeat_seconds: u64,
        limits: Limits,
        /// What this server has beyond the protocol's first version; a client asks
        /// for nothing else of that kind.
        features: Vec<Feature>,
        /// The rooms of which the user is a member, the one with the newest message
        /// first; at most 200, and fewer where their titles are long.
        rooms: Vec<ListedRoom<'a>>,
        /// The user has further rooms.
        has_more_rooms: bool,
        /// The latest private conversations, those written last first, and how
        /// far each goes: new messages are sent live, exactly after these
        /// numbers. One that is not listed begins with 1, unless `has_more`.
        privates: Vec<ConversationTop<'a>>,
        /// There are older conversations.
        has_more: bool,
    },
    /// The client has joined the room. The entries up to `seq` that it lacks follow,
    /// then new ones.
    Joined {
        room: &'a str,
        /// The epoch of the numbers.
        epoch: &'a str,
        /// The highest number in the room.
        seq: u64,
        /// Of a folded join: the first number that the replay covers, from there to
        /// `seq`.
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<u64>,
        /// Whether all entries after `since` follow. If not, the entries that the
        /// client has of this room do not connect to those that follow: it must
        /// drop them.
        recovered: bool,
        /// How many users are in the room.
        online: usize,
        /// Their names, in order; at most 200.
        members: Vec<&'a str>,
        /// That of the request.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
    },
    /// The replay of a folded join has ended. The next live entry is `joined.seq + 1`.
    Replayed {
        room: &'a str,
        /// The last number that the replay covers: that of `joined.seq`.
        upto: u64,
    },
    /// The client has left the room, or may not read it any more: then the frame has
    /// a reason, and no further frame of the room follows.
    Left {
        room: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<LeftReason>,
        /// That of the request.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
    },
    /// The acknowledgement of a message or a change: it is stored for good.
    Ack {
        /// That of the send.
        nonce: &'a str,
        #[serde(flatten)]
        of: Of<'a>,
        /// Its number there.
        seq: u64,
        /// When it was stored, in whole seconds since 1970.
        timestamp: u64,
        /// It was stored before: this is the first result, whatever this send
        /// contained. Or what a change wants is so already, by this entry.
        duplicate: bool,
        /// Mentioned users who are no members of the room: they are not notified.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        not_members: Vec<&'a str>,
    },
    /// A page of entries.
    History {
        #[serde(flatten)]
        of: PlaceRef<'a>,
        /// The epoch of the numbers.
        epoch: &'a str,
        /// The oldest number still kept.
        first: u64,
        /// Of a folded page: the first number that it covers; one more than `upto`
        /// if it covers none. Absent with `seqs`.
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<u64>,
        /// Of a folded page: the last number that it covers.
        #[serde(skip_serializing_if = "Option::is_none")]
        upto: Option<u64>,
        /// In rising order: of a folded page, and with `seqs`, messages only.
        messages: Vec<MessageFields<'a>>,
        /// There are more in the requested direction; with `around`, in one of both. With
        /// `seqs`: not all of them fitted, and the client asks again for the others.
        has_more: bool,
        /// With `around`: there are more before the first one.
        #[serde(skip_serializing_if = "Option::is_none")]
        has_more_before: Option<bool>,
        /// With `around`: there are more after the last one.
        #[serde(skip_serializing_if = "Option::is_none")]
        has_more_after: Option<bool>,
        /// That of the request.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
    },
    /// A user came into a room or is gone; in a room of many, only how many users
    /// there are.
    Presence {
        room: &'a str,
        #[serde(flatten)]
        what: PresenceWhat<'a>,
    },
    /// A user types, or no longer does. It is never stored and may be lost: it ends
    /// by itself after 6 s, and with a message of the user.
    Typing {
        #[serde(flatten)]
        what: TypingIn<'a>,
        active: bool,
    },
    /// The user has read up to a number on another connection; or counts that `hello`
    /// left out.
    Read {
        #[serde(flatten)]
        of: PlaceRef<'a>,
        /// The number up to which the user has read.
        upto: u64,
        /// The highest number there. The counts hold as of this number.
        top: u64,
        /// How many messages of others lie above `upto`, exactly up to 99; 100 means
        /// "more".
        unread: u8,
        /// How many of them mention the user, likewise.
        mentions: u8,
    },
    /// Messages of others came in a room that the client has not joined.
    Activity {
        room: &'a str,
        /// The highest number of the room.
        top: u64,
        /// When its last message was stored, in whole seconds since 1970.
        at: u64,
        /// How many came since the last such frame, or since `hello` or the client's
        /// `leave`.
        new: u64,
        /// How many of them mention the user.
        mentions: u64,
    },
    /// The user has chosen on another connection what to be notified of.
    Level {
        #[serde(flatten)]
        of: PlaceRef<'a>,
        level: Level,
    },
    /// The user's membership in a room, or the room, has changed.
    Room {
        room: &'a str,
        #[serde(flatten)]
        what: RoomWhat<'a>,
    },
    /// What the user may do on this server has changed.
    Rights { role: ServerRole },
    /// A request was refused. The connection stays open.
    Error {
        code: ErrorCode,
        /// For readers of the client's log; it may change.
        message: &'a str,
        /// What the user is shown: the sentence with which the program around the chat refuses a message.
        #[serde(skip_serializing_if = "Option::is_none")]
        sentence: Option<&'a str>,
        /// That of the request.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        /// That of the send.
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<&'a str>,
        /// When to try again, in whole seconds from now.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
    },
    /// The server is about to close: come back after this time.
    Reconnect {
        /// Milliseconds.
        after_ms: u64,
    },
}

/// What a server may have beyond the protocol's first version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Feature {
    /// The frame `edit`, and `edited` of messages.
    Edit,
    /// The frame `delete`, and `deleted` of messages.
    Delete,
    /// The frames `react` and `unreact`, and `reactions` of messages.
    React,
    /// `reply_to` of messages.
    Reply,
    /// `mentions` and `mention_all` of messages.
    Mentions,
    /// The frames `read`, `activity` and `level`, and counts in `hello`.
    Read,
    /// The frame `typing`, in both directions.
    Typing,
    /// Members, closed rooms, `hello.rooms`, and the frame `room`.
    Rooms,
    /// `files` of messages, and the calls for their bytes.
    Files,
}

/// What every server of this version has.
pub(crate) const FEATURES: &[Feature] = &[
    Feature::Edit,
    Feature::Delete,
    Feature::React,
    Feature::Reply,
    Feature::Mentions,
    Feature::Read,
    Feature::Typing,
    Feature::Rooms,
];

impl Feature {
    /// The name, as `hello.features` has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::React => "react",
            Self::Reply => "reply",
            Self::Mentions => "mentions",
            Self::Read => "read",
            Self::Typing => "typing",
            Self::Rooms => "rooms",
            Self::Files => "files",
        }
    }
}

/// The limits that a client should know.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Limits {
    /// Unicode scalar values of one text.
    pub(crate) text_max_chars: usize,
    /// Bytes of one frame of a client; a longer one closes the connection (1009).
    pub(crate) message_max_bytes: usize,
    /// Characters of a `nonce`.
    pub(crate) nonce_max_chars: usize,
    /// Characters of a `ref`.
    pub(crate) ref_max_chars: usize,
    /// Characters of a room's name.
    pub(crate) room_name_max_chars: usize,
    /// Rooms that a connection may have joined.
    pub(crate) rooms_max: usize,
    /// Users whom one message may mention by name.
    pub(crate) mentions_max: usize,
    /// Different emoji with which users may react to one message.
    pub(crate) reactions_max: usize,
    /// Files of one message; absent, like the next, where the server takes no files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) files_max: Option<usize>,
    /// Bytes of one file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file_max_bytes: Option<u64>,
    /// For how many seconds after it was stored a message may be edited; absent where it
    /// always may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) edit_seconds: Option<u64>,
    /// Entries of one page.
    pub(crate) history_max: usize,
    /// Entries that a client may have missed, and still gets all of them when it
    /// joins with `since`.
    pub(crate) resume_max_messages: u64,
    /// Unanswered sends that a connection may have before it is slowed down.
    pub(crate) unanswered_max: u32,
    /// Bytes of one frame of the server; absent where its settings allow more than
    /// 128 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frame_max_bytes: Option<usize>,
    /// Messages that a user may send in a burst; absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate_burst: Option<u32>,
    /// Messages a second that may follow a burst; absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate_per_second: Option<u32>,
}

/// A private conversation, and how far it goes.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ConversationTop<'a> {
    /// The other user; one's own name for notes to oneself.
    pub(crate) with: &'a str,
    /// The highest number there.
    pub(crate) seq: u64,
    /// When the last message was stored, in whole seconds since 1970; absent, like
    /// the fields after it, where the server does not know it at this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<u64>,
    /// The number up to which the user has read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) read: Option<u64>,
    /// How many messages of the other user lie above `read`, exactly up to 99; 100
    /// means "more". Where it is absent, a `read` frame follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unread: Option<u8>,
    /// What the user is notified of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) level: Option<Level>,
}

/// A room of which the user is a member.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ListedRoom<'a> {
    /// Its name.
    pub(crate) room: &'a str,
    /// Its title.
    pub(crate) title: &'a str,
    pub(crate) access: Access,
    /// Whether nothing can be written to it any more; absent where it can.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) archived: bool,
    pub(crate) role: Role,
    /// Its highest number.
    pub(crate) top: u64,
    /// When its last message was stored, in whole seconds since 1970; absent where it
    /// has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<u64>,
    /// The number up to which the user has read.
    pub(crate) read: u64,
    /// How many messages of others lie above `read`, exactly up to 99; 100 means
    /// "more". Where it is absent, a `read` frame follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unread: Option<u8>,
    /// How many of them mention the user, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mentions: Option<u8>,
    pub(crate) level: Level,
}

/// What a user's membership in a room is by now.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum RoomWhat<'a> {
    /// The user is a member.
    Member { title: &'a str, access: Access, archived: bool, role: Role },
    /// The user is no member any more: `member` is false.
    Gone { member: bool },
}

/// Why a client may not read a room any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum LeftReason {
    /// The user was removed.
    Removed,
    /// The room was closed, and the user is no member.
    Closed,
    /// The user has left the closed room.
    Left,
}

impl From<GoneReason> for LeftReason {
    fn from(reason: GoneReason) -> Self {
        match reason {
            GoneReason::Removed => Self::Removed,
            GoneReason::Left => Self::Left,
        }
    }
}

/// The topic of an entry.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Of<'a> {
    /// In this room.
    Room(&'a str),
    /// In the private conversation with this user.
    To(&'a str),
}

impl<'a> Of<'a> {
    /// The topic of an entry, as the clients of its author are sent it.
    fn topic(topic: &'a Topic, author: &Username) -> Self {
        match topic {
            Topic::Room(room) => Self::Room(room.as_str()),
            Topic::Pair(pair) => Self::To(pair.other(author).as_str()),
        }
    }
}

/// A room, or a private conversation.
#[derive(Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum PlaceRef<'a> {
    /// This room.
    Room(&'a str),
    /// The private conversation with this user; in an answer, as the request wrote the
    /// name.
    With(&'a str),
}

/// A change of the users in a room.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum PresenceWhat<'a> {
    /// This user came or is gone.
    User { user: &'a str, online: bool },
    /// How many users there are.
    Count { online: usize },
}

/// Where a user types.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum TypingIn<'a> {
    /// This user types in this room.
    Room { room: &'a str, user: &'a str },
    /// This user types in the private conversation with the client's user.
    Private { from: &'a str },
}

/// An entry, as all its recipients get it, its author included.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum EntryFrame<'a> {
    /// A message in a room.
    Message {
        room: &'a str,
        /// Its number in the room, from 1, without a gap.
        seq: u64,
        /// Its author.
        from: &'a str,
        /// The text, without white space around it.
        text: &'a str,
        /// When it was stored, in whole seconds since 1970; never less than that
        /// of the entry before it.
        timestamp: u64,
        /// The author's id for it; v1 clients give none.
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<&'a str>,
        /// The users whom it mentions.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        mentions: Vec<&'a str>,
        /// It mentions every member of the room; else absent.
        #[serde(skip_serializing_if = "is_false")]
        mention_all: bool,
        /// The number of the message that it answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_to: Option<u64>,
        /// Its files, at most 10; its text may be empty then. They stay when it is edited.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        files: Vec<FileFields<'a>>,
        /// When it was last edited, in whole seconds since 1970. This field and those
        /// after it are in replays and pages only.
        #[serde(skip_serializing_if = "Option::is_none")]
        edited: Option<u64>,
        /// It is deleted: its text is empty. Else absent.
        #[serde(skip_serializing_if = "is_false")]
        deleted: bool,
        /// Its reactions, in the order in which the count of each last rose from 0.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        reactions: Vec<ReactionShown<'a>>,
        /// The highest number of a change that these fields contain; absent where there
        /// was none.
        #[serde(skip_serializing_if = "Option::is_none")]
        updated: Option<u64>,
    },
    /// A private message.
    Private {
        /// Its author.
        from: &'a str,
        /// Its recipient.
        to: &'a str,
        /// Its number in their conversation, from 1, without a gap, whichever of
        /// the two writes.
        seq: u64,
        /// The text, without white space around it.
        text: &'a str,
        /// When it was stored, in whole seconds since 1970; never less than that
        /// of the entry before it.
        timestamp: u64,
        /// The author's id for it; v1 clients give none.
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<&'a str>,
        /// The number of the message that it answers.
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_to: Option<u64>,
        /// Its files, at most 10; its text may be empty then. They stay when it is edited.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        files: Vec<FileFields<'a>>,
        /// When it was last edited, in whole seconds since 1970. This field and those
        /// after it are in replays and pages only.
        #[serde(skip_serializing_if = "Option::is_none")]
        edited: Option<u64>,
        /// It is deleted: its text is empty. Else absent.
        #[serde(skip_serializing_if = "is_false")]
        deleted: bool,
        /// Its reactions, in the order in which the count of each last rose from 0.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        reactions: Vec<ReactionShown<'a>>,
        /// The highest number of a change that these fields contain; absent where there
        /// was none.
        #[serde(skip_serializing_if = "Option::is_none")]
        updated: Option<u64>,
    },
    /// The text and mentions of a message are replaced.
    Edit {
        #[serde(flatten)]
        of: Of<'a>,
        /// Its number there: changes and messages are numbered together.
        seq: u64,
        /// The number of the message.
        target: u64,
        /// Its author, who is that of the message.
        from: &'a str,
        /// The new text; absent in replays and pages if the message was edited again or
        /// deleted since, or is no longer kept.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<&'a str>,
        /// When it was stored, in whole seconds since 1970.
        timestamp: u64,
        /// The author's id for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<&'a str>,
        /// The users whom the new text mentions.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        mentions: Vec<&'a str>,
        /// It mentions every member of the room; else absent.
        #[serde(skip_serializing_if = "is_false")]
        mention_all: bool,
    },
    /// A message is taken back: its text, files, mentions, `reply_to`, `edited` and reactions
    /// are gone.
    Delete {
        #[serde(flatten)]
        of: Of<'a>,
        /// Its number there: changes and messages are numbered together.
        seq: u64,
        /// The number of the message.
        target: u64,
        /// Who deleted it: the author of the message, or in a room a moderator or
        /// administrator.
        from: &'a str,
        /// When it was stored, in whole seconds since 1970.
        timestamp: u64,
        /// The author's id for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<&'a str>,
    },
    /// A user reacts to a message.
    React {
        #[serde(flatten)]
        of: Of<'a>,
        /// Its number there: changes and messages are numbered together.
        seq: u64,
        /// The number of the message.
        target: u64,
        /// The user.
        from: &'a str,
        /// One emoji, fully qualified.
        emoji: &'a str,
        /// When it was stored, in whole seconds since 1970.
        timestamp: u64,
        /// The author's id for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<&'a str>,
    },
    /// A user takes a reaction back.
    Unreact {
        #[serde(flatten)]
        of: Of<'a>,
        /// Its number there: changes and messages are numbered together.
        seq: u64,
        /// The number of the message.
        target: u64,
        /// The user.
        from: &'a str,
        /// One emoji, fully qualified.
        emoji: &'a str,
        /// When it was stored, in whole seconds since 1970.
        timestamp: u64,
        /// The author's id for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<&'a str>,
    },
}

/// The users who reacted to a message with one emoji.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ReactionShown<'a> {
    /// The emoji, fully qualified.
    emoji: &'a str,
    /// How many users.
    count: u64,
    /// The first of them, at most 5.
    users: Vec<&'a str>,
}

impl<'a> From<&'a Reaction> for ReactionShown<'a> {
    fn from(reaction: &'a Reaction) -> Self {
        let users = reaction.users.iter().map(Username::as_str).collect();
        Self { emoji: reaction.emoji.as_str(), count: reaction.count, users }
    }
}

impl<'a> From<&'a Entry> for EntryFrame<'a> {
    fn from(entry: &'a Entry) -> Self {
        let Entry { topic, seq, from, body, .. } = entry;
        let (seq, timestamp, text) = (*seq, entry.at_ms / 1000, body.text());
        let nonce = entry.nonce.as_ref().map(Nonce::as_str);
        let of = Of::topic(topic, from);
        let from = from.as_str();
        let (names, mention_all) =
            body.mentions().map_or((&[][..], false), |mentions| (&mentions.names, mentions.all));
        let mentions = names.iter().map(Username::as_str).collect();
        match body {
            Body::Message { reply_to, state, .. } => {
                let reply_to = *reply_to;
                let state = state.as_deref();
                let edited = state.and_then(|state| Some(state.edited_at_ms? / 1000));
                let deleted = state.is_some_and(|state| state.deleted);
                let reactions = state.map_or(&[][..], |state| &state.reactions);
                let reactions = reactions.iter().map(ReactionShown::from).collect();
                let updated = state.map(|state| state.updated);
                let files = body.files().iter().map(FileFields::from).collect();
                match of {
                    Of::Room(room) => Self::Message {
                        room,
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
                    },
                    Of::To(to) => Self::Private {
                        from,
                        to,
                        seq,
                        text,
                        timestamp,
                        nonce,
                        reply_to,
                        files,
                        edited,
                        deleted,
                        reactions,
                        updated,
                    },
                }
            }
            Body::Edit { target, text, .. } => {
                let (target, text) = (*target, text.as_ref().map(MessageText::as_str));
                Self::Edit { of, seq, target, from, text, timestamp, nonce, mentions, mention_all }
            }
            Body::Delete { target } => Self::Delete { of, seq, target: *target, from, timestamp, nonce },
            Body::React { target, emoji } => {
                Self::React { of, seq, target: *target, from, emoji: emoji.as_str(), timestamp, nonce }
            }
            Body::Unreact { target, emoji } => {
                Self::Unreact { of, seq, target: *target, from, emoji: emoji.as_str(), timestamp, nonce }
            }
        }
    }
}

/// An entry that serialises as its frame: a page of them copies no text.
pub(crate) struct MessageFields<'a>(pub(crate) &'a Entry);

impl Serialize for MessageFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        EntryFrame::from(self.0).serialize(serializer)
    }
}

/// Appends the JSON of an entry.
pub(crate) fn entry(out: &mut Vec<u8>, entry: &Entry) {
    serde_json::to_writer(out, &MessageFields(entry)).expect(SERIALISES);
}

/// Bytes of the JSON of an entry: in a page, a comma comes to it.
pub(crate) fn entry_bytes(entry: &Entry) -> usize {
    let mut written = Counted(0);
    serde_json::to_writer(&mut written, &MessageFields(entry)).expect(SERIALISES);
    written.0
}

/// Counts the bytes that are written.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Reply<'_> {
    /// Appends the JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, self).expect(SERIALISES);
    }
}

/// The `error` frame.
pub(crate) fn error<'a>(
    code: ErrorCode,
    message: &'a str,
    about: &'a About,
    retry_after: Option<u64>,
) -> Reply<'a> {
    let (reference, nonce) = match about {
        About::Nothing => (None, None),
        About::Reference(reference) => (Some(reference.as_str()), None),
        About::Nonce(nonce) => (None, Some(nonce.as_str())),
    };
    Reply::Error { code, message, sentence: None, reference, nonce, retry_after }
}

/// The `error` frame for a message that the program around the chat has refused.
pub(crate) fn refused_by_program<'a>(sentence: &'a str, nonce: &'a Nonce) -> Reply<'a> {
    Reply::Error {
        code: ErrorCode::Forbidden,
        message: sentence,
        sentence: Some(sentence),
        reference: None,
        nonce: Some(nonce.as_str()),
        retry_after: None,
    }
}

/// The acknowledgement of a send.
pub(crate) struct Ack<'a> {
    pub(crate) nonce: &'a Nonce,
    pub(crate) topic: &'a Topic,
    /// If the topic is a conversation, one of its two users.
    pub(crate) author: &'a Username,
    pub(crate) seq: u64,
    pub(crate) at_ms: u64,
    /// See [`Reply::Ack`].
    pub(crate) duplicate: bool,
    /// Likewise.
    pub(crate) not_members: &'a [Username],
}

impl<'a> From<Ack<'a>> for Reply<'a> {
    fn from(Ack { nonce, topic, author, seq, at_ms, duplicate, not_members }: Ack<'a>) -> Self {
        let of = Of::topic(topic, author);
        let not_members = not_members.iter().map(Username::as_str).collect();
        Self::Ack { nonce: nonce.as_str(), of, seq, timestamp: at_ms / 1000, duplicate, not_members }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

const SERIALISES: &str = "strings and numbers always serialise, and a Vec takes them";
