//! The client's side of protocol v2, as a value: what must be sent, what has
//! been seen, and what to do when the connection is lost.

mod outbox;
mod privates;
mod requests;
mod rooms;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use self::outbox::Outbox;
use self::privates::CatchUp;
use self::requests::{Answers, Expected, Queued};
use self::rooms::Room;
use crate::frame::{self, Frame, Hello, Refusal};
use crate::{Event, Place, Rng, Seen};

/// A client that is always about to be connected.
///
/// A session does nothing by itself. Its program tells it what happens, with
/// the time, and then does the [`Output`]s until there is none
/// ([`next_output`](Self::next_output)); when
/// [`next_tick_ms`](Self::next_tick_ms) is due, it calls [`tick`](Self::tick).
/// The same seed and calls give the same outputs.
///
/// `now_ms` are milliseconds of a clock that never goes back. Nonces begin with
/// it, and a database stores them faster when they rise from one run of the
/// program to the next: the best clock says the time since 1970 when the
/// program starts and counts on steadily.
///
/// # What is promised
///
/// - What was taken by [`send`](Self::send) is sent until the server answers,
///   in the order of the calls; [`Event::Stored`] or [`Event::NotSent`] comes
///   once for each.
/// - Each message of a room that was joined, and each private message, comes
///   once and in order, or an [`Event::Reset`] says that some were missed.
/// - Nothing is held without a cap: see [`Options`].
#[derive(Debug)]
pub struct Session {
    options: Options,
    rng: Rng,
    out: VecDeque<Output>,
    link: Link,
    server: Server,
    /// Connections in a row that failed or did not last.
    failures: u32,
    /// When the last thing came from the server.
    heard_ms: u64,
    seen: Seen,
    rooms: BTreeMap<String, Room>,
    /// Rooms about which something is to be done, now or later.
    rooms_due: BTreeSet<String>,
    outbox: Outbox,
    answers: Answers,
    /// Pages of history that the application asked for, not sent yet.
    history: VecDeque<Queued>,
    catch_up: CatchUp,
}

/// Everything about a session that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Sends without a final answer that are kept; one more is refused.
    pub outbox_max_messages: usize,
    /// Bytes of text in them; what goes beyond is refused.
    pub outbox_max_bytes: usize,
    /// Rooms one may be in; one more is refused.
    pub rooms_max: usize,
    /// Sends without an answer on a connection, if the server allows as many
    /// (its `limits.unanswered_max`); the rest waits.
    pub in_flight_max: usize,
    /// Pages of history that may be asked for at the same time; one more is
    /// refused.
    pub history_max: usize,
    /// The least and …
    pub backoff_min_ms: u64,
    /// … the most time before the next try to connect or to send, chosen at
    /// random below a cap that doubles (full jitter).
    pub backoff_max_ms: u64,
    /// A connection that lasted this long was a good one: after it, the
    /// backoff starts anew.
    pub stable_after_ms: u64,
    /// A connection must be open after this …
    pub connect_timeout_ms: u64,
    /// … and the server have said hello after this.
    pub hello_timeout_ms: u64,
    /// Nothing came for this long: the connection is dead. `None`: twice the
    /// server's heartbeat.
    pub silence_max_ms: Option<u64>,
    /// Nothing of what was asked was answered for this long: the connection is
    /// given up. Longer than a user's rate limit may slow a connection down.
    pub answer_timeout_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            outbox_max_messages: 1_000,
            outbox_max_bytes: 4 * 1024 * 1024,
            rooms_max: 1_000,
            in_flight_max: 32,
            history_max: 16,
            backoff_min_ms: 500,
            backoff_max_ms: 30_000,
            stable_after_ms: 10_000,
            connect_timeout_ms: 15_000,
            hello_timeout_ms: 15_000,
            silence_max_ms: None,
            answer_timeout_ms: 60_000,
        }
    }
}

/// What a session's program does for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Open a connection; say [`Session::opened`], or [`Session::closed`] if it
    /// cannot be.
    Connect,
    /// Send this text message.
    Transmit(String),
    /// Drop the connection, and whatever is still in it: the session expects
    /// nothing more from it.
    Hangup,
    /// Tell the application.
    Event(Event),
}

/// Why something was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Wait until something is stored.
    #[error("the outbox is full ({max_messages} messages or {max_bytes} bytes)")]
    OutboxFull {
        /// [`Options::outbox_max_messages`].
        max_messages: usize,
        /// [`Options::outbox_max_bytes`].
        max_bytes: usize,
    },
    /// Leave another room.
    #[error("in too many rooms (at most {max})")]
    TooManyRooms {
        /// [`Options::rooms_max`].
        max: usize,
    },
    /// Join the room first.
    #[error("the room is not joined")]
    NotJoined,
    /// A nonce has 1 to 64 characters, none of them U+0000.
    #[error("a nonce has 1 to 64 characters, none of them U+0000")]
    BadNonce,
    /// This nonce is in the outbox already: wait for its answer.
    #[error("something with this nonce is being sent")]
    NonceInUse,
    /// Wait until there is a connection.
    #[error("not connected")]
    Offline,
    /// Wait for a page that was asked for.
    #[error("too many pages of history are asked for (at most {max})")]
    TooManyPages {
        /// [`Options::history_max`].
        max: usize,
    },
}

/// Where a page of history starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageFrom {
    /// The latest entries.
    Latest,
    /// Those before this number.
    Before(u64),
    /// Those after this number.
    After(u64),
}

/// What a session must know to go on in another run of its program.
///
/// It is right when all outputs were taken and all their events dealt with:
/// what was told counts as seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// What was seen; the rooms in it are joined again.
    pub seen: Seen,
    /// What has no final answer, in order.
    pub outbox: Vec<Unsent>,
}

/// Something that was sent, or is to be, and has no final answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsent {
    /// Its nonce.
    pub nonce: String,
    /// Where it goes.
    pub to: Place,
    /// What it says.
    pub text: String,
    /// It was on its way once: the server may have stored it.
    pub may_be_stored: bool,
}

/// The connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// There is none before this.
    Down {
        until_ms: u64,
    },
    Connecting {
        until_ms: u64,
    },
    /// It is open; `hello` must come.
    Greeting {
        until_ms: u64,
    },
    Up {
        since_ms: u64,
        /// The server is about to close, and wants to see us again then.
        come_back_ms: Option<u64>,
    },
    SignedOut,
}

/// What `hello` said.
#[derive(Debug)]
struct Server {
    silence_max_ms: u64,
    unanswered_max: usize,
    message_max_bytes: usize,
}

impl Session {
    /// A session that connects with its first tick. `seed` must be another one
    /// each time, from the system's randomness: nonces are made from it.
    pub fn new(options: Options, seed: u64) -> Self {
        Self::restore(options, seed, Snapshot::default())
    }

    /// A session that goes on where another one was.
    pub fn restore(options: Options, seed: u64, snapshot: Snapshot) -> Self {
        let wanted = snapshot.seen.rooms().map(str::to_owned);
        let outbox_rooms = snapshot.outbox.iter().filter_map(|unsent| match &unsent.to {
            Place::Room(room) => Some(room.clone()),
            Place::Person(_) => None,
        });
        let rooms: BTreeMap<String, Room> =
            wanted.chain(outbox_rooms).map(|room| (room, Room::default())).collect();
        Self {
            options,
            rng: Rng::new(seed),
            out: VecDeque::new(),
            link: Link::Down { until_ms: 0 },
            server: Server {
                silence_max_ms: u64::MAX,
                unanswered_max: UNANSWERED_MAX,
                message_max_bytes: MESSAGE_MAX_BYTES,
            },
            failures: 0,
            heard_ms: 0,
            seen: snapshot.seen,
            rooms_due: rooms.keys().cloned().collect(),
            rooms,
            outbox: Outbox::restore(snapshot.outbox),
            answers: Answers::default(),
            history: VecDeque::new(),
            catch_up: CatchUp::default(),
        }
    }

    /// What must be known to go on later.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { seen: self.seen.clone(), outbox: self.outbox.unsent().collect() }
    }

    /// The next thing to do.
    pub fn next_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`tick`](Self::tick) is due; `u64::MAX`: not before something else
    /// happens.
    pub fn next_tick_ms(&self) -> u64 {
        match self.link {
            Link::Down { until_ms } | Link::Connecting { until_ms } | Link::Greeting { until_ms } => until_ms,
            Link::SignedOut => u64::MAX,
            Link::Up { come_back_ms: Some(come_back_ms), .. } => {
                (come_back_ms + self.options.hello_timeout_ms).min(self.silent_at_ms())
            }
            Link::Up { .. } => [
                self.silent_at_ms(),
                self.answer_overdue_at_ms(),
                self.outbox.next_ms(),
                self.next_room_ms(),
                if self.may_ask_for_page() { self.catch_up.next_ms() } else { u64::MAX },
            ]
            .into_iter()
            .min()
            .unwrap_or(u64::MAX),
        }
    }

    /// Whether the server has said hello on the present connection.
    pub fn is_online(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    /// How many sends have no final answer.
    pub fn unsent(&self) -> usize {
        self.outbox.len()
    }

    /// What was seen.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: u64) {
        match self.link {
            Link::Down { until_ms } if until_ms <= now_ms => {
                self.link = Link::Connecting { until_ms: now_ms + self.options.connect_timeout_ms };
                self.out.push_back(Output::Connect);
            }
            Link::Connecting { until_ms } | Link::Greeting { until_ms } if until_ms <= now_ms => {
                self.hang_up(now_ms);
            }
            Link::Up { come_back_ms, .. } => {
                let stays = come_back_ms.is_some_and(|ms| ms + self.options.hello_timeout_ms <= now_ms);
                if stays || self.silent_at_ms() <= now_ms || self.answer_overdue_at_ms() <= now_ms {
                    self.hang_up(now_ms);
                }
            }
            _ => {}
        }
        self.go_on(now_ms);
    }

    /// The connection that was asked for is open.
    pub fn opened(&mut self, now_ms: u64) {
        if let Link::Connecting { .. } = self.link {
            self.heard_ms = now_ms;
            self.link = Link::Greeting { until_ms: now_ms + self.options.hello_timeout_ms };
        }
    }

    /// A text message came.
    pub fn frame(&mut self, now_ms: u64, text: &str) {
        self.heard(now_ms);
        match self.link {
            Link::Greeting { .. } => {
                if let Frame::Hello(hello) = frame::parse(text) {
                    self.greeted(hello, now_ms);
                }
            }
            Link::Up { .. } => self.take(frame::parse(text), now_ms),
            _ => return,
        }
        self.go_on(now_ms);
    }

    /// Something else came, a ping perhaps: the connection lives.
    pub fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
    }

    /// The connection is lost, or cannot be opened. `code` is that of the close
    /// frame. Where the server refuses the token at the door (401 or 403), it
    /// is 1008.
    pub fn closed(&mut self, now_ms: u64, code: Option<u16>) {
        if !matches!(self.link, Link::Down { .. } | Link::SignedOut) {
            self.lost(now_ms, code);
        }
    }

    /// There is a new token: comes back, if the session was signed out.
    pub fn signed_in(&mut self, now_ms: u64) {
        if self.link == Link::SignedOut {
            self.failures = 0;
            self.link = Link::Down { until_ms: now_ms };
        }
    }

    fn greeted(&mut self, hello: Hello, now_ms: u64) {
        self.link = Link::Up { since_ms: now_ms, come_back_ms: None };
        let heartbeat_ms = hello.heartbeat_seconds.unwrap_or(HEARTBEAT_S).saturating_mul(1000);
        self.server = Server {
            silence_max_ms: self.options.silence_max_ms.unwrap_or(heartbeat_ms.saturating_mul(2)),
            unanswered_max: hello.limits.unanswered_max.unwrap_or(UNANSWERED_MAX).max(1),
            message_max_bytes: hello.limits.message_max_bytes.unwrap_or(MESSAGE_MAX_BYTES),
        };
        let before = self.seen.user().map(str::to_owned);
        let is_another = before.is_some_and(|before| before != hello.user);
        if is_another {
            self.give_up_outbox_of_another();
        }
        self.greet_privates(hello);
        if is_another {
            let rooms: Vec<String> = self.seen.rooms().map(str::to_owned).collect();
            for room in rooms {
                self.tell(Event::Reset { place: Place::Room(room) });
            }
        }
    }

    fn take(&mut self, frame: Frame, now_ms: u64) {
        match frame {
            Frame::Room { room, seq, entry } => self.room_entry(room, seq, entry, now_ms),
            Frame::Private { from, to, seq, entry } => {
                let with = if self.seen.user() == Some(&*from) { to } else { from };
                self.private_entry(with, seq, entry, now_ms);
            }
            Frame::Joined(joined) => self.joined(joined, now_ms),
            Frame::Left { reference } => {
                if let Some(Expected::Left(room)) = self.answered(reference, now_ms) {
                    self.left(&room, reference);
                }
            }
            Frame::Ack(ack) => self.acknowledged(ack, now_ms),
            Frame::History(page) => match self.answered(page.reference, now_ms) {
                Some(Expected::Page(request)) => self.history_came(request, page),
                Some(Expected::CatchUp(with)) => self.caught_up(&with, page, now_ms),
                _ => {}
            },
            Frame::Presence { room, change } => {
                if self.is_in(&room) {
                    self.tell(Event::Presence { room, change });
                }
            }
            Frame::Error(refusal) => self.refused(refusal, now_ms),
            Frame::Reconnect { after_ms } => {
                if let Link::Up { come_back_ms, .. } = &mut self.link {
                    *come_back_ms = Some(now_ms + after_ms.min(COME_BACK_MAX_MS));
                }
            }
            Frame::Hello(_) | Frame::Unknown => {}
        }
    }

    fn refused(&mut self, refusal: Refusal, now_ms: u64) {
        if refusal.nonce.is_some() {
            return self.send_refused(refusal, now_ms);
        }
        let reference = refusal.reference;
        match self.answered(reference, now_ms) {
            Some(Expected::Joined(room)) => self.join_refused(room, reference, refusal, now_ms),
            Some(Expected::Left(room)) => self.left(&room, reference),
            Some(Expected::Page(request)) => {
                let Refusal { code, message, .. } = refusal;
                self.tell(Event::NoHistory { request, code, message });
            }
            Some(Expected::CatchUp(with)) => self.catch_up_refused(&with, &refusal, now_ms),
            None => self.tell(Event::Problem { code: refusal.code, message: refusal.message }),
        }
    }

    /// Does what can be done by now.
    fn go_on(&mut self, now_ms: u64) {
        if let Link::Up { come_back_ms: None, .. } = self.link {
            self.go_on_with_rooms(now_ms);
            self.go_on_with_history(now_ms);
            self.go_on_with_privates(now_ms);
            self.go_on_with_outbox(now_ms);
            // The last send to a room may have been what its leaving waited for.
            self.go_on_with_rooms(now_ms);
        }
    }

    fn hang_up(&mut self, now_ms: u64) {
        self.out.push_back(Output::Hangup);
        self.lost(now_ms, None);
    }

    fn lost(&mut self, now_ms: u64, code: Option<u16>) {
        let mut come_back = None;
        if let Link::Up { since_ms, come_back_ms } = self.link {
            come_back = come_back_ms;
            if since_ms + self.options.stable_after_ms <= now_ms {
                self.failures = 0;
                self.settle_privates();
            }
        }
        self.link = Link::Down { until_ms: now_ms };
        self.outbox_lost_connection(code == Some(TOO_BIG));
        self.rooms_lost_connection();
        self.history_lost_connection();
        self.catch_up = CatchUp::default();
        self.answers = Answers::after(&self.answers);
        if let Some(code @ (NO_LONGER_GOOD | SIGNED_OUT)) = code {
            self.link = Link::SignedOut;
            return self.tell(Event::SignedOut { code });
        }
        let until_ms = come_back.unwrap_or_else(|| now_ms + self.backoff(self.failures)).max(now_ms);
        if come_back.is_none() {
            self.failures += 1;
        }
        self.link = Link::Down { until_ms };
        self.tell(Event::Offline { code, retry_in_ms: until_ms - now_ms });
    }

    fn backoff(&mut self, failures: u32) -> u64 {
        let Options { backoff_min_ms, backoff_max_ms, .. } = self.options;
        backoff_ms(&mut self.rng, failures, backoff_min_ms, backoff_max_ms)
    }

    /// When to try again what was refused for now.
    fn retry_ms(&mut self, refusal: &Refusal, failures: u32, now_ms: u64) -> u64 {
        let asked_ms = refusal.retry_after.unwrap_or(0).saturating_mul(1000).min(COME_BACK_MAX_MS);
        now_ms + self.backoff(failures).max(asked_ms)
    }

    fn silent_at_ms(&self) -> u64 {
        self.heard_ms.saturating_add(self.server.silence_max_ms)
    }

    /// Puts out an event, and counts it as seen.
    fn tell(&mut self, event: Event) {
        self.seen.apply(&event);
        self.out.push_back(Output::Event(event));
    }
}

/// How long to wait after `failures` failures in a row: full jitter between
/// `min_ms` and a cap that doubles from there to `max_ms`.
fn backoff_ms(rng: &mut Rng, failures: u32, min_ms: u64, max_ms: u64) -> u64 {
    let cap_ms = min_ms.saturating_mul(1 << (failures + 1).min(20)).min(max_ms).max(min_ms);
    rng.between(min_ms, cap_ms)
}

/// Close codes: a message was too big, …
const TOO_BIG: u16 = 1009;
/// … the token is no longer good, …
const NO_LONGER_GOOD: u16 = 1008;
/// … the session was ended.
const SIGNED_OUT: u16 = 4001;
/// No server may send a client away for longer.
const COME_BACK_MAX_MS: u64 = 600_000;
/// What a server means that does not say: the protocol's own numbers.
const HEARTBEAT_S: u64 = 45;
const UNANSWERED_MAX: usize = 32;
const MESSAGE_MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_its_cap() {
        let mut rng = Rng::new(1);
        for failures in 0..100 {
            let cap_ms = (500_u64 << (failures + 1).min(10)).min(30_000);
            for _ in 0..100 {
                assert!((500..=cap_ms).contains(&backoff_ms(&mut rng, failures, 500, 30_000)));
            }
        }
    }
}
