//! Coming into a room, and reading from the log what is missing.
//!
//! A member that is not up to date has a cursor, not a queue: pages are read
//! for it only while its socket takes them, and it goes live in the step in
//! which the rest is among the room's recent frames.

use std::ops::Range;

use super::planted::planted;
use super::reads::{Answered, PagePurpose, Retry};
use super::{Hub, Now};
use crate::client::{ClientRef, JoinRequest, Membership, Position, Speaks, Version};
use crate::feed::Offer;
use crate::outputs::Outputs;
use crate::room::{Room, RoomRead};
use crate::{
    Answer, ClientId, CloseCode, Output, Page, PageFrom, PageLimits, ReadId, RoomName, Subscription, Topic,
};

/// Recent frames of a room in the arena of the outputs.
pub(super) struct Replayed {
    slot: usize,
    version: Version,
    after: u64,
    top: u64,
    generation: u64,
    bytes: Range<u32>,
}

impl Hub {
    /// Brings a client into a room; what was said there comes first.
    pub(super) fn join(
        &mut self,
        id: ClientId,
        room: &RoomName,
        request: Option<Box<JoinRequest>>,
        now: Now,
        out: &mut Outputs,
    ) {
        let slot = self.room_slot(room, now, out);
        let Some(client) = self.client_mut(id) else { return };
        let (user, version) = (client.user, client.version());
        let position =
            Position::Behind { cursor: None, reading: false, since_ms: now.mono_ms, announced: false };
        client.memberships.push(Membership { room: slot, position, request, counts: false });
        self.users[user].memberships += 1;
        let room = &mut self.rooms[slot];
        room.enter(user);
        room.used = true;
        room.sides[version as usize].behind.push(id);
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
        let Some(top) = self.rooms[slot].feed.top() else { return };
        if !self.answer_join(id, slot, top, now, out) {
            return;
        }
        let Some(client) = self.clients.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        let (pending, version) = (client.pending, client.version());
        let Some(position) = client.position_in(slot) else { return };
        let Position::Behind { cursor, reading, since_ms, announced } = position else { return };
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
        let announced = *announced;
        if after < top {
            if self.rooms[slot].sides[version as usize].recent.from(after + 1, top).is_none() {
                *reading = true;
                return self.read_room_after(slot, after, out);
            }
            if !self.has_room(id, out) {
                return;
            }
            let bytes = self.recent_in_arena(slot, version, after, top, out);
            self.put_out(id, bytes.len());
            out.write([id], bytes, top - after);
        }
        let Some(position) = self.client_mut(id).and_then(|client| client.position_in(slot)) else { return };
        *position = Position::Live;
        self.rooms[slot].sides[version as usize].go_live(id);
        self.mark_dirty(slot);
        if !announced {
            self.announce(id, slot, now, out);
        }
    }

    /// The recent frames behind a number, stored once for all that want them.
    fn recent_in_arena(
        &mut self,
        slot: usize,
        version: Version,
        after: u64,
        top: u64,
        out: &mut Outputs,
    ) -> Range<u32> {
        let generation = out.generation();
        if let Some(same) = &self.replayed
            && (same.slot, same.version, same.after, same.top, same.generation)
                == (slot, version, after, top, generation)
        {
            return same.bytes.clone();
        }
        let frames = self.rooms[slot].sides[version as usize].recent.from(after + 1, top);
        let bytes = out.store(frames.unwrap_or_default());
        self.replayed = Some(Replayed { slot, version, after, top, generation, bytes: bytes.clone() });
        bytes
    }

    /// Whether a client can be sent a part of a replay: as much as a page may
    /// wait in its socket, or be put out for it in one turn. If not, it goes on
    /// when the socket has taken something, or in the next turn.
    pub(super) fn has_room(&mut self, id: ClientId, out: &Outputs) -> bool {
        let (page_bytes, turn) = (self.options.page_bytes, self.turn);
        let Some(client) = self.client_mut(id) else { return false };
        if client.pending >= page_bytes {
            return false;
        }
        let put_out = if client.put_out_in == turn { client.put_out } else { 0 };
        if put_out < page_bytes && !out.is_full() {
            return true;
        }
        if !std::mem::replace(&mut client.held_back, true) {
            let client = ClientRef { id, generation: client.generation };
            self.held_back.push_back(client);
        }
        false
    }

    fn is_v1(&self, id: ClientId) -> bool {
        self.client(id).is_some_and(|client| client.version() == Version::V1)
    }

    /// Counts what is put out for a client alone.
    pub(super) fn put_out(&mut self, id: ClientId, bytes: usize) {
        let turn = self.turn;
        if let Some(client) = self.client_mut(id) {
            let before = if client.put_out_in == turn { client.put_out } else { 0 };
            (client.put_out, client.put_out_in) = (before + bytes, turn);
        }
    }

    /// What was put out in the last turn was written, or waits in the sockets.
    pub(super) fn go_on_with_held_back(&mut self, out: &mut Outputs) {
        let now = self.now;
        for client in std::mem::take(&mut self.held_back) {
            if let Some(found) = self.same_client(client) {
                found.held_back = false;
                self.catch_up_everywhere(client.id, now, out);
            }
        }
    }

    /// Goes on with all replays of a client.
    fn catch_up_everywhere(&mut self, id: ClientId, now: Now, out: &mut Outputs) {
        let Some(client) = self.client(id) else { return };
        let is_behind = |position: &Position| matches!(position, Position::Behind { .. });
        let behind: Vec<usize> = client
            .memberships
            .iter()
            .filter(|membership| is_behind(&membership.position))
            .map(|membership| membership.room)
            .collect();
        for slot in behind {
            self.catch_up(id, slot, now, out);
        }
    }

    /// The log answered a read.
    pub(super) fn answer(&mut self, id: ReadId, answer: &Answer, now: Now, out: &mut Outputs) {
        match self.reads.end(id, answer, out) {
            Answered::Page(PagePurpose::Topic { topic, from }, page) => {
                self.topic_page(id, topic, from, page, now, out);
            }
            Answered::Page(PagePurpose::History(request), page) => {
                self.history_page(&request, page, now, out);
            }
            Answered::Conversations(client, conversations) => {
                self.conversations(client, conversations, now, out);
            }
        }
    }

    fn topic_page(
        &mut self,
        id: ReadId,
        topic: Topic,
        from: PageFrom,
        page: Option<&Page>,
        now: Now,
        out: &mut Outputs,
    ) {
        let stuck = match &topic {
            Topic::Room(name) => match self.room_by_name.get(name) {
                Some(&slot) => {
                    self.rooms[slot].reads.retain(|read| read.id != id);
                    self.room_page(slot, from, page, now, out)
                }
                None => false,
            },
            Topic::Pair(pair) => self.conversation_page(pair, from, page, now, out),
        };
        if stuck && !planted!(self, NoReadRetry) {
            self.reads.retry_at(now.mono_ms + self.options.read_retry_ms, Retry::Topic(topic));
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
            for member in self.rooms[slot].all_behind() {
                self.catch_up(member, slot, now, out);
            }
            self.catch_up_room(slot, out);
            return false;
        }
        let PageFrom::After(after) = from else { return false };
        let mut waiting = self.members_waiting_for(slot, after);
        let Some(page) = page else { return true };
        if self.rooms[slot].feed.top() < Some(after) {
            // Somebody knows more than was heard of here.
            self.rooms[slot].feed.hear(page.last);
        }
        // A v2 client may wait for pages of many rooms: what it cannot take now,
        // it asks for again.
        waiting.retain(|&member| self.is_v1(member) || self.has_room(member, out));
        let top_before = self.rooms[slot].feed.top();
        self.advance_room(slot, page, now, out);
        for &member in &waiting {
            self.judge_resume(member, slot, after, page, now, out);
        }
        for version in Version::ALL {
            self.replay(slot, version, after, page, &waiting, now, out);
        }
        for &member in &waiting {
            self.catch_up(member, slot, now, out);
        }
        if self.rooms[slot].feed.top() > top_before {
            // Somebody may have waited for the room to get as far as they are.
            for member in self.rooms[slot].all_behind() {
                if !waiting.contains(&member) {
                    self.catch_up(member, slot, now, out);
                }
            }
        }
        // A log that has less than was heard of is asked again later, not at once.
        let nothing_new = page.last <= after && self.rooms[slot].feed.is_behind();
        if !nothing_new {
            self.catch_up_room(slot, out);
        }
        nothing_new
    }

    /// The first page of what a member has missed: is all of it still there?
    fn judge_resume(
        &mut self,
        id: ClientId,
        slot: usize,
        after: u64,
        page: &Page,
        now: Now,
        out: &mut Outputs,
    ) {
        let is_unchecked = planted!(self, ResumeUnchecked);
        let top = self.rooms[slot].feed.top().unwrap_or(0);
        let Some(membership) = self.client_mut(id).and_then(|client| client.membership_in(slot)) else {
            return;
        };
        let is_whole = (page.first <= after.saturating_add(1) && after <= page.last) || is_unchecked;
        match &mut membership.request {
            Some(request) if !is_whole => {
                request.resume = None;
                if let Position::Behind { cursor, .. } = &mut membership.position {
                    *cursor = None;
                }
            }
            // Else this hub is not as far yet as the member is.
            Some(_) if after <= top => self.say_joined(id, slot, true, top, now, out),
            Some(_) => {}
            // A part of what must come next is gone by now.
            None if membership.counts && !is_whole => self.close(id, CloseCode::TryAgainLater, now, out),
            None => {}
        }
    }

    /// The first page of a room: now it is known how far it is.
    fn start_room(&mut self, slot: usize, page: &Page) {
        let room = &mut self.rooms[slot];
        room.feed.start(page.last);
        let held = room.held();
        // Counted also if nobody is here to see it: whoever comes later gets
        // these entries from the log, and then notices.
        room.shown_s =
            page.entries.iter().fold(room.shown_s, |shown_s, entry| shown_s.max(entry.at_ms / 1000));
        for version in Version::ALL {
            let side = &mut room.sides[version as usize];
            if side.is_empty() {
                continue;
            }
            for entry in &page.entries {
                self.scratch.clear();
                let framing = self.options.framing;
                super::delivery::encode(&mut self.scratch, framing, version, entry, entry.at_ms / 1000);
                side.recent.push(entry.seq, &self.scratch, self.options.recent);
            }
        }
        self.recent_bytes = self.recent_bytes + room.held() - held;
        self.bound_recent(slot);
    }

    /// What the log no longer keeps must not be replayed from memory.
    pub(super) fn trimmed(&mut self, topics: &[(Topic, u64)]) {
        for (topic, first) in topics {
            let Topic::Room(name) = topic else { continue };
            let Some(&slot) = self.room_by_name.get(name) else { continue };
            let room = &mut self.rooms[slot];
            let held = room.held();
            for side in &mut room.sides {
                side.recent.forget_before(*first);
            }
            self.recent_bytes = self.recent_bytes + room.held() - held;
        }
    }

    /// What a page has for the room itself: entries that were not carried here.
    fn advance_room(&mut self, slot: usize, page: &Page, now: Now, out: &mut Outputs) {
        let room = &mut self.rooms[slot];
        let gone = page.first.saturating_sub(1).min(page.last);
        if room.feed.is_behind() && room.feed.top() < Some(gone) {
            // Entries that the log no longer keeps cannot be had by anybody.
            room.feed.skip_to(gone);
            // Who counts them must not find a hole: it comes back, and is told.
            for member in room.sides[Version::V2 as usize].all_live() {
                self.close(member, CloseCode::TryAgainLater, now, out);
            }
        }
        for entry in &page.entries {
            if self.rooms[slot].feed.offer(entry.seq) == Offer::Next {
                self.deliver(slot, entry);
            }
        }
    }

    /// Sends a page to the members of one version that waited for it, encoded once.
    #[expect(clippy::too_many_arguments, reason = "a page, for whom, and where it goes")]
    fn replay(
        &mut self,
        slot: usize,
        version: Version,
        after: u64,
        page: &Page,
        members: &[ClientId],
        now: Now,
        out: &mut Outputs,
    ) {
        let members: Vec<ClientId> = members
            .iter()
            .copied()
            .filter(|&member| {
                self.client_mut(member)
                    .is_some_and(|client| client.version() == version && client.is_replaying(slot, after))
            })
            .collect();
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
            let framing = self.options.framing;
            super::delivery::encode(&mut self.scratch, framing, version, entry, entry.at_ms / 1000);
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
        for &member in &members {
            self.put_out(member, bytes.len());
        }
        out.write(members.iter().copied(), bytes, frames);
        for &member in &members {
            if let Some(membership) = self.client_mut(member).and_then(|client| client.membership_in(slot))
                && let Position::Behind { cursor: at, since_ms, .. } = &mut membership.position
                && cursor > after
            {
                (*at, *since_ms) = (Some(cursor), now.mono_ms);
                membership.counts |= version == Version::V2 && frames > 0;
            }
        }
    }

    /// The members for which the page after this number was read; they no
    /// longer wait.
    fn members_waiting_for(&mut self, slot: usize, after: u64) -> Vec<ClientId> {
        let members = self.rooms[slot].all_behind();
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
    pub(super) fn read_room_after(&mut self, slot: usize, after: u64, out: &mut Outputs) {
        if self.rooms[slot].reads.iter().all(|read| read.after != Some(after)) {
            self.read_room_from(slot, PageFrom::After(after), out);
        }
    }

    fn read_room_from(&mut self, slot: usize, from: PageFrom, out: &mut Outputs) {
        let topic = Topic::Room(self.rooms[slot].name.clone());
        let id = self.read_topic(topic, from, out);
        let after = if let PageFrom::After(after) = from { Some(after) } else { None };
        self.rooms[slot].reads.push(RoomRead { id, after, for_room: after.is_none() });
    }

    /// Reads a page for a room or conversation.
    pub(super) fn read_topic(&mut self, topic: Topic, from: PageFrom, out: &mut Outputs) -> ReadId {
        let limits = PageLimits { entries: self.options.page_entries, bytes: self.options.page_bytes };
        let purpose = PagePurpose::Topic { topic: topic.clone(), from };
        self.reads.page(purpose, topic, from, limits, out)
    }

    pub(super) fn retry_reads(&mut self, now: Now, out: &mut Outputs) {
        while let Some(retry) = self.reads.next_retry(now.mono_ms) {
            match retry {
                Retry::Topic(Topic::Room(name)) => {
                    let Some(&slot) = self.room_by_name.get(&name) else { continue };
                    self.catch_up_room(slot, out);
                    for member in self.rooms[slot].all_behind() {
                        self.catch_up(member, slot, now, out);
                    }
                }
                Retry::Topic(Topic::Pair(pair)) => self.catch_up_conversation(&pair, out),
                Retry::Hello(client) => self.prepare_hello(client, out),
            }
        }
    }

    /// A socket took bytes, or did not.
    pub(super) fn pending(&mut self, id: ClientId, bytes: usize, now: Now, out: &mut Outputs) {
        let page_bytes = self.options.page_bytes;
        let Some(client) = self.client_mut(id) else { return };
        let was_full = std::mem::replace(&mut client.pending, bytes) >= page_bytes;
        if !was_full || bytes >= page_bytes {
            return;
        }
        // Until now it had itself to wait for; from now on, the log.
        for membership in &mut client.memberships {
            if let Position::Behind { since_ms, .. } = &mut membership.position {
                *since_ms = now.mono_ms;
            }
            if let Some(request) = &mut membership.request {
                request.asked_ms = now.mono_ms;
            }
        }
        self.catch_up_everywhere(id, now, out);
    }

    /// The log has not answered for these for too long.
    pub(super) fn close_those_stuck_behind(&mut self, now: Now, out: &mut Outputs) {
        let timeout = self.options.catch_up_timeout_ms;
        let page_bytes = self.options.page_bytes;
        for id in self.client_ids() {
            self.give_up_joining(id, now, out);
            let stuck = self.client(id).is_some_and(|client| {
                let greeting = match &client.speaks {
                    Speaks::V2(v2) => v2.greeting.is_some() && v2.greeted_ms + timeout <= now.mono_ms,
                    Speaks::V1 { .. } => false,
                };
                let behind = client.pending < page_bytes
                    && client.memberships.iter().any(|membership| match membership.position {
                        Position::Behind { since_ms, .. } => since_ms + timeout <= now.mono_ms,
                        Position::Live => false,
                    });
                greeting || behind
            });
            if stuck {
                self.close(id, CloseCode::TryAgainLater, now, out);
            }
        }
    }
}
