//! A raw connection of protocol v2, for scenarios that check every frame.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::crowd::socket::{Protocol, connect};

/// A connection without a session.
pub(crate) struct RawConnection {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

type Failure = Box<dyn Error + Send + Sync>;

impl RawConnection {
    /// Connects and waits for `hello`.
    pub(crate) async fn open(
        server: SocketAddr,
        cookie: &str,
        receive_buffer: Option<u32>,
    ) -> Result<Self, Failure> {
        let opening = async {
            let mut connection =
                Self { socket: connect(server, cookie, "", Protocol::V2, receive_buffer).await? };
            connection.next_of("hello").await?;
            Ok(connection)
        };
        tokio::time::timeout(TIMEOUT, opening).await.unwrap_or_else(|_| Err("no answer".into()))
    }

    pub(crate) async fn send(&mut self, frame: &Value) -> Result<(), Failure> {
        Ok(self.socket.send(Message::text(frame.to_string())).await?)
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Result<Value, Failure> {
        while let Some(message) = self.socket.next().await {
            if let Message::Text(text) = message? {
                return Ok(serde_json::from_str(&text)?);
            }
        }
        Err("the server closed".into())
    }

    /// The next frame of this type; frames before it are skipped.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Result<Value, Failure> {
        let next = async {
            loop {
                let frame = self.next().await?;
                if frame["type"] == kind {
                    return Ok(frame);
                }
            }
        };
        tokio::time::timeout(TIMEOUT, next).await.unwrap_or_else(|_| Err(format!("no {kind}").into()))
    }

    /// Joins a room, optionally behind a number of an epoch; returns `joined`.
    pub(crate) async fn join(&mut self, room: &str, behind: Option<(u64, &str)>) -> Result<Value, Failure> {
        let mut request = json!({ "type": "join", "room": room });
        if let Some((since, epoch)) = behind {
            (request["since"], request["epoch"]) = (since.into(), epoch.into());
        }
        self.send(&request).await?;
        self.next_of("joined").await
    }
}

const TIMEOUT: Duration = Duration::from_secs(20);
