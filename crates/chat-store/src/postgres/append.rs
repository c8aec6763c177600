//! Storing a batch, with one statement for each step of the whole batch.
//!
//! Transactions of other lanes, and of other servers, may run at the same time. Each
//! locks the rows of its topics in the order of topics, then its nonces in the order of
//! nonces, so that transactions cannot deadlock. Rooms come before pairs of users in this
//! order: a batch whose rooms are looked at locks all of its rooms first. A batch with
//! changes, answers or files locks all of its topics first, so that their messages stay as they
//! are while it is judged; the rows of messages and of their states are locked by who has
//! locked their topic. Files that no message has are locked after the topics.

use std::collections::{BTreeMap, BTreeSet};

use chat_cluster::{Point, Record};
use chat_core::{Batch, Checked, Commit, Draft, Facts, Questions, Topic};
use sqlx::postgres::PgConnection;

use super::failure::Failure;
use super::feed;
use super::pool::Query;
use crate::administration::database;
use crate::batch::{
    NewEntry, NewNonce, TopicRows, find, must_check_all, new_entries, new_nonces, write_members_and_mentions,
};
use crate::rows::{self, Columns as _};
use crate::{StoreError, changes, columns, files, rooms};

/// How a transaction ends.
pub(super) enum Ending {
    /// There is nothing to commit.
    Nothing,
    /// The feed has a row of it, by which the outcome of the commit can be resolved.
    Recorded(Record),
}

/// Begins a transaction and stores a batch in it, without the final commit: the commit `at` of its
/// lane.
pub(super) async fn append(
    connection: &mut PgConnection,
    drafts: &[Draft],
    now_ms: u64,
    at: Point,
) -> Result<(Commit, Ending), Failure> {
    let mut checked = Checked::Hinted;
    loop {
        sqlx::raw_sql("BEGIN").execute(&mut *connection).await?;
        let questions = Questions::about(drafts, checked);
        let locked = Keys::of(&to_lock(drafts, &questions));
        let (mut topics, has_added) = lock(connection, &locked).await?;
        if must_check_all(drafts, &topics, checked) {
            checked = Checked::All;
            sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await?;
            continue;
        }
        let facts = answer(connection, &questions, &topics).await?;
        let batch = Batch::decide(drafts, &facts, checked, now_ms);
        let (counted, previous) = count_in(connection, &batch, now_ms, at).await?;
        topics.extend(counted);
        if must_check_all(drafts, &topics, checked) {
            checked = Checked::All;
            sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await?;
            continue;
        }
        if has_added {
            locked.bind(sqlx::query(REMOVE_UNUSED)).execute(&mut *connection).await?;
        }
        let commit = batch.number(|topic, _| Ok::<_, StoreError>(find(&topics, topic)?.end))?;
        let entries = new_entries(&commit, &topics)?;
        let nonces = new_nonces(&commit, &entries, &topics)?;
        let (changes, messages): (Vec<_>, Vec<_>) = entries.into_iter().partition(changes::is_change);
        let record = feed::record(&commit, at, &previous);
        if insert(connection, &messages, nonces, record.as_ref(), &commit).await? {
            write_members_and_mentions(connection, &commit, &messages, now_ms).await?;
            files::write(connection, &commit, &messages).await?;
            changes::write(connection, &commit, &changes, &topics, now_ms).await?;
            // The last locks of the transaction: see `messages_deleted`.
            database::note_deleted(connection, &commit, now_ms).await?;
            return Ok((commit, record.map_or(Ending::Nothing, Ending::Recorded)));
        }
        // Another lane has committed one of the nonces, with another topic, since
        // this transaction looked. The next round finds it.
        sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await?;
    }
}

/// The topics of a batch that are locked before it is judged, in the order of topics.
fn to_lock<'a>(drafts: &'a [Draft], questions: &Questions<'_>) -> BTreeSet<&'a Topic> {
    let topics = drafts.iter().map(|draft| &draft.topic);
    match (questions.targets.is_empty() && questions.files.is_empty(), questions.rooms.is_empty()) {
        (false, _) => topics.collect(),
        (true, false) => topics.filter(|topic| matches!(topic, Topic::Room(_))).collect(),
        (true, true) => BTreeSet::new(),
    }
}

/// The keys of topics as three arrays.
#[derive(Default)]
struct Keys<'a> {
    kinds: Vec<i64>,
    names: Vec<&'a str>,
    others: Vec<&'a str>,
}

impl<'a> Keys<'a> {
    fn of(topics: &BTreeSet<&'a Topic>) -> Self {
        let mut keys = Self::default();
        for topic in topics {
            let (kind, name, other) = columns::topic_key(topic);
            keys.kinds.push(kind);
            keys.names.push(name);
            keys.others.push(other);
        }
        keys
    }

    fn bind<'q>(&'q self, query: Query<'q>) -> Query<'q> {
        query.bind(&self.kinds).bind(&self.names).bind(&self.others)
    }
}

/// Locks topics at the beginning of a transaction, so that they, their messages and the
/// members of rooms stay as they are until its end. Returns their rows, and whether it has
/// added rows that were missing, for which it begins the transaction again: each is added in
/// its turn, not after the others.
async fn lock(connection: &mut PgConnection, topics: &Keys<'_>) -> Result<(TopicRows, bool), Failure> {
    if topics.kinds.is_empty() {
        return Ok((TopicRows::new(), false));
    }
    let mut locked = topics.bind(sqlx::query(LOCK)).fetch_all(&mut *connection).await?;
    let is_missing = locked.len() < topics.kinds.len();
    if is_missing {
        sqlx::raw_sql("ROLLBACK; BEGIN").execute(&mut *connection).await?;
        locked = topics.bind(sqlx::query(LOCK_OR_ADD)).fetch_all(connection).await?;
    }
    Ok((locked.iter().map(rows::topic_row).collect::<Result<_, StoreError>>()?, is_missing))
}

/// Looks up what the decisions about a batch depend on.
async fn answer<'a>(
    connection: &mut PgConnection,
    questions: &Questions<'a>,
    topics: &TopicRows,
) -> Result<Facts<'a>, Failure> {
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
    changes::facts(connection, questions, topics, &mut facts).await?;
    files::facts(connection, questions, &mut facts).await?;
    Ok(facts)
}

/// The value at a position that Postgres counts from 1.
fn nth<T>(values: &[T], position: i64) -> Option<&T> {
    values.get(usize::try_from(position - 1).ok()?)
}

/// Adds the new entries to the numbers of their topics. From here to its end, the
/// transaction keeps others from numbering entries there. Returns also which commit has written to
/// each topic before, where one has.
async fn count_in(
    connection: &mut PgConnection,
    batch: &Batch<'_>,
    now_ms: u64,
    at: Point,
) -> Result<(TopicRows, BTreeMap<Topic, Point>), Failure> {
    let additions: Vec<_> =
        batch.additions().map(|(topic, addition)| (columns::topic_key(topic), addition)).collect();
    if additions.is_empty() {
        return Ok((TopicRows::new(), BTreeMap::new()));
    }
    let counted = sqlx::query(COUNT_IN)
        .bind(column(&additions, |((kind, _, _), _)| *kind))
        .bind(column(&additions, |((_, name, _), _)| *name))
        .bind(column(&additions, |((_, _, other), _)| *other))
        .bind(column(&additions, |(_, addition)| columns::column(addition.entries)))
        .bind(column(&additions, |(_, addition)| addition.messages > 0))
        .bind(column(&additions, |(_, addition)| addition.messages < addition.entries))
        .bind(columns::column(now_ms))
        .bind(feed::writer_column(at.writer))
        .bind(columns::column(at.n))
        .fetch_all(connection)
        .await?;
    let (mut topics, mut previous) = (TopicRows::new(), BTreeMap::new());
    for row in &counted {
        let (topic, found) = rows::topic_row(row)?;
        if let (Some(writer), Some(n)) = (row.integer_or_null(7)?, row.integer_or_null(8)?) {
            previous.insert(topic.clone(), feed::point((writer, n))?);
        }
        topics.insert(topic, found);
    }
    Ok((topics, previous))
}

/// Inserts messages, nonces and the row of the feed, in one statement; returns whether all nonces
/// were new. Where another transaction is about to store one of them, this waits for its end.
async fn insert(
    connection: &mut PgConnection,
    entries: &[NewEntry<'_>],
    mut new: Vec<NewNonce<'_>>,
    record: Option<&Record>,
    commit: &Commit,
) -> Result<bool, Failure> {
    if new.is_empty() && record.is_none() {
        return Ok(true);
    }
    new.sort_unstable_by_key(|new| (new.nonce, new.sender));
    let columns_of = record.map(|record| feed::columns_of(record, &commit.changes)).transpose()?;
    let (parts, controls) = columns_of.unzip();
    let inserted = sqlx::query(INSERT)
        .bind(column(entries, |new| new.topic))
        .bind(column(entries, |new| columns::column(new.entry.seq)))
        .bind(column(entries, |new| columns::entry_kind(&new.entry.body)))
        .bind(column(entries, |new| columns::column(new.entry.at_ms)))
        .bind(column(entries, |new| new.entry.from.as_str()))
        .bind(column(entries, |new| new.entry.room.as_ref().map(|room| room.as_str())))
        .bind(column(entries, |new| new.entry.body.text()))
        .bind(column(entries, |new| new.entry.nonce.as_ref().map(|nonce| nonce.as_str())))
        .bind(column(entries, |new| columns::mentions(&new.entry.body)))
        .bind(column(entries, |new| columns::reply_to(&new.entry.body)))
        .bind(column(&new, |new| new.nonce))
        .bind(column(&new, |new| new.sender))
        .bind(column(&new, |new| new.topic))
        .bind(column(&new, |new| columns::column(new.seq)))
        .bind(column(&new, |new| new.at))
        .bind(record.map(|record| feed::writer_column(record.at.writer)))
        .bind(record.map(|record| columns::column(record.at.n)))
        .bind(parts)
        .bind(controls.flatten())
        .fetch_one(connection)
        .await
        .map_err(
            |error| if is_of_feed(&error) { StoreError::ServerTwice.into() } else { Failure::from(error) },
        )?;
    Ok(inserted.number(0)? == new.len() as u64)
}

/// Whether the feed has a row already with the number of this commit. A lane commits one batch at a time,
/// and knows its newest number, so that only a copy of this process can have written it.
fn is_of_feed(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.constraint() == Some("commits_pkey"))
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

const COUNT_IN: &str = "INSERT INTO topics AS t (kind, name, other, last_seq, last_at, changed_at, writer, n)
     SELECT d.kind, d.name, d.other, d.count, CASE WHEN d.has_messages THEN $7 ELSE 0 END,
            CASE WHEN d.has_changes THEN $7 ELSE 0 END, $8, $9
       FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bool[], $6::bool[])
            WITH ORDINALITY AS d (kind, name, other, count, has_messages, has_changes, position)
      ORDER BY d.position
         ON CONFLICT (kind, name, other) DO UPDATE
        SET last_seq = t.last_seq + excluded.last_seq,
            last_at = CASE excluded.last_at WHEN 0 THEN t.last_at
                      ELSE greatest(t.last_at, t.changed_at, excluded.last_at) END,
            changed_at = CASE excluded.changed_at WHEN 0 THEN t.changed_at
                         ELSE greatest(t.last_at, t.changed_at, excluded.changed_at) END,
            writer = excluded.writer, n = excluded.n, prev_writer = t.writer, prev_n = t.n
     RETURNING id, kind, name, other, last_seq, greatest(last_at, changed_at), special, prev_writer, prev_n";

/// Topics in their order.
pub(super) const LOCK: &str = "SELECT t.id, t.kind, t.name, t.other, t.last_seq, t.last_at, t.special
       FROM unnest($1::bigint[], $2::text[], $3::text[])
            WITH ORDINALITY AS d (kind, name, other, position)
       JOIN topics AS t ON t.kind = d.kind AND t.name = d.name AND t.other = d.other
      ORDER BY d.position FOR UPDATE OF t";

/// Topics in their order. The update, which changes nothing, locks a row that is there.
const LOCK_OR_ADD: &str = "INSERT INTO topics AS t (kind, name, other, last_seq, last_at)
     SELECT d.kind, d.name, d.other, 0, 0
       FROM unnest($1::bigint[], $2::text[], $3::text[])
            WITH ORDINALITY AS d (kind, name, other, position)
      ORDER BY d.position
         ON CONFLICT (kind, name, other) DO UPDATE SET last_seq = t.last_seq
     RETURNING id, kind, name, other, last_seq, last_at, special";

/// Rows that were added for drafts that are not stored. A room without a message has its row
/// in `rooms`.
pub(super) const REMOVE_UNUSED: &str = "DELETE FROM topics AS t
      USING unnest($1::bigint[], $2::text[], $3::text[]) AS d (kind, name, other)
      WHERE t.kind = d.kind AND t.name = d.name AND t.other = d.other AND t.last_seq = 0
        AND (t.kind = 2 OR (SELECT r.name FROM rooms AS r WHERE r.name = t.name) IS NULL)";

const INSERT: &str = concat!(
    "WITH new_entries AS (
         INSERT INTO entries (topic, seq, kind, at, sender, room, text, nonce, mentions, reply_to)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],
                              $7::text[], $8::text[], $9::text[], $10::bigint[])),
     row_of_feed AS (
         INSERT INTO commits (writer, n, at, parts, controls)
         SELECT $16::bigint, $17::bigint, ",
    feed::now!(),
    ", $18::text::json, $19::text::json
          WHERE $16 IS NOT NULL),
     new_nonces AS (
         INSERT INTO nonces (nonce, sender, topic, seq, at)
         SELECT d.nonce, d.sender, d.topic, d.seq, d.at
           FROM unnest($11::text[], $12::text[], $13::bigint[], $14::bigint[], $15::bigint[])
                WITH ORDINALITY AS d (nonce, sender, topic, seq, at, position)
          ORDER BY d.position
             ON CONFLICT DO NOTHING
      RETURNING 1)
     SELECT count(*) FROM new_nonces"
);
