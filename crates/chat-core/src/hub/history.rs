//! Pages of history that v2 clients request.

use super::Hub;
use super::client::{Client, Paused};
use super::join::WaitingHistory;
use super::reads::{HistoryPage, HistoryRequest, PagePurpose};
use super::replies::RETRY_AFTER_S;
use crate::frame::v2::{self, About, ErrorCode, MessageFields, Place, PlaceRef, Reply};
use crate::outputs::Outputs;
use crate::{ClientId, Entry, Page, PageFrom, PageLimits, Pair, RoomName, Topic, Username};

impl Hub {
    /// A client requests a page of history.
    pub(super) fn history_request(
        &mut self,
        id: ClientId,
        requested: HistoryPage,
        limit: usize,
        about: About,
        out: &mut Outputs,
    ) {
        let Some(user) = self.clients.get(id).map(Client::user) else { return };
        let (requested, about) = match self.defer_history(id, requested, limit, about) {
            Some(history) => (history.page, history.about),
            None => return,
        };
        let topic = match &requested.of {
            Place::Room(room) => {
                if !self.has_joined(id, room) {
                    return self.refuse(id, ErrorCode::NotJoined, "join the room first", &about, None);
                }
                Topic::Room(room.clone())
            }
            Place::With(name) => match Username::known(name) {
                Ok(other) => Topic::Pair(Pair::new(self.users[user].name().clone(), other)),
                Err(_) => {
                    // No account can have that name, which must look like an
                    // account without messages.
                    let nothing = Page { first: 1, ..Page::default() };
                    return self.send_history(id, &requested, &nothing, &about);
                }
            },
        };
        let Some(client) = self.clients.get_mut(id) else { return };
        client.begin_read();
        let client = client.reference();
        let limits = PageLimits { entries: limit, bytes: self.options.page_bytes };
        let from = requested.from;
        let join = match &requested.of {
            Place::Room(room) => self.reading_join(id, room),
            Place::With(_) => None,
        };
        let request = HistoryRequest { client, join, page: requested, about };
        self.reads.page(PagePurpose::History(Box::new(request)), topic, from, limits, out);
    }

    /// Keeps a request until the store has answered whether the client may read the room.
    /// Returns it if that is known.
    fn defer_history(
        &mut self,
        id: ClientId,
        page: HistoryPage,
        limit: usize,
        about: About,
    ) -> Option<WaitingHistory> {
        let slot = match &page.of {
            Place::Room(room) => self.rooms.slot_of(room),
            Place::With(_) => None,
        };
        let history = WaitingHistory { page, limit, about };
        let Some(join) = slot.and_then(|slot| self.clients.join_in(id, slot)) else { return Some(history) };
        let left = join.defer(history);
        if left.is_none()
            && let Some(client) = self.clients.get_mut(id)
        {
            // It counts as one that is being read.
            client.begin_read();
        }
        left
    }

    /// Continues the requests that waited until the client may read the room, or refuses
    /// them with a reason.
    pub(super) fn end_deferred(
        &mut self,
        id: ClientId,
        histories: Vec<WaitingHistory>,
        refusal: Option<(ErrorCode, &str)>,
        out: &mut Outputs,
    ) {
        for WaitingHistory { page, limit, about } in histories {
            let Some(client) = self.clients.get_mut(id) else { return };
            client.end_read();
            match refusal {
                Some((code, message)) => self.refuse(id, code, message, &about, None),
                None => self.history_request(id, page, limit, about, out),
            }
        }
        // The join may have been given up without a frame of the client or an answer.
        if self.clients.get(id).is_some_and(|client| client.paused() == Some(Paused::Reading)) {
            self.update_pause(id, out);
        }
    }

    /// The number of the join by which a client may read a room.
    fn reading_join(&self, id: ClientId, room: &RoomName) -> Option<u64> {
        self.clients.get(id)?.reading_join(self.rooms.slot_of(room)?)
    }

    /// The page was read; `None` if the log failed.
    pub(super) fn history_page(&mut self, request: &HistoryRequest, page: Option<&Page>, out: &mut Outputs) {
        let Some(client) = self.clients.same(request.client) else { return };
        client.end_read();
        let id = request.client.id;
        match (&request.page.of, page) {
            (_, None) => {
                let message = "the history cannot be read at this moment";
                self.refuse(id, ErrorCode::Unavailable, message, &request.about, Some(RETRY_AFTER_S));
            }
            // It has left the room meanwhile, or was removed.
            (Place::Room(room), _) if self.reading_join(id, room) != request.join => {
                self.refuse(id, ErrorCode::NotJoined, "join the room first", &request.about, None);
            }
            (_, Some(page)) => self.send_history(id, &request.page, page, &request.about),
        }
        self.update_pause(id, out);
    }

    fn send_history(&mut self, id: ClientId, requested: &HistoryPage, page: &Page, about: &About) {
        let from = requested.from;
        let entries = entries_within(page, from, self.options.page_bytes);
        let has_more = entries.len() < page.entries.len()
            || match from {
                PageFrom::After(after) => entries.last().map_or(after, |entry| entry.seq) < page.last,
                PageFrom::Latest => entries.first().is_some_and(|entry| entry.seq > page.first),
                PageFrom::Before(before) => {
                    entries.first().map_or(before.min(page.last + 1), |entry| entry.seq) > page.first
                }
            };
        let covered = requested.fold.then(|| covered(page, from, &entries, has_more));
        let of = match &requested.of {
            Place::Room(room) => PlaceRef::Room(room.as_str()),
            Place::With(name) => PlaceRef::With(name),
        };
        let epoch = self.options.epoch.clone();
        let reply = Reply::History {
            of,
            epoch: &epoch,
            first: page.first,
            from: covered.as_ref().map(|(from, _)| *from),
            upto: covered.as_ref().map(|(_, upto)| *upto),
            messages: entries.into_iter().map(MessageFields).collect(),
            has_more,
            reference: about.reference(),
        };
        self.reply(id, &reply);
    }
}

/// The first and the last number that a page covers with the entries that are sent of
/// it; the first is one more than the last if it covers none. Neighbouring pages meet.
fn covered(page: &Page, from: PageFrom, sent: &[&Entry], has_more: bool) -> (u64, u64) {
    let upto = match from {
        PageFrom::Latest => page.last,
        PageFrom::Before(before) => page.last.min(before.saturating_sub(1)),
        // Behind the last one sent there may be some that are no longer kept.
        PageFrom::After(after) => match sent.last() {
            Some(last) if has_more => last.seq,
            _ => after.max(page.last),
        },
    };
    match from {
        PageFrom::After(after) => (after.saturating_add(1), upto),
        PageFrom::Latest | PageFrom::Before(_) => (sent.first().map_or(upto + 1, |first| first.seq), upto),
    }
}

/// The entries of a page that fit into one frame, those next to where the page
/// starts: as JSON, a text may be six times as long.
fn entries_within(page: &Page, from: PageFrom, max_bytes: usize) -> Vec<&Entry> {
    let mut bytes = 0;
    let mut fits = |entry: &&Entry| {
        let is_first = bytes == 0;
        bytes += v2::entry_bytes(entry) + 1;
        is_first || bytes <= max_bytes
    };
    let entries = page.entries.iter().map(|entry| &**entry);
    match from {
        PageFrom::After(_) => entries.take_while(&mut fits).collect(),
        PageFrom::Latest | PageFrom::Before(_) => {
            let mut newest_first: Vec<_> = entries.rev().take_while(&mut fits).collect();
            newest_first.reverse();
            newest_first
        }
    }
}
