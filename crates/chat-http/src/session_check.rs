//! The sockets of sessions that were ended elsewhere end, too: by another
//! server on the same database, or by who runs this one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chat_core::SessionId;
use chat_shard::now_ms;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::store_health::StoreUse;

/// Asks the store, every `session_check_interval`, which of the sessions with
/// sockets here are still good. What it does not answer changes nothing.
pub(crate) async fn keep_checking(app: Arc<App>, stopping: CancellationToken) {
    let check = async {
        loop {
            tokio::time::sleep(app.options.session_check_interval).await;
            check_all(&app).await;
        }
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = check => {}
    }
}

async fn check_all(app: &App) {
    let mut last: Option<SessionId> = None;
    loop {
        let batch = app.shards.open_sessions().after(last.as_ref(), BATCH_MAX);
        let Some((id, _)) = batch.last() else {
            if last.is_none() {
                // Nothing to check is nothing that fails.
                app.store_health.answered(StoreUse::SessionCheck, Instant::now());
            }
            return;
        };
        last = Some(id.clone());
        if !check(app, batch).await {
            // The next ones would only wait as long.
            return;
        }
    }
}

/// Looks at some, and says whether the store answered.
async fn check(app: &App, batch: Vec<(SessionId, u64)>) -> bool {
    let now = now_ms();
    let ids: Vec<_> = batch.iter().map(|(id, _)| id.clone()).collect();
    let asked = app.parts.sessions.good_sessions(&ids, now);
    let good: HashMap<SessionId, u64> = match tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
        Ok(Ok(good)) => {
            app.store_health.answered(StoreUse::SessionCheck, Instant::now());
            good.into_iter().collect()
        }
        Ok(Err(error)) => {
            app.store_health.failed(StoreUse::SessionCheck, &error, Instant::now());
            return false;
        }
        Err(_) => {
            app.store_health.timed_out(StoreUse::SessionCheck, Instant::now());
            return false;
        }
    };
    for (id, end_ms) in &good {
        app.shards.renew(id, *end_ms);
    }
    let ended = ended(batch, &good, now);
    if !ended.is_empty() {
        app.shards.revoke(&ended).await;
        tracing::info!(sessions = ended.len(), "sessions were ended elsewhere");
    }
    true
}

/// Those that were good before and no longer are. Where the time is over that was
/// known, the shard sees it itself (1008); where nothing is known yet, a request
/// is still being checked.
fn ended(batch: Vec<(SessionId, u64)>, good: &HashMap<SessionId, u64>, now_ms: u64) -> Vec<SessionId> {
    let ended =
        batch.into_iter().filter(|(id, known_end_ms)| now_ms < *known_end_ms && !good.contains_key(id));
    ended.map(|(id, _)| id).collect()
}

/// Sessions in one question.
const BATCH_MAX: usize = 500;
/// How long the store may take for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_should_still_be_good_was_ended() {
        let id = |id| SessionId::new(id);
        let good = HashMap::from([(id("good"), 300), (id("renewed"), 300)]);
        let batch = [("good", 200), ("renewed", 100), ("over", 100), ("ended", 101), ("being checked", 0)];
        let batch = batch.map(|(name, end_ms)| (id(name), end_ms)).into();
        assert_eq!(ended(batch, &good, 100), [id("ended")]);
    }
}
