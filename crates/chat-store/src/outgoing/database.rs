//! Outgoing webhooks in a database: each function runs inside the caller's transaction.

use chat_core::Username;
use serde_json::json;

use super::{
    DELIVERIES_AT_ONCE, Delivery, DeliveryDone, DueMessage, LOOKED_AT_MAX, NewOutgoingWebhook, OUTGOING_MAX,
    OutgoingCount, OutgoingWebhook, QUEUED_MAX, Receiver,
};
use crate::administration::{NewAudit, database};
use crate::rows::Columns;
use crate::statements::{Statements, Value};
use crate::{AuditAction, StoreError, columns};
use Value::{Number, Text};

pub(crate) async fn create<S: Statements>(
    statements: &mut S,
    new: &NewOutgoingWebhook,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<bool, S::Error> {
    let (id, bot, room) = (Text(&new.id), Text(new.bot.as_str()), Text(new.room.as_str()));
    if statements.row(HAS, &[id, bot]).await?.is_some() {
        return Ok(true);
    }
    let max = Number(columns::column(OUTGOING_MAX));
    if statements.row(MAY_HAVE, &[bot, room, max]).await?.is_none() {
        return Ok(false);
    }
    let (url, secret) = (Text(&new.url), Text(&new.secret));
    let (only_mentions, now) = (Number(i64::from(new.only_mentions)), Number(columns::column(now_ms)));
    statements.rows(ADD, &[id, bot, room, url, secret, only_mentions, now]).await?;
    let (action, target) = (AuditAction::BotOutgoing, new.bot.as_str());
    let details = Some(json!({ "room": new.room.as_str(), "id": new.id }));
    database::note(statements, NewAudit { by, at_ms: now_ms, action, target, details }).await?;
    Ok(true)
}

pub(crate) async fn remove<S: Statements>(
    statements: &mut S,
    bot: &Username,
    id: &str,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<bool, S::Error> {
    if statements.row(REMOVE, &[Text(id), Text(bot.as_str())]).await?.is_none() {
        return Ok(false);
    }
    let (action, target, details) = (AuditAction::BotOutgoingRemove, bot.as_str(), Some(json!({ "id": id })));
    database::note(statements, NewAudit { by, at_ms: now_ms, action, target, details }).await?;
    Ok(true)
}

/// Removes the webhooks of a bot: all, or those for rooms that are its rooms no more.
pub(crate) async fn drop_of<S: Statements>(
    statements: &mut S,
    bot: &Username,
    all: bool,
) -> Result<(), S::Error> {
    statements.rows(if all { DROP } else { DROP_OF_OTHER_ROOMS }, &[Text(bot.as_str())]).await?;
    Ok(())
}

pub(crate) async fn list<S: Statements>(mut statements: S) -> Result<Vec<OutgoingWebhook>, S::Error> {
    let rows = statements.rows(LIST, &[]).await?;
    Ok(rows.iter().map(webhook).collect::<Result<_, StoreError>>()?)
}

pub(crate) async fn count<S: Statements>(mut statements: S) -> Result<OutgoingCount, S::Error> {
    let Some(row) = statements.row(COUNT, &[]).await? else { return Ok(OutgoingCount::default()) };
    Ok(OutgoingCount { on: row.number(0)?, off: row.number(1)? })
}

/// Whether a claim would find anything: asked without a lock.
pub(crate) async fn is_due<S: Statements>(mut statements: S, now_ms: u64) -> Result<bool, S::Error> {
    Ok(statements.row(DUE, &[Number(columns::column(now_ms)), Number(1)]).await?.is_some())
}

pub(crate) async fn claim<S: Statements>(
    statements: &mut S,
    now_ms: u64,
    until_ms: u64,
    max: usize,
) -> Result<Vec<Delivery>, S::Error> {
    let (now, until) = (Number(columns::column(now_ms)), Number(columns::column(until_ms)));
    let mut claimed = Vec::new();
    for row in statements.rows(DUE, &[now, Number(columns::column(max as u64))]).await? {
        let id = Text(row.text(0)?);
        // Its row is locked from here on.
        let Some(locked) = statements.row(CLAIM, &[id, now, until]).await? else { continue };
        let mut delivery = delivery(&row, &locked, until_ms)?;
        let (upto, topic, last) = (locked.integer(0)?, row.integer_or_null(6)?, row.integer_or_null(7)?);
        if let (Some(topic), Some(last)) = (topic, last.filter(|last| *last > upto)) {
            let queued = statements.row(QUEUED, &[id]).await?;
            let queued = queued.map(|row| row.number(0)).transpose()?.unwrap_or(0);
            if queued < QUEUED_MAX {
                let end = last.min(upto.saturating_add(columns::column(LOOKED_AT_MAX)));
                let (upto, end) = (Number(upto), Number(end));
                let (bot, only_mentions) = (Text(row.text(1)?), Number(row.integer(5)?));
                let fill = [id, Number(topic), upto, end, bot, only_mentions, now];
                statements.rows(FILL, &fill).await?;
                statements.rows(SET_UPTO, &[id, end]).await?;
            }
        }
        let at_once = if delivery.failures > 0 { 1 } else { DELIVERIES_AT_ONCE };
        let due = statements.rows(MESSAGES, &[id, now, Number(columns::column(at_once))]).await?;
        if due.is_empty() {
            statements.rows(RELEASE, &[id, until, now]).await?;
            continue;
        }
        let message = |row: &S::Row| {
            let attempts = u32::try_from(row.number(2)?).unwrap_or(u32::MAX);
            Ok(DueMessage { seq: row.number(0)?, at_ms: row.number(1)?, attempts })
        };
        delivery.messages = due.iter().map(message).collect::<Result<_, StoreError>>()?;
        claimed.push(delivery);
    }
    Ok(claimed)
}

pub(crate) async fn finish<S: Statements>(
    statements: &mut S,
    delivery: &Delivery,
    done: &DeliveryDone,
) -> Result<(), S::Error> {
    let id = Text(&delivery.webhook);
    for seq in &done.finished {
        statements.rows(FINISHED, &[id, Number(columns::column(*seq))]).await?;
    }
    for (seq, due_ms) in &done.failed {
        let before = delivery.messages.iter().find(|message| message.seq == *seq);
        let attempts = before.map_or(0, |message| message.attempts).saturating_add(1);
        let values = [*seq, u64::from(attempts), *due_ms].map(|value| Number(columns::column(value)));
        let [seq, attempts, due] = values;
        statements.rows(FAILED, &[id, seq, attempts, due]).await?;
    }
    let now = Number(columns::column(done.now_ms));
    let claim = Number(columns::column(delivery.claimed_until_ms));
    match &done.receiver {
        Receiver::NotAsked => statements.rows(RELEASE, &[id, claim, now]).await?,
        Receiver::Works { result } => statements.rows(WORKS, &[id, claim, now, Text(result)]).await?,
        Receiver::Fails { result, retry_ms } => {
            let failures = Number(i64::from(delivery.failures.saturating_add(1)));
            let retry = Number(columns::column(*retry_ms));
            statements.rows(FAILS, &[id, claim, now, Text(result), failures, retry]).await?
        }
        Receiver::Off { result } => {
            statements.rows(OFF, &[id, now, Text(result)]).await?;
            statements.rows(EMPTY, &[id]).await?
        }
    };
    Ok(())
}

/// The columns of [`DUE`] and of [`CLAIM`].
fn delivery<C: Columns>(row: &C, locked: &C, claimed_until_ms: u64) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        webhook: row.text(0)?.to_owned(),
        bot: columns::username(row.text(1)?)?,
        room: columns::room(row.text(2)?)?,
        url: row.text(3)?.to_owned(),
        secret: row.text(4)?.to_owned(),
        failures: u32::try_from(locked.number(1)?).unwrap_or(u32::MAX),
        failing_since_ms: locked.integer_or_null(2)?.map(columns::number).transpose()?,
        claimed_until_ms,
        messages: Vec::new(),
    })
}

/// The columns of [`LIST`].
fn webhook(row: &impl Columns) -> Result<OutgoingWebhook, StoreError> {
    let number = |index| row.integer_or_null(index)?.map(columns::number).transpose();
    Ok(OutgoingWebhook {
        id: row.text(0)?.to_owned(),
        bot: columns::username(row.text(1)?)?,
        room: columns::room(row.text(2)?)?,
        url: row.text(3)?.to_owned(),
        only_mentions: row.integer(4)? == 1,
        created_at_ms: row.number(5)?,
        failures: u32::try_from(row.number(6)?).unwrap_or(u32::MAX),
        last: number(7)?.zip(row.text_or_null(8)?.map(str::to_owned)),
        off_at_ms: number(9)?,
    })
}

const HAS: &str = "SELECT id FROM outgoing_webhooks WHERE id = $1 AND username = $2";

const MAY_HAVE: &str = "SELECT r.room FROM bot_rooms AS r JOIN bots AS b ON b.username = r.username
     WHERE r.username = $1 AND r.room = $2 AND b.token_hash IS NOT NULL
       AND (SELECT count(*) FROM outgoing_webhooks AS w WHERE w.username = r.username) < $3";

const ADD: &str = "INSERT INTO outgoing_webhooks
            (id, username, room, url, secret, only_mentions, created_at, upto, retry_at, failures)
     VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce(
            (SELECT last_seq FROM topics WHERE kind = 1 AND name = $3 AND other = ''), 0), 0, 0)";

const REMOVE: &str = "DELETE FROM outgoing_webhooks WHERE id = $1 AND username = $2 RETURNING id";

const DROP: &str = "DELETE FROM outgoing_webhooks WHERE username = $1";

const DROP_OF_OTHER_ROOMS: &str = "DELETE FROM outgoing_webhooks WHERE username = $1
    AND room NOT IN (SELECT room FROM bot_rooms WHERE username = $1)";

const LIST: &str =
    "SELECT id, username, room, url, only_mentions, created_at, failures, last_at, last_result, off_at
      FROM outgoing_webhooks ORDER BY username, created_at, id";

const COUNT: &str = "SELECT count(*) - count(off_at), count(off_at) FROM outgoing_webhooks";

/// Those that have waited longest are first: what fits into no claim is in the next one.
const DUE: &str = "SELECT h.id, h.username, h.room, h.url, h.secret, h.only_mentions,
            t.id, t.last_seq
       FROM outgoing_webhooks AS h
       LEFT JOIN topics AS t ON t.kind = 1 AND t.name = h.room AND t.other = ''
      WHERE h.off_at IS NULL AND h.retry_at <= $1
        AND EXISTS (SELECT 1 FROM bots AS b WHERE b.username = h.username AND b.token_hash IS NOT NULL)
        AND EXISTS (SELECT 1 FROM users AS u WHERE u.username = h.username)
        AND NOT EXISTS (SELECT 1 FROM bans AS n WHERE n.username = h.username)
        AND (t.last_seq > h.upto
             OR EXISTS (SELECT 1 FROM outgoing_queue AS q WHERE q.webhook = h.id AND q.due_at <= $1))
      ORDER BY h.retry_at, h.id LIMIT $2 + 0";

const CLAIM: &str = "UPDATE outgoing_webhooks SET retry_at = $3
     WHERE id = $1 AND retry_at <= $2 AND off_at IS NULL
    RETURNING upto, failures, failing_since";

const QUEUED: &str = "SELECT count(*) FROM outgoing_queue WHERE webhook = $1";

const FILL: &str = "INSERT INTO outgoing_queue (webhook, seq, at, attempts, due_at)
     SELECT $1, e.seq, e.at, 0, $7 FROM entries AS e
      WHERE e.topic = $2 AND e.seq > $3 AND e.seq <= $4 AND e.deleted IS NULL AND e.sender <> $5
        AND ($6 = 0 OR EXISTS (SELECT 1 FROM mentions AS n
             WHERE n.topic = e.topic AND n.username IN ($5, '') AND n.seq = e.seq))
         ON CONFLICT (webhook, seq) DO NOTHING";

const SET_UPTO: &str = "UPDATE outgoing_webhooks SET upto = $2 WHERE id = $1";

const MESSAGES: &str = "SELECT seq, at, attempts FROM outgoing_queue
     WHERE webhook = $1 AND due_at <= $2 ORDER BY seq LIMIT $3 + 0";

const FINISHED: &str = "DELETE FROM outgoing_queue WHERE webhook = $1 AND seq = $2";

const FAILED: &str = "UPDATE outgoing_queue SET attempts = $3, due_at = $4 WHERE webhook = $1 AND seq = $2";

// Another server may have claimed the webhook meanwhile: then its claim stays.

const RELEASE: &str = "UPDATE outgoing_webhooks SET retry_at = $3 WHERE id = $1 AND retry_at = $2";

const WORKS: &str = "UPDATE outgoing_webhooks
        SET retry_at = $3, failures = 0, failing_since = NULL, last_at = $3, last_result = $4
      WHERE id = $1 AND retry_at = $2";

const FAILS: &str = "UPDATE outgoing_webhooks
        SET retry_at = $6, failures = $5, failing_since = coalesce(failing_since, $3),
            last_at = $3, last_result = $4
      WHERE id = $1 AND retry_at = $2";

const OFF: &str = "UPDATE outgoing_webhooks SET off_at = $2, last_at = $2, last_result = $3 WHERE id = $1";

const EMPTY: &str = "DELETE FROM outgoing_queue WHERE webhook = $1";
