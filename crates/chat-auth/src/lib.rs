//! Passwords and tokens: how a user proves who they are, at sign-in and afterwards.
//!
//! [`Passwords`] hashes and checks passwords (argon2id, and bcrypt for accounts of the
//! original chat) on threads of its own, so that many sign-ins at once take a fixed
//! amount of memory and no time of the threads that carry messages. [`Tokens`] issues
//! and checks the JWT of a session, signed with a [`SigningSecret`]. [`SignInLimiter`]
//! limits how often a password may be guessed. [`OidcProvider`] has users signed in by another server.
//!
//! This crate knows no accounts, stored sessions, cookies or requests. Whether the
//! session of a token still exists is for the caller to check.
//!
//! ```
//! use chat_auth::{HashFor, Password, Passwords, PasswordsOptions, SigningSecret, TokenOptions, Tokens, Verdict};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let passwords = Passwords::start(PasswordsOptions::default())?;
//! let hash = passwords.hash(HashFor::Registration("192.0.2.1"), Password::parse("correct horse".to_owned())?).await?;
//! let written = || Password::parse("correct horse".to_owned());
//! assert_eq!(passwords.verify_login(HashFor::SignIn("192.0.2.1"), written()?, Some(&hash)).await?, Verdict::Right);
//! // A name without an account takes as long, and no password is right for it.
//! assert_eq!(passwords.verify_login(HashFor::SignIn("192.0.2.1"), written()?, None).await?, Verdict::Wrong);
//!
//! let secret = SigningSecret::new("a text of 32 bytes or more, from the configuration")?;
//! let tokens = Tokens::new(&secret, TokenOptions::default());
//! let token = tokens.issue(1_795_371_796, "alice", "session-1");
//! let claims = tokens.verify(&token, 1_795_371_800)?;
//! assert_eq!((claims.sub.as_str(), claims.sid.as_deref()), ("alice", Some("session-1")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod common_passwords;
mod external_keys;
mod failures;
mod hash_queue;
mod hasher;
mod keyed_hash;
mod known_places;
mod network;
mod oidc;
mod old_hash;
mod password;
mod passwords;
mod secret;
mod set_up_code;
mod sign_in_limiter;
mod tokens;
mod verdict;

pub use external_keys::{ExternalKeys, ExternalKeysError, FetchedKeys};
pub use keyed_hash::KeyedHash;
pub use network::Network;
pub use oidc::{
    IdTokenError, OidcAnswer, OidcAnswering, OidcAttempt, OidcError, OidcOptions, OidcProvider, OidcRequest,
    OidcUser,
};
pub use password::{NO_PASSWORD, PASSWORD_MAX_BYTES, Password, PasswordError, PasswordRule};
pub use passwords::{HashCost, HashFor, Passwords, PasswordsError, PasswordsOptions};
pub use secret::{SECRET_MIN_BYTES, SecretError, SigningSecret};
pub use sign_in_limiter::{
    Attempt, DOUBTFUL_FROM, PastFailure, SharedKey, SignInLimit, SignInLimiter, SignInLimits, SignInName,
    SignInRefused,
};
pub use tokens::{Claims, TOKEN_MAX_BYTES, TokenError, TokenOptions, Tokens};
pub use verdict::Verdict;
