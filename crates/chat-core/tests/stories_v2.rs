//! What protocol v2 does, told as stories.

mod common;

use chat_core::{Answer, ClientId, Input, RateLimit};
use serde_json::{Value, json};

use crate::common::{Story, name, topic};

/// A frame in short, so that stories read well.
fn short(frame: &Value) -> String {
    let text = |field: &str| frame[field].as_str().unwrap_or("?").to_owned();
    let whose = || if frame["nonce"].is_null() { text("ref") } else { text("nonce") };
    match text("type").as_str() {
        "hello" => format!("hello {}", text("user")),
        "joined" => {
            let recovered = if frame["recovered"] == true { " whole" } else { "" };
            format!("joined {} at {}{recovered}", text("room"), frame["seq"])
        }
        "left" => format!("left {}", text("room")),
        "message" => format!("{} {}: {}", frame["seq"], text("from"), text("text")),
        "private" => format!("{} {} to {}: {}", frame["seq"], text("from"), text("to"), text("text")),
        "ack" => {
            let again = if frame["duplicate"] == true { " again" } else { "" };
            format!("ack {} {}{again}", text("nonce"), frame["seq"])
        }
        "error" => format!("error {} {}", text("code"), whose()),
        "presence" if frame["user"].is_null() => format!("{} people", frame["online"]),
        "presence" => format!("{}{}", if frame["online"] == true { '+' } else { '-' }, text("user")),
        "reconnect" => "reconnect".to_owned(),
        "history" => {
            let messages = frame["messages"].as_array().expect("messages");
            let seqs: Vec<String> = messages.iter().map(|message| message["seq"].to_string()).collect();
            let more = if frame["has_more"] == true { " and more" } else { "" };
            format!("history [{}]{more}", seqs.join(" "))
        }
        other => panic!("no frame of protocol v2: {other}"),
    }
}

trait V2 {
    fn got(&mut self, client: ClientId) -> Vec<String>;
    /// Opens a connection that is greeted and in a room.
    fn in_room(&mut self, user: &str, room: &str) -> ClientId;
    fn join(&mut self, client: ClientId, room: &str);
    fn resume(&mut self, client: ClientId, room: &str, since: u64);
    fn post(&mut self, client: ClientId, room: &str, nonce: &str);
    fn whisper(&mut self, client: ClientId, to: &str, nonce: &str);
}

impl V2 for Story {
    fn got(&mut self, client: ClientId) -> Vec<String> {
        self.frames(client).iter().map(short).collect()
    }

    fn in_room(&mut self, user: &str, room: &str) -> ClientId {
        let client = self.open_v2(user);
        self.join(client, room);
        self.frames(client);
        client
    }

    fn join(&mut self, client: ClientId, room: &str) {
        self.ask(client, json!({"type": "join", "room": room, "ref": "j"}));
    }

    fn resume(&mut self, client: ClientId, room: &str, since: u64) {
        self.ask(client, json!({"type": "join", "room": room, "since": since, "epoch": EPOCH, "ref": "j"}));
    }

    /// The text is the nonce.
    fn post(&mut self, client: ClientId, room: &str, nonce: &str) {
        self.ask(client, json!({"type": "message", "room": room, "text": nonce, "nonce": nonce}));
    }

    fn whisper(&mut self, client: ClientId, to: &str, nonce: &str) {
        self.ask(client, json!({"type": "private", "to": to, "text": nonce, "nonce": nonce}));
    }
}

const EPOCH: &str = "first";

fn story() -> Story {
    story_with(|_| {})
}

fn story_with(change: impl FnOnce(&mut chat_core::HubOptions)) -> Story {
    Story::with(|options| {
        options.epoch = EPOCH.into();
        change(options);
    })
}

#[test]
fn hello_comes_first_and_says_what_there_is() {
    let mut story = story();
    for text in ["1", "2", "3"] {
        story.elsewhere_to("alice", "bob", text);
    }
    story.elsewhere_to("carol", "alice", "4");
    story.elsewhere_to("carol", "bob", "5");
    let alice = story.open_v2("alice");
    let hello = story.frames(alice).remove(0);
    assert_eq!(hello["protocol"], 2);
    assert_eq!(hello["user"], "alice");
    assert_eq!(hello["epoch"], EPOCH);
    assert_eq!(hello["heartbeat_seconds"], 45);
    assert_eq!(hello["limits"]["text_max_chars"], 4096);
    assert_eq!(hello["privates"], json!([{"with": "carol", "seq": 1}, {"with": "bob", "seq": 3}]));
    assert_eq!(hello["has_more"], false);
}

#[test]
fn nothing_is_taken_or_sent_before_hello() {
    let mut story = story();
    story.hold_reads = true;
    let alice = story.open_v2("alice");
    story.join(alice, "tech");
    let bob = story.open("bob", "tech");
    story.tell(bob, "alice", "psst");
    assert_eq!(story.got(alice), [""; 0]);
    assert_eq!(story.waiting(alice), 1);
    story.hold_reads = false;
    story.read_hello();
    let hello = story.frames(alice);
    // What was said meanwhile is counted, and not sent a second time.
    assert_eq!(hello[0]["privates"], json!([{"with": "bob", "seq": 1}]));
    story.tell(bob, "alice", "psst again");
    assert_eq!(story.got(alice), ["2 bob to alice: psst again"]);
}

#[test]
fn live_privates_continue_exactly_behind_hello() {
    let mut story = story();
    let first = story.elsewhere_to("bob", "alice", "1");
    let second = story.elsewhere_to("bob", "alice", "2");
    // The log has both, the bus is late.
    let alice = story.open_v2("alice");
    assert_eq!(story.frames(alice)[0]["privates"], json!([{"with": "bob", "seq": 2}]));
    story.carry(&[&first, &second]);
    let third = story.elsewhere_to("bob", "alice", "3");
    story.carry(&[&third]);
    assert_eq!(story.got(alice), ["3 bob to alice: 3"]);
    // Another connection, while this hub is behind: the rest comes live, to all.
    story.elsewhere_to("bob", "alice", "4");
    let phone = story.open_v2("alice");
    let frames = story.frames(phone);
    assert_eq!(frames[0]["privates"], json!([{"with": "bob", "seq": 3}]));
    assert_eq!(short(&frames[1]), "4 bob to alice: 4");
    let fifth = story.elsewhere_to("bob", "alice", "5");
    story.carry(&[&fifth]);
    assert_eq!(story.got(phone), ["5 bob to alice: 5"]);
    assert_eq!(story.got(alice), ["4 bob to alice: 4", "5 bob to alice: 5"]);
}

#[test]
fn a_log_that_is_out_delays_hello_and_then_closes() {
    let mut story = story();
    story.hold_reads = true;
    let alice = story.open_v2("alice");
    let (id, ..) = story.hellos.pop_front().unwrap();
    story.turn(Input::Answer { id, answer: &Answer::Failed });
    story.pass(1_000);
    story.read_hello();
    assert_eq!(story.got(alice), ["hello alice"]);
    let bob = story.open_v2("bob");
    story.pass(20_000);
    assert_eq!((story.got(bob), story.code(bob)), (vec![], Some(1013)));
}

#[test]
fn joined_comes_first_then_the_replay_then_what_is_new() {
    let mut story = story();
    for n in 1..=60 {
        story.elsewhere("bob", "tech", &n.to_string());
    }
    story.open("bob", "tech");
    let alice = story.open_v2("alice");
    story.frames(alice);
    story.ask(alice, json!({"type": "join", "room": "tech", "ref": "r"}));
    let frames = story.frames(alice);
    assert_eq!(
        frames[0],
        json!({"type": "joined", "room": "tech", "epoch": EPOCH, "seq": 60, "recovered": false,
            "online": 2, "members": ["alice", "bob"], "ref": "r"})
    );
    let seqs: Vec<u64> = frames[1..].iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (11..=60).collect::<Vec<_>>());
    story.post(alice, "tech", "n");
    let mut own = story.frames(alice);
    own.sort_by_key(|frame| frame["type"].to_string());
    assert_eq!(
        own,
        [
            json!({"type": "ack", "nonce": "n", "room": "tech", "seq": 61,
                "timestamp": 1_795_371_797, "duplicate": false}),
            json!({"type": "message", "room": "tech", "seq": 61, "from": "alice", "text": "n",
                "timestamp": 1_795_371_797, "nonce": "n"}),
        ]
    );
}

#[test]
fn both_versions_share_a_room() {
    let mut story = story();
    let alice = story.in_room("alice", "tech");
    let bob = story.open("bob", "tech");
    story.say(bob, "hi");
    story.post(alice, "tech", "hello");
    assert_eq!(story.got(alice), ["+bob", "1 bob: hi", "ack hello 2", "2 alice: hello"]);
    assert_eq!(story.seen(bob), ["+bob", "bob: hi", "alice: hello"]);
    assert!(story.frames(alice).is_empty());
    // What v1 said has no nonce.
    let carol = story.open_v2("carol");
    story.join(carol, "tech");
    let frames = story.frames(carol);
    assert!(frames[2].get("nonce").is_none());
    assert_eq!(frames[3]["nonce"], "hello");
    story.ask(carol, json!({"type": "leave", "room": "tech", "ref": "l"}));
    assert_eq!(story.got(carol), ["left tech"]);
    assert_eq!(story.seen(bob), ["+carol", "-carol"]);
    story.whisper(alice, "bob", "psst");
    assert_eq!(story.seen(bob), ["alice to bob: psst"]);
    assert_eq!(story.got(alice), ["+carol", "1 alice to bob: psst", "ack psst 1"]);
    story.say(bob, "bye");
    assert_eq!(story.got(carol), [""; 0]);
}

#[test]
fn a_resume_is_whole() {
    let mut story = story();
    let alice = story.in_room("alice", "tech");
    story.post(alice, "tech", "a");
    story.lose(alice);
    for n in 2..=400 {
        story.elsewhere("bob", "tech", &n.to_string());
    }
    story.missed("tech", 2, 400);
    // More than one page, none of it among the recent frames of this version.
    for (since, expected) in [(1, 399), (150, 250), (400, 0)] {
        let again = story.open_v2("alice");
        story.resume(again, "tech", since);
        let got = story.got(again);
        assert_eq!(got[1], "joined tech at 400 whole");
        assert_eq!(got.len(), 2 + expected, "since {since}");
        let seqs: Vec<String> = (since + 1..=400).map(|n| format!("{n} bob: {n}")).collect();
        assert_eq!(got[2..], seqs);
        story.lose(again);
    }
}

#[test]
fn what_the_log_no_longer_keeps_nobody_gets() {
    let mut story = story();
    for n in 1..=60 {
        story.elsewhere("bob", "tech", &n.to_string());
    }
    let alice = story.in_room("alice", "tech");
    let carol = story.open("carol", "tech");
    story.seen(carol);
    let got = |story: &mut Story, since: Option<u64>| {
        let dave = story.open_v2("dave");
        match since {
            Some(since) => story.resume(dave, "tech", since),
            None => story.join(dave, "tech"),
        }
        let got = story.got(dave);
        story.lose(dave);
        got
    };
    let said = |from: u64| (from..=60).map(|n| format!("{n} bob: {n}")).collect::<Vec<_>>();
    // All of it is among the recent frames.
    assert_eq!(
        got(&mut story, Some(15))[1..],
        [vec!["joined tech at 60 whole".to_owned()], said(16)].concat()
    );
    story.trim("tech", 31);
    assert_eq!(got(&mut story, None)[1..], [vec!["joined tech at 60".to_owned()], said(31)].concat());
    assert_eq!(got(&mut story, Some(29))[1..], [vec!["joined tech at 60".to_owned()], said(31)].concat());
    assert_eq!(
        got(&mut story, Some(30))[1..],
        [vec!["joined tech at 60 whole".to_owned()], said(31)].concat()
    );
    let eve = story.open("eve", "tech");
    assert_eq!(story.seen(eve).len(), 31);
    story.lose(eve);
    // All of it is gone.
    story.trim("tech", 61);
    assert_eq!(got(&mut story, None)[1..], ["joined tech at 60"]);
    assert_eq!(got(&mut story, Some(50))[1..], ["joined tech at 60"]);
    assert_eq!(got(&mut story, Some(60))[1..], ["joined tech at 60 whole"]);
    // Who was there notices nothing.
    story.frames(alice);
    story.post(alice, "tech", "next");
    let heard: Vec<String> = story.got(alice).into_iter().filter(|line| line.contains("next")).collect();
    assert_eq!(heard, ["ack next 61", "61 alice: next"]);
    assert_eq!(story.seen(carol).last().map(String::as_str), Some("alice: next"));
    assert_eq!((story.code(alice), story.code(carol)), (None, None));
    assert_eq!(got(&mut story, None)[1..], ["joined tech at 61", "61 alice: next"]);
}

#[test]
fn a_resume_that_cannot_be_whole_is_refused() {
    let mut story = story_with(|options| options.resume_max_messages = 100);
    for n in 1..=200 {
        story.elsewhere("bob", "tech", &n.to_string());
    }
    let alice = story.open_v2("alice");
    story.frames(alice);
    let mut refused = |frame: Value| {
        story.ask(alice, frame);
        let got = story.got(alice);
        assert_eq!(got[0], "joined tech at 200");
        assert_eq!(got[1..], (151..=200).map(|n| format!("{n} bob: {n}")).collect::<Vec<_>>());
        story.ask(alice, json!({"type": "leave", "room": "tech"}));
        story.got(alice);
    };
    refused(json!({"type": "join", "room": "tech", "since": 180, "epoch": "second"}));
    refused(json!({"type": "join", "room": "tech", "since": 99, "epoch": EPOCH}));
    refused(json!({"type": "join", "room": "tech", "since": 201, "epoch": EPOCH}));
    refused(json!({"type": "join", "room": "tech"}));
    story.resume(alice, "tech", 100);
    assert_eq!(story.got(alice)[0], "joined tech at 200 whole");
}

#[test]
fn what_is_no_longer_kept_makes_no_resume() {
    let mut story = story();
    story.history = chat_core::History::new(
        chat_core::Seed(3, 4),
        chat_core::HistoryLimits { entries_per_topic: 20, topics: 10 },
    );
    for n in 1..=100 {
        story.elsewhere("bob", "tech", &n.to_string());
    }
    let alice = story.open_v2("alice");
    story.frames(alice);
    for (since, whole, from) in [(70, false, 81), (79, false, 81), (80, true, 81), (90, true, 91)] {
        story.resume(alice, "tech", since);
        let got = story.got(alice);
        assert_eq!(got[0].ends_with(" whole"), whole, "since {since}");
        assert_eq!(got[1..], (from..=100).map(|n| format!("{n} bob: {n}")).collect::<Vec<_>>());
        story.ask(alice, json!({"type": "leave", "room": "tech"}));
        story.got(alice);
        // Nothing of the room is ready any more.
        story.pass(120_000);
    }
}

#[test]
fn a_member_that_is_ahead_of_its_hub_waits_for_it() {
    let mut story = story();
    let bob = story.open("bob", "tech");
    for n in 1..=5 {
        story.elsewhere("carol", "tech", &n.to_string());
    }
    // The hub has not heard of them; alice has three of them from another one.
    let alice = story.open_v2("alice");
    story.frames(alice);
    story.resume(alice, "tech", 3);
    let got = story.got(alice);
    assert_eq!(got, ["joined tech at 5 whole", "4 carol: 4", "5 carol: 5"]);
    assert_eq!(story.seen(bob).len(), 7);
}

#[test]
fn a_retry_gets_its_first_number_back() {
    let mut story = story();
    let alice = story.in_room("alice", "tech");
    story.post(alice, "tech", "n");
    let phone = story.in_room("alice", "games");
    story.ask(phone, json!({"type": "message", "room": "games", "text": "other", "nonce": "n"}));
    assert_eq!(
        story.frames(phone),
        [json!({"type": "ack", "nonce": "n", "room": "tech", "seq": 1,
            "timestamp": 1_795_371_797, "duplicate": true})]
    );
    // Another user's nonce is another one.
    let bob = story.in_room("bob", "tech");
    story.post(bob, "tech", "n");
    assert_eq!(story.got(bob), ["ack n 2", "2 bob: n"]);
    story.whisper(bob, "alice", "p");
    story.got(bob);
    story.whisper(bob, "alice", "p");
    assert_eq!(
        story.frames(bob),
        [json!({"type": "ack", "nonce": "p", "to": "alice", "seq": 1,
            "timestamp": 1_795_371_797, "duplicate": true})]
    );
}

#[test]
fn an_ack_waits_for_the_commit() {
    let mut story = story();
    let alice = story.in_room("alice", "tech");
    story.hold_appends = true;
    story.post(alice, "tech", "n");
    assert_eq!(story.got(alice), [""; 0]);
    story.append(1);
    assert_eq!(story.got(alice), ["ack n 1", "1 alice: n"]);
}

#[test]
fn after_unavailable_nothing_comes_before_the_retry() {
    let mut story = story();
    let alice = story.in_room("alice", "tech");
    story.hold_appends = true;
    story.post(alice, "tech", "1");
    story.post(alice, "tech", "2");
    story.fail(2);
    assert_eq!(story.got(alice), ["error unavailable 1", "error unavailable 2"]);
    // Sent before the client could know.
    story.post(alice, "tech", "3");
    assert_eq!(story.got(alice), ["error unavailable 3"]);
    story.hold_appends = false;
    for nonce in ["1", "2", "3"] {
        story.post(alice, "tech", nonce);
    }
    let acks: Vec<_> = story.got(alice).into_iter().filter(|frame| frame.starts_with("ack")).collect();
    assert_eq!(acks, ["ack 1 1", "ack 2 2", "ack 3 3"]);
}

#[test]
fn what_failed_is_repeated_in_the_order_of_its_sender_whichever_failed_first() {
    let mut story = story();
    let alice = story.in_room("alice", "tech");
    story.hold_appends = true;
    story.post(alice, "tech", "1");
    story.post(alice, "tech", "2");
    // The log had no place for the second, and loses the first later.
    let first = story.drafts.remove(0);
    story.fail(1);
    story.drafts.push(first);
    story.fail(1);
    assert_eq!(story.got(alice), ["error unavailable 2", "error unavailable 1"]);
    story.hold_appends = false;
    for nonce in ["2", "3", "1", "2", "3"] {
        story.post(alice, "tech", nonce);
    }
    assert_eq!(story.got(alice)[..2], ["error unavailable 2", "error unavailable 3"]);
    let texts: Vec<_> = story
        .history
        .page(&topic("tech"), chat_core::PageFrom::After(0), chat_core::PageLimits { entries: 9, bytes: 999 })
        .entries
        .iter()
        .map(|entry| entry.body.text().to_owned())
        .collect();
    assert_eq!(texts, ["1", "2", "3"]);
}

#[test]
fn somebody_who_was_never_let_in_is_not_counted() {
    let mut story = story();
    for n in 1..=200 {
        story.elsewhere("carol", "games", &n.to_string());
    }
    let laptop = story.open("bob", "games");
    let phone = story.open_v2("bob");
    // The phone waits for its answer while the laptop goes.
    story.hold_reads = true;
    story.resume(phone, "games", 1);
    story.lose(laptop);
    story.lose(phone);
    let told: Vec<_> = story.presence.iter().map(|change| (change.joined, change.connections)).collect();
    assert_eq!(told, [(true, 1), (false, 0)]);
}

#[test]
fn somebody_who_gives_up_a_failed_send_may_go_on_after_a_while() {
    let mut story = story();
    let alice = story.in_room("alice", "tech");
    story.hold_appends = true;
    story.post(alice, "tech", "lost");
    story.fail(1);
    story.hold_appends = false;
    story.post(alice, "tech", "early");
    story.pass(2_000);
    story.post(alice, "tech", "later");
    assert_eq!(
        story.got(alice),
        ["error unavailable lost", "error unavailable early", "ack later 1", "1 alice: later"]
    );
}

#[test]
fn a_hanging_log_fails_a_send_in_time() {
    let mut story = story();
    let alice = story.in_room("alice", "tech");
    story.hold_appends = true;
    story.post(alice, "tech", "n");
    story.pass(4_900);
    assert_eq!(story.got(alice), [""; 0]);
    story.pass(700);
    let error = story.frames(alice).remove(0);
    assert_eq!((&error["code"], &error["nonce"]), (&json!("unavailable"), &json!("n")));
    assert_eq!(error["retry_after"], 1);
    assert!(story.is_open(alice));
    // It was stored all the same.
    story.append(1);
    story.hold_appends = false;
    assert_eq!(story.got(alice), ["1 alice: n"]);
    story.post(alice, "tech", "n");
    assert_eq!(story.got(alice), ["ack n 1 again"]);
}

#[test]
fn where_topics_are_stored_side_by_side_a_client_has_one_at_a_time() {
    let mut story = story_with(|options| options.topics_side_by_side = true);
    let alice = story.in_room("alice", "tech");
    story.join(alice, "games");
    story.frames(alice);
    story.hold_appends = true;
    story.post(alice, "tech", "1");
    story.post(alice, "tech", "2");
    story.post(alice, "games", "3");
    story.post(alice, "tech", "4");
    assert_eq!(story.drafts.len(), 2);
    story.append(2);
    assert_eq!(story.drafts.len(), 1);
    story.append(1);
    story.append(1);
    let acks: Vec<_> = story.got(alice).into_iter().filter(|frame| frame.starts_with("ack")).collect();
    assert_eq!(acks, ["ack 1 1", "ack 2 2", "ack 3 1", "ack 4 3"]);
    // And what waits falls with what failed.
    story.post(alice, "tech", "5");
    story.post(alice, "games", "6");
    story.fail(1);
    assert_eq!(story.got(alice), ["error unavailable 5", "error unavailable 6"]);
}

#[test]
fn errors_say_what_is_wrong_and_close_nothing() {
    let mut story = story();
    let alice = story.open_v2("alice");
    story.frames(alice);
    story.post(alice, "tech", "n");
    story.ask(alice, json!({"type": "leave", "room": "tech", "ref": "l"}));
    story.ask(alice, json!({"type": "history", "room": "tech", "ref": "h"}));
    story.join(alice, "tech");
    story.join(alice, "tech");
    story.whisper(alice, "Nobody", "n");
    story.whisper(alice, &"x".repeat(100), "n");
    story.ask(alice, json!({"type": "dance", "ref": "d"}));
    story.frame(alice, "rubbish");
    story.ask(alice, json!({"type": "message", "room": "tech", "text": "x".repeat(4097), "nonce": "n"}));
    story.ask(alice, json!({"type": "message", "room": "tech", "text": "x".repeat(4096), "nonce": "m"}));
    let got = story.got(alice);
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
    assert!(story.is_open(alice));
}

#[test]
fn history_goes_both_ways() {
    let mut story = story();
    for n in 1..=300 {
        story.elsewhere("bob", "tech", &n.to_string());
    }
    let alice = story.in_room("alice", "tech");
    let mut page = |fields: Value| {
        let mut frame = json!({"type": "history", "room": "tech", "limit": 3, "ref": "h"});
        frame.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        story.ask(alice, frame);
        story.got(alice).remove(0)
    };
    assert_eq!(page(json!({})), "history [298 299 300] and more");
    assert_eq!(page(json!({"before": 3})), "history [1 2]");
    assert_eq!(page(json!({"before": 5})), "history [2 3 4] and more");
    assert_eq!(page(json!({"before": 1})), "history []");
    assert_eq!(page(json!({"before": 1_000})), "history [298 299 300] and more");
    assert_eq!(page(json!({"after": 0})), "history [1 2 3] and more");
    assert_eq!(page(json!({"after": 297})), "history [298 299 300]");
    assert_eq!(page(json!({"after": 300})), "history []");
    assert_eq!(page(json!({"after": 1_000})), "history []");
    story.ask(alice, json!({"type": "history", "room": "tech", "before": 201, "limit": 500, "ref": "h"}));
    let frame = story.frames(alice).remove(0);
    assert_eq!(frame["messages"].as_array().unwrap().len(), 100);
    assert_eq!(
        (&frame["room"], &frame["epoch"], &frame["first"]),
        (&json!("tech"), &json!(EPOCH), &json!(1))
    );
    assert_eq!(frame["messages"][0]["type"], "message");
}

#[test]
fn an_empty_conversation_and_an_unknown_name_answer_alike() {
    let mut story = story();
    story.elsewhere_to("alice", "bob", "1");
    story.elsewhere_to("carol", "bob", "secret");
    let alice = story.open_v2("alice");
    story.frames(alice);
    for with in ["carol", "Nobody", "x\u{7}y", "", &"long".repeat(99)] {
        story.ask(alice, json!({"type": "history", "with": with}));
        let expected = json!({"type": "history", "with": with, "epoch": EPOCH, "first": 1,
            "messages": [], "has_more": false});
        assert_eq!(story.frames(alice), [expected]);
    }
    story.ask(alice, json!({"type": "history", "with": "bob"}));
    assert_eq!(story.got(alice), ["history [1]"]);
}

#[test]
fn a_page_of_escapes_fits_into_a_frame() {
    let mut story = story();
    for _ in 0..40 {
        story.elsewhere("bob", "tech", &format!("x{}x", "\u{1}".repeat(4000)));
    }
    let alice = story.in_room("alice", "tech");
    for from in [json!({"before": 100}), json!({"after": 0})] {
        let mut frame = json!({"type": "history", "room": "tech", "limit": 100});
        frame.as_object_mut().unwrap().extend(from.as_object().unwrap().clone());
        story.ask(alice, frame);
        let answer = story.frames(alice).remove(0);
        assert!(answer.to_string().len() <= 64 * 1024);
        assert_eq!(answer["has_more"], true);
        let messages = answer["messages"].as_array().unwrap();
        assert_eq!(messages.len(), 2);
        let first = if from.get("before").is_some() { 39 } else { 1 };
        assert_eq!(messages[0]["seq"], first);
    }
}

#[test]
fn history_is_read_a_few_pages_at_a_time() {
    let mut story = story();
    let alice = story.in_room("alice", "tech");
    story.hold_reads = true;
    for n in 0..6 {
        story.ask(alice, json!({"type": "history", "room": "tech", "ref": n.to_string()}));
    }
    assert_eq!((story.reads.len(), story.waiting(alice)), (2, 4));
    story.fail_read();
    assert_eq!(story.got(alice), ["error unavailable 0"]);
    assert_eq!((story.reads.len(), story.waiting(alice)), (2, 3));
    // Whoever leaves is told nothing any more.
    story.hold_reads = false;
    story.read();
    story.got(alice);
}

#[test]
fn history_of_a_room_that_was_left_meanwhile_is_refused() {
    let mut story = story();
    story.elsewhere("bob", "tech", "secret");
    let alice = story.in_room("alice", "tech");
    story.hold_reads = true;
    story.ask(alice, json!({"type": "history", "room": "tech", "ref": "h"}));
    story.ask(alice, json!({"type": "leave", "room": "tech"}));
    story.read();
    assert_eq!(story.got(alice), ["left tech", "error not_joined h"]);
}

#[test]
fn presence_is_told_to_the_others_once() {
    let mut story = story();
    let alice = story.in_room("alice", "tech");
    let bob = story.in_room("bob", "tech");
    let phone = story.in_room("bob", "tech");
    assert_eq!(story.got(alice), ["+bob"]);
    story.lose(bob);
    story.pass(10_000);
    assert_eq!(story.got(alice), [""; 0]);
    story.lose(phone);
    story.pass(4_000);
    assert_eq!(story.got(alice), [""; 0]);
    // Back in time: nobody notices.
    let phone = story.in_room("bob", "tech");
    story.pass(10_000);
    assert_eq!(story.got(alice), [""; 0]);
    story.ask(phone, json!({"type": "leave", "room": "tech"}));
    story.pass(6_000);
    assert_eq!(story.got(alice), ["-bob"]);
}

#[test]
fn people_on_other_hubs_are_among_the_members() {
    let mut story = story();
    let change = |user: &str, connections: u32, joined: bool| chat_core::PresenceChange {
        hub: 7,
        room: chat_core::RoomName::parse("tech").unwrap(),
        user: name(user),
        joined,
        connections,
        at_s: 0,
    };
    // Before this hub has the room at all.
    story.turn(Input::Presence(&change("bob", 1, true)));
    let alice = story.open_v2("alice");
    story.frames(alice);
    story.join(alice, "tech");
    let joined = story.frames(alice).remove(0);
    assert_eq!((&joined["members"], &joined["online"]), (&json!(["alice", "bob"]), &json!(2)));
    story.turn(Input::Presence(&change("carol", 1, true)));
    story.turn(Input::Presence(&change("carol", 2, true)));
    story.turn(Input::Presence(&change("bob", 0, false)));
    story.pass(6_000);
    assert_eq!(story.got(alice), ["+carol", "-bob"]);
    story.turn(Input::HubLost(7));
    story.pass(6_000);
    assert_eq!(story.got(alice), ["-carol"]);
}

#[test]
fn a_crowd_is_counted() {
    let mut story = story_with(|options| options.members_max = 3);
    let alice = story.in_room("alice", "tech");
    for n in 0..10 {
        let other = story.open_v2(&format!("user{n}"));
        story.join(other, "tech");
        let joined = &story.frames(other)[1];
        assert_eq!(joined["online"], n + 2);
        assert_eq!(joined["members"].as_array().unwrap().len(), (n + 2).min(3));
    }
    assert_eq!(story.got(alice), ["+user0", "+user1", "4 people"]);
    story.pass(2_000);
    assert_eq!(story.got(alice), ["11 people"]);
    story.pass(5_000);
    assert_eq!(story.got(alice), [""; 0]);
}

#[test]
fn presence_reaches_those_who_replay() {
    let mut story = story_with(|options| options.page_entries = 10);
    for n in 0..200 {
        story.elsewhere("bob", "tech", &n.to_string());
    }
    let alice = story.open_v2("alice");
    story.frames(alice);
    story.hold_reads = true;
    story.join(alice, "tech");
    story.read();
    assert_eq!(story.got(alice), ["joined tech at 200"]);
    let change = chat_core::PresenceChange {
        hub: 7,
        room: chat_core::RoomName::parse("tech").unwrap(),
        user: name("carol"),
        joined: true,
        connections: 1,
        at_s: 0,
    };
    story.turn(Input::Presence(&change));
    assert_eq!(story.got(alice), ["+carol"]);
    story.hold_reads = false;
    story.read();
    assert_eq!(story.got(alice).len(), 50);
    story.open("dave", "tech");
    assert_eq!(story.got(alice), ["+dave"]);
}

#[test]
fn a_join_that_the_log_does_not_answer_is_unavailable() {
    let mut story = story();
    let alice = story.open_v2("alice");
    story.frames(alice);
    story.hold_reads = true;
    story.join(alice, "tech");
    story.pass(11_000);
    assert_eq!(story.got(alice), ["error unavailable j"]);
    assert!(story.is_open(alice));
    story.hold_reads = false;
    story.read();
    story.join(alice, "tech");
    assert_eq!(story.got(alice), ["joined tech at 0"]);
}

#[test]
fn a_message_may_follow_its_join_at_once() {
    let mut story = story();
    let alice = story.open_v2("alice");
    story.frames(alice);
    story.hold_reads = true;
    story.join(alice, "tech");
    story.post(alice, "tech", "n");
    story.hold_reads = false;
    story.read();
    assert_eq!(story.got(alice), ["ack n 1", "joined tech at 1", "1 alice: n"]);
    // Left before it was joined.
    story.pass(120_000);
    story.hold_reads = true;
    story.join(alice, "games");
    story.ask(alice, json!({"type": "leave", "room": "games", "ref": "l"}));
    assert_eq!(story.got(alice), ["error not_joined j", "left games"]);
    story.hold_reads = false;
    story.read();
    assert_eq!(story.got(alice), [""; 0]);
}

#[test]
fn draining_settles_then_says_when_to_come_back() {
    let mut story = story();
    let alice = story.in_room("alice", "tech");
    story.hold_appends = true;
    story.post(alice, "tech", "n");
    story.turn(Input::Drain);
    story.pass(500);
    assert_eq!((story.got(alice), story.code(alice)), (vec![], None));
    story.append(1);
    let frames = story.frames(alice);
    let shorts: Vec<_> = frames.iter().map(short).collect();
    assert!(shorts.contains(&"ack n 1".to_owned()) && shorts.contains(&"1 alice: n".to_owned()));
    assert_eq!(shorts.last().unwrap(), "reconnect");
    assert!(frames.last().unwrap()["after_ms"].as_u64().unwrap() < 2_000);
    assert_eq!(story.code(alice), Some(1012));
}

#[test]
fn rooms_and_frames_are_bounded() {
    let mut story = story_with(|options| {
        options.client_rooms_max = 2;
        options.frame_rate = Some(RateLimit { burst: 10, per_second: 10 });
    });
    let alice = story.open_v2("alice");
    for room in ["a", "b", "c"] {
        story.join(alice, room);
    }
    assert_eq!(story.got(alice)[1..], ["joined a at 0", "joined b at 0", "error too_many_rooms j"]);
    for _ in 0..20 {
        story.frame(alice, "{}");
    }
    assert_eq!(story.got(alice).len(), 7);
    story.pass(1_000);
    assert_eq!(story.got(alice).len(), 10);
}

#[test]
fn a_gap_that_the_log_no_longer_has_sends_members_away() {
    let mut story = story();
    story.history = chat_core::History::new(
        chat_core::Seed(3, 4),
        chat_core::HistoryLimits { entries_per_topic: 5, topics: 10 },
    );
    let alice = story.in_room("alice", "tech");
    let bob = story.open("bob", "tech");
    for n in 1..=20 {
        story.elsewhere("carol", "tech", &n.to_string());
    }
    story.missed("tech", 1, 20);
    assert_eq!(story.code(alice), Some(1013));
    // Her leaving is the seventh thing.
    assert_eq!(story.seen(bob).len(), 7);
    assert_eq!(story.history.last_seq(&topic("tech")), 20);
}

#[test]
fn a_private_message_reaches_its_two_people_on_both_versions() {
    let mut story = story();
    let alice = story.open_v2("alice");
    let laptop = story.open("alice", "tech");
    let bob = story.open_v2("bob");
    let eve = story.in_room("eve", "tech");
    for client in [alice, bob, eve] {
        story.frames(client);
    }
    story.seen(laptop);
    story.whisper(alice, "bob", "psst");
    assert_eq!(story.got(alice), ["1 alice to bob: psst", "ack psst 1"]);
    assert_eq!(story.got(bob), ["1 alice to bob: psst"]);
    assert_eq!(story.seen(laptop), ["alice to bob: psst"]);
    assert_eq!(story.got(eve), [""; 0]);
    // To oneself.
    story.whisper(bob, "bob", "note");
    assert_eq!(story.got(bob), ["1 bob to bob: note", "ack note 1"]);
}

#[test]
fn what_waits_for_another_topic_is_stored_before_its_author_goes() {
    let mut story = story_with(|options| options.topics_side_by_side = true);
    for drains in [true, false] {
        let alice = story.in_room("alice", "tech");
        story.join(alice, "games");
        story.frames(alice);
        story.hold_appends = true;
        let nonces = [format!("1 {drains}"), format!("2 {drains}")];
        story.post(alice, "tech", &nonces[0]);
        story.post(alice, "games", &nonces[1]);
        match drains {
            false => story.turn(Input::Drain),
            true => story.turn(Input::Goodbye { client: alice }),
        }
        story.pass(100);
        story.append(1);
        assert_eq!(story.code(alice), None);
        story.append(1);
        let got = story.got(alice);
        for nonce in nonces {
            assert!(got.iter().any(|frame| frame.starts_with(&format!("ack {nonce} "))), "{got:?}");
        }
        assert_eq!(story.code(alice), Some(if drains { 1000 } else { 1012 }));
    }
}

#[test]
fn many_joins_at_once_are_put_out_as_far_as_the_socket_takes_them() {
    let mut story = story();
    let rooms: Vec<String> = (0..50).map(|n| format!("room {n}")).collect();
    let warm = story.open_v2("bob");
    for room in &rooms {
        for _ in 0..30 {
            story.elsewhere("carol", room, &"x".repeat(1_000));
        }
        story.join(warm, room);
    }
    let alice = story.open_v2("alice");
    story.frames(alice);
    // Her socket has taken nothing of what she was sent.
    story.pending(alice, 100_000);
    for room in &rooms {
        story.join(alice, room);
    }
    assert_eq!(story.got(alice), [""; 0]);
    story.pass(20_000);
    assert!(story.is_open(alice), "it is not the log that she waits for");
    story.pending(alice, 0);
    let got = story.frames(alice);
    let joined = got.iter().filter(|frame| frame["type"] == "joined").count();
    let messages = got.iter().filter(|frame| frame["type"] == "message").count();
    assert_eq!((joined, messages), (50, 50 * 30));
    // Turn by turn.
    let most = story.most_in_a_turn();
    assert!((64 * 1024..200 * 1024).contains(&most), "{most} bytes in one turn");
}

#[test]
fn numbers_and_names_beyond_reason_are_another_numbering() {
    let mut story = story();
    story.elsewhere("bob", "tech", "1");
    let alice = story.open_v2("alice");
    story.frames(alice);
    for join in [
        json!({"type": "join", "room": "tech", "since": u64::MAX, "epoch": EPOCH}),
        json!({"type": "join", "room": "tech", "since": 1, "epoch": EPOCH.repeat(1_000)}),
    ] {
        story.ask(alice, join);
        assert_eq!(story.got(alice), ["joined tech at 1", "1 bob: 1"]);
        story.ask(alice, json!({"type": "leave", "room": "tech"}));
        story.got(alice);
    }
    for request in [
        json!({"type": "history", "with": "bob", "after": u64::MAX}),
        json!({"type": "history", "with": "bob", "before": u64::MAX}),
        json!({"type": "history", "with": "bob", "before": 0}),
    ] {
        story.ask(alice, request);
        assert_eq!(story.got(alice), ["history []"]);
    }
}
