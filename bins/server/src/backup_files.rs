//! The bytes of files, between their place and a backup.

use std::error::Error;

use bytes::Bytes;
use chat_core::FileId;
use chat_files::{FilesError, ObjectFiles};
use chat_http::FilesOptions;
use chat_store::{BACKUP_PART_BYTES, Backup, BackupFile};
use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};

use crate::config::Config;

/// The files of a backup that are not as they were.
#[derive(Default)]
pub(crate) struct Lacking {
    /// How many have no bytes: they were deleted since the backup began, or are lost.
    pub(crate) missing: u64,
    /// A sentence for each file that cannot be read, or has another size.
    pub(crate) damaged: Vec<String>,
}

/// Adds the bytes of all stored files, of a server that may be running.
pub(crate) async fn add_files(backup: &mut Backup, config: &Config) -> Result<Lacking, Box<dyn Error>> {
    let FilesOptions { location, data_dir, .. } = &config.http.files;
    let files = &ObjectFiles::open(location, data_dir).await?;
    let (mut lacking, mut last) = (Lacking::default(), None);
    loop {
        let stored = backup.stored_files(last.as_ref(), FILES_AT_ONCE).await?;
        if last.is_none() && !stored.is_empty() {
            backup.create_files().await?;
        }
        for (id, size) in &stored {
            let lack = match add_file(backup, files, *id, *size).await? {
                Added::Whole => continue,
                Added::Missing => None,
                Added::Damaged(sentence) => Some(sentence),
            };
            backup.discard_file(id).await?;
            match lack {
                Some(sentence) => lacking.damaged.push(sentence),
                None => lacking.missing += 1,
            }
        }
        match stored.last() {
            Some((id, _)) => last = Some(*id),
            None => return Ok(lacking),
        }
    }
}

enum Added {
    Whole,
    Missing,
    Damaged(String),
}

/// Adds one file.
async fn add_file(
    backup: &mut Backup,
    files: &ObjectFiles,
    id: FileId,
    size: u64,
) -> Result<Added, Box<dyn Error>> {
    let unreadable = |error: &dyn Error| Ok(Added::Damaged(format!("the file {id} cannot be read: {error}")));
    let mut bytes = match files.read(&id, 0..size).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Added::Missing),
        Err(error @ FilesError::Storage(_)) => return Err(error.into()),
        Err(error) => return unreadable(&error),
    };
    let (mut hash, mut part, mut number, mut found) = (Sha256::new(), Vec::new(), 0, 0);
    loop {
        let chunk = match bytes.try_next().await {
            Ok(chunk) => chunk,
            // Storage may notice a deletion in the middle of a file.
            Err(_) if files.read(&id, 0..0).await?.is_none() => return Ok(Added::Missing),
            Err(error) => return unreadable(&error),
        };
        let is_end = chunk.is_none();
        let chunk = chunk.unwrap_or_default();
        found += chunk.len() as u64;
        hash.update(&chunk);
        part.extend_from_slice(&chunk);
        while part.len() >= BACKUP_PART_BYTES || (is_end && !part.is_empty()) {
            let rest = part.split_off(part.len().min(BACKUP_PART_BYTES));
            backup.add_file_part(&id, number, &part).await?;
            (part, number) = (rest, number + 1);
        }
        if is_end {
            break;
        }
    }
    if found != size {
        return Ok(Added::Damaged(format!("the file {id} has {found} bytes instead of {size}")));
    }
    backup.complete_file(&BackupFile { id, size, sha256: hash.finalize().into() }).await?;
    Ok(Added::Whole)
}

/// What a backup has of the files that its messages name.
pub(crate) struct Checked {
    /// How many have their bytes.
    pub(crate) files: u64,
    /// How many have none: they were missing when the backup was written.
    pub(crate) missing: u64,
}

/// Checks the bytes of all files in a backup.
///
/// # Errors
///
/// A sentence if the bytes of a file are not as they were.
pub(crate) async fn check_files(backup: &mut Backup) -> Result<Checked, Box<dyn Error>> {
    let files =
        each_file(backup, async |backup, file| check_file(backup, file, async |_| Ok(())).await).await?;
    let stored = backup.count_stored_files().await?;
    Ok(Checked { files, missing: stored.saturating_sub(files) })
}

/// Files that were written to their place and are not known to a database yet. If that
/// fails, [`remove`](Self::remove) deletes those that were not there before.
pub(crate) struct PutFiles {
    files: ObjectFiles,
    added: Vec<FileId>,
}

impl PutFiles {
    /// Opens the place of the files, which no server uses.
    pub(crate) async fn open(config: &Config) -> Result<Self, Box<dyn Error>> {
        let FilesOptions { location, data_dir, .. } = &config.http.files;
        Ok(Self { files: ObjectFiles::open(location, data_dir).await?, added: Vec::new() })
    }

    /// Writes all files of a checked backup to their place; returns how many.
    pub(crate) async fn put_all(&mut self, backup: &mut Backup) -> Result<u64, Box<dyn Error>> {
        let Self { files, added } = self;
        each_file(backup, async |backup, file| {
            if files.read(&file.id, 0..0).await?.is_none() {
                added.push(file.id);
            }
            put_file(backup, files, file).await
        })
        .await
    }

    /// Deletes what was added.
    pub(crate) async fn remove(self) {
        for ids in self.added.chunks(FILES_AT_ONCE) {
            // What cannot be deleted stays: the error that led here says more.
            let _ = self.files.delete(ids).await;
        }
    }
}

async fn put_file(backup: &mut Backup, files: &ObjectFiles, file: &BackupFile) -> Result<(), Box<dyn Error>> {
    let mut upload = files.receive(&file.id, file.size).await?;
    check_file(backup, file, async |part| upload.write(part).await).await?;
    upload.finish_unchanged().await?.commit().await?;
    Ok(())
}

/// Calls something for each file of a backup, and counts the files.
async fn each_file(
    backup: &mut Backup,
    mut call: impl AsyncFnMut(&mut Backup, &BackupFile) -> Result<(), Box<dyn Error>>,
) -> Result<u64, Box<dyn Error>> {
    let (mut count, mut last) = (0, None);
    loop {
        let some = backup.files(last.as_ref(), FILES_AT_ONCE).await?;
        for file in &some {
            call(backup, file).await?;
            count += 1;
        }
        match some.last() {
            Some(file) => last = Some(file.id),
            None => return Ok(count),
        }
    }
}

/// Reads a file of a backup in parts, and checks its size and hash.
async fn check_file(
    backup: &mut Backup,
    file: &BackupFile,
    mut call: impl AsyncFnMut(Bytes) -> Result<(), FilesError>,
) -> Result<(), Box<dyn Error>> {
    let (mut hash, mut size, mut number) = (Sha256::new(), 0, 0);
    while let Some(part) = backup.file_part(&file.id, number).await? {
        hash.update(&part);
        size += part.len() as u64;
        if size > file.size {
            break;
        }
        call(part.into()).await?;
        number += 1;
    }
    if size != file.size || hash.finalize()[..] != file.sha256 {
        return Err(format!("the backup is damaged: the file {} is not as it was", file.id).into());
    }
    Ok(())
}

/// Files in one query.
const FILES_AT_ONCE: usize = 100;
