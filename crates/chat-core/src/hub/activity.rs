//! Activity: the clients of a room's members that have not joined it are sent how many
//! messages came, at most once a second.
//!
//! A message is added to the window of its room, which costs the same however many members
//! there are. When the window is shown, it is counted for each member who is connected.
//! Changes of messages do not count; a message that is deleted before the window is shown
//! does not, either.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;

use super::Hub;
use super::client::{Client, ClientRef};
use super::planted::planted;
use super::rooms::RoomSlot;
use crate::frame::Version;
use crate::frame::v2::Reply;
use crate::outputs::Outputs;
use crate::seed::Seed;
use crate::{Body, ClientId, Entry, Memberships, Mentions, Username};

/// What came in a room that members with clients here have not joined.
#[derive(Debug)]
pub(super) struct Window {
    /// Clients know of the messages up to here, except for those in `late`.
    start: u64,
    /// The number of the last entry, and the time in milliseconds of the last message.
    top: u64,
    at_ms: u64,
    /// The newest messages in rising order, at most [`RECENT_MAX`]; also some before
    /// `start`, which a late client may not know.
    recent: VecDeque<Seen>,
    /// All messages after this number are in `recent`.
    reach: u64,
    /// The pass before which the newest entry came, unless that is long ago.
    newest_pass: Option<u64>,
    /// The messages after `start` that are no longer in `recent`.
    older: Tally,
    /// Clients that know of the messages up to another number than `start`.
    late: BTreeMap<ClientId, Late>,
    /// When the window was last shown, in milliseconds.
    shown_ms: Option<u64>,
    /// Counts how often the window was shown, or was due without news.
    passes: u64,
}

/// A message in a window.
#[derive(Debug)]
struct Seen {
    seq: u64,
    /// It is not deleted.
    counts: bool,
    from: Username,
    mentions: Option<Box<Mentions>>,
    /// The pass before which it came.
    pass: u64,
}

/// A client that knows of the messages up to this number.
#[derive(Debug, Clone, Copy)]
struct Late {
    client: ClientRef,
    known: u64,
}

/// Messages, counted so that each user's share can be looked up.
#[derive(Debug)]
struct Tally {
    messages: u64,
    /// Those that mention everybody.
    to_all: u64,
    users: HashMap<Username, Share, Seed>,
}

/// The messages in a tally that are not counted for a user as others are.
#[derive(Debug, Default)]
struct Share {
    /// Written by the user.
    own: u64,
    /// Those of them that mention everybody.
    own_to_all: u64,
    /// Messages of others that mention the user by name, but not everybody.
    named: u64,
}

/// What a user is shown of a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct News {
    /// Messages of others.
    new: u64,
    /// Those of them that mention the user.
    mentions: u64,
}

impl Window {
    /// A window in which nothing came after the message `start`.
    pub(super) fn new(start: u64, seed: Seed) -> Self {
        Self {
            start,
            top: start,
            at_ms: 0,
            recent: VecDeque::new(),
            reach: start,
            newest_pass: None,
            older: Tally::new(seed),
            late: BTreeMap::new(),
            shown_ms: None,
            passes: 0,
        }
    }

    /// Adds an entry. Those before it that the window has not seen count as messages of
    /// others without mentions: rather too many than that one is missed.
    pub(super) fn note(&mut self, entry: &Entry) {
        if entry.seq <= self.top {
            return;
        }
        let missing = entry.seq - self.top - 1;
        if missing > 0 {
            // No member was connected, or the room was read from a later message on.
            for seen in self.recent.drain(..).filter(|seen| seen.seq > self.start) {
                self.older.add(&seen);
            }
            self.older.messages += missing;
            self.reach = entry.seq - 1;
        }
        (self.top, self.newest_pass) = (entry.seq, Some(self.passes));
        if entry.body.is_message() {
            self.at_ms = entry.at_ms;
            self.add_message(entry);
        }
        if let Body::Delete { target } = entry.body
            && let Ok(index) = self.recent.binary_search_by_key(&target, |seen| seen.seq)
        {
            self.recent[index].counts = false;
        }
    }

    fn add_message(&mut self, message: &Entry) {
        if self.recent.len() == RECENT_MAX
            && let Some(oldest) = self.recent.pop_front()
        {
            self.reach = oldest.seq;
            if oldest.seq > self.start {
                self.older.add(&oldest);
            }
        }
        let counts = !message.body.is_deleted();
        let mentions = message.body.mentions().filter(|_| counts).cloned().map(Box::new);
        let (seq, from) = (message.seq, message.from.clone());
        self.recent.push_back(Seen { seq, counts, from, mentions, pass: self.passes });
    }

    /// Notes that a client knows of the messages up to `known`, which may be ahead of the
    /// window.
    pub(super) fn know(&mut self, client: ClientRef, known: u64) {
        let noted = self.late.get(&client.id).filter(|late| late.client == client);
        let known = noted.map_or(known, |late| known.max(late.known));
        if known == self.start {
            self.late.remove(&client.id);
        } else {
            self.late.insert(client.id, Late { client, known });
        }
    }

    /// Notes that messages up to `top` came that were not added.
    pub(super) fn skip_to(&mut self, top: u64) {
        if top > self.top {
            (self.start, self.top, self.reach) = (top, top, top);
            self.recent.clear();
            self.older = Tally::new(*self.older.users.hasher());
        }
    }

    fn has_news(&self) -> bool {
        self.top > self.start || !self.late.is_empty()
    }

    /// Whether nothing in it is needed any more.
    fn is_over(&self) -> bool {
        !self.has_news() && self.recent.is_empty() && self.newest_pass.is_none()
    }

    /// What came for the clients that know of the messages up to `start`. From here on
    /// all clients know of all messages, except for the late ones, which are returned.
    fn take(&mut self) -> (Tally, BTreeMap<ClientId, Late>) {
        let seed = *self.older.users.hasher();
        let mut tally = std::mem::replace(&mut self.older, Tally::new(seed));
        for seen in self.recent.iter().rev().take_while(|seen| seen.seq > self.start) {
            tally.add(seen);
        }
        self.start = self.top;
        (tally, std::mem::take(&mut self.late))
    }

    /// What came for one user after the number `known`. Where `recent` does not reach back
    /// that far, all entries before it count as messages of others without mentions: rather
    /// too many than that one is missed.
    fn news_after(&self, known: u64, user: &Username) -> News {
        let mut news = News { new: self.reach.saturating_sub(known), mentions: 0 };
        for seen in self.recent.iter().rev().take_while(|seen| seen.seq > known) {
            if seen.counts && seen.from != *user {
                news.new += 1;
                news.mentions += u64::from(seen.mentions.as_ref().is_some_and(|found| found.contain(user)));
            }
        }
        news
    }

    /// Ends a pass: messages that came long before it are forgotten.
    fn end_pass(&mut self, now_ms: u64) {
        self.shown_ms = Some(now_ms);
        self.passes += 1;
        let (start, until) = (self.start, self.passes.saturating_sub(PASSES_KEPT));
        while let Some(seen) = self.recent.pop_front_if(|seen| seen.seq <= start && seen.pass < until) {
            self.reach = seen.seq;
        }
        self.newest_pass.take_if(|pass| *pass < until);
    }
}

impl Tally {
    fn new(seed: Seed) -> Self {
        Self { messages: 0, to_all: 0, users: HashMap::with_hasher(seed) }
    }

    fn add(&mut self, seen: &Seen) {
        if !seen.counts {
            return;
        }
        self.messages += 1;
        let author = self.users.entry_ref(&seen.from).or_default();
        author.own += 1;
        let Some(mentions) = &seen.mentions else { return };
        if mentions.all {
            author.own_to_all += 1;
            self.to_all += 1;
            return;
        }
        for name in mentions.names.iter().filter(|&name| *name != seen.from) {
            self.users.entry_ref(name).or_default().named += 1;
        }
    }

    fn of(&self, user: &Username) -> News {
        let everybody = News { new: self.messages, mentions: self.to_all };
        self.users.get(user).map_or(everybody, |share| News {
            new: self.messages - share.own,
            mentions: self.to_all - share.own_to_all + share.named,
        })
    }
}

impl Hub {
    /// A client's `hello` lists the rooms of its user: their `activity` counts from there.
    pub(super) fn know_rooms(&mut self, client: ClientRef, memberships: &Memberships) {
        for membership in &memberships.rooms {
            if let Some(slot) = self.rooms.slot_of(&membership.room) {
                self.rooms.know(slot, client, membership.top);
            }
        }
    }

    /// A client knows of everything that was delivered in a room: it has left the room, or
    /// its user has become a member.
    pub(super) fn know_room(&mut self, id: ClientId, slot: RoomSlot) {
        let Some(client) = self.clients.get(id).filter(|client| takes_activity(client)) else { return };
        if let Some(top) = self.rooms[slot].top() {
            self.rooms.know(slot, client.reference(), top);
        }
    }

    /// Sends the clients of members what came in rooms that they have not joined, where
    /// that is due; written behind everything else of a turn.
    pub(super) fn show_activity(&mut self, out: &mut Outputs) {
        if !std::mem::take(&mut self.is_activity_due) {
            return;
        }
        let (every_ms, now_ms) = (self.options.activity_every_ms, self.now.mono_ms);
        for slot in self.rooms.take_active() {
            let Some(window) = self.rooms.window_mut(slot) else { continue };
            if window.shown_ms.is_none_or(|shown_ms| shown_ms + every_ms <= now_ms) {
                if window.has_news() {
                    self.show_window(slot, out);
                }
                let Some(window) = self.rooms.window_mut(slot) else { continue };
                window.end_pass(now_ms);
                let (is_over, start) = (window.is_over(), window.start);
                // A client's `hello` may be ahead of the room, also after a page was read.
                if is_over && self.rooms[slot].top() >= Some(start) {
                    self.rooms.close_window(slot);
                    continue;
                }
            }
            self.rooms.keep_active(slot);
        }
    }

    fn show_window(&mut self, slot: RoomSlot, out: &mut Outputs) {
        let joined = self.joined_in(slot);
        let Some(window) = self.rooms.window_mut(slot) else { return };
        let (top, at_ms, start) = (window.top, window.at_ms, window.start);
        let (tally, mut late) = window.take();
        // Clients that are shown the same, and those whose sockets must take other bytes first.
        let mut shown: BTreeMap<News, Vec<ClientId>> = BTreeMap::new();
        let mut waiting: Vec<Late> = Vec::new();
        let mut offer = |client: &Client, known: u64, news: News| {
            let reference = client.reference();
            if !takes_activity(client) || joined.binary_search(&reference.id).is_ok() {
                return;
            }
            if client.pending() > 0 {
                waiting.push(Late { client: reference, known });
            } else if news.new > 0 {
                shown.entry(news).or_default().push(reference.id);
            }
        };
        let room = &self.rooms[slot];
        if tally.messages > 0 {
            for (user, _) in room.watchers() {
                let user = &self.users[user];
                let mut news = tally.of(user.name());
                if planted!(self, OwnMessageCounted) {
                    news.new = tally.messages;
                }
                for client in user.clients().iter().filter_map(|&id| self.clients.get(id)) {
                    let is_late = late.get(&client.reference().id);
                    if is_late.is_none_or(|late| late.client != client.reference()) {
                        offer(client, start, news);
                    }
                }
            }
        }
        let seen = |client: &Client, known: u64| {
            let news = room.window().map(|window| window.news_after(known, self.users[client.user()].name()));
            news.unwrap_or_default()
        };
        for late in late.values() {
            let client = self.clients.get(late.client.id).filter(|client| client.reference() == late.client);
            if let Some(client) = client
                && room.watcher(client.user()).is_some()
            {
                offer(client, late.known, seen(client, late.known));
            }
        }
        // What a client knows that is ahead of the window stays noted.
        late.retain(|_, late| late.known > top);
        waiting.extend(late.values());
        for (news, recipients) in shown {
            let (room, at) = (room.name().as_str(), at_ms / 1000);
            let frame = Reply::Activity { room, top, at, new: news.new, mentions: news.mentions };
            self.scratch.clear();
            self.options.framing.append(&mut self.scratch, |out| frame.write(out));
            let bytes = out.store(&self.scratch);
            out.write(recipients, bytes, 0);
        }
        if let Some(window) = self.rooms.window_mut(slot) {
            for Late { client, known } in waiting {
                window.know(client, known);
            }
        }
    }

    /// The v2 clients that have joined a room, in order: they are sent its messages.
    fn joined_in(&mut self, slot: RoomSlot) -> Vec<ClientId> {
        let mut joined = self.rooms[slot].live(Version::V2);
        for &id in self.rooms[slot].joining_of(Version::V2) {
            let is_answered = self.clients.join_in(id, slot).is_some_and(|join| join.request().is_none());
            if is_answered {
                joined.push(id);
            }
        }
        joined.sort_unstable();
        joined
    }
}

/// Whether a client is sent activity at all.
fn takes_activity(client: &Client) -> bool {
    client.version() == Version::V2 && !client.is_closed() && !client.is_being_greeted()
}

/// Messages of one room that are kept for clients that know of a part of them.
const RECENT_MAX: usize = 256;
/// A message is kept for so many passes, which are a second apart: longer than the rooms
/// in a `hello` may be old.
const PASSES_KEPT: u64 = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Emoji, MessageText, RoomName, Topic};

    fn name(index: u8) -> Username {
        Username::parse(["alice", "bob", "carol", "dave"][usize::from(index % 4)]).unwrap()
    }

    fn entry(seq: u64, from: u8, named: &[u8], all: bool) -> Entry {
        let names: Vec<Username> = named.iter().map(|&index| name(index)).collect();
        let is_plain = names.is_empty() && !all;
        let mentions = (!is_plain).then(|| Box::new(Mentions { names, all }));
        Entry {
            topic: Topic::Room(RoomName::default()),
            seq,
            from: name(from),
            room: None,
            body: Body::Message {
                text: MessageText::stored("hi"),
                mentions,
                reply_to: None,
                files: None,
                state: None,
            },
            at_ms: seq * 1_000,
            nonce: None,
        }
    }

    fn client(id: u32) -> ClientRef {
        ClientRef { id: ClientId(id), generation: id }
    }

    /// What came for a user after a number, counted one by one.
    fn counted(entries: &[Entry], known: u64, user: &Username) -> News {
        let is_deleted = |seq: u64| {
            entries.iter().any(|entry| matches!(entry.body, Body::Delete { target } if target == seq))
        };
        let counts = |entry: &&Entry| {
            entry.body.is_message() && entry.seq > known && entry.from != *user && !is_deleted(entry.seq)
        };
        let others: Vec<_> = entries.iter().filter(counts).collect();
        let mentions = others.iter().filter_map(|entry| entry.body.mentions());
        let mentions = mentions.filter(|mentions| mentions.contain(user)).count();
        News { new: others.len() as u64, mentions: mentions as u64 }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn each_user_is_shown_what_others_wrote_since_it_was_last_shown(
            messages in prop::collection::vec(
                (0..4_u8, prop::collection::btree_set(0..4_u8, 0..3), prop::bool::weighted(0.1), 0..12_u64),
                1..700,
            ),
            passes in prop::collection::btree_set(0..700_usize, 0..6),
            known in 0..700_u64,
        ) {
            let mut window = Window::new(0, Seed(1, 2));
            let (mut entries, mut start) = (Vec::new(), 0);
            for (index, (from, named, all, kind)) in messages.iter().enumerate() {
                let named: Vec<u8> = named.iter().copied().collect();
                let mut entry = entry(index as u64 + 1, *from, &named, *all);
                let target = entry.seq.saturating_sub(*kind);
                match kind {
                    1..=3 => entry.body = Body::Delete { target },
                    4 => entry.body = Body::React { target, emoji: Emoji::stored("👍") },
                    5 => {
                        let mentions = entry.body.mentions().cloned().map(Box::new);
                        entry.body = Body::Edit { target, text: None, mentions };
                    }
                    _ => {}
                }
                window.note(&entry);
                // An entry that is noted twice counts once.
                window.note(&entry);
                entries.push(entry);
                if passes.contains(&index) {
                    let (tally, _) = window.take();
                    window.end_pass(index as u64);
                    for user in (0..4).map(name) {
                        prop_assert_eq!(tally.of(&user), counted(&entries, start, &user));
                    }
                    start = entries.len() as u64;
                }
            }
            prop_assert!(window.recent.len() <= RECENT_MAX);
            for user in (0..4).map(name) {
                let news = window.news_after(known, &user);
                let exact = counted(&entries, known, &user);
                let messages = entries.iter().filter(|entry| entry.body.is_message() && entry.seq > known);
                if messages.count() <= RECENT_MAX {
                    prop_assert_eq!(news, exact);
                } else {
                    prop_assert!(news.new >= exact.new && news.mentions <= exact.mentions);
                }
            }
        }
    }

    #[test]
    fn a_late_client_is_remembered_until_the_window_is_shown() {
        let mut window = Window::new(5, Seed(1, 2));
        window.know(client(1), 5);
        assert!(window.is_over());
        for seq in 6..=8 {
            window.note(&entry(seq, 0, &[], false));
        }
        window.know(client(1), 7);
        window.know(client(2), 9);
        window.know(client(3), 7);
        window.know(client(3), 5);
        let (tally, late) = window.take();
        assert_eq!(tally.of(&name(1)), News { new: 3, mentions: 0 });
        let known: Vec<_> = late.values().map(|late| (late.client.id.0, late.known)).collect();
        // What a client knows does not become less.
        assert_eq!(known, [(1, 7), (2, 9), (3, 7)]);
        assert_eq!(window.news_after(7, &name(1)).new, 1);
        assert_eq!(window.news_after(9, &name(1)).new, 0);
        assert!(!window.has_news());
        assert!(!window.is_over(), "a client may still say that it knows 6");
        for now_ms in 0..=PASSES_KEPT {
            window.end_pass(now_ms);
        }
        assert!(window.is_over());
    }
}
