//! Everything about sockets that can be set.

use std::num::NonZeroUsize;
use std::time::Duration;

use chat_core::HubOptions;

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
