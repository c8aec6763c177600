//! Passwords and tokens: who somebody is, and how that is remembered.
//!
//! [`Passwords`] hashes and checks passwords (argon2id, and bcrypt for accounts
//! that come from the original chat) on threads of its own, so that a crowd at
//! the door costs a fixed amount of memory and never the threads that carry
//! messages. [`Tokens`] issues and checks the JWT of a session, signed with a
//! [`SigningSecret`]. [`SignInLimiter`] stops those who guess passwords.
//!
//! This crate knows no account, no session store, no cookie and no request:
//! whether a token's session still exists is for its caller to ask.
//!
//! ```
//! use chat_auth::{Password, Passwords, PasswordsOptions, SigningSecret, TokenOptions, Tokens, Verdict};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let passwords = Passwords::start(PasswordsOptions::default())?;
//! let hash = passwords.hash(Password::parse("correct horse".to_owned())?).await?;
//! let written = || Password::parse("correct horse".to_owned());
//! assert_eq!(passwords.verify_login(written()?, Some(&hash)).await?, Verdict::Right);
//! // A name without an account takes as long, and is never right.
//! assert_eq!(passwords.verify_login(written()?, None).await?, Verdict::Wrong);
//!
//! let secret = SigningSecret::new("a text of 32 bytes or more, from the configuration")?;
//! let tokens = Tokens::new(&secret, TokenOptions::default());
//! let token = tokens.issue(1_795_371_796, "alice", "session-1");
//! let claims = tokens.verify(&token, 1_795_371_800)?;
//! assert_eq!((claims.sub.as_str(), claims.sid.as_deref()), ("alice", Some("session-1")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod hasher;
mod old_hash;
mod password;
mod passwords;
mod secret;
mod sign_in_limiter;
mod tokens;

pub use password::{NO_PASSWORD, PASSWORD_MAX_BYTES, Password, PasswordError};
pub use passwords::{HashCost, Passwords, PasswordsError, PasswordsOptions, Verdict};
pub use secret::{SECRET_MIN_BYTES, SecretError, SigningSecret};
pub use sign_in_limiter::{Attempt, SignInLimiter, SignInLimits, SignInRefused};
pub use tokens::{Claims, TOKEN_MAX_BYTES, TokenError, TokenOptions, Tokens};
