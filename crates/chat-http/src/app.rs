//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chat_auth::{Passwords, SignInLimiter, Tokens};
use chat_shard::Shards;
use chat_store::{EventLog, SessionRepository, UserRepository};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::HttpOptions;
use crate::avatar::{AvatarFolder, PictureQueue};
use crate::fresh::Fresh;
use crate::metrics::Metrics;
use crate::origin::AllowedOrigin;
use crate::sign_in_failures::SignInFailures;
use crate::store_health::{StoreHealth, StoreUse};
use crate::unready::Unready;

/// What a server is built from.
pub struct Parts {
    /// The accounts.
    pub users: Arc<dyn UserRepository>,
    /// The sign-ins.
    pub sessions: Arc<dyn SessionRepository>,
    /// The messages.
    pub log: Arc<dyn EventLog>,
    /// Who hashes and checks passwords.
    pub passwords: Passwords,
    /// Who issues and checks tokens.
    pub tokens: Tokens,
}

pub(crate) struct App {
    pub(crate) parts: Parts,
    pub(crate) shards: Arc<Shards>,
    pub(crate) avatars: AvatarFolder,
    pub(crate) pictures: PictureQueue,
    pub(crate) origin: AllowedOrigin,
    pub(crate) sign_ins: SignInLimiter,
    pub(crate) sign_in_failures: SignInFailures,
    pub(crate) store_health: StoreHealth,
    pub(crate) metrics: Metrics,
    /// One for each connection that may speak HTTP.
    pub(crate) places: Arc<Semaphore>,
    /// One for each session whose use is being noted.
    pub(crate) seen_places: Arc<Semaphore>,
    /// Whether the store answers, for all who ask at the same time.
    pub(crate) store_answers: Fresh<Result<(), Unready>>,
    pub(crate) options: HttpOptions,
    /// Connections, upgrades, pictures, and what must be finished although its client
    /// hung up.
    pub(crate) tasks: TaskTracker,
    ready: AtomicBool,
}

impl App {
    pub(crate) fn new(
        parts: Parts,
        shards: Arc<Shards>,
        metrics: Metrics,
        avatars: AvatarFolder,
        options: HttpOptions,
    ) -> Self {
        let tasks = TaskTracker::new();
        Self {
            parts,
            shards,
            avatars,
            pictures: PictureQueue::new(&options, tasks.clone()),
            metrics,
            places: Arc::new(Semaphore::new(options.max_connections)),
            seen_places: Arc::new(Semaphore::new(SEEN_AT_ONCE_MAX)),
            store_answers: Fresh::new(STORE_ANSWER_FRESH),
            origin: AllowedOrigin::new(options.public_url.as_ref()),
            sign_ins: SignInLimiter::new(options.sign_in_limits.clone(), Instant::now()),
            sign_in_failures: SignInFailures::default(),
            store_health: StoreHealth::default(),
            options,
            tasks,
            ready: AtomicBool::new(true),
        }
    }

    /// Checks that the store can write, once for all that ask at the same time.
    ///
    /// # Errors
    ///
    /// [`Unready`], which is also noted in `store_health`.
    pub(crate) async fn check_store(&self) -> Result<(), Unready> {
        let check = async {
            let check = tokio::time::timeout(self.options.store_check_timeout, self.parts.log.check()).await;
            let now = Instant::now();
            match check {
                Ok(Ok(())) => {
                    self.store_health.answered(StoreUse::Requests, now);
                    Ok(())
                }
                Ok(Err(error)) => {
                    self.store_health.failed(StoreUse::Requests, &error, now);
                    Err(Unready::Store(Arc::new(error)))
                }
                Err(_) => {
                    self.store_health.timed_out(StoreUse::Requests, now);
                    Err(Unready::Silent)
                }
            }
        };
        self.store_answers.get(check).await
    }

    /// Whether new work is welcome: not while the server stops.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(crate) fn set_unready(&self) {
        self.ready.store(false, Ordering::Release);
    }
}

/// Who watches over the server asks every few seconds.
const STORE_ANSWER_FRESH: Duration = Duration::from_millis(500);
/// Sessions whose use is noted at one time: when everybody comes back at once,
/// messages must not wait behind that.
const SEEN_AT_ONCE_MAX: usize = 4;
