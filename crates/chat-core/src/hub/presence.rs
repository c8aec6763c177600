//! Who is in a room: the notices that v1 clients get for each connection, and
//! the presence of people that v2 clients are told of.

use std::collections::{BTreeMap, VecDeque};

use super::planted::planted;
use super::{Hub, Now};
use crate::client::{Membership, Position, Version};
use crate::frame::v1;
use crate::frame::v2::{PresenceWhat, Reply};
use crate::outputs::Outputs;
use crate::{ClientId, Output, PresenceChange, RoomName, Subscription, Username};

/// The people in one room, on all hubs.
#[derive(Debug, Default)]
pub(super) struct People {
    by_name: BTreeMap<Username, Person>,
    /// When the members were last told how many there are, and whether that
    /// has changed; only in rooms with many people.
    counted_ms: u64,
    count_due: bool,
}

/// Somebody who is in a room, or was until a moment ago.
#[derive(Debug, Default)]
struct Person {
    /// Connections on each hub that has any.
    connections: Vec<(u32, u32)>,
    /// Without a connection since then.
    gone_since_ms: Option<u64>,
}

/// What is to be looked at when its time comes.
#[derive(Debug, Default)]
pub(super) struct PresenceClock {
    /// People without a connection, and since when, in that order.
    gone: VecDeque<(u64, RoomName, Username)>,
    /// Rooms whose count is to be told.
    counts: Vec<RoomName>,
}

impl People {
    pub(super) fn online(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Username> {
        self.by_name.keys()
    }
}

impl Hub {
    /// A member left or was lost.
    pub(super) fn leave(
        &mut self,
        id: ClientId,
        user: usize,
        membership: Membership,
        now: Now,
        out: &mut Outputs,
    ) {
        let slot = membership.room;
        self.users[user].memberships -= 1;
        if !planted!(self, DeliverAfterLeave) {
            self.rooms[slot].remove_member(id);
        }
        let is_announced = match membership.position {
            Position::Behind { announced, .. } => announced,
            Position::Live => true,
        };
        let connections = self.rooms[slot].exit(user, is_announced, now.mono_ms);
        if self.rooms[slot].empty_since_ms == Some(now.mono_ms) {
            self.emptied.push_back((now.mono_ms, slot));
        }
        if membership.request.is_some() {
            // It asked to come in, and was never told that it is.
            return;
        }
        let name = self.users[user].name.clone();
        if !is_announced {
            // Each connection has exactly one notice of each kind, also one that
            // was lost before it had its replay.
            self.change_presence(slot, &name, true, connections + 1, now, out);
        }
        self.change_presence(slot, &name, false, connections, now, out);
    }

    /// A client is in a room: everybody there is told.
    pub(super) fn announce(&mut self, id: ClientId, slot: usize, now: Now, out: &mut Outputs) {
        let Some(user) = self.client(id).map(|client| client.user) else { return };
        let name = self.users[user].name.clone();
        let connections = self.rooms[slot].announce(user);
        self.change_presence(slot, &name, true, connections, now, out);
    }

    fn change_presence(
        &mut self,
        slot: usize,
        user: &Username,
        joined: bool,
        connections: u32,
        now: Now,
        out: &mut Outputs,
    ) {
        if self.leaving.is_some() {
            // The server goes, not the people.
            return;
        }
        let (at_s, room, hub) = (now.wall_ms / 1000, self.rooms[slot].name.clone(), self.options.id);
        let change = PresenceChange { hub, room, user: user.clone(), joined, connections, at_s };
        self.notice(slot, user, joined, at_s);
        self.count(&change, now);
        out.push(Output::Presence(change));
    }

    /// Somebody came or left on another hub.
    pub(super) fn remote_presence(&mut self, change: &PresenceChange, now: Now) {
        if self.leaving.is_some() || change.hub == self.options.id {
            return;
        }
        if let Some(&slot) = self.room_by_name.get(&change.room) {
            self.notice(slot, &change.user, change.joined, change.at_s);
        }
        self.count(change, now);
    }

    /// Another hub is gone, and with it the connections of its people.
    pub(super) fn hub_lost(&mut self, hub: u32, now: Now) {
        let mut lost = Vec::new();
        for (room, people) in &self.people {
            let there = people.by_name.iter().filter(|(_, person)| person.on(hub) > 0);
            lost.extend(there.map(|(user, _)| (room.clone(), user.clone())));
        }
        lost.sort();
        let at_s = now.wall_ms / 1000;
        for (room, user) in lost {
            let change = PresenceChange { hub, room, user, joined: false, connections: 0, at_s };
            self.remote_presence(&change, now);
        }
    }

    fn notice(&mut self, slot: usize, user: &Username, joined: bool, at_s: u64) {
        let room = &mut self.rooms[slot];
        let side = &mut room.sides[Version::V1 as usize];
        if !side.has_live() {
            return;
        }
        room.shown_s = room.shown_s.max(at_s);
        self.options.framing.append(&mut side.pending, |out| {
            v1::notice(out, room.name.as_str(), user.as_str(), joined, room.shown_s);
        });
        side.pending_frames += 1;
        self.mark_dirty(slot);
    }

    /// Counts a user's connections in a room; v2 members are told when they
    /// come with their first, and a while after they lost their last.
    fn count(&mut self, change: &PresenceChange, now: Now) {
        let PresenceChange { hub, room, user, connections, .. } = change;
        if *connections == 0 && !self.people.contains_key(room) {
            return;
        }
        let people = self.people.entry(room.clone()).or_default();
        let is_new = !people.by_name.contains_key(user);
        if is_new && *connections == 0 {
            return;
        }
        let person = people.by_name.entry(user.clone()).or_default();
        person.connections.retain(|(other, _)| other != hub);
        if *connections > 0 {
            person.connections.push((*hub, *connections));
        }
        if person.connections.is_empty() {
            person.gone_since_ms = Some(now.mono_ms);
            self.presence_clock.gone.push_back((now.mono_ms, room.clone(), user.clone()));
        } else {
            person.gone_since_ms = None;
        }
        if is_new {
            self.show_presence(room, user, true, now);
        }
    }

    /// Tells the v2 members of a room that somebody came or is gone, or how
    /// many people there are, if there are many.
    fn show_presence(&mut self, room: &RoomName, user: &Username, online: bool, now: Now) {
        let Some(people) = self.people.get_mut(room) else { return };
        let Some(&slot) = self.room_by_name.get(room) else { return };
        if people.online() > self.options.members_max {
            if !std::mem::replace(&mut people.count_due, true) {
                self.presence_clock.counts.push(room.clone());
            }
            self.tell_counts(now);
        } else {
            self.tell_members(slot, PresenceWhat::User { user: user.as_str(), online });
        }
    }

    /// Tells the counts that are due, each room's at most once in a while.
    fn tell_counts(&mut self, now: Now) {
        for room in std::mem::take(&mut self.presence_clock.counts) {
            let Some(people) = self.people.get_mut(&room) else { continue };
            if people.counted_ms + self.options.count_every_ms > now.mono_ms {
                self.presence_clock.counts.push(room);
                continue;
            }
            (people.counted_ms, people.count_due) = (now.mono_ms, false);
            let online = people.online();
            if let Some(&slot) = self.room_by_name.get(&room) {
                self.tell_members(slot, PresenceWhat::Count { online });
            }
        }
    }

    /// A presence frame for the v2 members, those that replay included.
    fn tell_members(&mut self, slot: usize, what: PresenceWhat<'_>) {
        let room = &mut self.rooms[slot];
        let side = &mut room.sides[Version::V2 as usize];
        if side.is_empty() {
            return;
        }
        self.scratch.clear();
        let frame = Reply::Presence { room: room.name.as_str(), what };
        self.options.framing.append(&mut self.scratch, |out| frame.write(out));
        let behind = side.behind.clone();
        if side.has_live() {
            side.pending.extend_from_slice(&self.scratch);
            side.pending_frames += 1;
            self.mark_dirty(slot);
        }
        for member in behind {
            let told = self.client_mut(member).is_some_and(|client| client.was_told_of(slot));
            if told {
                self.own_from_scratch(member);
            }
        }
    }

    /// Looks after what has become due.
    pub(super) fn tick_presence(&mut self, now: Now) {
        while self
            .presence_clock
            .gone
            .front()
            .is_some_and(|(at, _, _)| at + self.options.offline_after_ms <= now.mono_ms)
            && let Some((at_ms, room, user)) = self.presence_clock.gone.pop_front()
        {
            let Some(people) = self.people.get_mut(&room) else { continue };
            if people.by_name.get(&user).is_some_and(|person| person.gone_since_ms == Some(at_ms)) {
                people.by_name.remove(&user);
                self.show_presence(&room, &user, false, now);
                if self.people.get(&room).is_some_and(|people| people.by_name.is_empty()) {
                    self.people.remove(&room);
                }
            }
        }
        self.tell_counts(now);
    }

    /// Forgets the rooms that nobody has been in for a while.
    pub(super) fn forget_idle_rooms(&mut self, now_ms: u64, out: &mut Outputs) {
        // At most those that are in line now: some go to its end.
        for _ in 0..self.emptied.len() {
            let Some(&(at_ms, slot)) = self.emptied.front() else { return };
            if at_ms + self.options.room_idle_ms > now_ms {
                return;
            }
            self.emptied.pop_front();
            let Some(room) = self.rooms.get_mut(slot).filter(|room| room.empty_since_ms == Some(at_ms))
            else {
                continue;
            };
            if !room.reads.is_empty() {
                // The answer must find its room.
                room.empty_since_ms = Some(now_ms);
                self.emptied.push_back((now_ms, slot));
                continue;
            }
            let room = self.rooms.remove(slot);
            self.room_by_name.remove(&room.name);
            self.recent_bytes -= room.held();
            out.push(Output::Unsubscribe(Subscription::Room(room.name)));
        }
    }
}

impl Person {
    /// Connections on one hub.
    fn on(&self, hub: u32) -> u32 {
        self.connections.iter().find(|(other, _)| *other == hub).map_or(0, |(_, count)| *count)
    }
}
