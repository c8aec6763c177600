//! The deletion of files that nobody needs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chat_core::FileId;
use chat_files::failpoint;
use chat_shard::{causes, now_ms};
use chat_store::StoreError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::store_health::StoreUse;

/// Deletes files that nobody needs: those of deleted messages and of broken uploads soon,
/// those that no message has after `unattached_lifetime`. First the bytes go, then the
/// record, so that a crash in between leaves nothing that is not found again.
pub(crate) async fn keep_sweeping(app: Arc<App>, stopping: CancellationToken) {
    let sweeping = async {
        let mut passed_over = HashSet::new();
        loop {
            sweep(&app, &mut passed_over).await;
            tokio::time::sleep(PAUSE).await;
            // A notice that came meanwhile is kept.
            let _ = tokio::time::timeout(app.options.files.sweep_interval, app.files.sweep.notified()).await;
        }
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = sweeping => {}
    }
}

async fn sweep(app: &App, passed_over: &mut HashSet<FileId>) {
    let (mut deleted, mut failed) = (0, None);
    match sweep_all(app, passed_over, &mut deleted, &mut failed).await {
        Ok(()) => app.store_health.answered(StoreUse::Files, Instant::now()),
        Err(error) => app.store_health.failed(StoreUse::Files, &error, Instant::now()),
    }
    app.metrics.files_deleted(deleted);
    if let Some(error) = failed {
        tracing::warn!(error, "the bytes of some deleted files cannot be removed now");
    }
    if deleted > 0 {
        tracing::debug!(files = deleted, "files were deleted");
    }
}

/// Deletes all that is to be deleted. Files whose bytes cannot be removed are passed over
/// until the end of the list was reached, in this sweep or a later one, so that they do not
/// keep the others.
async fn sweep_all(
    app: &App,
    passed_over: &mut HashSet<FileId>,
    deleted: &mut u64,
    failed: &mut Option<String>,
) -> Result<(), StoreError> {
    let lifetime = u64::try_from(app.options.files.unattached_lifetime.as_millis()).unwrap_or(u64::MAX);
    loop {
        let before = now_ms().saturating_sub(lifetime);
        let max = FILES_AT_ONCE + passed_over.len();
        let mut ids = app.parts.stores.files.files_to_delete(before, max).await?;
        let is_end = ids.len() < max;
        ids.retain(|id| !passed_over.contains(id));
        ids.truncate(FILES_AT_ONCE);
        let mut gone = Vec::new();
        if !ids.is_empty() {
            failpoint::reached("files listed");
            let done = app.files.objects.delete(&ids).await;
            gone = done.files;
            if let Some(error) = done.error {
                failed.get_or_insert_with(|| causes(&error));
            }
        }
        if !gone.is_empty() {
            app.parts.stores.files.forget_files(&gone).await?;
            failpoint::reached("files forgotten");
        }
        *deleted += gone.len() as u64;
        passed_over.extend(ids.iter().filter(|id| !gone.contains(id)));
        if is_end || passed_over.len() >= PASSED_OVER_MAX {
            passed_over.clear();
            break;
        }
        // If nothing can be removed, the next sweep goes on: a storage may not answer at all.
        if gone.is_empty() {
            break;
        }
    }
    let usage = app.parts.stores.files.files_usage().await?;
    app.metrics.files_usage(usage.files, usage.bytes);
    Ok(())
}

/// Files that are deleted in one step.
const FILES_AT_ONCE: usize = 100;
/// Files that are passed over; with more, the oldest are tried again.
const PASSED_OVER_MAX: usize = 10_000;
/// The shortest time between two sweeps.
const PAUSE: Duration = Duration::from_millis(500);
