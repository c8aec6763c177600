//! The chat itself: who is in which room, what each person gets and in which
//! order, and what happens when the network or the log fails. Everything else
//! of a chat server is plumbing around it.
//!
//! A [`Hub`] is a value. Its program hands it [`Input`]s with the time (a
//! socket opened, a frame came, a page was read …) and does the [`Output`]s
//! (write these bytes, store this, read that …). A log gives the numbers;
//! [`History`] is one in memory. Nothing is sent before the log has it.
//!
//! This is a whole chat of two, without a network:
//!
//! ```
#![doc = include_str!("../examples/embed.rs")]
//! ```
//!
//! `examples/lines.rs` is the same with sockets: a chat over TCP for `nc`.
//! A real program has more to say to its hub: [`Input::Tick`] when
//! [`Hub::next_tick_ms`] is due, [`Input::Closed`], [`Input::Pending`] when a
//! socket does not take its bytes; and it hands over no frame of a client that
//! [is paused](Hub::is_paused).
//!
//! # Where to find what
//!
//! | | |
//! |---|---|
//! | [`Hub`], [`Input`], [`Outputs`] | all decisions; a folder of files by topic: sending, delivery, catching up, presence, stopping |
//! | [`History`], [`Entry`], [`Draft`] | the rules of a log: numbers, nonces, pages |
//! | [`Username`], [`RoomName`], [`MessageText`] | input, parsed once: what has the type is right |
//! | [`Look`] | which names a person could mistake for one another |
//! | [`Framing`] | protocol frames as bytes, for WebSockets or lines |
//!
//! # What is not here
//!
//! No socket, file, database, thread, lock, clock or randomness: time and
//! chance come in as arguments, so that a run can be repeated exactly, which is
//! how the tests live through hours of bad luck in seconds. `clippy.toml` makes that a rule of
//! the compiler. No password and no token either: whoever opens a client has
//! checked who it is. And nothing is kept: what must survive is in the log.

mod batch;
mod entry;
mod frame;
mod history;
mod hub;
mod names;
mod outputs;
mod query;
mod seed;
mod skeleton;

pub use batch::{Batch, Facts, FirstResult, Questions, TopicEnd};
pub use entry::{
    Body, Commit, Conversations, Draft, DraftId, Entry, Missed, Outcome, Page, PageFrom, PageLimits, Receipt,
    Topic,
};
pub use frame::Framing;
pub use history::{History, HistoryLimits};
#[cfg(feature = "planted-bugs")]
pub use hub::PlantedBug;
pub use hub::{Hub, HubOptions, Input, Now, Protocol, RateLimit, RecentLimits};
pub use names::{
    DEFAULT_ROOM, MessageText, NONCE_MAX_CHARS, Nonce, Pair, ROOM_NAME_MAX_CHARS, RoomName, RoomNameError,
    SessionId, TextError, USERNAME_MAX_CHARS, Username, UsernameError,
};
pub use outputs::{ClientId, CloseCode, Output, Outputs, PresenceChange, Subscription, Write};
pub use query::{Answer, Query, ReadId};
pub use seed::Seed;
pub use skeleton::Skeleton;
