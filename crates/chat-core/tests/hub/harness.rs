//! A hub with its log, clock and clients, so that tests read as scenarios: alice
//! joins, bob sends `hi`, and each receives what they should.

mod clients;
mod received;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use chat_core::{
    Answer, Body, ChangeRules, ClientId, Commit, Draft, DraftId, Emoji, Entry, Framing, History,
    HistoryLimits, Hub, HubOptions, Input, MessageText, Missed, Now, Outcome, Output, Outputs, PageFrom,
    Pair, PresenceChange, Query, ReadId, Receipt, RoomChange, RoomName, Seed, Subscription, Topic,
    TypingChange, UserMark, Username, WantedChange, Write,
};
use serde_json::Value;

pub(crate) use self::received::{Line, short};

/// One hub, and a log, a network and a clock around it that do what the test
/// demands. All drafts are stored and all reads answered at once, unless they are
/// held back.
pub(crate) struct Scenario {
    pub(crate) hub: Hub,
    pub(crate) now: Now,
    pub(crate) history: History,
    /// Drafts are held back until [`Scenario::append`].
    pub(crate) hold_appends: bool,
    /// Reads are held back until [`Scenario::read`].
    pub(crate) hold_reads: bool,
    /// Committed entries are not carried to the hub; receipts are.
    pub(crate) lose_entries: bool,
    pub(crate) drafts: Vec<Draft>,
    pub(crate) reads: VecDeque<(ReadId, Query)>,
    /// Reads for a `hello`.
    pub(crate) hellos: VecDeque<(ReadId, Query)>,
    /// Questions about rooms and marks, which are answered before everything else.
    pub(crate) questions: VecDeque<(ReadId, Query)>,
    /// They are held back until [`Scenario::answer_question`].
    pub(crate) hold_questions: bool,
    /// How many reads of pages the hub has put out.
    pub(crate) pages_begun: usize,
    pub(crate) subscriptions: BTreeSet<Subscription>,
    pub(crate) presence: Vec<PresenceChange>,
    pub(crate) typing: Vec<TypingChange>,
    /// The marks that the hub has put out.
    pub(crate) kept: Vec<UserMark>,
    /// Marks do not reach the log.
    pub(crate) lose_marks: bool,
    /// Private messages as they were committed, with the clients of their two
    /// users at that time.
    pub(crate) privates: Vec<(Arc<Entry>, Vec<ClientId>)>,
    clients: Vec<Client>,
    out: Outputs,
    /// Bytes put out in this turn.
    turn_bytes: usize,
    /// Bytes put out in the turn that had most.
    turn_bytes_max: usize,
}

/// A client, and what it has received.
struct Client {
    user: Username,
    is_v2: bool,
    /// The frames of a v1 client.
    lines: Vec<Line>,
    /// The frames of a v2 client.
    frames: Vec<Value>,
    /// The frames `room` and `activity` of a v2 client, which few tests are about.
    notes: Vec<Value>,
    /// How many frames the test has looked at.
    looked_at: usize,
    close_code: Option<u16>,
    is_gone: bool,
    /// Frames that wait because the client is paused.
    unsent: VecDeque<String>,
}

impl Scenario {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A scenario whose hub has other options.
    pub(crate) fn with(change: impl FnOnce(&mut HubOptions)) -> Self {
        let mut options =
            HubOptions { framing: Framing::Lines, epoch: EPOCH.into(), ..HubOptions::default() };
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
            questions: VecDeque::new(),
            hold_questions: false,
            pages_begun: 0,
            subscriptions: BTreeSet::new(),
            presence: Vec::new(),
            typing: Vec::new(),
            kept: Vec::new(),
            lose_marks: false,
            privates: Vec::new(),
            clients: Vec::new(),
            out: Outputs::default(),
            turn_bytes: 0,
            turn_bytes_max: 0,
        }
    }

    /// The log stores a message to a room that another hub sent; it is not carried
    /// to this hub.
    pub(crate) fn store(&mut self, from: &str, room: &str, text: &str) -> Arc<Entry> {
        self.store_in(from, topic(room), text)
    }

    /// The log stores a private message that another hub sent; it is not carried
    /// to this hub.
    pub(crate) fn store_private(&mut self, from: &str, to: &str, text: &str) -> Arc<Entry> {
        self.store_in(from, Topic::Pair(Pair::new(name(from), name(to))), text)
    }

    fn store_in(&mut self, from: &str, topic: Topic, text: &str) -> Arc<Entry> {
        let text = MessageText::parse(text, 4096).expect("a good text");
        self.store_body(from, topic, Body::message(text)).expect("it is stored")
    }

    /// The log stores an edit of a message of a room that another hub sent; it is not
    /// carried to this hub.
    pub(crate) fn store_edit(&mut self, from: &str, room: &str, target: u64, text: &str) -> Arc<Entry> {
        let text = Some(MessageText::parse(text, 4096).expect("a good text"));
        self.store_body(from, topic(room), Body::Edit { target, text, mentions: None }).expect("it is stored")
    }

    /// Likewise a deletion.
    pub(crate) fn store_delete(&mut self, from: &str, room: &str, target: u64) -> Arc<Entry> {
        self.store_body(from, topic(room), Body::Delete { target }).expect("it is stored")
    }

    /// Likewise a reaction.
    pub(crate) fn store_react(&mut self, from: &str, room: &str, target: u64, emoji: &str) -> Arc<Entry> {
        let emoji = Emoji::parse(emoji).expect("an emoji");
        self.store_body(from, topic(room), Body::React { target, emoji }).expect("it is stored")
    }

    /// The log stores an entry that another hub sent; it is not carried to this hub. `None`
    /// if it is refused.
    pub(crate) fn store_body(&mut self, from: &str, topic: Topic, body: Body) -> Option<Arc<Entry>> {
        let draft = Draft {
            id: DraftId(u64::MAX),
            topic,
            from: name(from),
            room: None,
            body,
            files: Vec::new(),
            nonce: None,
            check: false,
            may_administer: true,
            by_server: false,
            refused: None,
            rules: ChangeRules::default(),
        };
        let commit = self.history.append(&[draft], self.now.wall_ms, |_| true);
        commit.entries.first().cloned()
    }

    /// The bus carries entries to the hub.
    pub(crate) fn carry(&mut self, entries: &[&Arc<Entry>]) {
        let entries: Vec<_> = entries.iter().map(|&entry| Arc::clone(entry)).collect();
        self.turn(Input::Commit { entries: &entries, receipts: &[] });
    }

    /// The bus reports entries of a room that it does not carry to the hub.
    pub(crate) fn missed(&mut self, room: &str, first: u64, last: u64) {
        self.turn(Input::Missed(&[Missed { topic: topic(room), first, last }]));
    }

    /// The log removes a room's entries below this number, and reports it.
    pub(crate) fn trim(&mut self, room: &str, first: u64) {
        let topic = topic(room);
        let (_, topics, _) =
            self.history.trim(usize::MAX, None, |entry, _| entry.topic == topic && entry.seq < first);
        self.turn(Input::Trimmed(&topics));
    }

    /// The log stores the first `count` drafts that are held back, in one
    /// transaction.
    pub(crate) fn append(&mut self, count: usize) {
        self.append_some(count);
        self.perform_all();
    }

    /// The log fails the first `count` drafts that are held back.
    pub(crate) fn fail(&mut self, count: usize) {
        let receipts: Vec<_> =
            self.drafts.drain(..count).map(|draft| Receipt::new(draft.id, Outcome::Failed)).collect();
        self.turn(Input::Commit { entries: &[], receipts: &receipts });
    }

    /// The log answers the oldest read that is held back.
    pub(crate) fn read(&mut self) {
        let (id, query) = self.reads.pop_front().expect("a read is on its way");
        self.read_now(id, &query);
        self.perform_all();
    }

    /// The log reads what the oldest read that is held back asks for, and has not answered
    /// yet.
    pub(crate) fn take_answer(&mut self) -> (ReadId, Answer) {
        let (id, query) = self.reads.pop_front().expect("a read is on its way");
        (id, self.history.answer(&query))
    }

    /// The log answers the two oldest reads for a `hello` that are held back.
    pub(crate) fn read_hello(&mut self) {
        for _ in 0..2 {
            let (id, query) = self.hellos.pop_front().expect("a hello is on its way");
            self.read_now(id, &query);
        }
        self.perform_all();
    }

    /// The log answers the oldest question that is held back, as it would have been
    /// answered when `history` was this.
    pub(crate) fn answer_question(&mut self) {
        let (id, query) = self.questions.pop_front().expect("a question is on its way");
        self.read_now(id, &query);
        self.perform_all();
    }

    /// The log reads what the oldest question that is held back asks for, and has not
    /// answered yet.
    pub(crate) fn take_question_answer(&mut self) -> (ReadId, Answer) {
        let (id, query) = self.questions.pop_front().expect("a question is on its way");
        (id, self.history.answer(&query))
    }

    /// The log's answer arrives.
    pub(crate) fn arrive(&mut self, (id, answer): &(ReadId, Answer)) {
        self.turn(Input::Answer { id: *id, answer });
    }

    /// The log fails the oldest question that is held back.
    pub(crate) fn fail_question(&mut self) {
        let (id, _) = self.questions.pop_front().expect("a question is on its way");
        self.turn(Input::Answer { id, answer: &Answer::Failed });
    }

    /// The log makes a change of a room, and publishes it.
    pub(crate) fn change(&mut self, wanted: &WantedChange) {
        let changes = self.make_change(wanted);
        self.turn(Input::Changes(&changes));
    }

    /// The log makes a change of a room that is not published yet.
    pub(crate) fn make_change(&mut self, wanted: &WantedChange) -> Vec<RoomChange> {
        self.history.change(wanted, self.now.wall_ms, |_| true).expect("the change is allowed")
    }

    /// The log answers the reads for a `hello` that are held back, if there are any.
    pub(crate) fn read_hello_if_held(&mut self) {
        while !self.hellos.is_empty() {
            self.read_hello();
        }
    }

    /// The log fails the oldest read that is held back.
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

    /// Gives the hub one input, and does its outputs and what follows from them.
    pub(crate) fn turn(&mut self, input: Input<'_>) {
        self.hub.step(self.now, input, &mut self.out);
        self.hub.end_turn(&mut self.out);
        self.perform_all();
    }

    /// Does all outputs but those that are held back.
    fn perform_all(&mut self) {
        loop {
            self.perform();
            if !self.hold_questions
                && let Some((id, query)) = self.questions.pop_front()
            {
                self.read_now(id, &query);
            } else if !self.hold_appends && !self.drafts.is_empty() {
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

    /// Hands over a frame of a client that is not paused.
    fn hand_over(&mut self) -> bool {
        for client in self.client_ids() {
            if !self.hub.is_paused(client)
                && let Some(text) = self.clients[client.0 as usize].unsent.pop_front()
            {
                self.hub.step(self.now, Input::Frame { client, text: &text }, &mut self.out);
                self.hub.end_turn(&mut self.out);
                return true;
            }
        }
        false
    }

    /// Bytes put out in the turn that had most.
    pub(crate) fn turn_bytes_max(&self) -> usize {
        self.turn_bytes_max
    }

    fn perform(&mut self) {
        self.turn_bytes_max = self.turn_bytes_max.max(std::mem::take(&mut self.turn_bytes));
        while let Some(output) = self.out.next() {
            match output {
                Output::Write(write) => self.write(&write),
                Output::Close { client: id, code } => {
                    let client = &mut self.clients[id.0 as usize];
                    assert_eq!(client.close_code.replace(code.code()), None, "{id:?} is closed twice");
                    if !std::mem::replace(&mut client.is_gone, true) {
                        self.hub.step(self.now, Input::Closed { client: id }, &mut self.out);
                        self.hub.end_turn(&mut self.out);
                    }
                }
                Output::Append(draft) => self.drafts.push(draft),
                Output::Read { id, query } => match &query {
                    Query::Page { topic, .. } | Query::Messages { topic, .. } => {
                        self.pages_begun += 1;
                        assert!(self.is_wanted(topic), "read before it was subscribed to: {query:?}");
                        self.reads.push_back((id, query));
                    }
                    Query::Memberships { .. } | Query::Conversations { .. } => {
                        self.hellos.push_back((id, query));
                    }
                    Query::Access { .. } | Query::Tops { .. } | Query::Counts { .. } => {
                        self.questions.push_back((id, query));
                    }
                },
                Output::Pause(client) => assert!(self.hub.is_paused(client)),
                Output::Resume(_) => {}
                Output::Subscribe(to) => {
                    assert!(self.subscriptions.insert(to.clone()), "{to:?} was subscribed to");
                }
                Output::Unsubscribe(to) => {
                    assert!(self.subscriptions.remove(&to), "{to:?} was not subscribed to");
                }
                Output::Presence(change) => self.presence.push(change),
                Output::Keep(mark) => {
                    if !self.lose_marks {
                        self.history.keep(&mark);
                    }
                    self.kept.push(mark);
                }
                Output::Typing(change) => self.typing.push(change),
            }
        }
    }

    fn write(&mut self, write: &Write) {
        let bytes = str::from_utf8(self.out.bytes(write)).expect("frames are UTF-8");
        self.turn_bytes += bytes.len() * self.out.recipients(write).len();
        assert!(bytes.ends_with('\n'), "whole frames only");
        for &id in self.out.recipients(write) {
            let client = &mut self.clients[id.0 as usize];
            assert_eq!(client.close_code, None, "{id:?} was closed before {bytes}");
            if client.is_v2 {
                let frames = bytes.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
                let (notes, frames) =
                    frames.partition(|frame| frame["type"] == "room" || frame["type"] == "activity");
                client.frames.extend::<Vec<_>>(frames);
                client.notes.extend::<Vec<_>>(notes);
            } else if !client.is_gone {
                client.lines.extend(bytes.lines().map(Line::parse));
            }
        }
    }

    fn append_some(&mut self, count: usize) {
        let drafts: Vec<_> = self.drafts.drain(..count).collect();
        // No account has a name with a capital letter.
        let account = |name: &Username| !name.as_str().contains(char::is_uppercase);
        let Commit { entries, receipts, changes, .. } =
            self.history.append(&drafts, self.now.wall_ms, account);
        self.hub.step(self.now, Input::Changes(&changes), &mut self.out);
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

    /// The numbers after which the held back reads start (`None`: the newest).
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

pub(crate) fn room(room: &str) -> RoomName {
    RoomName::parse(room).expect("a good name")
}

pub(crate) fn topic(name: &str) -> Topic {
    Topic::Room(room(name))
}

pub(crate) fn in_pair(pair: &Pair, user: &Username) -> bool {
    pair.low() == user || pair.high() == user
}

/// `prefix 1`, `prefix 2` … of one author, as a client sees them.
pub(crate) fn numbered(prefix: &str, numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    numbers.map(|n| format!("{prefix}{n}")).collect()
}

/// The epoch of the log.
pub(crate) const EPOCH: &str = "first";
