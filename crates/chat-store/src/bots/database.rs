//! Bots in a database: each function runs inside the caller's transaction.

use chat_core::{RoomName, SecretHash, Username};
use serde_json::json;

use super::{BOTS_MAX, Bot, NewBot, NewWebhook, WEBHOOKS_MAX, Webhook};
use crate::administration::{NewAudit, database};
use crate::outgoing::database as outgoing;
use crate::rows::Columns;
use crate::statements::{Statements, Value};
use crate::{AuditAction, StoreError, columns};
use Value::{Number, Text, TextOrNull};

/// Whether there is a bot of this name, with its account.
pub(crate) async fn has<S: Statements>(statements: &mut S, name: &Username) -> Result<bool, S::Error> {
    Ok(statements.row(HAS, &[Text(name.as_str())]).await?.is_some())
}

/// Stores a bot whose account is there.
pub(crate) async fn put<S: Statements>(statements: &mut S, bot: &NewBot) -> Result<(), S::Error> {
    let (name, at_ms) = (Text(bot.account.name.as_str()), bot.account.created_at_ms);
    let known = statements.row(TOKEN_OF, &[name]).await?;
    let token = bot.token.to_hex();
    let had_token = known.map(|row| Ok::<_, StoreError>(row.text_or_null(0)? == Some(&token))).transpose()?;
    let by = bot.by.as_ref();
    let values = [name, Text(&token), TextOrNull(by.map(Username::as_str)), Number(columns::column(at_ms))];
    statements.rows(PUT, &values).await?;
    statements.rows(DROP_ROOMS, &[name]).await?;
    for room in &bot.rooms {
        statements.rows(ADD_ROOM, &[name, Text(room.as_str())]).await?;
    }
    statements.rows(DROP_OTHER_WEBHOOKS, &[name]).await?;
    outgoing::drop_of(statements, &bot.account.name, false).await?;
    if had_token != Some(true) {
        let rooms: Vec<&str> = bot.rooms.iter().map(RoomName::as_str).collect();
        let (action, target) = (AuditAction::BotCreate, bot.account.name.as_str());
        let details = Some(json!({ "rooms": rooms }));
        database::note(statements, NewAudit { by, at_ms, action, target, details }).await?;
    }
    Ok(())
}

pub(crate) async fn revoke<S: Statements>(
    statements: &mut S,
    name: &Username,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<bool, S::Error> {
    let user = [Text(name.as_str())];
    if statements.row(REVOKE, &user).await?.is_none() {
        return Ok(false);
    }
    statements.rows(DROP_ROOMS, &user).await?;
    statements.rows(DROP_WEBHOOKS, &user).await?;
    outgoing::drop_of(statements, name, true).await?;
    let (action, target) = (AuditAction::BotRevoke, name.as_str());
    database::note(statements, NewAudit { by, at_ms: now_ms, action, target, details: None }).await?;
    Ok(true)
}

/// Forgets that a removed account was a bot.
pub(crate) async fn forget<S: Statements>(statements: &mut S, name: &Username) -> Result<(), S::Error> {
    for sql in [DROP_ROOMS, DROP_WEBHOOKS, DROP] {
        statements.rows(sql, &[Text(name.as_str())]).await?;
    }
    outgoing::drop_of(statements, name, true).await
}

pub(crate) async fn find<S: Statements>(
    mut statements: S,
    token: &SecretHash,
) -> Result<Option<Bot>, S::Error> {
    let Some(row) = statements.row(FIND, &[Text(&token.to_hex())]).await? else { return Ok(None) };
    let mut found = bot(&row)?;
    let rows = statements.rows(ROOMS_OF, &[Text(found.name.as_str())]).await?;
    found.rooms = rows.iter().map(|row| columns::room(row.text(0)?)).collect::<Result<_, StoreError>>()?;
    Ok(Some(found))
}

pub(crate) async fn list<S: Statements>(mut statements: S) -> Result<Vec<Bot>, S::Error> {
    let rows = statements.rows(LIST, &[Number(columns::column(BOTS_MAX as u64))]).await?;
    let mut bots = rows.iter().map(bot).collect::<Result<Vec<_>, StoreError>>()?;
    for row in statements.rows(ROOMS, &[]).await? {
        let name = columns::username(row.text(0)?)?;
        if let Ok(index) = bots.binary_search_by(|bot| bot.name.cmp(&name)) {
            bots[index].rooms.push(columns::room(row.text(1)?)?);
        }
    }
    Ok(bots)
}

pub(crate) async fn among<S: Statements>(
    mut statements: S,
    users: &[Username],
) -> Result<Vec<Username>, S::Error> {
    let names: Vec<&str> = users.iter().map(Username::as_str).collect();
    let rows = statements.rows(S::BOTS_AMONG, &[Text(&crate::statements::json(&names)?)]).await?;
    Ok(rows.iter().map(|row| columns::username(row.text(0)?)).collect::<Result<_, StoreError>>()?)
}

pub(crate) async fn create_webhook<S: Statements>(
    statements: &mut S,
    new: &NewWebhook,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<bool, S::Error> {
    let (bot, room, secret) = (Text(new.bot.as_str()), Text(new.room.as_str()), new.secret.to_hex());
    if statements.row(HAS_WEBHOOK, &[Text(&secret)]).await?.is_some() {
        return Ok(true);
    }
    let max = Number(columns::column(WEBHOOKS_MAX));
    if statements.row(MAY_HAVE_WEBHOOK, &[bot, room, max]).await?.is_none() {
        return Ok(false);
    }
    statements.rows(ADD_WEBHOOK, &[Text(&secret), bot, room]).await?;
    let (action, target) = (AuditAction::BotWebhook, new.bot.as_str());
    let details = Some(json!({ "room": new.room.as_str() }));
    database::note(statements, NewAudit { by, at_ms: now_ms, action, target, details }).await?;
    Ok(true)
}

pub(crate) async fn find_webhook<S: Statements>(
    mut statements: S,
    secret: &SecretHash,
) -> Result<Option<Webhook>, S::Error> {
    let row = statements.row(FIND_WEBHOOK, &[Text(&secret.to_hex())]).await?;
    let webhook = row.map(|row| {
        Ok::<_, StoreError>(Webhook {
            bot: columns::username(row.text(0)?)?,
            room: columns::room(row.text(1)?)?,
        })
    });
    Ok(webhook.transpose()?)
}

/// The columns `username, by_user, created_at, whether it has a token, number of webhooks`.
fn bot(row: &impl Columns) -> Result<Bot, StoreError> {
    Ok(Bot {
        name: columns::username(row.text(0)?)?,
        rooms: Vec::new(),
        by: row.text_or_null(1)?.map(columns::username).transpose()?,
        created_at_ms: row.number(2)?,
        has_token: row.text_or_null(3)?.is_some(),
        webhooks: row.number(4)?,
    })
}

const TOKEN_OF: &str = "SELECT token_hash FROM bots WHERE username = $1";
const HAS: &str = "SELECT b.username FROM bots AS b WHERE b.username = $1 AND EXISTS (
    SELECT 1 FROM users AS u WHERE u.username = b.username AND u.password_hash NOT LIKE '$%')";
const PUT: &str = "INSERT INTO bots (username, token_hash, by_user, created_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (username) DO UPDATE SET token_hash = excluded.token_hash, by_user = excluded.by_user";
const DROP: &str = "DELETE FROM bots WHERE username = $1";
const DROP_ROOMS: &str = "DELETE FROM bot_rooms WHERE username = $1";
const ADD_ROOM: &str =
    "INSERT INTO bot_rooms (username, room) VALUES ($1, $2) ON CONFLICT (username, room) DO NOTHING";
const DROP_WEBHOOKS: &str = "DELETE FROM webhooks WHERE username = $1";
/// Deletes the webhooks to rooms that the bot no longer has.
const DROP_OTHER_WEBHOOKS: &str = "DELETE FROM webhooks WHERE username = $1
    AND room NOT IN (SELECT r.room FROM bot_rooms AS r WHERE r.username = $1)";
const REVOKE: &str = "UPDATE bots SET token_hash = NULL
    WHERE username = $1 AND token_hash IS NOT NULL RETURNING username";
const FIND: &str = "SELECT b.username, b.by_user, b.created_at, b.token_hash,
        (SELECT count(*) FROM webhooks AS w WHERE w.username = b.username)
    FROM bots AS b
    WHERE b.token_hash = $1
        AND EXISTS (SELECT 1 FROM users AS u WHERE u.username = b.username)
        AND NOT EXISTS (SELECT 1 FROM bans AS n WHERE n.username = b.username)";
const ROOMS_OF: &str = "SELECT room FROM bot_rooms WHERE username = $1 ORDER BY room";
const LIST: &str = "SELECT b.username, b.by_user, b.created_at, b.token_hash,
        (SELECT count(*) FROM webhooks AS w WHERE w.username = b.username)
    FROM bots AS b ORDER BY b.username LIMIT $1 + 0";
// CROSS JOIN makes SQLite look each name up.
#[cfg(feature = "sqlite")]
pub(crate) const AMONG_SQLITE: &str =
    "SELECT b.username FROM jsonb_each($1) AS d CROSS JOIN bots AS b ON b.username = d.value";
#[cfg(feature = "postgres")]
pub(crate) const AMONG_POSTGRES: &str = "SELECT b.username
       FROM jsonb_array_elements_text($1::text::jsonb) AS d (name)
       JOIN bots AS b ON b.username = d.name COLLATE \"C\"";
const ROOMS: &str = "SELECT username, room FROM bot_rooms ORDER BY username, room";
const HAS_WEBHOOK: &str = "SELECT room FROM webhooks WHERE secret_hash = $1";
const MAY_HAVE_WEBHOOK: &str = "SELECT r.room FROM bot_rooms AS r JOIN bots AS b ON b.username = r.username
    WHERE r.username = $1 AND r.room = $2 AND b.token_hash IS NOT NULL
        AND (SELECT count(*) FROM webhooks AS w WHERE w.username = r.username) < $3";
const ADD_WEBHOOK: &str = "INSERT INTO webhooks (secret_hash, username, room) VALUES ($1, $2, $3)";
const FIND_WEBHOOK: &str = "SELECT w.username, w.room FROM webhooks AS w
    WHERE w.secret_hash = $1
        AND EXISTS (SELECT 1 FROM users AS u WHERE u.username = w.username)
        AND NOT EXISTS (SELECT 1 FROM bans AS n WHERE n.username = w.username)";
