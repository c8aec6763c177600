//! From the shards to the log: what arrived while the last commit ran goes
//! into the next one.

use std::future::Future;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use chat_core::Draft;
use chat_store::EventLog;
use tokio::sync::mpsc;

use super::bus::{Bus, Origins};

/// Where a shard hands over its drafts, once a turn.
#[derive(Clone)]
pub(super) struct LogWriter {
    log: Arc<dyn EventLog>,
    bus: Arc<Bus>,
    // Not bounded here: each hub's credits bound what it may have under way.
    queue: mpsc::UnboundedSender<(usize, Vec<Draft>)>,
}

impl LogWriter {
    /// The handle, and the task that writes until the last handle is dropped.
    pub(super) fn new(
        log: Arc<dyn EventLog>,
        bus: Arc<Bus>,
        batch_max: usize,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (queue, waiting) = mpsc::unbounded_channel();
        let writing = write(Arc::clone(&log), Arc::clone(&bus), waiting, batch_max);
        (Self { log, bus, queue }, writing)
    }

    /// Has a shard's drafts stored, in this order. The answers come through its
    /// inbox: before this returns, where the log is in this process's memory.
    pub(super) fn append(&self, shard: usize, drafts: Vec<Draft>) {
        let origins = vec![(shard, drafts.len())];
        let in_place =
            self.log.append_in_place(&drafts, wall_ms(), &mut |commit| self.bus.publish(commit, &origins));
        if in_place.is_none()
            && let Err(mpsc::error::SendError((_, drafts))) = self.queue.send((shard, drafts))
        {
            self.bus.publish_failure(&drafts, &origins);
        }
    }
}

/// Milliseconds since 1970 (UTC).
pub(super) fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

async fn write(
    log: Arc<dyn EventLog>,
    bus: Arc<Bus>,
    mut waiting: mpsc::UnboundedReceiver<(usize, Vec<Draft>)>,
    batch_max: usize,
) {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut origins: Origins = Vec::new();
    while let Some((shard, first)) = waiting.recv().await {
        origins.push((shard, first.len()));
        drafts.extend(first);
        while drafts.len() < batch_max
            && let Ok((shard, more)) = waiting.try_recv()
        {
            origins.push((shard, more.len()));
            drafts.extend(more);
        }
        match log.append(&drafts, wall_ms()).await {
            Ok(commit) => bus.publish(&commit, &origins),
            Err(error) => {
                // What waits was sent before anybody could know of the failure:
                // stored now, it would overtake the retry of what failed.
                while let Ok((shard, more)) = waiting.try_recv() {
                    origins.push((shard, more.len()));
                    drafts.extend(more);
                }
                tracing::error!(error = %chain(&error), drafts = drafts.len(), "messages could not be stored");
                bus.publish_failure(&drafts, &origins);
            }
        }
        drafts.clear();
        drafts.shrink_to(batch_max);
        origins.clear();
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
