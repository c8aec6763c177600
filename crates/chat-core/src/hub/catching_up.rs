//! Coming into a room, and reading from the log what is missing.
//!
//! A member that is not up to date has a cursor, not a queue: pages are read
//! for it only while its socket takes them, and it goes live in the step in
//! which the rest is among the room's recent frames.

use std::collections::VecDeque;

use slab::Slab;

use super::planted::planted;
use super::{Hub, Now};
use crate::client::{Membership, Position};
use crate::feed::Offer;
use crate::outputs::Outputs;
use crate::room::{Room, RoomRead};
use crate::{
    ClientId, CloseCode, Output, Page, PageFrom, PageLimits, ReadId, ReadRequest, RoomName, Subscription,
    Topic,
};

/// The pages being read.
#[derive(Default)]
pub(super) struct Reads {
    open: Slab<(Topic, PageFrom)>,
    running: usize,
    /// Reads beyond the cap, waiting for one to end.
    waiting: VecDeque<ReadRequest>,
    /// Topics whose read failed, and when to try again, in that order.
    retries: VecDeque<(u64, Topic)>,
}

impl Hub {
    /// Brings a client into a room; what was said there comes first.
    pub(super) fn join(&mut self, id: ClientId, room: &RoomName, now: Now, out: &mut Outputs) {
        let slot = self.room_slot(room, now, out);
        let Some(client) = self.client_mut(id) else { return };
        let user = client.user;
        let position = Position::Behind { cursor: None, reading: false, since_ms: now.mono_ms };
        client.memberships.push(Membership { room: slot, position });
        let room = &mut self.rooms[slot];
        room.enter(user);
        room.used = true;
        room.behind.push(id);
        self.catch_up(id, slot, now, out);
    }

    fn room_slot(&mut self, name: &RoomName, now: Now, out: &mut Outputs) -> usize {
        if let Some(&slot) = self.room_by_name.get(name) {
            return slot;
        }
        let slot = self.rooms.insert(Room::new(name.clone(), self.seed, now.mono_ms));
        self.room_by_name.insert(name.clone(), slot);
        // Subscribed before the log is read, nothing can fall between the two.
        out.push(Output::Subscribe(Subscription::Room(name.clone())));
        self.read_room(slot, out);
        slot
    }

    /// Sends a member what it lacks, as far as its socket takes it, or has the
    /// next page read.
    pub(super) fn catch_up(&mut self, id: ClientId, slot: usize, now: Now, out: &mut Outputs) {
        let room = &mut self.rooms[slot];
        let Some(top) = room.feed.top() else { return };
        let Some(client) = self.clients.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        let pending = client.pending;
        let Some(position) = client.position_in(slot) else { return };
        let Position::Behind { cursor, reading, since_ms } = position else { return };
        let after = *cursor.get_or_insert_with(|| {
            *since_ms = now.mono_ms;
            top.saturating_sub(self.options.join_replay_entries as u64)
        });
        if planted!(self, SkipWhenSlow) && pending >= self.options.page_bytes {
            *cursor = Some(top);
        }
        if pending >= self.options.page_bytes || *reading {
            return;
        }
        if after < top {
            let Some(frames) = room.recent.from(after + 1, top) else {
                *reading = true;
                return self.read_room_after(slot, after, out);
            };
            let frames = out.store(frames);
            out.write([id], frames, top - after);
        }
        *position = Position::Live;
        room.behind.retain(|&member| member != id);
        room.go_live(id);
        self.mark_dirty(slot);
        self.announce(id, slot, now, out);
    }

    /// The answer to a read.
    pub(super) fn page(&mut self, id: ReadId, page: Option<&Page>, now: Now, out: &mut Outputs) {
        let Some((topic, from)) = self.reads.open.try_remove(id.0 as usize) else { return };
        self.reads.running -= 1;
        if let Some(next) = self.reads.waiting.pop_front() {
            self.reads.running += 1;
            out.push(Output::Read(next));
        }
        let stuck = match &topic {
            Topic::Room(name) => match self.room_by_name.get(name) {
                Some(&slot) => {
                    self.rooms[slot].reads.retain(|read| read.id != id);
                    self.room_page(slot, from, page, now, out)
                }
                None => false,
            },
            Topic::Pair(pair) => self.conversation_page(pair, from, page, out),
        };
        if stuck && !planted!(self, NoReadRetry) {
            self.reads.retries.push_back((now.mono_ms + self.options.read_retry_ms, topic));
        }
    }

    /// Returns whether the read must be tried again later.
    fn room_page(
        &mut self,
        slot: usize,
        from: PageFrom,
        page: Option<&Page>,
        now: Now,
        out: &mut Outputs,
    ) -> bool {
        if self.rooms[slot].feed.top().is_none() {
            let Some(page) = page else { return true };
            self.start_room(slot, page);
            let members = self.rooms[slot].behind.clone();
            for member in members {
                self.catch_up(member, slot, now, out);
            }
            self.catch_up_room(slot, out);
            return false;
        }
        let PageFrom::After(after) = from else { return false };
        let waiting = self.members_waiting_for(slot, after);
        let Some(page) = page else { return true };
        self.advance_room(slot, page);
        self.replay(slot, after, page, &waiting, now, out);
        for &member in &waiting {
            self.catch_up(member, slot, now, out);
        }
        // A log that has less than was heard of is asked again later, not at once.
        let nothing_new = page.last <= after && self.rooms[slot].feed.is_behind();
        if !nothing_new {
            self.catch_up_room(slot, out);
        }
        nothing_new
    }

    /// The first page of a room: now it is known how far it is.
    fn start_room(&mut self, slot: usize, page: &Page) {
        let room = &mut self.rooms[slot];
        room.feed.start(page.last);
        let held = room.recent.held();
        for entry in &page.entries {
            room.shown_s = room.shown_s.max(entry.at_ms / 1000);
            self.scratch.clear();
            super::delivery::encode(&mut self.scratch, self.options.framing, entry, room.shown_s);
            room.recent.push(entry.seq, &self.scratch, self.options.recent);
        }
        self.recent_bytes = self.recent_bytes + room.recent.held() - held;
        self.bound_recent(slot);
    }

    /// What a page has for the room itself: entries that were not carried here.
    fn advance_room(&mut self, slot: usize, page: &Page) {
        let room = &mut self.rooms[slot];
        if room.feed.is_behind() {
            // Entries that the log no longer keeps cannot be had by anybody.
            room.feed.skip_to(page.first.saturating_sub(1).min(page.last));
        }
        for entry in &page.entries {
            if self.rooms[slot].feed.offer(entry.seq) == Offer::Next {
                self.deliver(slot, entry);
            }
        }
    }

    /// Sends a page to the members that waited for it, encoded once.
    fn replay(
        &mut self,
        slot: usize,
        after: u64,
        page: &Page,
        members: &[ClientId],
        now: Now,
        out: &mut Outputs,
    ) {
        if members.is_empty() {
            return;
        }
        // All entries of the page are at most the room's top by now, so that
        // nobody gets one of them a second time when live.
        let top = self.rooms[slot].feed.top().unwrap_or(0);
        self.scratch.clear();
        let mut cursor = after;
        let mut frames = 0;
        for entry in page.entries.iter().filter(|entry| entry.seq > after && entry.seq <= top) {
            super::delivery::encode(&mut self.scratch, self.options.framing, entry, entry.at_ms / 1000);
            cursor = entry.seq;
            frames += 1;
            // Written as JSON, a text may be six times as long as it is: then
            // the rest is for another page.
            if self.scratch.len() >= self.options.page_bytes {
                break;
            }
        }
        if page.entries.is_empty() {
            cursor = cursor.max(page.last.min(top));
        }
        let bytes = out.store(&self.scratch);
        out.write(members.iter().copied(), bytes, frames);
        for &member in members {
            if let Some(Position::Behind { cursor: at, since_ms, .. }) =
                self.client_mut(member).and_then(|client| client.position_in(slot))
                && cursor > after
            {
                (*at, *since_ms) = (Some(cursor), now.mono_ms);
            }
        }
    }

    /// The members for which the page after this number was read; they no
    /// longer wait.
    fn members_waiting_for(&mut self, slot: usize, after: u64) -> Vec<ClientId> {
        let members = self.rooms[slot].behind.clone();
        let mut waiting = Vec::new();
        for member in members {
            let position = self.client_mut(member).and_then(|client| client.position_in(slot));
            if let Some(Position::Behind { cursor: Some(cursor), reading, .. }) = position
                && *reading
                && *cursor == after
            {
                *reading = false;
                waiting.push(member);
            }
        }
        waiting
    }

    /// Has the log read if the room is behind and no page is on its way.
    pub(super) fn catch_up_room(&mut self, slot: usize, out: &mut Outputs) {
        let room = &self.rooms[slot];
        if !room.feed.is_behind() || room.reads.iter().any(|read| read.for_room) {
            return;
        }
        match room.feed.top() {
            Some(top) => {
                self.read_room_after(slot, top, out);
                let read = self.rooms[slot].reads.iter_mut().find(|read| read.after == Some(top));
                read.expect("just asked for").for_room = true;
            }
            None => self.read_room(slot, out),
        }
    }

    /// Reads a room's newest entries, to learn how far it is.
    fn read_room(&mut self, slot: usize, out: &mut Outputs) {
        if self.rooms[slot].reads.is_empty() {
            self.read_room_from(slot, PageFrom::Latest, out);
        }
    }

    /// Reads the page after a number, once for everybody who wants it.
    fn read_room_after(&mut self, slot: usize, after: u64, out: &mut Outputs) {
        if self.rooms[slot].reads.iter().all(|read| read.after != Some(after)) {
            self.read_room_from(slot, PageFrom::After(after), out);
        }
    }

    fn read_room_from(&mut self, slot: usize, from: PageFrom, out: &mut Outputs) {
        let topic = Topic::Room(self.rooms[slot].name.clone());
        let id = self.read(topic, from, out);
        let after = if let PageFrom::After(after) = from { Some(after) } else { None };
        self.rooms[slot].reads.push(RoomRead { id, after, for_room: after.is_none() });
    }

    pub(super) fn read(&mut self, topic: Topic, from: PageFrom, out: &mut Outputs) -> ReadId {
        let id = ReadId(self.reads.open.insert((topic.clone(), from)) as u64);
        let limits = PageLimits { entries: self.options.page_entries, bytes: self.options.page_bytes };
        let request = ReadRequest { id, topic, from, limits };
        if self.reads.running < self.options.reads_max {
            self.reads.running += 1;
            out.push(Output::Read(request));
        } else {
            self.reads.waiting.push_back(request);
        }
        id
    }

    pub(super) fn retry_reads(&mut self, now: Now, out: &mut Outputs) {
        while self.reads.retries.front().is_some_and(|(at, _)| *at <= now.mono_ms) {
            let Some((_, topic)) = self.reads.retries.pop_front() else { return };
            match topic {
                Topic::Room(name) => {
                    let Some(&slot) = self.room_by_name.get(&name) else { continue };
                    self.catch_up_room(slot, out);
                    for member in self.rooms[slot].behind.clone() {
                        self.catch_up(member, slot, now, out);
                    }
                }
                Topic::Pair(pair) => self.catch_up_conversation(&pair, out),
            }
        }
    }

    /// A socket took bytes, or did not.
    pub(super) fn pending(&mut self, id: ClientId, bytes: usize, now: Now, out: &mut Outputs) {
        let page_bytes = self.options.page_bytes;
        let Some(client) = self.client_mut(id) else { return };
        let was_full = std::mem::replace(&mut client.pending, bytes) >= page_bytes;
        if was_full && bytes < page_bytes {
            // Until now it had itself to wait for; from now on, the log.
            for membership in &mut client.memberships {
                if let Position::Behind { since_ms, .. } = &mut membership.position {
                    *since_ms = now.mono_ms;
                }
            }
        }
        for index in 0..client.memberships.len() {
            let Some(client) = self.client(id) else { return };
            let Some(slot) = client.memberships.get(index).map(|membership| membership.room) else { return };
            self.catch_up(id, slot, now, out);
        }
    }

    /// The log has not answered for these for too long.
    pub(super) fn close_those_stuck_behind(&mut self, now: Now, out: &mut Outputs) {
        let timeout = self.options.catch_up_timeout_ms;
        let page_bytes = self.options.page_bytes;
        for id in self.client_ids() {
            let stuck = self.client(id).is_some_and(|client| {
                client.pending < page_bytes
                    && client.memberships.iter().any(|membership| match membership.position {
                        Position::Behind { since_ms, .. } => since_ms + timeout <= now.mono_ms,
                        Position::Live => false,
                    })
            });
            if stuck {
                self.close(id, CloseCode::TryAgainLater, now, out);
            }
        }
    }
}
