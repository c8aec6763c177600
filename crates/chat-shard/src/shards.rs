//! Shards: each is one thread that owns a set of sockets and one hub.
//!
//! All sockets of a user are on one shard, so that limits, private messages
//! and sign-out need nothing shared. Between shards there are only the log,
//! the [`Bus`] and each shard's [`SharedInbox`].

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use chat_core::{Seed, SessionId, Topic};
use chat_store::EventLog;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::arrival::{Arrival, RoomInUse};
use crate::bus::Bus;
use crate::log_writer::LogWriter;
use crate::metrics::Metrics;
use crate::open_sessions::OpenSessions;
use crate::options::{SHARDS_MAX, ShardOptions};
use crate::shard::ShardParts;
use crate::shared_inbox::{Control, Item, SharedInbox};
use crate::worker::spawn;

/// All shards of this process, as the HTTP side sees them.
pub struct Shards {
    inboxes: Vec<Arc<SharedInbox>>,
    /// Decides where a user's sockets go.
    placing: RandomState,
    /// The sessions of the sockets.
    sessions: Arc<OpenSessions>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Tasks on the shared runtime: the log's writer and pages being read.
    tasks: TaskTracker,
    /// A shard has ended by a panic.
    failed: CancellationToken,
    metrics: Metrics,
    /// The number of the log's lanes whose last batch failed.
    last_append_failed: Arc<AtomicUsize>,
}

impl Shards {
    /// Starts the threads. What waits (the log's writer, pages being read)
    /// runs on the current runtime.
    ///
    /// # Errors
    ///
    /// If the system gives no thread or event queue.
    pub fn start(options: ShardOptions, log: Arc<dyn EventLog>) -> std::io::Result<Self> {
        let metrics = Metrics::default();
        let count = options.shards.get().min(SHARDS_MAX);
        let options = Arc::new(options);
        let inboxes: Vec<_> =
            (0..count).map(|_| Arc::new(SharedInbox::new(options.inbox_max_bytes))).collect();
        let bus = Arc::new(Bus::new(inboxes.clone()));
        let (tasks, failed) = (TaskTracker::new(), CancellationToken::new());
        let (writer, writing) = LogWriter::new(
            Arc::clone(&log),
            Arc::clone(&bus),
            &options,
            metrics.appends.clone(),
            failed.clone(),
        );
        tasks.spawn(writing);
        let last_append_failed = writer.failing();
        let mut threads = Vec::with_capacity(count);
        for (index, inbox) in inboxes.iter().enumerate() {
            let parts = ShardParts {
                index,
                options: Arc::clone(&options),
                // Strangers choose names: they must not know which collide.
                seed: Seed(RandomState::new().hash_one(0), RandomState::new().hash_one(1)),
                inbox: Arc::clone(inbox),
                bus: Arc::clone(&bus),
                writer: writer.clone(),
                log: Arc::clone(&log),
                service: Handle::current(),
                tasks: tasks.clone(),
                metrics: metrics.of_shard(index),
                failed: failed.clone(),
            };
            parts.metrics.drafts_max.set(options.hub.hub_unanswered_max as u64);
            threads.push(spawn(parts)?);
        }
        Ok(Self {
            inboxes,
            placing: RandomState::new(),
            sessions: Arc::default(),
            threads: Mutex::new(threads),
            tasks,
            failed,
            metrics,
            last_append_failed,
        })
    }

    /// What an operator can watch of the shards and of the log's writer.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Hands a socket to the shard of its user.
    pub fn place(&self, arrival: Arrival) {
        let hash = self.placing.hash_one(&arrival.user);
        let index = hash as usize % self.inboxes.len();
        self.inboxes[index].push(Item::Other(Control::Arrival(arrival)));
    }

    /// The sessions of the sockets here, and of those on their way.
    pub fn open_sessions(&self) -> &Arc<OpenSessions> {
        &self.sessions
    }

    /// Closes the sockets of sessions on all shards (4001); resolves when
    /// nothing more will be written to them but the rest of a frame that is
    /// partly written, and the close frame. The store must know before that
    /// they have ended: who asks it from now on gets no socket.
    pub async fn revoke(&self, sessions: &[SessionId]) {
        let sessions: Arc<[SessionId]> = self.sessions.only_open(sessions).into();
        if !sessions.is_empty() {
            let item = || Item::Revoke(Arc::clone(&sessions));
            self.ask_all(|answer| [item(), Item::Other(Control::AnswerAfterTurn(answer))]).await;
        }
    }

    /// Tells all shards that a session goes on until then, in milliseconds since
    /// 1970. A socket that is still on its way is told when it is registered.
    pub fn renew(&self, session: &SessionId, good_until_ms: u64) {
        if self.sessions.renew(session, good_until_ms) {
            for inbox in &self.inboxes {
                inbox.push(Item::Renew(session.clone(), good_until_ms));
            }
        }
    }

    /// Tells all shards below which numbers the log keeps nothing any more.
    pub fn trimmed(&self, topics: Vec<(Topic, u64)>) {
        if !topics.is_empty() {
            let topics: Arc<[(Topic, u64)]> = topics.into();
            for inbox in &self.inboxes {
                inbox.push(Item::Trimmed(Arc::clone(&topics)));
            }
        }
    }

    /// The rooms in use on all shards, in no order.
    pub async fn rooms(&self) -> Vec<RoomInUse> {
        let mut rooms: Vec<RoomInUse> = {
            let rooms = self.ask_all(|answer| [Item::Other(Control::Rooms(answer))]).await;
            rooms.into_iter().flatten().collect()
        };
        // A user is on one shard only, so that the counts add up.
        rooms.sort_by(|one, other| one.name.cmp(&other.name));
        rooms.dedup_by(|next, kept| {
            let same = next.name == kept.name;
            if same {
                kept.online += next.online;
            }
            same
        });
        rooms
    }

    /// Whether the last batch of a lane of the log failed. It stays so until a batch of
    /// that lane is stored.
    pub fn last_append_failed(&self) -> bool {
        self.last_append_failed.load(Ordering::Relaxed) > 0
    }

    /// Resolves when a shard cannot go on: its users have no other, so that the
    /// process should end and start anew. The log is the truth.
    pub async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Lets all clients go, each in its slot; resolves when they are gone.
    pub async fn drain(&self) {
        self.ask_all(|answer| [Item::Drain, Item::Other(Control::AnswerWhenDrained(answer))]).await;
    }

    /// Ends the threads and tasks. What was not drained is cut off.
    pub async fn stop(&self) {
        for inbox in &self.inboxes {
            inbox.push(Item::Other(Control::Stop));
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a shard had ended by a panic");
                }
            }
        });
        if joined.await.is_err() {
            tracing::error!("the shards could not be waited for");
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Asks each shard and collects the answers of those that still run.
    async fn ask_all<T, const N: usize>(&self, items: impl Fn(oneshot::Sender<T>) -> [Item; N]) -> Vec<T> {
        let asked: Vec<_> = self
            .inboxes
            .iter()
            .map(|inbox| {
                let (answer, answered) = oneshot::channel();
                inbox.push_all(items(answer));
                answered
            })
            .collect();
        let mut answers = Vec::with_capacity(asked.len());
        for answered in asked {
            answers.extend(answered.await);
        }
        answers
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        for inbox in &self.inboxes {
            inbox.push(Item::Other(Control::Stop));
        }
    }
}
