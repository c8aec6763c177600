//! What members are sent of rooms that they have not joined.

use std::sync::Arc;

use chat_core::{Access, Actor, ClientId, Entry, RoomInfo, WantedChange};
use serde_json::json;

use crate::harness::{Scenario, name, room, short};

/// A room of alice, bob and carol.
fn with_room() -> Scenario {
    let mut scenario = Scenario::new();
    create(&mut scenario, Access::Open);
    scenario.pass(500);
    scenario
}

fn create(scenario: &mut Scenario, access: Access) {
    let room = room("tech");
    let info = RoomInfo { access, ..RoomInfo::opened(&room) };
    let members = vec![name("bob"), name("carol")];
    scenario.change(&WantedChange::Create { room, info, members, by: name("alice") });
}

/// The log stores a message that another hub sent, and the bus carries it here.
fn write(scenario: &mut Scenario, from: &str) -> Arc<Entry> {
    let entry = scenario.store(from, "tech", "hi");
    scenario.carry(&[&entry]);
    entry
}

/// The activity that a client was sent since the test last looked.
fn activity(scenario: &mut Scenario, client: ClientId) -> Vec<String> {
    let notes = scenario.notes(client);
    notes.iter().filter(|frame| frame["type"] == "activity").map(short).collect()
}

#[test]
fn members_that_have_not_joined_are_sent_how_many_messages_came() {
    let mut scenario = with_room();
    let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(|user| scenario.open_v2(user));
    let old = scenario.open("bob", "other");
    scenario.join(carol, "tech");
    for from in ["alice", "bob", "bob"] {
        write(&mut scenario, from);
    }
    for client in [alice, bob, carol, dave] {
        assert_eq!(activity(&mut scenario, client), [""; 0], "not before the tick");
    }
    scenario.pass(500);
    assert_eq!(activity(&mut scenario, alice), ["activity tech up to 3: 2 and 0"]);
    assert_eq!(activity(&mut scenario, bob), ["activity tech up to 3: 1 and 0"]);
    for client in [carol, dave] {
        assert_eq!(activity(&mut scenario, client), [""; 0], "neither the joined nor strangers");
    }
    assert_eq!(scenario.received(old), ["+bob"]);
    // Once a second; nothing where nobody else wrote.
    write(&mut scenario, "alice");
    scenario.pass(500);
    assert_eq!(activity(&mut scenario, bob), [""; 0]);
    scenario.pass(500);
    assert_eq!(activity(&mut scenario, bob), ["activity tech up to 4: 1 and 0"]);
    assert_eq!(activity(&mut scenario, alice), [""; 0]);
    scenario.pass(30_000);
    write(&mut scenario, "carol");
    scenario.pass(500);
    assert_eq!(activity(&mut scenario, alice), ["activity tech up to 5: 1 and 0"]);
}

#[test]
fn it_counts_the_mentions_of_each_member() {
    let mut scenario = with_room();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|user| scenario.open_v2(user));
    let writer = scenario.open_in_room("alice", "tech");
    for (nonce, mentions, all) in
        [("1", vec!["bob"], false), ("2", vec!["alice"], false), ("3", vec![], true)]
    {
        let text = format!("{nonce} @bob @alice");
        scenario.request(
            writer,
            json!({"type": "message", "room": "tech", "text": text, "nonce": nonce,
                "mentions": mentions, "mention_all": all}),
        );
    }
    scenario.pass(500);
    assert_eq!(activity(&mut scenario, bob), ["activity tech up to 3: 3 and 2"]);
    assert_eq!(activity(&mut scenario, carol), ["activity tech up to 3: 3 and 1"]);
    for client in [alice, writer] {
        assert_eq!(activity(&mut scenario, client), [""; 0]);
    }
}

#[test]
fn it_counts_from_hello_and_from_leave() {
    let mut scenario = with_room();
    let [early, leaver] = ["bob", "bob"].map(|user| scenario.open_v2(user));
    scenario.join(leaver, "tech");
    write(&mut scenario, "alice");
    let late = scenario.open_v2("bob");
    assert_eq!(scenario.frames(late)[0]["rooms"][0]["top"], 1);
    write(&mut scenario, "alice");
    scenario.request(leaver, json!({"type": "leave", "room": "tech"}));
    write(&mut scenario, "alice");
    scenario.pass(500);
    for (client, new) in [(early, 3), (late, 2), (leaver, 1)] {
        assert_eq!(activity(&mut scenario, client), [format!("activity tech up to 3: {new} and 0")]);
    }
    write(&mut scenario, "alice");
    scenario.pass(1_000);
    for client in [early, late, leaver] {
        assert_eq!(activity(&mut scenario, client), ["activity tech up to 4: 1 and 0"]);
    }
}

#[test]
fn a_hello_may_be_ahead_of_the_hub_or_behind_it() {
    let mut scenario = with_room();
    let early = scenario.open_v2("bob");
    // The log has a message that the bus has not carried yet.
    let first = scenario.store("alice", "tech", "1");
    let ahead = scenario.open_v2("bob");
    assert_eq!(scenario.frames(ahead)[0]["rooms"][0]["top"], 1);
    scenario.carry(&[&first]);
    scenario.pass(500);
    assert_eq!(activity(&mut scenario, early), ["activity tech up to 1: 1 and 0"]);
    assert_eq!(activity(&mut scenario, ahead), [""; 0]);
    // The rooms are read, and messages are delivered and shown before the rest of `hello`.
    scenario.hold_reads = true;
    let behind = scenario.open_v2("bob");
    let (id, query) = scenario.hellos.pop_front().unwrap();
    let answer = scenario.history.answer(&query);
    scenario.turn(chat_core::Input::Answer { id, answer: &answer });
    write(&mut scenario, "alice");
    write(&mut scenario, "alice");
    scenario.pass(2_000);
    let (id, query) = scenario.hellos.pop_front().unwrap();
    let answer = scenario.history.answer(&query);
    scenario.turn(chat_core::Input::Answer { id, answer: &answer });
    assert_eq!(scenario.frames(behind)[0]["rooms"][0]["top"], 1);
    scenario.pass(1_000);
    assert_eq!(activity(&mut scenario, behind), ["activity tech up to 3: 2 and 0"]);
    assert_eq!(activity(&mut scenario, ahead), ["activity tech up to 3: 2 and 0"]);
}

#[test]
fn a_socket_that_has_not_taken_everything_is_shown_all_of_it_later() {
    let mut scenario = with_room();
    let [bob, carol] = ["bob", "carol"].map(|user| scenario.open_v2(user));
    scenario.pending(bob, 10);
    for _ in 0..3 {
        write(&mut scenario, "alice");
        scenario.pass(1_000);
    }
    assert_eq!(activity(&mut scenario, carol).len(), 3);
    assert_eq!(activity(&mut scenario, bob), [""; 0]);
    scenario.pending(bob, 0);
    scenario.pass(1_000);
    assert_eq!(activity(&mut scenario, bob), ["activity tech up to 3: 3 and 0"]);
}

#[test]
fn messages_that_are_read_from_the_log_count_too() {
    let mut scenario = with_room();
    let bob = scenario.open_v2("bob");
    for _ in 0..300 {
        scenario.store("alice", "tech", "hi");
    }
    scenario.missed("tech", 1, 300);
    write(&mut scenario, "carol");
    scenario.pass(500);
    assert_eq!(activity(&mut scenario, bob), ["activity tech up to 301: 301 and 0"]);
}

#[test]
fn new_members_are_sent_what_comes_then_and_removed_ones_nothing() {
    let mut scenario = Scenario::new();
    create(&mut scenario, Access::Closed);
    let [bob, dave] = ["bob", "dave"].map(|user| scenario.open_v2(user));
    let by = Actor { user: name("alice"), is_administrator: false };
    let room = room("tech");
    write(&mut scenario, "alice");
    let put = WantedChange::Put { room: room.clone(), user: name("dave"), role: None, by: by.clone() };
    scenario.change(&put);
    scenario.change(&WantedChange::Remove { room, user: name("bob"), by });
    write(&mut scenario, "alice");
    scenario.pass(500);
    assert_eq!(activity(&mut scenario, dave), ["activity tech up to 2: 1 and 0"]);
    assert_eq!(activity(&mut scenario, bob), [""; 0]);
}
