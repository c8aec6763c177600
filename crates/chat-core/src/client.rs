//! A connected client, and the user behind it.

use crate::{ClientId, CloseCode, Protocol, SessionId, Username};

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
    pub(crate) protocol: Protocol,
    /// The rooms it is in; a v1 client is in one from its first moment on.
    pub(crate) memberships: Vec<Membership>,
    /// Bytes that its socket has not taken yet.
    pub(crate) pending: usize,
    /// Drafts without a receipt.
    pub(crate) unanswered: u32,
    pub(crate) paused: Option<Paused>,
    /// No more messages are taken; closed with this once its drafts are answered.
    pub(crate) settling: Option<CloseCode>,
    /// A close was put out; only its id is still in use.
    pub(crate) closed: bool,
}

impl Client {
    /// Where it is in a room, if it is in it.
    pub(crate) fn position_in(&mut self, room: usize) -> Option<&mut Position> {
        let membership = self.memberships.iter_mut().find(|membership| membership.room == room)?;
        Some(&mut membership.position)
    }
}

/// A client in a room.
#[derive(Debug)]
pub(crate) struct Membership {
    /// The room's slot in the hub.
    pub(crate) room: usize,
    pub(crate) position: Position,
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
