//! Clients of a room with changes, whatever comes in between: each shows the messages as
//! the log has them, and is sent nothing of what was taken back before.

use std::collections::BTreeMap;
use std::sync::Arc;

use chat_core::{
    Answer, Body, ClientId, Emoji, Entry, Input, MessageText, MessagesFrom, PageFrom, PageLimits, ReadId,
};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{EPOCH, Scenario, topic};

#[derive(Clone, Debug)]
enum Step {
    /// Another hub stores an entry.
    Store {
        what: What,
        target: usize,
        user: usize,
    },
    /// The bus carries what was stored, or loses it.
    Carry {
        is_lost: bool,
    },
    Join {
        client: usize,
        limit: u64,
        fold: bool,
    },
    /// A client loses its connection and comes back with what it has.
    Resume {
        client: usize,
    },
    History {
        client: usize,
        of: Of,
        number: u64,
        limit: u64,
        fold: bool,
    },
    Full {
        client: usize,
        full: bool,
    },
    HoldReads(bool),
    /// The log reads what the oldest query asks for …
    Take,
    /// … and later the hub gets the answer.
    Give {
        index: usize,
    },
    Fail,
    Trim {
        count: u64,
    },
    Pass {
        ms: u64,
    },
}

#[derive(Clone, Copy, Debug)]
enum What {
    Message,
    Edit,
    Delete,
    React(usize),
    Unreact(usize),
}

#[derive(Clone, Copy, Debug)]
enum Of {
    Before,
    After,
    Around,
    Seqs,
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        3 => Just(What::Message),
        3 => Just(What::Edit),
        1 => Just(What::Delete),
        4 => (0..EMOJI.len()).prop_map(What::React),
        2 => (0..EMOJI.len()).prop_map(What::Unreact),
    ];
    let of = prop_oneof![Just(Of::Before), Just(Of::After), Just(Of::Around), Just(Of::Seqs)];
    let client = 0..CLIENTS;
    prop_oneof![
        12 => (what, 0..12_usize, 0..9_usize)
            .prop_map(|(what, target, user)| Step::Store { what, target, user }),
        6 => prop::bool::weighted(0.2).prop_map(|is_lost| Step::Carry { is_lost }),
        3 => (client.clone(), 0..9_u64, prop::bool::weighted(0.7))
            .prop_map(|(client, limit, fold)| Step::Join { client, limit, fold }),
        1 => client.clone().prop_map(|client| Step::Resume { client }),
        4 => (client.clone(), of, 0..40_u64, 1..9_u64, any::<bool>())
            .prop_map(|(client, of, number, limit, fold)| Step::History { client, of, number, limit, fold }),
        1 => (client, any::<bool>()).prop_map(|(client, full)| Step::Full { client, full }),
        2 => any::<bool>().prop_map(Step::HoldReads),
        4 => Just(Step::Take),
        4 => (0..4_usize).prop_map(|index| Step::Give { index }),
        1 => Just(Step::Fail),
        1 => (0..6_u64).prop_map(|count| Step::Trim { count }),
        1 => (0..100_u64).prop_map(|ms| Step::Pass { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_client_shows_what_the_log_has(
        steps in vec(step(), 1..150),
        recent in prop_oneof![Just(0), 1..30_usize],
        page in 1..12_usize,
    ) {
        let mut run = Run::new(recent, page);
        for step in &steps {
            run.step(step);
        }
        run.finish();
    }
}

struct Run {
    scenario: Scenario,
    replicas: Vec<Replica>,
    /// A v1 client that is there from the start.
    old: ClientId,
    /// Entries that are stored and not carried yet.
    stored: Vec<Arc<Entry>>,
    /// Answers that are on their way.
    answers: Vec<(ReadId, Answer)>,
    /// Texts of which the hub knows that they were taken back.
    gone: Vec<String>,
    /// The texts of each message, the newest last.
    texts: BTreeMap<u64, Vec<String>>,
    count: u64,
    passed_ms: u64,
}

impl Run {
    fn new(recent: usize, page: usize) -> Self {
        let mut scenario = Scenario::with(|options| {
            options.recent.entries = recent;
            options.page_entries = page;
            options.frame_rate = None;
            options.join_rate = None;
            options.history_rate = None;
        });
        let ids = (0..CLIENTS).map(|number| scenario.open_v2(&format!("client{number}")));
        let replicas = ids.map(Replica::new).collect();
        let old = scenario.open("old", ROOM);
        Self {
            scenario,
            replicas,
            old,
            stored: Vec::new(),
            answers: Vec::new(),
            gone: Vec::new(),
            texts: BTreeMap::new(),
            count: 0,
            passed_ms: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Store { what, target, user } => self.store(what, target, user),
            Step::Carry { is_lost } => self.carry(is_lost),
            Step::Join { client, limit, fold } => {
                self.ask(client, json!({"type": "leave", "room": ROOM}));
                self.ask(client, json!({"type": "join", "room": ROOM, "limit": limit, "fold": fold}));
            }
            Step::Resume { client } => self.resume(client),
            Step::History { client, of, number, limit, fold } => {
                let mut request = json!({"type": "history", "room": ROOM, "limit": limit, "fold": fold});
                match of {
                    Of::Before => request["before"] = json!(number),
                    Of::After => request["after"] = json!(number),
                    Of::Around => request["around"] = json!(number),
                    Of::Seqs => request["seqs"] = json!([number, number + 1, number + 2]),
                }
                self.ask(client, request);
            }
            Step::Full { client, full } => {
                self.scenario.pending(self.replicas[client].id, if full { 64 * 1024 } else { 0 });
            }
            Step::HoldReads(hold) => self.scenario.hold_reads = hold,
            Step::Take if !self.scenario.reads.is_empty() => {
                let answer = self.scenario.take_answer();
                self.answers.push(answer);
            }
            Step::Give { index } if !self.answers.is_empty() => {
                let (id, answer) = self.answers.remove(index % self.answers.len());
                self.scenario.turn(Input::Answer { id, answer: &answer });
            }
            Step::Fail if !self.scenario.reads.is_empty() => self.scenario.fail_read(),
            Step::Take | Step::Give { .. } | Step::Fail => {}
            Step::Trim { count } => {
                let first = self.scenario.history.page(&topic(ROOM), PageFrom::Latest, NONE).first;
                // Entries are kept for longer than the hub needs to get them.
                let got = self.replicas.iter().filter_map(|replica| replica.cursor).max();
                self.scenario.trim(ROOM, (first + count).min(got.unwrap_or(0) + 1));
            }
            Step::Pass { ms } => {
                if self.passed_ms + ms < 3_000 {
                    self.passed_ms += ms;
                    self.scenario.pass(ms);
                }
            }
        }
        self.look();
    }

    fn ask(&mut self, client: usize, frame: Value) {
        let id = self.replicas[client].id;
        if self.scenario.is_open(id) {
            self.scenario.request(id, frame);
        }
    }

    /// Ends a client's connection, and joins with a new one.
    fn resume(&mut self, client: usize) {
        let replica = &mut self.replicas[client];
        self.scenario.disconnect(replica.id);
        replica.id = self.scenario.open_v2(&format!("client{client}"));
        let since = replica.cursor.filter(|_| replica.folded.is_none());
        let mut join = json!({"type": "join", "room": ROOM, "limit": 3});
        match since {
            Some(since) => {
                join["since"] = json!(since);
                join["epoch"] = json!(EPOCH);
            }
            None => *replica = Replica::new(replica.id),
        }
        replica.has_joined = false;
        self.ask(client, join);
    }

    fn store(&mut self, what: What, target: usize, user: usize) {
        self.count += 1;
        let new = format!("text {};", self.count);
        let latest = MessagesFrom::Page(PageFrom::Latest);
        let messages = self.scenario.history.messages(&topic(ROOM), &latest, ALL);
        let target = messages.entries.iter().rev().nth(target).map_or(0, |entry| entry.seq);
        let text = MessageText::parse(&new, 100).expect("a good text");
        let emoji = |index: usize| Emoji::parse(EMOJI[index]).expect("an emoji");
        let user = match what {
            What::Message | What::Edit | What::Delete => "bob".to_owned(),
            What::React(_) | What::Unreact(_) => format!("user{user}"),
        };
        let body = match what {
            What::Message => Body::message(text),
            What::Edit => Body::Edit { target, text: Some(text), mentions: None },
            What::Delete => Body::Delete { target },
            What::React(index) => Body::React { target, emoji: emoji(index) },
            What::Unreact(index) => Body::Unreact { target, emoji: emoji(index) },
        };
        let Some(entry) = self.scenario.store_body(&user, topic(ROOM), body) else { return };
        if let Body::Message { .. } | Body::Edit { .. } = entry.body {
            self.texts.entry(entry.body.target().unwrap_or(entry.seq)).or_default().push(new);
        }
        self.stored.push(entry);
    }

    fn carry(&mut self, is_lost: bool) {
        let entries = std::mem::take(&mut self.stored);
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        if is_lost {
            return self.scenario.missed(ROOM, first.seq, last.seq);
        }
        for entry in entries {
            self.scenario.carry(&[&entry]);
            self.look();
            // From here on the hub knows.
            let Some(texts) = entry.body.target().and_then(|target| self.texts.get(&target)) else {
                continue;
            };
            match &entry.body {
                Body::Edit { text: Some(text), .. } => {
                    let new = texts.iter().position(|known| known == text.as_str()).expect("it was stored");
                    self.gone.extend_from_slice(&texts[..new]);
                }
                Body::Delete { .. } => self.gone.extend_from_slice(texts),
                _ => {}
            }
        }
    }

    /// Hands the clients what they were sent.
    fn look(&mut self) {
        for replica in &mut self.replicas {
            for frame in self.scenario.frames(replica.id) {
                let text = frame.to_string();
                let gone = self.gone.iter().find(|gone| text.contains(gone.as_str()));
                assert!(gone.is_none(), "{gone:?} in {frame}");
                replica.take(&frame);
            }
        }
        for line in self.scenario.received(self.old) {
            let gone = self.gone.iter().find(|gone| line.contains(gone.as_str()));
            assert!(gone.is_none(), "{gone:?} in {line}");
        }
    }

    fn finish(&mut self) {
        for replica in 0..CLIENTS {
            self.scenario.pending(self.replicas[replica].id, 0);
        }
        self.carry(false);
        for (id, answer) in std::mem::take(&mut self.answers) {
            self.scenario.turn(Input::Answer { id, answer: &answer });
            self.look();
        }
        self.scenario.hold_reads = false;
        self.scenario.pass(1_500);
        self.look();
        let latest = MessagesFrom::Page(PageFrom::Latest);
        let page = self.scenario.history.messages(&topic(ROOM), &latest, ALL);
        for replica in &self.replicas {
            if self.scenario.is_open(replica.id) && replica.has_joined {
                replica.check(&page.entries, page.last);
            }
        }
    }
}

/// What a client makes of its frames.
struct Replica {
    id: ClientId,
    has_joined: bool,
    /// The number up to which it has everything; `None`: it has nothing.
    cursor: Option<u64>,
    /// From this number on it has everything.
    from: u64,
    /// The numbers that its folded replay covers, until it has ended.
    folded: Option<(u64, u64)>,
    messages: BTreeMap<u64, Shown>,
    /// All changes that it was sent, whether it has their targets or not.
    changes: BTreeMap<u64, Value>,
    /// The numbers that pages cover.
    covered: Vec<(u64, u64)>,
}

/// A message as a client shows it.
#[derive(Debug, Clone, PartialEq, Default)]
struct Shown {
    text: String,
    edited: Option<u64>,
    deleted: bool,
    reactions: Vec<(String, u64)>,
    updated: u64,
}

impl Replica {
    fn new(id: ClientId) -> Self {
        Self {
            id,
            has_joined: false,
            cursor: None,
            from: 0,
            folded: None,
            messages: BTreeMap::new(),
            changes: BTreeMap::new(),
            covered: Vec::new(),
        }
    }

    fn take(&mut self, frame: &Value) {
        let number = |field: &str| frame[field].as_u64();
        match frame["type"].as_str().expect("a text") {
            "left" => *self = Self::new(self.id),
            "joined" => {
                let seq = number("seq").expect("a number");
                if frame["recovered"] == true {
                    assert!(self.cursor.is_some_and(|cursor| cursor <= seq), "{frame}");
                } else {
                    *self = Self::new(self.id);
                    self.from = seq + 1;
                }
                if let Some(from) = number("from") {
                    (self.from, self.cursor) = (from, Some(from - 1));
                    self.folded = Some((from, seq));
                }
                self.has_joined = true;
            }
            "replayed" => {
                let (_, end) = self.folded.take().expect("a folded replay");
                assert_eq!(number("upto"), Some(end));
                self.cursor = Some(end);
            }
            "history" => {
                for message in frame["messages"].as_array().expect("a list") {
                    self.entry(message, false);
                }
                if let (Some(from), Some(upto)) = (number("from"), number("upto")) {
                    self.covered.push((from, upto));
                }
            }
            "message" | "edit" | "delete" | "react" | "unreact" => {
                let seq = number("seq").expect("a number");
                match (self.folded, self.cursor) {
                    (Some((from, upto)), Some(cursor)) => {
                        assert!(frame["type"] == "message" && (from..=upto).contains(&seq) && seq > cursor);
                    }
                    // The first one of a dense replay.
                    (_, None) => self.from = seq,
                    (None, Some(cursor)) => assert_eq!(seq, cursor + 1, "{frame}"),
                }
                self.cursor = Some(seq);
                self.entry(frame, true);
            }
            _ => {}
        }
    }

    fn entry(&mut self, frame: &Value, is_new: bool) {
        let seq = frame["seq"].as_u64().expect("a number");
        if frame["type"] != "message" {
            if is_new {
                self.changes.insert(seq, frame.clone());
                let target = frame["target"].as_u64().expect("a number");
                if let Some(message) = self.messages.get_mut(&target) {
                    message.apply(frame);
                }
            }
            return;
        }
        let mut shown = Shown::of(frame);
        for change in self.changes.values().filter(|change| change["target"] == frame["seq"]) {
            shown.apply(change);
        }
        let known = self.messages.entry(seq).or_default();
        if known.updated <= shown.updated {
            *known = shown;
        }
    }

    fn check(&self, log: &[Arc<Entry>], last: u64) {
        if let Some(cursor) = self.cursor {
            assert_eq!((cursor, self.folded), (last, None), "{:?}", self.id);
        }
        for entry in log {
            let is_covered = entry.seq >= self.from
                || self.covered.iter().any(|(from, upto)| (*from..=*upto).contains(&entry.seq));
            match self.messages.get(&entry.seq) {
                Some(shown) => assert_eq!(*shown, Shown::read(entry), "{} of {:?}", entry.seq, self.id),
                None => assert!(!is_covered, "{:?} lacks {}", self.id, entry.seq),
            }
        }
    }
}

impl Shown {
    fn of(frame: &Value) -> Self {
        let reactions = frame["reactions"].as_array().into_iter().flatten();
        let reaction = |shown: &Value| {
            (shown["emoji"].as_str().expect("a text").to_owned(), shown["count"].as_u64().expect("a number"))
        };
        Self {
            text: frame["text"].as_str().expect("a text").to_owned(),
            edited: frame["edited"].as_u64(),
            deleted: frame["deleted"] == true,
            reactions: reactions.map(reaction).collect(),
            updated: frame["updated"].as_u64().unwrap_or(0),
        }
    }

    fn read(entry: &Entry) -> Self {
        let state = entry.body.state().cloned().unwrap_or_default();
        Self {
            text: entry.body.text().to_owned(),
            edited: state.edited_at_ms.map(|at_ms| at_ms / 1000),
            deleted: state.deleted,
            reactions: state.reactions.iter().map(|r| (r.emoji.as_str().to_owned(), r.count)).collect(),
            updated: state.updated,
        }
    }

    /// The rule of the protocol.
    fn apply(&mut self, change: &Value) {
        let seq = change["seq"].as_u64().expect("a number");
        if seq <= self.updated {
            return;
        }
        let emoji = change["emoji"].as_str().unwrap_or_default();
        match change["type"].as_str().expect("a text") {
            "edit" => {
                // Without a text, the newer change follows.
                if let Some(text) = change["text"].as_str() {
                    self.text = text.to_owned();
                }
                self.edited = change["timestamp"].as_u64();
            }
            "delete" => *self = Self { deleted: true, ..Self::default() },
            "react" => match self.reactions.iter_mut().find(|(known, _)| known == emoji) {
                Some((_, count)) => *count += 1,
                None => self.reactions.push((emoji.to_owned(), 1)),
            },
            "unreact" => {
                for (_, count) in self.reactions.iter_mut().filter(|(known, _)| known == emoji) {
                    *count -= 1;
                }
                self.reactions.retain(|(_, count)| *count > 0);
            }
            other => panic!("{other}"),
        }
        self.updated = seq;
    }
}

const ROOM: &str = "tech";
const CLIENTS: usize = 4;
const EMOJI: [&str; 3] = ["👍", "🎉", "😀"];
const ALL: PageLimits = PageLimits { entries: usize::MAX, bytes: usize::MAX };
const NONE: PageLimits = PageLimits { entries: 0, bytes: 0 };
