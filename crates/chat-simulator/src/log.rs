//! The one log of a world.

use std::collections::BTreeMap;

use chat_core::{
    Answer, Commit, Conversations, Draft, History, HistoryLimits, Nonce, Page, PageFrom, PageLimits, Query,
    Seed, Topic, Username,
};

use crate::planted::Bug;
use crate::wire::NO_ACCOUNT;

/// The database that all servers share. It drops old entries, but neither numbers nor
/// nonces.
pub(crate) struct Log {
    history: History,
    /// The oldest number kept of each topic that was trimmed.
    kept: BTreeMap<Topic, u64>,
    bug: Option<Bug>,
    nonces: u64,
}

impl Log {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        let limits = HistoryLimits { entries_per_topic: 1_000_000, topics: 1_000 };
        Self { history: History::new(Seed(5, 6), limits), kept: BTreeMap::new(), bug, nonces: 0 }
    }

    /// Stores drafts in one transaction.
    pub(crate) fn append(&mut self, drafts: &[Draft], wall_ms: u64) -> Commit {
        let account = |name: &Username| name.as_str() != NO_ACCOUNT;
        if self.bug == Some(Bug::NoDedupe) {
            let mut drafts = drafts.to_vec();
            for draft in &mut drafts {
                draft.nonce = Some(self.next_nonce());
            }
            return self.history.append(&drafts, wall_ms, account);
        }
        self.history.append(drafts, wall_ms, account)
    }

    /// A new nonce, for a draft that has none.
    pub(crate) fn next_nonce(&mut self) -> Nonce {
        self.nonces += 1;
        Nonce::parse(&format!("log {}", self.nonces)).expect("short and printable")
    }

    pub(crate) fn answer(&self, query: &Query) -> Answer {
        match query {
            Query::Page { topic, from, limits } => Answer::Page(self.page(topic, *from, *limits)),
            Query::Conversations { user, limit } => Answer::Conversations(self.conversations(user, *limit)),
        }
    }

    pub(crate) fn page(&self, topic: &Topic, from: PageFrom, limits: PageLimits) -> Page {
        let first = self.first(topic);
        let from = match from {
            PageFrom::After(seq) => PageFrom::After(seq.max(first - 1)),
            other => other,
        };
        let mut page = self.history.page(topic, from, limits);
        page.first = page.first.max(first);
        page.entries.retain(|entry| entry.seq >= first);
        if self.bug == Some(Bug::NoFirst) {
            page.first = 1;
        }
        page
    }

    pub(crate) fn conversations(&self, user: &Username, limit: usize) -> Conversations {
        self.history.conversations(user, limit)
    }

    pub(crate) fn last_seq(&self, topic: &Topic) -> u64 {
        self.history.last_seq(topic)
    }

    /// The oldest number kept of a topic.
    pub(crate) fn first(&self, topic: &Topic) -> u64 {
        self.kept.get(topic).copied().unwrap_or(1)
    }

    /// Drops all but the newest `keep` entries of a topic.
    pub(crate) fn trim(&mut self, topic: &Topic, keep: u64) {
        let first = (self.last_seq(topic) + 1).saturating_sub(keep).max(self.first(topic));
        self.kept.insert(topic.clone(), first);
    }
}
