//! The log of a world: one writer that commits in batches, and its faults.

use std::collections::VecDeque;

use chat_core::{
    Commit, Draft, History, HistoryLimits, Nonce, Outcome, Page, ReadRequest, Receipt, Seed, Topic,
};

/// Who asked for an append: a hub, until it starts anew.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Origin {
    pub(crate) node: usize,
    pub(crate) boot: u64,
}

pub(crate) struct Log {
    history: History,
    queue: VecDeque<(Origin, Draft)>,
    in_flight: Vec<(Origin, Draft)>,
    nonces: u64,
}

/// What a transaction was for.
pub(crate) struct Committed {
    /// The drafts' origins, in the order of the receipts.
    pub(crate) origins: Vec<Origin>,
    pub(crate) commit: Commit,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            history: History::new(Seed(5, 6), HistoryLimits::default()),
            queue: VecDeque::new(),
            in_flight: Vec::new(),
            nonces: 0,
        }
    }

    /// A draft gets a nonce, by which it is found again when an answer is lost.
    pub(crate) fn queue(&mut self, origin: Origin, mut draft: Draft) {
        self.nonces += 1;
        draft.nonce = Nonce::parse(&format!("nonce {}", self.nonces));
        self.queue.push_back((origin, draft));
    }

    /// Begins the next transaction, if none is running and there is something
    /// to store.
    pub(crate) fn begin(&mut self, batch_max: usize) -> bool {
        if !self.in_flight.is_empty() || self.queue.is_empty() {
            return false;
        }
        let len = self.queue.len().min(batch_max);
        self.in_flight.extend(self.queue.drain(..len));
        true
    }

    /// The transaction is committed; it still runs until [`end`](Self::end).
    pub(crate) fn commit(&mut self, wall_ms: u64) -> Committed {
        let (origins, drafts): (Vec<_>, Vec<_>) = self.in_flight.iter().cloned().unzip();
        let account = |name: &chat_core::Username| name.as_str() != crate::world::NOBODY;
        Committed { origins, commit: self.history.append(&drafts, wall_ms, account) }
    }

    /// The transaction failed, and so does what is queued behind it.
    pub(crate) fn fail(&mut self) -> Committed {
        let failed = self.in_flight.drain(..).chain(self.queue.drain(..));
        let (origins, receipts) = failed
            .map(|(origin, draft)| (origin, Receipt { draft: draft.id, outcome: Outcome::Failed }))
            .unzip();
        Committed { origins, commit: Commit { entries: Vec::new(), receipts } }
    }

    pub(crate) fn end(&mut self) {
        self.in_flight.clear();
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.queue.is_empty()
    }

    pub(crate) fn page(&self, request: &ReadRequest) -> Page {
        self.history.page(&request.topic, request.from, request.limits)
    }

    pub(crate) fn last_seq(&self, topic: &Topic) -> u64 {
        self.history.last_seq(topic)
    }
}
