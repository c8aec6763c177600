//! Reading the messages of all topics in the order of a search.

use std::collections::BinaryHeap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use super::{History, Log};
use crate::{Entry, Pair, SearchPosition, SearchScope, Topic, Username};

impl History {
    /// The newest messages, as they are now, that a user may read in a scope: the newest
    /// first, at most `max`, and those before a position. Deleted ones are left out.
    ///
    /// It looks at every topic, so that it suits small histories.
    pub fn readable(
        &self,
        reader: &Username,
        scope: &SearchScope,
        before: Option<SearchPosition>,
        max: usize,
    ) -> Vec<(SearchPosition, Arc<Entry>)> {
        let topics: Vec<Topic> = match scope {
            SearchScope::All => self.written.values().cloned().collect(),
            SearchScope::Room(room) => vec![Topic::Room(room.clone())],
            SearchScope::With(other) => vec![Topic::Pair(Pair::new(reader.clone(), other.clone()))],
        };
        let logs: Vec<(&Log, u64)> = topics
            .iter()
            .filter(|topic| self.may_read(reader, topic))
            .filter_map(|topic| Some((self.topics.get(topic)?, self.topics.hasher().hash_one(topic))))
            .collect();
        // Of each topic, the newest message that was not taken yet.
        let mut newest = BinaryHeap::new();
        for (number, (log, hash)) in logs.iter().enumerate() {
            let is_before = |entry: &Arc<Entry>| before.is_none_or(|before| position(entry, *hash) < before);
            let end = log.entries.partition_point(is_before);
            newest
                .extend(log.shown_before(end).map(|(index, entry)| (position(entry, *hash), number, index)));
        }
        let mut found = Vec::new();
        while found.len() < max
            && let Some((at, number, index)) = newest.pop()
        {
            let (log, hash) = logs[number];
            found.extend(log.entries.get(index).map(|entry| (at, Arc::clone(entry))));
            newest
                .extend(log.shown_before(index).map(|(index, entry)| (position(entry, hash), number, index)));
        }
        found
    }

    /// All messages of a user that are not deleted: their topics and numbers, those of one topic
    /// in rising order. It looks at the whole log.
    pub fn messages_of(&self, user: &Username) -> Vec<(Topic, u64)> {
        let mut found = Vec::new();
        for topic in self.written.values() {
            let Some(log) = self.topics.get(topic) else { continue };
            let is_own = |entry: &&Arc<Entry>| {
                entry.from == *user && entry.body.is_message() && !entry.body.is_deleted()
            };
            found.extend(log.entries.iter().filter(is_own).map(|entry| (topic.clone(), entry.seq)));
        }
        found
    }

    fn may_read(&self, reader: &Username, topic: &Topic) -> bool {
        match topic {
            Topic::Room(room) => self.access(reader, room).may_read(room),
            Topic::Pair(pair) => pair.low() == reader || pair.high() == reader,
        }
    }
}

impl Log {
    /// The newest message before an index that is not deleted, and its index.
    fn shown_before(&self, end: usize) -> Option<(usize, &Arc<Entry>)> {
        let mut older = self.entries.range(..end.min(self.entries.len())).enumerate().rev();
        older.find(|(_, entry)| entry.body.is_message() && !entry.body.is_deleted())
    }
}

/// The position of an entry in a topic with this hash: it rises with the number.
fn position(entry: &Entry, hash: u64) -> SearchPosition {
    SearchPosition { at_ms: entry.at_ms, place: (hash & !NUMBERS) | (entry.seq & NUMBERS) }
}

/// The bits of a place that have the number of the message. The others tell topics apart.
const NUMBERS: u64 = (1 << 40) - 1;
