//! Events for an application.

use serde::{Deserialize, Serialize};

use crate::{Access, Conversation, Counts, Level, Membership, Role};

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
        /// The message.
        entry: Entry,
    },
    /// A send is committed.
    Stored {
        /// The nonce of the send.
        nonce: String,
        /// The topic of the message.
        topic: Topic,
        /// The number of the message in its topic.
        seq: u64,
        /// Whole seconds since 1970.
        timestamp: u64,
        /// Whether an earlier attempt had stored it.
        duplicate: bool,
        /// The mentioned users who are no members of the room, and are not notified.
        not_members: Vec<String>,
    },
    /// A send failed and is not repeated.
    NotSent {
        /// The nonce of the send.
        nonce: String,
        /// The server's code, such as `text_too_long`, or `forbidden` (only members may
        /// write to the room, or only moderators may mention everybody there), or
        /// `other_user` if another user has signed in.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number in its topic.
    pub seq: u64,
    /// The name of its author.
    pub from: String,
    /// Its text.
    pub text: String,
    /// Whole seconds since 1970.
    pub timestamp: u64,
    /// Its author's id for the send; messages of v1 clients have none.
    pub nonce: Option<String>,
    /// The users whom it mentions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<String>,
    /// Whether it mentions every member of its room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mention_all: bool,
}

/// What a server has beyond the first servers of protocol v2: its `hello.features`.
/// A session asks a server for nothing else of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Features {
    /// Messages mention users.
    pub mentions: bool,
    /// The server keeps how far the user has read each topic, and counts what is unread.
    pub read: bool,
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
    /// The first and the last number that a [folded](crate::Options::fold) page covers;
    /// `None` if the page is not folded. The first is one more than the last if the page
    /// covers none.
    pub covers: Option<(u64, u64)>,
    /// The messages, in rising order.
    pub messages: Vec<Entry>,
    /// Whether there are more in the requested direction.
    pub has_more: bool,
}
