//! Committed entries on their way to the clients.

use std::sync::Arc;

use super::planted::planted;
use super::{Hub, Now};
use crate::client::{ClientRef, Version};
use crate::feed::{Feed, Offer};
use crate::frame::v1;
use crate::frame::v2::{self, About, ErrorCode, Reply};
use crate::outputs::Outputs;
use crate::{
    Body, ClientId, DEFAULT_ROOM, Entry, Framing, MessageText, Missed, Page, PageFrom, Pair, RoomName, Topic,
    Username,
};

/// A private conversation in which somebody on this hub takes part.
#[derive(Debug)]
pub(super) struct Conversation {
    pair: Pair,
    feed: Feed,
    reading: bool,
    used_ms: u64,
}

/// Appends the frame of an entry; v1 shows the time given.
pub(super) fn encode(out: &mut Vec<u8>, framing: Framing, version: Version, entry: &Entry, timestamp_s: u64) {
    let Body::Message { text } = &entry.body;
    let (from, text) = (entry.from.as_str(), text.as_str());
    framing.append(out, |out| match (version, &entry.topic) {
        (Version::V2, _) => v2::entry(out, entry),
        (Version::V1, Topic::Room(room)) => v1::message(out, room.as_str(), from, text, timestamp_s),
        (Version::V1, Topic::Pair(pair)) => {
            let room = entry.room.as_ref().map_or(DEFAULT_ROOM, RoomName::as_str);
            v1::private(out, room, from, pair.other(&entry.from).as_str(), text, timestamp_s);
        }
    });
}

impl Hub {
    /// An entry was committed; it may have come before, or too early.
    pub(super) fn committed(&mut self, entry: &Arc<Entry>, now: Now, out: &mut Outputs) {
        match &entry.topic {
            Topic::Room(name) => {
                let Some(&slot) = self.room_by_name.get(name) else { return };
                #[cfg(feature = "planted-bugs")]
                if self.committed_with_bugs(slot, entry) {
                    return;
                }
                match self.rooms[slot].feed.offer(entry.seq) {
                    Offer::Next => self.deliver(slot, entry),
                    Offer::Known => {}
                    Offer::Hole => self.catch_up_room(slot, out),
                }
            }
            Topic::Pair(pair) => {
                let Some(slot) = self.conversation_slot(pair, entry.seq, now) else { return };
                match self.conversations[slot].feed.offer(entry.seq) {
                    Offer::Next => self.deliver_private(entry, now, out),
                    Offer::Known => {}
                    Offer::Hole => self.catch_up_conversation(pair, out),
                }
            }
        }
    }

    /// Entries were committed that this hub does not get by itself.
    pub(super) fn missed(&mut self, missed: &Missed, now: Now, out: &mut Outputs) {
        match &missed.topic {
            Topic::Room(name) => {
                let Some(&slot) = self.room_by_name.get(name) else { return };
                self.rooms[slot].feed.hear(missed.last);
                self.catch_up_room(slot, out);
            }
            Topic::Pair(pair) => {
                let Some(slot) = self.conversation_slot(pair, missed.first, now) else { return };
                self.conversations[slot].feed.hear(missed.last);
                self.catch_up_conversation(pair, out);
            }
        }
    }

    /// Puts the next entry of a room on what its members get.
    pub(super) fn deliver(&mut self, slot: usize, entry: &Entry) {
        let room = &mut self.rooms[slot];
        room.shown_s = room.shown_s.max(entry.at_ms / 1000);
        room.used = true;
        let held = room.held();
        let mut is_pending = false;
        for version in Version::ALL {
            let side = &mut room.sides[version as usize];
            if side.is_empty() {
                continue;
            }
            let start = side.pending.len();
            encode(&mut side.pending, self.options.framing, version, entry, room.shown_s);
            if version == Version::V1 && room.shown_s > entry.at_ms / 1000 {
                // A notice was shown meanwhile; a replay has no notices.
                self.scratch.clear();
                encode(&mut self.scratch, self.options.framing, version, entry, entry.at_ms / 1000);
                side.recent.push(entry.seq, &self.scratch, self.options.recent);
            } else {
                side.recent.push(entry.seq, &side.pending[start..], self.options.recent);
            }
            if side.has_live() {
                side.pending_frames += 1;
                is_pending = true;
            } else {
                side.pending.truncate(start);
            }
        }
        self.recent_bytes = self.recent_bytes + room.held() - held;
        if is_pending {
            self.mark_dirty(slot);
        }
        self.bound_recent(slot);
    }

    /// Sends a private message to every connection of its two users.
    fn deliver_private(&mut self, entry: &Entry, now: Now, out: &mut Outputs) {
        let Topic::Pair(pair) = &entry.topic else { return };
        let mut recipients = self.clients_of(pair.low());
        if pair.low() != pair.high() {
            recipients.extend(self.clients_of(pair.high()));
        }
        if planted!(self, PrivateToAll) {
            recipients = self.client_ids().filter(|&id| self.client(id).is_some_and(|c| !c.closed)).collect();
        }
        recipients.retain(|&recipient| self.is_for(recipient, pair, entry.seq, now, out));
        for &recipient in &recipients {
            // Whoever is in a room gets things in the order of the log.
            self.flush_own(recipient, out);
            self.flush_rooms_of(recipient, out);
        }
        for version in Version::ALL {
            let of_version = |&id: &ClientId| self.client(id).is_some_and(|c| c.version() == version);
            let recipients: Vec<ClientId> = recipients.iter().copied().filter(of_version).collect();
            if recipients.is_empty() {
                continue;
            }
            self.scratch.clear();
            encode(&mut self.scratch, self.options.framing, version, entry, entry.at_ms / 1000);
            let bytes = out.store(&self.scratch);
            out.write(recipients, bytes, 1);
        }
    }

    /// How far a conversation was delivered on this hub, if at all.
    pub(super) fn delivered_up_to(&self, pair: &Pair) -> Option<u64> {
        let &slot = self.conversation_by_pair.get(pair)?;
        self.conversations[slot].feed.top()
    }

    /// A number is committed, said by somebody who has it from the log.
    pub(super) fn heard(&mut self, topic: &Topic, seq: u64, out: &mut Outputs) {
        match topic {
            Topic::Room(name) => {
                let Some(&slot) = self.room_by_name.get(name) else { return };
                self.rooms[slot].feed.hear(seq);
                self.catch_up_room(slot, out);
            }
            Topic::Pair(pair) => {
                let Some(&slot) = self.conversation_by_pair.get(pair) else { return };
                self.conversations[slot].feed.hear(seq);
                self.catch_up_conversation(pair, out);
            }
        }
    }

    /// A frame for one client, written at the end of the turn.
    pub(super) fn tell(&mut self, id: ClientId, reply: &Reply<'_>) {
        self.scratch.clear();
        self.options.framing.append(&mut self.scratch, |out| reply.write(out));
        self.own_from_scratch(id);
    }

    /// The frame that was just made is for this client.
    pub(super) fn own_from_scratch(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        if client.closed {
            return;
        }
        if client.own.is_empty() {
            self.told.push(id);
        }
        client.own.extend_from_slice(&self.scratch);
    }

    /// Puts out what a client alone is told.
    pub(super) fn flush_own(&mut self, id: ClientId, out: &mut Outputs) {
        if let Some(client) = self.client_mut(id)
            && !client.own.is_empty()
        {
            let own = std::mem::take(&mut client.own);
            let bytes = out.store(&own);
            self.put_out(id, own.len());
            out.write([id], bytes, 0);
        }
    }

    /// Tells a v2 client that something cannot be done.
    pub(super) fn refuse(
        &mut self,
        id: ClientId,
        code: ErrorCode,
        message: &str,
        about: &About,
        retry_after_s: Option<u64>,
    ) {
        self.tell(id, &v2::error(code, message, about, retry_after_s));
    }

    /// Shows a private message that was not stored to its author only.
    pub(super) fn echo(
        &mut self,
        author: ClientRef,
        to: &str,
        text: &MessageText,
        room: Option<&RoomName>,
        at_ms: u64,
        out: &mut Outputs,
    ) {
        let Some(client) = self.same_client(author) else { return };
        let user = client.user;
        let from = self.users[user].name.clone();
        // Only v1 shows what was not stored.
        let mut recipients = self.users[user].clients.clone();
        recipients.retain(|&id| self.client(id).is_some_and(|client| client.version() == Version::V1));
        for &recipient in &recipients {
            self.flush_rooms_of(recipient, out);
        }
        self.scratch.clear();
        self.options.framing.append(&mut self.scratch, |out| {
            let room = room.map_or(DEFAULT_ROOM, RoomName::as_str);
            v1::private(out, room, from.as_str(), to, text.as_str(), at_ms / 1000);
        });
        let bytes = out.store(&self.scratch);
        out.write(recipients, bytes, 1);
    }

    fn clients_of(&self, name: &Username) -> Vec<ClientId> {
        self.user_by_name.get(name).map_or_else(Vec::new, |&slot| self.users[slot].clients.clone())
    }

    /// The conversation of a pair of which somebody is here. One that is new
    /// to this hub starts with `first`.
    fn conversation_slot(&mut self, pair: &Pair, first: u64, now: Now) -> Option<usize> {
        if let Some(&slot) = self.conversation_by_pair.get(pair) {
            self.conversations[slot].used_ms = now.mono_ms;
            return Some(slot);
        }
        let here =
            |name| self.user_by_name.get(name).is_some_and(|&slot| !self.users[slot].clients.is_empty());
        if !here(pair.low()) && !here(pair.high()) {
            return None;
        }
        let feed = Feed::at(first.saturating_sub(1));
        let slot = self.conversations.insert(Conversation {
            pair: pair.clone(),
            feed,
            reading: false,
            used_ms: now.mono_ms,
        });
        self.conversation_by_pair.insert(pair.clone(), slot);
        Some(slot)
    }

    /// Has the log read if something of a conversation is missing.
    pub(super) fn catch_up_conversation(&mut self, pair: &Pair, out: &mut Outputs) {
        let Some(&slot) = self.conversation_by_pair.get(pair) else { return };
        let conversation = &mut self.conversations[slot];
        let Some(top) = conversation.feed.top().filter(|_| conversation.feed.is_behind()) else { return };
        if !std::mem::replace(&mut conversation.reading, true) {
            self.read_topic(Topic::Pair(pair.clone()), PageFrom::After(top), out);
        }
    }

    /// Returns whether the read must be tried again later.
    pub(super) fn conversation_page(
        &mut self,
        pair: &Pair,
        from: PageFrom,
        page: Option<&Page>,
        now: Now,
        out: &mut Outputs,
    ) -> bool {
        let Some(&slot) = self.conversation_by_pair.get(pair) else { return false };
        self.conversations[slot].reading = false;
        let Some(page) = page else { return true };
        let feed = &mut self.conversations[slot].feed;
        if feed.is_behind() {
            feed.skip_to(page.first.saturating_sub(1).min(page.last));
        }
        for entry in &page.entries {
            // A delivery may close a client, and with the last one of the two
            // people the conversation is forgotten.
            let Some(&slot) = self.conversation_by_pair.get(pair) else { return false };
            if self.conversations[slot].feed.offer(entry.seq) == Offer::Next {
                self.deliver_private(entry, now, out);
            }
        }
        let Some(&slot) = self.conversation_by_pair.get(pair) else { return false };
        let nothing_new = matches!(from, PageFrom::After(after) if page.last <= after)
            && self.conversations[slot].feed.is_behind();
        if !nothing_new {
            self.catch_up_conversation(pair, out);
        }
        nothing_new
    }

    /// Forgets the conversations of a user whose last connection is gone, but
    /// for those whose other side is here.
    pub(super) fn forget_conversations_of(&mut self, user: usize) {
        let name = self.users[user].name.clone();
        let users = (&self.users, &self.user_by_name);
        let here = |name: &Username| users.1.get(name).is_some_and(|&slot| !users.0[slot].clients.is_empty());
        let by_pair = &mut self.conversation_by_pair;
        self.conversations.retain(|_, conversation| {
            let pair = &conversation.pair;
            let keep = (*pair.low() != name && *pair.high() != name) || here(pair.low()) || here(pair.high());
            if !keep {
                by_pair.remove(pair);
            }
            keep
        });
    }

    pub(super) fn forget_idle_conversations(&mut self, now_ms: u64) {
        let idle_ms = self.options.conversation_idle_ms;
        let by_pair = &mut self.conversation_by_pair;
        self.conversations.retain(|_, conversation| {
            let busy = conversation.reading || conversation.feed.is_behind();
            let keep = busy || conversation.used_ms + idle_ms > now_ms;
            if !keep {
                by_pair.remove(&conversation.pair);
            }
            keep
        });
    }

    pub(super) fn mark_dirty(&mut self, slot: usize) {
        if !std::mem::replace(&mut self.rooms[slot].dirty, true) {
            self.dirty.push(slot);
        }
    }

    /// Puts out what the rooms of a client have pending, before it gets
    /// something that must come later.
    pub(super) fn flush_rooms_of(&mut self, id: ClientId, out: &mut Outputs) {
        let client = self.clients.get(id.0 as usize).and_then(Option::as_ref);
        for membership in client.map_or(&[][..], |client| &client.memberships) {
            let room = &mut self.rooms[membership.room];
            if room.dirty {
                room.flush(out);
            }
        }
    }

    /// Keeps the recent frames of all rooms under their cap. A room that was
    /// used since the last pass is spared once (the CLOCK algorithm).
    pub(super) fn bound_recent(&mut self, spared: usize) {
        let mut steps = 2 * self.rooms.capacity();
        while self.recent_bytes > self.options.recent.hub_bytes && steps > 0 {
            steps -= 1;
            self.recent_hand = (self.recent_hand + 1) % self.rooms.capacity().max(1);
            if self.recent_hand == spared {
                continue;
            }
            if let Some(room) = self.rooms.get_mut(self.recent_hand)
                && !std::mem::take(&mut room.used)
            {
                self.recent_bytes -= room.held();
                for side in &mut room.sides {
                    side.recent.clear();
                }
            }
        }
    }
}
