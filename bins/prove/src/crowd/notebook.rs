//! What a client records: its sends, its connections frame by frame, and the
//! events of its session.

use std::sync::Arc;
use std::time::Duration;

use chat_client::{Event as ClientEvent, Timeline, Topic as ClientTopic};
use serde_json::Value;

use super::topics::{self, Topics};
use crate::ledger::{
    AppLog, Connection, ContentHash, Frame, GivenUp, Reading, Seen, Send, Shows, State, between, in_room,
};

/// The records of one client.
pub(crate) struct Notebook {
    user: Arc<str>,
    topics: Topics,
    pub(crate) sends: Vec<Send>,
    pub(crate) given_up: Vec<GivenUp>,
    pub(crate) readings: Vec<Reading>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) app: AppLog,
}

impl Notebook {
    pub(crate) fn new(user: Arc<str>) -> Self {
        Self {
            topics: Topics::new(Arc::clone(&user)),
            sends: Vec::new(),
            given_up: Vec::new(),
            readings: Vec::new(),
            connections: Vec::new(),
            app: AppLog { user: Arc::clone(&user), ..AppLog::default() },
            user,
        }
    }

    pub(super) fn connection_opened(&mut self) {
        self.connections.push(Connection { user: Arc::clone(&self.user), frames: Vec::new() });
    }

    pub(super) fn connection_closed(&mut self, at: Duration, code: Option<u16>) {
        self.record(at, Frame::Closed { code });
    }

    /// Records a frame that the session sends.
    pub(super) fn frame_sent(&mut self, at: Duration, text: &str) {
        let frame: Value = serde_json::from_str(text).expect("a session sends JSON");
        let string = |field: &str| frame[field].as_str().unwrap_or_default().to_owned();
        match frame["type"].as_str() {
            Some("join") => self.record(
                at,
                Frame::JoinRequest {
                    reference: string("ref"),
                    since: frame["since"].as_u64(),
                    epoch: frame["epoch"].as_str().map(str::to_owned),
                },
            ),
            Some("leave") => self.record(at, Frame::LeaveRequest { room: in_room(&string("room")) }),
            Some("message" | "private" | "edit" | "delete" | "react" | "unreact") => {
                let topic = match frame["room"].as_str() {
                    Some(room) => self.topics.of(&ClientTopic::room(room)),
                    None => self.topics.of(&ClientTopic::private(string("to"))),
                };
                self.record(at, Frame::Sent { nonce: string("nonce"), topic });
            }
            Some("read") => {
                let topic = match frame["room"].as_str() {
                    Some(room) => self.topics.of(&ClientTopic::room(room)),
                    None => self.topics.of(&ClientTopic::private(string("with"))),
                };
                let upto = frame["upto"].as_u64().unwrap_or_default();
                self.record(at, Frame::Read { topic, upto });
            }
            _ => {}
        }
    }

    /// Records that the user has read a topic.
    pub(super) fn has_read(&mut self, topic: &ClientTopic, upto: u64) {
        let (user, topic) = (Arc::clone(&self.user), (*self.topics.of(topic)).clone());
        self.readings.push(Reading { user, topic, upto });
    }

    /// Records a frame of the server, and returns it if it is of a known type.
    pub(super) fn frame_received(&mut self, at: Duration, text: &str) -> Option<&Frame> {
        let frame: Value = serde_json::from_str(text).expect("the server sends JSON");
        let string = |field: &str| frame[field].as_str().unwrap_or_default();
        let seq = frame["seq"].as_u64().unwrap_or_default();
        let recorded = match string("type") {
            "hello" => {
                let listed = frame["privates"].as_array().into_iter().flatten();
                let listed: Vec<_> = listed
                    .filter_map(|top| Some((between(&self.user, top["with"].as_str()?), top)))
                    .collect();
                let number = |value: &Value, field: &str| value[field].as_u64();
                let rooms = frame["rooms"].as_array().into_iter().flatten();
                let rooms = rooms.filter_map(|room| Some((in_room(room["room"].as_str()?), room)));
                let reads = listed.iter().cloned().chain(rooms);
                let reads = reads.filter_map(|(topic, top)| Some((topic, number(top, "read")?))).collect();
                let privates = listed.into_iter();
                let privates = privates.filter_map(|(pair, top)| Some((pair, number(top, "seq")?))).collect();
                Frame::Hello { privates, has_more: frame["has_more"] == true, reads }
            }
            "joined" => Frame::Joined {
                reference: string("ref").to_owned(),
                room: in_room(string("room")),
                epoch: string("epoch").into(),
                seq,
                recovered: frame["recovered"] == true,
            },
            "left" => Frame::Left { room: in_room(string("room")) },
            "ack" => {
                let topic = match frame["room"].as_str() {
                    Some(room) => in_room(room),
                    None => between(&self.user, string("to")),
                };
                let nonce = string("nonce").to_owned();
                Frame::Ack { nonce, topic, seq, duplicate: frame["duplicate"] == true }
            }
            "error" => {
                let nonce = frame["nonce"].as_str().map(str::to_owned);
                Frame::Error { code: string("code").to_owned(), nonce }
            }
            "reconnect" => Frame::Reconnect,
            kind @ ("message" | "private" | "edit" | "delete" | "react" | "unreact") => {
                let topic = match frame["room"].as_str() {
                    Some(room) => self.topics.of(&ClientTopic::room(room)),
                    None => self.topics.between(string("from"), string("to")),
                };
                let content = ContentHash::of_v2(
                    string("from"),
                    frame["text"].as_str(),
                    frame["nonce"].as_str(),
                    frame["timestamp"].as_u64().unwrap_or_default(),
                    if kind == "private" { "message" } else { kind },
                    frame["target"].as_u64(),
                    frame["emoji"].as_str(),
                );
                let state = state(&frame);
                Frame::Entry(Seen { topic, seq, content, updated: state.updated, state: state.hash() })
            }
            _ => return None,
        };
        self.record(at, recorded);
        self.connections.last().and_then(|connection| connection.frames.last()).map(|(_, frame)| frame)
    }

    /// Records an event of the session.
    pub(super) fn event(&mut self, at: Duration, event: ClientEvent) {
        if let ClientEvent::NotSent { nonce, code, may_be_stored, .. } = &event {
            let (user, nonce) = (Arc::clone(&self.user), nonce.clone());
            self.given_up.push(GivenUp { user, nonce, code: code.clone(), may_be_stored: *may_be_stored });
        }
        if let Some(event) = self.topics.event(event) {
            self.app.events.push((at, event));
        }
    }

    /// Records the messages that an application shows of a topic.
    pub(super) fn shows(&mut self, timeline: &Timeline) {
        let topic = self.topics.of(timeline.topic());
        self.app.shows.extend(timeline.messages().map(|entry| Shows {
            topic: Arc::clone(&topic),
            seq: entry.seq,
            text: entry.text.clone(),
            state: topics::state(entry),
        }));
    }

    fn record(&mut self, at: Duration, frame: Frame) {
        if let Some(connection) = self.connections.last_mut() {
            connection.frames.push((at, frame));
        }
    }
}

/// What a frame shows that changes have made of a message.
fn state(frame: &Value) -> State {
    let reactions = frame["reactions"].as_array().into_iter().flatten();
    let reaction = |shown: &Value| Some((shown["emoji"].as_str()?.to_owned(), shown["count"].as_u64()?));
    State {
        edited: frame["edited"].as_u64(),
        deleted: frame["deleted"] == true,
        reactions: reactions.filter_map(reaction).collect(),
        updated: frame["updated"].as_u64().unwrap_or_default(),
        reply_to: frame["reply_to"].as_u64(),
    }
}
