//! The file of a database, and the process that has it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Row as _};

use crate::open_error::{cannot_write, folder, read_failed};
use crate::schema::sqlite::check;
use crate::{SqliteOptions, StoreError, private_files};

/// A database that belongs to this process for as long as this value lives.
pub(crate) struct DatabaseFile {
    path: PathBuf,
    options: SqliteConnectOptions,
    busy_timeout: Duration,
    synchronous: SqliteSynchronous,
    _lock: Lock,
}

/// The lock of a file. The system releases it with the process, however that ends.
struct Lock(File);

impl Drop for Lock {
    /// A process that another thread is starting at this moment has a copy of each open file
    /// until its program runs. The lock belongs to all copies: closing this one would leave it.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the lock of a database was not released");
        }
    }
}

impl DatabaseFile {
    /// Takes the file for this process: two servers on one database would each
    /// deliver only their own half of the messages. The lock is advisory and on
    /// a file of its own beside it (`chat.db.lock`), because SQLite itself uses
    /// the locks of the database.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has the file.
    pub(crate) fn claim(path: &Path) -> Result<Self, StoreError> {
        Self::claim_with(path, SqliteOptions::default())
    }

    pub(super) fn claim_with(path: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        if path.is_dir() {
            return Err(StoreError::cannot_open(path.display(), "it is a directory"));
        }
        let path = resolved(path)?;
        let mut lock_path = path.clone().into_os_string();
        lock_path.push(".lock");
        let lock_path = Path::new(&lock_path);
        let lock = private_files::open(lock_path).map_err(|source| cannot_write(&path, lock_path, source))?;
        private_files::give_to_owner_of(&path, lock_path);
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { database: path.display().to_string() });
            }
            Err(TryLockError::Error(source)) => return Err(StoreError::cannot_open(path.display(), source)),
        }
        let busy_timeout = options.busy_timeout;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .busy_timeout(busy_timeout)
            .disable_statement_logging();
        // With NORMAL, a power failure loses acknowledged commits.
        Ok(Self { path, options, busy_timeout, synchronous: SqliteSynchronous::Full, _lock: Lock(lock) })
    }

    /// The same for a file that can be made anew: a power failure may lose its last commits,
    /// which are not waited for.
    pub(super) fn claim_unsynced(path: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        let file = Self::claim_with(path, options)?;
        Ok(Self { synchronous: SqliteSynchronous::Normal, ..file })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the first connection, to a database that is known to be ours from
    /// then on: empty, or of this version. The file is created if it is missing,
    /// and the database's files become private to their owner (mode 0600).
    pub(crate) async fn connect(&self) -> Result<SqliteConnection, StoreError> {
        let failed = |error| read_failed(&self.path, error);
        // SQLite would create it by the umask alone.
        private_files::open(&self.path).map_err(|source| cannot_write(&self.path, &self.path, source))?;
        let first = self.writing().create_if_missing(true);
        let mut connection = first.connect().await.map_err(failed)?;
        check(&mut connection, &self.path).await?;
        private_files::tighten(&self.path);
        // WAL is a property of the file. It is not among the options of the
        // connection, because a file of another program must not be changed.
        let mode =
            sqlx::query("PRAGMA journal_mode = WAL").fetch_one(&mut connection).await.map_err(failed)?;
        if mode.try_get::<&str, _>(0).map_err(failed)? != "wal" {
            return Err(StoreError::cannot_open(
                self.path.display(),
                "its file system cannot share memory (WAL)",
            ));
        }
        Ok(connection)
    }

    /// How the one connection that writes is opened, also again after it broke.
    pub(super) fn writing(&self) -> SqliteConnectOptions {
        let options = self.options.clone().synchronous(self.synchronous).optimize_on_close(true, None);
        WRITING.iter().fold(options, |options, (pragma, value)| options.pragma(*pragma, *value))
    }

    /// Opens the connection that stores batches, beside the one that makes all other changes.
    pub(super) fn open_for_batches(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        let synchronous = match self.synchronous {
            SqliteSynchronous::Normal => "NORMAL",
            _ => "FULL",
        };
        for (pragma, value) in WRITING.iter().chain(&[("synchronous", synchronous)]) {
            connection.pragma_update(None, pragma, value)?;
        }
        Ok(connection)
    }

    /// How the connections that only read are opened.
    pub(super) fn reading(&self) -> SqliteConnectOptions {
        self.options.clone().read_only(true)
    }

    /// Opens a database to read it, although another process may have it.
    pub(crate) async fn look_at(path: &Path) -> Result<SqliteConnection, StoreError> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        options.connect().await.map_err(|error| read_failed(path, error))
    }
}

/// The settings of both connections that write.
const WRITING: [(&str, &str); 3] = [
    ("foreign_keys", "ON"),
    // What is deleted or replaced is overwritten with zeros, not only marked as free.
    ("secure_delete", "ON"),
    // The same on macOS, where fsync alone does not reach the disk.
    ("fullfsync", "ON"),
];

/// Prepared statements that are kept; batches have fewer different ones.
const STATEMENTS_KEPT: usize = 64;

/// One spelling for one file, so that a link to it finds the same lock.
fn resolved(path: &Path) -> Result<PathBuf, StoreError> {
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let Some(name) = path.file_name() else {
        return Err(StoreError::cannot_open(path.display(), "it is not the name of a file"));
    };
    match folder(path).canonicalize() {
        Ok(folder) => Ok(folder.join(name)),
        Err(source) => Err(StoreError::cannot_open(path.display(), format!("its folder: {source}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_released_can_be_claimed_while_a_process_is_being_started() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.db");
        let claimed = DatabaseFile::claim(&path).unwrap();
        let copy_of_the_child = claimed._lock.0.try_clone().unwrap();
        assert!(matches!(DatabaseFile::claim(&path), Err(StoreError::InUse { .. })));
        drop(claimed);
        DatabaseFile::claim(&path).unwrap();
        drop(copy_of_the_child);
    }
}
