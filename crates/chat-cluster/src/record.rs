//! What one commit did: the row of the feed, and the message on the bus.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use chat_core::{Entry, Missed, RoomName, SessionId, Topic, Username};

use crate::Point;

/// What one commit did.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// The commit.
    pub at: Point,
    /// The topics that it wrote to, each once.
    pub parts: Vec<Part>,
    /// What else the servers must know of it, in the order in which it takes effect.
    pub controls: Vec<Control>,
}

/// The entries of one commit in one topic: their numbers are one range.
#[derive(Clone, Debug)]
pub struct Part {
    /// The topic.
    pub topic: Topic,
    /// The number of the first of these entries.
    pub first: u64,
    /// The number of the last one.
    pub last: u64,
    /// The commit that wrote to the topic before; `None` if none did, or before there were
    /// commits with numbers.
    pub previous: Option<Point>,
    /// The entries; `None` if they have to be read from the log.
    pub entries: Option<Arc<[Arc<Entry>]>>,
}

/// What a server must know beside entries. What it says is in the database by then: a server that
/// starts later reads it there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Control {
    /// A session has ended: its sockets are closed.
    EndSession(SessionId),
    /// A user is banned, or has other rights: the server looks the user up.
    User(Username),
    /// A room or its members have changed: the server reads the room's changes.
    Room(RoomName),
    /// Something that a newer server has written: the server looks up everything that
    /// controls are about.
    Unknown,
}

impl Part {
    /// Bytes that limits count: of the texts and names in the entries, and 100 for each.
    pub fn bytes(&self) -> usize {
        let entries = self.entries.as_deref().unwrap_or_default();
        entries.iter().map(|entry| ENTRY_BYTES + entry.body.bytes()).sum()
    }

    /// The entries as numbers only, for a hub that reads them from the log.
    pub fn missed(&self) -> Missed {
        Missed { topic: self.topic.clone(), first: self.first, last: self.last }
    }

    /// Whether entries may wait for others: those of a private conversation, whose numbering a hub
    /// begins with the first entry that it gets. A room is never held, as a hub notices what it
    /// lacks there.
    pub(crate) fn waits(&self) -> bool {
        matches!(self.topic, Topic::Pair(_))
    }
}

/// Where they come from makes no difference to entries: a part that has them is the same as one
/// whose entries are still to be read.
impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        let Self { topic, first, last, previous, entries: _ } = self;
        (topic, first, last, previous) == (&other.topic, &other.first, &other.last, &other.previous)
    }
}

impl Eq for Part {}

impl Hash for Part {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { topic, first, last, previous, entries: _ } = self;
        (topic, first, last, previous).hash(state);
    }
}

/// The bytes that are counted for an entry beside its texts.
const ENTRY_BYTES: usize = 100;
