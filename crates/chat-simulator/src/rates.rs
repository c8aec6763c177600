//! The limits and fault rates of a world, which its seed decides.

use chat_client::Rng;
use chat_core::{ChangeRules, FileQuotas, Framing, HubOptions, RateLimit, RecentLimits};
use chat_shard::ENTRY_BYTES;

use crate::files::FILE_MAX_BYTES;

/// The properties of a world that stay the same from its beginning to its end.
pub(crate) struct Plan {
    /// Shards of each server.
    pub(crate) shards: usize,
    /// Lanes of the log.
    pub(crate) lanes: usize,
    /// The options of all hubs, but for their ids.
    pub(crate) options: HubOptions,
    /// Bytes of entries that an inbox keeps.
    pub(crate) inbox_max_bytes: usize,
    /// Drafts that wait in a server's writer or are being stored.
    pub(crate) drafts_max: usize,
    /// Bytes kept for a socket whose client does not read.
    pub(crate) outbox_max: usize,
    /// How many clients speak v1, and how many speak v2 as they like, in a thousand; the
    /// rest are real clients.
    pub(crate) v1: u64,
    pub(crate) wild: u64,
    /// The time after which a file that no message has is removed, in ms.
    pub(crate) unattached_ms: u64,
    /// Files that a sweep removes at once.
    pub(crate) sweep_max: usize,
    /// Bytes of the files of one user.
    pub(crate) user_files_max_bytes: Option<u64>,
    /// The number of users with the real client.
    pub(crate) apps: usize,
    /// The time in which faults happen, in ms.
    pub(crate) faults_ms: u64,
}

/// How often things happen, in a thousand, unless a unit is given.
pub(crate) struct Rates {
    /// Between servers, the bus does not carry a message …
    pub(crate) lose: u64,
    /// … or twice …
    pub(crate) double: u64,
    /// … or late, so that others overtake it.
    pub(crate) late: u64,
    /// A hub takes its inbox late.
    pub(crate) busy: u64,
    /// A transaction fails, and with it the drafts that wait in its lane.
    pub(crate) fail: u64,
    /// A transaction is committed but its answer is lost.
    pub(crate) lost_answer: u64,
    /// A transaction takes seconds.
    pub(crate) slow: u64,
    pub(crate) read_fails: u64,
    /// A read takes seconds.
    pub(crate) read_slow: u64,
    /// Actions of users: they stop to read for a while.
    pub(crate) stall: u64,
    /// Actions of users: they connect, disconnect, are signed out.
    pub(crate) come: u64,
    pub(crate) go: u64,
    pub(crate) revoke: u64,
    /// Actions of users: they make calls that change rooms or members.
    pub(crate) calls: u64,
    /// What users send: changes of messages, the rest are messages.
    pub(crate) edits: u64,
    pub(crate) deletes: u64,
    pub(crate) reactions: u64,
    pub(crate) unreactions: u64,
    /// Messages: they answer another.
    pub(crate) replies: u64,
    /// Changes: of a message that is not among the newest.
    pub(crate) old: u64,
    /// Edits and deletions: of a message of anybody.
    pub(crate) foreign: u64,
    /// Sends: they are repeated on another connection, whether or not they were answered.
    pub(crate) again: u64,
    /// A connection breaks, in half of the cases so that one side does not notice.
    pub(crate) reset: u64,
    /// A token is good for a few seconds only.
    pub(crate) short_tokens: u64,
    /// The client's process ends, and starts with its snapshot.
    pub(crate) client_restarts: u64,
    /// Faults, about once a second.
    pub(crate) clock_jumps: u64,
    pub(crate) drains: u64,
    pub(crate) crashes: u64,
    pub(crate) partitions: u64,
    /// A server is cut off from the database.
    pub(crate) database_cuts: u64,
    pub(crate) outages: u64,
    pub(crate) trims: u64,
    /// Actions of users: they upload a file, and ask for one.
    pub(crate) uploads: u64,
    pub(crate) downloads: u64,
    /// Messages of v2 clients: they have files.
    pub(crate) files: u64,
    /// The longest time between two actions of users, in milliseconds.
    pub(crate) pause_ms: u64,
    /// The longest duration of a turn, in milliseconds.
    pub(crate) turn_ms: u64,
    /// The shortest latency of a link, in milliseconds; the longest is 40.
    pub(crate) link_ms: u64,
}

impl Rates {
    pub(crate) fn of(random: &mut Rng) -> Self {
        let mut up_to = |max| if random.chance(400) { 0 } else { random.between(1, max) };
        Self {
            lose: up_to(60),
            double: up_to(60),
            late: up_to(100),
            busy: up_to(40),
            fail: up_to(30),
            lost_answer: up_to(30),
            slow: up_to(10),
            read_fails: up_to(300),
            read_slow: up_to(50),
            stall: up_to(40),
            come: 10 + up_to(120),
            go: up_to(40),
            revoke: up_to(15),
            calls: up_to(80),
            edits: up_to(200),
            deletes: up_to(120),
            reactions: up_to(200),
            unreactions: up_to(100),
            replies: up_to(300),
            old: up_to(600),
            foreign: up_to(200),
            again: up_to(60),
            reset: up_to(40),
            short_tokens: up_to(300),
            client_restarts: up_to(20),
            clock_jumps: up_to(300),
            drains: up_to(100),
            crashes: up_to(200),
            partitions: up_to(150),
            database_cuts: up_to(300),
            outages: up_to(100),
            trims: up_to(300),
            uploads: up_to(120),
            downloads: up_to(120),
            files: 200 + up_to(600),
            pause_ms: 5 + up_to(80),
            turn_ms: up_to(3),
            link_ms: 1 + up_to(20),
        }
    }

    /// Ends all faults.
    pub(crate) fn calm(&mut self) {
        let Self { pause_ms, turn_ms, link_ms, .. } = *self;
        *self = Self { pause_ms, turn_ms, link_ms, ..Self::none() };
    }

    const fn none() -> Self {
        Self {
            lose: 0,
            double: 0,
            late: 0,
            busy: 0,
            fail: 0,
            lost_answer: 0,
            slow: 0,
            read_fails: 0,
            read_slow: 0,
            stall: 0,
            come: 0,
            go: 0,
            revoke: 0,
            calls: 0,
            edits: 0,
            deletes: 0,
            reactions: 0,
            unreactions: 0,
            replies: 0,
            old: 0,
            foreign: 0,
            again: 0,
            reset: 0,
            short_tokens: 0,
            client_restarts: 0,
            clock_jumps: 0,
            drains: 0,
            crashes: 0,
            partitions: 0,
            database_cuts: 0,
            outages: 0,
            trims: 0,
            uploads: 0,
            downloads: 0,
            files: 0,
            pause_ms: 0,
            turn_ms: 0,
            link_ms: 0,
        }
    }
}

impl Plan {
    pub(crate) fn of(random: &mut Rng) -> Self {
        let lanes = if random.chance(500) { 1 } else { random.size(2, 4) };
        let apps = if random.chance(300) { 0 } else { random.size(1, 5) };
        let mut options = options(random, lanes > 1);
        if apps > 0 {
            // When it reconnects, the real client takes an entry of one conversation for
            // a sign that no older one was missed in those that `hello` leaves out,
            // which the bus does not promise. So `hello` lists all conversations.
            options.hello_conversations = 200;
            // And it catches up page by page, which must end in time.
            options.history_max = random.size(10, 40);
            options.page_bytes = options.page_bytes.max(4_000);
        }
        Self {
            shards: random.size(1, 2),
            lanes,
            apps,
            options,
            inbox_max_bytes: random.size(3, 60) * (ENTRY_BYTES + 40),
            drafts_max: random.size(20, 200),
            outbox_max: random.size(4_000, 30_000),
            v1: random.between(0, 500),
            wild: random.between(0, 500),
            unattached_ms: random.between(3_000, 8_000),
            sweep_max: random.size(20, 100),
            user_files_max_bytes: random.chance(300).then(|| random.between(1, 20) * FileQuotas::COUNTED_MIN),
            faults_ms: random.between(2_000, 12_000),
        }
    }
}

/// The hubs' options: small limits, so that a small world reaches them.
fn options(random: &mut Rng, topics_side_by_side: bool) -> HubOptions {
    // What waits when the faults end must be taken within ten seconds.
    let limit = |random: &mut Rng| {
        let limit =
            RateLimit { burst: random.between(20, 80) as u32, per_second: random.between(100, 200) as u32 };
        random.chance(500).then_some(limit)
    };
    HubOptions {
        epoch: EPOCH.into(),
        files_base: if random.chance(500) { "" } else { "https://chat.example" }.into(),
        file_max_bytes: Some(FILE_MAX_BYTES),
        framing: Framing::Lines,
        text_max_chars: 300,
        rate: limit(random),
        frame_rate: limit(random),
        join_rate: limit(random),
        join_replay_entries: random.size(1, 50),
        resume_max_messages: random.between(5, 200),
        client_rooms_max: random.size(3, 5),
        hello_conversations: if random.chance(500) { 200 } else { random.size(3, 12) },
        history_max: random.size(1, 40),
        client_history_reads_max: random.between(1, 4) as u32,
        members_max: random.size(1, 10),
        count_every_ms: random.between(100, 1_000),
        topics_side_by_side,
        client_unanswered_max: random.between(2, 32) as u32,
        hub_unanswered_max: random.size(8, 100),
        hub_unanswered_bytes: random.size(500, 20_000),
        recent: RecentLimits {
            entries: random.size(0, 60),
            bytes: random.size(200, 8_000),
            hub_bytes: random.size(500, 20_000),
        },
        page_entries: random.size(8, 60),
        page_bytes: random.size(1_000, 8_000),
        reads_max: random.size(2, 6),
        room_idle_ms: random.between(0, 5_000),
        // A server is cut off from the database for up to 14 s.
        conversation_idle_ms: random.between(25_000, 40_000),
        drain_spread_per_client_ms: random.between(0, 200),
        change_rules: ChangeRules {
            edit_ms: random.chance(300).then(|| random.between(500, 8_000)),
            reactions_max: random.size(1, 5),
            ..ChangeRules::default()
        },
        ..HubOptions::default()
    }
}

/// The epoch of the log.
pub(crate) const EPOCH: &str = "first";
