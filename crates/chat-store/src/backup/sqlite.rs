//! Copying between SQLite files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::sync;
use crate::open_error::read_failed;
use crate::private_files::give_to_owner_of;
use crate::rows::get;
use crate::sqlite::DatabaseFile;
use crate::{StoreError, schema};

/// Copies the database of a chat, as it is at one moment, without deleted data. A server
/// may write to it meanwhile.
pub(super) async fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    if !from.exists() {
        return Err(StoreError::cannot_open(from.display(), "there is no such file"));
    }
    let text = |path: &Path| path.to_str().map(str::to_owned);
    let to = text(to).ok_or_else(|| StoreError::cannot_open(to.display(), "its name is not UTF-8"))?;
    let mut connection = DatabaseFile::look_at(from).await?;
    schema::sqlite::check_ours(&mut connection, from).await?;
    let copied = sqlx::query("VACUUM INTO ?1").bind(to).execute(&mut connection).await;
    copied.map_err(|error| StoreError::cannot_open(from.display(), error))?;
    connection.close().await.map_err(StoreError::unavailable)
}

/// Copies all tables from a checked backup into an empty database, but for the bytes of files
/// and the tables of SQLite itself, such as statistics.
pub(super) async fn copy_tables(from: &Path, to: &mut SqliteConnection) -> Result<(), StoreError> {
    let failed = |error| StoreError::cannot_open(from.display(), error);
    let name =
        from.to_str().ok_or_else(|| StoreError::cannot_open(from.display(), "its name is not UTF-8"))?;
    sqlx::query("ATTACH ?1 AS source").bind(name).execute(&mut *to).await.map_err(failed)?;
    let made = sqlx::query(
        "SELECT type, name, sql FROM source.sqlite_schema
          WHERE sql IS NOT NULL AND tbl_name NOT IN ('backup_files', 'backup_file_parts')
            AND substr(tbl_name, 1, 7) <> 'sqlite_'
          ORDER BY type DESC",
    );
    for row in &made.fetch_all(&mut *to).await.map_err(failed)? {
        let (kind, name, sql): (String, String, String) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *to).await.map_err(failed)?;
        if kind == "table" {
            let name = name.replace('"', "\"\"");
            let copy = format!("INSERT INTO main.\"{name}\" SELECT * FROM source.\"{name}\"");
            sqlx::query(AssertSqlSafe(copy)).execute(&mut *to).await.map_err(failed)?;
        }
    }
    sqlx::query("DETACH source").execute(to).await.map_err(failed)?;
    Ok(())
}

/// Refuses a file that is damaged, or that has more than tables and indexes. Returns whether
/// it has the bytes of files.
pub(super) async fn check(path: &Path) -> Result<bool, StoreError> {
    if !path.exists() {
        return Err(StoreError::cannot_open(path.display(), "there is no such file"));
    }
    let mut connection = DatabaseFile::look_at(path).await?;
    schema::sqlite::check_ours(&mut connection, path).await?;
    let failed = |error| read_failed(path, error);
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
    let files = sqlx::query("SELECT name FROM sqlite_schema WHERE name = 'backup_files'");
    let has_files = files.fetch_optional(&mut connection).await.map_err(failed)?.is_some();
    connection.close().await.map_err(StoreError::unavailable)?;
    Ok(has_files)
}

/// Puts a complete, closed file in the place of a database, which is kept under another
/// name. Returns this name, if there was a database.
pub(super) async fn put(
    file: &DatabaseFile,
    new: &Path,
    kept_ending: &str,
) -> Result<Option<PathBuf>, StoreError> {
    let database = file.path();
    let failed = |error: io::Error| StoreError::cannot_open(database.display(), error);
    // A checkpoint moves the WAL into the file. If it fails, perhaps because the file is
    // damaged, the WAL is kept with the file.
    if database.exists()
        && let Ok(mut connection) = file.connect().await
    {
        let _ = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await;
        let _ = connection.close().await;
    }
    let kept = free_name(database, kept_ending);
    give_to_owner_of(database, new);
    // The WAL is moved first, as it must never be beside another database.
    for ending in ["-wal", "-journal"] {
        move_if_there(&beside(database, ending), &beside(&kept, ending)).map_err(failed)?;
    }
    match fs::remove_file(beside(database, "-shm")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    // A second name keeps the former file. At no moment is there no database: a server
    // that starts then would create an empty one.
    if database.exists() && fs::hard_link(database, &kept).is_err() {
        fs::rename(database, &kept).map_err(failed)?;
    }
    fs::rename(new, database).map_err(failed)?;
    if let Some(folder) = database.parent() {
        sync(folder)?;
    }
    Ok(kept.exists().then_some(kept))
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        moved => moved,
    }
}

/// A free name for the former database.
fn free_name(database: &Path, ending: &str) -> PathBuf {
    let name = |number: usize| match number {
        1 => beside(database, ending),
        _ => beside(database, &format!("{ending}-{number}")),
    };
    (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(1))
}

/// The path with an ending after its name.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}
