//! One client of protocol v2: the real session, a socket, and somebody who uses
//! both and writes everything down.

use std::collections::BTreeSet;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chat_client::{Event as ClientEvent, Output, Rng, Session, Topic as ClientTopic};
use futures_util::stream::SplitStream;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::topics::Topics;
use super::{Habits, Pace, Phase, Shared};
use crate::ledger::{Frame, GivenUp, Seen, Send, Told, Wire, Words, between, in_room};

pub(crate) struct Who {
    pub(crate) client: usize,
    pub(crate) user: Arc<str>,
    pub(crate) cookie: String,
    pub(crate) rooms: Vec<String>,
    pub(crate) friends: Vec<String>,
    pub(crate) is_slow: bool,
}

pub(crate) struct Device {
    who: Who,
    habits: Habits,
    shared: Arc<Shared>,
    rng: Rng,
    session: Session,
    /// The rooms that one wants to be in now.
    wanted: BTreeSet<String>,
    notebook: Notebook,
    topics: Topics,
    connecting: Option<Connecting>,
    socket: Option<Socket>,
    is_online: bool,
    said: usize,
    next_say: Instant,
    /// A slow reader looks up only now and then.
    reads_from: Instant,
    has_said_last_words: bool,
    is_answered: bool,
    is_settled: bool,
}

/// What a client writes down.
#[derive(Default)]
pub(crate) struct Notebook {
    pub(crate) sends: Vec<Send>,
    pub(crate) given_up: Vec<GivenUp>,
    pub(crate) wires: Vec<Wire>,
    pub(crate) told: Told,
}

type Connecting =
    Pin<Box<dyn Future<Output = Result<WebSocketStream<TcpStream>, Option<u16>>> + std::marker::Send>>;

struct Socket {
    reader: SplitStream<WebSocketStream<TcpStream>>,
    writer: mpsc::UnboundedSender<Message>,
    writing: JoinHandle<()>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.writing.abort();
    }
}

/// Keeps a server's socket waiting.
const SLOW_PAUSE_MS: std::ops::Range<u64> = 0..120;
const SLOW_BUFFER: u32 = 4096;

impl Device {
    pub(crate) fn new(who: Who, habits: &Habits, shared: Arc<Shared>) -> Self {
        let mut rng = Rng::for_part(habits.seed, 1 + who.client as u64);
        let now = Instant::now();
        let user = Arc::clone(&who.user);
        let notebook =
            Notebook { told: Told { user: Arc::clone(&who.user), ..Told::default() }, ..Notebook::default() };
        Self {
            session: Session::new(habits.options.clone(), rng.next_u64()),
            wanted: who.rooms.iter().cloned().collect(),
            next_say: now + rng.milliseconds(0..1000),
            reads_from: now,
            habits: habits.clone(),
            who,
            shared,
            rng,
            notebook,
            topics: Topics::new(user),
            connecting: None,
            socket: None,
            is_online: false,
            said: 0,
            has_said_last_words: false,
            is_answered: false,
            is_settled: false,
        }
    }

    /// Until it is told to stop.
    pub(crate) async fn live(mut self, mut phases: watch::Receiver<Phase>) -> Notebook {
        for room in self.wanted.clone() {
            // There are fewer rooms than may be joined.
            let _ = self.session.join(self.shared.now_ms(), &room);
        }
        loop {
            self.do_outputs();
            let phase = *phases.borrow_and_update();
            match phase {
                Phase::Talk | Phase::Hush => self.talk(),
                Phase::LastWords => self.close_up(),
                Phase::Stop => break,
            }
            self.do_outputs();
            let wakes_at = self.wakes_at(phase);
            let (reads_from, now) = (self.reads_from, Instant::now());
            tokio::select! {
                result = opened(&mut self.connecting) => self.opened(result),
                message = next(&mut self.socket), if reads_from <= now => self.came(message),
                () = tokio::time::sleep_until(reads_from.into()), if reads_from > now => {}
                () = tokio::time::sleep_until(wakes_at.into()) => self.session.tick(self.shared.now_ms()),
                changed = phases.changed() => if changed.is_err() { break },
            }
        }
        self.went_offline();
        if !self.is_settled {
            // Whoever looks for the reason wants to see all of it.
            eprintln!("client {} is not done: {:?}", self.who.client, self.session);
        }
        self.notebook.told.stayed_in = self.who.rooms.iter().map(|room| in_room(room)).collect();
        self.notebook
    }

    fn wakes_at(&self, phase: Phase) -> Instant {
        let now = Instant::now();
        let tick_ms = self.session.next_tick_ms().saturating_sub(self.shared.now_ms()).min(10_000);
        let tick = now + Duration::from_millis(tick_ms);
        match (phase, self.habits.pace) {
            (Phase::Talk | Phase::Hush, Pace::Rate(_)) => tick.min(self.next_say.max(now)),
            (Phase::LastWords, _) if !self.is_settled => tick.min(now + Duration::from_millis(30)),
            _ => tick,
        }
    }

    fn talk(&mut self) {
        let now = Instant::now();
        match self.habits.pace {
            Pace::Rate(rate) => {
                if self.next_say <= now && rate > 0.0 {
                    let mean_ms = (1000.0 * self.shared.clients as f64 / rate).max(1.0) as u64;
                    self.next_say = now + self.rng.milliseconds(0..2 * mean_ms);
                    self.say();
                } else if rate <= 0.0 {
                    self.next_say = now + Duration::from_secs(3600);
                }
            }
            Pace::Unsent(most) => {
                while self.session.unsent() < most {
                    self.say();
                }
            }
        }
    }

    fn say(&mut self) {
        if self.rng.random_bool(self.habits.leaving) {
            let room = self.who.rooms[self.rng.index(self.who.rooms.len())].clone();
            if self.wanted.remove(&room) {
                self.session.leave(self.shared.now_ms(), &room);
            } else {
                self.want(room);
            }
        }
        if self.rng.random_bool(self.habits.crashing) {
            self.crash();
        }
        let is_private = !self.who.friends.is_empty() && self.rng.random_bool(self.habits.private);
        if is_private {
            let friend = self.who.friends[self.rng.index(self.who.friends.len())].clone();
            self.send(ClientTopic::Private(friend));
        } else if let Some(room) = self.wanted.iter().nth(self.rng.index(self.wanted.len())).cloned() {
            self.send(ClientTopic::Room(room));
        } else {
            let room = self.who.rooms[0].clone();
            self.want(room);
        }
    }

    fn want(&mut self, room: String) {
        // There are fewer rooms than may be joined.
        let _ = self.session.join(self.shared.now_ms(), &room);
        self.wanted.insert(room);
    }

    /// The program ends and starts anew, with what it wrote down.
    fn crash(&mut self) {
        self.do_outputs();
        let snapshot = self.session.snapshot();
        (self.socket, self.connecting) = (None, None);
        self.went_offline();
        self.session = Session::restore(self.habits.options.clone(), self.rng.next_u64(), snapshot);
        for room in self.who.rooms.clone() {
            if self.wanted.contains(&room) {
                self.want(room);
            } else {
                self.session.leave(self.shared.now_ms(), &room);
            }
        }
    }

    fn send(&mut self, to: ClientTopic) {
        let text = format!(
            "{}.{} says {}{}",
            self.who.user,
            self.who.client,
            self.said,
            "x".repeat(self.habits.padding)
        );
        let topic = match &to {
            ClientTopic::Room(room) => in_room(room),
            ClientTopic::Private(with) => between(&self.who.user, with),
        };
        // An outbox that is full takes the next one.
        if let Ok(nonce) = self.session.send(self.shared.now_ms(), to, text.clone(), None) {
            self.said += 1;
            let (client, user) = (self.who.client, Arc::clone(&self.who.user));
            self.notebook.sends.push(Send { client, user, topic, text, nonce: Some(nonce) });
        }
    }

    /// Comes back to all rooms, says something everywhere, and waits until
    /// everything is answered and seen.
    fn close_up(&mut self) {
        if !self.has_said_last_words {
            self.has_said_last_words = true;
            for room in self.who.rooms.clone() {
                self.want(room.clone());
                if self.habits.last_words {
                    self.send(ClientTopic::Room(room));
                }
            }
            if self.habits.last_words {
                for friend in self.who.friends.clone() {
                    self.send(ClientTopic::Private(friend));
                }
            }
            return;
        }
        if !self.is_answered && self.session.unsent() == 0 {
            self.is_answered = true;
            self.shared.answered.fetch_add(1, Ordering::Relaxed);
        }
        if !self.is_settled
            && self.shared.answered.load(Ordering::Relaxed) == self.shared.clients
            && self.is_at_the_top()
        {
            self.is_settled = true;
            self.shared.settled.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_at_the_top(&self) -> bool {
        let places = self.who.rooms.iter().map(|room| ClientTopic::Room(room.clone()));
        let places = places.chain(self.who.friends.iter().map(|friend| ClientTopic::Private(friend.clone())));
        let seen = self.session.seen();
        let mut places = places.map(|place| {
            let topic = match &place {
                ClientTopic::Room(room) => in_room(room),
                ClientTopic::Private(with) => between(&self.who.user, with),
            };
            seen.seq(&place).unwrap_or_default() >= self.shared.top(&topic)
        });
        places.all(|is_at_the_top| is_at_the_top)
    }

    /// Does what the session wants.
    fn do_outputs(&mut self) {
        while let Some(output) = self.session.next_output() {
            match output {
                Output::Connect => {
                    let buffer = self.who.is_slow.then_some(SLOW_BUFFER);
                    let connecting = connect(self.shared.server, self.who.cookie.clone(), "", true, buffer);
                    self.connecting = Some(Box::pin(connecting));
                }
                Output::Transmit(text) => self.transmit(text),
                Output::Hangup => (self.socket, self.connecting) = (None, None),
                Output::Event(event) => self.told(event),
            }
        }
    }

    fn opened(&mut self, result: Result<WebSocketStream<TcpStream>, Option<u16>>) {
        self.connecting = None;
        match result {
            Ok(stream) => {
                let (mut sink, reader) = stream.split();
                let (writer, mut messages) = mpsc::unbounded_channel();
                let writing = tokio::spawn(async move {
                    while let Some(message) = messages.recv().await {
                        if sink.send(message).await.is_err() {
                            // The reader sees the end, too.
                            break;
                        }
                    }
                });
                self.socket = Some(Socket { reader, writer, writing });
                let user = Arc::clone(&self.who.user);
                self.notebook.wires.push(Wire { user, frames: Vec::new() });
                self.session.opened(self.shared.now_ms());
            }
            Err(code) => self.session.closed(self.shared.now_ms(), code),
        }
    }

    fn came(&mut self, message: Option<Result<Message, Error>>) {
        let now_ms = self.shared.now_ms();
        match message {
            Some(Ok(Message::Text(text))) => {
                self.read(&text);
                self.session.frame(now_ms, &text);
                // At the end it wants to be at the top, as everybody does.
                if self.who.is_slow && !self.has_said_last_words {
                    self.reads_from = Instant::now() + self.rng.milliseconds(SLOW_PAUSE_MS);
                }
            }
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map(|frame| frame.code.into());
                self.note(Frame::Closed { code });
                self.socket = None;
                self.session.closed(now_ms, code);
            }
            Some(Ok(_)) => self.session.received(now_ms),
            Some(Err(_)) | None => {
                self.note(Frame::Closed { code: None });
                self.socket = None;
                self.session.closed(now_ms, None);
            }
        }
    }

    fn note(&mut self, frame: Frame) {
        let now = self.shared.started.elapsed();
        if let Some(wire) = self.notebook.wires.last_mut() {
            wire.frames.push((now, frame));
        }
    }

    fn transmit(&mut self, text: String) {
        let frame: Value = serde_json::from_str(&text).expect("a session sends JSON");
        let string = |field: &str| frame[field].as_str().unwrap_or_default().to_owned();
        match frame["type"].as_str() {
            Some("join") => self.note(Frame::AskedToJoin {
                reference: string("ref"),
                since: frame["since"].as_u64(),
                epoch: frame["epoch"].as_str().map(str::to_owned),
            }),
            Some("leave") => self.note(Frame::AskedToLeave { room: in_room(&string("room")) }),
            Some("message") => {
                let topic = self.topics.of(&ClientTopic::room(string("room")));
                self.note(Frame::Sent { nonce: string("nonce"), topic });
            }
            Some("private") => {
                let topic = self.topics.of(&ClientTopic::private(string("to")));
                self.note(Frame::Sent { nonce: string("nonce"), topic });
            }
            _ => {}
        }
        if let Some(socket) = &self.socket {
            // A writer that is gone met an error, which the reader meets, too.
            let _ = socket.writer.send(Message::text(text));
        }
    }

    fn read(&mut self, text: &str) {
        let frame: Value = serde_json::from_str(text).expect("the server sends JSON");
        let string = |field: &str| frame[field].as_str().unwrap_or_default();
        let noted = match string("type") {
            "hello" => Frame::Hello {
                privates: frame["privates"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|top| {
                        Some((between(&self.who.user, top["with"].as_str()?), top["seq"].as_u64()?))
                    })
                    .collect(),
                has_more: frame["has_more"] == true,
            },
            "joined" => Frame::Joined {
                reference: string("ref").to_owned(),
                room: in_room(string("room")),
                epoch: string("epoch").into(),
                seq: frame["seq"].as_u64().unwrap_or_default(),
                recovered: frame["recovered"] == true,
            },
            "left" => Frame::Left { room: in_room(string("room")) },
            "ack" => {
                let topic = match frame["room"].as_str() {
                    Some(room) => in_room(room),
                    None => between(&self.who.user, string("to")),
                };
                let seq = frame["seq"].as_u64().unwrap_or_default();
                self.shared.raise_top(&topic, seq);
                let nonce = string("nonce").to_owned();
                Frame::Ack { nonce, topic, seq, duplicate: frame["duplicate"] == true }
            }
            "error" => {
                let is_unavailable = string("code") == "unavailable";
                self.shared.unavailable.fetch_add(usize::from(is_unavailable), Ordering::Relaxed);
                let nonce = frame["nonce"].as_str().map(str::to_owned);
                Frame::Error { code: string("code").to_owned(), nonce }
            }
            "reconnect" => Frame::Reconnect,
            "message" | "private" => {
                let topic = match string("type") {
                    "message" => self.topics.of(&ClientTopic::room(string("room"))),
                    _ => self.topics.between(string("from"), string("to")),
                };
                let words = Words::of(
                    string("from"),
                    string("text"),
                    frame["nonce"].as_str(),
                    frame["timestamp"].as_u64().unwrap_or_default(),
                );
                Frame::Entry(Seen { topic, seq: frame["seq"].as_u64().unwrap_or_default(), words })
            }
            _ => return,
        };
        self.note(noted);
    }

    /// What the session says to its application.
    fn told(&mut self, event: ClientEvent) {
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
            ClientEvent::Stored { duplicate, .. } => {
                count(&shared.acked);
                if *duplicate {
                    count(&shared.duplicates);
                }
            }
            ClientEvent::NotSent { nonce, code, may_be_stored, .. } => {
                let (user, nonce) = (Arc::clone(&self.who.user), nonce.clone());
                let given_up = GivenUp { user, nonce, code: code.clone(), may_be_stored: *may_be_stored };
                self.notebook.given_up.push(given_up);
            }
            _ => {}
        }
        if let Some(noted) = self.topics.noted(event) {
            self.notebook.told.events.push((self.shared.started.elapsed(), noted));
        }
    }

    fn went_offline(&mut self) {
        if std::mem::take(&mut self.is_online) {
            self.shared.online.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Opens a socket. An error has the code that a session understands.
pub(crate) async fn connect(
    server: SocketAddr,
    cookie: String,
    query: &'static str,
    is_v2: bool,
    receive_buffer: Option<u32>,
) -> Result<WebSocketStream<TcpStream>, Option<u16>> {
    connect_to(server, &cookie, query, is_v2, receive_buffer).await.map_err(|error| match error {
        Error::Http(answer) if matches!(answer.status().as_u16(), 401 | 403) => Some(1008),
        _ => None,
    })
}

pub(crate) async fn connect_to(
    server: SocketAddr,
    cookie: &str,
    query: &str,
    is_v2: bool,
    receive_buffer: Option<u32>,
) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut request = format!("ws://{server}/ws?{query}").into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("Cookie", cookie.parse().expect("a cookie that the server made"));
    if is_v2 {
        headers.insert("Sec-WebSocket-Protocol", "chat.v2".parse().expect("a token"));
    }
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    let small = WebSocketConfig::default().read_buffer_size(4096);
    Ok(client_async_with_config(request, stream, Some(small)).await?.0)
}

async fn opened(connecting: &mut Option<Connecting>) -> Result<WebSocketStream<TcpStream>, Option<u16>> {
    match connecting {
        Some(connecting) => connecting.await,
        None => pending().await,
    }
}

async fn next(socket: &mut Option<Socket>) -> Option<Result<Message, Error>> {
    match socket {
        Some(socket) => socket.reader.next().await,
        None => pending().await,
    }
}
