//! A session whose server is played by the test.

use chat_client::{ChangeKind, Event, Options, Output, Presence, Session, Snapshot, Topic};
use serde_json::{Value, json};

/// A session, the time, and the outputs of the session.
pub(crate) struct Harness {
    pub(crate) session: Session,
    pub(crate) now_ms: u64,
    /// The frames that it sent.
    pub(crate) sent: Vec<Value>,
    pub(crate) events: Vec<Event>,
    pub(crate) connects: usize,
    pub(crate) hangups: usize,
}

impl Harness {
    pub(crate) fn new() -> Self {
        Self::with(Options::default(), Snapshot::default())
    }

    pub(crate) fn with(options: Options, snapshot: Snapshot) -> Self {
        let session = Session::restore(options, 7, snapshot);
        let mut client = Self {
            session,
            now_ms: 1_000_000,
            sent: Vec::new(),
            events: Vec::new(),
            connects: 0,
            hangups: 0,
        };
        client.session.tick(client.now_ms);
        client.collect();
        client
    }

    /// A session that is online.
    pub(crate) fn online() -> Self {
        let mut client = Self::new();
        client.hello(json!([]));
        client
    }

    /// A session that is online and has joined an empty room.
    pub(crate) fn in_room(room: &str) -> Self {
        let mut client = Self::online();
        client.join(room);
        client.joined(room, 0, false);
        client.events.clear();
        client
    }

    pub(crate) fn collect(&mut self) {
        while let Some(output) = self.session.next_output() {
            match output {
                Output::Connect => self.connects += 1,
                Output::Transmit(frame) => self.sent.push(serde_json::from_str(&frame).unwrap()),
                Output::Hangup => self.hangups += 1,
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    /// Lets time pass, with a tick whenever one is due.
    pub(crate) fn advance(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        while self.session.next_tick_ms() <= until_ms {
            let due_ms = self.session.next_tick_ms().max(self.now_ms);
            assert!(due_ms > self.now_ms || self.session.next_tick_ms() <= self.now_ms);
            self.now_ms = due_ms;
            let before = self.session.next_tick_ms();
            self.session.tick(self.now_ms);
            self.collect();
            assert_ne!(self.session.next_tick_ms(), before, "a tick that changes nothing is due for ever");
        }
        self.now_ms = until_ms;
    }

    pub(crate) fn frame(&mut self, frame: Value) {
        self.session.frame(self.now_ms, &frame.to_string());
        self.collect();
    }

    pub(crate) fn hello_frame(epoch: &str, privates: Value, has_more: bool) -> Value {
        json!({"type": "hello", "protocol": 2, "user": "alice", "epoch": epoch, "heartbeat_seconds": 45,
            "limits": {"unanswered_max": 4, "message_max_bytes": 1000}, "privates": privates,
            "has_more": has_more})
    }

    pub(crate) fn hello(&mut self, privates: Value) {
        self.receive_hello(Self::hello_frame("e", privates, false));
    }

    /// Loses the connection, and is online on a server with all features, which lists
    /// these rooms and conversations.
    pub(crate) fn all_features(&mut self, rooms: Value, privates: Value) {
        let mut hello = Self::hello_frame("e", privates, false);
        hello["features"] = json!([
            "mentions",
            "read",
            "rooms",
            "typing",
            "edit",
            "delete",
            "react",
            "reply",
            "something new"
        ]);
        hello["rooms"] = rooms;
        self.lose_and_hello(hello);
        self.events.clear();
    }

    /// Loses the connection, and gets this `hello` on the next one.
    pub(crate) fn lose_and_hello(&mut self, hello: Value) {
        self.lose(None);
        let connects = self.connects;
        while self.connects == connects {
            self.advance(100);
        }
        self.sent.clear();
        self.receive_hello(hello);
    }

    pub(crate) fn receive_hello(&mut self, hello: Value) {
        self.session.opened(self.now_ms);
        self.frame(hello);
    }

    pub(crate) fn lose(&mut self, code: Option<u16>) {
        self.session.closed(self.now_ms, code);
        self.collect();
    }

    /// Loses the connection and is online again.
    pub(crate) fn reconnect_at_ms(&mut self, privates: Value) {
        self.lose_and_hello(Self::hello_frame("e", privates, false));
    }

    pub(crate) fn join(&mut self, room: &str) {
        self.session.join(self.now_ms, room).unwrap();
        self.collect();
    }

    /// Answers the last `join` of a room.
    pub(crate) fn joined(&mut self, room: &str, seq: u64, recovered: bool) {
        let join = self.sent.iter().rev().find(|frame| frame["type"] == "join" && frame["room"] == room);
        let reference = join.expect("a join")["ref"].clone();
        self.frame(json!({"type": "joined", "room": room, "epoch": "e", "seq": seq, "recovered": recovered,
            "online": 1, "members": ["alice"], "ref": reference}));
    }

    pub(crate) fn room_message(&mut self, room: &str, seq: u64) {
        self.frame(json!({"type": "message", "room": room, "seq": seq, "from": "bob",
            "text": seq.to_string(), "timestamp": 1}));
    }

    pub(crate) fn private_message(&mut self, from: &str, seq: u64) {
        self.frame(private(from, seq));
    }

    pub(crate) fn send(&mut self, to: Topic, nonce: &str) {
        self.session.send(self.now_ms, to, nonce, Some(nonce.to_owned())).unwrap();
        self.collect();
    }

    pub(crate) fn ack(&mut self, nonce: &str, seq: u64) {
        self.frame(json!({"type": "ack", "nonce": nonce, "room": "tech", "seq": seq, "timestamp": 1,
            "duplicate": false}));
    }

    pub(crate) fn unavailable(&mut self, nonce: &str) {
        self.frame(json!({"type": "error", "code": "unavailable", "message": "no", "nonce": nonce,
            "retry_after": 1}));
    }

    /// The frames sent since the last call, in short.
    pub(crate) fn sent(&mut self) -> Vec<String> {
        let sent = std::mem::take(&mut self.sent);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let short = |frame: &Value| match frame["type"].as_str().unwrap() {
            "message" | "private" | "edit" | "delete" | "react" | "unreact" => text(&frame["nonce"]),
            "join" if frame["since"].is_null() => format!("join {}", text(&frame["room"])),
            "join" => format!("join {} since {}", text(&frame["room"]), frame["since"]),
            "history" if frame["after"].is_null() => format!("latest of {}", text(&frame["with"])),
            "history" => format!("{} after {}", text(&frame["with"]), frame["after"]),
            kind => format!("{kind} {}", text(&frame["room"])),
        };
        sent.iter().map(short).collect()
    }

    /// The events since the last call, in short.
    /// [`Event::Queued`] is left out: it follows each call that sends.
    pub(crate) fn events(&mut self) -> Vec<String> {
        let mut events = std::mem::take(&mut self.events);
        events.retain(|event| !matches!(event, Event::Queued { .. }));
        events.iter().map(short).collect()
    }

    /// Answers the last `history` request with this page.
    pub(crate) fn page(&mut self, first: u64, messages: Vec<Value>, has_more: bool) {
        let request = self.sent.iter().rev().find(|frame| frame["type"] == "history").expect("a request");
        let (with, reference) = (request["with"].clone(), request["ref"].clone());
        self.sent.clear();
        self.frame(json!({"type": "history", "with": with, "epoch": "e", "first": first,
            "messages": messages, "has_more": has_more, "ref": reference}));
    }
}

pub(crate) fn private(from: &str, seq: u64) -> Value {
    json!({"type": "private", "from": from, "to": "alice", "seq": seq, "text": seq.to_string(),
        "timestamp": 1, "nonce": "x"})
}

fn short(event: &Event) -> String {
    let name = |topic: &Topic| match topic {
        Topic::Room(name) | Topic::Private(name) => name.clone(),
    };
    match event {
        Event::Online { .. } => "online".to_owned(),
        Event::Offline { .. } => "offline".to_owned(),
        Event::SignedOut { code } => format!("signed out {code}"),
        Event::Joined { room, .. } => format!("joined {room}"),
        Event::NotJoined { room, code, .. } => format!("not joined {room} {code}"),
        Event::Left { room, reason: None } => format!("left {room}"),
        Event::Left { room, reason: Some(reason) } => format!("left {room} {reason}"),
        Event::Replayed { room, upto } => format!("replayed {room} {upto}"),
        Event::Room { room, .. } => format!("member of {room}"),
        Event::RoomGone { room } => format!("no member of {room}"),
        Event::Activity { room, new, .. } => format!("{new} in {room}"),
        Event::Read { topic, upto, .. } => format!("read {} {upto}", name(topic)),
        Event::Level { topic, level } => format!("{level:?} of {}", name(topic)),
        Event::Reset { topic } => format!("reset {}", name(topic)),
        Event::Message { topic, entry } => format!("{} {}", name(topic), entry.seq),
        Event::Change { topic, change } => {
            let kind = match &change.kind {
                ChangeKind::Edit { text: Some(text), .. } => format!("edit {text}"),
                ChangeKind::Edit { text: None, .. } => "edit".to_owned(),
                ChangeKind::React { emoji } => emoji.clone(),
                ChangeKind::Unreact { emoji } => format!("no {emoji}"),
                _ => "delete".to_owned(),
            };
            format!("{} {}: {kind} of {}", name(topic), change.seq, change.target)
        }
        Event::UnknownEntry { topic, seq } => format!("{} {seq}: unknown", name(topic)),
        Event::Stored { nonce, seq, .. } => format!("stored {nonce} {seq}"),
        Event::NotSent { nonce, code, may_be_stored, .. } => {
            format!("not sent {nonce} {code}{}", if *may_be_stored { " perhaps" } else { "" })
        }
        Event::Typing { topic, user, active } => {
            let does = if *active { "types" } else { "stops" };
            format!("{user} {does} in {}", name(topic))
        }
        Event::Presence { change: Presence::Came(user), .. } => format!("+{user}"),
        Event::Presence { change: Presence::Gone(user), .. } => format!("-{user}"),
        Event::Presence { change: Presence::Count(count), .. } => format!("{count} people"),
        Event::History { page, .. } => format!("page of {}", page.messages.len()),
        Event::NoHistory { code, .. } => format!("no page {code}"),
        other => format!("{other:?}"),
    }
}

pub(crate) fn tech() -> Topic {
    Topic::room("tech")
}

pub(crate) fn bob() -> Topic {
    Topic::private("bob")
}
