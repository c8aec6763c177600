//! How far an application has seen each topic: where a session resumes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Conversation, Event, Topic};

/// The number of the last entry that an application has seen, for each room and
/// private conversation.
///
/// A session keeps one for itself. An application that saves its own effects
/// keeps another, [`apply`](Self::apply)s each event to it, and saves both
/// together: after a crash, the events behind the saved state come again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The user whose conversations these are.
    user: Option<String>,
    /// The epoch of the conversations.
    epoch: Option<String>,
    /// A conversation that is not in `privates` has not begun.
    is_complete: bool,
    #[serde(alias = "people")]
    privates: BTreeMap<String, Private>,
    rooms: BTreeMap<String, Room>,
    /// Counts each use of a conversation, to find the one that was used longest ago.
    used: u64,
    /// The value of `used` at the last `hello` whose older messages were all
    /// delivered.
    #[serde(default, alias = "settled")]
    caught_up_at: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Private {
    seq: u64,
    used: u64,
}

/// How far a room was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Room {
    pub(crate) epoch: String,
    /// The number of the last entry; `None` before the first message.
    pub(crate) seq: Option<u64>,
}

impl Seen {
    /// Takes note of an event that the application has handled.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Online { user, epoch, conversations, has_more, .. } => {
                self.hello(user, epoch, conversations, *has_more);
            }
            Event::Joined { room, epoch, seq, recovered, .. } => {
                let seen = self.rooms.entry(room.clone()).or_insert(Room { epoch: String::new(), seq: None });
                if !recovered {
                    // An empty room is seen up to 0.
                    *seen = Room { epoch: epoch.clone(), seq: (*seq == 0).then_some(0) };
                }
            }
            Event::NotJoined { room, .. } | Event::Left { room, .. } => {
                self.rooms.remove(room);
            }
            Event::Replayed { room, upto } => self.advance(&Topic::Room(room.clone()), *upto),
            Event::Reset { topic: Topic::Room(room) } => {
                if let Some(seen) = self.rooms.get_mut(room) {
                    seen.seq = None;
                }
            }
            Event::Reset { topic: Topic::Private(with) } => {
                self.privates.remove(with);
            }
            Event::Message { topic, entry } => self.advance(topic, entry.seq),
            Event::Change { topic, change } => self.advance(topic, change.seq),
            Event::UnknownEntry { topic, seq } => self.advance(topic, *seq),
            _ => {}
        }
    }

    /// The joined rooms.
    pub fn rooms(&self) -> impl Iterator<Item = &str> {
        self.rooms.keys().map(String::as_str)
    }

    /// The number of the last entry seen; `None` if no entry was seen.
    pub fn seq(&self, topic: &Topic) -> Option<u64> {
        match topic {
            Topic::Room(room) => self.rooms.get(room)?.seq,
            Topic::Private(with) => self.private(with),
        }
    }

    /// Takes note that everything up to this number was seen.
    pub(crate) fn advance(&mut self, topic: &Topic, seq: u64) {
        match topic {
            Topic::Room(room) => {
                if let Some(seen) = self.rooms.get_mut(room) {
                    seen.seq = Some(seq);
                }
            }
            Topic::Private(with) => self.set_private(with, seq),
        }
    }

    pub(crate) fn room(&self, room: &str) -> Option<&Room> {
        self.rooms.get(room)
    }

    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(crate) fn epoch(&self) -> Option<&str> {
        self.epoch.as_deref()
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    pub(crate) fn privates(&self) -> impl Iterator<Item = (&str, u64)> {
        self.privates.iter().map(|(with, private)| (with.as_str(), private.seq))
    }

    pub(crate) fn private(&self, with: &str) -> Option<u64> {
        self.privates.get(with).map(|private| private.seq)
    }

    /// Whether messages may be missing in conversations that a `hello` leaves out,
    /// as it lists only the latest ones. None are missing if a listed conversation
    /// has nothing newer than the last `hello` behind which everything was
    /// delivered: the conversations left out are older than that. A listed
    /// conversation without anything new is not enough, as conversations may
    /// overtake one another on their way to this client.
    pub(crate) fn may_hide(&self, listed: &[Conversation]) -> bool {
        let is_old = |listed: &Conversation| {
            let private = self.privates.get(&listed.with);
            private.is_some_and(|private| private.seq >= listed.seq && private.used <= self.caught_up_at)
        };
        !listed.iter().any(is_old)
    }

    /// The present mark, for [`caught_up`](Self::caught_up).
    pub(crate) fn mark(&self) -> u64 {
        self.used
    }

    /// Takes note that every message from before this mark was delivered.
    pub(crate) fn caught_up(&mut self, mark: u64) {
        self.caught_up_at = mark;
    }

    fn hello(&mut self, user: &str, epoch: &str, listed: &[Conversation], has_more: bool) {
        if self.user.as_deref() != Some(user) || self.epoch.is_none() {
            self.user = Some(user.to_owned());
            self.epoch = Some(epoch.to_owned());
            self.privates.clear();
            self.caught_up_at = 0;
            self.is_complete = !has_more;
            for conversation in listed {
                self.set_private(&conversation.with, conversation.seq);
            }
            return;
        }
        let was_complete = self.is_complete;
        let new: Vec<&str> = listed
            .iter()
            .map(|listed| listed.with.as_str())
            .filter(|with| !self.privates.contains_key(*with))
            .collect();
        let may_hide = has_more && self.may_hide(listed);
        if self.epoch.as_deref() != Some(epoch) {
            self.epoch = Some(epoch.to_owned());
            self.privates.clear();
            self.caught_up_at = 0;
            self.is_complete &= !has_more;
        } else {
            self.is_complete &= !may_hide;
        }
        if was_complete {
            for with in new {
                self.set_private(with, 0);
            }
        }
    }

    fn set_private(&mut self, with: &str, seq: u64) {
        self.used += 1;
        let used = self.used;
        if let Some(private) = self.privates.get_mut(with) {
            *private = Private { seq, used };
            return;
        }
        if self.privates.len() >= CONVERSATIONS_MAX
            && let Some(oldest) =
                self.privates.iter().min_by_key(|(_, private)| private.used).map(|(with, _)| with.clone())
        {
            self.privates.remove(&oldest);
            self.is_complete = false;
        }
        self.privates.insert(with.to_owned(), Private { seq, used });
    }
}

/// How many conversations are remembered, the latest ones. A forgotten one starts
/// with its latest messages when the next message comes.
pub const CONVERSATIONS_MAX: usize = 10_000;
