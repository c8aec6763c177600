//! A client of protocol v2: the real session, a socket, and a user whose actions
//! are random. Everything is recorded.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chat_client::{Event as ClientEvent, NewMessage, Output, Rng, Session, Timeline, Topic as ClientTopic};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use super::changes::Changeable;
use super::notebook::Notebook;
use super::socket::{Link, LinkEvent};
use super::{Habits, Pace, Phase, Shared};
use crate::ledger::{Frame, Send, Wanted, between, in_room};

/// The user of a device, and the rooms and users it sends to.
pub(super) struct Identity {
    pub(super) client: usize,
    pub(super) user: Arc<str>,
    pub(super) cookie: String,
    pub(super) rooms: Vec<String>,
    pub(super) friends: Vec<String>,
    pub(super) is_slow: bool,
}

impl Identity {
    fn timelines(&self) -> Vec<Timeline> {
        let rooms = self.rooms.iter().cloned().map(ClientTopic::Room);
        let topics = rooms.chain(self.friends.iter().map(ClientTopic::private));
        topics.map(|topic| Timeline::new(&*self.user, topic)).collect()
    }
}

pub(super) struct Device {
    identity: Identity,
    habits: Habits,
    shared: Arc<Shared>,
    rng: Rng,
    session: Session,
    /// The messages that the user may change.
    pub(super) changeable: Changeable,
    /// The rooms that the user wants to be in now.
    wanted: BTreeSet<String>,
    notebook: Notebook,
    /// What the application shows of each room and conversation.
    timelines: Vec<Timeline>,
    link: Link,
    is_online: bool,
    /// How many messages were sent.
    sent: usize,
    next_action: Instant,
    /// A slow reader does not read before this time.
    reads_from: Instant,
    has_sent_final_messages: bool,
    is_answered: bool,
    is_caught_up: bool,
}

impl Device {
    pub(super) fn new(identity: Identity, habits: &Habits, shared: Arc<Shared>) -> Self {
        let mut rng = Rng::for_part(habits.seed, 1 + identity.client as u64);
        let now = Instant::now();
        Self {
            session: Session::new(habits.options.clone(), rng.next_u64()),
            wanted: identity.rooms.iter().cloned().collect(),
            next_action: now + rng.milliseconds(0..1000),
            reads_from: now,
            habits: habits.clone(),
            notebook: Notebook::new(Arc::clone(&identity.user)),
            changeable: Changeable::default(),
            timelines: identity.timelines(),
            identity,
            shared,
            rng,
            link: Link::None,
            is_online: false,
            sent: 0,
            has_sent_final_messages: false,
            is_answered: false,
            is_caught_up: false,
        }
    }

    /// Runs until [`Phase::Stop`].
    pub(super) async fn run(mut self, mut phases: watch::Receiver<Phase>) -> Notebook {
        for room in self.wanted.clone() {
            // There are fewer rooms than a session may join.
            let _ = self.session.join(self.shared.now_ms(), &room);
        }
        loop {
            self.perform_outputs();
            let phase = *phases.borrow_and_update();
            match phase {
                Phase::Talk | Phase::V1Ends => self.talk(),
                Phase::FinalMessages => self.finish(),
                Phase::Stop => break,
            }
            self.perform_outputs();
            let wakes_at = self.wakes_at(phase);
            let reads_from = self.reads_from;
            let is_paused = reads_from > Instant::now() && matches!(self.link, Link::Open(_));
            tokio::select! {
                event = self.link.next(), if !is_paused => self.link_event(event),
                () = tokio::time::sleep_until(reads_from.into()), if is_paused => {}
                () = tokio::time::sleep_until(wakes_at.into()) => self.session.tick(self.shared.now_ms()),
                changed = phases.changed() => if changed.is_err() { break },
            }
        }
        self.went_offline();
        if !self.is_caught_up {
            // The state is needed to find the reason.
            eprintln!("client {} has not caught up: {:?}", self.identity.client, self.session);
        }
        for timeline in &self.timelines {
            self.notebook.shows(timeline);
        }
        self.notebook.app.stayed_in = self.identity.rooms.iter().map(|room| in_room(room)).collect();
        self.notebook
    }

    fn wakes_at(&self, phase: Phase) -> Instant {
        let now = Instant::now();
        let tick_ms = self.session.next_tick_ms().saturating_sub(self.shared.now_ms()).min(10_000);
        let tick = now + Duration::from_millis(tick_ms);
        match (phase, self.habits.pace) {
            (Phase::Talk | Phase::V1Ends, Pace::Rate(_)) => tick.min(self.next_action.max(now)),
            (Phase::FinalMessages, _) if !self.is_caught_up => tick.min(now + Duration::from_millis(30)),
            _ => tick,
        }
    }

    fn talk(&mut self) {
        let now = Instant::now();
        match self.habits.pace {
            Pace::Rate(rate) => {
                if self.next_action <= now && rate > 0.0 {
                    let mean_ms = (1000.0 * self.shared.clients as f64 / rate).max(1.0) as u64;
                    self.next_action = now + self.rng.milliseconds(0..2 * mean_ms);
                    self.act();
                } else if rate <= 0.0 {
                    self.next_action = now + Duration::from_secs(3600);
                }
            }
            Pace::Unsent(max) => {
                while self.session.unsent() < max {
                    self.act();
                }
            }
        }
    }

    /// Sends a message, and perhaps leaves or joins a room or crashes before.
    fn act(&mut self) {
        if self.rng.random_bool(self.habits.reading) {
            self.read();
        }
        if self.rng.random_bool(self.habits.leaving) {
            let room = self.identity.rooms[self.rng.index(self.identity.rooms.len())].clone();
            if self.wanted.remove(&room) {
                self.session.leave(self.shared.now_ms(), &room);
            } else {
                self.join(room);
            }
        }
        if self.rng.random_bool(self.habits.crashing) {
            self.crash();
        }
        let is_private = !self.identity.friends.is_empty() && self.rng.random_bool(self.habits.private);
        if is_private {
            let friend = self.identity.friends[self.rng.index(self.identity.friends.len())].clone();
            self.write(ClientTopic::Private(friend));
        } else if let Some(room) = self.wanted.iter().nth(self.rng.index(self.wanted.len())).cloned() {
            self.write(ClientTopic::Room(room));
        } else {
            let room = self.identity.rooms[0].clone();
            self.join(room);
        }
    }

    /// The user reads what there is of a topic.
    fn read(&mut self) {
        if !self.session.features().read {
            return;
        }
        let Identity { rooms, friends, .. } = &self.identity;
        let rooms = rooms.iter().cloned().map(ClientTopic::Room);
        let topics: Vec<ClientTopic> = rooms.chain(friends.iter().map(ClientTopic::private)).collect();
        let topic = &topics[self.rng.index(topics.len())];
        let may_read = match topic {
            ClientTopic::Room(room) => self.session.account().room(room).is_some(),
            ClientTopic::Private(_) => true,
        };
        if let Some(upto) = self.session.seen().seq(topic).filter(|_| may_read) {
            self.session.read(self.shared.now_ms(), topic, upto);
            self.notebook.has_read(topic, upto);
        }
    }

    /// The user may not read the closed room any more.
    fn lose_room(&mut self, room: &str) {
        self.identity.rooms.retain(|known| known != room);
        self.wanted.remove(room);
    }

    fn join(&mut self, room: String) {
        // There are fewer rooms than a session may join.
        let _ = self.session.join(self.shared.now_ms(), &room);
        self.wanted.insert(room);
    }

    /// The program ends and starts again from its snapshot.
    fn crash(&mut self) {
        self.perform_outputs();
        let snapshot = self.session.snapshot();
        self.link = Link::None;
        self.went_offline();
        self.session = Session::restore(self.habits.options.clone(), self.rng.next_u64(), snapshot);
        for room in self.identity.rooms.clone() {
            if self.wanted.contains(&room) {
                self.join(room);
            } else {
                self.session.leave(self.shared.now_ms(), &room);
            }
        }
    }

    /// Sends a message, or changes one.
    fn write(&mut self, to: ClientTopic) {
        let changes = self.rng.random_bool(self.habits.changing);
        if !changes || !self.change(&to) {
            self.send(to);
        }
    }

    fn send(&mut self, to: ClientTopic) {
        let text = self.text("says");
        let mut message = NewMessage::new(to.clone(), text.clone());
        if self.rng.random_bool(0.1) {
            message.reply_to = self.changeable.any(&mut self.rng, &to).map(|known| known.seq);
        }
        let reply_to = message.reply_to;
        // A full outbox refuses; the next message is sent later.
        if let Ok(nonce) = self.session.send_message(self.shared.now_ms(), message) {
            self.changeable.sends(&to, &nonce);
            self.note(&to, text, reply_to.map_or(Wanted::Message, Wanted::Answer), nonce);
        }
    }

    /// Changes a message of a topic. Returns whether there is one.
    fn change(&mut self, to: &ClientTopic) -> bool {
        let text = self.text("edits");
        let Some((change, wanted)) = self.changeable.some_change(&mut self.rng, to, &text) else {
            return false;
        };
        let text = if matches!(wanted, Wanted::Edit(_)) { text } else { String::new() };
        if let Ok(nonce) = self.session.change(self.shared.now_ms(), change) {
            self.note(to, text, wanted, nonce);
        }
        true
    }

    /// A text that no other send has.
    fn text(&self, does: &str) -> String {
        let Identity { user, client, .. } = &self.identity;
        format!("{user}.{client} {does} {}.{}", self.sent, "x".repeat(self.habits.padding))
    }

    /// Takes note of a send.
    fn note(&mut self, to: &ClientTopic, text: String, what: Wanted, nonce: String) {
        self.sent += 1;
        let topic = match to {
            ClientTopic::Room(room) => in_room(room),
            ClientTopic::Private(with) => between(&self.identity.user, with),
        };
        let (client, user) = (self.identity.client, Arc::clone(&self.identity.user));
        self.notebook.sends.push(Send { client, user, topic, text, what, nonce: Some(nonce) });
    }

    /// Joins all rooms, sends a final message to each topic, and waits until every
    /// send of the crowd is answered and every message is seen.
    fn finish(&mut self) {
        if !self.has_sent_final_messages {
            self.has_sent_final_messages = true;
            for room in self.identity.rooms.clone() {
                self.join(room.clone());
                if self.habits.final_messages {
                    self.send(ClientTopic::Room(room));
                }
            }
            if self.habits.final_messages {
                for friend in self.identity.friends.clone() {
                    self.send(ClientTopic::Private(friend));
                }
            }
            return;
        }
        if !self.is_answered && self.session.unsent() == 0 {
            self.is_answered = true;
            self.shared.answered.fetch_add(1, Ordering::Relaxed);
        }
        if !self.is_caught_up
            && self.shared.answered.load(Ordering::Relaxed) == self.shared.clients
            && self.has_seen_everything()
        {
            self.is_caught_up = true;
            self.shared.caught_up.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn has_seen_everything(&self) -> bool {
        let seen = self.session.seen();
        let is_seen = |topic: &ClientTopic, last_seq: u64| seen.seq(topic).unwrap_or_default() >= last_seq;
        let Identity { user, rooms, friends, .. } = &self.identity;
        rooms
            .iter()
            .all(|room| is_seen(&ClientTopic::Room(room.clone()), self.shared.last_seq(&in_room(room))))
            && friends.iter().all(|friend| {
                is_seen(&ClientTopic::Private(friend.clone()), self.shared.last_seq(&between(user, friend)))
            })
    }

    fn perform_outputs(&mut self) {
        while let Some(output) = self.session.next_output() {
            match output {
                Output::Connect => {
                    let buffer = self.identity.is_slow.then_some(SLOW_BUFFER_BYTES);
                    self.link = Link::connect(self.shared.server, self.identity.cookie.clone(), buffer);
                }
                Output::Transmit(text) => {
                    self.notebook.frame_sent(self.shared.elapsed(), &text);
                    self.link.transmit(text);
                }
                Output::Hangup => self.link = Link::None,
                Output::Event(event) => self.event(event),
            }
        }
    }

    fn link_event(&mut self, event: LinkEvent) {
        let now_ms = self.shared.now_ms();
        match event {
            LinkEvent::Opened(socket) => {
                self.link = Link::Open(socket);
                self.notebook.connection_opened();
                self.session.opened(now_ms);
            }
            LinkEvent::NotOpened(code) => {
                self.link = Link::None;
                self.session.closed(now_ms, code);
            }
            LinkEvent::Message(Message::Text(text)) => {
                match self.notebook.frame_received(self.shared.elapsed(), &text) {
                    Some(Frame::Ack { topic, seq, .. }) => self.shared.raise_last_seq(topic, *seq),
                    Some(Frame::Error { code, .. }) if code == "unavailable" => {
                        self.shared.unavailable.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => {}
                }
                self.session.frame(now_ms, &text);
                // At the end also slow readers must see every message.
                if self.identity.is_slow && !self.has_sent_final_messages {
                    self.reads_from = Instant::now() + self.rng.milliseconds(SLOW_PAUSE_MS);
                }
            }
            LinkEvent::Message(Message::Close(frame)) => {
                self.closed(now_ms, frame.map(|frame| frame.code.into()));
            }
            LinkEvent::Message(_) => self.session.received(now_ms),
            LinkEvent::Lost => self.closed(now_ms, None),
        }
    }

    fn closed(&mut self, now_ms: u64, code: Option<u16>) {
        self.notebook.connection_closed(self.shared.elapsed(), code);
        self.link = Link::None;
        self.session.closed(now_ms, code);
    }

    /// Counts and records an event of the session.
    fn event(&mut self, event: ClientEvent) {
        let shared = &self.shared;
        let count = |count: &AtomicUsize| {
            count.fetch_add(1, Ordering::Relaxed);
        };
        match &event {
            ClientEvent::Online { .. } => {
                self.is_online = true;
                count(&shared.online);
            }
            ClientEvent::Offline { .. } | ClientEvent::SignedOut { .. } => {
                count(&shared.went_offline);
                self.went_offline();
            }
            ClientEvent::Joined { .. } => count(&shared.joined),
            ClientEvent::Left { room, reason: Some(_) } | ClientEvent::NotJoined { room, .. }
                if self.habits.closed_room.as_ref() == Some(room) =>
            {
                self.lose_room(&room.clone());
            }
            ClientEvent::Stored { duplicate, .. } => {
                count(&shared.acked);
                if *duplicate {
                    count(&shared.duplicates);
                }
            }
            ClientEvent::Message { topic, entry } => {
                self.changeable.shows(topic, entry, &self.identity.user);
            }
            _ => {}
        }
        for timeline in &mut self.timelines {
            timeline.apply(&event);
        }
        self.notebook.event(self.shared.elapsed(), event);
    }

    fn went_offline(&mut self) {
        if std::mem::take(&mut self.is_online) {
            self.shared.online.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A slow reader pauses for so long behind each frame.
const SLOW_PAUSE_MS: std::ops::Range<u64> = 0..120;
/// The system's receive buffer of a slow reader, so that the server's socket fills.
const SLOW_BUFFER_BYTES: u32 = 4096;
