//! A shard's inbox between threads.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use chat_core::{RoomName, Username};
use tokio::sync::oneshot;

use crate::arrival::{Arrival, RoomInUse};
use crate::inbox::{self, Inbox};

/// An [`Inbox`] with one reader, locked once for each commit or control message.
pub(crate) struct SharedInbox {
    state: Mutex<State>,
}

/// One item for a shard.
pub(crate) type Item = inbox::Item<Control>;

/// What other threads want of a shard, beside what concerns its hub.
pub(crate) enum Control {
    /// Take a socket over.
    Arrival(Arrival),
    /// Answer at the end of the turn.
    AnswerAfterTurn(oneshot::Sender<()>),
    /// Answer when all clients are gone that a [`Drain`](inbox::Item::Drain) closes.
    AnswerWhenDrained(oneshot::Sender<()>),
    /// Answer with the rooms in use.
    Rooms(oneshot::Sender<Vec<RoomInUse>>),
    /// Answer with the users who have a client.
    OnlineUsers(oneshot::Sender<HashSet<Username>>),
    /// Answer with the rooms in which users are on any server, and how many.
    RoomsEverywhere(oneshot::Sender<HashMap<RoomName, usize>>),
    /// End the thread.
    Stop,
}

struct State {
    inbox: Inbox<Control>,
    waker: Option<Waker>,
    /// The reader is gone: nothing is kept any more.
    closed: bool,
}

impl SharedInbox {
    /// An empty inbox that keeps so many bytes of entries.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { state: Mutex::new(State { inbox: Inbox::new(max_bytes), waker: None, closed: false }) }
    }

    /// Adds an item and wakes the shard. After [`close`](Self::close) the item
    /// is dropped, and with it the sender of an answer.
    pub(crate) fn push(&self, item: Item) {
        self.push_all([item]);
    }

    /// Adds items that nothing comes between, and wakes the shard once.
    pub(crate) fn push_all(&self, items: impl IntoIterator<Item = Item>) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        for item in items {
            state.inbox.push(item);
        }
        let waker = if state.inbox.is_empty() { None } else { state.waker.take() };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes everything; if there was nothing, `waker` is woken by the next item.
    pub(crate) fn take(&self, waker: &Waker) -> Option<VecDeque<Item>> {
        let mut state = self.lock();
        let items = state.inbox.take();
        if items.is_none() {
            state.waker = Some(waker.clone());
        }
        items
    }

    /// How many entries did not fit since the inbox began.
    pub(crate) fn overflowed(&self) -> u64 {
        self.lock().inbox.overflowed()
    }

    /// Drops everything, now and from now on: the shard ends.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.inbox = Inbox::new(0);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use chat_core::{Body, Entry, MessageText, RoomName, Topic, Username};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// It leaves only a mark for missed entries, which the shard has to take as well.
    #[test]
    fn a_commit_that_is_larger_than_the_inbox_wakes_the_shard() {
        let (inbox, woken) = (SharedInbox::new(0), Arc::new(Woken::default()));
        assert!(inbox.take(&Arc::clone(&woken).into()).is_none());
        let entry = Entry {
            topic: Topic::Room(RoomName::default()),
            seq: 1,
            from: Username::known("alice").unwrap(),
            room: None,
            body: Body::message(MessageText::stored("hi")),
            at_ms: 0,
            nonce: None,
        };
        inbox.push(Item::Commit { entries: vec![Arc::new(entry)], receipts: Vec::new() });
        assert!(woken.0.load(Ordering::Relaxed));
        assert!(matches!(inbox.take(Waker::noop()).unwrap()[0], Item::Missed(_)));
    }

    #[test]
    fn a_closed_inbox_drops_the_senders_of_answers() {
        let inbox = SharedInbox::new(0);
        inbox.close();
        let (answer, mut answered) = oneshot::channel();
        inbox.push(Item::Other(Control::AnswerWhenDrained(answer)));
        assert!(answered.try_recv().is_err());
    }
}
