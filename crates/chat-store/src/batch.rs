//! A batch on its way into a database: the rows that are written.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chat_core::{Checked, Commit, Draft, Entry, RoomChange, Topic};

use crate::rooms::members::{self, NewMember};
use crate::rows::TopicRow;
use crate::statements::{Statements, Value, json};
use crate::{StoreError, columns};

/// The topics of a batch, after the new entries were counted in.
pub(crate) type TopicRows = HashMap<Topic, TopicRow>;

/// A new entry as a row of `entries`.
pub(crate) struct NewEntry<'a> {
    /// The id of the topic's row.
    pub(crate) topic: i64,
    pub(crate) entry: &'a Entry,
}

/// The rows of the new entries of a batch.
pub(crate) fn new_entries<'a>(
    commit: &'a Commit,
    topics: &TopicRows,
) -> Result<Vec<NewEntry<'a>>, StoreError> {
    let new = |entry: &'a Arc<Entry>| Ok(NewEntry { topic: find(topics, &entry.topic)?.id, entry });
    commit.entries.iter().map(new).collect()
}

/// A row of `nonces`: the result of a draft with a nonce.
pub(crate) struct NewNonce<'a> {
    pub(crate) sender: &'a str,
    pub(crate) nonce: &'a str,
    /// The id of the topic's row.
    pub(crate) topic: i64,
    pub(crate) seq: u64,
    pub(crate) at: i64,
}

/// The rows of the nonces of a batch: those of new entries, and those that are remembered.
pub(crate) fn new_nonces<'a>(
    commit: &'a Commit,
    entries: &[NewEntry<'a>],
    topics: &TopicRows,
) -> Result<Vec<NewNonce<'a>>, StoreError> {
    let mut nonces = Vec::with_capacity(entries.len());
    for NewEntry { topic, entry } in entries {
        if let Some(nonce) = &entry.nonce {
            let (sender, nonce) = (entry.from.as_str(), nonce.as_str());
            nonces.push(NewNonce {
                sender,
                nonce,
                topic: *topic,
                seq: entry.seq,
                at: columns::column(entry.at_ms),
            });
        }
    }
    for remembered in &commit.remembered {
        nonces.push(NewNonce {
            sender: remembered.from.as_str(),
            nonce: remembered.nonce.as_str(),
            topic: find(topics, &remembered.topic)?.id,
            seq: remembered.seq,
            at: columns::column(remembered.at_ms),
        });
    }
    Ok(nonces)
}

/// Finds the row of a topic of the batch.
pub(crate) fn find<'t>(topics: &'t TopicRows, topic: &Topic) -> Result<&'t TopicRow, StoreError> {
    topics
        .get(topic)
        .ok_or(StoreError::Damaged { what: "a topic under another name than it was written with" })
}

/// Whether a topic of the batch is a closed or archived room, and one of its drafts was not
/// judged by that: the batch must be judged again, with all drafts checked.
pub(crate) fn must_check_all(drafts: &[Draft], topics: &TopicRows, checked: Checked) -> bool {
    let is_special = |topic| topics.get(topic).is_some_and(|row| row.is_special);
    topics.values().any(|row| row.is_special)
        && drafts.iter().any(|draft| !checked.includes(draft) && is_special(&draft.topic))
}

/// Writes what most batches have nothing of: new members, and who was mentioned in the new
/// messages.
pub(crate) async fn write_members_and_mentions<S: Statements>(
    statements: &mut S,
    commit: &Commit,
    entries: &[NewEntry<'_>],
    now_ms: u64,
) -> Result<(), S::Error> {
    let mut new = Vec::new();
    for change in &commit.changes {
        if let RoomChange::Member { room, user, role, top, .. } = change {
            new.push(NewMember { room, user, role: *role, read: *top, joined_at_ms: now_ms });
        }
    }
    if !new.is_empty() {
        // Rooms that are opened by their first messages: the name is the title.
        let rooms: BTreeSet<_> = new.iter().map(|new| (new.room.as_str(), new.room.as_str())).collect();
        let rooms: Vec<_> = rooms.into_iter().collect();
        let now = Value::Number(columns::column(now_ms));
        statements.rows(S::SQL.add_rooms, &[Value::Text(&json(&rooms)?), now]).await?;
        members::add(statements, &new).await?;
    }
    let mut mentions = Vec::new();
    for new in entries {
        let author = &new.entry.from;
        for name in new.entry.body.mentions().into_iter().flat_map(|all| columns::mentioned(all, author)) {
            mentions.push((new.topic, name, new.entry.seq, author.as_str()));
        }
    }
    if !mentions.is_empty() {
        statements.rows(S::SQL.add_mentions, &[Value::Text(&json(&mentions)?)]).await?;
    }
    Ok(())
}
