//! Pages of rooms and conversations, read because something is missing.

use super::Hub;
use super::feed::Offer;
use super::planted::planted;
use super::reads::{Answered, PagePurpose, QueryFrom, Retry, TopicPage};
use super::rooms::{RoomReadFor, RoomSlot};
use crate::frame::Version;
use crate::outputs::Outputs;
use crate::{Answer, ClientId, CloseCode, MessagesFrom, Page, PageFrom, PageLimits, Pair, ReadId, Topic};

/// Whether a read brought a topic further.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Made,
    /// The read must be tried again later.
    Stuck,
}

impl Hub {
    /// The log answered a read.
    pub(super) fn answer(&mut self, id: ReadId, answer: &Answer, out: &mut Outputs) {
        match self.reads.end(id, answer, out) {
            Answered::Page(PagePurpose::Topic { topic, page: which }, page) => {
                self.topic_page(id, topic, which, page.as_deref(), out);
            }
            Answered::Page(PagePurpose::History(request), page) => {
                self.history_page(&request, page.as_deref(), out);
            }
            Answered::Page(PagePurpose::Typing(check), page) => {
                self.typing_checked(&check, page.as_deref(), out);
            }
            Answered::NotYet => {}
            Answered::Conversations(client, conversations) => {
                self.conversations_read(client, conversations, out);
            }
            Answered::Memberships(client, memberships) => self.memberships_read(client, memberships, out),
            Answered::Access(check, access) => self.access_read(check, access, out),
            Answered::Tops(rooms, tops) => self.tops_read(rooms, tops, out),
            Answered::Counts(counted, state) => self.counts_read(counted, state, out),
            Answered::RoomMark(check, access) => self.room_mark_checked(check, access, out),
            Answered::PairMark(check, state) => self.pair_mark_checked(&check, state, out),
        }
    }

    /// Begins the failed reads again whose time has come.
    pub(super) fn retry_reads(&mut self, out: &mut Outputs) {
        while let Some(retry) = self.reads.next_retry(self.now.mono_ms) {
            match retry {
                Retry::Topic(Topic::Room(name)) => {
                    let Some(slot) = self.rooms.slot_of(&name) else { continue };
                    self.catch_up_room(slot, out);
                    for client in self.rooms[slot].joining() {
                        self.catch_up(client, slot, out);
                    }
                }
                Retry::Topic(Topic::Pair(pair)) => self.catch_up_conversation(&pair, out),
                Retry::Conversations(client) => self.read_conversations(client, out),
                Retry::Memberships(client) => self.read_memberships(client, out),
                Retry::Access(check) => self.read_access(check, out),
                Retry::Tops(rooms) => self.read_tops(rooms, out),
                Retry::Counts(counted) => self.retry_counts(counted, out),
            }
        }
    }

    fn topic_page(
        &mut self,
        id: ReadId,
        topic: Topic,
        which: TopicPage,
        page: Option<&Page>,
        out: &mut Outputs,
    ) {
        let progress = match &topic {
            Topic::Room(name) => match self.rooms.slot_of(name) {
                Some(slot) => {
                    self.rooms.end_read(slot, id);
                    let page = page.filter(|_| !self.waits_for_removals(slot));
                    self.room_page(slot, which, page, out)
                }
                None => Progress::Made,
            },
            Topic::Pair(pair) => self.conversation_page(pair, which, page, out),
        };
        if progress == Progress::Stuck && !planted!(self, NoReadRetry) {
            self.reads.retry_at(self.now.mono_ms + self.options.read_retry_ms, Retry::Topic(topic));
        }
    }

    // Rooms.

    /// Reads what a room is missing, unless that is being read.
    pub(super) fn catch_up_room(&mut self, slot: RoomSlot, out: &mut Outputs) {
        let room = &self.rooms[slot];
        if !room.is_behind() || room.is_feed_being_read() || self.waits_for_removals(slot) {
            return;
        }
        match room.top() {
            Some(top) => self.read_room(slot, TopicPage::After(top), RoomReadFor::Feed, out),
            None => self.read_newest(slot, out),
        }
    }

    /// Reads a room's newest entries, to learn how far it is, and where its newest messages
    /// are.
    pub(super) fn read_newest(&mut self, slot: RoomSlot, out: &mut Outputs) {
        let purpose = match self.rooms[slot].top() {
            Some(_) => RoomReadFor::Clients,
            None => RoomReadFor::Feed,
        };
        // Messages that are delivered meanwhile count, too.
        self.rooms.keep_newest(slot);
        self.read_room(slot, TopicPage::Newest, purpose, out);
    }

    /// Reads a page of a room, once for all that need it.
    pub(super) fn read_room(
        &mut self,
        slot: RoomSlot,
        page: TopicPage,
        purpose: RoomReadFor,
        out: &mut Outputs,
    ) {
        if !self.rooms.shares_read(slot, page, purpose) {
            let topic = Topic::Room(self.rooms[slot].name().clone());
            let id = self.read_topic(topic, page, out);
            self.rooms.begin_read(slot, id, page, purpose);
        }
    }

    fn room_page(
        &mut self,
        slot: RoomSlot,
        which: TopicPage,
        page: Option<&Page>,
        out: &mut Outputs,
    ) -> Progress {
        match which {
            TopicPage::Newest => self.newest_page(slot, page, out),
            TopicPage::After(after) => self.page_after(slot, after, page, out),
            TopicPage::Messages { end, .. } => self.messages_page(slot, which, end, page, out),
        }
    }

    fn newest_page(&mut self, slot: RoomSlot, page: Option<&Page>, out: &mut Outputs) -> Progress {
        let Some(page) = page else { return Progress::Stuck };
        match self.rooms[slot].top() {
            Some(_) => self.rooms.learn_newest(slot, page),
            None => self.rooms.start(slot, page),
        }
        for client in self.rooms[slot].joining() {
            self.catch_up(client, slot, out);
        }
        self.catch_up_room(slot, out);
        Progress::Made
    }

    /// The messages for folded replays up to `end` were read.
    fn messages_page(
        &mut self,
        slot: RoomSlot,
        which: TopicPage,
        end: u64,
        page: Option<&Page>,
        out: &mut Outputs,
    ) -> Progress {
        let mut waiting = self.end_reads_of_clients(slot, which);
        let Some(page) = page.filter(|page| page.last >= end) else { return Progress::Stuck };
        waiting.retain(|&client| self.is_v1(client) || self.can_take_replay(client, out));
        for version in Version::ALL {
            self.replay_page(slot, version, which, page, &waiting, out);
        }
        for &client in &waiting {
            self.catch_up(client, slot, out);
        }
        Progress::Made
    }

    /// The entries after a number were read.
    fn page_after(&mut self, slot: RoomSlot, after: u64, page: Option<&Page>, out: &mut Outputs) -> Progress {
        let which = TopicPage::After(after);
        let Some(top_before) = self.rooms[slot].top() else { return Progress::Made };
        let mut waiting = self.end_reads_of_clients(slot, which);
        let Some(page) = page else { return Progress::Stuck };
        if top_before < after {
            // A client is further than the hub.
            self.rooms.note_committed(slot, page.last);
        }
        // A v2 client may wait for pages of many rooms: what it cannot take now,
        // is read again for it later.
        waiting.retain(|&client| self.is_v1(client) || self.can_take_replay(client, out));
        self.advance_room(slot, page, out);
        for &client in &waiting {
            self.judge_resume(client, slot, after, page, out);
        }
        for version in Version::ALL {
            self.replay_page(slot, version, which, page, &waiting, out);
        }
        for &client in &waiting {
            self.catch_up(client, slot, out);
        }
        if self.rooms[slot].top() > Some(top_before) {
            // Other clients may have waited for the room to get as far as they are.
            for client in self.rooms[slot].joining() {
                if !waiting.contains(&client) {
                    self.catch_up(client, slot, out);
                }
            }
        }
        // A log that has less than it should is read again later, not at once.
        if page.last <= after && self.rooms[slot].is_behind() {
            return Progress::Stuck;
        }
        self.catch_up_room(slot, out);
        Progress::Made
    }

    fn is_v1(&self, id: ClientId) -> bool {
        self.clients.get(id).is_some_and(|client| client.version() == Version::V1)
    }

    /// The clients for which this page was read.
    fn end_reads_of_clients(&mut self, slot: RoomSlot, page: TopicPage) -> Vec<ClientId> {
        let mut clients = self.rooms[slot].joining();
        clients.retain(|&id| self.clients.join_in(id, slot).is_some_and(|join| join.end_read(page)));
        clients
    }

    /// Delivers the entries of a page that the room is missing.
    fn advance_room(&mut self, slot: RoomSlot, page: &Page, out: &mut Outputs) {
        let removed = page.first.saturating_sub(1).min(page.last);
        if self.rooms.skip_to(slot, removed) {
            // For a v2 client the removed entries would be a hole: it is to come
            // back, and to be sent that they are gone.
            for client in self.rooms[slot].live(Version::V2) {
                self.close(client, CloseCode::TryAgainLater, out);
            }
        }
        for entry in &page.entries {
            if self.rooms.offer(slot, entry) == Offer::Next {
                self.note_change(entry);
            }
        }
    }

    // Conversations.

    /// Reads what a conversation is missing, unless that is being read.
    pub(super) fn catch_up_conversation(&mut self, pair: &Pair, out: &mut Outputs) {
        if let Some(after) = self.conversations.begin_read(pair) {
            self.read_topic(Topic::Pair(pair.clone()), TopicPage::After(after), out);
        }
    }

    fn conversation_page(
        &mut self,
        pair: &Pair,
        which: TopicPage,
        page: Option<&Page>,
        out: &mut Outputs,
    ) -> Progress {
        let Some(conversation) = self.conversations.get_mut(pair) else { return Progress::Made };
        conversation.end_read();
        let Some(page) = page else { return Progress::Stuck };
        conversation.feed.skip_to(page.first.saturating_sub(1).min(page.last));
        for entry in &page.entries {
            // A delivery may close a client, and with the last one of the two
            // users the conversation is forgotten.
            let Some(conversation) = self.conversations.get_mut(pair) else { return Progress::Made };
            if conversation.feed.offer(entry.seq) == Offer::Next {
                self.note_change(entry);
                self.deliver_private(entry, out);
            }
        }
        let Some(conversation) = self.conversations.get_mut(pair) else { return Progress::Made };
        if matches!(which, TopicPage::After(after) if page.last <= after) && conversation.feed.is_behind() {
            return Progress::Stuck;
        }
        self.catch_up_conversation(pair, out);
        Progress::Made
    }

    /// Begins to read a page of a room or conversation.
    fn read_topic(&mut self, topic: Topic, page: TopicPage, out: &mut Outputs) -> ReadId {
        let limits = PageLimits { entries: self.options.page_entries, bytes: self.options.page_bytes };
        let purpose = PagePurpose::Topic { topic: topic.clone(), page };
        let from = match page {
            TopicPage::Newest => QueryFrom::Entries(PageFrom::Latest),
            TopicPage::After(after) => QueryFrom::Entries(PageFrom::After(after)),
            TopicPage::Messages { after, .. } => {
                QueryFrom::Messages(MessagesFrom::Page(PageFrom::After(after)))
            }
        };
        self.reads.page(purpose, topic, from, limits, out)
    }
}
