//! The rules by which several chat servers on one Postgres act as one. Plain values in, plain
//! values out: no I/O, no clock, no randomness, no async. The program performs what the values
//! ask for; `crates/chat-simulator` and the small worlds of `tests/` run the same values.
//!
//! ```text
//! lanes of this server ──Sequencer::commit──▶ ┌───────────┐ ──Output::Deliver──▶ hubs of this server
//! records from the bus ──Sequencer::bus─────▶ │ Sequencer │ ──Output::Settled──▶ receipts of this server
//! rows of the feed ─────Sequencer::feed─────▶ └───────────┘ ──Output::ReadFeed─▶ the database
//! ```
//!
//! - A **writer** is one lane of one start of a server. Its commits have the numbers 1, 2, 3 …,
//!   without a gap: `n`. Each commit is one row of the **feed** in the database, written in its
//!   transaction, and one [`Record`] here. The bus carries the same records faster; what it loses,
//!   doubles or reorders is noticed by `n`, and read from the feed.
//! - The [`Sequencer`] brings the records of all writers into an order that hubs may get: each
//!   record once, and the entries of a private conversation never before those that precede them.
//! - The [`Roster`] knows who is present on the other servers, and puts out changes only;
//!   [`OwnPresence`] is what this server tells the others.
//! - [`Peers`] decides how often to beat and to poll, and what an unreachable database means.
//! - [`Failover`] decides what happens when the database has another timeline.
//! - [`encode`] and [`decode`] turn a [`Message`] into signed bytes for the [`Bus`], and back.
//!
//! # What a program does
//!
//! 1. It registers its start in the database, which gives it an [`Incarnation`]. Registrations
//!    come one after another (under a lock): who sees a row of the table of servers sees all rows
//!    with lower numbers. It reads a [`FeedStart`] in one snapshot, makes a [`Sequencer`] of it, and
//!    only then accepts sockets.
//! 2. A lane writes entries, nonces and the row of the feed in one transaction. For each topic the
//!    transaction knows the last commit that wrote to it ([`Part::previous`]). When it is
//!    committed, the program publishes the record on the bus, and calls [`Sequencer::commit`].
//!    The receipts of the batch wait for [`Output::Settled`].
//! 3. It calls [`Sequencer::bus`] with records from the bus, [`Sequencer::told`] with the numbers
//!    in heartbeats, [`Sequencer::read_now`] when [`Peers`] wants a poll, and [`Sequencer::tick`]
//!    at [`Sequencer::next_ms`].
//! 4. After each call it performs [`Sequencer::next_output`] until that is `None`. A read of the
//!    feed is one statement in one snapshot ([`FeedPage`]); [`Sequencer::feed`] or
//!    [`Sequencer::feed_failed`] ends it.
//!
//! Times are milliseconds of a clock that never goes back, unless a name says `db`: those are of the
//! database's clock.
//!
//! ```
//! use chat_cluster::{FeedStart, Incarnation, Lane, Output, Point, Record, Sequencer, Writer};
//!
//! let servers = [1, 2].map(|number| Incarnation::new(number).expect("a small number"));
//! let start = FeedStart { servers: servers.to_vec(), seen: Vec::new(), db_ms: 0 };
//! let mut sequencer = Sequencer::new(servers[0], &start, Default::default());
//! let record = |n| Record {
//!     at: Point { writer: Writer { incarnation: servers[1], lane: Lane(0) }, n },
//!     parts: Vec::new(),
//!     controls: Vec::new(),
//! };
//! // The bus has lost the first commit of the other server: 10 ms later the feed is read.
//! sequencer.bus(1_000, record(2));
//! assert_eq!(sequencer.next_output(), None);
//! assert_eq!(sequencer.next_ms(), Some(1_010));
//! sequencer.tick(1_010);
//! assert_eq!(sequencer.next_output(), Some(Output::ReadFeed));
//! ```

mod bus;
mod codec;
mod failover;
mod peers;
mod planted;
mod record;
mod roster;
mod sequencer;
mod writer;

pub use bus::{Bus, BusCounts, BusEvent, Channel, NoBus};
pub use codec::{BUS_FORMAT, Key, MESSAGE_MAX_BYTES, Message, OpenError, Opened, decode, encode};
pub use failover::{Failover, FailoverOutput};
pub use peers::{ClockStanding, Heartbeat, Peers, PeersOptions, ServerRow, Standing};
#[cfg(feature = "planted-bugs")]
pub use planted::PlantedBug;
pub use record::{Control, Part, Record};
pub use roster::{Delta, OwnPresence, Present, Roster, RosterOptions, RosterOutput, SnapshotPart};
pub use sequencer::{Delivery, FeedPage, FeedStart, Output, Sequencer, SequencerOptions};
pub use writer::{INCARNATION_MAX, Incarnation, Lane, Point, SHARDS_MAX, Writer};
