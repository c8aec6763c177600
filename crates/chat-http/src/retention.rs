//! The removal of old messages in the background.

use std::sync::Arc;
use std::time::Duration;

use chat_shard::now_ms;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::store_health::StoreUse;

/// Removes the messages that are no longer kept, every `retention_interval`.
pub(crate) async fn keep_trimming(app: Arc<App>, stopping: CancellationToken) {
    if app.options.retention.keeps_all() {
        return;
    }
    let trim = async {
        loop {
            tokio::time::sleep(app.options.retention_interval).await;
            trim_all(&app).await;
        }
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = trim => {}
    }
}

/// Trims the whole log, part by part. An append waits at most for one part, and has most
/// of the time for itself.
async fn trim_all(app: &App) {
    let (mut entries, mut next) = (0, Some(Default::default()));
    while let Some(position) = next {
        let started = Instant::now();
        // The clock by which messages were stored.
        let now_ms = app.parts.stores.log.feed().map_or_else(now_ms, |feed| feed.now_ms());
        let part = app.parts.stores.log.trim(&app.options.retention, position, now_ms, ENTRIES_AT_ONCE).await;
        let trimmed = match part {
            Ok(trimmed) => trimmed,
            Err(error) => {
                app.store_health.failed(StoreUse::Retention, &error, Instant::now());
                return;
            }
        };
        app.store_health.answered(StoreUse::Retention, Instant::now());
        entries += trimmed.entries;
        app.metrics.trimmed(trimmed.entries);
        app.shards.trimmed(trimmed.topics, &trimmed.files);
        next = trimmed.next;
        tokio::time::sleep((started.elapsed() * PAUSE_FACTOR).min(PAUSE_MAX)).await;
    }
    if entries > 0 {
        tracing::debug!(entries, "old messages were removed");
    }
}

/// Entries that are removed in one transaction, which takes some 10 ms at most.
const ENTRIES_AT_ONCE: usize = 500;
/// The pause after each part, as a multiple of the time that the part took …
const PAUSE_FACTOR: u32 = 4;
/// … and its maximum, which matters where the store was unavailable for long.
const PAUSE_MAX: Duration = Duration::from_secs(5);
