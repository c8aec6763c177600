//! Committed entries on their way to the clients.

use std::sync::Arc;

use super::planted::planted;
use super::{Hub, Now};
use crate::client::ClientRef;
use crate::feed::{Feed, Offer};
use crate::frame::v1;
use crate::outputs::Outputs;
use crate::{
    ClientId, DEFAULT_ROOM, Entry, Framing, MessageText, Missed, Page, PageFrom, Pair, RoomName, Topic,
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

/// Appends the frame of an entry, with the time to show.
pub(super) fn encode(out: &mut Vec<u8>, framing: Framing, entry: &Entry, timestamp_s: u64) {
    let (from, text) = (entry.from.as_str(), entry.text.as_str());
    framing.append(out, |out| match &entry.topic {
        Topic::Room(room) => v1::message(out, room.as_str(), from, text, timestamp_s),
        Topic::Pair(pair) => {
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
                    Offer::Next => self.deliver_private(entry, out),
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
        let start = room.pending.len();
        encode(&mut room.pending, self.options.framing, entry, room.shown_s);
        let held = room.recent.held();
        room.recent.push(entry.seq, &room.pending[start..], self.options.recent);
        self.recent_bytes = self.recent_bytes + room.recent.held() - held;
        if room.has_live() {
            room.pending_frames += 1;
            self.mark_dirty(slot);
        } else {
            room.pending.truncate(start);
        }
        self.bound_recent(slot);
    }

    /// Sends a private message to every connection of its two users.
    fn deliver_private(&mut self, entry: &Entry, out: &mut Outputs) {
        let Topic::Pair(pair) = &entry.topic else { return };
        let mut recipients = self.clients_of(pair.low());
        if pair.low() != pair.high() {
            recipients.extend(self.clients_of(pair.high()));
        }
        if planted!(self, PrivateToAll) {
            recipients = self.client_ids().filter(|&id| self.client(id).is_some_and(|c| !c.closed)).collect();
        }
        for &recipient in &recipients {
            // Whoever is in a room gets things in the order of the log.
            self.flush_rooms_of(recipient, out);
        }
        self.scratch.clear();
        encode(&mut self.scratch, self.options.framing, entry, entry.at_ms / 1000);
        let bytes = out.store(&self.scratch);
        out.write(recipients, bytes, 1);
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
        let recipients = self.users[user].clients.clone();
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
            self.read(Topic::Pair(pair.clone()), PageFrom::After(top), out);
        }
    }

    /// Returns whether the read must be tried again later.
    pub(super) fn conversation_page(
        &mut self,
        pair: &Pair,
        from: PageFrom,
        page: Option<&Page>,
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
            if self.conversations[slot].feed.offer(entry.seq) == Offer::Next {
                self.deliver_private(entry, out);
            }
        }
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
                self.recent_bytes -= room.recent.held();
                room.recent.clear();
            }
        }
    }
}
