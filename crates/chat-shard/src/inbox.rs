//! A shard's queue of incoming items, as a plain value.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chat_core::{
    Answer, Entry, Missed, PresenceChange, ReadId, Receipt, RoomChange, SessionId, Topic, TypingChange,
    UserMark, Username, Withheld,
};

use crate::planted::{Planted, planted};

/// The items that wait for a shard, in the order in which they came.
///
/// It never drops a control message or a receipt, but for [`Item::Typing`]: those are
/// dropped while entries do not fit, or many of them wait. Entries are bounded: past
/// `max_bytes` only their numbers are kept, and the shard reads them from the log.
///
/// It has no lock, waker or channel: the server shares it between threads, and the
/// simulator runs it as it is. `C` is what only the shard's surroundings understand.
pub struct Inbox<C> {
    max_bytes: usize,
    items: VecDeque<Item<C>>,
    /// Bytes of the entries in `items`, as counted against `max_bytes`.
    bytes: usize,
    /// Entries did not fit since everything was taken.
    is_full: bool,
    /// The numbers of the entries that did not fit, from the first to the last of
    /// each topic. Not empty if and only if `items` has an empty [`Item::Missed`],
    /// which gets them when everything is taken, or before a change of a room.
    missed: BTreeMap<Topic, (u64, u64)>,
    overflowed: u64,
    /// How many of `items` are [`Item::Typing`].
    typing: usize,
    planted: Planted,
}

/// One item for a shard.
#[derive(Debug, Clone)]
pub enum Item<C> {
    /// A commit: the entries that concern the shard, and the receipts of its drafts.
    Commit {
        /// In the log's order.
        entries: Vec<Arc<Entry>>,
        /// In the order of the drafts.
        receipts: Vec<Receipt>,
    },
    /// Drafts of this shard that a lane of the log did not store.
    Failure {
        /// The lane.
        lane: usize,
        /// In the order of the drafts.
        receipts: Vec<Receipt>,
    },
    /// Rooms or their members were changed, behind the entries that came before this.
    Changes(Arc<[RoomChange]>),
    /// Entries that were committed and that the shard has to read from the log.
    Missed(Vec<Missed>),
    /// The log's answer to a read.
    Answer(ReadId, Answer),
    /// A user came to a room or left it on another shard.
    Presence(PresenceChange),
    /// A user was in a room on another server when this one started.
    Present(PresenceChange),
    /// A user has set a mark on another server.
    Mark(UserMark),
    /// A user types on another shard, or no longer does.
    Typing(TypingChange),
    /// A hub, by its id, is gone, and its users with it.
    HubLost(u32),
    /// Rooms of which nothing is given out from now on.
    Withhold(Withheld),
    /// All clients have to be closed: this server can do nothing for them for now.
    CloseAll,
    /// The oldest number that the log still keeps of each of these topics.
    Trimmed(Arc<[(Topic, u64)]>),
    /// These sessions have ended: their clients have to be closed.
    Revoke(Arc<[SessionId]>),
    /// This user is banned: all clients of the user have to be closed.
    EndUser(Username),
    /// Whether this user is an administrator of the server from now on.
    Role(Username, bool),
    /// A session is good until then, in milliseconds since 1970.
    Renew(SessionId, u64),
    /// All clients have to be closed, each in its slot.
    Drain,
    /// Something that does not concern the hub.
    Other(C),
}

impl<C> Inbox<C> {
    /// An empty inbox. Entries are counted with [`ENTRY_BYTES`] and their text.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            items: VecDeque::new(),
            bytes: 0,
            is_full: false,
            missed: BTreeMap::new(),
            overflowed: 0,
            typing: 0,
            planted: Planted::default(),
        }
    }

    /// The same with a bug on purpose.
    #[cfg(feature = "planted-bugs")]
    #[must_use]
    pub fn with_bug(self, bug: Option<crate::PlantedBug>) -> Self {
        Self { planted: bug, ..self }
    }

    /// Adds an item at the end. Entries that do not fit, and missed ones once others
    /// did not fit, are added to the range of their topic where the first of them
    /// would have stood: nothing of a later commit but its receipts comes before that.
    /// No entry is moved across a change of a room.
    pub fn push(&mut self, mut item: Item<C>) {
        match &mut item {
            Item::Commit { entries, receipts } => {
                self.keep_or_miss(entries);
                if entries.is_empty() && receipts.is_empty() {
                    return;
                }
            }
            Item::Missed(missed) if self.is_full => {
                for Missed { topic, first, last } in missed.drain(..) {
                    self.miss(topic, first, last);
                }
                return;
            }
            Item::Typing(_) => {
                if self.is_full || self.typing >= TYPING_ITEMS_MAX {
                    return;
                }
                self.typing += 1;
            }
            Item::Changes(_) if planted!(self.planted, ChangeBeforeEntries) => {
                return self.items.push_front(item);
            }
            Item::Changes(_) => self.fill_mark(),
            _ => {}
        }
        self.items.push_back(item);
    }

    /// Takes everything; `None` if there is nothing.
    pub fn take(&mut self) -> Option<VecDeque<Item<C>>> {
        if self.items.is_empty() {
            return None;
        }
        self.fill_mark();
        (self.bytes, self.typing, self.is_full) = (0, 0, false);
        let mut items = std::mem::take(&mut self.items);
        if planted!(self.planted, StackForInbox) {
            items.make_contiguous().reverse();
        }
        Some(items)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether entries did not fit since everything was taken.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// How many entries did not fit since the inbox began.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Counts entries, or notes their numbers instead once there are too many.
    fn keep_or_miss(&mut self, entries: &mut Vec<Arc<Entry>>) {
        let bytes: usize = entries.iter().map(|entry| ENTRY_BYTES + entry.body.bytes()).sum();
        // Once an entry is missing, those behind it are missing, too: a conversation
        // must not begin behind a hole.
        if !self.is_full && self.bytes + bytes <= self.max_bytes {
            self.bytes += bytes;
            return;
        }
        self.overflowed += entries.len() as u64;
        if planted!(self.planted, DropWhenFull) {
            entries.clear();
        }
        self.is_full |= !entries.is_empty();
        for entry in entries.drain(..) {
            self.miss(entry.topic.clone(), entry.seq, entry.seq);
        }
    }

    /// Notes the numbers of missing entries at the mark, or at the end if there is none.
    fn miss(&mut self, topic: Topic, first: u64, last: u64) {
        if self.missed.is_empty() {
            self.items.push_back(Item::Missed(Vec::new()));
        }
        let range = self.missed.entry(topic).or_insert((first, last));
        // A retry names a number that is older than what came before it.
        *range = (range.0.min(first), range.1.max(last));
    }

    /// Writes the numbers of missing entries to their mark, which gets no more.
    fn fill_mark(&mut self) {
        let ranges = std::mem::take(&mut self.missed);
        if ranges.is_empty() {
            return;
        }
        let mark = self.items.iter_mut().rev().find_map(|item| match item {
            Item::Missed(missed) if missed.is_empty() => Some(missed),
            _ => None,
        });
        if let Some(missed) = mark {
            let range = |(topic, (first, last))| Missed { topic, first, last };
            missed.extend(ranges.into_iter().map(range));
        }
    }
}

/// How many [`Item::Typing`] may wait.
const TYPING_ITEMS_MAX: usize = 256;

/// What an entry takes beside its text, roughly, in bytes.
pub const ENTRY_BYTES: usize = 200;

#[cfg(test)]
mod tests {
    use chat_core::{Body, DraftId, MessageText, Outcome, RoomName, Username};

    use super::*;

    fn topic() -> Topic {
        Topic::Room(RoomName::default())
    }

    fn commit(seqs: impl IntoIterator<Item = u64>) -> Item<()> {
        let entry = |seq| {
            Arc::new(Entry {
                topic: topic(),
                seq,
                from: Username::known("alice").unwrap(),
                room: None,
                body: Body::message(MessageText::stored("hi")),
                at_ms: 0,
                nonce: None,
            })
        };
        Item::Commit { entries: seqs.into_iter().map(entry).collect(), receipts: Vec::new() }
    }

    fn missed(first: u64, last: u64) -> Missed {
        Missed { topic: topic(), first, last }
    }

    /// What is in an inbox: `2` an entry, `3-5` a range, `!` a failure, `change`.
    fn taken(inbox: &mut Inbox<()>) -> String {
        let items = inbox.take().into_iter().flatten();
        let words = items.flat_map(|item| match item {
            Item::Commit { entries, .. } => entries.iter().map(|entry| entry.seq.to_string()).collect(),
            Item::Missed(missed) => {
                missed.iter().map(|Missed { first, last, .. }| format!("{first}-{last}")).collect()
            }
            Item::Failure { .. } => vec!["!".to_owned()],
            Item::Changes(_) => vec!["change".to_owned()],
            _ => panic!("something else in the inbox"),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn entries_that_do_not_fit_are_named_by_their_numbers() {
        let mut inbox = Inbox::new(2 * (ENTRY_BYTES + 2));
        for seq in 1..=3 {
            inbox.push(commit([seq]));
        }
        let receipt = Receipt::new(DraftId(1), Outcome::Failed);
        inbox.push(Item::Failure { lane: 0, receipts: vec![receipt] });
        inbox.push(commit([4, 5]));
        assert_eq!(taken(&mut inbox), "1 2 3-5 !", "where the first of them would have stood");
        // There is space again.
        inbox.push(commit([6]));
        assert_eq!(taken(&mut inbox), "6");
    }

    #[test]
    fn a_full_inbox_drops_who_types_and_nothing_else() {
        let typing = || {
            let user = Username::known("alice").unwrap();
            Item::Typing(TypingChange { topic: topic(), user, active: true })
        };
        let mut inbox = Inbox::new(ENTRY_BYTES + 2);
        for _ in 0..2 * TYPING_ITEMS_MAX {
            inbox.push(typing());
        }
        inbox.push(commit([1]));
        assert_eq!(inbox.take().unwrap().len(), TYPING_ITEMS_MAX + 1);
        inbox.push(commit([2, 3]));
        inbox.push(typing());
        assert_eq!(taken(&mut inbox), "2-3");
        inbox.push(typing());
        assert_eq!(inbox.take().unwrap().len(), 1, "there is space again");
    }

    #[test]
    fn a_commit_that_is_larger_than_the_inbox_is_an_item_too() {
        let mut inbox = Inbox::new(ENTRY_BYTES);
        inbox.push(commit(1..=3));
        assert!(!inbox.is_empty(), "the shard has to be woken");
        assert_eq!(taken(&mut inbox), "1-3");
    }

    #[test]
    fn the_receipts_of_a_commit_that_does_not_fit_follow_the_mark() {
        let mut inbox = Inbox::<()>::new(0);
        let Item::Commit { entries, .. } = commit([1, 2]) else { panic!("not a commit") };
        let receipts = vec![Receipt::new(DraftId(1), Outcome::Stored { seq: 1, at_ms: 0 })];
        inbox.push(Item::Commit { entries, receipts });
        let items = Vec::from(inbox.take().unwrap());
        assert!(matches!(&items[0], Item::Missed(ranges) if *ranges == [missed(1, 2)]), "{items:?}");
        assert!(
            matches!(&items[1], Item::Commit { entries, receipts } if entries.is_empty() && receipts.len() == 1),
            "{items:?}"
        );
    }

    /// A range that a retry named stood behind the mark, and what came after the
    /// retry at the mark: a conversation that the hub did not know then began
    /// behind the retried entry.
    #[test]
    fn what_is_missed_behind_a_mark_is_missed_at_the_mark() {
        let mut inbox = Inbox::new(ENTRY_BYTES + 2);
        inbox.push(commit([1]));
        inbox.push(commit([6]));
        inbox.push(Item::Missed(vec![missed(5, 5)]));
        inbox.push(commit([7]));
        assert_eq!(taken(&mut inbox), "1 5-7");
        assert_eq!(inbox.overflowed(), 2, "a retry is not an overflow");
        inbox.push(Item::Missed(vec![missed(8, 8)]));
        inbox.push(commit([9]));
        assert_eq!(taken(&mut inbox), "8-8 9", "without a mark it is an item of its own");
    }

    /// An entry behind a change must not come before it: it is for the members that the
    /// change leaves.
    #[test]
    fn a_change_keeps_its_place_among_entries_that_do_not_fit() {
        let change = || Item::Changes(Arc::new([]));
        let mut inbox = Inbox::new(ENTRY_BYTES + 2);
        inbox.push(commit([1]));
        inbox.push(change());
        inbox.push(commit([2, 3]));
        inbox.push(change());
        inbox.push(change());
        inbox.push(Item::Missed(vec![missed(3, 3)]));
        inbox.push(commit([4]));
        inbox.push(commit([5]));
        inbox.push(change());
        assert!(inbox.is_full());
        assert_eq!(taken(&mut inbox), "1 change 2-3 change change 3-5 change");
        inbox.push(commit([6]));
        assert_eq!(taken(&mut inbox), "6", "there is space again");
    }
}
