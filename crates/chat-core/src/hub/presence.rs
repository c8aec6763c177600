//! Who is in a room: the notices that v1 clients get for each connection, and
//! the presence of users that v2 clients get.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;

use super::Hub;
use super::client::Client;
use super::rooms::RoomSlot;
use crate::frame::Version;
use crate::frame::v1::Notice;
use crate::frame::v2::{PresenceWhat, Reply};
use crate::outputs::Outputs;
use crate::seed::Seed;
use crate::{ClientId, Output, PresenceChange, PresenceKind, RoomName, Username};

/// The users in each room, on all hubs, and which changes are to be shown later.
pub(super) struct Presence {
    rooms: HashMap<RoomName, People, Seed>,
    /// Users without a connection to a room, with the time in milliseconds since
    /// when, in that order.
    disconnected: VecDeque<(u64, RoomName, Username)>,
    /// Rooms whose number of users is to be shown.
    counts_due: Vec<RoomName>,
}

/// The users in one room.
#[derive(Debug, Default)]
struct People {
    by_name: BTreeMap<Username, Person>,
    /// When the number of users was last shown, in milliseconds.
    counted_ms: u64,
    /// Whether the list of rooms whose number is to be shown has this one.
    is_count_due: bool,
}

/// A user who is in a room, or was until a moment ago.
#[derive(Debug, Default)]
struct Person {
    /// How many connections to the room there are on each hub that has any.
    connections: Vec<(u32, u32)>,
    /// When the last connection was lost, in milliseconds.
    disconnected_ms: Option<u64>,
}

impl Presence {
    pub(super) fn new(seed: Seed) -> Self {
        Self { rooms: HashMap::with_hasher(seed), disconnected: VecDeque::new(), counts_due: Vec::new() }
    }

    /// How many users are in a room, and the names of at most `max` of them.
    pub(super) fn people_in(&self, room: &RoomName, max: usize) -> (usize, Vec<Username>) {
        match self.rooms.get(room) {
            Some(people) => (people.online(), people.by_name.keys().take(max).cloned().collect()),
            None => (0, Vec::new()),
        }
    }

    /// The rooms with connected users on any hub, and how many.
    pub(super) fn rooms(&self) -> impl Iterator<Item = (&RoomName, usize)> {
        let connected = |people: &People| people.connected().count();
        self.rooms.iter().map(move |(room, people)| (room, connected(people))).filter(|(_, count)| *count > 0)
    }

    /// The users who are connected to a room on any hub, for each room.
    pub(super) fn users(&self) -> impl Iterator<Item = &Username> {
        self.rooms.values().flat_map(People::connected)
    }

    /// Counts the connections of a user to a room on one hub. Returns whether the
    /// user was not in the room before.
    fn count(&mut self, change: &PresenceChange, now_ms: u64) -> bool {
        let PresenceChange { hub, room, user, connections, .. } = change;
        if *connections == 0 && !self.rooms.get(room).is_some_and(|people| people.by_name.contains_key(user))
        {
            return false;
        }
        let people = self.rooms.entry(room.clone()).or_default();
        let is_new = !people.by_name.contains_key(user);
        let person = people.by_name.entry(user.clone()).or_default();
        person.connections.retain(|(other, _)| other != hub);
        if *connections > 0 {
            person.connections.push((*hub, *connections));
        }
        if person.connections.is_empty() {
            person.disconnected_ms = Some(now_ms);
            self.disconnected.push_back((now_ms, room.clone(), user.clone()));
        } else {
            person.disconnected_ms = None;
        }
        is_new
    }

    /// Removes a user who has had no connection to a room for `after_ms`. Returns
    /// the room and the user; `None` once there are no more.
    fn next_offline(&mut self, after_ms: u64, now_ms: u64) -> Option<(RoomName, Username)> {
        while let Some((at_ms, room, user)) =
            self.disconnected.pop_front_if(|(at_ms, ..)| *at_ms + after_ms <= now_ms)
        {
            let Some(people) = self.rooms.get_mut(&room) else { continue };
            if people.by_name.get(&user).is_some_and(|person| person.disconnected_ms == Some(at_ms)) {
                people.by_name.remove(&user);
                return Some((room, user));
            }
        }
        None
    }

    /// Forgets a room in which there are no users.
    fn forget_if_empty(&mut self, room: &RoomName) {
        if self.rooms.get(room).is_some_and(|people| people.by_name.is_empty()) {
            self.rooms.remove(room);
        }
    }

    /// The users with connections on a hub, by room, in order.
    fn on_hub(&self, hub: u32) -> Vec<(RoomName, Username)> {
        let mut found = Vec::new();
        for (room, people) in &self.rooms {
            let there = people.by_name.iter().filter(|(_, person)| person.is_on(hub));
            found.extend(there.map(|(user, _)| (room.clone(), user.clone())));
        }
        found.sort();
        found
    }

    /// Notes that the number of users in a room is to be shown.
    fn note_count_due(&mut self, room: &RoomName) {
        if let Some(people) = self.rooms.get_mut(room)
            && !std::mem::replace(&mut people.is_count_due, true)
        {
            self.counts_due.push(room.clone());
        }
    }

    /// The numbers of users that are to be shown now, each room's at most once in
    /// `every_ms`.
    fn take_counts(&mut self, every_ms: u64, now_ms: u64) -> Vec<(RoomName, usize)> {
        let mut counts = Vec::new();
        self.counts_due.retain(|room| {
            let Some(people) = self.rooms.get_mut(room) else { return false };
            if people.counted_ms + every_ms > now_ms {
                return true;
            }
            (people.counted_ms, people.is_count_due) = (now_ms, false);
            counts.push((room.clone(), people.online()));
            false
        });
        counts
    }
}

impl People {
    /// The users who have a connection at this moment.
    fn connected(&self) -> impl Iterator<Item = &Username> {
        self.by_name.iter().filter(|(_, person)| !person.connections.is_empty()).map(|(user, _)| user)
    }

    fn online(&self) -> usize {
        self.by_name.len()
    }
}

impl Person {
    fn is_on(&self, hub: u32) -> bool {
        self.connections.iter().any(|(other, _)| *other == hub)
    }
}

impl Hub {
    /// Announces that a client has joined a room.
    pub(super) fn announce(&mut self, id: ClientId, slot: RoomSlot, out: &mut Outputs) {
        let Some(user) = self.clients.get(id).map(Client::user) else { return };
        let name = self.users[user].name().clone();
        let connections = self.rooms.announce(slot, user);
        self.change_presence(slot, &name, Notice::Joined, connections, out);
    }

    /// Announces that a user has one connection to a room more or fewer:
    /// `connections` by now.
    pub(super) fn change_presence(
        &mut self,
        slot: RoomSlot,
        user: &Username,
        notice: Notice,
        connections: u32,
        out: &mut Outputs,
    ) {
        if self.drain.has_begun() {
            // The server leaves, not the users.
            return;
        }
        let (at_s, room, hub) = (self.now.wall_ms / 1000, self.rooms[slot].name().clone(), self.options.id);
        let kind = match notice {
            Notice::Joined => PresenceKind::Joined,
            Notice::Left => PresenceKind::Left,
        };
        let change = PresenceChange { hub, room, user: user.clone(), kind, connections, at_s };
        self.rooms.notice(slot, user, notice, at_s);
        self.count_presence(&change);
        out.push(Output::Presence(change));
    }

    /// A client has joined or left a room on another hub.
    pub(super) fn remote_presence(&mut self, change: &PresenceChange) {
        if self.drain.has_begun() || change.hub == self.options.id {
            return;
        }
        if let Some(slot) = self.rooms.slot_of(&change.room) {
            let notice = match change.kind {
                PresenceKind::Joined => Notice::Joined,
                PresenceKind::Left => Notice::Left,
            };
            self.rooms.notice(slot, &change.user, notice, change.at_s);
        }
        self.count_presence(change);
    }

    /// A client was in a room on another hub before this one could hear of it.
    pub(super) fn remote_present(&mut self, change: &PresenceChange) {
        if !self.drain.has_begun() && change.hub != self.options.id {
            self.count_presence(change);
        }
    }

    /// Another hub is lost, and all connections on it.
    pub(super) fn hub_lost(&mut self, hub: u32) {
        let at_s = self.now.wall_ms / 1000;
        for (room, user) in self.presence.on_hub(hub) {
            let change = PresenceChange { hub, room, user, kind: PresenceKind::Left, connections: 0, at_s };
            self.remote_presence(&change);
        }
    }

    fn count_presence(&mut self, change: &PresenceChange) {
        if self.presence.count(change, self.now.mono_ms) {
            let user = change.user.as_str();
            self.show_presence(&change.room, PresenceWhat::User { user, online: true });
        }
    }

    /// Shows the v2 clients of a room that a user came or is gone; where there are
    /// many users, how many there are.
    fn show_presence(&mut self, room: &RoomName, what: PresenceWhat<'_>) {
        let Some(slot) = self.rooms.slot_of(room) else { return };
        if self.presence.people_in(room, 0).0 > self.options.members_max {
            self.presence.note_count_due(room);
            self.show_counts();
        } else {
            self.send_presence(slot, what);
        }
    }

    /// Shows the numbers of users that are due.
    fn show_counts(&mut self) {
        for (room, online) in self.presence.take_counts(self.options.count_every_ms, self.now.mono_ms) {
            if let Some(slot) = self.rooms.slot_of(&room) {
                self.send_presence(slot, PresenceWhat::Count { online });
            }
        }
    }

    /// Queues a presence frame for the v2 clients of a room, those that replay
    /// included.
    fn send_presence(&mut self, slot: RoomSlot, what: PresenceWhat<'_>) {
        let room = &self.rooms[slot];
        if !room.has_clients(Version::V2) {
            return;
        }
        self.scratch.clear();
        let frame = Reply::Presence { room: room.name().as_str(), what };
        self.options.framing.append(&mut self.scratch, |out| frame.write(out));
        self.rooms.queue(slot, Version::V2, &self.scratch);
        for &id in self.rooms[slot].joining_of(Version::V2) {
            let is_answered = self.clients.join_in(id, slot).is_some_and(|join| join.request().is_none());
            if is_answered {
                self.clients.queue(id, &self.scratch);
            }
        }
    }

    /// Shows the changes of presence whose time has come.
    pub(super) fn tick_presence(&mut self) {
        let (after_ms, now_ms) = (self.options.offline_after_ms, self.now.mono_ms);
        while let Some((room, user)) = self.presence.next_offline(after_ms, now_ms) {
            self.show_presence(&room, PresenceWhat::User { user: user.as_str(), online: false });
            self.presence.forget_if_empty(&room);
        }
        self.show_counts();
    }
}
