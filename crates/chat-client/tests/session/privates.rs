//! Private conversations: live messages and missed ones.

use serde_json::{Value, json};

use crate::harness::{Harness, private};

#[test]
fn live_private_messages_follow_hello() {
    let mut client = Harness::new();
    client.hello(json!([{"with": "bob", "seq": 7}]));
    // Messages that `hello` counted are history; a new conversation starts with 1.
    client.private_message("bob", 7);
    client.private_message("bob", 8);
    client.private_message("carol", 1);
    client.frame(json!({"type": "private", "from": "alice", "to": "bob", "seq": 9, "text": "hi",
        "timestamp": 1, "nonce": "n"}));
    assert_eq!(client.events(), ["online", "bob 8", "carol 1", "bob 9"]);
}

#[test]
fn missed_private_messages_are_read() {
    let mut client = Harness::new();
    client.hello(json!([{"with": "bob", "seq": 7}]));
    client.private_message("bob", 8);
    client.reconnect_at_ms(json!([{"with": "bob", "seq": 12}, {"with": "dave", "seq": 2}]));
    // Dave's conversation is new: he wrote while the client was offline.
    assert_eq!(client.sent.len(), 2);
    // Live messages wait for the missed ones.
    client.private_message("bob", 13);
    let requests: Vec<Value> = client.sent.clone();
    assert_eq!(client.sent(), ["bob after 8", "dave after 0"]);
    client.sent = vec![requests[1].clone()];
    client.page(1, vec![private("dave", 1), private("dave", 2)], false);
    client.private_message("dave", 3);
    client.sent = vec![requests[0].clone()];
    client.page(1, vec![private("bob", 9), private("bob", 10)], true);
    client.page(1, vec![private("bob", 11), private("bob", 12), private("bob", 13)], false);
    client.private_message("bob", 14);
    let expected = ["bob 9", "bob 10", "bob 11", "bob 12", "bob 13", "bob 14"];
    let events = client.events();
    assert_eq!(events[..7], ["online", "bob 8", "offline", "online", "dave 1", "dave 2", "dave 3"]);
    assert_eq!(events[7..], expected);
}

#[test]
fn a_page_that_cannot_be_read_is_requested_again() {
    let mut client = Harness::new();
    client.hello(json!([{"with": "bob", "seq": 7}]));
    client.reconnect_at_ms(json!([{"with": "bob", "seq": 8}]));
    let reference = client.sent[0]["ref"].clone();
    client.sent();
    client.frame(json!({"type": "error", "code": "unavailable", "message": "", "ref": reference,
        "retry_after": 1}));
    assert_eq!(client.sent(), [""; 0]);
    client.advance(2_000);
    assert_eq!(client.sent(), ["bob after 7"]);
}

#[test]
fn private_messages_that_are_no_longer_kept_are_a_reset() {
    let mut client = Harness::new();
    client.hello(json!([{"with": "bob", "seq": 7}]));
    client.reconnect_at_ms(json!([{"with": "bob", "seq": 30}]));
    client.page(29, vec![private("bob", 29), private("bob", 30)], false);
    assert_eq!(client.events(), ["online", "offline", "online", "reset bob", "bob 29", "bob 30"]);
    // There is a new epoch.
    client.lose(None);
    client.advance(2_000);
    client.sent();
    client.receive_hello(Harness::hello_frame("other", json!([{"with": "bob", "seq": 1}]), false));
    assert_eq!(client.sent.len(), 1);
    client.page(1, vec![private("bob", 1)], false);
    client.private_message("bob", 2);
    assert_eq!(client.events(), ["offline", "online", "reset bob", "bob 1", "bob 2"]);
}

#[test]
fn unlisted_conversations_are_read_if_they_may_have_changed() {
    let start = || {
        let mut client = Harness::new();
        client.receive_hello(Harness::hello_frame("e", json!([{"with": "bob", "seq": 7}]), true));
        // A conversation that `hello` does not list has only live messages.
        client.private_message("carol", 50);
        assert_eq!(client.events(), ["online", "carol 50"]);
        client.advance(10_000);
        client.lose(None);
        client.advance(1_000);
        client.sent();
        client
    };
    // Bob has not written since the first `hello`, so no conversation before his has changed.
    let mut client = start();
    client.receive_hello(Harness::hello_frame("e", json!([{"with": "bob", "seq": 7}]), true));
    assert_eq!(client.sent(), [""; 0]);
    client.private_message("erin", 9);
    assert_eq!(client.events(), ["offline", "online", "erin 9"]);
    // Bob has written: perhaps Carol has, too. An unknown user may have written long ago.
    let mut client = start();
    client.receive_hello(Harness::hello_frame("e", json!([{"with": "bob", "seq": 8}]), true));
    assert_eq!(client.sent(), ["bob after 7", "carol after 50"]);
    client.private_message("erin", 9);
    assert_eq!(client.events(), ["offline", "online", "reset erin"]);
    assert_eq!(client.sent.len(), 1);
    client.page(1, vec![private("erin", 8), private("erin", 9)], true);
    assert_eq!(client.events(), ["erin 8", "erin 9"]);
}
