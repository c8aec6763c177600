//! Texts that are edited away or deleted: nothing is sent of them after the hub has got
//! the change.

use std::sync::Arc;

use chat_core::{ClientId, Entry, Input};
use serde_json::json;

use crate::harness::{Scenario, topic};

/// All that clients receive from now on in a room where alice's client is, as text.
struct Room {
    scenario: Scenario,
    alice: ClientId,
}

impl Room {
    /// Ten messages of bob, the texts of which are `secret 1` and so on.
    fn new() -> Self {
        let mut scenario = Scenario::new();
        for n in 1..=10 {
            scenario.store("bob", "tech", &format!("secret {n}"));
        }
        let alice = scenario.open_v2("alice");
        // Both versions have clients when the room's first page is read.
        scenario.hold_reads = true;
        scenario.join(alice, "tech");
        scenario.open("watcher", "tech");
        scenario.hold_reads = false;
        scenario.read();
        scenario.frames(alice);
        Self { scenario, alice }
    }

    /// What clients receive that join now, with both versions, folded and not.
    fn joiners(&mut self) -> Vec<String> {
        let carol = self.scenario.open("carol", "tech");
        let mut got = self.scenario.received(carol);
        for fold in [true, false] {
            let dave = self.scenario.open_v2("dave");
            self.scenario.request(dave, json!({"type": "join", "room": "tech", "limit": 100, "fold": fold}));
            got.extend(self.scenario.received(dave));
        }
        got
    }

    fn carry(&mut self, entries: &[Arc<Entry>]) {
        let entries: Vec<_> = entries.iter().collect();
        self.scenario.carry(&entries);
    }
}

fn assert_without(got: &[String], text: &str) {
    assert!(!got.iter().any(|line| line.ends_with(text)), "{text:?} in {got:#?}");
}

#[test]
fn recent_frames_forget_what_is_taken_back() {
    let mut room = Room::new();
    let before = room.scenario.pages_begun;
    assert!(room.joiners().contains(&"10 bob: secret 10".to_owned()));
    assert_eq!(room.scenario.pages_begun, before, "they come from memory");
    let edit = room.scenario.store_edit("bob", "tech", 3, "first edit");
    room.carry(&[edit]);
    let got = room.joiners();
    assert_without(&got, "secret 3");
    assert!(got.contains(&"11 bob edits 3: first edit".to_owned()));
    let edit = room.scenario.store_edit("bob", "tech", 3, "second edit");
    room.carry(&[edit]);
    let got = room.joiners();
    assert_without(&got, "first edit");
    assert!(got.contains(&"11 bob edits 3".to_owned()), "{got:?}");
    let delete = room.scenario.store_delete("bob", "tech", 3);
    room.carry(&[delete]);
    assert_without(&room.joiners(), "second edit");
    let delete = room.scenario.store_delete("bob", "tech", 10);
    room.carry(&[delete]);
    let got = room.joiners();
    assert_without(&got, "secret 10");
    assert!(got.contains(&"9 bob: secret 9".to_owned()));
}

/// While entries are missing, one of them may take something back.
#[test]
fn a_room_that_lacks_entries_replays_nothing_from_memory() {
    let mut room = Room::new();
    let bob = room.scenario.open_in_room("bob", "tech");
    room.scenario.hold_reads = true;
    room.scenario.store_delete("bob", "tech", 3);
    room.scenario.missed("tech", 11, 11);
    let carol = room.scenario.open("carol", "tech");
    assert_eq!(room.scenario.received(carol), [""; 0]);
    let later = room.scenario.store_delete("bob", "tech", 4);
    room.carry(&[later]);
    while !room.scenario.reads.is_empty() {
        room.scenario.read();
    }
    let got = room.scenario.received(carol);
    assert_eq!(got.len(), 8 + 1, "{got:?}");
    assert_without(&got, "secret 3");
    let got = room.scenario.received(bob);
    assert_eq!(got, ["11 bob deletes 3", "12 bob deletes 4", "+carol"]);
}

/// A page of every kind that was read before a change comes after it.
#[test]
fn pages_in_flight_are_brought_up_to_date() {
    for request in [
        json!({"type": "history"}),
        json!({"type": "history", "fold": true}),
        json!({"type": "history", "before": 12}),
        json!({"type": "history", "after": 0, "fold": true}),
        json!({"type": "history", "around": 5}),
        json!({"type": "history", "around": 5, "fold": true}),
        json!({"type": "history", "seqs": [3, 4, 5, 6]}),
        json!({"type": "join", "limit": 100}),
        json!({"type": "join", "limit": 100, "fold": true}),
        json!({"type": "join", "since": 1, "epoch": "first"}),
    ] {
        let mut scenario = Scenario::with(|options| options.recent.entries = 0);
        for n in 1..=10 {
            scenario.store("bob", "tech", &format!("secret {n}"));
        }
        scenario.store_edit("bob", "tech", 5, "first edit");
        let is_join = request["type"] == "join";
        let alice = match is_join {
            true => scenario.open_v2("alice"),
            false => scenario.open_in_room("alice", "tech"),
        };
        let witness = scenario.open_in_room("witness", "tech");
        scenario.frames(alice);
        scenario.hold_reads = true;
        let mut request = request;
        request["room"] = json!("tech");
        scenario.request(alice, request.clone());
        let (id, answer) = scenario.take_answer();
        let reaction = scenario.store_react("carol", "tech", 3, "👍");
        let edits = [3, 5].map(|target| scenario.store_edit("bob", "tech", target, &format!("new {target}")));
        let delete = scenario.store_delete("bob", "tech", 4);
        scenario.carry(&[&reaction, &edits[0], &edits[1], &delete]);
        assert_eq!(scenario.frames(witness).iter().filter(|frame| frame["seq"].is_u64()).count(), 4);
        scenario.turn(Input::Answer { id, answer: &answer });
        scenario.hold_reads = false;
        scenario.pass(0);
        while !scenario.reads.is_empty() {
            scenario.read();
        }
        let frames = scenario.frames(alice);
        let text = format!("{frames:?}");
        for gone in ["secret 3", "secret 4", "secret 5", "first edit"] {
            assert!(!text.contains(gone), "{request}: {gone} in {text}");
        }
        let page = frames.iter().find(|frame| frame["type"] == "history");
        let messages = page.map_or(&frames, |page| page["messages"].as_array().unwrap());
        let find = |seq: u64| messages.iter().find(|m| m["seq"] == seq).expect("it is there");
        assert_eq!((&find(3)["text"], &find(3)["edited"].is_null()), (&json!("new 3"), &false), "{request}");
        // The state has all changes up to the edit.
        let state = (&find(3)["updated"], &find(3)["reactions"][0]["users"]);
        assert_eq!(state, (&json!(13), &json!(["carol"])), "{request}");
        assert_eq!((&find(4)["text"], &find(4)["deleted"]), (&json!(""), &json!(true)), "{request}");
        assert!(find(4)["updated"] == 15, "{request}");
        assert_eq!(find(6)["text"], "secret 6", "{request}");
    }
}

#[test]
fn pages_of_a_conversation_in_flight_are_brought_up_to_date() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    let one = scenario.store_private("bob", "alice", "secret 1");
    scenario.carry(&[&one]);
    scenario.store_private("bob", "alice", "secret 2");
    scenario.hold_reads = true;
    let three = scenario.store_private("bob", "alice", "3");
    scenario.carry(&[&three]);
    scenario.request(alice, json!({"type": "history", "with": "bob", "ref": "h"}));
    let answers = [scenario.take_answer(), scenario.take_answer()];
    let pair = one.topic.clone();
    let deletes = [1, 2]
        .map(|target| scenario.store_body("bob", pair.clone(), chat_core::Body::Delete { target }).unwrap());
    scenario.frames(alice);
    scenario.carry(&[&deletes[0], &deletes[1]]);
    for (id, answer) in &answers {
        scenario.turn(Input::Answer { id: *id, answer });
    }
    scenario.hold_reads = false;
    scenario.pass(0);
    while !scenario.reads.is_empty() {
        scenario.read();
    }
    let frames = scenario.frames(alice);
    let text = format!("{frames:?}");
    assert!(!text.contains("secret"), "{text}");
    let types: Vec<_> = frames.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["private", "private", "history", "delete", "delete"]);
}

/// More than the hub keeps, and what it may not have got: the page is read again, once.
#[test]
fn a_page_that_may_be_stale_is_read_again() {
    let mut room = Room::new();
    room.scenario.hold_reads = true;
    room.scenario.request(room.alice, json!({"type": "history", "room": "tech", "fold": true, "ref": "h"}));
    let (id, answer) = room.scenario.take_answer();
    for n in 0..300 {
        let edit = room.scenario.store_edit("bob", "tech", 1 + n % 10, &format!("edit {n}"));
        room.carry(&[edit]);
    }
    room.scenario.frames(room.alice);
    room.scenario.turn(Input::Answer { id, answer: &answer });
    assert_eq!(room.scenario.received(room.alice), [""; 0]);
    room.scenario.read();
    let frame = room.scenario.frames(room.alice).remove(0);
    assert_eq!((&frame["messages"][0]["text"], &frame["upto"]), (&json!("edit 290"), &json!(310)));
    // A page that is stale again counts as failed.
    room.scenario.request(room.alice, json!({"type": "history", "room": "tech", "ref": "h"}));
    for _ in 0..2 {
        let (id, answer) = room.scenario.take_answer();
        for n in 0..300 {
            let edit = room.scenario.store_edit("bob", "tech", 1, &format!("again {n}"));
            room.carry(&[edit]);
        }
        room.scenario.frames(room.alice);
        room.scenario.turn(Input::Answer { id, answer: &answer });
    }
    assert_eq!(room.scenario.received(room.alice), ["error unavailable h"]);
    // What the bus does not carry may be an edit.
    room.scenario.request(room.alice, json!({"type": "history", "room": "tech", "fold": true, "ref": "h"}));
    let (id, answer) = room.scenario.take_answer();
    room.scenario.store_edit("bob", "tech", 2, "missed");
    let last = room.scenario.history.last_seq(&topic("tech"));
    room.scenario.missed("tech", last, last);
    room.scenario.turn(Input::Answer { id, answer: &answer });
    assert_eq!(room.scenario.received(room.alice), [""; 0]);
    while !room.scenario.reads.is_empty() {
        room.scenario.read();
    }
    let frames = room.scenario.frames(room.alice);
    let page = frames.iter().find(|frame| frame["type"] == "history").unwrap();
    assert_eq!(page["messages"][1]["text"], "missed");
}

/// An answer names five users of a reaction. If one of them takes it back, only the log knows
/// the next one.
#[test]
fn a_page_whose_reactions_are_not_known_is_read_again() {
    for (user, is_again) in [("user0", true), ("user6", false)] {
        let mut room = Room::new();
        let emoji = chat_core::Emoji::parse("👍").unwrap();
        let reactions: Vec<_> =
            (0..7).map(|n| room.scenario.store_react(&format!("user{n}"), "tech", 1, "👍")).collect();
        room.carry(&reactions);
        room.scenario.hold_reads = true;
        room.scenario
            .request(room.alice, json!({"type": "history", "room": "tech", "seqs": [1], "ref": "h"}));
        let (id, answer) = room.scenario.take_answer();
        let body = chat_core::Body::Unreact { target: 1, emoji };
        let unreact = room.scenario.store_body(user, topic("tech"), body).unwrap();
        let edit = room.scenario.store_edit("bob", "tech", 1, "new");
        room.carry(&[unreact, edit]);
        room.scenario.frames(room.alice);
        room.scenario.turn(Input::Answer { id, answer: &answer });
        assert_eq!(room.scenario.reads.len(), usize::from(is_again));
        if is_again {
            room.scenario.read();
        }
        let frame = room.scenario.frames(room.alice).remove(0);
        let message = &frame["messages"][0];
        let users: Vec<String> = (0..7).map(|n| format!("user{n}")).filter(|name| name != user).collect();
        assert_eq!(message["reactions"], json!([{"emoji": "👍", "count": 6, "users": users[..5]}]));
        assert_eq!((&message["text"], &message["updated"]), (&json!("new"), &json!(19)));
    }
}

/// The hub learns of a deletion in a conversation only by the number of a later message,
/// which may also be the first that it gets of the conversation.
#[test]
fn a_page_of_a_conversation_with_a_gap_behind_it_is_read_again() {
    for is_known in [true, false] {
        let mut scenario = Scenario::new();
        let alice = scenario.open_v2("alice");
        let one = scenario.store_private("bob", "alice", "secret 1");
        if is_known {
            scenario.carry(&[&one]);
        }
        scenario.frames(alice);
        scenario.hold_reads = true;
        scenario.request(alice, json!({"type": "history", "with": "bob", "ref": "h"}));
        let (id, answer) = scenario.take_answer();
        scenario.store_body("bob", one.topic.clone(), chat_core::Body::Delete { target: 1 }).unwrap();
        let later = scenario.store_private("bob", "alice", "later");
        scenario.carry(&[&later]);
        scenario.turn(Input::Answer { id, answer: &answer });
        scenario.hold_reads = false;
        scenario.pass(0);
        while !scenario.reads.is_empty() {
            scenario.read();
        }
        let frames = scenario.frames(alice);
        assert!(!format!("{frames:?}").contains("secret"), "{frames:?}");
        let page = frames.iter().find(|frame| frame["type"] == "history").unwrap();
        assert_eq!(page["messages"].as_array().unwrap().len(), 3);
    }
}

/// What clients of this hub send comes with its receipt: it hides nothing.
#[test]
fn a_receipt_of_a_message_has_no_page_read_again() {
    for place in [json!({"room": "tech"}), json!({"with": "bob"})] {
        let mut room = Room::new();
        let Room { scenario, alice } = &mut room;
        scenario.send_private_v2(*alice, "bob", "one");
        scenario.frames(*alice);
        scenario.hold_reads = true;
        let before = scenario.pages_begun;
        let mut request = json!({"type": "history", "ref": "h"});
        request.as_object_mut().unwrap().extend(place.as_object().unwrap().clone());
        scenario.request(*alice, request);
        let (id, answer) = scenario.take_answer();
        scenario.send_v2(*alice, "tech", "two");
        scenario.send_private_v2(*alice, "bob", "two");
        scenario.frames(*alice);
        scenario.turn(Input::Answer { id, answer: &answer });
        assert_eq!(scenario.frames(*alice).pop().expect("a page")["type"], "history", "{place}");
        assert_eq!(scenario.pages_begun, before + 1, "{place}");
    }
}
