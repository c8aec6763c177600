//! What a session does, told as stories: the test plays the server.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use chat_client::{Event, Options, Output, PageFrom, Place, Presence, Refused, Session, Snapshot};
use serde_json::{Value, json};

/// A session, the time, and what it put out.
struct Story {
    session: Session,
    now_ms: u64,
    sent: Vec<Value>,
    events: Vec<Event>,
    connects: usize,
    hangups: usize,
}

impl Story {
    fn new() -> Self {
        Self::with(Options::default(), Snapshot::default())
    }

    fn with(options: Options, snapshot: Snapshot) -> Self {
        let session = Session::restore(options, 7, snapshot);
        let mut story = Self {
            session,
            now_ms: 1_000_000,
            sent: Vec::new(),
            events: Vec::new(),
            connects: 0,
            hangups: 0,
        };
        story.session.tick(story.now_ms);
        story.take();
        story
    }

    /// Connected and greeted.
    fn online() -> Self {
        let mut story = Self::new();
        story.greet(json!([]));
        story
    }

    /// … and in a room that has nothing.
    fn in_room(room: &str) -> Self {
        let mut story = Self::online();
        story.join(room);
        story.joined(room, 0, false);
        story.events.clear();
        story
    }

    fn take(&mut self) {
        while let Some(output) = self.session.next_output() {
            match output {
                Output::Connect => self.connects += 1,
                Output::Transmit(frame) => self.sent.push(serde_json::from_str(&frame).unwrap()),
                Output::Hangup => self.hangups += 1,
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// Time passes, with a tick whenever one is due.
    fn pass(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        while self.session.next_tick_ms() <= until_ms {
            let due_ms = self.session.next_tick_ms().max(self.now_ms);
            assert!(due_ms > self.now_ms || self.session.next_tick_ms() <= self.now_ms);
            self.now_ms = due_ms;
            let before = self.session.next_tick_ms();
            self.session.tick(self.now_ms);
            self.take();
            assert_ne!(self.session.next_tick_ms(), before, "a tick that changes nothing comes for ever");
        }
        self.now_ms = until_ms;
    }

    fn frame(&mut self, frame: Value) {
        self.session.frame(self.now_ms, &frame.to_string());
        self.take();
    }

    fn hello(epoch: &str, privates: Value, has_more: bool) -> Value {
        json!({"type": "hello", "protocol": 2, "user": "alice", "epoch": epoch, "heartbeat_seconds": 45,
            "limits": {"unanswered_max": 4, "message_max_bytes": 1000}, "privates": privates,
            "has_more": has_more})
    }

    fn greet(&mut self, privates: Value) {
        self.greet_with(Self::hello("e", privates, false));
    }

    fn greet_with(&mut self, hello: Value) {
        self.session.opened(self.now_ms);
        self.frame(hello);
    }

    fn lose(&mut self, code: Option<u16>) {
        self.session.closed(self.now_ms, code);
        self.take();
    }

    /// Lost, and connected again.
    fn come_back(&mut self, privates: Value) {
        self.lose(None);
        let connects = self.connects;
        while self.connects == connects {
            self.pass(100);
        }
        self.sent.clear();
        self.greet(privates);
    }

    fn join(&mut self, room: &str) {
        self.session.join(self.now_ms, room).unwrap();
        self.take();
    }

    /// Answers the last `join` of a room.
    fn joined(&mut self, room: &str, seq: u64, recovered: bool) {
        let asked = self.sent.iter().rev().find(|frame| frame["type"] == "join" && frame["room"] == room);
        let reference = asked.expect("a join")["ref"].clone();
        self.frame(json!({"type": "joined", "room": room, "epoch": "e", "seq": seq, "recovered": recovered,
            "online": 1, "members": ["alice"], "ref": reference}));
    }

    fn says(&mut self, room: &str, seq: u64) {
        self.frame(json!({"type": "message", "room": room, "seq": seq, "from": "bob",
            "text": seq.to_string(), "timestamp": 1}));
    }

    fn whispers(&mut self, from: &str, seq: u64) {
        self.frame(private(from, seq));
    }

    fn send(&mut self, to: Place, nonce: &str) {
        self.session.send(self.now_ms, to, nonce, Some(nonce.to_owned())).unwrap();
        self.take();
    }

    fn ack(&mut self, nonce: &str, seq: u64) {
        self.frame(json!({"type": "ack", "nonce": nonce, "room": "tech", "seq": seq, "timestamp": 1,
            "duplicate": false}));
    }

    fn unavailable(&mut self, nonce: &str) {
        self.frame(json!({"type": "error", "code": "unavailable", "message": "no", "nonce": nonce,
            "retry_after": 1}));
    }

    /// The frames sent since this was asked last, in short.
    fn sent(&mut self) -> Vec<String> {
        let sent = std::mem::take(&mut self.sent);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let short = |frame: &Value| match frame["type"].as_str().unwrap() {
            "message" | "private" => text(&frame["nonce"]),
            "join" if frame["since"].is_null() => format!("join {}", text(&frame["room"])),
            "join" => format!("join {} since {}", text(&frame["room"]), frame["since"]),
            "history" if frame["after"].is_null() => format!("latest of {}", text(&frame["with"])),
            "history" => format!("{} after {}", text(&frame["with"]), frame["after"]),
            kind => format!("{kind} {}", text(&frame["room"])),
        };
        sent.iter().map(short).collect()
    }

    /// The events since this was asked last, in short.
    fn events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events).iter().map(short).collect()
    }

    /// The last `history` asked for gets this page.
    fn page(&mut self, first: u64, messages: Vec<Value>, has_more: bool) {
        let asked = self.sent.iter().rev().find(|frame| frame["type"] == "history").expect("a request");
        let (with, reference) = (asked["with"].clone(), asked["ref"].clone());
        self.sent.clear();
        self.frame(json!({"type": "history", "with": with, "epoch": "e", "first": first,
            "messages": messages, "has_more": has_more, "ref": reference}));
    }
}

fn private(from: &str, seq: u64) -> Value {
    json!({"type": "private", "from": from, "to": "alice", "seq": seq, "text": seq.to_string(),
        "timestamp": 1, "nonce": "x"})
}

fn short(event: &Event) -> String {
    let name = |place: &Place| match place {
        Place::Room(name) | Place::Person(name) => name.clone(),
    };
    match event {
        Event::Online { .. } => "online".to_owned(),
        Event::Offline { .. } => "offline".to_owned(),
        Event::SignedOut { code } => format!("signed out {code}"),
        Event::Joined { room, .. } => format!("joined {room}"),
        Event::NotJoined { room, code, .. } => format!("not joined {room} {code}"),
        Event::Left { room } => format!("left {room}"),
        Event::Reset { place } => format!("reset {}", name(place)),
        Event::Message { place, entry } => format!("{} {}", name(place), entry.seq),
        Event::Stored { nonce, seq, .. } => format!("stored {nonce} {seq}"),
        Event::NotSent { nonce, code, may_be_stored, .. } => {
            format!("not sent {nonce} {code}{}", if *may_be_stored { " perhaps" } else { "" })
        }
        Event::Presence { change: Presence::Came(user), .. } => format!("+{user}"),
        Event::Presence { change: Presence::Gone(user), .. } => format!("-{user}"),
        Event::Presence { change: Presence::Count(count), .. } => format!("{count} people"),
        Event::History { page, .. } => format!("page of {}", page.messages.len()),
        Event::NoHistory { code, .. } => format!("no page {code}"),
        other => format!("{other:?}"),
    }
}

fn tech() -> Place {
    Place::room("tech")
}

fn bob() -> Place {
    Place::person("bob")
}

#[test]
fn each_message_comes_once_and_in_order() {
    let mut story = Story::in_room("tech");
    assert_eq!(story.sent(), ["join tech"]);
    for seq in [1, 2, 2, 1, 3] {
        story.says("tech", seq);
    }
    story.says("elsewhere", 1);
    assert_eq!(story.events(), ["tech 1", "tech 2", "tech 3"]);
    story.come_back(json!([]));
    assert_eq!(story.sent.clone()[0]["epoch"], "e");
    assert_eq!(story.sent.clone()[0]["since"], 3);
    story.joined("tech", 5, true);
    for seq in [4, 5, 6] {
        story.says("tech", seq);
    }
    assert_eq!(story.events(), ["offline", "online", "joined tech", "tech 4", "tech 5", "tech 6"]);
}

#[test]
fn a_hole_is_healed_before_what_comes_behind_it() {
    let mut story = Story::in_room("tech");
    story.sent();
    story.says("tech", 1);
    story.says("tech", 3);
    assert_eq!(story.sent.len(), 2);
    let old_join = json!({"type": "left", "room": "tech", "ref": story.sent[0]["ref"]});
    story.says("tech", 4);
    story.frame(old_join);
    story.joined("tech", 4, true);
    assert_eq!(story.sent(), ["leave tech", "join tech since 1"]);
    for seq in [2, 3, 4] {
        story.says("tech", seq);
    }
    assert_eq!(story.events(), ["tech 1", "joined tech", "tech 2", "tech 3", "tech 4"]);
    // One hole after another does not make a storm of joins.
    story.says("tech", 9);
    assert_eq!(story.sent(), ["leave tech"]);
    story.pass(1_000);
    assert_eq!(story.sent(), ["join tech since 4"]);
}

#[test]
fn an_unknown_kind_takes_its_number() {
    let mut story = Story::in_room("tech");
    story.says("tech", 1);
    story.frame(json!({"type": "react", "room": "tech", "seq": 2, "message": {"any": "thing"}}));
    story.frame(json!({"type": "message", "room": "tech", "seq": 3, "from": "bob", "deleted": true}));
    story.frame(json!({"type": "typing", "room": "tech", "user": "bob"}));
    story.frame(json!({"type": "sticker", "from": "bob", "to": "alice", "seq": 1}));
    story.says("tech", 4);
    story.whispers("bob", 2);
    assert_eq!(story.events(), ["tech 1", "tech 4", "bob 2"]);
}

#[test]
fn a_resume_that_is_refused_says_forget() {
    let mut story = Story::in_room("tech");
    story.says("tech", 1);
    story.come_back(json!([]));
    story.joined("tech", 90, false);
    story.says("tech", 41);
    story.says("tech", 42);
    assert_eq!(
        story.events(),
        ["tech 1", "offline", "online", "reset tech", "joined tech", "tech 41", "tech 42"]
    );
    // The first time there is nothing to forget.
    story.join("games");
    story.joined("games", 90, false);
    assert_eq!(story.events(), ["joined games"]);
    // A hole in front of the very first message.
    story.sent();
    story.says("games", 92);
    assert_eq!(story.sent(), ["leave games", "join games"]);
}

#[test]
fn an_empty_room_has_been_seen_whole() {
    let mut story = Story::in_room("tech");
    story.come_back(json!([]));
    assert_eq!(story.sent(), ["join tech since 0"]);
}

#[test]
fn sends_are_kept_until_they_are_answered() {
    let mut story = Story::in_room("tech");
    story.sent();
    for nonce in ["1", "2", "3"] {
        story.send(tech(), nonce);
    }
    story.ack("1", 1);
    assert_eq!(story.sent(), ["1", "2", "3"]);
    story.come_back(json!([]));
    // Not before the room is joined, and nothing overtakes.
    story.send(bob(), "4");
    assert_eq!(story.sent.len(), 1);
    story.joined("tech", 3, true);
    assert_eq!(story.sent(), ["join tech since 0", "2", "3", "4"]);
    story.ack("2", 2);
    story.ack("3", 3);
    story.ack("3", 3);
    assert_eq!(
        story.events(),
        ["stored 1 1", "offline", "online", "joined tech", "stored 2 2", "stored 3 3"]
    );
    assert_eq!(story.session.unsent(), 1);
}

#[test]
fn no_more_is_on_its_way_than_the_server_takes() {
    let mut story = Story::in_room("tech");
    story.sent();
    for n in 1..=9 {
        story.send(tech(), &n.to_string());
    }
    assert_eq!(story.sent(), ["1", "2", "3", "4"]);
    story.ack("1", 1);
    story.ack("2", 2);
    assert_eq!(story.sent(), ["5", "6"]);
}

#[test]
fn after_unavailable_the_rest_is_repeated_in_order() {
    let mut story = Story::in_room("tech");
    story.sent();
    for nonce in ["1", "2", "3"] {
        story.send(tech(), nonce);
    }
    story.ack("1", 1);
    story.unavailable("2");
    story.send(tech(), "4");
    story.pass(5_000);
    // Something is still without an answer.
    assert_eq!(story.sent(), ["1", "2", "3"]);
    story.unavailable("3");
    assert_eq!(story.sent(), ["2", "3", "4"]);
    story.unavailable("2");
    story.unavailable("3");
    story.unavailable("4");
    story.pass(900);
    assert_eq!(story.sent(), [""; 0]);
    story.pass(2_000);
    assert_eq!(story.sent(), ["2", "3", "4"]);
    assert_eq!(story.events(), ["stored 1 1"]);
}

#[test]
fn a_final_error_ends_one_send_only() {
    let mut story = Story::in_room("tech");
    story.send(tech(), "1");
    story.send(tech(), "2");
    story.frame(json!({"type": "error", "code": "text_too_long", "message": "no", "nonce": "1"}));
    story.ack("2", 1);
    assert_eq!(story.events(), ["not sent 1 text_too_long", "stored 2 1"]);
}

#[test]
fn what_is_too_big_is_not_sent_for_ever() {
    let mut story = Story::in_room("tech");
    story.sent();
    story.session.send(story.now_ms, tech(), "x".repeat(1_000), Some("big".into())).unwrap();
    story.send(tech(), "2");
    story.session.send(story.now_ms, tech(), "x".repeat(800), Some("3".into())).unwrap();
    story.take();
    assert_eq!(story.sent(), ["2", "3"]);
    // The server finds something else too big.
    story.lose(Some(1009));
    assert_eq!(story.events(), ["not sent big text_too_long", "not sent 3 text_too_long", "offline"]);
    story.pass(1_000);
    story.greet(json!([]));
    story.joined("tech", 0, true);
    assert_eq!(story.sent(), ["join tech since 0", "2"]);
}

#[test]
fn it_comes_back_with_backoff_and_is_patient_again_after_a_good_connection() {
    let mut story = Story::new();
    let mut waits = Vec::new();
    for _ in 0..200 {
        story.lose(None);
        let Some(Event::Offline { retry_in_ms, .. }) = story.events.pop() else { panic!("offline") };
        waits.push(retry_in_ms);
        story.pass(retry_in_ms);
    }
    assert_eq!(story.connects, 201);
    assert!(waits.iter().all(|wait| (500..=30_000).contains(wait)) && waits[0] <= 1_000, "{waits:?}");
    assert!(waits.iter().any(|wait| *wait > 25_000) && waits[10..].iter().any(|wait| *wait < 5_000));
    story.greet(json!([]));
    story.pass(10_000);
    story.lose(Some(1013));
    let Some(Event::Offline { retry_in_ms, code: Some(1013) }) = story.events.pop() else {
        panic!("offline")
    };
    assert!(retry_in_ms <= 1_000);
}

#[test]
fn it_comes_back_when_the_server_says() {
    let mut story = Story::in_room("tech");
    story.sent();
    story.frame(json!({"type": "reconnect", "after_ms": 1_234}));
    // No longer taken by this connection.
    story.send(tech(), "1");
    story.pass(34);
    story.lose(Some(1012));
    assert_eq!(story.events.pop(), Some(Event::Offline { code: Some(1012), retry_in_ms: 1_200 }));
    story.pass(1_200);
    assert_eq!((story.connects, story.sent()), (2, vec![]));
}

#[test]
fn who_is_signed_out_stays_out() {
    for code in [1008, 4001] {
        let mut story = Story::in_room("tech");
        story.send(tech(), "1");
        story.lose(Some(code));
        story.pass(1_000_000);
        assert_eq!((story.connects, story.events()), (1, vec![format!("signed out {code}")]));
        story.session.signed_in(story.now_ms);
        story.pass(0);
        assert_eq!(story.connects, 2);
        story.greet(json!([]));
        story.sent();
        assert_eq!(story.session.unsent(), 1);
    }
}

#[test]
fn a_dead_connection_is_given_up() {
    // Nothing comes any more, not even pings.
    let mut story = Story::in_room("tech");
    story.pass(80_000);
    story.session.heard(story.now_ms);
    story.pass(89_000);
    assert_eq!(story.hangups, 0);
    story.pass(1_000);
    assert_eq!((story.hangups, story.events()), (1, vec!["offline".to_owned()]));
    // Pings come, but no answers.
    let mut story = Story::in_room("tech");
    story.send(tech(), "1");
    for _ in 0..59 {
        story.pass(1_000);
        story.session.heard(story.now_ms);
    }
    assert_eq!(story.hangups, 0);
    story.pass(1_000);
    assert_eq!(story.hangups, 1);
    // Neither a connection nor a hello.
    let mut story = Story::new();
    story.pass(15_000);
    assert_eq!(story.hangups, 1);
    story.pass(2_000);
    story.session.opened(story.now_ms);
    story.pass(15_000);
    assert_eq!(story.hangups, 2);
}

#[test]
fn private_messages_go_on_behind_hello() {
    let mut story = Story::new();
    story.greet(json!([{"with": "bob", "seq": 7}]));
    // Older ones are history; somebody new starts with 1.
    story.whispers("bob", 7);
    story.whispers("bob", 8);
    story.whispers("carol", 1);
    story.frame(json!({"type": "private", "from": "alice", "to": "bob", "seq": 9, "text": "hi",
        "timestamp": 1, "nonce": "n"}));
    assert_eq!(story.events(), ["online", "bob 8", "carol 1", "bob 9"]);
}

#[test]
fn private_messages_that_were_missed_are_fetched() {
    let mut story = Story::new();
    story.greet(json!([{"with": "bob", "seq": 7}]));
    story.whispers("bob", 8);
    story.come_back(json!([{"with": "bob", "seq": 12}, {"with": "dave", "seq": 2}]));
    // Dave is new: he wrote while nobody was here.
    assert_eq!(story.sent.len(), 2);
    // Live ones that come meanwhile wait their turn.
    story.whispers("bob", 13);
    let asked: Vec<Value> = story.sent.clone();
    assert_eq!(story.sent(), ["bob after 8", "dave after 0"]);
    story.sent = vec![asked[1].clone()];
    story.page(1, vec![private("dave", 1), private("dave", 2)], false);
    story.whispers("dave", 3);
    story.sent = vec![asked[0].clone()];
    story.page(1, vec![private("bob", 9), private("bob", 10)], true);
    story.page(1, vec![private("bob", 11), private("bob", 12), private("bob", 13)], false);
    story.whispers("bob", 14);
    let expected = ["bob 9", "bob 10", "bob 11", "bob 12", "bob 13", "bob 14"];
    let events = story.events();
    assert_eq!(events[..7], ["online", "bob 8", "offline", "online", "dave 1", "dave 2", "dave 3"]);
    assert_eq!(events[7..], expected);
}

#[test]
fn a_page_that_cannot_be_read_is_asked_for_again() {
    let mut story = Story::new();
    story.greet(json!([{"with": "bob", "seq": 7}]));
    story.come_back(json!([{"with": "bob", "seq": 8}]));
    let reference = story.sent[0]["ref"].clone();
    story.sent();
    story.frame(json!({"type": "error", "code": "unavailable", "message": "", "ref": reference,
        "retry_after": 1}));
    assert_eq!(story.sent(), [""; 0]);
    story.pass(2_000);
    assert_eq!(story.sent(), ["bob after 7"]);
}

#[test]
fn private_messages_that_are_gone_are_said_to_be() {
    let mut story = Story::new();
    story.greet(json!([{"with": "bob", "seq": 7}]));
    story.come_back(json!([{"with": "bob", "seq": 30}]));
    story.page(29, vec![private("bob", 29), private("bob", 30)], false);
    assert_eq!(story.events(), ["online", "offline", "online", "reset bob", "bob 29", "bob 30"]);
    // The numbers start anew.
    story.lose(None);
    story.pass(2_000);
    story.sent();
    story.greet_with(Story::hello("other", json!([{"with": "bob", "seq": 1}]), false));
    assert_eq!(story.sent.len(), 1);
    story.page(1, vec![private("bob", 1)], false);
    story.whispers("bob", 2);
    assert_eq!(story.events(), ["offline", "online", "reset bob", "bob 1", "bob 2"]);
}

#[test]
fn conversations_that_hello_leaves_out_are_asked_about_if_they_may_have_changed() {
    let start = || {
        let mut story = Story::new();
        story.greet_with(Story::hello("e", json!([{"with": "bob", "seq": 7}]), true));
        // Not in hello: what comes live is all that is new.
        story.whispers("carol", 50);
        assert_eq!(story.events(), ["online", "carol 50"]);
        story.pass(10_000);
        story.lose(None);
        story.pass(1_000);
        story.sent();
        story
    };
    // Bob has not written since the first hello, so nobody before him has.
    let mut story = start();
    story.greet_with(Story::hello("e", json!([{"with": "bob", "seq": 7}]), true));
    assert_eq!(story.sent(), [""; 0]);
    story.whispers("erin", 9);
    assert_eq!(story.events(), ["offline", "online", "erin 9"]);
    // He did: perhaps carol, too. Somebody unknown might have written long ago.
    let mut story = start();
    story.greet_with(Story::hello("e", json!([{"with": "bob", "seq": 8}]), true));
    assert_eq!(story.sent(), ["bob after 7", "carol after 50"]);
    story.whispers("erin", 9);
    assert_eq!(story.events(), ["offline", "online", "reset erin"]);
    assert_eq!(story.sent.len(), 1);
    story.page(1, vec![private("erin", 8), private("erin", 9)], true);
    assert_eq!(story.events(), ["erin 8", "erin 9"]);
}

#[test]
fn a_room_that_cannot_be_joined() {
    let mut story = Story::online();
    story.join("tech");
    let refuse = |story: &mut Story, code: &str| {
        let asked = story.sent.iter().rfind(|frame| frame["type"] == "join").unwrap();
        let reference = asked["ref"].clone();
        story.sent.clear();
        story.frame(json!({"type": "error", "code": code, "message": "no", "ref": reference}));
    };
    // For now:
    refuse(&mut story, "unavailable");
    story.send(tech(), "1");
    story.pass(1_100);
    assert_eq!(story.sent.len(), 1);
    // The server has us there already.
    refuse(&mut story, "already_joined");
    story.pass(3_000);
    assert_eq!(story.sent.len(), 2);
    // For good:
    refuse(&mut story, "forbidden");
    assert_eq!(story.events(), ["online", "not sent 1 forbidden", "not joined tech forbidden"]);
    let refused = story.session.send(story.now_ms, tech(), "2", None);
    assert_eq!(refused, Err(Refused::NotJoined));
}

#[test]
fn leaving_comes_behind_what_was_said() {
    let mut story = Story::in_room("tech");
    story.sent();
    story.send(tech(), "1");
    story.session.leave(story.now_ms, "tech");
    story.take();
    assert_eq!(story.session.send(story.now_ms, tech(), "2", None), Err(Refused::NotJoined));
    assert_eq!(story.sent(), ["1"]);
    story.come_back(json!([]));
    story.joined("tech", 1, true);
    story.says("tech", 1);
    assert_eq!(story.sent(), ["join tech since 0", "1"]);
    story.ack("1", 1);
    assert_eq!(story.sent.len(), 1);
    let reference = story.sent[0]["ref"].clone();
    assert_eq!(story.sent(), ["leave tech"]);
    story.frame(json!({"type": "left", "room": "tech", "ref": reference}));
    assert_eq!(story.events(), ["offline", "online", "joined tech", "tech 1", "stored 1 1", "left tech"]);
    story.come_back(json!([]));
    assert_eq!(story.sent(), [""; 0]);
}

#[test]
fn leaving_and_coming_back_start_anew() {
    let mut story = Story::in_room("tech");
    story.says("tech", 1);
    story.session.leave(story.now_ms, "tech");
    story.take();
    let reference = story.sent.last().unwrap()["ref"].clone();
    story.join("tech");
    story.send(tech(), "1");
    story.frame(json!({"type": "left", "room": "tech", "ref": reference}));
    story.joined("tech", 2, false);
    assert_eq!(story.sent(), ["join tech", "leave tech", "join tech", "1"]);
    assert_eq!(story.events(), ["tech 1", "left tech", "joined tech"]);
}

#[test]
fn history_is_asked_for_by_number() {
    let mut story = Story::in_room("tech");
    story.sent();
    let ask = |story: &mut Story| {
        let request = story.session.history(story.now_ms, tech(), PageFrom::Before(9), Some(2));
        story.take();
        request
    };
    let first = ask(&mut story).unwrap();
    let reference = story.sent[0]["ref"].clone();
    story.frame(json!({"type": "history", "room": "tech", "epoch": "e", "first": 1, "messages": [
        {"type": "message", "room": "tech", "seq": 7, "from": "bob", "text": "7", "timestamp": 1},
        {"type": "poll", "room": "tech", "seq": 8}], "has_more": true, "ref": reference}));
    let Some(Event::History { request, page }) = story.events.pop() else { panic!("a page") };
    assert_eq!((request, page.messages.len(), page.has_more), (first, 1, true));
    // A few at a time, and not without end.
    story.sent();
    for _ in 0..16 {
        ask(&mut story).unwrap();
    }
    assert_eq!(ask(&mut story), Err(Refused::TooManyPages { max: 16 }));
    assert_eq!(story.sent().len(), 3);
    story.lose(None);
    assert_eq!(story.events().iter().filter(|event| *event == "no page offline").count(), 16);
    assert_eq!(ask(&mut story), Err(Refused::Offline));
}

#[test]
fn everything_has_a_cap() {
    let options =
        Options { outbox_max_messages: 2, outbox_max_bytes: 10, rooms_max: 1, ..Options::default() };
    let mut story = Story::with(options, Snapshot::default());
    let now_ms = story.now_ms;
    assert!(story.session.send(now_ms, bob(), "12345678", Some("n".into())).is_ok());
    let full = Err(Refused::OutboxFull { max_messages: 2, max_bytes: 10 });
    assert_eq!(story.session.send(now_ms, bob(), "123", None), full);
    assert_eq!(story.session.send(now_ms, bob(), "1", Some("n".into())), Err(Refused::NonceInUse));
    assert_eq!(story.session.send(now_ms, bob(), "1", Some("\n".into())), Err(Refused::BadNonce));
    assert!(story.session.send(now_ms, bob(), "1", None).is_ok());
    assert_eq!(story.session.send(now_ms, bob(), "", None), full);
    assert_eq!(story.session.join(now_ms, "a"), Ok(()));
    assert_eq!(story.session.join(now_ms, "a"), Ok(()));
    assert_eq!(story.session.join(now_ms, "b"), Err(Refused::TooManyRooms { max: 1 }));
}

#[test]
fn another_run_of_the_program_goes_on() {
    let mut story = Story::in_room("tech");
    story.says("tech", 1);
    story.whispers("bob", 1);
    story.send(tech(), "1");
    story.send(bob(), "2");
    let snapshot = serde_json::to_string(&story.session.snapshot()).unwrap();
    let snapshot: Snapshot = serde_json::from_str(&snapshot).unwrap();
    assert!(snapshot.outbox[0].may_be_stored);
    let mut story = Story::with(Options::default(), snapshot);
    story.greet(json!([{"with": "bob", "seq": 2}]));
    story.joined("tech", 2, true);
    story.says("tech", 2);
    assert_eq!(story.sent.len(), 4);
    assert_eq!(story.sent()[..2], ["join tech since 1", "bob after 1"]);
    assert_eq!(story.events(), ["online", "joined tech", "tech 2"]);
}

#[test]
fn somebody_else_does_not_go_on() {
    let mut story = Story::in_room("tech");
    story.says("tech", 1);
    story.send(tech(), "1");
    let mut story = Story::with(Options::default(), story.session.snapshot());
    let mut hello = Story::hello("e", json!([{"with": "bob", "seq": 2}]), false);
    hello["user"] = json!("mallory");
    story.greet_with(hello);
    assert_eq!(story.sent(), ["join tech"]);
    assert_eq!(story.events(), ["not sent 1 other_user perhaps", "online", "reset tech"]);
}

#[test]
fn an_application_can_note_what_it_has_seen_by_itself() {
    let mut story = Story::new();
    let mut seen = chat_client::Seen::default();
    story.greet(json!([{"with": "bob", "seq": 7}]));
    story.join("tech");
    story.joined("tech", 0, false);
    story.says("tech", 1);
    story.whispers("bob", 8);
    for event in &story.events {
        seen.apply(event);
    }
    assert_eq!(seen, *story.session.seen());
    assert_eq!((seen.seq(&tech()), seen.seq(&bob())), (Some(1), Some(8)));
}
