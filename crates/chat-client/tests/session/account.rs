//! The rooms and conversations of the account, and what is unread in them.

use chat_client::{Access, Event, Level, Membership, Role, Topic};
use serde_json::{Value, json};

use crate::harness::{Harness, bob, tech};

/// A room as `hello` lists it.
pub(crate) fn listed(room: &str, top: u64, read: u64, unread: u64) -> Value {
    json!({"room": room, "title": room.to_uppercase(), "access": "open", "role": "member", "top": top,
        "at": 1, "read": read, "unread": unread, "mentions": 0, "level": "mentions"})
}

/// Unread messages and mentions of a room.
fn counts(client: &Harness, room: &str) -> (Option<u8>, Option<u8>) {
    let room = client.session.account().room(room).unwrap();
    (room.unread, room.mentions)
}

fn message(client: &mut Harness, seq: u64, from: &str, mentions: &[&str]) {
    client.frame(json!({"type": "message", "room": "tech", "seq": seq, "from": from, "text": "hi",
        "timestamp": seq, "mentions": mentions}));
}

#[test]
fn hello_lists_the_rooms_and_conversations() {
    let mut client = Harness::online();
    let closed = json!({"room": "~x", "title": "Plans", "access": "closed", "role": "moderator", "top": 9,
        "at": 7, "read": 4, "unread": 3, "mentions": 1, "level": "all"});
    let left_out = json!({"room": "busy", "title": "Busy", "access": "open", "role": "member", "top": 5,
        "at": 6, "read": 2, "level": "none", "something new": {}});
    client.all_features(
        json!([closed, left_out.clone()]),
        json!([{"with": "bob", "seq": 7, "at": 5, "read": 6, "unread": 1, "level": "mentions"}]),
    );
    let account = client.session.account();
    let rooms: Vec<_> = account.rooms().collect();
    let plans = Membership {
        room: "~x".into(),
        title: "Plans".into(),
        access: Access::Closed,
        archived: false,
        role: Role::Moderator,
        top: 9,
        at: 7,
        read: 4,
        unread: Some(3),
        mentions: Some(1),
        level: Level::All,
    };
    assert_eq!(rooms[1], plans);
    assert_eq!((rooms[0].unread, rooms[0].level), (None, Level::None));
    let bob = account.conversation("bob").unwrap();
    assert_eq!((bob.seq, bob.at, bob.read, bob.unread, bob.level), (7, 5, 6, Some(1), Level::Mentions));
    assert!(!account.has_more_rooms());
    // The counts that were left out follow, …
    client.frame(json!({"type": "read", "room": "busy", "upto": 2, "top": 5, "unread": 250, "mentions": 2}));
    assert_eq!(counts(&client, "busy"), (Some(100), Some(2)));
    // … also if the user reads meanwhile: at most one of the five is left.
    client.all_features(json!([left_out]), json!([]));
    client.session.read(client.now_ms, &Topic::room("busy"), 4);
    client.collect();
    assert_eq!(counts(&client, "busy"), (None, None));
    client.frame(json!({"type": "read", "room": "busy", "upto": 2, "top": 5, "unread": 3, "mentions": 2}));
    assert_eq!(counts(&client, "busy"), (Some(1), Some(1)));
}

#[test]
fn an_earlier_server_lists_conversations_only() {
    let mut client = Harness::online();
    client.reconnect_at_ms(json!([{"with": "bob", "seq": 7}]));
    let account = client.session.account();
    assert_eq!(account.rooms().count(), 0);
    let bob = account.conversation("bob").unwrap();
    assert_eq!((bob.seq, bob.unread, bob.level), (7, None, Level::All));
    client.private_message("carol", 1);
    assert_eq!(client.session.account().conversation("carol").unwrap().unread, None);
}

#[test]
fn live_messages_of_others_are_unread() {
    let mut client = Harness::in_room("tech");
    client.all_features(json!([listed("tech", 4, 3, 1)]), json!([]));
    client.joined("tech", 5, true);
    // Those up to 4 are in the count of `hello` already.
    for seq in 1..=5 {
        message(&mut client, seq, "bob", &[]);
    }
    assert_eq!(counts(&client, "tech"), (Some(2), Some(0)));
    message(&mut client, 6, "alice", &["alice"]);
    assert_eq!(counts(&client, "tech"), (Some(2), Some(0)), "own messages never count");
    message(&mut client, 7, "bob", &["carol", "alice"]);
    client.frame(json!({"type": "message", "room": "tech", "seq": 8, "from": "bob", "text": "@all",
        "timestamp": 8, "mention_all": true}));
    message(&mut client, 9, "bob", &["carol"]);
    assert_eq!(counts(&client, "tech"), (Some(5), Some(2)));
    assert!(client.events.contains(&Event::Message {
        topic: tech(),
        entry: chat_client::Entry {
            seq: 8,
            from: "bob".into(),
            text: "@all".into(),
            timestamp: 8,
            mention_all: true,
            ..chat_client::Entry::default()
        }
    }));
    let room = client.session.account().room("tech").unwrap();
    assert_eq!((room.top, room.at, room.read), (9, 9, 3));
}

#[test]
fn activity_counts_rooms_that_are_not_joined() {
    let mut client = Harness::online();
    client.all_features(json!([listed("tech", 4, 4, 0)]), json!([]));
    let activity = |top: u64, new: u64, mentions: u64| {
        json!({"type": "activity", "room": "tech", "top": top,
        "at": top, "new": new, "mentions": mentions})
    };
    client.frame(activity(7, 2, 1));
    assert_eq!(counts(&client, "tech"), (Some(2), Some(1)));
    // Another device has read up to 6, and the server has counted up to 9.
    client.frame(json!({"type": "read", "room": "tech", "upto": 6, "top": 9, "unread": 3, "mentions": 0}));
    assert_eq!(counts(&client, "tech"), (Some(3), Some(0)));
    // Of these four, two at most came after 9.
    client.frame(activity(11, 4, 3));
    assert_eq!(counts(&client, "tech"), (Some(5), Some(2)));
    client.frame(activity(11, 4, 3));
    client
        .frame(json!({"type": "activity", "room": "elsewhere", "top": 1, "at": 1, "new": 1, "mentions": 0}));
    assert_eq!(counts(&client, "tech"), (Some(5), Some(2)));
    client.frame(activity(500, 400, 0));
    assert_eq!(counts(&client, "tech"), (Some(100), Some(2)));
    assert_eq!(client.session.account().room("tech").unwrap().at, 500);
}

#[test]
fn a_message_on_its_way_while_the_room_is_left_counts() {
    let mut client = Harness::in_room("tech");
    client.all_features(json!([listed("tech", 4, 4, 0)]), json!([]));
    client.joined("tech", 4, true);
    for seq in 1..=5 {
        message(&mut client, seq, "bob", &[]);
    }
    client.events();
    client.session.leave(client.now_ms, "tech");
    client.collect();
    let reference = client.sent.last().unwrap()["ref"].clone();
    message(&mut client, 6, "bob", &["alice"]);
    message(&mut client, 7, "alice", &[]);
    client.frame(json!({"type": "left", "room": "tech", "ref": reference}));
    client.frame(json!({"type": "activity", "room": "tech", "top": 8, "at": 1, "new": 1, "mentions": 0}));
    assert_eq!(client.events(), ["1 in tech", "0 in tech", "left tech", "1 in tech"]);
    assert_eq!(counts(&client, "tech"), (Some(3), Some(1)));
}

#[test]
fn what_another_device_reads_is_read() {
    let mut client = Harness::in_room("tech");
    client.all_features(
        json!([listed("tech", 4, 2, 2)]),
        json!([{"with": "bob", "seq": 3, "read": 1, "unread": 2}]),
    );
    client.joined("tech", 4, true);
    for seq in 1..=7 {
        message(&mut client, seq, "bob", &["alice"]);
    }
    assert_eq!(counts(&client, "tech"), (Some(5), Some(3)));
    // The count holds as of 5: 6 and 7 came after it.
    client.frame(json!({"type": "read", "room": "tech", "upto": 4, "top": 5, "unread": 1, "mentions": 1}));
    assert_eq!(counts(&client, "tech"), (Some(3), Some(3)));
    assert_eq!(client.session.account().room("tech").unwrap().read, 4);
    // An older mark changes nothing.
    client.frame(json!({"type": "read", "room": "tech", "upto": 3, "top": 7, "unread": 4, "mentions": 4}));
    assert_eq!(counts(&client, "tech"), (Some(3), Some(3)));
    client.frame(json!({"type": "read", "with": "bob", "upto": 3, "top": 3, "unread": 0}));
    assert_eq!(client.session.account().conversation("bob").unwrap().unread, Some(0));
    client.frame(json!({"type": "level", "with": "bob", "level": "none"}));
    client.frame(json!({"type": "level", "room": "tech", "level": "all"}));
    assert_eq!(client.session.account().conversation("bob").unwrap().level, Level::None);
    assert_eq!(client.session.account().room("tech").unwrap().level, Level::All);
}

#[test]
fn a_conversation_that_begins_is_unread() {
    let mut client = Harness::online();
    client.all_features(json!([]), json!([]));
    client.private_message("bob", 1);
    client.private_message("bob", 2);
    client.frame(
        json!({"type": "private", "from": "alice", "to": "bob", "seq": 3, "text": "hi", "timestamp": 1}),
    );
    let bob = client.session.account().conversation("bob").unwrap();
    assert_eq!((bob.seq, bob.read, bob.unread), (3, 0, Some(2)));
}

#[test]
fn memberships_change() {
    let mut client = Harness::online();
    client.all_features(json!([listed("tech", 4, 4, 0)]), json!([]));
    let room = |room: &str, role: &str| {
        json!({"type": "room", "room": room, "title": "New", "access": "closed",
        "archived": true, "role": role})
    };
    client.frame(room("tech", "moderator"));
    let tech = client.session.account().room("tech").unwrap();
    assert_eq!((&*tech.title, tech.access, tech.role, tech.top), ("New", Access::Closed, Role::Moderator, 4));
    assert!(tech.archived);
    // A new membership starts with everything read.
    client.frame(room("games", "member"));
    assert_eq!(counts(&client, "games"), (Some(0), Some(0)));
    client.frame(json!({"type": "activity", "room": "games", "top": 90, "at": 1, "new": 2, "mentions": 1}));
    assert_eq!(counts(&client, "games"), (Some(2), Some(1)));
    assert_eq!(client.session.account().room("games").unwrap().read, 88);
    client.frame(json!({"type": "room", "room": "tech", "member": false}));
    assert_eq!(client.session.account().room("tech"), None);
    assert_eq!(client.events(), ["member of tech", "member of games", "2 in games", "no member of tech"]);
}

#[test]
fn a_room_that_the_server_ends_is_forgotten() {
    for reason in ["removed", "closed"] {
        let mut client = Harness::in_room("tech");
        client.all_features(json!([listed("tech", 0, 0, 0)]), json!([]));
        client.joined("tech", 0, true);
        for nonce in ["1", "2", "3", "4", "5"] {
            client.send(tech(), nonce);
        }
        client.send(bob(), "6");
        client.sent();
        client.frame(json!({"type": "left", "room": "tech", "reason": reason}));
        // Four were on their way; only the fifth was not sent.
        assert_eq!(client.events()[1..], ["not sent 5 forbidden", &format!("left tech {reason}")]);
        assert_eq!(client.session.account().room("tech"), None);
        assert_eq!(client.session.seen().seq(&tech()), None);
        client.ack("1", 1);
        let refuse =
            |code: &str, nonce: &str| json!({"type": "error", "code": code, "message": "no", "nonce": nonce});
        client.frame(refuse("forbidden", "2"));
        client.frame(refuse("not_joined", "3"));
        client.unavailable("4");
        assert_eq!(
            client.events(),
            ["stored 1 1", "not sent 2 forbidden", "not sent 3 forbidden", "not sent 4 forbidden perhaps"]
        );
        client.room_message("tech", 2);
        assert_eq!(client.events(), [""; 0]);
        assert_eq!(client.sent(), ["6"], "the sends behind them are not held up");
        client.reconnect_at_ms(json!([]));
        assert_eq!(client.sent(), ["6"], "it is not joined again");
    }
}

#[test]
fn a_lost_connection_fails_the_sends_to_a_room_that_was_ended() {
    let mut client = Harness::in_room("tech");
    client.all_features(json!([]), json!([]));
    client.joined("tech", 0, true);
    client.send(tech(), "1");
    client.frame(json!({"type": "left", "room": "tech", "reason": "removed"}));
    assert_eq!(client.session.unsent(), 1);
    client.lose(None);
    assert_eq!(client.events()[2..], ["not sent 1 forbidden perhaps", "offline"]);
}

#[test]
fn a_refused_send_is_reported() {
    let mut client = Harness::in_room("tech");
    client.send(tech(), "1");
    client.send(tech(), "2");
    client.frame(json!({"type": "error", "code": "forbidden", "message": "archived", "nonce": "1"}));
    client.ack("2", 1);
    assert_eq!(client.events(), ["not sent 1 forbidden", "stored 2 1"]);
    assert!(client.session.is_in("tech"));
}

#[test]
fn a_room_that_others_close_meanwhile_is_not_joined_again() {
    let mut client = Harness::in_room("tech");
    client.send(tech(), "1");
    client.reconnect_at_ms(json!([]));
    let reference = client.sent[0]["ref"].clone();
    client.events();
    client.frame(json!({"type": "error", "code": "forbidden", "message": "no", "ref": reference}));
    assert_eq!(client.events(), ["not sent 1 forbidden perhaps", "not joined tech forbidden"]);
    client.reconnect_at_ms(json!([]));
    assert_eq!(client.sent(), [""; 0]);
    let topics: Vec<&str> = client.session.seen().rooms().collect();
    assert_eq!(topics, [""; 0]);
    let _: Topic = tech();
}
