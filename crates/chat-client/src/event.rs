//! Events for an application.

use serde::{Deserialize, Serialize};

use crate::{Access, AttachedFile, Change, Conversation, Counts, Level, Membership, Role, Unsent};

/// An event, in the order in which an application must handle it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The server sent `hello`. Sends without an answer are transmitted again, and
    /// rooms are joined again.
    Online {
        /// The name of the user.
        user: String,
        /// The epoch of private conversations.
        epoch: String,
        /// The latest private conversations and how far each goes, at most 200.
        conversations: Vec<Conversation>,
        /// Whether there are older ones.
        has_more: bool,
        /// The user's rooms with the newest messages, at most 200; none if the server
        /// lacks the feature `rooms`.
        rooms: Vec<Membership>,
        /// Whether the user is a member of further rooms.
        has_more_rooms: bool,
        /// What the server has beyond the first servers of protocol v2.
        features: Features,
    },
    /// There is no connection. The session tries the next one by itself.
    Offline {
        /// The server's close code, if it closed the connection.
        code: Option<u16>,
        /// When the next attempt is made, in milliseconds from now.
        retry_in_ms: u64,
    },
    /// The token is no longer valid (1008) or its session was ended (4001). The
    /// client stays offline until there is another token
    /// ([`Session::signed_in`](crate::Session::signed_in)); nothing is forgotten.
    SignedOut {
        /// 1008 or 4001.
        code: u16,
    },
    /// A room was joined, for the first time or again.
    Joined {
        /// The name of the room.
        room: String,
        /// The epoch of the room.
        epoch: String,
        /// The number of its last entry; entries up to it were sent before.
        seq: u64,
        /// Whether all missed messages follow. Otherwise the latest ones follow: 50, or
        /// [`Options::join_limit`](crate::Options::join_limit).
        recovered: bool,
        /// How many users are online in the room.
        online: u64,
        /// Their names, at most 200.
        members: Vec<String>,
    },
    /// The replay behind a [`Joined`](Self::Joined) has ended, if the session joins
    /// rooms [folded](crate::Options::fold): the next message is a new one.
    Replayed {
        /// The name of the room.
        room: String,
        /// The number up to which the application has everything of the room.
        upto: u64,
    },
    /// A room cannot be joined; no more events of it follow.
    NotJoined {
        /// The name of the room.
        room: String,
        /// The server's code, such as `too_many_rooms`, or `forbidden` if only members
        /// may read the room.
        code: String,
        /// A sentence for the user.
        message: String,
    },
    /// A room was left; no more events of it follow.
    Left {
        /// The name of the room.
        room: String,
        /// Why the server ended it: `removed` (somebody removed this user), `closed`
        /// (only members may read the room now), `left` (this user is no member any
        /// more), or a later reason. Sends to the room that were not transmitted have
        /// failed before. `None`: this application left.
        reason: Option<String>,
    },
    /// The application must forget its messages of this topic: there is a new
    /// epoch, or messages are missing before the next one. The latest messages
    /// follow.
    Reset {
        /// The topic.
        topic: Topic,
    },
    /// A message, also one of this user. Each comes once and in the order of its
    /// topic.
    Message {
        /// The topic of the message.
        topic: Topic,
        /// The message. One that was sent before may be in a newer state than the changes
        /// that came until now: see [`Entry::updated`].
        entry: Entry,
    },
    /// A message is edited, deleted, or reacted to, also by this user. Each change comes
    /// once, in the order of the messages and changes of its topic, whether the application
    /// knows the message or not.
    Change {
        /// The topic of the message.
        topic: Topic,
        /// The change.
        change: Change,
    },
    /// An entry of a kind that this version of the crate does not know has taken a number.
    UnknownEntry {
        /// Its topic.
        topic: Topic,
        /// Its number.
        seq: u64,
    },
    /// A message or a change of this program was accepted, and waits to be sent or
    /// answered. [`Stored`](Self::Stored) or [`NotSent`](Self::NotSent) follows.
    Queued {
        /// The send.
        unsent: Unsent,
    },
    /// A send is committed.
    Stored {
        /// The nonce of the send.
        nonce: String,
        /// The topic of the message or change.
        topic: Topic,
        /// The number of the message or change in its topic. Where the change was made
        /// already (a reaction that is there, a message that is deleted), it is the number of
        /// the first one.
        seq: u64,
        /// Whole seconds since 1970.
        timestamp: u64,
        /// Whether an earlier attempt had stored it, or it was so already.
        duplicate: bool,
        /// The mentioned users who are no members of the room, and are not notified.
        not_members: Vec<String>,
    },
    /// A send failed and is not repeated.
    NotSent {
        /// The nonce of the send.
        nonce: String,
        /// The server's code, such as `text_too_long`, or `forbidden` (only members may
        /// write to the room, only moderators may mention everybody there, or this user may
        /// not change the message), `not_found` (the message is not there, or deleted, or
        /// there is nothing to take back), `too_many` (different reactions), `bad_request`
        /// (such as a text that is not one emoji, or a file that is not there any more or
        /// belongs to another message). Or the session's own: `other_user` if another user
        /// has signed in, `not_sent` for a change of a message that was not sent,
        /// `unsupported` if the server has no such change, or no files.
        code: String,
        /// A sentence for the user.
        message: String,
        /// Whether an earlier attempt was not answered: it may have been stored.
        may_be_stored: bool,
    },
    /// The users who are online in a room changed.
    Presence {
        /// The name of the room.
        room: String,
        /// The change.
        change: Presence,
    },
    /// The user has become a member of a room, or the room or the user's role in it was
    /// changed.
    Room {
        /// The name of the room.
        room: String,
        /// Its title.
        title: String,
        /// Who may read it.
        access: Access,
        /// Whether nothing can be written to it any more.
        archived: bool,
        /// The user's role in it.
        role: Role,
    },
    /// The user is no member of a room any more. An open room stays joined.
    RoomGone {
        /// The name of the room.
        room: String,
    },
    /// Others wrote to a room of which the user is a member, and which is not joined on
    /// this connection.
    Activity {
        /// The name of the room.
        room: String,
        /// The number of its last entry.
        top: u64,
        /// When its last message was stored, in whole seconds since 1970.
        at: u64,
        /// How many messages of others came since the last such event.
        new: u64,
        /// How many of them mention the user.
        mentions: u64,
    },
    /// The user has read a topic, on this or another device, or the server has counted
    /// what is unread. [`Account`](crate::Account) has the present counts.
    Read {
        /// The topic.
        topic: Topic,
        /// The user has read up to this number.
        upto: u64,
        /// The last number that `counts` include.
        top: u64,
        /// What was unread then; `None` if the server was not asked.
        counts: Option<Counts>,
    },
    /// The user has chosen, on this or another device, what to be notified of.
    Level {
        /// Where.
        topic: Topic,
        /// What to be notified of.
        level: Level,
    },
    /// Another user types, or no longer does. It is a hint that may be lost: an
    /// application ends it by itself after 6 s, and with a message of the user there.
    Typing {
        /// Where.
        topic: Topic,
        /// The name of the user.
        user: String,
        /// Whether the user types.
        active: bool,
    },
    /// A requested page of history.
    History {
        /// The number that [`Session::history`](crate::Session::history) returned.
        request: u64,
        /// The page.
        page: HistoryPage,
    },
    /// A requested page of history cannot be read now.
    NoHistory {
        /// The number that [`Session::history`](crate::Session::history) returned.
        request: u64,
        /// The server's code, or `offline` if the connection was lost.
        code: String,
        /// A sentence for the user.
        message: String,
    },
    /// The server sent an error that belongs to no request: a bug on one side.
    Problem {
        /// The server's code.
        code: String,
        /// Its sentence.
        message: String,
    },
}

/// A numbered log: a room, or a private conversation of this user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// The room of this name.
    Room(String),
    /// The private conversation with the user of this name.
    #[serde(alias = "person")]
    Private(String),
}

impl Topic {
    /// The room of this name.
    pub fn room(name: impl Into<String>) -> Self {
        Self::Room(name.into())
    }

    /// The private conversation with the user of this name.
    pub fn private(name: impl Into<String>) -> Self {
        Self::Private(name.into())
    }
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number in its topic.
    pub seq: u64,
    /// The name of its author.
    pub from: String,
    /// Its text; empty if it is deleted, and perhaps if it has files.
    #[serde(default)]
    pub text: String,
    /// Whole seconds since 1970.
    #[serde(default)]
    pub timestamp: u64,
    /// Its author's id for the send; messages of v1 clients have none.
    pub nonce: Option<String>,
    /// The users whom it mentions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<String>,
    /// Whether it mentions every member of its room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mention_all: bool,
    /// The number of the message in its topic that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<u64>,
    /// Its files, at most [`FILES_MAX`](crate::FILES_MAX). They stay when it is edited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<AttachedFile>,
    /// When its newest edit was stored, in whole seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<u64>,
    /// Whether it is deleted: then it has no text, mentions, `reply_to`, files, `edited` and
    /// reactions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Its reactions, in the order in which the count of each last rose from 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
    /// The highest number of a change that its fields contain; 0 if it was not changed. A
    /// change up to this number is applied already.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub updated: u64,
}

/// The users who reacted to a message with one emoji.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// How many users reacted with it.
    pub count: u64,
    /// Names of the first of them, at most [`REACTION_USERS_SHOWN`]: a hint, which may
    /// lack some. The server has all names (`GET /api/reactions`).
    #[serde(default)]
    pub users: Vec<String>,
}

/// How many users a [`Reaction`] names at most.
pub const REACTION_USERS_SHOWN: usize = 5;

/// What a server has beyond the first servers of protocol v2: its `hello.features`.
/// A session asks a server for nothing else of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Features {
    /// Messages are deleted.
    pub delete: bool,
    /// Messages are edited.
    pub edit: bool,
    /// Messages have files.
    pub files: bool,
    /// Messages mention users.
    pub mentions: bool,
    /// Users react to messages.
    pub react: bool,
    /// The server keeps how far the user has read each topic, and counts what is unread.
    pub read: bool,
    /// Messages answer messages; pages of history begin around a number or have messages of
    /// given numbers.
    pub reply: bool,
    /// The server keeps of which rooms the user is a member; there are closed rooms.
    pub rooms: bool,
    /// Users see who types.
    pub typing: bool,
}

/// A change of the users who are online in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// A user came online.
    Came(String),
    /// A user went offline.
    Gone(String),
    /// The number of users, in a room with too many of them to name.
    Count(u64),
}

/// A page of history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// The topic of the page.
    pub topic: Topic,
    /// The epoch of the topic.
    pub epoch: String,
    /// The oldest number that the server still keeps.
    pub first: u64,
    /// The first and the last number that the page covers: entries between them that are
    /// missing here are changes, or are no longer kept. The first is one more than the last if
    /// a [folded](crate::Options::fold) page covers none. `None` if the page has messages of
    /// given numbers, or no entries.
    pub covers: Option<(u64, u64)>,
    /// The messages, in rising order, as they were when the page was read.
    pub messages: Vec<Entry>,
    /// The changes among its entries, if the page is not folded. The messages of the page
    /// contain them already.
    pub changes: Vec<Change>,
    /// Whether there are more in the requested direction; for a page around a number, in
    /// either direction.
    pub has_more: bool,
    /// Whether there are older messages than those of a page around a number.
    pub has_more_before: bool,
    /// Whether there are newer messages than those of a page around a number.
    pub has_more_after: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
