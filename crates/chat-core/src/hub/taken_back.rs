//! What is taken back while pages are read: a page that was read before must not show it.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::message::Target;
use crate::seed::Seed;
use crate::{Body, Entry, Page, Topic};

/// The changes of messages that a hub has got of each topic since a page of it is being
/// read.
#[derive(Debug)]
pub(super) struct TakenBack {
    topics: HashMap<Topic, TopicChanges, Seed>,
}

/// Those of one topic.
#[derive(Debug, Default)]
struct TopicChanges {
    /// How many pages are being read.
    reads: usize,
    /// The newest changes, at most [`CHANGES_MAX`], in the order in which they came.
    changes: VecDeque<Arc<Entry>>,
    /// Changes up to this number may lack in `changes` …
    dropped: u64,
    /// … and edits and deletions up to this one.
    dropped_texts: u64,
    /// There may have been others up to this number, which the bus did not carry here.
    lost: u64,
}

/// What is to be done with a page.
#[derive(Debug)]
pub(super) enum Check {
    /// It may be used: nothing in it was taken back, as far as is known.
    Good,
    /// This is to be used in its place.
    Patched(Page),
    /// It is to be read again: something in it was taken back, or may be.
    Stale,
}

impl TakenBack {
    pub(super) fn new(seed: Seed) -> Self {
        Self { topics: HashMap::with_hasher(seed) }
    }

    /// A page of a topic begins to be read.
    pub(super) fn begin_read(&mut self, topic: &Topic) {
        self.topics.entry_ref(topic).or_default().reads += 1;
    }

    /// The page was used.
    pub(super) fn end_read(&mut self, topic: &Topic) {
        let Some(changes) = self.topics.get_mut(topic) else { return };
        changes.reads -= 1;
        if changes.reads == 0 {
            self.topics.remove(topic);
        }
    }

    /// Notes a change that is committed.
    pub(super) fn note(&mut self, change: &Arc<Entry>) {
        let Some(topic) = self.topics.get_mut(&change.topic) else { return };
        if let Body::Edit { text: None, .. } = change.body {
            // It was edited again: the message has another text by now.
            return topic.drop(change);
        }
        if topic.changes.len() == CHANGES_MAX
            && let Some(oldest) = topic.changes.pop_front()
        {
            topic.drop(&oldest);
        }
        topic.changes.push_back(Arc::clone(change));
    }

    /// Notes that entries up to a number are committed which the bus did not carry here.
    pub(super) fn note_lost(&mut self, topic: &Topic, upto: u64) {
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.lost = topic.lost.max(upto);
        }
    }

    /// Looks for what was taken back since a page was read. `is_again`: it was read twice, and
    /// what the bus did not carry here does not count any more, because it may drop entries
    /// again and again.
    pub(super) fn check(&self, topic: &Topic, page: &Page, is_again: bool) -> Check {
        let Some(known) = self.topics.get(topic) else { return Check::Good };
        let is_unsure = page.last < known.lost;
        if page.last < known.dropped_texts || is_unsure && !is_again {
            return Check::Stale;
        }
        let mut newer: Vec<&Entry> =
            known.changes.iter().map(|change| &**change).filter(|change| change.seq > page.last).collect();
        newer.sort_unstable_by_key(|change| change.seq);
        newer.dedup_by_key(|change| change.seq);
        let mut patched: Option<Page> = None;
        for (index, entry) in page.entries.iter().enumerate() {
            let Some(shown) = shows_text_of(entry) else { continue };
            let concerns = |change: &&&Entry| change.body.target() == Some(shown);
            if !newer.iter().filter(concerns).any(|change| takes_back(change)) {
                continue;
            }
            let body = match &entry.body {
                // Its state must have all changes up to that one.
                Body::Message { .. } if is_unsure || page.last < known.dropped => None,
                Body::Message { .. } => {
                    after(entry, newer.iter().copied().filter(|change| concerns(&change)))
                }
                _ => Some(Body::Edit { target: shown, text: None, mentions: None }),
            };
            let Some(body) = body else { return Check::Stale };
            let entry = Entry { body, ..Entry::clone(entry) };
            patched.get_or_insert_with(|| page.clone()).entries[index] = Arc::new(entry);
        }
        patched.map_or(Check::Good, Check::Patched)
    }
}

impl TopicChanges {
    fn drop(&mut self, change: &Entry) {
        self.dropped = self.dropped.max(change.seq);
        if takes_back(change) {
            self.dropped_texts = self.dropped_texts.max(change.seq);
        }
    }
}

/// Whether a change takes the text of a message back.
fn takes_back(change: &Entry) -> bool {
    matches!(change.body, Body::Edit { .. } | Body::Delete { .. })
}

/// The message whose text an entry shows.
fn shows_text_of(entry: &Entry) -> Option<u64> {
    match &entry.body {
        Body::Message { .. } => Some(entry.seq),
        Body::Edit { target, text: Some(_), .. } => Some(*target),
        Body::Edit { text: None, .. } | Body::Delete { .. } | Body::React { .. } | Body::Unreact { .. } => {
            None
        }
    }
}

/// A message after newer changes of it, which have the order of their numbers; `None` if they
/// do not say all that it shows.
fn after<'a>(message: &Entry, changes: impl Iterator<Item = &'a Entry>) -> Option<Body> {
    let Body::Message { text, mentions, reply_to, files, .. } = &message.body else { return None };
    let mut target = Target::read(message);
    for change in changes {
        target.apply(change);
        if !target.names_first_users() {
            return None;
        }
    }
    let changed = target.finish(message.topic.clone(), message.seq);
    let (reply_to, files) = if changed.is_deleted { (None, None) } else { (*reply_to, files.clone()) };
    let state = changed.state.shown();
    let (text, mentions) = changed.text.unwrap_or_else(|| (text.clone(), mentions.clone()));
    Some(Body::Message { text, mentions, reply_to, files, state })
}

/// Changes of one topic that are kept while pages of it are read.
const CHANGES_MAX: usize = 256;
