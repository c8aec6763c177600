//! Backups: a whole chat in one SQLite file, whichever store it comes from.
//!
//! The file has this schema's tables: accounts, names, and the log with its
//! nonces, as they were at one moment, and a table more with the pictures. It has
//! no sessions: who signed out meanwhile stays signed out. And it has no epoch, so
//! that whoever opens it first gives it a new one: messages that were acknowledged
//! after it was made are not in it, and their numbers will be given again.

mod postgres;
mod sqlite;
mod tables;

use std::fs::File;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::rows::get;
use crate::sqlite::DatabaseFile;
use crate::{DatabaseUrl, PostgresUrl, StoreError, columns, migrations};

/// A backup that is being written or read.
pub struct Backup {
    path: PathBuf,
    connection: SqliteConnection,
    made_at_ms: Option<u64>,
    /// Where it is the database of this process.
    _claim: Option<DatabaseFile>,
}

/// What is in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupContents {
    /// Accounts.
    pub accounts: u64,
    /// Messages.
    pub entries: u64,
    /// Pictures.
    pub pictures: u64,
    /// When it was made, in milliseconds since 1970 (UTC); `None` for a database
    /// that no backup was made of.
    pub made_at_ms: Option<u64>,
}

impl Backup {
    /// Copies everything but the pictures out of a database, as it is at one
    /// moment, into a file that is there and empty. A server may be running.
    pub async fn write(from: &DatabaseUrl, path: &Path, now_ms: u64) -> Result<Self, StoreError> {
        match from {
            DatabaseUrl::Sqlite(database) => sqlite::copy(database, path).await?,
            DatabaseUrl::Postgres(_) => {}
            DatabaseUrl::Memory => return Err(memory()),
        }
        let mut backup = Self::open(path).await?;
        if let DatabaseUrl::Postgres(url) = from {
            migrations::sqlite::run(&mut backup.connection, path).await?;
            postgres::read(url, &mut backup.connection).await?;
        }
        backup.run("DROP TABLE IF EXISTS backup_pictures").await?;
        backup.run(PICTURES).await?;
        backup.make_portable().await?;
        backup.made_at_ms = Some(now_ms);
        sqlx::query("INSERT INTO meta (key, value) VALUES ('backup', ?1)")
            .bind(now_ms.to_string())
            .execute(&mut backup.connection)
            .await
            .map_err(StoreError::unavailable)?;
        Ok(backup)
    }

    /// Copies a backup, or the database of a chat, into a file that is there and
    /// empty, and brings the copy to this version's schema. What is damaged or of
    /// another program is refused.
    pub async fn read(from: &Path, copy: &Path) -> Result<Self, StoreError> {
        sqlite::check(from).await?;
        sqlite::copy(from, copy).await?;
        let mut backup = Self::open(copy).await?;
        migrations::sqlite::run(&mut backup.connection, copy).await?;
        backup.made_at_ms = backup.find_made_at().await?;
        backup.make_portable().await?;
        Ok(backup)
    }

    /// A backup that was made the database of a server as it is, and still has
    /// pictures to be taken out of it. It is this process's until it is closed.
    pub async fn in_place(path: &Path) -> Result<Option<Self>, StoreError> {
        if !path.exists() {
            return Ok(None);
        }
        let claim = DatabaseFile::claim(path)?;
        let connection = claim.connect().await?;
        let path = claim.path().to_owned();
        let mut backup = Self { path, connection, made_at_ms: None, _claim: Some(claim) };
        if backup.has_pictures().await? {
            return Ok(Some(backup));
        }
        backup.close().await?;
        Ok(None)
    }

    async fn open(path: &Path) -> Result<Self, StoreError> {
        // Nobody reads it before it is whole and on the disk.
        let connection = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            .pragma("secure_delete", "ON")
            .disable_statement_logging()
            .connect()
            .await
            .map_err(|error| migrations::sqlite::read_failed(path, error))?;
        Ok(Self { path: path.to_owned(), connection, made_at_ms: None, _claim: None })
    }

    /// Takes out what is true only where it comes from.
    async fn make_portable(&mut self) -> Result<(), StoreError> {
        self.run("DELETE FROM sessions").await?;
        self.run("DELETE FROM meta WHERE key IN ('epoch', 'backup')").await
    }

    /// When it was made, unless it was used since.
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

    /// The addresses of pictures behind that one in their order, each once.
    pub async fn avatars(&mut self, after: &str, max: usize) -> Result<Vec<String>, StoreError> {
        let rows =
            sqlx::query("SELECT DISTINCT avatar FROM users WHERE avatar > ?1 ORDER BY avatar LIMIT ?2")
                .bind(after)
                .bind(columns::column(max as u64))
                .fetch_all(&mut self.connection)
                .await
                .map_err(StoreError::unavailable)?;
        rows.iter().map(|row| get(row, 0)).collect()
    }

    /// Adds the file of a picture.
    pub async fn add_picture(&mut self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO backup_pictures (name, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(bytes)
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::unavailable)?;
        Ok(())
    }

    /// The file of the picture behind that name in their order.
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

    /// The pictures are where they belong.
    pub async fn drop_pictures(&mut self) -> Result<(), StoreError> {
        self.run("DROP TABLE IF EXISTS backup_pictures").await
    }

    async fn has_pictures(&mut self) -> Result<bool, StoreError> {
        Ok(self.count("SELECT count(*) FROM sqlite_schema WHERE name = 'backup_pictures'").await? > 0)
    }

    /// What is in it.
    pub async fn contents(&mut self) -> Result<BackupContents, StoreError> {
        let pictures = match self.has_pictures().await? {
            true => self.count("SELECT count(*) FROM backup_pictures").await?,
            false => 0,
        };
        Ok(BackupContents {
            accounts: self.count("SELECT count(*) FROM users").await?,
            entries: self.count("SELECT count(*) FROM entries").await?,
            pictures,
            made_at_ms: self.made_at_ms,
        })
    }

    /// It is whole: resolves when it is on the disk.
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

/// A database into which a backup is to be put, and which no server uses. Dropped,
/// it is as it was.
pub struct RestoreTarget(Target);

enum Target {
    Sqlite(Box<DatabaseFile>),
    Postgres(PostgresUrl, WhatIsThere),
}

/// What to do with what a Postgres database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhatIsThere {
    /// It must be empty.
    Refuse,
    /// All of it is deleted, in the transaction that puts the backup in its place.
    Replace,
}

impl RestoreTarget {
    /// Takes the database, if it can be had: [`StoreError::InUse`] if a server has
    /// it, [`StoreError::NotEmpty`] for a Postgres with something in it.
    pub async fn claim(url: &DatabaseUrl, what_is_there: WhatIsThere) -> Result<Self, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) => Ok(Self(Target::Sqlite(Box::new(DatabaseFile::claim(path)?)))),
            DatabaseUrl::Postgres(url) => {
                postgres::check(url, what_is_there).await?;
                Ok(Self(Target::Postgres(url.clone(), what_is_there)))
            }
            DatabaseUrl::Memory => Err(memory()),
        }
    }

    /// Where the backup has to be copied to before it is put in place.
    pub fn copy_path(&self, data_dir: &Path) -> PathBuf {
        match &self.0 {
            Target::Sqlite(file) => sqlite::beside(file.path(), ".restoring"),
            Target::Postgres(..) => data_dir.join("backup.restoring"),
        }
    }

    /// Puts a backup in place, all of it or, with an error, nothing. A former
    /// SQLite file is kept beside, under a name with that ending: answers which.
    pub async fn put(self, mut backup: Backup, kept_ending: &str) -> Result<Option<PathBuf>, StoreError> {
        match self.0 {
            Target::Sqlite(file) => {
                let copy = backup.path.clone();
                backup.drop_pictures().await?;
                backup.close().await?;
                sqlite::put(&file, &copy, kept_ending).await
            }
            Target::Postgres(url, what_is_there) => {
                postgres::write(&mut backup.connection, &url, what_is_there).await?;
                Ok(None)
            }
        }
    }
}

/// Brings a file to the disk.
fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::unavailable)
}

fn memory() -> StoreError {
    StoreError::cannot_open(DatabaseUrl::Memory, "what is in memory is only its server's")
}

const PICTURES: &str =
    "CREATE TABLE backup_pictures (name TEXT PRIMARY KEY NOT NULL, bytes BLOB NOT NULL) STRICT";
