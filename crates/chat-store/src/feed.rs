//! What the servers on one database tell each other through it.

use std::collections::BTreeMap;

use chat_cluster::{FeedPage, FeedStart, Incarnation, Point, ServerRow};
use chat_core::RoomChange;

use crate::StoreFuture;

/// What the servers on one database tell each other through it: which servers there are, and what
/// each of their transactions has committed. The rules are in `chat_cluster`.
///
/// A store has registered its start when it is open. Who appends to it reads the feed, too, and
/// [beats](Self::beat): ten minutes after the last beat, the other servers take the start for
/// ended, and what it commits then is nobody's.
pub trait Feed: Send + Sync {
    /// The number of this start.
    fn incarnation(&self) -> Incarnation;

    /// What the database had when this start was registered, in one snapshot.
    fn start(&self) -> &FeedStart;

    /// The database's clock, in milliseconds since 1970 (UTC), as far as its last answer tells.
    fn now_ms(&self) -> u64;

    /// Says that this server lives: to be called every [`FEED_BEAT_MS`]. Now and then it also removes what
    /// is no longer kept of the feed.
    fn beat(&self) -> StoreFuture<'_, ()>;

    /// Tells the other servers something that they forget soon: they get it with a read of the feed,
    /// unless they are slow. What is told here survives no crash of the database.
    fn tell<'a>(&'a self, messages: &'a [Vec<u8>]) -> StoreFuture<'a, ()>;

    /// Records where this server has the files of messages. Returns `false`, and records nothing, if
    /// another server that lives has them elsewhere.
    fn claim_files<'a>(&'a self, place: &'a str) -> StoreFuture<'a, bool>;

    /// Reads what was committed after these points, in one snapshot. A writer that is not among
    /// them is read from its beginning.
    fn after<'a>(&'a self, seen: &'a [Point]) -> StoreFuture<'a, FeedRead>;
}

/// An answer to a read of the feed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FeedRead {
    /// The rows, without entries: those are read from the log.
    pub page: FeedPage,
    /// The changes of rooms and their members that these commits have made, in their order.
    pub changes: BTreeMap<Point, Vec<RoomChange>>,
    /// What the other servers have [told](Feed::tell) since the last read.
    pub messages: Vec<Vec<u8>>,
    /// There may be more messages than one read brings: read again at once.
    pub has_more_messages: bool,
    /// The table of servers.
    pub servers: Vec<ServerRow>,
    /// The timeline of the database server: another one than before means that a standby has taken
    /// over.
    pub timeline: u32,
    /// The epoch: another one than before means that the numbers have started anew.
    pub epoch: String,
}

/// The time between two beats of a server, in milliseconds.
pub const FEED_BEAT_MS: u64 = 500;

/// A server whose last beat is older has ended, or is lost, in milliseconds.
pub const SERVER_LIVES_MS: u64 = 5_000;

/// For how long the feed keeps its rows, and the row of a server that has ended, in milliseconds.
pub const FEED_KEPT_MS: u64 = 600_000;
