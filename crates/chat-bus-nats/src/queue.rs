//! What waits to be published.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chat_cluster::Channel;
use tokio::sync::Notify;

/// A queue in front of the connection. It never makes anybody wait: when it is full, the oldest
/// messages go, as the other servers have read those commits from the feed first.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Notify,
    max_messages: usize,
    max_bytes: usize,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<(Channel, Bytes)>,
    bytes: usize,
}

impl Queue {
    pub(crate) fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self { waiting: Mutex::default(), filled: Notify::new(), max_messages, max_bytes }
    }

    /// Appends a message; returns how many had to go for it, itself among them if it is larger than
    /// the queue.
    pub(crate) fn push(&self, to: Channel, message: Bytes) -> u64 {
        let mut waiting = self.waiting();
        waiting.bytes += message.len();
        waiting.messages.push_back((to, message));
        let mut dropped = 0;
        while waiting.messages.len() > self.max_messages || waiting.bytes > self.max_bytes {
            let Some((_, oldest)) = waiting.messages.pop_front() else { break };
            waiting.bytes -= oldest.len();
            dropped += 1;
        }
        drop(waiting);
        self.filled.notify_one();
        dropped
    }

    /// Takes the oldest message, once there is one. One task calls this.
    pub(crate) async fn next(&self) -> (Channel, Bytes) {
        loop {
            if let Some(next) = self.waiting().take() {
                return next;
            }
            self.filled.notified().await;
        }
    }

    /// Drops everything; returns how many messages that were.
    pub(crate) fn clear(&self) -> u64 {
        std::mem::take(&mut *self.waiting()).messages.len() as u64
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // The queue is whole wherever a thread could panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take(&mut self) -> Option<(Channel, Bytes)> {
        let (to, message) = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some((to, message))
    }
}

#[cfg(test)]
mod tests {
    use chat_cluster::Lane;

    use super::*;

    const LANE: Channel = Channel::Commits(Lane(0));

    fn message(number: u8, bytes: usize) -> Bytes {
        vec![number; bytes].into()
    }

    #[tokio::test]
    async fn a_full_queue_drops_the_oldest_and_counts_them() {
        let queue = Queue::new(3, 100);
        assert_eq!((1..=3).map(|number| queue.push(LANE, message(number, 10))).sum::<u64>(), 0);
        assert_eq!(queue.push(LANE, message(4, 10)), 1, "four messages");
        assert_eq!(queue.next().await, (LANE, message(2, 10)));
        assert_eq!(queue.push(LANE, message(5, 95)), 2, "115 bytes");
        assert_eq!(queue.next().await, (LANE, message(5, 95)));
        assert_eq!(queue.push(LANE, message(6, 101)), 1, "larger than the queue");
        queue.push(LANE, message(7, 100));
        assert_eq!(queue.clear(), 1);
        assert_eq!(queue.push(LANE, message(8, 100)), 0, "no bytes are left of those that went");
    }

    #[tokio::test]
    async fn the_reader_waits_for_a_message() {
        let queue = Queue::new(3, 100);
        let (next, ()) = tokio::join!(queue.next(), async {
            tokio::task::yield_now().await;
            queue.push(LANE, message(1, 1));
        });
        assert_eq!(next, (LANE, message(1, 1)));
    }
}
