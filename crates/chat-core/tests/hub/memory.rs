//! What a hub keeps in memory.

use chat_core::{RecentLimits, RoomName, Subscription};

use crate::harness::{Scenario, numbered};

#[test]
fn an_empty_room_is_forgotten_and_comes_back_complete() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    scenario.send(alice, "hi");
    scenario.disconnect(alice);
    let kitchen = Subscription::Room(RoomName::parse("kitchen").unwrap());
    scenario.pass(59_000);
    assert!(scenario.subscriptions.contains(&kitchen));
    scenario.pass(2_000);
    assert!(!scenario.subscriptions.contains(&kitchen));
    let read = scenario.pages_begun;
    let later = scenario.store("bob", "kitchen", "ho");
    scenario.carry(&[&later]);
    let alice = scenario.open("alice", "kitchen");
    assert_eq!(scenario.received(alice), ["alice: hi", "bob: ho", "+alice"]);
    assert_eq!(scenario.pages_begun, read + 1);
}

#[test]
fn a_room_is_kept_for_a_user_who_comes_back_soon() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    scenario.send(alice, "hi");
    scenario.disconnect(alice);
    scenario.pass(40_000);
    let alice = scenario.open("alice", "kitchen");
    scenario.disconnect(alice);
    scenario.pass(40_000);
    let alice = scenario.open("alice", "kitchen");
    scenario.pass(100_000);
    assert_eq!(scenario.received(alice), ["alice: hi", "+alice"]);
    assert_eq!(scenario.pages_begun, 1);
}

#[test]
fn a_room_may_be_forgotten_at_once() {
    let mut scenario = Scenario::with(|options| options.room_idle_ms = 0);
    scenario.hold_reads = true;
    let alice = scenario.open("alice", "kitchen");
    scenario.disconnect(alice);
    scenario.pass(1_000);
    scenario.read();
    scenario.pass(1_000);
    assert!(scenario.subscriptions.is_empty());
}

#[test]
fn recent_frames_are_capped_by_number_and_by_bytes() {
    let few = RecentLimits { entries: 10, ..RecentLimits { entries: 0, bytes: 1 << 20, hub_bytes: 1 << 20 } };
    let small = RecentLimits { entries: 100, bytes: 10 * 110, hub_bytes: 1 << 20 };
    for recent in [few, small] {
        let mut scenario = Scenario::with(|options| {
            options.recent = recent;
            options.rate = None;
        });
        let bob = scenario.open("bob", "kitchen");
        for n in 1..=9 {
            scenario.send(bob, &n.to_string());
        }
        let read = scenario.pages_begun;
        scenario.open("alice", "kitchen");
        assert_eq!(scenario.pages_begun, read, "nine are ready");
        for n in 10..=30 {
            scenario.send(bob, &n.to_string());
        }
        let carol = scenario.open("carol", "kitchen");
        assert_eq!(scenario.pages_begun, read + 1, "thirty are not");
        assert_eq!(scenario.received(carol)[..30], numbered("bob: ", 1..=30));
    }
}

#[test]
fn recent_frames_of_all_rooms_are_capped_and_the_least_used_go_first() {
    let mut scenario = Scenario::with(|options| {
        options.recent.hub_bytes = 40 * 1024;
        options.rate = None;
    });
    let rooms: Vec<_> = (0..4).map(|n| format!("room {n}")).collect();
    for room in &rooms {
        let bob = scenario.open("bob", room);
        for _ in 0..10 {
            scenario.send(bob, &"x".repeat(1_000));
        }
    }
    let read = scenario.pages_begun;
    scenario.open("alice", &rooms[3]);
    assert_eq!(scenario.pages_begun, read, "the last one is ready");
    let alice = scenario.open("alice", &rooms[0]);
    assert_eq!(scenario.pages_begun, read + 1, "the first one is not");
    assert_eq!(scenario.received(alice).len(), 11);
}
