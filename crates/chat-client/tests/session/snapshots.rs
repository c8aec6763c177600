//! Snapshots: continuing in another run of the program.

use chat_client::{Options, Snapshot};
use serde_json::json;

use crate::harness::{Harness, bob, tech};

#[test]
fn another_run_continues_from_a_snapshot() {
    let mut client = Harness::in_room("tech");
    client.room_message("tech", 1);
    client.private_message("bob", 1);
    client.send(tech(), "1");
    client.send(bob(), "2");
    let snapshot = serde_json::to_string(&client.session.snapshot()).unwrap();
    let snapshot: Snapshot = serde_json::from_str(&snapshot).unwrap();
    assert!(snapshot.outbox[0].may_be_stored);
    let mut client = Harness::with(Options::default(), snapshot);
    client.hello(json!([{"with": "bob", "seq": 2}]));
    client.joined("tech", 2, true);
    client.room_message("tech", 2);
    assert_eq!(client.sent.len(), 4);
    assert_eq!(client.sent()[..2], ["join tech since 1", "bob after 1"]);
    assert_eq!(client.events(), ["online", "joined tech", "tech 2"]);
}

#[test]
fn another_user_does_not_continue() {
    let mut client = Harness::in_room("tech");
    client.room_message("tech", 1);
    client.send(tech(), "1");
    let mut client = Harness::with(Options::default(), client.session.snapshot());
    let mut hello = Harness::hello_frame("e", json!([{"with": "bob", "seq": 2}]), false);
    hello["user"] = json!("mallory");
    client.receive_hello(hello);
    assert_eq!(client.sent(), ["join tech"]);
    assert_eq!(client.events(), ["not sent 1 other_user perhaps", "online", "reset tech"]);
}

#[test]
fn an_application_can_keep_its_own_seen() {
    let mut client = Harness::new();
    let mut seen = chat_client::Seen::default();
    client.hello(json!([{"with": "bob", "seq": 7}]));
    client.join("tech");
    client.joined("tech", 0, false);
    client.room_message("tech", 1);
    client.private_message("bob", 8);
    for event in &client.events {
        seen.apply(event);
    }
    assert_eq!(seen, *client.session.seen());
    assert_eq!((seen.seq(&tech()), seen.seq(&bob())), (Some(1), Some(8)));
}

#[test]
fn snapshots_of_earlier_versions_are_read() {
    let old = json!({"seen": {"user": "alice", "epoch": "e", "is_complete": true, "people": {"bob": {"seq": 7, "used": 1}},
        "rooms": {}, "used": 1, "settled": 1}, "outbox": [{"nonce": "n", "to": {"person": "bob"}, "text": "hi",
        "may_be_stored": false}]});
    let snapshot: Snapshot = serde_json::from_value(old).unwrap();
    assert_eq!((snapshot.seen.seq(&bob()), &snapshot.outbox[0].to), (Some(7), &bob()));
}
