//! Messages that are answered, edited, deleted and reacted to.

use chat_core::{ClientId, Input, RateLimit, RoomInfo, WantedChange};
use serde_json::{Value, json};

use crate::harness::{Scenario, name, room};

/// A client sends a change of a message in the room `tech`.
fn change(scenario: &mut Scenario, client: ClientId, kind: &str, target: u64, nonce: &str, fields: Value) {
    change_in(scenario, client, json!({"room": "tech"}), kind, target, nonce, fields);
}

fn change_in(
    scenario: &mut Scenario,
    client: ClientId,
    place: Value,
    kind: &str,
    target: u64,
    nonce: &str,
    fields: Value,
) {
    let mut frame = json!({"type": kind, "target": target, "nonce": nonce});
    for (field, value) in [place, fields].iter().filter_map(Value::as_object).flatten() {
        frame[field] = value.clone();
    }
    scenario.request(client, frame);
}

/// Alice's, bob's and carol's clients in the room `tech`, which have received everything
/// so far.
fn three_in_room(scenario: &mut Scenario) -> [ClientId; 3] {
    let clients = ["alice", "bob", "carol"].map(|user| scenario.open_in_room(user, "tech"));
    for client in clients {
        scenario.frames(client);
    }
    clients
}

/// What clients have received since the test last looked, in short.
fn received<const N: usize>(scenario: &mut Scenario, clients: [ClientId; N]) -> [Vec<String>; N] {
    clients.map(|client| scenario.received(client))
}

/// The messages of a page of the whole room `tech`.
fn page(scenario: &mut Scenario, client: ClientId) -> Vec<Value> {
    scenario.frames(client);
    scenario.request(client, json!({"type": "history", "room": "tech", "limit": 100}));
    let frames = scenario.frames(client);
    frames[0]["messages"].as_array().expect("messages").clone()
}

#[test]
fn everybody_in_a_room_gets_each_change_and_its_author_an_ack() {
    let mut scenario = Scenario::new();
    let [alice, bob, carol] = three_in_room(&mut scenario);
    scenario.send_v2(alice, "tech", "hi");
    received(&mut scenario, [alice, bob, carol]);
    for (client, kind, fields, expected) in [
        (alice, "edit", json!({"text": " hello "}), "2 alice edits 1: hello"),
        (bob, "react", json!({"emoji": "❤"}), "3 bob reacts ❤\u{FE0F} to 1"),
        (bob, "unreact", json!({"emoji": "❤"}), "4 bob takes ❤\u{FE0F} from 1"),
        (alice, "delete", json!({}), "5 alice deletes 1"),
    ] {
        change(&mut scenario, client, kind, 1, kind, fields);
        let seq = &expected[..1];
        for (other, mut lines) in
            [alice, bob, carol].into_iter().zip(received(&mut scenario, [alice, bob, carol]))
        {
            if other == client {
                assert_eq!(lines.remove(0), format!("ack {kind} {seq}"));
            }
            assert_eq!(lines, [expected]);
        }
    }
}

#[test]
fn a_change_has_all_its_fields() {
    let mut scenario = Scenario::new();
    let [alice, bob, carol] = three_in_room(&mut scenario);
    scenario.send_v2(alice, "tech", "hi");
    received(&mut scenario, [bob, carol]);
    let fields = json!({"text": "@bob hi", "mentions": ["bob", "dave"], "mention_all": true});
    change(&mut scenario, alice, "edit", 1, "e", fields);
    change(&mut scenario, bob, "react", 1, "r", json!({"emoji": "👍"}));
    let timestamp = scenario.now.wall_ms / 1000;
    assert_eq!(
        [scenario.frames(carol)[0].clone(), scenario.frames(bob).pop().expect("a frame")],
        [
            json!({"type": "edit", "room": "tech", "seq": 2, "target": 1, "from": "alice", "text": "@bob hi",
                "timestamp": timestamp, "nonce": "e", "mentions": ["bob"], "mention_all": true}),
            json!({"type": "react", "room": "tech", "seq": 3, "target": 1, "from": "bob", "emoji": "👍",
                "timestamp": timestamp, "nonce": "r"}),
        ]
    );
}

#[test]
fn a_page_shows_the_state_of_each_message() {
    let mut scenario = Scenario::new();
    let [alice, bob, carol] = three_in_room(&mut scenario);
    for nonce in ["a", "b"] {
        scenario.send_v2(alice, "tech", nonce);
    }
    change(&mut scenario, alice, "edit", 1, "e1", json!({"text": "first"}));
    scenario.pass(5_000);
    change(&mut scenario, alice, "edit", 1, "e2", json!({"text": "second"}));
    for (client, emoji) in [(bob, "❤"), (carol, "👍"), (alice, "👍")] {
        change(&mut scenario, client, "react", 1, emoji, json!({"emoji": emoji}));
    }
    scenario
        .request(bob, json!({"type": "message", "room": "tech", "text": "yes", "nonce": "y", "reply_to": 1}));
    change(&mut scenario, alice, "delete", 2, "d", json!({}));
    let start = scenario.now.wall_ms / 1000 - 5;
    let shown = page(&mut scenario, carol);
    assert_eq!(
        shown[0],
        json!({"type": "message", "room": "tech", "seq": 1, "from": "alice", "text": "second",
        "timestamp": start, "nonce": "a", "edited": start + 5, "updated": 7, "reactions": [
            {"emoji": "❤\u{FE0F}", "count": 1, "users": ["bob"]},
            {"emoji": "👍", "count": 2, "users": ["carol", "alice"]},
        ]})
    );
    assert_eq!(
        shown[1],
        json!({"type": "message", "room": "tech", "seq": 2, "from": "alice", "text": "", "timestamp": start,
            "nonce": "b", "deleted": true, "updated": 9})
    );
    assert_eq!((&shown[2]["type"], &shown[2]["text"]), (&json!("edit"), &Value::Null));
    assert_eq!((&shown[3]["type"], &shown[3]["text"]), (&json!("edit"), &json!("second")));
    assert_eq!(
        shown[7],
        json!({"type": "message", "room": "tech", "seq": 8, "from": "bob", "text": "yes",
            "timestamp": start + 5, "nonce": "y", "reply_to": 1})
    );
}

#[test]
fn a_live_answer_names_its_message_and_passes_over_one_that_is_not_there() {
    let mut scenario = Scenario::new();
    let [alice, bob, _] = three_in_room(&mut scenario);
    scenario.send_v2(alice, "tech", "hi");
    scenario.frames(bob);
    for (nonce, reply_to, expected) in [
        ("a", json!(1), json!(1)),
        ("b", json!(3), Value::Null),
        ("c", json!(99), Value::Null),
        ("d", json!(0), Value::Null),
    ] {
        let frame =
            json!({"type": "message", "room": "tech", "text": nonce, "nonce": nonce, "reply_to": reply_to});
        scenario.request(alice, frame);
        assert_eq!(scenario.frames(bob)[0]["reply_to"], expected, "{nonce}");
    }
    scenario.send_private_v2(alice, "bob", "p");
    scenario
        .request(bob, json!({"type": "private", "to": "alice", "text": "q", "nonce": "q", "reply_to": 1}));
    assert_eq!(scenario.frames(alice).last().map(|frame| frame["reply_to"].clone()), Some(json!(1)));
}

#[test]
fn changes_that_are_refused_leave_the_nonce_unused() {
    let mut scenario = Scenario::with(|options| options.change_rules.reactions_max = 2);
    let [alice, bob, carol] = three_in_room(&mut scenario);
    scenario.send_v2(alice, "tech", "hi");
    received(&mut scenario, [alice, bob, carol]);
    let text = || json!({"text": "x"});
    for emoji in ["❤", "👍"] {
        change(&mut scenario, carol, "react", 1, emoji, json!({"emoji": emoji}));
    }
    scenario.received(bob);
    for (kind, target, fields, expected) in [
        ("edit", 1, text(), "forbidden"),
        ("edit", 9, text(), "not_found"),
        ("edit", u64::MAX, text(), "not_found"),
        // A change is no message.
        ("react", 2, json!({"emoji": "👍"}), "not_found"),
        ("delete", 1, json!({}), "forbidden"),
        ("delete", 9, json!({}), "not_found"),
        ("unreact", 1, json!({"emoji": "❤"}), "not_found"),
        ("react", 1, json!({"emoji": "🎉"}), "too_many"),
        ("react", 1, json!({"emoji": "text"}), "bad_request"),
        ("edit", 1, json!({}), "bad_request"),
        // Only the log knows whether the message has files.
        ("edit", 1, json!({"text": " "}), "forbidden"),
        ("edit", 1, json!({"text": "x".repeat(5_000)}), "text_too_long"),
    ] {
        change(&mut scenario, bob, kind, target, "n", fields);
        assert_eq!(scenario.received(bob), [format!("error {expected} n")], "{kind} {target}");
    }
    scenario.request(bob, json!({"type": "edit", "room": "games", "target": 1, "text": "x", "nonce": "n"}));
    assert_eq!(scenario.received(bob), ["error not_joined n"]);
    change(&mut scenario, bob, "react", 1, "n", json!({"emoji": "👍"}));
    assert_eq!(scenario.received(bob), ["ack n 4", "4 bob reacts 👍 to 1"]);
    assert_eq!(scenario.close_code(bob), None);
}

#[test]
fn what_is_so_already_is_acknowledged_with_the_first_change() {
    let mut scenario = Scenario::new();
    let [alice, bob, carol] = three_in_room(&mut scenario);
    scenario.send_v2(alice, "tech", "hi");
    change(&mut scenario, bob, "react", 1, "r", json!({"emoji": "👍"}));
    received(&mut scenario, [alice, bob, carol]);
    // The same nonce, and another one, from two devices.
    let phone = scenario.open_in_room("bob", "tech");
    for (client, nonce) in [(bob, "r"), (bob, "r2"), (phone, "r3"), (phone, "r2")] {
        change(&mut scenario, client, "react", 1, nonce, json!({"emoji": "👍"}));
        assert_eq!(scenario.received(client), [format!("ack {nonce} 2 again")]);
    }
    change(&mut scenario, alice, "delete", 1, "d", json!({}));
    assert_eq!(scenario.received(carol), ["3 alice deletes 1"]);
    received(&mut scenario, [alice, bob, phone]);
    change(&mut scenario, alice, "delete", 1, "d2", json!({}));
    assert_eq!(scenario.received(alice), ["ack d2 3 again"]);
    // Nonces come first: the reaction is gone with the message.
    change(&mut scenario, bob, "unreact", 9, "r2", json!({"emoji": "👍"}));
    assert_eq!(scenario.received(bob), ["ack r2 2 again"]);
    change(&mut scenario, bob, "react", 1, "r4", json!({"emoji": "👍"}));
    assert_eq!(scenario.received(bob), ["error not_found r4"]);
    assert_eq!(received(&mut scenario, [alice, carol]), [const { Vec::<String>::new() }; 2]);
}

#[test]
fn all_devices_of_a_user_get_a_change_and_only_one_an_ack() {
    let mut scenario = Scenario::new();
    let [alice, bob, _] = three_in_room(&mut scenario);
    let phone = scenario.open_in_room("alice", "tech");
    scenario.send_v2(phone, "tech", "hi");
    received(&mut scenario, [alice, bob, phone]);
    change(&mut scenario, alice, "edit", 1, "e", json!({"text": "hello"}));
    assert_eq!(scenario.received(alice), ["ack e 2", "2 alice edits 1: hello"]);
    for client in [bob, phone] {
        assert_eq!(scenario.received(client), ["2 alice edits 1: hello"]);
    }
}

#[test]
fn a_moderator_deletes_the_messages_of_others_and_edits_none() {
    let mut scenario = Scenario::new();
    let tech = room("tech");
    let (info, members) = (RoomInfo::opened(&tech), vec![name("bob"), name("carol")]);
    scenario.change(&WantedChange::Create { room: tech, info, members, by: name("alice") });
    let [alice, bob, carol] = three_in_room(&mut scenario);
    scenario.send_v2(bob, "tech", "hi");
    received(&mut scenario, [alice, bob, carol]);
    change(&mut scenario, alice, "edit", 1, "n", json!({"text": "x"}));
    assert_eq!(scenario.received(alice), ["error forbidden n"]);
    change(&mut scenario, carol, "delete", 1, "n", json!({}));
    assert_eq!(scenario.received(carol), ["error forbidden n"]);
    change(&mut scenario, alice, "delete", 1, "n", json!({}));
    for client in [bob, carol] {
        assert_eq!(scenario.received(client), ["2 alice deletes 1"]);
    }
}

/// Another issuer signs tokens for any name, without a session.
#[test]
fn an_administrator_deletes_with_a_token_of_a_session_only() {
    let mut scenario = Scenario::new();
    scenario.history.set_administrator(&name("admin"), true);
    let bob = scenario.open_in_room("bob", "tech");
    scenario.send_v2(bob, "tech", "hi");
    let by_host = scenario.open_in_room("admin", "tech");
    let admin = scenario.open_v2_with("admin", "s1");
    scenario.join(admin, "tech");
    scenario.frames(admin);
    change(&mut scenario, by_host, "delete", 1, "n", json!({}));
    assert_eq!(scenario.received(by_host), ["error forbidden n"]);
    change(&mut scenario, admin, "delete", 1, "n", json!({}));
    assert_eq!(scenario.received(by_host), ["2 admin deletes 1"]);
}

#[test]
fn in_a_pair_both_get_changes_and_only_the_author_deletes() {
    let mut scenario = Scenario::new();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|user| scenario.open_v2(user));
    let old = scenario.open("bob", "tech");
    scenario.send_private_v2(alice, "bob", "hi");
    received(&mut scenario, [alice, bob, carol, old]);
    let to = |to: &str| json!({"to": to});
    for (client, other, kind, fields, expected) in [
        (bob, "alice", "react", json!({"emoji": "👍"}), "2 bob reacts 👍 to 1"),
        (bob, "alice", "unreact", json!({"emoji": "👍"}), "3 bob takes 👍 from 1"),
        (alice, "bob", "edit", json!({"text": "@bob", "mentions": ["bob"]}), "4 alice edits 1: @bob"),
        (alice, "bob", "delete", json!({}), "5 alice deletes 1"),
    ] {
        if kind == "delete" {
            for kind in ["delete", "edit"] {
                change_in(&mut scenario, bob, to("alice"), kind, 1, "n", json!({"text": "x"}));
                assert_eq!(scenario.received(bob), ["error forbidden n"]);
            }
        }
        change_in(&mut scenario, client, to(other), kind, 1, kind, fields);
        let (author, reader) = if client == alice { (alice, bob) } else { (bob, alice) };
        assert_eq!(
            scenario.received(author),
            [expected.to_owned(), format!("ack {kind} {}", &expected[..1])]
        );
        let frames = scenario.frames(reader);
        let (from, with) = if client == alice { ("alice", "bob") } else { ("bob", "alice") };
        assert_eq!((&frames[0]["from"], &frames[0]["to"]), (&json!(from), &json!(with)));
        assert_eq!((&frames[0]["room"], &frames[0]["mentions"]), (&Value::Null, &Value::Null));
    }
    assert_eq!(received(&mut scenario, [carol, old]), [const { Vec::<String>::new() }; 2]);
    for (other, kind, nonce, expected) in [
        ("bob", "delete", "d2", "ack d2 5 again"),
        ("bob", "edit", "e2", "error not_found e2"),
        ("Nobody", "delete", "d3", "error not_found d3"),
        ("a\u{1}", "react", "r2", "error not_found r2"),
    ] {
        change_in(&mut scenario, alice, to(other), kind, 1, nonce, json!({"text": "x", "emoji": "👍"}));
        assert_eq!(scenario.received(alice), [expected], "{other} {kind}");
    }
}

#[test]
fn v1_clients_get_no_change_and_the_newest_text() {
    let mut scenario = Scenario::new();
    let [alice, bob, _] = three_in_room(&mut scenario);
    let old = scenario.open("dave", "tech");
    for nonce in ["a", "b", "c"] {
        scenario.send_v2(alice, "tech", nonce);
    }
    scenario.received(old);
    change(&mut scenario, alice, "edit", 1, "e", json!({"text": "edited"}));
    change(&mut scenario, alice, "delete", 2, "d", json!({}));
    change(&mut scenario, bob, "react", 3, "r", json!({"emoji": "👍"}));
    assert!(scenario.received(old).is_empty());
    scenario.send(old, "still here");
    assert_eq!(scenario.received(old), ["dave: still here"]);
    assert_eq!(scenario.received(bob).last().map(String::as_str), Some("7 dave: still here"));
}

#[test]
fn a_change_ends_no_typing() {
    let mut scenario = Scenario::new();
    let [alice, bob, _] = three_in_room(&mut scenario);
    scenario.send_v2(alice, "tech", "hi");
    scenario.request(alice, json!({"type": "typing", "room": "tech", "active": true}));
    assert_eq!(scenario.received(bob), ["1 alice: hi", "alice types in tech"]);
    change(&mut scenario, alice, "react", 1, "r", json!({"emoji": "👍"}));
    change(&mut scenario, alice, "edit", 1, "e", json!({"text": "x"}));
    assert_eq!(scenario.received(bob), ["2 alice reacts 👍 to 1", "3 alice edits 1: x"]);
    scenario.send_v2(alice, "tech", "bye");
    assert_eq!(scenario.received(bob), ["alice stops in tech", "4 alice: bye"]);
}

#[test]
fn a_change_makes_nobody_a_member() {
    let mut scenario = Scenario::new();
    let [alice, bob, _] = three_in_room(&mut scenario);
    scenario.send_v2(alice, "tech", "hi");
    received(&mut scenario, [alice, bob]);
    scenario.hold_questions = true;
    change(&mut scenario, bob, "react", 1, "r", json!({"emoji": "👍"}));
    change(&mut scenario, bob, "react", 1, "r", json!({"emoji": "👍"}));
    assert_eq!(scenario.questions.len(), 0, "the store is not asked whether he is one");
    scenario.hold_questions = false;
    assert_eq!(scenario.received(bob), ["ack r 2", "2 bob reacts 👍 to 1", "ack r 2 again"]);
    assert!(scenario.notes(bob).is_empty());
    let hello = scenario.open_v2("bob");
    assert_eq!(scenario.frames(hello)[0]["rooms"], json!([]));
    // Neither does the hub take bob for one.
    scenario.request(bob, json!({"type": "leave", "room": "tech"}));
    scenario.send_v2(alice, "tech", "more");
    scenario.pass(2_000);
    assert!(scenario.notes(bob).is_empty());
}

#[test]
fn changes_are_no_activity_and_a_message_deleted_at_once_is_none() {
    let mut scenario = Scenario::new();
    let tech = room("tech");
    let (info, members) = (RoomInfo::opened(&tech), vec![name("bob")]);
    scenario.change(&WantedChange::Create { room: tech, info, members, by: name("alice") });
    let alice = scenario.open_in_room("alice", "tech");
    let bob = scenario.open_v2("bob");
    scenario.pass(2_000);
    scenario.notes(bob);
    let activity = |scenario: &mut Scenario| {
        scenario.pass(2_000);
        let notes = scenario.notes(bob);
        notes.iter().map(|note| (note["new"].clone(), note["mentions"].clone())).collect::<Vec<_>>()
    };
    scenario.send_v2(alice, "tech", "a");
    assert_eq!(activity(&mut scenario), [(json!(1), json!(0))]);
    change(&mut scenario, alice, "react", 1, "r", json!({"emoji": "👍"}));
    change(&mut scenario, alice, "edit", 1, "e", json!({"text": "@bob", "mentions": ["bob"]}));
    assert_eq!(activity(&mut scenario), []);
    scenario.send_v2(alice, "tech", "b");
    scenario.send_v2(alice, "tech", "c");
    change(&mut scenario, alice, "delete", 4, "d", json!({}));
    assert_eq!(activity(&mut scenario), [(json!(1), json!(0))]);
}

#[test]
fn a_message_is_edited_for_as_long_as_is_set_and_deleted_always() {
    let mut scenario = Scenario::with(|options| options.change_rules.edit_ms = Some(10_000));
    let [alice, _, _] = three_in_room(&mut scenario);
    scenario.send_v2(alice, "tech", "hi");
    scenario.pass(10_000);
    scenario.frames(alice);
    change(&mut scenario, alice, "edit", 1, "e1", json!({"text": "in time"}));
    assert_eq!(scenario.received(alice)[0], "ack e1 2");
    scenario.pass(1);
    change(&mut scenario, alice, "edit", 1, "e2", json!({"text": "late"}));
    assert_eq!(scenario.received(alice), ["error forbidden e2"]);
    change(&mut scenario, alice, "edit", 1, "e1", json!({"text": "late"}));
    assert_eq!(scenario.received(alice), ["ack e1 2 again"]);
    change(&mut scenario, alice, "delete", 1, "d", json!({}));
    assert_eq!(scenario.received(alice)[0], "ack d 3");
}

#[test]
fn changes_count_against_the_rate_and_none_is_lost() {
    let limit = RateLimit { burst: 3, per_second: 1 };
    let mut scenario = Scenario::with(|options| options.rate = Some(limit));
    let [alice, bob, _] = three_in_room(&mut scenario);
    scenario.send_v2(alice, "tech", "hi");
    for emoji in ["👍", "🎉", "❤", "🚀"] {
        change(&mut scenario, alice, "react", 1, emoji, json!({"emoji": emoji}));
    }
    assert_eq!(scenario.waiting(alice), 2);
    // Others are not held up.
    change(&mut scenario, bob, "react", 1, "b", json!({"emoji": "👍"}));
    assert_eq!(scenario.frames(bob).len(), 5);
    scenario.pass(3_000);
    assert_eq!(scenario.waiting(alice), 0);
    let acks: Vec<_> =
        scenario.received(alice).into_iter().filter(|frame| frame.starts_with("ack")).collect();
    assert_eq!(acks, ["ack hi 1", "ack 👍 2", "ack 🎉 3", "ack ❤ 5", "ack 🚀 6"]);
}

#[test]
fn changes_and_messages_keep_their_order() {
    let mut scenario = Scenario::new();
    let [alice, bob, _] = three_in_room(&mut scenario);
    scenario.send_v2(alice, "tech", "hi");
    scenario.received(bob);
    scenario.hold_appends = true;
    scenario.send_v2(alice, "tech", "before");
    change(&mut scenario, alice, "edit", 1, "e", json!({"text": "edited"}));
    scenario.send_v2(alice, "tech", "between");
    change(&mut scenario, alice, "delete", 1, "d", json!({}));
    assert_eq!(scenario.drafts.len(), 4);
    scenario.append(3);
    scenario.append(1);
    assert_eq!(
        scenario.received(bob),
        ["2 alice: before", "3 alice edits 1: edited", "4 alice: between", "5 alice deletes 1"]
    );
}

#[test]
fn the_thirty_third_change_waits_for_a_receipt() {
    let mut scenario = Scenario::with(|options| options.rate = None);
    let [alice, bob, _] = three_in_room(&mut scenario);
    scenario.send_v2(alice, "tech", "hi");
    scenario.hold_appends = true;
    for n in 0..33 {
        change(&mut scenario, bob, "edit", 1, &format!("e{n}"), json!({"text": "x"}));
    }
    assert_eq!((scenario.drafts.len(), scenario.waiting(bob)), (32, 1));
    scenario.append(1);
    assert_eq!((scenario.drafts.len(), scenario.waiting(bob)), (32, 0));
}

#[test]
fn a_change_waits_for_the_sends_to_another_topic() {
    let mut scenario = Scenario::with(|options| options.topics_side_by_side = true);
    let [alice, bob, _] = three_in_room(&mut scenario);
    scenario.send_private_v2(alice, "bob", "hi");
    received(&mut scenario, [alice, bob]);
    scenario.hold_appends = true;
    scenario.send_v2(alice, "tech", "first");
    change_in(&mut scenario, alice, json!({"to": "bob"}), "edit", 1, "e", json!({"text": "x"}));
    scenario.send_v2(alice, "tech", "last");
    assert_eq!((scenario.drafts.len(), scenario.waiting(alice)), (1, 1));
    for _ in 0..3 {
        scenario.append(1);
    }
    assert_eq!(scenario.received(bob), ["1 alice: first", "2 alice edits 1: x", "2 alice: last"]);
    // The first one fails: the change is not stored before it is repeated.
    scenario.received(alice);
    scenario.send_v2(alice, "tech", "lost");
    change_in(&mut scenario, alice, json!({"to": "bob"}), "delete", 1, "d", json!({}));
    scenario.fail(1);
    assert_eq!(scenario.received(alice), ["error unavailable lost", "error unavailable d"]);
}

#[test]
fn after_unavailable_no_change_is_stored_before_the_retry() {
    let mut scenario = Scenario::new();
    let [alice, bob, _] = three_in_room(&mut scenario);
    scenario.send_v2(alice, "tech", "hi");
    received(&mut scenario, [alice, bob]);
    scenario.hold_appends = true;
    change(&mut scenario, alice, "edit", 1, "1", json!({"text": "a"}));
    change(&mut scenario, alice, "react", 1, "2", json!({"emoji": "👍"}));
    scenario.fail(2);
    scenario.send_v2(alice, "tech", "3");
    assert_eq!(
        scenario.received(alice),
        ["error unavailable 1", "error unavailable 2", "error unavailable 3"]
    );
    scenario.hold_appends = false;
    change(&mut scenario, alice, "edit", 1, "1", json!({"text": "a"}));
    change(&mut scenario, alice, "react", 1, "2", json!({"emoji": "👍"}));
    scenario.send_v2(alice, "tech", "3");
    assert_eq!(scenario.received(bob), ["2 alice edits 1: a", "3 alice reacts 👍 to 1", "4 alice: 3"]);
}

#[test]
fn a_change_whose_answer_is_late_is_unavailable_and_its_retry_a_duplicate() {
    let mut scenario = Scenario::new();
    let [alice, bob, _] = three_in_room(&mut scenario);
    scenario.send_v2(alice, "tech", "hi");
    received(&mut scenario, [alice, bob]);
    scenario.hold_appends = true;
    change(&mut scenario, alice, "edit", 1, "e", json!({"text": "a"}));
    scenario.pass(5_500);
    assert_eq!(scenario.received(alice), ["error unavailable e"]);
    scenario.append(1);
    scenario.hold_appends = false;
    change(&mut scenario, alice, "edit", 1, "e", json!({"text": "a"}));
    assert_eq!(scenario.received(alice), ["2 alice edits 1: a", "ack e 2 again"]);
    assert_eq!(scenario.received(bob), ["2 alice edits 1: a"]);
}

#[test]
fn the_receipt_of_an_unseen_change_has_it_read() {
    let mut scenario = Scenario::new();
    let [alice, bob, _] = three_in_room(&mut scenario);
    scenario.send_v2(alice, "tech", "hi");
    scenario.send_private_v2(alice, "bob", "psst");
    received(&mut scenario, [alice, bob]);
    scenario.lose_entries = true;
    change(&mut scenario, alice, "edit", 1, "e", json!({"text": "a"}));
    change_in(&mut scenario, bob, json!({"to": "alice"}), "react", 1, "r", json!({"emoji": "👍"}));
    assert_eq!(scenario.received(bob), ["2 alice edits 1: a", "ack r 2", "2 bob reacts 👍 to 1"]);
}

#[test]
fn draining_acknowledges_changes_and_takes_no_more() {
    let mut scenario = Scenario::new();
    let [alice, bob, _] = three_in_room(&mut scenario);
    scenario.send_v2(alice, "tech", "hi");
    received(&mut scenario, [alice, bob]);
    scenario.hold_appends = true;
    change(&mut scenario, alice, "edit", 1, "e", json!({"text": "last"}));
    scenario.turn(Input::Drain);
    scenario.pass(500);
    change(&mut scenario, alice, "delete", 1, "d", json!({}));
    assert_eq!((scenario.drafts.len(), scenario.waiting(alice)), (1, 1));
    scenario.append(1);
    let frames = scenario.received(alice);
    assert!(frames.contains(&"ack e 2".to_owned()), "{frames:?}");
    assert_eq!(frames.last().map(String::as_str), Some("reconnect"));
    assert_eq!(scenario.close_code(alice), Some(1012));
}

#[test]
fn a_v1_replay_has_the_newest_texts_without_deleted_messages() {
    let mut scenario = Scenario::new();
    let [alice, _, _] = three_in_room(&mut scenario);
    for nonce in ["a", "b", "c"] {
        scenario.send_v2(alice, "tech", nonce);
    }
    change(&mut scenario, alice, "edit", 1, "e", json!({"text": "edited"}));
    change(&mut scenario, alice, "delete", 2, "d", json!({}));
    change(&mut scenario, alice, "react", 3, "r", json!({"emoji": "👍"}));
    let old = scenario.open("dave", "tech");
    assert_eq!(scenario.received(old), ["alice: edited", "alice: c", "+dave"]);
    // Also from memory.
    let old = scenario.open("erin", "tech");
    assert_eq!(scenario.received(old), ["alice: edited", "alice: c", "+erin"]);
}

#[test]
fn a_client_that_was_away_gets_the_changes_with_its_resume() {
    let mut scenario = Scenario::new();
    let [alice, _, _] = three_in_room(&mut scenario);
    scenario.send_v2(alice, "tech", "a");
    scenario.send_v2(alice, "tech", "b");
    change(&mut scenario, alice, "edit", 1, "e", json!({"text": "edited"}));
    change(&mut scenario, alice, "react", 2, "r", json!({"emoji": "👍"}));
    let back = scenario.open_v2("bob");
    scenario.frames(back);
    scenario.resume(back, "tech", 1);
    assert_eq!(
        scenario.received(back),
        ["joined tech at 4 complete", "2 alice: b", "3 alice edits 1: edited", "4 alice reacts 👍 to 2"]
    );
}
