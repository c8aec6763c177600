//! The deletion of all messages of banned users in the background.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chat_core::{Topic, Username};
use chat_store::{Deletion, LogPosition, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::store_health::StoreUse;

/// Deletes the messages of banned users where a ban asks for it. A server that stops meanwhile
/// goes on at its next start. Servers with one database take turns.
pub(crate) async fn keep_deleting(app: Arc<App>, stopping: CancellationToken) {
    let delete = async {
        let mut passes = HashMap::new();
        loop {
            let pause = match delete_some(&app, &mut passes).await {
                Ok(true) => Duration::ZERO,
                Ok(false) => POLL,
                Err(error) => {
                    app.store_health.failed(StoreUse::Deletions, &error, Instant::now());
                    RETRY_PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = delete => {}
    }
}

/// What this server knows of the passes of a deletion through the log.
///
/// The deletion ends with a pass from the start of the log that began
/// [`deletion_settle`](crate::HttpOptions::deletion_settle) after the ban: it finds what was on
/// its way to the log when the user was banned. All of this may be forgotten: then there is one
/// pass more.
struct Pass {
    /// When the user was banned: another ban is another deletion.
    banned_at_ms: u64,
    /// When this server saw the deletion first.
    seen: Instant,
    /// When the pass began that goes on now; `None` if another process began it.
    began: Option<Instant>,
    /// When the next part is due.
    due: Instant,
}

/// Takes each deletion that is due one part further. Returns whether there was one.
async fn delete_some(app: &App, passes: &mut HashMap<Username, Pass>) -> Result<bool, StoreError> {
    let administration = &app.parts.stores.administration;
    let deletions = administration.deletions(DELETIONS_AT_ONCE).await?;
    app.store_health.answered(StoreUse::Deletions, Instant::now());
    let now = Instant::now();
    passes.retain(|user, pass| {
        let is_same =
            |deletion: &Deletion| deletion.user == *user && deletion.banned_at_ms == pass.banned_at_ms;
        deletions.iter().any(is_same)
    });
    for deletion in &deletions {
        let banned_at_ms = deletion.banned_at_ms;
        let new = || Pass { banned_at_ms, seen: now, began: None, due: now };
        passes.entry(deletion.user.clone()).or_insert_with(new);
    }
    if passes.values().all(|pass| now < pass.due) {
        return Ok(false);
    }
    let Some(turn) = administration.deletion_turn().await? else { return Ok(false) };
    let mut result = Ok(true);
    // Read again: another server may have had the turn.
    for deletion in administration.deletions(DELETIONS_AT_ONCE).await? {
        let Some(pass) = passes.get_mut(&deletion.user).filter(|pass| pass.due <= now) else { continue };
        result = delete_part(app, &deletion, pass).await.map(|()| true);
        if result.is_err() {
            break;
        }
    }
    turn.end().await;
    result
}

/// Deletes the user's messages among the next messages of the log.
async fn delete_part(app: &App, deletion: &Deletion, pass: &mut Pass) -> Result<(), StoreError> {
    let administration = &app.parts.stores.administration;
    let Deletion { user, upto, .. } = deletion;
    if *upto == LogPosition::default() {
        pass.began = Some(Instant::now());
    }
    let started = Instant::now();
    let part = administration.messages_of(user, *upto, ENTRIES_AT_ONCE).await?;
    pause_after(started).await;
    for messages in part.messages.chunks(MESSAGES_AT_ONCE) {
        let started = Instant::now();
        if !delete_all(app, user, messages).await? {
            return Ok(());
        }
        pause_after(started).await;
    }
    if part.next.is_some() {
        return administration.note_deletion(user, part.next).await;
    }
    let settle = app.options.deletion_settle;
    if pass.began.is_some_and(|began| began - pass.seen >= settle) {
        administration.note_deletion(user, None).await?;
        tracing::info!(user = user.as_str(), "the messages of a banned user are deleted");
        return Ok(());
    }
    pass.due = Instant::now().max(pass.seen + settle);
    administration.note_deletion(user, Some(LogPosition::default())).await
}

/// Deletes these messages. Returns `false` if the ban has ended, and perhaps nothing is done.
///
/// It insists: deletions that were stored although the answer was lost are shown to clients
/// only because they are repeated. A part that is looked for again would not find them.
async fn delete_all(app: &App, user: &Username, messages: &[(Topic, u64)]) -> Result<bool, StoreError> {
    for _ in 0..ATTEMPTS_MAX {
        let ban = app.parts.stores.administration.find_ban(user).await?;
        if !ban.is_some_and(|ban| ban.is_deleting) {
            return Ok(false);
        }
        if app.shards.delete_messages(user, messages).await.is_ok() {
            return Ok(true);
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    Err(StoreError::Unavailable { source: "deletions are not stored".into() })
}

/// Leaves the store to others for most of the time.
async fn pause_after(started: Instant) {
    tokio::time::sleep((started.elapsed() * PAUSE_FACTOR).min(PAUSE_MAX)).await;
}

/// How often the server looks for deletions.
const POLL: Duration = Duration::from_secs(1);
/// Deletions that go on beside each other.
const DELETIONS_AT_ONCE: usize = 100;
/// Messages that are looked at in one query, which takes some milliseconds.
const ENTRIES_AT_ONCE: usize = 1_000;
/// Messages that are deleted in one transaction, which takes some 10 ms.
const MESSAGES_AT_ONCE: usize = 50;
/// The pause after each part, as a multiple of the time that the part took …
const PAUSE_FACTOR: u32 = 4;
/// … and its maximum, which matters where the store was unavailable for long.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The pause after a failure …
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// … and how often the same deletions are tried.
const ATTEMPTS_MAX: usize = 30;
