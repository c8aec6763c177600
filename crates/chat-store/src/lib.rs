//! Users, sessions and the log of messages: what the chat wants of a store
//! ([`UserRepository`], [`SessionRepository`], [`EventLog`]), and three stores
//! that give it, [`MemoryStore`], [`SqliteStore`] and [`PostgresStore`]. One
//! contract suite (`tests/contract`) says what all of them must do.
//!
//! It is the only place that knows SQL. It does not decide who may read or
//! write, does not hash passwords, and does not collect batches: callers do,
//! one batch after the other in each of a log's [lanes](EventLog::lanes). It
//! has no clock: every `now_ms` is the caller's.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use chat_core::{Draft, DraftId, Body, MessageText, Outcome, PageFrom, PageLimits};
//! use chat_core::{RoomName, Topic, Username};
//! use chat_store::{DatabaseUrl, Stores};
//!
//! let stores = Stores::open(&DatabaseUrl::parse("memory:")?).await?;
//! let kitchen = Topic::Room(RoomName::parse("kitchen")?);
//! let draft = Draft {
//!     id: DraftId(1),
//!     topic: kitchen.clone(),
//!     from: Username::parse("alice")?,
//!     room: None,
//!     body: Body::Message { text: MessageText::parse("Привет!", 4096)? },
//!     nonce: None,
//! };
//! let commit = stores.log.append(&[draft], 1_795_371_797_000).await?;
//! assert_eq!(commit.receipts[0].outcome, Outcome::Stored { seq: 1, at_ms: 1_795_371_797_000 });
//!
//! let limits = PageLimits { entries: 50, bytes: 65_536 };
//! let page = stores.log.page(&kitchen, PageFrom::Latest, limits).await?;
//! assert_eq!(page.entries[0].body.text(), "Привет!");
//! stores.close().await;
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
//! #     .block_on(example()).unwrap();
//! ```

mod backup;
mod batch;
mod cause;
mod columns;
mod error;
mod memory;
pub mod migrations;
mod names;
mod postgres;
mod repository;
mod retention;
mod rows;
mod sqlite;
mod stores;
#[cfg(feature = "test-postgres")]
pub mod test_postgres;
mod url;

pub use backup::{Backup, BackupContents, RestoreTarget, WhatIsThere};
pub use error::StoreError;
pub use memory::MemoryStore;
pub use postgres::{OtherServers, PostgresOptions, PostgresStore, ServerLock, wait_until_reachable};
pub use repository::{
    Answer, EventLog, NewUser, SESSIONS_LISTED_MAX, Session, SessionRepository, User, UserRepository,
};
pub use retention::{KEPT_AT_LEAST_MS, NONCES_KEPT_MS, Retention, TrimPosition, Trimmed};
pub use sqlite::{SqliteOptions, SqliteStore};
pub use stores::Stores;
pub use url::{DatabaseUrl, DatabaseUrlError, PostgresUrl};
