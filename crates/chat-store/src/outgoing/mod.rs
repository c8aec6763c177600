//! Outgoing webhooks: the addresses to which messages of a room are delivered, and the queue of
//! messages that are to be delivered.

#[cfg(feature = "databases")]
pub(crate) mod database;
mod memory;

use chat_core::{RoomName, Username};
pub(crate) use memory::OutgoingWebhooks;

use crate::StoreFuture;

/// The outgoing webhooks of bots, and the queue of messages that are to be delivered to them.
///
/// The queue holds numbers of messages, never their text. It is filled from the log, behind it:
/// a claim goes on where the one before has stopped, in one transaction with what it queues. What
/// does not fit into the queue waits in the log. So no message is lost when a server crashes, and
/// each is delivered at least once.
///
/// Calls about webhooks write their row of the [audit
/// log](crate::AdministrationRepository::audit) in the same transaction, and can be repeated after
/// a lost answer.
pub trait OutgoingRepository: Send + Sync {
    /// Stores an outgoing webhook of a bot for one of its rooms. It gets the messages that are
    /// stored from now on. Returns `false`, and stores nothing, if the bot has no token, or the
    /// room is none of its, or it has [`OUTGOING_MAX`].
    fn create_outgoing<'a>(
        &'a self,
        new: &'a NewOutgoingWebhook,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool>;

    /// Removes an outgoing webhook of a bot, with what is queued for it. Returns whether there was
    /// one.
    fn remove_outgoing<'a>(
        &'a self,
        bot: &'a Username,
        id: &'a str,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool>;

    /// Lists all outgoing webhooks by the names of their bots, then by age.
    fn outgoing_webhooks(&self) -> StoreFuture<'_, Vec<OutgoingWebhook>>;

    /// Counts the outgoing webhooks.
    fn count_outgoing(&self) -> StoreFuture<'_, OutgoingCount>;

    /// Claims at most `max` webhooks for which there are messages to deliver at `now_ms`, until
    /// `until_ms`: until then no other call returns them. Each comes with its oldest messages, at
    /// most [`DELIVERIES_AT_ONCE`], and with one only while its receiver fails. Bots that are
    /// banned, or have no token, get nothing.
    fn claim_deliveries(&self, now_ms: u64, until_ms: u64, max: usize) -> StoreFuture<'_, Vec<Delivery>>;

    /// Ends a claim. Messages leave the queue as `done` says, whether the claim has lasted until
    /// now or not.
    fn finish_delivery<'a>(&'a self, delivery: &'a Delivery, done: &'a DeliveryDone) -> StoreFuture<'a, ()>;
}

/// The number of outgoing webhooks of one bot.
pub const OUTGOING_MAX: u64 = 20;
/// The messages that one claim delivers to one webhook.
pub const DELIVERIES_AT_ONCE: u64 = 8;
/// The messages that are queued for one webhook; more wait in the log.
pub(crate) const QUEUED_MAX: u64 = 1_000;
/// The entries of a room that one claim looks at.
pub(crate) const LOOKED_AT_MAX: u64 = 1_000;

/// An outgoing webhook that is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOutgoingWebhook {
    /// Its id, which nobody else chooses.
    pub id: String,
    /// The bot.
    pub bot: Username,
    /// The room.
    pub room: RoomName,
    /// The address of the receiver.
    pub url: String,
    /// The secret with which deliveries are signed.
    pub secret: String,
    /// Whether only messages that mention the bot are delivered.
    pub only_mentions: bool,
}

/// An outgoing webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingWebhook {
    /// Its id.
    pub id: String,
    /// The bot.
    pub bot: Username,
    /// The room.
    pub room: RoomName,
    /// The address of the receiver.
    pub url: String,
    /// Whether only messages that mention the bot are delivered.
    pub only_mentions: bool,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub created_at_ms: u64,
    /// How many attempts have failed in a row.
    pub failures: u32,
    /// When the last attempt ended, and its result in words.
    pub last: Option<(u64, String)>,
    /// When it was switched off; `None`: it is on.
    pub off_at_ms: Option<u64>,
}

/// How many outgoing webhooks there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutgoingCount {
    /// Those that get messages.
    pub on: u64,
    /// Those that were switched off.
    pub off: u64,
}

/// Messages that are due, and the webhook that they are to be delivered to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The id of the webhook.
    pub webhook: String,
    /// The bot.
    pub bot: Username,
    /// The room of the messages.
    pub room: RoomName,
    /// The address of the receiver.
    pub url: String,
    /// The secret with which deliveries are signed.
    pub secret: String,
    /// How many attempts have failed in a row.
    pub failures: u32,
    /// Since when, in milliseconds since 1970.
    pub failing_since_ms: Option<u64>,
    /// When the claim ends, in milliseconds since 1970.
    pub claimed_until_ms: u64,
    /// The messages.
    pub messages: Vec<DueMessage>,
}

/// A message that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueMessage {
    /// Its number.
    pub seq: u64,
    /// When it was stored, in milliseconds since 1970.
    pub at_ms: u64,
    /// How many attempts have failed.
    pub attempts: u32,
}

/// The result of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryDone {
    /// When it ended, in milliseconds since 1970.
    pub now_ms: u64,
    /// The messages that leave the queue.
    pub finished: Vec<u64>,
    /// The messages of which an attempt has failed, and when the next one follows.
    pub failed: Vec<(u64, u64)>,
    /// What is known of the receiver now.
    pub receiver: Receiver,
}

/// What is known of the receiver of a webhook after a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receiver {
    /// Nothing was sent.
    NotAsked,
    /// It has taken a message.
    Works {
        /// The result in words.
        result: String,
    },
    /// It has taken none.
    Fails {
        /// The result in words.
        result: String,
        /// When the next message is sent to it.
        retry_ms: u64,
    },
    /// It gets nothing any more.
    Off {
        /// The result in words.
        result: String,
    },
}
