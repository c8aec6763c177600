//! A minimal WebSocket client (RFC 6455 §5.2).

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Chat, Reply};
use crate::upgrade::handshake;

pub struct Wire {
    stream: TcpStream,
}

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

impl Wire {
    /// Opens a socket, without waiting until it has joined the room.
    pub async fn open(chat: &Chat, room: &str, cookie: &str) -> Self {
        let mut stream = chat.connect().await;
        let request = handshake(chat, &format!("/ws?room={room}"), &[("Cookie", cookie)]);
        stream.write_all(request.as_bytes()).await.unwrap();
        let reply = Reply::read_head(&mut stream).await;
        assert_eq!(reply.status, 101, "{reply:?}");
        Self { stream }
    }

    /// A socket over a connection that was upgraded.
    pub fn over(stream: TcpStream) -> Self {
        Self { stream }
    }

    /// Opens a socket that speaks v2, and waits for its `hello`.
    pub async fn open_v2(chat: &Chat, cookie: &str) -> Self {
        let mut stream = chat.connect().await;
        let headers = [("Cookie", cookie), ("Sec-WebSocket-Protocol", "chat.v2")];
        stream.write_all(handshake(chat, "/ws", &headers).as_bytes()).await.unwrap();
        let reply = Reply::read_head(&mut stream).await;
        assert_eq!(reply.status, 101, "{reply:?}");
        let mut socket = Self { stream };
        socket.next_of("hello").await;
        socket
    }

    /// The next message.
    pub async fn next(&mut self) -> Value {
        loop {
            let (opcode, payload) = self.read().await.expect("the socket is open");
            assert_ne!(opcode, CLOSE, "{payload:?}");
            if opcode == TEXT {
                return serde_json::from_slice(&payload).unwrap();
            }
        }
    }

    pub async fn send(&mut self, message: &Value) {
        self.write(TEXT, message.to_string().as_bytes()).await;
    }

    /// The next message of this type.
    pub async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let (opcode, payload) = self.read().await.expect("the socket is open");
            assert_ne!(opcode, CLOSE, "{payload:?}");
            if opcode == TEXT {
                let message: Value = serde_json::from_slice(&payload).unwrap();
                if message["type"] == kind {
                    return message;
                }
            }
        }
    }

    /// The code with which the server closes, after any other frames; `None` if it closes the
    /// connection without a close frame.
    pub async fn close_code(&mut self) -> Option<u16> {
        loop {
            let (opcode, payload) = self.read().await?;
            if opcode == CLOSE {
                return Some(u16::from_be_bytes([payload[0], payload[1]]));
            }
        }
    }

    /// Checks that the server still answers on this socket.
    pub async fn is_open(&mut self) {
        self.write(PING, b"there?").await;
        loop {
            let (opcode, payload) = self.read().await.expect("the socket is open");
            assert_ne!(opcode, CLOSE, "closed: {payload:?}");
            if opcode == PONG {
                return;
            }
        }
    }

    /// Writes one frame, masked with zeros.
    async fn write(&mut self, opcode: u8, payload: &[u8]) {
        let length = u16::try_from(payload.len()).expect("a short one");
        let mut frame = vec![0x80 | opcode];
        match u8::try_from(length) {
            Ok(length @ ..126) => frame.push(0x80 | length),
            _ => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&length.to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        // If the socket is closed, the reader notices it.
        let _ = self.stream.write_all(&frame).await;
    }

    async fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let frame = async {
            let opcode = self.stream.read_u8().await.ok()? & 0x0F;
            let length = match self.stream.read_u8().await.ok()? {
                126 => usize::from(self.stream.read_u16().await.ok()?),
                length => usize::from(length),
            };
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await.ok()?;
            Some((opcode, payload))
        };
        tokio::time::timeout(Duration::from_secs(30), frame).await.expect("something within 30 s")
    }
}
