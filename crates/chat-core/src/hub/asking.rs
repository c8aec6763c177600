//! Pages of history that a v2 client asks for.

use super::reads::{HistoryRequest, PagePurpose};
use super::{Hub, Now};
use crate::client::ClientRef;
use crate::frame::v2::{About, ErrorCode, HistoryOf, HistoryOfRef, MessageFields, Reply};
use crate::outputs::Outputs;
use crate::{ClientId, Entry, Page, PageFrom, PageLimits, Pair, Topic, Username};

impl Hub {
    pub(super) fn ask_history(
        &mut self,
        id: ClientId,
        of: HistoryOf,
        from: PageFrom,
        limit: usize,
        about: About,
        out: &mut Outputs,
    ) {
        let Some(user) = self.client(id).map(|client| client.user) else { return };
        let topic = match &of {
            HistoryOf::Room(room) => {
                if !self.is_in(id, room) {
                    return self.refuse(id, ErrorCode::NotJoined, "join the room first", &about, None);
                }
                Topic::Room(room.clone())
            }
            HistoryOf::With(name) => match Username::known(name) {
                Ok(other) => Topic::Pair(Pair::new(self.users[user].name.clone(), other)),
                Err(_) => {
                    // Nobody can have that name, which must look like somebody
                    // with whom nothing was said.
                    let nothing = Page { entries: Vec::new(), first: 1, last: 0 };
                    return self.answer_history(id, &of, from, &nothing, &about);
                }
            },
        };
        let Some(client) = self.client_mut(id) else { return };
        client.asked += 1;
        let client = ClientRef { id, generation: client.generation };
        let limits = PageLimits { entries: limit, bytes: self.options.page_bytes };
        let request = HistoryRequest { client, of, from, about };
        self.reads.page(PagePurpose::History(Box::new(request)), topic, from, limits, out);
    }

    /// The answer of the log.
    pub(super) fn history_page(
        &mut self,
        request: &HistoryRequest,
        page: Option<&Page>,
        now: Now,
        out: &mut Outputs,
    ) {
        let Some(client) = self.same_client(request.client) else { return };
        client.asked -= 1;
        let id = request.client.id;
        match (&request.of, page) {
            (_, None) => {
                let message = "the history cannot be read at this moment";
                self.refuse(id, ErrorCode::Unavailable, message, &request.about, Some(RETRY_AFTER_S));
            }
            // It left meanwhile.
            (HistoryOf::Room(room), _) if !self.is_in(id, room) => {
                self.refuse(id, ErrorCode::NotJoined, "join the room first", &request.about, None);
            }
            (of, Some(page)) => self.answer_history(id, of, request.from, page, &request.about),
        }
        self.review(id, now, out);
    }

    fn answer_history(&mut self, id: ClientId, of: &HistoryOf, from: PageFrom, page: &Page, about: &About) {
        let (entries, was_cut) = bounded(page, from, self.options.page_bytes);
        let has_more = was_cut
            || match from {
                PageFrom::After(after) => entries.last().map_or(after, |entry| entry.seq) < page.last,
                PageFrom::Latest => entries.first().is_some_and(|entry| entry.seq > page.first),
                PageFrom::Before(before) => {
                    entries.first().map_or(before.min(page.last + 1), |entry| entry.seq) > page.first
                }
            };
        let of = match of {
            HistoryOf::Room(room) => HistoryOfRef::Room(room.as_str()),
            HistoryOf::With(name) => HistoryOfRef::With(name),
        };
        let epoch = self.options.epoch.clone();
        let reply = Reply::History {
            of,
            epoch: &epoch,
            first: page.first,
            messages: entries.into_iter().map(MessageFields).collect(),
            has_more,
            reference: if let About::Reference(reference) = about { Some(reference) } else { None },
        };
        self.tell(id, &reply);
    }
}

/// The entries that fit into one frame, those next to where the page starts,
/// and whether there were more: as JSON, a text may be six times as long.
fn bounded(page: &Page, from: PageFrom, max_bytes: usize) -> (Vec<&Entry>, bool) {
    let mut bytes = 0;
    let mut fits = |entry: &&Entry| {
        let first = bytes == 0;
        let escaped = |c: char| match c {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            c if c.is_control() => 6,
            c => c.len_utf8(),
        };
        bytes += MESSAGE_BYTES + entry.body.text().chars().map(escaped).sum::<usize>();
        first || bytes <= max_bytes
    };
    let entries = page.entries.iter().map(|entry| &**entry);
    let entries: Vec<&Entry> = match from {
        PageFrom::After(_) => entries.take_while(&mut fits).collect(),
        PageFrom::Latest | PageFrom::Before(_) => {
            let mut newest_first: Vec<_> = entries.rev().take_while(&mut fits).collect();
            newest_first.reverse();
            newest_first
        }
    };
    let was_cut = entries.len() < page.entries.len();
    (entries, was_cut)
}

/// When to ask again, in seconds.
pub(super) const RETRY_AFTER_S: u64 = 1;
/// What a message takes beside its text: names, nonce, field names.
const MESSAGE_BYTES: usize = 600;
