//! The stores of the chat: users, sessions, rooms, the log of messages, the records of their
//! files, and what else a server keeps. Each has a trait, and [`Stores`] lists them. A type that
//! implements all of them is a [`Store`]: [`MemoryStore`], [`SqliteStore`] and [`PostgresStore`]. One
//! contract suite (`tests/contract`) tests that they behave alike. What several servers of one
//! database share is in [`SharedRepository`], which a file has not: one server has it.
//!
//! The features `sqlite` and `postgres`, both on by default, are the databases that are compiled.
//! Without both, there are only the traits and [`MemoryStore`]: no SQL, no driver. Backups are
//! SQLite files, and need `sqlite`, whatever the database.
//!
//! This is the only crate that knows SQL. It does not decide which user may read or
//! write, does not hash passwords, and does not collect batches: its callers do, one
//! batch after the other in each of a log's [lanes](EventLog::lanes). It has no clock:
//! its callers pass every `now_ms`.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use chat_core::{ChangeRules, Draft, DraftId, Body, MessageText, Outcome, PageFrom, PageLimits};
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
//!     body: Body::message(MessageText::parse("Привет!", 4096)?),
//!     files: Vec::new(),
//!     nonce: None,
//!     check: true,
//!     may_administer: false,
//!     by_server: false,
//!     refused: None,
//!     rules: ChangeRules::default(),
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

#[cfg(all(feature = "databases", not(any(feature = "sqlite", feature = "postgres"))))]
compile_error!("the feature `databases` is of no use alone: enable `sqlite`, `postgres` or both");

mod administration;
#[cfg(feature = "sqlite")]
mod backup;
#[cfg(feature = "databases")]
mod batch;
mod bots;
#[cfg(feature = "databases")]
mod cause;
#[cfg(feature = "databases")]
mod changes;
#[cfg(feature = "databases")]
mod columns;
mod directory;
mod error;
mod feed;
#[cfg(feature = "databases")]
mod files;
#[cfg(feature = "databases")]
mod list;
mod memory;
#[cfg(feature = "databases")]
pub mod migrations;
#[cfg(feature = "databases")]
mod names;
#[cfg(feature = "sqlite")]
mod open_error;
mod outgoing;
#[cfg(feature = "databases")]
mod pages;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod private_files;
mod push;
mod repository;
mod retention;
#[cfg(feature = "databases")]
mod rooms;
#[cfg(feature = "databases")]
mod rows;
#[cfg(feature = "databases")]
mod schema;
mod search;
mod shared;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "databases")]
mod statements;
mod stores;
#[cfg(feature = "test-postgres")]
pub mod test_postgres;
#[cfg(feature = "databases")]
mod url;
#[cfg(all(feature = "databases", not(feature = "postgres")))]
mod without_postgres;

pub use administration::{
    AUDIT_MAX, AUDIT_OF_ADMINISTRATOR_MAX, AUDIT_OF_USER_MAX, AdministrationRepository, AuditAction,
    AuditEntry, Ban, BanRefused, DONE_REPORTS_MAX, DONE_REPORTS_OF_USER_MAX, Deletion, DeletionTurn,
    INVITES_MAX, Invite, InvitePosition, InviteRefused, InvitesOf, ListedReport, LogPosition, MessagesOf,
    NewBan, NewInvite, NewPasswordLink, NewReport, OPEN_REPORTS_MAX, ProfileField, RegistrationTerms, Report,
    ReportState, ReportsOf, ServerProfile,
};
#[cfg(feature = "sqlite")]
pub use backup::{BACKUP_PART_BYTES, Backup, BackupContents, BackupFile, ExistingData, RestoreTarget};
pub use bots::{BOTS_MAX, Bot, BotRepository, NewBot, NewWebhook, WEBHOOKS_MAX, Webhook};
pub use error::StoreError;
pub use feed::{FEED_BEAT_MS, FEED_KEPT_MS, Feed, FeedRead, SERVER_LIVES_MS};
pub use memory::MemoryStore;
pub use outgoing::{
    DELIVERIES_AT_ONCE, Delivery, DeliveryDone, DueMessage, NewOutgoingWebhook, OUTGOING_MAX, OutgoingCount,
    OutgoingRepository, OutgoingWebhook, Receiver,
};
#[cfg(feature = "postgres")]
pub use postgres::{OtherServers, PostgresOptions, PostgresStore, ServerLock, wait_until_reachable};
pub use push::{
    DuePush, NewPushSubscription, PUSH_FAILURES_KEPT_MS, PUSH_FAILURES_MAX, PUSH_LOOKED_AT_MAX, PushClaim,
    PushCount, PushDone, PushRepository, PushService,
};
pub use repository::{
    Ended, EventLog, FileRepository, ListedRoom, MessageReactions, NewUser, PasswordChange, RoleChange,
    RoomRepository, SESSIONS_LISTED_MAX, Session, SessionRepository, StoreFuture, Subject, User,
    UserRepository,
};
pub use retention::{KEPT_AT_LEAST_MS, NONCES_KEPT_MS, Retention, TrimPosition, Trimmed};
pub use search::{Indexed, SearchIndex, SearchPage, SearchQuery};
pub use shared::{
    AttemptKey, MissingPicture, NewAttempt, PICTURE_KEPT_MS, PastAttempt, SharedRepository, SharedSecret,
};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOptions, SqliteStore};
#[cfg(feature = "databases")]
pub use stores::StoreOptions;
pub use stores::{Store, Stores};
#[cfg(feature = "databases")]
pub use url::{DatabaseUrl, DatabaseUrlError, PostgresUrl};
#[cfg(all(feature = "databases", not(feature = "postgres")))]
pub use without_postgres::{OtherServers, ServerLock, wait_until_reachable};
