//! Drafts that the log fails or does not answer.

use chat_core::{Input, Outcome, PageFrom, PageLimits, Receipt};
use serde_json::json;

use crate::harness::{Scenario, topic};

#[test]
fn a_draft_that_fails_closes_its_sender() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    let bob = scenario.open("bob", "kitchen");
    scenario.hold_appends = true;
    scenario.send(alice, "one");
    scenario.send(alice, "two");
    scenario.fail(1);
    assert_eq!(scenario.close_code(alice), Some(1013));
    assert_eq!(scenario.received(bob), ["+bob", "-alice"]);
    scenario.append(1);
    assert_eq!(scenario.received(bob), ["alice: two"]);
    assert_eq!(scenario.hub.unanswered(), 0);
}

#[test]
fn a_draft_without_an_answer_for_five_seconds_counts_as_failed() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    let bob = scenario.open("bob", "kitchen");
    scenario.hold_appends = true;
    scenario.send(alice, "hi");
    scenario.pass(4_400);
    assert_eq!(scenario.close_code(alice), None);
    scenario.pass(1_100);
    assert_eq!(scenario.close_code(alice), Some(1013));
    assert_eq!(scenario.hub.unanswered(), 0);
    // It was stored after all: clients that are still there get it.
    scenario.append(1);
    assert_eq!(scenario.received(bob), ["+bob", "-alice", "alice: hi"]);
}

#[test]
fn the_receipt_of_an_unseen_entry_has_it_read() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    let bob = scenario.open("bob", "kitchen");
    scenario.lose_entries = true;
    scenario.send(alice, "hi");
    scenario.send_private(alice, "bob", "psst");
    assert_eq!(scenario.received(alice), ["+alice", "+bob", "alice: hi", "alice to bob: psst"]);
    assert_eq!(scenario.received(bob), ["+bob", "alice: hi", "alice to bob: psst"]);
}

#[test]
fn a_v1_draft_that_was_stored_before_is_delivered() {
    // The log had committed it, lost the answer, and found it again by the
    // nonce that it gave the draft.
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    scenario.hold_appends = true;
    scenario.send(alice, "hi");
    let draft = scenario.drafts.remove(0);
    let stored = scenario.store("alice", "kitchen", "hi");
    let outcome = Outcome::Duplicate { topic: topic("kitchen"), seq: stored.seq, at_ms: stored.at_ms };
    let receipt = Receipt::new(draft.id, outcome);
    scenario.turn(Input::Commit { entries: &[], receipts: &[receipt] });
    assert_eq!(scenario.received(alice), ["+alice", "alice: hi"]);
}

#[test]
fn what_the_program_refuses_is_answered_with_its_sentence() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_in_room("alice", "tech");
    scenario.hold_appends = true;
    scenario.send_v2(alice, "tech", "1");
    let draft = scenario.drafts.remove(0);
    let receipt = Receipt::new(draft.id, Outcome::Refused("Not here.".into()));
    scenario.turn(Input::Commit { entries: &[], receipts: &[receipt] });
    let error = json!({ "type": "error", "code": "forbidden", "message": "Not here.", "sentence": "Not here.", "nonce": "1" });
    assert_eq!(scenario.frames(alice), [error]);
}

#[test]
fn after_unavailable_no_send_is_stored_before_the_retry() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_in_room("alice", "tech");
    scenario.hold_appends = true;
    scenario.send_v2(alice, "tech", "1");
    scenario.send_v2(alice, "tech", "2");
    scenario.fail(2);
    assert_eq!(scenario.received(alice), ["error unavailable 1", "error unavailable 2"]);
    // Sent before the error reached the client.
    scenario.send_v2(alice, "tech", "3");
    assert_eq!(scenario.received(alice), ["error unavailable 3"]);
    scenario.hold_appends = false;
    for nonce in ["1", "2", "3"] {
        scenario.send_v2(alice, "tech", nonce);
    }
    let acks: Vec<_> =
        scenario.received(alice).into_iter().filter(|frame| frame.starts_with("ack")).collect();
    assert_eq!(acks, ["ack 1 1", "ack 2 2", "ack 3 3"]);
}

#[test]
fn failed_sends_are_repeated_in_their_order_whichever_failed_first() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_in_room("alice", "tech");
    scenario.hold_appends = true;
    scenario.send_v2(alice, "tech", "1");
    scenario.send_v2(alice, "tech", "2");
    // The log's queue had no room for the second, and the log fails the first later.
    let first = scenario.drafts.remove(0);
    scenario.fail(1);
    scenario.drafts.push(first);
    scenario.fail(1);
    assert_eq!(scenario.received(alice), ["error unavailable 2", "error unavailable 1"]);
    scenario.hold_appends = false;
    for nonce in ["2", "3", "1", "2", "3"] {
        scenario.send_v2(alice, "tech", nonce);
    }
    assert_eq!(scenario.received(alice)[..2], ["error unavailable 2", "error unavailable 3"]);
    let texts: Vec<_> = scenario
        .history
        .page(&topic("tech"), PageFrom::After(0), PageLimits { entries: 9, bytes: 999 })
        .entries
        .iter()
        .map(|entry| entry.body.text().to_owned())
        .collect();
    assert_eq!(texts, ["1", "2", "3"]);
}

#[test]
fn a_client_that_gives_up_a_failed_send_may_continue_after_a_while() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_in_room("alice", "tech");
    scenario.hold_appends = true;
    scenario.send_v2(alice, "tech", "lost");
    scenario.fail(1);
    scenario.hold_appends = false;
    scenario.send_v2(alice, "tech", "early");
    scenario.pass(2_000);
    scenario.send_v2(alice, "tech", "later");
    assert_eq!(
        scenario.received(alice),
        ["error unavailable lost", "error unavailable early", "ack later 1", "1 alice: later"]
    );
}

#[test]
fn a_hanging_log_fails_a_send_in_time() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_in_room("alice", "tech");
    scenario.hold_appends = true;
    scenario.send_v2(alice, "tech", "n");
    scenario.pass(4_900);
    assert_eq!(scenario.received(alice), [""; 0]);
    scenario.pass(700);
    let error = scenario.frames(alice).remove(0);
    assert_eq!((&error["code"], &error["nonce"]), (&json!("unavailable"), &json!("n")));
    assert_eq!(error["retry_after"], 1);
    assert!(scenario.is_open(alice));
    // It was stored all the same.
    scenario.append(1);
    scenario.hold_appends = false;
    assert_eq!(scenario.received(alice), ["1 alice: n"]);
    scenario.send_v2(alice, "tech", "n");
    assert_eq!(scenario.received(alice), ["ack n 1 again"]);
}

#[test]
fn where_topics_are_stored_side_by_side_a_client_has_one_at_a_time() {
    let mut scenario = Scenario::with(|options| options.topics_side_by_side = true);
    let alice = scenario.open_in_room("alice", "tech");
    scenario.join(alice, "games");
    scenario.frames(alice);
    scenario.hold_appends = true;
    scenario.send_v2(alice, "tech", "1");
    scenario.send_v2(alice, "tech", "2");
    scenario.send_v2(alice, "games", "3");
    scenario.send_v2(alice, "tech", "4");
    assert_eq!(scenario.drafts.len(), 2);
    scenario.append(2);
    assert_eq!(scenario.drafts.len(), 1);
    scenario.append(1);
    scenario.append(1);
    let acks: Vec<_> =
        scenario.received(alice).into_iter().filter(|frame| frame.starts_with("ack")).collect();
    assert_eq!(acks, ["ack 1 1", "ack 2 2", "ack 3 1", "ack 4 3"]);
    // And what waits falls with what failed.
    scenario.send_v2(alice, "tech", "5");
    scenario.send_v2(alice, "games", "6");
    scenario.fail(1);
    assert_eq!(scenario.received(alice), ["error unavailable 5", "error unavailable 6"]);
}

#[test]
fn a_send_that_waits_for_another_topic_is_stored_before_its_author_is_closed() {
    let mut scenario = Scenario::with(|options| options.topics_side_by_side = true);
    for drains in [true, false] {
        let alice = scenario.open_in_room("alice", "tech");
        scenario.join(alice, "games");
        scenario.frames(alice);
        scenario.hold_appends = true;
        let nonces = [format!("1 {drains}"), format!("2 {drains}")];
        scenario.send_v2(alice, "tech", &nonces[0]);
        scenario.send_v2(alice, "games", &nonces[1]);
        match drains {
            false => scenario.turn(Input::Drain),
            true => scenario.turn(Input::Goodbye { client: alice }),
        }
        scenario.pass(100);
        scenario.append(1);
        assert_eq!(scenario.close_code(alice), None);
        scenario.append(1);
        let got = scenario.received(alice);
        for nonce in nonces {
            assert!(got.iter().any(|frame| frame.starts_with(&format!("ack {nonce} "))), "{got:?}");
        }
        assert_eq!(scenario.close_code(alice), Some(if drains { 1000 } else { 1012 }));
    }
}
