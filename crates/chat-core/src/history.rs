//! A log in memory.

mod rooms;

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;

pub use self::rooms::KeptRoom;
use self::rooms::RoomTable;
use crate::batch::{self, Known, Verdict};
use crate::seed::Seed;
use crate::{
    Answer, COUNT_MAX, ChangeRefused, Commit, ConversationState, Conversations, Counts, Draft, Entry,
    Membership, Memberships, Mentions, Nonce, Outcome, Page, PageFrom, PageLimits, Query, ReadState, Receipt,
    Role, RoomAccess, RoomChange, RoomInfo, RoomName, Topic, UserMark, Username, WantedChange,
};

/// A log in memory, as a plain value: it numbers and keeps entries, recognises
/// nonces, and reads pages. It passes the same contract suite as the logs in
/// databases.
///
/// It keeps only the newest entries, see [`HistoryLimits`].
pub struct History {
    limits: HistoryLimits,
    topics: HashMap<Topic, Log, Seed>,
    /// The entry of each nonce, for as long as the entry is kept.
    nonces: Nonces,
    /// The topics with entries, in the order of their last writes.
    written: BTreeMap<u64, Topic>,
    /// The highest key given in `written`.
    writes: u64,
    rooms: RoomTable,
}

/// How much a [`History`] keeps. Past a limit it removes entries, but never gives a
/// number twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// The number of entries of one topic. Past it the oldest entry is removed with
    /// its nonce, and [`Page::first`] moves up.
    pub entries_per_topic: usize,
    /// The number of topics with entries. Past it the topic that was written least
    /// recently loses all its entries and their nonces, but keeps its last number and
    /// stamp: the next entry gets the next number, and a reader sees by
    /// [`Page::first`] that the older entries are gone.
    ///
    /// What remains of each topic ever written to is some 150 bytes and its name,
    /// until the history is dropped. Without it the topic would count from 1 again
    /// under the same epoch, and clients would take new entries for old ones.
    pub topics: usize,
}

impl Default for HistoryLimits {
    /// 10,000 entries and 10,000 topics. A client may resume as many entries
    /// (`resume_max_messages`).
    fn default() -> Self {
        Self { entries_per_topic: 10_000, topics: 10_000 }
    }
}

type Nonces = HashMap<(Username, Nonce), Arc<Entry>, Seed>;

/// The numbers and entries of one topic.
#[derive(Default)]
struct Log {
    /// The newest entries, without a gap, up to `last`.
    entries: VecDeque<Arc<Entry>>,
    last: u64,
    last_at_ms: u64,
    /// The key of the topic in [`History::written`], if it has entries.
    written: u64,
}

impl History {
    /// Creates an empty history.
    pub fn new(seed: Seed, limits: HistoryLimits) -> Self {
        Self {
            limits,
            topics: HashMap::with_hasher(seed),
            nonces: HashMap::with_hasher(seed),
            written: BTreeMap::new(),
            writes: 0,
            rooms: RoomTable::new(seed),
        }
    }

    /// Stores a batch, draft by draft, by the rule that [`Batch`](crate::Batch) follows
    /// for other logs.
    ///
    /// Entries are stamped `max(now_ms, the topic's last stamp)`.
    pub fn append(
        &mut self,
        drafts: &[Draft],
        now_ms: u64,
        account_exists: impl Fn(&Username) -> bool,
    ) -> Commit {
        let mut commit = Commit {
            entries: Vec::with_capacity(drafts.len()),
            receipts: Vec::with_capacity(drafts.len()),
            changes: Vec::new(),
        };
        for draft in drafts {
            let earlier =
                |author: &Username, nonce: &Nonce| self.nonces.get(&(author.clone(), nonce.clone()));
            let known = KnownRooms { rooms: &self.rooms, account_exists: &account_exists };
            let check = draft.check || draft.body.mentions().is_some() || self.is_special(&draft.topic);
            let mut not_members = Vec::new();
            let outcome = match batch::judge(draft, earlier, &known, check) {
                Verdict::Store(mut admission) => {
                    not_members = std::mem::take(&mut admission.not_members);
                    if admission.joins.is_some() {
                        let change = admission.change(draft, self.last_seq(&draft.topic) + 1);
                        if let Some(RoomChange::Member { room, user, role, top, .. }) = &change {
                            self.rooms.add_member(room, user, *role, *top, now_ms);
                        }
                        commit.changes.extend(change);
                    }
                    let entry = self.store(draft, admission.mentions, now_ms);
                    let stored = Outcome::Stored { seq: entry.seq, at_ms: entry.at_ms };
                    commit.entries.push(entry);
                    stored
                }
                Verdict::Repeat(first) => {
                    Outcome::Duplicate { topic: first.topic.clone(), seq: first.seq, at_ms: first.at_ms }
                }
                Verdict::NoRecipient => Outcome::NoRecipient { at_ms: now_ms },
                Verdict::Forbidden => Outcome::Forbidden,
            };
            commit.receipts.push(Receipt { draft: draft.id, outcome, not_members });
        }
        commit
    }

    /// Makes a change of a room or of its members, by the rule of
    /// [`judge_change`](crate::judge_change).
    ///
    /// # Errors
    ///
    /// The reason why the change is refused.
    pub fn change(
        &mut self,
        wanted: &WantedChange,
        now_ms: u64,
        account_exists: impl Fn(&Username) -> bool,
    ) -> Result<Vec<RoomChange>, ChangeRefused> {
        let top = self.last_seq(&Topic::Room(wanted.room().clone()));
        self.rooms.change(wanted, account_exists, top, now_ms)
    }

    /// Removes a user from all rooms, as if each were left, without a [`RoomChange`].
    pub fn remove_from_rooms(&mut self, user: &Username) {
        self.rooms.remove_from_all(user);
    }

    /// Adds a room that is not there yet, without members. An open room that a user opened by
    /// its name, and whose title is still the name, gets the title.
    pub fn open_room(&mut self, room: &RoomName, info: RoomInfo, now_ms: u64) {
        self.rooms.open(room, info, now_ms);
    }

    /// Keeps a mark of a user. A mark in a room of which the user is no member is dropped.
    pub fn keep(&mut self, mark: &UserMark) {
        let top = self.last_seq(&mark.topic);
        self.rooms.keep(mark, top);
    }

    /// The rooms with a member or a message, in the order of their names, each with the
    /// time of its last message in milliseconds since 1970 (UTC); 0 if it has none.
    pub fn rooms(&self) -> impl Iterator<Item = (&RoomName, &KeptRoom, u64)> {
        self.rooms.iter().map(|(name, room)| (name, room, self.at_ms(&Topic::Room(name.clone()))))
    }

    /// One of the [rooms](Self::rooms).
    pub fn room(&self, name: &RoomName) -> Option<(&KeptRoom, u64)> {
        Some((self.rooms.get(name)?, self.at_ms(&Topic::Room(name.clone()))))
    }

    /// Answers a query of a hub.
    pub fn answer(&self, query: &Query) -> Answer {
        match query {
            Query::Page { topic, from, limits } => Answer::Page(self.page(topic, *from, *limits)),
            Query::Conversations { user, limit } => Answer::Conversations(self.conversations(user, *limit)),
            Query::Memberships { user, limit, counted } => {
                Answer::Memberships(self.memberships(user, *limit, *counted))
            }
            Query::Access { user, room } => Answer::Access(self.access(user, room)),
            Query::Tops { rooms } => Answer::Tops(self.tops(rooms)),
            Query::Counts { user, topic, read } => Answer::Counts(self.counts(user, topic, *read)),
        }
    }

    /// Reads a page of a topic. An unknown topic is an empty one.
    pub fn page(&self, topic: &Topic, from: PageFrom, limits: PageLimits) -> Page {
        let Some(log) = self.topics.get(topic) else {
            return Page { entries: Vec::new(), first: 1, last: 0 };
        };
        let mut bytes = 0_usize;
        let mut count = 0_usize;
        let mut fits = |entry: &&Arc<Entry>| {
            bytes = bytes.saturating_add(entry.body.bytes());
            count += 1;
            count == 1 || (count <= limits.entries && bytes <= limits.bytes)
        };
        let entries = match from {
            PageFrom::After(seq) => {
                let start = log.index_of(seq.saturating_add(1));
                log.entries.range(start..).take_while(&mut fits).cloned().collect()
            }
            PageFrom::Latest | PageFrom::Before(_) => {
                let end = match from {
                    PageFrom::Before(seq) => log.index_of(seq),
                    _ => log.entries.len(),
                };
                let mut newest_first: Vec<_> =
                    log.entries.range(..end).rev().take_while(&mut fits).cloned().collect();
                newest_first.reverse();
                newest_first
            }
        };
        Page { entries, first: log.first(), last: log.last }
    }

    /// Lists the private conversations of a user, at most `limit` of them.
    ///
    /// It looks at every topic, so that it suits small histories. Conversations whose
    /// entries were all removed are left out.
    pub fn conversations(&self, user: &Username, limit: usize) -> Conversations {
        let mut pairs: Vec<_> = self
            .written
            .values()
            .filter_map(|topic| match topic {
                Topic::Pair(pair) if pair.low() == user || pair.high() == user => {
                    Some((Reverse(self.at_ms(topic)), pair.other(user), topic))
                }
                _ => None,
            })
            .collect();
        pairs.sort_unstable();
        // The order of topics without entries is not known.
        let has_more = pairs.len() > limit || self.written.len() < self.topics.len();
        let state = |(at_ms, with, topic): (Reverse<u64>, &Username, &Topic)| {
            let ReadState { top, read, counts } = self.counts(user, topic, 0);
            let (with, level) = (with.clone(), self.rooms.level(user, topic));
            ConversationState { with, top, at_ms: at_ms.0, read, level, unread: Some(counts.unread) }
        };
        Conversations { latest: pairs.into_iter().take(limit).map(state).collect(), has_more }
    }

    /// Lists the rooms of a user, at most `limit` of them, and counts what is unread in
    /// the first `counted`.
    pub fn memberships(&self, user: &Username, limit: usize, counted: usize) -> Memberships {
        let mut rooms: Vec<_> = self
            .rooms
            .rooms_of(user)
            .map(|name| (Reverse(self.at_ms(&Topic::Room(name.clone()))), name))
            .collect();
        rooms.sort_unstable();
        let membership = |(index, (at_ms, name)): (usize, (Reverse<u64>, &RoomName))| {
            let topic = Topic::Room(name.clone());
            let (room, role) = (self.rooms.get(name)?, self.rooms.role(name, user)?);
            let top = self.last_seq(&topic);
            let read = self.rooms.read(user, &topic, top);
            let counts = (index < counted).then(|| self.counts(user, &topic, 0).counts);
            Some(Membership {
                room: name.clone(),
                info: Arc::clone(&room.info),
                role,
                level: self.rooms.level(user, &topic),
                top,
                at_ms: at_ms.0,
                read,
                counts,
            })
        };
        let has_more = rooms.len() > limit;
        let rooms = rooms.into_iter().take(limit).enumerate().filter_map(membership).collect();
        Memberships { rooms, has_more }
    }

    /// Reads what a user may do in a room. It does not know the server's administrators.
    pub fn access(&self, user: &Username, room: &RoomName) -> RoomAccess {
        let info = self.rooms.get(room).map(|room| Arc::clone(&room.info));
        RoomAccess { info, role: self.rooms.role(room, user), is_administrator: false }
    }

    /// Reads the last numbers of rooms.
    pub fn tops(&self, rooms: &[RoomName]) -> Vec<u64> {
        rooms.iter().map(|room| self.last_seq(&Topic::Room(room.clone()))).collect()
    }

    /// Counts what a user, who has read at least up to `read`, has not read in a topic.
    pub fn counts(&self, user: &Username, topic: &Topic, read: u64) -> ReadState {
        let Some(log) = self.topics.get(topic) else { return ReadState::default() };
        let read = self.rooms.read(user, topic, log.last).max(read.min(log.last));
        let mut counts = Counts::default();
        let unread = log.entries.range(log.index_of(read + 1)..).filter(|entry| entry.from != *user);
        for entry in unread {
            counts.unread = (counts.unread + 1).min(COUNT_MAX);
            if entry.body.mentions().is_some_and(|mentions| mentions.contain(user)) {
                counts.mentions = (counts.mentions + 1).min(COUNT_MAX);
            }
            if counts.mentions == COUNT_MAX {
                break;
            }
        }
        ReadState { top: log.last, read, counts }
    }

    /// When the last entry of a topic was stored; 0 if none was.
    fn at_ms(&self, topic: &Topic) -> u64 {
        self.topics.get(topic).map_or(0, |log| log.last_at_ms)
    }

    fn is_special(&self, topic: &Topic) -> bool {
        match topic {
            Topic::Room(name) => self.rooms.get(name).is_some_and(|room| room.info.is_special()),
            Topic::Pair(_) => false,
        }
    }

    /// Removes the oldest entries of each topic with their nonces, while `is_removed`
    /// is true of an entry and the last number of its topic, and at most `max` entries.
    /// Returns the number of removed entries, and for each topic that lost some the
    /// oldest number kept.
    pub fn trim(
        &mut self,
        max: usize,
        is_removed: impl Fn(&Entry, u64) -> bool,
    ) -> (usize, Vec<(Topic, u64)>) {
        let (mut count, mut trimmed, mut emptied) = (0, Vec::new(), Vec::new());
        for (key, topic) in &self.written {
            let Some(log) = self.topics.get_mut(topic) else { continue };
            let before = count;
            while count < max
                && let Some(oldest) = log.entries.pop_front_if(|oldest| is_removed(oldest, log.last))
            {
                remove_nonce(&mut self.nonces, &oldest);
                count += 1;
            }
            if count > before {
                trimmed.push((topic.clone(), log.first()));
            }
            if log.entries.is_empty() {
                emptied.push(*key);
            }
        }
        for key in emptied {
            self.written.remove(&key);
        }
        (count, trimmed)
    }

    /// The highest number given in a topic; 0 in an unknown one.
    pub fn last_seq(&self, topic: &Topic) -> u64 {
        self.topics.get(topic).map_or(0, |log| log.last)
    }

    /// Gives a draft the next number of its topic, and keeps the entry.
    fn store(&mut self, draft: &Draft, mentions: Option<Box<Mentions>>, now_ms: u64) -> Arc<Entry> {
        let log = self.topics.entry_ref(&draft.topic).or_default();
        log.last += 1;
        log.last_at_ms = log.last_at_ms.max(now_ms);
        let entry = Arc::new(batch::entry(draft, mentions, log.last, log.last_at_ms));
        // Most entries are for the topic that was written last: its key stays.
        if log.written != self.writes || log.entries.is_empty() {
            self.written.remove(&log.written);
            self.writes += 1;
            log.written = self.writes;
            self.written.insert(self.writes, draft.topic.clone());
        }
        log.entries.push_back(Arc::clone(&entry));
        if let Some(nonce) = &draft.nonce {
            self.nonces.insert((draft.from.clone(), nonce.clone()), Arc::clone(&entry));
        }
        if log.entries.len() > self.limits.entries_per_topic
            && let Some(oldest) = log.entries.pop_front()
        {
            remove_nonce(&mut self.nonces, &oldest);
        }
        if self.written.len() > self.limits.topics {
            self.remove_a_topic();
        }
        entry
    }

    /// Removes the entries of the topic that was written least recently.
    fn remove_a_topic(&mut self) {
        let Some((_, topic)) = self.written.pop_first() else { return };
        let Some(log) = self.topics.get_mut(&topic) else { return };
        for entry in std::mem::take(&mut log.entries) {
            remove_nonce(&mut self.nonces, &entry);
        }
    }
}

/// What a history knows when it judges a draft.
struct KnownRooms<'a, F> {
    rooms: &'a RoomTable,
    account_exists: &'a F,
}

impl<F: Fn(&Username) -> bool> Known for KnownRooms<'_, F> {
    fn has_account(&self, name: &Username) -> bool {
        (self.account_exists)(name)
    }

    fn room(&self, name: &RoomName) -> Option<(&Arc<RoomInfo>, u64)> {
        self.rooms.get(name).map(|room| (&room.info, room.members.len() as u64))
    }

    fn role(&self, room: &RoomName, user: &Username) -> Option<Role> {
        self.rooms.role(room, user)
    }
}

impl Log {
    /// The number of the oldest entry; one more than `last` if there is none.
    fn first(&self) -> u64 {
        self.last - self.entries.len() as u64 + 1
    }

    /// The index of the entry with that number, or of the next one that is kept.
    fn index_of(&self, seq: u64) -> usize {
        let index = usize::try_from(seq.saturating_sub(self.first())).unwrap_or(usize::MAX);
        index.min(self.entries.len())
    }
}

fn remove_nonce(nonces: &mut Nonces, entry: &Entry) {
    if let Some(nonce) = &entry.nonce {
        nonces.remove(&(entry.from.clone(), nonce.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, DraftId, MessageText, Pair, RoomName};

    const ALL: PageLimits = PageLimits { entries: usize::MAX, bytes: usize::MAX };

    /// A history for which alice and bob have accounts.
    struct TestHistory {
        history: History,
        now_ms: u64,
    }

    impl TestHistory {
        fn new() -> Self {
            Self::with(HistoryLimits::default())
        }

        fn with(limits: HistoryLimits) -> Self {
            Self { history: History::new(Seed(1, 2), limits), now_ms: 1_000 }
        }

        fn append(&mut self, drafts: &[Draft]) -> Vec<Outcome> {
            let accounts = [name("alice"), name("bob")];
            let commit = self.history.append(drafts, self.now_ms, |name| accounts.contains(name));
            assert!(commit.receipts.iter().map(|r| r.draft).eq(drafts.iter().map(|d| d.id)));
            commit.receipts.into_iter().map(|r| r.outcome).collect()
        }

        fn send(&mut self, topic: &Topic, text: &str) -> Outcome {
            self.append(&[draft(topic, "alice", text, None)]).remove(0)
        }

        fn seqs(&self, topic: &Topic, from: PageFrom, limits: PageLimits) -> Vec<u64> {
            self.history.page(topic, from, limits).entries.iter().map(|e| e.seq).collect()
        }

        fn kept(&self, topic: &Topic) -> (u64, u64) {
            let page = self.history.page(topic, PageFrom::Latest, ALL);
            assert_eq!(page.entries.len() as u64, page.last + 1 - page.first);
            (page.first, page.last)
        }
    }

    fn name(name: &str) -> Username {
        Username::known(name).unwrap()
    }

    fn room(name: &str) -> Topic {
        Topic::Room(RoomName::parse(name).unwrap())
    }

    fn pair(one: &str, other: &str) -> Topic {
        Topic::Pair(Pair::new(name(one), name(other)))
    }

    fn draft(topic: &Topic, from: &str, text: &str, nonce: Option<&str>) -> Draft {
        Draft {
            id: DraftId(text.len() as u64),
            topic: topic.clone(),
            from: name(from),
            room: None,
            body: Body::message(MessageText::stored(text)),
            nonce: nonce.map(|n| Nonce::parse(n).unwrap()),
            check: false,
        }
    }

    fn stored(seq: u64, at_ms: u64) -> Outcome {
        Outcome::Stored { seq, at_ms }
    }

    fn duplicate(topic: &Topic, seq: u64, at_ms: u64) -> Outcome {
        Outcome::Duplicate { topic: topic.clone(), seq, at_ms }
    }

    #[test]
    fn each_topic_has_its_own_numbers() {
        let mut test = TestHistory::new();
        let (kitchen, garden, private) = (room("kitchen"), room("garden"), pair("alice", "bob"));
        let outcomes = test.append(&[
            draft(&kitchen, "alice", "a", None),
            draft(&garden, "bob", "b", None),
            draft(&kitchen, "bob", "c", None),
            draft(&private, "bob", "d", None),
        ]);
        assert_eq!(outcomes, [stored(1, 1000), stored(1, 1000), stored(2, 1000), stored(1, 1000)]);
        assert_eq!(test.send(&private, "e"), stored(2, 1000));
        assert_eq!(test.history.last_seq(&kitchen), 2);
        assert_eq!(test.history.last_seq(&room("cellar")), 0);
    }

    #[test]
    fn stamps_never_run_backwards() {
        let mut test = TestHistory::new();
        let kitchen = room("kitchen");
        assert_eq!(test.send(&kitchen, "a"), stored(1, 1000));
        test.now_ms = 400;
        assert_eq!(test.send(&kitchen, "b"), stored(2, 1000));
        assert_eq!(test.send(&room("garden"), "c"), stored(1, 400));
        test.now_ms = 1001;
        assert_eq!(test.send(&kitchen, "d"), stored(3, 1001));
    }

    #[test]
    fn a_retry_gets_the_first_result_whatever_it_contains() {
        let mut test = TestHistory::new();
        let kitchen = room("kitchen");
        let outcomes = test.append(&[
            draft(&kitchen, "alice", "a", Some("n")),
            draft(&kitchen, "alice", "b", Some("n")),
            draft(&kitchen, "bob", "c", Some("n")),
        ]);
        assert_eq!(outcomes, [stored(1, 1000), duplicate(&kitchen, 1, 1000), stored(2, 1000)]);
        test.now_ms = 2000;
        let outcomes = test.append(&[
            draft(&room("garden"), "alice", "d", Some("n")),
            draft(&pair("alice", "nobody"), "alice", "e", Some("n")),
        ]);
        assert_eq!(outcomes, [duplicate(&kitchen, 1, 1000), duplicate(&kitchen, 1, 1000)]);
        assert_eq!(test.history.last_seq(&room("garden")), 0);
    }

    #[test]
    fn a_private_message_to_no_account_is_not_stored() {
        let mut test = TestHistory::new();
        let lost = pair("alice", "nobody");
        let outcomes = test.append(&[
            draft(&lost, "alice", "a", Some("n")),
            // The refused draft did not use its nonce …
            draft(&pair("alice", "bob"), "alice", "b", Some("n")),
            // … and the author needs no account.
            draft(&pair("alice", "guest"), "guest", "c", None),
            draft(&pair("bob", "bob"), "bob", "d", None),
        ]);
        assert_eq!(
            outcomes,
            [Outcome::NoRecipient { at_ms: 1000 }, stored(1, 1000), stored(1, 1000), stored(1, 1000)]
        );
        assert_eq!(test.kept(&lost), (1, 0));
    }

    #[test]
    fn pages_go_in_both_directions() {
        let mut test = TestHistory::new();
        let kitchen = room("kitchen");
        for _ in 1..=10 {
            test.send(&kitchen, "four");
        }
        let three = PageLimits { entries: 3, bytes: usize::MAX };
        for (from, seqs) in [
            (PageFrom::Latest, vec![8, 9, 10]),
            (PageFrom::After(0), vec![1, 2, 3]),
            (PageFrom::After(8), vec![9, 10]),
            (PageFrom::After(10), vec![]),
            (PageFrom::After(u64::MAX), vec![]),
            (PageFrom::Before(5), vec![2, 3, 4]),
            (PageFrom::Before(2), vec![1]),
            (PageFrom::Before(1), vec![]),
            (PageFrom::Before(0), vec![]),
            (PageFrom::Before(u64::MAX), vec![8, 9, 10]),
        ] {
            assert_eq!(test.seqs(&kitchen, from, three), seqs, "{from:?}");
        }
        let nine_bytes = PageLimits { entries: 100, bytes: 9 };
        assert_eq!(test.seqs(&kitchen, PageFrom::Latest, nine_bytes), [9, 10]);
        assert_eq!(test.seqs(&kitchen, PageFrom::After(0), nine_bytes), [1, 2]);
        let nothing = PageLimits { entries: 0, bytes: 0 };
        assert_eq!(test.seqs(&kitchen, PageFrom::Before(4), nothing), [3]);
        assert_eq!(test.kept(&kitchen), (1, 10));
        assert_eq!(test.kept(&room("cellar")), (1, 0));
    }

    #[test]
    fn a_long_topic_loses_its_oldest_entries() {
        let mut test = TestHistory::with(HistoryLimits { entries_per_topic: 2, topics: 10 });
        let kitchen = room("kitchen");
        test.append(&[draft(&kitchen, "alice", "a", Some("n1")), draft(&kitchen, "alice", "b", Some("n2"))]);
        test.append(&[draft(&kitchen, "alice", "c", Some("n3"))]);
        assert_eq!(test.kept(&kitchen), (2, 3));
        assert_eq!(test.seqs(&kitchen, PageFrom::After(0), ALL), [2, 3]);
        assert_eq!(test.seqs(&kitchen, PageFrom::Before(2), ALL), [0; 0]);
        // The nonce of the second entry is still known, that of the first is not.
        let outcomes = test.append(&[draft(&kitchen, "alice", "b", Some("n2"))]);
        assert_eq!(outcomes, [duplicate(&kitchen, 2, 1000)]);
        let outcomes = test.append(&[draft(&kitchen, "alice", "a", Some("n1"))]);
        assert_eq!(outcomes, [stored(4, 1000)]);
        assert_eq!(test.history.nonces.len(), 2);
    }

    #[test]
    fn past_the_limit_of_topics_the_least_recently_written_one_loses_its_entries() {
        let mut test = TestHistory::with(HistoryLimits { entries_per_topic: 10, topics: 2 });
        let (kitchen, garden, cellar) = (room("kitchen"), room("garden"), room("cellar"));
        test.append(&[draft(&garden, "alice", "a", Some("n"))]);
        for text in ["b", "c"] {
            test.send(&kitchen, text);
            test.send(&garden, text);
        }
        assert_eq!((test.kept(&garden), test.kept(&kitchen)), ((1, 3), (1, 2)));
        test.send(&kitchen, "d");
        test.now_ms = 500;
        test.send(&cellar, "d");
        assert_eq!(test.kept(&garden), (4, 3));
        assert_eq!(test.kept(&kitchen), (1, 3));
        assert!(test.history.nonces.is_empty());
        // The garden continues its numbers and stamps; the kitchen is now the topic
        // written least recently.
        assert_eq!(test.send(&garden, "e"), stored(4, 1000));
        assert_eq!(test.kept(&garden), (4, 4));
        assert_eq!(test.kept(&kitchen), (4, 3));
        assert_eq!(test.history.written.len(), 2);
    }

    #[test]
    fn trimming_removes_the_oldest_entries() {
        let mut test = TestHistory::new();
        let (kitchen, garden) = (room("kitchen"), room("garden"));
        for (now_ms, nonce) in [(1000, "n1"), (2000, "n2"), (3000, "n3")] {
            test.now_ms = now_ms;
            test.append(&[draft(&kitchen, "alice", "a", Some(nonce))]);
        }
        test.send(&garden, "b");
        let old = |entry: &Entry, _: u64| entry.at_ms < 3000;
        assert_eq!(test.history.trim(1, old), (1, vec![(kitchen.clone(), 2)]));
        assert_eq!(test.history.trim(9, old), (1, vec![(kitchen.clone(), 3)]));
        assert_eq!(test.history.trim(9, old), (0, vec![]));
        assert_eq!((test.kept(&kitchen), test.kept(&garden)), ((3, 3), (1, 1)));
        assert_eq!(test.history.nonces.len(), 1);
        // A topic that lost all its entries continues its numbers.
        assert_eq!(test.history.trim(9, |_, last| last == 1), (1, vec![(garden.clone(), 2)]));
        assert_eq!((test.kept(&garden), test.history.written.len()), ((2, 1), 1));
        assert_eq!(test.send(&garden, "c"), stored(2, 3000));
        assert_eq!((test.kept(&garden), test.history.written.len()), ((2, 2), 2));
    }

    #[test]
    fn a_history_that_keeps_no_entries_still_numbers_them() {
        let mut test = TestHistory::with(HistoryLimits { entries_per_topic: 0, topics: 0 });
        let kitchen = room("kitchen");
        assert_eq!(test.send(&kitchen, "a"), stored(1, 1000));
        assert_eq!(test.send(&kitchen, "b"), stored(2, 1000));
        assert_eq!(test.append(&[draft(&kitchen, "alice", "c", Some("n"))]), [stored(3, 1000)]);
        assert_eq!(test.kept(&kitchen), (4, 3));
        assert!(test.history.nonces.is_empty());
    }
}
