//! A batch on its way into a database: the answers to its questions, and its new
//! entries as rows.

use std::collections::{HashMap, HashSet};

use chat_core::{Commit, Entry, Facts, FirstResult, Nonce, Topic, Username};

use crate::StoreError;
use crate::rows::TopicRow;

/// What a database knows before a batch, looked up with one statement each.
#[derive(Default)]
pub(crate) struct Answers<'a> {
    pub(crate) first_results: HashMap<(&'a Username, &'a Nonce), FirstResult>,
    /// The recipients that have an account.
    pub(crate) accounts: HashSet<&'a Username>,
}

impl Facts for Answers<'_> {
    fn first_result(&self, author: &Username, nonce: &Nonce) -> Option<FirstResult> {
        self.first_results.get(&(author, nonce)).cloned()
    }

    fn has_account(&self, name: &Username) -> bool {
        self.accounts.contains(name)
    }
}

/// The topics of a batch, after its new entries were counted in.
pub(crate) type TopicRows = HashMap<Topic, TopicRow>;

/// An entry to be written.
pub(crate) struct NewEntry<'a> {
    /// The row of its topic.
    pub(crate) topic: i64,
    pub(crate) entry: &'a Entry,
}

/// The entries of a commit that is to be written.
pub(crate) fn new_entries<'a>(
    commit: &'a Commit,
    topics: &TopicRows,
) -> Result<Vec<NewEntry<'a>>, StoreError> {
    let new =
        |entry: &'a std::sync::Arc<Entry>| Ok(NewEntry { topic: find(topics, &entry.topic)?.id, entry });
    commit.entries.iter().map(new).collect()
}

/// The row of a topic of the batch.
pub(crate) fn find<'t>(topics: &'t TopicRows, topic: &Topic) -> Result<&'t TopicRow, StoreError> {
    topics.get(topic).ok_or(StoreError::Damaged { what: "another topic than was written" })
}
