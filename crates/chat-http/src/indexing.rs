//! The indexing of messages in the background, beside the log.

use std::sync::Arc;
use std::time::Duration;

use chat_store::Indexed;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::store_health::StoreUse;

/// Keeps the index of the search up to date. A server that stops meanwhile goes on at its
/// next start.
pub(crate) async fn keep_indexing(app: Arc<App>, stopping: CancellationToken) {
    tokio::select! {
        () = stopping.cancelled() => {}
        () = index_all(&app) => {}
    }
}

/// Indexes part by part. What is committed meanwhile is collected for a moment, so that one
/// part has many messages; appends have most of the time for themselves.
async fn index_all(app: &App) {
    let mut progress = None;
    loop {
        let started = Instant::now();
        match app.parts.stores.search.index_some(ENTRIES_AT_ONCE).await {
            Ok(indexed) => {
                app.store_health.answered(StoreUse::Indexing, Instant::now());
                app.metrics.indexed(indexed.messages, indexed.left);
                if indexed.was_damaged {
                    app.metrics.search_damaged();
                }
                Progress::log(&mut progress, indexed.messages, indexed.left);
                if indexed.has_more {
                    tokio::time::sleep(Indexed::pause(started.elapsed())).await;
                } else {
                    app.parts.stores.search.committed().await;
                    tokio::time::sleep(COLLECT).await;
                }
            }
            Err(error) => {
                app.store_health.failed(StoreUse::Indexing, &error, Instant::now());
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Many messages that are indexed, as after an update: said in the log from time to time.
struct Progress {
    began: Instant,
    said: Instant,
    messages: u64,
}

impl Progress {
    fn log(progress: &mut Option<Self>, messages: u64, left: u64) {
        let now = Instant::now();
        if progress.is_none() && left < MANY {
            return;
        }
        let known = progress.get_or_insert_with(|| {
            tracing::info!(left, "indexing messages for the search");
            Self { began: now, said: now, messages: 0 }
        });
        known.messages += messages;
        let (indexed, seconds) = (known.messages, (now - known.began).as_secs());
        if left == 0 {
            tracing::info!(indexed, seconds, "the messages are indexed");
            *progress = None;
        } else if now - known.said >= SAY_EVERY {
            known.said = now;
            tracing::info!(indexed, left, seconds, "indexing messages for the search");
        }
    }
}

/// Entries that are looked at in one part.
const ENTRIES_AT_ONCE: usize = 500;
/// How long commits are collected: without many messages to index, a new one is found within
/// two seconds.
const COLLECT: Duration = Duration::from_millis(200);
/// The pause after a part that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// With so many entries left, the progress is logged.
const MANY: u64 = 20_000;
const SAY_EVERY: Duration = Duration::from_secs(10);
