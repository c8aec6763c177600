//! The client's half of protocol v2 as a pure value: what must be sent, what the
//! application has seen, and what to do when the connection is lost.

mod connection;
mod marks;
mod options;
mod outbox;
mod privates;
mod requests;
mod rooms;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::connection::{ConnectionPhase, Server};
use self::marks::Marks;
pub use self::options::Options;
use self::outbox::Outbox;
use self::privates::CatchUp;
use self::requests::{Expected, QueuedPage, Requests};
use self::rooms::Room;
pub use self::snapshot::{Mark, Snapshot, Unsent};
use crate::frame::{self, Frame, Left, Refusal, Request};
use crate::{Account, Event, Rng, Seen, Topic};

/// The state machine of a client that connects again after each loss.
///
/// A session does nothing by itself. Its program calls it with each thing that
/// happens, and with the time, and then performs the [`Output`]s until there is
/// none ([`next_output`](Self::next_output)). When
/// [`next_tick_ms`](Self::next_tick_ms) is due, the program calls
/// [`tick`](Self::tick). The same seed and calls give the same outputs.
///
/// `now_ms` are milliseconds of a clock that never goes back. Nonces begin with
/// it, and a database stores them faster when they rise from one run of the
/// program to the next: the best clock starts with the time since 1970 and
/// counts on steadily from there.
///
/// # Guarantees
///
/// - A message that [`send`](Self::send) accepted is sent until the server
///   answers, in the order of the calls; [`Event::Stored`] or [`Event::NotSent`]
///   comes once for each.
/// - Each message of a joined room, and each private message, comes once and in
///   order, or an [`Event::Reset`] reports that some were missed.
/// - A mark that [`read`](Self::read) set is sent until the server keeps it.
/// - Everything that is kept has a cap: see [`Options`].
#[derive(Debug)]
pub struct Session {
    options: Options,
    rng: Rng,
    out: VecDeque<Output>,
    connection: ConnectionPhase,
    server: Server,
    /// Connections in a row that failed or did not last.
    failures: u32,
    /// When something was last received from the server.
    received_ms: u64,
    seen: Seen,
    account: Account,
    marks: Marks,
    rooms: BTreeMap<String, Room>,
    /// The rooms for which a request is to be sent, now or later.
    rooms_due: BTreeSet<String>,
    outbox: Outbox,
    requests: Requests,
    /// Pages of history that the application wants and that are not requested from
    /// the server yet.
    history: VecDeque<QueuedPage>,
    catch_up: CatchUp,
}

/// What a session's program does for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all outputs are events, and each is taken out at once")]
pub enum Output {
    /// Open a connection, then call [`Session::opened`], or [`Session::closed`] if
    /// it cannot be opened.
    Connect,
    /// Send this text message.
    Transmit(String),
    /// Drop the connection and everything that is still in it: the session expects
    /// nothing more from it.
    Hangup,
    /// Hand this event to the application.
    Event(Event),
}

/// Why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Wait until a message is stored.
    #[error("the outbox is full ({max_messages} messages or {max_bytes} bytes)")]
    OutboxFull {
        /// [`Options::outbox_max_messages`].
        max_messages: usize,
        /// [`Options::outbox_max_bytes`].
        max_bytes: usize,
    },
    /// Leave another room.
    #[error("too many rooms are joined (at most {max})")]
    TooManyRooms {
        /// [`Options::rooms_max`].
        max: usize,
    },
    /// Join the room first.
    #[error("the room is not joined")]
    NotJoined,
    /// A nonce has 1 to 64 characters, and no control characters.
    #[error("a nonce has 1 to 64 characters, none of them a control character")]
    BadNonce,
    /// Mention fewer users, or everybody.
    #[error("a message mentions at most {max} users")]
    TooManyMentions {
        /// [`MENTIONS_MAX`](crate::MENTIONS_MAX).
        max: usize,
    },
    /// Attach fewer files.
    #[error("a message has at most {max} files")]
    TooManyFiles {
        /// [`FILES_MAX`](crate::FILES_MAX).
        max: usize,
    },
    /// A send with this nonce has no answer yet: wait for it.
    #[error("a message with this nonce is being sent")]
    NonceInUse,
    /// This session is not sending a message with this nonce to this topic, and has not
    /// just sent it: name the message by its number.
    #[error("no message with this nonce is being sent there")]
    UnknownMessage,
    /// The server lacks a feature.
    #[error("the server has no feature `{feature}`")]
    Unsupported {
        /// Its name in `hello.features`.
        feature: &'static str,
    },
    /// Ask for fewer messages.
    #[error("a request names at most {max} messages")]
    TooManyNumbers {
        /// [`PAGE_NUMBERS_MAX`].
        max: usize,
    },
    /// Wait until there is a connection.
    #[error("not connected")]
    Offline,
    /// Wait for a page that was requested.
    #[error("too many pages of history are requested (at most {max})")]
    TooManyPages {
        /// [`Options::history_max`].
        max: usize,
    },
}

/// Which entries a page of history has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageFrom {
    /// The latest entries.
    Latest,
    /// The entries before this number.
    Before(u64),
    /// The entries after this number.
    After(u64),
    /// Messages around this number: half of the limit, rounded down, before it, the rest
    /// from it on. The server must have the feature `reply`.
    Around(u64),
    /// The messages with these numbers that are there, at most [`PAGE_NUMBERS_MAX`]. The
    /// server must have the feature `reply`.
    Numbers(Vec<u64>),
}

/// How many numbers a request for single messages names at most: the protocol's limit.
pub const PAGE_NUMBERS_MAX: usize = 50;

impl Session {
    /// A session that connects with its first tick. `seed` must be a different one
    /// each time, from the system's randomness: nonces are made from it.
    pub fn new(options: Options, seed: u64) -> Self {
        Self::restore(options, seed, Snapshot::default())
    }

    /// A session that continues from another one's snapshot. `seed` as in
    /// [`new`](Self::new).
    pub fn restore(options: Options, seed: u64, snapshot: Snapshot) -> Self {
        let joined = snapshot.seen.rooms().map(str::to_owned);
        let outbox_rooms = snapshot.outbox.iter().filter_map(|unsent| match &unsent.to {
            Topic::Room(room) => Some(room.clone()),
            Topic::Private(_) => None,
        });
        let rooms: BTreeMap<String, Room> =
            joined.chain(outbox_rooms).map(|room| (room, Room::default())).collect();
        Self {
            options,
            rng: Rng::new(seed),
            out: VecDeque::new(),
            connection: ConnectionPhase::Down { until_ms: 0 },
            server: Server::unknown(),
            failures: 0,
            received_ms: 0,
            seen: snapshot.seen,
            account: Account::default(),
            marks: Marks::restore(snapshot.marks),
            rooms_due: rooms.keys().cloned().collect(),
            rooms,
            outbox: Outbox::restore(snapshot.outbox),
            requests: Requests::default(),
            history: VecDeque::new(),
            catch_up: CatchUp::default(),
        }
    }

    /// The state from which another run of the program continues.
    pub fn snapshot(&self) -> Snapshot {
        let outbox = self.outbox.unsent().collect();
        Snapshot { seen: self.seen.clone(), outbox, marks: self.marks.kept() }
    }

    /// The next thing to do.
    pub fn next_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`tick`](Self::tick) is due; `u64::MAX` if nothing is due before
    /// another call.
    pub fn next_tick_ms(&self) -> u64 {
        match self.connection {
            ConnectionPhase::Down { until_ms }
            | ConnectionPhase::Connecting { until_ms }
            | ConnectionPhase::Greeting { until_ms } => until_ms,
            ConnectionPhase::SignedOut => u64::MAX,
            ConnectionPhase::Up { reconnect_at_ms: Some(reconnect_at_ms), .. } => {
                (reconnect_at_ms + self.options.hello_timeout_ms).min(self.silence_deadline_ms())
            }
            ConnectionPhase::Up { .. } => [
                self.silence_deadline_ms(),
                self.answer_deadline_ms(),
                self.outbox.next_ms(),
                self.next_room_ms(),
                self.next_mark_ms(),
                if self.may_request_page() { self.catch_up.next_ms() } else { u64::MAX },
            ]
            .into_iter()
            .min()
            .unwrap_or(u64::MAX),
        }
    }

    /// How many sends have no final answer.
    pub fn unsent(&self) -> usize {
        self.outbox.len()
    }

    /// How far the application has seen each topic.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The user's rooms and conversations, by the events that were put out.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Does what is due by now.
    pub fn tick(&mut self, now_ms: u64) {
        self.tick_connection(now_ms);
        self.send_due(now_ms);
    }

    /// Takes a text message of the server.
    pub fn frame(&mut self, now_ms: u64, text: &str) {
        self.received(now_ms);
        match self.connection {
            ConnectionPhase::Greeting { .. } => {
                if let Frame::Hello(hello) = frame::parse(text) {
                    self.hello(hello, now_ms);
                }
            }
            ConnectionPhase::Up { .. } => self.handle(frame::parse(text), now_ms),
            _ => return,
        }
        self.send_due(now_ms);
    }

    /// Shows the others in a room, or the other user of a conversation, that this user
    /// types or no longer does. Does nothing where the server has no such feature, or
    /// while there is no connection, or the room is not joined on it. While a user
    /// types, an application calls this every 3 s or so: the others end it after 6 s,
    /// and the server passes on no more than one in 2 s.
    pub fn typing(&mut self, now_ms: u64, topic: &Topic, active: bool) {
        let (room, to) = match topic {
            Topic::Room(room) if !self.is_in(room) => return,
            Topic::Room(room) => (Some(room.as_str()), None),
            Topic::Private(to) => (None, Some(to.as_str())),
        };
        if self.server.features.typing
            && matches!(self.connection, ConnectionPhase::Up { reconnect_at_ms: None, .. })
        {
            let frame = Request::Typing { room, to, active }.write();
            self.out.push_back(Output::Transmit(frame));
        }
        self.send_due(now_ms);
    }

    fn handle(&mut self, frame: Frame, now_ms: u64) {
        match frame {
            Frame::Room { room, seq, item } => self.room_entry(room, seq, item, now_ms),
            Frame::Private { from, to, seq, item } => {
                let with = if self.seen.user() == Some(&*from) { to } else { from };
                self.private_entry(with, seq, item, now_ms);
            }
            Frame::Joined(joined) => self.joined(joined, now_ms),
            Frame::Replayed { room, upto } => self.replayed(room, upto),
            Frame::Left(Left { room: Some(room), reason: Some(reason), .. }) => self.ended(room, reason),
            Frame::Left(Left { reference, .. }) => {
                if let Some(Expected::Left(room)) = self.complete(reference, now_ms) {
                    self.left(&room, reference);
                }
            }
            Frame::Ack(ack) => self.acknowledged(ack, now_ms),
            Frame::History(page) => match self.complete(page.reference, now_ms) {
                Some(Expected::Page(request)) => self.page_received(request, page),
                Some(Expected::CatchUp(with)) => self.caught_up(&with, page, now_ms),
                _ => {}
            },
            Frame::Presence { room, change } => {
                if self.is_in(&room) {
                    self.emit(Event::Presence { room, change });
                }
            }
            Frame::Typing { topic, user, active } => {
                let is_shown = match &topic {
                    Topic::Room(room) => self.is_in(room),
                    Topic::Private(_) => true,
                };
                if is_shown {
                    self.emit(Event::Typing { topic, user, active });
                }
            }
            Frame::Membership { room, title, access, archived, role } => {
                self.emit(Event::Room { room, title, access, archived, role });
            }
            Frame::NotMember { room } => self.emit(Event::RoomGone { room }),
            Frame::Activity { room, top, at, new, mentions } => {
                self.emit(Event::Activity { room, top, at, new, mentions });
            }
            Frame::Read { topic, upto, top, counts } => self.read_elsewhere(topic, upto, top, counts),
            Frame::Level { topic, level } => self.level_elsewhere(topic, level),
            Frame::Error(refusal) => self.refused(refusal, now_ms),
            Frame::Reconnect { after_ms } => self.reconnect_requested(after_ms, now_ms),
            Frame::Hello(_) | Frame::Unknown => {}
        }
    }

    fn refused(&mut self, refusal: Refusal, now_ms: u64) {
        if refusal.nonce.is_some() {
            return self.send_refused(refusal, now_ms);
        }
        let reference = refusal.reference;
        if reference.is_some_and(|reference| self.mark_refused(reference, &refusal, now_ms)) {
            return;
        }
        match self.complete(reference, now_ms) {
            Some(Expected::Joined(room)) => self.join_refused(room, reference, refusal, now_ms),
            Some(Expected::Left(room)) => self.left(&room, reference),
            Some(Expected::Page(request)) => {
                let Refusal { code, message, .. } = refusal;
                self.emit(Event::NoHistory { request, code, message });
            }
            Some(Expected::CatchUp(with)) => self.catch_up_refused(&with, &refusal, now_ms),
            // The user was removed from a room meanwhile: the answer to a mark that a later
            // one has replaced, or to typing, which has no `ref`.
            None if ["not_found", "not_joined", "unavailable"].contains(&&*refusal.code) => {}
            None => self.emit(Event::Problem { code: refusal.code, message: refusal.message }),
        }
    }

    /// Sends what may be sent by now.
    fn send_due(&mut self, now_ms: u64) {
        if let ConnectionPhase::Up { reconnect_at_ms: None, .. } = self.connection {
            self.send_room_requests(now_ms);
            self.send_page_requests(now_ms);
            self.send_catch_up_requests(now_ms);
            self.send_marks(now_ms);
            self.send_outbox(now_ms);
            // A room is left behind its last send, which may have been answered now.
            self.send_room_requests(now_ms);
        }
    }

    /// Puts out an event, and counts it as seen.
    fn emit(&mut self, event: Event) {
        self.seen.apply(&event);
        self.account.apply(&event);
        self.out.push_back(Output::Event(event));
    }
}
