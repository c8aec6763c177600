//! What the chat wants of a store, whichever it is.

use std::future::Future;
use std::pin::Pin;

use chat_core::{Commit, Draft, Page, PageFrom, PageLimits, SessionId, Topic, Username};

use crate::StoreError;

/// An answer that a store gives later. Boxed, so that a store can be chosen at
/// run time without a type parameter in every signature above.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The accounts.
pub trait UserRepository: Send + Sync {
    /// Stores a new account; [`StoreError::NameTaken`] if there is one of that name.
    fn create_user<'a>(&'a self, user: &'a NewUser) -> Answer<'a, ()>;

    /// The account of exactly that name.
    fn find_user<'a>(&'a self, name: &'a Username) -> Answer<'a, Option<User>>;

    /// Replaces the hash of an account's password, if it still is `old`, and
    /// says whether it was: somebody else may have set another one meanwhile.
    fn set_password_hash<'a>(&'a self, name: &'a Username, old: &'a str, new: &'a str) -> Answer<'a, bool>;
}

/// The sessions: one for each sign-in, until it ends or is revoked.
pub trait SessionRepository: Send + Sync {
    /// Stores a session.
    fn open_session<'a>(&'a self, session: &'a Session) -> Answer<'a, ()>;

    /// The session of that id, unless it was revoked or `now_ms` is not before its end.
    fn find_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> Answer<'a, Option<Session>>;

    /// Moves the end of a session that was neither revoked nor ended.
    fn renew_session<'a>(&'a self, id: &'a SessionId, now_ms: u64, expires_at_ms: u64) -> Answer<'a, ()>;

    /// Ends a session for good. Revoking one that is not there is fine.
    fn revoke_session<'a>(&'a self, id: &'a SessionId) -> Answer<'a, ()>;
}

/// The log: the only place where entries get their numbers, and the only truth.
///
/// Each room and each pair of users is numbered 1, 2, 3 … inside the
/// transaction that stores the entries, so that the order of numbers is the
/// order of commits and no number is ever missing.
pub trait EventLog: Send + Sync {
    /// Stores a batch in one transaction: all of it or, with an error, nothing.
    ///
    /// The receipts stand in the order of the drafts. A nonce that its author
    /// used before (also earlier in the same batch) answers
    /// [`Duplicate`](chat_core::Outcome::Duplicate); a private message to a name
    /// without an account [`NoRecipient`](chat_core::Outcome::NoRecipient).
    /// Entries are stamped `max(now_ms, the topic's last stamp)`.
    fn append<'a>(&'a self, drafts: &'a [Draft], now_ms: u64) -> Answer<'a, Commit>;

    /// How many batches it can store at the same time, each in a lane of its
    /// own. Callers keep one batch under way in each, so that a topic, which
    /// has one lane, has its entries stored in the order in which they came.
    fn lanes(&self) -> usize {
        1
    }

    /// The lane of a topic, less than [`lanes`](Self::lanes) and always the same.
    fn lane(&self, _topic: &Topic) -> usize {
        0
    }

    /// A part of a topic. An unknown topic is an empty one.
    fn page<'a>(&'a self, topic: &'a Topic, from: PageFrom, limits: PageLimits) -> Answer<'a, Page>;

    /// Names the numbering: another value only where numbers start anew.
    fn epoch(&self) -> &str;

    /// Whether the store answers at this moment.
    fn check(&self) -> Answer<'_, ()>;

    /// A log in this process's own memory commits at once, in the caller's
    /// thread, and calls `publish` before it takes the next batch, so that
    /// batches are published in the order of their numbers. Other logs leave
    /// this as it is (`None`) and get their batches through
    /// [`append`](Self::append).
    fn append_in_place(
        &self,
        _drafts: &[Draft],
        _now_ms: u64,
        _publish: &mut dyn FnMut(&Commit),
    ) -> Option<Commit> {
        None
    }
}

/// An account to be.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The name, as it is to be shown.
    pub name: Username,
    /// The password's hash, in PHC string format.
    pub password_hash: String,
    /// The address of the picture below the server's root, such as `/uploads/….png`.
    pub avatar: Option<String>,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub created_at_ms: u64,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name, as it is shown.
    pub name: Username,
    /// The password's hash: in PHC string format, or the bcrypt (`$2a$…`) of an
    /// account that was taken over.
    pub password_hash: String,
    /// The address of the picture, if there is one.
    pub avatar: Option<String>,
    /// When it was made, in milliseconds since 1970 (UTC); 0 if that is not known.
    pub created_at_ms: u64,
}

/// A sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The `sid` of its token.
    pub id: SessionId,
    /// Who signed in.
    pub user: Username,
    /// When, in milliseconds since 1970 (UTC).
    pub created_at_ms: u64,
    /// When it ends, in milliseconds since 1970 (UTC).
    pub expires_at_ms: u64,
}
