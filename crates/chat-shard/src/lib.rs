//! The chat on sockets whose upgrade to WebSocket is answered already: shards, each a
//! thread with its sockets and its [`Hub`](chat_core::Hub); the bus that carries commits
//! between them; and the log's writer.
//!
//! What decides is a plain value, without lock, task, socket or clock, and the simulator
//! runs the same values: [`LogQueue`] (what waits for the log, and what fails with what), [`Marks`] (which marks of
//! users wait for it),
//! [`Routing`] (which shard gets what of a commit, in which order),
//! [`Inbox`] (what waits for a shard), [`Turn`] (what a shard does with its hub), and of
//! each socket [`Held`] (what its hub does not take yet) and [`Outbox`] (what the client
//! does not take yet).
//! Around them, with the feature `sockets`, are the threads ([`Shards`]).
//!
//! ```
//! use std::io::Read as _;
//! use std::net::{TcpListener, TcpStream};
//! use std::sync::Arc;
//!
//! use chat_core::{Protocol, RoomName, Username};
//! use chat_shard::{Arrival, ShardOptions, Shards, now_ms};
//! use chat_store::MemoryStore;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let shards = Shards::start(ShardOptions::default(), Arc::new(MemoryStore::default()))?;
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let mut client = TcpStream::connect(listener.local_addr()?)?;
//!
//! // The program accepts the connection, answers the upgrade, and knows the user.
//! let (stream, _) = listener.accept()?;
//! stream.set_nonblocking(true)?;
//! shards.place(Arrival {
//!     stream,
//!     tls: None,
//!     read: Vec::new(),
//!     user: Username::parse("alice")?,
//!     session: None,
//!     token: None,
//!     good_until_ms: now_ms() + 3_600_000,
//!     protocol: Protocol::V1 { room: RoomName::parse("kitchen")? },
//! });
//!
//! // The first frame is a text: alice has joined the room.
//! let mut header = [0; 1];
//! client.read_exact(&mut header)?;
//! assert_eq!(header, [0x81]);
//! assert_eq!(shards.rooms().await[0].online, 1);
//!
//! drop(client);
//! shards.drain().await;
//! shards.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! This crate knows no HTTP, no cookie, no token and no SQL, and decides nothing about
//! messages: rooms, replay, presence and limits are chat-core's.

mod held;
mod hooks;
mod inbox;
mod log_queue;
mod marks;
mod outbox;
mod planted;
mod routing;
mod turn;

#[cfg(feature = "sockets")]
mod alarm;
#[cfg(feature = "sockets")]
mod arrival;
#[cfg(feature = "sockets")]
mod bus;
#[cfg(feature = "sockets")]
mod causes;
#[cfg(feature = "sockets")]
mod change_error;
#[cfg(feature = "sockets")]
mod clock;
#[cfg(feature = "sockets")]
mod cluster;
#[cfg(feature = "sockets")]
mod files_hook;
#[cfg(feature = "sockets")]
mod followers;
#[cfg(feature = "sockets")]
mod handle;
#[cfg(feature = "sockets")]
mod log_writer;
#[cfg(feature = "sockets")]
mod marks_writer;
#[cfg(feature = "sockets")]
mod metrics;
#[cfg(feature = "sockets")]
mod open_sessions;
#[cfg(feature = "sockets")]
mod open_users;
#[cfg(feature = "sockets")]
mod options;
#[cfg(feature = "sockets")]
mod server_bus;
#[cfg(feature = "sockets")]
mod shard;
#[cfg(feature = "sockets")]
mod shards;
#[cfg(feature = "sockets")]
mod shared_inbox;
#[cfg(feature = "sockets")]
mod socket;
#[cfg(feature = "sockets")]
mod stored_hook;
#[cfg(feature = "sockets")]
mod transport;
#[cfg(feature = "sockets")]
mod worker;
#[cfg(feature = "sockets")]
mod ws;

pub use held::{Held, HeldInput};
pub use hooks::{HookFuture, HookSet, Hooks, Proposed, Verdict, apply, is_judged};
pub use inbox::{ENTRY_BYTES, Inbox, Item};
pub use log_queue::{Batch, CHANGES_MAX, Failure, LogQueue, QueuedChange, Work, drafts_by_lane};
pub use marks::{MARKS_MAX, Marks};
pub use outbox::{Outbox, Sent};
#[cfg(feature = "planted-bugs")]
pub use planted::PlantedBug;
pub use routing::{Origin, Origins, Routing, retried};
pub use turn::{Action, Turn};

#[cfg(feature = "sockets")]
pub use self::{
    arrival::{Arrival, RoomInUse},
    causes::causes,
    change_error::ChangeError,
    clock::now_ms,
    cluster::ClusterFault,
    files_hook::FilesHook,
    followers::{Entries, Followed},
    handle::{Author, ChatHandle, HandleParts, Post, PostError, Posted},
    metrics::Metrics,
    open_sessions::{OpenSessions, SessionUse},
    open_users::{OpenUsers, UserUse},
    options::{SHARDS_MAX, ShardOptions},
    server_bus::{BusSink, ServerBus},
    shards::Shards,
    stored_hook::StoredHook,
    transport::TlsConnection,
};
