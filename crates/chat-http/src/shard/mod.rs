//! Shards: each is one thread that owns a set of sockets and one hub.
//!
//! All sockets of a user are on one shard, so that limits, private messages
//! and sign-out need nothing shared. Between shards there are only the log,
//! the [`Bus`] and each shard's [`Inbox`].

mod bus;
mod inbox;
mod log_writer;
mod open_sessions;
mod outbox;
mod socket;
mod turn;
mod worker;
mod ws;

use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use chat_core::{HubOptions, Protocol, RoomName, Seed, SessionId, Topic, Username};
use chat_store::EventLog;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::bus::Bus;
use self::inbox::{Inbox, Item};
use self::log_writer::LogWriter;
pub(crate) use self::open_sessions::{OpenSessions, SessionUse};
use self::worker::Worker;
use crate::metrics::Metrics;

/// All shards of this process, as the HTTP side sees them.
pub(crate) struct Shards {
    inboxes: Vec<Arc<Inbox>>,
    /// Decides where a user's sockets go.
    placing: RandomState,
    /// The sessions of the sockets.
    sessions: Arc<OpenSessions>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Tasks on the shared runtime: the log's writer and pages being read.
    tasks: TaskTracker,
    /// A shard has ended by a panic.
    failed: CancellationToken,
}

/// A socket after its upgrade was answered with 101, on its way to its shard.
pub(crate) struct Arrival {
    /// Non-blocking.
    pub(crate) stream: TcpStream,
    /// What the client sent behind its request.
    pub(crate) read: Vec<u8>,
    pub(crate) user: Username,
    pub(crate) session: Option<SessionUse>,
    /// Until when the session, or else the token, is good, in milliseconds since
    /// 1970; what became known of the session since counts as well.
    pub(crate) good_until_ms: u64,
    /// What the client speaks.
    pub(crate) protocol: Protocol,
}

/// A room that somebody is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoomInUse {
    pub(crate) name: RoomName,
    /// How many users, each counted once.
    pub(crate) online: usize,
}

/// Everything about sockets that can be set. The defaults suit a small server.
#[derive(Debug, Clone)]
pub struct ShardOptions {
    /// Threads that own sockets, 1 to [`SHARDS_MAX`]. As many as there are
    /// processors is best.
    pub shards: NonZeroUsize,
    /// The rules of the protocol.
    pub hub: HubOptions,
    /// Bytes of one message from a client; a longer one closes its connection (1009).
    pub message_max_bytes: usize,
    /// Frames of one message from a client; more close its connection (1009).
    pub fragments_max: u32,
    /// Bytes kept for a client that reads too slowly; past it, it is closed (1013).
    pub outbox_max_bytes: usize,
    /// Bytes of messages kept from a client that is slowed down, before its
    /// socket is no longer read.
    pub held_max_bytes: usize,
    /// A client that does not end a closed connection itself is cut off after this;
    /// up to two seconds later, as clocks are looked at once a second.
    pub close_timeout: Duration,
    /// How often a client is pinged.
    pub ping_interval: Duration,
    /// A client from which no byte came for this long is dropped.
    pub idle_timeout: Duration,
    /// Bytes of entries that may wait for a shard; past it they are read from
    /// the log instead.
    pub inbox_max_bytes: usize,
    /// Messages from which on no more are added to a transaction.
    pub batch_max: usize,
    /// Messages that may wait for the log beyond what the hubs' credits allow
    /// at one time: while a log hangs, hubs give up and try again.
    pub append_queue_max: usize,
    /// How long a page may take to be read.
    pub read_timeout: Duration,
}

/// A commit notes the shards that it concerns in the bits of a word.
pub const SHARDS_MAX: usize = 64;

impl Default for ShardOptions {
    fn default() -> Self {
        Self {
            shards: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            hub: HubOptions::default(),
            message_max_bytes: 64 * 1024,
            fragments_max: 1_000,
            outbox_max_bytes: 256 * 1024,
            held_max_bytes: 64 * 1024,
            close_timeout: Duration::from_secs(8),
            ping_interval: Duration::from_secs(45),
            idle_timeout: Duration::from_secs(120),
            inbox_max_bytes: 8 * 1024 * 1024,
            batch_max: 4_096,
            append_queue_max: 65_536,
            read_timeout: Duration::from_secs(4),
        }
    }
}

impl Shards {
    /// Starts the threads. What waits (the log's writer, pages being read)
    /// runs on the current runtime.
    ///
    /// # Errors
    ///
    /// If the system gives no thread or event queue.
    pub(crate) fn start(
        options: ShardOptions,
        log: Arc<dyn EventLog>,
        metrics: &Metrics,
    ) -> std::io::Result<Self> {
        let count = options.shards.get().min(SHARDS_MAX);
        let options = Arc::new(options);
        let inboxes: Vec<_> = (0..count).map(|_| Arc::new(Inbox::new(options.inbox_max_bytes))).collect();
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
        let mut threads = Vec::with_capacity(count);
        for (index, inbox) in inboxes.iter().enumerate() {
            let worker = Worker {
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
            worker.metrics.drafts_max.set(options.hub.hub_unanswered_max as u64);
            threads.push(worker.spawn()?);
        }
        Ok(Self {
            inboxes,
            placing: RandomState::new(),
            sessions: Arc::default(),
            threads: Mutex::new(threads),
            tasks,
            failed,
        })
    }

    /// Hands a socket to the shard of its user.
    pub(crate) fn place(&self, arrival: Arrival) {
        let hash = self.placing.hash_one(&arrival.user);
        let index = hash as usize % self.inboxes.len();
        self.inboxes[index].push(Item::Arrival(arrival));
    }

    /// The sessions of the sockets here, and of those on their way.
    pub(crate) fn open_sessions(&self) -> &Arc<OpenSessions> {
        &self.sessions
    }

    /// Closes the sockets of sessions on all shards (4001); resolves when
    /// nothing more will be written to them but the rest of a frame that is
    /// partly written, and the close frame. The store must know before that
    /// they have ended: who asks it from now on gets no socket.
    pub(crate) async fn revoke(&self, sessions: &[SessionId]) {
        let sessions: Arc<[SessionId]> = self.sessions.only_open(sessions).into();
        if !sessions.is_empty() {
            self.ask_all(|done| Item::Revoke(Arc::clone(&sessions), done)).await;
        }
    }

    /// Tells all shards that a session goes on until then, in milliseconds since
    /// 1970. A socket that is still on its way is told when it is registered.
    pub(crate) fn renew(&self, session: &SessionId, good_until_ms: u64) {
        if self.sessions.renew(session, good_until_ms) {
            for inbox in &self.inboxes {
                inbox.push(Item::Renew(session.clone(), good_until_ms));
            }
        }
    }

    /// Tells all shards below which numbers the log keeps nothing any more.
    pub(crate) fn trimmed(&self, topics: Vec<(Topic, u64)>) {
        if !topics.is_empty() {
            let topics: Arc<[(Topic, u64)]> = topics.into();
            for inbox in &self.inboxes {
                inbox.push(Item::Trimmed(Arc::clone(&topics)));
            }
        }
    }

    /// The rooms in use on all shards, in no order.
    pub(crate) async fn rooms(&self) -> Vec<RoomInUse> {
        let mut rooms: Vec<RoomInUse> = self.ask_all(Item::Rooms).await.into_iter().flatten().collect();
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

    /// Resolves when a shard cannot go on: its users have no other, so that the
    /// process should end and start anew. The log is the truth.
    pub(crate) async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Lets all clients go, each in its slot; resolves when they are gone.
    pub(crate) async fn drain(&self) {
        self.ask_all(Item::Drain).await;
    }

    /// Ends the threads and tasks. What was not drained is cut off.
    pub(crate) async fn stop(&self) {
        for inbox in &self.inboxes {
            inbox.push(Item::Stop);
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
    async fn ask_all<T>(&self, item: impl Fn(oneshot::Sender<T>) -> Item) -> Vec<T> {
        let asked: Vec<_> = self
            .inboxes
            .iter()
            .map(|inbox| {
                let (answer, answered) = oneshot::channel();
                inbox.push(item(answer));
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
            inbox.push(Item::Stop);
        }
    }
}
