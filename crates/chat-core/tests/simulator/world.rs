//! Everything around the hubs: sockets, people, the bus, the clock, and the
//! events that make them go on, in the order of (time, number).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use chat_core::{
    ClientId, DraftId, Entry, Hub, HubOptions, Input, Missed, Now, Output, Outputs, Page, Pair,
    PresenceChange, Protocol, ReadId, ReadRequest, Receipt, RoomName, Seed, SessionId, Subscription, Topic,
    Username, Write,
};

use crate::log::{Committed, Log, Origin};
use crate::oracle::{Check, Line, Oracle, ensure, text};
use crate::random::Random;
use crate::rates::{Rates, options};

/// One run.
pub(crate) struct World {
    random: Random,
    rates: Rates,
    options: HubOptions,
    now_ms: u64,
    wall_ms: u64,
    events: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    nodes: Vec<Node>,
    sockets: Vec<Socket>,
    log: Log,
    oracle: Oracle,
    polls: bool,
    bus_is_reliable: bool,
    calm: bool,
    summary: Summary,
    hasher: DefaultHasher,
    /// The last steps in words, if they are to be shown.
    steps: Option<VecDeque<String>>,
    seed: u64,
}

/// What a run was, for comparing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) events: u64,
    pub(crate) frames: u64,
    /// Of everything that happened and was put out.
    pub(crate) trace: u64,
}

/// A hub and its shell.
struct Node {
    boot: u64,
    hub: Hub,
    out: Outputs,
    in_turn: bool,
    tick_ms: u64,
    sockets: Vec<Option<usize>>,
    /// Sockets that went in this turn: what was put out before may be for
    /// them, and their numbers are not given again before it is done.
    gone: BTreeMap<ClientId, usize>,
    subscriptions: BTreeSet<Subscription>,
    /// Whose drafts these are.
    drafts: BTreeMap<DraftId, usize>,
    reads: usize,
    revoked: BTreeSet<SessionId>,
    draining: bool,
    /// What comes in order comes not before this.
    fifo_ms: u64,
}

struct Socket {
    node: usize,
    id: ClientId,
    user: Username,
    room: RoomName,
    session: SessionId,
    /// The hub has not been told that it is gone.
    open: bool,
    closed_by_hub: bool,
    /// As the hub's outputs say.
    paused: bool,
    unanswered: u32,
    /// Frames that came while it is paused.
    inbox: VecDeque<String>,
    /// Its reader has stopped, and so many bytes are not taken.
    stalled: bool,
    pending: usize,
    /// How many of them the hub was told of.
    told: usize,
    fifo_ms: u64,
}

struct Scheduled {
    at_ms: u64,
    number: u64,
    event: Event,
}

#[derive(Debug)]
enum Event {
    /// Somebody does something.
    Act,
    /// A blow of fate.
    Fate,
    /// A frame arrives.
    Frame {
        socket: usize,
        frame: String,
    },
    /// A connection ends.
    Lost {
        socket: usize,
    },
    /// A reader goes on.
    Reads {
        socket: usize,
    },
    EndTurn {
        origin: Origin,
    },
    Tick {
        origin: Origin,
    },
    /// The log's transaction ends.
    Commit,
    Read {
        origin: Origin,
        request: ReadRequest,
    },
    Arrive {
        origin: Origin,
        what: Arrival,
    },
    /// The hubs are told how far the log is.
    Poll,
    /// The end of all faults.
    Calm,
    /// Everything must be well.
    End,
}

#[derive(Debug)]
enum Arrival {
    Commit { entries: Vec<Arc<Entry>>, receipts: Vec<Receipt> },
    Missed(Vec<Missed>),
    Page { id: ReadId, page: Option<Page> },
    Presence(PresenceChange),
}

/// The name of nobody.
pub(crate) const NOBODY: &str = "nobody";
const USERS: [&str; 6] = ["ann", "ben", "cem", "dan", "eve", "fay"];
const ROOMS: [&str; 3] = ["kitchen", "garden", "cellar"];
/// Open sockets at the same time.
const SOCKETS_MAX: usize = 14;
/// Frames of one socket that wait.
const INBOX_MAX: usize = 40;
const STEPS_SHOWN: usize = 60;
const STEP_CHARS_SHOWN: usize = 300;
/// No run comes near it unless it goes round in circles.
const EVENTS_MAX: u64 = 2_000_000;

impl World {
    pub(crate) fn new(seed: u64, keep_steps: bool, change: &dyn Fn(&mut HubOptions)) -> Self {
        let mut random = Random::new(seed);
        let rates = Rates::of(&mut random);
        let mut options = options(&mut random);
        change(&mut options);
        let mut world = Self {
            now_ms: random.between(0, 1_000_000),
            wall_ms: 1_795_371_797_000,
            polls: rates.needs_polls(),
            bus_is_reliable: rates.bus_is_reliable(),
            nodes: Vec::new(),
            random,
            rates,
            options,
            events: BinaryHeap::new(),
            scheduled: 0,
            sockets: Vec::new(),
            log: Log::new(),
            oracle: Oracle::default(),
            calm: false,
            summary: Summary::default(),
            hasher: DefaultHasher::new(),
            steps: keep_steps.then(VecDeque::new),
            seed,
        };
        for node in 0..world.random.size(2, 3) {
            let started = world.start(node, 0);
            world.nodes.push(started);
            world.schedule_tick(node);
        }
        let storm_ms = world.random.between(3_000, 12_000);
        world.after(0, Event::Act);
        world.after(1_000, Event::Fate);
        world.after(500, Event::Poll);
        world.after(storm_ms, Event::Calm);
        world.after(storm_ms + 10_000, Event::End);
        world
    }

    /// Runs to the end, or to the first thing that is wrong.
    pub(crate) fn run(&mut self) -> Result<Summary, String> {
        while let Some(Reverse(Scheduled { at_ms, number, event })) = self.events.pop() {
            self.wall_ms += at_ms - self.now_ms;
            self.now_ms = at_ms;
            self.summary.events += 1;
            ensure(self.summary.events < EVENTS_MAX, || "it goes round in circles".to_owned())?;
            (at_ms, number).hash(&mut self.hasher);
            self.note(|| format!("{event:?}"));
            if matches!(event, Event::End) {
                self.check_the_end()?;
                break;
            }
            self.happen(event)?;
        }
        self.summary.trace = self.hasher.finish();
        Ok(self.summary.clone())
    }

    /// What went wrong, and the steps that led there.
    pub(crate) fn report(&self, what: &str) -> String {
        let steps: Vec<_> = self.steps.iter().flatten().map(String::as_str).collect();
        format!("seed {}, {} ms: {what}\n{}", self.seed, self.now_ms, steps.join("\n"))
    }

    fn note(&mut self, step: impl FnOnce() -> String) {
        if let Some(steps) = &mut self.steps {
            if steps.len() == STEPS_SHOWN {
                steps.pop_front();
            }
            let step: String = step().chars().take(STEP_CHARS_SHOWN).collect();
            steps.push_back(format!("{:>8} {step}", self.now_ms));
        }
    }

    fn after(&mut self, ms: u64, event: Event) {
        self.at(self.now_ms + ms, event);
    }

    fn at(&mut self, at_ms: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse(Scheduled { at_ms, number: self.scheduled, event }));
    }

    fn happen(&mut self, event: Event) -> Check {
        match event {
            Event::Act => self.act(),
            Event::Fate => self.fate(),
            Event::Frame { socket, frame } => {
                if self.sockets[socket].open {
                    self.sockets[socket].inbox.push_back(frame);
                    self.hand_over(socket);
                }
            }
            Event::Lost { socket } => self.lost(socket),
            Event::Reads { socket } => {
                let reader = &mut self.sockets[socket];
                (reader.stalled, reader.pending, reader.told) = (false, 0, 0);
                if reader.open {
                    let (node, client) = (reader.node, reader.id);
                    self.step(node, Input::Pending { client, bytes: 0 });
                }
            }
            Event::EndTurn { origin } => return self.in_boot(origin, Self::end_turn),
            Event::Tick { origin } => {
                return self.in_boot(origin, |world, node| {
                    if world.nodes[node].tick_ms == world.now_ms {
                        world.step(node, Input::Tick);
                    }
                    Ok(())
                });
            }
            Event::Commit => return self.commit(),
            Event::Read { origin, request } => self.read(origin, &request),
            Event::Arrive { origin, what } => {
                return self.in_boot(origin, |world, node| {
                    world.arrive(node, &what);
                    Ok(())
                });
            }
            Event::Poll => self.poll(),
            Event::Calm => self.become_calm(),
            Event::End => {}
        }
        Ok(())
    }

    fn in_boot(&mut self, origin: Origin, act: impl FnOnce(&mut Self, usize) -> Check) -> Check {
        if self.nodes[origin.node].boot == origin.boot { act(self, origin.node) } else { Ok(()) }
    }

    // Hubs and their turns.

    fn start(&mut self, node: usize, boot: u64) -> Node {
        Node {
            boot,
            hub: Hub::new(self.options.clone(), Seed(self.random.next(), node as u64)),
            out: Outputs::default(),
            in_turn: false,
            tick_ms: 0,
            sockets: Vec::new(),
            gone: BTreeMap::new(),
            subscriptions: BTreeSet::new(),
            drafts: BTreeMap::new(),
            reads: 0,
            revoked: BTreeSet::new(),
            draining: false,
            fifo_ms: self.now_ms,
        }
    }

    /// A hub begins anew, without its sockets.
    fn restart(&mut self, node: usize) {
        for socket in 0..self.sockets.len() {
            if self.sockets[socket].node == node && self.sockets[socket].open {
                self.sockets[socket].open = false;
                self.oracle.closed(socket);
            }
        }
        self.oracle.rebooted(node);
        self.nodes[node] = self.start(node, self.nodes[node].boot + 1);
        self.schedule_tick(node);
    }

    fn origin(&self, node: usize) -> Origin {
        Origin { node, boot: self.nodes[node].boot }
    }

    fn now(&self) -> Now {
        Now { mono_ms: self.now_ms, wall_ms: self.wall_ms }
    }

    fn step(&mut self, node: usize, input: Input<'_>) {
        let now = self.now();
        let shell = &mut self.nodes[node];
        shell.hub.step(now, input, &mut shell.out);
        if !std::mem::replace(&mut shell.in_turn, true) {
            let turn_ms = self.random.between(0, self.rates.turn_ms);
            let origin = self.origin(node);
            self.after(turn_ms, Event::EndTurn { origin });
        }
    }

    fn end_turn(&mut self, node: usize) -> Check {
        let shell = &mut self.nodes[node];
        shell.in_turn = false;
        shell.hub.end_turn(&mut shell.out);
        while let Some(output) = self.nodes[node].out.next() {
            self.note(|| format!("    hub {node}: {output:?}"));
            self.perform(node, output)?;
        }
        for (id, _) in std::mem::take(&mut self.nodes[node].gone) {
            self.nodes[node].sockets[id.0 as usize] = None;
        }
        self.check(node)?;
        for socket in self.sockets_of(node) {
            let Socket { id, pending, told, .. } = self.sockets[socket];
            if pending != told {
                self.sockets[socket].told = pending;
                self.step(node, Input::Pending { client: id, bytes: pending });
            }
            self.hand_over(socket);
        }
        self.schedule_tick(node);
        if self.nodes[node].hub.is_drained() && self.sockets_of(node).is_empty() {
            self.restart(node);
        }
        Ok(())
    }

    fn schedule_tick(&mut self, node: usize) {
        let due = self.nodes[node].hub.next_tick_ms().max(self.now_ms);
        let shell = &mut self.nodes[node];
        if shell.tick_ms <= self.now_ms || due < shell.tick_ms {
            shell.tick_ms = due + u64::from(due == self.now_ms);
            let (tick_ms, origin) = (shell.tick_ms, self.origin(node));
            self.at(tick_ms, Event::Tick { origin });
        }
    }

    /// The sockets whose end the hub does not know of.
    fn sockets_of(&self, node: usize) -> Vec<usize> {
        let known = self.nodes[node].sockets.iter().flatten().copied();
        known.filter(|&socket| self.sockets[socket].open).collect()
    }

    fn perform(&mut self, node: usize, output: Output) -> Check {
        match output {
            Output::Write(write) => self.write(node, &write)?,
            Output::Close { client, code } => {
                (client, code.code()).hash(&mut self.hasher);
                let Some(socket) = self.socket(node, client) else {
                    return Err(format!("hub {node} closes {client:?}, who is not there"));
                };
                let closed_before = std::mem::replace(&mut self.sockets[socket].closed_by_hub, true);
                ensure(!closed_before, || format!("hub {node} closes {client:?} twice"))?;
                self.oracle.closed(socket);
                let goodbye_ms = self.random.between(0, 200);
                self.after(goodbye_ms, Event::Lost { socket });
            }
            Output::Append(draft) => {
                let text = draft.text.as_str();
                (&draft.topic, text).hash(&mut self.hasher);
                let socket = self.oracle.author(text)?;
                let author = &mut self.sockets[socket];
                author.unanswered += 1;
                let max = self.options.client_unanswered_max;
                ensure(author.unanswered <= max, || format!("{socket} has more than {max} drafts"))?;
                self.nodes[node].drafts.insert(draft.id, socket);
                let origin = self.origin(node);
                self.log.queue(origin, draft);
                self.begin_commit();
            }
            Output::Read(request) => {
                (request.id, &request.topic).hash(&mut self.hasher);
                let shell = &mut self.nodes[node];
                shell.reads += 1;
                let max = self.options.reads_max;
                ensure(shell.reads <= max, || format!("hub {node} reads more than {max} pages at once"))?;
                // Whatever is committed between the two would be lost. (Who had
                // a private conversation read may have gone meanwhile.)
                let ready = matches!(request.topic, Topic::Pair(_)) || shell.wants(&request.topic);
                ensure(ready, || format!("hub {node} reads before it subscribes"))?;
                let slow = self.random.chance(self.rates.read_slow);
                let latency_ms = self.random.between(0, if slow { 3_000 } else { 15 });
                let origin = self.origin(node);
                self.after(latency_ms, Event::Read { origin, request });
            }
            Output::ReadConversations { .. } => return Err("a v1 client needs no hello".to_owned()),
            Output::Pause(client) => self.pause(node, client, true)?,
            Output::Resume(client) => self.pause(node, client, false)?,
            Output::Subscribe(to) => {
                let new = self.nodes[node].subscriptions.insert(to.clone());
                ensure(new, || format!("hub {node} subscribes twice to {to:?}"))?;
            }
            Output::Unsubscribe(to) => {
                let known = self.nodes[node].subscriptions.remove(&to);
                ensure(known, || format!("hub {node} never subscribed to {to:?}"))?;
            }
            Output::Presence(change) => {
                for other in 0..self.nodes.len() {
                    let wanted = Subscription::Room(change.room.clone());
                    if other != node && self.nodes[other].subscriptions.contains(&wanted) {
                        self.send_in_order(other, Arrival::Presence(change.clone()));
                    }
                }
            }
        }
        Ok(())
    }

    fn socket(&self, node: usize, client: ClientId) -> Option<usize> {
        *self.nodes[node].sockets.get(client.0 as usize)?
    }

    fn write(&mut self, node: usize, write: &Write) -> Check {
        let bytes = self.nodes[node].out.bytes(write).to_vec();
        let recipients = self.nodes[node].out.recipients(write).to_vec();
        (&bytes, &recipients).hash(&mut self.hasher);
        let frames = str::from_utf8(&bytes).map_err(|error| error.to_string())?;
        ensure(frames.ends_with('\n'), || format!("not whole frames: {frames:?}"))?;
        let lines: Vec<Line> = frames
            .lines()
            .map(|line| serde_json::from_str(line).map_err(|error| format!("{error} in {line}")))
            .collect::<Result<_, _>>()?;
        self.summary.frames += (lines.len() * recipients.len()) as u64;
        for client in recipients {
            let Some(socket) = self.socket(node, client) else {
                return Err(format!("hub {node} sends {client:?}, who is not there, {frames}"));
            };
            if self.nodes[node].gone.contains_key(&client) && !self.sockets[socket].closed_by_hub {
                // The hub heard of it only later in this turn.
                continue;
            }
            for line in &lines {
                self.oracle.receive(socket, line)?;
            }
            if self.sockets[socket].stalled {
                self.sockets[socket].pending += bytes.len();
            }
        }
        Ok(())
    }

    fn pause(&mut self, node: usize, client: ClientId, paused: bool) -> Check {
        (client, paused).hash(&mut self.hasher);
        let Some(socket) = self.socket(node, client) else {
            return Err(format!("hub {node} pauses {client:?}, who is not there"));
        };
        let before = std::mem::replace(&mut self.sockets[socket].paused, paused);
        ensure(before != paused, || format!("hub {node} pauses or resumes {client:?} twice"))
    }

    /// What must be true of a hub between its turns.
    fn check(&self, node: usize) -> Check {
        let shell = &self.nodes[node];
        let mut online: BTreeMap<&RoomName, BTreeSet<&Username>> = BTreeMap::new();
        let mut clients = 0;
        for socket in self.sockets_of(node) {
            let Socket { id, user, room, session, closed_by_hub, paused, .. } = &self.sockets[socket];
            if *closed_by_hub {
                continue;
            }
            clients += 1;
            online.entry(room).or_default().insert(user);
            ensure(!shell.revoked.contains(session), || format!("{id:?} of hub {node} was signed out"))?;
            let is_paused = shell.hub.is_paused(*id);
            ensure(*paused == is_paused || shell.draining, || {
                format!("{id:?} of hub {node} is paused: {is_paused}, but the shell was told {paused}")
            })?;
        }
        ensure(shell.hub.clients() == clients, || format!("hub {node} has {}", shell.hub.clients()))?;
        let rooms: BTreeMap<_, _> = shell.hub.rooms().collect();
        let expected = online.into_iter().map(|(room, users)| (room, users.len())).collect();
        ensure(rooms == expected, || format!("hub {node} says {rooms:?} are in, not {expected:?}"))?;
        // Each may have been in the middle of a frame when the hub was full.
        let max = self.options.hub_unanswered_max + SOCKETS_MAX;
        ensure(shell.hub.unanswered() <= max, || {
            format!("hub {node} has {} drafts", shell.hub.unanswered())
        })?;
        Ok(())
    }

    fn hand_over(&mut self, socket: usize) {
        loop {
            let Socket { node, id, open, .. } = self.sockets[socket];
            if !open || self.nodes[node].hub.is_paused(id) {
                return;
            }
            let Some(frame) = self.sockets[socket].inbox.pop_front() else { return };
            self.step(node, Input::Frame { client: id, text: &frame });
        }
    }

    // People.

    fn act(&mut self) {
        if self.calm {
            return;
        }
        let pause_ms = self.random.between(0, self.rates.pause_ms);
        self.after(pause_ms, Event::Act);
        let open: Vec<usize> = (0..self.sockets.len())
            .filter(|&s| self.sockets[s].open && !self.sockets[s].closed_by_hub)
            .collect();
        if open.is_empty() || (open.len() < SOCKETS_MAX && self.random.chance(self.rates.come)) {
            return self.come();
        }
        let socket = open[self.random.index(open.len())];
        if self.random.chance(self.rates.go) {
            self.after(0, Event::Lost { socket });
        } else if self.random.chance(self.rates.stall) {
            self.sockets[socket].stalled = true;
            let stall_ms = self.random.between(10, 4_000);
            self.after(stall_ms, Event::Reads { socket });
        } else if self.random.chance(self.rates.revoke) {
            self.sign_out(socket);
        } else if self.random.chance(60) {
            for _ in 0..self.random.between(5, INBOX_MAX as u64) {
                self.write_something(socket);
            }
        } else {
            self.write_something(socket);
        }
    }

    fn come(&mut self) {
        let node = self.random.index(self.nodes.len());
        let user = Username::parse(USERS[self.random.index(USERS.len())]).expect("a good name");
        let room = RoomName::parse(ROOMS[self.random.index(ROOMS.len())]).expect("a good name");
        let device = self.random.between(1, 2);
        let mut session = SessionId::new(&format!("{user} {device}"));
        // Most who were signed out sign in again; some come with the old token.
        if self.nodes[node].revoked.contains(&session) && self.random.chance(800) {
            session = SessionId::new(&format!("{user} {device} {}", self.random.next()));
        }
        let free = self.nodes[node].sockets.iter().position(Option::is_none);
        let index = free.unwrap_or(self.nodes[node].sockets.len());
        let id = ClientId(index as u32);
        let socket = self.oracle.opened(node, &user, &room, self.options.join_replay_entries);
        assert_eq!(socket, self.sockets.len(), "the oracle counts them too");
        if free.is_none() {
            self.nodes[node].sockets.push(None);
        }
        self.nodes[node].sockets[index] = Some(socket);
        self.sockets.push(Socket {
            node,
            id,
            user: user.clone(),
            room: room.clone(),
            session: session.clone(),
            open: true,
            closed_by_hub: false,
            paused: false,
            unanswered: 0,
            inbox: VecDeque::new(),
            stalled: false,
            pending: 0,
            told: 0,
            fifo_ms: self.now_ms,
        });
        self.note(|| format!("    {id:?} of hub {node} is socket {socket}: {user} in {room}"));
        let protocol = Protocol::V1 { room };
        self.step(
            node,
            Input::Open { client: id, user: &user, session: Some(&session), good_for_ms: None, protocol },
        );
    }

    /// A connection ends. The hub is told once.
    fn lost(&mut self, socket: usize) {
        if std::mem::replace(&mut self.sockets[socket].open, false) {
            let Socket { node, id, .. } = self.sockets[socket];
            self.oracle.closed(socket);
            self.nodes[node].gone.insert(id, socket);
            self.step(node, Input::Closed { client: id });
        }
    }

    fn sign_out(&mut self, socket: usize) {
        let session = self.sockets[socket].session.clone();
        for node in 0..self.nodes.len() {
            self.nodes[node].revoked.insert(session.clone());
            self.step(node, Input::Revoked { session: &session });
        }
    }

    fn write_something(&mut self, socket: usize) {
        let Socket { user, room, inbox, fifo_ms, .. } = &self.sockets[socket];
        if inbox.len() >= INBOX_MAX {
            return;
        }
        let (user, room, fifo_ms) = (user.clone(), room.clone(), *fifo_ms);
        let kind = self.random.between(0, 99);
        let frame = if kind < 2 {
            let rubbish = ["", "hi", "{}", r#"{"text":7}"#, r#"{"type":"private","text":"to whom?"}"#];
            rubbish[self.random.index(rubbish.len())].to_owned()
        } else if kind == 2 && self.random.chance(100) {
            serde_json::json!({ "text": "x".repeat(self.options.text_max_chars + 1) }).to_string()
        } else {
            let long = self.random.chance(100);
            let padding = self.random.size(0, if long { 250 } else { 10 });
            if kind < 30 {
                let other = self.random.index(USERS.len() + 1);
                let to = USERS.get(other).copied().unwrap_or(NOBODY);
                let pair = Pair::new(user, Username::parse(to).expect("a good name"));
                let text = text(self.oracle.send(socket, Topic::Pair(pair)), padding);
                serde_json::json!({ "type": "private", "text": text, "to": to, "from": "root" }).to_string()
            } else {
                let text = text(self.oracle.send(socket, Topic::Room(room)), padding);
                serde_json::json!({ "type": "message", "text": text }).to_string()
            }
        };
        // A connection keeps the order.
        let at_ms = fifo_ms.max(self.now_ms + self.random.between(1, 40));
        self.sockets[socket].fifo_ms = at_ms;
        self.at(at_ms, Event::Frame { socket, frame });
    }

    // The log and the bus.

    fn begin_commit(&mut self) {
        let batch_max = self.random.size(1, 40);
        if self.log.begin(batch_max) {
            let slow = self.random.chance(self.rates.slow);
            let latency_ms = self.random.between(0, if slow { 7_000 } else { 8 });
            self.after(latency_ms, Event::Commit);
        }
    }

    fn commit(&mut self) -> Check {
        if self.random.chance(self.rates.fail) {
            let failed = self.log.fail();
            self.publish(&failed, true, true);
        } else {
            let committed = self.log.commit(self.wall_ms);
            for entry in &committed.commit.entries {
                self.oracle.committed(entry)?;
            }
            if self.random.chance(self.rates.lost_answer) {
                match self.random.between(0, 2) {
                    // The process that heard it is gone.
                    0 => {}
                    // The writer asks again, and hears what became of each.
                    1 => {
                        let again = self.log.commit(self.wall_ms);
                        ensure(again.commit.entries.is_empty(), || "the log stored twice".to_owned())?;
                        self.publish(&again, true, true);
                    }
                    // The hubs heard it, the writer did not.
                    _ => self.publish(&committed, true, false),
                }
            } else {
                self.owe(&committed.commit.entries);
                self.publish(&committed, true, true);
            }
        }
        self.log.end();
        self.begin_commit();
        Ok(())
    }

    /// Who must get these private messages: those who are there now, and stay.
    fn owe(&mut self, entries: &[Arc<Entry>]) {
        if !self.bus_is_reliable {
            return;
        }
        for entry in entries {
            let Topic::Pair(pair) = &entry.topic else { continue };
            for (number, socket) in self.sockets.iter().enumerate() {
                let concerned = *pair.low() == socket.user || *pair.high() == socket.user;
                // Otherwise its hub has still to say that it came.
                let subscribed = self.nodes[socket.node].wants(&entry.topic);
                if concerned && subscribed && socket.open && !socket.closed_by_hub {
                    self.oracle.owe(number, entry);
                }
            }
        }
    }

    fn publish(&mut self, committed: &Committed, entries: bool, receipts: bool) {
        for node in 0..self.nodes.len() {
            let origin = self.origin(node);
            let wanted: Vec<_> = committed
                .commit
                .entries
                .iter()
                .filter(|e| entries && self.nodes[node].wants(&e.topic))
                .cloned()
                .collect();
            let receipts: Vec<_> = std::iter::zip(&committed.origins, &committed.commit.receipts)
                .filter(|&(&of, _)| receipts && of == origin)
                .map(|(_, receipt)| receipt.clone())
                .collect();
            let mut carried = Vec::new();
            let mut missed = Vec::new();
            let overflow = self.random.chance(self.rates.overflow);
            for entry in wanted {
                if overflow {
                    missed.push(Missed { topic: entry.topic.clone(), first: entry.seq, last: entry.seq });
                    continue;
                }
                if self.random.chance(self.rates.double) {
                    self.send_late(origin, &entry, 200);
                }
                if self.random.chance(self.rates.lose) {
                    continue;
                }
                if self.random.chance(self.rates.late) {
                    self.send_late(origin, &entry, 60);
                } else {
                    carried.push(entry);
                }
            }
            if !missed.is_empty() {
                self.send_in_order(node, Arrival::Missed(missed));
            }
            if !carried.is_empty() || !receipts.is_empty() {
                self.send_in_order(node, Arrival::Commit { entries: carried, receipts });
            }
        }
    }

    fn send_late(&mut self, origin: Origin, entry: &Arc<Entry>, at_most_ms: u64) {
        let what = Arrival::Commit { entries: vec![Arc::clone(entry)], receipts: Vec::new() };
        let late_ms = self.random.between(1, at_most_ms);
        self.after(late_ms, Event::Arrive { origin, what });
    }

    fn send_in_order(&mut self, node: usize, what: Arrival) {
        let delay_ms = self.random.between(0, 10);
        let at_ms = self.nodes[node].fifo_ms.max(self.now_ms + delay_ms);
        self.nodes[node].fifo_ms = at_ms;
        let origin = self.origin(node);
        self.at(at_ms, Event::Arrive { origin, what });
    }

    fn read(&mut self, origin: Origin, request: &ReadRequest) {
        let fails = self.random.chance(self.rates.read_fails);
        let page = (!fails).then(|| self.log.page(request));
        // On its way back others may overtake it.
        let back_ms = self.random.between(0, 15);
        self.after(back_ms, Event::Arrive { origin, what: Arrival::Page { id: request.id, page } });
    }

    fn arrive(&mut self, node: usize, what: &Arrival) {
        match what {
            Arrival::Commit { entries, receipts } => {
                for receipt in receipts {
                    if let Some(socket) = self.nodes[node].drafts.remove(&receipt.draft) {
                        self.sockets[socket].unanswered -= 1;
                    }
                }
                self.step(node, Input::Commit { entries, receipts });
            }
            Arrival::Missed(missed) => self.step(node, Input::Missed(missed)),
            Arrival::Page { id, page } => {
                self.nodes[node].reads -= 1;
                self.step(node, Input::Page { id: *id, page: page.as_ref() });
            }
            Arrival::Presence(change) => self.step(node, Input::Presence(change)),
        }
    }

    fn poll(&mut self) {
        self.after(1_000, Event::Poll);
        if !self.polls {
            return;
        }
        for node in 0..self.nodes.len() {
            let rooms = self.nodes[node].subscriptions.iter().filter_map(|to| match to {
                Subscription::Room(room) => Some(Topic::Room(room.clone())),
                Subscription::User(_) => None,
            });
            let tops = rooms.map(|topic| (self.log.last_seq(&topic), topic)).filter(|(last, _)| *last > 0);
            let missed: Vec<_> = tops.map(|(last, topic)| Missed { topic, first: last, last }).collect();
            self.step(node, Input::Missed(&missed));
        }
    }

    // Fate.

    fn fate(&mut self) {
        if self.calm {
            return;
        }
        let next_ms = self.random.between(200, 2_000);
        self.after(next_ms, Event::Fate);
        let node = self.random.index(self.nodes.len());
        if self.random.chance(self.rates.clock_jumps) {
            let hour_ms = self.random.between(0, 3_600_000);
            self.wall_ms =
                if self.random.chance(500) { self.wall_ms + hour_ms } else { self.wall_ms - hour_ms };
        }
        if self.random.chance(self.rates.drains) {
            self.nodes[node].draining = true;
            self.step(node, Input::Drain);
        } else if self.random.chance(self.rates.crashes) {
            self.restart(node);
        }
    }

    fn become_calm(&mut self) {
        self.calm = true;
        self.rates.calm();
        for socket in 0..self.sockets.len() {
            if self.sockets[socket].stalled {
                self.after(0, Event::Reads { socket });
            }
        }
    }

    /// Ten seconds after the last fault.
    fn check_the_end(&mut self) -> Check {
        ensure(self.log.is_idle(), || "the log is still writing".to_owned())?;
        for (node, shell) in self.nodes.iter().enumerate() {
            let unanswered = shell.hub.unanswered();
            ensure(unanswered == 0, || format!("hub {node} still waits for {unanswered} drafts"))?;
            ensure(shell.reads == 0, || format!("hub {node} still reads {} pages", shell.reads))?;
            ensure(!shell.draining, || format!("hub {node} is still draining"))?;
        }
        for (number, socket) in self.sockets.iter().enumerate() {
            if socket.open && !socket.closed_by_hub {
                let waiting = socket.inbox.len();
                ensure(waiting == 0, || format!("{waiting} frames of socket {number} were never taken"))?;
                self.oracle.is_complete(number)?;
            }
        }
        Ok(())
    }
}

impl Node {
    /// It has subscribed to this.
    fn wants(&self, topic: &Topic) -> bool {
        let to = |subscription| self.subscriptions.contains(&subscription);
        match topic {
            Topic::Room(room) => to(Subscription::Room(room.clone())),
            Topic::Pair(pair) => {
                to(Subscription::User(pair.low().clone())) || to(Subscription::User(pair.high().clone()))
            }
        }
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.number).cmp(&(other.at_ms, other.number))
    }
}
