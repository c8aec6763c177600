//! Whether the store works, as far as this server has noticed.

use std::sync::{Mutex, PoisonError};

use chat_shard::causes;
use chat_store::StoreError;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Logs once when the store becomes unavailable, and once when it is available again.
///
/// Each use of the store fails and recovers on its own: with a full disk, reading
/// works and writing does not. The store is available again once no use fails.
#[derive(Default)]
pub(crate) struct StoreHealth {
    outage: Mutex<Option<Outage>>,
    began: Notify,
}

/// What the store is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreUse {
    /// Requests, and the readiness check, by which it is seen that they work again.
    Requests,
    /// The check of the sessions that have sockets.
    SessionCheck,
    /// The removal of old messages.
    Retention,
    /// The filling of rooms with members.
    Members,
    /// The index of the search.
    Indexing,
    /// The deletion of files.
    Files,
    /// The deletion of the messages of banned users.
    Deletions,
    /// The queue of notifications.
    Pushes,
    /// The queue of outgoing webhooks.
    Webhooks,
}

struct Outage {
    since: Instant,
    failing: Vec<StoreUse>,
}

impl StoreHealth {
    /// Notes that the store answered.
    pub(crate) fn answered(&self, used_for: StoreUse, now: Instant) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Outage { since, failing }) = &mut *outage else { return };
        failing.retain(|failing| *failing != used_for);
        if failing.is_empty() {
            tracing::info!(seconds = (now - *since).as_secs(), "the store is available again");
            *outage = None;
        }
    }

    /// Notes that the store returned an error. One that is no outage is logged each
    /// time.
    pub(crate) fn failed(&self, used_for: StoreUse, error: &StoreError, now: Instant) {
        let error_text = causes(error);
        match error {
            StoreError::Unavailable { .. } => self.unavailable(used_for, &error_text, now),
            _ => tracing::error!(used_for = used_for.as_str(), error = error_text, "the store failed"),
        }
    }

    /// Notes that the store did not answer in time.
    pub(crate) fn timed_out(&self, used_for: StoreUse, now: Instant) {
        self.unavailable(used_for, "it does not answer", now);
    }

    fn unavailable(&self, used_for: StoreUse, error: &str, now: Instant) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        if outage.is_none() {
            tracing::error!(used_for = used_for.as_str(), error, "the store is unavailable");
            self.began.notify_one();
        }
        let failing = &mut outage.get_or_insert(Outage { since: now, failing: Vec::new() }).failing;
        if !failing.contains(&used_for) {
            failing.push(used_for);
        }
    }

    /// Whether the store is unavailable.
    pub(crate) fn is_out(&self) -> bool {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Resolves when an outage has begun.
    pub(crate) async fn outage_began(&self) {
        self.began.notified().await;
    }
}

impl StoreUse {
    fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::SessionCheck => "session check",
            Self::Retention => "retention",
            Self::Members => "members",
            Self::Indexing => "indexing",
            Self::Files => "files",
            Self::Deletions => "deletions",
            Self::Pushes => "notifications",
            Self::Webhooks => "outgoing webhooks",
        }
    }
}
