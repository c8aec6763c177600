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

/// Opens the place of the files with the settings of the server, which may be running.
pub(crate) async fn open_files(config: &Config) -> Result<ObjectFiles, Box<dyn Error>> {
    let FilesOptions { location, data_dir, .. } = &config.http.files;
    Ok(ObjectFiles::open_beside(location, data_dir).await?)
}

/// Adds the bytes of all stored files; returns how many files have none.
pub(crate) async fn add_files(backup: &mut Backup, files: &ObjectFiles) -> Result<u64, Box<dyn Error>> {
    let (mut missing, mut last) = (0, None);
    loop {
        let stored = backup.stored_files(last.as_ref(), FILES_AT_ONCE).await?;
        if last.is_none() && !stored.is_empty() {
            backup.create_files().await?;
        }
        for (id, size) in &stored {
            if !add_file(backup, files, *id, *size).await? {
                backup.discard_file(id).await?;
                missing += 1;
            }
        }
        match stored.last() {
            Some((id, _)) => last = Some(*id),
            None => return Ok(missing),
        }
    }
}

/// Adds one file; `false` if it has no bytes: it was deleted since the backup began, or lost.
async fn add_file(
    backup: &mut Backup,
    files: &ObjectFiles,
    id: FileId,
    size: u64,
) -> Result<bool, Box<dyn Error>> {
    let Some(mut bytes) = files.read(&id, 0..size).await? else { return Ok(false) };
    let (mut hash, mut part, mut number, mut found) = (Sha256::new(), Vec::new(), 0, 0);
    loop {
        let chunk = match bytes.try_next().await {
            Ok(chunk) => chunk,
            // Storage may notice a deletion in the middle of a file.
            Err(_) if files.read(&id, 0..0).await?.is_none() => return Ok(false),
            Err(error) => return Err(format!("the file {id} cannot be read: {error}").into()),
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
        return Err(format!("the file {id} is damaged: it has {found} bytes instead of {size}").into());
    }
    backup.complete_file(&BackupFile { id, size, sha256: hash.finalize().into() }).await?;
    Ok(true)
}

/// Checks the bytes of all files in a backup; returns how many files there are.
pub(crate) async fn check_files(backup: &mut Backup) -> Result<u64, Box<dyn Error>> {
    each_file(backup, async |backup, file| check_file(backup, file, async |_| Ok(())).await).await
}

/// Writes all files of a checked backup to their place, or, with an error, none that was not
/// there before.
pub(crate) async fn put_files(backup: &mut Backup, files: &ObjectFiles) -> Result<u64, Box<dyn Error>> {
    let mut added = Vec::new();
    let put = each_file(backup, async |backup, file| {
        if files.read(&file.id, 0..0).await?.is_none() {
            added.push(file.id);
        }
        put_file(backup, files, file).await
    });
    let put = put.await;
    if put.is_err() {
        // What cannot be deleted stays: the error above says more.
        let _ = files.delete(&added).await;
    }
    put
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
