//! The metrics of the shards and of the log's writer.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use chat_cluster::BusCounts;
use chat_core::{CloseCode, Commit, Refusals};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

type Level = Gauge<u64, AtomicU64>;

/// The metrics of all shards and of the log's writer. Each shard has its own handles,
/// so that counting is one atomic addition.
#[derive(Clone, Default)]
pub struct Metrics {
    pub(crate) appends: AppendMetrics,
    pub(crate) marks: MarkMetrics,
    pub(crate) cluster: ClusterMetrics,
    shards: Families,
}

/// The metrics of the log's writer.
#[derive(Clone)]
pub(crate) struct AppendMetrics {
    batch_entries: Histogram,
    seconds: Histogram,
    /// Entries stored, each once.
    pub(crate) entries: Counter,
    /// Batches that were not stored.
    pub(crate) failures: Counter,
    /// Drafts that never came into a batch.
    pub(crate) refusals: Counter,
    /// Changes of rooms that were made.
    pub(crate) changes: Counter,
    /// Attempts to make a change that failed.
    pub(crate) change_failures: Counter,
}

/// The metrics of the writer of marks.
#[derive(Clone, Default)]
pub(crate) struct MarkMetrics {
    /// Marks stored.
    pub(crate) kept: Counter,
    /// Writes that failed.
    pub(crate) failures: Counter,
    /// Marks that were never stored.
    pub(crate) dropped: Counter,
}

/// The metrics of what several servers on one database tell each other.
#[derive(Clone, Default)]
pub(crate) struct ClusterMetrics {
    /// Other servers that live by their rows in the database.
    pub(crate) other_servers: Level,
    /// Reads of the feed.
    pub(crate) feed_reads: Counter,
    /// Reads of the feed that failed.
    pub(crate) feed_read_failures: Counter,
    /// Parts of commits that wait for others.
    pub(crate) feed_waiting: Level,
    /// Whether there is a connection to the bus: 0 or 1.
    pub(crate) bus_up: Level,
    bus_published: Counter,
    bus_dropped: Counter,
    bus_received: Counter,
    bus_missed: Counter,
    bus_connections: Counter,
    /// Messages on the bus that no server of this cluster has signed.
    pub(crate) bus_refused: Counter,
}

/// The metrics of one shard.
#[derive(Clone)]
pub(crate) struct ShardMetrics {
    /// Sockets, also those that are being closed.
    pub(crate) connections: Level,
    /// Rooms in memory.
    pub(crate) rooms: Level,
    /// Drafts without a receipt.
    pub(crate) drafts: Level,
    /// The most drafts that may be without a receipt.
    pub(crate) drafts_max: Level,
    /// Frames put out, each counted once for each recipient.
    pub(crate) deliveries: Counter,
    pub(crate) pages_read: Counter,
    pub(crate) slow_closes: Counter,
    /// Entries that did not fit into the shard's inbox.
    pub(crate) missed: Counter,
    refusals: RefusalCounters,
    closes: Family<Reason, Counter>,
}

/// The refusals of one hub, as far as they were counted.
#[derive(Clone, Default)]
struct RefusalCounters {
    frames: Family<Reason, Counter>,
    limits: Family<Limit, Counter>,
    counted: Refusals,
}

#[derive(Clone, Default)]
struct Families {
    connections: Family<Shard, Level>,
    rooms: Family<Shard, Level>,
    drafts: Family<Shard, Level>,
    drafts_max: Family<Shard, Level>,
    deliveries: Family<Shard, Counter>,
    pages_read: Family<Shard, Counter>,
    slow_closes: Family<Shard, Counter>,
    missed: Family<Shard, Counter>,
    refusals: RefusalCounters,
    closes: Family<Reason, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Shard {
    shard: u32,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Limit {
    limit: &'static str,
}

impl Metrics {
    /// Registers all metrics, without a prefix: that is the caller's, such as `chat`.
    pub fn register(&self, registry: &mut Registry) {
        let appends = &self.appends;
        registry.register("append_batch_entries", "Messages in a batch", appends.batch_entries.clone());
        registry.register_with_unit(
            "append",
            "Duration of the commit of a batch",
            Unit::Seconds,
            appends.seconds.clone(),
        );
        registry.register("append_failures", "Batches that were not stored", appends.failures.clone());
        registry.register(
            "append_refusals",
            "Messages that were refused before they came into a batch",
            appends.refusals.clone(),
        );
        registry.register("entries", "Stored messages", appends.entries.clone());
        registry.register(
            "room_changes",
            "Changes of rooms and of their members, but for those by a message",
            appends.changes.clone(),
        );
        registry.register(
            "room_change_failures",
            "Attempts to change a room that failed and are repeated",
            appends.change_failures.clone(),
        );
        let marks = &self.marks;
        registry.register("marks", "Stored marks of what users have read", marks.kept.clone());
        registry.register("mark_failures", "Writes of marks that failed", marks.failures.clone());
        registry.register(
            "marks_dropped",
            "Marks that were dropped because the store took none",
            marks.dropped.clone(),
        );
        self.cluster.register(registry);
        let shards = &self.shards;
        registry.register("connections", "WebSockets", shards.connections.clone());
        registry.register("rooms", "Rooms in memory", shards.rooms.clone());
        registry.register("drafts", "Messages that wait to be stored", shards.drafts.clone());
        registry.register("drafts_max", "How many messages may wait to be stored", shards.drafts_max.clone());
        registry.register(
            "deliveries",
            "Frames sent, each counted for each recipient",
            shards.deliveries.clone(),
        );
        registry.register("pages_read", "Pages read from the log", shards.pages_read.clone());
        registry.register(
            "slow_closes",
            "Clients closed because they read too slowly",
            shards.slow_closes.clone(),
        );
        registry.register(
            "missed",
            "Entries that a shard reads from the log because they did not fit into its inbox",
            shards.missed.clone(),
        );
        registry.register(
            "frames_refused",
            "Frames of clients that were refused, by the code of the error",
            shards.refusals.frames.clone(),
        );
        registry.register(
            "client_limits",
            "Times that a limit on one client or its user acted: a client waits, or is closed",
            shards.refusals.limits.clone(),
        );
        registry.register("closes", "Clients that were closed, by reason", shards.closes.clone());
    }

    /// The metrics of the shard with this index.
    pub(crate) fn of_shard(&self, index: usize) -> ShardMetrics {
        let shard = Shard { shard: u32::try_from(index).expect("there are at most 64") };
        let shards = &self.shards;
        // From 0 on, so that the first increase is one, too.
        let RefusalCounters { frames, limits, counted } = &shards.refusals;
        for (reason, _) in counted.frames() {
            drop(frames.get_or_create(&Reason { reason }));
        }
        for (limit, _) in counted.limits() {
            drop(limits.get_or_create(&Limit { limit }));
        }
        ShardMetrics {
            connections: shards.connections.get_or_create(&shard).clone(),
            rooms: shards.rooms.get_or_create(&shard).clone(),
            drafts: shards.drafts.get_or_create(&shard).clone(),
            drafts_max: shards.drafts_max.get_or_create(&shard).clone(),
            deliveries: shards.deliveries.get_or_create(&shard).clone(),
            pages_read: shards.pages_read.get_or_create(&shard).clone(),
            slow_closes: shards.slow_closes.get_or_create(&shard).clone(),
            missed: shards.missed.get_or_create(&shard).clone(),
            refusals: shards.refusals.clone(),
            closes: shards.closes.clone(),
        }
    }
}

impl ClusterMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "other_servers",
            "Other servers on the same database that live",
            self.other_servers.clone(),
        );
        registry.register(
            "feed_reads",
            "Reads of what other servers have stored, from the database",
            self.feed_reads.clone(),
        );
        registry.register(
            "feed_read_failures",
            "Reads of the feed that failed",
            self.feed_read_failures.clone(),
        );
        registry.register(
            "feed_waiting",
            "Commits of other servers that wait for earlier ones, each counted for each of its topics",
            self.feed_waiting.clone(),
        );
        registry.register("bus_up", "Whether there is a connection to the bus", self.bus_up.clone());
        registry.register("bus_published", "Messages that the bus was given", self.bus_published.clone());
        registry.register(
            "bus_dropped",
            "Messages that the bus did not take: there was no connection, or too many waited",
            self.bus_dropped.clone(),
        );
        registry.register("bus_received", "Messages that came over the bus", self.bus_received.clone());
        registry.register(
            "bus_missed",
            "Times that messages of the bus were lost because this server was too slow",
            self.bus_missed.clone(),
        );
        registry.register("bus_connections", "Connections to the bus", self.bus_connections.clone());
        registry.register(
            "bus_refused",
            "Messages on the bus that no server of this database has signed",
            self.bus_refused.clone(),
        );
    }

    /// Counts what the bus has done. One task calls this.
    pub(crate) fn count_bus(&self, counts: &BusCounts) {
        let BusCounts { published, dropped, received, missed, connections } = *counts;
        for (counter, now) in [
            (&self.bus_published, published),
            (&self.bus_dropped, dropped),
            (&self.bus_received, received),
            (&self.bus_missed, missed),
            (&self.bus_connections, connections),
        ] {
            counter.inc_by(now.saturating_sub(counter.get()));
        }
    }
}

impl ShardMetrics {
    /// Counts what a hub has refused since the last call.
    pub(crate) fn refused(&mut self, refusals: &Refusals) {
        let RefusalCounters { frames, limits, counted } = &mut self.refusals;
        if counted == refusals {
            return;
        }
        for ((reason, now), (_, before)) in refusals.frames().zip(counted.frames()) {
            frames.get_or_create(&Reason { reason }).inc_by(now - before);
        }
        for ((limit, now), (_, before)) in refusals.limits().zip(counted.limits()) {
            limits.get_or_create(&Limit { limit }).inc_by(now - before);
        }
        counted.clone_from(refusals);
    }

    /// Counts a client that sends frames faster than the shard looks at them.
    pub(crate) fn slowed(&self) {
        self.refusals.limits.get_or_create(&Limit { limit: FRAME_RATE }).inc();
    }

    /// Counts a client that is closed by the hub.
    pub(crate) fn closed(&self, code: CloseCode) {
        let reason = if code == CloseCode::Normal { "normal" } else { code.reason() };
        self.closes.get_or_create(&Reason { reason }).inc();
    }
}

/// The name of [`HubOptions::frame_rate`](chat_core::HubOptions::frame_rate) among
/// [`Refusals::limits`]: the hub counts texts, and the shard frames of all kinds.
const FRAME_RATE: &str = "frame_rate";

impl AppendMetrics {
    /// Counts a batch that was stored.
    pub(crate) fn stored(&self, commit: &Commit, took: Duration) {
        self.entries.inc_by(commit.entries.len() as u64);
        self.batch_entries.observe(commit.receipts.len() as f64);
        self.seconds.observe(took.as_secs_f64());
    }
}

impl Default for AppendMetrics {
    fn default() -> Self {
        Self {
            batch_entries: Histogram::new(exponential_buckets(1.0, 4.0, 7)),
            // From a tenth of a millisecond to six seconds.
            seconds: Histogram::new(exponential_buckets(0.0001, 3.0, 11)),
            entries: Counter::default(),
            failures: Counter::default(),
            refusals: Counter::default(),
            changes: Counter::default(),
            change_failures: Counter::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hub_has_a_limit_of_that_name() {
        assert!(Refusals::default().limits().any(|(limit, _)| limit == FRAME_RATE));
    }
}
