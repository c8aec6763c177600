//! Hints from the database that sessions were ended: `NOTIFY` of the transaction that ends them, and
//! its row of the feed, which is read by those who have missed the notification.

use std::sync::Arc;
use std::time::Duration;

use chat_core::Username;
use sqlx::postgres::PgListener;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::database::Database;
use super::failure::Failure;
use super::feed::EndedHints;
use crate::{Ended, StoreError};

/// Listens on a connection of its own.
pub(super) struct EndedSessions {
    database: Database,
    listener: Mutex<Option<PgListener>>,
    of_feed: Arc<EndedHints>,
}

impl EndedSessions {
    pub(super) fn new(database: Database, of_feed: Arc<EndedHints>) -> Self {
        Self { database, listener: Mutex::default(), of_feed }
    }

    /// The next hint. The first one after a connection was made says that anything may have
    /// been missed before.
    pub(super) async fn next(&self) -> Result<Ended, StoreError> {
        let mut kept = self.listener.lock().await;
        loop {
            if let Some(hint) = self.of_feed.take() {
                return Ok(hint);
            }
            let Some(listener) = &mut *kept else {
                *kept = Some(self.listen().await?);
                return Ok(Ended::Unknown);
            };
            let told = tokio::select! {
                told = timeout(PROBE_INTERVAL, listener.try_recv()) => told,
                () = self.of_feed.added() => continue,
            };
            match told {
                Ok(Ok(Some(told))) => {
                    if let Ok(user) = Username::known(told.payload()) {
                        let is_role = told.channel() == ROLES_CHANNEL;
                        return Ok(if is_role { Ended::Role(user) } else { Ended::Of(user) });
                    }
                }
                Ok(Ok(None) | Err(_)) => *kept = None,
                Err(_) => {
                    let probe = sqlx::query("SELECT 1").execute(&mut *listener);
                    if !timeout(PROBE_TIMEOUT, probe).await.is_ok_and(|answer| answer.is_ok()) {
                        *kept = None;
                    }
                }
            }
        }
    }

    async fn listen(&self) -> Result<PgListener, StoreError> {
        let listening = async {
            let mut listener = self.database.listener().await?;
            listener.listen_all([CHANNEL, ROLES_CHANNEL]).await?;
            Ok(listener)
        };
        let listening = timeout(PROBE_TIMEOUT, listening).await;
        match listening.unwrap_or_else(|_| Err(Failure::passing("the database cannot be reached"))) {
            Ok(listener) => Ok(listener),
            Err(Failure::Passing(source)) => Err(StoreError::Unavailable { source }),
            Err(Failure::Final(error)) => Err(error),
        }
    }
}

/// The channel of the notifications, in the statements that end sessions, too.
pub(super) const CHANNEL: &str = "chat_sessions";
/// The channel of the users who became administrators, or are none any more, in
/// [`TELL_OF_ROLE`](super::administration::TELL_OF_ROLE), too.
const ROLES_CHANNEL: &str = "chat_roles";
/// How long nothing may be told before the connection is probed.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// How long the database may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
