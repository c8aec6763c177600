//! Users who connect, write, stop to read and disconnect: with v1, and with v2 and a
//! client that sends any request.

use std::collections::BTreeMap;

use chat_core::{Pair, RoomName, SessionId, Topic, Username};
use serde_json::{Value, json};

use crate::oracle::{Check, What};
use crate::rates::EPOCH;
use crate::wire::{Kind, NO_ACCOUNT, text};
use crate::world::{Chunk, Event, Incoming, NodeState, Socket, SocketKind, World};

const USERS: [&str; 6] = ["ann", "ben", "cem", "dan", "eve", "fay"];
const ROOMS: [&str; 4] = ["attic", "kitchen", "garden", "cellar"];
/// Rooms that are closed from their creation on.
pub(crate) const CLOSED_ROOMS: [&str; 2] = ["~den", "~nook"];
/// The most sockets that are open at the same time, without those of the apps.
const SOCKETS_MAX: usize = 12;
/// The most messages of a [`Wild`] client without an answer.
const OUTBOX_MAX: usize = 40;

/// A v2 client that sends any request. It keeps one rule: once all its sends are
/// answered, it sends those that were unavailable again, with all behind them and in
/// order, or gives them up.
#[derive(Default)]
pub(crate) struct Wild {
    is_greeted: bool,
    /// The rooms that it has joined, with the last number it got.
    rooms: BTreeMap<String, u64>,
    /// Sends without an answer: nonce and frame.
    outbox: Vec<(String, String)>,
    /// The number of frames without an answer: a nonce may have several.
    waiting: usize,
    /// A send was unavailable.
    repeats: bool,
    asked: u64,
}

/// All users.
pub(crate) fn users() -> impl Iterator<Item = Username> {
    USERS.into_iter().map(|user| Username::parse(user).expect("a good name"))
}

impl World {
    pub(crate) fn act(&mut self) -> Check {
        if self.calm {
            return Ok(());
        }
        let pause_ms = self.random.between(0, self.rates.pause_ms);
        self.after(pause_ms, Event::Act);
        if self.random.chance(self.rates.calls) {
            self.call();
            return Ok(());
        }
        if self.random.chance(self.rates.uploads) {
            self.upload();
            return Ok(());
        }
        if self.random.chance(self.rates.downloads) {
            return self.look_at_a_file();
        }
        if !self.apps.is_empty() && self.random.chance(1000 - self.plan.v1.max(self.plan.wild)) {
            let app = self.random.index(self.apps.len());
            self.act_app(app);
            return self.perform_app_outputs(app);
        }
        self.act_without_app();
        Ok(())
    }

    fn act_without_app(&mut self) {
        let own = |socket: &Socket| !matches!(socket.kind, SocketKind::App(_));
        let open: Vec<usize> = (0..self.sockets.len())
            .filter(|&s| {
                let socket = &self.sockets[s];
                own(socket) && socket.open && !socket.closed_by_hub && !socket.cut && !socket.sent_goodbye
            })
            .collect();
        if open.is_empty() || (open.len() < SOCKETS_MAX && self.random.chance(self.rates.come)) {
            return self.come();
        }
        let socket = open[self.random.index(open.len())];
        if self.random.chance(self.rates.go) {
            if self.random.chance(500) {
                self.send_up(socket, Incoming::Goodbye);
            } else {
                self.after(0, Event::Lost { socket });
            }
        } else if self.random.chance(self.rates.reset) {
            self.reset(socket);
        } else if self.random.chance(self.rates.stall) {
            self.stall(socket);
        } else if self.random.chance(self.rates.revoke) {
            let session = self.sockets[socket].session.clone();
            self.sign_out(self.hubs[self.sockets[socket].hub].node, &session);
        } else if self.random.chance(40) {
            self.renew(socket);
        } else if self.random.chance(60) {
            for _ in 0..self.random.between(5, 40) {
                self.do_something(socket);
            }
        } else {
            self.do_something(socket);
        }
    }

    pub(crate) fn stall(&mut self, socket: usize) {
        if !std::mem::replace(&mut self.sockets[socket].stalled, true) {
            let stall_ms = self.random.between(10, 4_000);
            self.after(stall_ms, Event::Reads { socket });
        }
    }

    /// Breaks a connection. Each side notices, soon or late.
    pub(crate) fn reset(&mut self, socket: usize) {
        if std::mem::replace(&mut self.sockets[socket].cut, true) {
            return;
        }
        self.oracle.count("reset");
        let late = [self.random.chance(250), self.random.chance(250)];
        let server_ms = self.random.between(1, if late[0] { 10_000 } else { 40 });
        self.after(server_ms, Event::Lost { socket });
        if !late[1] {
            let client_ms = self.random.between(1, 40);
            self.after(client_ms, Event::Ended { socket, code: None });
        }
    }

    fn come(&mut self) {
        let up = |node: &usize| self.nodes[*node].state == NodeState::Up;
        let nodes: Vec<usize> = (0..self.nodes.len()).filter(up).collect();
        if nodes.is_empty() {
            return;
        }
        let node = nodes[self.random.index(nodes.len())];
        let user = Username::parse(USERS[self.random.index(USERS.len())]).expect("a good name");
        let device = self.random.between(1, 2);
        let mut session = SessionId::new(&format!("{user} {device}"));
        if self.revoked.contains(&session) {
            session = SessionId::new(&format!("{user} {device} {}", self.random.next_u64()));
        }
        let (v1, wild) = (self.plan.v1, self.plan.wild);
        let speaks_v1 = v1 + wild == 0 || self.random.between(1, v1 + wild) <= v1;
        let name = match self.random.chance(200) {
            true => CLOSED_ROOMS[self.random.index(CLOSED_ROOMS.len())],
            false => ROOMS[self.random.index(ROOMS.len())],
        };
        let room = speaks_v1.then(|| RoomName::parse(name).expect("a good name"));
        if let Some(room) = &room
            && !self.log.access(&user, room).may_read(room)
            // The room may be closed after the upgrade was answered.
            && self.random.chance(800)
        {
            self.oracle.count("v1 forbidden");
            return;
        }
        let kind = if speaks_v1 { SocketKind::V1 } else { SocketKind::Wild(Box::default()) };
        self.open(node, &user, session, room, kind);
    }

    fn do_something(&mut self, socket: usize) {
        if self.sockets[socket].held.len() >= 40 {
            return;
        }
        let frame = match &self.sockets[socket].kind {
            SocketKind::V1 => self.write_v1(socket),
            SocketKind::Wild(_) => self.ask_anything(socket),
            SocketKind::App(_) => return,
        };
        if let Some(frame) = frame {
            self.send_up(socket, Incoming::Frame(frame));
        }
    }

    /// Sends a frame of a client: a connection keeps the order.
    pub(crate) fn send_up(&mut self, socket: usize, what: Incoming) {
        let link_ms = self.random.between(self.rates.link_ms, 40.max(self.rates.link_ms));
        let from = &mut self.sockets[socket];
        from.up_ms = from.up_ms.max(self.now_ms + link_ms);
        let at_ms = from.up_ms;
        self.at(at_ms, Event::Up { socket, what });
    }

    pub(crate) fn padding(&mut self) -> usize {
        let long = self.random.chance(100);
        self.random.size(0, if long { 250 } else { 10 })
    }

    /// Adds the names of some users to a text, and returns them.
    pub(crate) fn some_mentions(&mut self, text: &mut String) -> Vec<&'static str> {
        let count = if self.random.chance(200) { self.random.between(1, 3) } else { 0 };
        let mut names = Vec::new();
        for _ in 0..count {
            let name = self.some_user();
            text.push_str(&format!(" @{name}"));
            names.push(name);
        }
        names
    }

    pub(crate) fn some_user(&mut self) -> &'static str {
        let other = self.random.index(USERS.len() + 1);
        USERS.get(other).copied().unwrap_or(NO_ACCOUNT)
    }

    pub(crate) fn some_room(&mut self) -> &'static str {
        if self.random.chance(250) {
            return CLOSED_ROOMS[self.random.index(CLOSED_ROOMS.len())];
        }
        ROOMS[self.random.index(ROOMS.len())]
    }

    fn write_v1(&mut self, socket: usize) -> Option<String> {
        let user = self.sockets[socket].user.clone();
        let room = self.sockets[socket].room.clone()?;
        let kind = self.random.between(0, 99);
        if kind < 2 {
            let rubbish = ["", "hi", "{}", r#"{"text":7}"#, r#"{"type":"private","text":"to whom?"}"#];
            return Some(rubbish[self.random.index(rubbish.len())].to_owned());
        }
        if kind == 2 && self.random.chance(100) {
            return Some(json!({ "text": "x".repeat(self.plan.options.text_max_chars + 1) }).to_string());
        }
        let padding = self.padding();
        let frame = if kind < 30 {
            let to = self.some_user();
            let pair = Pair::new(user.clone(), Username::parse(to).expect("a good name"));
            let what = What::Message { reply_to: None };
            let text = text(self.oracle.add_act(&user, socket, Topic::Pair(pair), what), padding);
            json!({ "type": "private", "text": text, "to": to, "from": "root" })
        } else {
            let what = What::Message { reply_to: None };
            let text = text(self.oracle.add_act(&user, socket, Topic::Room(room), what), padding);
            json!({ "type": "message", "text": text })
        };
        Some(frame.to_string())
    }

    fn wild(&mut self, socket: usize) -> &mut Wild {
        match &mut self.sockets[socket].kind {
            SocketKind::Wild(wild) => wild,
            _ => unreachable!("asked for such a client only"),
        }
    }

    fn ask_anything(&mut self, socket: usize) -> Option<String> {
        let kind = self.random.between(0, 99);
        let room = self.some_room();
        let wild = self.wild(socket);
        wild.asked += 1;
        let reference = format!("r{}", wild.asked);
        let frame = match kind {
            0..=4 if self.random.chance(300) => self.ask_to_mark(socket, room, &reference),
            0..=14 => {
                let wild = self.wild(socket);
                let position = wild.rooms.get(room).copied().unwrap_or(3);
                let mut frame = json!({ "type": "join", "room": room, "ref": reference });
                if self.random.chance(600) {
                    let since = match self.random.between(0, 9) {
                        0 => self.random.between(0, 500),
                        back => position.saturating_sub(back * 4),
                    };
                    frame["since"] = since.into();
                    frame["epoch"] = if self.random.chance(50) { "second" } else { EPOCH }.into();
                } else if self.random.chance(400) {
                    frame["fold"] = self.random.chance(500).into();
                    frame["limit"] = self.random.between(0, 30).into();
                }
                frame
            }
            15..=19 => json!({ "type": "leave", "room": room, "ref": reference }),
            20..=29 => self.ask_for_history(room, &reference),
            30..=32 => self.ask_wrongly(&reference),
            33..=37 => {
                let active = self.random.chance(700);
                let mut frame = json!({ "type": "typing", "active": active });
                if self.random.chance(700) {
                    frame["room"] = room.into();
                } else {
                    frame["to"] = self.some_user().into();
                }
                frame
            }
            38..=50 => {
                let to = self.some_user();
                return self.write_v2(socket, to, true);
            }
            51..=57 => self.ask_to_mark(socket, room, &reference),
            _ => {
                let wild = self.wild(socket);
                let known: Vec<String> = wild.rooms.keys().cloned().collect();
                let room = if known.is_empty() || self.random.chance(50) {
                    room.to_owned()
                } else {
                    known[self.random.index(known.len())].clone()
                };
                return self.write_v2(socket, &room, false);
            }
        };
        Some(frame.to_string())
    }

    fn ask_for_history(&mut self, room: &str, reference: &str) -> Value {
        let mut frame = json!({ "type": "history", "ref": reference });
        if self.random.chance(700) {
            frame["room"] = room.into();
        } else {
            frame["with"] = self.some_user().into();
        }
        let seq = self.random.between(0, 80);
        match self.random.between(0, 5) {
            0 => frame["before"] = seq.into(),
            1 => frame["after"] = seq.into(),
            2 => frame["limit"] = self.random.between(1, 60).into(),
            3 => {
                frame["around"] = seq.into();
                frame["limit"] = self.random.between(1, 60).into();
            }
            4 => {
                let seqs: Vec<u64> = (0..self.random.between(1, 9)).map(|n| seq / 2 + n * n).collect();
                frame["seqs"] = seqs.into();
            }
            _ => {}
        }
        if self.random.chance(300) {
            frame["fold"] = true.into();
        }
        frame
    }

    fn ask_to_mark(&mut self, socket: usize, room: &str, reference: &str) -> Value {
        let user = self.sockets[socket].user.clone();
        let with = self.some_user();
        let is_room = self.random.chance(700);
        let topic = match is_room {
            true => Topic::Room(RoomName::parse(room).expect("a good name")),
            false => Topic::Pair(Pair::new(user, Username::known(with).expect("a good name"))),
        };
        let mut frame = match self.random.chance(800) {
            true => {
                let upto = self.some_position(&topic);
                json!({ "type": "read", "upto": upto, "ref": reference })
            }
            false => {
                let level = ["all", "mentions", "none"][self.random.index(3)];
                json!({ "type": "level", "level": level, "ref": reference })
            }
        };
        if is_room {
            frame["room"] = room.into();
        } else {
            frame["with"] = with.into();
        }
        frame
    }

    /// A number up to which a user may have read a topic; seldom one beyond its end.
    pub(crate) fn some_position(&mut self, topic: &Topic) -> u64 {
        let last = self.oracle.last(topic);
        if self.random.chance(30) { last + self.random.between(1, 40) } else { self.random.between(0, last) }
    }

    fn ask_wrongly(&mut self, reference: &str) -> Value {
        match self.random.between(0, 6) {
            0 => json!({}),
            1 => json!({ "type": "dance", "ref": reference }),
            2 => json!({ "type": "join", "room": "", "ref": reference }),
            3 => json!({ "type": "message", "room": "attic", "text": " ", "nonce": reference }),
            4 => json!({ "type": "history", "room": "attic", "with": "ann", "ref": reference }),
            5 => json!({ "type": "join", "room": "attic", "since": 3, "ref": reference }),
            _ => json!({ "type": "react", "room": "attic", "target": 1, "emoji": "ab", "nonce": reference }),
        }
    }

    fn write_v2(&mut self, socket: usize, to: &str, is_private: bool) -> Option<String> {
        let user = self.sockets[socket].user.clone();
        // A user may send more before they have sent again what failed: the hub must
        // refuse that.
        let goes_on = self.random.chance(200);
        let wild = self.wild(socket);
        if wild.outbox.len() >= OUTBOX_MAX || (wild.repeats && !goes_on) {
            return None;
        }
        let topic = if is_private {
            Topic::Pair(Pair::new(user.clone(), Username::parse(to).expect("a good name")))
        } else {
            Topic::Room(RoomName::parse(to).expect("a good name"))
        };
        let (nonce, frame) = match self.some_repeated(&user) {
            Some(repeated) => repeated,
            None => {
                let (number, sent) = self.some_act(&user, socket, &topic);
                let nonce = format!("n{number}");
                self.oracle.name_act(number, &nonce);
                let mut frame = sent.frame(&topic, &user);
                frame["nonce"] = nonce.as_str().into();
                (nonce, frame.to_string())
            }
        };
        if self.random.chance(self.rates.again) {
            self.again.push((user, nonce.clone(), frame.clone()));
        }
        let wild = self.wild(socket);
        wild.outbox.push((nonce, frame.clone()));
        wild.waiting += 1;
        // Sometimes twice at once: it must be stored once.
        if self.random.chance(30) {
            self.wild(socket).waiting += 1;
            self.send_up(socket, Incoming::Frame(frame.clone()));
        }
        Some(frame)
    }

    /// A send of a user that is repeated, much later or on another connection.
    fn some_repeated(&mut self, user: &Username) -> Option<(String, String)> {
        if !self.random.chance(self.rates.again * 2) {
            return None;
        }
        let position = self.again.iter().position(|(by, ..)| by == user)?;
        let (_, nonce, frame) = self.again.remove(position);
        self.oracle.sent_again(&nonce, user);
        self.oracle.count("sent again");
        Some((nonce, frame))
    }

    /// Sends everything that has no answer again.
    pub(crate) fn repeat(&mut self, socket: usize) {
        if self.sockets[socket].cut || self.sockets[socket].sent_goodbye {
            return;
        }
        let gives_up = self.random.chance(100);
        let wild = self.wild(socket);
        if wild.waiting > 0 || !std::mem::take(&mut wild.repeats) {
            return;
        }
        if gives_up {
            wild.outbox.clear();
        }
        wild.waiting += wild.outbox.len();
        for (_, frame) in wild.outbox.clone() {
            self.send_up(socket, Incoming::Frame(frame));
        }
    }

    /// Handles frames that arrive at a client.
    pub(crate) fn down(&mut self, socket: usize, chunk: &Chunk) -> Check {
        if let SocketKind::App(app) = self.sockets[socket].kind {
            return self.down_at_app(app, socket, chunk);
        }
        if self.sockets[socket].cut {
            return Ok(());
        }
        for frame in &chunk.frames {
            let SocketKind::Wild(wild) = &mut self.sockets[socket].kind else { return Ok(()) };
            let room = frame.room.clone().unwrap_or_default();
            match frame.kind {
                Kind::Hello => wild.is_greeted = true,
                Kind::Joined => drop(wild.rooms.insert(room, frame.seq.unwrap_or(0))),
                Kind::Left => drop(wild.rooms.remove(&room)),
                Kind::Message | Kind::Edit | Kind::Delete | Kind::React | Kind::Unreact
                    if frame.room.is_some() =>
                {
                    wild.rooms.insert(room, frame.seq.unwrap_or(0));
                }
                Kind::Ack | Kind::Error
                    if frame.nonce.as_ref().is_some_and(|nonce| nonce.starts_with('n')) =>
                {
                    if frame.code.as_deref() == Some("unavailable") {
                        wild.repeats = true;
                    } else {
                        wild.outbox.retain(|(nonce, _)| Some(nonce) != frame.nonce.as_ref());
                    }
                    wild.waiting = wild.waiting.saturating_sub(1);
                    if wild.repeats && wild.waiting == 0 {
                        let pause_ms = self.random.between(20, 400);
                        self.after(pause_ms, Event::Repeat { socket });
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Handles the end of a connection at its client.
    pub(crate) fn ended(&mut self, socket: usize, code: Option<u16>) -> Check {
        self.sockets[socket].cut = true;
        if let SocketKind::App(app) = self.sockets[socket].kind {
            return self.ended_at_app(app, socket, code);
        }
        Ok(())
    }

    pub(crate) fn sign_out(&mut self, node: usize, session: &SessionId) {
        self.oracle.count("signed out");
        self.revoked.insert(session.clone());
        self.end_session(node, session);
    }

    fn renew(&mut self, socket: usize) {
        let session = self.sockets[socket].session.clone();
        let node = self.hubs[self.sockets[socket].hub].node;
        let good_for_ms = self.random.between(1_000, 10_000);
        let good_until_ms = self.wall_ms(node) + good_for_ms;
        for hub in self.hubs_of(node) {
            self.push(hub, crate::world::Item::Renew(session.clone(), good_until_ms));
        }
    }
}
