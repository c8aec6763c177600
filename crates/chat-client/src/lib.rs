//! A client of the chat that neither loses nor doubles anything: programs that
//! use it need to know nothing of numbers, receipts and reconnecting.
//!
//! This is a whole bot. The server may be killed and started again, or the bot
//! itself: it answers each ping once.
//!
//! ```no_run
#![doc = include_str!("../examples/bot.rs")]
//! ```
//!
//! # Where to find what
//!
//! | | |
//! |---|---|
//! | [`Client`], [`Events`] | a task on tokio with a socket: join, send, wait for what comes |
//! | [`Session`], [`Output`], [`Options`] | the rules alone, as a value: for other runtimes, simulators, thousands of clients in one task |
//! | [`Event`] | what an application is told, in order |
//! | [`Seen`], [`Snapshot`], [`Unsent`] | what to write down to go on in another run |
//! | [`sign_in()`] | a token for a name and a password |
//!
//! # What an application can rely on
//!
//! - A message that was taken is sent until it is stored or refused for good,
//!   in the order of the calls. Its nonce makes every repetition harmless, so
//!   that it is stored once.
//! - Each message of a joined room and each private message comes once, in
//!   order, whatever happens to the connection. Where that is impossible (the
//!   server no longer has what was missed, or counts anew) an
//!   [`Event::Reset`] says so before the latest messages follow.
//! - What is said while a program does not run is not lost either, if it writes
//!   down what it has [seen](Events::seen), and what is [unsent](Client::unsent).
//! - Everything kept has a cap ([`Options`], [`ClientOptions`]); at each, the
//!   caller is refused or the server is made to wait, and nothing is dropped.
//!
//! # What is not here
//!
//! A session has no clock, chance, socket or task: time and a seed come in as
//! arguments, so that a run can be repeated exactly. TLS is not here either:
//! give the address behind the proxy, or bring your own socket to a
//! [`Session`].

mod client;
mod event;
mod frame;
mod rng;
mod seen;
mod server_url;
mod session;
mod sign_in;

pub use client::{
    Client, ClientOptions, ConnectError, Credentials, Events, Receipt, RequestError, SendError,
};
pub use event::{Conversation, Entry, Event, HistoryPage, Place, Presence};
pub use rng::Rng;
pub use seen::{CONVERSATIONS_MAX, Seen};
pub use server_url::{ServerUrl, ServerUrlError};
pub use session::{Options, Output, PageFrom, Refused, Session, Snapshot, Unsent};
pub use sign_in::{SignInError, sign_in};
