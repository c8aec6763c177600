//! A chat over plain TCP, one JSON object in each line, for use with `nc`.
//!
//! ```text
//! cargo run -p lanechat-core --example lines -- 127.0.0.1:7000
//! nc 127.0.0.1 7000
//! alice kitchen        the first line: a name, and a room if you like
//! hi there             to all users in the room
//! @bob psst            to bob only
//! {"text":"hi"}        a frame of protocol v1, as it is
//! ```
//!
//! One thread owns the hub and does its outputs; each connection has a thread that
//! reads. There are no accounts: any user may take any name.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "the program around a hub may do I/O"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chat_core::{
    ClientId, Commit, Framing, History, HistoryLimits, Hub, HubOptions, Input, Now, Output, Outputs,
    Protocol, RoomName, Seed, Username,
};

/// What the reading threads send to the one with the hub.
enum Event {
    Connected(TcpStream, Username, RoomName, SyncSender<ClientId>),
    Frame(ClientId, String),
    Disconnected(ClientId),
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    // When the hub is slow, the reading threads wait, and with them the senders.
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
    let (read_next, may_read) = sync_channel(1);
    events.send(Event::Connected(socket.try_clone().ok()?, name, room, read_next)).ok()?;
    let mut client = None;
    while let Ok(number) = may_read.recv() {
        client = Some(number);
        let Some(line) = line() else { break };
        events.send(Event::Frame(number, frame(&line))).ok()?;
    }
    events.send(Event::Disconnected(client?)).ok()
}

/// A line that a user typed, as a frame of protocol v1.
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

/// The hub, and what its outputs act upon.
struct Server {
    hub: Hub,
    out: Outputs,
    log: History,
    sockets: Vec<Option<Socket>>,
    started: Instant,
}

struct Socket {
    stream: TcpStream,
    /// Lets the next line be read; `None` once the hub has closed the client.
    read_next: Option<SyncSender<ClientId>>,
    /// A frame that waits while the client is paused.
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
            Event::Connected(stream, user, room, read_next) => {
                // A client that does not read for so long is cut off. A larger
                // program queues the bytes instead, and reports them to the hub
                // as pending.
                let _ = stream.set_write_timeout(Some(WRITE_TIMEOUT));
                let free = self.sockets.iter().position(Option::is_none);
                let index = free.unwrap_or_else(|| {
                    self.sockets.push(None);
                    self.sockets.len() - 1
                });
                self.sockets[index] = Some(Socket { stream, read_next: Some(read_next), waiting: None });
                let client = ClientId(index as u32);
                self.read_next(client);
                self.step(Input::Open {
                    client,
                    user: &user,
                    session: None,
                    good_for_ms: None,
                    protocol: Protocol::V1 { room },
                });
            }
            Event::Frame(client, frame) => {
                if let Some(Some(socket)) = self.sockets.get_mut(client.0 as usize) {
                    socket.waiting = Some(frame);
                }
            }
            Event::Disconnected(client) => {
                self.sockets[client.0 as usize] = None;
                self.step(Input::Closed { client });
            }
        }
    }

    /// Lets the next line of a client be read. One at a time, so that a paused
    /// client fills the socket's buffers and nothing else.
    fn read_next(&self, client: ClientId) {
        if let Some(Some(Socket { read_next: Some(read_next), .. })) = self.sockets.get(client.0 as usize) {
            let _ = read_next.try_send(client);
        }
    }

    /// Hands over the frames of clients that are not paused.
    fn hand_over(&mut self) {
        for index in 0..self.sockets.len() {
            let client = ClientId(index as u32);
            if !self.hub.is_paused(client)
                && let Some(Some(socket)) = self.sockets.get_mut(index)
                && let Some(frame) = socket.waiting.take()
            {
                self.step(Input::Frame { client, text: &frame });
                self.read_next(client);
            }
        }
    }

    /// Gives the hub one input, and does its outputs and what follows from them.
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
                            // Its reading thread sees the end, and reports it.
                            let _ = socket.stream.shutdown(Shutdown::Both);
                        }
                    }
                }
                Output::Close { client, .. } => {
                    if let Some(socket) = &mut self.sockets[client.0 as usize] {
                        socket.read_next = None;
                        let _ = socket.stream.shutdown(Shutdown::Both);
                    }
                }
                Output::Append(draft) => {
                    let commit = self.log.append(&[draft], now.wall_ms, |_| true);
                    let Commit { entries, receipts, changes, .. } = commit;
                    self.hub.step(now, Input::Changes(&changes), &mut self.out);
                    let input = Input::Commit { entries: &entries, receipts: &receipts };
                    self.hub.step(now, input, &mut self.out);
                }
                Output::Read { id, query } => {
                    let answer = self.log.answer(&query);
                    self.hub.step(now, Input::Answer { id, answer: &answer }, &mut self.out);
                }
                Output::Keep(mark) => self.log.keep(&mark),
                // There is one hub, which gets all entries; a paused client is
                // noticed before each frame.
                Output::Pause(_) | Output::Resume(_) => {}
                Output::Subscribe(_) | Output::Unsubscribe(_) | Output::Presence(_) | Output::Typing(_) => {}
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
