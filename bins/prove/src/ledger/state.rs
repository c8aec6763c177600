//! Messages, as the changes in the store make them.

use std::collections::HashMap;

use chat_core::Topic;

use super::{ContentHash, Seen, Send, Stored, What};

/// What changes have made of a message.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The time of the newest edit, in seconds since 1970.
    pub(crate) edited: Option<u64>,
    pub(crate) deleted: bool,
    /// The emoji, and how many users reacted with each.
    pub(crate) reactions: Vec<(String, u64)>,
    /// The last of the changes.
    pub(crate) updated: u64,
    pub(crate) reply_to: Option<u64>,
}

impl State {
    pub(crate) fn hash(&self) -> ContentHash {
        ContentHash::hashed(self)
    }
}

/// The stored entries of a topic, with the texts that clients have sent.
#[derive(Default)]
pub(super) struct Log<'a> {
    /// In the order of their numbers.
    pub(super) entries: Vec<&'a Stored>,
    /// The changes of each message.
    changes: HashMap<u64, Vec<&'a Stored>>,
    /// The text that each message and edit had first, by its number.
    texts: HashMap<u64, &'a str>,
    /// The sends of the entries, by number.
    sends: HashMap<u64, &'a Send>,
}

impl<'a> Log<'a> {
    pub(super) fn add(&mut self, stored: &'a Stored, send: Option<&'a Send>) {
        self.entries.push(stored);
        if let Some(target) = stored.what.target() {
            self.changes.entry(target).or_default().push(stored);
        }
        self.sends.extend(send.map(|send| (stored.seq, send)));
        self.texts.insert(stored.seq, send.map_or(&stored.text, |send| &send.text));
    }

    /// The stored entry with this number.
    pub(super) fn at(&self, seq: u64) -> Option<&'a Stored> {
        let guess = self.entries.get(usize::try_from(seq.checked_sub(1)?).ok()?);
        match guess {
            Some(stored) if stored.seq == seq => Some(stored),
            // Numbers are missing or doubled.
            _ => self.entries.iter().find(|stored| stored.seq == seq).copied(),
        }
    }

    /// The text that an entry had first.
    pub(super) fn text(&self, stored: &Stored) -> &'a str {
        self.texts.get(&stored.seq).copied().unwrap_or_default()
    }

    /// The text and the state of a message after its changes up to a number.
    pub(super) fn version(&self, message: &Stored, upto: u64) -> (&'a str, State) {
        let reply_to = match &message.what {
            What::Message(state) if !state.deleted => state.reply_to,
            // A deleted message answers nothing any more.
            _ => self.sends.get(&message.seq).and_then(|send| send.what.reply_to()),
        };
        let (mut text, mut state) = (self.text(message), State { reply_to, ..State::default() });
        let mut users: Vec<(&str, Vec<&str>)> = Vec::new();
        for change in self.changes.get(&message.seq).into_iter().flatten().filter(|change| change.seq <= upto)
        {
            state.updated = change.seq;
            match &change.what {
                What::Message(_) => {}
                What::Edit { .. } => {
                    text = self.text(change);
                    state.edited = Some(change.timestamp);
                }
                What::Delete { .. } => {
                    (text, state.edited, state.deleted, state.reply_to) = ("", None, true, None);
                    users.clear();
                }
                What::React { emoji, .. } => match users.iter_mut().find(|(shown, _)| shown == emoji) {
                    Some((_, users)) => users.push(&change.from),
                    None => users.push((emoji, vec![&change.from])),
                },
                What::Unreact { emoji, .. } => {
                    for (_, users) in users.iter_mut().filter(|(shown, _)| shown == emoji) {
                        users.retain(|user| **user != *change.from);
                    }
                    users.retain(|(_, users)| !users.is_empty());
                }
            }
        }
        state.reactions =
            users.into_iter().map(|(emoji, users)| (emoji.to_owned(), users.len() as u64)).collect();
        (text, state)
    }

    /// Whether the text of an edit is that of its message.
    fn is_newest(&self, edit: &Stored, target: u64) -> bool {
        let changes = self.changes.get(&target).map_or(&[][..], Vec::as_slice);
        let mut later = changes.iter().filter(|change| change.seq > edit.seq);
        later.all(|change| !matches!(change.what, What::Edit { .. } | What::Delete { .. }))
    }

    /// The texts of the topic that were taken back.
    pub(super) fn taken_back(&self) -> impl Iterator<Item = &'a str> {
        self.entries.iter().filter_map(|stored| {
            let is_gone = match stored.what {
                What::Message(_) => self.version(stored, u64::MAX).0 != self.text(stored),
                What::Edit { target } => !self.is_newest(stored, target),
                What::Delete { .. } | What::React { .. } | What::Unreact { .. } => false,
            };
            is_gone.then(|| self.text(stored)).filter(|text| !text.is_empty())
        })
    }

    /// Whether a client may be shown an entry so, by its content.
    pub(super) fn may_be_shown(&self, stored: &Stored, seen: &Seen) -> bool {
        match stored.what {
            What::Message(_) => stored.content(Some(self.version(stored, seen.updated).0)) == seen.content,
            What::Edit { target } => {
                let is_gone = || !self.is_newest(stored, target) && stored.content(None) == seen.content;
                stored.content(Some(self.text(stored))) == seen.content || is_gone()
            }
            What::Delete { .. } | What::React { .. } | What::Unreact { .. } => {
                stored.content(None) == seen.content
            }
        }
    }

    /// Whether a client is shown the right state of an entry.
    pub(super) fn is_right_state(&self, stored: &Stored, seen: &Seen) -> bool {
        let state = match stored.what {
            What::Message(_) => self.version(stored, seen.updated).1,
            _ => State::default(),
        };
        state.updated == seen.updated && state.hash() == seen.state
    }
}

impl Stored {
    /// The content as v2 shows it, with this text.
    pub(super) fn content(&self, text: Option<&str>) -> ContentHash {
        let Self { from, what, nonce, timestamp, .. } = self;
        ContentHash::of_v2(from, text, nonce.as_deref(), *timestamp, what.kind(), what.target(), what.emoji())
    }

    /// Whether a send makes, or asks for, what this entry has made so.
    pub(super) fn is_what(&self, send: &Send, target: Option<u64>) -> bool {
        let same_target = self.what.target() == target && target.is_some();
        self.topic == send.topic
            && same_target
            && match &self.what {
                What::React { emoji, .. } => {
                    send.what.kind() == "react"
                        && send.what.emoji() == Some(emoji)
                        && *self.from == *send.user
                }
                What::Delete { .. } => send.what.kind() == "delete",
                _ => false,
            }
    }
}

/// Topics with their logs.
pub(super) type Logs<'a> = HashMap<&'a Topic, Log<'a>>;
