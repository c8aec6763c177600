//! Making bots and webhooks, over HTTP and by the operator.

use chat_auth::NO_PASSWORD;
use chat_core::{ReservedNames, RoomName, Username};
use chat_store::{BotRepository, NewBot, NewUser, NewWebhook, StoreError, UserRepository};

use crate::secret::{self, Secret};

/// The stores in which bots are made.
pub struct BotStores<'a> {
    /// The accounts.
    pub users: &'a dyn UserRepository,
    /// The bots.
    pub bots: &'a dyn BotRepository,
}

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
    stores: BotStores<'_>,
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
    let bot = NewBot {
        name: name.clone(),
        token: secret::hash(&token),
        rooms,
        by: by.clone(),
        created_at_ms: now_ms,
    };
    if !stores.bots.put_bot(&bot).await? {
        return Err(BotRefused::NameTaken);
    }
    let password_hash = NO_PASSWORD.to_owned();
    let account = NewUser { name: name.clone(), password_hash, avatar: None, created_at_ms: now_ms };
    match stores.users.create_user(&account).await {
        Ok(()) => Ok(token),
        // The bot was there before; or somebody has registered the name in between.
        Err(StoreError::NameTaken)
            if stores.users.find_user(&name).await?.is_some_and(|user| !user.has_password()) =>
        {
            Ok(token)
        }
        Err(error) => {
            stores.bots.revoke_bot(&name, by.as_ref(), now_ms).await?;
            Err(match error {
                StoreError::NameTaken => BotRefused::NameTaken,
                StoreError::NameConfusable => BotRefused::Name,
                error => error.into(),
            })
        }
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
