//! One hub against a small model: whatever happens in any order, each client has
//! received what the model says.

use std::collections::BTreeMap;

use chat_core::{ClientId, Topic};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::harness::{Line, Scenario, in_pair, topic};

#[derive(Clone, Debug)]
enum Step {
    Open {
        user: usize,
        room: usize,
    },
    Say {
        client: usize,
    },
    Tell {
        client: usize,
        to: usize,
    },
    Lose {
        client: usize,
    },
    /// A socket is full, or free again.
    Full {
        client: usize,
        full: bool,
    },
    HoldAppends(bool),
    HoldReads(bool),
    LoseEntries(bool),
    Append {
        count: usize,
    },
    Read,
    FailRead,
    Pass {
        ms: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..12_usize;
    prop_oneof![
        3 => (0..USERS.len(), 0..ROOMS.len()).prop_map(|(user, room)| Step::Open { user, room }),
        8 => client.clone().prop_map(|client| Step::Say { client }),
        4 => (client.clone(), 0..USERS.len() + 1).prop_map(|(client, to)| Step::Tell { client, to }),
        1 => client.clone().prop_map(|client| Step::Lose { client }),
        2 => (client, any::<bool>()).prop_map(|(client, full)| Step::Full { client, full }),
        1 => any::<bool>().prop_map(Step::HoldAppends),
        1 => any::<bool>().prop_map(Step::HoldReads),
        1 => any::<bool>().prop_map(Step::LoseEntries),
        2 => (1..9_usize).prop_map(|count| Step::Append { count }),
        2 => Just(Step::Read),
        1 => Just(Step::FailRead),
        2 => (0..300_u64).prop_map(|ms| Step::Pass { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_client_has_received_what_the_model_says(
        steps in vec(step(), 1..120),
        recent in 0..12_usize,
        page in 1..8_usize,
        replay in 1..10_usize,
    ) {
        let mut run = Run::new(recent, page, replay);
        for step in &steps {
            run.step(step);
        }
        run.finish();
        run.check();
    }
}

/// A scenario, and what its clients should have received.
struct Run {
    scenario: Scenario,
    watchers: Vec<ClientId>,
    joiners: Vec<ClientId>,
    /// The room of each client, and the number of its newest message when the
    /// client came.
    rooms: BTreeMap<ClientId, (usize, u64)>,
    /// For each client that got something from its room: the number of the
    /// newest message at that time.
    first_seen: BTreeMap<ClientId, u64>,
    texts: u64,
    replay: u64,
    /// How long the log has been held up: no draft or read may time out here.
    held_ms: u64,
    entries_lost: bool,
}

impl Run {
    fn new(recent: usize, page: usize, replay: usize) -> Self {
        let scenario = Scenario::with(|options| {
            options.rate = None;
            options.recent.entries = recent;
            options.page_entries = page;
            options.join_replay_entries = replay;
            options.client_unanswered_max = 4;
            options.hub_unanswered_max = 10;
        });
        let mut run = Self {
            scenario,
            watchers: Vec::new(),
            joiners: Vec::new(),
            rooms: BTreeMap::new(),
            first_seen: BTreeMap::new(),
            texts: 0,
            replay: replay as u64,
            held_ms: 0,
            entries_lost: false,
        };
        for room in 0..ROOMS.len() {
            let watcher = run.open("watcher", room);
            run.watchers.push(watcher);
        }
        run
    }

    fn open(&mut self, user: &str, room: usize) -> ClientId {
        let top = self.top(room);
        let client = self.scenario.open(user, ROOMS[room]);
        self.rooms.insert(client, (room, top));
        client
    }

    fn top(&self, room: usize) -> u64 {
        self.scenario.history.last_seq(&topic(ROOMS[room]))
    }

    /// The open client of this number among those that joined.
    fn joiner(&self, number: usize) -> Option<ClientId> {
        let open: Vec<_> =
            self.joiners.iter().copied().filter(|&client| self.scenario.is_open(client)).collect();
        open.get(number % open.len().max(1)).copied()
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Open { user, room } => {
                let client = self.open(USERS[user], room);
                self.joiners.push(client);
            }
            Step::Say { client } => {
                if let Some(client) = self.joiner(client) {
                    self.texts += 1;
                    self.scenario.send(client, &self.texts.to_string());
                }
            }
            Step::Tell { client, to } => {
                if let Some(client) = self.joiner(client) {
                    self.texts += 1;
                    let to = USERS.get(to).copied().unwrap_or("Nobody");
                    self.scenario.send_private(client, to, &self.texts.to_string());
                }
            }
            Step::Lose { client } => {
                if let Some(client) = self.joiner(client) {
                    self.scenario.disconnect(client);
                }
            }
            Step::Full { client, full } => {
                if let Some(client) = self.joiner(client) {
                    self.scenario.pending(client, if full { 64 * 1024 } else { 0 });
                }
            }
            Step::HoldAppends(hold) => self.scenario.hold_appends = hold,
            Step::HoldReads(hold) => self.scenario.hold_reads = hold,
            Step::LoseEntries(lose) => {
                self.scenario.lose_entries = lose;
                self.entries_lost |= lose;
            }
            Step::Append { count } => self.scenario.append(count.min(self.scenario.drafts.len())),
            Step::Read if !self.scenario.reads.is_empty() => self.scenario.read(),
            Step::FailRead if !self.scenario.reads.is_empty() => self.scenario.fail_read(),
            Step::Read | Step::FailRead => {}
            Step::Pass { ms } => {
                if self.held_ms + ms < 4_000 {
                    self.held_ms += ms;
                    self.scenario.pass(ms);
                }
            }
        }
        self.note_first_seen();
    }

    fn note_first_seen(&mut self) {
        for (&client, &(room, _)) in &self.rooms {
            let has_some = self.scenario.lines(client).iter().any(|line| line.kind == "message");
            if has_some && !self.first_seen.contains_key(&client) {
                self.first_seen.insert(client, self.top(room));
            }
        }
    }

    /// Does all that is held back.
    fn finish(&mut self) {
        self.scenario.hold_appends = false;
        self.scenario.hold_reads = false;
        self.scenario.lose_entries = false;
        self.scenario.append(self.scenario.drafts.len());
        for client in self.scenario.client_ids() {
            self.scenario.pending(client, 0);
        }
        self.scenario.pass(1_000);
        self.note_first_seen();
    }

    fn check(&mut self) {
        assert_eq!(self.scenario.hub.unanswered(), 0);
        for (&client, &(room, top_before)) in &self.rooms {
            assert_eq!(self.scenario.close_code(client), None, "no client is closed");
            assert!(self.scenario.waiting(client) == 0 || !self.scenario.is_open(client), "{client:?} waits");
            self.check_messages(client, room, top_before);
            self.check_privates(client);
            let lines = self.scenario.lines(client);
            let times: Vec<_> =
                lines.iter().filter(|line| line.kind != "private").map(|line| line.timestamp).collect();
            assert!(times.is_sorted(), "{client:?}: {times:?}");
        }
        for room in 0..ROOMS.len() {
            self.check_notices(room);
        }
    }

    /// The newest messages when it came, and all later ones.
    fn check_messages(&self, client: ClientId, room: usize, top_before: u64) {
        let log = self.log(room);
        let got: Vec<_> = self.texts_of(client, "message");
        let Some(first) = got.first() else {
            assert!(!self.scenario.is_open(client) || log.is_empty(), "{client:?} got nothing of {log:?}");
            return;
        };
        let start = log.iter().position(|text| text == first).expect("committed") as u64 + 1;
        let [earliest, latest] =
            [top_before, self.first_seen[&client]].map(|top| top.saturating_sub(self.replay) + 1);
        // A room may have missed entries that the hub does not know of.
        let earliest = if self.entries_lost { 1 } else { earliest };
        assert!(
            (earliest..=latest).contains(&start),
            "{client:?} begins at {start}, not {earliest}..={latest}"
        );
        let expected = &log[start as usize - 1..];
        if self.scenario.is_open(client) {
            assert_eq!(got, expected, "{client:?}");
        } else {
            assert!(expected.starts_with(&got), "{client:?}: {got:?} of {expected:?}");
        }
    }

    /// The private messages of its user that were committed while it was there, and
    /// those that its user sent to an unknown name.
    fn check_privates(&self, client: ClientId) {
        let user = self.scenario.user(client);
        let mut got = self.texts_of(client, "private");
        if self.entries_lost {
            // They may come later; but only to clients of their users, and once.
            let len = got.len();
            got.sort();
            got.dedup();
            assert_eq!(got.len(), len, "{client:?} got something twice");
        } else {
            let is_echo = |line: &Line| line.to.as_deref() == Some("Nobody");
            let echoes: Vec<_> = self
                .scenario
                .lines(client)
                .iter()
                .filter(|line| is_echo(line))
                .map(|line| line.text.clone())
                .collect();
            got.retain(|text| !echoes.contains(text));
            let owed = self.scenario.privates.iter().filter(|(_, there)| there.contains(&client));
            let owed: Vec<_> = owed.map(|(entry, _)| entry.body.text().to_owned()).collect();
            assert_eq!(got, owed, "{client:?}");
        }
        for (entry, _) in &self.scenario.privates {
            let Topic::Pair(pair) = &entry.topic else { panic!("not private") };
            let leaked = !in_pair(pair, user) && got.iter().any(|text| text == entry.body.text());
            assert!(!leaked, "{client:?} of {user} got {entry:?}");
        }
        for line in self.scenario.lines(client).iter().filter(|line| line.kind == "private") {
            let to = line.to.as_deref();
            assert!(line.from == user.as_str() || to == Some(user.as_str()), "{user} got {line:?}");
            assert!(to != Some("Nobody") || line.from == user.as_str(), "{user} got {line:?}");
        }
    }

    /// A client that was always there has one notice of each kind for each
    /// connection.
    fn check_notices(&self, room: usize) {
        let mut expected = BTreeMap::from([("+watcher".to_owned(), 1)]);
        for &client in self.joiners.iter().filter(|client| self.rooms[client].0 == room) {
            let user = self.scenario.user(client);
            *expected.entry(format!("+{user}")).or_insert(0) += 1;
            if !self.scenario.is_open(client) {
                *expected.entry(format!("-{user}")).or_insert(0) += 1;
            }
        }
        let mut got = BTreeMap::new();
        for line in self.scenario.lines(self.watchers[room]).iter().filter(|line| line.kind == "system") {
            *got.entry(line.short()).or_insert(0) += 1;
        }
        assert_eq!(got, expected, "notices in {}", ROOMS[room]);
    }

    fn texts_of(&self, client: ClientId, kind: &str) -> Vec<String> {
        let lines = self.scenario.lines(client).iter();
        lines.filter(|line| line.kind == kind).map(|line| line.text.clone()).collect()
    }

    fn log(&self, room: usize) -> Vec<String> {
        let all = chat_core::PageLimits { entries: usize::MAX, bytes: usize::MAX };
        let page = self.scenario.history.page(&topic(ROOMS[room]), chat_core::PageFrom::After(0), all);
        page.entries.iter().map(|entry| entry.body.text().to_owned()).collect()
    }
}

const USERS: [&str; 3] = ["alice", "bob", "carol"];
const ROOMS: [&str; 2] = ["kitchen", "garden"];
