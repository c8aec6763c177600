//! One room of a hub.

use std::ops::RangeInclusive;
use std::sync::Arc;

use hashbrown::HashMap;

use super::newest::Newest;
use super::recent::{RecentFrames, RecentLimits};
use super::side::Side;
use crate::frame::{Encoding, Version, v1};
use crate::hub::activity::Window;
use crate::hub::client::ClientRef;
use crate::hub::feed::{Feed, Offer};
use crate::hub::reads::TopicPage;
use crate::hub::users::UserSlot;
use crate::outputs::Outputs;
use crate::seed::Seed;
use crate::{
    Access, Body, ClientId, Entry, Framing, NoticeText, Page, ReadId, Role, RoomInfo, RoomName, Username,
};

/// A room that clients of this hub have joined, or had until a moment ago.
#[derive(Debug)]
pub(in crate::hub) struct Room {
    name: RoomName,
    /// Which entries were delivered, and which are missing.
    feed: Feed,
    /// The numbers of its newest messages, once a client needed them.
    newest: Option<Newest>,
    /// The joined clients and their frames, for each version of the protocol.
    sides: [Side; 2],
    /// What the store knows of it, once that was read; every change since is applied.
    info: Knowledge,
    /// The members with a client on this hub, as far as the hub knows them.
    watchers: HashMap<UserSlot, Watcher, Seed>,
    /// The connections of each user in the room.
    connections: HashMap<UserSlot, Connections, Seed>,
    /// What came for members that have not joined it, while anything did lately.
    window: Option<Box<Window>>,
    /// Whether the list of rooms with pending frames has it.
    is_dirty: bool,
    /// The newest time shown in this room, in whole seconds since 1970: times
    /// never run backwards, notices included.
    shown_s: u64,
    /// The pages of it that are being read.
    reads: Vec<RoomRead>,
    /// When its last client left, in milliseconds; `None` while it has clients.
    empty_since_ms: Option<u64>,
    /// Whether it was used since the sweep for recent frames last passed.
    is_used: bool,
    /// See `PlantedBug::ReadBeforeSubscribe`.
    #[cfg(feature = "planted-bugs")]
    forgot: bool,
    #[cfg(feature = "planted-bugs")]
    planted: Option<crate::PlantedBug>,
}

/// What a hub knows of a room beside its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::hub) enum Knowledge {
    /// Nothing: the store was not asked, or has not answered.
    Nothing,
    /// There is no such room in the store: nobody has written to it.
    New,
    /// This.
    Info(Arc<RoomInfo>),
}

/// A member of a room with a client on this hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) struct Watcher {
    pub(in crate::hub) role: Role,
}

/// The connections of one user in a room.
#[derive(Debug, Default)]
struct Connections {
    all: u32,
    /// Those of which the others were sent a notice: one that still waits for
    /// its answer may leave without any.
    announced: u32,
}

/// A page of a room that is being read, for all clients that wait for it.
#[derive(Debug)]
struct RoomRead {
    id: ReadId,
    page: TopicPage,
    purpose: RoomReadFor,
}

/// What a page of a room is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) enum RoomReadFor {
    /// For the room's own feed, and perhaps for clients. A room has one such read
    /// at a time: a second one, begun a few entries later, would run beside the
    /// first and read the same entries again.
    Feed,
    /// For clients that replay.
    Clients,
}

/// Whether the others in a room were sent a notice of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) enum Announced {
    No,
    Yes,
}

impl Room {
    pub(super) fn new(name: RoomName, seed: Seed, now_ms: u64) -> Self {
        Self {
            name,
            feed: Feed::default(),
            newest: None,
            sides: Default::default(),
            info: Knowledge::Nothing,
            watchers: HashMap::with_hasher(seed),
            connections: HashMap::with_hasher(seed),
            window: None,
            is_dirty: false,
            shown_s: 0,
            reads: Vec::new(),
            empty_since_ms: Some(now_ms),
            is_used: true,
            #[cfg(feature = "planted-bugs")]
            forgot: false,
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }

    pub(in crate::hub) fn name(&self) -> &RoomName {
        &self.name
    }

    /// How many users have joined, each counted once.
    pub(in crate::hub) fn online(&self) -> usize {
        self.connections.len()
    }

    // What is known of it, and its members.

    pub(in crate::hub) fn info(&self) -> &Knowledge {
        &self.info
    }

    /// Notes what the store or a change says of the room. A room that is closed stays so,
    /// whatever an older change says that arrives later.
    pub(super) fn learn(&mut self, info: Knowledge) {
        let is_closed =
            |info: &Knowledge| matches!(info, Knowledge::Info(info) if info.access == Access::Closed);
        if !is_closed(&self.info) || is_closed(&info) {
            self.info = info;
        }
    }

    /// Whether every user may read and write: the store need not be asked.
    pub(in crate::hub) fn is_open_to_all(&self) -> bool {
        matches!(&self.info, Knowledge::Info(info) if !info.is_special())
    }

    pub(in crate::hub) fn watcher(&self, user: UserSlot) -> Option<Watcher> {
        self.watchers.get(&user).copied()
    }

    /// The members with a client on this hub.
    pub(in crate::hub) fn watchers(&self) -> impl Iterator<Item = (UserSlot, Watcher)> {
        self.watchers.iter().map(|(user, watcher)| (*user, *watcher))
    }

    /// Adds a member with a client on this hub, or changes the role.
    pub(super) fn watch(&mut self, user: UserSlot, watcher: Watcher) {
        self.empty_since_ms = None;
        if self.watchers.is_empty()
            && let (Some(window), Some(top)) = (&mut self.window, self.feed.top())
        {
            // Messages that came while nobody watched are not in it.
            window.skip_to(top);
        }
        self.watchers.insert(user, watcher);
    }

    /// Removes a member.
    pub(super) fn unwatch(&mut self, user: UserSlot, now_ms: u64) {
        if self.watchers.remove(&user).is_some() && self.is_empty() {
            self.empty_since_ms = Some(now_ms);
        }
    }

    /// The users with a client that has joined or is about to.
    pub(in crate::hub) fn joined_users(&self) -> impl Iterator<Item = UserSlot> {
        self.connections.keys().copied()
    }

    // Its entries.

    /// Starts the feed at a known number, without recent frames.
    pub(super) fn start_at(&mut self, top: u64, at_ms: u64) {
        if self.feed.top().is_none() {
            self.feed.start(top);
            self.shown_s = self.shown_s.max(at_ms / 1000);
        }
    }

    /// Notes that clients are sent an entry of the log that is not delivered now: of a
    /// room that started at a known number, it may be newer than all that was shown.
    pub(super) fn note_shown(&mut self, at_s: u64) {
        self.shown_s = self.shown_s.max(at_s);
    }

    /// The number of the last entry that was delivered; `None` until the log was
    /// read.
    pub(in crate::hub) fn top(&self) -> Option<u64> {
        self.feed.top()
    }

    /// Whether entries are committed that were not delivered.
    pub(in crate::hub) fn is_behind(&self) -> bool {
        self.feed.is_behind()
    }

    /// The highest number that is known to be committed.
    pub(in crate::hub) fn committed(&self) -> u64 {
        self.feed.committed()
    }

    /// Classifies an entry by its number: see [`Feed::offer`].
    pub(super) fn offer(&mut self, seq: u64) -> Offer {
        self.feed.offer(seq)
    }

    /// Notes that entries up to `seq` are committed.
    pub(super) fn note_committed(&mut self, seq: u64) {
        self.feed.note_committed(seq);
    }

    /// Skips missing entries: see [`Feed::skip_to`].
    pub(super) fn skip_to(&mut self, seq: u64) -> bool {
        let skips = self.feed.skip_to(seq);
        if skips && let Some(newest) = &mut self.newest {
            newest.forget_before(seq + 1);
        }
        skips
    }

    /// The number after which its newest `limit` messages begin: they are the messages from
    /// there up to its top. `None` if the log must be asked.
    pub(in crate::hub) fn newest_after(&self, limit: usize) -> Option<u64> {
        self.newest.as_ref()?.start_of(limit, self.feed.top()?)
    }

    /// From now on the numbers of its newest messages are kept.
    pub(super) fn keep_newest(&mut self) {
        if let (None, Some(top)) = (&self.newest, self.feed.top()) {
            self.newest = Some(Newest::after(top));
        }
    }

    /// See `PlantedBug::ReadBeforeSubscribe`.
    #[cfg(feature = "planted-bugs")]
    pub(super) fn forgot_mut(&mut self) -> &mut bool {
        &mut self.forgot
    }

    #[cfg(feature = "planted-bugs")]
    pub(super) fn plant(&mut self, bug: Option<crate::PlantedBug>) {
        self.planted = bug;
    }

    // Its clients.

    /// Adds a connection of a user, of which no notice was sent yet.
    pub(super) fn enter(&mut self, client: ClientId, user: UserSlot, version: Version) {
        self.empty_since_ms = None;
        self.is_used = true;
        self.connections.entry(user).or_default().all += 1;
        self.side_mut(version).enter(client);
    }

    /// Counts a connection as announced; returns how many of its user's are by now.
    pub(super) fn announce(&mut self, user: UserSlot) -> u32 {
        let connections = self.connections.entry(user).or_default();
        connections.announced += 1;
        connections.announced
    }

    /// Removes a client, which is a connection of a user; returns how many announced
    /// ones are left.
    pub(super) fn leave(
        &mut self,
        client: ClientId,
        user: UserSlot,
        announced: Announced,
        now_ms: u64,
    ) -> u32 {
        for side in &mut self.sides {
            side.remove_client(client);
        }
        let Some(connections) = self.connections.get_mut(&user) else { return 0 };
        connections.all -= 1;
        connections.announced -= u32::from(announced == Announced::Yes);
        let announced = connections.announced;
        if connections.all == 0 {
            self.connections.remove(&user);
        }
        if self.is_empty() {
            self.empty_since_ms = Some(now_ms);
        }
        announced
    }

    /// From here on this client gets what is delivered, but nothing that was
    /// pending before.
    pub(super) fn go_live(&mut self, client: ClientId, version: Version) {
        self.side_mut(version).go_live(client);
    }

    /// The clients of both versions that are not live yet.
    pub(in crate::hub) fn joining(&self) -> Vec<ClientId> {
        self.sides.iter().flat_map(Side::joining).copied().collect()
    }

    /// The clients of one version that are not live yet.
    pub(in crate::hub) fn joining_of(&self, version: Version) -> &[ClientId] {
        self.side(version).joining()
    }

    /// The clients of one version that are live.
    pub(in crate::hub) fn live(&self, version: Version) -> Vec<ClientId> {
        self.side(version).live()
    }

    // Its frames.

    /// Makes the frames of the next entry. Returns whether any are pending.
    pub(super) fn deliver(
        &mut self,
        entry: &Entry,
        encoding: Encoding<'_>,
        recent: RecentLimits,
        scratch: &mut Vec<u8>,
    ) -> bool {
        self.shown_s = self.shown_s.max(entry.at_ms / 1000);
        self.is_used = true;
        match &entry.body {
            Body::Message { .. } => {
                if let Some(newest) = &mut self.newest {
                    newest.push(entry.seq);
                }
            }
            Body::Edit { target, .. } | Body::Delete { target } => self.take_back(*target),
            Body::React { .. } | Body::Unreact { .. } => {}
        }
        let mut is_pending = false;
        for version in Version::ALL {
            let side = &mut self.sides[version as usize];
            if !side.is_empty() {
                is_pending |= side.deliver(version, entry, self.shown_s, encoding, recent, scratch);
            }
        }
        is_pending
    }

    /// Starts the feed at the room's newest page.
    pub(super) fn start(
        &mut self,
        page: &Page,
        encoding: Encoding<'_>,
        recent: RecentLimits,
        scratch: &mut Vec<u8>,
    ) {
        self.feed.start(page.last);
        let mut newest = Newest::after(page.last);
        newest.learn(page);
        self.newest = Some(newest);
        if let Some(window) = &mut self.window {
            // A client's `hello` was older than this page.
            page.entries.iter().for_each(|entry| window.note(entry));
        }
        self.keep_page(page, encoding, recent, scratch);
    }

    /// Takes what is new to the room, which has started, from its newest page.
    pub(super) fn learn_newest(
        &mut self,
        page: &Page,
        encoding: Encoding<'_>,
        recent: RecentLimits,
        scratch: &mut Vec<u8>,
    ) {
        let Some(top) = self.feed.top() else { return };
        if let Some(newest) = &mut self.newest {
            newest.learn(page);
        }
        self.feed.note_committed(page.last);
        if page.last == top {
            self.keep_page(page, encoding, recent, scratch);
        }
    }

    /// Makes recent frames of a page that ends with the newest entry.
    fn keep_page(
        &mut self,
        page: &Page,
        encoding: Encoding<'_>,
        recent: RecentLimits,
        scratch: &mut Vec<u8>,
    ) {
        // Counted also if no client sees it: one that joins later gets these
        // entries from the log, and then notices.
        let newest_s = page.entries.iter().map(|entry| entry.at_ms / 1000).max();
        self.shown_s = self.shown_s.max(newest_s.unwrap_or(0));
        for version in Version::ALL {
            let side = &mut self.sides[version as usize];
            if !side.is_empty() && !side.has_recent() {
                for entry in &page.entries {
                    side.keep(version, entry, encoding, recent, scratch);
                }
            }
        }
    }

    /// Makes the frame of a v1 notice; returns whether it is pending.
    pub(super) fn notice(
        &mut self,
        user: &Username,
        notice: &NoticeText,
        at_s: u64,
        framing: Framing,
    ) -> bool {
        let side = &mut self.sides[Version::V1 as usize];
        if !side.has_live() {
            return false;
        }
        self.shown_s = self.shown_s.max(at_s);
        side.write(framing, |out| {
            v1::notice(out, self.name.as_str(), user.as_str(), notice, self.shown_s);
        });
        true
    }

    /// Queues a frame for the live clients of one version; returns whether it is
    /// pending.
    pub(super) fn queue(&mut self, version: Version, frame: &[u8]) -> bool {
        self.side_mut(version).queue(frame)
    }

    /// Puts out what is pending.
    pub(super) fn flush(&mut self, out: &mut Outputs) {
        self.is_dirty = false;
        for side in &mut self.sides {
            side.flush(out);
        }
    }

    /// Marks that frames are pending; returns whether none were before.
    pub(super) fn mark_dirty(&mut self) -> bool {
        !std::mem::replace(&mut self.is_dirty, true)
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Whether a client of one version has joined: if not, nothing need be
    /// encoded for it.
    pub(in crate::hub) fn has_clients(&self, version: Version) -> bool {
        !self.side(version).is_empty()
    }

    // Its recent frames.

    /// The recent frames of the entries after a number, up to another one, if all are there.
    /// A room that lacks entries has none: one of them may take back what they show.
    pub(in crate::hub) fn recent(&self, version: Version, after: u64, upto: u64) -> Option<RecentFrames<'_>> {
        self.side(version).recent(after.saturating_add(1)..=upto).filter(|_| !self.is_behind())
    }

    /// Like [`recent`](Self::recent), of a replay of messages: the entries in between have
    /// no frames, or there are none.
    pub(in crate::hub) fn recent_messages(
        &self,
        version: Version,
        after: u64,
        upto: u64,
    ) -> Option<RecentFrames<'_>> {
        let seqs: RangeInclusive<u64> = after.saturating_add(1)..=upto;
        let is_folded = version == Version::V1 || self.side(version).has_only_messages(seqs);
        self.recent(version, after, upto).filter(|_| is_folded)
    }

    /// Bytes of recent frames.
    pub(super) fn recent_bytes(&self) -> usize {
        self.sides.iter().map(Side::recent_bytes).sum()
    }

    /// Drops the recent frames of entries below `first`.
    pub(super) fn forget_before(&mut self, first: u64) {
        if let Some(newest) = &mut self.newest {
            newest.forget_before(first);
        }
        for side in &mut self.sides {
            side.forget_before(first);
        }
    }

    /// Drops the recent frames up to the newest one that may show a text of this message.
    fn take_back(&mut self, target: u64) {
        for side in &mut self.sides {
            #[cfg(feature = "planted-bugs")]
            match self.planted {
                Some(crate::PlantedBug::StaleRecentFrame) => continue,
                Some(crate::PlantedBug::OldEditText) => {
                    side.forget_message(target);
                    continue;
                }
                _ => {}
            }
            side.forget_text_of(target);
        }
    }

    /// Drops the recent frames, unless the room was used since the last call.
    /// Returns how many bytes that frees.
    pub(super) fn spare_or_forget(&mut self) -> usize {
        if std::mem::take(&mut self.is_used) {
            return 0;
        }
        let bytes = self.recent_bytes();
        for side in &mut self.sides {
            side.forget_recent();
        }
        bytes
    }

    // Activity.

    /// Notes an entry for the members that have not joined. Returns whether that opens a
    /// window.
    pub(super) fn note_activity(&mut self, entry: &Entry, seed: Seed) -> bool {
        if self.watchers.is_empty() {
            return false;
        }
        let is_new = self.window.is_none();
        let before = entry.seq.saturating_sub(1);
        self.window.get_or_insert_with(|| Box::new(Window::new(before, seed))).note(entry);
        is_new
    }

    /// Notes that a client of a member knows of the messages up to `known`. Returns whether
    /// that opens a window.
    pub(super) fn know(&mut self, client: ClientRef, known: u64, seed: Seed) -> bool {
        let top = self.feed.top().unwrap_or(known);
        if self.window.is_none() && self.feed.top() == Some(known) {
            return false;
        }
        let is_new = self.window.is_none();
        self.window.get_or_insert_with(|| Box::new(Window::new(top, seed))).know(client, known);
        is_new
    }

    pub(in crate::hub) fn window(&self) -> Option<&Window> {
        self.window.as_deref()
    }

    pub(super) fn window_mut(&mut self) -> Option<&mut Window> {
        self.window.as_deref_mut()
    }

    pub(super) fn close_window(&mut self) {
        self.window = None;
    }

    // The pages that are read.

    /// Notes a page that is being read.
    pub(super) fn begin_read(&mut self, id: ReadId, page: TopicPage, purpose: RoomReadFor) {
        self.reads.push(RoomRead { id, page, purpose });
    }

    pub(super) fn end_read(&mut self, id: ReadId) {
        self.reads.retain(|read| read.id != id);
    }

    pub(in crate::hub) fn is_being_read(&self) -> bool {
        !self.reads.is_empty()
    }

    /// Whether a page is being read for the feed.
    pub(in crate::hub) fn is_feed_being_read(&self) -> bool {
        self.reads.iter().any(|read| read.purpose == RoomReadFor::Feed)
    }

    /// Whether this page is being read; from now on also for `purpose`.
    pub(super) fn shares_read(&mut self, page: TopicPage, purpose: RoomReadFor) -> bool {
        let Some(read) = self.reads.iter_mut().find(|read| read.page == page) else { return false };
        if purpose == RoomReadFor::Feed {
            read.purpose = purpose;
        }
        true
    }

    // Its end.

    /// Whether neither a joined client nor a member needs it.
    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty() && self.watchers.is_empty()
    }

    pub(super) fn is_empty_since(&self, at_ms: u64) -> bool {
        self.empty_since_ms == Some(at_ms)
    }

    /// Starts the time anew after which an empty room is forgotten.
    pub(super) fn restart_idle(&mut self, now_ms: u64) {
        self.empty_since_ms = Some(now_ms);
    }

    fn side(&self, version: Version) -> &Side {
        &self.sides[version as usize]
    }

    fn side_mut(&mut self, version: Version) -> &mut Side {
        &mut self.sides[version as usize]
    }
}
