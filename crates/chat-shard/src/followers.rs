//! Who follows topics without being a shard: programs around the chat.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use chat_core::{Entry, Missed, Topic};
use tokio::sync::Notify;

use crate::inbox::ENTRY_BYTES;

/// The followers of all topics.
#[derive(Default)]
pub(crate) struct Followers {
    /// The number of followers: without any, a commit takes no lock.
    count: AtomicUsize,
    topics: Mutex<HashMap<Topic, Vec<Weak<Follower>>>>,
}

/// What one follower has not taken yet.
struct Follower {
    queue: Mutex<Queue>,
    changed: Notify,
}

struct Queue {
    items: VecDeque<Followed>,
    /// Bytes of the entries in `items`.
    bytes: usize,
    max_bytes: usize,
    /// The number after the last one that was added; `None` before the first.
    next: Option<u64>,
    is_over: bool,
}

/// One item of [`Entries`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// An entry: a message, or a change of one.
    Entry(Arc<Entry>),
    /// These entries are left out: the stream was full, only their numbers were heard of, or the answer
    /// to their commit was lost. They can be read with
    /// [`ChatHandle::page`](crate::ChatHandle::page), and are perhaps messages or changes.
    Missed(Missed),
}

/// The entries of a topic from the moment of the subscription on, in the order of their numbers.
/// It keeps so many bytes, and names what it leaves out.
pub struct Entries {
    follower: Arc<Follower>,
    topic: Topic,
    followers: Arc<Followers>,
}

impl Followers {
    /// Follows a topic; what is not taken is kept up to so many bytes.
    pub(crate) fn follow(self: &Arc<Self>, topic: Topic, max_bytes: usize) -> Entries {
        let queue = Queue { items: VecDeque::new(), bytes: 0, max_bytes, next: None, is_over: false };
        let follower = Arc::new(Follower { queue: Mutex::new(queue), changed: Notify::new() });
        self.topics().entry(topic.clone()).or_default().push(Arc::downgrade(&follower));
        self.count.fetch_add(1, Ordering::AcqRel);
        Entries { follower, topic, followers: Arc::clone(self) }
    }

    /// Adds entries to those who follow their topics.
    pub(crate) fn publish(&self, entries: &[Arc<Entry>]) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let topics = self.topics();
        for entry in entries {
            for follower in topics.get(&entry.topic).into_iter().flatten().filter_map(Weak::upgrade) {
                follower.add(|queue| queue.push(entry));
            }
        }
    }

    /// Names entries that were stored earlier, and perhaps published to nobody.
    pub(crate) fn miss(&self, missed: &Missed) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let followers: Vec<_> =
            self.topics().get(&missed.topic).into_iter().flatten().filter_map(Weak::upgrade).collect();
        for follower in followers {
            follower.add(|queue| queue.miss(&missed.topic, missed.last));
        }
    }

    /// Ends all streams, once what they have is taken.
    pub(crate) fn end(&self) {
        for follower in self.topics().values().flatten().filter_map(Weak::upgrade) {
            follower.add(|queue| queue.is_over = true);
        }
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<Topic, Vec<Weak<Follower>>>> {
        // Every change is whole in one statement.
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    fn add(&self, change: impl FnOnce(&mut Queue)) {
        change(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }
}

impl Queue {
    fn push(&mut self, entry: &Arc<Entry>) {
        let next = self.next.unwrap_or(entry.seq);
        if entry.seq < next {
            return;
        }
        if entry.seq > next {
            self.leave_out(&entry.topic, next, entry.seq - 1);
        }
        let bytes = ENTRY_BYTES + entry.body.bytes();
        // An empty stream takes every entry, so that it gets on whatever its limit is.
        if self.bytes > 0 && self.bytes + bytes > self.max_bytes {
            self.leave_out(&entry.topic, entry.seq, entry.seq);
        } else {
            self.bytes += bytes;
            self.items.push_back(Followed::Entry(Arc::clone(entry)));
        }
        self.next = Some(entry.seq + 1);
    }

    fn miss(&mut self, topic: &Topic, last: u64) {
        // Before its first entry, a follower does not know which numbers it has.
        let first = self.next.unwrap_or(last);
        if first <= last {
            self.leave_out(topic, first, last);
            self.next = Some(last + 1);
        }
    }

    fn leave_out(&mut self, topic: &Topic, first: u64, last: u64) {
        match self.items.back_mut() {
            Some(Followed::Missed(missed)) => missed.last = last,
            _ => self.items.push_back(Followed::Missed(Missed { topic: topic.clone(), first, last })),
        }
    }
}

impl Entries {
    /// The next item; `None` once the server has stopped. It loses nothing if it is dropped before
    /// it resolves.
    pub async fn next(&mut self) -> Option<Followed> {
        loop {
            {
                let mut queue = self.follower.queue.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(item) = queue.items.pop_front() {
                    if let Followed::Entry(entry) = &item {
                        queue.bytes -= ENTRY_BYTES + entry.body.bytes();
                    }
                    return Some(item);
                }
                if queue.is_over {
                    return None;
                }
            }
            self.follower.changed.notified().await;
        }
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        self.followers.count.fetch_sub(1, Ordering::AcqRel);
        let mut topics = self.followers.topics();
        if let Some(followers) = topics.get_mut(&self.topic) {
            followers.retain(|follower| !std::ptr::eq(follower.as_ptr(), &raw const *self.follower));
            if followers.is_empty() {
                topics.remove(&self.topic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_core::{Body, MessageText, RoomName, Username};

    use super::*;

    fn topic() -> Topic {
        Topic::Room(RoomName::default())
    }

    fn entry(seq: u64) -> Arc<Entry> {
        let from = Username::known("alice").unwrap();
        let body = Body::message(MessageText::stored("hi"));
        Arc::new(Entry { topic: topic(), seq, from, room: None, body, at_ms: 0, nonce: None })
    }

    async fn taken(entries: &mut Entries) -> String {
        match entries.next().await {
            Some(Followed::Entry(entry)) => entry.seq.to_string(),
            Some(Followed::Missed(Missed { first, last, .. })) => format!("{first}-{last}"),
            None => "end".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_stream_names_what_it_leaves_out() {
        let followers = Arc::<Followers>::default();
        let mut entries = followers.follow(topic(), 2 * (ENTRY_BYTES + 2));
        followers.publish(&[entry(5), entry(6), entry(7), entry(8)]);
        followers.miss(&Missed { topic: topic(), first: 8, last: 8 });
        assert_eq!(taken(&mut entries).await, "5");
        followers.publish(&[entry(9), entry(6)]);
        followers.publish(&[entry(12)]);
        followers.miss(&Missed { topic: topic(), first: 14, last: 14 });
        followers.end();
        for expected in ["6", "7-8", "9", "10-14", "end"] {
            assert_eq!(taken(&mut entries).await, expected);
        }
        assert_eq!(followers.topics().len(), 1);
        drop(entries);
        assert_eq!((followers.topics().len(), followers.count.load(Ordering::Relaxed)), (0, 0));
    }
}
