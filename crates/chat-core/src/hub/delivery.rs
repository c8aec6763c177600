//! Committed entries on their way to the clients.

use std::sync::Arc;

use super::Hub;
use super::conversations::ConversationSlot;
use super::feed::Offer;
use super::planted::planted;
use super::users::UserSlot;
use crate::frame::{Version, v1};
use crate::outputs::Outputs;
use crate::{ClientId, Entry, MessageText, Missed, Pair, RoomName, Topic};

impl Hub {
    /// An entry was committed; it may have come before, or too early.
    pub(super) fn committed(&mut self, entry: &Arc<Entry>, out: &mut Outputs) {
        self.note_change(entry);
        match &entry.topic {
            Topic::Room(name) => {
                let Some(slot) = self.rooms.slot_of(name) else { return };
                #[cfg(feature = "planted-bugs")]
                if self.committed_with_bugs(slot, entry) {
                    return;
                }
                let is_expected = entry.seq <= self.rooms[slot].committed() + 1;
                if self.waits_for_removals(slot) {
                    self.reads.note_lost(&entry.topic, entry.seq);
                    return self.rooms.note_committed(slot, entry.seq);
                }
                match self.rooms.offer(slot, entry) {
                    Offer::Next | Offer::Known => {}
                    Offer::Hole => {
                        if !is_expected {
                            self.reads.note_lost(&entry.topic, entry.seq - 1);
                        }
                        self.catch_up_room(slot, out);
                    }
                }
            }
            Topic::Pair(pair) => {
                let Some(slot) = self.conversation(pair, entry.seq) else { return };
                let feed = &mut self.conversations[slot].feed;
                let is_expected = entry.seq <= feed.committed() + 1;
                match feed.offer(entry.seq) {
                    Offer::Next => self.deliver_private(entry, out),
                    Offer::Known => {}
                    Offer::Hole => {
                        if !is_expected {
                            self.reads.note_lost(&entry.topic, entry.seq - 1);
                        }
                        self.catch_up_conversation(pair, out);
                    }
                }
            }
        }
    }

    /// Notes an entry that changes a message, for the pages that are being read: it may take
    /// back what they show.
    pub(super) fn note_change(&mut self, entry: &Arc<Entry>) {
        if !entry.body.is_message() {
            self.reads.note_change(entry);
        }
    }

    /// Entries were committed that the bus does not carry to this hub.
    pub(super) fn missed(&mut self, missed: &Missed, out: &mut Outputs) {
        // Also of a conversation that is only read, and of numbers behind which others came.
        self.reads.note_lost(&missed.topic, missed.last);
        if let Topic::Pair(pair) = &missed.topic
            && self.conversation(pair, missed.first).is_none()
        {
            return;
        }
        self.note_committed(&missed.topic, missed.last, out);
    }

    /// An entry from a client of this hub is committed; it has mostly come before.
    pub(super) fn note_stored(&mut self, topic: &Topic, seq: u64, out: &mut Outputs) {
        if let Topic::Pair(pair) = topic
            && self.conversation(pair, seq).is_none()
        {
            return;
        }
        self.note_committed(topic, seq, out);
    }

    /// An entry is known to be committed in a topic: if this hub has the topic, it
    /// reads what it is missing.
    pub(super) fn note_committed(&mut self, topic: &Topic, seq: u64, out: &mut Outputs) {
        match topic {
            Topic::Room(name) => {
                let Some(slot) = self.rooms.slot_of(name) else { return };
                if seq > self.rooms[slot].committed() {
                    self.reads.note_lost(topic, seq);
                }
                self.rooms.note_committed(slot, seq);
                self.catch_up_room(slot, out);
            }
            Topic::Pair(pair) => {
                let Some(conversation) = self.conversations.get_mut(pair) else { return };
                if seq > conversation.feed.committed() {
                    self.reads.note_lost(topic, seq);
                }
                conversation.feed.note_committed(seq);
                self.catch_up_conversation(pair, out);
            }
        }
    }

    /// The log no longer keeps the entries of these topics below these numbers.
    pub(super) fn trimmed(&mut self, topics: &[(Topic, u64)]) {
        for (topic, first) in topics {
            if let Topic::Room(name) = topic {
                self.rooms.forget_before(name, *first);
            }
        }
    }

    /// Sends an entry of a private conversation to every client of its two users.
    pub(super) fn deliver_private(&mut self, entry: &Entry, out: &mut Outputs) {
        let Topic::Pair(pair) = &entry.topic else { return };
        let mut recipients = self.users.clients_of(pair.low()).to_vec();
        if pair.low() != pair.high() {
            recipients.extend(self.users.clients_of(pair.high()));
        }
        if planted!(self, PrivateToAll) {
            recipients = self.clients.open().map(|(id, _)| id).collect();
        }
        recipients.retain(|&recipient| self.is_for(recipient, pair, entry.seq, out));
        for &recipient in &recipients {
            // What a client was sent before comes before this message.
            self.flush_client(recipient, out);
            self.flush_rooms_of(recipient, out);
        }
        for version in Version::ALL {
            let recipients: Vec<ClientId> = self.with_version(&recipients, version).collect();
            if recipients.is_empty() {
                continue;
            }
            self.scratch.clear();
            if self.options.encoding().entry(&mut self.scratch, version, entry, entry.at_ms / 1000) {
                let bytes = out.store(&self.scratch);
                out.write(recipients, bytes, 1);
            }
        }
    }

    /// Shows a private message that was not stored to its author only, on their
    /// v1 clients: v2 clients get an error instead.
    pub(super) fn echo(
        &mut self,
        author: UserSlot,
        to: &str,
        text: &MessageText,
        room: &RoomName,
        at_ms: u64,
        out: &mut Outputs,
    ) {
        let recipients = self.users[author].clients().to_vec();
        let recipients: Vec<ClientId> = self.with_version(&recipients, Version::V1).collect();
        for &recipient in &recipients {
            self.flush_rooms_of(recipient, out);
        }
        let from = self.users[author].name().as_str();
        self.scratch.clear();
        self.options.framing.append(&mut self.scratch, |out| {
            v1::private(out, room.as_str(), from, to, text.as_str(), at_ms / 1000);
        });
        let bytes = out.store(&self.scratch);
        out.write(recipients, bytes, 1);
    }

    fn with_version(&self, clients: &[ClientId], version: Version) -> impl Iterator<Item = ClientId> {
        let has_version =
            move |&id: &ClientId| self.clients.get(id).is_some_and(|client| client.version() == version);
        clients.iter().copied().filter(has_version)
    }

    /// The conversation of a pair with a user online here. One that is new to
    /// this hub starts with the entry `first`.
    fn conversation(&mut self, pair: &Pair, first: u64) -> Option<ConversationSlot> {
        let now_ms = self.now.mono_ms;
        if let Some(slot) = self.conversations.touch(pair, now_ms) {
            return Some(slot);
        }
        let is_here = self.users.is_online(pair.low()) || self.users.is_online(pair.high());
        if !is_here {
            return None;
        }
        // Nobody has looked for gaps before it, and pages may be on their way.
        self.reads.note_lost(&Topic::Pair(pair.clone()), first.saturating_sub(1));
        Some(self.conversations.add(pair, first, now_ms))
    }
}
