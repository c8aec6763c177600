//! What is taken back while pages are read: a page that was read before must not show it.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::seed::Seed;
use crate::{Body, Entry, MessageState, MessageText, Page, Topic};

/// The edits and deletions that a hub has got of each topic since a page of it is being read.
#[derive(Debug)]
pub(super) struct TakenBack {
    topics: HashMap<Topic, TopicChanges, Seed>,
}

/// Those of one topic.
#[derive(Debug, Default)]
struct TopicChanges {
    /// How many pages are being read.
    reads: usize,
    /// The newest edits and deletions, at most [`CHANGES_MAX`], in the order in which they
    /// came.
    changes: VecDeque<Arc<Entry>>,
    /// There was one with this number that is not in `changes`.
    dropped: u64,
    /// There may have been others up to this number, which the bus did not carry here.
    lost: u64,
}

/// What is to be done with a page.
#[derive(Debug)]
pub(super) enum Check {
    /// Nothing in it was taken back.
    Good,
    /// This is to be used in its place.
    Patched(Page),
    /// Something in it may be taken back that the hub has not got: it is to be read again.
    Unsure,
    /// Something in it may be taken back that the hub has got and forgotten: likewise.
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

    /// Notes an edit or a deletion that is committed.
    pub(super) fn note(&mut self, change: &Arc<Entry>) {
        let Some(topic) = self.topics.get_mut(&change.topic) else { return };
        if let Body::Edit { text: None, .. } = change.body {
            // It was edited again: the message has another text by now.
            topic.dropped = topic.dropped.max(change.seq);
            return;
        }
        if topic.changes.len() == CHANGES_MAX
            && let Some(oldest) = topic.changes.pop_front()
        {
            topic.dropped = topic.dropped.max(oldest.seq);
        }
        topic.changes.push_back(Arc::clone(change));
    }

    /// Notes that entries up to a number are committed which the bus did not carry here.
    pub(super) fn note_lost(&mut self, topic: &Topic, upto: u64) {
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.lost = topic.lost.max(upto);
        }
    }

    /// Looks for what was taken back since a page was read.
    pub(super) fn check(&self, topic: &Topic, page: &Page) -> Check {
        let Some(known) = self.topics.get(topic) else { return Check::Good };
        if page.last < known.dropped {
            return Check::Stale;
        }
        if page.last < known.lost {
            return Check::Unsure;
        }
        match patched(page, &known.changes) {
            Some(page) => Check::Patched(page),
            None => Check::Good,
        }
    }

    /// Like [`check`](Self::check), also if the bus did not carry everything here.
    pub(super) fn patch(&self, topic: &Topic, page: &Page) -> Option<Page> {
        patched(page, &self.topics.get(topic)?.changes)
    }
}

/// A page as it is after changes that are newer; `None` if they concern nothing in it.
fn patched(page: &Page, changes: &VecDeque<Arc<Entry>>) -> Option<Page> {
    let mut newer: Vec<&Entry> =
        changes.iter().map(|change| &**change).filter(|change| change.seq > page.last).collect();
    newer.sort_unstable_by_key(|change| change.seq);
    let mut patched: Option<Page> = None;
    for change in newer {
        for index in 0..page.entries.len() {
            let entries = &patched.as_ref().unwrap_or(page).entries;
            if let Some(body) = body_after(&entries[index], change, page.last) {
                let entry = Entry { body, ..Entry::clone(&entries[index]) };
                patched.get_or_insert_with(|| page.clone()).entries[index] = Arc::new(entry);
            }
        }
    }
    patched
}

/// What a newer edit or deletion makes of an entry in a page that goes up to `last`; `None`
/// if it concerns another message.
fn body_after(entry: &Entry, change: &Entry, last: u64) -> Option<Body> {
    let target = change.body.target()?;
    match &entry.body {
        Body::Edit { target: edited, text: Some(_), .. } if *edited == target => {
            Some(Body::Edit { target, text: None, mentions: None })
        }
        Body::Message { reply_to, state, .. } if entry.seq == target => match &change.body {
            Body::Edit { text: Some(text), mentions, .. } => {
                // `updated` stays: reactions before this edit, which the page lacks, are
                // still to be applied, and the edit once more.
                let mut state = state
                    .clone()
                    .unwrap_or_else(|| Box::new(MessageState { updated: last, ..MessageState::default() }));
                state.edited_at_ms = Some(change.at_ms);
                let (text, mentions) = (text.clone(), mentions.clone());
                Some(Body::Message { text, mentions, reply_to: *reply_to, state: Some(state) })
            }
            Body::Delete { .. } => {
                let deleted = MessageState { updated: change.seq, deleted: true, ..MessageState::default() };
                let state = Some(Box::new(deleted));
                let text = MessageText::stored("");
                Some(Body::Message { text, mentions: None, reply_to: None, state })
            }
            Body::Edit { text: None, .. }
            | Body::Message { .. }
            | Body::React { .. }
            | Body::Unreact { .. } => None,
        },
        Body::Message { .. }
        | Body::Edit { .. }
        | Body::Delete { .. }
        | Body::React { .. }
        | Body::Unreact { .. } => None,
    }
}

/// Edits and deletions of one topic that are kept while pages of it are read.
const CHANGES_MAX: usize = 256;
