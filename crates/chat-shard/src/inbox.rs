//! What other threads have for a shard.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use chat_core::{Answer, Entry, Missed, PresenceChange, ReadId, Receipt, SessionId, Topic};
use tokio::sync::oneshot;

use crate::arrival::{Arrival, RoomInUse};

/// A queue with one reader, locked once for each commit or control message.
///
/// It never loses a control message or a receipt. Entries are bounded: past
/// `max_bytes` only their numbers are kept, and the shard reads them from the log.
pub(crate) struct Inbox {
    max_bytes: usize,
    state: Mutex<State>,
}

/// One thing for a shard.
pub(crate) enum Item {
    /// A commit: the entries that concern the shard, and the receipts of its drafts.
    Commit { entries: Vec<Arc<Entry>>, receipts: Vec<Receipt> },
    /// Drafts of this shard that a lane of the log could not store.
    Failure { lane: usize, receipts: Vec<Receipt> },
    /// An entry that was stored, and perhaps not carried.
    Heard(Missed),
    /// Entries that did not fit, at most one range for each topic. It stands
    /// where the first of them would have stood, and nothing of a later commit
    /// but its receipts comes behind it.
    Missed(Vec<Missed>),
    /// Somebody came or left on another shard.
    Presence(PresenceChange),
    /// What the log no longer keeps.
    Trimmed(Arc<[(Topic, u64)]>),
    /// The log's answer to a read.
    Answer(ReadId, Answer),
    /// A socket.
    Arrival(Arrival),
    /// Close the sockets of these sessions, then say so.
    Revoke(Arc<[SessionId]>, oneshot::Sender<()>),
    /// A session goes on until then, in milliseconds since 1970.
    Renew(SessionId, u64),
    /// Tell which rooms are in use.
    Rooms(oneshot::Sender<Vec<RoomInUse>>),
    /// Let all clients go, then say so.
    Drain(oneshot::Sender<()>),
    /// End the thread.
    Stop,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// Bytes of text in `items`.
    bytes: usize,
    /// What did not fit since the last time that everything was taken.
    missed: HashMap<Topic, (u64, u64)>,
    waker: Option<Waker>,
    /// The reader is gone: nothing is kept any more.
    closed: bool,
}

impl Inbox {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, state: Mutex::default() }
    }

    /// Adds an item and wakes the shard. After [`close`](Self::close) the item
    /// is dropped, and with it whatever would answer.
    pub(crate) fn push(&self, mut item: Item) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        if let Item::Commit { entries, receipts } = &mut item {
            state.take_in(entries, self.max_bytes);
            if entries.is_empty() && receipts.is_empty() {
                return;
            }
        }
        state.items.push_back(item);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes everything; if there was nothing, `waker` is woken when something comes.
    pub(crate) fn take(&self, waker: &Waker) -> Option<VecDeque<Item>> {
        let mut state = self.lock();
        if state.items.is_empty() {
            state.waker = Some(waker.clone());
            return None;
        }
        state.bytes = 0;
        let ranges = std::mem::take(&mut state.missed);
        let mut items = std::mem::take(&mut state.items);
        drop(state);
        for item in &mut items {
            if let Item::Missed(missed) = item {
                let missed_at = |(topic, (first, last)): (&Topic, &(u64, u64))| Missed {
                    topic: topic.clone(),
                    first: *first,
                    last: *last,
                };
                missed.extend(ranges.iter().map(missed_at));
            }
        }
        Some(items)
    }

    /// The shard ends.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.items.clear();
        state.missed.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Every change of the state is whole in one statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts entries, or notes their numbers instead once there are too many.
    fn take_in(&mut self, entries: &mut Vec<Arc<Entry>>, max_bytes: usize) {
        let bytes: usize = entries.iter().map(|entry| ENTRY_BYTES + entry.body.bytes()).sum();
        // Once something is missing, what comes behind it is missing, too: a
        // conversation must not begin behind a hole.
        if self.missed.is_empty() && self.bytes + bytes <= max_bytes {
            self.bytes += bytes;
            return;
        }
        if self.missed.is_empty() && !entries.is_empty() {
            self.items.push_back(Item::Missed(Vec::new()));
        }
        for entry in entries.drain(..) {
            let range = self.missed.entry(entry.topic.clone()).or_insert((entry.seq, entry.seq));
            range.1 = entry.seq;
        }
    }
}

/// What an entry takes beside its text, roughly.
const ENTRY_BYTES: usize = 200;

#[cfg(test)]
mod tests {
    use chat_core::{Body, MessageText, RoomName, Username};

    use super::*;

    fn commit(seq: u64) -> Item {
        let entry = Entry {
            topic: Topic::Room(RoomName::default()),
            seq,
            from: Username::known("alice").unwrap(),
            room: None,
            body: Body::Message { text: MessageText::stored("hi") },
            at_ms: 0,
            nonce: None,
        };
        Item::Commit { entries: vec![Arc::new(entry)], receipts: Vec::new() }
    }

    #[test]
    fn what_does_not_fit_is_named_by_its_numbers() {
        let inbox = Inbox::new(2 * (ENTRY_BYTES + 2));
        for seq in 1..=5 {
            inbox.push(commit(seq));
        }
        let mut items = inbox.take(Waker::noop()).unwrap();
        let Some(Item::Missed(missed)) = items.pop_back() else { panic!("no mark at the end") };
        assert_eq!(missed, [Missed { topic: Topic::Room(RoomName::default()), first: 3, last: 5 }]);
        assert_eq!(carried(&items), [1, 2]);
        // There is room again.
        inbox.push(commit(6));
        assert_eq!(carried(&inbox.take(Waker::noop()).unwrap()), [6]);
    }

    fn carried(items: &VecDeque<Item>) -> Vec<u64> {
        let entries = items.iter().flat_map(|item| match item {
            Item::Commit { entries, .. } => entries.clone(),
            _ => panic!("something else in the inbox"),
        });
        entries.map(|entry| entry.seq).collect()
    }

    #[test]
    fn a_closed_inbox_lets_go_of_who_waits_for_an_answer() {
        let inbox = Inbox::new(0);
        inbox.close();
        let (answer, mut answered) = oneshot::channel();
        inbox.push(Item::Drain(answer));
        assert!(answered.try_recv().is_err());
    }
}
