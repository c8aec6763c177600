//! The chat in a program that has a tokio runtime and a transport of its own: a [`Driver`] is
//! the task that owns a [`Hub`](chat_core::Hub), and does its outputs on a log and on
//! [`Connection`]s. A connection takes and gives frames, and knows no socket.
//!
//! This is a chat over plain TCP, one frame of protocol v2 in each line:
//!
//! ```no_run
#![doc = include_str!("../examples/tcp.rs")]
//! ```
//!
//! The program decides who a client is ([`Opening`]). The log is any
//! [`EventLog`](chat_store::EventLog): [`MemoryStore`](chat_store::MemoryStore) keeps the newest
//! messages as long as the program runs, the stores of a database keep all.
//!
//! A driver has one hub, and so one thread's speed at most; `chat-shard` has a hub for each
//! processor, and WebSockets. A driver has no files, accounts or HTTP.

mod connection;
mod driver;
mod line;
mod task;

pub use connection::{Closed, Connection, Receiver, Sender};
pub use driver::{ChangeError, Driver, DriverOptions, Opening};
