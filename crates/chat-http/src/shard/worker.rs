//! A shard's thread, and how it ends.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use chat_core::Seed;
use chat_store::EventLog;
use tokio::runtime::{Handle, LocalOptions};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ShardOptions;
use super::bus::Bus;
use super::inbox::Inbox;
use super::log_writer::LogWriter;
use super::turn::Shard;
use crate::metrics::ShardMetrics;

/// What a shard's thread is started with.
pub(super) struct Worker {
    pub(super) index: usize,
    pub(super) options: Arc<ShardOptions>,
    pub(super) seed: Seed,
    pub(super) inbox: Arc<Inbox>,
    pub(super) bus: Arc<Bus>,
    pub(super) writer: LogWriter,
    pub(super) log: Arc<dyn EventLog>,
    /// The shared runtime, for what waits.
    pub(super) service: Handle,
    pub(super) tasks: TaskTracker,
    pub(super) metrics: ShardMetrics,
    pub(super) failed: CancellationToken,
}

impl Worker {
    /// Starts the thread. It ends at [`Item::Stop`](super::inbox::Item::Stop); if anything in it panics,
    /// `failed` is cancelled, since the users of this shard have no other.
    pub(super) fn spawn(self) -> io::Result<JoinHandle<()>> {
        let name = format!("shard-{}", self.index);
        let runtime = tokio::runtime::Builder::new_current_thread();
        std::thread::Builder::new().name(name).spawn(move || {
            let mut runtime = runtime;
            let _closing = Closing(Arc::clone(&self.inbox));
            match runtime.enable_io().enable_time().build_local(LocalOptions::default()) {
                Ok(runtime) => runtime.block_on(self.run()),
                Err(error) => {
                    tracing::error!(%error, "a shard has no event queue");
                    self.failed.cancel();
                }
            }
        })
    }

    async fn run(self) {
        let failed = self.failed.clone();
        let shard = Rc::new(RefCell::new(Shard::new(self)));
        // A task like those of the sockets: woken by them, it runs behind all
        // that are ready, and thus once for all of them.
        let turns = std::future::poll_fn(move |cx| {
            let _alarm = Alarm(&failed);
            Shard::poll_turn(&shard, cx)
        });
        // A panic was told of by the alarm. What is left is cut off with the runtime.
        let _ = tokio::task::spawn_local(turns).await;
    }
}

/// Lets go of whoever waits for an answer of the shard, when its thread ends.
struct Closing(Arc<Inbox>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Tells when a panic passes by: what a hub did half cannot be relied upon.
pub(super) struct Alarm<'a>(pub(super) &'a CancellationToken);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}
