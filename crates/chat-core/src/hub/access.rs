//! Whether a client's user may read a room: asked before the client gets anything of it.

use super::Hub;
use super::members::member_frame;
use super::options::RoomCreation;
use super::reads::{AccessCheck, Retry};
use super::rooms::{Knowledge, RoomSlot};
use super::users::UserSlot;
use crate::frame::v2::ErrorCode;
use crate::outputs::Outputs;
use crate::{Access, ClientId, CloseCode, RoomAccess};

impl Hub {
    /// Whether the store must be asked before a client joins a room: the room is not known
    /// to be open.
    pub(super) fn must_ask(&self, slot: RoomSlot) -> bool {
        let room = &self.rooms[slot];
        if self.options.ask_before_join {
            return true;
        }
        match room.info() {
            Knowledge::Info(info) => info.access == Access::Closed,
            Knowledge::New => {
                room.name().is_made_by_server()
                    || self.options.room_creation != RoomCreation::Everybody
                    || self.options.room_looks.check_new_name(room.name()).is_err()
            }
            Knowledge::Nothing => true,
        }
    }

    /// Asks the store whether a client's user may read a room.
    pub(super) fn read_access(&mut self, check: AccessCheck, out: &mut Outputs) {
        let Some(client) = self.clients.same(check.client) else { return };
        let user = client.user();
        let user = self.users[user].name().clone();
        self.reads.access(check, user, out);
    }

    /// The store has answered; `None`: it failed.
    pub(super) fn access_read(&mut self, check: AccessCheck, access: Option<&RoomAccess>, out: &mut Outputs) {
        // The room stays in memory while a client waits to join it.
        let Some(slot) = self.rooms.slot_of(&check.room) else { return };
        let Some(access) = access else {
            let at_ms = self.now.mono_ms + self.options.read_retry_ms;
            return self.reads.retry_at(at_ms, Retry::Access(check));
        };
        if *self.rooms[slot].info() == Knowledge::Nothing {
            let info = access.info.clone().map_or(Knowledge::New, Knowledge::Info);
            self.rooms.learn(slot, info);
        }
        let Some(client) = self.clients.same(check.client) else { return };
        let (id, user) = (check.client.id, client.user());
        // A token without a session is another issuer's, who names any user.
        let is_administrator = access.is_administrator && client.is_of_a_session();
        let may_open = self.options.room_creation == RoomCreation::Everybody || is_administrator;
        // A room that was closed since has its members in a change that came meanwhile.
        let is_closed =
            matches!(self.rooms[slot].info(), Knowledge::Info(info) if info.access == Access::Closed);
        let is_allowed = !access.refused
            && access.may_read(&check.room)
            && (access.info.is_some() || may_open)
            && (!is_closed || access.role.is_some());
        // A room that is there keeps a name that no new one may have.
        let bad_name = match &access.info {
            None => self.options.room_looks.check_new_name(&check.room).err(),
            Some(_) => None,
        };
        let Some(join) = self.clients.join_in(id, slot).filter(|join| join.asks(check.question)) else {
            return self.learn_membership(slot, user, access, check.is_over);
        };
        let histories = join.take_histories();
        if join.end_asking(is_allowed && bad_name.is_none()) {
            // The rooms of other users were read with their `hello`.
            if let Some(role) = access.role.filter(|_| !check.is_over)
                && !self.users[user].knows_memberships()
            {
                self.watch(slot, user, role);
            }
            if self.rooms[slot].top().is_none() {
                self.read_newest(slot, out);
            }
            self.catch_up(id, slot, out);
            self.end_deferred(id, histories, None, out);
        } else {
            let bad_name = bad_name.filter(|_| is_allowed).map(|error| error.to_string());
            let refusal = match &bad_name {
                Some(message) => (ErrorCode::BadRequest, message.as_str()),
                None => (ErrorCode::Forbidden, MAY_NOT_READ),
            };
            self.end_deferred(id, histories, Some(refusal), out);
            self.refuse_join(id, slot, refusal, out);
        }
        self.update_pause(id, out);
    }

    /// Notes that a user is a member of an open room, whose change was not published: the
    /// answer to the commit was lost. Nothing is noted of an answer that may be older than
    /// the end of the membership.
    pub(super) fn learn_membership(
        &mut self,
        slot: RoomSlot,
        user: UserSlot,
        access: &RoomAccess,
        is_over: bool,
    ) {
        if let (Some(info), Some(role), false) = (&access.info, access.role, is_over)
            && info.access == Access::Open
            && self.rooms[slot].watcher(user).is_none()
        {
            self.watch(slot, user, role);
            let (room, name) = (self.rooms[slot].name().clone(), self.users[user].name().clone());
            self.send_to_user(&name, &member_frame(&room, info, role));
        }
    }

    /// Refuses a client's join: its user may not read the room, or not open one of this name.
    fn refuse_join(
        &mut self,
        id: ClientId,
        slot: RoomSlot,
        (code, message): (ErrorCode, &str),
        out: &mut Outputs,
    ) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let user = client.user();
        let Some(mut joined) = client.take_room(slot) else { return };
        let is_v2 = joined.join.request().is_some();
        let about = joined.join.take_about();
        self.leave(id, user, joined, out);
        match is_v2 {
            true => self.refuse(id, code, message, &about, None),
            false => self.close(id, CloseCode::Removed, out),
        }
    }
}

/// The message of an error about a room that its user may not read.
pub(super) const MAY_NOT_READ: &str = "you may not read this room";
