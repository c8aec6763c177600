//! Private messages.

use chat_core::{Pair, Topic};

use crate::harness::{Scenario, name};

#[test]
fn a_private_message_reaches_each_client_of_both_users_once_and_no_other() {
    let mut scenario = Scenario::new();
    let sender = scenario.open("alice", "kitchen");
    let alice_too = scenario.open("alice", "garden");
    let bobs =
        [scenario.open("bob", "kitchen"), scenario.open("bob", "kitchen"), scenario.open("bob", "cellar")];
    let carol = scenario.open("carol", "kitchen");
    scenario.client_ids().for_each(|client| drop(scenario.received(client)));
    scenario.send_private(sender, " bob ", "psst");
    for client in [sender, alice_too, bobs[0], bobs[1], bobs[2]] {
        assert_eq!(scenario.received(client), ["alice to bob: psst"]);
        // Where its author was, wherever the reader is.
        assert_eq!(scenario.lines(client).last().unwrap().room, "kitchen");
    }
    assert_eq!(scenario.received(carol), [""; 0]);
}

#[test]
fn a_message_with_a_recipient_is_private_whatever_its_type() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    let carol = scenario.open("carol", "kitchen");
    scenario.frame(alice, r#"{"type":"message","text":"psst","to":"bob"}"#);
    assert_eq!(scenario.received(alice), ["+alice", "+carol", "alice to bob: psst"]);
    assert_eq!(scenario.received(carol), ["+carol"]);
}

#[test]
fn a_private_message_to_an_unknown_name_is_echoed_and_not_stored() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    let bob = scenario.open("bob", "kitchen");
    scenario.received(alice);
    // No account has this name, and none can have the other.
    let endless = "x".repeat(25);
    scenario.send_private(alice, "Nobody", "psst");
    scenario.send_private(alice, &endless, "psst");
    let expected = ["alice to Nobody: psst".to_owned(), format!("alice to {endless}: psst")];
    assert_eq!(scenario.received(alice), expected);
    assert_eq!(scenario.lines(alice).last().unwrap().room, "kitchen");
    assert_eq!(scenario.received(bob), ["+bob"]);
    assert_eq!(scenario.hub.unanswered(), 0);
    let pair = Pair::new(name("alice"), name("Nobody"));
    assert_eq!(scenario.history.last_seq(&Topic::Pair(pair)), 0);
}

#[test]
fn a_note_to_oneself_reaches_each_client_once() {
    let mut scenario = Scenario::new();
    let [one, other] = [scenario.open("alice", "kitchen"), scenario.open("alice", "garden")];
    scenario.send_private(one, "alice", "milk");
    assert_eq!(scenario.received(one), ["+alice", "alice to alice: milk"]);
    assert_eq!(scenario.received(other), ["+alice", "alice to alice: milk"]);
}

#[test]
fn missed_private_messages_are_read_from_the_log() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    let bob = scenario.open("bob", "kitchen");
    scenario.send_private(alice, "bob", "one");
    scenario.lose_entries = true;
    scenario.send_private(alice, "bob", "two");
    scenario.lose_entries = false;
    scenario.send_private(bob, "alice", "three");
    for client in [alice, bob] {
        let seen = scenario.received(client);
        assert_eq!(seen[seen.len() - 3..], ["alice to bob: one", "alice to bob: two", "bob to alice: three"]);
    }
}

#[test]
fn a_hole_in_a_private_conversation_is_read_from_the_log() {
    let mut scenario = Scenario::new();
    let bob = scenario.open("bob", "kitchen");
    let [one, two, three] = ["1", "2", "3"].map(|text| scenario.store_private("alice", "bob", text));
    scenario.carry(&[&one]);
    scenario.carry(&[&three, &one]);
    scenario.carry(&[&two]);
    assert_eq!(scenario.received(bob)[1..], ["alice to bob: 1", "alice to bob: 2", "alice to bob: 3"]);
}

#[test]
fn private_messages_from_before_a_user_came_are_not_delivered() {
    let mut scenario = Scenario::new();
    let bob = scenario.open("bob", "kitchen");
    scenario.send_private(bob, "alice", "1");
    scenario.disconnect(bob);
    scenario.store_private("alice", "bob", "2");
    let bob = scenario.open("bob", "kitchen");
    let three = scenario.store_private("alice", "bob", "3");
    scenario.carry(&[&three]);
    assert_eq!(scenario.received(bob), ["+bob", "alice to bob: 3"]);
}

#[test]
fn a_private_message_reaches_both_users_with_both_versions() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_v2("alice");
    let laptop = scenario.open("alice", "tech");
    let bob = scenario.open_v2("bob");
    let eve = scenario.open_in_room("eve", "tech");
    for client in [alice, bob, eve] {
        scenario.frames(client);
    }
    scenario.received(laptop);
    scenario.send_private_v2(alice, "bob", "psst");
    assert_eq!(scenario.received(alice), ["1 alice to bob: psst", "ack psst 1"]);
    assert_eq!(scenario.received(bob), ["1 alice to bob: psst"]);
    assert_eq!(scenario.received(laptop), ["alice to bob: psst"]);
    assert_eq!(scenario.received(eve), [""; 0]);
    // To oneself.
    scenario.send_private_v2(bob, "bob", "note");
    assert_eq!(scenario.received(bob), ["1 bob to bob: note", "ack note 1"]);
}
