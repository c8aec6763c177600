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
    /// The topics with new entries and how many each gets, in the order of their
    /// first drafts.
    additions: Vec<(&'a Topic, u64)>,
}

/// What a log and its accounts hold before a batch: the answers to its [`Questions`].
///
/// A decision depends on these facts, on the drafts earlier in the batch, and on
/// nothing else.
#[derive(Clone, Default, Debug)]
pub struct Facts<'a> {
    /// The first results of the nonces that their authors used before.
    pub first_results: BTreeMap<(&'a Username, &'a Nonce), FirstResult>,
    /// The recipients with an account of exactly this name.
    pub accounts: BTreeSet<&'a Username>,
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
    /// The draft becomes an entry of the topic with this index in the additions.
    Store(usize),
    Answer(Outcome),
    /// The draft with this index has the same nonce, and is stored.
    Repeat(usize),
}

/// What a log does with one draft: the rule of [`Batch::decide`], for every log.
///
/// `earlier` finds the draft that its author sent before with the same nonce.
pub(crate) fn judge<'d, E>(
    draft: &'d Draft,
    earlier: impl FnOnce(&'d Username, &'d Nonce) -> Option<E>,
    has_account: impl FnOnce(&Username) -> bool,
) -> Verdict<E> {
    if let Some(earlier) = draft.nonce.as_ref().and_then(|nonce| earlier(&draft.from, nonce)) {
        Verdict::Repeat(earlier)
    } else if draft.recipient().is_some_and(|name| !has_account(name)) {
        Verdict::NoRecipient
    } else {
        Verdict::Store
    }
}

/// The judgement of one draft.
pub(crate) enum Verdict<E> {
    /// The draft becomes an entry.
    Store,
    /// The draft repeats this earlier one.
    Repeat(E),
    /// The draft is a private message to a name without an account.
    NoRecipient,
}

enum Earlier {
    Stored(FirstResult),
    /// The index of a draft in the same batch.
    InBatch(usize),
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
    pub fn decide(drafts: &'a [Draft], facts: &Facts<'a>, now_ms: u64) -> Self {
        let mut additions = Additions::default();
        let mut stored_nonces = BTreeMap::new();
        let mut decisions = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.iter().enumerate() {
            let earlier = |author, nonce| {
                let known = facts.first_results.get(&(author, nonce)).cloned().map(Earlier::Stored);
                known.or_else(|| stored_nonces.get(&(author, nonce)).copied().map(Earlier::InBatch))
            };
            let decision = match judge(draft, earlier, |name| facts.accounts.contains(name)) {
                Verdict::Repeat(Earlier::Stored(FirstResult { topic, seq, at_ms })) => {
                    Decision::Answer(Outcome::Duplicate { topic, seq, at_ms })
                }
                Verdict::Repeat(Earlier::InBatch(first)) => Decision::Repeat(first),
                Verdict::NoRecipient => Decision::Answer(Outcome::NoRecipient { at_ms: now_ms }),
                Verdict::Store => {
                    // No later draft can repeat the nonce of the last one.
                    if let Some(nonce) = draft.nonce.as_ref().filter(|_| index + 1 < drafts.len()) {
                        stored_nonces.insert((&draft.from, nonce), index);
                    }
                    Decision::Store(additions.add(&draft.topic))
                }
            };
            decisions.push(decision);
        }
        Self { drafts, decisions, additions: additions.counts }
    }

    /// How many entries each topic gets, in the order of topics. Logs that lock
    /// topics in this order cannot deadlock.
    pub fn additions(&self) -> impl ExactSizeIterator<Item = (&'a Topic, u64)> {
        let mut additions = self.additions.clone();
        additions.sort_unstable();
        additions.into_iter()
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
        let mut next = Vec::with_capacity(self.additions.len());
        for (topic, count) in self.additions {
            let end = count_in(topic, count)?;
            next.push(((end.last + 1).saturating_sub(count), end.at_ms));
        }
        let mut commit = Commit {
            entries: Vec::with_capacity(self.drafts.len()),
            receipts: Vec::with_capacity(self.drafts.len()),
        };
        for (draft, decision) in self.drafts.iter().zip(self.decisions) {
            let outcome = match decision {
                Decision::Store(topic) => {
                    let (seq, at_ms) = &mut next[topic];
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

/// Counts the new entries of each topic.
///
/// Most batches are of one topic, or of runs of one: the index by topic is looked
/// at only where the topic is not that of the draft before.
#[derive(Default)]
struct Additions<'a> {
    counts: Vec<(&'a Topic, u64)>,
    last: usize,
    /// The position of each topic in `counts`; empty while there is one topic.
    index: BTreeMap<&'a Topic, usize>,
}

impl<'a> Additions<'a> {
    /// Counts one more entry of a topic, and returns the topic's position.
    fn add(&mut self, topic: &'a Topic) -> usize {
        let is_last = self.counts.get(self.last).is_some_and(|(last, _)| *last == topic);
        if !is_last {
            if let [(only, _)] = self.counts[..] {
                self.index.insert(only, 0);
            }
            self.last = match self.index.get(topic) {
                Some(&position) => position,
                None => {
                    self.counts.push((topic, 0));
                    let position = self.counts.len() - 1;
                    if position > 0 {
                        self.index.insert(topic, position);
                    }
                    position
                }
            };
        }
        self.counts[self.last].1 += 1;
        self.last
    }
}

/// The entry that a draft becomes.
pub(crate) fn entry(draft: &Draft, seq: u64, at_ms: u64) -> Entry {
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
