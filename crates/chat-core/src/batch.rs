//! What a log does with each draft of a batch: one rule for every log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{Commit, Draft, Entry, Nonce, Outcome, Receipt, Topic, Username};

/// A batch whose drafts are decided and whose new entries have no numbers yet.
///
/// A log stores a batch in three steps: it looks up the [facts](Facts) that the
/// decisions depend on, [decides](Self::decide), and [numbers](Self::number) the
/// new entries. How the facts are looked up and how the commit is written is the
/// log's own business; the decisions are made here, for every log.
pub struct Batch<'a> {
    drafts: &'a [Draft],
    decisions: Vec<Decision>,
    /// New entries of each topic.
    additions: BTreeMap<&'a Topic, u64>,
}

/// What a log and its accounts hold before a batch.
///
/// A decision depends on these facts, on the drafts earlier in the batch, and on
/// nothing else.
pub trait Facts {
    /// The first result of a nonce that its author used before.
    fn first_result(&self, author: &Username, nonce: &Nonce) -> Option<FirstResult>;

    /// Whether there is an account of exactly this name.
    fn has_account(&self, name: &Username) -> bool;
}

/// The facts that a batch depends on, for a log that looks all of them up at once.
pub struct Questions<'a> {
    /// Author and nonce of each draft that has a nonce.
    pub nonces: Vec<(&'a Username, &'a Nonce)>,
    /// The recipients of the private messages, each once.
    pub recipients: Vec<&'a Username>,
}

/// The entry that was stored under a nonce.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FirstResult {
    /// Its topic.
    pub topic: Topic,
    /// Its number there.
    pub seq: u64,
    /// See [`Entry::at_ms`].
    pub at_ms: u64,
}

/// The end of a topic after the new entries of a batch were counted in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TopicEnd {
    /// The number of the last new entry.
    pub last: u64,
    /// The stamp of the new entries: `max(now, the topic's last stamp)`.
    pub at_ms: u64,
}

enum Decision {
    Store,
    Answer(Outcome),
    /// The draft with this index has the same nonce, and is stored.
    Repeat(usize),
}

impl<'a> Questions<'a> {
    /// The questions about these drafts.
    pub fn about(drafts: &'a [Draft]) -> Self {
        let nonces = drafts.iter().filter_map(|draft| Some((&draft.from, draft.nonce.as_ref()?)));
        let recipients: BTreeSet<&Username> = drafts.iter().filter_map(Draft::recipient).collect();
        Self { nonces: nonces.collect(), recipients: recipients.into_iter().collect() }
    }
}

impl<'a> Batch<'a> {
    /// Decides what becomes of each draft, as if each were a batch of its own.
    ///
    /// A nonce that its author used before, also earlier in the batch, answers
    /// [`Outcome::Duplicate`] with the first result, whatever else the draft
    /// contains. Then a private message to a name without an account answers
    /// [`Outcome::NoRecipient`], and its nonce stays unused. Every other draft is
    /// stored.
    pub fn decide(drafts: &'a [Draft], facts: &impl Facts, now_ms: u64) -> Self {
        let mut additions = BTreeMap::new();
        let mut stored_nonces = BTreeMap::new();
        let mut decisions = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.iter().enumerate() {
            let nonce = draft.nonce.as_ref().map(|nonce| (&draft.from, nonce));
            let first_result = nonce.and_then(|(author, nonce)| facts.first_result(author, nonce));
            let decision = if let Some(FirstResult { topic, seq, at_ms }) = first_result {
                Decision::Answer(Outcome::Duplicate { topic, seq, at_ms })
            } else if let Some(&first) = nonce.and_then(|nonce| stored_nonces.get(&nonce)) {
                Decision::Repeat(first)
            } else if draft.recipient().is_some_and(|name| !facts.has_account(name)) {
                Decision::Answer(Outcome::NoRecipient { at_ms: now_ms })
            } else {
                if let Some(nonce) = nonce {
                    stored_nonces.insert(nonce, index);
                }
                *additions.entry(&draft.topic).or_default() += 1;
                Decision::Store
            };
            decisions.push(decision);
        }
        Self { drafts, decisions, additions }
    }

    /// How many entries each topic gets, in the order of topics. Logs that lock
    /// topics in this order cannot deadlock.
    pub fn additions(&self) -> impl ExactSizeIterator<Item = (&'a Topic, u64)> {
        self.additions.iter().map(|(topic, count)| (*topic, *count))
    }

    /// Numbers the new entries and makes the receipts, in the order of the drafts.
    ///
    /// `count_in` adds the new entries to their number in a topic and returns its
    /// end; it is called once for each of the [additions](Self::additions).
    ///
    /// # Errors
    ///
    /// Those of `count_in`.
    pub fn number<E>(
        self,
        mut count_in: impl FnMut(&'a Topic, u64) -> Result<TopicEnd, E>,
    ) -> Result<Commit, E> {
        // The next number and the stamp of each topic.
        let mut next = BTreeMap::new();
        for (topic, count) in self.additions() {
            let end = count_in(topic, count)?;
            next.insert(topic, ((end.last + 1).saturating_sub(count), end.at_ms));
        }
        let mut commit = Commit {
            entries: Vec::with_capacity(self.drafts.len()),
            receipts: Vec::with_capacity(self.drafts.len()),
        };
        for (draft, decision) in self.drafts.iter().zip(self.decisions) {
            let outcome = match decision {
                Decision::Store => {
                    let (seq, at_ms) = next.get_mut(&draft.topic).expect("each topic was counted in");
                    commit.entries.push(Arc::new(entry(draft, *seq, *at_ms)));
                    *seq += 1;
                    Outcome::Stored { seq: *seq - 1, at_ms: *at_ms }
                }
                Decision::Answer(outcome) => outcome,
                Decision::Repeat(first) => repeated(&self.drafts[first], &commit.receipts[first].outcome),
            };
            commit.receipts.push(Receipt { draft: draft.id, outcome });
        }
        Ok(commit)
    }
}

fn entry(draft: &Draft, seq: u64, at_ms: u64) -> Entry {
    Entry {
        topic: draft.topic.clone(),
        seq,
        from: draft.from.clone(),
        room: draft.room.clone(),
        body: draft.body.clone(),
        at_ms,
        nonce: draft.nonce.clone(),
    }
}

/// The outcome of a draft whose nonce an earlier draft of the batch has.
fn repeated(first: &Draft, outcome: &Outcome) -> Outcome {
    match *outcome {
        Outcome::Stored { seq, at_ms } => Outcome::Duplicate { topic: first.topic.clone(), seq, at_ms },
        ref other => other.clone(),
    }
}
