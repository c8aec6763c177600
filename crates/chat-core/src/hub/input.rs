//! What happens to a hub.

use std::sync::Arc;

use crate::{
    Answer, ClientId, Entry, Missed, PresenceChange, ReadId, Receipt, RoomChange, RoomName, SessionId, Topic,
    TypingChange, UserMark, Username,
};

/// What happens to a hub.
#[derive(Debug)]
pub enum Input<'a> {
    /// A socket was opened; its user's name and session were checked.
    Open {
        /// An id that is not in use.
        client: ClientId,
        /// The user of the connection.
        user: &'a Username,
        /// The session of its token, if it has one.
        session: Option<&'a SessionId>,
        /// For how long the token is good, in milliseconds: then the client is
        /// closed (1008), unless its session was renewed. `None`: for ever.
        good_for_ms: Option<u64>,
        /// The protocol of the connection.
        protocol: Protocol,
    },
    /// A client sent a text message. Not to be given while the client is
    /// [paused](crate::Hub::is_paused).
    Frame {
        /// The client.
        client: ClientId,
        /// The message.
        text: &'a str,
    },
    /// A client has sent a close frame: it is closed (1000) once its drafts are answered,
    /// so that its last message comes before its leave notice, where the hub lacks nothing of
    /// the room.
    Goodbye {
        /// The client.
        client: ClientId,
    },
    /// A socket is gone. Its client's id is free again once all outputs up to
    /// here are done: an earlier write may still name it.
    Closed {
        /// The client.
        client: ClientId,
    },
    /// A transaction was committed: its entries in the log's order, then the
    /// receipts of this hub's own drafts.
    Commit {
        /// The entries that this hub is subscribed to.
        entries: &'a [Arc<Entry>],
        /// The receipts of this hub's own drafts.
        receipts: &'a [Receipt],
    },
    /// Rooms or members were changed, in the order of the rooms' lanes among the entries
    /// of [`Commit`](Self::Commit). Every hub gets every change.
    Changes(&'a [RoomChange]),
    /// Entries were committed that the bus does not carry to this hub.
    Missed(&'a [Missed]),
    /// The log no longer keeps the entries below these numbers: no client gets
    /// them from the hub's memory either.
    Trimmed(&'a [(Topic, u64)]),
    /// The log's answer to an [`Output::Read`](crate::Output::Read).
    Answer {
        /// The read.
        id: ReadId,
        /// What was read.
        answer: &'a Answer,
    },
    /// How many bytes a client's socket has not taken yet. To be given when that
    /// has changed, after writes and when a socket took more.
    Pending {
        /// The client.
        client: ClientId,
        /// The bytes.
        bytes: usize,
    },
    /// A session is no longer good: all of its clients are closed.
    Revoked {
        /// The session.
        session: &'a SessionId,
    },
    /// A user is banned: all clients of the user are closed.
    UserEnded {
        /// The user.
        user: &'a Username,
    },
    /// A user has become an administrator of the server, or is none any more: the clients of the
    /// user are told. It may be said again.
    RoleChanged {
        /// The user.
        user: &'a Username,
        /// Whether the user is one from now on.
        is_administrator: bool,
    },
    /// The token of a session is good for longer than it was.
    Renewed {
        /// The session.
        session: &'a SessionId,
        /// From now on, in milliseconds.
        good_for_ms: u64,
    },
    /// A client has joined or left a room on another hub.
    Presence(&'a PresenceChange),
    /// A client was in a room on another hub before this hub could hear of it: as
    /// [`Presence`](Self::Presence), without the notice that v1 clients get.
    Present(&'a PresenceChange),
    /// A client has set a mark on a hub of another server, which hands it to the store: the user's
    /// clients here are shown it. It may be said again.
    Mark(&'a UserMark),
    /// A user types on another hub, or no longer does.
    Typing(&'a TypingChange),
    /// Another hub is lost, before it put out that its clients left.
    HubLost(u32),
    /// What this hub gives out nothing of from now on, as it may not have heard of what another server
    /// has changed there. A hub begins with [`Withheld::Nothing`].
    Withhold(Withheld),
    /// All clients are closed, and come back later, perhaps to another server
    /// ([`CloseCode::TryAgainLater`](crate::CloseCode::TryAgainLater)).
    CloseAll,
    /// Time has passed; see [`Hub::next_tick_ms`](crate::Hub::next_tick_ms).
    Tick,
    /// The server stops: each client is closed in a slot of its own.
    Drain,
}

/// The protocol of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// One room, chosen when the connection is opened, whose newest messages
    /// the client gets first.
    V1 {
        /// The room.
        room: RoomName,
    },
    /// Any number of rooms, numbers, acknowledgements.
    V2,
}

/// The time, given with each input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds of a clock that never goes back, from any start.
    pub mono_ms: u64,
    /// Milliseconds since 1970 (UTC), which may jump.
    pub wall_ms: u64,
}

/// Rooms whose entries wait, as do pages of their history: another server may have taken the right to
/// read them from somebody who has a client here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Withheld {
    /// None: this server hears of changes in time.
    #[default]
    Nothing,
    /// Entries of rooms that are closed, as far as the hub knows: a member may have been removed.
    ClosedRooms,
    /// All: an open one may have been closed, too.
    AllRooms,
}
