//! A bare connection of protocol v2, for stories where every message counts.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::crowd::device::connect_to;

pub(crate) struct Line {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

type Failure = Box<dyn Error + Send + Sync>;

impl Line {
    /// Connected, and greeted.
    pub(crate) async fn open(
        server: SocketAddr,
        cookie: &str,
        receive_buffer: Option<u32>,
    ) -> Result<Self, Failure> {
        let opening = async {
            let mut line = Self { socket: connect_to(server, cookie, "", true, receive_buffer).await? };
            line.next_of("hello").await?;
            Ok(line)
        };
        tokio::time::timeout(PATIENCE, opening).await.unwrap_or_else(|_| Err("no answer".into()))
    }

    pub(crate) async fn send(&mut self, frame: &Value) -> Result<(), Failure> {
        Ok(self.socket.send(Message::text(frame.to_string())).await?)
    }

    /// The next frame of this type, whatever comes before it.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Result<Value, Failure> {
        let next = async {
            while let Some(message) = self.socket.next().await {
                if let Message::Text(text) = message? {
                    let frame: Value = serde_json::from_str(&text)?;
                    if frame["type"] == kind {
                        return Ok(frame);
                    }
                }
            }
            Err("the server closed".into())
        };
        tokio::time::timeout(PATIENCE, next).await.unwrap_or_else(|_| Err(format!("no {kind}").into()))
    }

    /// Joins behind a number; returns `joined`.
    pub(crate) async fn join(&mut self, room: &str, behind: Option<(u64, &str)>) -> Result<Value, Failure> {
        let mut request = json!({ "type": "join", "room": room });
        if let Some((since, epoch)) = behind {
            (request["since"], request["epoch"]) = (since.into(), epoch.into());
        }
        self.send(&request).await?;
        self.next_of("joined").await
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
