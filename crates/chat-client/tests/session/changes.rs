//! Changes of messages: edits, deletions, reactions, and answers.

use chat_client::{
    ChangeKind, Event, NewChange, NewMessage, Options, PageFrom, Reaction, Refused, Snapshot, Target, Topic,
    UnsentChange,
};
use serde_json::{Value, json};

use crate::account::listed;
use crate::harness::{Harness, bob, tech};

/// A session that is online on a server with all features, and has joined an empty room.
fn in_room() -> Harness {
    let mut client = Harness::online();
    client.all_features(json!([listed("tech", 0, 0, 0)]), json!([]));
    client.join("tech");
    client.joined("tech", 0, false);
    client.events.clear();
    client.sent.clear();
    client
}

fn nonce(number: &str) -> Target {
    Target::Nonce(number.to_owned())
}

impl Harness {
    fn change(&mut self, change: NewChange, nonce: &str) {
        self.session.change(self.now_ms, change.nonce(nonce)).unwrap();
        self.collect();
    }

    fn edit(&mut self, to: Topic, target: impl Into<Target>, nonce: &str) {
        self.change(NewChange::edit(to, target, nonce), nonce);
    }

    fn refuse(&mut self, nonce: &str, code: &str) {
        self.frame(json!({"type": "error", "code": code, "message": "no", "nonce": nonce}));
    }

    /// The frames sent since the last call.
    fn frames(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.sent)
    }

    fn entry(&mut self, kind: &str, seq: u64, fields: Value) {
        let mut frame = json!({"type": kind, "room": "tech", "seq": seq, "from": "bob", "timestamp": seq});
        frame.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.frame(frame);
    }
}

#[test]
fn changes_are_sent_as_the_protocol_has_them() {
    let mut client = in_room();
    let now_ms = client.now_ms;
    client.change(NewChange::edit(tech(), 7, "@bob").mention("bob").mention_all(), "1");
    client.change(NewChange::delete(tech(), 6), "2");
    client.change(NewChange::react(bob(), 3, "👍"), "3");
    client.session.unreact(now_ms, bob(), 4, "👍").unwrap();
    client.collect();
    let made = client.sent[3]["nonce"].clone();
    assert_eq!(
        client.frames(),
        [
            json!({"type": "edit", "room": "tech", "target": 7, "text": "@bob", "nonce": "1",
                "mentions": ["bob"], "mention_all": true}),
            json!({"type": "delete", "room": "tech", "target": 6, "nonce": "2"}),
            json!({"type": "react", "to": "bob", "target": 3, "emoji": "👍", "nonce": "3"}),
            json!({"type": "unreact", "to": "bob", "target": 4, "emoji": "👍", "nonce": made}),
        ]
    );
    for (number, seq) in [("1", 8), ("2", 9)] {
        client.ack(number, seq);
    }
    let reply = NewMessage::new(tech(), "x").reply_to(7).nonce("4");
    client.session.send_message(now_ms, reply).unwrap();
    client.session.send_message(now_ms, NewMessage::new(bob(), "x").reply_to(3).nonce("5")).unwrap();
    // A conversation has no mentions.
    client.change(NewChange::edit(bob(), 5, "@bob").mention("bob"), "6");
    client.ack("3", 1);
    client.collect();
    assert_eq!(
        client.frames(),
        [
            json!({"type": "message", "room": "tech", "text": "x", "nonce": "4", "reply_to": 7}),
            json!({"type": "private", "to": "bob", "text": "x", "nonce": "5", "reply_to": 3}),
            json!({"type": "edit", "to": "bob", "target": 5, "text": "@bob", "nonce": "6"}),
        ]
    );
    assert_eq!(client.events(), ["stored 1 8", "stored 2 9", "stored 3 1"]);
}

#[test]
fn a_change_waits_for_its_message_and_other_topics_do_not() {
    let mut client = in_room();
    client.send(tech(), "1");
    client.edit(tech(), nonce("1"), "2");
    client.send(tech(), "3");
    client.send(bob(), "4");
    client.edit(bob(), nonce("4"), "5");
    assert_eq!(client.sent(), ["1", "4"]);
    client.ack("1", 11);
    assert_eq!(
        client.sent.iter().map(|frame| &frame["target"]).collect::<Vec<_>>(),
        [&json!(11), &json!(null)]
    );
    assert_eq!(client.sent(), ["2", "3"]);
    // The event of the message may not have been handled yet.
    client.ack("2", 12);
    client.edit(tech(), nonce("1"), "6");
    assert_eq!(client.frames()[0]["target"], 11);
    assert_eq!(client.session.edit(client.now_ms, bob(), nonce("1"), "x"), Err(Refused::UnknownMessage));
    assert_eq!(client.session.edit(client.now_ms, tech(), nonce("2"), "x"), Err(Refused::UnknownMessage));
    // The nonce of a message in another topic.
    client.frame(json!({"type": "ack", "nonce": "4", "to": "carol", "seq": 1, "timestamp": 1,
        "duplicate": true}));
    assert_eq!(client.sent(), [""; 0]);
    assert_eq!(client.events(), ["stored 1 11", "stored 2 12", "stored 4 1", "not sent 5 not_sent"]);
}

#[test]
fn a_change_fails_with_its_message() {
    let mut client = in_room();
    client.send(tech(), "1");
    client.edit(tech(), nonce("1"), "2");
    client.change(NewChange::react(tech(), nonce("1"), "👍"), "3");
    client.send(tech(), "4");
    client.sent();
    client.refuse("1", "text_too_long");
    assert_eq!(client.sent(), ["4"]);
    assert_eq!(client.events(), ["not sent 1 text_too_long", "not sent 2 not_sent", "not sent 3 not_sent"]);
    // It need not be online for that.
    client.edit(tech(), nonce("4"), "5");
    client.lose(Some(1009));
    assert_eq!(client.events(), ["not sent 4 text_too_long", "not sent 5 not_sent", "offline"]);
}

#[test]
fn after_unavailable_and_a_loss_changes_keep_their_nonces_and_their_order() {
    let mut client = in_room();
    client.send(tech(), "1");
    client.edit(tech(), nonce("1"), "2");
    client.send(bob(), "3");
    client.change(NewChange::delete(tech(), nonce("1")), "4");
    assert_eq!(client.sent(), ["1", "3"]);
    client.unavailable("1");
    client.unavailable("3");
    client.advance(2_000);
    assert_eq!(client.sent(), ["1", "3"]);
    client.ack("1", 1);
    // A refusal of the first may be lost: the second must not be stored before it is known.
    assert_eq!(client.sent(), ["2"]);
    client.unavailable("2");
    client.lose_and_hello({
        let mut hello = Harness::hello_frame("e", json!([]), false);
        hello["features"] = json!(["edit", "delete"]);
        hello
    });
    client.joined("tech", 1, true);
    assert_eq!(client.sent(), ["join tech since 0", "3", "2"]);
    // A duplicate is as good.
    client.frame(json!({"type": "ack", "nonce": "2", "room": "tech", "seq": 2, "timestamp": 1,
        "duplicate": true}));
    client.ack("4", 3);
    let expected = ["stored 1 1", "offline", "online", "joined tech", "stored 2 2", "stored 4 3"];
    assert_eq!(client.events(), expected);
}

#[test]
fn final_refusals_end_a_change() {
    let mut client = in_room();
    let codes = ["not_found", "forbidden", "too_many", "bad_request"];
    for (seq, code) in codes.iter().enumerate() {
        client.change(NewChange::react(tech(), seq as u64, "👍"), code);
    }
    for code in codes {
        client.refuse(code, code);
    }
    let expected = codes.map(|code| format!("not sent {code} {code}"));
    assert_eq!((client.events(), client.session.unsent()), (expected.to_vec(), 0));
}

#[test]
fn a_server_without_the_feature_is_not_asked() {
    let mut client = Harness::new();
    // What the first server can do is not known yet.
    client.session.join(client.now_ms, "tech").unwrap();
    client.edit(bob(), 1, "1");
    let reply = NewMessage::new(bob(), "x").reply_to(1).nonce("2");
    client.session.send_message(client.now_ms, reply).unwrap();
    client.hello(json!([]));
    assert_eq!(
        client.sent.last().unwrap(),
        &json!({"type": "private", "to": "bob", "text": "x", "nonce": "2"})
    );
    assert_eq!(client.events(), ["online", "not sent 1 unsupported"]);
    let now_ms = client.now_ms;
    let refused = |feature| Err(Refused::Unsupported { feature });
    assert_eq!(client.session.edit(now_ms, bob(), 1, "x"), refused("edit"));
    assert_eq!(client.session.delete(now_ms, bob(), 1), refused("delete"));
    assert_eq!(client.session.react(now_ms, bob(), 1, "👍"), refused("react"));
    assert_eq!(client.session.unreact(now_ms, bob(), 1, "👍"), refused("react"));
    let around = client.session.history(now_ms, bob(), PageFrom::Around(1), None);
    assert_eq!(around, Err(Refused::Unsupported { feature: "reply" }));
    assert_eq!(client.session.unsent(), 1);
}

#[test]
fn changes_survive_a_restart() {
    let mut client = in_room();
    client.send(tech(), "1");
    client.change(NewChange::edit(tech(), nonce("1"), "@bob").mention("bob"), "2");
    client.change(NewChange::react(bob(), 3, "👍"), "3");
    let snapshot = client.session.snapshot();
    let text = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), snapshot);
    // An earlier version wants a text for each send.
    let outbox: Value = serde_json::from_str(&text).unwrap();
    let is_text = |unsent: &Value| unsent["text"].is_string();
    assert_eq!(
        outbox["outbox"].as_array().unwrap().iter().map(is_text).collect::<Vec<_>>(),
        [true, false, false]
    );
    let mut client = Harness::with(Options::default(), snapshot);
    client.receive_hello({
        let mut hello = Harness::hello_frame("e", json!([]), false);
        hello["features"] = json!(["edit", "react", "mentions"]);
        hello
    });
    client.joined("tech", 0, true);
    assert_eq!(client.sent()[1..], ["1", "3"]);
    client.ack("1", 1);
    let edit = json!({"type": "edit", "room": "tech", "target": 1, "text": "@bob", "nonce": "2",
        "mentions": ["bob"]});
    assert_eq!(client.frames(), [edit]);
    // A change whose message is not in the snapshot.
    let mut snapshot = client.session.snapshot();
    snapshot.outbox.retain(|unsent| unsent.nonce == "2");
    let change = snapshot.outbox[0].change.as_mut().unwrap();
    assert_eq!(*change, UnsentChange { target: Target::Number(1), kind: change.kind.clone() });
    change.target = nonce("gone");
    let mut client = Harness::with(Options::default(), snapshot);
    client.hello(json!([]));
    client.joined("tech", 1, true);
    assert_eq!(client.events(), ["online", "joined tech", "not sent 2 not_sent perhaps"]);
}

#[test]
fn queued_sends_are_events() {
    let mut client = in_room();
    client.send(tech(), "1");
    client.edit(tech(), nonce("1"), "2");
    let queued: Vec<_> = client.session.snapshot().outbox;
    let events: Vec<_> = client
        .events
        .iter()
        .map(|event| match event {
            Event::Queued { unsent } => unsent.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((events[0].nonce.as_str(), &events[1]), ("1", &queued[1]));
}

#[test]
fn entries_of_all_kinds_take_a_number_and_have_their_fields() {
    let mut client = in_room();
    let state = json!({"text": "new", "reply_to": 1, "edited": 9, "updated": 12,
        "reactions": [{"emoji": "👍", "count": 7, "users": ["bob", "eve"]}]});
    client.entry("message", 1, state);
    client.entry("message", 2, json!({"text": "", "deleted": true, "updated": 4}));
    client.entry("edit", 3, json!({"target": 1, "text": "new", "mentions": ["alice"]}));
    client.entry("edit", 4, json!({"target": 2}));
    client.entry("delete", 5, json!({"target": 2, "nonce": "n"}));
    client.entry("react", 6, json!({"target": 1, "emoji": "👍"}));
    client.entry("unreact", 7, json!({"target": 1, "emoji": "👍"}));
    client.entry("poll", 8, json!({"target": 1}));
    // A change without its target only takes its number.
    client.entry("delete", 9, json!({}));
    client.frame(json!({"type": "react", "from": "bob", "to": "alice", "seq": 1, "target": 1, "emoji": "👍",
        "timestamp": 1}));
    let Event::Message { entry, .. } = client.events[0].clone() else { panic!("a message") };
    assert_eq!((entry.reply_to, entry.edited, entry.updated, entry.deleted), (Some(1), Some(9), 12, false));
    let users = vec!["bob".to_owned(), "eve".to_owned()];
    assert_eq!(entry.reactions, [Reaction { emoji: "👍".to_owned(), count: 7, users }]);
    let Event::Message { entry, .. } = client.events[1].clone() else { panic!("a message") };
    assert!(entry.deleted && entry.text.is_empty());
    let Event::Change { change, .. } = client.events[2].clone() else { panic!("a change") };
    let kind =
        ChangeKind::Edit { text: Some("new".into()), mentions: vec!["alice".into()], mention_all: false };
    assert_eq!((change.kind, change.from.as_str(), change.timestamp), (kind, "bob", 3));
    let expected = [
        "tech 1",
        "tech 2",
        "tech 3: edit new of 1",
        "tech 4: edit of 2",
        "tech 5: delete of 2",
        "tech 6: 👍 of 1",
        "tech 7: no 👍 of 1",
        "tech 8: unknown",
        "tech 9: unknown",
        "bob 1: 👍 of 1",
    ];
    assert_eq!(client.events(), expected);
    assert_eq!(client.session.seen().seq(&tech()), Some(9));
    assert_eq!(client.session.account().room("tech").unwrap().top, 9);
    // A resume continues behind a change.
    client.reconnect_at_ms(json!([{"with": "bob", "seq": 2}]));
    assert_eq!(client.sent(), ["join tech since 9", "bob after 1"]);
}

#[test]
fn pages_around_a_number_and_of_numbers() {
    let mut client = in_room();
    let now_ms = client.now_ms;
    client.session.history(now_ms, tech(), PageFrom::Around(40), Some(10)).unwrap();
    client.session.history(now_ms, bob(), PageFrom::Numbers(vec![3, 9]), None).unwrap();
    let many = client.session.history(now_ms, bob(), PageFrom::Numbers(vec![1; 51]), None);
    assert_eq!(many, Err(Refused::TooManyNumbers { max: 50 }));
    client.collect();
    let references: Vec<Value> = client.sent.iter().map(|frame| frame["ref"].clone()).collect();
    assert_eq!(
        client.frames(),
        [
            json!({"type": "history", "room": "tech", "around": 40, "limit": 10, "fold": true,
                "ref": references[0]}),
            json!({"type": "history", "with": "bob", "seqs": [3, 9], "fold": true, "ref": references[1]}),
        ]
    );
    let message =
        |seq: u64| json!({"type": "message", "room": "tech", "seq": seq, "from": "bob", "text": "x"});
    client.frame(json!({"type": "history", "room": "tech", "epoch": "e", "first": 1, "from": 35, "upto": 47,
        "messages": [message(36), message(40)], "has_more_before": true, "has_more_after": false,
        "ref": references[0]}));
    let Some(Event::History { page, .. }) = client.events.pop() else { panic!("a page") };
    assert_eq!((page.covers, page.messages.len(), page.has_more), (Some((35, 47)), 2, true));
    assert!(page.has_more_before && !page.has_more_after);
    client.frame(json!({"type": "history", "with": "bob", "epoch": "e", "first": 1, "messages": [],
        "ref": references[1]}));
    let Some(Event::History { page, .. }) = client.events.pop() else { panic!("a page") };
    assert_eq!((page.covers, page.has_more), (None, false));
}

#[test]
fn a_dense_page_has_its_changes() {
    let mut client = in_room();
    client.session.history(client.now_ms, tech(), PageFrom::Before(9), Some(3)).unwrap();
    client.collect();
    let reference = client.sent[0]["ref"].clone();
    client.frame(json!({"type": "history", "room": "tech", "epoch": "e", "first": 1, "messages": [
        {"type": "react", "room": "tech", "seq": 6, "from": "bob", "target": 2, "emoji": "👍", "timestamp": 1},
        {"type": "message", "room": "tech", "seq": 7, "from": "bob", "text": "7", "timestamp": 1},
        {"type": "poll", "room": "tech", "seq": 8}], "has_more": true, "ref": reference}));
    let Some(Event::History { page, .. }) = client.events.pop() else { panic!("a page") };
    assert_eq!((page.covers, page.messages.len(), page.changes.len()), (Some((6, 8)), 1, 1));
    assert_eq!((page.changes[0].target, page.has_more), (2, true));
}

/// Unread messages and mentions of a room.
fn counts(client: &Harness) -> (Option<u8>, Option<u8>) {
    let room = client.session.account().room("tech").unwrap();
    (room.unread, room.mentions)
}

#[test]
fn a_deleted_message_is_not_unread() {
    let mut client = in_room();
    for seq in 1..=4 {
        client.entry("message", seq, json!({"text": "x", "mentions": ["alice"]}));
    }
    client.session.read(client.now_ms, &tech(), 1);
    assert_eq!(counts(&client), (Some(3), Some(3)));
    client.entry("delete", 5, json!({"target": 1}));
    client.entry("delete", 6, json!({"target": 3}));
    client.entry("react", 7, json!({"target": 2, "emoji": "👍"}));
    assert_eq!(counts(&client), (Some(2), Some(2)));
    // The server has counted before the deletion.
    client.frame(json!({"type": "read", "room": "tech", "upto": 1, "top": 5, "unread": 3, "mentions": 3}));
    assert_eq!(counts(&client), (Some(2), Some(2)));
    // The user has read a deleted message, too.
    client.frame(json!({"type": "read", "room": "tech", "upto": 3, "top": 5, "unread": 1, "mentions": 1}));
    assert_eq!(counts(&client), (Some(1), Some(1)));
    client.entry("message", 8, json!({"text": "x", "mentions": ["alice"]}));
    // Own messages do not count, deleted or not.
    client.entry("message", 9, json!({"text": "x", "from": "alice"}));
    client.entry("delete", 10, json!({"target": 9, "from": "alice"}));
    assert_eq!(counts(&client), (Some(2), Some(2)));
    client.session.read(client.now_ms, &tech(), 10);
    assert_eq!(counts(&client), (Some(0), Some(0)));
    assert_eq!(client.session.account().room("tech").unwrap().top, 10);
}

#[test]
fn an_edit_changes_whom_an_unread_message_mentions() {
    let mut client = in_room();
    client.entry("message", 1, json!({"text": "x"}));
    client.entry("message", 2, json!({"text": "x", "mentions": ["alice"]}));
    client.entry("edit", 3, json!({"target": 1, "text": "x", "mentions": ["alice"]}));
    assert_eq!(counts(&client), (Some(2), Some(2)));
    client.entry("edit", 4, json!({"target": 1, "text": "x", "mention_all": true}));
    client.entry("edit", 5, json!({"target": 2, "text": "x"}));
    assert_eq!(counts(&client), (Some(2), Some(1)));
    client.entry("delete", 6, json!({"target": 1}));
    assert_eq!(counts(&client), (Some(1), Some(0)));
    // What was edited before it is delivered counts as it is now.
    client.entry("message", 7, json!({"text": "x", "mentions": ["alice"], "edited": 9, "updated": 9}));
    client.entry("message", 8, json!({"text": "", "deleted": true, "updated": 10}));
    client.entry("edit", 9, json!({"target": 7, "text": "x", "mentions": ["alice"]}));
    client.entry("delete", 10, json!({"target": 8}));
    assert_eq!(counts(&client), (Some(2), Some(1)));
}

#[test]
fn changes_that_the_server_has_counted_do_not_count_again() {
    let mut client = Harness::new();
    let mut hello = Harness::hello_frame("e", json!([{"with": "bob", "seq": 3, "unread": 2}]), false);
    hello["features"] = json!(["edit", "delete", "read", "rooms"]);
    hello["rooms"] = json!([listed("tech", 6, 1, 3)]);
    client.receive_hello(hello);
    client.join("tech");
    client.joined("tech", 8, false);
    for seq in 1..=4 {
        client.entry("message", seq, json!({"text": "x"}));
    }
    // One deletion came before the server counted, and one after that, before the join.
    client.entry("message", 5, json!({"text": "", "deleted": true, "updated": 8}));
    client.entry("delete", 6, json!({"target": 2}));
    assert_eq!(counts(&client), (Some(3), Some(0)));
    client.entry("edit", 7, json!({"target": 4, "text": "x", "mentions": ["alice"]}));
    client.entry("delete", 8, json!({"target": 5}));
    assert_eq!(counts(&client), (Some(2), Some(1)));
    // In a conversation the author deletes: the message counted.
    let unread = |client: &Harness| client.session.account().conversation("bob").unwrap().unread;
    assert_eq!(unread(&client), Some(2));
    client.frame(
        json!({"type": "delete", "from": "bob", "to": "alice", "seq": 4, "target": 2, "timestamp": 1}),
    );
    assert_eq!(unread(&client), Some(1));
}
