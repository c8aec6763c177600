//! The records of clients, compared with the store at the end.
//!
//! Two things are checked of each client: each *connection* by itself, as a client
//! may hide a server's error; and the events for its *application*, across all of
//! its connections.

mod check;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use chat_core::{Pair, RoomName, Topic, Username};

pub(crate) use self::state::State;

/// The records of all clients, and the entries in the store afterwards. Every time
/// is counted from the start of the run, by a clock that never goes back.
#[derive(Default)]
pub(crate) struct Ledger {
    /// What applications gave their clients to send, in the order of each client.
    pub(crate) sends: Vec<Send>,
    /// Sends that clients reported as failed for good.
    pub(crate) given_up: Vec<GivenUp>,
    /// The frames of each connection of protocol v2.
    pub(crate) connections: Vec<Connection>,
    /// The events of each client for its application.
    pub(crate) apps: Vec<AppLog>,
    /// What users have read.
    pub(crate) readings: Vec<Reading>,
    /// How far the store says that users have read: for each of the readings.
    pub(crate) marks: HashMap<(Arc<str>, Topic), u64>,
    /// The members that were removed from closed rooms.
    pub(crate) removals: Vec<Removal>,
    /// The messages that each connection of protocol v1 received.
    pub(crate) v1_connections: Vec<V1Connection>,
    /// The entries in the store, in the order of the numbers of each topic.
    pub(crate) stored: Vec<Stored>,
    /// Where different ways to read the same entries differ, each in a sentence.
    pub(crate) differing_reads: Vec<String>,
    /// Texts that were taken back and are still found, each with the place.
    pub(crate) remains: Vec<String>,
    /// When a server was killed or otherwise unable to keep marks, if the run notes it.
    pub(crate) kills: Vec<Duration>,
    /// Power cuts, each from the cut to the end of the server: what the server sent
    /// in between may be lost, as nothing can be stored any more.
    pub(crate) cuts: Vec<(Duration, Duration)>,
}

/// Something an application gave its client to send.
#[derive(Debug, Clone)]
pub(crate) struct Send {
    /// The number of the client.
    pub(crate) client: usize,
    pub(crate) user: Arc<str>,
    pub(crate) topic: Topic,
    /// A text that no other send has; empty where there is none.
    pub(crate) text: String,
    pub(crate) what: Wanted,
    /// `None` for v1, where nothing is repeated.
    pub(crate) nonce: Option<String>,
}

/// What a send is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    Message,
    /// A message that answers the one with this number, which is stored.
    Answer(u64),
    Edit(Target),
    Delete(Target),
    React(Target, String),
    Unreact(Target, String),
}

/// The message that a send changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Number(u64),
    /// The nonce of a message of the same user.
    Nonce(String),
}

impl Wanted {
    pub(crate) fn target(&self) -> Option<&Target> {
        match self {
            Self::Message | Self::Answer(_) => None,
            Self::Edit(target) | Self::Delete(target) | Self::React(target, _) | Self::Unreact(target, _) => {
                Some(target)
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Message | Self::Answer(_) => "message",
            Self::Edit(_) => "edit",
            Self::Delete(_) => "delete",
            Self::React(..) => "react",
            Self::Unreact(..) => "unreact",
        }
    }

    fn emoji(&self) -> Option<&str> {
        match self {
            Self::React(_, emoji) | Self::Unreact(_, emoji) => Some(emoji),
            Self::Message | Self::Answer(_) | Self::Edit(_) | Self::Delete(_) => None,
        }
    }

    /// The number of the message that a message answers.
    fn reply_to(&self) -> Option<u64> {
        match self {
            Self::Answer(seq) => Some(*seq),
            _ => None,
        }
    }
}

/// A send that a client reported as failed for good.
#[derive(Debug, Clone)]
pub(crate) struct GivenUp {
    pub(crate) user: Arc<str>,
    pub(crate) nonce: String,
    pub(crate) code: String,
    pub(crate) may_be_stored: bool,
}

/// A user has read a topic up to this number.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) user: Arc<str>,
    pub(crate) topic: Topic,
    pub(crate) upto: u64,
}

/// A member who was removed from a closed room.
#[derive(Debug, Clone)]
pub(crate) struct Removal {
    pub(crate) user: Arc<str>,
    /// A message to the room that was sent when the removal was answered.
    pub(crate) next: Send,
    /// Its number: the removal took effect below it.
    pub(crate) next_seq: u64,
    /// When it was acknowledged.
    pub(crate) at: Duration,
}

/// One connection of protocol v2.
#[derive(Debug, Default, Clone)]
pub(crate) struct Connection {
    pub(crate) user: Arc<str>,
    pub(crate) frames: Vec<(Duration, Frame)>,
}

/// The checked part of a frame.
#[derive(Debug, Clone)]
pub(crate) enum Frame {
    Hello { privates: Vec<(Topic, u64)>, has_more: bool, reads: Vec<(Topic, u64)> },
    JoinRequest { reference: String, since: Option<u64>, epoch: Option<String> },
    Joined { reference: String, room: Topic, epoch: Arc<str>, seq: u64, recovered: bool },
    LeaveRequest { room: Topic },
    Left { room: Topic },
    Sent { nonce: String, topic: Arc<Topic> },
    Read { topic: Arc<Topic>, upto: u64 },
    Ack { nonce: String, topic: Topic, seq: u64, duplicate: bool },
    Error { code: String, nonce: Option<String> },
    Entry(Seen),
    Reconnect,
    Closed { code: Option<u16> },
}

/// An entry as a client received it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) topic: Arc<Topic>,
    pub(crate) seq: u64,
    pub(crate) content: ContentHash,
    /// The last change that the state of a message contains; 0 without one.
    pub(crate) updated: u64,
    /// What changes have made of a message.
    pub(crate) state: ContentHash,
}

/// A hash of the content of an entry: its kind, author, text, nonce and time, and of a
/// change its target and emoji.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ContentHash(u64);

/// The events of a client for its application.
#[derive(Debug, Default, Clone)]
pub(crate) struct AppLog {
    pub(crate) user: Arc<str>,
    pub(crate) events: Vec<(Duration, Event)>,
    /// The rooms that it was in at the end. If there are any, it must have seen every
    /// message of them and of its private conversations.
    pub(crate) stayed_in: Vec<Topic>,
    /// The messages that it showed at the end: text and state of each.
    pub(crate) shows: Vec<Shows>,
}

/// A message that an application shows.
#[derive(Debug, Clone)]
pub(crate) struct Shows {
    pub(crate) topic: Arc<Topic>,
    pub(crate) seq: u64,
    pub(crate) text: String,
    pub(crate) state: State,
}

/// The checked part of an event.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Online { privates: Vec<(Topic, u64)>, has_more: bool },
    Joined { room: Topic, seq: u64, recovered: bool },
    Left { room: Topic },
    Reset { topic: Topic },
    Stored { nonce: String, topic: Arc<Topic>, seq: u64 },
    Entry(Seen),
}

/// One connection of protocol v1, which shows no numbers.
#[derive(Debug, Default, Clone)]
pub(crate) struct V1Connection {
    pub(crate) user: Arc<str>,
    pub(crate) room: String,
    /// When each message came, its topic, and its content.
    pub(crate) seen: Vec<(Duration, Topic, ContentHash)>,
}

/// An entry in the store.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) topic: Topic,
    pub(crate) seq: u64,
    pub(crate) from: String,
    /// The text as it is now.
    pub(crate) text: String,
    pub(crate) nonce: Option<String>,
    pub(crate) timestamp: u64,
    pub(crate) what: What,
}

/// The kind of an entry in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Message(State),
    Edit { target: u64 },
    Delete { target: u64 },
    React { target: u64, emoji: String },
    Unreact { target: u64, emoji: String },
}

impl What {
    fn target(&self) -> Option<u64> {
        match self {
            Self::Message(_) => None,
            Self::Edit { target }
            | Self::Delete { target }
            | Self::React { target, .. }
            | Self::Unreact { target, .. } => Some(*target),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Edit { .. } => "edit",
            Self::Delete { .. } => "delete",
            Self::React { .. } => "react",
            Self::Unreact { .. } => "unreact",
        }
    }

    fn emoji(&self) -> Option<&str> {
        match self {
            Self::React { emoji, .. } | Self::Unreact { emoji, .. } => Some(emoji),
            Self::Message(_) | Self::Edit { .. } | Self::Delete { .. } => None,
        }
    }
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) description: String,
}

/// The kind of a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A message was acknowledged or seen, and is not in the store.
    Lost,
    /// A message was stored, seen or acknowledged as new more than once.
    Duplicated,
    /// A number is missing, in the store or for a client.
    Gap,
    /// Messages are in another order than that of the numbers or of the author.
    Reordered,
    /// A client received a message that was not for it.
    Leaked,
    /// A message is stored or shown in another state than its changes make it.
    WrongState,
    /// A text that was taken back is still there.
    Remains,
    /// A stored message was sent by no client, or was refused for good.
    Phantom,
    /// An acknowledgement or a frame has another number than the store.
    Misnumbered,
    /// A resume left messages out.
    PartlyResumed,
    /// A mark that a server should have kept is lower, or gone.
    MarkLost,
    /// A send was never answered, or a client that stayed never saw a message.
    Stuck,
}

/// The result of a check.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) counts: Counts,
    /// Errors that a client should never get, with the frames before them.
    pub(crate) unexpected: Vec<String>,
    pub(crate) violations: Vec<Violation>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) sends: usize,
    /// Sends that were acknowledged.
    pub(crate) acknowledged: usize,
    /// Attempts to send beyond the first of each message.
    pub(crate) retries: usize,
    /// Acknowledgements of messages that an earlier attempt had stored.
    pub(crate) duplicate_acks: usize,
    pub(crate) deliveries: usize,
    pub(crate) connections: usize,
    pub(crate) resumed: usize,
    /// Joins with a `since` that were not recovered.
    pub(crate) refused_resumes: usize,
    pub(crate) errors: BTreeMap<String, usize>,
    pub(crate) closes: BTreeMap<u16, usize>,
    pub(crate) reconnects: usize,
    pub(crate) stored: usize,
    /// Those of them that change a message.
    pub(crate) changes: usize,
    /// Messages that applications showed at the end.
    pub(crate) shown: usize,
    /// Messages from after a power cut that are not in the store.
    pub(crate) after_cut: usize,
}

impl Removal {
    /// The events of the client that sent [`next`](Self::next).
    pub(crate) fn app(&self) -> AppLog {
        let nonce = self.next.nonce.clone().unwrap_or_default();
        let stored = Event::Stored { nonce, topic: Arc::new(self.next.topic.clone()), seq: self.next_seq };
        let user = Arc::clone(&self.next.user);
        AppLog { user, events: vec![(self.at, stored)], ..AppLog::default() }
    }
}

impl ContentHash {
    /// The content as v2 shows it, with nonce and time.
    pub(crate) fn of_v2(
        from: &str,
        text: Option<&str>,
        nonce: Option<&str>,
        timestamp: u64,
        kind: &str,
        target: Option<u64>,
        emoji: Option<&str>,
    ) -> Self {
        Self::hashed((from, text, nonce, timestamp, kind, target, emoji))
    }

    /// The content as v1 shows it, without a nonce.
    pub(crate) fn of_v1(from: &str, text: &str) -> Self {
        Self::hashed((from, text))
    }

    fn hashed(content: impl std::hash::Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl Ledger {
    /// The texts that were taken back by the end.
    pub(crate) fn taken_back(&self) -> Vec<&str> {
        check::logs(self).values().flat_map(|log| log.taken_back().collect::<Vec<_>>()).collect()
    }
}

impl Findings {
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.violations.iter().filter(|violation| violation.kind == kind).count()
    }

    pub(crate) fn is_good(&self) -> bool {
        self.violations.is_empty()
    }
}

/// The result in one line.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} acknowledged", self.counts.acknowledged)?;
        for (kind, name) in KINDS {
            let count = self.count(kind);
            // The first seven are always shown, the others only if there are any.
            if kind <= Kind::Remains || count > 0 {
                write!(f, ", {count} {name}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sends, retries, duplicate_acks, deliveries, connections, resumed, stored, changes, ..
        } = self;
        write!(
            f,
            "{sends} sent, {stored} stored ({changes} changes), {deliveries} deliveries over {connections} connections, \
             {resumed} resumes ({} refused), {retries} retries ({duplicate_acks} were stored before), \
             {} reconnect frames, {} messages shown at the end",
            self.refused_resumes, self.reconnects, self.shown
        )?;
        if self.after_cut > 0 {
            write!(f, ", {} after a cut and not stored", self.after_cut)?;
        }
        write!(f, "; closed with {:?}; errors {:?}", self.closes, self.errors)
    }
}

const KINDS: [(Kind, &str); 12] = [
    (Kind::Lost, "lost"),
    (Kind::Duplicated, "duplicated"),
    (Kind::Gap, "gaps"),
    (Kind::Reordered, "reordered"),
    (Kind::Leaked, "leaked"),
    (Kind::WrongState, "wrong states"),
    (Kind::Remains, "remains"),
    (Kind::Phantom, "phantoms"),
    (Kind::Misnumbered, "misnumbered"),
    (Kind::PartlyResumed, "partly resumed"),
    (Kind::MarkLost, "marks lost"),
    (Kind::Stuck, "stuck"),
];

/// The topic of a room.
pub(crate) fn in_room(room: &str) -> Topic {
    Topic::Room(RoomName::parse(room).expect("the rooms of a run have valid names"))
}

/// The topic of two users' private conversation.
pub(crate) fn between(one: &str, other: &str) -> Topic {
    let name = |name: &str| Username::known(name).expect("the users of a run have valid names");
    Topic::Pair(Pair::new(name(one), name(other)))
}
