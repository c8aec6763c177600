//! The world of a run: servers, hubs, sockets, clients and the log, and the events that
//! drive them, in the order of (time, number).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use chat_client::Rng;
use chat_core::{
    Answer, ClientId, Draft, DraftId, Hub, HubOptions, Input, Now, Query, ReadId, RoomChange, RoomName, Seed,
    SessionId, Subscription, Topic, Username, WantedChange,
};
use chat_shard::{Batch, Held, Inbox, LogQueue, MARKS_MAX, Marks, Outbox, QueuedChange, Routing, Turn};

use crate::cluster::{Feed, Member};
use crate::files::{Files, Sweep, Upload};
use crate::hook::Hook;
use crate::log::Log;
use crate::oracle::{Check, Oracle, SendRef, ensure};
use crate::people::Wild;
use crate::planted::{Bug, plant_in_hub, with_bug};
use crate::rates::{Plan, Rates};
use crate::wire::Frame;
use crate::{Settings, Summary};

/// One run.
pub(crate) struct World {
    pub(crate) random: Rng,
    pub(crate) plan: Plan,
    pub(crate) rates: Rates,
    pub(crate) bug: Option<Bug>,
    pub(crate) hook: Hook,
    pub(crate) now_ms: u64,
    events: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) hubs: Vec<Shell>,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) apps: Vec<crate::apps::App>,
    pub(crate) log: Log,
    pub(crate) files: Files,
    /// All committed changes of rooms, in the order of their transactions.
    pub(crate) changes: Vec<RoomChange>,
    /// Those of them, by their index, that made the author of a message a member.
    pub(crate) joins: BTreeSet<usize>,
    /// Changes, by their index, that the hubs of the server that made them never get.
    pub(crate) lost: BTreeSet<usize>,
    /// Until then, the log answers nothing.
    pub(crate) out_until_ms: u64,
    pub(crate) oracle: Oracle,
    /// The sessions that were signed out.
    pub(crate) revoked: BTreeSet<SessionId>,
    /// Sends that their users may repeat on another connection: nonce and frame.
    pub(crate) again: Vec<(Username, String, String)>,
    /// How many hubs were made.
    pub(crate) hub_ids: u32,
    pub(crate) feed: Feed,
    pub(crate) calm: bool,
    pub(crate) summary: Summary,
    pub(crate) hasher: DefaultHasher,
    trace: Option<VecDeque<String>>,
    trace_max: usize,
}

/// A server.
pub(crate) struct Node {
    pub(crate) boot: u64,
    pub(crate) state: NodeState,
    /// The drafts and changes that wait for the log.
    pub(crate) queue: LogQueue<()>,
    /// How many changes it was asked for since its start that are neither made nor refused.
    pub(crate) asked_changes: usize,
    /// What each lane does.
    pub(crate) running: Vec<Option<Running>>,
    /// The marks that wait for the log.
    pub(crate) marks: Marks,
    pub(crate) keeps_marks: bool,
    /// The changes, by their index, that its hubs do not have yet, and whether its own
    /// writer has yet to publish each: it repeats those whose answers were lost.
    pub(crate) due: BTreeMap<usize, bool>,
    /// The subscriptions of its hubs.
    pub(crate) routing: Routing,
    /// The offset of its wall clock, in milliseconds.
    pub(crate) wall_offset_ms: i64,
    pub(crate) member: Member,
}

/// What a lane of the log does.
pub(crate) enum Running {
    /// It stores a batch. `is_stored`: the batch is stored, but the answer was lost.
    Batch { batch: Batch, is_stored: bool },
    /// It makes a change.
    Change(QueuedChange<()>),
    /// It pauses before it repeats a change.
    Pause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeState {
    Up,
    Draining,
    Down,
}

/// A hub, and the state that its shard has beside it.
pub(crate) struct Shell {
    pub(crate) node: usize,
    pub(crate) boot: u64,
    pub(crate) turn: Turn<SessionId>,
    pub(crate) in_turn: bool,
    pub(crate) tick_ms: u64,
    pub(crate) sockets: Vec<Option<usize>>,
    /// Clients that were closed in this turn: outputs may still name them, and their
    /// slots are freed once those are performed.
    pub(crate) gone: BTreeSet<ClientId>,
    pub(crate) subscriptions: BTreeSet<Subscription>,
    /// The rooms that it has unsubscribed from.
    pub(crate) forgot: BTreeSet<Topic>,
    /// The send of each draft.
    pub(crate) drafts: BTreeMap<DraftId, SendRef>,
    pub(crate) reads: usize,
    pub(crate) revoked: BTreeSet<SessionId>,
    pub(crate) inbox: Inbox<Control>,
    /// An event is scheduled that takes the inbox.
    pub(crate) takes_inbox: bool,
}

/// One item for a hub.
pub(crate) type Item = chat_shard::Item<Control>;

/// What a server wants of a shard, beside what concerns its hub.
#[derive(Debug, Clone)]
pub(crate) enum Control {
    /// Answer at the end of the turn that nothing more is sent to the clients of this
    /// session, which was revoked.
    AnswerAfterTurn(SessionId),
}

/// A connection, with both its ends.
pub(crate) struct Socket {
    pub(crate) hub: usize,
    pub(crate) id: ClientId,
    pub(crate) user: Username,
    /// The room, with v1.
    pub(crate) room: Option<RoomName>,
    pub(crate) session: SessionId,
    pub(crate) kind: SocketKind,
    /// The hub has it as a client.
    pub(crate) open: bool,
    pub(crate) closed_by_hub: bool,
    /// The hub has paused it, as its outputs say.
    pub(crate) paused: bool,
    /// Frames that arrived while it is paused.
    pub(crate) held: Held,
    /// The link carries nothing any more.
    pub(crate) cut: bool,
    /// The client has ended its side.
    pub(crate) sent_goodbye: bool,
    /// Its client has stopped to read.
    pub(crate) stalled: bool,
    /// Frames that were written to it while its client did not read.
    pub(crate) outbox: Outbox,
    /// When the last frame arrives on the way up and down: a later one does not arrive
    /// before it.
    pub(crate) up_ms: u64,
    pub(crate) down_ms: u64,
    /// When the system last had taken all that was written to it.
    pub(crate) taken_ms: u64,
}

pub(crate) enum SocketKind {
    V1,
    Wild(Box<Wild>),
    App(usize),
}

/// Frames that were written in one piece.
pub(crate) struct Chunk {
    pub(crate) bytes: String,
    pub(crate) frames: Vec<Frame>,
}

impl Chunk {
    /// Parses whole frames.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        let bytes = String::from_utf8(bytes).map_err(|error| error.to_string())?;
        ensure(bytes.ends_with('\n'), || format!("not whole frames: {bytes:?}"))?;
        let parse = |line| serde_json::from_str(line).map_err(|error| format!("{error} in {line}"));
        let frames = bytes.lines().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { bytes, frames })
    }
}

#[derive(Debug)]
pub(crate) enum Incoming {
    Frame(String),
    Goodbye,
}

/// A hub of one run of its server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Origin {
    pub(crate) hub: usize,
    pub(crate) boot: u64,
}

pub(crate) struct Scheduled {
    at_ms: u64,
    number: u64,
    event: Event,
}

pub(crate) enum Event {
    /// A user acts.
    Act,
    /// Faults may happen.
    Fault,
    /// A frame arrives at a server.
    Up {
        socket: usize,
        what: Incoming,
    },
    /// Frames arrive at a client.
    Down {
        socket: usize,
        what: Rc<Chunk>,
    },
    /// A client notices that its connection has ended.
    Ended {
        socket: usize,
        code: Option<u16>,
    },
    /// A server notices that a connection has ended.
    Lost {
        socket: usize,
    },
    /// A client reads again.
    Reads {
        socket: usize,
    },
    /// A client sends its outbox again.
    Repeat {
        socket: usize,
    },
    /// A deadline of a client is over.
    Wake {
        app: usize,
        number: u64,
    },
    /// A client's attempt to connect ends.
    Connects {
        app: usize,
        attempt: u64,
    },
    /// A user signs in again.
    SignsIn {
        app: usize,
    },
    TakeInbox {
        origin: Origin,
    },
    EndTurn {
        origin: Origin,
    },
    Tick {
        origin: Origin,
    },
    /// A lane's transaction ends.
    Commit {
        node: usize,
        boot: u64,
        lane: usize,
    },
    /// The outcome of a transaction whose answer was lost is known.
    Resolved {
        node: usize,
        boot: u64,
        lane: usize,
        stored: Box<(chat_core::Commit, chat_cluster::Record)>,
    },
    /// A transaction of a server that has crashed commits.
    Orphan {
        writer: chat_cluster::Writer,
        drafts: Vec<Draft>,
        sends: Vec<SendRef>,
    },
    /// A lane's pause is over.
    Continue {
        node: usize,
        boot: u64,
        lane: usize,
    },
    /// A change of a server that has crashed commits.
    OrphanChange {
        wanted: WantedChange,
        now_ms: u64,
    },
    /// Changes arrive from the other server.
    RemoteChanges {
        node: usize,
        boot: u64,
    },
    /// A server stores the marks that wait.
    KeepMarks {
        node: usize,
        boot: u64,
    },
    /// A client may be in a room no more.
    MustBeGone {
        socket: usize,
        room: RoomName,
    },
    /// A client must have taken what was written to it until then, or be cut off.
    MustHaveTaken {
        socket: usize,
        since_ms: u64,
    },
    Read {
        origin: Origin,
        id: ReadId,
        query: Query,
    },
    Answer {
        origin: Origin,
        id: ReadId,
        answer: Answer,
    },
    /// A message of another server arrives.
    OverBus {
        node: usize,
        boot: u64,
        message: Rc<chat_cluster::Message>,
    },
    /// A server notices that its connection to the bus is lost or back.
    BusChanged {
        node: usize,
        boot: u64,
    },
    /// A server tells the others of its presence, and that it lives.
    Beat {
        node: usize,
        boot: u64,
    },
    /// A server polls the feed.
    Poll {
        node: usize,
        boot: u64,
    },
    /// The feed is read for a server.
    FeedSnapshot {
        node: usize,
        boot: u64,
    },
    FeedAnswer {
        node: usize,
        boot: u64,
        answer: Option<Box<(chat_cluster::FeedPage, Vec<chat_cluster::ServerRow>)>>,
        snapshot_ms: u64,
    },
    /// A server's sequencer has waited long enough.
    SequencerTick {
        node: usize,
        boot: u64,
    },
    /// A session has ended that long ago that no server has its clients.
    MustBeRevoked {
        session: SessionId,
        since_ms: u64,
    },
    /// An upload goes on.
    Upload(Box<Upload>),
    /// A server looks for files that are to be removed.
    LookForFiles {
        node: usize,
        boot: u64,
    },
    /// A sweep goes on.
    Sweep(Box<Sweep>),
    Start {
        node: usize,
    },
    /// All faults end.
    Calm,
    /// All connected clients must have everything.
    Delivered,
    /// The run ends: everything must be as the oracle expects.
    End,
}

pub(crate) const NODES: usize = 3;
/// The most events of a run. No run comes near it but in an endless loop.
const EVENTS_MAX: u64 = 1_000_000;
const STEP_CHARS_SHOWN: usize = 400;
/// The time after the last fault in which all connected clients get everything, in ms.
const LIVENESS_MS: u64 = 10_000;
/// The time after that in which all clients are back and present, in ms: a client may
/// wait four seconds before it tries again, also twice, and once more for a join or send
/// that failed in the last outage of the log; a server that drains may take five seconds
/// and wait five more for drafts; and a user who is gone counts as present for five more.
const AFTERMATH_MS: u64 = 15_000;

impl World {
    pub(crate) fn new(seed: u64, settings: &Settings) -> Self {
        let mut random = Rng::new(seed);
        let plan = Plan::of(&mut random);
        let rates = Rates::of(&mut random);
        let mut options = plan.options.clone();
        plant_in_hub(&mut options, settings.bug);
        let hook = Hook::of(seed);
        let oracle = Oracle::new(options.clone(), rates.turn_ms, plan.unattached_ms, hook);
        let mut world = Self {
            plan: Plan { options, ..plan },
            now_ms: random.between(0, 1_000_000),
            random,
            rates,
            bug: settings.bug,
            hook,
            events: BinaryHeap::new(),
            scheduled: 0,
            nodes: Vec::new(),
            hubs: Vec::new(),
            sockets: Vec::new(),
            apps: Vec::new(),
            log: Log::new(settings.bug),
            files: Files::default(),
            changes: Vec::new(),
            joins: BTreeSet::new(),
            lost: BTreeSet::new(),
            out_until_ms: 0,
            oracle,
            revoked: BTreeSet::new(),
            again: Vec::new(),
            hub_ids: 0,
            feed: Feed::default(),
            calm: false,
            summary: Summary::default(),
            hasher: DefaultHasher::new(),
            trace: settings.trace.map(|_| VecDeque::new()),
            trace_max: settings.trace.unwrap_or(0),
        };
        for node in 0..NODES {
            let member = Member::new(&mut world.feed, world.now_ms, world.bug);
            let offset_ms = world.random.between(0, 10) as i64;
            world.nodes.push(Node {
                boot: 0,
                state: NodeState::Down,
                queue: LogQueue::new(1, 0, 0),
                asked_changes: 0,
                running: Vec::new(),
                marks: Marks::new(MARKS_MAX),
                keeps_marks: false,
                due: BTreeMap::new(),
                routing: Routing::default(),
                wall_offset_ms: offset_ms,
                member,
            });
            for _ in 0..world.plan.shards {
                let shell = world.new_shell(node, 0, 0);
                world.hubs.push(shell);
            }
        }
        for node in 0..NODES {
            world.start_node(node);
        }
        world.make_apps();
        world.after(0, Event::Act);
        world.after(500, Event::Fault);
        let faults_ms = world.plan.faults_ms;
        world.after(faults_ms, Event::Calm);
        if world.apps.is_empty() {
            world.after(faults_ms + LIVENESS_MS, Event::Delivered);
        }
        world.after(faults_ms + LIVENESS_MS + AFTERMATH_MS, Event::End);
        world
    }

    /// Runs to the end.
    ///
    /// # Errors
    ///
    /// The first check that fails, in a sentence.
    pub(crate) fn run(&mut self) -> Result<Summary, String> {
        while let Some(Reverse(Scheduled { at_ms, number, event })) = self.events.pop() {
            self.now_ms = at_ms;
            self.summary.events += 1;
            ensure(self.summary.events < EVENTS_MAX, || "endless loop".to_owned())?;
            (at_ms, number).hash(&mut self.hasher);
            if self.trace.is_some() {
                let words = self.in_words(&event);
                self.note(|| words);
            }
            if matches!(event, Event::End) {
                self.check_the_end()?;
                break;
            }
            self.happen(event)?;
        }
        self.summary.trace = self.hasher.finish();
        for (what, count) in &self.oracle.seen {
            *self.summary.seen.entry(what).or_insert(0) += count;
        }
        Ok(self.summary.clone())
    }

    /// The last steps of the trace.
    pub(crate) fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().into_iter().flatten().collect()
    }

    pub(crate) fn note(&mut self, step: impl FnOnce() -> String) {
        if let Some(steps) = &mut self.trace {
            if steps.len() == self.trace_max {
                steps.pop_front();
            }
            let step: String = step().chars().take(STEP_CHARS_SHOWN).collect();
            steps.push_back(format!("{:>8} {step}", self.now_ms));
        }
    }

    pub(crate) fn after(&mut self, ms: u64, event: Event) {
        self.at(self.now_ms + ms, event);
    }

    pub(crate) fn at(&mut self, at_ms: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse(Scheduled { at_ms, number: self.scheduled, event }));
    }

    fn happen(&mut self, event: Event) -> Check {
        match event {
            Event::Act => return self.act(),
            Event::Fault => return self.fault(),
            Event::Up { socket, what } => self.up(socket, what),
            Event::Down { socket, what } => return self.down(socket, &what),
            Event::Ended { socket, code } => return self.ended(socket, code),
            Event::Lost { socket } => self.lost(socket),
            Event::Reads { socket } => return self.reads(socket),
            Event::Repeat { socket } => self.repeat(socket),
            Event::Wake { app, number } => return self.wake(app, number),
            Event::Connects { app, attempt } => return self.connects(app, attempt),
            Event::SignsIn { app } => return self.signs_in(app),
            Event::TakeInbox { origin } => return self.in_boot(origin, Self::take_inbox),
            Event::EndTurn { origin } => return self.in_boot(origin, Self::end_turn),
            Event::Tick { origin } => {
                return self.in_boot(origin, |world, hub| {
                    if world.hubs[hub].tick_ms == world.now_ms {
                        world.step(hub, Input::Tick);
                    }
                    Ok(())
                });
            }
            Event::Commit { node, boot, lane } => return self.commit(node, boot, lane),
            Event::Resolved { node, boot, lane, stored } => self.resolved(node, boot, lane, *stored),
            Event::Orphan { writer, drafts, sends } => {
                return self.store(&drafts, &sends, writer).map(|_| ());
            }
            Event::Continue { node, boot, lane } => self.continue_lane(node, boot, lane),
            Event::OrphanChange { wanted, now_ms } => {
                return self.make_change(&wanted, now_ms, None).map(|_| ());
            }
            Event::RemoteChanges { node, boot } => {
                if self.nodes[node].boot == boot && !self.is_cut_off(node) {
                    self.bring_changes(node, |_, is_own, _| !is_own);
                }
            }
            Event::KeepMarks { node, boot } => self.keep_marks(node, boot),
            Event::MustBeGone { socket, room } => return self.check_gone(socket, &room),
            Event::MustHaveTaken { socket, since_ms } => return self.check_taken(socket, since_ms),
            Event::Read { origin, id, query } => self.read(origin, id, &query),
            Event::Answer { origin, id, answer } => {
                return self.in_boot(origin, |world, hub| {
                    world.push(hub, Item::Answer(id, answer));
                    Ok(())
                });
            }
            Event::OverBus { node, boot, message } => {
                return self.on_server(node, boot, |world| world.over_bus(node, &message));
            }
            Event::BusChanged { node, boot } => {
                return self.on_server(node, boot, |world| {
                    world.bus_changed(node);
                    Ok(())
                });
            }
            Event::Beat { node, boot } => {
                return self.on_server(node, boot, |world| {
                    world.beat(node);
                    Ok(())
                });
            }
            Event::Poll { node, boot } => {
                return self.on_server(node, boot, |world| {
                    world.poll(node);
                    Ok(())
                });
            }
            Event::FeedSnapshot { node, boot } => {
                return self.on_server(node, boot, |world| {
                    world.read_feed(node);
                    Ok(())
                });
            }
            Event::FeedAnswer { node, boot, answer, snapshot_ms } => {
                let answer = answer.map(|answer| *answer);
                return self.on_server(node, boot, |world| world.take_feed(node, answer, snapshot_ms));
            }
            Event::SequencerTick { node, boot } => {
                return self.on_server(node, boot, |world| {
                    world.tick_sequencer(node);
                    Ok(())
                });
            }
            Event::MustBeRevoked { session, since_ms } => return self.check_revoked(&session, since_ms),
            Event::Upload(upload) => return self.uploads(&upload),
            Event::LookForFiles { node, boot } => return self.sweep(node, boot),
            Event::Sweep(sweep) => return self.sweeps(*sweep),
            Event::Start { node } => self.start_node(node),
            Event::Calm => return self.become_calm(),
            Event::Delivered => return self.check_delivered(),
            Event::End => {}
        }
        Ok(())
    }

    fn on_server(&mut self, node: usize, boot: u64, act: impl FnOnce(&mut Self) -> Check) -> Check {
        let there = &self.nodes[node];
        if there.boot == boot && there.state != NodeState::Down { act(self) } else { Ok(()) }
    }

    fn in_boot(&mut self, origin: Origin, act: impl FnOnce(&mut Self, usize) -> Check) -> Check {
        if self.hubs[origin.hub].boot == origin.boot { act(self, origin.hub) } else { Ok(()) }
    }

    pub(crate) fn origin(&self, hub: usize) -> Origin {
        Origin { hub, boot: self.hubs[hub].boot }
    }

    pub(crate) fn hubs_of(&self, node: usize) -> std::ops::Range<usize> {
        node * self.plan.shards..(node + 1) * self.plan.shards
    }

    /// The time on a server.
    pub(crate) fn now(&self, node: usize) -> Now {
        Now { mono_ms: self.now_ms, wall_ms: self.wall_ms(node) }
    }

    pub(crate) fn wall_ms(&self, node: usize) -> u64 {
        (WALL_MS + self.now_ms).saturating_add_signed(self.nodes[node].wall_offset_ms)
    }

    pub(crate) fn new_shell(&mut self, node: usize, boot: u64, id: u32) -> Shell {
        self.hub_ids += 1;
        let options = HubOptions { id, ..self.plan.options.clone() };
        let seed = Seed(self.random.next_u64(), u64::from(self.hub_ids));
        Shell {
            node,
            boot,
            turn: with_bug!(Turn::new(Hub::new(options, seed), self.plan.lanes), self.bug),
            in_turn: false,
            tick_ms: 0,
            sockets: Vec::new(),
            gone: BTreeSet::new(),
            subscriptions: BTreeSet::new(),
            forgot: BTreeSet::new(),
            drafts: BTreeMap::new(),
            reads: 0,
            revoked: BTreeSet::new(),
            inbox: with_bug!(Inbox::new(self.plan.inbox_max_bytes), self.bug),
            takes_inbox: false,
        }
    }

    /// An event in words, for the trace.
    fn in_words(&self, event: &Event) -> String {
        let of = |socket: &usize| {
            let Socket { user, hub, .. } = &self.sockets[*socket];
            format!("{socket} ({user}, hub {hub})")
        };
        match event {
            Event::Act => "a user acts".to_owned(),
            Event::Fault => "a fault may happen".to_owned(),
            Event::Up { socket, what } => format!("from {}: {what:?}", of(socket)),
            Event::Down { socket, what } => format!("at {}: {}", of(socket), what.bytes.trim_end()),
            Event::Ended { socket, code } => format!("at {}: ended, {code:?}", of(socket)),
            Event::Lost { socket } => format!("lost: {}", of(socket)),
            Event::Reads { socket } => format!("reads on: {}", of(socket)),
            Event::Repeat { socket } => format!("repeats: {}", of(socket)),
            Event::Wake { app, .. } => format!("app {app} wakes"),
            Event::Connects { app, .. } => format!("app {app} connects"),
            Event::SignsIn { app } => format!("app {app} signs in"),
            Event::TakeInbox { origin } => format!("hub {} takes its inbox", origin.hub),
            Event::EndTurn { origin } => format!("hub {} ends its turn", origin.hub),
            Event::Tick { origin } => format!("hub {} ticks", origin.hub),
            Event::Commit { node, lane, .. } => format!("server {node} commits in lane {lane}"),
            Event::Resolved { node, lane, .. } => format!("server {node} resolves a commit of lane {lane}"),
            Event::Orphan { drafts, .. } => format!("an orphan commits: {} drafts", drafts.len()),
            Event::Continue { node, lane, .. } => format!("server {node} goes on in lane {lane}"),
            Event::OrphanChange { wanted, .. } => format!("an orphan commits: {wanted:?}"),
            Event::RemoteChanges { node, .. } => format!("to server {node}: changes"),
            Event::KeepMarks { node, .. } => format!("server {node} stores marks"),
            Event::MustBeGone { socket, room } => format!("must be gone from {room}: {}", of(socket)),
            Event::MustHaveTaken { socket, .. } => format!("must have taken: {}", of(socket)),
            Event::Read { origin, id, query } => format!("hub {} reads {query:?} ({id:?})", origin.hub),
            Event::Answer { origin, id, answer: Answer::Page(page) } => {
                let what = (page.first, page.last, page.entries.len());
                format!("hub {} gets {id:?}: {what:?}", origin.hub)
            }
            Event::Answer { origin, id, answer } => format!("hub {} gets {id:?}: {answer:?}", origin.hub),
            Event::OverBus { node, message, .. } => format!("to server {node}: {message:?}"),
            Event::BusChanged { node, .. } => format!("server {node} hears of the bus"),
            Event::Beat { node, .. } => format!("server {node} beats"),
            Event::Poll { node, .. } => format!("server {node} polls"),
            Event::FeedSnapshot { node, .. } => format!("the feed is read for server {node}"),
            Event::FeedAnswer { node, answer, .. } => {
                let rows = answer.as_ref().map(|answer| answer.0.records.iter().map(|row| row.at));
                format!("server {node} gets the feed: {:?}", rows.map(|rows| rows.collect::<Vec<_>>()))
            }
            Event::SequencerTick { node, .. } => format!("server {node} waits no longer"),
            Event::MustBeRevoked { session, .. } => format!("{session:?} must be gone"),
            Event::Upload(upload) => format!("goes on: {upload:?}"),
            Event::LookForFiles { node, .. } => format!("server {node} looks for files"),
            Event::Sweep(sweep) => format!("goes on: {sweep:?}"),
            Event::Start { node } => format!("server {node} starts"),
            Event::Calm => "calm".to_owned(),
            Event::Delivered => "all should have everything".to_owned(),
            Event::End => "the end".to_owned(),
        }
    }
}

/// The wall clock at the start, in ms since 1970: a moment in 2026.
const WALL_MS: u64 = 1_795_371_797_000;

impl Shell {
    /// Whether the hub is subscribed to a topic.
    pub(crate) fn wants(&self, topic: &Topic) -> bool {
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
