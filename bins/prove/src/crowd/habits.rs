//! What the clients of a crowd do, and how often.

use chat_client::Options;

/// The size of a crowd and the behaviour of its clients.
#[derive(Clone)]
pub(crate) struct Habits {
    /// Clients of protocol v2; every fourth is the second client of a user.
    pub(crate) clients: usize,
    /// The users of these clients; `None`: three for four clients.
    pub(crate) users: Option<usize>,
    /// Clients of protocol v2 that use the published driver, of which only the
    /// events are recorded.
    pub(crate) bots: usize,
    /// Connections of protocol v1, which send a message now and then.
    pub(crate) watchers: usize,
    pub(crate) rooms: usize,
    /// How many of the rooms each client joins.
    pub(crate) rooms_each: usize,
    pub(crate) pace: Pace,
    /// The share of messages that are private.
    pub(crate) private: f64,
    /// The share of sends that change a message.
    pub(crate) changing: f64,
    /// How often a user reads a topic, for each message.
    pub(crate) reading: f64,
    /// A closed room that each client joins, too.
    pub(crate) closed_room: Option<String>,
    /// How often a client leaves a room or joins it again, for each message.
    pub(crate) leaving: f64,
    /// How often a client ends and starts again from its snapshot, for each message.
    pub(crate) crashing: f64,
    /// The share of clients that read slowly.
    pub(crate) slow: f64,
    /// Whether each client sends a final message to each of its topics. Only the
    /// last messages of v1 need it: no other client learns that they are stored.
    pub(crate) final_messages: bool,
    /// Letters that are added to each message.
    pub(crate) padding: usize,
    pub(crate) options: Options,
    pub(crate) seed: u64,
}

/// When the clients send.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// So many messages a second, of all clients together.
    Rate(f64),
    /// Whenever a client has fewer unanswered messages than this.
    Unsent(usize),
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            clients: 16,
            users: None,
            bots: 0,
            watchers: 4,
            rooms: 6,
            rooms_each: 3,
            pace: Pace::Rate(300.0),
            private: 0.15,
            changing: 0.35,
            reading: 0.3,
            closed_room: None,
            leaving: 0.02,
            crashing: 0.002,
            slow: 0.15,
            final_messages: true,
            padding: 0,
            options: fast_reconnect(),
            seed: 1,
        }
    }
}

/// The options of a client that reconnects much sooner than a real one, so that a
/// run of a few minutes has a hundred reconnects of each.
fn fast_reconnect() -> Options {
    Options {
        backoff_min_ms: 10,
        backoff_max_ms: 300,
        stable_after_ms: 500,
        connect_timeout_ms: 2_000,
        hello_timeout_ms: 3_000,
        silence_max_ms: Some(6_000),
        answer_timeout_ms: 6_000,
        ..Options::default()
    }
}

impl Habits {
    /// The names of the users behind the clients.
    pub(crate) fn names(&self) -> Vec<String> {
        let users = self.users.unwrap_or(self.clients - self.clients / 4).max(2);
        (0..users).map(|number| format!("user{number}")).collect()
    }
}
