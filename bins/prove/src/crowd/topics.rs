//! Names of places as the ledger has them, each made once.

use std::collections::HashMap;
use std::sync::Arc;

use chat_client::{Entry, Event as ClientEvent, Topic as ClientTopic};
use chat_core::Topic;

use crate::ledger::{Event, Seen, Words, between, in_room};

/// Those of one client.
pub(crate) struct Topics {
    user: Arc<str>,
    known: HashMap<String, Arc<Topic>>,
}

impl Topics {
    pub(crate) fn new(user: Arc<str>) -> Self {
        Self { user, known: HashMap::new() }
    }

    pub(crate) fn of(&mut self, place: &ClientTopic) -> Arc<Topic> {
        match place {
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

    /// What matters of what a client told its application.
    pub(crate) fn noted(&mut self, event: ClientEvent) -> Option<Event> {
        Some(match event {
            ClientEvent::Online { conversations, has_more, .. } => {
                let privates = conversations.into_iter();
                let privates = privates.map(|top| (between(&self.user, &top.with), top.seq)).collect();
                Event::Online { privates, has_more }
            }
            ClientEvent::Joined { room, seq, recovered, .. } => {
                Event::Joined { room: in_room(&room), seq, recovered }
            }
            ClientEvent::Left { room } => Event::Left { room: in_room(&room) },
            ClientEvent::Reset { topic } => Event::Reset { topic: (*self.of(&topic)).clone() },
            ClientEvent::Message { topic, entry } => {
                let Entry { seq, from, text, timestamp, nonce } = entry;
                let words = Words::of(&from, &text, nonce.as_deref(), timestamp);
                Event::Entry(Seen { topic: self.of(&topic), seq, words })
            }
            ClientEvent::Stored { nonce, topic, seq, .. } => {
                Event::Stored { nonce, topic: self.of(&topic), seq }
            }
            _ => return None,
        })
    }
}
