//! Messages that mention users.

use chat_core::{Access, ClientId, RoomInfo, WantedChange};
use serde_json::{Value, json};

use crate::harness::{Scenario, name, room};

/// A room of alice, bob and carol.
fn with_room(access: Access) -> Scenario {
    let mut scenario = Scenario::new();
    let room = room("tech");
    let info = RoomInfo { access, ..RoomInfo::opened(&room) };
    let members = vec![name("bob"), name("carol")];
    scenario.change(&WantedChange::Create { room, info, members, by: name("alice") });
    scenario
}

/// A client sends a message to the room, with further fields.
fn send(scenario: &mut Scenario, client: ClientId, text: &str, fields: Value) {
    let mut frame = json!({"type": "message", "room": "tech", "text": text, "nonce": text});
    for (field, value) in fields.as_object().into_iter().flatten() {
        frame[field] = value.clone();
    }
    scenario.request(client, frame);
}

/// What a frame says of mentions: `mentions`, `mention_all`, `not_members`.
fn mentions(frame: &Value) -> (Value, Value, Value) {
    (frame["mentions"].clone(), frame["mention_all"].clone(), frame["not_members"].clone())
}

#[test]
fn everybody_sees_whom_a_message_mentions_live_replayed_and_in_history() {
    let mut scenario = with_room(Access::Open);
    let [alice, bob] = ["alice", "bob"].map(|user| scenario.open_in_room(user, "tech"));
    let old = scenario.open("bob", "tech");
    scenario.frames(alice);
    scenario.frames(bob);
    let names = json!(["bob", "dave", "Nobody", "carol"]);
    send(&mut scenario, alice, "@bob @dave @Nobody", json!({ "mentions": names }));
    let expected = (json!(["bob", "dave"]), Value::Null, Value::Null);
    let (acks, entries): (Vec<_>, Vec<_>) =
        scenario.frames(alice).into_iter().partition(|frame| frame["type"] == "ack");
    assert_eq!(mentions(&acks[0]), (Value::Null, Value::Null, json!(["dave"])));
    assert_eq!(mentions(&entries[0]), expected);
    assert_eq!(mentions(&scenario.frames(bob)[0]), expected);
    assert_eq!(scenario.received(old).last().unwrap(), "alice: @bob @dave @Nobody");
    let carol = scenario.open_in_room("carol", "tech");
    scenario.request(carol, json!({"type": "history", "room": "tech"}));
    assert_eq!(mentions(&scenario.frames(carol)[0]["messages"][0]), expected);
    let carol = scenario.open_v2("carol");
    scenario.join(carol, "tech");
    assert_eq!(mentions(scenario.frames(carol).last().unwrap()), expected);
    scenario.frames(bob);
    send(&mut scenario, alice, "all of you", json!({ "mention_all": true }));
    assert_eq!(mentions(&scenario.frames(bob)[0]), (Value::Null, json!(true), Value::Null));
    // A repeated send is answered as before, without the names.
    send(&mut scenario, alice, "@bob @dave @Nobody", json!({ "mentions": names }));
    assert_eq!(scenario.received(alice).last().unwrap(), "ack @bob @dave @Nobody 1 again");
}

#[test]
fn mentions_are_counted_for_those_whom_they_name() {
    let mut scenario = with_room(Access::Open);
    let alice = scenario.open_in_room("alice", "tech");
    send(&mut scenario, alice, "@bob", json!({ "mentions": ["bob"] }));
    send(&mut scenario, alice, "@carol @alice", json!({ "mentions": ["carol", "alice"] }));
    send(&mut scenario, alice, "@carol", json!({}));
    send(&mut scenario, alice, "everybody", json!({ "mention_all": true }));
    for (user, unread, mentions) in [("bob", 4, 2), ("carol", 4, 2), ("alice", 0, 0)] {
        let client = scenario.open_v2(user);
        let hello = &scenario.frames(client)[0]["rooms"][0];
        assert_eq!((&hello["unread"], &hello["mentions"]), (&json!(unread), &json!(mentions)), "{user}");
    }
}

#[test]
fn a_closed_room_mentions_members_only_and_tells_nothing_of_others() {
    let mut scenario = with_room(Access::Closed);
    let alice = scenario.open_in_room("alice", "tech");
    scenario.frames(alice);
    send(&mut scenario, alice, "@bob @dave", json!({ "mentions": ["bob", "dave"] }));
    for frame in scenario.frames(alice) {
        match frame["type"].as_str() {
            Some("ack") => assert_eq!(mentions(&frame), (Value::Null, Value::Null, Value::Null)),
            _ => assert_eq!(mentions(&frame), (json!(["bob"]), Value::Null, Value::Null)),
        }
    }
}

#[test]
fn a_private_message_mentions_nobody() {
    let mut scenario = Scenario::new();
    let [alice, bob] = ["alice", "bob"].map(|user| scenario.open_v2(user));
    scenario.frames(bob);
    let fields = json!({"type": "private", "to": "bob", "text": "@bob", "nonce": "n",
        "mentions": ["bob"], "mention_all": true});
    scenario.request(alice, fields);
    let frames = scenario.frames(bob);
    assert_eq!(frames.len(), 1);
    assert_eq!(mentions(&frames[0]), (Value::Null, Value::Null, Value::Null));
}
