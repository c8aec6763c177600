//! The outputs of a hub, in order.

use std::collections::VecDeque;
use std::ops::Range;

use crate::{Draft, Query, ReadId, RoomName, Topic, UserMark, Username};

/// The outputs of a hub, a queue that its caller owns and reuses.
///
/// Bytes and recipients stand in two arenas that the outputs point into, so
/// that a message allocates nothing per recipient. They are emptied when
/// [`next`](Outputs::next) has handed out the last output.
#[derive(Default)]
pub struct Outputs {
    queue: VecDeque<Output>,
    bytes: Vec<u8>,
    recipients: Vec<ClientId>,
    deliveries: u64,
    /// How often the arenas were emptied: a range is valid within one of these.
    emptied: u64,
}

impl Outputs {
    /// The next output. It must be done before those after it.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not lend the arenas meanwhile")]
    pub fn next(&mut self) -> Option<Output> {
        let next = self.queue.pop_front();
        if next.is_none() {
            self.emptied += 1;
            self.bytes.clear();
            self.recipients.clear();
            // One huge turn must not take its memory for good.
            self.bytes.shrink_to(ARENA_KEPT_BYTES);
            self.recipients.shrink_to(ARENA_KEPT_BYTES / size_of::<ClientId>());
        }
        next
    }

    /// Whether no outputs are left.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The recipients of a write. Valid until the queue has run empty.
    pub fn recipients(&self, write: &Write) -> &[ClientId] {
        &self.recipients[range(&write.recipients)]
    }

    /// The bytes of a write: whole frames. Valid until the queue has run empty.
    pub fn bytes(&self, write: &Write) -> &[u8] {
        &self.bytes[range(&write.bytes)]
    }

    /// How many frames of rooms and private messages were put out so far, each
    /// counted once for each recipient.
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// Whether there is so much to write that replays should wait.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= ARENA_FULL_BYTES
    }

    /// A number that changes when the ranges given out before are no longer valid.
    pub(crate) fn generation(&self) -> u64 {
        self.emptied
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    /// Copies frames into the arena, for one or more writes.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> Range<u32> {
        let start = offset(self.bytes.len());
        self.bytes.extend_from_slice(bytes);
        start..offset(self.bytes.len())
    }

    /// Puts out a write of this many frames.
    pub(crate) fn write(
        &mut self,
        recipients: impl IntoIterator<Item = ClientId>,
        bytes: Range<u32>,
        frames: u64,
    ) {
        let start = offset(self.recipients.len());
        self.recipients.extend(recipients);
        let recipients = start..offset(self.recipients.len());
        if !recipients.is_empty() && !bytes.is_empty() {
            self.deliveries += frames * u64::from(recipients.end - recipients.start);
            self.queue.push_back(Output::Write(Write { recipients, bytes }));
        }
    }
}

/// Something that the hub's caller is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write these bytes to these clients.
    Write(Write),
    /// Send a close frame with this code after what was written, then end the
    /// connection. The hub puts out nothing more for it.
    Close {
        /// The client.
        client: ClientId,
        /// The reason.
        code: CloseCode,
    },
    /// Append this to the log; its receipt comes back in
    /// [`Input::Commit`](crate::Input::Commit).
    Append(Draft),
    /// Read this from the log. The answer, exactly one, is
    /// [`Input::Answer`](crate::Input::Answer).
    Read {
        /// Comes back with the answer.
        id: ReadId,
        /// What to read.
        query: Query,
    },
    /// Store this position or level of a user within a second. Marks may be put together,
    /// and stored once for all of a second.
    Keep(UserMark),
    /// Hand over no more frames of this client until it is resumed.
    Pause(ClientId),
    /// Hand over frames of this client again.
    Resume(ClientId),
    /// From here on, hand over the entries committed there. Must take effect
    /// before a later [`Read`](Self::Read) is carried out.
    Subscribe(Subscription),
    /// Entries committed there need no longer be handed over.
    Unsubscribe(Subscription),
    /// Carry this to all other hubs, whether or not they have this room:
    /// [`Input::Presence`](crate::Input::Presence).
    Presence(PresenceChange),
    /// Carry this to the other hubs that are subscribed to its topic:
    /// [`Input::Typing`](crate::Input::Typing). It may be dropped.
    Typing(TypingChange),
}

/// Bytes for some clients; see [`Outputs::recipients`] and [`Outputs::bytes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    recipients: Range<u32>,
    bytes: Range<u32>,
}

/// A client of a hub: a dense number that its caller chooses, free again after
/// [`Input::Closed`](crate::Input::Closed).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub u32);

/// Why a connection is closed: WebSocket close codes (RFC 6455 §7.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseCode {
    /// 1000: the client sent a close frame.
    Normal,
    /// 1001: the server stops.
    GoingAway,
    /// 1008: the token is no longer good.
    NoLongerGood,
    /// 1008: the user of a v1 client may not read its room any more.
    Removed,
    /// 1009: the text has more characters than allowed.
    TooBig,
    /// 1012: the server restarts. The client should connect again.
    Restarting,
    /// 1013: a message could not be stored, or the server is overloaded. The client
    /// should connect again.
    TryAgainLater,
    /// The client did not take in time that it may not read a room any more. What waits for
    /// it is dropped, and its connection ends without a close frame, which it would not take
    /// either (in frames for other transports, 1013).
    CutOff,
    /// 4001: signed out. The client should not connect again without signing in.
    SignedOut,
}

impl CloseCode {
    /// The number on the wire.
    pub fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::NoLongerGood | Self::Removed => 1008,
            Self::TooBig => 1009,
            Self::Restarting => 1012,
            Self::TryAgainLater | Self::CutOff => 1013,
            Self::SignedOut => 4001,
        }
    }

    /// Whether bytes that wait for the client are dropped, because it may not see them any
    /// more.
    pub fn drops_waiting_bytes(self) -> bool {
        matches!(self, Self::SignedOut | Self::NoLongerGood | Self::Removed | Self::CutOff)
    }

    /// A reason for people who look at the wire.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::GoingAway => "stopping",
            Self::NoLongerGood => "token expired",
            Self::Removed => "no member of this room",
            Self::TooBig => "text too long",
            Self::Restarting => "restarting",
            Self::TryAgainLater => "try again later",
            Self::CutOff => "too slow",
            Self::SignedOut => "signed out",
        }
    }
}

/// What a hub subscribes to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subscription {
    /// The entries of a room.
    Room(RoomName),
    /// The private messages from and to a user.
    User(Username),
}

/// A client has joined a room on one hub, or left it there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PresenceChange {
    /// The hub: see [`HubOptions::id`](crate::HubOptions::id).
    pub hub: u32,
    /// The room.
    pub room: RoomName,
    /// The client's user.
    pub user: Username,
    /// Whether the client has joined or left.
    pub kind: PresenceKind,
    /// How many connections this user now has to the room on that hub (all of a
    /// user's connections to one server are on one hub).
    pub connections: u32,
    /// The time, in whole seconds since 1970.
    pub at_s: u64,
}

/// The kinds of [`PresenceChange`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PresenceKind {
    /// The client has joined the room.
    Joined,
    /// The client has left the room, or its connection is lost.
    Left,
}

/// A user types, or no longer does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TypingChange {
    /// The room, or the private conversation of the user and another one.
    pub topic: Topic,
    /// The user who types.
    pub user: Username,
    /// Whether the user types.
    pub active: bool,
}

/// Replays wait once a turn has this many bytes to write.
const ARENA_FULL_BYTES: usize = 16 * 1024 * 1024;
/// What the arenas keep from turn to turn, in bytes.
const ARENA_KEPT_BYTES: usize = 1024 * 1024;

fn range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

fn offset(len: usize) -> u32 {
    u32::try_from(len)
        .expect("replays wait at ARENA_FULL_BYTES, and the rest of a turn is bounded by credits and pages")
}
