//! What an application is told.

use serde::{Deserialize, Serialize};

/// What happened, in the order in which an application should take it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The server said hello. What was sent and not answered is sent again now,
    /// and the rooms are joined again.
    Online {
        /// Who one is.
        user: String,
        /// The name of the numbering of private conversations.
        epoch: String,
        /// The latest private conversations and how far each goes, at most 200.
        conversations: Vec<Conversation>,
        /// There are older ones.
        has_more: bool,
    },
    /// There is no connection; the next one is tried by itself.
    Offline {
        /// With what the server closed, if it did.
        code: Option<u16>,
        /// When the next one is tried, in milliseconds from now.
        retry_in_ms: u64,
    },
    /// The token is no longer good (1008) or its session was ended (4001). The
    /// session stays offline until it is told to come back with another one
    /// ([`Session::signed_in`](crate::Session::signed_in)); nothing is forgotten.
    SignedOut {
        /// 1008 or 4001.
        code: u16,
    },
    /// A room was joined, for the first time or once more.
    Joined {
        /// Which.
        room: String,
        /// The name of its numbering.
        epoch: String,
        /// Its last entry's number; what comes up to it was said before.
        seq: u64,
        /// Everything that was missed follows. If not, the latest 50 messages.
        recovered: bool,
        /// How many people are in it.
        online: u64,
        /// Their names, at most 200.
        members: Vec<String>,
    },
    /// A room cannot be joined; nothing more comes from it.
    NotJoined {
        /// Which.
        room: String,
        /// The server's code, such as `too_many_rooms`.
        code: String,
        /// A sentence for a person.
        message: String,
    },
    /// A room was left; nothing more comes from it.
    Left {
        /// Which.
        room: String,
    },
    /// Forget what you have of this place: its numbering starts anew, or there
    /// is a hole before what comes next. The latest messages follow.
    Reset {
        /// Of which.
        place: Place,
    },
    /// Something was said, perhaps by oneself; each message comes once and in
    /// the order of its place.
    Message {
        /// Where.
        place: Place,
        /// What.
        entry: Entry,
    },
    /// What was sent is stored for good.
    Stored {
        /// The nonce of the send.
        nonce: String,
        /// Where it is.
        place: Place,
        /// Its number there.
        seq: u64,
        /// Whole seconds since 1970.
        timestamp: u64,
        /// It was stored by an earlier try.
        duplicate: bool,
    },
    /// What was sent is not stored and not tried again.
    NotSent {
        /// The nonce of the send.
        nonce: String,
        /// The server's code, such as `text_too_long`; or `other_user`, if
        /// somebody else signed in.
        code: String,
        /// A sentence for a person.
        message: String,
        /// An earlier try was not answered, and might have been stored.
        may_be_stored: bool,
    },
    /// Who is in a room has changed.
    Presence {
        /// Which room.
        room: String,
        /// How.
        change: Presence,
    },
    /// A page of history that was asked for.
    History {
        /// The number that [`Session::history`](crate::Session::history) gave.
        request: u64,
        /// The page.
        page: HistoryPage,
    },
    /// A page of history that cannot be had now.
    NoHistory {
        /// The number that [`Session::history`](crate::Session::history) gave.
        request: u64,
        /// The server's code; or `offline`, if the connection was lost.
        code: String,
        /// A sentence for a person.
        message: String,
    },
    /// The server refused something that nobody waits for: a bug on one side.
    Problem {
        /// The server's code.
        code: String,
        /// Its sentence.
        message: String,
    },
}

/// Where something is said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In a room.
    Room(String),
    /// In private, with this person.
    Person(String),
}

impl Place {
    /// The room of this name.
    pub fn room(name: impl Into<String>) -> Self {
        Self::Room(name.into())
    }

    /// The private conversation with the person of this name.
    pub fn person(name: impl Into<String>) -> Self {
        Self::Person(name.into())
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number: with the place, its name.
    pub seq: u64,
    /// Who said it.
    pub from: String,
    /// What was said.
    pub text: String,
    /// Whole seconds since 1970.
    pub timestamp: u64,
    /// Its author's own id for it; what v1 clients say has none.
    pub nonce: Option<String>,
}

/// A private conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// The other person.
    pub with: String,
    /// The number of its last entry.
    pub seq: u64,
}

/// A change of who is in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// Somebody came.
    Came(String),
    /// Somebody is gone.
    Gone(String),
    /// There are so many people that only their number is told.
    Count(u64),
}

/// A page of history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// Of what.
    pub place: Place,
    /// The name of its numbering.
    pub epoch: String,
    /// The oldest number that is still kept.
    pub first: u64,
    /// The messages, in rising order.
    pub messages: Vec<Entry>,
    /// There is more in the direction asked.
    pub has_more: bool,
}
