//! A shard's thread.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::LocalOptions;

use crate::alarm::Alarm;
use crate::shard::{Shard, ShardParts};
use crate::shared_inbox::SharedInbox;

/// Starts a shard's thread. It ends at [`Control::Stop`](crate::shared_inbox::Control::Stop).
/// If anything in it panics, `failed` is cancelled, since the users of this shard have
/// no other.
pub(crate) fn spawn(parts: ShardParts) -> io::Result<JoinHandle<()>> {
    let name = format!("shard-{}", parts.index);
    let runtime = tokio::runtime::Builder::new_current_thread();
    std::thread::Builder::new().name(name).spawn(move || {
        let mut runtime = runtime;
        let _closing = Closing(Arc::clone(&parts.inbox));
        match runtime.enable_io().enable_time().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime.block_on(run(parts)),
            Err(error) => {
                tracing::error!(%error, "a shard could not start its event queue");
                parts.failed.cancel();
            }
        }
    })
}

async fn run(parts: ShardParts) {
    let failed = parts.failed.clone();
    let shard = Rc::new(RefCell::new(Shard::new(parts)));
    // A task like those of the sockets: they wake it, and it runs behind all that are
    // ready, and thus once for all of them.
    let turns = std::future::poll_fn(move |cx| {
        let _alarm = Alarm(&failed);
        Shard::poll_turn(&shard, cx)
    });
    // The alarm reports a panic. The sockets are cut off when the runtime is dropped.
    let _ = tokio::task::spawn_local(turns).await;
}

/// Closes the inbox when the thread ends, so that nothing waits for an answer of the
/// shard.
struct Closing(Arc<SharedInbox>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}
