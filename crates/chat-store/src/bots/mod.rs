//! Bots: programs that post and read over HTTP.

#[cfg(feature = "databases")]
pub(crate) mod database;
mod memory;

use chat_core::{RoomName, SecretHash, Username};
pub(crate) use memory::Bots;

use crate::{NewUser, StoreFuture};

/// The bots, with their tokens and rooms, and the webhooks by which other programs post. Outgoing
/// webhooks are in the [`OutgoingRepository`](crate::OutgoingRepository).
///
/// Every call that changes something writes its row of the
/// [audit log](crate::AdministrationRepository::audit) in the same transaction. Calls can be
/// repeated after a lost answer.
pub trait BotRepository: Send + Sync {
    /// Stores a bot with its account in one transaction, or gives one that is there a new token and
    /// new rooms; its outgoing webhooks for other rooms go.
    ///
    /// # Errors
    ///
    /// Those of [`create_user`](crate::UserRepository::create_user); nothing is stored then.
    fn put_bot<'a>(&'a self, bot: &'a NewBot) -> StoreFuture<'a, ()>;

    /// Ends the token and all webhooks of a bot. Returns whether it had a token. Its account stays,
    /// as its messages do.
    fn revoke_bot<'a>(
        &'a self,
        name: &'a Username,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool>;

    /// Finds the bot of a token. A bot without an account, or that is banned, has none.
    fn find_bot<'a>(&'a self, token: &'a SecretHash) -> StoreFuture<'a, Option<Bot>>;

    /// Lists all bots in the order of their names, at most [`BOTS_MAX`]; also revoked ones.
    fn bots(&self) -> StoreFuture<'_, Vec<Bot>>;

    /// Finds the bots among these users, also revoked ones, in any order.
    fn bots_among<'a>(&'a self, users: &'a [Username]) -> StoreFuture<'a, Vec<Username>>;

    /// Stores a webhook of a bot for one of its rooms. Returns `false`, and stores nothing, if the bot
    /// has no token, or the room is none of its, or it has [`WEBHOOKS_MAX`].
    fn create_webhook<'a>(
        &'a self,
        webhook: &'a NewWebhook,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool>;

    /// Finds the webhook of a secret, under the conditions of [`find_bot`](Self::find_bot).
    fn find_webhook<'a>(&'a self, secret: &'a SecretHash) -> StoreFuture<'a, Option<Webhook>>;
}

/// The number of bots that are listed.
pub const BOTS_MAX: usize = 1_000;
/// The number of webhooks of one bot.
pub const WEBHOOKS_MAX: u64 = 100;

/// A bot that is to be stored.
#[derive(Debug, Clone)]
pub struct NewBot {
    /// Its account, [without a password](crate::User::has_password). It is made with the bot, and
    /// stays as it is if the bot is there.
    pub account: NewUser,
    /// The hash of its token.
    pub token: SecretHash,
    /// The rooms that it is for.
    pub rooms: Vec<RoomName>,
    /// The administrator who makes it; `None`: the operator of the server.
    pub by: Option<Username>,
}

/// A bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bot {
    /// The name of its account.
    pub name: Username,
    /// The rooms that it is for, in the order of their names.
    pub rooms: Vec<RoomName>,
    /// The administrator who has made it; `None`: the operator of the server.
    pub by: Option<Username>,
    /// When it was made first, in milliseconds since 1970 (UTC).
    pub created_at_ms: u64,
    /// Whether it has a token: it is not revoked.
    pub has_token: bool,
    /// The number of its webhooks.
    pub webhooks: u64,
}

/// A webhook that is to be stored.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// The hash of the secret in its address.
    pub secret: SecretHash,
    /// The bot.
    pub bot: Username,
    /// The room.
    pub room: RoomName,
}

/// A webhook: what is posted there is a message of the bot in the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The bot.
    pub bot: Username,
    /// The room.
    pub room: RoomName,
}
