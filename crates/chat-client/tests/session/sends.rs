//! Sends: order, repetitions, refusals and caps.

use chat_client::{Options, Refused, Snapshot};
use serde_json::json;

use crate::harness::{Harness, bob, tech};

#[test]
fn sends_are_kept_until_they_are_answered() {
    let mut client = Harness::in_room("tech");
    client.sent();
    for nonce in ["1", "2", "3"] {
        client.send(tech(), nonce);
    }
    client.ack("1", 1);
    assert_eq!(client.sent(), ["1", "2", "3"]);
    client.reconnect_at_ms(json!([]));
    // Nothing is sent before the room is joined, and nothing overtakes.
    client.send(bob(), "4");
    assert_eq!(client.sent.len(), 1);
    client.joined("tech", 3, true);
    assert_eq!(client.sent(), ["join tech since 0", "2", "3", "4"]);
    client.ack("2", 2);
    client.ack("3", 3);
    client.ack("3", 3);
    assert_eq!(
        client.events(),
        ["stored 1 1", "offline", "online", "joined tech", "stored 2 2", "stored 3 3"]
    );
    assert_eq!(client.session.unsent(), 1);
}

#[test]
fn no_more_is_in_flight_than_the_server_allows() {
    let mut client = Harness::in_room("tech");
    client.sent();
    for n in 1..=9 {
        client.send(tech(), &n.to_string());
    }
    assert_eq!(client.sent(), ["1", "2", "3", "4"]);
    client.ack("1", 1);
    client.ack("2", 2);
    assert_eq!(client.sent(), ["5", "6"]);
}

#[test]
fn after_unavailable_the_rest_is_repeated_in_order() {
    let mut client = Harness::in_room("tech");
    client.sent();
    for nonce in ["1", "2", "3"] {
        client.send(tech(), nonce);
    }
    client.ack("1", 1);
    client.unavailable("2");
    client.send(tech(), "4");
    client.advance(5_000);
    // One send is still unanswered.
    assert_eq!(client.sent(), ["1", "2", "3"]);
    client.unavailable("3");
    assert_eq!(client.sent(), ["2", "3", "4"]);
    client.unavailable("2");
    client.unavailable("3");
    client.unavailable("4");
    client.advance(900);
    assert_eq!(client.sent(), [""; 0]);
    client.advance(2_000);
    assert_eq!(client.sent(), ["2", "3", "4"]);
    assert_eq!(client.events(), ["stored 1 1"]);
}

#[test]
fn a_final_error_ends_one_send_only() {
    let mut client = Harness::in_room("tech");
    client.send(tech(), "1");
    client.send(tech(), "2");
    client.frame(json!({"type": "error", "code": "text_too_long", "message": "no", "nonce": "1"}));
    client.ack("2", 1);
    assert_eq!(client.events(), ["not sent 1 text_too_long", "stored 2 1"]);
}

#[test]
fn a_message_that_is_too_big_fails() {
    let mut client = Harness::in_room("tech");
    client.sent();
    client.session.send(client.now_ms, tech(), "x".repeat(1_000), Some("big".into())).unwrap();
    client.send(tech(), "2");
    client.session.send(client.now_ms, tech(), "x".repeat(800), Some("3".into())).unwrap();
    client.collect();
    assert_eq!(client.sent(), ["2", "3"]);
    // The server closes because another message is too big.
    client.lose(Some(1009));
    assert_eq!(client.events(), ["not sent big text_too_long", "not sent 3 text_too_long", "offline"]);
    client.advance(1_000);
    client.hello(json!([]));
    client.joined("tech", 0, true);
    assert_eq!(client.sent(), ["join tech since 0", "2"]);
}

#[test]
fn everything_has_a_cap() {
    let options =
        Options { outbox_max_messages: 2, outbox_max_bytes: 10, rooms_max: 1, ..Options::default() };
    let mut client = Harness::with(options, Snapshot::default());
    let now_ms = client.now_ms;
    assert!(client.session.send(now_ms, bob(), "12345678", Some("n".into())).is_ok());
    let full = Err(Refused::OutboxFull { max_messages: 2, max_bytes: 10 });
    assert_eq!(client.session.send(now_ms, bob(), "123", None), full);
    assert_eq!(client.session.send(now_ms, bob(), "1", Some("n".into())), Err(Refused::NonceInUse));
    assert_eq!(client.session.send(now_ms, bob(), "1", Some("\n".into())), Err(Refused::BadNonce));
    assert!(client.session.send(now_ms, bob(), "1", None).is_ok());
    assert_eq!(client.session.send(now_ms, bob(), "", None), full);
    assert_eq!(client.session.join(now_ms, "a"), Ok(()));
    assert_eq!(client.session.join(now_ms, "a"), Ok(()));
    assert_eq!(client.session.join(now_ms, "b"), Err(Refused::TooManyRooms { max: 1 }));
}
