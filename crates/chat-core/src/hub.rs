//! The hub: which clients have joined which rooms, and how far each room has got.
//!
//! The state is in parts, each of which keeps its own invariants: [`Clients`],
//! [`Users`], [`Rooms`], [`ConversationTable`], [`Marks`], [`Presence`],
//! [`Typing`], [`Drafts`], [`Reads`] and a few small ones. The steps that need several of them are
//! methods of [`Hub`], in files by topic: `frames`, `sending`, `delivery`,
//! `pages`, `replay`, `joining`, `greeting`, `history`, `connections`.

mod access;
mod activity;
mod client;
mod clients;
mod connections;
mod conversations;
mod delivery;
mod drafts;
mod drain;
mod feed;
mod frames;
mod greeting;
mod history;
mod input;
mod join;
mod joining;
mod marks;
mod members;
mod options;
mod pages;
mod pausing;
mod planted;
mod presence;
mod rate;
mod reads;
mod refusals;
mod removals;
mod replay;
mod replies;
mod revocations;
mod rooms;
mod send_order;
mod sending;
mod taken_back;
mod typing;
mod users;

use self::clients::Clients;
use self::conversations::ConversationTable;
use self::drafts::Drafts;
use self::drain::Drain;
#[cfg(test)]
pub(crate) use self::greeting::frame_max_bytes;
pub use self::input::{Input, Now, Protocol, Withheld};
use self::marks::Marks;
pub use self::options::{HubOptions, RoomCreation};
use self::pausing::PauseQueues;
#[cfg(feature = "planted-bugs")]
pub use self::planted::PlantedBug;
use self::presence::Presence;
pub use self::rate::{Rate, RateLimit};
use self::reads::Reads;
pub use self::refusals::Refusals;
use self::replay::Replays;
use self::revocations::Revocations;
pub use self::rooms::RecentLimits;
use self::rooms::{Knowledge, Rooms};
use self::typing::Typing;
use self::users::Users;
use crate::frame::v2::{Reply, ServerRole};
use crate::outputs::Outputs;
use crate::seed::Seed;
use crate::{ClientId, RoomName, Username};

/// The state of a set of clients and the rooms that they have joined.
///
/// A hub belongs to one thread and does nothing by itself: its caller hands it
/// [`Input`]s with the time and does the [`Output`](crate::Output)s. A turn is any number of
/// [`step`](Hub::step)s and one [`end_turn`](Hub::end_turn), which puts out
/// what the rooms' clients get, each room's frames in one piece.
///
/// All messages that a client is sent come from the log: a hub asks for an append
/// and delivers the entries of [`Input::Commit`].
///
/// # The order of calls
///
/// 1. [`step`](Hub::step), for each thing that has happened: [`Input::Open`] for a client whose user is
///    known, [`Input::Frame`] for each of its messages, [`Input::Pending`] when its transport has taken
///    less or more than before, [`Input::Goodbye`] when it has ended its side, [`Input::Closed`] when it
///    is gone. Frames of a client that [is paused](Hub::is_paused) are kept, and its transport is not
///    read, until [`Output::Resume`](crate::Output::Resume).
/// 2. [`end_turn`](Hub::end_turn), once for any number of steps: without it nothing of rooms is put out.
/// 3. [`Outputs::next`], until it is `None`: each output is done before the next one. A
///    [`Write`](crate::Output::Write) goes to the end of what waits for each client; drafts of
///    [`Append`](crate::Output::Append) may be collected to the end of the turn, and are stored in
///    their order; a [`Subscribe`](crate::Output::Subscribe) holds before the
///    [`Read`](crate::Output::Read)s behind it. Steps that outputs lead to belong to the next turn,
///    which ends like this one, until no output is left.
/// 4. What a transaction of the log has done comes back in this order: [`Input::Changes`] (changes of
///    rooms), then [`Input::Commit`] with all its entries, and the receipts of this hub's drafts. With
///    several hubs, every hub has the entries before any has a receipt.
/// 5. When the log has not stored drafts, a `Commit` without entries has their receipts
///    ([`Outcome::Failed`](crate::Outcome::Failed)), and drafts that were put out before that step fail,
///    too, so that none overtakes its retry.
/// 6. Each read is answered once, by [`Input::Answer`].
/// 7. [`Input::Tick`] when [`next_tick_ms`](Hub::next_tick_ms) is due, which may change with each turn.
/// 8. To stop: [`Input::Drain`], and turns until [`is_drained`](Hub::is_drained).
///
/// A client's id is free again once the outputs of the turn with its `Closed` are done.
///
/// The crate `chat-tokio` has these rules for a program on tokio, `examples/lines.rs` for one with
/// threads.
pub struct Hub {
    options: HubOptions,
    seed: Seed,
    /// The time of the last input.
    now: Now,
    /// Counts the turns.
    turn: u64,
    clients: Clients,
    users: Users,
    rooms: Rooms,
    conversations: ConversationTable,
    marks: Marks,
    presence: Presence,
    typing: Typing,
    drafts: Drafts,
    reads: Reads,
    replays: Replays,
    paused: PauseQueues,
    revocations: Revocations,
    refusals: Refusals,
    drain: Drain,
    /// See [`Input::Withhold`].
    withheld: Withheld,
    /// Activity is to be shown at the end of this turn.
    is_activity_due: bool,
    /// When the last tick was, in milliseconds of the monotonic clock.
    ticked_ms: u64,
    /// When idle and stuck state was last looked for, likewise.
    swept_ms: u64,
    /// Frames are made here, where no room's pending bytes take them.
    scratch: Vec<u8>,
}

impl Hub {
    /// An empty hub. `seed` should be chosen at random where strangers choose
    /// names (it protects the maps from chosen collisions); the same seed and
    /// inputs give the same outputs.
    pub fn new(options: HubOptions, seed: Seed) -> Self {
        Self {
            now: Now::default(),
            turn: 1,
            clients: Clients::default(),
            users: Users::new(seed),
            rooms: Rooms::new(&options, seed),
            conversations: ConversationTable::new(seed),
            marks: Marks::new(seed),
            presence: Presence::new(seed),
            typing: Typing::new(seed),
            drafts: Drafts::new(&options),
            reads: Reads::new(&options, seed),
            replays: Replays::default(),
            paused: PauseQueues::default(),
            revocations: Revocations::default(),
            refusals: Refusals::default(),
            drain: Drain::default(),
            withheld: Withheld::Nothing,
            is_activity_due: false,
            ticked_ms: 0,
            swept_ms: 0,
            scratch: Vec::new(),
            options,
            seed,
        }
    }

    /// Takes one input.
    ///
    /// # Panics
    ///
    /// If `Open` names a client that is still in use, or `Answer` a read that is
    /// not open or has a query of another kind.
    pub fn step(&mut self, now: Now, input: Input<'_>, out: &mut Outputs) {
        self.now = now;
        if self.clients.has_expired(now.mono_ms) {
            self.expire(out);
        }
        match input {
            Input::Open { client, user, session, good_for_ms, protocol } => {
                let expires_ms = good_for_ms.map(|good_for_ms| now.mono_ms.saturating_add(good_for_ms));
                self.open(client, user, session, expires_ms, protocol, out);
            }
            Input::Frame { client, text } => self.frame(client, text, out),
            Input::Goodbye { client } => self.goodbye(client, out),
            Input::Closed { client } => self.closed(client, out),
            Input::Commit { entries, receipts } => {
                for entry in entries {
                    self.committed(entry, out);
                }
                for receipt in receipts {
                    self.receipt(receipt, out);
                }
                self.resume_for_credit(out);
            }
            Input::Changes(changes) => {
                for change in changes {
                    self.room_changed(change, out);
                }
            }
            Input::Missed(missed) => {
                for missed in missed {
                    self.missed(missed, out);
                }
            }
            Input::Trimmed(topics) => self.trimmed(topics),
            Input::Answer { id, answer } => self.answer(id, answer, out),
            Input::Pending { client, bytes } => self.pending(client, bytes, out),
            Input::Revoked { session } => self.revoke(session, out),
            Input::UserEnded { user } => self.end_user(user, out),
            Input::RoleChanged { user, is_administrator } => {
                let role = if is_administrator { ServerRole::Administrator } else { ServerRole::Member };
                self.send_to_user(user, &Reply::Rights { role });
            }
            Input::Renewed { session, good_for_ms } => {
                self.clients.renew(session, now.mono_ms.saturating_add(good_for_ms));
            }
            Input::Presence(change) => self.remote_presence(change),
            Input::Present(change) => self.remote_present(change),
            Input::Mark(mark) => self.remote_mark(mark, out),
            Input::Typing(change) => self.remote_typing(change),
            Input::HubLost(hub) => self.hub_lost(hub),
            Input::Withhold(withheld) => self.withhold(withheld, out),
            Input::CloseAll => self.close_all(out),
            Input::Tick => self.tick(out),
            Input::Drain => {
                self.begin_drain();
                self.tick_marks(out);
            }
        }
    }

    /// Puts out what the rooms' clients get. To be called after the steps of a
    /// turn, before the outputs are done.
    pub fn end_turn(&mut self, out: &mut Outputs) {
        self.continue_held_back(out);
        self.clients.flush_all(self.turn, out);
        self.rooms.flush_all(out);
        self.show_activity(out);
        self.show_typing(out);
        self.turn += 1;
    }

    /// Whether no frame of this client is to be handed over now: it is paused, or
    /// gone.
    pub fn is_paused(&self, client: ClientId) -> bool {
        self.clients.get(client).is_none_or(|client| !client.is_open() || client.paused().is_some())
    }

    /// When the next [`Input::Tick`] is due, on the monotonic clock.
    pub fn next_tick_ms(&self) -> u64 {
        let is_soon = self.paused.wait_for_time() || self.drain.has_begun() || self.replays.wait_for_turn();
        let next_ms = self.ticked_ms + if is_soon { TICK_SOON_MS } else { TICK_MS };
        // A mark is stored in time for the next connection of its user.
        let marks_ms = self.marks.next_due_ms().map(|due_ms| due_ms.max(self.ticked_ms + TICK_SOON_MS));
        marks_ms.map_or(next_ms, |marks_ms| marks_ms.min(next_ms))
    }

    /// The rooms that clients have joined, and how many users, each counted once.
    pub fn rooms(&self) -> impl Iterator<Item = (&RoomName, usize)> {
        self.rooms.iter().filter(|room| room.online() > 0).map(|room| (room.name(), room.online()))
    }

    /// The rooms in which users are on any hub, and how many, each counted once.
    pub fn rooms_everywhere(&self) -> impl Iterator<Item = (&RoomName, usize)> {
        self.presence.rooms()
    }

    /// The users who are in a room on any hub, in no order; one who is in several comes more than once.
    pub fn users_everywhere(&self) -> impl Iterator<Item = &Username> {
        self.presence.users()
    }

    /// Whether a room has neither a member nor a message: users have opened it by its name.
    pub fn is_new_room(&self, room: &RoomName) -> bool {
        self.rooms.slot_of(room).is_some_and(|slot| *self.rooms[slot].info() == Knowledge::New)
    }

    /// The users who have a client on this hub, each once, in no order.
    pub fn online_users(&self) -> impl Iterator<Item = &Username> {
        self.users.online()
    }

    /// How many rooms this hub has in memory, those without clients included.
    pub fn rooms_in_memory(&self) -> usize {
        self.rooms.len()
    }

    /// How many clients are connected and not being closed.
    pub fn clients(&self) -> usize {
        self.clients.open().count()
    }

    /// How many drafts wait for their receipt.
    pub fn unanswered(&self) -> usize {
        self.drafts.unanswered()
    }

    fn tick(&mut self, out: &mut Outputs) {
        let now_ms = self.now.mono_ms;
        self.ticked_ms = now_ms;
        self.time_out_drafts(out);
        self.resume_for_rate(out);
        self.resume_for_credit(out);
        self.retry_reads(out);
        self.cut_off_removed(out);
        self.continue_drain(out);
        self.tick_presence();
        self.tick_marks(out);
        self.is_activity_due = true;
        self.rooms.forget_idle(self.options.room_idle_ms, now_ms, out);
        self.revocations.forget_old(self.options.revoked_kept_ms, now_ms);
        if self.swept_ms + SWEEP_MS <= now_ms {
            self.swept_ms = now_ms;
            self.sweep(out);
        }
    }

    /// Looks for idle and stuck state.
    fn sweep(&mut self, out: &mut Outputs) {
        let now_ms = self.now.mono_ms;
        self.users.forget_idle(now_ms);
        self.conversations.forget_idle(self.options.conversation_idle_ms, now_ms);
        self.typing.forget_old(&self.options, now_ms);
        self.marks.forget_idle(self.options.mark_idle_ms, now_ms);
        self.close_stuck(out);
        self.forget_greetings();
    }
}

/// Ticks are this far apart while a client waits for one, in milliseconds …
const TICK_SOON_MS: u64 = 20;
/// … and else this far.
const TICK_MS: u64 = 500;
/// How often idle and stuck state is looked for, in milliseconds.
const SWEEP_MS: u64 = 5_000;
