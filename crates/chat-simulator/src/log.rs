//! The one log of a world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chat_core::{
    Answer, Body, ChangeRefused, Commit, Draft, Emoji, Entry, History, HistoryLimits, MessagesFrom, Nonce,
    Outcome, PageFrom, PageLimits, Query, Receipt, Role, RoomAccess, RoomChange, RoomName, Seed, Topic,
    UserMark, Username, WantedChange,
};

use crate::oracle::ADMINISTRATOR;
use crate::planted::Bug;
use crate::wire::NO_ACCOUNT;

/// The database that all servers share. It drops old entries, but neither numbers nor
/// nonces.
pub(crate) struct Log {
    history: History,
    /// The entry for which each nonce stands, also once that is no longer kept.
    nonces: BTreeMap<(Username, Nonce), (Topic, u64, u64)>,
    bug: Option<Bug>,
    flaws: Flaws,
}

/// What the bugs of a log need.
#[derive(Default)]
struct Flaws {
    new_nonces: u64,
    /// Nonces of changes that stored nothing.
    of_nothing: BTreeSet<(Username, Nonce)>,
    /// Messages as they were before their last change, and until when they are shown so.
    before: BTreeMap<(Topic, u64), (u64, Arc<Entry>)>,
    /// The edits as they were stored.
    edits: BTreeMap<(Topic, u64), Arc<Entry>>,
    /// Reactions that were answered as duplicates.
    doubled: BTreeSet<(Topic, u64, Emoji)>,
}

impl Log {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        let limits = HistoryLimits { entries_per_topic: 1_000_000, topics: 1_000 };
        let mut history = History::new(Seed(5, 6), limits);
        history.set_administrator(&Username::parse(ADMINISTRATOR).expect("a good name"), true);
        Self { history, nonces: BTreeMap::new(), bug, flaws: Flaws::default() }
    }

    /// Stores drafts in one transaction.
    pub(crate) fn append(&mut self, drafts: &[Draft], wall_ms: u64, now_ms: u64) -> Commit {
        let mut fresh = Vec::with_capacity(drafts.len());
        let mut repeated = BTreeMap::new();
        for (index, draft) in drafts.iter().enumerate() {
            match self.outlived(draft) {
                Some(outcome) => drop(repeated.insert(index, Receipt::new(draft.id, outcome))),
                None => fresh.push(self.with_bug(draft)),
            }
        }
        self.note_before(&fresh, now_ms);
        let account = |name: &Username| name.as_str() != NO_ACCOUNT;
        let mut commit = self.history.append(&fresh, wall_ms, account);
        self.flaw(&fresh, &mut commit);
        for (draft, receipt) in std::iter::zip(&fresh, &commit.receipts) {
            self.note_nonce(draft, &receipt.outcome);
        }
        for (index, receipt) in repeated {
            commit.receipts.insert(index, receipt);
        }
        commit
    }

    /// The first result of a nonce whose entry is no longer kept.
    fn outlived(&self, draft: &Draft) -> Option<Outcome> {
        let key = (draft.from.clone(), draft.nonce.clone()?);
        let (topic, seq, at_ms) = self.nonces.get(&key)?;
        let is_kept = *seq >= self.first(topic);
        (!is_kept).then(|| Outcome::Duplicate { topic: topic.clone(), seq: *seq, at_ms: *at_ms })
    }

    fn note_nonce(&mut self, draft: &Draft, outcome: &Outcome) {
        let Some(nonce) = &draft.nonce else { return };
        let first = match outcome {
            Outcome::Stored { seq, at_ms } => (draft.topic.clone(), *seq, *at_ms),
            Outcome::Duplicate { topic, seq, at_ms } => (topic.clone(), *seq, *at_ms),
            _ => return,
        };
        self.nonces.entry((draft.from.clone(), nonce.clone())).or_insert(first);
    }

    // Bugs on purpose.

    fn with_bug(&mut self, draft: &Draft) -> Draft {
        let mut draft = draft.clone();
        let key = draft.nonce.clone().map(|nonce| (draft.from.clone(), nonce));
        let is_forgotten = self.bug == Some(Bug::ForgetAnswers)
            && key.is_some_and(|key| self.flaws.of_nothing.contains(&key));
        if self.bug == Some(Bug::NoDedupe) || is_forgotten {
            self.flaws.new_nonces += 1;
            draft.nonce = Nonce::parse(&format!("log {}", self.flaws.new_nonces));
        }
        if let (Some(Bug::EditByAnother), Body::Edit { target, .. }) = (self.bug, &draft.body)
            && let Some(message) = self.message(&draft.topic, *target)
        {
            draft.from = message.from.clone();
        }
        draft
    }

    fn message(&self, topic: &Topic, seq: u64) -> Option<Arc<Entry>> {
        let limits = PageLimits { entries: 1, bytes: 1 };
        self.history.messages(topic, &MessagesFrom::Numbers(vec![seq]), limits).entries.pop()
    }

    fn note_before(&mut self, drafts: &[Draft], now_ms: u64) {
        if self.bug == Some(Bug::AppliedBeside) {
            for draft in drafts {
                if let Some(target) = draft.body.target()
                    && let Some(message) = self.message(&draft.topic, target)
                {
                    let key = (draft.topic.clone(), target);
                    self.flaws.before.insert(key, (now_ms + APPLIED_LATE_MS, message));
                }
            }
        }
    }

    fn flaw(&mut self, drafts: &[Draft], commit: &mut Commit) {
        for (draft, receipt) in std::iter::zip(drafts, &commit.receipts) {
            if let (Outcome::Duplicate { .. }, Some(nonce)) = (&receipt.outcome, &draft.nonce) {
                let key = (draft.from.clone(), nonce.clone());
                if !self.nonces.contains_key(&key) {
                    self.flaws.of_nothing.insert(key);
                }
                if let Body::React { target, emoji } = &draft.body {
                    self.flaws.doubled.insert((draft.topic.clone(), *target, emoji.clone()));
                }
            }
        }
        for entry in &commit.entries {
            if let Body::Edit { .. } = entry.body {
                self.flaws.edits.insert((entry.topic.clone(), entry.seq), Arc::clone(entry));
            }
            if let (Some(Bug::ChangeJoins), Some(_), Topic::Room(room)) =
                (self.bug, entry.body.target(), &entry.topic)
            {
                let access = self.history.access(&entry.from, room);
                if let (Some(info), None) = (access.info, access.role) {
                    let (room, user, top) = (room.clone(), entry.from.clone(), entry.seq - 1);
                    commit.changes.push(RoomChange::Member { room, user, role: Role::Member, info, top });
                }
            }
        }
    }

    /// Adds the flaws of a bug to an entry that is read.
    fn flawed(&self, entry: &mut Arc<Entry>, now_ms: u64) {
        let key = (entry.topic.clone(), entry.seq);
        match (self.bug, &entry.body) {
            (Some(Bug::AppliedBeside), Body::Message { .. }) => {
                if let Some((_, before)) = self.flaws.before.get(&key).filter(|(until, _)| now_ms < *until) {
                    *entry = Arc::clone(before);
                }
            }
            (Some(Bug::OldEditText), Body::Edit { text: None, .. }) => {
                if let Some(edit) = self.flaws.edits.get(&key) {
                    *entry = Arc::clone(edit);
                }
            }
            (Some(Bug::DoubleReaction), Body::Message { state: Some(state), .. }) => {
                let mut state = state.clone();
                for reaction in &mut state.reactions {
                    let key = (entry.topic.clone(), entry.seq, reaction.emoji.clone());
                    reaction.count += u64::from(self.flaws.doubled.contains(&key));
                }
                let mut doubled = Entry::clone(entry);
                if let Body::Message { state: shown, .. } = &mut doubled.body {
                    *shown = Some(state);
                }
                *entry = Arc::new(doubled);
            }
            _ => {}
        }
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

    /// Answers a query of a hub, without the entries that were dropped.
    pub(crate) fn answer(&self, query: &Query, now_ms: u64) -> Answer {
        let mut answer = self.history.answer(query);
        if let (Answer::Page(page), Some(bug)) = (&mut answer, self.bug) {
            if bug == Bug::NoFirst {
                page.first = 1;
            }
            page.entries.iter_mut().for_each(|entry| self.flawed(entry, now_ms));
        }
        answer
    }

    pub(crate) fn last_seq(&self, topic: &Topic) -> u64 {
        self.history.last_seq(topic)
    }

    /// The oldest number kept of a topic.
    pub(crate) fn first(&self, topic: &Topic) -> u64 {
        let limits = PageLimits { entries: 1, bytes: 1 };
        self.history.page(topic, PageFrom::Before(1), limits).first
    }

    /// Drops all but the newest `keep` entries of a topic.
    pub(crate) fn trim(&mut self, topic: &Topic, keep: u64) {
        let first = (self.last_seq(topic) + 1).saturating_sub(keep);
        let is_old = |entry: &Entry, _| entry.topic == *topic && entry.seq < first;
        self.history.trim(usize::MAX, None, is_old);
    }
}

/// By how much later changes are applied that are stored beside their messages, in
/// milliseconds.
const APPLIED_LATE_MS: u64 = 300;
