//! A user who keeps talking during an outage, and records everything.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::SinkExt as _;
use serde_json::json;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use super::ledger::{Connection, Note, between, in_room};
use crate::common::{Person, Socket};

/// A user who talks in a room and to a friend, and reconnects when closed.
pub(crate) struct Talker {
    pub(crate) person: Person,
    pub(crate) room: &'static str,
    pub(crate) friend: &'static str,
    pub(crate) notebook: Arc<Mutex<Notebook>>,
}

/// What a talker records.
#[derive(Default)]
pub(crate) struct Notebook {
    pub(crate) sent: Vec<Note>,
    pub(crate) connections: Vec<Connection>,
    /// For each own message that came back: when it was sent, and when it came.
    pub(crate) echoes: Vec<(Instant, Instant)>,
    pub(crate) closings: Vec<Closing>,
    /// Failed attempts to connect.
    pub(crate) refused: usize,
}

/// A connection that the server closed.
#[derive(Debug)]
pub(crate) struct Closing {
    pub(crate) code: Option<u16>,
    /// The age of the oldest own message that had not come back.
    pub(crate) waited: Duration,
}

/// The pause between two messages of a talker.
const PAUSE: Duration = Duration::from_millis(25);
/// A client waits longer after each failed attempt, but not much longer than the
/// outages here.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_millis(800);

impl Talker {
    /// Talks until `stop`; then the messages on their way must still come back.
    pub(crate) async fn talk(self, stop: watch::Receiver<bool>) {
        let mut backoff = BACKOFF_FIRST;
        while !*stop.borrow() {
            match self.person.open(self.room).await {
                Ok(socket) => {
                    let before = self.note(|notebook| notebook.echoes.len());
                    self.converse(socket, stop.clone()).await;
                    if self.note(|notebook| notebook.echoes.len()) > before {
                        backoff = BACKOFF_FIRST;
                    }
                }
                Err(_) => self.note(|notebook| notebook.refused += 1),
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Talks on one connection until it ends.
    async fn converse(&self, mut socket: Socket, mut stop: watch::Receiver<bool>) {
        let name = self.person.name.as_str();
        self.note(|notebook| {
            let connection = Connection { user: name.into(), room: self.room.into(), seen: Vec::new() };
            notebook.connections.push(connection);
        });
        let mut joined = false;
        let mut stopping = *stop.borrow();
        let mut unanswered: Vec<(Instant, Note)> = Vec::new();
        let mut pace = tokio::time::interval(PAUSE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if stopping && (!joined || unanswered.is_empty()) {
                // The order of recipients is not checked here.
                let _ = socket.stream.close(None).await;
                return;
            }
            tokio::select! {
                frame = socket.next_or_close() => match frame {
                    Ok(frame) => match Note::of(&frame) {
                        Some(note) => {
                            let own = unanswered.iter().position(|(_, own)| *own == note);
                            let echo = own.map(|own| (unanswered.remove(own).0, Instant::now()));
                            self.note(|notebook| {
                                notebook.echoes.extend(echo);
                                notebook.connections.last_mut().expect("pushed above").seen.push(note);
                            });
                        }
                        None => joined |= frame["from"] == name,
                    },
                    Err(code) => {
                        let waited = unanswered.first().map(|(sent, _)| sent.elapsed());
                        let closing = Closing { code, waited: waited.unwrap_or_default() };
                        self.note(|notebook| notebook.closings.push(closing));
                        return;
                    }
                },
                _ = pace.tick(), if joined && !stopping => {
                    let (note, frame) = self.next_message();
                    self.note(|notebook| notebook.sent.push(note.clone()));
                    unanswered.push((Instant::now(), note));
                    // The next read returns the reason.
                    let _ = socket.stream.send(Message::text(frame)).await;
                }
                _ = stop.changed(), if !stopping => stopping = true,
            }
        }
    }

    /// The next message; each fifth one is private.
    fn next_message(&self) -> (Note, String) {
        let name = self.person.name.as_str();
        let number = self.note(|notebook| notebook.sent.len());
        let text = format!("{name} {number}");
        let (topic, frame) = match number % 5 {
            4 => (between(name, self.friend), json!({ "to": self.friend, "text": text })),
            _ => (in_room(self.room), json!({ "text": text })),
        };
        (Note { topic, from: name.into(), text }, frame.to_string())
    }

    fn note<T>(&self, write: impl FnOnce(&mut Notebook) -> T) -> T {
        write(&mut self.notebook.lock().expect("no task panics while it holds the lock"))
    }
}

impl Notebook {
    /// How long after `moment` a message came back that was sent after it.
    pub(crate) fn answered_after(&self, moment: Instant) -> Option<Duration> {
        let (_, came) = self.echoes.iter().find(|(sent, _)| *sent > moment)?;
        Some(*came - moment)
    }
}
