//! Storing a batch: one statement for each step, however many drafts there are.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chat_core::{Commit, Draft, Entry, Outcome, Receipt, Topic, Username};
use sqlx::sqlite::SqliteConnection;

use super::rows;
use crate::StoreError;

/// Stores a batch inside the caller's transaction.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    drafts: &[Draft],
    now_ms: u64,
) -> Result<Commit, StoreError> {
    let known = known_nonces(connection, drafts).await?;
    let accounts = recipients_with_accounts(connection, drafts).await?;
    let (decisions, counts) = decide(drafts, known, &accounts);
    let mut topics = count_up(connection, &counts, now_ms).await?;

    let mut commit =
        Commit { entries: Vec::with_capacity(drafts.len()), receipts: Vec::with_capacity(drafts.len()) };
    let mut entry_rows = Vec::with_capacity(drafts.len());
    let mut nonce_rows = Vec::new();
    for (draft, decision) in drafts.iter().zip(decisions) {
        let outcome = match decision {
            Decision::Store => {
                let topic = topics
                    .get_mut(&draft.topic)
                    .ok_or(StoreError::Damaged { what: "another topic than was written" })?;
                let (seq, at_ms) = (topic.next, topic.at_ms);
                topic.next += 1;
                let nonce = draft.nonce.as_ref().map(|nonce| nonce.as_str());
                let (from, at) = (draft.from.as_str(), rows::column(at_ms));
                entry_rows.push((
                    topic.id,
                    seq,
                    rows::entry_kind_column(draft.kind),
                    from,
                    draft.room.as_ref().map(|room| room.as_str()),
                    draft.text.as_str(),
                    at,
                    nonce,
                ));
                if let Some(nonce) = nonce {
                    nonce_rows.push((from, nonce, topic.id, seq, at));
                }
                commit.entries.push(Arc::new(entry(draft, seq, at_ms)));
                Outcome::Stored { seq, at_ms }
            }
            Decision::Answer(outcome) => outcome,
            Decision::Repeat(first) => again(&drafts[first].topic, &commit.receipts[first].outcome),
            Decision::Refuse => Outcome::NoRecipient { at_ms: now_ms },
        };
        commit.receipts.push(Receipt { draft: draft.id, outcome });
    }
    insert(connection, INSERT_ENTRIES, &entry_rows).await?;
    insert(connection, INSERT_NONCES, &nonce_rows).await?;
    Ok(commit)
}

/// What is to become of a draft.
enum Decision {
    Store,
    /// Its nonce is in the database.
    Answer(Outcome),
    /// Its nonce was in the draft of that index.
    Repeat(usize),
    Refuse,
}

/// Draft by draft, as if each were a batch of its own.
fn decide<'a>(
    drafts: &'a [Draft],
    mut known: HashMap<usize, Outcome>,
    accounts: &HashSet<&Username>,
) -> (Vec<Decision>, BTreeMap<&'a Topic, u64>) {
    let mut stored_nonces = HashMap::new();
    let mut counts = BTreeMap::new();
    let mut decisions = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.iter().enumerate() {
        let nonce = draft.nonce.as_ref().map(|nonce| (&draft.from, nonce));
        let decision = if let Some(first) = known.remove(&index) {
            Decision::Answer(first)
        } else if let Some(&first) = nonce.and_then(|nonce| stored_nonces.get(&nonce)) {
            Decision::Repeat(first)
        } else if recipient(draft).is_some_and(|name| !accounts.contains(name)) {
            Decision::Refuse
        } else {
            if let Some(nonce) = nonce {
                stored_nonces.insert(nonce, index);
            }
            *counts.entry(&draft.topic).or_default() += 1;
            Decision::Store
        };
        decisions.push(decision);
    }
    (decisions, counts)
}

/// The first results of the nonces that were stored before, by the index of
/// the draft that repeats one.
async fn known_nonces(
    connection: &mut SqliteConnection,
    drafts: &[Draft],
) -> Result<HashMap<usize, Outcome>, StoreError> {
    let (indices, nonces): (Vec<usize>, Vec<_>) = drafts
        .iter()
        .enumerate()
        .filter_map(|(index, draft)| Some((index, (draft.from.as_str(), draft.nonce.as_ref()?.as_str()))))
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
            topic: rows::topic(key)?,
            seq: rows::number(rows::get(&row, 4)?)?,
            at_ms: rows::number(rows::get(&row, 5)?)?,
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
    let names: BTreeSet<&Username> = drafts.iter().filter_map(recipient).collect();
    if names.is_empty() {
        return Ok(HashSet::new());
    }
    let names: Vec<&Username> = names.into_iter().collect();
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

/// Where the entries of a batch go in one topic.
struct Place {
    id: i64,
    next: u64,
    at_ms: u64,
}

/// Takes the numbers: adds to each topic what it gets. The topics come in
/// sorted order, in which a database that locks rows cannot deadlock.
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
            let (kind, name, other) = rows::topic_key(topic);
            (kind, name, other, count)
        })
        .collect();
    let counted = sqlx::query(COUNT_UP)
        .bind(json(&additions)?)
        .bind(rows::column(now_ms))
        .fetch_all(connection)
        .await
        .map_err(StoreError::unavailable)?;
    let mut places = HashMap::with_capacity(counted.len());
    for row in counted {
        let key = (rows::get(&row, 1)?, rows::get(&row, 2)?, rows::get(&row, 3)?);
        let topic = rows::topic(key)?;
        let last = rows::number(rows::get(&row, 4)?)?;
        let count = counts.get(&topic).copied().unwrap_or_default();
        let place = Place {
            id: rows::get(&row, 0)?,
            next: (last + 1).saturating_sub(count),
            at_ms: rows::number(rows::get(&row, 5)?)?,
        };
        places.insert(topic, place);
    }
    Ok(places)
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

fn entry(draft: &Draft, seq: u64, at_ms: u64) -> Entry {
    Entry {
        topic: draft.topic.clone(),
        seq,
        kind: draft.kind,
        from: draft.from.clone(),
        room: draft.room.clone(),
        text: draft.text.clone(),
        at_ms,
        nonce: draft.nonce.clone(),
    }
}

/// The answer to a draft whose nonce was stored in the same batch.
fn again(topic: &Topic, first: &Outcome) -> Outcome {
    match *first {
        Outcome::Stored { seq, at_ms } => Outcome::Duplicate { topic: topic.clone(), seq, at_ms },
        ref other => other.clone(),
    }
}

/// Who gets a private message.
fn recipient(draft: &Draft) -> Option<&Username> {
    match &draft.topic {
        Topic::Room(_) => None,
        Topic::Pair(pair) => Some(pair.other(&draft.from)),
    }
}
