//! The files of a history: their records, not their bytes.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::History;
use crate::{AttachedFile, Body, Entry, FileId, RoomAccess, Topic, Username};

/// A file that is about to be uploaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReservedFile {
    /// Its id.
    pub id: FileId,
    /// The user who uploads it.
    pub owner: Username,
    /// The bytes that may be stored at most. They count until it is known how many there are.
    pub bytes: u64,
}

/// How many bytes may be stored. Each file counts as [`counted`](Self::counted) says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FileQuotas {
    /// In the files of one user that are not deleted; `None`: any number.
    pub user_bytes: Option<u64>,
    /// In all files, also in those whose bytes are still to be removed; `None`: any number.
    pub all_bytes: Option<u64>,
}

impl FileQuotas {
    /// The bytes that every file counts for at least: about what its record and its place on
    /// the disk take, so that quotas limit the number of empty files, too.
    pub const COUNTED_MIN: u64 = 4_096;

    /// The bytes that a file counts for.
    pub fn counted(bytes: u64) -> u64 {
        bytes.max(Self::COUNTED_MIN)
    }
}

/// Why a file may not be uploaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FileRefused {
    /// The files of the user would have more than [`FileQuotas::user_bytes`].
    #[error("the files of this user have as many bytes as they may")]
    UserQuota,
    /// All files would have more than [`FileQuotas::all_bytes`].
    #[error("the files of all users have as many bytes as they may")]
    AllQuota,
}

/// A file whose bytes are stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundFile {
    /// The user who uploaded it.
    pub owner: Username,
    /// The file.
    pub file: AttachedFile,
    /// The message that has it: its topic and number.
    pub attached_to: Option<(Topic, u64)>,
}

impl FoundFile {
    /// Whether a user may read the file: the owner as long as no message has it, then those who
    /// may read the message. `access` is what the user may do in the room of the message.
    pub fn may_be_read_by(&self, reader: &Username, access: Option<&RoomAccess>) -> bool {
        match &self.attached_to {
            None => self.owner == *reader,
            Some((Topic::Pair(pair), _)) => pair.low() == reader || pair.high() == reader,
            Some((Topic::Room(room), _)) => access.is_some_and(|access| access.may_read(room)),
        }
    }
}

/// How much is stored, with the files whose bytes are still to be removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FilesUsage {
    /// The number of files.
    pub files: u64,
    /// Their bytes; of a file that is being uploaded, those that are reserved.
    pub bytes: u64,
}

/// The records of all files.
#[derive(Default)]
pub(super) struct Files {
    records: BTreeMap<FileId, Record>,
    /// What the entries that were removed since this was last taken have had.
    pub(super) taken_back: Vec<FileId>,
}

struct Record {
    owner: Username,
    /// Bytes that are reserved, or stored.
    bytes: u64,
    /// When it was reserved or stored, in milliseconds since 1970.
    at_ms: u64,
    state: State,
}

enum State {
    Reserved,
    Stored {
        file: AttachedFile,
        attached_to: Option<(Topic, u64)>,
    },
    /// Its bytes are to be removed.
    Deleted,
}

impl Record {
    fn is_old(&self, before_ms: u64) -> bool {
        let is_free = matches!(self.state, State::Reserved | State::Stored { attached_to: None, .. });
        is_free && self.at_ms < before_ms
    }

    fn found(&self) -> Option<FoundFile> {
        let State::Stored { file, attached_to } = &self.state else { return None };
        Some(FoundFile { owner: self.owner.clone(), file: file.clone(), attached_to: attached_to.clone() })
    }
}

impl Files {
    /// A file that may be attached, and its owner.
    pub(super) fn free(&self, id: &FileId) -> Option<(&Username, &AttachedFile)> {
        let record = self.records.get(id)?;
        match &record.state {
            State::Stored { file, attached_to: None } => Some((&record.owner, file)),
            State::Reserved | State::Stored { .. } | State::Deleted => None,
        }
    }

    /// The files of a new message are attached to it.
    pub(super) fn attach(&mut self, message: &Entry) {
        for file in message.body.files() {
            if let Some(Record { state: State::Stored { attached_to, .. }, .. }) =
                self.records.get_mut(&file.id)
            {
                *attached_to = Some((message.topic.clone(), message.seq));
            }
        }
    }

    /// A message is deleted or removed: its files are to be removed.
    pub(super) fn take_back(&mut self, message: &Body) {
        for file in message.files() {
            if let Some(record) = self.records.get_mut(&file.id) {
                record.state = State::Deleted;
            }
            self.taken_back.push(file.id);
        }
    }
}

impl History {
    /// Reserves a file that is about to be uploaded. An id that is reserved already stays so.
    ///
    /// # Errors
    ///
    /// The quota that the file would exceed.
    pub fn reserve_file(
        &mut self,
        file: &ReservedFile,
        quotas: FileQuotas,
        now_ms: u64,
    ) -> Result<(), FileRefused> {
        let records = &mut self.files.records;
        if records.contains_key(&file.id) {
            return Ok(());
        }
        let is_own = |record: &&Record| record.owner == file.owner && !matches!(record.state, State::Deleted);
        let counted = |record: &Record| FileQuotas::counted(record.bytes);
        let own: u64 = records.values().filter(is_own).map(counted).sum();
        let all: u64 = records.values().map(counted).sum();
        let exceeds = |used: u64, quota: Option<u64>| {
            quota.is_some_and(|quota| used.saturating_add(FileQuotas::counted(file.bytes)) > quota)
        };
        if exceeds(own, quotas.user_bytes) {
            return Err(FileRefused::UserQuota);
        }
        if exceeds(all, quotas.all_bytes) {
            return Err(FileRefused::AllQuota);
        }
        let owner = file.owner.clone();
        records.insert(file.id, Record { owner, bytes: file.bytes, at_ms: now_ms, state: State::Reserved });
        Ok(())
    }

    /// The bytes of a reserved file are stored. Returns whether it is still reserved, or stored
    /// by an earlier call.
    pub fn store_file(&mut self, owner: &Username, file: &AttachedFile, now_ms: u64) -> bool {
        let record = self.files.records.get_mut(&file.id).filter(|record| record.owner == *owner);
        match record {
            Some(record) if matches!(record.state, State::Reserved) => {
                record.bytes = file.size;
                record.at_ms = now_ms;
                record.state = State::Stored { file: file.clone(), attached_to: None };
                true
            }
            record => record.is_some_and(|record| matches!(record.state, State::Stored { .. })),
        }
    }

    /// Finds a file whose bytes are stored, and that is not to be removed.
    pub fn find_file(&self, id: &FileId) -> Option<FoundFile> {
        self.files.records.get(id)?.found()
    }

    /// Marks files that no message has, and that are older than `before_ms`. Returns at most
    /// `max` of those whose bytes are to be removed.
    pub fn files_to_delete(&mut self, before_ms: u64, max: usize) -> Vec<FileId> {
        let old = self.files.records.values_mut().filter(|record| record.is_old(before_ms));
        for record in old.take(max) {
            record.state = State::Deleted;
        }
        let deleted = self.files.records.iter().filter(|(_, record)| matches!(record.state, State::Deleted));
        deleted.map(|(id, _)| *id).take(max).collect()
    }

    /// Marks a file that no message has.
    pub fn drop_file(&mut self, id: &FileId) {
        if let Some(record) = self.files.records.get_mut(id)
            && record.is_old(u64::MAX)
        {
            record.state = State::Deleted;
        }
    }

    /// The bytes of these files are removed: forgets those that were marked.
    pub fn forget_files(&mut self, ids: &[FileId]) {
        for id in ids {
            let records = &mut self.files.records;
            if records.get(id).is_some_and(|record| matches!(record.state, State::Deleted)) {
                records.remove(id);
            }
        }
    }

    /// Lists at most `max` stored files after an id, in the order of ids.
    pub fn files_after(&self, after: Option<&FileId>, max: usize) -> Vec<FoundFile> {
        let start = after.map_or(Bound::Unbounded, |after| Bound::Excluded(*after));
        let later = self.files.records.range((start, Bound::Unbounded));
        later.filter_map(|(_, record)| record.found()).take(max).collect()
    }

    /// Counts the files and their bytes.
    pub fn files_usage(&self) -> FilesUsage {
        let records = self.files.records.values();
        FilesUsage { files: records.len() as u64, bytes: records.map(|record| record.bytes).sum() }
    }
}
