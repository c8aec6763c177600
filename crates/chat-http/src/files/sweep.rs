//! The deletion of files that nobody needs.

use std::sync::Arc;
use std::time::Duration;

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
        loop {
            sweep(&app).await;
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

async fn sweep(app: &App) {
    let (mut deleted, mut failed) = (0, None);
    match sweep_all(app, &mut deleted, &mut failed).await {
        Ok(()) => app.store_health.answered(StoreUse::Files, Instant::now()),
        Err(error) => app.store_health.failed(StoreUse::Files, &error, Instant::now()),
    }
    app.metrics.files_deleted(deleted);
    if let Some(error) = failed {
        tracing::warn!(error, "the bytes of deleted files cannot be removed now");
    }
    if deleted > 0 {
        tracing::debug!(files = deleted, "files were deleted");
    }
}

async fn sweep_all(app: &App, deleted: &mut u64, failed: &mut Option<String>) -> Result<(), StoreError> {
    let lifetime = u64::try_from(app.options.files.unattached_lifetime.as_millis()).unwrap_or(u64::MAX);
    loop {
        let before = now_ms().saturating_sub(lifetime);
        let ids = app.parts.files.files_to_delete(before, FILES_AT_ONCE).await?;
        if ids.is_empty() {
            break;
        }
        failpoint::reached("files listed");
        let gone = match app.files.objects.delete(&ids).await {
            Ok(gone) => gone,
            Err(error) => {
                *failed = Some(causes(&error));
                Vec::new()
            }
        };
        if !gone.is_empty() {
            app.parts.files.forget_files(&gone).await?;
            failpoint::reached("files forgotten");
        }
        *deleted += gone.len() as u64;
        // What is in use is deleted next time.
        if ids.len() < FILES_AT_ONCE || gone.is_empty() {
            break;
        }
    }
    let usage = app.parts.files.files_usage().await?;
    app.metrics.files_usage(usage.files, usage.bytes);
    Ok(())
}

/// Files that are deleted in one step.
const FILES_AT_ONCE: usize = 100;
/// The shortest time between two sweeps.
const PAUSE: Duration = Duration::from_millis(500);
