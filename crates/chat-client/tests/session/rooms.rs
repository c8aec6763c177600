//! Rooms: live messages, resumes, joins and leaves.

use chat_client::Refused;
use serde_json::json;

use crate::harness::{Harness, tech};

#[test]
fn each_message_comes_once_and_in_order() {
    let mut client = Harness::in_room("tech");
    assert_eq!(client.sent(), ["join tech"]);
    for seq in [1, 2, 2, 1, 3] {
        client.room_message("tech", seq);
    }
    client.room_message("elsewhere", 1);
    assert_eq!(client.events(), ["tech 1", "tech 2", "tech 3"]);
    client.reconnect_at_ms(json!([]));
    assert_eq!(client.sent.clone()[0]["epoch"], "e");
    assert_eq!(client.sent.clone()[0]["since"], 3);
    client.joined("tech", 5, true);
    for seq in [4, 5, 6] {
        client.room_message("tech", seq);
    }
    assert_eq!(client.events(), ["offline", "online", "joined tech", "tech 4", "tech 5", "tech 6"]);
}

#[test]
fn missing_entries_come_before_later_ones() {
    let mut client = Harness::in_room("tech");
    client.sent();
    client.room_message("tech", 1);
    client.room_message("tech", 3);
    assert_eq!(client.sent.len(), 2);
    let old_join = json!({"type": "left", "room": "tech", "ref": client.sent[0]["ref"]});
    client.room_message("tech", 4);
    client.frame(old_join);
    client.joined("tech", 4, true);
    assert_eq!(client.sent(), ["leave tech", "join tech since 1"]);
    for seq in [2, 3, 4] {
        client.room_message("tech", seq);
    }
    assert_eq!(client.events(), ["tech 1", "joined tech", "tech 2", "tech 3", "tech 4"]);
    // Repeated gaps do not cause a storm of joins.
    client.room_message("tech", 9);
    assert_eq!(client.sent(), ["leave tech"]);
    client.advance(1_000);
    assert_eq!(client.sent(), ["join tech since 4"]);
}

#[test]
fn an_unknown_kind_takes_its_number() {
    let mut client = Harness::in_room("tech");
    client.room_message("tech", 1);
    client.frame(json!({"type": "react", "room": "tech", "seq": 2, "message": {"any": "thing"}}));
    client.frame(json!({"type": "message", "room": "tech", "seq": 3, "from": "bob", "deleted": true}));
    client.frame(json!({"type": "typing", "room": "tech", "user": "bob"}));
    client.frame(json!({"type": "sticker", "from": "bob", "to": "alice", "seq": 1}));
    client.room_message("tech", 4);
    client.private_message("bob", 2);
    let passed = ["tech 1", "tech 2: unknown", "tech 3", "bob 1: unknown", "tech 4", "bob 2"];
    assert_eq!(client.events(), passed);
    assert_eq!(client.session.seen().seq(&tech()), Some(4));
}

#[test]
fn a_refused_resume_is_a_reset() {
    let mut client = Harness::in_room("tech");
    client.room_message("tech", 1);
    client.reconnect_at_ms(json!([]));
    client.joined("tech", 90, false);
    client.room_message("tech", 41);
    client.room_message("tech", 42);
    assert_eq!(
        client.events(),
        ["tech 1", "offline", "online", "reset tech", "joined tech", "tech 41", "tech 42"]
    );
    // The first join needs no reset.
    client.join("games");
    client.joined("games", 90, false);
    assert_eq!(client.events(), ["joined games"]);
    // A gap before the first message.
    client.sent();
    client.room_message("games", 92);
    assert_eq!(client.sent(), ["leave games", "join games"]);
}

#[test]
fn an_empty_room_is_resumed_from_0() {
    let mut client = Harness::in_room("tech");
    client.reconnect_at_ms(json!([]));
    assert_eq!(client.sent(), ["join tech since 0"]);
}

#[test]
fn a_refused_join_is_repeated_or_reported() {
    let mut client = Harness::online();
    client.join("tech");
    let refuse = |client: &mut Harness, code: &str| {
        let join = client.sent.iter().rfind(|frame| frame["type"] == "join").unwrap();
        let reference = join["ref"].clone();
        client.sent.clear();
        client.frame(json!({"type": "error", "code": code, "message": "no", "ref": reference}));
    };
    // A temporary refusal.
    refuse(&mut client, "unavailable");
    client.send(tech(), "1");
    client.advance(1_100);
    assert_eq!(client.sent.len(), 1);
    // The server has joined this client already.
    refuse(&mut client, "already_joined");
    client.advance(3_000);
    assert_eq!(client.sent.len(), 2);
    // A final refusal.
    refuse(&mut client, "forbidden");
    assert_eq!(client.events(), ["online", "not sent 1 forbidden", "not joined tech forbidden"]);
    let refused = client.session.send(client.now_ms, tech(), "2", None);
    assert_eq!(refused, Err(Refused::NotJoined));
}

#[test]
fn a_room_is_left_behind_its_last_send() {
    let mut client = Harness::in_room("tech");
    client.sent();
    client.send(tech(), "1");
    client.session.leave(client.now_ms, "tech");
    client.collect();
    assert_eq!(client.session.send(client.now_ms, tech(), "2", None), Err(Refused::NotJoined));
    assert_eq!(client.sent(), ["1"]);
    client.reconnect_at_ms(json!([]));
    client.joined("tech", 1, true);
    client.room_message("tech", 1);
    assert_eq!(client.sent(), ["join tech since 0", "1"]);
    client.ack("1", 1);
    assert_eq!(client.sent.len(), 1);
    let reference = client.sent[0]["ref"].clone();
    assert_eq!(client.sent(), ["leave tech"]);
    client.frame(json!({"type": "left", "room": "tech", "ref": reference}));
    assert_eq!(client.events(), ["offline", "online", "joined tech", "tech 1", "stored 1 1", "left tech"]);
    client.reconnect_at_ms(json!([]));
    assert_eq!(client.sent(), [""; 0]);
}

#[test]
fn leaving_and_joining_again_starts_over() {
    let mut client = Harness::in_room("tech");
    client.room_message("tech", 1);
    client.session.leave(client.now_ms, "tech");
    client.collect();
    let reference = client.sent.last().unwrap()["ref"].clone();
    client.join("tech");
    client.send(tech(), "1");
    client.frame(json!({"type": "left", "room": "tech", "ref": reference}));
    client.joined("tech", 2, false);
    assert_eq!(client.sent(), ["join tech", "leave tech", "join tech", "1"]);
    assert_eq!(client.events(), ["tech 1", "left tech", "joined tech"]);
}
