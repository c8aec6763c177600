//! The options of the shards.

use std::num::NonZeroUsize;
use std::time::Duration;

use chat_core::HubOptions;

use crate::files_hook::FilesHook;
use crate::hooks::HookSet;
use crate::server_bus::ServerBus;
use crate::stored_hook::StoredHook;

/// The options of the shards, their sockets and the log's writer. The defaults suit a
/// small server.
#[derive(Debug, Clone)]
pub struct ShardOptions {
    /// Threads that own sockets, 1 to [`SHARDS_MAX`]; one for each processor is best.
    pub shards: NonZeroUsize,
    /// The options of each shard's hub. Each shard sets the fields that depend on it: id,
    /// epoch, heartbeat, and the like.
    pub hub: HubOptions,
    /// Bytes of one message from a client; a longer one closes its connection (1009).
    pub message_max_bytes: usize,
    /// Frames of one message from a client; more close its connection (1009).
    pub fragments_max: u32,
    /// Bytes kept for a client that reads too slowly; past it, the client is closed (1013).
    pub outbox_max_bytes: usize,
    /// Bytes of messages held for a client that its hub has paused; past it, its socket
    /// is not read.
    pub held_max_bytes: usize,
    /// After this time, a client that does not end a closed connection is cut off; up to
    /// two seconds later, since deadlines are checked once a second.
    pub close_timeout: Duration,
    /// The time between two pings of a client.
    pub ping_interval: Duration,
    /// A client that sends no byte for this time is cut off.
    pub idle_timeout: Duration,
    /// A client that has begun the header of a frame, and does not end it within this time, is
    /// cut off. A client may be silent for longer: one that only listens sends nothing but pongs.
    pub frame_header_timeout: Duration,
    /// Bytes of entries in a shard's inbox; past it, the shard reads entries from the
    /// log instead.
    pub inbox_max_bytes: usize,
    /// Drafts from which on a batch gets no more.
    pub batch_max: usize,
    /// Drafts that may wait for the log; past it, drafts fail. The hubs' credits bound
    /// what they wait for, but while a log hangs, hubs give drafts up and send more.
    pub append_queue_max: usize,
    /// The time after which a read of the log fails, and a write of marks.
    pub read_timeout: Duration,
    /// The time after which the caller of a change of a room is told that the store is not
    /// available. The change itself goes on.
    pub change_timeout: Duration,
    /// The time in which marks are collected before they are stored in one transaction.
    /// A hub holds a mark back for at most a second, and both together are below the two
    /// seconds that the protocol allows.
    pub marks_every: Duration,
    /// This hook is told which files nobody may read any more.
    pub files_taken_back: FilesHook,
    /// This hook is told which entries this server has stored.
    pub stored: StoredHook,
    /// The hooks that judge messages and joins.
    pub hooks: HookSet,
    /// The time in which the hooks must answer; past it, nothing is stored. Shorter than the five
    /// seconds in which a hub gives a draft up.
    pub hook_timeout: Duration,
    /// The bus to the other servers on the same database.
    pub server_bus: Option<ServerBus>,
}

/// The most shards: subscriptions have a bit of a `u64` for each.
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
            frame_header_timeout: Duration::from_secs(10),
            inbox_max_bytes: 8 * 1024 * 1024,
            batch_max: 4_096,
            append_queue_max: 65_536,
            read_timeout: Duration::from_secs(4),
            change_timeout: Duration::from_secs(5),
            marks_every: Duration::from_millis(500),
            files_taken_back: FilesHook::default(),
            stored: StoredHook::default(),
            hooks: HookSet::default(),
            hook_timeout: Duration::from_secs(2),
            server_bus: None,
        }
    }
}
