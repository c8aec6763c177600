//! The messages that clients sent and received, compared with the store.

use std::collections::{HashMap, HashSet};
use std::fmt;

use chat_core::{Pair, RoomName, Topic, Username};
use serde_json::Value;

/// The messages that clients sent and received, and the store's entries afterwards.
#[derive(Default)]
pub(crate) struct Ledger {
    /// The sent messages; those of one author in their order.
    pub(crate) sent: Vec<Note>,
    pub(crate) connections: Vec<Connection>,
    /// The entries of the store; those of one topic in the order of their numbers.
    pub(crate) stored: Vec<Stored>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Note {
    pub(crate) topic: Topic,
    pub(crate) from: String,
    /// Unique among all messages.
    pub(crate) text: String,
}

/// The messages that one connection received, the replay first.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    pub(crate) user: String,
    pub(crate) room: String,
    pub(crate) seen: Vec<Note>,
}

pub(crate) struct Stored {
    pub(crate) seq: i64,
    pub(crate) note: Note,
}

/// What must never happen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// A received message that is not in the store.
    Lost(String),
    /// A message that one connection received twice.
    Doubled(String),
    /// A message that is not the next one in the store: one was left out, or the
    /// order is another.
    OutOfOrder { before: String, after: String },
    /// A private message that another user received.
    Leaked(String),
    /// A message that is stored more than once.
    StoredTwice(String),
    /// A stored message that was not sent: no such text of this author to this topic.
    Phantom(String),
    /// A message that is stored before an earlier message of its author.
    Overtaken { before: String, after: String },
    /// Numbers other than 1, 2, 3 …
    Numbered { text: String, seq: i64, expected: i64 },
}

impl Ledger {
    /// All violations.
    pub(crate) fn check(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        self.check_store(&mut wrong);
        let positions: HashMap<&Note, i64> =
            self.stored.iter().map(|stored| (&stored.note, stored.seq)).collect();
        for connection in &self.connections {
            connection.check(&positions, &mut wrong);
        }
        wrong
    }

    fn check_store(&self, wrong: &mut Vec<Wrong>) {
        let sent: HashMap<&Note, usize> =
            self.sent.iter().enumerate().map(|(position, note)| (note, position)).collect();
        let mut texts = HashSet::new();
        let mut ends: HashMap<&Topic, i64> = HashMap::new();
        let mut latest: HashMap<(&Topic, &str), &Note> = HashMap::new();
        for Stored { seq, note } in &self.stored {
            let text = &note.text;
            let end = ends.entry(&note.topic).or_default();
            if *seq != *end + 1 {
                wrong.push(Wrong::Numbered { text: text.clone(), seq: *seq, expected: *end + 1 });
            }
            *end = *seq;
            if !texts.insert(text) {
                wrong.push(Wrong::StoredTwice(text.clone()));
                continue;
            }
            let Some(place) = sent.get(note) else {
                wrong.push(Wrong::Phantom(text.clone()));
                continue;
            };
            if let Some(before) = latest.insert((&note.topic, &note.from), note)
                && sent[before] > *place
            {
                wrong.push(Wrong::Overtaken { before: before.text.clone(), after: text.clone() });
            }
        }
    }
}

impl Connection {
    fn check(&self, positions: &HashMap<&Note, i64>, wrong: &mut Vec<Wrong>) {
        let mut seen = HashSet::new();
        let mut latest: HashMap<&Topic, (i64, &Note)> = HashMap::new();
        for note in &self.seen {
            let text = &note.text;
            if !self.may_see(&note.topic) {
                wrong.push(Wrong::Leaked(text.clone()));
            }
            if !seen.insert(note) {
                wrong.push(Wrong::Doubled(text.clone()));
                continue;
            }
            let Some(place) = positions.get(note) else {
                wrong.push(Wrong::Lost(text.clone()));
                continue;
            };
            if let Some((before, before_note)) = latest.insert(&note.topic, (*place, note))
                && *place != before + 1
            {
                wrong.push(Wrong::OutOfOrder { before: before_note.text.clone(), after: text.clone() });
            }
        }
    }

    fn may_see(&self, topic: &Topic) -> bool {
        match topic {
            Topic::Room(room) => room.as_str() == self.room,
            Topic::Pair(pair) => [pair.low(), pair.high()].iter().any(|name| name.as_str() == self.user),
        }
    }
}

impl Note {
    /// The message in a frame; `None` for a notice.
    pub(crate) fn of(frame: &Value) -> Option<Self> {
        let text = |field: &str| frame[field].as_str().expect("a text").to_owned();
        let topic = match frame["type"].as_str() {
            Some("message") => in_room(&text("room")),
            Some("private") => between(&text("from"), &text("to")),
            _ => return None,
        };
        Some(Self { topic, from: text("from"), text: text("text") })
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen: usize = self.connections.iter().map(|connection| connection.seen.len()).sum();
        let (sent, stored, connections) = (self.sent.len(), self.stored.len(), self.connections.len());
        write!(f, "{sent} sent, {stored} stored, {seen} seen over {connections} connections")
    }
}

pub(crate) fn in_room(room: &str) -> Topic {
    Topic::Room(RoomName::parse(room).expect("a room's name"))
}

pub(crate) fn between(one: &str, other: &str) -> Topic {
    let name = |name: &str| Username::known(name).expect("a name");
    Topic::Pair(Pair::new(name(one), name(other)))
}

/// Tests of the checker: each one breaks a good ledger in one way.
mod tests {
    use super::*;

    fn said(from: &str, text: &str) -> Note {
        Note { topic: in_room("one"), from: from.into(), text: text.into() }
    }

    fn whispered(from: &str, to: &str, text: &str) -> Note {
        Note { topic: between(from, to), from: from.into(), text: text.into() }
    }

    /// Two users, a room and a private conversation, and one message that was not
    /// stored. Both join in the middle: the messages that they receive lack a
    /// beginning and an end, but have no gap.
    fn good() -> Ledger {
        let room = ["a1", "b1", "a2", "b2", "a4"].map(|text| match &text[..1] {
            "a" => said("alice", text),
            _ => said("bob", text),
        });
        let private = [whispered("alice", "bob", "a5"), whispered("bob", "alice", "b3")];
        let sent = [&["a1", "a2", "a3", "a4"].map(|text| said("alice", text))[..], &private]
            .concat()
            .into_iter()
            .chain(["b1", "b2"].map(|text| said("bob", text)))
            .collect();
        let stored = |notes: &[Note]| -> Vec<Stored> {
            (1..).zip(notes).map(|(seq, note)| Stored { seq, note: note.clone() }).collect()
        };
        let connection =
            |user: &str, seen: Vec<Note>| Connection { user: user.into(), room: "one".into(), seen };
        let mut seen_by_alice = room[1..].to_vec();
        seen_by_alice.insert(2, private[0].clone());
        seen_by_alice.insert(4, private[1].clone());
        Ledger {
            sent,
            connections: vec![
                connection("alice", seen_by_alice),
                connection("bob", room[..4].to_vec()),
                connection("bob", [&private[..], &room[3..]].concat()),
            ],
            stored: stored(&room).into_iter().chain(stored(&private)).collect(),
        }
    }

    fn text(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn a_good_ledger_is_good() {
        assert_eq!(good().check(), []);
    }

    #[test]
    fn a_received_message_that_is_not_stored_is_lost() {
        let mut ledger = good();
        // The newest message of the room, so that its numbers have no hole.
        ledger.stored.remove(4);
        assert_eq!(ledger.check(), [Wrong::Lost(text("a4")), Wrong::Lost(text("a4"))]);
    }

    #[test]
    fn a_hole_in_the_numbers_is_found() {
        let mut ledger = good();
        ledger.stored[4].seq = 6;
        let wrong = ledger.check();
        assert_eq!(wrong[0], Wrong::Numbered { text: text("a4"), seq: 6, expected: 5 });
    }

    #[test]
    fn a_message_received_twice_is_doubled() {
        let mut ledger = good();
        let again = ledger.connections[1].seen[1].clone();
        ledger.connections[1].seen.push(again);
        assert_eq!(ledger.check(), [Wrong::Doubled(text("b1"))]);
    }

    #[test]
    fn a_message_stored_twice_is_found() {
        let mut ledger = good();
        let note = ledger.stored[4].note.clone();
        ledger.stored.insert(5, Stored { seq: 6, note });
        assert!(ledger.check().contains(&Wrong::StoredTwice(text("a4"))));
        // The same in another topic.
        let mut ledger = good();
        let note = Note { topic: in_room("two"), ..ledger.stored[4].note.clone() };
        ledger.stored.push(Stored { seq: 1, note });
        assert_eq!(ledger.check(), [Wrong::StoredTwice(text("a4"))]);
    }

    #[test]
    fn another_order_is_found() {
        let mut ledger = good();
        ledger.connections[1].seen.swap(2, 3);
        assert!(
            ledger.check().contains(&Wrong::OutOfOrder { before: text("b2"), after: text("a2") }),
            "{:?}",
            ledger.check()
        );
    }

    #[test]
    fn a_gap_is_found() {
        let mut ledger = good();
        ledger.connections[1].seen.remove(1);
        assert_eq!(ledger.check(), [Wrong::OutOfOrder { before: text("a1"), after: text("a2") }]);
    }

    #[test]
    fn a_message_that_overtook_its_author_s_earlier_one_is_found() {
        let mut ledger = good();
        ledger.connections.clear();
        let (first, third) = (ledger.stored[0].note.clone(), ledger.stored[2].note.clone());
        (ledger.stored[0].note, ledger.stored[2].note) = (third, first);
        assert_eq!(ledger.check(), [Wrong::Overtaken { before: text("a2"), after: text("a1") }]);
    }

    #[test]
    fn a_message_that_was_not_sent_is_a_phantom() {
        let mut ledger = good();
        ledger.stored.push(Stored { seq: 1, note: whispered("bob", "carol", "x") });
        // A text that another author sent.
        ledger.stored.push(Stored { seq: 6, note: said("bob", "a3") });
        assert_eq!(ledger.check(), [Wrong::Phantom(text("x")), Wrong::Phantom(text("a3"))]);
    }

    #[test]
    fn a_message_received_with_another_author_is_lost() {
        let mut ledger = good();
        ledger.connections[1].seen[3].from = "alice".into();
        assert_eq!(ledger.check(), [Wrong::Lost(text("b2"))]);
    }

    #[test]
    fn a_private_message_that_another_user_received_has_leaked() {
        let mut ledger = good();
        ledger.connections[0].user = "carol".into();
        assert_eq!(ledger.check(), [Wrong::Leaked(text("a5")), Wrong::Leaked(text("b3"))]);
        let mut ledger = good();
        ledger.connections[0].room = "two".into();
        assert_eq!(ledger.check().len(), 4);
    }
}
