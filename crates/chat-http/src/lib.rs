//! The chat over HTTP and WebSocket, on plain hyper: routes, cookies, uploads, the page,
//! and the upgrade. Upgraded sockets are handed to chat-shard.
//!
//! [`Server::start`] takes a listener, and [`Chat::start`] none: the service of a [`Chat`] is
//! mounted in another program. Both take the stores with [`Passwords`](chat_auth::Passwords)
//! and [`Tokens`](chat_auth::Tokens) ([`Parts`]), and [`HttpOptions`]. The table of all
//! routes is in `routes.rs`, the translation of errors to HTTP in `error.rs`.
//!
//! This crate reads no environment and no configuration file, contains no SQL, and decides
//! nothing about messages: rooms, replay, presence and the limits of a socket are in
//! chat-core.
//!
//! ```
//! use std::sync::Arc;
//!
//! use chat_auth::{Passwords, PasswordsOptions, SigningSecret, TokenOptions, Tokens};
//! use chat_http::{FilesLocation, HttpOptions, Parts, Server};
//! use chat_store::{MemoryStore, Stores};
//! use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//! use tokio::net::{TcpListener, TcpStream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let stores = Stores::of(Arc::new(MemoryStore::default()));
//! let secret = SigningSecret::new("a text of 32 bytes or more, from the configuration")?;
//! let passwords = Passwords::start(PasswordsOptions::default())?;
//! let parts = Parts::new(stores, passwords, Tokens::new(&secret, TokenOptions::default()));
//! let mut options = HttpOptions { uploads_dir: folder.path().join("uploads"), ..HttpOptions::default() };
//! options.files.location = FilesLocation::Folder(folder.path().join("files"));
//! let server = Server::start(TcpListener::bind("127.0.0.1:0").await?, parts, options).await?;
//!
//! let mut client = TcpStream::connect(server.local_addr()).await?;
//! client.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
//! let mut response = String::new();
//! client.read_to_string(&mut response).await?;
//! assert!(response.starts_with("HTTP/1.1 200 OK"));
//! assert!(response.ends_with(r#"{"status":"ok"}"#));
//!
//! server.stop().await;
//! # Ok(())
//! # }
//! ```

mod acme_challenges;
mod answer;
mod app;
#[cfg(feature = "page")]
mod assets;
mod avatar;
mod base_path;
mod body;
mod bots;
mod cached;
mod certificate_end;
mod chat;
mod client_address;
mod client_socket;
mod connections;
mod cookie;
mod error;
mod files;
mod form;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod head_filter;
mod hex;
mod host_account;
mod identity;
mod indexing;
mod mass_deletion;
mod member_filling;
mod metrics;
#[cfg(feature = "page")]
mod negotiation;
mod oidc;
mod options;
mod origin;
mod outgoing;
mod percent;
mod permits;
mod process_metrics;
mod profile;
mod push;
mod registration_limits;
mod retention;
mod return_path;
mod room_list;
mod routes;
mod secret;
mod server;
mod service;
mod session_check;
mod shared_attempts;
mod sign_in_failures;
mod signed_in;
mod slack;
mod store_health;
mod store_probe;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "without_tls.rs"]
mod tls;
mod unready;
mod user_rate;
mod webhooks;

pub use acme_challenges::AcmeChallenges;
pub use app::Parts;
pub use avatar::{avatar_file_name, read_avatar, remove_avatar, write_avatar};
pub use base_path::{BasePath, InvalidBasePath};
pub use bots::{
    BOT_ROOMS_MAX, BotRefused, MadeOutgoing, OutgoingOrder, make_bot, make_outgoing, make_webhook,
};
pub use certificate_end::CertificateEnd;
pub use chat::{Chat, StartError};
// What hosts name in posts and hooks.
pub use chat_core::{FileId, MessageText, Missed, Nonce, Page, PageFrom, Role, RoomName, Topic, Username};
pub use chat_files::{FilesLocation, InvalidFilesUrl, S3Location};
pub use chat_shard::{
    Author, BusSink, ChatHandle, Entries, Followed, HookFuture, HookSet, Hooks, Post, PostError, Posted,
    Proposed, SHARDS_MAX, ServerBus, ShardOptions, StoredHook, Verdict,
};
pub use identity::{Identified, Identity, IdentityFuture, RequestHead, identity_fn};
pub use oidc::OidcSignIn;
pub use options::{
    Accent, ConfiguredRoom, FilesOptions, HttpOptions, InvalidContact, InvalidPublicUrl, InvalidWelcome,
    PublicUrl, Registration, RegistrationLimits, SecurityContact, parse_welcome,
};
pub use push::PushOptions;
pub use secret::new_password_link;
pub use server::Server;
pub use service::{AnswerFuture, ChatService, Peer, ResponseBody};
pub use tls::TlsConfig;
pub use webhooks::WebhookOptions;
