//! The bus, as a program sees it: a fast way to the other servers that may lose what it carries.

use bytes::Bytes;

use crate::{Incarnation, Lane, Message};

/// What carries [encoded messages](crate::encode) to the other servers.
///
/// It may lose, double and reorder them: a commit is in the feed, too, and presence is told again.
pub trait Bus: Send + Sync {
    /// Hands a message over, and returns at once: no lane ever waits for the bus.
    fn publish(&self, to: Channel, message: Bytes);

    /// Whether there is a connection, as far as this server knows.
    fn is_up(&self) -> bool;

    /// The counts of what this bus has done since its start, for metrics.
    fn counts(&self) -> BusCounts;
}

/// What a bus has done since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BusCounts {
    /// Messages that were published.
    pub published: u64,
    /// Messages that were dropped before: there was no connection, or the queue was full.
    pub dropped: u64,
    /// Messages that the program was given.
    pub received: u64,
    /// How often messages were dropped because the program was too slow.
    pub missed: u64,
    /// How often a connection was made.
    pub connections: u64,
}

/// No bus: the servers read each other's commits from the feed.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBus;

impl Bus for NoBus {
    fn publish(&self, _to: Channel, _message: Bytes) {}

    fn is_up(&self) -> bool {
        false
    }

    fn counts(&self) -> BusCounts {
        BusCounts::default()
    }
}

/// What a message is about. Every server gets all channels, and looks which messages it needs:
/// subscriptions for each room would cost more than they save.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    /// Commits of a lane.
    Commits(Lane),
    /// What a server tells of itself: its heartbeats, who is present, who types.
    Presence(Incarnation),
    /// What a server is asked.
    Questions(Incarnation),
}

impl Message {
    /// The server that tells this.
    pub fn from(&self) -> Incarnation {
        match self {
            Self::Record(record) => record.at.writer.incarnation,
            Self::Heartbeat(beat) => beat.from,
            Self::Delta(delta) => delta.from,
            Self::Snapshot(part) => part.from,
            Self::AskSnapshot { from, .. } | Self::Typing { from, .. } | Self::Mark { from, .. } => *from,
        }
    }

    /// The channel to which this message belongs.
    pub fn channel(&self) -> Channel {
        match self {
            Self::Record(record) => Channel::Commits(record.at.writer.lane),
            Self::Heartbeat(beat) => Channel::Presence(beat.from),
            Self::Delta(delta) => Channel::Presence(delta.from),
            Self::Snapshot(part) => Channel::Presence(part.from),
            Self::Typing { from, .. } | Self::Mark { from, .. } => Channel::Presence(*from),
            Self::AskSnapshot { to, .. } => Channel::Questions(*to),
        }
    }
}

/// What a bus tells the program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BusEvent {
    /// Another server has published this. [`decode`](crate::decode) says whether it was one.
    Message(Bytes),
    /// A connection was made: [`Peers::bus`](crate::Peers::bus).
    Up,
    /// The connection was lost: [`Peers::bus`](crate::Peers::bus).
    Down,
    /// Messages were lost on their way to this server:
    /// [`Sequencer::read_now`](crate::Sequencer::read_now).
    Missed,
}
