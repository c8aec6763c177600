//! Pages of history.

use chat_core::ClientId;
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

/// Ten messages, a reaction after each of them, and the fifth message deleted.
fn changed_room(scenario: &mut Scenario) {
    for n in 0..10 {
        scenario.store("bob", "tech", &n.to_string());
        scenario.store_react("carol", "tech", 2 * n + 1, "👍");
    }
    scenario.store_delete("bob", "tech", 9);
}

fn page(scenario: &mut Scenario, client: ClientId, fields: Value) -> String {
    let mut frame = json!({"type": "history", "room": "tech", "ref": "h"});
    for (field, value) in fields.as_object().into_iter().flatten() {
        frame[field] = value.clone();
    }
    scenario.request(client, frame);
    scenario.received(client).remove(0)
}

#[test]
fn folded_pages_have_messages_only_and_meet_exactly() {
    let mut scenario = Scenario::new();
    changed_room(&mut scenario);
    let alice = scenario.open_in_room("alice", "tech");
    for (fields, expected) in [
        (json!({}), "history [17 19] of 17-21 and more"),
        (json!({"before": 17}), "history [13 15] of 13-16 and more"),
        (json!({"before": 5}), "history [1 3] of 1-4"),
        (json!({"before": 2}), "history [1] of 1-1"),
        (json!({"before": 1}), "history [] of 1-0"),
        (json!({"after": 0}), "history [1 3] of 1-3 and more"),
        (json!({"after": 3}), "history [5 7] of 4-7 and more"),
        (json!({"after": 16}), "history [17 19] of 17-21"),
        (json!({"after": 19}), "history [] of 20-21"),
    ] {
        let mut requested = json!({"fold": true, "limit": 2});
        requested.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(page(&mut scenario, alice, requested), expected, "{fields}");
    }
    // Dense pages are as they were.
    assert_eq!(page(&mut scenario, alice, json!({"limit": 3})), "history [19 20 21] and more");
    scenario.trim("tech", 6);
    for (fields, expected) in [
        (json!({"before": 9}), "history [7] of 7-8"),
        (json!({"before": 7}), "history [] of 7-6"),
        (json!({"after": 2}), "history [7 9] of 3-9 and more"),
    ] {
        let mut requested = json!({"fold": true, "limit": 2});
        requested.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(page(&mut scenario, alice, requested), expected, "{fields}");
    }
}

#[test]
fn history_around_a_number() {
    let mut scenario = Scenario::new();
    changed_room(&mut scenario);
    let alice = scenario.open_in_room("alice", "tech");
    for (around, limit, fold, expected) in [
        (9, 5, true, "history [5 7 9 11 13] of 5-13 and more, before: true, after: true"),
        (10, 5, true, "history [7 9 11 13 15] of 7-15 and more, before: true, after: true"),
        (9, 1, true, "history [9] of 9-9 and more, before: true, after: true"),
        (1, 4, true, "history [1 3] of 1-3 and more, before: false, after: true"),
        (19, 5, true, "history [15 17 19] of 15-21 and more, before: true, after: false"),
        (4, 1, true, "history [5] of 4-5 and more, before: true, after: true"),
        (0, 1, true, "history [1] of 1-1 and more, before: false, after: true"),
        (1_000, 4, true, "history [17 19] of 17-21 and more, before: true, after: false"),
        (5, 100, true, "history [1 3 5 7 9 11 13 15 17 19] of 1-21, before: false, after: false"),
        // Every entry.
        (9, 5, false, "history [7 8 9 10 11] and more, before: true, after: true"),
        (9, 1, false, "history [9] and more, before: true, after: true"),
        (2, 6, false, "history [1 2 3 4] and more, before: false, after: true"),
        (20, 6, false, "history [17 18 19 20 21] and more, before: true, after: false"),
        (22, 4, false, "history [20 21] and more, before: true, after: false"),
        (1_000, 4, false, "history [20 21] and more, before: true, after: false"),
        (1_000, 1, false, "history [] and more, before: true, after: false"),
        (u64::MAX, 4, false, "history [20 21] and more, before: true, after: false"),
        (0, 4, false, "history [1] and more, before: false, after: true"),
    ] {
        let fields = json!({"around": around, "limit": limit, "fold": fold});
        assert_eq!(page(&mut scenario, alice, fields.clone()), expected, "{fields}");
    }
    scenario.trim("tech", 9);
    let fields = json!({"around": 4, "limit": 4, "fold": false});
    let expected = "history [] and more, before: false, after: true";
    assert_eq!(page(&mut scenario, alice, fields), expected);
    scenario.request(alice, json!({"type": "history", "with": "nobody", "around": 7, "fold": true}));
    assert_eq!(scenario.received(alice), ["history [] of 1-0, before: false, after: false"]);
}

/// What is farthest is left out, by the bytes of the frame.
#[test]
fn history_around_a_number_is_cut_from_the_outside_in() {
    let mut scenario = Scenario::new();
    for _ in 0..30 {
        scenario.store("bob", "tech", &format!("x{}x", "\u{1}".repeat(3_000)));
    }
    let alice = scenario.open_in_room("alice", "tech");
    for fold in [true, false] {
        scenario.request(alice, json!({"type": "history", "room": "tech", "around": 15, "fold": fold}));
        let frame = scenario.frames(alice).remove(0);
        assert!(frame.to_string().len() <= 64 * 1024);
        let seqs: Vec<_> = frame["messages"].as_array().unwrap().iter().map(|m| m["seq"].clone()).collect();
        assert_eq!(seqs, [14, 15, 16], "fold: {fold}");
        assert_eq!((&frame["has_more_before"], &frame["has_more_after"]), (&json!(true), &json!(true)));
    }
}

#[test]
fn history_by_numbers_has_the_messages_that_are_there() {
    let mut scenario = Scenario::new();
    changed_room(&mut scenario);
    let alice = scenario.open_in_room("alice", "tech");
    for fold in [true, false] {
        let requested = json!({"seqs": [9, 4, 3, 1_000, 9, 0, u64::MAX], "fold": fold});
        assert_eq!(page(&mut scenario, alice, requested), "history [3 9]");
    }
    assert_eq!(page(&mut scenario, alice, json!({"seqs": []})), "history []");
    scenario.request(alice, json!({"type": "history", "room": "tech", "seqs": [9]}));
    let frame = scenario.frames(alice).remove(0);
    assert_eq!((&frame["messages"][0]["deleted"], &frame["messages"][0]["text"]), (&json!(true), &json!("")));
    for bad in
        [json!({"seqs": [1], "before": 3}), json!({"seqs": vec![1; 51]}), json!({"around": 1, "after": 1})]
    {
        assert_eq!(page(&mut scenario, alice, bad), "error bad_request h");
    }
    // Those that do not fit are asked for again: long as JSON, or long already when read.
    for (text, sent) in [("\u{1}".repeat(4_000), 22..=41), ("x".repeat(4_000), 42..=91)] {
        for _ in sent.clone() {
            scenario.store("bob", "tech", &text);
        }
        let mut missing: Vec<u64> = sent.clone().chain([1, 2]).take(50).collect();
        let mut expected = missing.clone();
        expected.retain(|seq| *seq != 2);
        expected.sort_unstable();
        let mut got = Vec::new();
        loop {
            scenario.request(alice, json!({"type": "history", "room": "tech", "seqs": missing, "ref": "h"}));
            let frame = scenario.frames(alice).remove(0);
            assert!(frame.to_string().len() <= 64 * 1024);
            let seqs = frame["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap());
            got.extend(seqs);
            missing.retain(|seq| !got.contains(seq));
            if frame["has_more"] == false {
                break;
            }
        }
        got.sort_unstable();
        assert_eq!(got, expected);
    }
}

/// Long names of many reactions count, too.
#[test]
fn a_page_of_reactions_fits_into_a_frame() {
    let mut scenario = Scenario::new();
    let names: Vec<String> = (0..5).map(|n| format!("{n}{}", "\u{1d400}".repeat(23))).collect();
    let emoji: Vec<String> = (0..20).map(|n| char::from_u32(0x1F600 + n).unwrap().to_string()).collect();
    for message in 0..60 {
        let target = scenario.store("bob", "tech", &message.to_string()).seq;
        for (name, emoji) in names.iter().flat_map(|name| emoji.iter().map(move |emoji| (name, emoji))) {
            scenario.store_react(name, "tech", target, emoji);
        }
    }
    let alice = scenario.open_in_room("alice", "tech");
    let (mut before, mut messages) = (1_000_000, 0);
    while before > 1 {
        let request =
            json!({"type": "history", "room": "tech", "before": before, "fold": true, "limit": 100});
        scenario.request(alice, request);
        let frame = scenario.frames(alice).remove(0);
        assert!(frame.to_string().len() <= 64 * 1024 + 1_000, "{}", frame.to_string().len());
        messages += frame["messages"].as_array().unwrap().len();
        before = frame["from"].as_u64().unwrap();
    }
    assert_eq!(messages, 60);
}
