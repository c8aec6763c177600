//! Entries, the drafts they come from, and what a log answers.

use std::fmt;
use std::sync::Arc;

use crate::{MessageText, Nonce, Pair, RoomName, Username};

/// What is numbered: a room, or the private conversation of two people. Each
/// is a log of its own, 1, 2, 3 … without a gap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    /// The messages of a room.
    Room(RoomName),
    /// The private messages of a pair of users, whichever of them writes.
    Pair(Pair),
}

/// One numbered thing in a log, stored for good before anybody sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where it stands.
    pub topic: Topic,
    /// Its number there, from 1.
    pub seq: u64,
    /// The user who wrote it.
    pub from: Username,
    /// For a private message: the room its author was in, if in one (v1 shows it).
    pub room: Option<RoomName>,
    /// Its kind, and what an entry of this kind contains.
    pub body: Body,
    /// When it was stored, in milliseconds since 1970 (UTC). Never smaller
    /// than that of the entry before it.
    pub at_ms: u64,
    /// The author's own id for it; v1 clients give none.
    pub nonce: Option<Nonce>,
}

/// The kind of an entry, and what an entry of this kind contains.
///
/// Further kinds (edits, deletions, reactions) take numbers of the same log. A
/// `match` on a body therefore names every kind instead of using `_`: the
/// compiler then lists the code that a new kind concerns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// A message.
    Message {
        /// The text of the message.
        text: MessageText,
    },
}

impl Body {
    /// The size in bytes that size limits count (pages, inboxes, drafts without a
    /// receipt): the texts in it, without the fields that all entries have.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Message { text } => text.as_str().len(),
        }
    }

    /// The text in it; empty for a kind that has no text.
    pub fn text(&self) -> &str {
        match self {
            Self::Message { text } => text.as_str(),
        }
    }
}

/// An entry before it has a number: what a [`Hub`](crate::Hub) asks a log to store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// The hub's own mark; the log's [`Receipt`] carries it back.
    pub id: DraftId,
    /// Where it is to stand.
    pub topic: Topic,
    /// The user who writes it.
    pub from: Username,
    /// See [`Entry::room`].
    pub room: Option<RoomName>,
    /// See [`Entry::body`].
    pub body: Body,
    /// The author's own id for it. A log stores one entry for each (author,
    /// nonce), however often the draft comes.
    pub nonce: Option<Nonce>,
}

impl Draft {
    /// The recipient, if it is for a private conversation. Its author is the
    /// recipient of a note to oneself.
    pub fn recipient(&self) -> Option<&Username> {
        match &self.topic {
            Topic::Room(_) => None,
            Topic::Pair(pair) => Some(pair.other(&self.from)),
        }
    }
}

/// Names a draft within the hub that made it, until its receipt came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DraftId(pub u64);

/// What became of one draft.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The draft that is answered.
    pub draft: DraftId,
    /// The answer.
    pub outcome: Outcome,
}

/// What a log did with a draft.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Committed, under this number.
    Stored {
        /// Its number in the draft's topic.
        seq: u64,
        /// See [`Entry::at_ms`].
        at_ms: u64,
    },
    /// The author's nonce was used before: nothing new is stored, and this is
    /// the first result, whatever the retry said.
    Duplicate {
        /// Where the first one stands.
        topic: Topic,
        /// Its number there.
        seq: u64,
        /// When it was stored.
        at_ms: u64,
    },
    /// A private message to a name that has no account: not stored.
    NoRecipient {
        /// When it was refused, in milliseconds since 1970.
        at_ms: u64,
    },
    /// Not stored: the log failed, or a draft before it in the same lane did.
    Failed,
}

/// One committed transaction of a log: what is new, in log order, and what
/// became of the drafts, in theirs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Commit {
    /// The new entries.
    pub entries: Vec<Arc<Entry>>,
    /// One for each draft.
    pub receipts: Vec<Receipt>,
}

/// Entries that were committed but not carried to this hub, because its inbox
/// was full or the bus lost them: they are in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missed {
    /// Where they stand.
    pub topic: Topic,
    /// The first number that was not carried.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

/// Which entries of a topic are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageFrom {
    /// The newest.
    Latest,
    /// Those with a higher number than this, from the lowest on.
    After(u64),
    /// Those with a lower number than this, up to the highest.
    Before(u64),
}

/// How much a page may hold: whichever comes first, but at least one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageLimits {
    /// Entries.
    pub entries: usize,
    /// Bytes of text, all entries together.
    pub bytes: usize,
}

/// A part of a topic, read from the log at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// In rising order, without a gap among them.
    pub entries: Vec<Arc<Entry>>,
    /// The oldest number still kept; one more than `last` where nothing is.
    pub first: u64,
    /// The highest number given so far, 0 in an empty topic.
    pub last: u64,
}

/// The private conversations of one person, newest first, read from the log at
/// one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conversations {
    /// With whom, and the highest number given so far.
    pub latest: Vec<(Username, u64)>,
    /// There are older ones.
    pub has_more: bool,
}

impl fmt::Debug for DraftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "draft {}", self.0)
    }
}
