//! A log in memory.

mod changes;
mod files;
mod rooms;
mod search;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;

use self::changes::Kept;
use self::files::Files;
pub use self::files::{FileQuotas, FileRefused, FilesUsage, FoundFile, ReservedFile};
pub use self::rooms::KeptRoom;
use self::rooms::RoomTable;
use crate::batch::{self, Admission, FirstResult, Known, KnownMessage, Verdict};
use crate::page::{within_limits, within_limits_around};
use crate::seed::Seed;
use crate::{
    Answer, AttachedFile, Body, COUNT_MAX, ChangeRefused, Commit, ConversationState, Conversations, Counts,
    Draft, Emoji, Entry, FileId, Level, Membership, Memberships, MessagesFrom, NEWEST_MESSAGES, Nonce,
    Outcome, Page, PageFrom, PageLimits, Query, Reaction, ReadState, Receipt, Role, RoomAccess, RoomChange,
    RoomInfo, RoomName, Stamp, Topic, UserMark, Username, WantedChange,
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
    files: Files,
    /// The server's administrators.
    administrators: BTreeSet<Username>,
}

/// How much a [`History`] keeps. Past a limit it removes entries, but never gives a
/// number twice. It keeps at most [`CHANGES_PER_MESSAGE`] times as many entries as
/// messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// The number of messages of one topic. Past it the oldest message is removed with
    /// its nonce and the changes before the next message, and [`Page::first`] moves up.
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

/// How many entries a [`History`] keeps for each message that it may keep of a topic.
pub const CHANGES_PER_MESSAGE: usize = 8;

/// The numbers and entries of one topic.
#[derive(Default)]
struct Log {
    /// The newest entries, without a gap, up to `last`.
    entries: VecDeque<Arc<Entry>>,
    /// How many of them are messages.
    messages: usize,
    /// The messages among them that were changed, by their numbers.
    changed: BTreeMap<u64, Kept>,
    /// Nonces of changes that made what was so already, by the entry that made it so.
    remembered: BTreeMap<u64, Vec<(Username, Nonce)>>,
    last: u64,
    /// The stamp of the newest entry.
    last_at_ms: u64,
    /// The stamp of the newest message.
    message_at_ms: u64,
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
            files: Files::default(),
            administrators: BTreeSet::new(),
        }
    }

    /// Makes a user an administrator of the server, or no longer one.
    pub fn set_administrator(&mut self, user: &Username, is_administrator: bool) {
        if is_administrator {
            self.administrators.insert(user.clone());
        } else {
            self.administrators.remove(user);
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
            ..Commit::default()
        };
        for draft in drafts {
            let earlier = |author: &Username, nonce: &Nonce| {
                let entry = self.nonces.get(&(author.clone(), nonce.clone()))?;
                Some(FirstResult { topic: entry.topic.clone(), seq: entry.seq, at_ms: entry.at_ms })
            };
            let known = KnownHistory { history: self, account_exists: &account_exists, new: &commit.entries };
            let check = batch::must_check(draft) || self.is_special(&draft.topic);
            let mut not_members = Vec::new();
            let outcome = match batch::judge(draft, earlier, &known, check, now_ms) {
                Verdict::Store(mut admission) => {
                    not_members = std::mem::take(&mut admission.not_members);
                    if admission.joins.is_some() {
                        let change = admission.change(draft, self.last_seq(&draft.topic) + 1);
                        if let Some(RoomChange::Member { room, user, role, top, .. }) = &change {
                            self.rooms.add_member(room, user, *role, *top, now_ms);
                        }
                        commit.changes.extend(change);
                    }
                    let entry = self.store(draft, admission, now_ms);
                    let stored = Outcome::Stored { seq: entry.seq, at_ms: entry.at_ms };
                    commit.entries.push(entry);
                    stored
                }
                Verdict::Repeat(FirstResult { topic, seq, at_ms }) => {
                    Outcome::Duplicate { topic, seq, at_ms }
                }
                Verdict::IsSo(FirstResult { topic, seq, at_ms }) => {
                    let outcome = Outcome::Duplicate { topic, seq, at_ms };
                    self.remember(draft, seq);
                    commit.remembered.extend(batch::remembered(draft, &outcome));
                    outcome
                }
                Verdict::NoRecipient => Outcome::NoRecipient { at_ms: now_ms },
                Verdict::Forbidden => Outcome::Forbidden,
                Verdict::NotFound => Outcome::NotFound,
                Verdict::TooMany => Outcome::TooMany,
                Verdict::InvalidFiles => Outcome::InvalidFiles,
                Verdict::BlankText => Outcome::BlankText,
                Verdict::Refused(sentence) => Outcome::Refused(sentence),
            };
            commit.receipts.push(Receipt { draft: draft.id, outcome, not_members });
        }
        commit.files_taken_back = std::mem::take(&mut self.files.taken_back);
        commit
    }

    /// Makes a change of a room or of its members, by the rule of
    /// [`judge_change`](crate::judge_change). It knows no invitations: whether one can be used is
    /// for the caller to check.
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
            Query::Messages { topic, from, limits } => Answer::Page(self.messages(topic, from, *limits)),
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
            return Page { first: 1, ..Page::default() };
        };
        let entries = match from {
            PageFrom::After(seq) => fill(log.entries.range(log.index_of(seq.saturating_add(1))..), limits).0,
            PageFrom::Latest | PageFrom::Before(_) => {
                let end = match from {
                    PageFrom::Before(seq) => log.index_of(seq),
                    _ => log.entries.len(),
                };
                let (mut newest_first, _) = fill(log.entries.range(..end).rev(), limits);
                newest_first.reverse();
                newest_first
            }
        };
        let newest = match from {
            PageFrom::Latest => log.newest(),
            PageFrom::After(_) | PageFrom::Before(_) => Vec::new(),
        };
        Page { entries, first: log.first(), last: log.last, newest, ..Page::default() }
    }

    /// Reads messages of a topic, without the changes.
    pub fn messages(&self, topic: &Topic, from: &MessagesFrom, limits: PageLimits) -> Page {
        let Some(log) = self.topics.get(topic) else {
            return Page { first: 1, ..Page::default() };
        };
        let mut page = Page { first: log.first(), last: log.last, ..Page::default() };
        let older = |end: u64| log.entries.range(..log.index_of(end)).rev().filter(|e| e.body.is_message());
        let newer = |start: u64| log.entries.range(log.index_of(start)..).filter(|e| e.body.is_message());
        match *from {
            MessagesFrom::Page(PageFrom::After(seq)) => {
                page.has_older = older(seq.saturating_add(1)).next().is_some();
                (page.entries, page.has_newer) = fill(newer(seq.saturating_add(1)), limits);
            }
            MessagesFrom::Page(PageFrom::Latest | PageFrom::Before(_)) => {
                let end = match from {
                    MessagesFrom::Page(PageFrom::Before(seq)) => *seq,
                    _ => u64::MAX,
                };
                page.has_newer = newer(end).next().is_some();
                (page.entries, page.has_older) = fill(older(end), limits);
                page.entries.reverse();
            }
            MessagesFrom::Around(seq) => {
                let max = limits.entries.max(1);
                let (older_max, newer_max) = (max / 2, max - max / 2);
                let (older_count, newer_count) = within_limits_around(
                    older(seq).map(Arc::as_ref).take(older_max),
                    newer(seq).map(Arc::as_ref).take(newer_max),
                    limits.bytes,
                );
                page.entries = older(seq).take(older_count).cloned().collect();
                page.entries.reverse();
                page.entries.extend(newer(seq).take(newer_count).cloned());
                page.has_older = older(seq).nth(older_count).is_some();
                page.has_newer = newer(seq).nth(newer_count).is_some();
            }
            MessagesFrom::Numbers(ref seqs) => {
                let found = seqs.iter().filter_map(|seq| log.message(*seq)).cloned();
                page.entries = found.collect();
                page.entries.sort_unstable_by_key(|entry| entry.seq);
                page.entries.dedup_by_key(|entry| entry.seq);
                let fitting = within_limits(page.entries.iter().map(Arc::as_ref), limits);
                page.entries.truncate(fitting);
            }
        }
        page
    }

    /// The author of a message that is kept, deleted or not.
    pub fn author(&self, topic: &Topic, seq: u64) -> Option<&Username> {
        self.topics.get(topic)?.message(seq).map(|message| &message.from)
    }

    /// The reactions to a message, and with which emoji a user has reacted; `None` if the
    /// message is not there or deleted.
    pub fn reactions(&self, topic: &Topic, seq: u64, user: &Username) -> Option<(Vec<Reaction>, Vec<Emoji>)> {
        let log = self.topics.get(topic)?;
        log.message(seq).filter(|message| !message.body.is_deleted())?;
        let Some(kept) = log.changed.get(&seq) else { return Some(Default::default()) };
        let reactions = kept.state.reactions.clone();
        let mine = reactions.iter().map(|reaction| reaction.emoji.clone());
        let mine = mine.filter(|emoji| kept.reaction(emoji, user).is_some()).collect();
        Some((reactions, mine))
    }

    /// The users who reacted to a message with an emoji, after the reaction with the number
    /// `after`, at most `max`, each with the number of the reaction.
    pub fn reactors(
        &self,
        topic: &Topic,
        seq: u64,
        emoji: &Emoji,
        after: u64,
        max: usize,
    ) -> Vec<(Username, u64)> {
        let kept = self.topics.get(topic).and_then(|log| log.changed.get(&seq));
        let users = kept.into_iter().flat_map(|kept| kept.reactors(emoji, after));
        users.take(max).map(|(user, seq)| (user.clone(), seq)).collect()
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
        RoomAccess { info, role: self.rooms.role(room, user), is_administrator: false, refused: false }
    }

    /// The number up to which a user has read a topic, and what the user is notified of there.
    pub fn notice(&self, user: &Username, topic: &Topic) -> (u64, Level) {
        (self.rooms.read(user, topic, self.last_seq(topic)), self.rooms.level(user, topic))
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
        let unread = log.entries.range(log.index_of(read + 1)..);
        let unread = unread.filter(|entry| entry.body.is_message() && !entry.body.is_deleted());
        let unread = unread.filter(|entry| entry.from != *user);
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

    /// When the last message of a topic was stored; 0 if none was. A change moves no
    /// conversation up.
    fn at_ms(&self, topic: &Topic) -> u64 {
        self.topics.get(topic).map_or(0, |log| log.message_at_ms)
    }

    fn is_special(&self, topic: &Topic) -> bool {
        match topic {
            Topic::Room(name) => self.rooms.get(name).is_some_and(|room| room.info.is_special()),
            Topic::Pair(_) => false,
        }
    }

    /// Removes the oldest entries of each topic with their nonces, and at most `max`
    /// entries. `cut` is asked for each topic with the number of its oldest message among
    /// the newest `messages` (1 if it has fewer; without `messages`, 1), and an entry: it is
    /// removed while that is true.
    /// Returns the number of removed entries, and for each topic that lost some the
    /// oldest number kept, and the files of removed messages.
    pub fn trim(
        &mut self,
        max: usize,
        messages: Option<u64>,
        is_removed: impl Fn(&Entry, u64) -> bool,
    ) -> (usize, Vec<(Topic, u64)>, Vec<FileId>) {
        let (mut count, mut trimmed, mut emptied) = (0, Vec::new(), Vec::new());
        for (key, topic) in &self.written {
            let Some(log) = self.topics.get_mut(topic) else { continue };
            let before = count;
            let oldest_kept = messages.map_or(1, |messages| log.oldest_of(messages));
            while count < max && log.entries.front().is_some_and(|oldest| is_removed(oldest, oldest_kept)) {
                log.remove_oldest(&mut self.nonces, &mut self.files);
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
        (count, trimmed, std::mem::take(&mut self.files.taken_back))
    }

    /// The highest number given in a topic; 0 in an unknown one.
    pub fn last_seq(&self, topic: &Topic) -> u64 {
        self.topics.get(topic).map_or(0, |log| log.last)
    }

    /// Gives a draft the next number of its topic, and keeps the entry.
    fn store(&mut self, draft: &Draft, mut admission: Admission, now_ms: u64) -> Arc<Entry> {
        let log = self.topics.entry_ref(&draft.topic).or_default();
        log.last += 1;
        log.last_at_ms = log.last_at_ms.max(now_ms);
        let entry = Arc::new(batch::entry(draft, &mut admission, log.last, log.last_at_ms));
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
        if entry.body.is_message() {
            log.messages += 1;
            log.message_at_ms = entry.at_ms;
            self.files.attach(&entry);
        } else {
            if let Body::Delete { target } = entry.body
                && let Some(message) = log.message(target)
            {
                self.files.take_back(&message.body);
            }
            for replaced in log.apply(&draft.topic, &entry) {
                replace_nonce(&mut self.nonces, &replaced);
            }
        }
        let max = self.limits.entries_per_topic;
        if log.messages > max {
            log.remove_oldest_message(&mut self.nonces, &mut self.files);
        }
        while log.entries.len() > max.saturating_mul(CHANGES_PER_MESSAGE) {
            log.remove_oldest(&mut self.nonces, &mut self.files);
        }
        if self.written.len() > self.limits.topics {
            self.remove_a_topic();
        }
        entry
    }

    /// Keeps the nonce of a change that made what is so already, by the entry with this
    /// number.
    fn remember(&mut self, draft: &Draft, seq: u64) {
        let Some(nonce) = &draft.nonce else { return };
        let Some(log) = self.topics.get_mut(&draft.topic) else { return };
        let Some(entry) = log.entry(seq).cloned() else { return };
        let key = (draft.from.clone(), nonce.clone());
        log.remembered.entry(seq).or_default().push(key.clone());
        self.nonces.insert(key, entry);
    }

    /// Removes the entries of the topic that was written least recently.
    fn remove_a_topic(&mut self) {
        let Some((_, topic)) = self.written.pop_first() else { return };
        let Some(log) = self.topics.get_mut(&topic) else { return };
        while !log.entries.is_empty() {
            log.remove_oldest(&mut self.nonces, &mut self.files);
        }
    }
}

/// What a history knows when it judges a draft.
struct KnownHistory<'a, F> {
    history: &'a History,
    account_exists: &'a F,
    /// The entries of the same batch: a change names an older one.
    new: &'a [Arc<Entry>],
}

impl<F> KnownHistory<'_, F> {
    fn found(&self, topic: &Topic, seq: u64) -> Option<(&Log, &Arc<Entry>)> {
        let is_new = self.new.iter().any(|new| new.seq == seq && new.topic == *topic);
        let log = self.history.topics.get(topic).filter(|_| !is_new)?;
        Some((log, log.message(seq)?))
    }
}

fn first_result(topic: &Topic, Stamp { seq, at_ms }: Stamp) -> FirstResult {
    FirstResult { topic: topic.clone(), seq, at_ms }
}

impl<F: Fn(&Username) -> bool> Known<FirstResult> for KnownHistory<'_, F> {
    fn has_account(&self, name: &Username) -> bool {
        (self.account_exists)(name)
    }

    fn is_administrator(&self, name: &Username) -> bool {
        self.history.administrators.contains(name)
    }

    fn room(&self, name: &RoomName) -> Option<(&Arc<RoomInfo>, u64)> {
        self.history.rooms.get(name).map(|room| (&room.info, room.members.len() as u64))
    }

    fn role(&self, room: &RoomName, user: &Username) -> Option<Role> {
        self.history.rooms.role(room, user)
    }

    fn message<'k>(&'k self, topic: &'k Topic, seq: u64) -> Option<KnownMessage<'k, FirstResult>> {
        let (log, message) = self.found(topic, seq)?;
        let deleted = log.changed.get(&seq).and_then(|kept| kept.state.deleted);
        let deleted = deleted.map(|stamp| first_result(topic, stamp));
        let has_files = !message.body.files().is_empty();
        Some(KnownMessage { from: &message.from, at_ms: message.at_ms, deleted, has_files })
    }

    fn reaction(&self, topic: &Topic, seq: u64, emoji: &Emoji, user: &Username) -> Option<FirstResult> {
        let (log, _) = self.found(topic, seq)?;
        Some(first_result(topic, log.changed.get(&seq)?.reaction(emoji, user)?))
    }

    fn reactions(&self, topic: &Topic, seq: u64, emoji: &Emoji) -> (usize, bool) {
        let kept = self.found(topic, seq).and_then(|(log, _)| log.changed.get(&seq));
        let reactions = kept.map_or(&[][..], |kept| &kept.state.reactions);
        (reactions.len(), reactions.iter().any(|reaction| reaction.emoji == *emoji))
    }

    fn file(&self, id: &FileId) -> Option<(&Username, &AttachedFile)> {
        self.history.files.free(id)
    }
}

/// The entries that a page has of these, in their order, and whether there are more.
fn fill<'a>(
    entries: impl Iterator<Item = &'a Arc<Entry>> + Clone,
    limits: PageLimits,
) -> (Vec<Arc<Entry>>, bool) {
    let fitting = within_limits(entries.clone().map(Arc::as_ref), limits);
    (entries.clone().take(fitting).cloned().collect(), entries.clone().nth(fitting).is_some())
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

    /// The numbers of the newest messages, in rising order.
    fn newest(&self) -> Vec<u64> {
        let messages = self.entries.iter().rev().filter(|entry| entry.body.is_message());
        let mut newest: Vec<u64> = messages.take(NEWEST_MESSAGES).map(|entry| entry.seq).collect();
        newest.reverse();
        newest
    }

    /// The number of the oldest of the newest `count` messages; 1 if there are fewer.
    fn oldest_of(&self, count: u64) -> u64 {
        if count == 0 {
            return u64::MAX;
        }
        if (self.messages as u64) < count {
            return 1;
        }
        let messages = self.entries.iter().rev().filter(|entry| entry.body.is_message());
        let index = usize::try_from(count - 1).unwrap_or(usize::MAX);
        messages.map(|entry| entry.seq).nth(index).unwrap_or(1)
    }

    /// Removes the oldest message, and the changes before the next one.
    fn remove_oldest_message(&mut self, nonces: &mut Nonces, files: &mut Files) {
        let messages = self.messages;
        while self.messages == messages && !self.entries.is_empty() {
            self.remove_oldest(nonces, files);
        }
        while self.entries.front().is_some_and(|oldest| !oldest.body.is_message()) {
            self.remove_oldest(nonces, files);
        }
    }

    /// Removes the oldest entry, with its nonces, and what depends on it.
    fn remove_oldest(&mut self, nonces: &mut Nonces, files: &mut Files) {
        let Some(oldest) = self.entries.pop_front() else { return };
        if let Some(nonce) = &oldest.nonce {
            nonces.remove(&(oldest.from.clone(), nonce.clone()));
        }
        for key in self.remembered.remove(&oldest.seq).into_iter().flatten() {
            nonces.remove(&key);
        }
        if oldest.body.is_message() {
            self.messages -= 1;
            files.take_back(&oldest.body);
            if let Some(edit) = self.forget_changes(&oldest) {
                replace_nonce(nonces, &edit);
            }
        }
    }
}

/// Replaces the entry of a nonce by what is left of it.
fn replace_nonce(nonces: &mut Nonces, entry: &Arc<Entry>) {
    if let Some(nonce) = &entry.nonce
        && let Some(known) = nonces.get_mut(&(entry.from.clone(), nonce.clone()))
    {
        *known = Arc::clone(entry);
    }
}

#[cfg(test)]
mod tests;
