//! Bots, for administrators: `/api/bots`.

use std::collections::HashMap;

use chat_core::{RoomName, Username};
use chat_shard::now_ms;
use chat_store::OutgoingWebhook;
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::accounts::named;
use super::call::Call;
use super::{administrator, json};
use crate::answer::{self, Body, Nothing};
use crate::bots::{OutgoingOrder, make_bot, make_outgoing, make_webhook};
use crate::error::HttpError;

/// All bots.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct BotList {
    /// The bots in the order of their names, at most 1,000; also revoked ones.
    bots: Vec<ListedBot>,
}

/// A bot, as administrators see it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Bot"))]
struct ListedBot {
    name: String,
    /// The names of the rooms that its token is for.
    rooms: Vec<String>,
    /// The administrator who has made it; `server` for the operator.
    by: String,
    /// When it was made, in whole seconds since 1970.
    created: u64,
    /// Whether it has no token any more.
    revoked: bool,
    /// The number of its webhooks.
    webhooks: u64,
    /// Its outgoing webhooks, the oldest first.
    outgoing_webhooks: Vec<ListedOutgoing>,
}

/// An outgoing webhook, as administrators see it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OutgoingWebhook"))]
struct ListedOutgoing {
    id: String,
    /// The name of the room whose messages it gets.
    room: String,
    /// The address of the receiver.
    url: String,
    /// Whether it gets only messages that mention the bot.
    only_mentions: bool,
    /// When it was made, in whole seconds since 1970.
    created: u64,
    /// Whether it was switched off: the receiver has answered 410, or has failed for too long.
    switched_off: bool,
    /// The number of attempts that have failed in a row.
    failures: u32,
    /// The result of the last attempt in words, such as `status 503`, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_result: Option<String>,
    /// When that was, in whole seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_at: Option<u64>,
}

impl ListedOutgoing {
    fn new(webhook: OutgoingWebhook) -> Self {
        let (last_at, last_result) = webhook.last.unzip();
        Self {
            id: webhook.id,
            room: webhook.room.as_str().to_owned(),
            url: webhook.url,
            only_mentions: webhook.only_mentions,
            created: webhook.created_at_ms / 1000,
            switched_off: webhook.off_at_ms.is_some(),
            failures: webhook.failures,
            last_result,
            last_at: last_at.map(|at_ms| at_ms / 1000),
        }
    }
}

/// Lists the bots.
pub(super) async fn list(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    administrator::check(&app, &request).await?;
    let mut outgoing: HashMap<Username, Vec<ListedOutgoing>> = HashMap::new();
    for webhook in app.parts.stores.outgoing.outgoing_webhooks().await? {
        outgoing.entry(webhook.bot.clone()).or_default().push(ListedOutgoing::new(webhook));
    }
    let bots = app.parts.stores.bots.bots().await?.into_iter().map(|bot| ListedBot {
        outgoing_webhooks: outgoing.remove(&bot.name).unwrap_or_default(),
        name: bot.name.as_str().to_owned(),
        rooms: bot.rooms.iter().map(|room| room.as_str().to_owned()).collect(),
        by: administrator::shown(bot.by.as_ref()),
        created: bot.created_at_ms / 1000,
        revoked: !bot.has_token,
        webhooks: bot.webhooks,
    });
    Ok(answer::json(StatusCode::OK, &BotList { bots: bots.collect() }))
}

/// A bot to be made.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct BotOrder {
    /// The name, under the rules of registrations. That of a bot gives it a new token and new rooms.
    name: String,
    /// The names of the rooms that its token is for, 1 to 100.
    rooms: Vec<String>,
}

/// The token of a bot.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct BotToken {
    name: String,
    /// The token, for `Authorization: Bearer`. It is shown once.
    token: String,
}

/// Makes a bot, or gives one a new token.
pub(super) async fn create(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let (me, body) = administrator::read(&app, request).await?;
    let BotOrder { name, rooms } = json::parse(&body).ok_or(HttpError::InvalidJson)?;
    let name = Username::parse(&name)?;
    let rooms = rooms.iter().map(|room| RoomName::parse(room)).collect::<Result<_, _>>()?;
    let token =
        make_bot(&*app.parts.stores.bots, name.clone(), rooms, Some(me.user.clone()), now_ms()).await?;
    tracing::warn!(bot = name.as_str(), by = me.user.as_str(), "made a bot, or gave it a new token");
    let name = name.as_str().to_owned();
    Ok(answer::json(StatusCode::CREATED, &BotToken { name, token }))
}

/// Ends the token and the webhooks of a bot.
pub(super) async fn revoke(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, .. } = call;
    let me = administrator::check(&app, &request).await?;
    let name = named(&part)?;
    if !app.parts.stores.bots.revoke_bot(&name, Some(&me.user), now_ms()).await? {
        return Err(HttpError::UserNotFound);
    }
    tracing::warn!(bot = name.as_str(), by = me.user.as_str(), "revoked a bot");
    Ok(answer::json(StatusCode::OK, &Nothing {}))
}

/// A webhook to be made.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct WebhookOrder {
    /// The name of one of the rooms of the bot.
    room: String,
}

/// The address of a webhook.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct WebhookAddress {
    /// The address, below the public URL of the server where it is known. It is shown once.
    url: String,
}

/// Makes a webhook of a bot.
pub(super) async fn create_webhook(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, .. } = call;
    let (me, body) = administrator::read(&app, request).await?;
    let name = named(&part)?;
    let WebhookOrder { room } = json::parse(&body).ok_or(HttpError::InvalidJson)?;
    let room = RoomName::parse(&room)?;
    let path = make_webhook(&*app.parts.stores.bots, name, room, Some(&me.user), now_ms()).await?;
    Ok(answer::json(StatusCode::CREATED, &WebhookAddress { url: app.link(&path) }))
}

/// An outgoing webhook to be made.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct OutgoingWebhookOrder {
    /// The name of one of the rooms of the bot.
    room: String,
    /// The address that gets the messages: https, and no private address, as long as the settings
    /// allow no other. At most 2,048 bytes.
    url: String,
    /// Whether it gets only messages that mention the bot.
    only_mentions: Option<bool>,
}

/// The secret of an outgoing webhook.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct OutgoingSecret {
    id: String,
    /// The secret with which deliveries are signed, `whsec_` and base64. It is shown once.
    secret: String,
}

/// Makes an outgoing webhook of a bot.
pub(super) async fn create_outgoing(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, .. } = call;
    let (me, body) = administrator::read(&app, request).await?;
    let bot = named(&part)?;
    let OutgoingWebhookOrder { room, url, only_mentions } =
        json::parse(&body).ok_or(HttpError::InvalidJson)?;
    let room = RoomName::parse(&room)?;
    let order = OutgoingOrder { bot, room, url, only_mentions: only_mentions.unwrap_or(false) };
    let store = &*app.parts.stores.outgoing;
    let made = make_outgoing(store, &app.options, order, Some(&me.user), now_ms()).await?;
    app.webhooks.made();
    Ok(answer::json(StatusCode::CREATED, &OutgoingSecret { id: made.id, secret: made.secret }))
}

/// Removes an outgoing webhook of a bot.
pub(super) async fn remove_outgoing(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, user: id, .. } = call;
    let me = administrator::check(&app, &request).await?;
    let bot = named(&part)?;
    if !app.parts.stores.outgoing.remove_outgoing(&bot, &id, Some(&me.user), now_ms()).await? {
        return Err(HttpError::SecretNotFound);
    }
    Ok(answer::json(StatusCode::OK, &Nothing {}))
}
