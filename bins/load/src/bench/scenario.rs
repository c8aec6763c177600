//! The scenarios that the benchmark measures.

use super::peer::Peer;
use super::sockets::Pace;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) kind: Kind,
    pub(crate) peers: &'static [Peer],
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Messages in rooms. `slow`: so many of the last sockets never read.
    Talk { rooms: usize, clients: usize, pace: Pace, slow: usize },
    /// WebSockets that are opened and closed, so many beside each other.
    Connects { beside: usize },
    /// Sockets that get nothing.
    Idle { sockets: usize },
}

const IN_MEMORY: &[Peer] = &[Peer::Memory, Peer::Bun, Peer::Node, Peer::Floor];
const DURABLE: &[Peer] = &[Peer::Sqlite, Peer::Postgres, Peer::Memory, Peer::Bun];
const STORES: &[Peer] = &[Peer::Sqlite, Peer::Postgres, Peer::Memory];

const fn talk(rooms: usize, clients: usize, pace: Pace) -> Kind {
    Kind::Talk { rooms, clients, pace, slow: 0 }
}

const CLOSED: Pace = Pace::Closed { in_flight: 1 };

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "two-users",
        what: "two sockets in a room; the next message is sent when the last has come back",
        kind: talk(1, 2, CLOSED),
        peers: IN_MEMORY,
    },
    Scenario {
        name: "fan-out-100",
        what: "100 sockets in a room; likewise",
        kind: talk(1, 100, CLOSED),
        peers: IN_MEMORY,
    },
    Scenario {
        name: "fan-out-100-at-200",
        what: "100 sockets in a room, 200 messages a second",
        kind: talk(1, 100, Pace::Open { per_second: 200 }),
        peers: IN_MEMORY,
    },
    Scenario {
        name: "fan-out-1000",
        what: "1,000 sockets in a room; the next message is sent when the last has come back",
        kind: talk(1, 1_000, CLOSED),
        peers: IN_MEMORY,
    },
    Scenario {
        name: "rooms-200x10",
        what: "200 rooms of 10 sockets; in each the next message is sent when the last has come back",
        kind: talk(200, 10, CLOSED),
        peers: IN_MEMORY,
    },
    Scenario {
        name: "rooms-200x10-at-2000",
        what: "200 rooms of 10 sockets, 2,000 messages a second in all",
        kind: talk(200, 10, Pace::Open { per_second: 2_000 }),
        peers: IN_MEMORY,
    },
    Scenario {
        name: "slow-readers",
        what: "100 sockets in a room of which 20 never read, 200 messages a second",
        kind: Kind::Talk { rooms: 1, clients: 100, pace: Pace::Open { per_second: 200 }, slow: 20 },
        peers: IN_MEMORY,
    },
    Scenario {
        name: "connects",
        what: "WebSockets opened with a token and closed, 16 beside each other",
        kind: Kind::Connects { beside: 16 },
        peers: IN_MEMORY,
    },
    Scenario {
        name: "idle",
        what: "5,000 sockets that get nothing",
        kind: Kind::Idle { sockets: 5_000 },
        peers: IN_MEMORY,
    },
    Scenario {
        name: "durable-two-users",
        what: "as two-users, with commits that survive a power cut",
        kind: talk(1, 2, CLOSED),
        peers: DURABLE,
    },
    Scenario {
        name: "durable-fan-out-100",
        what: "as fan-out-100, likewise",
        kind: talk(1, 100, CLOSED),
        peers: DURABLE,
    },
    Scenario {
        name: "durable-fan-out-100-at-200",
        what: "as fan-out-100-at-200, likewise",
        kind: talk(1, 100, Pace::Open { per_second: 200 }),
        peers: DURABLE,
    },
    Scenario {
        name: "durable-rooms-200x10",
        what: "as rooms-200x10, likewise",
        kind: talk(200, 10, CLOSED),
        peers: DURABLE,
    },
    Scenario {
        name: "durable-rooms-200x10-at-2000",
        what: "as rooms-200x10-at-2000, likewise",
        kind: talk(200, 10, Pace::Open { per_second: 2_000 }),
        peers: DURABLE,
    },
    Scenario {
        name: "durable-posts",
        what: "200 rooms of one socket with 64 messages each that have not come back",
        kind: talk(200, 1, Pace::Closed { in_flight: 64 }),
        peers: STORES,
    },
];
