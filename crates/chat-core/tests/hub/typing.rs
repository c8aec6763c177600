//! Users who type.

use chat_core::{ClientId, Input, Pair, Topic, TypingChange};
use serde_json::json;

use crate::harness::{Scenario, name, topic};

fn types(scenario: &mut Scenario, client: ClientId, active: bool) {
    scenario.request(client, json!({"type": "typing", "room": "tech", "active": active, "ref": "t"}));
}

fn types_to(scenario: &mut Scenario, client: ClientId, to: &str, active: bool) {
    scenario.request(client, json!({"type": "typing", "to": to, "active": active, "ref": "t"}));
}

/// Alice, bob and a second connection of alice in a room.
fn three() -> (Scenario, ClientId, ClientId, ClientId) {
    let mut scenario = Scenario::new();
    let clients = ["alice", "bob", "alice"].map(|user| scenario.open_in_room(user, "tech"));
    let [alice, bob, phone] = clients;
    for client in clients {
        scenario.frames(client);
    }
    (scenario, alice, bob, phone)
}

#[test]
fn the_others_in_the_room_are_shown_who_types() {
    let (mut scenario, alice, bob, phone) = three();
    let elsewhere = scenario.open_in_room("carol", "games");
    let old = scenario.open("dave", "tech");
    scenario.pass(10_000);
    for client in [alice, bob, phone, old] {
        scenario.received(client);
    }
    types(&mut scenario, alice, true);
    types(&mut scenario, alice, false);
    assert_eq!(scenario.received(bob), ["alice types in tech", "alice stops in tech"]);
    for other in [alice, phone, elsewhere, old] {
        assert_eq!(scenario.received(other), [""; 0]);
    }
    let change = |active| TypingChange { topic: topic("tech"), user: name("alice"), active };
    assert_eq!(scenario.typing, [change(true), change(false)], "other hubs get it, too");
    assert_eq!(scenario.history.last_seq(&topic("tech")), 0, "it is not stored");
}

#[test]
fn a_room_must_be_joined_and_a_frame_be_whole() {
    let (mut scenario, alice, bob, _) = three();
    scenario.request(alice, json!({"type": "typing", "room": "games", "active": true, "ref": "t"}));
    assert_eq!(scenario.received(alice), ["error not_joined t"]);
    scenario.request(alice, json!({"type": "typing", "room": "tech", "ref": "t"}));
    scenario.request(alice, json!({"type": "typing", "room": "tech", "active": 1, "ref": "t"}));
    scenario
        .request(alice, json!({"type": "typing", "room": "tech", "to": "bob", "active": true, "ref": "t"}));
    assert_eq!(scenario.received(alice), ["error bad_request t"; 3]);
    scenario.request(alice, json!({"type": "leave", "room": "tech"}));
    types(&mut scenario, alice, true);
    assert_eq!(scenario.received(alice), ["left tech", "error not_joined t"]);
    assert_eq!(scenario.received(bob), [""; 0]);
}

#[test]
fn a_user_is_shown_at_most_once_in_two_seconds() {
    let (mut scenario, alice, bob, phone) = three();
    types(&mut scenario, alice, true);
    scenario.pass(1_900);
    types(&mut scenario, alice, true);
    types(&mut scenario, phone, true);
    types(&mut scenario, phone, false);
    types(&mut scenario, alice, true);
    assert_eq!(scenario.received(bob), ["alice types in tech", "alice stops in tech"]);
    // Connecting again does not lift the limit.
    scenario.disconnect(phone);
    let phone = scenario.open_in_room("alice", "tech");
    types(&mut scenario, phone, true);
    assert_eq!(scenario.received(bob), [""; 0]);
    scenario.pass(100);
    types(&mut scenario, phone, true);
    assert_eq!(scenario.received(bob), ["alice types in tech"]);
    // Another topic has a limit of its own.
    scenario.join(alice, "games");
    scenario.join(bob, "games");
    scenario.frames(bob);
    scenario.request(alice, json!({"type": "typing", "room": "games", "active": true}));
    assert_eq!(scenario.received(bob), ["alice types in games"]);
}

#[test]
fn it_ends_with_a_message_a_leave_or_the_connection() {
    let (mut scenario, alice, bob, phone) = three();
    types(&mut scenario, alice, true);
    scenario.send_v2(phone, "tech", "hi");
    assert_eq!(scenario.received(bob), ["alice types in tech", "alice stops in tech", "1 alice: hi"]);
    scenario.pass(2_000);
    types(&mut scenario, alice, true);
    // The device on which she does not type.
    scenario.disconnect(phone);
    assert_eq!(scenario.received(bob), ["alice types in tech"]);
    scenario.request(alice, json!({"type": "leave", "room": "tech"}));
    assert_eq!(scenario.received(bob), ["alice stops in tech"]);
    scenario.pass(2_000);
    scenario.join(alice, "tech");
    types(&mut scenario, alice, true);
    scenario.disconnect(alice);
    assert_eq!(scenario.received(bob), ["alice types in tech", "alice stops in tech"]);
    // Nobody sees it by now.
    scenario.pass(2_000);
    let alice = scenario.open_in_room("alice", "tech");
    types(&mut scenario, alice, true);
    scenario.received(bob);
    scenario.pass(6_000);
    types(&mut scenario, alice, false);
    assert_eq!(scenario.received(bob), [""; 0]);
}

#[test]
fn a_client_that_is_behind_is_not_shown_it() {
    let (mut scenario, alice, bob, _) = three();
    scenario.pending(bob, 1);
    types(&mut scenario, alice, true);
    scenario.pending(bob, 0);
    assert_eq!(scenario.received(bob), [""; 0], "neither then nor later");
    for n in 1..=200 {
        scenario.store("dave", "tech", &format!("{n} {}", "x".repeat(4_000)));
    }
    scenario.missed("tech", 1, 200);
    scenario.frames(bob);
    scenario.hold_reads = true;
    let carol = scenario.open_v2("carol");
    scenario.read_hello_if_held();
    scenario.join(carol, "tech");
    scenario.pass(2_000);
    types(&mut scenario, alice, true);
    assert_eq!(scenario.received(bob), ["+carol", "alice types in tech"]);
    scenario.hold_reads = false;
    scenario.pass(1_000);
    let received = scenario.received(carol);
    assert_eq!(received.len(), 52, "{}", received.last().unwrap());
    assert!(received.iter().all(|frame| !frame.contains("types")));
}

#[test]
fn it_comes_behind_what_is_delivered_in_the_same_turn() {
    let (mut scenario, alice, bob, _) = three();
    scenario.hold_appends = true;
    scenario.send_v2(bob, "tech", "hi");
    let change = TypingChange { topic: topic("tech"), user: name("carol"), active: true };
    let mut out = chat_core::Outputs::default();
    scenario.hub.step(scenario.now, Input::Typing(&change), &mut out);
    assert!(out.is_empty(), "not before the end of the turn");
    scenario.append(1);
    assert_eq!(scenario.received(alice), ["1 bob: hi", "carol types in tech"]);
}

#[test]
fn users_on_other_hubs_type_here() {
    let (mut scenario, alice, bob, phone) = three();
    let pair = Topic::Pair(Pair::new(name("bob"), name("carol")));
    for (topic, user) in
        [(topic("tech"), "carol"), (topic("cellar"), "carol"), (pair, "carol"), (topic("tech"), "bob")]
    {
        scenario.turn(Input::Typing(&TypingChange { topic, user: name(user), active: true }));
    }
    assert_eq!(scenario.received(bob), ["carol types in tech", "carol types"]);
    assert_eq!(scenario.received(alice), ["carol types in tech", "bob types in tech"]);
    assert_eq!(scenario.received(phone), ["carol types in tech", "bob types in tech"]);
    assert_eq!(scenario.typing, [], "their own hub puts it out");
}

#[test]
fn the_other_of_a_pair_is_shown_who_types() {
    let (mut scenario, alice, bob, phone) = three();
    let tablet = scenario.open_v2("bob");
    let old = scenario.open("bob", "games");
    scenario.frames(tablet);
    scenario.received(old);
    types_to(&mut scenario, alice, "bob", true);
    assert_eq!(scenario.received(bob), [""; 0], "they have never written to each other");
    scenario.store_private("bob", "alice", "hi");
    types_to(&mut scenario, alice, "bob", true);
    assert_eq!(scenario.received(bob), [""; 0], "not twice in two seconds");
    scenario.pass(2_000);
    types_to(&mut scenario, alice, "bob", true);
    types_to(&mut scenario, alice, "bob", false);
    for client in [bob, tablet] {
        assert_eq!(scenario.received(client), ["alice types", "alice stops"]);
    }
    let reads = scenario.pages_begun;
    scenario.pass(2_000);
    types_to(&mut scenario, alice, "bob", true);
    scenario.disconnect(alice);
    assert_eq!(scenario.received(bob), ["alice types", "alice stops"]);
    assert_eq!(scenario.pages_begun, reads, "it is known by now that they have");
    for other in ["alice", "nobody", "x\u{7}y", "Nobody", &"long".repeat(99)] {
        types_to(&mut scenario, phone, other, true);
        types_to(&mut scenario, phone, other, false);
    }
    for client in [phone, old] {
        assert_eq!(scenario.received(client), [""; 0]);
    }
    assert_eq!(scenario.typing.len(), 4);
}

#[test]
fn a_conversation_that_cannot_be_read_shows_nothing() {
    let (mut scenario, alice, bob, _) = three();
    scenario.store_private("bob", "alice", "hi");
    scenario.hold_reads = true;
    types_to(&mut scenario, alice, "bob", true);
    scenario.fail_read();
    scenario.pass(2_000);
    types_to(&mut scenario, alice, "bob", true);
    // She stops before it is known whether they have written to each other.
    types_to(&mut scenario, alice, "bob", false);
    scenario.read();
    scenario.pass(2_000);
    types_to(&mut scenario, alice, "bob", true);
    scenario.disconnect(alice);
    scenario.read();
    assert_eq!(scenario.received(bob), [""; 0]);
    assert_eq!(scenario.reads.len(), 0);
}

#[test]
fn nobody_is_shown_in_a_room_of_many_or_in_too_many_places() {
    let mut scenario = Scenario::with(|options| {
        options.typing_online_max = 2;
        options.typing_topics_max = 1;
    });
    let [alice, bob] = ["alice", "bob"].map(|user| scenario.open_in_room(user, "tech"));
    for client in [alice, bob] {
        scenario.join(client, "games");
        scenario.frames(client);
    }
    types(&mut scenario, alice, true);
    scenario.request(alice, json!({"type": "typing", "room": "games", "active": true}));
    assert_eq!(scenario.received(bob), ["alice types in tech"]);
    scenario.pass(6_000);
    scenario.request(alice, json!({"type": "typing", "room": "games", "active": true}));
    assert_eq!(scenario.received(bob), ["alice types in games"]);
    scenario.open_in_room("carol", "tech");
    scenario.pass(6_000);
    scenario.frames(bob);
    types(&mut scenario, alice, true);
    assert_eq!(scenario.received(bob), [""; 0]);
}
