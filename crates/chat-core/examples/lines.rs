//! A chat over plain TCP, one JSON object in each line, for people with `nc`.
//!
//! ```text
//! cargo run -p chat-core --example lines -- 127.0.0.1:7000
//! nc 127.0.0.1 7000
//! alice kitchen        the first line: a name, and a room if you like
//! hi there             to everybody in the room
//! @bob psst            to bob only
//! {"text":"hi"}        a frame of protocol v1, as it is
//! ```
//!
//! One thread owns the hub and does what it wants done; each connection has a
//! thread that reads. There are no accounts: a name belongs to whoever gives it.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a program around the hub has what the hub must not have"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chat_core::{
    ClientId, Commit, Framing, History, HistoryLimits, Hub, HubOptions, Input, Now, Output, Outputs,
    Protocol, RoomName, Seed, Username,
};

/// What the reading threads tell the one with the hub.
enum Event {
    Came(TcpStream, Username, RoomName, SyncSender<ClientId>),
    Wrote(ClientId, String),
    Gone(ClientId),
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    // When the hub is behind, readers wait, and with them their senders.
    let (events, inbox) = sync_channel(EVENTS_MAX);
    std::thread::spawn(move || Server::new().run(&inbox));
    for socket in listener.incoming() {
        let (socket, events) = (socket?, events.clone());
        std::thread::spawn(move || read(&socket, &events));
    }
    Ok(())
}

/// Reads one connection to its end.
fn read(socket: &TcpStream, events: &SyncSender<Event>) -> Option<()> {
    let mut lines = BufReader::new(socket).take(0);
    let mut line = || {
        lines.set_limit(LINE_MAX_BYTES);
        let mut line = String::new();
        let whole = lines.read_line(&mut line).is_ok() && line.ends_with('\n');
        whole.then(|| line.trim().to_owned())
    };
    let first = line()?;
    let (name, room) = first.split_once(' ').unwrap_or((&first, ""));
    let (Ok(name), Ok(room)) = (Username::parse(name), RoomName::parse(room.trim())) else {
        let _ = (&mut &*socket).write_all(b"the first line is: name [room]\n");
        return None;
    };
    let (go_on, may_go_on) = sync_channel(1);
    events.send(Event::Came(socket.try_clone().ok()?, name, room, go_on)).ok()?;
    let mut client = None;
    while let Ok(number) = may_go_on.recv() {
        client = Some(number);
        let Some(line) = line() else { break };
        events.send(Event::Wrote(number, frame(&line))).ok()?;
    }
    events.send(Event::Gone(client?)).ok()
}

/// What somebody typed, as a frame of protocol v1.
fn frame(line: &str) -> String {
    if line.starts_with('{') {
        return line.to_owned();
    }
    match line.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
        Some((to, text)) => serde_json::json!({ "type": "private", "to": to, "text": text }),
        None => serde_json::json!({ "type": "message", "text": line }),
    }
    .to_string()
}

/// The hub and what its outputs act upon.
struct Server {
    hub: Hub,
    out: Outputs,
    log: History,
    sockets: Vec<Option<Socket>>,
    started: Instant,
}

struct Socket {
    stream: TcpStream,
    /// Has the next line read; `None` once the hub has said goodbye.
    go_on: Option<SyncSender<ClientId>>,
    /// A frame that waits while the hub wants no more of this client's.
    waiting: Option<String>,
}

impl Server {
    fn new() -> Self {
        let options = HubOptions { framing: Framing::Lines, ..HubOptions::default() };
        Self {
            hub: Hub::new(options, seed()),
            out: Outputs::default(),
            log: History::new(seed(), HistoryLimits::default()),
            sockets: Vec::new(),
            started: Instant::now(),
        }
    }

    fn run(&mut self, inbox: &Receiver<Event>) {
        loop {
            let due = Duration::from_millis(self.hub.next_tick_ms());
            match inbox.recv_timeout(due.saturating_sub(self.started.elapsed())) {
                Ok(event) => self.handle(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.hub.next_tick_ms() <= self.now().mono_ms {
                self.step(Input::Tick);
            }
            self.hand_over();
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Came(stream, user, room, go_on) => {
                // Who does not read for so long is cut off: a program with
                // more people keeps what a socket does not take, and says so.
                let _ = stream.set_write_timeout(Some(WRITE_TIMEOUT));
                let free = self.sockets.iter().position(Option::is_none);
                let index = free.unwrap_or_else(|| {
                    self.sockets.push(None);
                    self.sockets.len() - 1
                });
                self.sockets[index] = Some(Socket { stream, go_on: Some(go_on), waiting: None });
                let client = ClientId(index as u32);
                self.go_on(client);
                self.step(Input::Open {
                    client,
                    user: &user,
                    session: None,
                    good_for_ms: None,
                    protocol: Protocol::V1 { room },
                });
            }
            Event::Wrote(client, frame) => {
                if let Some(Some(socket)) = self.sockets.get_mut(client.0 as usize) {
                    socket.waiting = Some(frame);
                }
            }
            Event::Gone(client) => {
                self.sockets[client.0 as usize] = None;
                self.step(Input::Closed { client });
            }
        }
    }

    /// Has the next line of a client read. One at a time, so that whoever is
    /// paused fills the socket's buffers and nothing else.
    fn go_on(&self, client: ClientId) {
        if let Some(Some(Socket { go_on: Some(go_on), .. })) = self.sockets.get(client.0 as usize) {
            let _ = go_on.try_send(client);
        }
    }

    /// Gives the hub the frames that it takes now.
    fn hand_over(&mut self) {
        for index in 0..self.sockets.len() {
            let client = ClientId(index as u32);
            if !self.hub.is_paused(client)
                && let Some(Some(socket)) = self.sockets.get_mut(index)
                && let Some(frame) = socket.waiting.take()
            {
                self.step(Input::Frame { client, text: &frame });
                self.go_on(client);
            }
        }
    }

    /// One input, and whatever follows from it.
    fn step(&mut self, input: Input<'_>) {
        let now = self.now();
        self.hub.step(now, input, &mut self.out);
        self.hub.end_turn(&mut self.out);
        while let Some(output) = self.out.next() {
            match output {
                Output::Write(write) => {
                    for client in self.out.recipients(&write) {
                        if let Some(socket) = &mut self.sockets[client.0 as usize]
                            && socket.stream.write_all(self.out.bytes(&write)).is_err()
                        {
                            // Its reader sees the end, and says that it is gone.
                            let _ = socket.stream.shutdown(Shutdown::Both);
                        }
                    }
                }
                Output::Close { client, .. } => {
                    if let Some(socket) = &mut self.sockets[client.0 as usize] {
                        socket.go_on = None;
                        let _ = socket.stream.shutdown(Shutdown::Both);
                    }
                }
                Output::Append(draft) => {
                    let Commit { entries, receipts } = self.log.append(&[draft], now.wall_ms, |_| true);
                    let input = Input::Commit { entries: &entries, receipts: &receipts };
                    self.hub.step(now, input, &mut self.out);
                }
                Output::Read { id, query } => {
                    let answer = self.log.answer(&query);
                    self.hub.step(now, Input::Answer { id, answer: &answer }, &mut self.out);
                }
                // There is one hub, which gets everything and shows its rooms
                // to nobody else; who is paused is asked before each frame.
                Output::Pause(_) | Output::Resume(_) => {}
                Output::Subscribe(_) | Output::Unsubscribe(_) | Output::Presence(_) => {}
            }
            self.hub.end_turn(&mut self.out);
        }
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono_ms: self.started.elapsed().as_millis() as u64, wall_ms: wall.as_millis() as u64 }
    }
}

/// From the seeds that the standard library gives its own maps.
fn seed() -> Seed {
    use std::hash::{BuildHasher, RandomState};
    Seed(RandomState::new().hash_one(0), RandomState::new().hash_one(1))
}

const EVENTS_MAX: usize = 1024;
const LINE_MAX_BYTES: u64 = 64 * 1024;
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
