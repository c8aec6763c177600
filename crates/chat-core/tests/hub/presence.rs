//! Notices of protocol v1, and presence of protocol v2.

use chat_core::{Input, NoticeText, PresenceChange, PresenceKind, RoomName};
use serde_json::json;

use crate::harness::{Scenario, name};

#[test]
fn each_connection_has_one_notice_of_each_kind() {
    let mut scenario = Scenario::new();
    let watcher = scenario.open("watcher", "kitchen");
    scenario.received(watcher);
    let [one, other] = [scenario.open("alice", "kitchen"), scenario.open("alice", "kitchen")];
    assert_eq!(scenario.received(watcher), ["+alice", "+alice"]);
    assert_eq!(scenario.received(one), ["+alice", "+alice"]);
    scenario.disconnect(one);
    assert_eq!(scenario.received(watcher), ["-alice"]);
    assert_eq!(scenario.lines(watcher).last().unwrap().text, "покинул комнату kitchen");
    assert_eq!(scenario.received(other), ["+alice", "-alice"]);
    scenario.disconnect(other);
    assert_eq!(scenario.received(watcher), ["-alice"]);
    let changes: Vec<_> = scenario.presence.iter().map(|change| (change.kind, change.connections)).collect();
    let (joined, left) = (PresenceKind::Joined, PresenceKind::Left);
    assert_eq!(changes, [(joined, 1), (joined, 1), (joined, 2), (left, 1), (left, 0)]);
}

#[test]
fn a_connection_lost_before_its_replay_has_both_notices() {
    let mut scenario = Scenario::new();
    let watcher = scenario.open("watcher", "kitchen");
    // Too much for the recent frames, so that the log must be read.
    for n in 1..=60 {
        scenario.store("carol", "garden", &format!("{n} {}", "x".repeat(4_000)));
    }
    let gardener = scenario.open("gardener", "garden");
    scenario.hold_reads = true;
    let slow = scenario.open("alice", "garden");
    scenario.received(gardener);
    scenario.disconnect(slow);
    assert_eq!(scenario.received(gardener), ["+alice", "-alice"]);
    assert_eq!(scenario.received(slow), [""; 0]);
    scenario.read();
    assert_eq!(scenario.received(gardener), [""; 0]);
    assert_eq!(scenario.received(watcher), ["+watcher"]);
}

#[test]
fn users_on_other_hubs_are_announced_here() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    let mut change = scenario.presence[0].clone();
    (change.hub, change.user) = (7, name("bob"));
    scenario.turn(Input::Presence(&change));
    change.kind = PresenceKind::Left;
    scenario.turn(Input::Presence(&change));
    change.room = RoomName::parse("garden").unwrap();
    scenario.turn(Input::Presence(&change));
    assert_eq!(scenario.received(alice), ["+alice", "+bob", "-bob"]);
    // Their own hub puts out the changes.
    assert_eq!(scenario.presence.len(), 1);
}

#[test]
fn a_client_whose_join_was_not_answered_is_not_counted() {
    let mut scenario = Scenario::new();
    for n in 1..=200 {
        scenario.store("carol", "games", &n.to_string());
    }
    let laptop = scenario.open("bob", "games");
    let phone = scenario.open_v2("bob");
    // The phone waits for its answer while the laptop goes.
    scenario.hold_reads = true;
    scenario.resume(phone, "games", 1);
    scenario.disconnect(laptop);
    scenario.disconnect(phone);
    let changes: Vec<_> = scenario.presence.iter().map(|change| (change.kind, change.connections)).collect();
    assert_eq!(changes, [(PresenceKind::Joined, 1), (PresenceKind::Left, 0)]);
}

#[test]
fn presence_is_sent_to_the_others_once() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_in_room("alice", "tech");
    let bob = scenario.open_in_room("bob", "tech");
    let phone = scenario.open_in_room("bob", "tech");
    assert_eq!(scenario.received(alice), ["+bob"]);
    scenario.disconnect(bob);
    scenario.pass(10_000);
    assert_eq!(scenario.received(alice), [""; 0]);
    scenario.disconnect(phone);
    scenario.pass(4_000);
    assert_eq!(scenario.received(alice), [""; 0]);
    // Back within five seconds: no presence is sent.
    let phone = scenario.open_in_room("bob", "tech");
    scenario.pass(10_000);
    assert_eq!(scenario.received(alice), [""; 0]);
    scenario.request(phone, json!({"type": "leave", "room": "tech"}));
    scenario.pass(6_000);
    assert_eq!(scenario.received(alice), ["-bob"]);
}

#[test]
fn users_on_other_hubs_are_named_in_joined() {
    let mut scenario = Scenario::new();
    let change = |user: &str, connections: u32, kind: PresenceKind| PresenceChange {
        hub: 7,
        room: RoomName::parse("tech").unwrap(),
        user: name(user),
        kind,
        connections,
        at_s: 0,
    };
    // Before this hub has the room at all.
    scenario.turn(Input::Presence(&change("bob", 1, PresenceKind::Joined)));
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    scenario.join(alice, "tech");
    let joined = scenario.frames(alice).remove(0);
    assert_eq!((&joined["members"], &joined["online"]), (&json!(["alice", "bob"]), &json!(2)));
    scenario.turn(Input::Presence(&change("carol", 1, PresenceKind::Joined)));
    scenario.turn(Input::Presence(&change("carol", 2, PresenceKind::Joined)));
    scenario.turn(Input::Presence(&change("bob", 0, PresenceKind::Left)));
    scenario.pass(6_000);
    assert_eq!(scenario.received(alice), ["+carol", "-bob"]);
    scenario.turn(Input::HubLost(7));
    scenario.pass(6_000);
    assert_eq!(scenario.received(alice), ["-carol"]);
}

#[test]
fn of_many_users_only_the_number_is_sent() {
    let mut scenario = Scenario::with(|options| options.members_max = 3);
    let alice = scenario.open_in_room("alice", "tech");
    for n in 0..10 {
        let other = scenario.open_v2(&format!("user{n}"));
        scenario.join(other, "tech");
        let joined = &scenario.frames(other)[1];
        assert_eq!(joined["online"], n + 2);
        assert_eq!(joined["members"].as_array().unwrap().len(), (n + 2).min(3));
    }
    assert_eq!(scenario.received(alice), ["+user0", "+user1", "4 users"]);
    scenario.pass(2_000);
    assert_eq!(scenario.received(alice), ["11 users"]);
    scenario.pass(5_000);
    assert_eq!(scenario.received(alice), [""; 0]);
}

#[test]
fn presence_reaches_replaying_clients() {
    let mut scenario = Scenario::with(|options| options.page_entries = 10);
    for n in 0..200 {
        scenario.store("bob", "tech", &n.to_string());
    }
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    scenario.hold_reads = true;
    scenario.join(alice, "tech");
    scenario.read();
    assert_eq!(scenario.received(alice), ["joined tech at 200"]);
    let change = PresenceChange {
        hub: 7,
        room: RoomName::parse("tech").unwrap(),
        user: name("carol"),
        kind: PresenceKind::Joined,
        connections: 1,
        at_s: 0,
    };
    scenario.turn(Input::Presence(&change));
    assert_eq!(scenario.received(alice), ["+carol"]);
    scenario.hold_reads = false;
    scenario.read();
    assert_eq!(scenario.received(alice).len(), 50);
    scenario.open("dave", "tech");
    assert_eq!(scenario.received(alice), ["+dave"]);
}

#[test]
fn the_notices_have_the_texts_of_the_options() {
    let notice = |text| NoticeText::parse(text).unwrap();
    let mut scenario = Scenario::with(|options| {
        options.joined_notice = notice("{user} is here");
        options.left_notice = notice("left {room}");
    });
    let watcher = scenario.open("watcher", "kitchen");
    let alice = scenario.open("alice", "kitchen");
    assert_eq!(scenario.lines(watcher).last().unwrap().text, "alice is here");
    scenario.disconnect(alice);
    assert_eq!(scenario.lines(watcher).last().unwrap().text, "left kitchen");
}
