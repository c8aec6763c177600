//! The connection of a session: its phases, its deadlines, and the waits between
//! attempts.

use super::outbox::Loss;
use super::requests::Requests;
use super::{CatchUp, Options, Output, Session};
use crate::frame::{Hello, Refusal};
use crate::{Event, Features, Rng, Topic};

/// The phase of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionPhase {
    /// There is no connection; the next attempt is at this time.
    Down { until_ms: u64 },
    /// The connection must be open by this time.
    Connecting { until_ms: u64 },
    /// The connection is open; `hello` must be received by this time.
    Greeting { until_ms: u64 },
    Up {
        since_ms: u64,
        /// The server is about to close, and requested that the client connects
        /// again at this time.
        reconnect_at_ms: Option<u64>,
    },
    /// The token is not valid: nothing is attempted until there is another one.
    SignedOut,
}

/// The server's limits and features, from its `hello`.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) silence_max_ms: u64,
    pub(super) unanswered_max: usize,
    pub(super) message_max_bytes: usize,
    pub(super) features: Features,
    /// A server has sent `hello`.
    pub(super) is_known: bool,
}

impl Server {
    /// The limits before the first `hello`.
    pub(super) fn unknown() -> Self {
        Self {
            silence_max_ms: u64::MAX,
            unanswered_max: UNANSWERED_MAX,
            message_max_bytes: MESSAGE_MAX_BYTES,
            features: Features::default(),
            is_known: false,
        }
    }

    fn of(hello: &Hello, options: &Options) -> Self {
        let heartbeat_ms = hello.heartbeat_seconds.unwrap_or(HEARTBEAT_S).saturating_mul(1000);
        Self {
            silence_max_ms: options.silence_max_ms.unwrap_or(heartbeat_ms.saturating_mul(2)),
            unanswered_max: hello.limits.unanswered_max.unwrap_or(UNANSWERED_MAX).max(1),
            message_max_bytes: hello.limits.message_max_bytes.unwrap_or(MESSAGE_MAX_BYTES),
            features: hello.features,
            is_known: true,
        }
    }
}

impl Session {
    /// What the server of the last `hello` has beyond the first servers of protocol v2.
    pub fn features(&self) -> Features {
        self.server.features
    }

    /// Whether the server has sent `hello` on the present connection.
    pub fn is_online(&self) -> bool {
        matches!(self.connection, ConnectionPhase::Up { .. })
    }

    /// Reports that the connection which [`Output::Connect`] requested is open.
    pub fn opened(&mut self, now_ms: u64) {
        if let ConnectionPhase::Connecting { .. } = self.connection {
            self.received_ms = now_ms;
            self.connection = ConnectionPhase::Greeting { until_ms: now_ms + self.options.hello_timeout_ms };
        }
    }

    /// Reports that something other than a text message was received, such as a
    /// ping: the connection is alive.
    pub fn received(&mut self, now_ms: u64) {
        self.received_ms = now_ms;
    }

    /// Reports that the connection is lost, or cannot be opened. `code` is that of
    /// the close frame; 1008 where the server refused the token in its answer to
    /// the upgrade (401 or 403).
    pub fn closed(&mut self, now_ms: u64, code: Option<u16>) {
        if !matches!(self.connection, ConnectionPhase::Down { .. } | ConnectionPhase::SignedOut) {
            self.connection_lost(now_ms, code);
        }
    }

    /// Reports that there is a new token: a session that was signed out connects
    /// again.
    pub fn signed_in(&mut self, now_ms: u64) {
        if self.connection == ConnectionPhase::SignedOut {
            self.failures = 0;
            self.connection = ConnectionPhase::Down { until_ms: now_ms };
        }
    }

    /// Starts an attempt that is due, and drops a connection whose deadline has
    /// passed.
    pub(super) fn tick_connection(&mut self, now_ms: u64) {
        match self.connection {
            ConnectionPhase::Down { until_ms } if until_ms <= now_ms => {
                self.connection =
                    ConnectionPhase::Connecting { until_ms: now_ms + self.options.connect_timeout_ms };
                self.out.push_back(Output::Connect);
            }
            ConnectionPhase::Connecting { until_ms } | ConnectionPhase::Greeting { until_ms }
                if until_ms <= now_ms =>
            {
                self.hang_up(now_ms);
            }
            ConnectionPhase::Up { reconnect_at_ms, .. } => {
                // The server did not close although it announced that.
                let stays = reconnect_at_ms.is_some_and(|ms| ms + self.options.hello_timeout_ms <= now_ms);
                if stays || self.silence_deadline_ms() <= now_ms || self.answer_deadline_ms() <= now_ms {
                    self.hang_up(now_ms);
                }
            }
            _ => {}
        }
    }

    pub(super) fn hello(&mut self, hello: Hello, now_ms: u64) {
        self.connection = ConnectionPhase::Up { since_ms: now_ms, reconnect_at_ms: None };
        self.server = Server::of(&hello, &self.options);
        let is_other_user = self.seen.user().is_some_and(|before| before != hello.user);
        let is_renumbered = self.seen.epoch().is_some_and(|before| before != hello.epoch);
        if is_other_user || is_renumbered {
            self.forget_marks(is_other_user);
        }
        if is_other_user {
            self.fail_all_sends();
        }
        self.marks_shown(&hello, now_ms);
        self.private_hello(hello);
        self.show_marks();
        if is_other_user {
            let rooms: Vec<String> = self.seen.rooms().map(str::to_owned).collect();
            for room in rooms {
                self.emit(Event::Reset { topic: Topic::Room(room) });
            }
        }
    }

    /// The server is about to close, and wants the client back after this time.
    pub(super) fn reconnect_requested(&mut self, after_ms: u64, now_ms: u64) {
        if let ConnectionPhase::Up { reconnect_at_ms, .. } = &mut self.connection {
            *reconnect_at_ms = Some(now_ms + after_ms.min(RECONNECT_AFTER_MAX_MS));
        }
    }

    fn hang_up(&mut self, now_ms: u64) {
        self.out.push_back(Output::Hangup);
        self.connection_lost(now_ms, None);
    }

    fn connection_lost(&mut self, now_ms: u64, code: Option<u16>) {
        let mut wanted_at_ms = None;
        if let ConnectionPhase::Up { since_ms, reconnect_at_ms } = self.connection {
            wanted_at_ms = reconnect_at_ms;
            if since_ms + self.options.stable_after_ms <= now_ms {
                self.failures = 0;
                self.stable_connection_lost();
            }
        }
        self.connection = ConnectionPhase::Down { until_ms: now_ms };
        let loss = if code == Some(TOO_BIG) { Loss::MessageTooBig } else { Loss::Other };
        self.outbox_lost_connection(loss);
        self.rooms_lost_connection();
        self.marks_lost_connection();
        self.history_lost_connection();
        self.catch_up = CatchUp::default();
        self.requests = Requests::after(&self.requests);
        if let Some(code @ (TOKEN_INVALID | SESSION_ENDED)) = code {
            self.connection = ConnectionPhase::SignedOut;
            return self.emit(Event::SignedOut { code });
        }
        let until_ms = wanted_at_ms.unwrap_or_else(|| now_ms + self.backoff_ms(self.failures)).max(now_ms);
        if wanted_at_ms.is_none() {
            self.failures += 1;
        }
        self.connection = ConnectionPhase::Down { until_ms };
        self.emit(Event::Offline { code, retry_in_ms: until_ms - now_ms });
    }

    fn backoff_ms(&mut self, failures: u32) -> u64 {
        let Options { backoff_min_ms, backoff_max_ms, .. } = self.options;
        backoff_ms(&mut self.rng, failures, backoff_min_ms, backoff_max_ms)
    }

    /// When to repeat a request that was refused for the moment, for the
    /// `failures + 1`st time in a row.
    pub(super) fn retry_at_ms(&mut self, refusal: &Refusal, failures: u32, now_ms: u64) -> u64 {
        let wanted_ms = refusal.retry_after.unwrap_or(0).saturating_mul(1000).min(RECONNECT_AFTER_MAX_MS);
        now_ms + self.backoff_ms(failures).max(wanted_ms)
    }

    /// When the connection counts as dead if nothing is received.
    pub(super) fn silence_deadline_ms(&self) -> u64 {
        self.received_ms.saturating_add(self.server.silence_max_ms)
    }
}

/// The wait after `failures` failures in a row: full jitter between `min_ms` and a
/// cap that doubles from there to `max_ms`.
fn backoff_ms(rng: &mut Rng, failures: u32, min_ms: u64, max_ms: u64) -> u64 {
    let cap_ms = min_ms.saturating_mul(1 << (failures + 1).min(20)).min(max_ms).max(min_ms);
    rng.between(min_ms, cap_ms)
}

/// Close code: a message was too big (RFC 6455 §7.4.1).
const TOO_BIG: u16 = 1009;
/// Close code: the token is no longer valid.
const TOKEN_INVALID: u16 = 1008;
/// Close code: the session of the token was ended.
const SESSION_ENDED: u16 = 4001;
/// The longest wait that a server may ask for.
const RECONNECT_AFTER_MAX_MS: u64 = 600_000;
// The protocol's own numbers, for a server whose `hello` leaves them out.
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
