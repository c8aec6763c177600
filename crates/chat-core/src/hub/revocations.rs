//! The sessions that were revoked a moment ago.

use std::collections::VecDeque;

use crate::SessionId;

/// The sessions that were revoked a moment ago: a socket of theirs that is on its
/// way must not be let in.
#[derive(Default)]
pub(super) struct Revocations {
    /// With the time in milliseconds, in that order.
    recent: VecDeque<(u64, SessionId)>,
}

impl Revocations {
    pub(super) fn add(&mut self, session: SessionId, now_ms: u64) {
        self.recent.push_back((now_ms, session));
    }

    pub(super) fn contain(&self, session: &SessionId) -> bool {
        self.recent.iter().any(|(_, revoked)| revoked == session)
    }

    /// Forgets those that are older than `kept_ms`.
    pub(super) fn forget_old(&mut self, kept_ms: u64, now_ms: u64) {
        while self.recent.pop_front_if(|(at_ms, _)| *at_ms + kept_ms <= now_ms).is_some() {}
    }
}
