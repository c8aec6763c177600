//! Connections to a Postgres database.

use std::time::Duration;

use chat_cluster::Incarnation;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions};

use super::PostgresOptions;
use super::failure::Failure;
use crate::PostgresUrl;

/// The address of a database, and the settings of each connection to it.
#[derive(Clone)]
pub(super) struct Database {
    options: PgConnectOptions,
    connect_timeout: Duration,
}

impl Database {
    pub(super) fn new(url: &PostgresUrl, limits: &PostgresOptions) -> Self {
        let mut options = url.options().clone().disable_statement_logging();
        if options.get_application_name().is_none() {
            options = options.application_name("chat");
        }
        // The server ends a statement when its client has given up.
        let statement_timeout = limits.attempt_timeout.as_millis().to_string();
        let idle_timeout = limits.idle_in_transaction_timeout.as_millis().to_string();
        let options = options.options(SETTINGS).options([
            ("statement_timeout", statement_timeout.as_str()),
            ("idle_in_transaction_session_timeout", idle_timeout.as_str()),
        ]);
        Self { options, connect_timeout: limits.connect_timeout }
    }

    /// The start of a server whose transactions these are: see `tell_servers` in the schema.
    pub(super) fn of_server(mut self, start: Incarnation) -> Self {
        self.options = self.options.options([("chat.server", start.to_string())]);
        self
    }

    /// What is committed may be lost in a crash of the database server.
    pub(super) fn without_flushes(mut self) -> Self {
        self.options = self.options.options([("synchronous_commit", "off")]);
        self
    }

    /// How soon the database server notices that this machine is gone, in
    /// seconds: idle time, time between two probes, and their number.
    pub(super) fn keepalive(mut self, idle: &str, interval: &str, count: &str) -> Self {
        self.options = self.options.options([
            ("tcp_keepalives_idle", idle),
            ("tcp_keepalives_interval", interval),
            ("tcp_keepalives_count", count),
        ]);
        self
    }

    /// How soon the database server drops a connection on which an answer is not
    /// acknowledged, in milliseconds: keepalive probes are sent on idle ones only.
    pub(super) fn unacknowledged(mut self, limit: &str) -> Self {
        self.options = self.options.options([("tcp_user_timeout", limit)]);
        self
    }

    /// Opens a connection that listens to notifications.
    pub(super) async fn listener(&self) -> Result<PgListener, Failure> {
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(self.connect_timeout);
        Ok(PgListener::connect_with(&pool.connect_lazy_with(self.options.clone())).await?)
    }

    /// Opens a connection.
    pub(super) async fn connect(&self) -> Result<PgConnection, Failure> {
        match tokio::time::timeout(self.connect_timeout, self.options.connect()).await {
            Ok(connected) => Ok(connected?),
            Err(_) => Err(Failure::passing("the database cannot be reached")),
        }
    }
}

const SETTINGS: [(&str, &str); 9] = [
    // Acknowledged commits are on the disk, whatever the server's own default.
    ("synchronous_commit", "on"),
    // Every statement looks rows up by keys. With the statistics of an almost empty
    // table the planner would read all of it, and keep that plan until the table is
    // analysed again.
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    // One plan for batches of any size, without compilation (JIT).
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
    // Firewalls keep the connection open, and the server notices a client that is gone.
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];
