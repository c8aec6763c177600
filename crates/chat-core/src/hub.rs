//! The hub: who is subscribed to what, and how far each room has got.

mod asking;
mod catching_up;
mod connections;
mod delivery;
mod greeting;
mod joining;
mod planted;
mod presence;
mod reads;
mod sending;
mod stopping;

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use slab::Slab;

use self::catching_up::Replayed;
use self::delivery::Conversation;
#[cfg(feature = "planted-bugs")]
pub use self::planted::PlantedBug;
use self::presence::{People, PresenceClock};
use self::reads::Reads;
use self::sending::Drafts;
use crate::client::{Client, ClientRef, Paused, User};
use crate::outputs::Outputs;
use crate::room::Room;
use crate::seed::Seed;
use crate::{
    Answer, ClientId, Entry, Framing, Missed, Pair, PresenceChange, RateLimit, ReadId, Receipt, RecentLimits,
    RoomName, SessionId, Topic, Username,
};

/// The state of a set of clients and the rooms they are in.
///
/// A hub belongs to one thread and does nothing by itself: its caller hands it
/// [`Input`]s with the time and does the [`Output`](crate::Output)s. A turn is any number of
/// [`step`](Hub::step)s and one [`end_turn`](Hub::end_turn), which puts out
/// what the rooms' members get, each room's frames in one piece.
///
/// Everything a client is sent comes from the log: a hub asks for an append
/// and delivers what [`Input::Commit`] says was stored.
pub struct Hub {
    options: HubOptions,
    seed: Seed,
    clients: Vec<Option<Client>>,
    generation: u32,
    users: Slab<User>,
    user_by_name: HashMap<Username, usize, Seed>,
    rooms: Slab<Room>,
    room_by_name: HashMap<RoomName, usize, Seed>,
    conversations: Slab<Conversation>,
    conversation_by_pair: HashMap<Pair, usize, Seed>,
    /// Who is in which room, on all hubs.
    people: HashMap<RoomName, People, Seed>,
    presence_clock: PresenceClock,
    drafts: Drafts,
    reads: Reads,
    /// Rooms with pending frames.
    dirty: Vec<usize>,
    /// Clients with frames of their own.
    told: Vec<ClientId>,
    /// Clients whose replay goes on in the next turn.
    held_back: VecDeque<ClientRef>,
    /// Counts the turns.
    turn: u64,
    /// Of the last input.
    now: Now,
    /// The recent frames that were put out last, for the next who wants the same.
    replayed: Option<Replayed>,
    /// Rooms that became empty, when, in that order.
    emptied: VecDeque<(u64, usize)>,
    /// Bytes of recent frames, and where the sweep that bounds them stands.
    recent_bytes: usize,
    recent_hand: usize,
    /// Clients whose users send too fast.
    waiting_for_rate: Vec<ClientRef>,
    /// Clients that wait for the hub's credit.
    waiting_for_hub: VecDeque<ClientRef>,
    /// Sessions revoked a moment ago: a socket on its way is not let in.
    revoked: VecDeque<(u64, SessionId)>,
    /// No client's token ends before this; `u64::MAX` if none ends.
    next_expiry_ms: u64,
    /// Set when draining: when each client's turn to go comes.
    leaving: Option<VecDeque<(u64, ClientRef)>>,
    ticked_ms: u64,
    swept_ms: u64,
    /// Frames for one client are made here.
    scratch: Vec<u8>,
}

/// What happens to a hub.
#[derive(Debug)]
pub enum Input<'a> {
    /// A socket opened; its user's name and session were checked.
    Open {
        /// A number that is not in use.
        client: ClientId,
        /// Who it is.
        user: &'a Username,
        /// The session of its token, if it has one.
        session: Option<&'a SessionId>,
        /// For how long the token is good, in milliseconds: then the client is
        /// closed (1008), unless its session was renewed. `None`: for ever.
        good_for_ms: Option<u64>,
        /// What it speaks.
        protocol: Protocol,
    },
    /// A client sent a text message. Not while the client is
    /// [paused](Hub::is_paused).
    Frame {
        /// Who sent it.
        client: ClientId,
        /// The message.
        text: &'a str,
    },
    /// A client says goodbye: it is closed (1000) once what it sent is answered
    /// for, so that its last message comes before its leave notice.
    Goodbye {
        /// Which.
        client: ClientId,
    },
    /// A socket is gone. Its number is free again once everything put out up
    /// to here is done: an earlier write may still name it.
    Closed {
        /// Which.
        client: ClientId,
    },
    /// A transaction was committed: its entries in the log's order, then what
    /// became of this hub's own drafts.
    Commit {
        /// The entries that this hub is subscribed to.
        entries: &'a [Arc<Entry>],
        /// The receipts of this hub's own drafts.
        receipts: &'a [Receipt],
    },
    /// Entries were committed that were not carried here.
    Missed(&'a [Missed]),
    /// The log no longer keeps what is below these numbers: nobody gets it from
    /// here either.
    Trimmed(&'a [(Topic, u64)]),
    /// The log's answer to an [`Output::Read`](crate::Output::Read).
    Answer {
        /// The read.
        id: ReadId,
        /// What was read.
        answer: &'a Answer,
    },
    /// How many bytes a client's socket has not taken yet. To be said when
    /// that changed, after writes and when a socket took more.
    Pending {
        /// Whose socket.
        client: ClientId,
        /// How many.
        bytes: usize,
    },
    /// A session is no longer good: all of its sockets are closed.
    Revoked {
        /// Which.
        session: &'a SessionId,
    },
    /// The token of a session is good for longer than was said.
    Renewed {
        /// Which.
        session: &'a SessionId,
        /// From now on, in milliseconds.
        good_for_ms: u64,
    },
    /// Somebody came or left on another hub.
    Presence(&'a PresenceChange),
    /// Another hub is gone, without having said so for its people.
    HubLost(u32),
    /// Time has passed; see [`Hub::next_tick_ms`].
    Tick,
    /// The server stops: each client is let go in a slot of its own.
    Drain,
}

/// What a client speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// One room, chosen when the connection is opened, whose newest messages
    /// it gets first.
    V1 {
        /// The room.
        room: RoomName,
    },
    /// Any number of rooms, numbers, receipts.
    V2,
}

/// The time, given with each input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds of a clock that never goes back, from any start.
    pub mono_ms: u64,
    /// Milliseconds since 1970 (UTC), which may jump.
    pub wall_ms: u64,
}

/// Everything about a hub that can be set. The defaults suit a small server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubOptions {
    /// Tells this hub from the others of the same log.
    pub id: u32,
    /// The log's name for its numbering, which v2 clients are told.
    pub epoch: Arc<str>,
    /// How messages become bytes.
    pub framing: Framing,
    /// Characters (Unicode scalar values) a text may have; a longer one closes
    /// the connection (1009).
    pub text_max_chars: usize,
    /// Connections of one user; one more is closed (1013).
    pub user_clients_max: usize,
    /// How fast a user may send over all connections; `None`: as fast as the
    /// log stores. Faster is slowed down, and nothing is lost.
    pub rate: Option<RateLimit>,
    /// How fast a v2 connection may send frames of any kind; faster is slowed
    /// down. `None`: as fast as it can.
    pub frame_rate: Option<RateLimit>,
    /// How fast a user may come into rooms with v2, over all connections.
    pub join_rate: Option<RateLimit>,
    /// How fast a user may ask for pages of history, over all connections.
    pub history_rate: Option<RateLimit>,
    /// Rooms that all v2 connections of a user together may be in.
    pub user_rooms_max: usize,
    /// Messages that a client gets when it comes into a room, unless it has
    /// some of them already.
    pub join_replay_entries: usize,
    /// Messages that a v2 client may have missed, and still gets all of them
    /// when it comes back.
    pub resume_max_messages: u64,
    /// Rooms a v2 connection may be in at the same time.
    pub client_rooms_max: usize,
    /// Private conversations that a v2 client is told of when it connects, the
    /// newest.
    pub hello_conversations: usize,
    /// Messages of one page of history.
    pub history_max: usize,
    /// Pages of history that a client may have asked for at the same time; at
    /// the cap its frames wait.
    pub client_asked_max: u32,
    /// Names of the people in a room that a v2 client is told; where there are
    /// more, only their number changes.
    pub members_max: usize,
    /// Somebody without a connection for this long is said to be offline, in
    /// milliseconds.
    pub offline_after_ms: u64,
    /// The number of people in a room with many is told this often, in
    /// milliseconds.
    pub count_every_ms: u64,
    /// After a failed send, what comes behind it fails, too, until it is sent
    /// again, or for this long, in milliseconds: longer than the client needs
    /// to hear of it.
    pub refusing_ms: u64,
    /// The log stores topics side by side: a client's sends to one topic wait
    /// until those to another are answered, so that none overtakes a failure.
    pub topics_side_by_side: bool,
    /// For `hello`: how often the server pings, in seconds …
    pub heartbeat_seconds: u64,
    /// … and bytes that one message of a client may have.
    pub message_max_bytes: usize,
    /// Drafts without a receipt that a client may have; at the cap its
    /// messages wait.
    pub client_unanswered_max: u32,
    /// Drafts without a receipt in the whole hub; at the cap messages wait.
    pub hub_unanswered_max: usize,
    /// Bytes of text in them; at the cap messages wait.
    pub hub_unanswered_bytes: usize,
    /// A draft without a receipt for this long counts as failed, in milliseconds.
    pub append_timeout_ms: u64,
    /// What is kept ready of each room.
    pub recent: RecentLimits,
    /// Entries a page read from the log may have.
    pub page_entries: usize,
    /// Bytes of text a page may have, and how much a replaying client's socket
    /// may hold before it is sent more.
    pub page_bytes: usize,
    /// Pages being read at the same time; more wait.
    pub reads_max: usize,
    /// A failed read is tried again after this, in milliseconds.
    pub read_retry_ms: u64,
    /// A client that could not be brought up to date for this long is closed
    /// (1013), in milliseconds.
    pub catch_up_timeout_ms: u64,
    /// A room that nobody is in is forgotten after this, in milliseconds.
    pub room_idle_ms: u64,
    /// A private conversation in which nothing was said is forgotten after
    /// this, in milliseconds.
    pub conversation_idle_ms: u64,
    /// A revoked session is remembered for this long, in milliseconds: longer
    /// than an upgrade may take.
    pub revoked_kept_ms: u64,
    /// Draining spreads the clients over at most this, in milliseconds …
    pub drain_spread_ms: u64,
    /// … and over this much for each client, in milliseconds.
    pub drain_spread_per_client_ms: u64,
    /// A v2 client is told to come back after at most this, in milliseconds.
    pub reconnect_spread_ms: u64,
    /// A bug on purpose, for testing tests.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<PlantedBug>,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            id: 0,
            epoch: Arc::from(""),
            framing: Framing::WebSocket,
            text_max_chars: 4096,
            user_clients_max: 5_000,
            rate: Some(RateLimit { burst: 60, per_second: 10 }),
            frame_rate: Some(RateLimit { burst: 200, per_second: 100 }),
            join_rate: Some(RateLimit { burst: 500, per_second: 20 }),
            history_rate: Some(RateLimit { burst: 100, per_second: 20 }),
            user_rooms_max: 10_000,
            join_replay_entries: 50,
            resume_max_messages: 10_000,
            client_rooms_max: 1_000,
            hello_conversations: 200,
            history_max: 100,
            client_asked_max: 2,
            members_max: 200,
            offline_after_ms: 5_000,
            count_every_ms: 1_000,
            refusing_ms: 2_000,
            topics_side_by_side: false,
            heartbeat_seconds: 45,
            message_max_bytes: 64 * 1024,
            client_unanswered_max: 32,
            hub_unanswered_max: 4096,
            hub_unanswered_bytes: 8 * 1024 * 1024,
            append_timeout_ms: 5_000,
            recent: RecentLimits { entries: 100, bytes: 64 * 1024, hub_bytes: 64 * 1024 * 1024 },
            page_entries: 100,
            page_bytes: 64 * 1024,
            reads_max: 64,
            read_retry_ms: 500,
            catch_up_timeout_ms: 10_000,
            room_idle_ms: 60_000,
            conversation_idle_ms: 600_000,
            revoked_kept_ms: 60_000,
            drain_spread_ms: 5_000,
            drain_spread_per_client_ms: 2,
            reconnect_spread_ms: 2_000,
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }
}

impl Hub {
    /// An empty hub. `seed` should be chosen at random where strangers choose
    /// names (it protects the maps from chosen collisions); the same seed and
    /// inputs give the same outputs.
    pub fn new(options: HubOptions, seed: Seed) -> Self {
        Self {
            reads: Reads::new(options.reads_max),
            options,
            seed,
            clients: Vec::new(),
            generation: 0,
            users: Slab::new(),
            user_by_name: HashMap::with_hasher(seed),
            rooms: Slab::new(),
            room_by_name: HashMap::with_hasher(seed),
            conversations: Slab::new(),
            conversation_by_pair: HashMap::with_hasher(seed),
            people: HashMap::with_hasher(seed),
            presence_clock: PresenceClock::default(),
            drafts: Drafts::default(),
            dirty: Vec::new(),
            told: Vec::new(),
            held_back: VecDeque::new(),
            turn: 1,
            now: Now::default(),
            replayed: None,
            emptied: VecDeque::new(),
            recent_bytes: 0,
            recent_hand: 0,
            waiting_for_rate: Vec::new(),
            waiting_for_hub: VecDeque::new(),
            revoked: VecDeque::new(),
            next_expiry_ms: u64::MAX,
            leaving: None,
            ticked_ms: 0,
            swept_ms: 0,
            scratch: Vec::new(),
        }
    }

    /// Takes one input.
    ///
    /// # Panics
    ///
    /// If `Open` names a client that is still in use, or `Answer` a read that is
    /// not open or asked for something else.
    pub fn step(&mut self, now: Now, input: Input<'_>, out: &mut Outputs) {
        self.now = now;
        if self.next_expiry_ms <= now.mono_ms {
            self.expire(now, out);
        }
        match input {
            Input::Open { client, user, session, good_for_ms, protocol } => {
                let expires_ms = good_for_ms.map(|good_for_ms| now.mono_ms.saturating_add(good_for_ms));
                self.open(client, user, session, expires_ms, protocol, now, out);
            }
            Input::Frame { client, text } => self.frame(client, text, now, out),
            Input::Goodbye { client } => self.goodbye(client, now, out),
            Input::Closed { client } => self.closed(client, now, out),
            Input::Commit { entries, receipts } => {
                for entry in entries {
                    self.committed(entry, now, out);
                }
                for receipt in receipts {
                    self.answered(receipt, now, out);
                }
                self.resume_waiting_for_hub(now, out);
            }
            Input::Missed(missed) => {
                for missed in missed {
                    self.missed(missed, now, out);
                }
            }
            Input::Trimmed(topics) => self.trimmed(topics),
            Input::Answer { id, answer } => self.answer(id, answer, now, out),
            Input::Pending { client, bytes } => self.pending(client, bytes, now, out),
            Input::Revoked { session } => self.revoked(session, now, out),
            Input::Renewed { session, good_for_ms } => {
                self.renewed(session, now.mono_ms.saturating_add(good_for_ms));
            }
            Input::Presence(change) => self.remote_presence(change, now),
            Input::HubLost(hub) => self.hub_lost(hub, now),
            Input::Tick => self.tick(now, out),
            Input::Drain => self.drain(now),
        }
    }

    /// Puts out what the rooms' members get. To be called after the steps of a
    /// turn, before the outputs are done.
    pub fn end_turn(&mut self, out: &mut Outputs) {
        self.go_on_with_held_back(out);
        for client in std::mem::take(&mut self.told) {
            self.flush_own(client, out);
        }
        for slot in std::mem::take(&mut self.dirty) {
            if let Some(room) = self.rooms.get_mut(slot) {
                room.flush(out);
            }
        }
        self.turn += 1;
    }

    /// No frame of this client is to be handed over now: it is paused, or gone.
    pub fn is_paused(&self, client: ClientId) -> bool {
        self.client(client)
            .is_none_or(|client| client.closed || client.settling.is_some() || client.paused.is_some())
    }

    /// When the next [`Input::Tick`] is due, on the monotonic clock.
    pub fn next_tick_ms(&self) -> u64 {
        let soon = !self.waiting_for_rate.is_empty() || self.leaving.is_some() || !self.held_back.is_empty();
        self.ticked_ms + if soon { TICK_SOON_MS } else { TICK_MS }
    }

    /// The rooms that somebody is in, and how many users, each counted once.
    pub fn rooms(&self) -> impl Iterator<Item = (&RoomName, usize)> {
        self.rooms.iter().filter(|(_, room)| room.online() > 0).map(|(_, room)| (&room.name, room.online()))
    }

    /// How many rooms this hub keeps, those included that nobody is in any more.
    pub fn rooms_in_memory(&self) -> usize {
        self.rooms.len()
    }

    /// How many clients are connected and not being closed.
    pub fn clients(&self) -> usize {
        self.clients.iter().flatten().filter(|client| !client.closed).count()
    }

    /// How many drafts wait for their receipt.
    pub fn unanswered(&self) -> usize {
        self.drafts.unanswered()
    }

    fn client(&self, id: ClientId) -> Option<&Client> {
        self.clients.get(id.0 as usize)?.as_ref()
    }

    fn client_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(id.0 as usize)?.as_mut()
    }

    /// The client, if it is still the one that was meant.
    fn same_client(&mut self, client: ClientRef) -> Option<&mut Client> {
        self.client_mut(client.id).filter(|found| found.generation == client.generation && !found.closed)
    }

    fn tick(&mut self, now: Now, out: &mut Outputs) {
        self.ticked_ms = now.mono_ms;
        self.time_out_drafts(now, out);
        self.resume_waiting_for_rate(now, out);
        self.resume_waiting_for_hub(now, out);
        self.retry_reads(now, out);
        self.let_go(now, out);
        self.tick_presence(now);
        self.forget_idle_rooms(now.mono_ms, out);
        while self.revoked.front().is_some_and(|(at, _)| at + self.options.revoked_kept_ms <= now.mono_ms) {
            self.revoked.pop_front();
        }
        if self.swept_ms + SWEEP_MS <= now.mono_ms {
            self.swept_ms = now.mono_ms;
            self.sweep(now, out);
        }
    }

    /// What need not be looked at in every tick.
    fn sweep(&mut self, now: Now, out: &mut Outputs) {
        let gone: Vec<usize> =
            self.users.iter().filter(|(_, user)| user.clients.is_empty()).map(|(slot, _)| slot).collect();
        for slot in gone {
            self.forget_user(slot, now.mono_ms);
        }
        self.forget_idle_conversations(now.mono_ms);
        self.close_those_stuck_behind(now, out);
        self.forget_bases(now.mono_ms);
    }
}

/// Ticks are this far apart while somebody waits for one …
const TICK_SOON_MS: u64 = 20;
/// … and else this far.
const TICK_MS: u64 = 500;
/// How often idle things are looked for.
const SWEEP_MS: u64 = 5_000;
