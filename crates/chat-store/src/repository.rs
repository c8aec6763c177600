//! What the chat wants of a store, whichever it is.

use std::future::Future;
use std::pin::Pin;

use chat_core::{Commit, Conversations, Draft, Page, PageFrom, PageLimits, SessionId, Topic, Username};

use crate::{Retention, StoreError, TrimPosition, Trimmed};

/// An answer that a store gives later. Boxed, so that a store can be chosen at
/// run time without a type parameter in every signature above.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The accounts.
pub trait UserRepository: Send + Sync {
    /// Stores a new account. [`StoreError::NameTaken`] if there is one of that
    /// name, or was one that was removed; [`StoreError::NameConfusable`] if there
    /// is or was one whose name [looks like](chat_core::Skeleton) it. Of those that
    /// are made at once, too, one wins.
    fn create_user<'a>(&'a self, user: &'a NewUser) -> Answer<'a, ()>;

    /// The same, but the name of an account that was removed may be used again,
    /// and is then taken as it was. Its conversations are the new account's.
    fn recreate_user<'a>(&'a self, user: &'a NewUser) -> Answer<'a, ()>;

    /// The error that [`create_user`](Self::create_user) would have, of the two
    /// about names, for those who ask before they do what costs more.
    fn check_new_name<'a>(&'a self, name: &'a Username) -> Answer<'a, ()>;

    /// The account of exactly that name.
    fn find_user<'a>(&'a self, name: &'a Username) -> Answer<'a, Option<User>>;

    /// The account of exactly that name; otherwise the one account whose name
    /// [differs from it only in case](Username::is_same_ignoring_case). `None`
    /// also where several accounts do, as in a database that was taken over.
    ///
    /// Accounts that another program added since the store was opened are found
    /// by their exact names only.
    fn find_user_ignoring_case<'a>(&'a self, name: &'a Username) -> Answer<'a, Option<User>>;

    /// Replaces the hash of an account's password, if it still is `old`, and
    /// says whether it was: somebody else may have set another one meanwhile.
    fn set_password_hash<'a>(&'a self, name: &'a Username, old: &'a str, new: &'a str) -> Answer<'a, bool>;

    /// Deletes an account; one that is not there is fine. Its messages stay, its
    /// name stays taken, and its sessions are the caller's to
    /// [revoke](SessionRepository::revoke_sessions_of).
    fn remove_user<'a>(&'a self, name: &'a Username) -> Answer<'a, ()>;

    /// The accounts behind that name in an order of the store's own, at most
    /// `max`; `None` for the first ones.
    fn list_users<'a>(&'a self, after: Option<&'a Username>, max: usize) -> Answer<'a, Vec<User>>;
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

    /// The sessions of a user that are good at `now_ms`, the newest first, at
    /// most [`SESSIONS_LISTED_MAX`].
    fn sessions_of<'a>(&'a self, user: &'a Username, now_ms: u64) -> Answer<'a, Vec<Session>>;

    /// Ends all sessions of a user for good, and says which they were, in no
    /// order. A store that had to ask twice, because the first answer was lost,
    /// names only those that the second time found.
    fn revoke_sessions_of<'a>(&'a self, user: &'a Username) -> Answer<'a, Vec<SessionId>>;

    /// Notes that a session was seen. It never goes back, and one that is not
    /// there is fine.
    fn touch_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> Answer<'a, ()>;

    /// Of these sessions those that are good at `now_ms`, with their ends, in no
    /// order: one question to the store, however many they are.
    fn good_sessions<'a>(&'a self, ids: &'a [SessionId], now_ms: u64) -> Answer<'a, Vec<(SessionId, u64)>>;
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

    /// The private conversations of somebody, those written last first, at most
    /// `limit` of them.
    fn conversations<'a>(&'a self, user: &'a Username, limit: usize) -> Answer<'a, Conversations>;

    /// Removes entries that are not [to be kept](Retention) any more, the oldest of
    /// each topic first and at most `max_entries` (at least 1) of them, so that
    /// nobody waits long behind it. It looks at some topics from `from` on and says
    /// where to [go on](Trimmed::next).
    ///
    /// A topic goes on counting where it was, also without entries, and
    /// [`Page::first`] moves up. A nonce is forgotten when its entry is gone and was
    /// stored [seven days](crate::NONCES_KEPT_MS) ago; a store in memory forgets it
    /// with its entry.
    ///
    /// A log of somebody else keeps everything unless it says otherwise.
    fn trim<'a>(
        &'a self,
        _retention: &'a Retention,
        _from: TrimPosition,
        _now_ms: u64,
        _max_entries: usize,
    ) -> Answer<'a, Trimmed> {
        Box::pin(async { Ok(Trimmed::default()) })
    }

    /// Names the numbering: another value only where numbers start anew.
    fn epoch(&self) -> &str;

    /// Whether the store answers at this moment.
    fn check(&self) -> Answer<'_, ()>;

    /// Whether the store can commit at this moment: it commits a change that leaves
    /// nothing behind. A full disk passes [`check`](Self::check), but not this.
    ///
    /// A log of somebody else is only checked unless it says otherwise.
    fn check_write(&self) -> Answer<'_, ()> {
        self.check()
    }

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
    /// What signed in, in its own words (a `User-Agent`); empty if it said nothing.
    pub device: String,
    /// The IP address from which it signed in; empty if that is not known.
    pub address: String,
    /// When, in milliseconds since 1970 (UTC).
    pub created_at_ms: u64,
    /// When it ends, in milliseconds since 1970 (UTC).
    pub expires_at_ms: u64,
    /// When it was last used, give or take minutes, in milliseconds since 1970 (UTC).
    pub last_seen_at_ms: u64,
}

/// Sessions in one list.
pub const SESSIONS_LISTED_MAX: usize = 100;
