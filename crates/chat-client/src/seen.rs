//! What an application has seen: where it goes on after it was away.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Conversation, Event, Place};

/// What an application has seen of each room and private conversation.
///
/// A session keeps one for itself. An application that writes its own effects
/// down keeps another, [`apply`](Self::apply)s each event to it, and writes
/// both down together: after a crash, what it has not written down comes again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Whose conversations these are.
    user: Option<String>,
    /// The numbering of the conversations.
    epoch: Option<String>,
    /// A conversation that is not listed here has not begun.
    is_complete: bool,
    people: BTreeMap<String, Person>,
    rooms: BTreeMap<String, Room>,
    /// Counts up, to tell which conversations were used last.
    used: u64,
    /// What it was at a `hello` behind which everything came that was older.
    #[serde(default)]
    settled: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Person {
    seq: u64,
    used: u64,
}

/// What was seen of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Room {
    pub(crate) epoch: String,
    /// The last number; none before the first message came.
    pub(crate) seq: Option<u64>,
}

impl Seen {
    /// Takes note of an event that was dealt with.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Online { user, epoch, conversations, has_more } => {
                self.greeted(user, epoch, conversations, *has_more);
            }
            Event::Joined { room, epoch, seq, recovered, .. } => {
                let seen = self.rooms.entry(room.clone()).or_insert(Room { epoch: String::new(), seq: None });
                if !recovered {
                    // An empty room has been seen whole.
                    *seen = Room { epoch: epoch.clone(), seq: (*seq == 0).then_some(0) };
                }
            }
            Event::NotJoined { room, .. } | Event::Left { room } => {
                self.rooms.remove(room);
            }
            Event::Reset { place: Place::Room(room) } => {
                if let Some(seen) = self.rooms.get_mut(room) {
                    seen.seq = None;
                }
            }
            Event::Reset { place: Place::Person(with) } => {
                self.people.remove(with);
            }
            Event::Message { place, entry } => self.advance(place, entry.seq),
            _ => {}
        }
    }

    /// The rooms that one is in.
    pub fn rooms(&self) -> impl Iterator<Item = &str> {
        self.rooms.keys().map(String::as_str)
    }

    /// The number of the last entry seen; `None` where nothing was.
    pub fn seq(&self, place: &Place) -> Option<u64> {
        match place {
            Place::Room(room) => self.rooms.get(room)?.seq,
            Place::Person(with) => self.person(with),
        }
    }

    /// Everything up to this number was seen.
    pub(crate) fn advance(&mut self, place: &Place, seq: u64) {
        match place {
            Place::Room(room) => {
                if let Some(seen) = self.rooms.get_mut(room) {
                    seen.seq = Some(seq);
                }
            }
            Place::Person(with) => self.set_person(with, seq),
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

    pub(crate) fn people(&self) -> impl Iterator<Item = (&str, u64)> {
        self.people.iter().map(|(with, person)| (with.as_str(), person.seq))
    }

    pub(crate) fn person(&self, with: &str) -> Option<u64> {
        self.people.get(with).map(|person| person.seq)
    }

    /// Whether something may have been missed of the conversations that a
    /// `hello` leaves out. Not if one of those it lists has nothing newer than
    /// a settled `hello` knew: what is left out is older than that. That one
    /// has nothing new at all would not be enough, as conversations may
    /// overtake one another on their way here.
    pub(crate) fn may_hide(&self, listed: &[Conversation]) -> bool {
        let is_old = |listed: &Conversation| {
            let person = self.people.get(&listed.with);
            person.is_some_and(|person| person.seq >= listed.seq && person.used <= self.settled)
        };
        !listed.iter().any(is_old)
    }

    /// A mark for [`settle`](Self::settle).
    pub(crate) fn mark(&self) -> u64 {
        self.used
    }

    /// Everything has come that was said before this mark.
    pub(crate) fn settle(&mut self, mark: u64) {
        self.settled = mark;
    }

    fn greeted(&mut self, user: &str, epoch: &str, listed: &[Conversation], has_more: bool) {
        if self.user.as_deref() != Some(user) || self.epoch.is_none() {
            self.user = Some(user.to_owned());
            self.epoch = Some(epoch.to_owned());
            self.people.clear();
            self.settled = 0;
            self.is_complete = !has_more;
            for conversation in listed {
                self.set_person(&conversation.with, conversation.seq);
            }
            return;
        }
        let was_complete = self.is_complete;
        let new: Vec<&str> = listed
            .iter()
            .map(|listed| listed.with.as_str())
            .filter(|with| !self.people.contains_key(*with))
            .collect();
        let may_hide = has_more && self.may_hide(listed);
        if self.epoch.as_deref() != Some(epoch) {
            self.epoch = Some(epoch.to_owned());
            self.people.clear();
            self.settled = 0;
            self.is_complete &= !has_more;
        } else {
            self.is_complete &= !may_hide;
        }
        if was_complete {
            for with in new {
                self.set_person(with, 0);
            }
        }
    }

    fn set_person(&mut self, with: &str, seq: u64) {
        self.used += 1;
        let used = self.used;
        if let Some(person) = self.people.get_mut(with) {
            *person = Person { seq, used };
            return;
        }
        if self.people.len() >= CONVERSATIONS_MAX
            && let Some(oldest) =
                self.people.iter().min_by_key(|(_, person)| person.used).map(|(with, _)| with.clone())
        {
            self.people.remove(&oldest);
            self.is_complete = false;
        }
        self.people.insert(with.to_owned(), Person { seq, used });
    }
}

/// Conversations that are remembered, the latest. One beyond that starts with
/// its latest messages when it is heard of again.
pub const CONVERSATIONS_MAX: usize = 10_000;
