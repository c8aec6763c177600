//! The options of a hub.

use std::sync::Arc;

#[cfg(feature = "planted-bugs")]
use super::planted::PlantedBug;
use super::rate::RateLimit;
use super::rooms::RecentLimits;
use crate::frame::Encoding;
use crate::frame::v2::{FEATURES, Feature};
use crate::{ChangeRules, Framing, NoticeText, RoomLooks};

/// The options of a hub. The defaults suit a small server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubOptions {
    /// Distinguishes this hub from the others of the same log.
    pub id: u32,
    /// The log's name for its numbering, which v2 clients are sent.
    pub epoch: Arc<str>,
    /// How messages become bytes.
    pub framing: Framing,
    /// What stands before `/files/` in the addresses of files that v1 clients are sent: the
    /// public URL of the server without a slash at its end, or nothing.
    pub files_base: Arc<str>,
    /// What v1 clients are told when a user comes to their room …
    pub joined_notice: NoticeText,
    /// … and when one leaves it.
    pub left_notice: NoticeText,
    /// Bytes of one file that this server takes; `None`: it takes no files, and does not
    /// announce them.
    pub file_max_bytes: Option<u64>,
    /// Characters (Unicode scalar values) a text may have; a longer one closes
    /// the connection (1009).
    pub text_max_chars: usize,
    /// Clients of one user; one more is closed (1013). The older ones stay: if one of them
    /// was closed instead, it would come back and close the next one.
    pub user_clients_max: usize,
    /// How fast a user may send messages over all connections; a faster one is
    /// slowed down, and nothing is lost. `None`: as fast as the log stores.
    pub rate: Option<RateLimit>,
    /// How fast a v2 connection may send frames of any kind; a faster one is
    /// slowed down. `None`: as fast as it can. The hub counts what it is given: whole texts. The
    /// shards also count, with the same limit and for both versions, what they do not give
    /// it: fragments, pings and pongs.
    pub frame_rate: Option<RateLimit>,
    /// How fast a user may join rooms, over all connections: a v2 connection above it is
    /// slowed down, and a v1 connection, which joins a room when it is opened, is closed
    /// (1013).
    pub join_rate: Option<RateLimit>,
    /// How fast a user may request pages of history, over all connections.
    pub history_rate: Option<RateLimit>,
    /// Rooms that all v2 connections of a user together may have joined.
    pub user_rooms_max: usize,
    /// Entries that a client gets when it joins a room, unless it has some of them
    /// already. Clients that are sent messages only get so many messages, at most
    /// [`NEWEST_MESSAGES`](crate::NEWEST_MESSAGES).
    pub join_replay_entries: usize,
    /// Messages that a v2 client may have missed, and still gets all of them
    /// when it joins again.
    pub resume_max_messages: u64,
    /// Rooms that a v2 connection may have joined at the same time.
    pub client_rooms_max: usize,
    /// Private conversations in the `hello` of a v2 client, the newest.
    pub hello_conversations: usize,
    /// Rooms in the `hello` of a v2 client, those with the newest messages.
    pub hello_rooms: usize,
    /// Rooms of one user that the hub watches, those with the newest messages; in further
    /// ones the user's clients get no `activity`.
    pub user_memberships_max: usize,
    /// Who may open a room by a name that no room has.
    pub room_creation: RoomCreation,
    /// The rooms of the settings: nobody opens a room whose name looks like one of them.
    pub room_looks: RoomLooks,
    /// Whether the store is asked about every room before a client joins it: a hook of the server
    /// may refuse.
    pub ask_before_join: bool,
    /// The limits for changes of messages.
    pub change_rules: ChangeRules,
    /// A client that has not taken within this time that it may not read a room any more
    /// is cut off, in milliseconds. It is looked for at ticks, every 500 ms, so that it is
    /// cut off within a second.
    pub removal_timeout_ms: u64,
    /// Messages of one page of history.
    pub history_max: usize,
    /// Pages of history that may be read for a client at the same time; at the
    /// cap its frames wait.
    pub client_history_reads_max: u32,
    /// Names of users in a room that a v2 client is sent; where there are more
    /// users, only changes of their number are shown.
    pub members_max: usize,
    /// A user without a connection to a room for this long is shown as offline
    /// there, in milliseconds.
    pub offline_after_ms: u64,
    /// The number of users in a room with many is shown at most this often, in
    /// milliseconds.
    pub count_every_ms: u64,
    /// The mark of a user in a room or conversation is handed to the store, and counts are
    /// read for the user's other clients, at most once in this, in milliseconds.
    pub mark_every_ms: u64,
    /// A mark that no client has set for this long is forgotten here, in milliseconds:
    /// longer than the store may need to keep it, and a `hello` to be prepared.
    pub mark_idle_ms: u64,
    /// Marks of one user in memory; at the cap the oldest is handed to the store at once.
    pub user_marks_max: usize,
    /// The clients of a room's members that have not joined it are sent how many messages
    /// came at most once in this, in milliseconds.
    pub activity_every_ms: u64,
    /// A user is shown as typing in a topic at most once in this, in milliseconds.
    pub typing_every_ms: u64,
    /// Clients show a user as typing for this long, in milliseconds: a fixed part of
    /// the protocol.
    pub typing_ends_ms: u64,
    /// Rooms and conversations in which a user may be typing at the same time; in
    /// further ones it is not shown.
    pub typing_topics_max: usize,
    /// In a room with more users than this, nobody is shown as typing.
    pub typing_online_max: usize,
    /// After a failed send, those after it fail, too, until the client repeats
    /// it, or for this long, in milliseconds: longer than the error needs to
    /// reach the client.
    pub refusing_ms: u64,
    /// The log stores topics side by side: a client's sends to one topic wait
    /// until those to another are answered, so that none overtakes a failure.
    pub topics_side_by_side: bool,
    /// For `hello`: how often the server pings, in seconds …
    pub heartbeat_seconds: u64,
    /// … and bytes that one message of a client may have.
    pub message_max_bytes: usize,
    /// Drafts without a receipt that a client may have; at the cap its
    /// messages wait.
    pub client_unanswered_max: u32,
    /// Drafts without a receipt in the whole hub; at the cap messages wait.
    pub hub_unanswered_max: usize,
    /// Bytes of text in them; at the cap messages wait.
    pub hub_unanswered_bytes: usize,
    /// A draft without a receipt for this long counts as failed, in milliseconds.
    pub append_timeout_ms: u64,
    /// How many frames of each room's newest entries are kept ready.
    pub recent: RecentLimits,
    /// Entries that a page read from the log may have.
    pub page_entries: usize,
    /// Bytes of text that a page may have, and bytes that a replaying client's
    /// socket may hold before it is sent no more.
    pub page_bytes: usize,
    /// Reads that the log works on at the same time; more wait.
    pub reads_max: usize,
    /// A failed read is tried again after this, in milliseconds.
    pub read_retry_ms: u64,
    /// A client whose replay the log has held up for this long is closed (1013),
    /// in milliseconds.
    pub catch_up_timeout_ms: u64,
    /// A room without clients is forgotten after this, in milliseconds.
    pub room_idle_ms: u64,
    /// A private conversation without a new entry is forgotten after this, in
    /// milliseconds. An entry of which the hub hears after that, though it has read it from the log
    /// before, is delivered again: among several servers, this is to be as long as one may be behind
    /// the others.
    pub conversation_idle_ms: u64,
    /// A revoked session is remembered for this long, in milliseconds: longer
    /// than an upgrade may take.
    pub revoked_kept_ms: u64,
    /// Draining spreads the closes over at most this, in milliseconds …
    pub drain_spread_ms: u64,
    /// … and over this much for each client, in milliseconds.
    pub drain_spread_per_client_ms: u64,
    /// A v2 client of a stopping server is sent to come back after at most this,
    /// in milliseconds.
    pub reconnect_spread_ms: u64,
    /// A bug that the hub is to have, for testing tests.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<PlantedBug>,
}

/// Who may create rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomCreation {
    /// Every user.
    Everybody,
    /// Administrators of the server.
    Administrators,
}

impl HubOptions {
    /// How the hub makes frames of entries.
    pub(crate) fn encoding(&self) -> Encoding<'_> {
        Encoding { framing: self.framing, files_base: &self.files_base }
    }

    /// The names of what the hub has beyond the first version of v2, as `hello.features` lists
    /// them.
    pub fn features(&self) -> impl Iterator<Item = &'static str> {
        self.announced().map(Feature::name)
    }

    /// The same.
    pub(crate) fn announced(&self) -> impl Iterator<Item = Feature> {
        let has_files = self.file_max_bytes.is_some();
        FEATURES.iter().copied().chain(has_files.then_some(Feature::Files))
    }
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            id: 0,
            epoch: Arc::from(""),
            framing: Framing::WebSocket,
            files_base: Arc::from(""),
            joined_notice: NoticeText::original_joined(),
            left_notice: NoticeText::original_left(),
            file_max_bytes: None,
            text_max_chars: 4096,
            user_clients_max: 1200,
            rate: Some(RateLimit { burst: 60, per_second: 10 }),
            frame_rate: Some(RateLimit { burst: 200, per_second: 100 }),
            join_rate: Some(RateLimit { burst: 500, per_second: 20 }),
            history_rate: Some(RateLimit { burst: 100, per_second: 20 }),
            user_rooms_max: 10_000,
            join_replay_entries: 50,
            resume_max_messages: 10_000,
            client_rooms_max: 1_000,
            hello_conversations: 200,
            hello_rooms: 200,
            user_memberships_max: 1_000,
            room_creation: RoomCreation::Everybody,
            room_looks: RoomLooks::default(),
            ask_before_join: false,
            change_rules: ChangeRules::default(),
            removal_timeout_ms: 400,
            history_max: 100,
            client_history_reads_max: 2,
            members_max: 200,
            offline_after_ms: 5_000,
            count_every_ms: 1_000,
            mark_every_ms: 1_000,
            mark_idle_ms: 60_000,
            user_marks_max: 1_000,
            activity_every_ms: 1_000,
            typing_every_ms: 2_000,
            typing_ends_ms: 6_000,
            typing_topics_max: 16,
            typing_online_max: 100,
            refusing_ms: 2_000,
            topics_side_by_side: false,
            heartbeat_seconds: 45,
            message_max_bytes: 64 * 1024,
            client_unanswered_max: 32,
            hub_unanswered_max: 4096,
            hub_unanswered_bytes: 8 * 1024 * 1024,
            append_timeout_ms: 5_000,
            recent: RecentLimits { entries: 100, bytes: 64 * 1024, hub_bytes: 64 * 1024 * 1024 },
            page_entries: 100,
            page_bytes: 64 * 1024,
            reads_max: 64,
            read_retry_ms: 500,
            catch_up_timeout_ms: 10_000,
            room_idle_ms: 60_000,
            conversation_idle_ms: 600_000,
            revoked_kept_ms: 60_000,
            drain_spread_ms: 5_000,
            drain_spread_per_client_ms: 2,
            reconnect_spread_ms: 2_000,
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }
}
