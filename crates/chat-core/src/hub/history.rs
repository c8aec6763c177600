//! Pages of history that v2 clients request.

use std::ops::Range;
use std::sync::Arc;

use super::Hub;
use super::client::{Client, Paused};
use super::join::WaitingHistory;
use super::reads::{HistoryPage, HistoryRequest, PagePurpose, QueryFrom};
use super::replies::RETRY_AFTER_S;
use crate::file::FILE_BYTES;
use crate::frame::v2::{
    self, About, ErrorCode, HistoryRange, MessageFields, Place, PlaceRef, Reply, SEQS_MAX,
};
use crate::outputs::Outputs;
use crate::{
    ClientId, Entry, FILE_NAME_MAX_BYTES, FILES_MAX, MessagesFrom, Page, PageFrom, PageLimits, Pair,
    RoomName, Topic, Username,
};

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
                    return self.send_history(id, &requested, limit, &nothing, &about);
                }
            },
        };
        let Some(client) = self.clients.get_mut(id) else { return };
        client.begin_read();
        let client = client.reference();
        let (from, limits) = self.history_query(&requested, limit);
        let join = match &requested.of {
            Place::Room(room) => self.reading_join(id, room),
            Place::With(_) => None,
        };
        let request = HistoryRequest { client, join, page: requested, limit, about };
        self.reads.page(PagePurpose::History(Box::new(request)), topic, from, limits, out);
    }

    /// What is read for a request.
    fn history_query(&self, requested: &HistoryPage, limit: usize) -> (QueryFrom, PageLimits) {
        let bytes = self.options.page_bytes;
        let text_bytes = 4 * self.options.text_max_chars + FILES_MAX * (FILE_BYTES + FILE_NAME_MAX_BYTES);
        // More than fits into a frame, whatever the next text is: what a read leaves out is
        // noticed as what does not fit.
        let more_than_fits = bytes + bytes.max(text_bytes);
        match (&requested.range, requested.fold) {
            (HistoryRange::Page(from), false) => {
                (QueryFrom::Entries(*from), PageLimits { entries: limit, bytes })
            }
            (HistoryRange::Page(from), true) => {
                (QueryFrom::Messages(MessagesFrom::Page(*from)), PageLimits { entries: limit, bytes })
            }
            (HistoryRange::Around(seq), false) => {
                let from_it_on = limit - limit / 2;
                let before = PageFrom::Before(seq.saturating_add(from_it_on as u64));
                // All from the number on, which are read first.
                let bytes = from_it_on * text_bytes + more_than_fits;
                (QueryFrom::Entries(before), PageLimits { entries: limit, bytes })
            }
            (HistoryRange::Around(seq), true) => {
                (QueryFrom::Messages(MessagesFrom::Around(*seq)), PageLimits { entries: limit, bytes })
            }
            (HistoryRange::Seqs(seqs), _) => {
                let limits = PageLimits { entries: SEQS_MAX, bytes: more_than_fits };
                (QueryFrom::Messages(MessagesFrom::Numbers(seqs.clone())), limits)
            }
        }
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
        let page = page.filter(|_| match &request.page.of {
            Place::Room(room) => !self.rooms.slot_of(room).is_some_and(|slot| self.waits_for_removals(slot)),
            _ => true,
        });
        match (&request.page.of, page) {
            (_, None) => {
                let message = "the history cannot be read at this moment";
                self.refuse(id, ErrorCode::Unavailable, message, &request.about, Some(RETRY_AFTER_S));
            }
            // It has left the room meanwhile, or was removed.
            (Place::Room(room), _) if self.reading_join(id, room) != request.join => {
                self.refuse(id, ErrorCode::NotJoined, "join the room first", &request.about, None);
            }
            (_, Some(page)) => {
                self.send_history(id, &request.page, request.limit, page, &request.about);
            }
        }
        self.update_pause(id, out);
    }

    fn send_history(
        &mut self,
        id: ClientId,
        requested: &HistoryPage,
        limit: usize,
        page: &Page,
        about: &About,
    ) {
        let part = Part::new(requested, limit, page, self.options.page_bytes);
        let covered = part.covered(requested, page);
        let of = match &requested.of {
            Place::Room(room) => PlaceRef::Room(room.as_str()),
            Place::With(name) => PlaceRef::With(name),
        };
        let is_around = matches!(requested.range, HistoryRange::Around(_));
        let epoch = self.options.epoch.clone();
        let reply = Reply::History {
            of,
            epoch: &epoch,
            first: page.first,
            from: covered.as_ref().map(|(from, _)| *from),
            upto: covered.as_ref().map(|(_, upto)| *upto),
            messages: part.entries.iter().map(|entry| MessageFields(entry)).collect(),
            has_more: match requested.range {
                HistoryRange::Page(PageFrom::After(_)) | HistoryRange::Seqs(_) => part.has_newer,
                HistoryRange::Page(PageFrom::Latest | PageFrom::Before(_)) => part.has_older,
                HistoryRange::Around(_) => part.has_older || part.has_newer,
            },
            has_more_before: is_around.then_some(part.has_older),
            has_more_after: is_around.then_some(part.has_newer),
            reference: about.reference(),
        };
        self.reply(id, &reply);
    }
}

/// The part of a page that is sent in one frame.
struct Part<'a> {
    entries: &'a [Arc<Entry>],
    /// Whether there are older ones than these …
    has_older: bool,
    /// … and newer ones. Of messages by their numbers: whether some did not fit.
    has_newer: bool,
}

impl<'a> Part<'a> {
    /// What fits into a frame of so many bytes, but at least one entry if there are any: as
    /// JSON, a text may be six times as long as in the page.
    fn new(requested: &HistoryPage, limit: usize, page: &'a Page, max_bytes: usize) -> Self {
        let all = &page.entries[..];
        let is_folded = requested.fold || matches!(requested.range, HistoryRange::Seqs(_));
        let (entries, start) = match requested.range {
            HistoryRange::Page(PageFrom::After(_)) | HistoryRange::Seqs(_) => (all, 0),
            HistoryRange::Page(PageFrom::Latest | PageFrom::Before(_)) => (all, all.len()),
            HistoryRange::Around(seq) => {
                let start = all.partition_point(|entry| entry.seq < seq);
                // Where fewer follow, the page has more before than requested.
                let left_out = start.saturating_sub(limit / 2);
                (&all[left_out..], start - left_out)
            }
        };
        let kept = fitting(entries, start, max_bytes);
        let (is_cut_before, is_cut_after) = (kept.start > 0, kept.end < entries.len());
        let entries = &entries[kept];
        let (has_older, has_newer) = match (is_folded, &requested.range) {
            (_, HistoryRange::Seqs(_)) => (false, is_cut_after),
            (true, _) => (page.has_older || is_cut_before, page.has_newer || is_cut_after),
            // The log has no gap.
            (false, range) => match (entries.first(), entries.last()) {
                (Some(first), Some(last)) => (first.seq > page.first, last.seq < page.last),
                _ => {
                    let after = match range {
                        HistoryRange::Page(PageFrom::After(after)) => *after,
                        HistoryRange::Page(PageFrom::Before(seq)) | HistoryRange::Around(seq) => {
                            seq.saturating_sub(1)
                        }
                        HistoryRange::Page(PageFrom::Latest) | HistoryRange::Seqs(_) => page.last,
                    };
                    (page.first <= page.last.min(after), after.max(page.first.saturating_sub(1)) < page.last)
                }
            },
        };
        Self { entries, has_older, has_newer }
    }

    /// The first and the last number that a folded answer covers; the first is one more than
    /// the last if it covers none. Neighbouring pages meet.
    fn covered(&self, requested: &HistoryPage, page: &Page) -> Option<(u64, u64)> {
        if !requested.fold {
            return None;
        }
        // Behind the last message there may be changes, and numbers that are no longer kept.
        let upto = |end: u64| match self.entries.last() {
            Some(last) if self.has_newer => last.seq,
            _ => end,
        };
        let (least, upto) = match requested.range {
            HistoryRange::Seqs(_) => return None,
            HistoryRange::Page(PageFrom::After(after)) => {
                return Some((after.saturating_add(1), upto(page.last.max(after))));
            }
            HistoryRange::Page(PageFrom::Before(before)) => {
                let upto = page.last.min(before.saturating_sub(1));
                (upto + 1, upto)
            }
            HistoryRange::Page(PageFrom::Latest) => (page.last + 1, page.last),
            // There is no message between this number and the next one in the answer.
            HistoryRange::Around(seq) if !self.entries.is_empty() => (seq.max(1), upto(page.last)),
            HistoryRange::Around(_) => (page.last + 1, page.last),
        };
        let first = self.entries.first().map_or(least, |first| first.seq);
        Some((first.min(least), upto))
    }
}

/// The entries that fit into so many bytes, those next to `start` first, from `start` on and
/// before it in turn; at least one if there are any.
fn fitting(entries: &[Arc<Entry>], start: usize, max_bytes: usize) -> Range<usize> {
    let mut kept = start..start;
    let mut bytes = 0;
    let mut is_after = true;
    while kept.len() < entries.len() {
        let takes_after = kept.start == 0 || is_after && kept.end < entries.len();
        let next = if takes_after { kept.end } else { kept.start - 1 };
        bytes += v2::entry_bytes(&entries[next]) + 1;
        if bytes > max_bytes && !kept.is_empty() {
            break;
        }
        match takes_after {
            true => kept.end += 1,
            false => kept.start -= 1,
        }
        is_after = !is_after;
    }
    kept
}
