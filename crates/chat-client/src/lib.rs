//! A client of the chat that neither loses nor repeats messages: programs that use
//! it need no knowledge of numbers, acknowledgements and reconnecting.
//!
//! This is a complete bot. It answers each ping once, even if the server or the bot
//! itself is killed and started again.
//!
//! ```no_run
#![doc = include_str!("../examples/bot.rs")]
//! ```
//!
//! The server keeps what belongs to the user's account: the rooms of which the user is a
//! member, how far each was read, and what is unread, the same on every device. This
//! program shows it:
//!
//! ```no_run
#![doc = include_str!("../examples/unread.rs")]
//! ```
//!
//! # Where to find what
//!
//! | | |
//! |---|---|
//! | [`Client`], [`Events`] | a task on tokio with a socket: join, send, wait for events |
//! | [`Session`], [`Output`], [`Options`] | the rules alone, as a value: for other runtimes, simulators, thousands of clients in one task |
//! | [`Event`] | the events for an application, in order |
//! | [`Account`], [`Membership`], [`Conversation`] | the user's rooms and conversations, and what is unread, the same on every device |
//! | [`Timeline`], [`Shown`] | the messages of a topic as edits, deletions and reactions have made them, and what is not sent yet |
//! | [`NewMessage`], [`NewChange`], [`Target`] | a message with mentions, or an answer; an edit, a deletion, a reaction |
//! | [`Seen`], [`Snapshot`], [`Unsent`], [`Mark`] | the state to save, so that another run continues |
//! | [`Rng`] | the random generator of a session, for programs that repeat runs from a seed |
//! | [`sign_in()`] | a token for a name and a password |
//! | [`Api`], [`AttachedFile`] | files and their bytes, search, the user's password and picture |
//! | [`server_info()`] | the title and the rules of a server |
//! | [`ServerUrl`], [`Unreachable`] | the address of a server, the authorities that are trusted; why it was not reached, for people |
//!
//! The feature `socket` (on by default) has what needs tokio: [`Client`], its options
//! and errors, [`Api`], [`ServerUrl`] and [`sign_in()`]. The feature `tls` (on by default) has
//! addresses with `https://` and `wss://`, by rustls with aws-lc-rs and the certificates that the
//! system trusts.
//!
//! Files are uploaded first, and then sent with a message. This program sends a file to a
//! room, and downloads what others send there:
//!
//! ```no_run
#![doc = include_str!("../examples/files.rs")]
//! ```
//!
//! # Guarantees
//!
//! - An accepted message is sent until it is stored or finally refused, in the
//!   order of the calls. Its nonce makes repetitions harmless: it is stored once.
//! - Each message of a joined room and each private message comes once, in order,
//!   whatever happens to the connection. Where that is impossible (the server no
//!   longer keeps the missed messages, or has a new epoch), an [`Event::Reset`]
//!   reports it before the latest messages follow.
//! - So is a change of a message, behind the message that it changes, in the order of the
//!   calls for one topic. What it changed comes as an event like a message does.
//! - What the user reads and chooses ([`Client::read`], [`Client::set_level`]) is sent
//!   until the server keeps it. Rooms, marks and counts belong to the account: they are
//!   the same on every device.
//! - A room that this user may not read any more ([`Event::Left`] with a reason,
//!   [`Event::NotJoined`] with `forbidden`) is not joined again, and its unsent messages
//!   are reported as not sent.
//! - Messages that are sent while a program does not run are not lost either, if
//!   the program saves what it has [seen](Events::seen) and its
//!   [unsent](Client::unsent) messages.
//! - Everything that is kept has a cap ([`Options`], [`ClientOptions`]). At a cap
//!   the caller is refused or the server has to wait; nothing is dropped.
//!
//! # Messages that change
//!
//! The entries of a room or conversation are messages and changes of messages: edits,
//! deletions, reactions. All of them have numbers of one log and come as events
//! ([`Event::Message`], [`Event::Change`]). A message that is read from the log is in the state
//! that changes have made of it, so that a change may come that its message contains already:
//! [`Timeline`] has the rule, and shows each message as the log gives it. A program that only
//! reads messages as they come, as the bot above does, needs none of this.
//!
//! # What this crate is not
//!
//! A session has no clock, randomness, socket or task: time and a seed come in as
//! arguments, so that a run can be repeated exactly. Proxies of the client's side (`HTTPS_PROXY`)
//! are not used: use your own socket with a [`Session`].

mod account;
#[cfg(feature = "socket")]
mod api;
mod change;
#[cfg(feature = "socket")]
mod client;
mod event;
mod file;
mod frame;
mod new_message;
mod rng;
mod seen;
#[cfg(feature = "socket")]
mod server_url;
mod session;
#[cfg(feature = "socket")]
mod sign_in;
#[cfg(feature = "socket")]
mod stream;
mod timeline;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "socket")]
mod unreachable;

pub use account::{Access, Account, COUNT_MAX, Conversation, Counts, Level, Membership, Role};
#[cfg(feature = "socket")]
pub use api::{
    Api, ApiError, Download, Found, Me, NewFile, SearchPage, SearchQuery, ServerInfo, server_info,
};
pub use change::{Change, ChangeKind, NewChange, Target, UnsentChange};
#[cfg(feature = "socket")]
pub use client::{
    Client, ClientOptions, ConnectError, Credentials, Events, Receipt, RequestError, SendError,
};
pub use event::{Entry, Event, Features, HistoryPage, Presence, REACTION_USERS_SHOWN, Reaction, Topic};
pub use file::{AttachedFile, FILES_MAX};
pub use new_message::{MENTIONS_MAX, NewMessage};
pub use rng::Rng;
pub use seen::{CONVERSATIONS_MAX, Seen};
#[cfg(feature = "socket")]
pub use server_url::{ServerUrl, ServerUrlError};
pub use session::{Mark, Options, Output, PAGE_NUMBERS_MAX, PageFrom, Refused, Session, Snapshot, Unsent};
#[cfg(feature = "socket")]
pub use sign_in::{SignInError, sign_in};
pub use timeline::{KEPT_CHANGES_MAX, MESSAGES_MAX, Shown, Timeline};
#[cfg(feature = "socket")]
pub use unreachable::{CertificateProblem, Unreachable};
