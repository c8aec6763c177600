//! The files: who may attach them and read them, and when they must be there or be gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use chat_core::{AttachedFile, Draft, Entry, FileId, Topic, Username};

use super::{Check, Oracle, ensure, in_pair};

/// All files that were ever reserved.
#[derive(Default)]
pub(super) struct Files {
    all: BTreeMap<FileId, File>,
    /// Of messages that were deleted, or are no longer kept, since it was last asked.
    taken_back: Vec<FileId>,
    /// The time after which a file that no message has may be removed, in milliseconds.
    unattached_ms: u64,
}

/// A file.
#[derive(Debug)]
pub(crate) struct File {
    owner: Username,
    pub(crate) file: AttachedFile,
    state: State,
    /// The message that has it, or had it.
    message: Option<(Topic, u64)>,
    /// When it came into this state, in milliseconds.
    at_ms: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Its bytes are on their way.
    Reserved,
    /// No message has it.
    Free,
    /// A message that is kept has it.
    Attached,
    Gone,
}

/// Whether something holds; `None` if a sweep decides it.
type Perhaps = Option<bool>;

impl Files {
    pub(super) fn new(unattached_ms: u64) -> Self {
        Self { unattached_ms, ..Self::default() }
    }

    fn set(&mut self, id: &FileId, state: State, now_ms: u64) {
        if let Some(file) = self.all.get_mut(id) {
            (file.state, file.at_ms) = (state, now_ms);
        }
    }

    fn is_old(&self, file: &File, now_ms: u64) -> bool {
        file.at_ms + self.unattached_ms < now_ms
    }

    /// Whether a user may attach a file.
    fn is_free(&self, user: &Username, id: &FileId, now_ms: u64) -> Perhaps {
        let Some(file) = self.all.get(id).filter(|file| file.owner == *user) else { return Some(false) };
        match file.state {
            State::Free if self.is_old(file, now_ms) => None,
            State::Free => Some(true),
            State::Reserved | State::Attached | State::Gone => Some(false),
        }
    }
}

impl Oracle {
    /// Notes that a user begins to upload a file.
    pub(crate) fn reserved(&mut self, owner: &Username, file: &AttachedFile, now_ms: u64) {
        let (owner, file) = (owner.clone(), file.clone());
        let file = File { owner, file, state: State::Reserved, message: None, at_ms: now_ms };
        self.files.all.insert(file.file.id, file);
    }

    /// Notes that the database knows that the bytes of a file are stored.
    pub(crate) fn stored_file(&mut self, id: &FileId, now_ms: u64) {
        if self.files.all.get(id).is_some_and(|file| file.state == State::Reserved) {
            self.files.set(id, State::Free, now_ms);
        }
    }

    /// Notes that an upload has failed.
    pub(crate) fn dropped(&mut self, id: &FileId) {
        if self.files.all.get(id).is_some_and(|file| file.state != State::Attached) {
            self.files.set(id, State::Gone, 0);
        }
    }

    pub(crate) fn file(&self, id: &FileId) -> Option<&File> {
        self.files.all.get(id)
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&FileId, &File)> {
        self.files.all.iter()
    }

    /// Whether the author of a draft may attach its files.
    pub(super) fn may_attach(&self, draft: &Draft, now_ms: u64) -> Perhaps {
        let mut all = Some(true);
        for (index, id) in draft.files.iter().enumerate() {
            match self.files.is_free(&draft.from, id, now_ms) {
                Some(true) if !draft.files[..index].contains(id) => {}
                None => all = None,
                _ => return Some(false),
            }
        }
        all
    }

    /// Checks the files of a new message, which has them from here on.
    pub(super) fn attached(&mut self, entry: &Entry, wanted: &[FileId], now_ms: u64) -> Check {
        let files = entry.body.files();
        ensure(files.iter().map(|file| &file.id).eq(wanted), || format!("{entry:?} was to have {wanted:?}"))?;
        for file in files {
            let is_free = self.files.is_free(&entry.from, &file.id, now_ms);
            let known = self.files.all.get(&file.id);
            ensure(is_free != Some(false) && known.is_some_and(|known| known.file == *file), || {
                format!("{entry:?} has {known:?}")
            })?;
            self.files.set(&file.id, State::Attached, now_ms);
            if let Some(known) = self.files.all.get_mut(&file.id) {
                known.message = Some((entry.topic.clone(), entry.seq));
            }
            self.count("file attached");
        }
        Ok(())
    }

    /// Takes back the files of messages of a topic.
    pub(super) fn take_files(&mut self, topic: &Topic, is_gone: impl Fn(u64) -> bool, now_ms: u64) {
        let gone = self.files.all.iter().filter(|(_, file)| {
            let is_of_it = |(of, seq): &(Topic, u64)| of == topic && is_gone(*seq);
            file.state == State::Attached && file.message.as_ref().is_some_and(is_of_it)
        });
        let gone: Vec<FileId> = gone.map(|(id, _)| *id).collect();
        for id in gone {
            self.files.set(&id, State::Gone, now_ms);
            self.files.taken_back.push(id);
            self.count("file taken back");
        }
    }

    /// The files that were taken back since the last call.
    pub(crate) fn take_files_taken_back(&mut self) -> Vec<FileId> {
        std::mem::take(&mut self.files.taken_back)
    }

    /// Whether a user may read a file.
    pub(crate) fn readable(&self, user: &Username, id: &FileId, now_ms: u64) -> Perhaps {
        let Some(file) = self.files.all.get(id) else { return Some(false) };
        match file.state {
            State::Reserved | State::Gone => Some(false),
            State::Free if file.owner == *user => (!self.files.is_old(file, now_ms)).then_some(true),
            State::Free => Some(false),
            State::Attached => Some(match &file.message {
                Some((Topic::Room(room), _)) => self.may_read(user, room),
                Some((Topic::Pair(pair), _)) => in_pair(pair, user),
                None => false,
            }),
        }
    }

    /// The message that has a file, or had it.
    pub(super) fn message_of(&self, id: &str) -> Option<&Arc<Entry>> {
        let (topic, seq) = self.files.all.get(&FileId::parse(id)?)?.message.as_ref()?;
        self.entry(topic, *seq)
    }

    /// Checks that the bytes of a file may be removed.
    pub(crate) fn may_be_swept(&self, id: &FileId, now_ms: u64) -> Check {
        let file = self.files.all.get(id);
        let may = file.is_some_and(|file| match file.state {
            State::Reserved | State::Free => self.files.is_old(file, now_ms),
            State::Attached => false,
            State::Gone => true,
        });
        ensure(may, || format!("{file:?} is swept"))
    }

    /// Whether the bytes of a file must be there, or must be gone; `None`: either.
    pub(crate) fn must_be_there(&self, id: &FileId, now_ms: u64, within_ms: u64) -> Perhaps {
        let file = self.files.all.get(id)?;
        let is_over = |since_ms: u64| (since_ms + within_ms < now_ms).then_some(false);
        match file.state {
            State::Reserved => is_over(file.at_ms + self.files.unattached_ms),
            State::Free if !self.files.is_old(file, now_ms) => Some(true),
            State::Free => is_over(file.at_ms + self.files.unattached_ms),
            State::Attached => Some(true),
            State::Gone => is_over(file.at_ms),
        }
    }
}
