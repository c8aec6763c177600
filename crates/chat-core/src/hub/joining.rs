//! Rooms that a v2 client joins and leaves, and what it is told of them.

use super::{Hub, Now};
use crate::client::{JoinRequest, Position, Version};
use crate::frame::v2::{About, ErrorCode, Reply, Resume};
use crate::outputs::Outputs;
use crate::{ClientId, RoomName, Username};

impl Hub {
    pub(super) fn ask_to_join(
        &mut self,
        id: ClientId,
        room: &RoomName,
        resume: Option<Resume>,
        about: About,
        now: Now,
        out: &mut Outputs,
    ) {
        if self.is_in(id, room) {
            return self.refuse(id, ErrorCode::AlreadyJoined, "this room is joined already", &about, None);
        }
        let rooms = self.client(id).map_or(0, |client| client.memberships.len());
        let of_user = self.client(id).map_or(0, |client| self.users[client.user].memberships);
        if rooms >= self.options.client_rooms_max || of_user >= self.options.user_rooms_max {
            return self.refuse(
                id,
                ErrorCode::TooManyRooms,
                "too many rooms: leave another one",
                &about,
                None,
            );
        }
        let request = JoinRequest { resume, about, asked_ms: now.mono_ms };
        self.join(id, room, Some(Box::new(request)), now, out);
    }

    pub(super) fn ask_to_leave(
        &mut self,
        id: ClientId,
        room: &RoomName,
        about: &About,
        now: Now,
        out: &mut Outputs,
    ) {
        let slot = self.room_by_name.get(room).copied();
        let membership = slot.and_then(|slot| {
            let memberships = &mut self.client_mut(id)?.memberships;
            let index = memberships.iter().position(|membership| membership.room == slot)?;
            Some(memberships.swap_remove(index))
        });
        let Some(mut membership) = membership else {
            return self.refuse(id, ErrorCode::NotJoined, "this room is not joined", about, None);
        };
        // What was said until now is part of the stay.
        self.rooms[membership.room].flush(out);
        if let Some(request) = &mut membership.request {
            let about = std::mem::take(&mut request.about);
            self.refuse(id, ErrorCode::NotJoined, "left before it was joined", &about, None);
        }
        if let Some(user) = self.client(id).map(|client| client.user) {
            self.leave(id, user, membership, now, out);
        }
        let reference = if let About::Reference(reference) = about { Some(reference.as_str()) } else { None };
        self.tell(id, &Reply::Left { room: room.as_str(), reference });
    }

    pub(super) fn is_in(&mut self, id: ClientId, room: &RoomName) -> bool {
        let Some(&slot) = self.room_by_name.get(room) else { return false };
        self.client_mut(id).is_some_and(|client| client.membership_in(slot).is_some())
    }

    /// Answers a v2 client's request to join, once it is known how far the
    /// room is. Returns whether the member can be sent what it lacks; if not,
    /// a page is being read that decides whether all of that is still there.
    pub(super) fn answer_join(
        &mut self,
        id: ClientId,
        slot: usize,
        top: u64,
        now: Now,
        out: &mut Outputs,
    ) -> bool {
        let epoch = self.options.epoch.clone();
        let resume_max = self.options.resume_max_messages;
        let Some(client) = self.clients.get_mut(id.0 as usize).and_then(Option::as_mut) else { return false };
        let Some(membership) = client.membership_in(slot) else { return false };
        if membership.request.is_none() {
            return true;
        }
        let Position::Behind { reading, .. } = &membership.position else { return true };
        if *reading || !self.has_room(id, out) {
            return false;
        }
        let Some(client) = self.clients.get_mut(id.0 as usize).and_then(Option::as_mut) else { return false };
        let Some(membership) = client.membership_in(slot) else { return false };
        let Some(request) = &membership.request else { return true };
        let Position::Behind { cursor, reading, .. } = &mut membership.position else { return true };
        let since = match &request.resume {
            Some(resume) if *resume.epoch == *epoch && top.saturating_sub(resume.since) <= resume_max => {
                resume.since
            }
            _ => {
                *cursor = None;
                self.say_joined(id, slot, false, top, now, out);
                return true;
            }
        };
        *cursor = Some(since);
        let recent = &self.rooms[slot].sides[Version::V2 as usize].recent;
        if since == top || recent.from(since.saturating_add(1), top).is_some() {
            self.say_joined(id, slot, true, top, now, out);
            return true;
        }
        *reading = true;
        self.read_room_after(slot, since, out);
        false
    }

    /// A v2 client is in a room: the others hear of it, and it hears of them.
    pub(super) fn say_joined(
        &mut self,
        id: ClientId,
        slot: usize,
        recovered: bool,
        top: u64,
        now: Now,
        out: &mut Outputs,
    ) {
        self.announce(id, slot, now, out);
        let Some(client) = self.client_mut(id) else { return };
        let Some(membership) = client.membership_in(slot) else { return };
        let about = membership.request.take().map(|request| request.about).unwrap_or_default();
        membership.counts = recovered;
        if let Position::Behind { announced, .. } = &mut membership.position {
            *announced = true;
        }
        let (room, epoch) = (self.rooms[slot].name.clone(), self.options.epoch.clone());
        let people = self.people.get(&room);
        let members: Vec<Username> = people
            .into_iter()
            .flat_map(|people| people.names())
            .take(self.options.members_max)
            .cloned()
            .collect();
        let online = people.map_or(0, |people| people.online());
        let reply = Reply::Joined {
            room: room.as_str(),
            epoch: &epoch,
            seq: top,
            recovered,
            online,
            members: members.iter().map(Username::as_str).collect(),
            reference: if let About::Reference(reference) = &about { Some(reference) } else { None },
        };
        self.tell(id, &reply);
        self.flush_own(id, out);
    }

    /// Requests to join that the log lets wait for too long.
    pub(super) fn give_up_joining(&mut self, id: ClientId, now: Now, out: &mut Outputs) {
        let timeout = self.options.append_timeout_ms;
        if self.client(id).is_none_or(|client| client.pending >= self.options.page_bytes) {
            // It is its own socket that it waits for.
            return;
        }
        while let Some(client) = self.client_mut(id)
            && let Some(index) = client.memberships.iter().position(|membership| {
                membership.request.as_ref().is_some_and(|request| request.asked_ms + timeout <= now.mono_ms)
            })
        {
            let user = client.user;
            let mut membership = client.memberships.swap_remove(index);
            let about = membership.request.as_mut().map(|request| std::mem::take(&mut request.about));
            self.leave(id, user, membership, now, out);
            let message = "the room cannot be read at this moment";
            let retry_after = Some(super::asking::RETRY_AFTER_S);
            self.refuse(id, ErrorCode::Unavailable, message, &about.unwrap_or_default(), retry_after);
        }
    }
}
