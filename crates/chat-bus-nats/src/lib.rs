//! [NATS](https://nats.io) as the [bus](chat_cluster::Bus) between several chat servers on one
//! database: core NATS, without JetStream, as nothing on the bus has to be kept.
//!
//! The bus makes servers fast, and never decides anything: what it loses is in the feed. So this
//! crate prefers to drop a message rather than to wait. A [`NatsBus`] has a bounded queue of its own
//! in front of the client, which would make its caller wait; while there is no connection, it drops
//! at once; and it tells its sink of each change of the connection and of each loss that it knows of,
//! so that the server reads the feed.
//!
//! It knows no message: what it carries is [encoded and signed](chat_cluster::encode) before, and
//! [decoded](chat_cluster::decode) behind it, where forged messages are refused.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use chat_bus_nats::{NatsBus, NatsBusOptions, NatsUrl};
//! use chat_cluster::{Bus as _, BusEvent, Incarnation, Key, Message, encode};
//!
//! let url = NatsUrl::parse("nats://nats.example:4222")?;
//! let key = Key::new(b"a secret that the servers share", "epoch-1");
//! let sink = |event: BusEvent| println!("{event:?}");
//! let bus = NatsBus::start(&url, "epoch-1", NatsBusOptions::default(), sink).await?;
//!
//! let [own, other] = [1, 2].map(|number| Incarnation::new(number).expect("a small number"));
//! let question = Message::AskSnapshot { from: own, to: other };
//! bus.publish(question.channel(), encode(&question, &key).into());
//! bus.stop().await;
//! # Ok(())
//! # }
//! ```

mod queue;
mod subjects;
mod url;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, Subscriber};
use bytes::Bytes;
use chat_cluster::{Bus, BusCounts, BusEvent, Channel};
use futures_util::StreamExt as _;
use futures_util::stream::select_all;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::queue::Queue;
use crate::subjects::Subjects;
pub use crate::url::{NatsUrl, NatsUrlError};

/// A connection to NATS, which is made again whenever it is lost.
pub struct NatsBus {
    client: Client,
    shared: Arc<Shared>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

/// The limits of a [`NatsBus`].
#[derive(Debug, Clone)]
pub struct NatsBusOptions {
    /// Messages that may wait to be published.
    pub queue_max_messages: usize,
    /// Bytes of those messages.
    pub queue_max_bytes: usize,
    /// Messages that may wait for the sink, of each of three subscriptions; further ones are dropped.
    pub inbox_max_messages: usize,
    /// The time between two pings. A connection without an answer to two of them is lost.
    pub ping_interval: Duration,
    /// The longest pause between two attempts to connect.
    pub reconnect_pause_max: Duration,
}

impl Default for NatsBusOptions {
    /// 4,096 messages of at most 16 MiB to be published: some 100 ms of a busy server. A ping each
    /// 2 s, as the servers poll faster when they have not heard each other for as long. Attempts to
    /// connect each second, of which a NATS server that comes back notices little.
    fn default() -> Self {
        Self {
            queue_max_messages: 4_096,
            queue_max_bytes: 16 * 1024 * 1024,
            inbox_max_messages: 1_024,
            ping_interval: Duration::from_secs(2),
            reconnect_pause_max: Duration::from_secs(1),
        }
    }
}

/// Why a [`NatsBus`] cannot be started. That NATS does not answer is no such reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NatsBusError {
    /// The epoch cannot be a part of a subject.
    #[error("the epoch {epoch:?} cannot be part of a subject of NATS")]
    Epoch {
        /// The epoch.
        epoch: String,
    },
    /// The client could not be set up, for example because no certificates can be read.
    #[error("the client of NATS cannot be started: {reason}")]
    Client {
        /// The error, as the client of NATS words it.
        reason: String,
    },
}

/// What the tasks of a bus share.
struct Shared {
    queue: Queue,
    sink: Box<dyn Fn(BusEvent) + Send + Sync>,
    published: AtomicU64,
    dropped: AtomicU64,
    received: AtomicU64,
    missed: AtomicU64,
    connections: AtomicU64,
}

impl NatsBus {
    /// Starts to connect, and returns before there is a connection: a server works without the bus,
    /// and must start without it.
    ///
    /// The sink is called by tasks of the runtime, and must return quickly. It gets no message that
    /// this bus has published. It is told [`BusEvent::Up`] for the first connection, too.
    ///
    /// # Errors
    ///
    /// [`NatsBusError`].
    pub async fn start(
        url: &NatsUrl,
        epoch: &str,
        options: NatsBusOptions,
        sink: impl Fn(BusEvent) + Send + Sync + 'static,
    ) -> Result<Self, NatsBusError> {
        let subjects = Subjects::new(epoch)?;
        let shared = Arc::new(Shared {
            queue: Queue::new(options.queue_max_messages, options.queue_max_bytes),
            sink: Box::new(sink),
            published: AtomicU64::default(),
            dropped: AtomicU64::default(),
            received: AtomicU64::default(),
            missed: AtomicU64::default(),
            connections: AtomicU64::default(),
        });
        let failed = |error: &dyn std::error::Error| NatsBusError::Client { reason: error.to_string() };
        let client = connect(url, &options, &shared).await.map_err(|error| failed(&error))?;
        let mut subscriptions = Vec::new();
        for subject in subjects.wildcards() {
            subscriptions.push(client.subscribe(subject).await.map_err(|error| failed(&error))?);
        }
        let stopping = CancellationToken::new();
        let write = write(client.clone(), Arc::clone(&shared), subjects);
        let tasks = TaskTracker::new();
        tasks.spawn(until(stopping.clone(), write));
        tasks.spawn(until(stopping.clone(), read(subscriptions, Arc::clone(&shared))));
        Ok(Self { client, shared, stopping, tasks })
    }

    /// Ends the connection. What was not published yet is dropped.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Bus for NatsBus {
    fn publish(&self, to: Channel, message: Bytes) {
        let dropped = match self.is_up() {
            true => self.shared.queue.push(to, message),
            // The client would publish it when it is connected again: late, and of no use.
            false => 1,
        };
        self.shared.dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    fn counts(&self) -> BusCounts {
        let Shared { published, dropped, received, missed, connections, .. } = &*self.shared;
        BusCounts {
            published: published.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
            received: received.load(Ordering::Relaxed),
            missed: missed.load(Ordering::Relaxed),
            connections: connections.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    fn note(&self, event: Event) {
        match event {
            Event::Connected => {
                self.connections.fetch_add(1, Ordering::Relaxed);
                tracing::info!("connected to NATS");
                (self.sink)(BusEvent::Up);
            }
            Event::Disconnected | Event::Closed => {
                self.dropped.fetch_add(self.queue.clear(), Ordering::Relaxed);
                tracing::warn!("the connection to NATS was lost: commits of others come from the database");
                (self.sink)(BusEvent::Down);
            }
            Event::SlowConsumer(_) => {
                if self.missed.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::warn!("messages of NATS were dropped, as this server was too slow");
                }
                (self.sink)(BusEvent::Missed);
            }
            event => tracing::debug!(%event, "NATS"),
        }
    }
}

async fn connect(
    url: &NatsUrl,
    options: &NatsBusOptions,
    shared: &Arc<Shared>,
) -> Result<Client, async_nats::ConnectError> {
    let shared = Arc::clone(shared);
    let pause_max = options.reconnect_pause_max;
    ConnectOptions::new()
        .name("lanechat")
        // Nobody needs to hear what it has said itself.
        .no_echo()
        .ping_interval(options.ping_interval)
        .subscription_capacity(options.inbox_max_messages)
        .client_capacity(CLIENT_QUEUE_MESSAGES)
        .connection_timeout(CONNECT_TIMEOUT)
        .reconnect_delay_callback(move |attempts| {
            // Its first attempts follow each other at once.
            let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
            FIRST_PAUSE.saturating_mul(attempts).min(pause_max)
        })
        .retry_on_initial_connect()
        .event_callback(move |event| {
            let shared = Arc::clone(&shared);
            async move { shared.note(event) }
        })
        .connect(url.addresses())
        .await
}

/// Publishes what is in the queue. Never resolves.
async fn write(client: Client, shared: Arc<Shared>, subjects: Subjects) {
    loop {
        let (to, message) = shared.queue.next().await;
        let counted = match client.publish(subjects.of(to), message).await {
            Ok(()) => &shared.published,
            // Larger than what NATS takes.
            Err(error) => {
                tracing::debug!(%error, "a message was not published");
                &shared.dropped
            }
        };
        counted.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gives the sink what others publish, until the client ends.
async fn read(subscriptions: Vec<Subscriber>, shared: Arc<Shared>) {
    let mut messages = select_all(subscriptions);
    while let Some(message) = messages.next().await {
        shared.received.fetch_add(1, Ordering::Relaxed);
        (shared.sink)(BusEvent::Message(message.payload));
    }
}

async fn until(stopping: CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        () = stopping.cancelled() => {}
        () = task => {}
    }
}

/// Messages that the client may have before it makes its caller wait: few, as the queue in front of
/// it can drop, and this one cannot.
const CLIENT_QUEUE_MESSAGES: usize = 64;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
