//! What a hub wants done, in order.

use std::collections::VecDeque;
use std::ops::Range;

use crate::{Draft, Query, ReadId, RoomName, Username};

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
    /// The next thing to do. It must be done before the ones after it.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not lend the arenas meanwhile")]
    pub fn next(&mut self) -> Option<Output> {
        let next = self.queue.pop_front();
        if next.is_none() {
            self.emptied += 1;
            self.bytes.clear();
            self.recipients.clear();
            // One huge turn must not be paid for ever after.
            self.bytes.shrink_to(ARENA_KEPT_BYTES);
            self.recipients.shrink_to(ARENA_KEPT_BYTES / size_of::<ClientId>());
        }
        next
    }

    /// Nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Who gets the bytes of a write. Valid until the queue has run empty.
    pub fn recipients(&self, write: &Write) -> &[ClientId] {
        &self.recipients[range(&write.recipients)]
    }

    /// Whole frames, ready to be written. Valid until the queue has run empty.
    pub fn bytes(&self, write: &Write) -> &[u8] {
        &self.bytes[range(&write.bytes)]
    }

    /// How many frames were put out so far, each counted once for each recipient.
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// There is so much to be written that what can wait should wait.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= ARENA_FULL_BYTES
    }

    /// Changes whenever the ranges given out before are no longer valid.
    pub(crate) fn generation(&self) -> u64 {
        self.emptied
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    /// Copies frames into the arena, for one or more writes.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> Range<u32> {
        let start = position(self.bytes.len());
        self.bytes.extend_from_slice(bytes);
        start..position(self.bytes.len())
    }

    /// Puts out a write of so many frames.
    pub(crate) fn write(
        &mut self,
        recipients: impl IntoIterator<Item = ClientId>,
        bytes: Range<u32>,
        frames: u64,
    ) {
        let start = position(self.recipients.len());
        self.recipients.extend(recipients);
        let recipients = start..position(self.recipients.len());
        if !recipients.is_empty() && !bytes.is_empty() {
            self.deliveries += frames * u64::from(recipients.end - recipients.start);
            self.queue.push_back(Output::Write(Write { recipients, bytes }));
        }
    }
}

/// One thing that a hub wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write these bytes to these clients.
    Write(Write),
    /// Say goodbye with this code after what was written, then end the
    /// connection. The hub sends nothing more to it.
    Close {
        /// Whom.
        client: ClientId,
        /// Why.
        code: CloseCode,
    },
    /// Have this stored; the log's answer comes back as
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
    /// Hand over no more frames of this client for now.
    Pause(ClientId),
    /// Go on with this client's frames.
    Resume(ClientId),
    /// From here on, hand over what is committed there. Must take effect
    /// before a later [`Read`](Self::Read) is carried out.
    Subscribe(Subscription),
    /// What is committed there is no longer wanted.
    Unsubscribe(Subscription),
    /// Tell all other hubs, whether or not they have this room:
    /// [`Input::Presence`](crate::Input::Presence).
    Presence(PresenceChange),
}

/// Bytes for clients; see [`Outputs::recipients`] and [`Outputs::bytes`].
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
    /// 1000: the client said goodbye.
    Normal,
    /// 1001: the server stops.
    GoingAway,
    /// 1008: the token is no longer good.
    NoLongerGood,
    /// 1009: the text has more characters than allowed.
    TooBig,
    /// 1012: the server starts again. Come back.
    Restarting,
    /// 1013: a message could not be stored, or the server is overloaded. Come back.
    TryAgainLater,
    /// 4001: signed out. Do not come back without signing in.
    SignedOut,
}

impl CloseCode {
    /// The number on the wire.
    pub fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::NoLongerGood => 1008,
            Self::TooBig => 1009,
            Self::Restarting => 1012,
            Self::TryAgainLater => 1013,
            Self::SignedOut => 4001,
        }
    }

    /// A word for people who look at the wire.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::GoingAway => "stopping",
            Self::NoLongerGood => "token expired",
            Self::TooBig => "text too long",
            Self::Restarting => "restarting",
            Self::TryAgainLater => "try again later",
            Self::SignedOut => "signed out",
        }
    }
}

/// What a hub wants to hear of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subscription {
    /// The entries of a room.
    Room(RoomName),
    /// The private messages from and to a user.
    User(Username),
}

/// Somebody came into a room on one hub, or left it there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PresenceChange {
    /// On which hub: see [`HubOptions::id`](crate::HubOptions::id).
    pub hub: u32,
    /// Where.
    pub room: RoomName,
    /// Who.
    pub user: Username,
    /// Came or left.
    pub joined: bool,
    /// How many connections this user now has in the room, on that hub (all of
    /// a user's connections to one machine are on one hub).
    pub connections: u32,
    /// When, in whole seconds since 1970.
    pub at_s: u64,
}

/// Replays wait once a turn has this much to write.
const ARENA_FULL_BYTES: usize = 16 * 1024 * 1024;
/// What the arenas keep from turn to turn.
const ARENA_KEPT_BYTES: usize = 1024 * 1024;

fn range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

fn position(len: usize) -> u32 {
    u32::try_from(len)
        .expect("replays wait at ARENA_FULL_BYTES, and the rest of a turn is bounded by credits and pages")
}
