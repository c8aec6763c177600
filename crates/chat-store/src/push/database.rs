//! Push in a database: each function runs inside the caller's transaction.

use chat_core::{SessionId, Topic};

use super::{
    DuePush, NewPushSubscription, PUSH_FAILURES_KEPT_MS, PUSH_FAILURES_MAX, PUSH_LOOKED_AT_MAX, PushClaim,
    PushCount, PushDone, PushService,
};
use crate::rows::Columns;
use crate::statements::{Statements, Value};
use crate::{StoreError, columns};
use Value::{Number, Text};

pub(crate) async fn key<S: Statements>(statements: &mut S, new: &str) -> Result<String, S::Error> {
    statements.rows(ADD_KEY, &[Text(new)]).await?;
    let row = statements.row(KEY, &[]).await?;
    let row = row.ok_or(StoreError::Damaged { what: "a missing key of push" })?;
    Ok(row.text(0)?.to_owned())
}

pub(crate) async fn subscribe<S: Statements>(
    statements: &mut S,
    new: &NewPushSubscription,
    max: usize,
    now_ms: u64,
) -> Result<bool, S::Error> {
    let now = Number(columns::column(now_ms));
    let session = Text(new.session.as_str());
    if statements.row(HAS_SESSION, &[session, now]).await?.is_none() {
        return Ok(false);
    }
    let known = [
        session,
        Text(new.user.as_str()),
        Text(&new.endpoint),
        Text(&new.p256dh),
        Text(&new.auth),
        Text(&new.language),
    ];
    if statements.row(KEEP, &known).await?.is_some() {
        return Ok(true);
    }
    statements.rows(REPLACE, &[session, Text(&new.endpoint)]).await?;
    let max = Number(columns::column(max.saturating_sub(1) as u64));
    statements.rows(DROP_OLDEST, &[Text(new.user.as_str()), max]).await?;
    let values = [
        session,
        Text(new.user.as_str()),
        Text(&new.endpoint),
        Text(&new.p256dh),
        Text(&new.auth),
        Text(&new.language),
        now,
    ];
    statements.rows(SUBSCRIBE, &values).await?;
    let failures_max = Number(columns::column(PUSH_FAILURES_MAX as u64));
    statements.rows(INHERIT, &[Text(&new.endpoint), Text(new.user.as_str()), failures_max]).await?;
    Ok(true)
}

pub(crate) async fn unsubscribe<S: Statements>(
    statements: &mut S,
    session: &SessionId,
) -> Result<bool, S::Error> {
    Ok(statements.row(UNSUBSCRIBE, &[Text(session.as_str())]).await?.is_some())
}

pub(crate) async fn sweep<S: Statements>(statements: &mut S, now_ms: u64) -> Result<PushCount, S::Error> {
    let now = Number(columns::column(now_ms));
    statements.rows(SWEEP, &[now]).await?;
    let long_ago = Number(columns::column(now_ms.saturating_sub(PUSH_FAILURES_KEPT_MS)));
    let failures_max = Number(columns::column(PUSH_FAILURES_MAX as u64));
    statements.rows(FORGET, &[long_ago, failures_max]).await?;
    let Some(row) = statements.row(COUNT, &[now]).await? else { return Ok(PushCount::default()) };
    Ok(PushCount { subscriptions: row.number(0)?, ready: row.number(1)?, failing: row.number(2)? })
}

pub(crate) async fn topics<S: Statements>(
    mut statements: S,
    since_ms: u64,
    after: u64,
    max: usize,
) -> Result<(Vec<Topic>, Option<u64>), S::Error> {
    let values = [after, since_ms, max as u64].map(|value| Number(columns::column(value)));
    let rows = statements.rows(TOPICS, &values).await?;
    let next = rows.last().filter(|_| rows.len() == max).map(|row| row.number(0)).transpose()?;
    let topics = rows.iter().map(|row| columns::topic((row.integer(1)?, row.text(2)?, row.text(3)?)));
    Ok((topics.collect::<Result<_, StoreError>>()?, next))
}

pub(crate) async fn queue<S: Statements>(
    statements: &mut S,
    topics: &[Topic],
    since_ms: u64,
    due_ms: u64,
) -> Result<u64, S::Error> {
    let mut queued = 0;
    for topic in topics {
        let (kind, name, other) = columns::topic_key(topic);
        let key = [Number(kind), Text(name), Text(other)];
        let Some(row) = statements.row(PROGRESS, &key).await? else { continue };
        let (id, last, upto) = (row.integer(0)?, row.integer(1)?, row.integer(2)?);
        if last <= upto {
            continue;
        }
        let after = upto.max(last - columns::column(PUSH_LOOKED_AT_MAX));
        let (since, due) = (Number(columns::column(since_ms)), Number(columns::column(due_ms)));
        let range = [Number(id), Number(after), Number(last), since, due];
        let rows = match topic {
            Topic::Room(room) => {
                let [id, after, last, since, due] = range;
                statements.rows(QUEUE_ROOM, &[id, after, last, since, due, Text(room.as_str())]).await?
            }
            Topic::Pair(pair) => {
                let [id, after, last, since, due] = range;
                let (low, high) = (Text(pair.low().as_str()), Text(pair.high().as_str()));
                statements.rows(QUEUE_PAIR, &[id, after, last, since, due, low, high]).await?
            }
        };
        queued += rows.len() as u64;
        statements.rows(SET_PROGRESS, &[Number(id), Number(last)]).await?;
    }
    if queued > 0 {
        statements.rows(READY, &[Number(columns::column(due_ms))]).await?;
    }
    Ok(queued)
}

pub(crate) async fn claim<S: Statements>(
    statements: &mut S,
    claim: PushClaim,
) -> Result<Vec<DuePush>, S::Error> {
    let now = Number(columns::column(claim.now_ms));
    let until = Number(columns::column(claim.until_ms));
    let user_max = Number(columns::column(claim.user_max as u64));
    let mut claimed: Vec<DuePush> = Vec::new();
    // Each pass leaves out the users whose shares the ones before have used up.
    loop {
        let left = Number(columns::column((claim.max - claimed.len()) as u64));
        let before = claimed.len();
        for row in statements.rows(DUE, &[now, left, user_max]).await? {
            let push = due_push(&row)?;
            let of_user = claimed[before..].iter().filter(|other| other.to.user == push.to.user).count();
            if of_user + usize::try_from(row.number(15)?).unwrap_or(usize::MAX) >= claim.user_max {
                continue;
            }
            let (kind, name, other) = columns::topic_key(&push.topic);
            let [id, seq] = [push.subscription, push.seq].map(|value| Number(columns::column(value)));
            let message = [id, now, until, seq, Number(kind), Text(name), Text(other)];
            if statements.row(CLAIM, &message).await?.is_some() {
                claimed.push(push);
            }
        }
        if claimed.len() == before || claimed.len() >= claim.max {
            return Ok(claimed);
        }
    }
}

pub(crate) async fn finish<S: Statements>(
    statements: &mut S,
    push: &DuePush,
    done: PushDone,
) -> Result<(), S::Error> {
    let id = Number(columns::column(push.subscription));
    let endpoint = Text(&push.to.endpoint);
    // Its row is locked from here on, so that what is queued meanwhile is seen below.
    statements.rows(RELEASE, &[id]).await?;
    let next = match done.service {
        PushService::Gone => {
            statements.rows(GONE, &[id]).await?;
            return Ok(());
        }
        PushService::NotAsked => done.now_ms,
        PushService::Works => {
            statements.rows(WORKS, &[endpoint]).await?;
            done.now_ms
        }
        PushService::Fails { retry_ms } => {
            let retry = Number(columns::column(retry_ms));
            statements.rows(FAILS, &[endpoint, Text(push.to.user.as_str()), retry]).await?;
            retry_ms
        }
    };
    if done.is_finished {
        let (kind, name, other) = columns::topic_key(&push.topic);
        let seq = Number(columns::column(push.seq));
        statements.rows(FINISHED, &[id, seq, Number(kind), Text(name), Text(other)]).await?;
    }
    statements.rows(NEXT, &[id, Number(columns::column(next))]).await?;
    Ok(())
}

fn due_push(row: &impl Columns) -> Result<DuePush, StoreError> {
    Ok(DuePush {
        subscription: row.number(0)?,
        to: NewPushSubscription {
            session: SessionId::new(row.text(1)?),
            user: columns::username(row.text(2)?)?,
            endpoint: row.text(3)?.to_owned(),
            p256dh: row.text(4)?.to_owned(),
            auth: row.text(5)?.to_owned(),
            language: row.text(6)?.to_owned(),
        },
        failures: u32::try_from(row.number(7)?).unwrap_or(u32::MAX),
        topic: columns::topic((row.integer(8)?, row.text(9)?, row.text(10)?))?,
        seq: row.number(11)?,
        at_ms: row.number(12)?,
        title: row.text_or_null(13)?.map(str::to_owned),
        is_wanted: row.integer(14)? == 1,
    })
}

const ADD_KEY: &str = "INSERT INTO push_key (id, private) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";

const KEY: &str = "SELECT private FROM push_key";

const HAS_SESSION: &str = "SELECT 1 FROM sessions WHERE id = $1 AND expires_at > $2";

/// A browser that tells the same again keeps what is queued for it.
const KEEP: &str = "UPDATE push_subscriptions SET language = $6
     WHERE session = $1 AND username = $2 AND endpoint = $3 AND p256dh = $4 AND auth = $5
    RETURNING id";

const REPLACE: &str = "DELETE FROM push_subscriptions WHERE session = $1 OR endpoint = $2";

const DROP_OLDEST: &str = "DELETE FROM push_subscriptions WHERE username = $1 AND id NOT IN (
         SELECT id FROM push_subscriptions WHERE username = $1 ORDER BY created_at DESC, id DESC LIMIT $2)";

const SUBSCRIBE: &str = "INSERT INTO push_subscriptions
            (session, username, endpoint, p256dh, auth, language, created_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7)";

const INHERIT: &str = "INSERT INTO push_failures (endpoint, username, failures, retry_at)
     SELECT $1, username, failures, retry_at FROM push_failures
      WHERE username = $2 AND (SELECT count(*) FROM push_failures WHERE username = $2) >= $3
      ORDER BY failures DESC, retry_at DESC LIMIT 1
         ON CONFLICT (endpoint) DO NOTHING";

const UNSUBSCRIBE: &str = "DELETE FROM push_subscriptions WHERE session = $1 RETURNING id";

const SWEEP: &str = "DELETE FROM push_subscriptions WHERE NOT EXISTS (
         SELECT 1 FROM sessions AS s WHERE s.id = push_subscriptions.session AND s.expires_at > $1)";

const FORGET: &str = "DELETE FROM push_failures WHERE retry_at <= $1 OR endpoint IN (
         SELECT f.endpoint FROM (
                SELECT endpoint, row_number() OVER (
                       PARTITION BY username ORDER BY failures DESC, retry_at DESC, endpoint) AS nth
                  FROM push_failures) AS f
          WHERE f.nth > $2)";

const COUNT: &str = "SELECT (SELECT count(*) FROM push_subscriptions),
            (SELECT count(*) FROM push_subscriptions WHERE ready_at <= $1),
            (SELECT count(*) FROM push_failures)";

const TOPICS: &str = "SELECT t.id, t.kind, t.name, t.other FROM topics AS t
       LEFT JOIN push_progress AS p ON p.topic = t.id
      WHERE t.id > $1 AND t.last_at >= $2 AND t.last_seq > coalesce(p.upto, 0)
      ORDER BY t.id LIMIT $3 + 0";

const PROGRESS: &str = "SELECT t.id, t.last_seq, coalesce(p.upto, 0) FROM topics AS t
       LEFT JOIN push_progress AS p ON p.topic = t.id
      WHERE t.kind = $1 AND t.name = $2 AND t.other = $3";

const SET_PROGRESS: &str = "INSERT INTO push_progress (topic, upto) VALUES ($1, $2)
         ON CONFLICT (topic) DO UPDATE SET upto = excluded.upto WHERE excluded.upto > push_progress.upto";

macro_rules! queued {
    ($users:literal) => {
        concat!(
            "INSERT INTO push_queue (subscription, topic, seq, at, due_at)
             SELECT s.id, e.topic, max(e.seq), max(e.at), $5 ",
            $users,
            " GROUP BY s.id, e.topic
                 ON CONFLICT (subscription, topic) DO UPDATE SET seq = excluded.seq, at = excluded.at
              WHERE excluded.seq > push_queue.seq
             RETURNING subscription"
        )
    };
}

// CROSS JOIN makes SQLite go from the subscriptions to the entries, by keys. $5 is a number
// also where nothing says so.

const QUEUE_ROOM: &str = queued!(
    "FROM push_subscriptions AS s
    CROSS JOIN members AS m
    CROSS JOIN entries AS e
     LEFT JOIN marks AS k ON k.username = s.username AND k.kind = 1 AND k.name = m.room
     WHERE m.room = $6 AND m.username = s.username
       AND e.topic = $1 AND e.seq > $2 AND e.seq <= $3 AND e.at >= $4 AND e.at >= s.created_at
       AND e.deleted IS NULL AND e.sender <> s.username AND e.seq > coalesce(k.read_seq, 0)
       AND (k.level = 1 OR (coalesce(k.level, 2) = 2 AND EXISTS (
            SELECT 1 FROM mentions AS n
             WHERE n.topic = e.topic AND n.username IN (s.username, '') AND n.seq = e.seq)))"
);

const QUEUE_PAIR: &str = queued!(
    "FROM push_subscriptions AS s
    CROSS JOIN entries AS e
     LEFT JOIN marks AS k ON k.username = s.username AND k.kind = 2
       AND k.name = CASE WHEN s.username = $6 THEN $7 ELSE $6 END
     WHERE s.username IN ($6, $7)
       AND e.topic = $1 AND e.seq > $2 AND e.seq <= $3 AND e.at >= $4 AND e.at >= s.created_at
       AND e.deleted IS NULL AND e.sender <> s.username AND e.seq > coalesce(k.read_seq, 0)
       AND coalesce(k.level, 1) = 1"
);

/// What was queued just now is due at one time. Each subscription is written, also if it is ready
/// already, so that one whose claim is being ended waits for that.
const READY: &str = "UPDATE push_subscriptions
        SET ready_at = coalesce(ready_at, (
                SELECT f.retry_at FROM push_failures AS f
                 WHERE f.endpoint = push_subscriptions.endpoint AND f.retry_at > $1), $1)
      WHERE id IN (SELECT q.subscription FROM push_queue AS q WHERE q.due_at = $1)";

/// A level of mentions lets through what was queued: it mentions the user.
const DUE: &str = "SELECT s.id, s.session, s.username, s.endpoint, s.p256dh, s.auth, s.language,
            coalesce(f.failures, 0), t.kind, t.name, t.other, q.seq, q.at, r.title,
            CAST(CASE WHEN x.id IS NULL OR coalesce(k.read_seq, 0) >= q.seq OR coalesce(k.level, 1) = 3
                   OR (t.kind = 1 AND m.username IS NULL) THEN 0 ELSE 1 END AS BIGINT),
            (SELECT count(*) FROM push_subscriptions AS o
              WHERE o.username = s.username AND o.claimed_until > $1)
       FROM push_subscriptions AS s
       JOIN push_queue AS q ON q.subscription = s.id AND q.topic = (
            SELECT n.topic FROM push_queue AS n
             WHERE n.subscription = s.id ORDER BY n.due_at, n.topic LIMIT 1)
       JOIN topics AS t ON t.id = q.topic
       LEFT JOIN push_failures AS f ON f.endpoint = s.endpoint
       LEFT JOIN sessions AS x ON x.id = s.session AND x.expires_at > $1
       LEFT JOIN rooms AS r ON t.kind = 1 AND r.name = t.name
       LEFT JOIN members AS m ON t.kind = 1 AND m.room = t.name AND m.username = s.username
       LEFT JOIN marks AS k ON k.username = s.username AND k.kind = t.kind
        AND k.name = CASE WHEN t.kind = 2 AND t.name = s.username THEN t.other ELSE t.name END
      WHERE s.ready_at <= $1
        AND (SELECT count(*) FROM push_subscriptions AS o
              WHERE o.username = s.username AND o.claimed_until > $1) < $3
      ORDER BY s.ready_at, s.id LIMIT $2 + 0";

/// Another server may have claimed and sent the message since it was found: then it is not queued
/// any more.
const CLAIM: &str = "UPDATE push_subscriptions SET ready_at = $3, claimed_until = $3
     WHERE id = $1 AND ready_at <= $2
       AND EXISTS (SELECT 1 FROM push_queue AS q JOIN topics AS t ON t.id = q.topic
            WHERE q.subscription = push_subscriptions.id AND q.seq = $4
              AND t.kind = $5 AND t.name = $6 AND t.other = $7)
    RETURNING id";

const RELEASE: &str = "UPDATE push_subscriptions SET claimed_until = 0 WHERE id = $1";

const WORKS: &str = "DELETE FROM push_failures WHERE endpoint = $1";

const FAILS: &str = "INSERT INTO push_failures (endpoint, username, failures, retry_at) VALUES ($1, $2, 1, $3)
         ON CONFLICT (endpoint) DO UPDATE
        SET username = excluded.username, failures = push_failures.failures + 1, retry_at = excluded.retry_at";

const FINISHED: &str = "DELETE FROM push_queue WHERE subscription = $1 AND seq = $2 AND topic IN (
         SELECT id FROM topics WHERE kind = $3 AND name = $4 AND other = $5)";

/// A subscription with further messages goes behind those that wait now.
const NEXT: &str = "UPDATE push_subscriptions SET ready_at = (
         SELECT CASE WHEN min(q.due_at) > $2 THEN min(q.due_at) ELSE $2 END
           FROM push_queue AS q WHERE q.subscription = $1 HAVING count(*) > 0)
     WHERE id = $1";

const GONE: &str = "DELETE FROM push_subscriptions WHERE id = $1";
