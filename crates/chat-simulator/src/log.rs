//! The one log of a world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chat_core::{
    Answer, AttachedFile, Body, ChangeRefused, Commit, Draft, Emoji, Entry, FileId, FileQuotas, FileRefused,
    FoundFile, History, HistoryLimits, MessagesFrom, Nonce, Outcome, PageFrom, PageLimits, Query, Receipt,
    ReservedFile, Role, RoomAccess, RoomChange, RoomName, Seed, Topic, UserMark, Username, WantedChange,
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
    /// The files that it has rows of.
    rows: BTreeSet<FileId>,
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
    /// The files as they were when they were last attached.
    files: BTreeMap<FileId, FoundFile>,
    /// The files that messages had that are deleted.
    of_deleted: BTreeMap<(Topic, u64), Arc<[AttachedFile]>>,
}

impl Log {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        let limits = HistoryLimits { entries_per_topic: 1_000_000, topics: 1_000 };
        let mut history = History::new(Seed(5, 6), limits);
        history.set_administrator(&Username::parse(ADMINISTRATOR).expect("a good name"), true);
        Self { history, nonces: BTreeMap::new(), rows: BTreeSet::new(), bug, flaws: Flaws::default() }
    }

    /// Stores drafts in one transaction.
    pub(crate) fn append(&mut self, drafts: &[Draft], wall_ms: u64, now_ms: u64) -> Commit {
        let mut fresh = Vec::with_capacity(drafts.len());
        let mut repeated = BTreeMap::new();
        for (index, draft) in drafts.iter().enumerate() {
            match self.outlived(draft).or_else(|| self.refused_again(draft)) {
                Some(outcome) => drop(repeated.insert(index, Receipt::new(draft.id, outcome))),
                None => fresh.push(self.with_bug(draft)),
            }
        }
        self.note_before(&fresh, now_ms);
        let stolen: Vec<Vec<AttachedFile>> = fresh.iter_mut().map(|draft| self.steal(draft)).collect();
        let account = |name: &Username| name.as_str() != NO_ACCOUNT;
        let mut commit = self.history.append(&fresh, wall_ms, account);
        self.flaw(&fresh, &mut commit);
        self.flaw_files(&stolen, &mut commit);
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
        if self.bug == Some(Bug::StoreRefused) {
            draft.refused = None;
        }
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

    /// What a log answers that looks for files before it looks for nonces.
    fn refused_again(&self, draft: &Draft) -> Option<Outcome> {
        let key = (draft.from.clone(), draft.nonce.clone()?);
        let is_again = self.bug == Some(Bug::FilesBeforeNonces) && self.nonces.contains_key(&key);
        (is_again && !draft.files.is_empty()).then_some(Outcome::InvalidFiles)
    }

    /// Takes the files from a draft that are not its author's to attach, and returns them.
    fn steal(&self, draft: &mut Draft) -> Vec<AttachedFile> {
        let mut stolen = Vec::new();
        let author = draft.from.clone();
        draft.files.retain(|id| {
            let Some(found) = self.history.find_file(id) else { return true };
            let is_stolen = match self.bug {
                Some(Bug::AttachTwice) => found.owner == author && found.attached_to.is_some(),
                Some(Bug::AttachForeign) => found.owner != author && found.attached_to.is_none(),
                _ => false,
            };
            if is_stolen {
                stolen.push(found.file);
            }
            !is_stolen
        });
        stolen
    }

    fn flaw_files(&mut self, stolen: &[Vec<AttachedFile>], commit: &mut Commit) {
        let mut entries = commit.entries.iter_mut();
        for (receipt, stolen) in std::iter::zip(&commit.receipts, stolen) {
            let Outcome::Stored { .. } = receipt.outcome else { continue };
            let Some(entry) = entries.next() else { break };
            let key = |seq| (entry.topic.clone(), seq);
            for file in entry.body.files() {
                self.flaws.files.extend(self.history.find_file(&file.id).map(|found| (file.id, found)));
            }
            if let Body::Message { files: Some(files), .. } = &entry.body {
                self.flaws.of_deleted.insert(key(entry.seq), Arc::clone(files));
            }
            if !stolen.is_empty() {
                let mut flawed = Entry::clone(entry);
                if let Body::Message { files, .. } = &mut flawed.body {
                    let own = files.as_deref().unwrap_or_default();
                    *files = Some(own.iter().chain(stolen).cloned().collect());
                }
                *entry = Arc::new(flawed);
            }
        }
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
            (Some(Bug::ShowDeletedFiles), Body::Message { state: Some(state), .. }) if state.deleted => {
                let mut shown = Entry::clone(entry);
                if let Body::Message { files, .. } = &mut shown.body {
                    *files = self.flaws.of_deleted.get(&key).cloned();
                }
                *entry = Arc::new(shown);
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

    // Files.

    /// See [`History::reserve_file`].
    pub(crate) fn reserve_file(
        &mut self,
        file: &ReservedFile,
        quotas: FileQuotas,
        now_ms: u64,
    ) -> Result<(), FileRefused> {
        self.history.reserve_file(file, quotas, now_ms)?;
        self.rows.insert(file.id);
        Ok(())
    }

    pub(crate) fn store_file(&mut self, owner: &Username, file: &AttachedFile, now_ms: u64) -> bool {
        self.history.store_file(owner, file, now_ms)
    }

    pub(crate) fn drop_file(&mut self, id: &FileId) {
        self.history.drop_file(id);
    }

    /// The file, if a user may read it.
    pub(crate) fn readable_file(&self, id: &FileId, reader: &Username) -> Option<AttachedFile> {
        let mut found = self.history.find_file(id);
        if self.bug == Some(Bug::ReadDeletedFiles) {
            found = found.or_else(|| self.flaws.files.get(id).cloned());
        }
        let found = found?;
        let access = match &found.attached_to {
            Some((Topic::Room(room), _)) => Some(self.access(reader, room)),
            Some((Topic::Pair(_), _)) | None => None,
        };
        let is_shown = self.bug == Some(Bug::ReadFilesOfOthers) && access.is_some();
        (is_shown || found.may_be_read_by(reader, access.as_ref())).then_some(found.file)
    }

    /// See [`History::files_to_delete`].
    pub(crate) fn files_to_delete(&mut self, before_ms: u64, max: usize) -> Vec<FileId> {
        let mut ids = self.history.files_to_delete(before_ms, max);
        match self.bug {
            Some(Bug::KeepDeletedFiles) => ids.retain(|id| !self.flaws.files.contains_key(id)),
            Some(Bug::SweepAttached) => {
                let attached = self.flaws.files.keys().copied();
                ids.extend(attached.take(max.saturating_sub(ids.len())));
            }
            _ => {}
        }
        ids
    }

    /// See [`History::forget_files`].
    pub(crate) fn forget_files(&mut self, ids: &[FileId]) {
        for id in ids {
            let before = self.history.files_usage().files;
            self.history.forget_files(std::slice::from_ref(id));
            if self.history.files_usage().files < before {
                self.rows.remove(id);
            }
        }
    }

    /// Whether it has a row of a file.
    pub(crate) fn has_file(&self, id: &FileId) -> bool {
        self.rows.contains(id)
    }

    /// Whether files are forgotten before their bytes are removed.
    pub(crate) fn forgets_first(&self) -> bool {
        self.bug == Some(Bug::ForgetFirst)
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

    /// Drops all but the newest `keep` entries of a topic. Returns the files of its messages.
    pub(crate) fn trim(&mut self, topic: &Topic, keep: u64) -> Vec<FileId> {
        let first = (self.last_seq(topic) + 1).saturating_sub(keep);
        let is_old = |entry: &Entry, _| entry.topic == *topic && entry.seq < first;
        let (_, _, taken_back) = self.history.trim(usize::MAX, None, is_old);
        taken_back
    }
}

/// By how much later changes are applied that are stored beside their messages, in
/// milliseconds.
const APPLIED_LATE_MS: u64 = 300;
