//! What an operator can watch: counts and gauges as Prometheus reads them.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

type Level = Gauge<u64, AtomicU64>;

/// All metrics of a server. Each part of it has its own handles, so that
/// counting is one atomic addition.
#[derive(Default)]
pub(crate) struct Metrics {
    registry: Registry,
    logins: Family<Login, Counter>,
    hash_queue: Level,
    hash_queue_max: Level,
    http_connections: Level,
    http_connections_max: Level,
    pub(crate) appends: AppendMetrics,
    trimmed: Counter,
    shards: ShardFamilies,
}

/// The log's writer.
#[derive(Clone)]
pub(crate) struct AppendMetrics {
    batch_entries: Histogram,
    seconds: Histogram,
    failures: Counter,
}

/// One shard.
#[derive(Clone)]
pub(crate) struct ShardMetrics {
    /// Sockets, those that are being closed included.
    pub(crate) connections: Level,
    /// Rooms in memory.
    pub(crate) rooms: Level,
    /// Drafts without a receipt, and how many there may be.
    pub(crate) drafts: Level,
    pub(crate) drafts_max: Level,
    /// Entries that came in from the log.
    pub(crate) entries: Counter,
    /// Frames put out, each counted for each recipient.
    pub(crate) deliveries: Counter,
    pub(crate) pages_read: Counter,
    pub(crate) slow_closes: Counter,
    /// Entries that did not fit into the inbox, and are read from the log.
    pub(crate) missed: Counter,
}

#[derive(Default)]
struct ShardFamilies {
    connections: Family<Shard, Level>,
    rooms: Family<Shard, Level>,
    drafts: Family<Shard, Level>,
    drafts_max: Family<Shard, Level>,
    entries: Family<Shard, Counter>,
    deliveries: Family<Shard, Counter>,
    pages_read: Family<Shard, Counter>,
    slow_closes: Family<Shard, Counter>,
    missed: Family<Shard, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Shard {
    shard: u32,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Login {
    outcome: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self::default();
        let registry = metrics.registry.sub_registry_with_prefix("chat");
        registry.register("logins", "Sign-ins, by outcome", metrics.logins.clone());
        registry.register("hash_queue", "Passwords that wait to be hashed", metrics.hash_queue.clone());
        registry.register("hash_queue_max", "How many may", metrics.hash_queue_max.clone());
        registry.register(
            "http_connections",
            "Connections that speak HTTP",
            metrics.http_connections.clone(),
        );
        registry.register("http_connections_max", "How many may", metrics.http_connections_max.clone());
        let appends = &metrics.appends;
        registry.register("append_batch_entries", "Messages of a batch", appends.batch_entries.clone());
        registry.register_with_unit("append", "A batch's commit", Unit::Seconds, appends.seconds.clone());
        registry.register("append_failures", "Batches that were not stored", appends.failures.clone());
        registry.register("trimmed", "Old messages that were removed", metrics.trimmed.clone());
        let shards = &metrics.shards;
        registry.register("connections", "WebSockets", shards.connections.clone());
        registry.register("rooms", "Rooms in memory", shards.rooms.clone());
        registry.register("drafts", "Messages that wait to be stored", shards.drafts.clone());
        registry.register("drafts_max", "How many may", shards.drafts_max.clone());
        registry.register("entries", "Stored messages that came in", shards.entries.clone());
        registry.register("deliveries", "Frames put out, for each recipient", shards.deliveries.clone());
        registry.register("pages_read", "Pages asked of the log", shards.pages_read.clone());
        registry.register(
            "slow_closes",
            "Clients closed because they read too slowly",
            shards.slow_closes.clone(),
        );
        registry.register("missed", "Entries that did not fit into an inbox", shards.missed.clone());
        metrics
    }

    /// Somebody signed in, or tried to.
    pub(crate) fn login(&self, outcome: &'static str) {
        self.logins.get_or_create(&Login { outcome }).inc();
    }

    /// Old messages were removed.
    pub(crate) fn trimmed(&self, entries: u64) {
        self.trimmed.inc_by(entries);
    }

    /// Notes levels that are known only when asked for, then writes everything
    /// in the OpenMetrics text format.
    pub(crate) fn text(&self, hashing: (usize, usize), http: (usize, usize)) -> String {
        self.hash_queue.set(hashing.0 as u64);
        self.hash_queue_max.set(hashing.1 as u64);
        self.http_connections.set(http.0 as u64);
        self.http_connections_max.set(http.1 as u64);
        let mut out = String::new();
        text::encode(&mut out, &self.registry).expect("a String takes everything");
        out
    }

    /// The handles of one shard.
    pub(crate) fn of_shard(&self, index: usize) -> ShardMetrics {
        let shard = Shard { shard: u32::try_from(index).expect("there are at most 64") };
        let shards = &self.shards;
        ShardMetrics {
            connections: shards.connections.get_or_create(&shard).clone(),
            rooms: shards.rooms.get_or_create(&shard).clone(),
            drafts: shards.drafts.get_or_create(&shard).clone(),
            drafts_max: shards.drafts_max.get_or_create(&shard).clone(),
            entries: shards.entries.get_or_create(&shard).clone(),
            deliveries: shards.deliveries.get_or_create(&shard).clone(),
            pages_read: shards.pages_read.get_or_create(&shard).clone(),
            slow_closes: shards.slow_closes.get_or_create(&shard).clone(),
            missed: shards.missed.get_or_create(&shard).clone(),
        }
    }
}

impl AppendMetrics {
    /// A batch was stored.
    pub(crate) fn stored(&self, entries: usize, took: Duration) {
        self.batch_entries.observe(entries as f64);
        self.seconds.observe(took.as_secs_f64());
    }

    /// A batch was not.
    pub(crate) fn failed(&self) {
        self.failures.inc();
    }
}

impl Default for AppendMetrics {
    fn default() -> Self {
        Self {
            batch_entries: Histogram::new(exponential_buckets(1.0, 4.0, 7)),
            // From a tenth of a millisecond to six seconds.
            seconds: Histogram::new(exponential_buckets(0.0001, 3.0, 11)),
            failures: Counter::default(),
        }
    }
}
