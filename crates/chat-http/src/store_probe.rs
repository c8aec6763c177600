//! Checks of the store during an outage.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Checks the store every second while it is unavailable, so that its recovery is noticed
/// although no request comes.
pub(crate) async fn keep_probing(app: Arc<App>, stopping: CancellationToken) {
    let probe = async {
        loop {
            app.store_health.outage_began().await;
            while app.store_health.is_out() {
                tokio::time::sleep(PROBE_INTERVAL).await;
                // The check notes its result in `store_health`.
                let _ = app.check_store().await;
            }
        }
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = probe => {}
    }
}

/// The time between two checks.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
