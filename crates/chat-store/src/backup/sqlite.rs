//! From one SQLite file into another.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sqlx::{Connection as _, Row as _};

use super::sync;
use crate::sqlite::DatabaseFile;
use crate::{StoreError, migrations};

/// Copies a database of ours, as it is at one moment, without what was deleted in
/// it. Its server, if it runs, goes on writing meanwhile.
pub(super) async fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    if !from.exists() {
        return Err(StoreError::cannot_open(from.display(), "there is no such file"));
    }
    let text = |path: &Path| path.to_str().map(str::to_owned);
    let to = text(to).ok_or_else(|| StoreError::cannot_open(to.display(), "its name is not UTF-8"))?;
    let mut connection = DatabaseFile::look_at(from).await?;
    migrations::sqlite::check_ours(&mut connection, from).await?;
    let copied = sqlx::query("VACUUM INTO ?1").bind(to).execute(&mut connection).await;
    copied.map_err(|error| StoreError::cannot_open(from.display(), error))?;
    connection.close().await.map_err(StoreError::unavailable)
}

/// Refuses a file that is damaged, or that does more than hold rows.
pub(super) async fn check(path: &Path) -> Result<(), StoreError> {
    if !path.exists() {
        return Err(StoreError::cannot_open(path.display(), "there is no such file"));
    }
    let mut connection = DatabaseFile::look_at(path).await?;
    migrations::sqlite::check_ours(&mut connection, path).await?;
    let failed = |error| migrations::sqlite::read_failed(path, error);
    let found = sqlx::query("PRAGMA integrity_check(1)").fetch_one(&mut connection).await.map_err(failed)?;
    let found: String = found.try_get(0).map_err(failed)?;
    if found != "ok" {
        return Err(StoreError::cannot_open(
            path.display(),
            format!("it is damaged: {}", found.replace('\n', " ")),
        ));
    }
    let acting = sqlx::query("SELECT name FROM sqlite_schema WHERE type NOT IN ('table', 'index')")
        .fetch_optional(&mut connection)
        .await
        .map_err(failed)?;
    if acting.is_some() {
        return Err(StoreError::NotOurs { database: path.display().to_string() });
    }
    connection.close().await.map_err(StoreError::unavailable)
}

/// Puts a file that is whole and closed in the place of a database, which is kept
/// under another name: answers which, if there was one.
pub(super) async fn put(
    file: &DatabaseFile,
    new: &Path,
    kept_ending: &str,
) -> Result<Option<PathBuf>, StoreError> {
    let database = file.path();
    let failed = |error: io::Error| StoreError::cannot_open(database.display(), error);
    // What is only in its WAL goes into the file, so that it is one. Where that
    // cannot be done, perhaps because it is damaged, its WAL is kept with it.
    if database.exists()
        && let Ok(mut connection) = file.connect().await
    {
        let _ = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await;
        let _ = connection.close().await;
    }
    let kept = free_name(database, kept_ending);
    give_to_owner_of(database, new);
    // A WAL must never be beside a database that is not its own: it goes first.
    for ending in ["-wal", "-journal"] {
        move_if_there(&beside(database, ending), &beside(&kept, ending)).map_err(failed)?;
    }
    match fs::remove_file(beside(database, "-shm")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    // Under its second name it is kept; at no moment is there no database, of which
    // a server that starts would make an empty one.
    if database.exists() && fs::hard_link(database, &kept).is_err() {
        fs::rename(database, &kept).map_err(failed)?;
    }
    fs::rename(new, database).map_err(failed)?;
    if let Some(folder) = database.parent() {
        sync(folder)?;
    }
    Ok(kept.exists().then_some(kept))
}

/// Who restores is perhaps root, and the server is not. Where this cannot be done,
/// it need not be done either.
fn give_to_owner_of(database: &Path, new: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, chown};
        let owner = fs::metadata(database).or_else(|_| fs::metadata(database.parent().unwrap_or(database)));
        if let Ok(owner) = owner {
            let _ = chown(new, Some(owner.uid()), Some(owner.gid()));
        }
    }
    #[cfg(not(unix))]
    let _ = (database, new);
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        moved => moved,
    }
}

/// A name that no file has.
fn free_name(database: &Path, ending: &str) -> PathBuf {
    let name = |number: usize| match number {
        1 => beside(database, ending),
        _ => beside(database, &format!("{ending}-{number}")),
    };
    (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(1))
}

/// The path with something behind it.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}
