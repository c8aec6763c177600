//! What the clients of a scenario do, and what they have received.

use std::collections::VecDeque;

use chat_core::{ClientId, Input, Protocol, RoomName, SessionId, Username};
use serde_json::{Value, json};

use super::{Client, EPOCH, Line, Scenario, name, short};

impl Scenario {
    /// Opens a v1 connection of a user.
    pub(crate) fn open(&mut self, user: &str, room: &str) -> ClientId {
        self.open_with(user, room, None)
    }

    pub(crate) fn open_with(&mut self, user: &str, room: &str, session: Option<&str>) -> ClientId {
        self.open_for(user, room, session, None)
    }

    /// Opens one with a token that is good for so long.
    pub(crate) fn open_for(
        &mut self,
        user: &str,
        room: &str,
        session: Option<&str>,
        good_for_ms: Option<u64>,
    ) -> ClientId {
        let protocol = Protocol::V1 { room: RoomName::parse(room).expect("a good name") };
        self.open_as(user, protocol, session, good_for_ms)
    }

    /// Opens a v2 connection of a user.
    pub(crate) fn open_v2(&mut self, user: &str) -> ClientId {
        self.open_as(user, Protocol::V2, None, None)
    }

    /// Opens one whose token has a session.
    pub(crate) fn open_v2_with(&mut self, user: &str, session: &str) -> ClientId {
        self.open_as(user, Protocol::V2, Some(session), None)
    }

    /// The frames `room` and `activity` that a client has received and the test has not
    /// looked at.
    pub(crate) fn notes(&mut self, client: ClientId) -> Vec<Value> {
        std::mem::take(&mut self.clients[client.0 as usize].notes)
    }

    /// Opens a v2 connection that has received its `hello` and joined a room.
    pub(crate) fn open_in_room(&mut self, user: &str, room: &str) -> ClientId {
        let client = self.open_v2(user);
        self.join(client, room);
        self.frames(client);
        client
    }

    fn open_as(
        &mut self,
        user: &str,
        protocol: Protocol,
        session: Option<&str>,
        good_for_ms: Option<u64>,
    ) -> ClientId {
        let user = name(user);
        let session = session.map(SessionId::new);
        let client = ClientId(self.clients.len() as u32);
        self.clients.push(Client {
            user: user.clone(),
            is_v2: protocol == Protocol::V2,
            lines: Vec::new(),
            frames: Vec::new(),
            notes: Vec::new(),
            looked_at: 0,
            close_code: None,
            is_gone: false,
            unsent: VecDeque::new(),
        });
        self.turn(Input::Open { client, user: &user, session: session.as_ref(), good_for_ms, protocol });
        client
    }

    /// A v1 client sends a message to its room.
    pub(crate) fn send(&mut self, client: ClientId, text: &str) {
        self.request(client, json!({"type": "message", "text": text}));
    }

    /// A v1 client sends a private message.
    pub(crate) fn send_private(&mut self, client: ClientId, to: &str, text: &str) {
        self.request(client, json!({"type": "private", "text": text, "to": to}));
    }

    /// A v2 client sends a message whose text is its nonce.
    pub(crate) fn send_v2(&mut self, client: ClientId, room: &str, nonce: &str) {
        self.request(client, json!({"type": "message", "room": room, "text": nonce, "nonce": nonce}));
    }

    /// A v2 client sends a private message whose text is its nonce.
    pub(crate) fn send_private_v2(&mut self, client: ClientId, to: &str, nonce: &str) {
        self.request(client, json!({"type": "private", "to": to, "text": nonce, "nonce": nonce}));
    }

    pub(crate) fn join(&mut self, client: ClientId, room: &str) {
        self.request(client, json!({"type": "join", "room": room, "ref": "j"}));
    }

    /// A v2 client joins a room of which it has the entries up to `since`.
    pub(crate) fn resume(&mut self, client: ClientId, room: &str, since: u64) {
        let join = json!({"type": "join", "room": room, "since": since, "epoch": EPOCH, "ref": "j"});
        self.request(client, join);
    }

    pub(crate) fn request(&mut self, client: ClientId, frame: Value) {
        self.frame(client, &frame.to_string());
    }

    /// A client sends a frame, which waits while the client is paused.
    pub(crate) fn frame(&mut self, client: ClientId, frame: &str) {
        self.clients[client.0 as usize].unsent.push_back(frame.to_owned());
        self.perform_all();
    }

    /// A client's connection is lost.
    pub(crate) fn disconnect(&mut self, client: ClientId) {
        if !std::mem::replace(&mut self.clients[client.0 as usize].is_gone, true) {
            self.turn(Input::Closed { client });
        }
    }

    pub(crate) fn revoke(&mut self, session: &str) {
        let session = SessionId::new(session);
        self.turn(Input::Revoked { session: &session });
    }

    /// A client's socket has so many bytes that it has not taken.
    pub(crate) fn pending(&mut self, client: ClientId, bytes: usize) {
        if self.is_open(client) {
            self.turn(Input::Pending { client, bytes });
        }
    }

    /// What a v2 client has received since the test last looked.
    pub(crate) fn frames(&mut self, client: ClientId) -> Vec<Value> {
        let client = &mut self.clients[client.0 as usize];
        let new = client.frames[client.looked_at..].to_vec();
        client.looked_at = client.frames.len();
        new
    }

    /// What a client has received since the test last looked, in short.
    pub(crate) fn received(&mut self, id: ClientId) -> Vec<String> {
        let client = &mut self.clients[id.0 as usize];
        if client.is_v2 {
            return self.frames(id).iter().map(short).collect();
        }
        let new = client.lines[client.looked_at..].iter().map(Line::short).collect();
        client.looked_at = client.lines.len();
        new
    }

    /// All that a v1 client has received.
    pub(crate) fn lines(&self, client: ClientId) -> &[Line] {
        &self.clients[client.0 as usize].lines
    }

    /// The code with which a client was closed.
    pub(crate) fn close_code(&self, client: ClientId) -> Option<u16> {
        self.clients[client.0 as usize].close_code
    }

    /// How many frames of a client wait because it is paused.
    pub(crate) fn waiting(&self, client: ClientId) -> usize {
        self.clients[client.0 as usize].unsent.len()
    }

    /// Whether a client is neither disconnected nor closed.
    pub(crate) fn is_open(&self, client: ClientId) -> bool {
        !self.clients[client.0 as usize].is_gone
    }

    pub(crate) fn user(&self, client: ClientId) -> &Username {
        &self.clients[client.0 as usize].user
    }

    pub(crate) fn client_ids(&self) -> impl Iterator<Item = ClientId> + use<> {
        (0..self.clients.len() as u32).map(ClientId)
    }
}
