//! A user with an account, and their sockets.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async};

use super::http::{Answer, Request};
use super::published;

pub(crate) const PASSWORD: &str = "верный пароль";

#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) server: SocketAddr,
    pub(crate) name: String,
    pub(crate) cookie: String,
}

impl Person {
    pub(crate) fn new(server: SocketAddr, name: &str) -> Self {
        Self { server, name: name.to_owned(), cookie: String::new() }
    }

    pub(crate) async fn register(&self) -> Answer {
        let fields = [("username", self.name.as_str()), ("password", PASSWORD)];
        Request::post("/api/register").form(&fields, None).send(self.server).await
    }

    /// The same person, with the cookie of a new session.
    pub(crate) async fn sign_in(&self) -> Self {
        let login = json!({ "username": self.name, "password": PASSWORD });
        let answer = Request::post("/api/login").json(&login).send(self.server).await.expect_ok();
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        Self { cookie, ..self.clone() }
    }

    /// The same person on a server that was started again.
    pub(crate) fn on(&self, server: SocketAddr) -> Self {
        Self { server, ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Request::get(path).header("Cookie", &self.cookie).send(self.server).await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        Request::post(path).header("Cookie", &self.cookie).send(self.server).await
    }

    /// Opens a socket and waits for its own join notice; the messages before it
    /// are in [`Socket::replay`].
    pub(crate) async fn enter(&self, room: &str) -> Socket {
        let mut socket = self.open(room).await.unwrap();
        loop {
            let frame = socket.next().await;
            if frame["type"] == "system" {
                assert_eq!(frame["from"], self.name.as_str());
                assert_eq!(frame["text"], format!("присоединился к комнате {room}"));
                return socket;
            }
            socket.replay.push(frame);
        }
    }

    /// Opens a socket.
    pub(crate) async fn open(&self, room: &str) -> Result<Socket, Error> {
        let room: String = room.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.open_with(&format!("room={room}"), None).await
    }

    /// Opens a socket that speaks v2, and waits for its `hello`.
    pub(crate) async fn open_v2(&self) -> (Socket, Value) {
        let mut socket = self.open_with("", Some("chat.v2")).await.unwrap();
        let hello = socket.next().await;
        assert_eq!(hello["type"], "hello");
        (socket, hello)
    }

    /// Opens a socket that speaks v2 and joins a room; [`Socket::replay`] has
    /// `joined`, then the room's messages.
    pub(crate) async fn enter_v2(&self, room: &str) -> Socket {
        let (mut socket, _) = self.open_v2().await;
        socket.join(&json!({ "type": "join", "room": room })).await;
        socket
    }

    pub(crate) async fn open_with(&self, query: &str, subprotocol: Option<&str>) -> Result<Socket, Error> {
        let url = format!("ws://{}/ws?{query}", self.server);
        let mut request = url.into_client_request().unwrap();
        if let Some(subprotocol) = subprotocol {
            request.headers_mut().insert("Sec-WebSocket-Protocol", subprotocol.parse().unwrap());
        }
        request.headers_mut().insert("Cookie", self.cookie.parse().unwrap());
        let stream = TcpStream::connect(self.server).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let opening = client_async(request, MaybeTlsStream::Plain(stream));
        let opening = tokio::time::timeout(Duration::from_secs(60), opening).await;
        let (stream, _) = opening.expect("the upgrade is answered")?;
        Ok(Socket { stream, replay: Vec::new() })
    }
}

pub(crate) struct Socket<S = MaybeTlsStream<TcpStream>> {
    pub(crate) stream: WebSocketStream<S>,
    /// The frames before the socket's own join notice.
    pub(crate) replay: Vec<Value>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(crate) async fn say(&mut self, text: &str) {
        self.send(&json!({ "type": "message", "text": text })).await;
    }

    pub(crate) async fn whisper(&mut self, to: &str, text: &str) {
        self.send(&json!({ "type": "private", "to": to, "text": text })).await;
    }

    /// Joins a room; `replay` has `joined` and the whole replay afterwards.
    pub(crate) async fn join(&mut self, request: &Value) {
        self.send(request).await;
        let joined = self.next_of("joined").await;
        let top = joined["seq"].as_u64().unwrap();
        let since = if joined["recovered"] == true { request["since"].as_u64().unwrap() } else { 0 };
        self.replay = vec![joined];
        let mut seen = since;
        while seen < top {
            let frame = self.next_of("message").await;
            seen = frame["seq"].as_u64().unwrap();
            self.replay.push(frame);
        }
    }

    /// The next frame, which must have this type. Frames that another connection of the user or
    /// another user causes at any time are skipped: presence, activity, and the user's own rooms.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind
                || !matches!(frame["type"].as_str(), Some("presence" | "activity" | "room"))
            {
                assert_eq!(frame["type"], kind, "{frame}");
                return frame;
            }
        }
    }

    /// Sends a v2 message to a room.
    pub(crate) async fn post(&mut self, room: &str, text: &str, nonce: &str) {
        let frame = json!({ "type": "message", "room": room, "text": text, "nonce": nonce });
        self.send(&frame).await;
    }

    /// All frames up to the answer to a nonce, which is the last one.
    pub(crate) async fn until_answered(&mut self, nonce: &str) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await;
            let is_answer = (frame["type"] == "ack" || frame["type"] == "error") && frame["nonce"] == nonce;
            frames.push(frame);
            if is_answer {
                return frames;
            }
        }
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// The next frame that is not a ping.
    pub(crate) async fn next(&mut self) -> Value {
        match self.next_or_close().await {
            Ok(frame) => frame,
            Err(code) => panic!("closed with {code:?} while a frame was awaited"),
        }
    }

    /// The next frame, or the code with which the server closed (`None`: the
    /// connection was reset).
    pub(crate) async fn next_or_close(&mut self) -> Result<Value, Option<u16>> {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), self.stream.next()).await;
            match next.expect("something within 20 s") {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(&text).unwrap();
                    published::check(&frame);
                    return Ok(frame);
                }
                Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// The code with which the server closes; earlier frames are skipped.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        loop {
            if let Err(code) = self.next_or_close().await {
                return code;
            }
        }
    }

    /// The next frame that is not a notice.
    pub(crate) async fn next_message(&mut self) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] != "system" {
                return frame;
            }
        }
    }

    /// The next frame must be this message.
    pub(crate) async fn expect(&mut self, from: &str, text: &str) {
        let frame = self.next_message().await;
        assert_eq!((&frame["from"], &frame["text"]), (&json!(from), &json!(text)), "{frame}");
    }

    /// Sends a message and returns all frames before it comes back: a frame that
    /// was delivered earlier is among them.
    pub(crate) async fn all_up_to(&mut self, marker: &str) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await;
            if frame["text"] == marker {
                return frames;
            }
            frames.push(frame);
        }
    }
}
