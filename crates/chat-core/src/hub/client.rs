//! A connection as the hub sees it.

use super::join::{Join, JoinedRoom};
use super::rate::Rate;
use super::rooms::RoomSlot;
use super::send_order::SendOrder;
use super::users::UserSlot;
use crate::frame::Version;
use crate::outputs::Outputs;
use crate::{ClientId, CloseCode, MessageText, Nonce, Pair, RoomName, SessionId, Topic};

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    /// Tells this client from an earlier one of the same id.
    pub(super) generation: u32,
    pub(super) user: UserSlot,
    pub(super) session: Option<SessionId>,
    /// When its token expires, in milliseconds of the monotonic clock.
    pub(super) expires_ms: Option<u64>,
    pub(super) protocol: ClientProtocol,
    /// The rooms it has joined; a v1 client has one from its first moment on.
    pub(super) rooms: Vec<JoinedRoom>,
    /// Bytes that its socket has not taken yet.
    pub(super) pending: usize,
    /// Whether the hub's list of replays that continue in the next turn has it.
    pub(super) held_back: bool,
    /// Its drafts without a receipt.
    pub(super) unanswered: u32,
    /// Its history requests that are being read.
    pub(super) reading: u32,
    pub(super) paused: Option<Paused>,
    pub(super) phase: Phase,
    /// Frames for it alone, written at the end of the turn.
    frames: Vec<u8>,
    in_turn: TurnBytes,
}

/// The protocol of a client, and the state that only that protocol has.
#[derive(Debug)]
pub(super) enum ClientProtocol {
    V1 {
        /// Its one room.
        room: RoomName,
    },
    V2(Box<V2>),
}

/// The state of a v2 client.
#[derive(Debug)]
pub(super) struct V2 {
    pub(super) greeting: Greeting,
    pub(super) sends: SendOrder,
    /// The topic of its unanswered drafts.
    pub(super) topic: Option<Topic>,
    /// A send that waits until those to another topic are answered.
    pub(super) parked: Option<AdmittedSend>,
    /// How fast it sends frames of any kind.
    pub(super) frames: Rate,
}

/// How far a v2 client is with its `hello`.
#[derive(Debug)]
pub(super) enum Greeting {
    /// Its conversations are being read. No other frame may be sent yet.
    Preparing {
        opened_ms: u64,
        /// Conversations in which entries were delivered meanwhile.
        active: Vec<Pair>,
    },
    /// The `hello` was sent.
    Sent {
        at_ms: u64,
        /// The numbers in it: an entry up to there may still arrive, and is not
        /// for this client. Emptied after a while.
        tops: Vec<(Pair, u64)>,
    },
}

/// A message of a v2 client.
#[derive(Debug)]
pub(super) struct Send {
    pub(super) topic: Topic,
    pub(super) text: MessageText,
    pub(super) nonce: Nonce,
}

/// A message of a v2 client that may go to the log.
#[derive(Debug)]
pub(super) struct AdmittedSend {
    pub(super) send: Send,
    /// See [`SendOrder::admit`].
    pub(super) position: u64,
}

/// Whether a client's frames are still taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// No more frames are taken; closed with this once its drafts are answered.
    Finishing(CloseCode),
    /// A close was put out; only its id is still in use.
    Closed,
}

/// Why a client's frames are not taken for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paused {
    /// Its user sends faster than the limit.
    Rate,
    /// It has too many drafts without a receipt.
    Credit,
    /// The hub has too many.
    HubCredit,
    /// Its `hello` is being prepared.
    Greeting,
    /// Its next send must wait until those to another topic are answered.
    Order,
    /// Too many of its history requests are being read.
    Reading,
}

/// A client id that is not mistaken for that of a later client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientRef {
    pub(super) id: ClientId,
    pub(super) generation: u32,
}

/// The bytes put out for one client alone in a turn: its socket has not reported
/// yet how many of them it takes.
#[derive(Debug, Default)]
struct TurnBytes {
    turn: u64,
    bytes: usize,
}

impl Client {
    pub(super) fn new(
        generation: u32,
        user: UserSlot,
        session: Option<SessionId>,
        expires_ms: Option<u64>,
        protocol: ClientProtocol,
    ) -> Self {
        Self {
            generation,
            user,
            session,
            expires_ms,
            protocol,
            rooms: Vec::new(),
            pending: 0,
            held_back: false,
            unanswered: 0,
            reading: 0,
            paused: None,
            phase: Phase::Open,
            frames: Vec::new(),
            in_turn: TurnBytes::default(),
        }
    }

    pub(super) fn version(&self) -> Version {
        match self.protocol {
            ClientProtocol::V1 { .. } => Version::V1,
            ClientProtocol::V2(_) => Version::V2,
        }
    }

    pub(super) fn v2(&mut self) -> Option<&mut V2> {
        match &mut self.protocol {
            ClientProtocol::V1 { .. } => None,
            ClientProtocol::V2(v2) => Some(v2),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Its `hello` was not sent yet: no other frame may be.
    pub(super) fn is_being_greeted(&self) -> bool {
        self.greeting_since_ms().is_some()
    }

    /// Since when its `hello` is being prepared, in milliseconds.
    pub(super) fn greeting_since_ms(&self) -> Option<u64> {
        match &self.protocol {
            ClientProtocol::V2(v2) => match v2.greeting {
                Greeting::Preparing { opened_ms, .. } => Some(opened_ms),
                Greeting::Sent { .. } => None,
            },
            ClientProtocol::V1 { .. } => None,
        }
    }

    /// How far it has got with joining a room, if it has joined it at all.
    pub(super) fn join_in(&mut self, room: RoomSlot) -> Option<&mut Join> {
        self.rooms.iter_mut().find(|joined| joined.room == room).map(|joined| &mut joined.join)
    }

    /// Takes a room from those it has joined.
    pub(super) fn take_room(&mut self, room: RoomSlot) -> Option<JoinedRoom> {
        let index = self.rooms.iter().position(|joined| joined.room == room)?;
        Some(self.rooms.swap_remove(index))
    }

    /// Counts bytes that are put out for it alone.
    pub(super) fn count_in_turn(&mut self, bytes: usize, turn: u64) {
        self.in_turn = TurnBytes { turn, bytes: self.bytes_in_turn(turn) + bytes };
    }

    pub(super) fn bytes_in_turn(&self, turn: u64) -> usize {
        if self.in_turn.turn == turn { self.in_turn.bytes } else { 0 }
    }

    /// Queues a frame for it alone. Returns whether it is the first one.
    pub(super) fn queue(&mut self, frame: &[u8]) -> bool {
        let is_first = self.frames.is_empty();
        self.frames.extend_from_slice(frame);
        is_first
    }

    /// Puts out the queued frames.
    pub(super) fn flush(&mut self, id: ClientId, turn: u64, out: &mut Outputs) {
        if !self.frames.is_empty() {
            let frames = std::mem::take(&mut self.frames);
            self.count_in_turn(frames.len(), turn);
            let bytes = out.store(&frames);
            out.write([id], bytes, 0);
        }
    }

    /// Marks it as closed, and drops the queued frames.
    pub(super) fn close(&mut self) {
        self.phase = Phase::Closed;
        self.frames = Vec::new();
    }
}

impl V2 {
    /// A client that was just opened.
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            greeting: Greeting::Preparing { opened_ms: now_ms, active: Vec::new() },
            sends: SendOrder::default(),
            topic: None,
            parked: None,
            frames: Rate::default(),
        }
    }
}
