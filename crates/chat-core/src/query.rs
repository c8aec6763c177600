//! What a hub reads from the log.

use crate::{
    Conversations, Memberships, MessagesFrom, Page, PageFrom, PageLimits, ReadState, RoomAccess, RoomName,
    Topic, Username,
};

/// A question to the log; each is answered by the [`Answer`] of the same name
/// ([`Query::Messages`] by [`Answer::Page`]), or by [`Answer::Failed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// A part of a topic.
    Page {
        /// The room or conversation.
        topic: Topic,
        /// Where the page starts.
        from: PageFrom,
        /// How much it may hold.
        limits: PageLimits,
    },
    /// Messages of a topic, without the changes.
    Messages {
        /// The room or conversation.
        topic: Topic,
        /// Which messages.
        from: MessagesFrom,
        /// How much the page may hold: [`PageLimits::entries`] counts messages.
        limits: PageLimits,
    },
    /// The private conversations of a user.
    Conversations {
        /// The user.
        user: Username,
        /// At most so many, the newest.
        limit: usize,
    },
    /// The rooms of a user.
    Memberships {
        /// The user.
        user: Username,
        /// At most so many, those with the newest messages.
        limit: usize,
        /// Of the first so many rooms, also what the user has not read.
        counted: usize,
    },
    /// What a user may do in a room.
    Access {
        /// The user.
        user: Username,
        /// The room.
        room: RoomName,
    },
    /// The last numbers of rooms.
    Tops {
        /// The rooms.
        rooms: Vec<RoomName>,
    },
    /// What a user has not read in a topic.
    Counts {
        /// The user.
        user: Username,
        /// The room, or the private conversation of the user and another one.
        topic: Topic,
        /// The user has read at least up to this number, whatever is stored.
        read: u64,
    },
}

/// The log's answer to a [`Query`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Query::Page`] and [`Query::Messages`].
    Page(Page),
    /// To [`Query::Conversations`].
    Conversations(Conversations),
    /// To [`Query::Memberships`].
    Memberships(Memberships),
    /// To [`Query::Access`].
    Access(RoomAccess),
    /// To [`Query::Tops`]: one number for each room, in their order; 0 for a room
    /// without entries.
    Tops(Vec<u64>),
    /// To [`Query::Counts`].
    Counts(ReadState),
    /// The log could not be read, whatever the query was.
    Failed,
}

/// Names a read within the hub that began it, until it is answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReadId(pub u64);
