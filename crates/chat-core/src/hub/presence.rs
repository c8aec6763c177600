//! Who is in a room, and the notices that come from changes of that.

use super::planted::planted;
use super::{Hub, Now};
use crate::client::{Membership, Position};
use crate::frame::v1;
use crate::outputs::Outputs;
use crate::{ClientId, Output, PresenceChange, Subscription, Username};

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
        if !planted!(self, DeliverAfterLeave) {
            self.rooms[slot].remove_member(id);
        }
        let connections = self.rooms[slot].exit(user, now.mono_ms);
        if self.rooms[slot].empty_since_ms == Some(now.mono_ms) {
            self.emptied.push_back((now.mono_ms, slot));
        }
        let name = self.users[user].name.clone();
        // Each connection has exactly one notice of each kind, also one that
        // was lost before it had its replay.
        if let Position::Behind { .. } = membership.position {
            self.change_presence(slot, &name, true, connections + 1, now, out);
        }
        self.change_presence(slot, &name, false, connections, now, out);
    }

    /// A client is live in a room: everybody there is told.
    pub(super) fn announce(&mut self, id: ClientId, slot: usize, now: Now, out: &mut Outputs) {
        let Some(user) = self.client(id).map(|client| client.user) else { return };
        let name = self.users[user].name.clone();
        let connections = self.rooms[slot].connections_of(user);
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
        let at_s = now.wall_ms / 1000;
        self.notice(slot, user, joined, at_s);
        let room = self.rooms[slot].name.clone();
        out.push(Output::Presence(PresenceChange { room, user: user.clone(), joined, connections, at_s }));
    }

    /// Somebody came or left on another hub.
    pub(super) fn remote_presence(&mut self, change: &PresenceChange) {
        if self.leaving.is_none()
            && let Some(&slot) = self.room_by_name.get(&change.room)
        {
            self.notice(slot, &change.user, change.joined, change.at_s);
        }
    }

    fn notice(&mut self, slot: usize, user: &Username, joined: bool, at_s: u64) {
        let room = &mut self.rooms[slot];
        if !room.has_live() {
            return;
        }
        room.shown_s = room.shown_s.max(at_s);
        self.options.framing.append(&mut room.pending, |out| {
            v1::notice(out, room.name.as_str(), user.as_str(), joined, room.shown_s);
        });
        room.pending_frames += 1;
        self.mark_dirty(slot);
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
            self.recent_bytes -= room.recent.held();
            out.push(Output::Unsubscribe(Subscription::Room(room.name)));
        }
    }
}
