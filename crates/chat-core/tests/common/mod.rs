//! A hub with its log, clock and clients, for tests that read as stories.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use chat_core::{
    Answer, Body, ClientId, Commit, Draft, DraftId, Entry, Framing, History, HistoryLimits, Hub, HubOptions,
    Input, MessageText, Missed, Now, Outcome, Output, Outputs, PageFrom, Pair, PresenceChange, Protocol,
    Query, ReadId, Receipt, RoomName, Seed, SessionId, Subscription, Topic, Username, Write,
};
use serde::Deserialize;
use serde_json::Value;

/// One hub and everything around it. A log, a network and a clock that do
/// what the story says; unless it says otherwise, all is done at once.
pub(crate) struct Story {
    pub(crate) hub: Hub,
    pub(crate) now: Now,
    pub(crate) history: History,
    /// Drafts and reads are kept back until [`Story::append`] and
    /// [`Story::read`].
    pub(crate) hold_appends: bool,
    pub(crate) hold_reads: bool,
    /// What is committed is not carried to the hub, receipts excepted.
    pub(crate) lose_entries: bool,
    pub(crate) drafts: Vec<Draft>,
    pub(crate) reads: VecDeque<(ReadId, Query)>,
    /// Reads for a `hello`.
    pub(crate) hellos: VecDeque<(ReadId, Query)>,
    /// How often a page was asked for.
    pub(crate) reads_asked: usize,
    pub(crate) subscriptions: BTreeSet<Subscription>,
    pub(crate) presence: Vec<PresenceChange>,
    /// Private messages as they were committed, and who was there to get them.
    pub(crate) privates: Vec<(Arc<Entry>, Vec<ClientId>)>,
    clients: Vec<Seen>,
    out: Outputs,
    /// Bytes put out since the last turn ended, and the most of one.
    put_out: usize,
    most: usize,
}

/// What a client got.
struct Seen {
    user: Username,
    v2: bool,
    lines: Vec<Line>,
    /// What a v2 client got.
    frames: Vec<Value>,
    /// How many of them the story has looked at.
    read: usize,
    code: Option<u16>,
    gone: bool,
    /// Frames that wait because the client is paused.
    inbox: VecDeque<String>,
}

/// A frame from the server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) from: String,
    pub(crate) to: Option<String>,
    pub(crate) text: String,
    pub(crate) timestamp: u64,
    pub(crate) room: String,
}

impl Line {
    fn parse(line: &str) -> Self {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
    }

    /// `alice: hi`, `alice to bob: hi`, `+alice` (came), `-alice` (left).
    pub(crate) fn short(&self) -> String {
        let Self { from, text, .. } = self;
        match (self.kind.as_str(), &self.to) {
            ("message", None) => format!("{from}: {text}"),
            ("private", Some(to)) => format!("{from} to {to}: {text}"),
            ("system", None) if text.starts_with("присоединился к комнате ") => {
                format!("+{from}")
            }
            ("system", None) if text.starts_with("покинул комнату ") => format!("-{from}"),
            _ => panic!("not a frame of protocol v1: {self:?}"),
        }
    }
}

impl Story {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A story whose hub has other options.
    pub(crate) fn with(change: impl FnOnce(&mut HubOptions)) -> Self {
        let mut options = HubOptions { framing: Framing::Lines, ..HubOptions::default() };
        change(&mut options);
        Self {
            hub: Hub::new(options, Seed(1, 2)),
            now: Now { mono_ms: 1_000_000, wall_ms: 1_795_371_797_000 },
            history: History::new(Seed(3, 4), HistoryLimits::default()),
            hold_appends: false,
            hold_reads: false,
            lose_entries: false,
            drafts: Vec::new(),
            reads: VecDeque::new(),
            hellos: VecDeque::new(),
            reads_asked: 0,
            subscriptions: BTreeSet::new(),
            presence: Vec::new(),
            privates: Vec::new(),
            clients: Vec::new(),
            out: Outputs::default(),
            put_out: 0,
            most: 0,
        }
    }

    /// A connection of `user` is opened.
    pub(crate) fn open(&mut self, user: &str, room: &str) -> ClientId {
        self.open_with(user, room, None)
    }

    pub(crate) fn open_with(&mut self, user: &str, room: &str, session: Option<&str>) -> ClientId {
        self.open_for(user, room, session, None)
    }

    /// With a token that is good for so long.
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

    /// A connection of `user` that speaks v2.
    pub(crate) fn open_v2(&mut self, user: &str) -> ClientId {
        self.open_as(user, Protocol::V2, None, None)
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
        self.clients.push(Seen {
            user: user.clone(),
            v2: protocol == Protocol::V2,
            lines: Vec::new(),
            frames: Vec::new(),
            read: 0,
            code: None,
            gone: false,
            inbox: VecDeque::new(),
        });
        self.turn(Input::Open { client, user: &user, session: session.as_ref(), good_for_ms, protocol });
        client
    }

    /// A client sends a message to its room.
    pub(crate) fn say(&mut self, client: ClientId, text: &str) {
        self.frame(client, &serde_json::json!({"type": "message", "text": text}).to_string());
    }

    /// A client sends a private message.
    pub(crate) fn tell(&mut self, client: ClientId, to: &str, text: &str) {
        self.frame(client, &serde_json::json!({"type": "private", "text": text, "to": to}).to_string());
    }

    /// A client sends a frame, which waits while the client is paused.
    pub(crate) fn frame(&mut self, client: ClientId, frame: &str) {
        self.clients[client.0 as usize].inbox.push_back(frame.to_owned());
        self.settle();
    }

    /// A client's connection is lost.
    pub(crate) fn lose(&mut self, client: ClientId) {
        if !std::mem::replace(&mut self.clients[client.0 as usize].gone, true) {
            self.turn(Input::Closed { client });
        }
    }

    pub(crate) fn revoke(&mut self, session: &str) {
        let session = SessionId::new(session);
        self.turn(Input::Revoked { session: &session });
    }

    /// A client's socket holds so many bytes that it has not taken.
    pub(crate) fn pending(&mut self, client: ClientId, bytes: usize) {
        if !self.clients[client.0 as usize].gone {
            self.turn(Input::Pending { client, bytes });
        }
    }

    /// Somebody on another hub writes to a room, and this hub is not told.
    pub(crate) fn elsewhere(&mut self, from: &str, room: &str, text: &str) -> Arc<Entry> {
        self.store(from, topic(room), text)
    }

    /// The same, privately.
    pub(crate) fn elsewhere_to(&mut self, from: &str, to: &str, text: &str) -> Arc<Entry> {
        self.store(from, Topic::Pair(Pair::new(name(from), name(to))), text)
    }

    fn store(&mut self, from: &str, topic: Topic, text: &str) -> Arc<Entry> {
        let draft = Draft {
            id: DraftId(u64::MAX),
            topic,
            from: name(from),
            room: None,
            body: Body::Message { text: MessageText::parse(text, 4096).expect("a good text") },
            nonce: None,
        };
        let commit = self.history.append(&[draft], self.now.wall_ms, |_| true);
        Arc::clone(&commit.entries[0])
    }

    /// Entries are carried to the hub.
    pub(crate) fn carry(&mut self, entries: &[&Arc<Entry>]) {
        let entries: Vec<_> = entries.iter().map(|&entry| Arc::clone(entry)).collect();
        self.turn(Input::Commit { entries: &entries, receipts: &[] });
    }

    pub(crate) fn missed(&mut self, room: &str, first: u64, last: u64) {
        self.turn(Input::Missed(&[Missed { topic: topic(room), first, last }]));
    }

    /// The log removes a room's entries below this number, and says so.
    pub(crate) fn trim(&mut self, room: &str, first: u64) {
        let topic = topic(room);
        let (_, topics) = self.history.trim(usize::MAX, |entry, _| entry.topic == topic && entry.seq < first);
        self.turn(Input::Trimmed(&topics));
    }

    /// The log stores the first `count` drafts that were kept back, in one
    /// transaction.
    pub(crate) fn append(&mut self, count: usize) {
        self.append_some(count);
        self.settle();
    }

    /// The log fails the first `count` drafts that were kept back.
    pub(crate) fn fail(&mut self, count: usize) {
        let receipts: Vec<_> = self
            .drafts
            .drain(..count)
            .map(|draft| Receipt { draft: draft.id, outcome: Outcome::Failed })
            .collect();
        self.turn(Input::Commit { entries: &[], receipts: &receipts });
    }

    /// The log answers the oldest read that was kept back.
    pub(crate) fn read(&mut self) {
        let (id, query) = self.reads.pop_front().expect("a read is on its way");
        self.read_now(id, &query);
        self.settle();
    }

    /// The log answers the oldest hello that was kept back.
    pub(crate) fn read_hello(&mut self) {
        let (id, query) = self.hellos.pop_front().expect("a hello is on its way");
        self.read_now(id, &query);
        self.settle();
    }

    /// A v2 client sends a frame.
    pub(crate) fn ask(&mut self, client: ClientId, frame: Value) {
        self.frame(client, &frame.to_string());
    }

    /// What a v2 client got since the story last asked.
    pub(crate) fn frames(&mut self, client: ClientId) -> Vec<Value> {
        let seen = &mut self.clients[client.0 as usize];
        let new = seen.frames[seen.read..].to_vec();
        seen.read = seen.frames.len();
        new
    }

    /// The log cannot answer the oldest read.
    pub(crate) fn fail_read(&mut self) {
        let (id, _) = self.reads.pop_front().expect("a read is on its way");
        self.turn(Input::Answer { id, answer: &Answer::Failed });
    }

    /// Time passes, with a tick whenever one is due.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        while self.hub.next_tick_ms() <= end {
            let due = self.hub.next_tick_ms().max(self.now.mono_ms);
            self.now.wall_ms += due - self.now.mono_ms;
            self.now.mono_ms = due;
            self.turn(Input::Tick);
        }
        self.now.wall_ms += end - self.now.mono_ms;
        self.now.mono_ms = end;
    }

    /// What a client got since the story last asked, in short.
    pub(crate) fn seen(&mut self, client: ClientId) -> Vec<String> {
        let seen = &mut self.clients[client.0 as usize];
        let new = seen.lines[seen.read..].iter().map(Line::short).collect();
        seen.read = seen.lines.len();
        new
    }

    /// Everything that a client got.
    pub(crate) fn lines(&self, client: ClientId) -> &[Line] {
        &self.clients[client.0 as usize].lines
    }

    /// With which code a client was closed, if it was.
    pub(crate) fn code(&self, client: ClientId) -> Option<u16> {
        self.clients[client.0 as usize].code
    }

    /// How many frames of a client wait because it is paused.
    pub(crate) fn waiting(&self, client: ClientId) -> usize {
        self.clients[client.0 as usize].inbox.len()
    }

    /// Neither lost nor closed.
    pub(crate) fn is_open(&self, client: ClientId) -> bool {
        !self.clients[client.0 as usize].gone
    }

    pub(crate) fn user(&self, client: ClientId) -> &Username {
        &self.clients[client.0 as usize].user
    }

    pub(crate) fn client_ids(&self) -> impl Iterator<Item = ClientId> + use<> {
        (0..self.clients.len() as u32).map(ClientId)
    }

    /// One input and its outputs, and whatever follows from these at once.
    pub(crate) fn turn(&mut self, input: Input<'_>) {
        self.hub.step(self.now, input, &mut self.out);
        self.hub.end_turn(&mut self.out);
        self.settle();
    }

    /// Does what follows, until only what is kept back is left.
    fn settle(&mut self) {
        loop {
            self.perform();
            if !self.hold_appends && !self.drafts.is_empty() {
                self.append_some(self.drafts.len());
            } else if !self.hold_reads
                && let Some((id, query)) = self.reads.pop_front().or_else(|| self.hellos.pop_front())
            {
                self.read_now(id, &query);
            } else if !self.hand_over() {
                self.hub.end_turn(&mut self.out);
                if self.out.is_empty() {
                    break;
                }
            }
        }
    }

    /// Hands over a frame of somebody who is not paused.
    fn hand_over(&mut self) -> bool {
        for client in self.client_ids() {
            if !self.hub.is_paused(client)
                && let Some(text) = self.clients[client.0 as usize].inbox.pop_front()
            {
                self.hub.step(self.now, Input::Frame { client, text: &text }, &mut self.out);
                self.hub.end_turn(&mut self.out);
                return true;
            }
        }
        false
    }

    /// Bytes of the turn in which most was put out.
    pub(crate) fn most_in_a_turn(&self) -> usize {
        self.most
    }

    fn perform(&mut self) {
        self.most = self.most.max(std::mem::take(&mut self.put_out));
        while let Some(output) = self.out.next() {
            match output {
                Output::Write(write) => self.write(&write),
                Output::Close { client, code } => {
                    let seen = &mut self.clients[client.0 as usize];
                    assert_eq!(seen.code.replace(code.code()), None, "{client:?} is closed twice");
                    if !std::mem::replace(&mut seen.gone, true) {
                        self.hub.step(self.now, Input::Closed { client }, &mut self.out);
                        self.hub.end_turn(&mut self.out);
                    }
                }
                Output::Append(draft) => self.drafts.push(draft),
                Output::Read { id, query } => {
                    self.reads_asked += 1;
                    match &query {
                        Query::Page { topic, .. } => {
                            assert!(self.is_wanted(topic), "read before it was subscribed to: {query:?}");
                            self.reads.push_back((id, query));
                        }
                        Query::Conversations { .. } => self.hellos.push_back((id, query)),
                    }
                }
                Output::Pause(client) => assert!(self.hub.is_paused(client)),
                Output::Resume(_) => {}
                Output::Subscribe(to) => {
                    assert!(self.subscriptions.insert(to.clone()), "{to:?} was subscribed to");
                }
                Output::Unsubscribe(to) => {
                    assert!(self.subscriptions.remove(&to), "{to:?} was not subscribed to");
                }
                Output::Presence(change) => self.presence.push(change),
            }
        }
    }

    fn write(&mut self, write: &Write) {
        let bytes = str::from_utf8(self.out.bytes(write)).expect("frames are UTF-8");
        self.put_out += bytes.len() * self.out.recipients(write).len();
        assert!(bytes.ends_with('\n'), "whole frames only");
        for &client in self.out.recipients(write) {
            let seen = &mut self.clients[client.0 as usize];
            assert_eq!(seen.code, None, "{client:?} was closed before {bytes}");
            if seen.v2 {
                seen.frames.extend(bytes.lines().map(|line| serde_json::from_str(line).expect("JSON")));
            } else if !seen.gone {
                seen.lines.extend(bytes.lines().map(Line::parse));
            }
        }
    }

    fn append_some(&mut self, count: usize) {
        let drafts: Vec<_> = self.drafts.drain(..count).collect();
        // A name with a capital letter is that of no account.
        let account = |name: &Username| !name.as_str().contains(char::is_uppercase);
        let Commit { entries, receipts } = self.history.append(&drafts, self.now.wall_ms, account);
        let carried: Vec<_> =
            entries.into_iter().filter(|entry| !self.lose_entries && self.is_wanted(&entry.topic)).collect();
        for entry in &carried {
            if let Topic::Pair(pair) = &entry.topic {
                let there = |&client: &ClientId| self.is_open(client) && in_pair(pair, self.user(client));
                self.privates.push((Arc::clone(entry), self.client_ids().filter(there).collect()));
            }
        }
        self.hub.step(self.now, Input::Commit { entries: &carried, receipts: &receipts }, &mut self.out);
        self.hub.end_turn(&mut self.out);
    }

    fn is_wanted(&self, topic: &Topic) -> bool {
        let to = |subscription| self.subscriptions.contains(&subscription);
        match topic {
            Topic::Room(room) => to(Subscription::Room(room.clone())),
            Topic::Pair(pair) => {
                [pair.low(), pair.high()].map(|n| to(Subscription::User(n.clone()))).contains(&true)
            }
        }
    }

    fn read_now(&mut self, id: ReadId, query: &Query) {
        let answer = self.history.answer(query);
        self.hub.step(self.now, Input::Answer { id, answer: &answer }, &mut self.out);
        self.hub.end_turn(&mut self.out);
    }

    /// The numbers that the reads on their way start after (`None`: the newest).
    pub(crate) fn reading_after(&self) -> Vec<Option<u64>> {
        let after = |(_, query): &(ReadId, Query)| match query {
            Query::Page { from: PageFrom::After(seq), .. } => Some(*seq),
            _ => None,
        };
        self.reads.iter().map(after).collect()
    }
}

pub(crate) fn name(name: &str) -> Username {
    Username::parse(name).expect("a good name")
}

pub(crate) fn topic(room: &str) -> Topic {
    Topic::Room(RoomName::parse(room).expect("a good name"))
}

pub(crate) fn in_pair(pair: &Pair, user: &Username) -> bool {
    pair.low() == user || pair.high() == user
}

/// `prefix 1`, `prefix 2` … of one author, as a client sees them.
pub(crate) fn numbered(prefix: &str, numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    numbers.map(|n| format!("{prefix}{n}")).collect()
}
