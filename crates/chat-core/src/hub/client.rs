//! A connection as the hub sees it.

use super::join::{Join, JoinOrigin, JoinedRoom};
use super::rate::{Rate, RateLimit};
use super::rooms::RoomSlot;
use super::send_order::SendOrder;
use super::users::UserSlot;
use crate::frame::Version;
use crate::outputs::Outputs;
use crate::{
    ClientId, CloseCode, Content, Conversations, Memberships, Nonce, Pair, RoomChange, RoomName, SessionId,
    Topic,
};

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    reference: ClientRef,
    user: UserSlot,
    session: Option<SessionId>,
    /// When its token expires, in milliseconds of the monotonic clock.
    expires_ms: Option<u64>,
    protocol: ClientProtocol,
    /// The rooms it has joined; a v1 client has one from its first moment on.
    rooms: Vec<JoinedRoom>,
    /// Bytes that its socket has not taken yet.
    pending: usize,
    /// Whether the hub's list of replays that continue in the next turn has it.
    held_back: bool,
    /// Its drafts without a receipt.
    unanswered: u32,
    /// Its history requests that are being read.
    reading: u32,
    paused: Option<Paused>,
    phase: Phase,
    /// Frames for it alone, written at the end of the turn.
    frames: Vec<u8>,
    in_turn: TurnBytes,
    /// When it is cut off, in milliseconds, unless its socket takes everything before:
    /// it was taken out of a room that its user may not read any more.
    must_take_by_ms: Option<u64>,
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
    greeting: Greeting,
    /// The order of its sends, which bounds itself.
    pub(super) sends: SendOrder,
    /// The topic of its unanswered drafts.
    topic: Option<Topic>,
    /// A send that waits until those to another topic are answered.
    parked: Option<AdmittedSend>,
    /// How fast it sends frames of any kind.
    frames: Rate,
}

/// How far a v2 client is with its `hello`.
#[derive(Debug)]
enum Greeting {
    /// Its conversations are being read. No other frame may be sent yet.
    Preparing {
        opened_ms: u64,
        /// Conversations in which entries were delivered meanwhile, and the number of the
        /// last one of each.
        active: Vec<(Pair, u64)>,
        /// Changes of rooms meanwhile that may concern the user.
        changes: Vec<RoomChange>,
        conversations: Option<Conversations>,
        memberships: Option<Memberships>,
    },
    /// The `hello` was sent.
    Sent {
        at_ms: u64,
        /// The numbers in it: an entry up to there may still arrive, and is not
        /// for this client. Emptied after a while.
        tops: Vec<(Pair, u64)>,
    },
}

/// What a `hello` is made of.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Conversations in which entries were delivered while it was prepared, and the number
    /// of the last one of each.
    pub(super) active: Vec<(Pair, u64)>,
    /// Changes of rooms meanwhile.
    pub(super) changes: Vec<RoomChange>,
    pub(super) conversations: Conversations,
    pub(super) memberships: Memberships,
}

/// A message of a v2 client.
#[derive(Debug)]
pub(super) struct Send {
    pub(super) topic: Topic,
    pub(super) content: Content,
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
enum Phase {
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
    /// Tells this client from an earlier one of the same id.
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
        reference: ClientRef,
        user: UserSlot,
        session: Option<SessionId>,
        expires_ms: Option<u64>,
        protocol: ClientProtocol,
    ) -> Self {
        Self {
            reference,
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
            must_take_by_ms: None,
        }
    }

    pub(super) fn reference(&self) -> ClientRef {
        self.reference
    }

    pub(super) fn user(&self) -> UserSlot {
        self.user
    }

    pub(super) fn protocol(&self) -> &ClientProtocol {
        &self.protocol
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

    // Its token.

    /// Whether its token has a session: one of another issuer has none.
    pub(super) fn is_of_a_session(&self) -> bool {
        self.session.is_some()
    }

    pub(super) fn has_session(&self, session: &SessionId) -> bool {
        self.session.as_ref() == Some(session)
    }

    pub(super) fn expires_ms(&self) -> Option<u64> {
        self.expires_ms
    }

    /// Notes that its token is good until `expires_ms`; one that never expires
    /// stays so.
    pub(super) fn renew(&mut self, expires_ms: u64) {
        self.expires_ms = self.expires_ms.map(|before_ms| before_ms.max(expires_ms));
    }

    // Its end.

    /// Whether its frames are taken.
    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    pub(super) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// From here on no frame of it is taken; it is to be closed with this code once
    /// its drafts are answered: see [`finished`](Self::finished).
    pub(super) fn finish(&mut self, code: CloseCode) {
        self.phase = Phase::Finishing(code);
    }

    /// The code to close it with, if that is due: no frame of it is taken any more,
    /// and its drafts are answered.
    pub(super) fn finished(&self) -> Option<CloseCode> {
        match self.phase {
            Phase::Finishing(code) if self.unanswered == 0 => Some(code),
            Phase::Open | Phase::Finishing(_) | Phase::Closed => None,
        }
    }

    // What is on its way for it.

    /// How many of its drafts have no receipt.
    pub(super) fn unanswered(&self) -> u32 {
        self.unanswered
    }

    pub(super) fn begin_draft(&mut self) {
        self.unanswered += 1;
    }

    /// One of its drafts was answered. Returns the send that waited for that, if it
    /// was the last one.
    pub(super) fn end_draft(&mut self) -> Option<AdmittedSend> {
        self.unanswered -= 1;
        if self.unanswered > 0 {
            return None;
        }
        self.v2()?.parked.take()
    }

    /// How many of its history requests are being read.
    pub(super) fn reading(&self) -> u32 {
        self.reading
    }

    pub(super) fn begin_read(&mut self) {
        self.reading += 1;
    }

    pub(super) fn end_read(&mut self) {
        self.reading -= 1;
    }

    // Its pauses.

    pub(super) fn paused(&self) -> Option<Paused> {
        self.paused
    }

    /// Sets why it is paused; returns why it was before.
    pub(super) fn set_paused(&mut self, paused: Option<Paused>) -> Option<Paused> {
        std::mem::replace(&mut self.paused, paused)
    }

    /// Notes that its replays continue in the next turn. Returns whether they were
    /// not held back before.
    pub(super) fn hold_back(&mut self) -> bool {
        !std::mem::replace(&mut self.held_back, true)
    }

    pub(super) fn end_hold_back(&mut self) {
        self.held_back = false;
    }

    /// Bytes that its socket has not taken yet.
    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// Its socket must take everything by this time, in milliseconds.
    pub(super) fn must_take_by(&mut self, due_ms: u64) {
        self.must_take_by_ms.get_or_insert(due_ms);
    }

    /// Forgets the time by which its socket must take everything, if the socket has.
    pub(super) fn forget_taken(&mut self) {
        if self.pending == 0 {
            self.must_take_by_ms = None;
        }
    }

    /// Whether its socket has not taken in time what it must.
    pub(super) fn is_overdue(&self, now_ms: u64) -> bool {
        self.pending > 0 && self.must_take_by_ms.is_some_and(|due_ms| due_ms <= now_ms)
    }

    /// Sets the bytes that its socket has not taken; returns those before.
    pub(super) fn set_pending(&mut self, bytes: usize) -> usize {
        if bytes == 0 {
            self.must_take_by_ms = None;
        }
        std::mem::replace(&mut self.pending, bytes)
    }

    // Its `hello`.

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

    // Its rooms.

    pub(super) fn rooms(&self) -> &[JoinedRoom] {
        &self.rooms
    }

    /// Begins to join a room. The number tells this join from others of the client;
    /// `asks`: the store is asked whether the user may.
    pub(super) fn join(&mut self, room: RoomSlot, origin: JoinOrigin, number: u64, asks: bool, now_ms: u64) {
        let join = Join::new(origin, asks.then_some(number), now_ms);
        self.rooms.push(JoinedRoom { room, join, number });
    }

    /// Starts the deadlines of its joins anew: until now its own socket was in the way.
    pub(super) fn restart_deadlines(&mut self, now_ms: u64) {
        for joined in &mut self.rooms {
            joined.join.restart_deadline(now_ms);
        }
    }

    /// The number of the join by which it may read a room: the store is not asked any more.
    pub(super) fn reading_join(&self, room: RoomSlot) -> Option<u64> {
        let joined = self.rooms.iter().find(|joined| joined.room == room)?;
        (!joined.join.is_asking()).then_some(joined.number)
    }

    /// How far it has got with joining a room, if it has joined it at all.
    pub(super) fn join_in(&mut self, room: RoomSlot) -> Option<&mut Join> {
        self.rooms.iter_mut().find(|joined| joined.room == room).map(|joined| &mut joined.join)
    }

    /// Takes a room from those it has joined.
    pub(super) fn take_room(&mut self, room: RoomSlot) -> Option<JoinedRoom> {
        self.take_room_if(|joined| joined.room == room)
    }

    /// Takes the first room that a predicate holds for from those it has joined.
    pub(super) fn take_room_if(&mut self, predicate: impl Fn(&JoinedRoom) -> bool) -> Option<JoinedRoom> {
        let index = self.rooms.iter().position(predicate)?;
        Some(self.rooms.swap_remove(index))
    }

    // Its frames.

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

    /// Marks it as closed, and drops the queued frames. Returns the rooms that it had
    /// joined.
    pub(super) fn close(&mut self) -> Vec<JoinedRoom> {
        self.phase = Phase::Closed;
        self.frames = Vec::new();
        std::mem::take(&mut self.rooms)
    }
}

impl V2 {
    /// A client that was just opened.
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            greeting: Greeting::Preparing {
                opened_ms: now_ms,
                active: Vec::new(),
                changes: Vec::new(),
                conversations: None,
                memberships: None,
            },
            sends: SendOrder::default(),
            topic: None,
            parked: None,
            frames: Rate::default(),
        }
    }
    /// Whether its `hello` was not sent yet.
    pub(super) fn is_being_greeted(&self) -> bool {
        matches!(self.greeting, Greeting::Preparing { .. })
    }

    /// Notes a change of a room that may concern the user, until the `hello` is sent.
    pub(super) fn note_change(&mut self, change: &RoomChange) {
        if let Greeting::Preparing { changes, .. } = &mut self.greeting {
            changes.push(change.clone());
        }
    }

    /// The changes of rooms since it was opened that may concern the user, until the
    /// `hello` is sent.
    pub(super) fn changes_since_opened(&self) -> &[RoomChange] {
        match &self.greeting {
            Greeting::Preparing { changes, .. } => changes,
            Greeting::Sent { .. } => &[],
        }
    }

    /// Keeps the user's rooms for the `hello`.
    pub(super) fn set_memberships(&mut self, read: Memberships) {
        if let Greeting::Preparing { memberships, .. } = &mut self.greeting {
            *memberships = Some(read);
        }
    }

    /// Keeps the user's conversations for the `hello`.
    pub(super) fn set_conversations(&mut self, read: Conversations) {
        if let Greeting::Preparing { conversations, .. } = &mut self.greeting {
            *conversations = Some(read);
        }
    }

    /// Ends the preparation of its `hello`; `None` if it has not everything yet, or was
    /// sent before.
    pub(super) fn end_greeting(&mut self, now_ms: u64) -> Option<Prepared> {
        let is_ready = matches!(
            &self.greeting,
            Greeting::Preparing { conversations: Some(_), memberships: Some(_), .. }
        );
        if !is_ready {
            return None;
        }
        match std::mem::replace(&mut self.greeting, Greeting::Sent { at_ms: now_ms, tops: Vec::new() }) {
            Greeting::Preparing {
                active,
                changes,
                conversations: Some(conversations),
                memberships: Some(memberships),
                ..
            } => Some(Prepared { active, changes, conversations, memberships }),
            Greeting::Preparing { .. } | Greeting::Sent { .. } => None,
        }
    }

    /// Notes the numbers in the `hello` that was sent.
    pub(super) fn set_tops(&mut self, tops_sent: Vec<(Pair, u64)>) {
        if let Greeting::Sent { tops, .. } = &mut self.greeting {
            *tops = tops_sent;
        }
    }

    /// Forgets the numbers in its `hello` if it was sent at `until_ms` or before.
    pub(super) fn forget_tops(&mut self, until_ms: u64) {
        if let Greeting::Sent { at_ms, tops } = &mut self.greeting
            && *at_ms <= until_ms
        {
            *tops = Vec::new();
        }
    }

    /// Decides whether it is sent a private message: not before its `hello`, and not
    /// if that has counted it already.
    pub(super) fn offer_private(&mut self, pair: &Pair, seq: u64) -> PrivateOffer {
        match &mut self.greeting {
            Greeting::Preparing { active, .. } => {
                match active.iter_mut().find(|(known, _)| known == pair) {
                    Some((_, last)) => *last = seq.max(*last),
                    None => active.push((pair.clone(), seq)),
                }
                PrivateOffer::Later { active: active.len() }
            }
            Greeting::Sent { tops, .. } if tops.iter().any(|(known, top)| known == pair && seq <= *top) => {
                PrivateOffer::Known
            }
            Greeting::Sent { .. } => PrivateOffer::Send,
        }
    }

    /// Whether a send must wait for unanswered drafts to another topic.
    pub(super) fn must_wait(&self, topic: &Topic) -> bool {
        self.topic.as_ref() != Some(topic)
    }

    /// Keeps a send until the drafts before it are answered.
    pub(super) fn park(&mut self, send: AdmittedSend) {
        self.parked = Some(send);
    }

    /// Whether a send waits for the drafts before it.
    pub(super) fn has_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// Notes the topic of its next draft.
    pub(super) fn set_topic(&mut self, topic: Topic) {
        self.topic = Some(topic);
    }

    /// Counts a frame of any kind.
    pub(super) fn count_frame(&mut self, limit: RateLimit, now_ms: u64) {
        self.frames.count(limit, now_ms);
    }

    /// Whether one more frame is allowed now; `None`: there is no limit.
    pub(super) fn allows_frame(&self, limit: Option<RateLimit>, now_ms: u64) -> bool {
        limit.is_none_or(|limit| self.frames.allows(limit, now_ms))
    }
}

/// What becomes of a private message for one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PrivateOffer {
    /// It is sent.
    Send,
    /// The client's `hello` has counted it.
    Known,
    /// The client's `hello` will count it, as one of the conversations that are
    /// `active` by now.
    Later { active: usize },
}
