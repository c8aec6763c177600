//! Counters and gauges in the format of Prometheus.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Level = Gauge<u64, AtomicU64>;

/// The metrics of a server. Each part of the server has handles of its own, so that
/// counting is one atomic addition.
#[derive(Default)]
pub(crate) struct Metrics {
    registry: Registry,
    logins: Family<Login, Counter>,
    hash_queue: Level,
    hash_queue_max: Level,
    http_connections: Level,
    http_connections_max: Level,
    trimmed: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Login {
    outcome: &'static str,
}

impl Metrics {
    /// Registers the metrics of this crate and those of the shards.
    pub(crate) fn new(shards: &chat_shard::Metrics) -> Self {
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
        registry.register("trimmed", "Old messages that were removed", metrics.trimmed.clone());
        shards.register(registry);
        metrics
    }

    /// Counts a sign-in.
    pub(crate) fn login(&self, outcome: &'static str) {
        self.logins.get_or_create(&Login { outcome }).inc();
    }

    /// Counts messages that retention removed.
    pub(crate) fn trimmed(&self, entries: u64) {
        self.trimmed.inc_by(entries);
    }

    /// Sets the gauges of the queue of passwords and of the connections, each given as its
    /// level and its maximum, and writes all metrics in the OpenMetrics text format.
    pub(crate) fn text(&self, hashing: (usize, usize), http: (usize, usize)) -> String {
        self.hash_queue.set(hashing.0 as u64);
        self.hash_queue_max.set(hashing.1 as u64);
        self.http_connections.set(http.0 as u64);
        self.http_connections_max.set(http.1 as u64);
        let mut out = String::new();
        text::encode(&mut out, &self.registry).expect("a String takes everything");
        out
    }
}
