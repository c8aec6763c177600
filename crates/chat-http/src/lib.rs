//! The chat over HTTP and WebSocket, on raw hyper: routes, cookies, uploads,
//! the page, the upgrade. The upgraded sockets go to chat-shard.
//!
//! [`Server::start`] takes a listener, the stores and what knows passwords and
//! tokens ([`Parts`]), and [`HttpOptions`]. The table of all routes is in
//! `routes.rs`, the translation of errors in `error.rs`.
//!
//! This crate reads no environment and no configuration file, contains no SQL,
//! and decides nothing about messages: rooms, replay, presence and limits of a
//! socket are chat-core's.

mod answer;
mod app;
mod assets;
mod avatar;
mod body;
mod client_address;
mod client_socket;
mod cookie;
mod error;
mod form;
mod fresh;
mod hex;
mod metrics;
mod negotiation;
mod options;
mod origin;
mod percent;
mod retention;
mod routes;
mod server;
mod session_check;
mod sign_in_failures;
mod signed_in;
mod store_health;
mod unready;

pub use app::Parts;
pub use avatar::{avatar_file_name, read_avatar, remove_avatar, write_avatar};
pub use chat_shard::{SHARDS_MAX, ShardOptions};
pub use options::{ConfiguredRoom, HttpOptions, InvalidPublicUrl, PublicUrl, Registration};
pub use server::{Server, StartError};
