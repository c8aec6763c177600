//! Closing the sockets of sessions that another server on the same database, or the
//! operator, has ended, and of users whom they have banned.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chat_core::{SessionId, Username};
use chat_shard::now_ms;
use chat_store::Ended;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::store_health::StoreUse;

/// Asks the store, every `session_check_interval`, which sessions with sockets on this
/// server are still valid. If the store does not answer, nothing changes.
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

/// Closes the sockets of sessions that another process ends, and of users whom it bans, as soon
/// as the store tells of it. What is missed is found by [`keep_checking`].
pub(crate) async fn keep_listening(app: Arc<App>, stopping: CancellationToken) {
    let listen = async {
        loop {
            match app.parts.stores.sessions.next_ended().await {
                Ok(Ended::Of(user)) => check_user(&app, &user).await,
                Ok(Ended::Role(user)) => check_role(&app, &user).await,
                Ok(Ended::Unknown) => check_all(&app).await,
                Err(error) => {
                    tracing::debug!(%error, "the store does not tell of ended sessions");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = listen => {}
    }
}

/// Checks the sessions of a user that have sockets here, and whether the user is banned.
async fn check_user(app: &App, user: &Username) {
    let of_user = app.shards.open_sessions().ends_of(user);
    if app.parts.identity.is_none() && !of_user.is_empty() && !check(app, of_user).await {
        return;
    }
    if app.shards.open_users().contain(user) {
        check_users(app, std::slice::from_ref(user)).await;
    }
}

/// Tells the sockets of a user what role the user has now.
async fn check_role(app: &App, user: &Username) {
    let role = tokio::time::timeout(ANSWER_TIMEOUT, app.parts.stores.users.is_administrator(user)).await;
    // A client that misses it learns its role when it opens the settings, or at its next start.
    if let Ok(Ok(is_administrator)) = role {
        app.shards.role_changed(user, is_administrator);
    }
}

/// Closes the sockets of those who are banned. Returns whether the store answered.
async fn check_users(app: &App, users: &[Username]) -> bool {
    let banned = tokio::time::timeout(ANSWER_TIMEOUT, app.parts.stores.administration.bans_of(users)).await;
    let banned = match banned {
        Ok(Ok(banned)) => banned,
        Ok(Err(error)) => {
            app.store_health.failed(StoreUse::SessionCheck, &error, Instant::now());
            return false;
        }
        Err(_) => {
            app.store_health.timed_out(StoreUse::SessionCheck, Instant::now());
            return false;
        }
    };
    for chat_store::Ban { user, .. } in &banned {
        app.end_user(user).await;
        tracing::info!(user = user.as_str(), "closed the sockets of a user who was banned elsewhere");
    }
    true
}

async fn check_all(app: &App) {
    let mut last: Option<Username> = None;
    loop {
        let users = app.shards.open_users().after(last.as_ref(), BATCH_MAX);
        let Some(user) = users.last() else { break };
        last = Some(user.clone());
        if !check_users(app, &users).await {
            return;
        }
    }
    // Those of a host are not in the store.
    if app.parts.identity.is_none() {
        check_sessions(app).await;
    }
}

async fn check_sessions(app: &App) {
    let mut last: Option<SessionId> = None;
    loop {
        let batch = app.shards.open_sessions().after(last.as_ref(), BATCH_MAX);
        let Some((id, _)) = batch.last() else {
            if last.is_none() {
                // Without sockets there is no use of the store that could fail.
                app.store_health.answered(StoreUse::SessionCheck, Instant::now());
            }
            return;
        };
        last = Some(id.clone());
        if !check(app, batch).await {
            // The next batch would fail after the same time.
            return;
        }
    }
}

/// Checks a batch of sessions. Returns whether the store answered.
async fn check(app: &App, batch: Vec<(SessionId, u64)>) -> bool {
    let now = now_ms();
    let ids: Vec<_> = batch.iter().map(|(id, _)| id.clone()).collect();
    let answer = app.parts.stores.sessions.valid_sessions(&ids, now);
    let good: HashMap<SessionId, u64> = match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
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
        app.end_sessions(&ended).await;
        tracing::info!(sessions = ended.len(), "closed the sockets of sessions that were ended elsewhere");
    }
    true
}

/// The sessions that were ended. A session whose known end has passed is left to its
/// shard, which closes with 1008. For a session without a known end (0), a request is
/// still being checked.
fn ended(batch: Vec<(SessionId, u64)>, good: &HashMap<SessionId, u64>, now_ms: u64) -> Vec<SessionId> {
    let ended =
        batch.into_iter().filter(|(id, known_end_ms)| now_ms < *known_end_ms && !good.contains_key(id));
    ended.map(|(id, _)| id).collect()
}

/// Sessions in one query.
const BATCH_MAX: usize = 500;
/// The pause after the store could not tell of ended sessions.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long the store may take to answer a query.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_session_that_should_still_be_valid_was_ended() {
        let id = |id| SessionId::new(id);
        let good = HashMap::from([(id("good"), 300), (id("renewed"), 300)]);
        let batch = [("good", 200), ("renewed", 100), ("over", 100), ("ended", 101), ("being checked", 0)];
        let batch = batch.map(|(name, end_ms)| (id(name), end_ms)).into();
        assert_eq!(ended(batch, &good, 100), [id("ended")]);
    }
}
