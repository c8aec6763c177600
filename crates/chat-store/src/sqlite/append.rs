//! Storing a batch, with one statement for each step of the whole batch.

use chat_core::{Addition, Batch, Checked, Commit, Draft, Facts, Questions, Topic};
use rusqlite::Connection;

use crate::administration::database;
use crate::batch::{
    NewEntry, NewNonce, TopicRows, find, must_check_all, new_entries, new_nonces, write_members_and_mentions,
};
use crate::rows::{self, Columns as _};
use crate::statements::{Statements as _, Value, json};
use crate::{StoreError, changes, columns, files, rooms};
use Value::{Number, Text};

/// Stores a batch inside the caller's transaction.
pub(super) async fn append(
    connection: &mut Connection,
    drafts: &[Draft],
    now_ms: u64,
) -> Result<Commit, StoreError> {
    if let Some(commit) = store(connection, drafts, Checked::Hinted, now_ms).await? {
        return Ok(commit);
    }
    for statement in ["ROLLBACK", "BEGIN IMMEDIATE"] {
        connection.rows(statement, &[]).await?;
    }
    let commit = store(connection, drafts, Checked::All, now_ms).await?;
    commit.ok_or(StoreError::Damaged { what: "a checked batch that must be checked" })
}

/// Stores a batch; `None` if drafts must be checked that were not.
async fn store(
    connection: &mut Connection,
    drafts: &[Draft],
    checked: Checked,
    now_ms: u64,
) -> Result<Option<Commit>, StoreError> {
    let questions = Questions::about(drafts, checked);
    let mut topics = find_topics(connection, drafts, &questions).await?;
    if must_check_all(drafts, &topics, checked) {
        return Ok(None);
    }
    let facts = answer(connection, &questions, &topics).await?;
    let batch = Batch::decide(drafts, &facts, checked, now_ms);
    topics.extend(count_in(connection, &batch, now_ms).await?);
    if must_check_all(drafts, &topics, checked) {
        return Ok(None);
    }
    let commit = batch.number(|topic, _| Ok::<_, StoreError>(find(&topics, topic)?.end))?;
    let entries = new_entries(&commit, &topics)?;
    let nonces = new_nonces(&commit, &entries, &topics)?;
    let (changes, messages): (Vec<_>, Vec<_>) = entries.into_iter().partition(changes::is_change);
    write(connection, &messages, &nonces).await?;
    write_members_and_mentions(connection, &commit, &messages, now_ms).await?;
    files::write(connection, &commit, &messages).await?;
    changes::write(connection, &commit, &changes, &topics, now_ms).await?;
    database::note_deleted(connection, &commit, now_ms).await?;
    Ok(Some(commit))
}

/// Inserts the new messages, and the nonces of all entries.
async fn write(
    connection: &mut Connection,
    messages: &[NewEntry<'_>],
    nonces: &[NewNonce<'_>],
) -> Result<(), StoreError> {
    let message_rows: Vec<_> = messages.iter().map(entry_row).collect();
    insert(connection, INSERT_ENTRIES, &message_rows).await?;
    let nonce_rows: Vec<_> = nonces.iter().map(nonce_row).collect();
    insert(connection, INSERT_NONCES, &nonce_rows).await
}

/// Finds the topics in which messages are changed or answered, or files attached: a draft that
/// is refused for what it names is not counted in.
async fn find_topics(
    connection: &mut Connection,
    drafts: &[Draft],
    questions: &Questions<'_>,
) -> Result<TopicRows, StoreError> {
    let mut topics: Vec<&Topic> = questions.targets.iter().map(|(topic, _)| *topic).collect();
    if !questions.files.is_empty() {
        topics.extend(drafts.iter().filter(|draft| !draft.files.is_empty()).map(|draft| &draft.topic));
        topics.sort_unstable();
    }
    topics.dedup();
    if topics.is_empty() {
        return Ok(TopicRows::new());
    }
    let keys: Vec<_> = topics.into_iter().map(columns::topic_key).collect();
    let found = connection.rows(FIND_TOPICS, &[Text(&json(&keys)?)]).await?;
    found.iter().map(rows::topic_row).collect()
}

/// Looks up what the decisions about a batch depend on.
async fn answer<'a>(
    connection: &mut Connection,
    questions: &Questions<'a>,
    topics: &TopicRows,
) -> Result<Facts<'a>, StoreError> {
    let mut facts = Facts::default();
    if !questions.nonces.is_empty() {
        let nonces: Vec<_> =
            questions.nonces.iter().map(|(author, nonce)| (author.as_str(), nonce.as_str())).collect();
        for row in &connection.rows(KNOWN_NONCES, &[Text(&json(&nonces)?)]).await? {
            let (position, first) = rows::first_result(row)?;
            facts.first_results.extend(nth(&questions.nonces, position).map(|nonce| (*nonce, first)));
        }
    }
    if !questions.accounts.is_empty() {
        let names: Vec<&str> = questions.accounts.iter().map(|name| name.as_str()).collect();
        for row in &connection.rows(RECIPIENTS, &[Text(&json(&names)?)]).await? {
            facts.accounts.extend(nth(&questions.accounts, row.integer(0)?));
        }
    }
    rooms::read::facts(connection, questions, &mut facts).await?;
    changes::facts(connection, questions, topics, &mut facts).await?;
    files::facts(connection, questions, &mut facts).await?;
    Ok(facts)
}

/// The value at a position that SQLite counts from 0.
fn nth<T>(values: &[T], position: i64) -> Option<&T> {
    values.get(usize::try_from(position).ok()?)
}

/// Adds the new entries to the numbers of their topics.
async fn count_in(
    connection: &mut Connection,
    batch: &Batch<'_>,
    now_ms: u64,
) -> Result<TopicRows, StoreError> {
    let additions: Vec<_> = batch
        .additions()
        .map(|(topic, addition)| {
            let (kind, name, other) = columns::topic_key(topic);
            let Addition { entries, messages } = addition;
            (kind, name, other, entries, messages > 0, messages < entries)
        })
        .collect();
    if additions.is_empty() {
        return Ok(TopicRows::new());
    }
    let values = [Text(&json(&additions)?), Number(columns::column(now_ms))];
    let counted = connection.rows(COUNT_IN, &values).await?;
    counted.iter().map(rows::topic_row).collect()
}

fn entry_row<'a>(new: &NewEntry<'a>) -> impl serde::Serialize + use<'a> {
    let entry = new.entry;
    (
        new.topic,
        entry.seq,
        columns::entry_kind(&entry.body),
        entry.from.as_str(),
        entry.room.as_ref().map(|room| room.as_str()),
        entry.body.text(),
        columns::column(entry.at_ms),
        entry.nonce.as_ref().map(|nonce| nonce.as_str()),
        columns::mentions(&entry.body),
        columns::reply_to(&entry.body),
    )
}

fn nonce_row<'a>(new: &NewNonce<'a>) -> impl serde::Serialize + use<'a> {
    (new.sender, new.nonce, new.topic, new.seq, new.at)
}

async fn insert(
    connection: &mut Connection,
    sql: &'static str,
    rows: &[impl serde::Serialize],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    connection.rows(sql, &[Text(&json(rows)?)]).await.map(drop)
}

// CROSS JOIN makes SQLite keep this order of the tables, and look each row up by its
// key.
pub(super) const KNOWN_NONCES: &str = "SELECT d.key, t.kind, t.name, t.other, n.seq, n.at
       FROM jsonb_each(?1) AS d
      CROSS JOIN nonces AS n ON n.sender = d.value ->> 0 AND n.nonce = d.value ->> 1
      CROSS JOIN topics AS t ON t.id = n.topic";

pub(super) const RECIPIENTS: &str =
    "SELECT d.key FROM jsonb_each(?1) AS d CROSS JOIN users AS u ON u.username = d.value";

pub(super) const FIND_TOPICS: &str =
    "SELECT t.id, t.kind, t.name, t.other, t.last_seq, t.last_at, t.special FROM jsonb_each(?1) AS d
      CROSS JOIN topics AS t
         ON t.kind = d.value ->> 0 AND t.name = d.value ->> 1 AND t.other = d.value ->> 2";

// "WHERE true" makes the parser take ON as a part of the INSERT.
const COUNT_IN: &str = "INSERT INTO topics (kind, name, other, last_seq, last_at, changed_at)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3,
            CASE WHEN value ->> 4 THEN ?2 ELSE 0 END, CASE WHEN value ->> 5 THEN ?2 ELSE 0 END
       FROM jsonb_each(?1) WHERE true
         ON CONFLICT (kind, name, other) DO UPDATE
        SET last_seq = last_seq + excluded.last_seq,
            last_at = CASE excluded.last_at WHEN 0 THEN last_at
                      ELSE max(last_at, changed_at, excluded.last_at) END,
            changed_at = CASE excluded.changed_at WHEN 0 THEN changed_at
                         ELSE max(last_at, changed_at, excluded.changed_at) END
     RETURNING id, kind, name, other, last_seq, max(last_at, changed_at), special";

const INSERT_ENTRIES: &str = "INSERT INTO entries
            (topic, seq, kind, sender, room, text, at, nonce, mentions, reply_to)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
            value ->> 8, value ->> 9
       FROM jsonb_each(?1)";

const INSERT_NONCES: &str = "INSERT INTO nonces (sender, nonce, topic, seq, at)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
       FROM jsonb_each(?1)";
