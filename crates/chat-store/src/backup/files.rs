//! The bytes of files in a backup: in parts, so that no file is in memory as a whole.

use std::path::Path;

use chat_core::FileId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, Row as _};

use super::Backup;
use crate::rows::get;
use crate::{StoreError, columns};

/// A file whose bytes are in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFile {
    /// Its id.
    pub id: FileId,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// The bytes of each part of a file but the last one, which may be shorter.
pub const BACKUP_PART_BYTES: usize = 1024 * 1024;

impl Backup {
    /// Whether the backup has the bytes of files; else it has their names and sizes only, or
    /// there are no files.
    pub async fn has_files(&mut self) -> Result<bool, StoreError> {
        Ok(self.count("SELECT count(*) FROM sqlite_schema WHERE name = 'backup_files'").await? > 0)
    }

    /// Makes room for the bytes of files.
    pub async fn create_files(&mut self) -> Result<(), StoreError> {
        self.run(FILES).await?;
        self.run(PARTS).await
    }

    /// Lists stored files after one of them, in the order of ids: id and size.
    pub async fn stored_files(
        &mut self,
        after: Option<&FileId>,
        max: usize,
    ) -> Result<Vec<(FileId, u64)>, StoreError> {
        let rows = sqlx::query("SELECT id, size FROM files WHERE state = 2 AND id > ?1 ORDER BY id LIMIT ?2")
            .bind(after.map(ToString::to_string).unwrap_or_default())
            .bind(columns::column(max as u64))
            .fetch_all(&mut self.connection)
            .await
            .map_err(StoreError::unavailable)?;
        rows.iter().map(|row| Ok((id(row, 0)?, columns::number(get(row, 1)?)?))).collect()
    }

    /// Counts the stored files that the database names, with their bytes or without.
    pub async fn count_stored_files(&mut self) -> Result<u64, StoreError> {
        self.count("SELECT count(*) FROM files WHERE state = 2").await
    }

    /// Adds the next bytes of a file: parts have numbers from 0.
    pub async fn add_file_part(&mut self, id: &FileId, part: u64, bytes: &[u8]) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO backup_file_parts (id, part, bytes) VALUES (?1, ?2, ?3)")
            .bind(id.to_string())
            .bind(columns::column(part))
            .bind(bytes)
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::unavailable)?;
        Ok(())
    }

    /// All parts of the file were added.
    pub async fn complete_file(&mut self, file: &BackupFile) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO backup_files (id, size, sha256) VALUES (?1, ?2, ?3)")
            .bind(file.id.to_string())
            .bind(columns::column(file.size))
            .bind(&file.sha256[..])
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::unavailable)?;
        Ok(())
    }

    /// Removes the parts of a file that was not completed.
    pub async fn discard_file(&mut self, id: &FileId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM backup_file_parts WHERE id = ?1")
            .bind(id.to_string())
            .execute(&mut self.connection)
            .await
            .map_err(StoreError::unavailable)?;
        Ok(())
    }

    /// Deletes the bytes of files, after they were copied to their place.
    pub async fn drop_files(&mut self) -> Result<(), StoreError> {
        self.run("DROP TABLE IF EXISTS backup_files").await?;
        self.run("DROP TABLE IF EXISTS backup_file_parts").await
    }

    /// Removes the records of files that are not stored: nobody knows of their bytes where the
    /// backup is restored.
    pub(super) async fn forget_unstored_files(&mut self) -> Result<(), StoreError> {
        self.run("DELETE FROM files WHERE state <> 2").await?;
        self.run(super::COUNT_FILES).await
    }

    /// Opens the bytes of the files in a backup, for reading.
    ///
    /// # Errors
    ///
    /// [`StoreError::CannotOpen`].
    pub async fn files_in(path: &Path) -> Result<Self, StoreError> {
        let connection = crate::sqlite::DatabaseFile::look_at(path).await?;
        Ok(Self { path: path.to_owned(), connection, made_at_ms: None, _claim: None })
    }

    /// Closes a backup that was only read.
    pub async fn close_unchanged(self) -> Result<(), StoreError> {
        self.connection.close().await.map_err(StoreError::unavailable)
    }

    /// Lists the files whose bytes are in the backup, after one of them, in the order of ids.
    pub async fn files(&mut self, after: Option<&FileId>, max: usize) -> Result<Vec<BackupFile>, StoreError> {
        let rows =
            sqlx::query("SELECT id, size, sha256 FROM backup_files WHERE id > ?1 ORDER BY id LIMIT ?2")
                .bind(after.map(ToString::to_string).unwrap_or_default())
                .bind(columns::column(max as u64))
                .fetch_all(&mut self.connection)
                .await
                .map_err(StoreError::unavailable)?;
        rows.iter()
            .map(|row| {
                let sha256: Vec<u8> = get(row, 2)?;
                let sha256 = sha256.try_into().map_err(|_| DAMAGED)?;
                Ok(BackupFile { id: id(row, 0)?, size: columns::number(get(row, 1)?)?, sha256 })
            })
            .collect()
    }

    /// Reads a part of a file; `None` after the last one.
    pub async fn file_part(&mut self, id: &FileId, part: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let row = sqlx::query("SELECT bytes FROM backup_file_parts WHERE id = ?1 AND part = ?2")
            .bind(id.to_string())
            .bind(columns::column(part))
            .fetch_optional(&mut self.connection)
            .await
            .map_err(StoreError::unavailable)?;
        row.map(|row| row.try_get(0).map_err(StoreError::unavailable)).transpose()
    }
}

fn id(row: &SqliteRow, index: usize) -> Result<FileId, StoreError> {
    let text: String = get(row, index)?;
    FileId::parse(&text).ok_or(DAMAGED)
}

const DAMAGED: StoreError = StoreError::Damaged { what: "a file in a backup" };

const FILES: &str = "CREATE TABLE backup_files (id TEXT PRIMARY KEY NOT NULL, size INTEGER NOT NULL, sha256 BLOB NOT NULL) STRICT";
/// With a rowid: SQLite stores large values apart from the key.
const PARTS: &str = "CREATE TABLE backup_file_parts (id TEXT NOT NULL, part INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (id, part)) STRICT";
