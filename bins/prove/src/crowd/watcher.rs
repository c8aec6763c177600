//! Somebody who speaks v1: watches a room, and says something now and then.
//! Nothing is repeated: what has no echo may be stored or not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_client::Rng;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use super::device::connect_to;
use super::{Phase, Shared};
use crate::ledger::{Send, Watched, Words, between, in_room};

pub(crate) struct Watcher {
    pub(crate) client: usize,
    pub(crate) user: Arc<str>,
    pub(crate) cookie: String,
    pub(crate) room: String,
    pub(crate) rng: Rng,
    pub(crate) shared: Arc<Shared>,
}

impl Watcher {
    pub(crate) async fn watch(mut self, mut phases: watch::Receiver<Phase>) -> (Vec<Send>, Vec<Watched>) {
        let (mut sends, mut watched) = (Vec::new(), Vec::new());
        while *phases.borrow() < Phase::Stop {
            let ended = tokio::select! {
                () = self.connection(&mut sends, &mut watched, phases.clone()) => false,
                stopped = phases.wait_for(|phase| *phase == Phase::Stop) => stopped.is_ok(),
            };
            if ended {
                break;
            }
            tokio::time::sleep(self.rng.milliseconds(50..400)).await;
        }
        (sends, watched)
    }

    async fn connection(
        &mut self,
        sends: &mut Vec<Send>,
        watched: &mut Vec<Watched>,
        phases: watch::Receiver<Phase>,
    ) {
        let query = format!("room={}", self.room.replace(' ', "%20"));
        let opening = connect_to(self.shared.server, &self.cookie, &query, false, None);
        let Ok(Ok(mut socket)) = tokio::time::timeout(OPEN_PATIENCE, opening).await else { return };
        let (user, room) = (Arc::clone(&self.user), self.room.clone());
        watched.push(Watched { user, room, seen: Vec::new() });
        let mut is_in = false;
        let mut next_say = Instant::now() + self.rng.milliseconds(500..4000);
        loop {
            let talks = is_in && *phases.borrow() == Phase::Talk;
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
                            is_in |= string("from") == &*self.user;
                            continue;
                        }
                    };
                    let seen = (self.shared.started.elapsed(), topic, Words::spoken(string("from"), string("text")));
                    watched.last_mut().expect("pushed above").seen.push(seen);
                }
                () = tokio::time::sleep_until(next_say.into()), if talks => {
                    next_say = Instant::now() + self.rng.milliseconds(500..4000);
                    let text = format!("{} in the old way {} {}", self.user, self.client, sends.len());
                    let frame = json!({ "type": "message", "text": text }).to_string();
                    let (client, user) = (self.client, Arc::clone(&self.user));
                    sends.push(Send { client, user, topic: in_room(&self.room), text, nonce: None });
                    if socket.send(Message::text(frame)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

const OPEN_PATIENCE: Duration = Duration::from_secs(3);
/// The server pings more often.
const SILENCE_MAX: Duration = Duration::from_secs(6);
