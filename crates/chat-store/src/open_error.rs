//! Errors of opening an SQLite file, with the cause that an operator can remove.

use std::io;
use std::path::Path;

use crate::cause::{self, CANTOPEN, DatabaseMessage, FULL, IOERR, READONLY};
use crate::{StoreError, private_files};

/// Translates an error of the first queries on a file.
pub(crate) fn read_failed(path: &Path, error: sqlx::Error) -> StoreError {
    // https://sqlite.org/rescode.html#notadb
    const NOT_A_DATABASE: &str = "26";
    let code = error.as_database_error().and_then(|e| e.code());
    match code.as_deref() {
        Some(NOT_A_DATABASE) => not_ours(path),
        _ => explained(path, StoreError::cannot_open(path.display(), error)),
    }
}

/// Names the reason of an error on opening a database, where SQLite's own words
/// ("disk I/O error") leave it open: a full disk, or a folder that is read-only.
pub(crate) fn explained(path: &Path, error: StoreError) -> StoreError {
    let (StoreError::CannotOpen { source, .. } | StoreError::Unavailable { source }) = &error else {
        return error;
    };
    let code = source.downcast_ref::<DatabaseMessage>().and_then(DatabaseMessage::code);
    let code = code.and_then(cause::sqlite_code);
    if matches!(code, Some(READONLY | IOERR | FULL | CANTOPEN))
        && let Some(reason) = why_unwritable(folder(path))
    {
        return unwritable(path, reason);
    }
    match error {
        StoreError::Unavailable { source } => StoreError::cannot_open(path.display(), source),
        error => error,
    }
}

/// The error for a file of a database that cannot be opened for writing. It names
/// the folder if no file can be written there, and the file otherwise.
pub(crate) fn cannot_write(path: &Path, file: &Path, source: io::Error) -> StoreError {
    match why_unwritable(folder(path)) {
        Some(reason) => unwritable(path, reason),
        None if file == path => StoreError::cannot_open(path.display(), source),
        None => StoreError::cannot_open(path.display(), format!("{}: {source}", file.display())),
    }
}

/// The sentence for a folder in which nothing can be written.
fn unwritable(path: &Path, reason: io::Error) -> StoreError {
    let folder = folder(path).display();
    StoreError::cannot_open(path.display(), format!("no file can be written in {folder}: {reason}"))
}

pub(crate) fn not_ours(path: &Path) -> StoreError {
    StoreError::NotOurs { database: path.display().to_string() }
}

pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Why no file can be written in a folder, if none can: a full disk, a file
/// system that is mounted read-only, missing permissions.
fn why_unwritable(folder: &Path) -> Option<io::Error> {
    let path = folder.join(format!(".chat-check-{}", std::process::id()));
    let written = private_files::open(&path).and_then(|mut file| {
        io::Write::write_all(&mut file, &[0; CHECK_BYTES])?;
        file.sync_all()
    });
    // It may not have been created.
    let _ = std::fs::remove_file(&path);
    written.err()
}

/// Twice what SQLite needs to open a database (its `-shm` file has 32 KiB).
const CHECK_BYTES: usize = 64 * 1024;
