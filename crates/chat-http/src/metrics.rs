//! Counters and gauges in the format of Prometheus.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use chat_store::{OutgoingCount, PushCount};
use hyper::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use crate::process_metrics::ProcessMetrics;

type Level = Gauge<u64, AtomicU64>;

/// The metrics of a server. Each part of the server has handles of its own, so that
/// counting is one atomic addition.
pub(crate) struct Metrics {
    logins: Family<Login, Counter>,
    limit_refusals: Family<Limit, Counter>,
    hash_queue: Level,
    hash_queue_max: Level,
    tls_handshakes: Family<Outcome, Counter>,
    http_connections: Level,
    http_connections_max: Level,
    trimmed: Counter,
    searches: Family<Search, Counter>,
    search_seconds: Histogram,
    search_indexed: Counter,
    search_damaged: Counter,
    search_left: Level,
    pushes: Family<Outcome, Counter>,
    push_subscriptions: Level,
    pushes_ready: Level,
    push_failing: Level,
    deliveries: Family<Outcome, Counter>,
    outgoing_webhooks: Level,
    outgoing_webhooks_off: Level,
    uploads: Family<Outcome, Counter>,
    uploaded_bytes: Counter,
    downloads: Counter,
    previews: Family<Outcome, Counter>,
    files: Level,
    file_bytes: Level,
    files_deleted: Counter,
    registrations_refused_by_disk: Counter,
    disk_free_bytes: Level,
    disk_free_min_bytes: Level,
    picture_queue: Level,
    http_responses: Family<Class, Counter>,
    http_seconds: Family<Place, Histogram, fn() -> Histogram>,
    store_up: Level,
    last_backup: Level,
    certificate_end: Level,
    registry: Registry,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Limit {
    limit: &'static str,
}

/// The class of the status of an answer, such as `4xx`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Class {
    class: &'static str,
}

/// The path of a route, such as `/api/rooms/{name}`, or `page`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Place {
    route: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Search {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Login {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl Metrics {
    /// Registers the metrics of this crate and those of the shards.
    pub(crate) fn new(shards: &chat_shard::Metrics) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessMetrics::starting_now()));
        let chat = registry.sub_registry_with_prefix("chat");
        shards.register(chat);
        let build = [("version", env!("CARGO_PKG_VERSION")), ("revision", REVISION)];
        chat.register("build", "The version of the server", Info::new(build.to_vec()));
        let metrics = Self {
            logins: new(chat, "logins", "Sign-ins, by outcome"),
            limit_refusals: new(
                chat,
                "limit_refusals",
                "What a limit refused, by its setting: requests, sign-ins, registrations, connections",
            ),
            hash_queue: new(chat, "hash_queue", "Passwords that wait to be hashed"),
            hash_queue_max: new(chat, "hash_queue_max", "How many may"),
            tls_handshakes: new(chat, "tls_handshakes", "Handshakes of TLS, by outcome"),
            http_connections: new(chat, "http_connections", "Connections that speak HTTP"),
            http_connections_max: new(chat, "http_connections_max", "How many may"),
            trimmed: new(chat, "trimmed", "Old messages that were removed"),
            searches: new(chat, "searches", "Searches, by outcome"),
            search_seconds: add(
                chat,
                "search_seconds",
                "How long searches took, with the wait for others",
                Histogram::new(SEARCH_SECONDS),
            ),
            search_indexed: new(
                chat,
                "search_indexed",
                "Messages that were indexed for the search, also again",
            ),
            search_damaged: new(
                chat,
                "search_damaged",
                "Times that the index of the search was damaged, and was deleted to be made anew",
            ),
            search_left: new(chat, "search_left", "About how many entries are not indexed yet"),
            pushes: new(chat, "pushes", "Attempts to notify browsers that show no page, by outcome"),
            push_subscriptions: new(
                chat,
                "push_subscriptions",
                "Browsers that are to be notified, at most a minute ago",
            ),
            pushes_ready: new(
                chat,
                "pushes_ready",
                "Browsers that waited for a free request to their push service, at most a minute ago",
            ),
            push_failing: new(
                chat,
                "push_failing",
                "Addresses of push services that failed or were slow, at most a minute ago",
            ),
            deliveries: new(
                chat,
                "webhook_deliveries",
                "Attempts to deliver messages to outgoing webhooks, by outcome",
            ),
            outgoing_webhooks: new(
                chat,
                "outgoing_webhooks",
                "Outgoing webhooks that get messages, at most a minute ago",
            ),
            outgoing_webhooks_off: new(
                chat,
                "outgoing_webhooks_off",
                "Outgoing webhooks that were switched off, at most a minute ago",
            ),
            uploads: new(chat, "uploads", "Uploads of files, by outcome"),
            uploaded_bytes: new(chat, "uploaded_bytes", "Bytes of stored uploads"),
            downloads: new(chat, "downloads", "Files and parts of files that were sent"),
            previews: new(chat, "previews", "Previews that were made, by outcome"),
            files: new(chat, "files", "Files, as of the last look for files to delete"),
            file_bytes: new(chat, "file_bytes", "Their bytes"),
            files_deleted: new(chat, "files_deleted", "Files that were deleted"),
            registrations_refused_by_disk: new(
                chat,
                "registrations_refused_by_disk",
                "Registrations that were refused because the disk is almost full",
            ),
            disk_free_bytes: new(chat, "disk_free_bytes", "Free bytes on the disk with the fewest"),
            disk_free_min_bytes: new(
                chat,
                "disk_free_min_bytes",
                "Free bytes below which uploads are refused; below half of it registrations, too",
            ),
            picture_queue: new(chat, "picture_queue", "Pictures that wait to be decoded"),
            http_responses: new(chat, "http_responses", "Answers, by the class of their status"),
            http_seconds: add(
                chat,
                "http_seconds",
                "How long answers took, up to their head, by route",
                Family::new_with_constructor(|| Histogram::new(HTTP_SECONDS)),
            ),
            store_up: new(chat, "store_up", "1 if the store works, 0 if not"),
            last_backup: new(
                chat,
                "last_backup_timestamp_seconds",
                "When the last backup was made, in Unix time; 0: never",
            ),
            certificate_end: new(
                chat,
                "tls_certificate_expires_timestamp_seconds",
                "When the certificate ends that new connections get, in Unix time; 0: there is none",
            ),
            registry,
        };
        // From 0 on, so that the first increase is one, too.
        for class in CLASSES {
            drop(metrics.http_responses.get_or_create(&Class { class }));
        }
        for limit in LIMITS {
            drop(metrics.limit_refusals.get_or_create(&Limit { limit }));
        }
        for outcome in ["accepted", "refused", "limited", "error", "banned"] {
            drop(metrics.logins.get_or_create(&Login { outcome }));
        }
        metrics
    }

    /// Counts an answer. `route` is the path of its row in the table of routes.
    pub(crate) fn answered(&self, route: &'static str, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len());
        self.http_responses.get_or_create(&Class { class: CLASSES[class - 1] }).inc();
        // A socket's time says nothing: it ends later.
        if status != StatusCode::SWITCHING_PROTOCOLS {
            self.http_seconds.get_or_create(&Place { route }).observe(took.as_secs_f64());
        }
    }

    /// Sets whether the store works, and when the last backup was made.
    pub(crate) fn store(&self, is_up: bool, last_backup_seconds: Option<u64>) {
        self.store_up.set(u64::from(is_up));
        self.last_backup.set(last_backup_seconds.unwrap_or_default());
    }

    /// Sets when the certificate of TLS ends, in seconds since 1970; 0: there is none.
    pub(crate) fn certificate(&self, end_seconds: u64) {
        self.certificate_end.set(end_seconds);
    }

    /// Counts an upload.
    pub(crate) fn upload(&self, outcome: &'static str) {
        self.uploads.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts the bytes of a stored upload.
    pub(crate) fn uploaded(&self, bytes: u64) {
        self.uploaded_bytes.inc_by(bytes);
    }

    /// Counts a file, or a part of one, that is sent.
    pub(crate) fn download(&self) {
        self.downloads.inc();
    }

    /// Counts a preview.
    pub(crate) fn preview(&self, outcome: &'static str) {
        self.previews.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts files that were deleted.
    pub(crate) fn files_deleted(&self, files: u64) {
        self.files_deleted.inc_by(files);
    }

    /// Sets how many files there are, and their bytes.
    pub(crate) fn files_usage(&self, files: u64, bytes: u64) {
        self.files.set(files);
        self.file_bytes.set(bytes);
    }

    /// Counts a registration that is refused because the disk is almost full.
    pub(crate) fn registration_refused_by_disk(&self) {
        self.registrations_refused_by_disk.inc();
    }

    /// Sets the gauges of the disk, and of the pictures that wait.
    pub(crate) fn disk_and_pictures(&self, free_bytes: u64, free_min_bytes: u64, pictures: usize) {
        self.disk_free_bytes.set(free_bytes);
        self.disk_free_min_bytes.set(free_min_bytes);
        self.picture_queue.set(pictures as u64);
    }

    /// Counts a sign-in.
    pub(crate) fn login(&self, outcome: &'static str) {
        self.logins.get_or_create(&Login { outcome }).inc();
    }

    /// Counts something that a limit refused. `limit` is the name of its setting.
    pub(crate) fn limit_refused(&self, limit: &'static str) {
        self.limit_refusals.get_or_create(&Limit { limit }).inc();
    }

    /// Counts a handshake of TLS.
    pub(crate) fn tls_handshake(&self, outcome: &'static str) {
        self.tls_handshakes.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a search, and how long it took.
    pub(crate) fn search(&self, outcome: &'static str, took: Duration) {
        self.searches.get_or_create(&Search { outcome }).inc();
        self.search_seconds.observe(took.as_secs_f64());
    }

    /// Counts messages that were indexed, and sets how many entries are left.
    pub(crate) fn indexed(&self, messages: u64, left: u64) {
        self.search_indexed.inc_by(messages);
        self.search_left.set(left);
    }

    /// Counts an attempt to notify a browser.
    pub(crate) fn pushed(&self, outcome: &'static str) {
        self.pushes.get_or_create(&Outcome { outcome }).inc();
    }

    /// Notes how many browsers are to be notified.
    pub(crate) fn push_subscriptions(&self, count: PushCount) {
        self.push_subscriptions.set(count.subscriptions);
        self.pushes_ready.set(count.ready);
        self.push_failing.set(count.failing);
    }

    /// Counts an attempt to deliver a message to an outgoing webhook.
    pub(crate) fn delivered(&self, outcome: &'static str) {
        self.deliveries.get_or_create(&Outcome { outcome }).inc();
    }

    /// Notes how many outgoing webhooks there are.
    pub(crate) fn outgoing_webhooks(&self, count: OutgoingCount) {
        self.outgoing_webhooks.set(count.on);
        self.outgoing_webhooks_off.set(count.off);
    }

    /// Counts a damaged index of the search.
    pub(crate) fn search_damaged(&self) {
        self.search_damaged.inc();
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

/// A new metric, registered.
fn new<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    add(registry, name, help, M::default())
}

/// Registers a metric.
fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// What the builder of a release calls its source.
const REVISION: &str = match option_env!("CHAT_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};
/// The classes of status.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Limits that refuse requests, sign-ins and connections, by their settings.
const LIMITS: [&str; 25] = [
    "accounts_max",
    "account_failures_max",
    "address_failures_max",
    "connections_per_address",
    "disk_free_min_bytes",
    "downloads_per_user",
    "file_max_bytes",
    "files_max_bytes",
    "hash_queue_max",
    "lists_per_minute",
    "max_connections",
    "message_rate",
    "network_failures_max",
    "network_sign_ins_max",
    "picture_queue_max",
    "registration_queue_max",
    "registrations_per_address",
    "registrations_per_hour",
    "reports_per_minute",
    "room_changes_per_minute",
    "searches_per_minute",
    "socket_opens_per_minute",
    "uploads_per_minute",
    "uploads_per_user",
    "user_files_max_bytes",
];
/// The upper bounds of the histograms of answers.
const HTTP_SECONDS: [f64; 8] = [0.002, 0.01, 0.05, 0.1, 0.5, 2.0, 10.0, 60.0];
/// The upper bounds of the histogram of searches.
const SEARCH_SECONDS: [f64; 8] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0];
