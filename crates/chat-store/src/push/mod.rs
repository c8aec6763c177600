//! What is sent to push services: to which browsers, and the queue of messages.

#[cfg(feature = "databases")]
pub(crate) mod database;
mod memory;

use chat_core::{Level, SessionId, Topic, Username};
pub(crate) use memory::Push;

use crate::StoreFuture;

/// The subscriptions of browsers to notifications (Web Push, RFC 8030), and the queue of messages
/// that are to be sent to them.
///
/// The queue is filled from the log, behind it: [`queue_pushes`](Self::queue_pushes) goes on
/// where it has stopped, in one transaction with what it queues, so that a message whose server
/// crashes is queued later. A queued message is sent at least once.
pub trait PushRepository: Send + Sync {
    /// Returns the private key of all servers of this database, which is `new` if there was none.
    fn push_key<'a>(&'a self, new: &'a str) -> StoreFuture<'a, String>;

    /// Stores a subscription, in place of the one of its session and of its endpoint. Of more
    /// than `max` of the user, the oldest go. Returns `false`, and stores nothing, if the session
    /// is not valid at `now_ms`.
    fn subscribe_push<'a>(
        &'a self,
        new: &'a NewPushSubscription,
        max: usize,
        now_ms: u64,
    ) -> StoreFuture<'a, bool>;

    /// Removes the subscription of a session, if there is one, with what is queued for it.
    fn unsubscribe_push<'a>(&'a self, session: &'a SessionId) -> StoreFuture<'a, bool>;

    /// Removes the subscriptions whose sessions are not valid at `now_ms`, with what is queued for
    /// them, and forgets failures of a day ago. Returns what is left.
    fn sweep_push_subscriptions(&self, now_ms: u64) -> StoreFuture<'_, PushCount>;

    /// Lists at most `max` topics whose entries were not all looked at, and whose last message is
    /// not older than `since_ms`; those after a position that an earlier call returned (0: from
    /// the first one). Also returns the next position, if there are more.
    fn topics_to_push(
        &self,
        since_ms: u64,
        after: u64,
        max: usize,
    ) -> StoreFuture<'_, (Vec<Topic>, Option<u64>)>;

    /// Looks at the entries of topics that were not looked at yet, the newest [`PUSH_LOOKED_AT_MAX`]
    /// of each, and queues the messages that users with subscriptions are to be notified of: by
    /// their level, not their own, not deleted, not read, stored since the subscription was made
    /// and since `since_ms`. A queued message of the same topic is replaced and keeps its time,
    /// which is otherwise `due_ms`. Returns how many were queued.
    fn queue_pushes<'a>(&'a self, topics: &'a [Topic], since_ms: u64, due_ms: u64) -> StoreFuture<'a, u64>;

    /// Claims queued messages that are due, at most one for each subscription. Until the claim
    /// ends no other call returns a message for these subscriptions. Those that have waited longest
    /// are first.
    ///
    /// Servers that claim at one moment may exceed the share of a user together.
    fn claim_pushes(&self, claim: PushClaim) -> StoreFuture<'_, Vec<DuePush>>;

    /// Ends a claim. A message that is finished leaves the queue, unless a newer one has taken its
    /// place. What is known of the push service is kept by its address for this browser, also if
    /// the subscription was removed meanwhile.
    fn finish_push<'a>(&'a self, push: &'a DuePush, done: PushDone) -> StoreFuture<'a, ()>;
}

/// A new subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPushSubscription {
    /// The session in which the browser is signed in.
    pub session: SessionId,
    /// Its user.
    pub user: Username,
    /// The address of the push service for this browser.
    pub endpoint: String,
    /// The public key of the browser, base64url.
    pub p256dh: String,
    /// The secret that the browser shares with the server, base64url.
    pub auth: String,
    /// The language of the page.
    pub language: String,
}

/// A queued message that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuePush {
    /// The id of the subscription.
    pub subscription: u64,
    /// Where it is sent.
    pub to: NewPushSubscription,
    /// How many attempts at its address have failed in a row.
    pub failures: u32,
    /// The topic of the message.
    pub topic: Topic,
    /// The number of the message.
    pub seq: u64,
    /// When the message was stored, in milliseconds since 1970.
    pub at_ms: u64,
    /// The title of the room; `None` for a private conversation.
    pub title: Option<String>,
    /// Whether the user still wants it: the session is valid, the message is not read, and its
    /// room not left or silent.
    pub is_wanted: bool,
}

/// A request for messages to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushClaim {
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
    /// When the claim ends.
    pub until_ms: u64,
    /// The most messages.
    pub max: usize,
    /// The most messages that are claimed for one user at one time, with those of earlier calls.
    pub user_max: usize,
}

/// The result of an attempt to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushDone {
    /// When it ended, in milliseconds since 1970.
    pub now_ms: u64,
    /// Whether the message is not sent again.
    pub is_finished: bool,
    /// What is known of the push service now.
    pub service: PushService,
}

/// What is known of the push service of a browser after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushService {
    /// Nothing was sent.
    NotAsked,
    /// It has answered.
    Works,
    /// It has not answered as it should.
    Fails {
        /// When it is asked again, in milliseconds since 1970.
        retry_ms: u64,
    },
    /// The browser has ended the subscription.
    Gone,
}

/// How many subscriptions there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PushCount {
    /// All of them.
    pub subscriptions: u64,
    /// Those with a message that could be sent now.
    pub ready: u64,
    /// Addresses of push services that have failed, also those of subscriptions that were removed.
    pub failing: u64,
}

/// Entries of one topic that are looked at in one call: older ones of a topic that has more are
/// passed over.
pub const PUSH_LOOKED_AT_MAX: u64 = 1_000;

/// Failing addresses of a user that are remembered. Beyond it a new subscription waits like the
/// one that has failed most often, so that a new address is no way around the pauses.
pub const PUSH_FAILURES_MAX: usize = 20;

/// How long the failures of an address are remembered after its pause has ended, in milliseconds.
pub const PUSH_FAILURES_KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// Whether a level that a user has chosen, or the default, lets a message through.
fn lets_through(level: Level, is_mentioned: bool) -> bool {
    match level {
        Level::All => true,
        Level::Mentions => is_mentioned,
        Level::None => false,
    }
}
