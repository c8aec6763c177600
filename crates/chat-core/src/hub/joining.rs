//! Rooms that clients join and leave.

use super::Hub;
use super::join::{Continuity, Join, JoinOrigin, JoinRequest, JoinedRoom, Recovery};
use super::planted::planted;
use super::reads::{AccessCheck, TopicPage};
use super::replies::RETRY_AFTER_S;
use super::rooms::{Announced, RoomReadFor, RoomSlot};
use super::users::UserSlot;
use crate::frame::Version;
use crate::frame::v1::Notice;
use crate::frame::v2::{About, ErrorCode, Reply};
use crate::outputs::Outputs;
use crate::{ClientId, Output, RoomName, Subscription, Username};

impl Hub {
    /// A v2 client requests to join a room.
    pub(super) fn join_request(
        &mut self,
        id: ClientId,
        room: &RoomName,
        request: JoinRequest,
        out: &mut Outputs,
    ) {
        let about = &request.about;
        if self.has_joined(id, room) {
            return self.refuse(id, ErrorCode::AlreadyJoined, "this room is joined already", about, None);
        }
        let Some(client) = self.clients.get(id) else { return };
        if client.rooms().len() >= self.options.client_rooms_max
            || self.users[client.user()].joined_rooms() >= self.options.user_rooms_max
        {
            let message = "too many rooms: leave another one";
            return self.refuse(id, ErrorCode::TooManyRooms, message, about, None);
        }
        self.join(id, room, JoinOrigin::V2(Box::new(request)), out);
    }

    /// A v2 client requests to leave a room.
    pub(super) fn leave_request(&mut self, id: ClientId, room: &RoomName, about: &About, out: &mut Outputs) {
        let joined = self.rooms.slot_of(room).and_then(|slot| {
            let client = self.clients.get_mut(id)?;
            Some((client.user(), client.take_room(slot)?))
        });
        let Some((user, joined)) = joined else {
            return self.refuse(id, ErrorCode::NotJoined, "this room is not joined", about, None);
        };
        // What was delivered until now belongs to the client's stay.
        self.rooms.flush(joined.room, out);
        if let Some(request) = joined.join.request() {
            self.refuse(id, ErrorCode::NotJoined, "left before it was joined", &request.about, None);
        }
        self.leave(id, user, joined, out);
        self.reply(id, &Reply::Left { room: room.as_str(), reason: None, reference: about.reference() });
    }

    /// Whether a client has joined a room or is about to.
    pub(super) fn has_joined(&mut self, id: ClientId, room: &RoomName) -> bool {
        self.rooms.slot_of(room).is_some_and(|slot| self.clients.join_in(id, slot).is_some())
    }

    /// Lets a client join a room; its replay comes first.
    pub(super) fn join(&mut self, id: ClientId, room: &RoomName, origin: JoinOrigin, out: &mut Outputs) {
        let slot = self.rooms.slot_of(room).unwrap_or_else(|| self.add_room(room, out));
        let (number, asks) = (self.reads.next_question(), self.must_ask(slot));
        let Some(client) = self.clients.get_mut(id) else { return };
        client.join(slot, origin, number, asks, self.now.mono_ms);
        let client = client.reference();
        self.enter_room(id, slot);
        // Rooms with names that the server makes are read for those who may.
        if self.rooms[slot].top().is_none() && !room.is_made_by_server() {
            self.read_newest(slot, out);
        }
        match asks {
            true => {
                let room = room.clone();
                self.read_access(AccessCheck { client, room, question: number, is_over: false }, out);
            }
            false => self.catch_up(id, slot, out),
        }
    }

    fn enter_room(&mut self, id: ClientId, slot: RoomSlot) {
        let Some(client) = self.clients.get(id) else { return };
        self.users.enter_room(client.user());
        self.rooms.enter(slot, id, client.user(), client.version());
    }

    /// Adds a room that the hub does not have. The hub is subscribed to it before the log
    /// is read: no entry can fall between the two.
    pub(super) fn add_room(&mut self, name: &RoomName, out: &mut Outputs) -> RoomSlot {
        let slot = self.rooms.add(name, self.now.mono_ms);
        out.push(Output::Subscribe(Subscription::Room(name.clone())));
        slot
    }

    /// A client has left a room, or its connection is lost.
    pub(super) fn leave(&mut self, id: ClientId, user: UserSlot, joined: JoinedRoom, out: &mut Outputs) {
        let JoinedRoom { room: slot, mut join, .. } = joined;
        self.users.leave_room(user);
        if join.is_asking() {
            // The client was never in the room.
            self.rooms.leave(slot, id, user, Announced::No, self.now.mono_ms);
            let refusal = (ErrorCode::NotJoined, "left before it was joined");
            return self.end_deferred(id, join.take_histories(), Some(refusal), out);
        }
        let announced = join.announced();
        let connections = self.rooms.leave(slot, id, user, announced, self.now.mono_ms);
        if planted!(self, DeliverAfterLeave)
            && join.is_live()
            && let Some(client) = self.clients.get(id)
        {
            self.rooms.go_live(slot, id, client.version());
        }
        if join.request().is_some() {
            // It was never sent that it has joined, nor were the others.
            return;
        }
        self.know_room(id, slot);
        let name = self.users[user].name().clone();
        self.typist_left(id, slot, &name, out);
        if announced == Announced::No {
            // Each connection has exactly one notice of each kind, also one that
            // is lost before its replay has ended.
            self.change_presence(slot, &name, Notice::Joined, connections + 1, out);
        }
        self.change_presence(slot, &name, Notice::Left, connections, out);
    }

    /// Decides how a v2 client's join is answered, now that it is known how far the
    /// room is; for that, a page may have to be read first.
    pub(super) fn answer_join(&mut self, id: ClientId, slot: RoomSlot, top: u64, out: &mut Outputs) {
        if !self.can_take_replay(id, out) {
            return;
        }
        let Some(join) = self.clients.join_in(id, slot) else { return };
        if let Some(request) = join.request()
            && request.fold
            && self.rooms[slot].newest_after(request.limit_or(self.options.join_replay_entries)).is_none()
        {
            return self.read_newest(slot, out);
        }
        let since = match join.request().and_then(|request| request.resume.as_ref()) {
            Some(resume)
                if *resume.epoch == *self.options.epoch
                    && top.saturating_sub(resume.since) <= self.options.resume_max_messages =>
            {
                resume.since
            }
            _ => return self.send_joined(id, slot, Recovery::Newest, top, out),
        };
        if since == top || self.rooms[slot].recent(Version::V2, since, top).is_some() {
            return self.send_joined(id, slot, Recovery::Complete { since }, top, out);
        }
        join.check(since);
        self.read_room(slot, TopicPage::After(since), RoomReadFor::Clients, out);
    }

    /// Answers a v2 client's join, and announces the client to the others. From
    /// here on it is replaying.
    pub(super) fn send_joined(
        &mut self,
        id: ClientId,
        slot: RoomSlot,
        recovery: Recovery,
        top: u64,
        out: &mut Outputs,
    ) {
        self.announce(id, slot, out);
        let (epoch, now_ms) = (self.options.epoch.clone(), self.now.mono_ms);
        let Some(join) = self.clients.join_in(id, slot) else { return };
        let request = join.request();
        let default = self.options.join_replay_entries;
        let limit = request.map_or(default, |request| request.limit_or(default));
        // How many are wanted was known when the join was judged.
        let fold_after = request.filter(|request| request.fold);
        let fold_after = fold_after.map(|_| self.rooms[slot].newest_after(limit).unwrap_or(top));
        let about = match recovery {
            Recovery::Complete { since } => {
                let progress_ms = join.progress_ms().unwrap_or(now_ms);
                join.begin_replay(since, Continuity::Required, None, progress_ms)
            }
            Recovery::Newest => {
                let cursor = fold_after.unwrap_or(top.saturating_sub(limit as u64));
                let fold_end = fold_after.map(|_| top);
                join.begin_replay(cursor, Continuity::NotYet, fold_end, now_ms)
            }
        };
        let room = self.rooms[slot].name().clone();
        let (online, members) = self.presence.people_in(&room, self.options.members_max);
        let reply = Reply::Joined {
            room: room.as_str(),
            epoch: &epoch,
            seq: top,
            from: fold_after.map(|after| after + 1),
            recovered: recovery != Recovery::Newest,
            online,
            members: members.iter().map(Username::as_str).collect(),
            reference: about.reference(),
        };
        self.reply(id, &reply);
        self.flush_client(id, out);
    }

    /// Sends a client that its folded replay has ended, if it has.
    pub(super) fn end_fold(&mut self, id: ClientId, slot: RoomSlot, out: &mut Outputs) {
        let Some(upto) = self.clients.join_in(id, slot).and_then(Join::end_fold) else { return };
        let room = self.rooms[slot].name().clone();
        self.reply(id, &Reply::Replayed { room: room.as_str(), upto });
        self.flush_client(id, out);
    }

    /// Refuses a client's requests to join for which the log could not be read in
    /// time.
    pub(super) fn time_out_joins(&mut self, id: ClientId, out: &mut Outputs) {
        let (timeout_ms, now_ms) = (self.options.append_timeout_ms, self.now.mono_ms);
        if self.clients.get(id).is_none_or(|client| client.pending() >= self.options.page_bytes) {
            // It waits for its own socket.
            return;
        }
        let is_overdue = |JoinedRoom { join, .. }: &JoinedRoom| {
            join.request().is_some()
                && join.progress_ms().is_some_and(|progress_ms| progress_ms + timeout_ms <= now_ms)
        };
        while let Some(client) = self.clients.get_mut(id)
            && let Some(mut joined) = client.take_room_if(is_overdue)
        {
            let user = client.user();
            let about = joined.join.take_about();
            self.leave(id, user, joined, out);
            let message = "the room cannot be read at this moment";
            self.refuse(id, ErrorCode::Unavailable, message, &about, Some(RETRY_AFTER_S));
        }
    }
}
