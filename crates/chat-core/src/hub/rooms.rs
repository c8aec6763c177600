//! The rooms of a hub.

mod newest;
mod recent;
mod room;
mod side;

use std::collections::VecDeque;
use std::ops::Index;
use std::sync::Arc;

use hashbrown::HashMap;
use slab::Slab;

pub use self::recent::RecentLimits;
pub(super) use self::room::{Announced, Knowledge, Room, RoomReadFor, Watcher};
use super::activity::Window;
use super::client::ClientRef;
use super::feed::Offer;
use super::options::HubOptions;
use super::reads::TopicPage;
use super::users::UserSlot;
use crate::frame::{Encoding, Version, v1};
use crate::outputs::Outputs;
use crate::seed::Seed;
use crate::{ClientId, Entry, Framing, NoticeText, Output, Page, ReadId, RoomName, Subscription, Username};

/// The rooms of a hub: their names, which of them have pending frames, how many
/// bytes their recent frames take together, and which have no clients any more.
pub(super) struct Rooms {
    slab: Slab<Room>,
    by_name: HashMap<RoomName, RoomSlot, Seed>,
    /// Rooms with pending frames. One that was put out early is named twice.
    dirty: Vec<RoomSlot>,
    /// Rooms with a window of activity. One that was forgotten may still be named.
    active: Vec<RoomSlot>,
    /// Rooms that became empty, with the time in milliseconds, in that order.
    emptied: VecDeque<(u64, RoomSlot)>,
    recent: RecentLimits,
    /// Bytes of recent frames in all rooms.
    recent_bytes: usize,
    /// Where the sweep that bounds them stands.
    recent_hand: usize,
    framing: Framing,
    joined_notice: NoticeText,
    left_notice: NoticeText,
    files_base: Arc<str>,
    seed: Seed,
    /// A frame that is not for a room's pending ones is made here.
    scratch: Vec<u8>,
    #[cfg(feature = "planted-bugs")]
    planted: Option<crate::PlantedBug>,
}

/// A room's number in its hub, free again once the room is forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct RoomSlot(usize);

impl Index<RoomSlot> for Rooms {
    type Output = Room;

    fn index(&self, slot: RoomSlot) -> &Room {
        &self.slab[slot.0]
    }
}

impl Rooms {
    pub(super) fn new(options: &HubOptions, seed: Seed) -> Self {
        Self {
            slab: Slab::new(),
            by_name: HashMap::with_hasher(seed),
            dirty: Vec::new(),
            active: Vec::new(),
            emptied: VecDeque::new(),
            recent: options.recent,
            recent_bytes: 0,
            recent_hand: 0,
            framing: options.framing,
            joined_notice: options.joined_notice.clone(),
            left_notice: options.left_notice.clone(),
            files_base: Arc::clone(&options.files_base),
            seed,
            scratch: Vec::new(),
            #[cfg(feature = "planted-bugs")]
            planted: options.planted,
        }
    }

    pub(super) fn slot_of(&self, name: &RoomName) -> Option<RoomSlot> {
        self.by_name.get(name).copied()
    }

    /// All rooms, those without clients included.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Room> {
        self.slab.iter().map(|(_, room)| room)
    }

    /// The slots of all rooms.
    pub(super) fn slots(&self) -> Vec<RoomSlot> {
        self.slab.iter().map(|(slot, _)| RoomSlot(slot)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Adds a room that is not there yet.
    pub(super) fn add(&mut self, name: &RoomName, now_ms: u64) -> RoomSlot {
        let slot = RoomSlot(self.slab.insert(Room::new(name.clone(), self.seed, now_ms)));
        #[cfg(feature = "planted-bugs")]
        self.slab[slot.0].plant(self.planted);
        self.by_name.insert(name.clone(), slot);
        // It is forgotten if nobody enters it.
        self.emptied.push_back((now_ms, slot));
        slot
    }

    // What is known of rooms, and their members.

    /// Notes what the store or a change says of a room.
    pub(super) fn learn(&mut self, slot: RoomSlot, info: Knowledge) {
        self.room_mut(slot).learn(info);
    }

    /// Starts the feed of a room at a known number, unless it has started.
    pub(super) fn start_at(&mut self, slot: RoomSlot, top: u64, at_ms: u64) {
        self.room_mut(slot).start_at(top, at_ms);
    }

    /// Notes the second of an entry that v1 clients are sent from the log.
    pub(super) fn note_shown(&mut self, slot: RoomSlot, at_s: u64) {
        self.room_mut(slot).note_shown(at_s);
    }

    /// Adds a member with a client on this hub, or changes the role.
    pub(super) fn watch(&mut self, slot: RoomSlot, user: UserSlot, watcher: Watcher) {
        self.room_mut(slot).watch(user, watcher);
    }

    /// Removes a member from those with a client on this hub.
    pub(super) fn unwatch(&mut self, slot: RoomSlot, user: UserSlot, now_ms: u64) {
        let room = self.room_mut(slot);
        let was_empty = room.is_empty();
        room.unwatch(user, now_ms);
        if room.is_empty() && !was_empty {
            self.emptied.push_back((now_ms, slot));
        }
    }

    // Clients.

    /// Adds a client, which is a connection of a user, of which no notice was sent yet.
    pub(super) fn enter(&mut self, slot: RoomSlot, client: ClientId, user: UserSlot, version: Version) {
        self.room_mut(slot).enter(client, user, version);
    }

    /// Counts a connection of a user as announced; returns how many are by now.
    pub(super) fn announce(&mut self, slot: RoomSlot, user: UserSlot) -> u32 {
        self.room_mut(slot).announce(user)
    }

    /// Removes a client; returns how many announced connections of its user are left.
    pub(super) fn leave(
        &mut self,
        slot: RoomSlot,
        client: ClientId,
        user: UserSlot,
        announced: Announced,
        now_ms: u64,
    ) -> u32 {
        let room = self.room_mut(slot);
        let left = room.leave(client, user, announced, now_ms);
        if room.is_empty() {
            self.emptied.push_back((now_ms, slot));
        }
        left
    }

    /// From here on a client gets what is delivered in a room.
    pub(super) fn go_live(&mut self, slot: RoomSlot, client: ClientId, version: Version) {
        self.room_mut(slot).go_live(client, version);
        self.mark_dirty(slot);
    }

    // Entries.

    /// Classifies an entry of a room, and delivers it if it is the next one.
    pub(super) fn offer(&mut self, slot: RoomSlot, entry: &Entry) -> Offer {
        let offer = self.room_mut(slot).offer(entry.seq);
        if offer == Offer::Next {
            self.deliver(slot, entry);
        }
        offer
    }

    /// Does with an entry what a planted bug does. Returns whether nothing more is
    /// to be done with it.
    #[cfg(feature = "planted-bugs")]
    pub(super) fn offer_with_bug(
        &mut self,
        slot: RoomSlot,
        entry: &Entry,
        bug: Option<crate::PlantedBug>,
    ) -> bool {
        use crate::PlantedBug;
        let room = self.room_mut(slot);
        match bug {
            Some(PlantedBug::ReadBeforeSubscribe) if room.top().is_none() => {
                *room.forgot_mut() = true;
                return true;
            }
            Some(PlantedBug::ReadBeforeSubscribe) if std::mem::take(room.forgot_mut()) => {
                room.note_committed(entry.seq);
                room.skip_to(entry.seq - 1);
            }
            Some(PlantedBug::NoGapCheck) => {
                room.note_committed(entry.seq);
                room.skip_to(entry.seq - 1);
            }
            Some(PlantedBug::NoDuplicateCheck) if room.top() >= Some(entry.seq) => {
                self.deliver(slot, entry);
                return true;
            }
            _ => {}
        }
        false
    }

    /// Notes that entries of a room up to `seq` are committed.
    pub(super) fn note_committed(&mut self, slot: RoomSlot, seq: u64) {
        self.room_mut(slot).note_committed(seq);
    }

    /// Skips missing entries of a room up to `seq`, which the log no longer keeps.
    /// Returns whether any were missing.
    pub(super) fn skip_to(&mut self, slot: RoomSlot, seq: u64) -> bool {
        self.room_mut(slot).skip_to(seq)
    }

    /// Makes the frames of an entry.
    fn deliver(&mut self, slot: RoomSlot, entry: &Entry) {
        let encoding = Encoding { framing: self.framing, files_base: &self.files_base };
        let room = &mut self.slab[slot.0];
        let held = room.recent_bytes();
        let is_pending = room.deliver(entry, encoding, self.recent, &mut self.scratch);
        self.recent_bytes = self.recent_bytes + room.recent_bytes() - held;
        if is_pending {
            self.mark_dirty(slot);
        }
        if self.slab[slot.0].note_activity(entry, self.seed) {
            self.active.push(slot);
        }
        self.bound_recent(slot);
    }

    /// Starts a room at its newest page: now it is known how far it is.
    pub(super) fn start(&mut self, slot: RoomSlot, page: &Page) {
        let encoding = Encoding { framing: self.framing, files_base: &self.files_base };
        let room = &mut self.slab[slot.0];
        let held = room.recent_bytes();
        room.start(page, encoding, self.recent, &mut self.scratch);
        self.recent_bytes = self.recent_bytes + room.recent_bytes() - held;
        self.bound_recent(slot);
    }

    /// Takes what is new to a room, which has started, from its newest page.
    pub(super) fn learn_newest(&mut self, slot: RoomSlot, page: &Page) {
        let encoding = Encoding { framing: self.framing, files_base: &self.files_base };
        let room = &mut self.slab[slot.0];
        let held = room.recent_bytes();
        room.learn_newest(page, encoding, self.recent, &mut self.scratch);
        self.recent_bytes = self.recent_bytes + room.recent_bytes() - held;
        self.bound_recent(slot);
    }

    /// From now on the numbers of a room's newest messages are kept, if it has started.
    pub(super) fn keep_newest(&mut self, slot: RoomSlot) {
        self.room_mut(slot).keep_newest();
    }

    /// Drops recent frames of entries that the log no longer keeps: they must not
    /// be replayed from memory.
    pub(super) fn forget_before(&mut self, name: &RoomName, first: u64) {
        let Some(slot) = self.slot_of(name) else { return };
        let room = &mut self.slab[slot.0];
        let held = room.recent_bytes();
        room.forget_before(first);
        self.recent_bytes = self.recent_bytes + room.recent_bytes() - held;
    }

    // Activity.

    /// Notes that a client of a member knows of a room's messages up to `known`.
    pub(super) fn know(&mut self, slot: RoomSlot, client: ClientRef, known: u64) {
        let seed = self.seed;
        if self.room_mut(slot).know(client, known, seed) {
            self.active.push(slot);
        }
    }

    /// Takes the rooms with a window of activity: each is to be [kept](Self::keep_active)
    /// or its window to be [closed](Self::close_window).
    pub(super) fn take_active(&mut self) -> Vec<RoomSlot> {
        std::mem::take(&mut self.active)
    }

    pub(super) fn keep_active(&mut self, slot: RoomSlot) {
        self.active.push(slot);
    }

    /// The window of a room; `None` also if the room was forgotten.
    pub(super) fn window_mut(&mut self, slot: RoomSlot) -> Option<&mut Window> {
        self.slab.get_mut(slot.0)?.window_mut()
    }

    pub(super) fn close_window(&mut self, slot: RoomSlot) {
        self.room_mut(slot).close_window();
    }

    // The pages that are read.

    /// Notes that a page of a room is being read: until the answer, the room is not
    /// forgotten.
    pub(super) fn begin_read(&mut self, slot: RoomSlot, id: ReadId, page: TopicPage, purpose: RoomReadFor) {
        self.room_mut(slot).begin_read(id, page, purpose);
    }

    /// Notes that a read of a room was answered.
    pub(super) fn end_read(&mut self, slot: RoomSlot, id: ReadId) {
        self.room_mut(slot).end_read(id);
    }

    /// Whether a page of a room is being read; from now on also for `purpose`.
    pub(super) fn shares_read(&mut self, slot: RoomSlot, page: TopicPage, purpose: RoomReadFor) -> bool {
        self.room_mut(slot).shares_read(page, purpose)
    }

    // Frames.

    /// Delivers a notice to the live v1 clients of a room.
    pub(super) fn notice(&mut self, slot: RoomSlot, user: &Username, notice: v1::Notice, at_s: u64) {
        let framing = self.framing;
        let text = match notice {
            v1::Notice::Joined => &self.joined_notice,
            v1::Notice::Left => &self.left_notice,
        };
        if self.slab[slot.0].notice(user, text, at_s, framing) {
            self.mark_dirty(slot);
        }
    }

    /// Queues a frame for the live clients of a room with one version.
    pub(super) fn queue(&mut self, slot: RoomSlot, version: Version, frame: &[u8]) {
        if self.room_mut(slot).queue(version, frame) {
            self.mark_dirty(slot);
        }
    }

    /// Puts out what a room has pending.
    pub(super) fn flush(&mut self, slot: RoomSlot, out: &mut Outputs) {
        let room = self.room_mut(slot);
        if room.is_dirty() {
            room.flush(out);
        }
    }

    /// Puts out what all rooms have pending.
    pub(super) fn flush_all(&mut self, out: &mut Outputs) {
        for slot in self.dirty.drain(..) {
            if let Some(room) = self.slab.get_mut(slot.0) {
                room.flush(out);
            }
        }
    }

    /// Forgets the rooms that have been empty for `idle_ms`.
    pub(super) fn forget_idle(&mut self, idle_ms: u64, now_ms: u64, out: &mut Outputs) {
        // At most those that are in the queue now: some go to its end.
        for _ in 0..self.emptied.len() {
            let Some((at_ms, slot)) = self.emptied.pop_front_if(|(at_ms, _)| *at_ms + idle_ms <= now_ms)
            else {
                return;
            };
            let room = self.slab.get_mut(slot.0);
            let Some(room) = room.filter(|room| room.is_empty_since(at_ms)) else { continue };
            if room.is_being_read() {
                // The answer must find its room.
                room.restart_idle(now_ms);
                self.emptied.push_back((now_ms, slot));
                continue;
            }
            let room = self.slab.remove(slot.0);
            self.by_name.remove(room.name());
            self.recent_bytes -= room.recent_bytes();
            out.push(Output::Unsubscribe(Subscription::Room(room.name().clone())));
        }
    }

    fn room_mut(&mut self, slot: RoomSlot) -> &mut Room {
        &mut self.slab[slot.0]
    }

    fn mark_dirty(&mut self, slot: RoomSlot) {
        if self.slab[slot.0].mark_dirty() {
            self.dirty.push(slot);
        }
    }

    /// Keeps the recent frames of all rooms under their cap. A room that was
    /// used since the last pass is spared once (the CLOCK algorithm).
    fn bound_recent(&mut self, spared: RoomSlot) {
        let mut steps = 2 * self.slab.capacity();
        while self.recent_bytes > self.recent.hub_bytes && steps > 0 {
            steps -= 1;
            self.recent_hand = (self.recent_hand + 1) % self.slab.capacity().max(1);
            if self.recent_hand == spared.0 {
                continue;
            }
            if let Some(room) = self.slab.get_mut(self.recent_hand) {
                self.recent_bytes -= room.spare_or_forget();
            }
        }
    }
}
