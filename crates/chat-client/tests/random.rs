//! Sessions against the server's own hub under random faults: links that are slow
//! and break, a log that fails or answers too late, servers and programs that
//! crash and start again, members who are added and removed, marks of users with
//! several devices, messages that are edited, deleted and reacted to, and messages with
//! files, some of which may not be attached. A seed that fails can be run by itself:
//! `SEED=17 cargo test -p lanechat-client --test random`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroUsize;

use chat_client::{
    Account, AttachedFile as ClientFile, COUNT_MAX, Change, ChangeKind, Entry as ClientEntry, Event, Level,
    NewChange, NewMessage, Options, Output as Todo, PageFrom as ClientPage, Rng, Seen, Session, Snapshot,
    Target, Timeline, Topic as ClientTopic,
};
use chat_core::{
    Access, Actor, Answer, AttachedFile, Body, ChangeRules, ClientId, Commit, Draft, Entry, FileId, FileName,
    FileQuotas, Framing, History, HistoryLimits, Hub, HubOptions, Input, MediaType, Now, Outcome, Output,
    Outputs, PageFrom, PageLimits, Pair, Protocol, ReadId, Receipt, ReservedFile, RoomInfo, RoomName, Seed,
    Topic, UserMark, Username, WantedChange,
};

#[test]
fn nothing_is_lost_doubled_or_out_of_order() {
    let seeds = match std::env::var_os("SEED") {
        Some(seeds) => {
            // One seed, or a range with an exclusive end.
            let seeds = seeds.into_string().unwrap();
            let seeds: Vec<u64> = seeds.split("..").map(|seed| seed.parse().unwrap()).collect();
            seeds[0]..seeds.get(1).copied().unwrap_or(seeds[0] + 1)
        }
        None => 0..24,
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let runs = |first: usize| {
        let mut total = Total::default();
        for seed in seeds.clone().skip(first).step_by(threads) {
            let run = std::panic::catch_unwind(|| World::new(seed).run());
            let run = run.unwrap_or_else(|_| panic!("seed {seed} failed"));
            total.add(&run);
        }
        total
    };
    let mut total = Total::default();
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|first| scope.spawn(move || runs(first))).collect();
        started.into_iter().for_each(|thread| total.add(&thread.join().unwrap()));
    });
    // A test without faults proves nothing.
    if std::env::var_os("SEED").is_none() {
        let Total { stored, duplicates, seen, losses, restarts, crashes, resets, .. } = total;
        assert!(stored > 20_000 && seen > 80_000 && losses > 1_000, "{total:?}");
        assert!(duplicates > 50 && restarts > 50 && crashes > 50 && resets > 10, "{total:?}");
        let Total { reads, marks_lost, removals, ended, forbidden, activities, unread, .. } = total;
        assert!(reads > 1_000 && marks_lost > 20 && activities > 100 && unread > 100, "{total:?}");
        assert!(removals > 100 && ended > 20 && forbidden > 20, "{total:?}");
        let Total { changes, refused, pages, compared, counted, .. } = total;
        assert!(changes > 3_000 && refused > 300 && pages > 500, "{total:?}");
        assert!(compared > 1_000 && counted > 20, "{total:?}");
        let Total { with_files, bad_files, .. } = total;
        assert!(with_files > 2_000 && bad_files > 20, "{total:?}");
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Total {
    stored: u64,
    duplicates: u64,
    seen: u64,
    losses: u64,
    restarts: u64,
    crashes: u64,
    resets: u64,
    /// Calls that raised a mark.
    reads: u64,
    /// Marks that the server had not kept when it crashed.
    marks_lost: u64,
    removals: u64,
    /// Rooms that the server ended for a client.
    ended: u64,
    /// Sends and joins that were refused.
    forbidden: u64,
    activities: u64,
    /// Messages that were unread at the end.
    unread: u64,
    /// Changes of messages that were stored.
    changes: u64,
    /// Changes of messages that were refused.
    refused: u64,
    /// Pages of history that were taken into timelines.
    pages: u64,
    /// Changed messages in the timelines at the end.
    compared: u64,
    /// Topics whose counts were exact at the end although unread messages were changed.
    counted: u64,
    /// Messages with files that came.
    with_files: u64,
    /// Messages that were refused because of their files.
    bad_files: u64,
}

impl Total {
    fn add(&mut self, other: &Self) {
        self.stored += other.stored;
        self.duplicates += other.duplicates;
        self.seen += other.seen;
        self.losses += other.losses;
        self.restarts += other.restarts;
        self.crashes += other.crashes;
        self.resets += other.resets;
        self.reads += other.reads;
        self.marks_lost += other.marks_lost;
        self.removals += other.removals;
        self.ended += other.ended;
        self.forbidden += other.forbidden;
        self.activities += other.activities;
        self.unread += other.unread;
        self.changes += other.changes;
        self.refused += other.refused;
        self.pages += other.pages;
        self.compared += other.compared;
        self.counted += other.counted;
        self.with_files += other.with_files;
        self.bad_files += other.bad_files;
    }
}

struct World {
    rng: Rng,
    now_ms: u64,
    hub: Hub,
    out: Outputs,
    history: History,
    /// Drafts on their way to the log, and when they arrive.
    drafts: Vec<(u64, Draft)>,
    /// Commits whose answers are late, and when they arrive.
    late: Vec<(u64, Commit)>,
    /// Answers of the log on their way to the hub, and when they arrive.
    answers: Vec<(u64, ReadId, Answer)>,
    /// Marks on their way to the store, and when they are kept.
    marks: Vec<(u64, UserMark)>,
    /// All files that were uploaded, by anybody.
    files: Vec<ClientFile>,
    /// What is known about users.
    model: Model,
    next_client: u32,
    apps: Vec<App>,
    /// How often faults happen, per thousand steps.
    rates: Rates,
    total: Total,
}

/// What users have done.
#[derive(Default)]
struct Model {
    /// The last number of the closed room when a user was removed from it.
    removed_at: BTreeMap<&'static str, u64>,
    /// How far each user has read each topic, on any device.
    read: BTreeMap<(&'static str, ClientTopic), u64>,
    /// What each user has chosen.
    levels: BTreeMap<(&'static str, ClientTopic), Level>,
    /// Users read parts of what is unread, so that counts may be estimated.
    reads_parts: bool,
}

struct Rates {
    cut: u64,
    fail: u64,
    crash: u64,
    restart: u64,
}

/// An application with its session and link.
struct App {
    user: &'static str,
    session: Session,
    link: Option<Link>,
    /// How far it has seen each topic, kept by the application itself.
    seen: Seen,
    /// The rooms and conversations of the account, kept by the application itself.
    account: Account,
    /// How far the user has read each topic on this device.
    read: BTreeMap<ClientTopic, u64>,
    /// The topics whose counts are estimates: this device has read a part of what the
    /// server had counted, or an `activity` may include what the server had counted.
    estimated: BTreeSet<ClientTopic>,
    /// The topics in which changes may have changed the counts in a way that this device does
    /// not know.
    inexact: BTreeSet<ClientTopic>,
    /// The topics in which unread messages were changed since the last hello.
    changed: BTreeSet<ClientTopic>,
    /// The number up to which the server had counted each room at the last hello.
    counted_to: BTreeMap<ClientTopic, u64>,
    /// The messages of rooms that came since the last gap, and the changes in their states.
    delivered: BTreeMap<(ClientTopic, u64), u64>,
    /// What the user sees of each topic.
    timelines: BTreeMap<ClientTopic, Timeline>,
    /// Joins and pages are folded.
    folds: bool,
    /// The rooms whose folded replay is arriving.
    folding: BTreeSet<String>,
    /// The rooms whose resume was refused: their replay is not folded.
    refused_resumes: BTreeSet<String>,
    /// The topics that the server has counted since the last `activity`.
    counted: BTreeSet<ClientTopic>,
    /// The rooms of which the user has become a member since the last hello: which of
    /// their first messages came after that is unknown.
    begun: BTreeSet<String>,
    /// The conversations that the last hello listed.
    listed: BTreeSet<String>,
    /// The nonce, topic and number of each send, in order.
    sends: Vec<(String, ClientTopic, Option<u64>)>,
    /// The nonces of those sends that are changes.
    change_nonces: BTreeSet<String>,
    /// The nonces of those sends that have files.
    file_nonces: BTreeSet<String>,
    /// The nonces of sends that were refused for good.
    refused: Vec<String>,
    /// The first hello listed all conversations.
    knew_all: Option<bool>,
}

struct Link {
    client: ClientId,
    /// Half-open: frames in both directions are lost, and neither side knows.
    is_dead: bool,
    up: VecDeque<(u64, String)>,
    down: VecDeque<(u64, Down)>,
}

enum Down {
    Opened,
    Frame(String),
    Closed(Option<u16>),
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut app = |user, folds| App::new(user, rng.next_u64(), folds);
        let folds = seed.is_multiple_of(3);
        let apps = vec![
            app("alice", !folds),
            app("alice", folds),
            app("bob", folds),
            app("carol", !folds),
            app("dave", folds),
        ];
        // Some seeds have no faults of one kind at all.
        let mut rate = |max: u64| if rng.index(4) == 0 { 0 } else { rng.between(0, max - 1) };
        let rates = Rates { cut: rate(12), fail: rate(200), crash: rate(6), restart: rate(8) };
        let mut history =
            History::new(Seed(3, 4), HistoryLimits { entries_per_topic: 10_000, topics: 1_000 });
        let info = RoomInfo { access: Access::Closed, ..RoomInfo::opened(&closed()) };
        let create = WantedChange::Create {
            room: closed(),
            info,
            members: vec![name("bob"), name("carol")],
            by: name("alice"),
        };
        history.change(&create, 1, exists).unwrap();
        Self {
            now_ms: 1_000_000,
            hub: hub(),
            out: Outputs::default(),
            history,
            drafts: Vec::new(),
            late: Vec::new(),
            answers: Vec::new(),
            marks: Vec::new(),
            files: Vec::new(),
            model: Model { reads_parts: seed % 2 == 1, ..Model::default() },
            next_client: 0,
            apps,
            rates,
            total: Total::default(),
            rng,
        }
    }

    fn run(mut self) -> Total {
        for _ in 0..3_000 {
            self.faults();
            self.act();
            self.step();
        }
        // No more faults, and time enough for all clients to catch up.
        self.rates = Rates { cut: 0, fail: 0, crash: 0, restart: 0 };
        for _ in 0..8_000 {
            self.step();
        }
        self.check_end();
        self.total
    }

    fn now(&self) -> Now {
        Now { mono_ms: self.now_ms, wall_ms: 1_795_371_797_000 + self.now_ms }
    }

    /// Injects faults at random.
    fn faults(&mut self) {
        for index in 0..self.apps.len() {
            if self.rng.chance(self.rates.cut) {
                if self.rng.index(4) == 0 {
                    self.apps[index].link.iter_mut().for_each(|link| link.is_dead = true);
                } else {
                    self.cut(index, None);
                }
            }
            if self.rng.chance(self.rates.restart) {
                self.total.restarts += 1;
                self.hang_up(index);
                let app = &mut self.apps[index];
                let snapshot = serde_json::to_string(&app.session.snapshot()).unwrap();
                let snapshot: Snapshot = serde_json::from_str(&snapshot).unwrap();
                assert_eq!(
                    snapshot.seen.seq(&ClientTopic::room("r0")),
                    app.seen.seq(&ClientTopic::room("r0"))
                );
                app.timelines = timelines(app.user);
                for timeline in app.timelines.values_mut() {
                    snapshot.outbox.iter().for_each(|unsent| timeline.queue(unsent));
                }
                app.session = Session::restore(options(app.folds), self.rng.next_u64(), snapshot);
                app.account = Account::default();
                app.delivered.clear();
                app.folding.clear();
            }
        }
        if self.rng.chance(self.rates.crash) {
            self.crash();
        }
        if self.rng.chance(self.rates.crash) {
            self.hub.step(self.now(), Input::Drain, &mut self.out);
            self.perform();
        }
    }

    /// The server crashes and another one starts. Some of the drafts on their way to
    /// the log are stored.
    fn crash(&mut self) {
        self.total.crashes += 1;
        let now = self.now();
        for (_, draft) in std::mem::take(&mut self.drafts) {
            if self.rng.index(2) == 0 {
                self.history.append(&[draft], now.wall_ms, exists);
            } else {
                break;
            }
        }
        self.late.clear();
        self.answers.clear();
        self.total.marks_lost += self.marks.len() as u64;
        self.marks.clear();
        self.hub = hub();
        self.out = Outputs::default();
        for app in &mut self.apps {
            if let Some(link) = &mut app.link {
                link.client = ClientId(u32::MAX);
                link.up.clear();
                if !link.is_dead {
                    let at_ms = link.down.back().map_or(self.now_ms, |(at_ms, _)| *at_ms);
                    link.down.push_back((at_ms, Down::Closed(None)));
                }
            }
        }
    }

    /// One application joins, leaves or sends.
    fn act(&mut self) {
        let now_ms = self.now_ms;
        let index = self.rng.index(self.apps.len());
        let room =
            [ROOMS[self.rng.index(ROOMS.len())], CLOSED][usize::from(self.rng.index(5) == 0)].to_owned();
        let person = USERS[self.rng.index(USERS.len())];
        let action = self.rng.index(100);
        let count = if self.rng.index(50) == 0 { 60 } else { 1 };
        let mut attached = Vec::new();
        if matches!(action, 20..25 | 45..50) {
            attached.push(self.upload(index));
            // Perhaps one of another user, one that is attached already, or one twice.
            if self.rng.index(4) == 0 {
                attached.push(self.files[self.rng.index(self.files.len())].clone());
            }
        }
        let Self { apps, rng, .. } = self;
        let app = &mut apps[index];
        match action {
            0..10 => app.session.join(now_ms, &room).unwrap(),
            10 => app.session.leave(now_ms, &room),
            11..40 => {
                let mentioned = action.is_multiple_of(4).then_some(person);
                for _ in 1..count {
                    app.send(now_ms, ClientTopic::Room(room.clone()), mentioned, Vec::new());
                }
                app.send(now_ms, ClientTopic::Room(room.clone()), mentioned, attached);
            }
            40..55 => app.send(now_ms, ClientTopic::private(person), None, attached),
            55..62 => {
                let topic = if action.is_multiple_of(2) {
                    ClientTopic::Room(room)
                } else {
                    ClientTopic::private(person)
                };
                let back = self.rng.between(0, 5);
                self.total.reads += u64::from(app.read(now_ms, topic, back, &mut self.model));
            }
            // Two devices that choose at the same time may disagree until the next hello, and
            // what a user chooses who does not know of the removal yet is not kept.
            62 if index != 1 && !(room == CLOSED && self.model.removed_at.contains_key(app.user)) => {
                app.set_level(now_ms, ClientTopic::Room(room), &mut self.model);
            }
            63 | 64 if self.late.is_empty() => self.change_members(person),
            65..80 => {
                let private = ClientTopic::private(person);
                let topic = if action < 75 { ClientTopic::Room(room) } else { private };
                app.change(now_ms, topic, person, rng);
            }
            80..85 => {
                let private = ClientTopic::private(person);
                let topic = if action < 83 { ClientTopic::Room(room) } else { private };
                app.ask_page(now_ms, &topic, rng);
            }
            _ => {}
        }
        self.perform_session(index);
    }

    /// The user of an application uploads a file.
    fn upload(&mut self, index: usize) -> ClientFile {
        let bits = (u128::from(self.rng.next_u64()) << 64) | u128::from(self.rng.next_u64());
        let file = AttachedFile {
            id: FileId::from_bytes(bits.to_be_bytes()),
            name: FileName::clean(&format!("{}.png", self.files.len())).unwrap(),
            media_type: MediaType::parse("image/png").unwrap(),
            size: self.rng.between(0, 1_000),
            dimensions: (self.rng.index(2) == 0).then_some((640, 480)),
        };
        let owner = name(self.apps[index].user);
        let reserved = ReservedFile { id: file.id, owner: owner.clone(), bytes: 1_000 };
        self.history.reserve_file(&reserved, FileQuotas::default(), self.now_ms).unwrap();
        assert!(self.history.store_file(&owner, &file, self.now_ms));
        self.files.push(client_file(&file));
        client_file(&file)
    }

    /// Adds a user to the closed room, or removes a member.
    fn change_members(&mut self, person: &'static str) {
        let (user, room) = (name(person), closed());
        if person == "alice" {
            return;
        }
        let is_member = self.is_member(person, CLOSED);
        let leaves = is_member && self.rng.index(3) == 0;
        let by = Actor { user: if leaves { user.clone() } else { name("alice") }, is_administrator: false };
        let wanted = if is_member {
            self.total.removals += 1;
            let topic = Topic::Room(closed());
            self.model.removed_at.insert(person, self.history.last_seq(&topic));
            self.model.read.remove(&(person, ClientTopic::room(CLOSED)));
            self.model.levels.remove(&(person, ClientTopic::room(CLOSED)));
            WantedChange::Remove { room, user, by }
        } else {
            WantedChange::Put { room, user, role: None, by }
        };
        let now = self.now();
        let changes = self.history.change(&wanted, now.wall_ms, exists).unwrap();
        self.hub.step(now, Input::Changes(&changes), &mut self.out);
        self.perform();
    }

    fn is_member(&self, user: &str, room: &str) -> bool {
        let room = self.history.room(&RoomName::parse(room).unwrap());
        room.is_some_and(|(room, _)| room.members.contains_key(&name(user)))
    }

    /// Lets a little time pass.
    fn step(&mut self) {
        self.now_ms += 1 + self.rng.between(0, 59);
        let now = self.now();
        if self.hub.next_tick_ms() <= self.now_ms {
            self.hub.step(now, Input::Tick, &mut self.out);
            self.perform();
        }
        if self.hub.is_drained() {
            self.crash();
        }
        self.log_answers();
        while let Some(index) = self.answers.iter().position(|(at_ms, ..)| *at_ms <= self.now_ms) {
            let (_, id, answer) = self.answers.remove(index);
            self.hub.step(now, Input::Answer { id, answer: &answer }, &mut self.out);
            self.perform();
        }
        while self.marks.first().is_some_and(|(at_ms, _)| *at_ms <= self.now_ms) {
            self.history.keep(&self.marks.remove(0).1);
        }
        for index in 0..self.apps.len() {
            self.carry_up(index);
            self.carry_down(index);
            if self.apps[index].session.next_tick_ms() <= self.now_ms {
                self.apps[index].session.tick(self.now_ms);
                self.perform_session(index);
            }
            // The server's ping.
            if self.apps[index].link.as_ref().is_some_and(|link| !link.is_dead) {
                self.apps[index].session.received(self.now_ms);
            }
        }
    }

    fn log_answers(&mut self) {
        let now = self.now();
        let mut due = Vec::new();
        let mut is_failing = false;
        while self.drafts.first().is_some_and(|(at_ms, _)| *at_ms <= self.now_ms) {
            due.push(self.drafts.remove(0).1);
        }
        if due.is_empty() && self.late.is_empty() {
            return;
        }
        if self.rng.chance(self.rates.fail) {
            match self.rng.index(3) {
                // The failure also fails the drafts behind it.
                0 => is_failing = true,
                // Stored, and answered after the hub has given the drafts up.
                1 => {
                    let commit = self.history.append(&due, now.wall_ms, exists);
                    self.late.push((self.now_ms + 6_000, commit));
                    due.clear();
                }
                _ => {
                    let commit = self.history.append(&due, now.wall_ms, exists);
                    self.late.push((self.now_ms + 500, commit));
                    due.clear();
                }
            }
        }
        if is_failing {
            due.extend(self.drafts.drain(..).map(|(_, draft)| draft));
            let receipts: Vec<_> = due.iter().map(|draft| Receipt::new(draft.id, Outcome::Failed)).collect();
            self.hub.step(now, Input::Commit { entries: &[], receipts: &receipts }, &mut self.out);
        } else if !due.is_empty() {
            let commit = self.history.append(&due, now.wall_ms, exists);
            self.publish(&commit);
        }
        while self.late.first().is_some_and(|(at_ms, _)| *at_ms <= self.now_ms) {
            let (_, commit) = self.late.remove(0);
            self.publish(&commit);
        }
        self.perform();
    }

    fn publish(&mut self, commit: &Commit) {
        let Commit { entries, receipts, changes, .. } = commit;
        if !changes.is_empty() {
            self.hub.step(self.now(), Input::Changes(changes), &mut self.out);
        }
        self.hub.step(self.now(), Input::Commit { entries, receipts }, &mut self.out);
    }

    fn carry_up(&mut self, index: usize) {
        let now = self.now();
        while let Some(link) = &mut self.apps[index].link
            && link.client != ClientId(u32::MAX)
            && !link.is_dead
            && link.up.front().is_some_and(|(at_ms, _)| *at_ms <= self.now_ms)
            && !self.hub.is_paused(link.client)
            && let Some((_, frame)) = link.up.pop_front()
        {
            let client = link.client;
            self.hub.step(now, Input::Frame { client, text: &frame }, &mut self.out);
            self.perform();
        }
    }

    fn carry_down(&mut self, index: usize) {
        while let Some(link) = &mut self.apps[index].link
            && !link.is_dead
            && link.down.front().is_some_and(|(at_ms, _)| *at_ms <= self.now_ms)
            && let Some((_, down)) = link.down.pop_front()
        {
            let session = &mut self.apps[index].session;
            match down {
                Down::Opened => session.opened(self.now_ms),
                Down::Frame(frame) => session.frame(self.now_ms, &frame),
                Down::Closed(code) => {
                    self.cut(index, code);
                }
            }
            self.perform_session(index);
        }
    }

    /// Reports to the session that its connection is lost.
    fn cut(&mut self, index: usize, code: Option<u16>) {
        if self.apps[index].link.is_some() {
            self.total.losses += 1;
            self.hang_up(index);
            self.apps[index].session.closed(self.now_ms, code);
            self.perform_session(index);
        }
    }

    fn hang_up(&mut self, index: usize) {
        let Some(mut link) = self.apps[index].link.take() else { return };
        if link.client == ClientId(u32::MAX) {
            return;
        }
        // Frames on their way may still arrive.
        let keep = self.rng.size(0, link.up.len() as u64);
        link.up.truncate(keep);
        let now = self.now();
        for (_, frame) in link.up {
            if !self.hub.is_paused(link.client) && !link.is_dead {
                self.hub.step(now, Input::Frame { client: link.client, text: &frame }, &mut self.out);
                self.perform();
            }
        }
        self.hub.step(now, Input::Closed { client: link.client }, &mut self.out);
        self.perform();
    }

    /// Performs the outputs of a session.
    fn perform_session(&mut self, index: usize) {
        while let Some(output) = self.apps[index].session.next_output() {
            match output {
                Todo::Connect => self.connect(index),
                Todo::Transmit(frame) => {
                    let at_ms = self.now_ms + self.rng.between(0, 39);
                    let link = self.apps[index].link.as_mut().expect("connected");
                    let at_ms = link.up.back().map_or(at_ms, |(last_ms, _)| at_ms.max(*last_ms));
                    link.up.push_back((at_ms, frame));
                }
                Todo::Hangup => {
                    self.total.losses += 1;
                    self.hang_up(index);
                }
                Todo::Event(event) => {
                    let user = self.apps[index].user;
                    // A member reads everything; what a user was sent before the removal
                    // may still arrive.
                    let readable = match self.is_member(user, CLOSED) {
                        true => u64::MAX,
                        false => self.model.removed_at.get(user).copied().unwrap_or(0),
                    };
                    self.apps[index].take_event(&event, readable, &self.history, &mut self.total);
                }
            }
        }
        self.apps[index].check_marks();
    }

    fn connect(&mut self, index: usize) {
        let client = ClientId(self.next_client);
        self.next_client += 1;
        let down = VecDeque::from([(self.now_ms + self.rng.between(0, 39), Down::Opened)]);
        let app = &mut self.apps[index];
        assert!(app.link.is_none());
        app.link = Some(Link { client, is_dead: false, up: VecDeque::new(), down });
        let user = name(app.user);
        let now = self.now();
        let open =
            Input::Open { client, user: &user, session: None, good_for_ms: None, protocol: Protocol::V2 };
        self.hub.step(now, open, &mut self.out);
        self.perform();
    }

    /// Performs the outputs of the hub.
    fn perform(&mut self) {
        self.hub.end_turn(&mut self.out);
        let now = self.now();
        let mut closed = Vec::new();
        while let Some(output) = self.out.next() {
            match output {
                Output::Write(write) => {
                    let bytes = std::str::from_utf8(self.out.bytes(&write)).unwrap().to_owned();
                    for client in self.out.recipients(&write).to_vec() {
                        for frame in bytes.lines() {
                            self.down(client, Down::Frame(with_features(frame)));
                        }
                    }
                }
                Output::Close { client, code } => {
                    self.down(client, Down::Closed(Some(code.code())));
                    closed.push(client);
                }
                Output::Append(draft) => {
                    let at_ms = self.now_ms + self.rng.between(0, 29);
                    let at_ms = self.drafts.last().map_or(at_ms, |(last_ms, _)| at_ms.max(*last_ms));
                    self.drafts.push((at_ms, draft));
                }
                Output::Keep(mark) => {
                    let at_ms = self.now_ms + self.rng.between(0, 900);
                    let at_ms = self.marks.last().map_or(at_ms, |(last_ms, _)| at_ms.max(*last_ms));
                    self.marks.push((at_ms, mark));
                }
                Output::Read { id, query } => {
                    let fails = self.rng.chance(self.rates.fail);
                    let answer = if fails { Answer::Failed } else { self.history.answer(&query) };
                    if self.rng.index(2) == 0 {
                        self.answers.push((self.now_ms + self.rng.between(0, 200), id, answer));
                    } else {
                        self.hub.step(now, Input::Answer { id, answer: &answer }, &mut self.out);
                    }
                }
                _ => {}
            }
            self.hub.end_turn(&mut self.out);
        }
        for client in closed {
            if let Some(link) =
                self.apps.iter_mut().filter_map(|app| app.link.as_mut()).find(|link| link.client == client)
            {
                link.client = ClientId(u32::MAX);
            }
            self.hub.step(now, Input::Closed { client }, &mut self.out);
        }
        if !self.out.is_empty() {
            self.perform();
        }
    }

    fn down(&mut self, client: ClientId, down: Down) {
        let at_ms = self.now_ms + self.rng.between(0, 39);
        let links = self.apps.iter_mut().filter_map(|app| app.link.as_mut());
        if let Some(link) = links.into_iter().find(|link| link.client == client) {
            let at_ms = link.down.back().map_or(at_ms, |(last_ms, _)| at_ms.max(*last_ms));
            link.down.push_back((at_ms, down));
        }
    }

    fn check_end(&mut self) {
        for index in 0..self.apps.len() {
            self.check_account(index);
            self.check_timelines(index);
        }
        let mut numbers: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for app in &self.apps {
            assert!(app.session.is_online());
            assert_eq!(app.session.unsent(), 0, "{} has sends without an answer", app.user);
            for place in ROOMS.map(ClientTopic::room).into_iter().chain(USERS.map(ClientTopic::private)) {
                assert_eq!(app.seen.seq(&place), app.session.seen().seq(&place));
            }
            // Every send has an answer, and the sends to a topic are in order.
            // So are the changes of a message. If the refusal of one is lost, it may be stored
            // behind later sends that do not concern that message.
            let mut last: BTreeMap<(&ClientTopic, Option<u64>), u64> = BTreeMap::new();
            for (nonce, place, seq) in &app.sends {
                if app.refused.contains(nonce) {
                    continue;
                }
                let seq = seq.expect("answered");
                let entry = entry(&self.history, &app.topic(place), seq).expect("it is stored");
                if entry.nonce.as_ref().is_none_or(|stored| stored.as_str() != nonce) {
                    // It was so already.
                    assert!(matches!(entry.body, Body::Delete { .. } | Body::React { .. }), "{entry:?}");
                    continue;
                }
                let before = last.insert((place, entry.body.target()), seq);
                assert!(
                    before.is_none_or(|before| before < seq),
                    "{}: {nonce} is {seq} of {place:?}, behind {before:?}",
                    app.user
                );
                assert_eq!(numbers.insert((app.user, nonce), seq), None);
            }
            // Every message was seen.
            for room in app.seen.rooms() {
                assert!(app.session.is_in(room));
                let topic = Topic::Room(RoomName::parse(room).unwrap());
                let last = Some(self.history.last_seq(&topic));
                let heard = app.seen.seq(&ClientTopic::room(room));
                assert!(heard == last, "{} has {heard:?} of {last:?} in {room}", app.user);
            }
            for other in USERS {
                let topic = Topic::Pair(Pair::new(name(app.user), name(other)));
                let last = self.history.last_seq(&topic);
                match app.seen.seq(&ClientTopic::private(other)) {
                    Some(heard) => assert_eq!(heard, last, "{} with {other}", app.user),
                    None => assert!(last == 0 || app.knew_all == Some(false), "{} with {other}", app.user),
                }
            }
        }
    }
}

impl World {
    /// Compares the account as a client knows it with the store.
    fn check_account(&mut self, index: usize) {
        let app = &self.apps[index];
        let (user, account) = (app.user, app.session.account());
        assert_eq!(app.account, *account, "{user}");
        for room in ROOMS.into_iter().chain([CLOSED]) {
            let known = account.room(room);
            assert_eq!(known.is_some(), self.is_member(user, room), "{user} in {room}");
            let Some(known) = known else { continue };
            let topic = Topic::Room(RoomName::parse(room).unwrap());
            let state = self.history.counts(&name(user), &topic, 0);
            let what = format!("{user} in {room}: {known:?}, not {state:?}");
            assert!(known.read == state.read || app.begun.contains(room), "{what}");
            // Messages of this user alone are no activity.
            assert!(known.top <= state.top, "{what}");
            let (unread, mentions) = (known.unread.unwrap(), known.mentions.unwrap());
            let (unread_is, mentions_are) = (state.counts.unread, state.counts.mentions);
            if app.begun.contains(room) {
                continue;
            }
            let place = ClientTopic::room(room);
            // Other devices do not tell what is deleted in a room that is not joined.
            let is_unknown = !app.session.is_in(room)
                && app.has_changes(&self.history, &place, app.counted_to.get(&place).copied(), u64::MAX);
            if is_unknown || app.inexact.contains(&place) {
                assert!(unread >= unread_is, "{what}");
            } else if app.estimated.contains(&place) {
                assert!(unread >= unread_is && mentions >= mentions_are, "{what}");
            } else {
                assert_eq!((unread, mentions), (unread_is, mentions_are), "{what}");
                self.total.counted += u64::from(app.changed.contains(&place) && unread > 0);
            }
            self.total.unread += u64::from(unread_is);
            if let Some(read) = self.model.read.get(&(user, ClientTopic::room(room))) {
                assert!(state.read >= *read, "{what}: read up to {read}");
            }
            if let Some(level) = self.model.levels.get(&(user, ClientTopic::room(room))) {
                assert_eq!(known.level, *level, "{what}");
            }
        }
        for with in &app.listed {
            let known = account.conversation(with).unwrap();
            let topic = Topic::Pair(Pair::new(name(user), name(with)));
            let state = self.history.counts(&name(user), &topic, 0);
            let what = format!("{user} with {with}: {known:?}, not {state:?}");
            assert_eq!((known.read, known.seq), (state.read, state.top), "{what}");
            let unread = known.unread.unwrap();
            let place = ClientTopic::private(with);
            if app.estimated.contains(&place) || app.inexact.contains(&place) {
                assert!(unread >= state.counts.unread, "{what}");
            } else {
                assert_eq!(unread, state.counts.unread, "{what}");
                self.total.counted += u64::from(app.changed.contains(&place));
            }
            if let Some(read) = self.model.read.get(&(user, ClientTopic::private(with))) {
                assert!(state.read >= *read, "{what}: read up to {read}");
            }
        }
    }
}

impl World {
    /// Compares what a user sees with the log.
    fn check_timelines(&mut self, index: usize) {
        let app = &self.apps[index];
        for (place, timeline) in &app.timelines {
            let topic = app.topic(place);
            for shown in timeline.shown() {
                assert_eq!(shown.pending, Vec::<&chat_client::Unsent>::new(), "{} in {place:?}", app.user);
                let stored = entry(&self.history, &topic, shown.entry.seq).expect("it is in the log");
                let (mut seen, mut state) = (shown.entry.into_owned(), client_entry(&stored));
                // Names are a hint: some may be missing, and none is wrong.
                for (seen, state) in seen.reactions.iter_mut().zip(&mut state.reactions) {
                    assert!(
                        state.users.len() < 5 || seen.users.iter().all(|user| state.users.contains(user))
                    );
                    seen.users.clear();
                    state.users.clear();
                }
                assert_eq!(seen, state, "{} in {place:?}", app.user);
                self.total.compared += u64::from(state.updated > 0);
            }
            // A room that is joined, or a conversation, is shown to its end.
            if let ClientTopic::Room(room) = place
                && !app.session.is_in(room)
            {
                assert_eq!(timeline.messages().count(), 0);
            }
        }
    }
}

impl App {
    fn new(user: &'static str, seed: u64, folds: bool) -> Self {
        Self {
            user,
            session: Session::new(options(folds), seed),
            link: None,
            seen: Seen::default(),
            account: Account::default(),
            read: BTreeMap::new(),
            estimated: BTreeSet::new(),
            inexact: BTreeSet::new(),
            changed: BTreeSet::new(),
            counted_to: BTreeMap::new(),
            delivered: BTreeMap::new(),
            timelines: timelines(user),
            folds,
            folding: BTreeSet::new(),
            refused_resumes: BTreeSet::new(),
            counted: BTreeSet::new(),
            begun: BTreeSet::new(),
            listed: BTreeSet::new(),
            sends: Vec::new(),
            change_nonces: BTreeSet::new(),
            file_nonces: BTreeSet::new(),
            refused: Vec::new(),
            knew_all: None,
        }
    }

    fn send(&mut self, now_ms: u64, to: ClientTopic, mentioned: Option<&str>, files: Vec<ClientFile>) {
        let text = format!("{} {} @{}", self.user, self.sends.len(), mentioned.unwrap_or_default());
        let mut message = NewMessage::new(to.clone(), text);
        message.mentions.extend(mentioned.map(str::to_owned));
        if !files.is_empty() && self.sends.len().is_multiple_of(2) {
            message.text.clear();
        }
        let has_files = !files.is_empty();
        message.files = files;
        // The outbox may be full, or the room not joined.
        if let Ok(nonce) = self.session.send_message(now_ms, message) {
            if has_files {
                self.file_nonces.insert(nonce.clone());
            }
            self.sends.push((nonce, to, None));
        }
    }

    /// Changes a message of a topic: one that the user sees, one that may not exist, or one
    /// that is not stored yet.
    fn change(&mut self, now_ms: u64, to: ClientTopic, mentioned: &str, rng: &mut Rng) {
        let kind = rng.index(10);
        let own_only = kind < 5 && rng.index(5) > 0;
        let unsent = self.session.snapshot().outbox;
        let unsent: Vec<_> =
            unsent.iter().filter(|unsent| unsent.to == to && unsent.change.is_none()).collect();
        let seen = self.timelines[&to].messages();
        let seen: Vec<u64> =
            seen.filter(|entry| !own_only || entry.from == self.user).map(|entry| entry.seq).collect();
        let target = match rng.index(8) {
            0 => Target::Number(rng.between(1, self.session.seen().seq(&to).unwrap_or(0) + 3)),
            1..4 if !unsent.is_empty() => Target::Nonce(unsent[rng.index(unsent.len())].nonce.clone()),
            _ if seen.is_empty() => return,
            // Mostly one of the latest.
            1..6 => Target::Number(seen[seen.len() - 1 - rng.index(seen.len().min(5))]),
            _ => Target::Number(seen[rng.index(seen.len())]),
        };
        let emoji = EMOJI[rng.index(EMOJI.len())];
        let text = format!("{} edits {} @{mentioned}", self.user, self.sends.len());
        let change = match kind {
            0..3 if rng.index(2) == 0 => NewChange::edit(to.clone(), target, text).mention(mentioned),
            0..3 => NewChange::edit(to.clone(), target, text),
            3..5 => NewChange::delete(to.clone(), target),
            5..8 => NewChange::react(to.clone(), target, emoji),
            _ => NewChange::unreact(to.clone(), target, emoji),
        };
        if let Ok(nonce) = self.session.change(now_ms, change) {
            self.change_nonces.insert(nonce.clone());
            self.sends.push((nonce, to, None));
        }
    }

    fn ask_page(&mut self, now_ms: u64, topic: &ClientTopic, rng: &mut Rng) {
        let seq = rng.between(0, self.session.seen().seq(topic).unwrap_or(0) + 1);
        let from = match rng.index(6) {
            0 => ClientPage::Latest,
            1 => ClientPage::After(seq),
            2 => ClientPage::Around(seq),
            3 => ClientPage::Numbers((0..5).map(|_| rng.between(1, seq + 1)).collect()),
            _ => ClientPage::Before(seq),
        };
        let limit = Some(rng.between(1, 30) as u32);
        if let Ok(request) = self.session.history(now_ms, topic.clone(), from, limit)
            && let Some(timeline) = self.timelines.get_mut(topic)
        {
            timeline.ask(request);
        }
    }

    /// Whether messages of a topic were edited or deleted by entries after `after`, up to
    /// `upto`.
    fn has_changes(&self, history: &History, place: &ClientTopic, after: Option<u64>, upto: u64) -> bool {
        let all = PageLimits { entries: usize::MAX, bytes: usize::MAX };
        let page = history.page(&self.topic(place), PageFrom::After(after.unwrap_or(0)), all);
        let is_change = |entry: &Entry| matches!(entry.body, Body::Edit { .. } | Body::Delete { .. });
        page.entries.iter().any(|entry| entry.seq <= upto && is_change(entry))
    }

    /// Takes note of what a change may do to counts, before the account does.
    fn changes(&mut self, place: &ClientTopic, change: &Change) {
        let (read, unread, top) = match place {
            ClientTopic::Room(room) => {
                let Some(known) = self.account.room(room) else { return };
                (known.read, known.unread, known.top)
            }
            ClientTopic::Private(with) => {
                let Some(known) = self.account.conversation(with) else { return };
                (known.read, known.unread, known.seq)
            }
        };
        let is_counted = matches!(change.kind, ChangeKind::Edit { .. } | ChangeKind::Delete);
        if !is_counted || change.target <= read || change.seq <= top {
            return;
        }
        self.changed.insert(place.clone());
        let is_known = match place {
            ClientTopic::Room(_) => {
                let state = self.delivered.get(&(place.clone(), change.target));
                state.is_some_and(|updated| *updated < change.seq)
            }
            ClientTopic::Private(_) => true,
        };
        if !is_known || unread == Some(COUNT_MAX) {
            self.inexact.insert(place.clone());
        }
    }

    /// The user reads everything that there is of a topic, or all but the last `back`
    /// messages. Returns whether that raises the mark.
    fn read(&mut self, now_ms: u64, topic: ClientTopic, back: u64, model: &mut Model) -> bool {
        let Some(before) = self.read_mark(&topic) else { return false };
        let seen = self.session.seen().seq(&topic).unwrap_or(0);
        let upto = if model.reads_parts { seen.saturating_sub(back) } else { u64::MAX };
        self.session.read(now_ms, &topic, upto);
        let read = self.read_mark(&topic).unwrap();
        if read == before {
            return false;
        }
        for known in
            [self.read.entry(topic.clone()).or_default(), model.read.entry((self.user, topic)).or_default()]
        {
            *known = (*known).max(read);
        }
        true
    }

    /// How far the user has read a topic, if it is listed.
    fn read_mark(&self, topic: &ClientTopic) -> Option<u64> {
        let account = self.session.account();
        match topic {
            ClientTopic::Room(room) => account.room(room).map(|room| room.read),
            ClientTopic::Private(with) => account.conversation(with).map(|with| with.read),
        }
    }

    /// Whether the server has not said yet how far the user has read a conversation.
    fn is_uncounted(&self, topic: &ClientTopic) -> bool {
        match topic {
            ClientTopic::Room(_) => false,
            ClientTopic::Private(with) => {
                self.session.account().conversation(with).is_some_and(|with| with.unread.is_none())
            }
        }
    }

    fn set_level(&mut self, now_ms: u64, topic: ClientTopic, model: &mut Model) {
        let ClientTopic::Room(room) = &topic else { return };
        let Some(room) = self.session.account().room(room) else { return };
        let level = if room.level == Level::All { Level::None } else { Level::All };
        self.session.set_level(now_ms, &topic, level);
        model.levels.insert((self.user, topic), level);
    }

    /// No mark that was set on this device goes back on it, whatever the server forgets.
    fn check_marks(&self) {
        let is_listed = |topic: &ClientTopic| match topic {
            ClientTopic::Room(_) => true,
            ClientTopic::Private(with) => self.listed.contains(with),
        };
        let is_begun = |topic: &ClientTopic| match topic {
            ClientTopic::Room(room) => self.begun.contains(room),
            ClientTopic::Private(_) => false,
        };
        let marks = self.read.iter().filter(|(topic, _)| is_listed(topic) && !is_begun(topic));
        for (topic, read) in marks {
            let known = self.read_mark(topic).filter(|_| !self.is_uncounted(topic));
            assert!(known.is_none_or(|known| known >= *read), "{}: {topic:?} {known:?} {read}", self.user);
        }
    }

    fn take_event(&mut self, event: &Event, readable: u64, history: &History, total: &mut Total) {
        if let Event::Change { topic, change } = event {
            self.changes(topic, change);
        }
        self.account.apply(event);
        for timeline in self.timelines.values_mut() {
            timeline.apply(event);
        }
        match event {
            Event::Online { has_more, conversations, rooms, .. } => {
                self.inexact.clear();
                self.changed.clear();
                self.folding.clear();
                let counted = rooms.iter().map(|room| (ClientTopic::room(&*room.room), room.top));
                self.counted_to = counted.collect();
                self.knew_all.get_or_insert(!has_more);
                self.listed = conversations.iter().map(|listed| listed.with.clone()).collect();
                self.estimated.clear();
                self.counted.clear();
                self.begun.clear();
            }
            Event::Room { room, .. } => {
                self.begun.insert(room.clone());
            }
            Event::Read { topic, upto, top, counts: None } if upto < top => {
                self.estimated.insert(topic.clone());
            }
            Event::Read { topic, upto, counts, .. } => {
                let account = &self.account;
                let read = match topic {
                    ClientTopic::Room(room) => account.room(room).map(|room| room.read),
                    ClientTopic::Private(with) => account.conversation(with).map(|with| with.read),
                };
                if read.is_some_and(|read| *upto < read) {
                    // The server had counted before it had this client's mark.
                    self.estimated.insert(topic.clone());
                } else {
                    self.estimated.remove(topic);
                }
                if let ClientTopic::Room(room) = topic {
                    self.begun.remove(room);
                }
                if counts.is_some() {
                    self.counted.insert(topic.clone());
                }
            }
            Event::Activity { room, .. } => {
                total.activities += 1;
                let topic = ClientTopic::room(room);
                if self.counted.remove(&topic) {
                    self.estimated.insert(topic);
                }
            }
            Event::NotSent { nonce, code, may_be_stored, .. } if self.change_nonces.contains(nonce) => {
                total.refused += 1;
                assert!(["not_found", "forbidden", "too_many", "not_sent"].contains(&&**code), "{event:?}");
                let (_, topic, seq) = self.sends.iter().find(|(sent, ..)| sent == nonce).expect("was sent");
                assert_eq!(seq, &None);
                assert!(*may_be_stored || !self.is_stored(history, topic, nonce), "{nonce} was stored");
                self.refused.push(nonce.clone());
            }
            Event::NotSent { nonce, code, may_be_stored, .. }
                if code == "bad_request" && self.file_nonces.contains(nonce) =>
            {
                total.bad_files += 1;
                let (_, topic, seq) = self.sends.iter().find(|(sent, ..)| sent == nonce).expect("was sent");
                assert_eq!(seq, &None);
                assert!(*may_be_stored || !self.is_stored(history, topic, nonce), "{nonce} was stored");
                self.refused.push(nonce.clone());
            }
            Event::NotSent { nonce, code, may_be_stored, .. } if code == "forbidden" => {
                total.forbidden += 1;
                let (_, topic, seq) = self.sends.iter().find(|(sent, ..)| sent == nonce).expect("was sent");
                assert_eq!((topic, seq), (&ClientTopic::room(CLOSED), &None));
                assert!(*may_be_stored || !self.is_stored(history, topic, nonce), "{nonce} was stored");
                self.refused.push(nonce.clone());
            }
            Event::NotJoined { room, code, .. } if room == CLOSED && code == "forbidden" => {
                total.forbidden += 1;
                self.read.remove(&ClientTopic::room(CLOSED));
            }
            Event::Left { room, reason: Some(_) } | Event::RoomGone { room } => {
                assert_eq!(room, CLOSED);
                total.ended += 1;
                self.read.remove(&ClientTopic::room(CLOSED));
            }
            Event::Message { topic, entry }
                if *topic == ClientTopic::room(CLOSED) && entry.seq > readable =>
            {
                panic!("{} was sent {} after the removal at {readable}", self.user, entry.seq);
            }
            Event::Joined { room, recovered: false, seq, .. } => {
                let place = ClientTopic::room(room);
                if self.has_changes(history, &place, self.counted_to.get(&place).copied(), *seq) {
                    self.inexact.insert(place.clone());
                }
                self.delivered.retain(|(known, _), _| *known != place);
                let is_refused = self.refused_resumes.remove(room);
                if self.folds && !is_refused {
                    self.folding.insert(room.clone());
                }
            }
            Event::Replayed { room, .. } => {
                self.folding.remove(room);
            }
            Event::History { .. } => total.pages += 1,
            Event::Change { topic: place, change } => {
                let last = self.seen.seq(place);
                let is_folded = matches!(place, ClientTopic::Room(room) if self.folding.contains(room));
                assert!(!is_folded, "{} in {place:?}: {change:?}", self.user);
                assert!(
                    last.is_none_or(|last| change.seq == last + 1),
                    "{} in {place:?} {last:?}",
                    self.user
                );
                let stored = entry(history, &self.topic(place), change.seq).expect("it is in the log");
                assert_eq!(stored.body.target(), Some(change.target));
                assert_eq!((stored.from.as_str(), stored.at_ms / 1_000), (&*change.from, change.timestamp));
            }
            Event::Message { topic: place, entry } => {
                total.seen += 1;
                total.with_files += u64::from(!entry.files.is_empty());
                self.delivered.insert((place.clone(), entry.seq), entry.updated);
                if let Some(last) = self.seen.seq(place) {
                    let is_folded = matches!(place, ClientTopic::Room(room) if self.folding.contains(room));
                    let is_next = entry.seq == last + 1 || (is_folded && entry.seq > last);
                    assert!(is_next, "{} in {place:?}: {} {last}", self.user, entry.seq);
                } else if self.knew_all == Some(true)
                    && let ClientTopic::Private(_) = place
                    && self.seen.seq(place).is_none()
                    && total.resets == 0
                {
                    assert_eq!(entry.seq, 1, "a conversation that began while it was offline, {place:?}");
                }
                let limits = PageLimits { entries: 1, bytes: 1 };
                let page = history.page(&self.topic(place), PageFrom::After(entry.seq - 1), limits);
                // It may have been trimmed while it was on its way.
                if page.first <= entry.seq {
                    let stored = &page.entries[0];
                    let state = client_entry(stored);
                    if state.updated == entry.updated {
                        assert_eq!(state, *entry);
                    }
                    assert!(state.updated >= entry.updated);
                    assert_eq!((state.seq, state.nonce), (entry.seq, entry.nonce.clone()));
                }
            }
            Event::Stored { nonce, topic: place, seq, duplicate, .. } => {
                total.stored += 1;
                total.duplicates += u64::from(*duplicate);
                total.changes += u64::from(self.change_nonces.contains(nonce));
                let send = self.sends.iter_mut().find(|(sent, ..)| sent == nonce).expect("was sent");
                assert_eq!((&send.1, send.2.replace(*seq)), (place, None), "two answers");
            }
            Event::Reset { topic } => {
                total.resets += 1;
                match topic {
                    ClientTopic::Private(_) => drop(self.inexact.insert(topic.clone())),
                    ClientTopic::Room(room) if self.seen.seq(topic).is_some() => {
                        self.refused_resumes.insert(room.clone());
                    }
                    ClientTopic::Room(_) => {}
                }
                self.delivered.retain(|(known, _), _| known != topic);
            }
            Event::NotSent { .. }
            | Event::NotJoined { .. }
            | Event::SignedOut { .. }
            | Event::Problem { .. } => {
                panic!("{}: {event:?}", self.user);
            }
            _ => {}
        }
        self.seen.apply(event);
    }

    /// Whether a send of the user is in the log.
    fn is_stored(&self, history: &History, place: &ClientTopic, nonce: &str) -> bool {
        let all = PageLimits { entries: usize::MAX, bytes: usize::MAX };
        let page = history.page(&self.topic(place), PageFrom::After(0), all);
        page.entries.iter().any(|stored| {
            stored.from == name(self.user)
                && stored.nonce.as_ref().is_some_and(|stored| stored.as_str() == nonce)
        })
    }

    fn topic(&self, place: &ClientTopic) -> Topic {
        match place {
            ClientTopic::Room(room) => Topic::Room(RoomName::parse(room).unwrap()),
            ClientTopic::Private(with) => Topic::Pair(Pair::new(name(self.user), name(with))),
        }
    }
}

/// An entry of the log.
fn entry(history: &History, topic: &Topic, seq: u64) -> Option<std::sync::Arc<Entry>> {
    let limits = PageLimits { entries: 1, bytes: 1 };
    let page = history.page(topic, PageFrom::After(seq.checked_sub(1)?), limits);
    page.entries.into_iter().find(|entry| entry.seq == seq)
}

/// A message of the log, as a client has it.
fn client_entry(entry: &Entry) -> ClientEntry {
    let state = entry.body.state().cloned().unwrap_or_default();
    let mentions = entry.body.mentions().cloned().unwrap_or_default();
    let reactions = state.reactions.iter().map(|reaction| chat_client::Reaction {
        emoji: reaction.emoji.as_str().to_owned(),
        count: reaction.count,
        users: reaction.users.iter().map(|user| user.as_str().to_owned()).collect(),
    });
    ClientEntry {
        seq: entry.seq,
        from: entry.from.as_str().to_owned(),
        text: entry.body.text().to_owned(),
        timestamp: entry.at_ms / 1_000,
        nonce: entry.nonce.as_ref().map(|nonce| nonce.as_str().to_owned()),
        mentions: mentions.names.iter().map(|name| name.as_str().to_owned()).collect(),
        mention_all: mentions.all,
        reply_to: match &entry.body {
            Body::Message { reply_to, .. } => *reply_to,
            _ => None,
        },
        files: entry.body.files().iter().map(client_file).collect(),
        edited: state.edited_at_ms.map(|at_ms| at_ms / 1_000),
        deleted: state.deleted,
        reactions: reactions.collect(),
        updated: state.updated,
    }
}

fn client_file(file: &AttachedFile) -> ClientFile {
    let (width, height) = file.dimensions.unzip();
    ClientFile {
        id: file.id.as_str().to_owned(),
        name: file.name.as_str().to_owned(),
        media_type: file.media_type.as_str().to_owned(),
        size: file.size,
        width,
        height,
    }
}

/// Timelines of all topics.
fn timelines(user: &str) -> BTreeMap<ClientTopic, Timeline> {
    let rooms = ROOMS.into_iter().chain([CLOSED]).map(ClientTopic::room);
    let topics = rooms.chain(USERS.map(ClientTopic::private));
    topics.map(|topic| (topic.clone(), Timeline::new(user, topic))).collect()
}

/// The hub's `hello` names the features only where the whole server has them.
fn with_features(frame: &str) -> String {
    let mut hello: serde_json::Value = serde_json::from_str(frame).unwrap();
    if hello["type"] != "hello" {
        return frame.to_owned();
    }
    for feature in ["edit", "delete", "react", "reply"] {
        hello["features"].as_array_mut().unwrap().push(feature.into());
    }
    hello.to_string()
}

fn options(fold: bool) -> Options {
    // Half-open links are noticed soon, as a run is only a few minutes long.
    Options { silence_max_ms: Some(5_000), answer_timeout_ms: 12_000, fold, ..Options::default() }
}

fn hub() -> Hub {
    let options = HubOptions {
        framing: Framing::Lines,
        epoch: "e".into(),
        rate: None,
        resume_max_messages: 150,
        hello_conversations: 2,
        file_max_bytes: Some(1_000),
        change_rules: ChangeRules { reactions_max: 3, ..ChangeRules::default() },
        ..HubOptions::default()
    };
    Hub::new(options, Seed(1, 2))
}

fn closed() -> RoomName {
    RoomName::parse(CLOSED).unwrap()
}

fn exists(_: &Username) -> bool {
    true
}

fn name(name: &str) -> Username {
    Username::parse(name).unwrap()
}

const ROOMS: [&str; 3] = ["r0", "r1", "r2"];
/// The name of a closed room, which alice moderates.
const CLOSED: &str = "~closed";
const EMOJI: [&str; 4] = ["👍", "🎉", "😀", "🚀"];
const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
