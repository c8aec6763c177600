//! What clients wrote down, compared with what the store has at the end.
//!
//! Two things are checked of each client: its *wire*, every connection for
//! itself, as the server must be right even where a client would hide that it
//! is not; and what it *told* its application across all of its connections.

mod check;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use chat_core::{Pair, RoomName, Topic, Username};

/// What clients wrote down, and what was in the store afterwards. Every time is
/// counted from one moment, by a clock that never goes back.
#[derive(Default)]
pub(crate) struct Ledger {
    /// What applications gave their clients to send; that of one client in its order.
    pub(crate) sends: Vec<Send>,
    /// What clients said is not sent and not tried again.
    pub(crate) given_up: Vec<GivenUp>,
    /// What each connection of protocol v2 carried.
    pub(crate) wires: Vec<Wire>,
    /// What each client told its application.
    pub(crate) clients: Vec<Told>,
    /// What those saw that speak v1.
    pub(crate) watchers: Vec<Watched>,
    /// That of one topic in the order of its numbers.
    pub(crate) stored: Vec<Stored>,
    /// Power cuts: what came between the cut and the end of the server may be
    /// lost, as nothing can be stored any more.
    pub(crate) cuts: Vec<(Duration, Duration)>,
}

/// Something an application gave its client to send.
#[derive(Debug, Clone)]
pub(crate) struct Send {
    /// Which client.
    pub(crate) client: usize,
    pub(crate) user: Arc<str>,
    pub(crate) topic: Topic,
    /// Never the same in two sends.
    pub(crate) text: String,
    /// None for v1, where nothing is repeated.
    pub(crate) nonce: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct GivenUp {
    pub(crate) user: Arc<str>,
    pub(crate) nonce: String,
    pub(crate) code: String,
    pub(crate) may_be_stored: bool,
}

/// One connection of protocol v2.
#[derive(Debug, Default, Clone)]
pub(crate) struct Wire {
    pub(crate) user: Arc<str>,
    pub(crate) frames: Vec<(Duration, Frame)>,
}

/// What matters of a frame.
#[derive(Debug, Clone)]
pub(crate) enum Frame {
    Hello { privates: Vec<(Topic, u64)>, has_more: bool },
    AskedToJoin { reference: String, since: Option<u64>, epoch: Option<String> },
    Joined { reference: String, room: Topic, epoch: Arc<str>, seq: u64, recovered: bool },
    AskedToLeave { room: Topic },
    Left { room: Topic },
    Sent { nonce: String, topic: Arc<Topic> },
    Ack { nonce: String, topic: Topic, seq: u64, duplicate: bool },
    Error { code: String, nonce: Option<String> },
    Entry(Seen),
    Reconnect,
    Closed { code: Option<u16> },
}

/// An entry as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) topic: Arc<Topic>,
    pub(crate) seq: u64,
    pub(crate) words: Words,
}

/// What an entry says, in few bytes: its author, text, nonce and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Words(u64);

/// What a client told its application.
#[derive(Debug, Default, Clone)]
pub(crate) struct Told {
    pub(crate) user: Arc<str>,
    pub(crate) events: Vec<(Duration, Event)>,
    /// It was there until the end, in these rooms: it must have seen all of them
    /// and of its private conversations.
    pub(crate) stayed_in: Vec<Topic>,
}

#[derive(Debug, Clone)]
pub(crate) enum Event {
    Online { privates: Vec<(Topic, u64)>, has_more: bool },
    Joined { room: Topic, seq: u64, recovered: bool },
    Left { room: Topic },
    Reset { topic: Topic },
    Stored { nonce: String, topic: Arc<Topic>, seq: u64 },
    Entry(Seen),
}

/// One connection of protocol v1: no numbers.
#[derive(Debug, Default, Clone)]
pub(crate) struct Watched {
    pub(crate) user: Arc<str>,
    pub(crate) room: String,
    /// When it came, from whom, and what.
    pub(crate) seen: Vec<(Duration, Topic, Words)>,
}

/// An entry in the store.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) topic: Topic,
    pub(crate) seq: u64,
    pub(crate) from: String,
    pub(crate) text: String,
    pub(crate) nonce: Option<String>,
    pub(crate) timestamp: u64,
}

/// What must never be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) kind: Kind,
    pub(crate) what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Acknowledged or seen, and not in the store.
    Lost,
    /// Stored, seen or acknowledged as new more than once.
    Duplicated,
    /// A number left out, in the store or before somebody's eyes.
    Gap,
    /// Another order: than the numbers', or than the author's.
    Reordered,
    /// Seen by somebody whom it was not for, or who was not there.
    Leaked,
    /// Stored, and sent by nobody, or refused for good.
    Phantom,
    /// An acknowledgement or a frame with a number that is not the store's.
    Misnumbered,
    /// A resume that left something out.
    PartlyResumed,
    /// Never answered, or somebody who stayed never saw it.
    Stuck,
}

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) counts: Counts,
    /// Errors that a client should never get, and what came before them.
    pub(crate) odd: Vec<String>,
    pub(crate) wrong: Vec<Wrong>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) sends: usize,
    /// Sends that were acknowledged.
    pub(crate) acknowledged: usize,
    /// Sends on the wire beyond the first of each.
    pub(crate) retries: usize,
    /// Acknowledgements that say that it was stored by an earlier try.
    pub(crate) duplicate_acks: usize,
    pub(crate) deliveries: usize,
    pub(crate) connections: usize,
    pub(crate) resumed: usize,
    /// Joins with a `since` that was not recovered.
    pub(crate) refused_resumes: usize,
    pub(crate) errors: BTreeMap<String, usize>,
    pub(crate) closes: BTreeMap<u16, usize>,
    pub(crate) reconnects: usize,
    pub(crate) stored: usize,
    /// Of what came after a power cut, what is not in the store.
    pub(crate) after_cut: usize,
}

impl Words {
    /// Of v2: with nonce and time.
    pub(crate) fn of(from: &str, text: &str, nonce: Option<&str>, timestamp: u64) -> Self {
        Self::hashed((from, text, nonce, timestamp))
    }

    /// Of v1, which shows no nonce.
    pub(crate) fn spoken(from: &str, text: &str) -> Self {
        Self::hashed((from, text))
    }

    fn hashed(words: impl std::hash::Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        words.hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl Findings {
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.wrong.iter().filter(|wrong| wrong.kind == kind).count()
    }

    pub(crate) fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }
}

/// The line that a run ends with.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} acknowledged", self.counts.acknowledged)?;
        for (kind, name) in KINDS {
            let count = self.count(kind);
            // The first five are always told, the rest only where there is something.
            if kind <= Kind::Leaked || count > 0 {
                write!(f, ", {count} {name}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sends, retries, duplicate_acks, deliveries, connections, resumed, stored, .. } = self;
        write!(
            f,
            "{sends} sent, {stored} stored, {deliveries} deliveries over {connections} connections, \
             {resumed} resumes ({} refused), {retries} retries ({duplicate_acks} were stored before), \
             {} told to come back",
            self.refused_resumes, self.reconnects
        )?;
        if self.after_cut > 0 {
            write!(f, ", {} after a cut and not stored", self.after_cut)?;
        }
        write!(f, "; closed with {:?}; errors {:?}", self.closes, self.errors)
    }
}

const KINDS: [(Kind, &str); 9] = [
    (Kind::Lost, "lost"),
    (Kind::Duplicated, "duplicated"),
    (Kind::Gap, "gaps"),
    (Kind::Reordered, "reordered"),
    (Kind::Leaked, "leaked"),
    (Kind::Phantom, "phantoms"),
    (Kind::Misnumbered, "misnumbered"),
    (Kind::PartlyResumed, "partly resumed"),
    (Kind::Stuck, "stuck"),
];

pub(crate) fn in_room(room: &str) -> Topic {
    Topic::Room(RoomName::parse(room).expect("a room's name"))
}

pub(crate) fn between(one: &str, other: &str) -> Topic {
    let name = |name: &str| Username::known(name).expect("a name");
    Topic::Pair(Pair::new(name(one), name(other)))
}
