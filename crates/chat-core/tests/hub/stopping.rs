//! A server that stops.

use chat_core::{Input, PresenceKind};

use crate::harness::{Scenario, short};

#[test]
fn draining_answers_drafts_and_then_closes() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    let bob = scenario.open("bob", "kitchen");
    scenario.hold_appends = true;
    scenario.send(alice, "my last words");
    scenario.turn(Input::Drain);
    assert!(!scenario.hub.is_drained());
    scenario.pass(100);
    assert_eq!((scenario.close_code(alice), scenario.close_code(bob)), (None, Some(1001)));
    // No more of her messages are taken.
    scenario.send(alice, "one more");
    assert_eq!((scenario.drafts.len(), scenario.waiting(alice)), (1, 1));
    scenario.append(1);
    assert_eq!(scenario.close_code(alice), Some(1001));
    assert_eq!(scenario.received(alice).last().unwrap(), "alice: my last words");
    assert!(scenario.hub.is_drained());
    // The server leaves, not the users.
    assert_eq!(scenario.received(bob), ["+bob"]);
    assert!(scenario.presence.iter().all(|change| change.kind == PresenceKind::Joined));
    let late = scenario.open("carol", "kitchen");
    assert_eq!(scenario.close_code(late), Some(1001));
    assert!(scenario.hub.is_drained());
}

#[test]
fn draining_spreads_the_clients_over_time() {
    let mut scenario = Scenario::with(|options| options.drain_spread_per_client_ms = 100);
    for n in 0..100 {
        scenario.open(&format!("user {n}"), "kitchen");
    }
    scenario.turn(Input::Drain);
    scenario.pass(2_500);
    assert!((48..=52).contains(&scenario.hub.clients()), "{}", scenario.hub.clients());
    scenario.pass(2_600);
    assert!(scenario.hub.is_drained());
}

#[test]
fn a_hub_without_clients_is_drained_at_once() {
    let mut scenario = Scenario::new();
    assert!(!scenario.hub.is_drained());
    scenario.turn(Input::Drain);
    assert!(scenario.hub.is_drained());
}

#[test]
fn a_draft_that_is_never_answered_does_not_hold_up_the_draining() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    scenario.hold_appends = true;
    scenario.send(alice, "hi");
    scenario.turn(Input::Drain);
    scenario.pass(6_000);
    assert_eq!(scenario.close_code(alice), Some(1013));
    assert!(scenario.hub.is_drained());
}

#[test]
fn draining_acknowledges_then_sends_when_to_come_back() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_in_room("alice", "tech");
    scenario.hold_appends = true;
    scenario.send_v2(alice, "tech", "n");
    scenario.turn(Input::Drain);
    scenario.pass(500);
    assert_eq!((scenario.received(alice), scenario.close_code(alice)), (vec![], None));
    scenario.append(1);
    let frames = scenario.frames(alice);
    let shorts: Vec<_> = frames.iter().map(short).collect();
    assert!(shorts.contains(&"ack n 1".to_owned()) && shorts.contains(&"1 alice: n".to_owned()));
    assert_eq!(shorts.last().unwrap(), "reconnect");
    assert!(frames.last().unwrap()["after_ms"].as_u64().unwrap() < 2_000);
    assert_eq!(scenario.close_code(alice), Some(1012));
}
