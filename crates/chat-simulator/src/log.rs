//! The one log of a world.

use std::collections::BTreeMap;

use chat_core::{
    Answer, ChangeRefused, Commit, Draft, History, HistoryLimits, Nonce, PageFrom, Query, RoomAccess,
    RoomChange, RoomName, Seed, Topic, UserMark, Username, WantedChange,
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

    /// Makes a change of a room in a transaction.
    pub(crate) fn change(
        &mut self,
        wanted: &WantedChange,
        now_ms: u64,
    ) -> Result<Vec<RoomChange>, ChangeRefused> {
        self.history.change(wanted, now_ms, |name| name.as_str() != NO_ACCOUNT)
    }

    /// Keeps marks in a transaction.
    pub(crate) fn keep(&mut self, marks: &[UserMark]) {
        marks.iter().for_each(|mark| self.history.keep(mark));
    }

    /// What a user may do in a room now.
    pub(crate) fn access(&self, user: &Username, room: &RoomName) -> RoomAccess {
        self.history.access(user, room)
    }

    /// The number up to which a user has read a topic.
    pub(crate) fn read(&self, user: &Username, topic: &Topic) -> u64 {
        self.history.counts(user, topic, 0).read
    }

    /// A new nonce, for a draft that has none.
    pub(crate) fn next_nonce(&mut self) -> Nonce {
        self.nonces += 1;
        Nonce::parse(&format!("log {}", self.nonces)).expect("short and printable")
    }

    /// Answers a query of a hub, without the entries that were dropped.
    pub(crate) fn answer(&self, query: &Query) -> Answer {
        let mut query = query.clone();
        let mut first = 1;
        if let Query::Page { topic, from, .. } = &mut query {
            first = self.first(topic);
            if let PageFrom::After(seq) = from {
                *seq = (*seq).max(first - 1);
            }
        }
        let mut answer = self.history.answer(&query);
        if let Answer::Page(page) = &mut answer {
            page.first = page.first.max(first);
            page.entries.retain(|entry| entry.seq >= first);
            if self.bug == Some(Bug::NoFirst) {
                page.first = 1;
            }
        }
        answer
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
