//! The records of files. Each transaction has the same result if it is repeated after its
//! answer was lost.

use chat_core::{
    AttachedFile, FileId, FileQuotas, FileRefused, FilesUsage, FoundFile, ReservedFile, Username,
};

use super::PostgresStore;
use super::failure::Failure;
use super::pool::Pool;
use crate::files::Reservation;
use crate::{FileRepository, StoreFuture, files};

/// Makes an attempt at a reservation.
async fn reserve(
    pool: &Pool,
    file: &ReservedFile,
    quotas: FileQuotas,
    now_ms: u64,
) -> Result<Result<(), FileRefused>, Failure> {
    let mut connection = pool.connection().await?;
    sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
    let reservation = files::reserve(&mut connection, file, quotas, now_ms).await?;
    let end = if matches!(reservation, Reservation::Made) { "COMMIT" } else { "ROLLBACK" };
    sqlx::raw_sql(end).execute(&mut connection).await?;
    pool.put_back(connection);
    Ok(reservation.answer())
}

/// Makes an attempt at noting that the bytes of a file are stored.
async fn store(pool: &Pool, owner: &Username, file: &AttachedFile, now_ms: u64) -> Result<bool, Failure> {
    let mut connection = pool.connection().await?;
    sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
    let is_stored = files::store(&mut connection, owner, file, now_ms).await?;
    sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
    pool.put_back(connection);
    Ok(is_stored)
}

/// Makes an attempt at removing marked files.
async fn forget(pool: &Pool, ids: &[FileId]) -> Result<(), Failure> {
    let mut connection = pool.connection().await?;
    sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
    files::forget(&mut connection, ids).await?;
    sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
    pool.put_back(connection);
    Ok(())
}

impl FileRepository for PostgresStore {
    fn reserve_file<'a>(
        &'a self,
        file: &'a ReservedFile,
        quotas: FileQuotas,
        now_ms: u64,
    ) -> StoreFuture<'a, Result<(), FileRefused>> {
        Box::pin(self.pool.attempts(move || reserve(&self.pool, file, quotas, now_ms)))
    }

    fn store_file<'a>(
        &'a self,
        owner: &'a Username,
        file: &'a AttachedFile,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        Box::pin(self.pool.attempts(move || store(&self.pool, owner, file, now_ms)))
    }

    fn find_file<'a>(&'a self, id: &'a FileId) -> StoreFuture<'a, Option<FoundFile>> {
        Box::pin(files::find(&self.pool, id))
    }

    fn readable_file<'a>(
        &'a self,
        id: &'a FileId,
        reader: &'a Username,
    ) -> StoreFuture<'a, Option<AttachedFile>> {
        Box::pin(files::readable(&self.pool, id, reader))
    }

    fn files_to_delete(&self, before_ms: u64, max: usize) -> StoreFuture<'_, Vec<FileId>> {
        Box::pin(async move {
            if files::has_old(&self.pool, before_ms).await? {
                files::mark_old(&mut &self.pool, before_ms, max).await?;
            }
            files::to_remove(&self.pool, max).await
        })
    }

    fn drop_file<'a>(&'a self, id: &'a FileId) -> StoreFuture<'a, ()> {
        Box::pin(async move { files::drop_one(&mut &self.pool, id).await })
    }

    fn forget_files<'a>(&'a self, ids: &'a [FileId]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            if ids.is_empty() {
                return Ok(());
            }
            self.pool.attempts(|| forget(&self.pool, ids)).await
        })
    }

    fn files_after<'a>(&'a self, after: Option<&'a FileId>, max: usize) -> StoreFuture<'a, Vec<FoundFile>> {
        Box::pin(files::after(&self.pool, after, max))
    }

    fn files_usage(&self) -> StoreFuture<'_, FilesUsage> {
        Box::pin(files::usage(&self.pool))
    }
}
