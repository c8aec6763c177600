//! Joining a room: the answer, the replay, and reads that fail meanwhile.

use serde_json::json;

use crate::harness::{EPOCH, Scenario, numbered, topic};

#[test]
fn a_joiner_gets_the_last_fifty_messages_and_then_its_own_notice() {
    let mut scenario = Scenario::new();
    for n in 1..=60 {
        scenario.store("alice", "kitchen", &n.to_string());
    }
    let bob = scenario.open("bob", "kitchen");
    let mut expected = numbered("alice: ", 11..=60);
    expected.push("+bob".into());
    assert_eq!(scenario.received(bob), expected);
    let notice = scenario.lines(bob).last().unwrap();
    assert_eq!(notice.text, "присоединился к комнате kitchen");
    assert_eq!(notice.room, "kitchen");
}

#[test]
fn replayed_messages_keep_their_own_times() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    scenario.send(alice, "early");
    let sent_s = scenario.now.wall_ms / 1000;
    scenario.pass(7_000);
    let bob = scenario.open("bob", "kitchen");
    assert_eq!(scenario.received(bob), ["alice: early", "+bob"]);
    assert_eq!(scenario.lines(bob)[0].timestamp, sent_s);
    assert_eq!(scenario.lines(bob)[1].timestamp, sent_s + 7);
}

#[test]
fn joining_in_the_middle_of_traffic_has_no_gap_and_no_duplicate() {
    for recent_entries in [0, 3, 100] {
        let mut scenario = Scenario::with(|options| {
            options.recent.entries = recent_entries;
            options.page_entries = 4;
            options.rate = None;
        });
        let alice = scenario.open("alice", "kitchen");
        for n in 1..=10 {
            scenario.send(alice, &n.to_string());
        }
        scenario.hold_reads = true;
        let bob = scenario.open("bob", "kitchen");
        for n in 11..=20 {
            scenario.send(alice, &n.to_string());
        }
        for n in 21..=60 {
            if scenario.reads.is_empty() {
                break;
            }
            scenario.read();
            scenario.send(alice, &n.to_string());
        }
        let last = scenario.history.last_seq(&topic("kitchen"));
        scenario.hold_reads = false;
        while !scenario.reads.is_empty() {
            scenario.read();
        }
        let got: Vec<_> = scenario.received(bob).into_iter().filter(|line| line != "+bob").collect();
        assert_eq!(got, numbered("alice: ", 1..=last), "{recent_entries} recent entries");
    }
}

#[test]
fn joined_comes_first_then_the_replay_then_new_entries() {
    let mut scenario = Scenario::new();
    for n in 1..=60 {
        scenario.store("bob", "tech", &n.to_string());
    }
    scenario.open("bob", "tech");
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    scenario.request(alice, json!({"type": "join", "room": "tech", "ref": "r"}));
    let frames = scenario.frames(alice);
    assert_eq!(
        frames[0],
        json!({"type": "joined", "room": "tech", "epoch": EPOCH, "seq": 60, "recovered": false,
            "online": 2, "members": ["alice", "bob"], "ref": "r"})
    );
    let seqs: Vec<u64> = frames[1..].iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (11..=60).collect::<Vec<_>>());
    scenario.send_v2(alice, "tech", "n");
    let mut own = scenario.frames(alice);
    own.sort_by_key(|frame| frame["type"].to_string());
    assert_eq!(
        own,
        [
            json!({"type": "ack", "nonce": "n", "room": "tech", "seq": 61,
                "timestamp": 1_795_371_797, "duplicate": false}),
            json!({"type": "message", "room": "tech", "seq": 61, "from": "alice", "text": "n",
                "timestamp": 1_795_371_797, "nonce": "n"}),
        ]
    );
}

#[test]
fn a_first_page_that_fails_is_read_again_and_then_given_up() {
    let mut scenario = Scenario::new();
    scenario.hold_reads = true;
    let alice = scenario.open("alice", "kitchen");
    let mut failed = 0;
    while scenario.close_code(alice).is_none() {
        while !scenario.reads.is_empty() {
            scenario.fail_read();
            failed += 1;
        }
        scenario.pass(500);
    }
    assert_eq!(scenario.close_code(alice), Some(1013));
    assert!((10..=31).contains(&failed), "{failed}");
}

#[test]
fn a_later_page_that_fails_is_read_again_and_then_given_up() {
    let mut scenario = Scenario::with(|options| options.recent.entries = 0);
    scenario.store("bob", "kitchen", "hi");
    let bob = scenario.open("bob", "kitchen");
    scenario.hold_reads = true;
    let alice = scenario.open("alice", "kitchen");
    let start = scenario.now.mono_ms;
    while scenario.close_code(alice).is_none() {
        assert!(scenario.now.mono_ms - start < 20_000, "never given up");
        while !scenario.reads.is_empty() {
            scenario.fail_read();
        }
        scenario.pass(500);
    }
    assert!(scenario.now.mono_ms - start >= 10_000, "given up too early");
    assert_eq!(scenario.close_code(alice), Some(1013));
    assert_eq!(scenario.close_code(bob), None);
}

#[test]
fn a_page_that_comes_at_last_is_not_too_late() {
    let mut scenario = Scenario::new();
    scenario.store("bob", "kitchen", "hi");
    scenario.hold_reads = true;
    let alice = scenario.open("alice", "kitchen");
    scenario.fail_read();
    scenario.pass(8_000);
    scenario.read();
    assert_eq!(scenario.received(alice), ["bob: hi", "+alice"]);
    scenario.pass(20_000);
    assert_eq!(scenario.close_code(alice), None);
}

#[test]
fn a_join_that_the_log_does_not_answer_is_unavailable() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    scenario.hold_reads = true;
    scenario.join(alice, "tech");
    scenario.pass(11_000);
    assert_eq!(scenario.received(alice), ["error unavailable j"]);
    assert!(scenario.is_open(alice));
    scenario.hold_reads = false;
    scenario.read();
    scenario.join(alice, "tech");
    assert_eq!(scenario.received(alice), ["joined tech at 0"]);
}

#[test]
fn excessive_numbers_and_epochs_are_taken_for_another_numbering() {
    let mut scenario = Scenario::new();
    scenario.store("bob", "tech", "1");
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    for join in [
        json!({"type": "join", "room": "tech", "since": u64::MAX, "epoch": EPOCH}),
        json!({"type": "join", "room": "tech", "since": 1, "epoch": EPOCH.repeat(1_000)}),
    ] {
        scenario.request(alice, join);
        assert_eq!(scenario.received(alice), ["joined tech at 1", "1 bob: 1"]);
        scenario.request(alice, json!({"type": "leave", "room": "tech"}));
        scenario.received(alice);
    }
    for request in [
        json!({"type": "history", "with": "bob", "after": u64::MAX}),
        json!({"type": "history", "with": "bob", "before": u64::MAX}),
        json!({"type": "history", "with": "bob", "before": 0}),
    ] {
        scenario.request(alice, request);
        assert_eq!(scenario.received(alice), ["history []"]);
    }
}
