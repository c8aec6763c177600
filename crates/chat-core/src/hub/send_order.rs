//! The order of a v2 client's sends.

use crate::Nonce;

/// The order of a v2 client's sends, which a failed one must not change.
///
/// After a send has failed, those after it are refused until the client repeats
/// the failed ones, the first one first; after a while the hub assumes that the
/// client has given them up.
#[derive(Debug, Default)]
pub(super) struct SendOrder {
    /// How many sends the client has made, repetitions not counted.
    count: u64,
    /// Sends that failed, or were refused because of that, and were not repeated
    /// yet, by their position. The client must repeat the first one first.
    failed: Vec<FailedSend>,
    /// When the failed sends are assumed to be given up, in milliseconds.
    refusing_until_ms: u64,
}

/// A send that a client was sent an `unavailable` for.
#[derive(Debug)]
struct FailedSend {
    nonce: Nonce,
    /// Its position among the client's sends, however often it is repeated.
    position: u64,
}

impl SendOrder {
    /// Returns the position of a send among those of the client; `None` if it is
    /// refused, because a send before it failed and was not repeated.
    pub(super) fn admit(&mut self, nonce: &Nonce, now_ms: u64) -> Option<u64> {
        let is_refusing = now_ms < self.refusing_until_ms;
        match self.failed.iter().position(|failed| failed.nonce == *nonce) {
            Some(0) => Some(self.failed.remove(0).position),
            Some(_) if is_refusing => None,
            // The client gave up those before it.
            Some(index) => self.failed.drain(..=index).next_back().map(|failed| failed.position),
            None => {
                self.count += 1;
                if is_refusing && !self.failed.is_empty() {
                    self.insert_failed(nonce.clone(), self.count);
                    return None;
                }
                if !is_refusing {
                    self.failed.clear();
                }
                Some(self.count)
            }
        }
    }

    /// Returns whether an admitted send may go to the log; not if one before it
    /// has failed since: then it counts as failed, too.
    pub(super) fn admit_again(&mut self, nonce: &Nonce, position: u64, now_ms: u64) -> bool {
        let is_behind_failed = now_ms < self.refusing_until_ms
            && self.failed.first().is_some_and(|failed| failed.position < position);
        if is_behind_failed {
            self.insert_failed(nonce.clone(), position);
        }
        !is_behind_failed
    }

    /// Notes that the log failed a send: those after it are refused until
    /// `refusing_until_ms`.
    pub(super) fn fail(&mut self, nonce: Nonce, position: u64, refusing_until_ms: u64) {
        self.insert_failed(nonce, position);
        self.refusing_until_ms = refusing_until_ms;
    }

    /// Notes that a send has its final answer: no other one waits for it.
    pub(super) fn finish(&mut self, nonce: &Nonce) {
        self.failed.retain(|failed| failed.nonce != *nonce);
    }

    /// Sends need not fail in their order: one that the log's queue had no room
    /// for fails before those that wait there. At the cap, the first is forgotten.
    fn insert_failed(&mut self, nonce: Nonce, position: u64) {
        if self.failed.iter().any(|failed| failed.nonce == nonce) {
            return;
        }
        let index = self.failed.partition_point(|failed| failed.position < position);
        self.failed.insert(index, FailedSend { nonce, position });
        if self.failed.len() > FAILED_MAX {
            self.failed.remove(0);
        }
    }
}

/// Failed sends of one client that are remembered: more than it can send while
/// it is refused, at the default limit on frames.
const FAILED_MAX: usize = 512;
