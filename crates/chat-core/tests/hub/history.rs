//! Pages of history.

use serde_json::{Value, json};

use crate::harness::{EPOCH, Scenario};

#[test]
fn history_goes_both_ways() {
    let mut scenario = Scenario::new();
    for n in 1..=300 {
        scenario.store("bob", "tech", &n.to_string());
    }
    let alice = scenario.open_in_room("alice", "tech");
    let mut page = |fields: Value| {
        let mut frame = json!({"type": "history", "room": "tech", "limit": 3, "ref": "h"});
        frame.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        scenario.request(alice, frame);
        scenario.received(alice).remove(0)
    };
    assert_eq!(page(json!({})), "history [298 299 300] and more");
    assert_eq!(page(json!({"before": 3})), "history [1 2]");
    assert_eq!(page(json!({"before": 5})), "history [2 3 4] and more");
    assert_eq!(page(json!({"before": 1})), "history []");
    assert_eq!(page(json!({"before": 1_000})), "history [298 299 300] and more");
    assert_eq!(page(json!({"after": 0})), "history [1 2 3] and more");
    assert_eq!(page(json!({"after": 297})), "history [298 299 300]");
    assert_eq!(page(json!({"after": 300})), "history []");
    assert_eq!(page(json!({"after": 1_000})), "history []");
    scenario
        .request(alice, json!({"type": "history", "room": "tech", "before": 201, "limit": 100, "ref": "h"}));
    let frame = scenario.frames(alice).remove(0);
    assert_eq!(frame["messages"].as_array().unwrap().len(), 100);
    assert_eq!(
        (&frame["room"], &frame["epoch"], &frame["first"]),
        (&json!("tech"), &json!(EPOCH), &json!(1))
    );
    assert_eq!(frame["messages"][0]["type"], "message");
}

#[test]
fn an_empty_conversation_and_an_unknown_name_answer_alike() {
    let mut scenario = Scenario::new();
    scenario.store_private("alice", "bob", "1");
    scenario.store_private("carol", "bob", "secret");
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    for with in ["carol", "Nobody", "x\u{7}y", "", &"long".repeat(99)] {
        scenario.request(alice, json!({"type": "history", "with": with}));
        let expected = json!({"type": "history", "with": with, "epoch": EPOCH, "first": 1,
            "messages": [], "has_more": false});
        assert_eq!(scenario.frames(alice), [expected]);
    }
    scenario.request(alice, json!({"type": "history", "with": "bob"}));
    assert_eq!(scenario.received(alice), ["history [1]"]);
}

#[test]
fn a_page_of_escapes_fits_into_a_frame() {
    let mut scenario = Scenario::new();
    for _ in 0..40 {
        scenario.store("bob", "tech", &format!("x{}x", "\u{1}".repeat(4000)));
    }
    let alice = scenario.open_in_room("alice", "tech");
    for from in [json!({"before": 100}), json!({"after": 0})] {
        let mut frame = json!({"type": "history", "room": "tech", "limit": 100});
        frame.as_object_mut().unwrap().extend(from.as_object().unwrap().clone());
        scenario.request(alice, frame);
        let answer = scenario.frames(alice).remove(0);
        assert!(answer.to_string().len() <= 64 * 1024);
        assert_eq!(answer["has_more"], true);
        let messages = answer["messages"].as_array().unwrap();
        assert_eq!(messages.len(), 2);
        let first = if from.get("before").is_some() { 39 } else { 1 };
        assert_eq!(messages[0]["seq"], first);
    }
}

#[test]
fn history_is_read_a_few_pages_at_a_time() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_in_room("alice", "tech");
    scenario.hold_reads = true;
    for n in 0..6 {
        scenario.request(alice, json!({"type": "history", "room": "tech", "ref": n.to_string()}));
    }
    assert_eq!((scenario.reads.len(), scenario.waiting(alice)), (2, 4));
    scenario.fail_read();
    assert_eq!(scenario.received(alice), ["error unavailable 0"]);
    assert_eq!((scenario.reads.len(), scenario.waiting(alice)), (2, 3));
    scenario.hold_reads = false;
    scenario.read();
    scenario.received(alice);
}

#[test]
fn history_of_a_room_that_was_left_meanwhile_is_refused() {
    let mut scenario = Scenario::new();
    scenario.store("bob", "tech", "secret");
    let alice = scenario.open_in_room("alice", "tech");
    scenario.hold_reads = true;
    scenario.request(alice, json!({"type": "history", "room": "tech", "ref": "h"}));
    scenario.request(alice, json!({"type": "leave", "room": "tech"}));
    scenario.read();
    assert_eq!(scenario.received(alice), ["left tech", "error not_joined h"]);
}

#[test]
fn folded_pages_meet_exactly() {
    let mut scenario = Scenario::new();
    for n in 1..=300 {
        scenario.store("bob", "tech", &n.to_string());
    }
    let alice = scenario.open_in_room("alice", "tech");
    let mut page = |fields: Value| {
        let mut frame = json!({"type": "history", "room": "tech", "limit": 3, "fold": true, "ref": "h"});
        frame.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        scenario.request(alice, frame);
        scenario.received(alice).remove(0)
    };
    assert_eq!(page(json!({})), "history [298 299 300] of 298-300 and more");
    assert_eq!(page(json!({"before": 298})), "history [295 296 297] of 295-297 and more");
    assert_eq!(page(json!({"before": 3})), "history [1 2] of 1-2");
    assert_eq!(page(json!({"before": 1})), "history [] of 1-0");
    assert_eq!(page(json!({"before": 0})), "history [] of 1-0");
    assert_eq!(page(json!({"before": 1_000})), "history [298 299 300] of 298-300 and more");
    assert_eq!(page(json!({"after": 0})), "history [1 2 3] of 1-3 and more");
    assert_eq!(page(json!({"after": 297})), "history [298 299 300] of 298-300");
    assert_eq!(page(json!({"after": 300})), "history [] of 301-300");
    assert_eq!(page(json!({"after": 1_000})), "history [] of 1001-1000");
    assert_eq!(page(json!({"fold": false})), "history [298 299 300] and more");
    assert_eq!(page(json!({"limit": 0})), "error bad_request h");
    assert_eq!(page(json!({"limit": 101})), "error bad_request h");
    assert_eq!(page(json!({"limit": -1})), "error bad_request h");
    scenario.trim("tech", 11);
    let alice = scenario.open_in_room("alice", "tech");
    let mut page = |fields: Value| {
        let mut frame = json!({"type": "history", "room": "tech", "limit": 3, "fold": true, "ref": "h"});
        frame.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        scenario.request(alice, frame);
        scenario.received(alice).remove(0)
    };
    // Numbers that are no longer kept are covered, too.
    assert_eq!(page(json!({"after": 5})), "history [11 12 13] of 6-13 and more");
    assert_eq!(page(json!({"before": 11})), "history [] of 11-10");
    scenario.request(alice, json!({"type": "history", "with": "nobody", "fold": true, "ref": "h"}));
    assert_eq!(scenario.received(alice), ["history [] of 1-0"]);
}

/// A page that is cut by its bytes covers no more than it contains.
#[test]
fn a_folded_page_that_is_cut_meets_the_next_one() {
    let mut scenario = Scenario::new();
    for _ in 0..40 {
        scenario.store("bob", "tech", &"\u{1}".repeat(4_000));
    }
    let alice = scenario.open_in_room("alice", "tech");
    let (mut before, mut pages) = (41, 0);
    while before > 1 {
        let request = json!({"type": "history", "room": "tech", "before": before, "fold": true, "ref": "h"});
        scenario.request(alice, request);
        let frame = scenario.frames(alice).remove(0);
        assert_eq!(frame["upto"], before - 1);
        assert_eq!(frame["from"], frame["messages"][0]["seq"]);
        before = frame["from"].as_u64().unwrap();
        pages += 1;
    }
    assert!(pages > 10, "{pages}");
}
