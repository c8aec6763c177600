//! The records of files.

use chat_core::{
    AttachedFile, FileId, FileQuotas, FileRefused, FilesUsage, FoundFile, ReservedFile, Username,
};

use super::SqliteStore;
use crate::files::Reservation;
use crate::{FileRepository, StoreFuture, files};

impl FileRepository for SqliteStore {
    fn reserve_file<'a>(
        &'a self,
        file: &'a ReservedFile,
        quotas: FileQuotas,
        now_ms: u64,
    ) -> StoreFuture<'a, Result<(), FileRefused>> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            match files::reserve(&mut writing.connection, file, quotas, now_ms).await {
                Ok(made @ Reservation::Made) => writing.finish(Ok(made.answer())).await,
                Ok(other) => writing.roll_back().await.map(|()| other.answer()),
                Err(error) => writing.finish(Err(error)).await,
            }
        })
    }

    fn store_file<'a>(
        &'a self,
        owner: &'a Username,
        file: &'a AttachedFile,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let work = files::store(&mut writing.connection, owner, file, now_ms).await;
            writing.finish(work).await
        })
    }

    fn find_file<'a>(&'a self, id: &'a FileId) -> StoreFuture<'a, Option<FoundFile>> {
        Box::pin(files::find(&self.readers, id))
    }

    fn readable_file<'a>(
        &'a self,
        id: &'a FileId,
        reader: &'a Username,
    ) -> StoreFuture<'a, Option<AttachedFile>> {
        Box::pin(files::readable(&self.readers, id, reader))
    }

    /// Readers look first: mostly there is nothing to write.
    fn files_to_delete(&self, before_ms: u64, max: usize) -> StoreFuture<'_, Vec<FileId>> {
        Box::pin(async move {
            if files::has_old(&self.readers, before_ms).await? {
                let mut writing = self.writer.begin().await?;
                let work = files::mark_old(&mut writing.connection, before_ms, max).await;
                writing.finish(work).await?;
            }
            files::to_remove(&self.readers, max).await
        })
    }

    fn drop_file<'a>(&'a self, id: &'a FileId) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let work = files::drop_one(&mut writing.connection, id).await;
            writing.finish(work).await
        })
    }

    fn forget_files<'a>(&'a self, ids: &'a [FileId]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            if ids.is_empty() {
                return Ok(());
            }
            let mut writing = self.writer.begin().await?;
            let work = files::forget(&mut writing.connection, ids).await;
            writing.finish(work).await
        })
    }

    fn files_after<'a>(&'a self, after: Option<&'a FileId>, max: usize) -> StoreFuture<'a, Vec<FoundFile>> {
        Box::pin(files::after(&self.readers, after, max))
    }

    fn files_usage(&self) -> StoreFuture<'_, FilesUsage> {
        Box::pin(files::usage(&self.readers))
    }
}
