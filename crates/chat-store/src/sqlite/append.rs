//! Storing a batch: one statement for each step, however many drafts there are.

use std::collections::{BTreeMap, HashMap, HashSet};

use chat_core::{Commit, Draft, Outcome, Topic, Username};
use sqlx::sqlite::SqliteConnection;

use super::rows;
use crate::batch::{self, Batch, NewEntry, Place};
use crate::{StoreError, columns};

/// Stores a batch inside the caller's transaction.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    drafts: &[Draft],
    now_ms: u64,
) -> Result<Commit, StoreError> {
    let known = known_nonces(connection, drafts).await?;
    let accounts = recipients_with_accounts(connection, drafts).await?;
    let batch = Batch::decide(drafts, known, &accounts);
    let places = count_up(connection, &batch.counts, now_ms).await?;
    let (entries, commit) = batch.numbered(places, now_ms)?;
    let entry_rows: Vec<_> = entries.iter().map(entry_row).collect();
    insert(connection, INSERT_ENTRIES, &entry_rows).await?;
    let nonce_rows: Vec<_> = entries.iter().filter_map(nonce_row).collect();
    insert(connection, INSERT_NONCES, &nonce_rows).await?;
    Ok(commit)
}

/// The first results of the nonces that were stored before, by the index of
/// the draft that repeats one.
async fn known_nonces(
    connection: &mut SqliteConnection,
    drafts: &[Draft],
) -> Result<HashMap<usize, Outcome>, StoreError> {
    let (indices, nonces): (Vec<usize>, Vec<_>) = batch::nonces(drafts)
        .map(|(index, sender, nonce)| (index, (sender.as_str(), nonce.as_str())))
        .unzip();
    let mut known = HashMap::new();
    if nonces.is_empty() {
        return Ok(known);
    }
    let found = sqlx::query(KNOWN_NONCES)
        .bind(json(&nonces)?)
        .fetch_all(connection)
        .await
        .map_err(StoreError::unavailable)?;
    for row in found {
        let position: i64 = rows::get(&row, 0)?;
        let key = (rows::get(&row, 1)?, rows::get(&row, 2)?, rows::get(&row, 3)?);
        let outcome = Outcome::Duplicate {
            topic: columns::topic(key)?,
            seq: columns::number(rows::get(&row, 4)?)?,
            at_ms: columns::number(rows::get(&row, 5)?)?,
        };
        if let Some(&index) = usize::try_from(position).ok().and_then(|at| indices.get(at)) {
            known.insert(index, outcome);
        }
    }
    Ok(known)
}

/// Those to whom something private is written, if they have an account.
async fn recipients_with_accounts<'a>(
    connection: &mut SqliteConnection,
    drafts: &'a [Draft],
) -> Result<HashSet<&'a Username>, StoreError> {
    let names = batch::recipients(drafts);
    if names.is_empty() {
        return Ok(HashSet::new());
    }
    let texts: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    let found = sqlx::query(RECIPIENTS)
        .bind(json(&texts)?)
        .fetch_all(connection)
        .await
        .map_err(StoreError::unavailable)?;
    let mut accounts = HashSet::with_capacity(found.len());
    for row in found {
        let position: i64 = rows::get(&row, 0)?;
        accounts.extend(usize::try_from(position).ok().and_then(|at| names.get(at)));
    }
    Ok(accounts)
}

/// Takes the numbers: adds to each topic what it gets.
async fn count_up(
    connection: &mut SqliteConnection,
    counts: &BTreeMap<&Topic, u64>,
    now_ms: u64,
) -> Result<HashMap<Topic, Place>, StoreError> {
    if counts.is_empty() {
        return Ok(HashMap::new());
    }
    let additions: Vec<_> = counts
        .iter()
        .map(|(topic, count)| {
            let (kind, name, other) = columns::topic_key(topic);
            (kind, name, other, count)
        })
        .collect();
    let counted = sqlx::query(COUNT_UP)
        .bind(json(&additions)?)
        .bind(columns::column(now_ms))
        .fetch_all(connection)
        .await
        .map_err(StoreError::unavailable)?;
    let mut places = HashMap::with_capacity(counted.len());
    for row in counted {
        let key = (rows::get(&row, 1)?, rows::get(&row, 2)?, rows::get(&row, 3)?);
        let topic = columns::topic(key)?;
        let last = columns::number(rows::get(&row, 4)?)?;
        let count = counts.get(&topic).copied().unwrap_or_default();
        let at_ms = columns::number(rows::get(&row, 5)?)?;
        places.insert(topic, Place::at_end(rows::get(&row, 0)?, last, count, at_ms));
    }
    Ok(places)
}

fn entry_row<'a>(entry: &NewEntry<'a>) -> impl serde::Serialize + use<'a> {
    let draft = entry.draft;
    (
        entry.topic,
        entry.seq,
        columns::entry_kind(&draft.body),
        draft.from.as_str(),
        draft.room.as_ref().map(|room| room.as_str()),
        draft.body.text(),
        columns::column(entry.at_ms),
        draft.nonce.as_ref().map(|nonce| nonce.as_str()),
    )
}

fn nonce_row<'a>(entry: &NewEntry<'a>) -> Option<impl serde::Serialize + use<'a>> {
    let nonce = entry.draft.nonce.as_ref()?.as_str();
    Some((entry.draft.from.as_str(), nonce, entry.topic, entry.seq, columns::column(entry.at_ms)))
}

async fn insert(
    connection: &mut SqliteConnection,
    sql: &'static str,
    rows: &[impl serde::Serialize],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(sql).bind(json(rows)?).execute(connection).await.map_err(StoreError::unavailable)?;
    Ok(())
}

// CROSS JOIN: SQLite keeps that order, and looks each row up by its key.
pub(super) const KNOWN_NONCES: &str = "SELECT d.key, t.kind, t.name, t.other, n.seq, n.at
       FROM jsonb_each(?1) AS d
      CROSS JOIN nonces AS n ON n.sender = d.value ->> 0 AND n.nonce = d.value ->> 1
      CROSS JOIN topics AS t ON t.id = n.topic";

pub(super) const RECIPIENTS: &str =
    "SELECT d.key FROM jsonb_each(?1) AS d CROSS JOIN users AS u ON u.username = d.value";

// "WHERE true" tells the parser that ON belongs to the INSERT.
const COUNT_UP: &str = "INSERT INTO topics (kind, name, other, last_seq, last_at)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, ?2 FROM jsonb_each(?1) WHERE true
         ON CONFLICT (kind, name, other) DO UPDATE
        SET last_seq = last_seq + excluded.last_seq, last_at = max(last_at, excluded.last_at)
     RETURNING id, kind, name, other, last_seq, last_at";

const INSERT_ENTRIES: &str = "INSERT INTO entries (topic, seq, kind, sender, room, text, at, nonce)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7
       FROM jsonb_each(?1)";

const INSERT_NONCES: &str = "INSERT INTO nonces (sender, nonce, topic, seq, at)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
       FROM jsonb_each(?1)";

/// A whole batch as one parameter. The statements read it with `jsonb_each`,
/// which parses it once, where `json_each` prints each row and parses it again.
fn json(rows: &[impl serde::Serialize]) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(StoreError::unavailable)
}
