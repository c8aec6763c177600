//! Members of rooms: which rooms the hub watches for its users, and what becomes of
//! clients when a room or its members change.

use std::sync::Arc;

use super::Hub;
use super::access::MAY_NOT_READ;
use super::client::ClientRef;
use super::planted::planted;
use super::reads::Retry;
use super::rooms::{Knowledge, RoomSlot, Watcher};
use super::users::UserSlot;
use crate::frame::Version;
use crate::frame::v2::{ErrorCode, LeftReason, Reply, RoomWhat};
use crate::outputs::Outputs;
use crate::{
    Access, ClientId, CloseCode, Membership, Memberships, Role, RoomChange, RoomInfo, RoomName, Topic,
    Username,
};

impl Hub {
    // The rooms that the hub watches.

    /// Reads the rooms of a client's user, for its `hello`.
    pub(super) fn read_memberships(&mut self, client: ClientRef, out: &mut Outputs) {
        let Some(found) = self.clients.same(client) else { return };
        let user = found.user();
        let name = self.users[user].name().clone();
        let (limit, counted) = (self.options.user_memberships_max, self.options.hello_rooms);
        self.reads.memberships(client, name, limit, counted, out);
    }

    /// The rooms of a client's user were read; `None` if the store failed.
    pub(super) fn memberships_read(
        &mut self,
        client: ClientRef,
        memberships: Option<&Memberships>,
        out: &mut Outputs,
    ) {
        let Some(found) = self.clients.same(client) else { return };
        let user = found.user();
        let Some(memberships) = memberships else {
            let at_ms = self.now.mono_ms + self.options.read_retry_ms;
            return self.reads.retry_at(at_ms, Retry::Memberships(client));
        };
        let changes = self.clients.v2(client.id).map(|v2| v2.changes_since_opened().to_vec());
        let changes = changes.unwrap_or_default();
        if self.users[user].knows_memberships() {
            let name = self.users[user].name().clone();
            // Members that a migration adds in the background are in no change.
            let is_missing = |membership: &&Membership| {
                let slot = self.rooms.slot_of(&membership.room);
                slot.is_none_or(|slot| self.rooms[slot].watcher(user).is_none())
                    && !changes.iter().any(|change| {
                        matches!(change, RoomChange::Gone { room, user, .. }
                            if *room == membership.room && *user == name)
                    })
            };
            let missing: Vec<Membership> = memberships.rooms.iter().filter(is_missing).cloned().collect();
            self.watch_all(user, &missing, out);
            for membership in &missing {
                self.show_membership(client, user, membership);
            }
        } else {
            self.users.know_memberships(user);
            self.watch_all(user, &memberships.rooms, out);
            // Changes that came meanwhile are newer than the answer, or in it.
            for change in &changes {
                self.apply_to_watchers(change, out);
            }
        }
        if let Some(v2) = self.clients.v2(client.id) {
            v2.set_memberships(memberships.clone());
        }
        self.greet(client, out);
    }

    /// Watches the rooms of a user. How far the rooms are that the hub did not have is read
    /// once more, because entries may have been committed before the hub was subscribed.
    fn watch_all(&mut self, user: UserSlot, memberships: &[Membership], out: &mut Outputs) {
        let mut added = Vec::new();
        for membership in memberships {
            let slot = self.rooms.slot_of(&membership.room).unwrap_or_else(|| {
                added.push(membership.room.clone());
                self.add_room(&membership.room, out)
            });
            if *self.rooms[slot].info() == Knowledge::Nothing {
                self.rooms.learn(slot, Knowledge::Info(Arc::clone(&membership.info)));
            }
            if !self.rooms[slot].is_being_read() {
                self.rooms.start_at(slot, membership.top, membership.at_ms);
            }
            self.watch(slot, user, membership.role);
        }
        if !added.is_empty() {
            self.read_tops(added, out);
        }
    }

    /// Shows the user's other clients a membership of which the hub learned only by the
    /// `hello` of this one: no change told them of it.
    fn show_membership(&mut self, client: ClientRef, user: UserSlot, membership: &Membership) {
        let Membership { room, info, role, top, .. } = membership;
        // At the cap the hub does not watch it, and would show it with each `hello`.
        if self.rooms.slot_of(room).is_none_or(|slot| self.rooms[slot].watcher(user).is_none()) {
            return;
        }
        let name = self.users[user].name().clone();
        self.send_to_user(&name, &member_frame(room, info, *role));
        let change = RoomChange::Member {
            room: room.clone(),
            user: name,
            role: *role,
            info: Arc::clone(info),
            top: *top,
        };
        for id in self.users[user].clients().to_vec() {
            if id != client.id
                && let Some(v2) = self.clients.v2(id)
            {
                v2.note_change(&change);
            }
        }
    }

    /// Notes that a user with a client here is a member of a room in memory.
    pub(super) fn watch(&mut self, slot: RoomSlot, user: UserSlot, role: Role) {
        if self.users[user].clients().is_empty()
            || self.users[user].watched() >= self.options.user_memberships_max
        {
            return;
        }
        let is_new = self.rooms[slot].watcher(user).is_none();
        self.users.watch(user, slot);
        self.rooms.watch(slot, user, Watcher { role });
        if is_new {
            for id in self.users[user].clients().to_vec() {
                self.know_room(id, slot);
            }
        }
    }

    fn unwatch(&mut self, slot: RoomSlot, user: UserSlot) {
        self.users.unwatch(user, slot);
        self.rooms.unwatch(slot, user, self.now.mono_ms);
    }

    /// The last client of a user is gone: its rooms are not watched for it any more.
    pub(super) fn unwatch_all(&mut self, user: UserSlot) {
        for slot in self.users.forget_memberships(user) {
            self.rooms.unwatch(slot, user, self.now.mono_ms);
        }
    }

    /// Reads how far rooms are to which the hub has subscribed.
    pub(super) fn read_tops(&mut self, rooms: Vec<RoomName>, out: &mut Outputs) {
        self.reads.tops(rooms, out);
    }

    /// It was read how far rooms are; `None` if the store failed.
    pub(super) fn tops_read(&mut self, rooms: Vec<RoomName>, tops: Option<&[u64]>, out: &mut Outputs) {
        let Some(tops) = tops else {
            let at_ms = self.now.mono_ms + self.options.read_retry_ms;
            return self.reads.retry_at(at_ms, Retry::Tops(rooms));
        };
        for (room, &top) in rooms.into_iter().zip(tops) {
            if top > 0 {
                self.note_committed(&Topic::Room(room), top, out);
            }
        }
    }

    /// The log stored a message of a user in a room: the user is a member. Of a user whose
    /// rooms were read, the hub asks the store for the role instead, and shows it.
    pub(super) fn sender_is_member(&mut self, room: &RoomName, user: UserSlot) {
        if self.users[user].knows_memberships() {
            return;
        }
        if let Some(slot) = self.rooms.slot_of(room)
            && self.rooms[slot].watcher(user).is_none()
        {
            self.watch(slot, user, Role::Member);
        }
    }

    /// Whether the store must look up the room and the membership of a sender.
    pub(super) fn must_check(&self, room: &RoomName, user: UserSlot) -> bool {
        self.rooms.slot_of(room).is_none_or(|slot| {
            let room = &self.rooms[slot];
            !room.is_open_to_all() || room.watcher(user).is_none()
        })
    }

    // Changes.

    /// A room or its members were changed.
    pub(super) fn room_changed(&mut self, change: &RoomChange, out: &mut Outputs) {
        self.clients.note_change(change, &self.users);
        self.apply_to_watchers(change, out);
        match change {
            RoomChange::Info { room, info, members, .. } => {
                if info.access == Access::Closed
                    && !planted!(self, CheckAtJoinOnly)
                    && let Some(slot) = self.rooms.slot_of(room)
                {
                    // Without the list of members the room was closed before.
                    if let Some(members) = members {
                        self.reads.end_memberships(room, None);
                        let users: Vec<UserSlot> = self.rooms[slot].joined_users().collect();
                        for user in users {
                            if !members.contains(self.users[user].name()) {
                                self.remove_from_room(slot, user, LeftReason::Closed, out);
                            }
                        }
                        let watchers: Vec<UserSlot> =
                            self.rooms[slot].watchers().map(|(user, _)| user).collect();
                        for user in watchers {
                            if !members.contains(self.users[user].name()) {
                                self.unwatch(slot, user);
                            }
                        }
                    }
                }
                self.show_info(room, info);
            }
            RoomChange::Member { room, user, role, info, .. } => {
                self.send_to_user(user, &member_frame(room, info, *role));
            }
            RoomChange::Gone { room, user, reason, access, .. } => {
                if *access == Access::Closed
                    && let (Some(slot), Some(user)) = (self.rooms.slot_of(room), self.users.slot_of(user))
                    && !planted!(self, DeliverAfterRemoval)
                {
                    self.remove_from_room(slot, user, (*reason).into(), out);
                }
                self.reads.end_memberships(room, Some(self.users.clients_of(user)));
                self.forget_mark(user, room);
                self.send_to_user(user, &gone_frame(room));
            }
        }
    }

    /// Keeps what the hub knows of a room and its members current.
    fn apply_to_watchers(&mut self, change: &RoomChange, out: &mut Outputs) {
        match change {
            RoomChange::Info { room, info, .. } => {
                if let Some(slot) = self.rooms.slot_of(room) {
                    self.rooms.learn(slot, Knowledge::Info(Arc::clone(info)));
                }
            }
            RoomChange::Member { room, user, role, info, top } => {
                let slot = self.rooms.slot_of(room);
                if let Some(slot) = slot {
                    self.rooms.learn(slot, Knowledge::Info(Arc::clone(info)));
                }
                let Some(user) = self.users.slot_of(user) else { return };
                let slot = match slot {
                    Some(slot) => slot,
                    // Also while the user has v1 clients only: the next v2 client relies on it.
                    None if self.users[user].knows_memberships() => {
                        let slot = self.add_room(room, out);
                        self.rooms.learn(slot, Knowledge::Info(Arc::clone(info)));
                        self.rooms.start_at(slot, *top, self.now.wall_ms);
                        self.read_tops(vec![room.clone()], out);
                        slot
                    }
                    None => return,
                };
                self.watch(slot, user, *role);
            }
            RoomChange::Gone { room, user, .. } => {
                if let (Some(slot), Some(user)) = (self.rooms.slot_of(room), self.users.slot_of(user)) {
                    self.unwatch(slot, user);
                }
            }
        }
    }

    /// Shows the changed title or access of a room to the clients of its members.
    fn show_info(&mut self, room: &RoomName, info: &RoomInfo) {
        let Some(slot) = self.rooms.slot_of(room) else { return };
        let watchers: Vec<_> = self.rooms[slot].watchers().collect();
        for (user, watcher) in watchers {
            let name = self.users[user].name().clone();
            self.send_to_user(&name, &member_frame(room, info, watcher.role));
        }
    }

    /// Sends a frame to the v2 clients of a user that were sent their `hello`.
    pub(super) fn send_to_user(&mut self, user: &Username, reply: &Reply<'_>) {
        for id in self.greeted_clients_of(user) {
            self.reply(id, reply);
        }
    }

    /// The v2 clients of a user that were sent their `hello`.
    pub(super) fn greeted_clients_of(&self, user: &Username) -> Vec<ClientId> {
        let is_greeted = |&id: &ClientId| {
            self.clients.get(id).is_some_and(|client| {
                client.version() == Version::V2 && !client.is_closed() && !client.is_being_greeted()
            })
        };
        self.users.clients_of(user).iter().copied().filter(is_greeted).collect()
    }

    /// Takes all clients of a user out of a room that the user may not read any more.
    /// Nothing of the room is put out for them from here on.
    fn remove_from_room(&mut self, slot: RoomSlot, user: UserSlot, reason: LeftReason, out: &mut Outputs) {
        let room = self.rooms[slot].name().clone();
        for id in self.users[user].clients().to_vec() {
            let Some(client) = self.clients.get_mut(id) else { continue };
            let version = client.version();
            let Some(join) = client.join_in(slot) else { continue };
            if join.is_asking() {
                // The answer may be older than this change.
                join.refuse();
                continue;
            }
            if version == Version::V1 {
                self.close(id, CloseCode::Removed, out);
                continue;
            }
            // What was delivered until now belongs to the client's stay.
            self.rooms.flush(slot, out);
            let Some(client) = self.clients.get_mut(id) else { continue };
            let Some(joined) = client.take_room(slot) else { continue };
            if let Some(request) = joined.join.request() {
                self.refuse(id, ErrorCode::Forbidden, MAY_NOT_READ, &request.about, None);
            }
            self.leave(id, user, joined, out);
            let reason = Some(reason);
            self.reply(id, &Reply::Left { room: room.as_str(), reason, reference: None });
            self.flush_client(id, out);
            if let Some(client) = self.clients.get_mut(id) {
                client.must_take_by(self.now.mono_ms + self.options.removal_timeout_ms);
            }
        }
    }

    /// Cuts the clients off that have not taken in time that they may not read a room.
    pub(super) fn cut_off_removed(&mut self, out: &mut Outputs) {
        for id in self.clients.overdue_removals(self.now.mono_ms) {
            self.close(id, CloseCode::CutOff, out);
        }
        self.clients.forget_taken_removals();
    }
}

/// The frame for a member of a room that has changed, or of which the user is new.
pub(super) fn member_frame<'a>(room: &'a RoomName, info: &'a RoomInfo, role: Role) -> Reply<'a> {
    let RoomInfo { title, access, archived, .. } = info;
    let what = RoomWhat::Member { title, access: *access, archived: *archived, role };
    Reply::Room { room: room.as_str(), what }
}

/// The frame for a user who is no member of a room any more.
fn gone_frame(room: &RoomName) -> Reply<'_> {
    Reply::Room { room: room.as_str(), what: RoomWhat::Gone { member: false } }
}

/// The frame that shows a change to one user, who is a member with a role in the changed
/// room, or not.
pub(super) fn change_frame<'a>(
    change: &'a RoomChange,
    user: &Username,
    role: Option<Role>,
) -> Option<Reply<'a>> {
    match change {
        RoomChange::Info { room, info, .. } => role.map(|role| member_frame(room, info, role)),
        RoomChange::Member { room, user: member, role, info, .. } => {
            (member == user).then(|| member_frame(room, info, *role))
        }
        RoomChange::Gone { room, user: member, .. } => (member == user).then(|| gone_frame(room)),
    }
}
