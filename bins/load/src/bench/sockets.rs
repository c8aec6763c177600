//! Many sockets on one thread and one epoll instance, which cost little beside the server: frames
//! are counted where they lie in one buffer, and nothing is allocated for a delivery.

use std::error::Error;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream as BlockingStream};
use std::time::{Duration, Instant};

use memchr::memmem::Finder;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// How messages are sent. One socket of each room sends, and gets its own messages back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// Each sender has this many messages that have not come back.
    Closed { in_flight: u64 },
    /// Messages a second of all senders, in turn, whether or not earlier ones have come back.
    Open { per_second: u32 },
}

/// The sockets of one scenario: those of a room lie behind each other, the sender first.
pub(crate) struct Sockets {
    poll: Poll,
    events: Events,
    sockets: Vec<Socket>,
    clients: usize,
    started: Instant,
    buffer: Vec<u8>,
    text: Finder<'static>,
    counted: Counted,
}

struct Socket {
    stream: TcpStream,
    /// The beginning of a frame whose rest has not arrived.
    kept: Vec<u8>,
    /// The last number of its sender that it has received.
    last: u64,
    reads: bool,
}

/// The deliveries that one run has counted.
#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) deliveries: u64,
    /// From when each message was due to be sent, in microseconds.
    pub(crate) latencies_us: Vec<u32>,
    /// Numbers that came again, or too late.
    pub(crate) repeated: u64,
    /// Numbers that were left out.
    pub(crate) skipped: u64,
    reads: u64,
}

impl Counted {
    /// How many messages a read of a socket has brought.
    pub(crate) fn per_read(&self) -> f64 {
        self.deliveries as f64 / self.reads.max(1) as f64
    }
}

/// A room's sender.
#[derive(Clone, Default)]
struct Sender {
    sent: u64,
}

impl Sockets {
    /// Opens `clients` sockets in each of `rooms` rooms.
    pub(crate) fn open(
        server: SocketAddr,
        cookies: &[String],
        rooms: usize,
        clients: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let mut this = Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            sockets: Vec::with_capacity(rooms * clients),
            clients,
            started: Instant::now(),
            buffer: vec![0; 256 * 1024],
            text: Finder::new(b"\"text\":\"#"),
            counted: Counted::default(),
        };
        for room in 0..rooms {
            for client in 0..clients {
                let cookie = &cookies[(room + client) % cookies.len()];
                let stream = connect(server, &format!("room{room}"), cookie)?;
                this.add(stream)?;
                // Notices of joining are read meanwhile, as they would be.
                if this.sockets.len().is_multiple_of(16) {
                    this.poll(Duration::ZERO, |_, _, _| Ok(()))?;
                }
            }
        }
        this.drain(Duration::from_millis(300))?;
        Ok(this)
    }

    fn add(&mut self, stream: BlockingStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        self.poll.registry().register(&mut stream, Token(self.sockets.len()), Interest::READABLE)?;
        self.sockets.push(Socket { stream, kept: Vec::new(), last: 0, reads: true });
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }

    /// The last `count` sockets read nothing from now on.
    pub(crate) fn stop_reading(&mut self, count: usize) -> io::Result<()> {
        let first = self.sockets.len() - count;
        for socket in &mut self.sockets[first..] {
            self.poll.registry().deregister(&mut socket.stream)?;
            socket.reads = false;
        }
        Ok(())
    }

    /// Reads until nothing has come for this time.
    pub(crate) fn drain(&mut self, quiet: Duration) -> Result<(), Box<dyn Error>> {
        let mut last = Instant::now();
        while last.elapsed() < quiet {
            if self.poll(Duration::from_millis(20), |_, _, _| Ok(()))? {
                last = Instant::now();
            }
        }
        Ok(())
    }

    /// Sends messages for this time, then waits until all have arrived. `window` is called at the
    /// beginning and at the end of the middle part, whose deliveries are returned: the first and the last tenth
    /// are left out. Returns also how many deliveries never came.
    pub(crate) fn talk(
        &mut self,
        pace: Pace,
        time: Duration,
        mut window: impl FnMut() -> Result<(), Box<dyn Error>>,
    ) -> Result<(Counted, Duration, u64), Box<dyn Error>> {
        let rooms = self.sockets.len() / self.clients;
        let mut senders = vec![Sender::default(); rooms];
        for socket in &mut self.sockets {
            socket.last = 0;
        }
        self.started = Instant::now();
        let (from, to) = (time / 10, time - time / 10);
        let mut middle: Option<(Counted, Duration)> = None;
        let mut began = None;
        let mut due: u64 = 0;
        if let Pace::Closed { in_flight } = pace {
            for _ in 0..in_flight {
                for (room, sender) in senders.iter_mut().enumerate() {
                    self.send(room, sender, Duration::ZERO)?;
                }
            }
        }
        loop {
            let now = self.started.elapsed();
            if began.is_none() && now >= from {
                window()?;
                self.counted = Counted::default();
                began = Some(self.started.elapsed());
            }
            if let Some(began) = began
                && middle.is_none()
                && now >= to
            {
                window()?;
                middle = Some((std::mem::take(&mut self.counted), self.started.elapsed() - began));
            }
            if now >= time {
                break;
            }
            let mut wait = Duration::from_millis(20).min(time - now);
            if let Pace::Open { per_second } = pace {
                loop {
                    let at = Duration::from_secs(1) * u32::try_from(due)? / per_second;
                    let now = self.started.elapsed();
                    if at > now {
                        // The wait of epoll has milliseconds: the rest is spent by asking again.
                        wait = wait.min((at - now).saturating_sub(Duration::from_millis(1)));
                        break;
                    }
                    let room = due as usize % rooms;
                    self.send(room, &mut senders[room], at)?;
                    due += 1;
                }
            }
            let clients = self.clients;
            let is_closed = matches!(pace, Pace::Closed { .. });
            self.poll(wait, |this, socket, messages| {
                if is_closed && socket % clients == 0 {
                    let room = socket / clients;
                    for _ in 0..messages {
                        let now = this.started.elapsed();
                        this.send(room, &mut senders[room], now)?;
                    }
                }
                Ok(())
            })?;
        }
        let (mut counted, elapsed) = middle.ok_or("the time is too short")?;
        self.drain(Duration::from_millis(500))?;
        counted.repeated += self.counted.repeated;
        counted.skipped += self.counted.skipped;
        let lost = self.sockets.iter().enumerate().filter(|(_, socket)| socket.reads);
        let lost = lost.map(|(at, socket)| senders[at / self.clients].sent.saturating_sub(socket.last)).sum();
        self.counted = Counted::default();
        Ok((counted, elapsed, lost))
    }

    fn send(&mut self, room: usize, sender: &mut Sender, due: Duration) -> Result<(), Box<dyn Error>> {
        sender.sent += 1;
        let text = format!("{{\"type\":\"message\",\"text\":\"#{} {}#\"}}", sender.sent, due.as_micros());
        let mut frame = Vec::with_capacity(text.len() + 6);
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 126).ok_or("a long text")?;
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        frame.extend([0x81, 0x80 | length]);
        frame.extend(mask);
        frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        // The sender's own buffer never fills: the server reads it, or the run is of no use.
        let written = self.sockets[room * self.clients].stream.write(&frame)?;
        if written == frame.len() { Ok(()) } else { Err("the server does not read its sockets".into()) }
    }

    /// Waits for what arrives, and reads it; tells how many messages each socket has got. Returns
    /// whether something came.
    fn poll(
        &mut self,
        wait: Duration,
        mut then: impl FnMut(&mut Self, usize, u64) -> Result<(), Box<dyn Error>>,
    ) -> Result<bool, Box<dyn Error>> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let polled = self.poll.poll(&mut events, Some(wait));
        let mut came = false;
        if let Err(error) = polled
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &events {
            let Token(socket) = event.token();
            let messages = self.read(socket)?;
            came = true;
            if messages > 0 {
                then(self, socket, messages)?;
            }
        }
        self.events = events;
        Ok(came)
    }

    /// Reads all that a socket has; returns the number of messages in it.
    fn read(&mut self, at: usize) -> Result<u64, Box<dyn Error>> {
        let socket = &mut self.sockets[at];
        let mut messages = 0;
        let now_us = self.started.elapsed().as_micros() as u64;
        loop {
            let kept = socket.kept.len();
            self.buffer[..kept].copy_from_slice(&socket.kept);
            let read = match socket.stream.read(&mut self.buffer[kept..]) {
                Ok(0) => return Err(format!("the server closed socket {at}").into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            };
            let mut rest = &self.buffer[..kept + read];
            let before = messages;
            while let Some((payload, after)) = split_frame(rest) {
                rest = after;
                let Some((number, due_us)) = self.text.find(payload).and_then(|at| parse(&payload[at + 9..]))
                else {
                    continue;
                };
                messages += 1;
                if number > socket.last {
                    self.counted.skipped += number - socket.last - 1;
                    socket.last = number;
                } else {
                    self.counted.repeated += 1;
                }
                let late_us = now_us.saturating_sub(due_us);
                self.counted.latencies_us.push(u32::try_from(late_us).unwrap_or(u32::MAX));
            }
            self.counted.reads += u64::from(messages > before);
            socket.kept.clear();
            socket.kept.extend_from_slice(rest);
        }
        self.counted.deliveries += messages;
        Ok(messages)
    }
}

/// The payload of the first frame of a server in these bytes, and what is behind it.
fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, length) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        length => (2, usize::from(length)),
    };
    let payload = bytes.get(head..head + length)?;
    Some((payload, &bytes[head + length..]))
}

/// The number and the time in a text of [`Sockets::send`], behind its `#`.
fn parse(text: &[u8]) -> Option<(u64, u64)> {
    let number = |bytes: &[u8]| -> Option<(u64, usize)> {
        let digits = bytes.iter().position(|byte| !byte.is_ascii_digit())?;
        let value = bytes[..digits]
            .iter()
            .fold(0_u64, |value, digit| value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
        Some((value, digits))
    };
    let (first, length) = number(text)?;
    let (second, _) = number(&text[length + 1..])?;
    Some((first, second))
}

/// The head of the request that opens a WebSocket.
pub(crate) fn upgrade(server: SocketAddr, room: &str, cookie: &str) -> String {
    format!(
        "GET /ws?room={room} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: {cookie}\r\n\r\n"
    )
}

/// Opens a WebSocket of v1 in a room.
fn connect(server: SocketAddr, room: &str, cookie: &str) -> Result<BlockingStream, Box<dyn Error>> {
    let mut stream = BlockingStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(upgrade(server, room, cookie).as_bytes())?;
    // Byte by byte, as frames may follow at once.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(String::from_utf8_lossy(&head).lines().next().unwrap_or_default().into());
    }
    Ok(stream)
}

/// Opens and closes WebSockets for this time, `beside` each other; returns how many.
pub(crate) fn connects(
    server: SocketAddr,
    cookies: &[String],
    beside: usize,
    time: Duration,
) -> Result<u64, Box<dyn Error>> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(beside);
    let heads: Vec<String> = (0..beside)
        .map(|number| upgrade(server, &format!("door{number}"), &cookies[number % cookies.len()]))
        .collect();
    let open = |poll: &Poll, number: usize| -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(server)?;
        poll.registry().register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)?;
        Ok(stream)
    };
    let mut streams = (0..beside).map(|number| open(&poll, number)).collect::<io::Result<Vec<_>>>()?;
    let mut is_asked = vec![false; beside];
    let (started, mut opened) = (Instant::now(), 0);
    let mut buffer = vec![0; 16 * 1024];
    while started.elapsed() < time {
        match poll.poll(&mut events, Some(Duration::from_millis(50))) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            let Token(number) = event.token();
            if event.is_writable() && !is_asked[number] {
                streams[number].write_all(heads[number].as_bytes())?;
                is_asked[number] = true;
            }
            if !event.is_readable() || !is_asked[number] {
                continue;
            }
            match streams[number].read(&mut buffer) {
                Ok(read) if buffer[..read].starts_with(b"HTTP/1.1 101") => opened += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Ok(read) => {
                    let head = String::from_utf8_lossy(&buffer[..read]);
                    return Err(format!("refused: {}", head.lines().next().unwrap_or_default()).into());
                }
                Err(error) => return Err(error.into()),
            }
            poll.registry().deregister(&mut streams[number])?;
            // Without waiting for a last packet, or the ports of this machine are used up.
            let _ = rustix::net::sockopt::set_socket_linger(&streams[number], Some(Duration::ZERO));
            streams[number] = open(&poll, number)?;
            is_asked[number] = false;
        }
    }
    Ok(opened)
}
