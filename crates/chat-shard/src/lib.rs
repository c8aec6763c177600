//! The chat on sockets whose upgrade to WebSocket is answered already: shards, each a
//! thread with its sockets and its [`Hub`](chat_core::Hub); what carries commits
//! between them; and the log's writer.
//!
//! [`Shards::start`] takes [`ShardOptions`] and a log. [`Shards::place`] hands over a
//! socket as an [`Arrival`]: whose it is, until when, and what the client speaks.
//!
//! This crate knows no HTTP, no cookie, no token and no SQL, and decides nothing about
//! messages: rooms, replay, presence and limits are chat-core's.

mod alarm;
mod arrival;
mod bus;
mod causes;
mod clock;
mod inbox;
mod log_queue;
mod log_writer;
mod metrics;
mod open_sessions;
mod options;
mod outbox;
mod planted;
mod routing;
mod shard;
mod shards;
mod shared_inbox;
mod socket;
mod turn;
mod worker;
mod ws;

pub use arrival::{Arrival, RoomInUse};
pub use causes::causes;
pub use clock::now_ms;
pub use inbox::{ENTRY_BYTES, Inbox, Item};
pub use log_queue::{Batch, Failure, LogQueue};
pub use metrics::Metrics;
pub use open_sessions::{OpenSessions, SessionUse};
pub use options::{SHARDS_MAX, ShardOptions};
#[cfg(feature = "planted-bugs")]
pub use planted::PlantedBug;
pub use routing::{Origins, Routing, deliveries, receipts_by_shard, retried};
pub use shards::Shards;
pub use turn::Turn;
