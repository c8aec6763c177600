//! A client of protocol v1: watches a room, and sends a message now and then.
//! Nothing is repeated: a message that does not come back may be stored or not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_client::Rng;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use super::socket::{Protocol, connect};
use super::{Phase, Shared};
use crate::ledger::{ContentHash, Send, V1Connection, Wanted, between, in_room};

pub(super) struct Watcher {
    pub(super) client: usize,
    pub(super) user: Arc<str>,
    pub(super) cookie: String,
    pub(super) room: String,
    pub(super) rng: Rng,
    pub(super) shared: Arc<Shared>,
}

impl Watcher {
    /// Runs until [`Phase::Stop`], over as many connections as it takes.
    pub(super) async fn run(mut self, mut phases: watch::Receiver<Phase>) -> (Vec<Send>, Vec<V1Connection>) {
        let (mut sends, mut connections) = (Vec::new(), Vec::new());
        while *phases.borrow() < Phase::Stop {
            let ended = tokio::select! {
                () = self.connection(&mut sends, &mut connections, phases.clone()) => false,
                stopped = phases.wait_for(|phase| *phase == Phase::Stop) => stopped.is_ok(),
            };
            if ended {
                break;
            }
            tokio::time::sleep(self.rng.milliseconds(50..400)).await;
        }
        (sends, connections)
    }

    async fn connection(
        &mut self,
        sends: &mut Vec<Send>,
        connections: &mut Vec<V1Connection>,
        phases: watch::Receiver<Phase>,
    ) {
        let query = format!("room={}", self.room.replace(' ', "%20"));
        let opening = connect(self.shared.server, &self.cookie, &query, Protocol::V1, None);
        let Ok(Ok(mut socket)) = tokio::time::timeout(OPEN_TIMEOUT, opening).await else { return };
        let (user, room) = (Arc::clone(&self.user), self.room.clone());
        connections.push(V1Connection { user, room, seen: Vec::new() });
        let mut is_joined = false;
        let mut next_action = Instant::now() + self.rng.milliseconds(500..4000);
        loop {
            let talks = is_joined && *phases.borrow() == Phase::Talk;
            tokio::select! {
                message = tokio::time::timeout(SILENCE_MAX, socket.next()) => {
                    let text = match message {
                        Ok(Some(Ok(Message::Text(text)))) => text,
                        Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) | Err(_) => return,
                        Ok(Some(Ok(_))) => continue,
                    };
                    let frame: Value = serde_json::from_str(&text).expect("the server sends JSON");
                    let string = |field: &str| frame[field].as_str().unwrap_or_default();
                    let topic = match string("type") {
                        "message" => in_room(string("room")),
                        "private" => between(string("from"), string("to")),
                        _ => {
                            is_joined |= string("from") == &*self.user;
                            continue;
                        }
                    };
                    let seen = (self.shared.started.elapsed(), topic, ContentHash::of_v1(string("from"), string("text")));
                    connections.last_mut().expect("pushed above").seen.push(seen);
                }
                () = tokio::time::sleep_until(next_action.into()), if talks => {
                    next_action = Instant::now() + self.rng.milliseconds(500..4000);
                    let text = format!("{} says by v1 {} {}", self.user, self.client, sends.len());
                    let frame = json!({ "type": "message", "text": text }).to_string();
                    let (client, user) = (self.client, Arc::clone(&self.user));
                    let (topic, what) = (in_room(&self.room), Wanted::Message);
                    sends.push(Send { client, user, topic, text, what, nonce: None });
                    if socket.send(Message::text(frame)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest silence of the server, which pings more often.
const SILENCE_MAX: Duration = Duration::from_secs(6);
