//! A connected client, and the user behind it.

use crate::frame::v2::{About, Resume};
use crate::{ClientId, CloseCode, MessageText, Nonce, Pair, RoomName, SessionId, Topic, Username};

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// Tells this client from an earlier one of the same id.
    pub(crate) generation: u32,
    /// Its user's slot in the hub.
    pub(crate) user: usize,
    pub(crate) session: Option<SessionId>,
    /// When its token is no longer good, on the monotonic clock.
    pub(crate) expires_ms: Option<u64>,
    pub(crate) speaks: Speaks,
    /// The rooms it is in; a v1 client is in one from its first moment on.
    pub(crate) memberships: Vec<Membership>,
    /// Frames for it alone, written at the end of the turn.
    pub(crate) own: Vec<u8>,
    /// Bytes that its socket has not taken yet.
    pub(crate) pending: usize,
    /// Bytes put out for it alone in a turn, and which one: its socket has not
    /// said yet what it takes of them.
    pub(crate) put_out: usize,
    pub(crate) put_out_in: u64,
    /// Is on the hub's list of those whose replay goes on in the next turn.
    pub(crate) held_back: bool,
    /// Drafts without a receipt.
    pub(crate) unanswered: u32,
    /// Pages that it asked for and that are being read.
    pub(crate) asked: u32,
    pub(crate) paused: Option<Paused>,
    /// No more messages are taken; closed with this once its drafts are answered.
    pub(crate) settling: Option<CloseCode>,
    /// A close was put out; only its id is still in use.
    pub(crate) closed: bool,
}

impl Client {
    /// Where it is in a room, if it is in it.
    pub(crate) fn position_in(&mut self, room: usize) -> Option<&mut Position> {
        Some(&mut self.membership_in(room)?.position)
    }

    pub(crate) fn membership_in(&mut self, room: usize) -> Option<&mut Membership> {
        self.memberships.iter_mut().find(|membership| membership.room == room)
    }

    /// It has everything of a room up to a number, and is to be sent more.
    pub(crate) fn is_replaying(&mut self, room: usize, after: u64) -> bool {
        let Some(membership) = self.membership_in(room) else { return false };
        let is_there =
            matches!(membership.position, Position::Behind { cursor: Some(cursor), .. } if cursor == after);
        is_there && membership.request.is_none()
    }

    /// It is in a room, and was told who else is.
    pub(crate) fn was_told_of(&mut self, room: usize) -> bool {
        self.membership_in(room).is_some_and(|membership| membership.request.is_none())
    }
}

/// What a client speaks, and what only that protocol has to remember.
#[derive(Debug)]
pub(crate) enum Speaks {
    V1 {
        /// Its one room.
        room: RoomName,
    },
    V2(Box<V2>),
}

/// What a v2 client has to remember.
#[derive(Debug, Default)]
pub(crate) struct V2 {
    /// Until its `hello` is sent: the conversations in which something was
    /// said meanwhile.
    pub(crate) greeting: Option<Vec<Pair>>,
    /// How far its conversations went when it was greeted, as the log said: an
    /// entry up to there may still be on its way. Forgotten after a while.
    pub(crate) bases: Vec<(Pair, u64)>,
    pub(crate) greeted_ms: u64,
    /// What failed, or was refused because of that, and was not sent again, in
    /// the order of the client. It must begin with the first of these.
    pub(crate) failed: Vec<FailedSend>,
    /// Until then; later it is taken for given up.
    pub(crate) refusing_until_ms: u64,
    /// Counts what it sends.
    pub(crate) orders: u64,
    /// Where its unanswered drafts go.
    pub(crate) topic: Option<Topic>,
    /// A send that waits until those to another topic are answered.
    pub(crate) parked: Option<Send>,
    /// How fast it sends frames of any kind.
    pub(crate) frames: Rate,
}

/// A send of which a client was told that it failed.
#[derive(Debug)]
pub(crate) struct FailedSend {
    pub(crate) nonce: Nonce,
    /// Where it stands among the client's sends, however often it is repeated.
    pub(crate) order: u64,
}

/// Something to be stored for a v2 client.
#[derive(Debug)]
pub(crate) struct Send {
    pub(crate) topic: Topic,
    pub(crate) text: MessageText,
    pub(crate) nonce: Nonce,
    /// See [`FailedSend::order`].
    pub(crate) order: u64,
}

/// The versions of the protocol, as indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1 = 0,
    V2 = 1,
}

impl Version {
    pub(crate) const ALL: [Self; 2] = [Self::V1, Self::V2];
}

impl V2 {
    /// Notes that a client was told of a failure; at the cap the oldest is forgotten.
    pub(crate) fn note_failed(&mut self, nonce: Nonce, order: u64) {
        if self.failed.iter().any(|failed| failed.nonce == nonce) {
            return;
        }
        let place = self.failed.partition_point(|failed| failed.order < order);
        self.failed.insert(place, FailedSend { nonce, order });
        if self.failed.len() > FAILED_MAX {
            self.failed.remove(0);
        }
    }

    /// Something is sent. Returns its place in the client's order; `None`: it
    /// must wait until what failed before it is sent again.
    pub(crate) fn order_of(&mut self, nonce: &Nonce, now_ms: u64) -> Option<u64> {
        let is_refusing = now_ms < self.refusing_until_ms;
        match self.failed.iter().position(|failed| failed.nonce == *nonce) {
            Some(0) => Some(self.failed.remove(0).order),
            Some(_) if is_refusing => None,
            // What stands before it was given up.
            Some(place) => self.failed.drain(..=place).next_back().map(|failed| failed.order),
            None => {
                self.orders += 1;
                if is_refusing && !self.failed.is_empty() {
                    self.note_failed(nonce.clone(), self.orders);
                    return None;
                }
                if !is_refusing {
                    self.failed.clear();
                }
                Some(self.orders)
            }
        }
    }

    /// It must come behind something that failed meanwhile.
    pub(crate) fn is_behind_failed(&self, order: u64, now_ms: u64) -> bool {
        now_ms < self.refusing_until_ms && self.failed.first().is_some_and(|failed| failed.order < order)
    }
}

/// Failed sends of one client that are remembered: more than it can send while
/// it is refused, at the default rate of frames.
const FAILED_MAX: usize = 512;

impl Client {
    pub(crate) fn version(&self) -> Version {
        match self.speaks {
            Speaks::V1 { .. } => Version::V1,
            Speaks::V2(_) => Version::V2,
        }
    }

    pub(crate) fn v2(&mut self) -> Option<&mut V2> {
        match &mut self.speaks {
            Speaks::V1 { .. } => None,
            Speaks::V2(v2) => Some(v2),
        }
    }

    /// Its `hello` was not sent yet: nothing else may be.
    pub(crate) fn is_being_greeted(&self) -> bool {
        matches!(&self.speaks, Speaks::V2(v2) if v2.greeting.is_some())
    }
}

/// A client in a room.
#[derive(Debug)]
pub(crate) struct Membership {
    /// The room's slot in the hub.
    pub(crate) room: usize,
    pub(crate) position: Position,
    /// The v2 request that is not answered yet.
    pub(crate) request: Option<Box<JoinRequest>>,
    /// It was told that it gets everything it has missed, or was sent a part of
    /// its replay: with v2, a number left out would be a hole.
    pub(crate) counts: bool,
}

/// What a v2 client said when it joined.
#[derive(Debug)]
pub(crate) struct JoinRequest {
    pub(crate) resume: Option<Resume>,
    pub(crate) about: About,
    pub(crate) asked_ms: u64,
}

/// Where in a room a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// Replaying: has everything up to the cursor, which is `None` while the
    /// hub does not know how far the room is.
    Behind {
        cursor: Option<u64>,
        /// A page is on its way.
        reading: bool,
        /// When it last got on, or could have.
        since_ms: u64,
        /// The others were told that it is here.
        announced: bool,
    },
    /// Gets what is new.
    Live,
}

/// Why a client's frames are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paused {
    /// Its user sends faster than the limit.
    Rate,
    /// It has too many drafts without a receipt.
    Credit,
    /// The hub has.
    Hub,
    /// Its `hello` is being made.
    Greeting,
    /// Its next send must wait until those to another topic are answered.
    Order,
    /// It has too many pages being read.
    Asking,
}

/// A client id that is not mistaken for that of a later client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientRef {
    pub(crate) id: ClientId,
    pub(crate) generation: u32,
}

/// Somebody with a connection, or who had one a moment ago.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) name: Username,
    pub(crate) clients: Vec<ClientId>,
    pub(crate) rate: Rate,
    /// How fast they come into rooms.
    pub(crate) joins: Rate,
    /// How fast they read pages of history.
    pub(crate) pages: Rate,
    /// Rooms that their connections are in, all together.
    pub(crate) memberships: usize,
}

/// How fast somebody sends, over all connections: the generic cell rate
/// algorithm, a token bucket that is one number.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// When the bucket is full again, in microseconds of the monotonic clock.
    full_at_us: u64,
}

/// How fast somebody may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Messages at once.
    pub burst: u32,
    /// Messages a second after that.
    pub per_second: u32,
}

impl Rate {
    /// Counts one message, whether allowed or not.
    pub(crate) fn count(&mut self, limit: RateLimit, now_ms: u64) {
        self.full_at_us = self.full_at_us.max(now_ms * 1000) + limit.cost_us();
    }

    /// Whether one more is allowed now.
    pub(crate) fn allows(&self, limit: RateLimit, now_ms: u64) -> bool {
        let burst_us = limit.cost_us() * u64::from(limit.burst.max(1));
        self.full_at_us.max(now_ms * 1000) + limit.cost_us() <= now_ms * 1000 + burst_us
    }

    /// Nothing would be forgotten with this.
    pub(crate) fn is_full(&self, now_ms: u64) -> bool {
        self.full_at_us <= now_ms * 1000
    }
}

impl RateLimit {
    fn cost_us(self) -> u64 {
        1_000_000 / u64::from(self.per_second.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_steady_rate() {
        let limit = RateLimit { burst: 60, per_second: 10 };
        let mut rate = Rate::default();
        let mut sent = 0;
        for now_ms in 5_000..8_000 {
            while rate.allows(limit, now_ms) {
                rate.count(limit, now_ms);
                sent += 1;
            }
            match now_ms {
                5_000 => assert_eq!(sent, 60),
                5_099 => assert_eq!(sent, 60),
                5_100 => assert_eq!(sent, 61),
                _ => {}
            }
        }
        assert_eq!(sent, 60 + 29);
        assert!(!rate.is_full(8_000));
        assert!(rate.is_full(14_000));
    }
}
