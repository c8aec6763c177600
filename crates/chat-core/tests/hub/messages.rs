//! Messages to rooms: who gets them, in which order, and how sends are acknowledged.

use serde_json::json;

use crate::harness::Scenario;

#[test]
fn a_message_reaches_the_whole_room_its_author_too() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    let bob = scenario.open("bob", "kitchen");
    scenario.send(alice, " hi  there ");
    assert_eq!(scenario.received(alice), ["+alice", "+bob", "alice: hi  there"]);
    assert_eq!(scenario.received(bob), ["+bob", "alice: hi  there"]);
}

#[test]
fn no_message_is_delivered_before_it_is_stored() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    let bob = scenario.open("bob", "kitchen");
    scenario.hold_appends = true;
    scenario.received(alice);
    scenario.send(alice, "hi");
    scenario.send_private(alice, "bob", "psst");
    assert_eq!(scenario.received(alice), [""; 0]);
    scenario.append(2);
    assert_eq!(scenario.received(alice), ["alice: hi", "alice to bob: psst"]);
    assert_eq!(scenario.received(bob), ["+bob", "alice: hi", "alice to bob: psst"]);
}

#[test]
fn messages_stay_in_their_room() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    let bob = scenario.open("bob", "garden");
    scenario.send(alice, "hi");
    scenario.send(bob, "ho");
    assert_eq!(scenario.received(alice), ["+alice", "alice: hi"]);
    assert_eq!(scenario.received(bob), ["+bob", "bob: ho"]);
    let online: Vec<_> = scenario.hub.rooms().map(|(room, online)| (room.as_str(), online)).collect();
    assert_eq!(online, [("kitchen", 1), ("garden", 1)]);
}

#[test]
fn a_v1_client_sets_only_text_to_and_type() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    scenario.frame(
        alice,
        r#"{"type":"system","text":"hi","from":"admin","room":"garden","timestamp":1,"seq":7}"#,
    );
    assert_eq!(scenario.received(alice), ["+alice", "alice: hi"]);
    let line = scenario.lines(alice).last().unwrap();
    assert_eq!((line.kind.as_str(), line.room.as_str()), ("message", "kitchen"));
    assert_eq!(line.timestamp, scenario.now.wall_ms / 1000);
    // Garbage is not delivered and closes nothing.
    for garbage in ["", "hi", "[]", r#"{"text":7}"#, r#"{"text":" "}"#, r#"{"type":"private","text":"x"}"#] {
        scenario.frame(alice, garbage);
    }
    assert_eq!(scenario.received(alice), [""; 0]);
    assert_eq!(scenario.close_code(alice), None);
}

#[test]
fn a_text_that_is_too_long_closes_its_sender() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    let bob = scenario.open("bob", "kitchen");
    scenario.send(alice, &"ж".repeat(4096));
    assert_eq!(scenario.close_code(alice), None);
    scenario.received(bob);
    scenario.send(alice, &"ж".repeat(4097));
    assert_eq!(scenario.close_code(alice), Some(1009));
    assert_eq!(scenario.received(bob), ["-alice"]);
}

#[test]
fn a_client_sees_one_turn_in_the_order_of_the_log() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    let bob = scenario.open("bob", "kitchen");
    scenario.hold_appends = true;
    scenario.send(alice, "before");
    scenario.send_private(alice, "bob", "psst");
    scenario.send(alice, "after");
    scenario.send_private(alice, "Nobody", "hm");
    scenario.send(alice, "last");
    scenario.append(5);
    let order = ["alice: before", "alice to bob: psst", "alice: after", "alice: last"];
    assert_eq!(scenario.received(bob)[1..], order);
    // What is not in the log comes with the receipts, after its entries.
    assert_eq!(scenario.received(alice)[2..], [&order[..], &["alice to Nobody: hm"]].concat());
}

#[test]
fn times_in_a_room_never_run_backwards() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    scenario.send(alice, "before");
    scenario.pass(10_000);
    let bob = scenario.open("bob", "kitchen");
    scenario.now.wall_ms -= 3_600_000;
    // The log stamps it with the time of the message before, ten seconds
    // before the notice.
    scenario.send(alice, "after");
    scenario.disconnect(bob);
    scenario.send(alice, "later");
    scenario.now.wall_ms += 7_200_000;
    scenario.send(alice, "much later");
    let carol = scenario.open("carol", "kitchen");
    for client in [alice, bob, carol] {
        let times: Vec<_> = scenario.lines(client).iter().map(|line| line.timestamp).collect();
        assert!(times.is_sorted(), "{times:?}");
    }
    assert_eq!(scenario.received(alice).len(), 8);
}

#[test]
fn both_versions_share_a_room() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_in_room("alice", "tech");
    let bob = scenario.open("bob", "tech");
    scenario.send(bob, "hi");
    scenario.send_v2(alice, "tech", "hello");
    assert_eq!(scenario.received(alice), ["+bob", "1 bob: hi", "ack hello 2", "2 alice: hello"]);
    assert_eq!(scenario.received(bob), ["+bob", "bob: hi", "alice: hello"]);
    assert!(scenario.frames(alice).is_empty());
    // Messages of v1 clients have no nonce.
    let carol = scenario.open_v2("carol");
    scenario.join(carol, "tech");
    let frames = scenario.frames(carol);
    assert!(frames[2].get("nonce").is_none());
    assert_eq!(frames[3]["nonce"], "hello");
    scenario.request(carol, json!({"type": "leave", "room": "tech", "ref": "l"}));
    assert_eq!(scenario.received(carol), ["left tech"]);
    assert_eq!(scenario.received(bob), ["+carol", "-carol"]);
    scenario.send_private_v2(alice, "bob", "psst");
    assert_eq!(scenario.received(bob), ["alice to bob: psst"]);
    assert_eq!(scenario.received(alice), ["+carol", "1 alice to bob: psst", "ack psst 1"]);
    scenario.send(bob, "bye");
    assert_eq!(scenario.received(carol), [""; 0]);
}

#[test]
fn an_ack_waits_for_the_commit() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_in_room("alice", "tech");
    scenario.hold_appends = true;
    scenario.send_v2(alice, "tech", "n");
    assert_eq!(scenario.received(alice), [""; 0]);
    scenario.append(1);
    assert_eq!(scenario.received(alice), ["ack n 1", "1 alice: n"]);
}

#[test]
fn a_retry_gets_its_first_number_back() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_in_room("alice", "tech");
    scenario.send_v2(alice, "tech", "n");
    let phone = scenario.open_in_room("alice", "games");
    scenario.request(phone, json!({"type": "message", "room": "games", "text": "other", "nonce": "n"}));
    assert_eq!(
        scenario.frames(phone),
        [json!({"type": "ack", "nonce": "n", "room": "tech", "seq": 1,
            "timestamp": 1_795_371_797, "duplicate": true})]
    );
    // Another user's nonce is another one.
    let bob = scenario.open_in_room("bob", "tech");
    scenario.send_v2(bob, "tech", "n");
    assert_eq!(scenario.received(bob), ["ack n 2", "2 bob: n"]);
    scenario.send_private_v2(bob, "alice", "p");
    scenario.received(bob);
    scenario.send_private_v2(bob, "alice", "p");
    assert_eq!(
        scenario.frames(bob),
        [json!({"type": "ack", "nonce": "p", "to": "alice", "seq": 1,
            "timestamp": 1_795_371_797, "duplicate": true})]
    );
}

#[test]
fn a_message_may_follow_its_join_at_once() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    scenario.hold_reads = true;
    scenario.join(alice, "tech");
    scenario.send_v2(alice, "tech", "n");
    scenario.hold_reads = false;
    scenario.read();
    assert_eq!(scenario.received(alice), ["ack n 1", "joined tech at 1", "1 alice: n"]);
    // Left before it was joined.
    scenario.pass(120_000);
    scenario.hold_reads = true;
    scenario.join(alice, "games");
    scenario.request(alice, json!({"type": "leave", "room": "games", "ref": "l"}));
    assert_eq!(scenario.received(alice), ["error not_joined j", "left games"]);
    scenario.hold_reads = false;
    scenario.read();
    assert_eq!(scenario.received(alice), [""; 0]);
}

#[test]
fn errors_say_what_is_wrong_and_close_nothing() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    scenario.send_v2(alice, "tech", "n");
    scenario.request(alice, json!({"type": "leave", "room": "tech", "ref": "l"}));
    scenario.request(alice, json!({"type": "history", "room": "tech", "ref": "h"}));
    scenario.join(alice, "tech");
    scenario.join(alice, "tech");
    scenario.send_private_v2(alice, "Nobody", "n");
    scenario.send_private_v2(alice, &"x".repeat(100), "n");
    scenario.request(alice, json!({"type": "dance", "ref": "d"}));
    scenario.frame(alice, "garbage");
    scenario
        .request(alice, json!({"type": "message", "room": "tech", "text": "x".repeat(4097), "nonce": "n"}));
    scenario
        .request(alice, json!({"type": "message", "room": "tech", "text": "x".repeat(4096), "nonce": "m"}));
    let got = scenario.received(alice);
    assert_eq!(
        got[..10],
        [
            "error not_joined n",
            "error not_joined l",
            "error not_joined h",
            "joined tech at 0",
            "error already_joined j",
            "error not_found n",
            "error not_found n",
            "error unknown_type d",
            "error bad_request ?",
            "error text_too_long n",
        ]
    );
    assert_eq!(got[10], "ack m 1");
    assert!(scenario.is_open(alice));
}
