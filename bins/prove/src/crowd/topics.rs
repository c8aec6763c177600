//! The ledger's topics for the names that a client uses, each made once.

use std::collections::HashMap;
use std::sync::Arc;

use chat_client::{Change, ChangeKind, Entry, Event as ClientEvent, Topic as ClientTopic};
use chat_core::Topic;

use crate::ledger::{ContentHash, Event, Seen, State, between, in_room};

/// The topics of one client.
pub(crate) struct Topics {
    user: Arc<str>,
    known: HashMap<String, Arc<Topic>>,
}

impl Topics {
    pub(crate) fn new(user: Arc<str>) -> Self {
        Self { user, known: HashMap::new() }
    }

    pub(crate) fn of(&mut self, topic: &ClientTopic) -> Arc<Topic> {
        match topic {
            ClientTopic::Room(room) => {
                let make = || Arc::new(in_room(room));
                Arc::clone(self.known.entry(format!("#{room}")).or_insert_with(make))
            }
            ClientTopic::Private(with) => self.between(&Arc::clone(&self.user), with),
        }
    }

    pub(crate) fn between(&mut self, one: &str, other: &str) -> Arc<Topic> {
        let make = || Arc::new(between(one, other));
        Arc::clone(self.known.entry(format!("{one}@{other}")).or_insert_with(make))
    }

    /// The ledger's form of an event; `None` for events that are not checked.
    pub(crate) fn event(&mut self, event: ClientEvent) -> Option<Event> {
        Some(match event {
            ClientEvent::Online { conversations, has_more, .. } => {
                let privates = conversations.into_iter();
                let privates = privates.map(|top| (between(&self.user, &top.with), top.seq)).collect();
                Event::Online { privates, has_more }
            }
            ClientEvent::Joined { room, seq, recovered, .. } => {
                Event::Joined { room: in_room(&room), seq, recovered }
            }
            ClientEvent::Left { room, .. } => Event::Left { room: in_room(&room) },
            ClientEvent::Reset { topic } => Event::Reset { topic: (*self.of(&topic)).clone() },
            ClientEvent::Message { topic, entry } => {
                let topic = self.of(&topic);
                let Entry { seq, from, text, timestamp, nonce, .. } = &entry;
                let (text, nonce, kind) = (Some(&**text), nonce.as_deref(), "message");
                let content = ContentHash::of_v2(from, text, nonce, *timestamp, kind, None, None);
                let state = state(&entry);
                Event::Entry(Seen { topic, seq: *seq, content, updated: state.updated, state: state.hash() })
            }
            ClientEvent::Change { topic, change } => {
                let topic = self.of(&topic);
                let Change { seq, target, from, timestamp, nonce, kind } = change;
                let (name, text, emoji) = match &kind {
                    ChangeKind::Edit { text, .. } => ("edit", text.as_deref(), None),
                    ChangeKind::Delete => ("delete", None, None),
                    ChangeKind::React { emoji } => ("react", None, Some(&**emoji)),
                    ChangeKind::Unreact { emoji } => ("unreact", None, Some(&**emoji)),
                    _ => return None,
                };
                let (nonce, target) = (nonce.as_deref(), Some(target));
                let content = ContentHash::of_v2(&from, text, nonce, timestamp, name, target, emoji);
                let state = State::default();
                Event::Entry(Seen { topic, seq, content, updated: 0, state: state.hash() })
            }
            ClientEvent::Stored { nonce, topic, seq, .. } => {
                Event::Stored { nonce, topic: self.of(&topic), seq }
            }
            _ => return None,
        })
    }
}

/// What a client shows that changes have made of a message.
pub(crate) fn state(entry: &Entry) -> State {
    State {
        edited: entry.edited,
        deleted: entry.deleted,
        reactions: entry.reactions.iter().map(|shown| (shown.emoji.clone(), shown.count)).collect(),
        updated: entry.updated,
        reply_to: entry.reply_to,
    }
}
