//! The changes of messages in a history.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Log;
use crate::message::Target;
use crate::{
    Body, ChangedMessage, Emoji, Entry, KeptState, REACTION_USERS_SHOWN, Stamp, TargetFacts, Topic, Username,
};

/// What a history keeps of a changed message beside its entry.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) state: KeptState,
    reacted: BTreeMap<Emoji, Reactors>,
}

/// The users of one emoji.
#[derive(Default)]
struct Reactors {
    reactions: BTreeMap<Username, Stamp>,
    /// By the numbers of their reactions.
    in_order: BTreeMap<u64, Username>,
}

impl Kept {
    /// The reaction of a user.
    pub(super) fn reaction(&self, emoji: &Emoji, user: &Username) -> Option<Stamp> {
        self.reacted.get(emoji)?.reactions.get(user).copied()
    }

    /// The users of an emoji after a number, each with the number of the reaction.
    pub(super) fn reactors(&self, emoji: &Emoji, after: u64) -> impl Iterator<Item = (&Username, u64)> {
        let all = self.reacted.get(emoji).into_iter();
        let later = all.flat_map(move |all| all.in_order.range(after.saturating_add(1)..));
        later.map(|(seq, user)| (user, *seq))
    }

    fn take_over(&mut self, changed: &ChangedMessage) {
        self.state = changed.state.clone();
        if changed.is_deleted {
            self.reacted.clear();
        }
        for (emoji, user) in &changed.unreacted {
            if let Some(all) = self.reacted.get_mut(emoji)
                && let Some(stamp) = all.reactions.remove(user)
            {
                all.in_order.remove(&stamp.seq);
            }
        }
        for (emoji, user, stamp) in &changed.reacted {
            let all = self.reacted.entry(emoji.clone()).or_default();
            all.reactions.insert(user.clone(), *stamp);
            all.in_order.insert(stamp.seq, user.clone());
        }
        self.reacted.retain(|_, all| !all.reactions.is_empty());
    }
}

impl Log {
    /// A message that is kept, deleted or not.
    pub(super) fn message(&self, seq: u64) -> Option<&Arc<Entry>> {
        self.entry(seq).filter(|entry| entry.body.is_message())
    }

    pub(super) fn entry(&self, seq: u64) -> Option<&Arc<Entry>> {
        let index = seq.checked_sub(self.first())?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// Applies a new change to its message. Returns the entries that are replaced, as they
    /// are now: the message, and the edit before this change.
    pub(super) fn apply(&mut self, topic: &Topic, change: &Entry) -> Vec<Arc<Entry>> {
        let Some(seq) = change.body.target() else { return Vec::new() };
        let Some(message) = self.message(seq).cloned() else { return Vec::new() };
        let kept = self.changed.entry(seq).or_default();
        let mut facts = TargetFacts {
            from: message.from.clone(),
            at_ms: message.at_ms,
            state: kept.state.clone(),
            files: message.body.files().iter().map(|file| file.id).collect(),
            reacted: BTreeMap::new(),
            reactors: BTreeMap::new(),
        };
        if let Body::React { emoji, .. } | Body::Unreact { emoji, .. } = &change.body {
            if let Some(stamp) = kept.reaction(emoji, &change.from) {
                facts.reacted.insert((emoji.clone(), change.from.clone()), stamp);
            }
            if let Body::Unreact { .. } = change.body {
                // One of them goes.
                let users = kept.reactors(emoji, 0).take(REACTION_USERS_SHOWN + 1);
                let users = users.map(|(user, _)| user.clone()).collect();
                facts.reactors.insert(emoji.clone(), users);
            }
        }
        let edit_before = kept.state.edited;
        let mut target = Target::new(facts);
        target.apply(change);
        let changed = target.finish(topic.clone(), seq);
        kept.take_over(&changed);
        let state = kept.state.shown();
        let mut replaced = Vec::new();
        if let Some(text) = &changed.text {
            let (text, mentions) = text.clone();
            let (reply_to, files) = match &message.body {
                Body::Message { reply_to, files, .. } if !changed.is_deleted => (*reply_to, files.clone()),
                _ => (None, None),
            };
            let body = Body::Message { text, mentions, reply_to, files, state };
            // What was taken back has no trace of the room in which v1 wrote it.
            let room = message.room.clone().filter(|_| !changed.is_deleted);
            replaced.push(Arc::new(Entry { body, room, ..Entry::clone(&message) }));
            replaced.extend(edit_before.and_then(|edit| self.without_text(edit.seq)));
        } else if let Body::Message { text, mentions, reply_to, files, .. } = message.body.clone() {
            let body = Body::Message { text, mentions, reply_to, files, state };
            replaced.push(Arc::new(Entry { body, ..Entry::clone(&message) }));
        }
        for entry in &replaced {
            self.replace(entry);
        }
        replaced
    }

    /// An edit without its text.
    fn without_text(&self, seq: u64) -> Option<Arc<Entry>> {
        let edit = self.entry(seq)?;
        let target = edit.body.target()?;
        let body = Body::Edit { target, text: None, mentions: None };
        Some(Arc::new(Entry { body, ..Entry::clone(edit) }))
    }

    fn replace(&mut self, entry: &Arc<Entry>) {
        let index = self.index_of(entry.seq);
        if let Some(known) = self.entries.get_mut(index).filter(|known| known.seq == entry.seq) {
            *known = Arc::clone(entry);
        }
    }

    /// Forgets what was kept of a message that is removed. Returns the edit that loses its
    /// text with it.
    pub(super) fn forget_changes(&mut self, removed: &Entry) -> Option<Arc<Entry>> {
        let kept = self.changed.remove(&removed.seq)?;
        let edit = kept.state.edited.filter(|_| kept.state.deleted.is_none())?;
        let edit = self.without_text(edit.seq)?;
        self.replace(&edit);
        Some(edit)
    }
}
