//! What can be set of a session.

/// The caps, waits and deadlines of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Sends without a final answer that are kept; one more is refused.
    pub outbox_max_messages: usize,
    /// Bytes of text and mentioned names in these sends; a send beyond the cap is refused.
    pub outbox_max_bytes: usize,
    /// Rooms that a session joins; one more is refused.
    pub rooms_max: usize,
    /// How many of a room's latest messages a join asks for, 0 to 100, where there is
    /// nothing to resume; `None`: as many as the server likes (50). An earlier server
    /// sends 50 in any case.
    pub join_limit: Option<u32>,
    /// Whether joins without anything to resume, and pages of history, are *folded*:
    /// they contain messages only, and say which numbers they cover
    /// ([`Event::Replayed`](crate::Event::Replayed),
    /// [`HistoryPage::covers`](crate::HistoryPage::covers)). An earlier server sends
    /// them unfolded.
    pub fold: bool,
    /// Sends without an answer on a connection, if the server allows as many
    /// (its `limits.unanswered_max`); the rest waits.
    pub in_flight_max: usize,
    /// Pages of history that the application requests at the same time; one more
    /// is refused.
    pub history_max: usize,
    /// The shortest wait before the next attempt to connect or to send. Waits are
    /// chosen at random below a cap that doubles (full jitter).
    pub backoff_min_ms: u64,
    /// The cap of these waits.
    pub backoff_max_ms: u64,
    /// A connection that lasted this long resets the backoff.
    pub stable_after_ms: u64,
    /// The deadline for opening a connection.
    pub connect_timeout_ms: u64,
    /// The deadline for the server's `hello` on an open connection.
    pub hello_timeout_ms: u64,
    /// A connection on which nothing was received for this long is dropped.
    /// `None`: twice the server's heartbeat.
    pub silence_max_ms: Option<u64>,
    /// A connection on which no request was answered for this long is dropped. It
    /// must be longer than a user's rate limit may slow a connection down.
    pub answer_timeout_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            outbox_max_messages: 1_000,
            outbox_max_bytes: 4 * 1024 * 1024,
            rooms_max: 1_000,
            join_limit: None,
            fold: false,
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
