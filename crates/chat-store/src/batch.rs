//! What becomes of each draft of a batch, by the rules of every log. The
//! databases differ in how they are asked and told, not in this.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chat_core::{Commit, Draft, Entry, Nonce, Outcome, Receipt, Topic, Username};

use crate::StoreError;

/// A batch of which it is decided what becomes of each draft. It still lacks
/// the numbers.
pub(crate) struct Batch<'a> {
    drafts: &'a [Draft],
    decisions: Vec<Decision>,
    /// How many entries each topic gets, in the order in which a database that
    /// locks rows cannot deadlock.
    pub(crate) counts: BTreeMap<&'a Topic, u64>,
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

impl<'a> Batch<'a> {
    /// Draft by draft, as if each were a batch of its own. `known` has the
    /// first results of nonces that were stored before, by the index of the
    /// draft that repeats one; `accounts`, who of the recipients exists.
    pub(crate) fn decide(
        drafts: &'a [Draft],
        mut known: HashMap<usize, Outcome>,
        accounts: &HashSet<&Username>,
    ) -> Self {
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
        Self { drafts, decisions, counts }
    }

    /// Gives the numbers: what is to be written, and what it will have been
    /// once it is committed.
    pub(crate) fn numbered(
        self,
        mut places: HashMap<Topic, Place>,
        now_ms: u64,
    ) -> Result<(Vec<NewEntry<'a>>, Commit), StoreError> {
        let mut new = Vec::with_capacity(self.drafts.len());
        let mut commit = Commit {
            entries: Vec::with_capacity(self.drafts.len()),
            receipts: Vec::with_capacity(self.drafts.len()),
        };
        for (draft, decision) in self.drafts.iter().zip(self.decisions) {
            let outcome = match decision {
                Decision::Store => {
                    let place = places
                        .get_mut(&draft.topic)
                        .ok_or(StoreError::Damaged { what: "another topic than was written" })?;
                    let entry = NewEntry { topic: place.id, seq: place.next, at_ms: place.at_ms, draft };
                    place.next += 1;
                    let outcome = Outcome::Stored { seq: entry.seq, at_ms: entry.at_ms };
                    commit.entries.push(Arc::new(entry.as_read()));
                    new.push(entry);
                    outcome
                }
                Decision::Answer(outcome) => outcome,
                Decision::Repeat(first) => again(&self.drafts[first].topic, &commit.receipts[first].outcome),
                Decision::Refuse => Outcome::NoRecipient { at_ms: now_ms },
            };
            commit.receipts.push(Receipt { draft: draft.id, outcome });
        }
        Ok((new, commit))
    }
}

/// Where the entries of a batch go in one topic.
pub(crate) struct Place {
    /// The topic's row.
    pub(crate) id: i64,
    /// The number of the next entry.
    pub(crate) next: u64,
    /// The stamp of all of them.
    pub(crate) at_ms: u64,
}

impl Place {
    /// Where `count` entries go that a topic now ends with.
    pub(crate) fn at_end(id: i64, last: u64, count: u64, at_ms: u64) -> Self {
        Self { id, next: (last + 1).saturating_sub(count), at_ms }
    }
}

/// An entry to be written.
pub(crate) struct NewEntry<'a> {
    /// Its topic's row.
    pub(crate) topic: i64,
    pub(crate) seq: u64,
    pub(crate) at_ms: u64,
    pub(crate) draft: &'a Draft,
}

impl NewEntry<'_> {
    fn as_read(&self) -> Entry {
        let draft = self.draft;
        Entry {
            topic: draft.topic.clone(),
            seq: self.seq,
            from: draft.from.clone(),
            room: draft.room.clone(),
            body: draft.body.clone(),
            at_ms: self.at_ms,
            nonce: draft.nonce.clone(),
        }
    }
}

/// The drafts that have a nonce: their index, author and nonce.
pub(crate) fn nonces(drafts: &[Draft]) -> impl Iterator<Item = (usize, &Username, &Nonce)> {
    let with_index = drafts.iter().enumerate();
    with_index.filter_map(|(index, draft)| Some((index, &draft.from, draft.nonce.as_ref()?)))
}

/// Those to whom something private is written, each once.
pub(crate) fn recipients(drafts: &[Draft]) -> Vec<&Username> {
    let names: BTreeSet<&Username> = drafts.iter().filter_map(recipient).collect();
    names.into_iter().collect()
}

/// Who gets a private message.
fn recipient(draft: &Draft) -> Option<&Username> {
    match &draft.topic {
        Topic::Room(_) => None,
        Topic::Pair(pair) => Some(pair.other(&draft.from)),
    }
}

/// The answer to a draft whose nonce was stored in the same batch.
fn again(topic: &Topic, first: &Outcome) -> Outcome {
    match *first {
        Outcome::Stored { seq, at_ms } => Outcome::Duplicate { topic: topic.clone(), seq, at_ms },
        ref other => other.clone(),
    }
}
