//! Storing a batch, with one statement for each step of the whole batch.
//!
//! Transactions of other lanes, and of other servers, may run at the same time. Each
//! locks the rows of its topics in the order of topics, then its nonces in the order of
//! nonces, so that transactions cannot deadlock. Rooms come before pairs of users in this
//! order: a batch whose rooms are looked at locks all of its rooms first.

use std::collections::BTreeSet;

use chat_core::{Batch, Checked, Commit, Draft, Facts, Questions, Topic};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::failure::Failure;
use crate::batch::{NewEntry, TopicRows, find, must_check_all, new_entries, write_members_and_mentions};
use crate::rows::{self, Columns as _};
use crate::{StoreError, columns, rooms};

/// The mark on the first entry of a transaction, by which a lane resolves whether the
/// transaction was committed. Nonces would not do, as v1 clients give none.
pub(super) struct Mark {
    topic: i64,
    seq: i64,
    batch: String,
}

/// Begins a transaction and stores a batch in it, without the final commit. No mark is
/// returned if there is nothing to commit.
pub(super) async fn append(
    connection: &mut PgConnection,
    drafts: &[Draft],
    now_ms: u64,
) -> Result<(Commit, Option<Mark>), Failure> {
    let mut checked = Checked::Hinted;
    loop {
        sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
        let questions = Questions::about(drafts, checked);
        let rooms = if questions.rooms.is_empty() { BTreeSet::new() } else { room_names(drafts) };
        let rooms: Vec<&str> = rooms.into_iter().collect();
        let has_added = lock(connection, &rooms).await?;
        let facts = answer(connection, &questions).await?;
        let batch = Batch::decide(drafts, &facts, checked, now_ms);
        let topics = count_in(connection, &batch, now_ms).await?;
        if must_check_all(drafts, &topics, checked) {
            checked = Checked::All;
            sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await?;
            continue;
        }
        if has_added {
            sqlx::query(REMOVE_UNUSED).bind(&rooms).execute(&mut *connection).await?;
        }
        let commit = batch.number(|topic, _| Ok::<_, StoreError>(find(&topics, topic)?.end))?;
        let entries = new_entries(&commit, &topics)?;
        let mark = insert_entries(connection, &entries).await?;
        if insert_nonces(connection, &entries).await? {
            write_members_and_mentions(connection, &commit, &entries, now_ms).await?;
            return Ok((commit, mark));
        }
        // Another lane has committed one of the nonces, with another topic, since
        // this transaction looked. The next round finds it.
        sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await?;
    }
}

/// The rooms of a batch, in the order of topics.
fn room_names(drafts: &[Draft]) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for draft in drafts {
        if let Topic::Room(room) = &draft.topic {
            names.insert(room.as_str());
        }
    }
    names
}

/// Locks rooms at the beginning of a transaction, so that they and their members stay as
/// they are until its end. Returns whether it has added rows that were missing, for which
/// it begins the transaction again: each is added in its turn, not after the others.
async fn lock(connection: &mut PgConnection, rooms: &[&str]) -> Result<bool, Failure> {
    if rooms.is_empty() {
        return Ok(false);
    }
    let locked = sqlx::query(LOCK).bind(rooms).execute(&mut *connection).await?;
    if locked.rows_affected() == rooms.len() as u64 {
        return Ok(false);
    }
    sqlx::raw_sql("ROLLBACK; BEGIN").execute(&mut *connection).await?;
    sqlx::query(LOCK_OR_ADD).bind(rooms).execute(connection).await?;
    Ok(true)
}

impl Mark {
    /// Whether the transaction was committed. Its backend must be gone.
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

/// Looks up what the decisions about a batch depend on.
async fn answer<'a>(connection: &mut PgConnection, questions: &Questions<'a>) -> Result<Facts<'a>, Failure> {
    let mut facts = Facts::default();
    if !questions.nonces.is_empty() {
        let nonces = column(&questions.nonces, |(_, nonce)| nonce.as_str());
        let authors = column(&questions.nonces, |(author, _)| author.as_str());
        let query = sqlx::query(KNOWN_NONCES).bind(nonces).bind(authors);
        for row in &query.fetch_all(&mut *connection).await? {
            let (position, first) = rows::first_result(row)?;
            facts.first_results.extend(nth(&questions.nonces, position).map(|nonce| (*nonce, first)));
        }
    }
    if !questions.accounts.is_empty() {
        let names = column(&questions.accounts, |name| name.as_str());
        for row in &sqlx::query(RECIPIENTS).bind(names).fetch_all(&mut *connection).await? {
            facts.accounts.extend(nth(&questions.accounts, row.integer(0)?));
        }
    }
    rooms::read::facts(connection, questions, &mut facts).await?;
    Ok(facts)
}

/// The value at a position that Postgres counts from 1.
fn nth<T>(values: &[T], position: i64) -> Option<&T> {
    values.get(usize::try_from(position - 1).ok()?)
}

/// Adds the new entries to the numbers of their topics. From here to its end, the
/// transaction keeps others from numbering entries there.
async fn count_in(
    connection: &mut PgConnection,
    batch: &Batch<'_>,
    now_ms: u64,
) -> Result<TopicRows, Failure> {
    let additions: Vec<_> =
        batch.additions().map(|(topic, count)| (columns::topic_key(topic), columns::column(count))).collect();
    if additions.is_empty() {
        return Ok(TopicRows::new());
    }
    let counted = sqlx::query(COUNT_IN)
        .bind(column(&additions, |((kind, _, _), _)| *kind))
        .bind(column(&additions, |((_, name, _), _)| *name))
        .bind(column(&additions, |((_, _, other), _)| *other))
        .bind(column(&additions, |(_, count)| *count))
        .bind(columns::column(now_ms))
        .fetch_all(connection)
        .await?;
    Ok(counted.iter().map(rows::topic_row).collect::<Result<_, StoreError>>()?)
}

async fn insert_entries(
    connection: &mut PgConnection,
    entries: &[NewEntry<'_>],
) -> Result<Option<Mark>, Failure> {
    let Some(first) = entries.first() else { return Ok(None) };
    let mark = Mark {
        topic: first.topic,
        seq: columns::column(first.entry.seq),
        batch: Uuid::now_v7().simple().to_string(),
    };
    let mut batches = vec![None; entries.len()];
    batches[0] = Some(mark.batch.as_str());
    sqlx::query(INSERT_ENTRIES)
        .bind(column(entries, |new| new.topic))
        .bind(column(entries, |new| columns::column(new.entry.seq)))
        .bind(column(entries, |new| columns::entry_kind(&new.entry.body)))
        .bind(column(entries, |new| columns::column(new.entry.at_ms)))
        .bind(column(entries, |new| new.entry.from.as_str()))
        .bind(column(entries, |new| new.entry.room.as_ref().map(|room| room.as_str())))
        .bind(column(entries, |new| new.entry.body.text()))
        .bind(column(entries, |new| new.entry.nonce.as_ref().map(|nonce| nonce.as_str())))
        .bind(batches)
        .bind(column(entries, |new| columns::mentions(&new.entry.body)))
        .execute(connection)
        .await?;
    Ok(Some(mark))
}

/// Inserts the nonces; returns whether all of them were new. Where another transaction
/// is about to store one of them, this waits for its end.
async fn insert_nonces(connection: &mut PgConnection, entries: &[NewEntry<'_>]) -> Result<bool, Failure> {
    let mut new: Vec<_> = entries
        .iter()
        .filter_map(|new| Some((new.entry.nonce.as_ref()?.as_str(), new.entry.from.as_str(), new)))
        .collect();
    if new.is_empty() {
        return Ok(true);
    }
    new.sort_unstable_by_key(|&(nonce, sender, _)| (nonce, sender));
    let inserted = sqlx::query(INSERT_NONCES)
        .bind(column(&new, |&(nonce, _, _)| nonce))
        .bind(column(&new, |&(_, sender, _)| sender))
        .bind(column(&new, |(_, _, new)| new.topic))
        .bind(column(&new, |(_, _, new)| columns::column(new.entry.seq)))
        .bind(column(&new, |(_, _, new)| columns::column(new.entry.at_ms)))
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected() == new.len() as u64)
}

/// One column of many rows, as the array that a parameter needs.
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

const COUNT_IN: &str = "INSERT INTO topics AS t (kind, name, other, last_seq, last_at)
     SELECT d.kind, d.name, d.other, d.count, $5
       FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[])
            WITH ORDINALITY AS d (kind, name, other, count, position)
      ORDER BY d.position
         ON CONFLICT (kind, name, other) DO UPDATE
        SET last_seq = t.last_seq + excluded.last_seq, last_at = greatest(t.last_at, excluded.last_at)
     RETURNING id, kind, name, other, last_seq, last_at, special";

pub(super) const LOCK: &str = "SELECT 1 FROM topics WHERE kind = 1 AND name = ANY ($1) AND other = ''
      ORDER BY name FOR UPDATE";

/// Names in their order. The update, which changes nothing, locks a row that is there.
const LOCK_OR_ADD: &str = "INSERT INTO topics AS t (kind, name, other, last_seq, last_at)
     SELECT 1, d.name, '', 0, 0 FROM unnest($1::text[]) WITH ORDINALITY AS d (name, position)
      ORDER BY d.position
         ON CONFLICT (kind, name, other) DO UPDATE SET last_seq = t.last_seq";

/// Rows that were added for messages that are forbidden. A room without a message has its
/// row in `rooms`.
pub(super) const REMOVE_UNUSED: &str = "DELETE FROM topics AS t
      WHERE kind = 1 AND name = ANY ($1) AND other = '' AND last_seq = 0
        AND (SELECT r.name FROM rooms AS r WHERE r.name = t.name) IS NULL";

const INSERT_ENTRIES: &str =
    "INSERT INTO entries (topic, seq, kind, at, sender, room, text, nonce, batch, mentions)
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[],
                          $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])";

const INSERT_NONCES: &str = "INSERT INTO nonces (nonce, sender, topic, seq, at)
     SELECT d.nonce, d.sender, d.topic, d.seq, d.at
       FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
            WITH ORDINALITY AS d (nonce, sender, topic, seq, at, position)
      ORDER BY d.position
         ON CONFLICT DO NOTHING";
