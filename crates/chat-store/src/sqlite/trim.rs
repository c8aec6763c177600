//! Removing entries that are not kept. Readers find them; the writer only deletes, by
//! keys.

use chat_core::FileId;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::writer::Writer;
use crate::changes::trim::oldest_kept;
use crate::files::take_back;
use crate::retention::{Cut, Plan, Stage, TOPICS_AT_ONCE, nonces_before};
use crate::rows::{self, Columns as _};
use crate::statements::{Statements, json};
use crate::{Retention, StoreError, TrimPosition, Trimmed, columns};

pub(super) async fn trim(
    readers: &SqlitePool,
    writer: &Writer,
    retention: &Retention,
    from: TrimPosition,
    now_ms: u64,
    max_entries: usize,
) -> Result<Trimmed, StoreError> {
    let max = max_entries.max(1);
    match from.0 {
        Stage::Topics { after } => {
            let (plan, next) = plan(readers, Cut::of(retention, now_ms), after, max).await?;
            let mut trimmed =
                Trimmed { topics: plan.topics, next: Some(TrimPosition(next)), ..Trimmed::default() };
            // The plan stays valid: no other process removes entries.
            if !plan.cuts.is_empty() {
                let mut writing = writer.begin().await?;
                let work = remove(&mut writing.connection, &plan.cuts, now_ms).await;
                let removed = writing.finish(work).await?;
                (trimmed.entries, trimmed.nonces, trimmed.files) = removed;
            }
            Ok(trimmed)
        }
        Stage::Nonces => {
            let end = columns::column(nonces_before(now_ms));
            let some = sqlx::query(ANY_OUTLIVED)
                .bind(end)
                .fetch_optional(readers)
                .await
                .map_err(StoreError::unavailable)?;
            if some.is_none() {
                return Ok(Trimmed::default());
            }
            let mut writing = writer.begin().await?;
            let work = forget(&mut writing.connection, end, max).await;
            let nonces = writing.finish(work).await?;
            let next = (nonces >= max as u64).then_some(TrimPosition(Stage::Nonces));
            Ok(Trimmed { nonces, next, ..Trimmed::default() })
        }
    }
}

/// Plans what is removed from the topics with a higher row id than `after`. Returns the
/// plan and the position of the next step.
async fn plan(
    readers: &SqlitePool,
    cut: Cut,
    mut after: i64,
    max: usize,
) -> Result<(Plan, Stage), StoreError> {
    let topics = sqlx::query(FIRST_ENTRIES)
        .bind(after)
        .bind(TOPICS_AT_ONCE as i64)
        .fetch_all(readers)
        .await
        .map_err(StoreError::unavailable)?;
    let mut plan = Plan::default();
    for row in &topics {
        let entry = rows::oldest_entry(row)?;
        let id = entry.id;
        if let Some((seq, at_ms)) = entry.oldest
            && let oldest_kept = oldest_kept(&mut &*readers, cut, &entry).await?
            && cut.removes(seq, at_ms, oldest_kept)
        {
            let found = sqlx::query(OLDEST_ENTRIES)
                .bind(id)
                .bind(columns::column((max - plan.entries) as u64))
                .fetch_all(readers)
                .await
                .map_err(StoreError::unavailable)?;
            let oldest = found.iter().map(rows::seq_and_stamp).collect::<Result<Vec<_>, _>>()?;
            plan.add(id, entry.topic, oldest_kept, &oldest, cut);
            if plan.entries == max {
                // The topic may have more entries to remove.
                return Ok((plan, Stage::Topics { after }));
            }
        }
        after = id;
    }
    let next = if topics.len() == TOPICS_AT_ONCE { Stage::Topics { after } } else { Stage::Nonces };
    Ok((plan, next))
}

/// Removes entries inside the caller's transaction, with what depends on them. Returns the
/// numbers of removed entries and of removed nonces, and the files of removed messages.
async fn remove(
    connection: &mut SqliteConnection,
    cuts: &[(i64, u64)],
    now_ms: u64,
) -> Result<(u64, u64, Vec<FileId>), StoreError> {
    let nonces_before = columns::column(nonces_before(now_ms));
    let (mut count, mut forgotten, mut outlived) = (0, Vec::new(), Vec::new());
    let (mut mentions, mut reactions, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for (topic, upto) in cuts {
        let mut upto_here = async |sql: &'static str| {
            let query = sqlx::query(sql).bind(topic).bind(columns::column(*upto));
            query.fetch_all(&mut *connection).await.map_err(StoreError::unavailable)
        };
        let messages = upto_here(REMOVE).await?;
        let changes = upto_here(REMOVE_CHANGES).await?;
        upto_here(REMOVE_STATES).await?;
        let remembered = upto_here(REMOVE_REMEMBERED).await?;
        count += (messages.len() + changes.len()) as u64;
        for row in &messages {
            files.extend(crate::files::ids_in(row.text_or_null(5)?)?);
            if let Some(names) = row.text_or_null(3)? {
                mentions.push((*topic, row.integer(4)?, names.to_owned()));
            }
        }
        for row in &changes {
            // Those to a message are removed with it, not all at once: each with its change.
            if let Some(emoji) = row.text_or_null(3)? {
                reactions.push((*topic, row.integer(4)?, emoji.to_owned(), row.text(1)?.to_owned()));
            }
        }
        for row in messages.iter().chain(&changes).chain(&remembered) {
            let Some(nonce) = row.text_or_null(0)? else { continue };
            let (sender, at) = (row.text(1)?.to_owned(), row.integer(2)?);
            let kept = if at < nonces_before { &mut forgotten } else { &mut outlived };
            kept.push((at, nonce.to_owned(), sender));
        }
    }
    for (sql, nonces) in [(KEEP_OUTLIVED, &outlived), (FORGET, &forgotten)] {
        if !nonces.is_empty() {
            let nonces = serde_json::to_string(nonces).map_err(StoreError::unavailable)?;
            let done = sqlx::query(sql).bind(nonces).execute(&mut *connection).await;
            done.map_err(StoreError::unavailable)?;
        }
    }
    if !mentions.is_empty() {
        let done = sqlx::query(REMOVE_MENTIONS).bind(json(&mentions)?).execute(&mut *connection).await;
        done.map_err(StoreError::unavailable)?;
    }
    if !reactions.is_empty() {
        let remove = <SqliteConnection as Statements>::CHANGES.remove_reactions;
        let done = sqlx::query(remove).bind(json(&reactions)?).execute(&mut *connection).await;
        done.map_err(StoreError::unavailable)?;
    }
    take_back(connection, &files).await?;
    Ok((count, forgotten.len() as u64, files))
}

/// Removes nonces that have outlived their entries for long enough, at most `max`.
async fn forget(connection: &mut SqliteConnection, end: i64, max: usize) -> Result<u64, StoreError> {
    let over = sqlx::query(REMOVE_OUTLIVED)
        .bind(end)
        .bind(columns::column(max as u64))
        .fetch_all(&mut *connection)
        .await
        .map_err(StoreError::unavailable)?;
    let nonces: Vec<(i64, &str, &str)> = over
        .iter()
        .map(|row| Ok((row.integer(0)?, row.text(1)?, row.text(2)?)))
        .collect::<Result<_, StoreError>>()?;
    let nonces = serde_json::to_string(&nonces).map_err(StoreError::unavailable)?;
    sqlx::query(FORGET).bind(nonces).execute(connection).await.map_err(StoreError::unavailable)?;
    Ok(over.len() as u64)
}

/// Topics, each with its oldest message and its oldest change if it has one.
pub(super) const FIRST_ENTRIES: &str =
    "SELECT t.id, t.kind, t.name, t.other, t.last_seq, e.seq, e.at, c.seq, c.at
       FROM topics AS t
       LEFT JOIN entries AS e
         ON e.topic = t.id AND e.seq = (SELECT min(o.seq) FROM entries AS o WHERE o.topic = t.id)
       LEFT JOIN changes AS c
         ON c.topic = t.id AND c.seq = (SELECT min(o.seq) FROM changes AS o WHERE o.topic = t.id)
      WHERE t.id > ?1 ORDER BY t.id LIMIT ?2 + 0";

/// SQLite merges what it reads in the order of two keys.
pub(super) const OLDEST_ENTRIES: &str = "SELECT seq, at FROM entries WHERE topic = ?1
      UNION ALL SELECT seq, at FROM changes WHERE topic = ?1 ORDER BY seq LIMIT ?2 + 0";

pub(super) const REMOVE: &str =
    "DELETE FROM entries WHERE topic = ?1 AND seq <= ?2 RETURNING nonce, sender, at, mentions, seq, files";

pub(super) const REMOVE_CHANGES: &str = "DELETE FROM changes WHERE topic = ?1 AND seq <= ?2
     RETURNING nonce, sender, at, CASE kind WHEN 4 THEN emoji END, target";

pub(super) const REMOVE_STATES: &str = "DELETE FROM states WHERE topic = ?1 AND seq <= ?2";

pub(super) const REMOVE_REMEMBERED: &str =
    "DELETE FROM remembered_nonces WHERE topic = ?1 AND seq <= ?2 RETURNING nonce, sender, at";

/// Removes mentions; the parameter has rows `topic, seq, names`, with the names in JSON.
pub(super) const REMOVE_MENTIONS: &str = "DELETE FROM mentions WHERE (topic, username, seq) IN
     (SELECT d.value ->> 0, n.value, d.value ->> 1
        FROM jsonb_each(?1) AS d CROSS JOIN jsonb_each(d.value ->> 2) AS n)";

const KEEP_OUTLIVED: &str = "INSERT INTO outlived_nonces (at, nonce, sender)
     SELECT value ->> 0, value ->> 1, value ->> 2 FROM jsonb_each(?1)";

/// Removes nonces; the parameter has rows `at, nonce, sender`.
pub(super) const FORGET: &str = "DELETE FROM nonces WHERE (nonce, sender) IN
     (SELECT d.value ->> 1, d.value ->> 2 FROM jsonb_each(?1) AS d)";

pub(super) const ANY_OUTLIVED: &str = "SELECT 1 FROM outlived_nonces WHERE at < ?1 LIMIT 1";

pub(super) const REMOVE_OUTLIVED: &str = "DELETE FROM outlived_nonces WHERE (at, nonce, sender) IN
     (SELECT at, nonce, sender FROM outlived_nonces WHERE at < ?1 ORDER BY at LIMIT ?2 + 0)
     RETURNING at, nonce, sender";
