//! Storing a batch: one statement for each step, however many drafts there are.
//!
//! Transactions of other lanes, and of other servers, may run at the same time.
//! Each takes the rows of its topics first, in the order of the topics, then
//! its nonces in theirs: who waits, waits for one that is further on.

use std::collections::{BTreeMap, HashMap, HashSet};

use chat_core::{Commit, Draft, Outcome, Topic, Username};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::failure::Failure;
use super::rows;
use crate::batch::{self, Batch, NewEntry, Place};
use crate::columns;

/// By which a transaction's first entry is known: to find out whether the
/// transaction was committed. Its nonces would not do, v1 clients give none.
pub(super) struct Mark {
    topic: i64,
    seq: i64,
    batch: String,
}

/// Begins a transaction and stores a batch in it. What is still to be done is
/// the commit; without a mark, there is nothing to commit.
pub(super) async fn append(
    connection: &mut PgConnection,
    drafts: &[Draft],
    now_ms: u64,
) -> Result<(Commit, Option<Mark>), Failure> {
    loop {
        sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
        let known = known_nonces(connection, drafts).await?;
        let accounts = recipients_with_accounts(connection, drafts).await?;
        let batch = Batch::decide(drafts, known, &accounts);
        let places = count_up(connection, &batch.counts, now_ms).await?;
        let (entries, commit) = batch.numbered(places, now_ms)?;
        let mark = insert_entries(connection, &entries).await?;
        if insert_nonces(connection, &entries).await? {
            return Ok((commit, mark));
        }
        // A retry under another topic, in another lane, was committed since
        // this one looked. It will be seen now.
        sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await?;
    }
}

impl Mark {
    /// Whether the transaction was committed. Its session must have ended.
    pub(super) async fn is_stored(&self, connection: &mut PgConnection) -> Result<bool, Failure> {
        let found = sqlx::query("SELECT FROM entries WHERE topic = $1 AND seq = $2 AND batch = $3")
            .bind(self.topic)
            .bind(self.seq)
            .bind(&self.batch)
            .fetch_optional(connection)
            .await?;
        Ok(found.is_some())
    }
}

/// The first results of the nonces that were stored before, by the index of
/// the draft that repeats one.
async fn known_nonces(
    connection: &mut PgConnection,
    drafts: &[Draft],
) -> Result<HashMap<usize, Outcome>, Failure> {
    let mut indices = Vec::new();
    let (mut senders, mut nonces) = (Vec::new(), Vec::new());
    for (index, sender, nonce) in batch::nonces(drafts) {
        indices.push(index);
        senders.push(sender.as_str());
        nonces.push(nonce.as_str());
    }
    let mut known = HashMap::new();
    if indices.is_empty() {
        return Ok(known);
    }
    let found = sqlx::query(KNOWN_NONCES).bind(nonces).bind(senders).fetch_all(connection).await?;
    for row in found {
        let position: i64 = rows::get(&row, 0)?;
        let key = (rows::get(&row, 1)?, rows::get(&row, 2)?, rows::get(&row, 3)?);
        let outcome = Outcome::Duplicate {
            topic: columns::topic(key)?,
            seq: columns::number(rows::get(&row, 4)?)?,
            at_ms: columns::number(rows::get(&row, 5)?)?,
        };
        known.extend(nth(&indices, position).map(|&index| (index, outcome)));
    }
    Ok(known)
}

/// Those to whom something private is written, if they have an account.
async fn recipients_with_accounts<'a>(
    connection: &mut PgConnection,
    drafts: &'a [Draft],
) -> Result<HashSet<&'a Username>, Failure> {
    let names = batch::recipients(drafts);
    if names.is_empty() {
        return Ok(HashSet::new());
    }
    let texts: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    let found = sqlx::query(RECIPIENTS).bind(texts).fetch_all(connection).await?;
    let mut accounts = HashSet::with_capacity(found.len());
    for row in found {
        accounts.extend(nth(&names, rows::get(&row, 0)?));
    }
    Ok(accounts)
}

/// What stands at a position that Postgres counts from 1.
fn nth<T>(values: &[T], position: i64) -> Option<&T> {
    values.get(usize::try_from(position - 1).ok()?)
}

/// Takes the numbers: adds to each topic what it gets. From here to the end of
/// the transaction nobody else gets numbers there.
async fn count_up(
    connection: &mut PgConnection,
    counts: &BTreeMap<&Topic, u64>,
    now_ms: u64,
) -> Result<HashMap<Topic, Place>, Failure> {
    if counts.is_empty() {
        return Ok(HashMap::new());
    }
    let (mut kinds, mut names, mut others, mut additions) = (vec![], vec![], vec![], vec![]);
    for (topic, count) in counts {
        let (kind, name, other) = columns::topic_key(topic);
        kinds.push(kind);
        names.push(name);
        others.push(other);
        additions.push(columns::column(*count));
    }
    let counted = sqlx::query(COUNT_UP)
        .bind(kinds)
        .bind(names)
        .bind(others)
        .bind(additions)
        .bind(columns::column(now_ms))
        .fetch_all(connection)
        .await?;
    let mut places = HashMap::with_capacity(counted.len());
    for row in counted {
        let topic = columns::topic((rows::get(&row, 1)?, rows::get(&row, 2)?, rows::get(&row, 3)?))?;
        let last = columns::number(rows::get(&row, 4)?)?;
        let count = counts.get(&topic).copied().unwrap_or_default();
        let at_ms = columns::number(rows::get(&row, 5)?)?;
        places.insert(topic, Place::at_end(rows::get(&row, 0)?, last, count, at_ms));
    }
    Ok(places)
}

async fn insert_entries(
    connection: &mut PgConnection,
    entries: &[NewEntry<'_>],
) -> Result<Option<Mark>, Failure> {
    let Some(first) = entries.first() else { return Ok(None) };
    let mark = Mark {
        topic: first.topic,
        seq: columns::column(first.seq),
        batch: Uuid::now_v7().simple().to_string(),
    };
    let mut batches = vec![None; entries.len()];
    batches[0] = Some(mark.batch.as_str());
    sqlx::query(INSERT_ENTRIES)
        .bind(column(entries, |entry| entry.topic))
        .bind(column(entries, |entry| columns::column(entry.seq)))
        .bind(column(entries, |entry| columns::entry_kind(&entry.draft.body)))
        .bind(column(entries, |entry| columns::column(entry.at_ms)))
        .bind(column(entries, |entry| entry.draft.from.as_str()))
        .bind(column(entries, |entry| entry.draft.room.as_ref().map(|room| room.as_str())))
        .bind(column(entries, |entry| entry.draft.body.text()))
        .bind(column(entries, |entry| entry.draft.nonce.as_ref().map(|nonce| nonce.as_str())))
        .bind(batches)
        .execute(connection)
        .await?;
    Ok(Some(mark))
}

/// Whether all nonces were still free. Where another transaction is about to
/// store one, this waits for its end.
async fn insert_nonces(connection: &mut PgConnection, entries: &[NewEntry<'_>]) -> Result<bool, Failure> {
    let mut new: Vec<_> = entries
        .iter()
        .filter_map(|entry| Some((entry.draft.nonce.as_ref()?.as_str(), entry.draft.from.as_str(), entry)))
        .collect();
    if new.is_empty() {
        return Ok(true);
    }
    new.sort_unstable_by_key(|&(nonce, sender, _)| (nonce, sender));
    let inserted = sqlx::query(INSERT_NONCES)
        .bind(column(&new, |&(nonce, _, _)| nonce))
        .bind(column(&new, |&(_, sender, _)| sender))
        .bind(column(&new, |(_, _, entry)| entry.topic))
        .bind(column(&new, |(_, _, entry)| columns::column(entry.seq)))
        .bind(column(&new, |(_, _, entry)| columns::column(entry.at_ms)))
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected() == new.len() as u64)
}

/// One column of many rows, as an array.
fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

pub(super) const KNOWN_NONCES: &str = "SELECT d.position, t.kind, t.name, t.other, n.seq, n.at
       FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS d (nonce, sender, position)
       JOIN nonces AS n ON n.nonce = d.nonce AND n.sender = d.sender
       JOIN topics AS t ON t.id = n.topic";

pub(super) const RECIPIENTS: &str =
    "SELECT d.position FROM unnest($1::text[]) WITH ORDINALITY AS d (name, position)
       JOIN users AS u ON u.username = d.name";

const COUNT_UP: &str = "INSERT INTO topics AS t (kind, name, other, last_seq, last_at)
     SELECT d.kind, d.name, d.other, d.count, $5
       FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[])
            WITH ORDINALITY AS d (kind, name, other, count, position)
      ORDER BY d.position
         ON CONFLICT (kind, name, other) DO UPDATE
        SET last_seq = t.last_seq + excluded.last_seq, last_at = greatest(t.last_at, excluded.last_at)
     RETURNING id, kind, name, other, last_seq, last_at";

const INSERT_ENTRIES: &str = "INSERT INTO entries (topic, seq, kind, at, sender, room, text, nonce, batch)
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[],
                          $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])";

const INSERT_NONCES: &str = "INSERT INTO nonces (nonce, sender, topic, seq, at)
     SELECT d.nonce, d.sender, d.topic, d.seq, d.at
       FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
            WITH ORDINALITY AS d (nonce, sender, topic, seq, at, position)
      ORDER BY d.position
         ON CONFLICT DO NOTHING";
