//! Backups: a whole chat in one SQLite file, from any kind of store.
//!
//! The file has the tables of this version's schema: accounts, names, and the log with its
//! nonces, as they were at one moment, and further tables with the pictures and the bytes of
//! files. It has no sessions, so that users who have signed out since stay signed out. It has no epoch, so
//! that the server that first opens it makes a new one: messages that were acknowledged
//! after the backup are not in it, and their numbers will be given again.

mod files;
#[cfg(feature = "postgres")]
mod postgres;
mod sqlite;
#[cfg(feature = "postgres")]
mod tables;

pub use files::{BACKUP_PART_BYTES, BackupFile};

use std::fs::File;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

#[cfg(feature = "postgres")]
use crate::PostgresUrl;
use crate::open_error::read_failed;
use crate::rows::get;
use crate::sqlite::DatabaseFile;
use crate::{DatabaseUrl, StoreError, columns, schema};

/// An open backup.
pub struct Backup {
    path: PathBuf,
    connection: SqliteConnection,
    made_at_ms: Option<u64>,
    /// The lock on the file, if the backup is the database of this process.
    _claim: Option<DatabaseFile>,
}

/// The contents of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupContents {
    /// The number of accounts.
    pub accounts: u64,
    /// The number of messages, also deleted ones.
    pub entries: u64,
    /// The number of edits, deletions and reactions.
    pub changes: u64,
    /// The number of pictures.
    pub pictures: u64,
    /// The number of files whose bytes are in the backup; `None` if there are none.
    pub files: Option<u64>,
    /// When the backup was made, in milliseconds since 1970 (UTC); `None` for the
    /// database of a server.
    pub made_at_ms: Option<u64>,
}

impl Backup {
    /// Copies everything but the bytes of pictures and files from a database, as it is at one moment, into an
    /// existing empty file. A server may use the database meanwhile.
    ///
    /// # Errors
    ///
    /// Those of opening a database, and of a memory store.
    pub async fn write(from: &DatabaseUrl, path: &Path, now_ms: u64) -> Result<Self, StoreError> {
        match from {
            DatabaseUrl::Sqlite(database) => sqlite::copy(database, path).await?,
            DatabaseUrl::Postgres(_) => {}
            DatabaseUrl::Memory => return Err(memory()),
        }
        let mut backup = Self::open(path).await?;
        #[cfg(feature = "postgres")]
        if let DatabaseUrl::Postgres(url) = from {
            schema::sqlite::run(&mut backup.connection, path).await?;
            postgres::read(url, &mut backup.connection).await?;
        }
        backup.run("DROP TABLE IF EXISTS backup_pictures").await?;
        backup.run(PICTURES).await?;
        backup.drop_files().await?;
        backup.forget_unstored_files().await?;
        backup.make_portable().await?;
        backup.made_at_ms = Some(now_ms);
        sqlx::query("INSERT INTO meta (key, value) VALUES ('backup', ?1)")
            .bind(now_ms.to_string())
            .execute(&mut backup.connection)
            .await
            .map_err(StoreError::unavailable)?;
        Ok(backup)
    }

    /// Copies a backup, or the database of a server, into an existing empty file, without the
    /// bytes of files (see [`files_in`](Self::files_in)), and migrates the copy to this
    /// version's schema.
    ///
    /// # Errors
    ///
    /// [`StoreError::CannotOpen`] for a damaged file, and [`StoreError::NotOurs`] for a
    /// file of another program.
    pub async fn read(from: &Path, copy: &Path) -> Result<Self, StoreError> {
        let has_files = sqlite::check(from).await?;
        let mut backup = if has_files {
            let mut backup = Self::open(copy).await?;
            sqlite::copy_tables(from, &mut backup.connection).await?;
            backup
        } else {
            sqlite::copy(from, copy).await?;
            Self::open(copy).await?
        };
        schema::sqlite::run(&mut backup.connection, copy).await?;
        backup.made_at_ms = backup.find_made_at().await?;
        backup.make_portable().await?;
        Ok(backup)
    }

    /// Opens the database of a server if it is a backup that was copied there and still
    /// has pictures or files. It belongs to this process until it is closed.
    pub async fn in_place(path: &Path) -> Result<Option<Self>, StoreError> {
        if !path.exists() {
            return Ok(None);
        }
        let claim = DatabaseFile::claim(path)?;
        let connection = claim.connect().await?;
        let path = claim.path().to_owned();
        let mut backup = Self { path, connection, made_at_ms: None, _claim: Some(claim) };
        if backup.has_pictures().await? || backup.has_files().await? {
            return Ok(Some(backup));
        }
        backup.close().await?;
        Ok(None)
    }

    async fn open(path: &Path) -> Result<Self, StoreError> {
        // No process reads the file before it is complete and on the disk.
        let connection = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            .pragma("secure_delete", "ON")
            .disable_statement_logging()
            .connect()
            .await
            .map_err(|error| read_failed(path, error))?;
        Ok(Self { path: path.to_owned(), connection, made_at_ms: None, _claim: None })
    }

    /// Removes what is valid only in the database of origin: sessions and links that were ended
    /// or used since must not come back.
    async fn make_portable(&mut self) -> Result<(), StoreError> {
        self.run("DELETE FROM sessions").await?;
        self.run("DELETE FROM invites").await?;
        self.run("DELETE FROM password_links").await?;
        self.run("DELETE FROM meta WHERE key IN ('epoch', 'backup')").await
    }

    /// Reads when the backup was made; `None` if a server has used the file since.
    async fn find_made_at(&mut self) -> Result<Option<u64>, StoreError> {
        let row = sqlx::query(
            "SELECT value FROM meta WHERE key = 'backup'
                AND NOT EXISTS (SELECT 1 FROM meta WHERE key = 'epoch')",
        )
        .fetch_optional(&mut self.connection)
        .await
        .map_err(StoreError::unavailable)?;
        let made: Option<String> = row.map(|row| get(&row, 0)).transpose()?;
        Ok(made.and_then(|made| made.parse().ok()))
    }

    /// Lists the paths of the pictures of accounts, and of the server, after one of them, in
    /// order, each once.
    pub async fn avatars(&mut self, after: &str, max: usize) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(PICTURE_PATHS)
            .bind(after)
            .bind(columns::column(max as u64))
            .fetch_all(&mut self.connection)
            .await
            .map_err(StoreError::unavailable)?;
        rows.iter().map(|row| get(row, 0)).collect()
    }

    /// Adds a picture, by the name of its file.
    pub async fn add_picture(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO backup_pictures (name, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(bytes)
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::unavailable)?;
        Ok(())
    }

    /// Returns the first picture after a name, in the order of names.
    pub async fn picture(&mut self, after: &str) -> Result<Option<(String, Vec<u8>)>, StoreError> {
        if !self.has_pictures().await? {
            return Ok(None);
        }
        let row =
            sqlx::query("SELECT name, bytes FROM backup_pictures WHERE name > ?1 ORDER BY name LIMIT 1")
                .bind(after)
                .fetch_optional(&mut self.connection)
                .await
                .map_err(StoreError::unavailable)?;
        row.map(|row| Ok((get(&row, 0)?, get(&row, 1)?))).transpose()
    }

    /// Deletes the pictures, after they were copied to their folder.
    pub async fn drop_pictures(&mut self) -> Result<(), StoreError> {
        self.run("DROP TABLE IF EXISTS backup_pictures").await
    }

    async fn has_pictures(&mut self) -> Result<bool, StoreError> {
        Ok(self.count("SELECT count(*) FROM sqlite_schema WHERE name = 'backup_pictures'").await? > 0)
    }

    /// Counts the contents.
    pub async fn contents(&mut self) -> Result<BackupContents, StoreError> {
        let pictures = match self.has_pictures().await? {
            true => self.count("SELECT count(*) FROM backup_pictures").await?,
            false => 0,
        };
        let files = match self.has_files().await? {
            true => Some(self.count("SELECT count(*) FROM backup_files").await?),
            false => None,
        };
        Ok(BackupContents {
            accounts: self.count("SELECT count(*) FROM users").await?,
            entries: self.count("SELECT count(*) FROM entries").await?,
            changes: self.count("SELECT count(*) FROM changes").await?,
            pictures,
            files,
            made_at_ms: self.made_at_ms,
        })
    }

    /// Closes the file; returns when it is on the disk.
    pub async fn close(self) -> Result<(), StoreError> {
        self.connection.close().await.map_err(StoreError::unavailable)?;
        sync(&self.path)
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), StoreError> {
        sqlx::query(sql).execute(&mut self.connection).await.map_err(StoreError::unavailable)?;
        Ok(())
    }

    async fn count(&mut self, sql: &'static str) -> Result<u64, StoreError> {
        let row = sqlx::query(sql).fetch_one(&mut self.connection).await;
        columns::number(get(&row.map_err(StoreError::unavailable)?, 0)?)
    }
}

/// The database that a backup is restored to; no server uses it. Dropping this value
/// leaves the database as it was.
pub struct RestoreTarget(Target);

enum Target {
    Sqlite(Box<DatabaseFile>),
    #[cfg(feature = "postgres")]
    Postgres(PostgresUrl, ExistingData),
}

/// What a restore does with the data in a Postgres database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExistingData {
    /// The restore is refused if there is data.
    Refuse,
    /// The data is deleted, in the transaction that inserts the backup's.
    Replace,
}

impl RestoreTarget {
    /// Claims the database.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] if a server uses it, and [`StoreError::NotEmpty`] for a
    /// Postgres database with data.
    #[cfg_attr(not(feature = "postgres"), expect(unused_variables, reason = "a file is replaced whole"))]
    pub async fn claim(url: &DatabaseUrl, existing: ExistingData) -> Result<Self, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) => Ok(Self(Target::Sqlite(Box::new(DatabaseFile::claim(path)?)))),
            #[cfg(not(feature = "postgres"))]
            DatabaseUrl::Postgres(url) => url.absurd(),
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(url) => {
                postgres::check(url, existing).await?;
                Ok(Self(Target::Postgres(url.clone(), existing)))
            }
            DatabaseUrl::Memory => Err(memory()),
        }
    }

    /// The path that the backup must be copied to before [`put`](Self::put).
    #[cfg_attr(
        not(feature = "postgres"),
        expect(unused_variables, reason = "a file is copied beside itself")
    )]
    pub fn copy_path(&self, data_dir: &Path) -> PathBuf {
        match &self.0 {
            Target::Sqlite(file) => sqlite::beside(file.path(), ".restoring"),
            #[cfg(feature = "postgres")]
            Target::Postgres(..) => data_dir.join("backup.restoring"),
        }
    }

    /// Puts a backup in the place of the database, all of it or, with an error, nothing. A
    /// former SQLite file is kept under a name with this ending, which is returned.
    pub async fn put(self, mut backup: Backup, kept_ending: &str) -> Result<Option<PathBuf>, StoreError> {
        match self.0 {
            Target::Sqlite(file) => {
                let copy = backup.path.clone();
                backup.drop_pictures().await?;
                backup.close().await?;
                sqlite::put(&file, &copy, kept_ending).await
            }
            #[cfg(feature = "postgres")]
            Target::Postgres(url, existing) => {
                postgres::write(&mut backup.connection, &url, existing).await?;
                Ok(None)
            }
        }
    }
}

/// Writes a file through to the disk.
fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::unavailable)
}

fn memory() -> StoreError {
    StoreError::cannot_open(DatabaseUrl::Memory, "a database in memory can be read only by its server")
}

const PICTURE_PATHS: &str = "SELECT avatar FROM users WHERE avatar > ?1
      UNION SELECT value FROM server_profile WHERE key = 'logo' AND value > ?1 ORDER BY 1 LIMIT ?2";

const PICTURES: &str =
    "CREATE TABLE backup_pictures (name TEXT PRIMARY KEY NOT NULL, bytes BLOB NOT NULL) STRICT";

/// Counts the files anew, in both databases. The number is [`chat_core::FileQuotas::COUNTED_MIN`].
const COUNT_FILES: &str = "UPDATE file_totals SET files = (SELECT count(*) FROM files),
    bytes = (SELECT coalesce(sum(size), 0) FROM files),
    counted = (SELECT coalesce(sum(CASE WHEN size < 4096 THEN 4096 ELSE size END), 0) FROM files)";
