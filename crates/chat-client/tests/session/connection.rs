//! The connection: attempts, closes and deadlines.

use chat_client::Event;
use serde_json::json;

use crate::harness::{Harness, tech};

#[test]
fn attempts_back_off_until_a_connection_lasted() {
    let mut client = Harness::new();
    let mut waits = Vec::new();
    for _ in 0..200 {
        client.lose(None);
        let Some(Event::Offline { retry_in_ms, .. }) = client.events.pop() else { panic!("offline") };
        waits.push(retry_in_ms);
        client.advance(retry_in_ms);
    }
    assert_eq!(client.connects, 201);
    assert!(waits.iter().all(|wait| (500..=30_000).contains(wait)) && waits[0] <= 1_000, "{waits:?}");
    assert!(waits.iter().any(|wait| *wait > 25_000) && waits[10..].iter().any(|wait| *wait < 5_000));
    client.hello(json!([]));
    client.advance(10_000);
    client.lose(Some(1013));
    let Some(Event::Offline { retry_in_ms, code: Some(1013) }) = client.events.pop() else {
        panic!("offline")
    };
    assert!(retry_in_ms <= 1_000);
}

#[test]
fn it_reconnects_when_the_server_asks() {
    let mut client = Harness::in_room("tech");
    client.sent();
    client.frame(json!({"type": "reconnect", "after_ms": 1_234}));
    // This connection takes no more sends.
    client.send(tech(), "1");
    client.advance(34);
    client.lose(Some(1012));
    assert_eq!(client.events.pop(), Some(Event::Offline { code: Some(1012), retry_in_ms: 1_200 }));
    client.advance(1_200);
    assert_eq!((client.connects, client.sent()), (2, vec![]));
}

#[test]
fn a_signed_out_session_stays_offline() {
    for code in [1008, 4001] {
        let mut client = Harness::in_room("tech");
        client.send(tech(), "1");
        client.lose(Some(code));
        client.advance(1_000_000);
        assert_eq!((client.connects, client.events()), (1, vec![format!("signed out {code}")]));
        client.session.signed_in(client.now_ms);
        client.advance(0);
        assert_eq!(client.connects, 2);
        client.hello(json!([]));
        client.sent();
        assert_eq!(client.session.unsent(), 1);
    }
}

#[test]
fn a_dead_connection_is_dropped() {
    // Nothing is received, not even pings.
    let mut client = Harness::in_room("tech");
    client.advance(80_000);
    client.session.received(client.now_ms);
    client.advance(89_000);
    assert_eq!(client.hangups, 0);
    client.advance(1_000);
    assert_eq!((client.hangups, client.events()), (1, vec!["offline".to_owned()]));
    // Pings are received, but no answers.
    let mut client = Harness::in_room("tech");
    client.send(tech(), "1");
    for _ in 0..59 {
        client.advance(1_000);
        client.session.received(client.now_ms);
    }
    assert_eq!(client.hangups, 0);
    client.advance(1_000);
    assert_eq!(client.hangups, 1);
    // Neither a connection nor a `hello` in time.
    let mut client = Harness::new();
    client.advance(15_000);
    assert_eq!(client.hangups, 1);
    client.advance(2_000);
    client.session.opened(client.now_ms);
    client.advance(15_000);
    assert_eq!(client.hangups, 2);
}
