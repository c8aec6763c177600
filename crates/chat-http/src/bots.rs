//! Making bots and webhooks, over HTTP and by the operator.

use chat_auth::NO_PASSWORD;
use chat_core::{ReservedNames, RoomName, Username};
use chat_store::{
    BotRepository, NewBot, NewOutgoingWebhook, NewUser, NewWebhook, OutgoingRepository, StoreError,
};

use crate::HttpOptions;
use crate::outgoing::OutgoingError;
use crate::secret::{self, Secret};
use crate::webhooks::{self, SigningKey};

/// Why a bot or a webhook is not made.
#[derive(Debug, thiserror::Error)]
pub enum BotRefused {
    /// The name is that of another account.
    #[error("another account has this name")]
    NameTaken,
    /// Nobody could tell the name from another one, or it stands for the operator.
    #[error("the name looks like that of another account, or is reserved")]
    Name,
    /// There is no such bot with a token, or the room is none of its, or it has too many webhooks.
    #[error("there is no such bot, or the room is none of its rooms, or it has too many webhooks")]
    NoWebhook,
    /// Nothing is delivered to this address.
    #[error("not an https address of a server on the internet")]
    Url,
    /// Nothing is delivered to https addresses, as the feature `tls` is off.
    #[error("the chat was built without TLS, so that https addresses cannot be reached")]
    WithoutTls,
    /// A bot is for 1 to [`BOT_ROOMS_MAX`] rooms.
    #[error("a bot is for 1 to {BOT_ROOMS_MAX} rooms")]
    Rooms,
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The number of rooms of one bot.
pub const BOT_ROOMS_MAX: usize = 100;

/// Makes a bot for some rooms, with an account without a password; or gives one that is there a new
/// token and new rooms. Returns the token, which is shown once: only its hash is stored.
///
/// # Errors
///
/// [`BotRefused`].
pub async fn make_bot(
    bots: &dyn BotRepository,
    name: Username,
    rooms: Vec<RoomName>,
    by: Option<Username>,
    now_ms: u64,
) -> Result<String, BotRefused> {
    if ReservedNames::is_operator(&name) {
        return Err(BotRefused::Name);
    }
    if rooms.is_empty() || rooms.len() > BOT_ROOMS_MAX {
        return Err(BotRefused::Rooms);
    }
    let token = secret::bot_token();
    let password_hash = NO_PASSWORD.to_owned();
    let account = NewUser { name, password_hash, avatar: None, created_at_ms: now_ms };
    let bot = NewBot { account, token: secret::hash(&token), rooms, by };
    match bots.put_bot(&bot).await {
        Ok(()) => Ok(token),
        Err(StoreError::NameTaken) => Err(BotRefused::NameTaken),
        Err(StoreError::NameConfusable) => Err(BotRefused::Name),
        Err(error) => Err(error.into()),
    }
}

/// Makes a webhook of a bot for one of its rooms. Returns its path, which has the secret and is
/// shown once.
///
/// # Errors
///
/// [`BotRefused::NoWebhook`] and [`BotRefused::Store`].
pub async fn make_webhook(
    bots: &dyn BotRepository,
    bot: Username,
    room: RoomName,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<String, BotRefused> {
    let secret = Secret::random();
    let webhook = NewWebhook { secret: secret.hash(), bot, room };
    if !bots.create_webhook(&webhook, by, now_ms).await? {
        return Err(BotRefused::NoWebhook);
    }
    Ok(format!("/hooks/{}", secret.as_str()))
}

/// An outgoing webhook to be made.
#[derive(Debug, Clone)]
pub struct OutgoingOrder {
    /// The bot.
    pub bot: Username,
    /// The room.
    pub room: RoomName,
    /// The address of the receiver.
    pub url: String,
    /// Whether only messages that mention the bot are delivered.
    pub only_mentions: bool,
}

/// An outgoing webhook that was made.
#[derive(Debug, Clone)]
pub struct MadeOutgoing {
    /// Its id.
    pub id: String,
    /// The secret with which deliveries are signed; it is shown once.
    pub secret: String,
}

/// Makes an outgoing webhook of a bot for one of its rooms.
///
/// # Errors
///
/// [`BotRefused::Url`], [`BotRefused::WithoutTls`], [`BotRefused::NoWebhook`] and [`BotRefused::Store`].
pub async fn make_outgoing(
    store: &dyn OutgoingRepository,
    options: &HttpOptions,
    order: OutgoingOrder,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<MadeOutgoing, BotRefused> {
    let OutgoingOrder { bot, room, url, only_mentions } = order;
    match webhooks::outgoing(options).target(&url) {
        Ok(_) if url.len() <= URL_MAX_BYTES => {}
        Err(OutgoingError::WithoutTls) => return Err(BotRefused::WithoutTls),
        _ => return Err(BotRefused::Url),
    }
    let (id, secret) = (secret::random_id(), SigningKey::new_secret());
    let new = NewOutgoingWebhook { id, bot, room, url, secret, only_mentions };
    if !store.create_outgoing(&new, by, now_ms).await? {
        return Err(BotRefused::NoWebhook);
    }
    Ok(MadeOutgoing { id: new.id, secret: new.secret })
}

/// Bytes of the address of a receiver.
const URL_MAX_BYTES: usize = 2_048;
