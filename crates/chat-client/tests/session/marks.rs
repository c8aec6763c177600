//! Read marks and levels on their way to the server, and mentions.

use chat_client::{Level, NewMessage, Options, Refused, Snapshot, Topic};
use serde_json::{Value, json};

use crate::account::listed;
use crate::harness::{Harness, bob, tech};

fn read(client: &mut Harness, topic: &Topic, upto: u64) {
    client.session.read(client.now_ms, topic, upto);
    client.collect();
}

/// The marks and levels sent since the last call, without their `ref`.
fn marks(client: &mut Harness) -> Vec<Value> {
    let sent = std::mem::take(&mut client.sent);
    let mut marks: Vec<Value> =
        sent.into_iter().filter(|frame| frame["type"] == "read" || frame["type"] == "level").collect();
    for frame in &mut marks {
        assert!(frame.as_object_mut().unwrap().remove("ref").is_some());
    }
    marks
}

fn read_frame(upto: u64) -> Value {
    json!({"type": "read", "room": "tech", "upto": upto})
}

fn unread(client: &Harness) -> Option<u8> {
    client.session.account().room("tech").unwrap().unread
}

fn in_tech(top: u64, read: u64, unread: u64) -> Harness {
    let mut client = Harness::in_room("tech");
    client.all_features(json!([listed("tech", top, read, unread)]), json!([{"with": "bob", "seq": 7}]));
    client.joined("tech", top, true);
    for seq in 1..=top {
        client.room_message("tech", seq);
    }
    client.events();
    client.sent();
    client
}

#[test]
fn a_mark_never_goes_back_and_ends_at_the_last_number() {
    let mut client = in_tech(9, 4, 3);
    read(&mut client, &tech(), 6);
    read(&mut client, &tech(), 6);
    read(&mut client, &tech(), 5);
    assert_eq!(marks(&mut client), [read_frame(6)]);
    assert_eq!(unread(&client), Some(3), "at most 3 messages can be unread");
    client.advance(1_000);
    read(&mut client, &tech(), u64::MAX);
    assert_eq!(marks(&mut client), [read_frame(9)]);
    assert_eq!(unread(&client), Some(0));
    read(&mut client, &bob(), 7);
    assert_eq!(marks(&mut client), [json!({"type": "read", "with": "bob", "upto": 7})]);
    assert_eq!(client.events(), ["read tech 6", "read tech 9", "read bob 7"]);
}

#[test]
fn what_is_read_in_a_new_membership_is_said() {
    let mut client = Harness::in_room("tech");
    client.all_features(json!([]), json!([]));
    client.joined("tech", 4, true);
    (1..=4).for_each(|seq| client.room_message("tech", seq));
    // This client does not know where the membership begins: at 4, or at 5.
    client.room_message("tech", 5);
    client.frame(json!({"type": "room", "room": "tech", "title": "tech", "access": "open",
        "archived": false, "role": "member"}));
    client.room_message("tech", 6);
    client.sent();
    read(&mut client, &tech(), 6);
    assert_eq!(marks(&mut client), [read_frame(6)]);
    client.advance(1_000);
    read(&mut client, &tech(), 6);
    assert_eq!(marks(&mut client), [] as [Value; 0]);
}

#[test]
fn reading_a_part_leaves_the_rest_unread() {
    let mut client = in_tech(4, 1, 3);
    for seq in 5..=8 {
        client.room_message("tech", seq);
    }
    assert_eq!(unread(&client), Some(7));
    read(&mut client, &tech(), 3);
    assert_eq!(unread(&client), Some(5), "at most one of the first three is left");
    read(&mut client, &tech(), 6);
    assert_eq!(unread(&client), Some(2));
    client.room_message("tech", 9);
    assert_eq!(unread(&client), Some(3));
}

#[test]
fn marks_of_one_topic_are_sent_twice_a_second() {
    let mut client = in_tech(9, 0, 9);
    for upto in 1..=5 {
        read(&mut client, &tech(), upto);
        client.advance(100);
    }
    assert_eq!(marks(&mut client), [read_frame(1), read_frame(5)]);
    client.advance(10_000);
    assert_eq!(marks(&mut client), [json!(null); 0]);
}

#[test]
fn a_mark_is_repeated_until_the_server_shows_it() {
    let mut client = in_tech(9, 4, 3);
    read(&mut client, &tech(), 6);
    client.session.set_level(client.now_ms, &tech(), Level::All);
    client.collect();
    let level = json!({"type": "level", "room": "tech", "level": "all"});
    assert_eq!(marks(&mut client), [read_frame(6), level.clone()]);
    // The server crashed before it kept them.
    client.all_features(json!([listed("tech", 9, 4, 3)]), json!([]));
    assert_eq!(marks(&mut client), [read_frame(6), level]);
    let room = client.session.account().room("tech").unwrap();
    assert_eq!((room.read, room.level), (6, Level::All));
    // This time it kept the level, and another device has read further.
    let mut kept = listed("tech", 9, 8, 1);
    kept["level"] = json!("all");
    client.all_features(json!([kept.clone()]), json!([]));
    assert_eq!(marks(&mut client), [json!(null); 0]);
    assert_eq!(client.session.account().room("tech").unwrap().read, 8);
    // It may have shown them from its memory only, and crashes again.
    client.all_features(json!([listed("tech", 9, 4, 3)]), json!([]));
    assert_eq!(marks(&mut client).len(), 2);
    client.all_features(json!([kept]), json!([]));
    client.advance(20_000);
    client.session.received(client.now_ms);
    client.lose(None);
    assert_eq!(client.session.snapshot().marks, []);
}

#[test]
fn a_mark_is_not_repeated_long_after_it_was_kept() {
    let mut client = in_tech(9, 4, 3);
    read(&mut client, &tech(), 6);
    client.session.set_level(client.now_ms, &bob(), Level::None);
    client.collect();
    client.advance(20_000);
    client.session.received(client.now_ms);
    assert_eq!(marks(&mut client).len(), 2);
    // Another device has chosen another level meanwhile.
    client.all_features(json!([]), json!([{"with": "bob", "seq": 7, "level": "mentions"}]));
    assert_eq!(marks(&mut client), [json!(null); 0]);
    assert_eq!(client.session.account().conversation("bob").unwrap().level, Level::Mentions);
}

#[test]
fn what_is_read_offline_is_sent_later_also_by_another_run() {
    let mut client = in_tech(9, 4, 3);
    client.lose(None);
    read(&mut client, &tech(), 7);
    client.session.set_level(client.now_ms, &bob(), Level::None);
    client.collect();
    assert_eq!(marks(&mut client), [json!(null); 0]);
    let snapshot = serde_json::to_string(&client.session.snapshot()).unwrap();
    let snapshot: Snapshot = serde_json::from_str(&snapshot).unwrap();
    let mut client = Harness::with(Options::default(), snapshot);
    client.all_features(json!([listed("tech", 9, 4, 3)]), json!([{"with": "bob", "seq": 7}]));
    let level = json!({"type": "level", "with": "bob", "level": "none"});
    assert_eq!(marks(&mut client), [read_frame(7), level]);
    assert_eq!(unread(&client), Some(2));
}

#[test]
fn a_refused_mark_is_given_up_or_repeated() {
    let mut client = in_tech(9, 4, 3);
    let refuse = |client: &mut Harness, code: &str| {
        let reference = client.sent.last().unwrap()["ref"].clone();
        client.sent.clear();
        client.frame(json!({"type": "error", "code": code, "message": "no", "ref": reference}));
    };
    read(&mut client, &tech(), 6);
    refuse(&mut client, "unavailable");
    client.advance(2_000);
    assert_eq!(client.sent.len(), 1);
    refuse(&mut client, "not_found");
    client.advance(2_000);
    assert_eq!((client.sent.len(), client.session.snapshot().marks.len()), (0, 0));
    assert_eq!(client.events(), ["read tech 6"], "it is no problem");
}

#[test]
fn marks_of_another_numbering_or_user_are_dropped() {
    for (user, epoch) in [("alice", "f"), ("mallory", "e")] {
        let mut client = in_tech(9, 4, 3);
        read(&mut client, &tech(), 6);
        let mut hello = Harness::hello_frame(epoch, json!([]), false);
        (hello["user"], hello["features"]) = (json!(user), json!(["read"]));
        client.lose_and_hello(hello);
        assert_eq!(marks(&mut client), [json!(null); 0]);
    }
}

#[test]
fn an_earlier_server_is_sent_nothing_new() {
    let mut client = Harness::in_room("tech");
    client.room_message("tech", 1);
    client.sent();
    read(&mut client, &tech(), 1);
    client.session.set_level(client.now_ms, &tech(), Level::All);
    client.advance(30_000);
    let message = NewMessage::new(tech(), "@bob").nonce("1").mention("bob").mention_all();
    client.session.send_message(client.now_ms, message).unwrap();
    client.collect();
    assert_eq!(client.sent, [json!({"type": "message", "room": "tech", "text": "@bob", "nonce": "1"})]);
}

#[test]
fn mentions_are_kept_through_retries_and_runs() {
    let mut client = in_tech(0, 0, 0);
    let message = NewMessage::new(tech(), "@bob").nonce("1").mention("bob");
    client.session.send_message(client.now_ms, message).unwrap();
    client.collect();
    let frame = json!({"type": "message", "room": "tech", "text": "@bob", "nonce": "1", "mentions": ["bob"]});
    assert_eq!(client.sent, std::slice::from_ref(&frame));
    client.sent.clear();
    client.unavailable("1");
    client.advance(3_000);
    assert_eq!(client.sent, std::slice::from_ref(&frame));
    let all = NewMessage::new(tech(), "@all").nonce("2").mention_all();
    client.session.send_message(client.now_ms, all).unwrap();
    let snapshot = serde_json::to_string(&client.session.snapshot()).unwrap();
    let snapshot: Snapshot = serde_json::from_str(&snapshot).unwrap();
    let mut client = Harness::with(Options::default(), snapshot);
    client.all_features(json!([listed("tech", 0, 0, 0)]), json!([]));
    client.joined("tech", 0, true);
    let all = json!({"type": "message", "room": "tech", "text": "@all", "nonce": "2", "mention_all": true});
    assert_eq!(client.sent[1..], [frame, all]);
    client.frame(json!({"type": "ack", "nonce": "1", "room": "tech", "seq": 1, "timestamp": 1,
        "duplicate": false, "not_members": ["bob"]}));
    let stored = chat_client::Event::Stored {
        nonce: "1".into(),
        topic: tech(),
        seq: 1,
        timestamp: 1,
        duplicate: false,
        not_members: vec!["bob".into()],
    };
    assert_eq!(client.events.last(), Some(&stored));
    // Private messages mention nobody, and no message more than 20 users.
    client.sent.clear();
    let private = NewMessage::new(bob(), "@bob").nonce("3").mention("bob").mention_all();
    client.session.send_message(client.now_ms, private).unwrap();
    client.collect();
    assert_eq!(client.sent, [json!({"type": "private", "to": "bob", "text": "@bob", "nonce": "3"})]);
    let many = NewMessage { mentions: vec!["bob".into(); 21], ..NewMessage::new(tech(), "@bob") };
    let refused = client.session.send_message(client.now_ms, many);
    assert_eq!(refused, Err(Refused::TooManyMentions { max: 20 }));
}

#[test]
fn a_folded_join_skips_numbers() {
    let options = Options { fold: true, join_limit: Some(20), ..Options::default() };
    let mut client = Harness::with(options, Snapshot::default());
    client.hello(json!([]));
    client.join("tech");
    assert_eq!((&client.sent[0]["fold"], &client.sent[0]["limit"]), (&json!(true), &json!(20)));
    let reference = client.sent[0]["ref"].clone();
    client.frame(json!({"type": "joined", "room": "tech", "epoch": "e", "seq": 9, "from": 2,
        "recovered": false, "online": 1, "members": [], "ref": reference}));
    client.room_message("tech", 3);
    client.room_message("tech", 7);
    client.frame(json!({"type": "replayed", "room": "tech", "upto": 9}));
    client.frame(json!({"type": "replayed", "room": "tech", "upto": 9}));
    assert_eq!(client.session.seen().seq(&tech()), Some(9));
    client.room_message("tech", 10);
    assert_eq!(client.events(), ["online", "joined tech", "tech 3", "tech 7", "replayed tech 9", "tech 10"]);
    // A resume is dense, and a gap in it is one.
    client.sent();
    client.reconnect_at_ms(json!([]));
    assert_eq!((&client.sent[0]["fold"], &client.sent[0]["since"]), (&json!(null), &json!(10)));
    client.joined("tech", 12, true);
    client.sent();
    client.room_message("tech", 12);
    assert_eq!(client.sent(), ["leave tech", "join tech since 10"]);
    client.session.history(client.now_ms, tech(), chat_client::PageFrom::Latest, None).unwrap();
    client.collect();
    assert_eq!(client.sent[0]["fold"], true);
    let reference = client.sent[0]["ref"].clone();
    client.events.clear();
    client.frame(json!({"type": "history", "room": "tech", "epoch": "e", "first": 1, "from": 4, "upto": 8,
        "messages": [], "has_more": true, "ref": reference}));
    let chat_client::Event::History { page, .. } = &client.events[0] else { panic!("{:?}", client.events) };
    assert_eq!(page.covers, Some((4, 8)));
}

#[test]
fn a_folded_join_of_nothing_is_resumed() {
    let options = Options { fold: true, join_limit: Some(0), ..Options::default() };
    let mut client = Harness::with(options, Snapshot::default());
    client.hello(json!([]));
    client.join("tech");
    let reference = client.sent[0]["ref"].clone();
    client.frame(json!({"type": "joined", "room": "tech", "epoch": "e", "seq": 9, "from": 10,
        "recovered": false, "online": 1, "members": [], "ref": reference}));
    client.frame(json!({"type": "replayed", "room": "tech", "upto": 9}));
    client.sent();
    client.reconnect_at_ms(json!([]));
    assert_eq!(client.sent(), ["join tech since 9"]);
}
