//! A batch on its way into a database: the rows that are written.

use std::collections::HashMap;
use std::sync::Arc;

use chat_core::{Commit, Entry, Topic};

use crate::StoreError;
use crate::rows::TopicRow;

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

/// Finds the row of a topic of the batch.
pub(crate) fn find<'t>(topics: &'t TopicRows, topic: &Topic) -> Result<&'t TopicRow, StoreError> {
    topics
        .get(topic)
        .ok_or(StoreError::Damaged { what: "a topic under another name than it was written with" })
}
