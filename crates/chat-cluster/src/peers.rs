//! Which other servers are there, how often to beat and to poll, and what an unreachable database
//! means.

use std::collections::BTreeMap;

use chat_core::Withheld;

use crate::{Incarnation, Lane};

/// What each server tells the others on the bus every 500 ms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heartbeat {
    /// The server.
    pub from: Incarnation,
    /// The number of the heartbeat, rising.
    pub beat: u64,
    /// The newest commit of each of its writers: a server that lacks one reads the feed.
    pub newest: Vec<(Lane, u64)>,
    /// The number of its last delta of presence.
    pub presence_counter: u64,
    /// See [`Present::checksum`](crate::Present::checksum), after that delta.
    pub presence_checksum: u64,
}

/// A row of the table of servers, which each server writes anew every 500 ms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerRow {
    /// The start.
    pub incarnation: Incarnation,
    /// How long ago it was written, by the database's clock, in milliseconds.
    pub age_ms: u64,
    /// The server has stopped in order: it is lost at once.
    pub has_left: bool,
    /// The newest format of messages that it reads: see [`BUS_FORMAT`](crate::BUS_FORMAT).
    pub bus_format: u8,
    /// The timeline of the database on which it has last looked for its commits: see
    /// [`Failover`](crate::Failover).
    pub looked: u32,
    /// The newest timeline on which its lanes could append; 0 if there was none. The barrier of
    /// [`Failover`](crate::Failover) was open there.
    pub opened: u32,
}

/// The other servers, the bus and the database, as this server hears of them.
#[derive(Clone, Debug)]
pub struct Peers {
    own: Incarnation,
    options: PeersOptions,
    peers: BTreeMap<Incarnation, Peer>,
    is_bus_up: bool,
    polled_ms: Option<u64>,
    beaten_ms: Option<u64>,
    beats: u64,
    /// When the database last answered a poll.
    answered_ms: u64,
    bus_format: u8,
}

#[derive(Clone, Debug)]
struct Peer {
    /// When it was last heard on the bus, or first seen in the table.
    heard_ms: u64,
}

/// The times of [`Peers`], in milliseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeersOptions {
    /// The time between two heartbeats.
    pub beat_ms: u64,
    /// The time between two polls of the feed while the bus is healthy, and while there is no
    /// other server.
    pub slow_poll_ms: u64,
    /// Otherwise, this for each server …
    pub fast_poll_per_server_ms: u64,
    /// … and this at least.
    pub fast_poll_min_ms: u64,
    /// A server with a fresh row that is silent on the bus for as long makes it unhealthy.
    pub silent_ms: u64,
    /// A row that is as old says nothing any more.
    pub fresh_row_ms: u64,
    /// See [`Standing::RemovalsUnknown`].
    pub removals_known_ms: u64,
    /// See [`Standing::NotReady`].
    pub ready_ms: u64,
    /// See [`Standing::CloseSockets`].
    pub close_ms: u64,
    /// See [`ClockStanding::Off`].
    pub clock_off_ms: u64,
    /// See [`ClockStanding::FarOff`].
    pub clock_far_off_ms: u64,
}

impl Default for PeersOptions {
    fn default() -> Self {
        Self {
            beat_ms: 500,
            slow_poll_ms: 500,
            fast_poll_per_server_ms: 5,
            fast_poll_min_ms: 25,
            silent_ms: 2_000,
            fresh_row_ms: 5_000,
            removals_known_ms: 1_000,
            ready_ms: 10_000,
            close_ms: 60_000,
            clock_off_ms: 1_000,
            clock_far_off_ms: 30_000,
        }
    }
}

/// What a server may do, by how long the database has not answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Standing {
    /// Everything.
    Fine,
    /// A removal could have been missed: entries of closed rooms wait, and those of open ones where
    /// the server knows that it lacks something.
    RemovalsUnknown,
    /// The server says that it is not ready, and entries of all rooms wait.
    NotReady,
    /// The server closes its sockets (1013).
    CloseSockets,
}

impl Standing {
    /// What the hubs of the server give out nothing of. Entries come over the bus as long as that works,
    /// but what has changed in rooms is in the database only.
    ///
    /// That an open room was closed may be among the commits that the server lacks, if it knows of such
    /// ([`Sequencer::is_waiting`](crate::Sequencer::is_waiting)): the others tell of their newest ones
    /// every 500 ms. Where nobody tells, as of the last commit of a server that was killed, open rooms
    /// wait from [`NotReady`](Self::NotReady) on.
    pub fn withheld(self, lacks_commits: bool) -> Withheld {
        match self {
            Self::Fine => Withheld::Nothing,
            Self::RemovalsUnknown if !lacks_commits => Withheld::ClosedRooms,
            Self::RemovalsUnknown | Self::NotReady | Self::CloseSockets => Withheld::AllRooms,
        }
    }
}

/// How far the clock of this server is from that of the database. Entries have the time of the
/// database; the clock of the server decides until when sessions are good.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ClockStanding {
    /// Not further than networks and their latency explain.
    Fine,
    /// So far that an operator should look: 1 s.
    Off,
    /// So far that the server is not ready, where another one could take its clients: 30 s.
    FarOff,
}

impl Peers {
    /// A server that starts at `now_ms`, when it has read the feed.
    pub fn new(now_ms: u64, own: Incarnation, options: PeersOptions) -> Self {
        Self {
            own,
            options,
            peers: BTreeMap::new(),
            is_bus_up: false,
            polled_ms: None,
            beaten_ms: None,
            beats: 0,
            answered_ms: now_ms,
            bus_format: crate::BUS_FORMAT,
        }
    }

    /// The connection to the bus is up, or down. A poll is due after each change. Without a bus this
    /// is never called.
    pub fn bus(&mut self, now_ms: u64, is_up: bool) {
        self.is_bus_up = is_up;
        self.polled_ms = None;
        if is_up {
            // Nobody could be heard until now.
            self.peers.values_mut().for_each(|peer| peer.heard_ms = now_ms);
        }
    }

    /// Another server was heard on the bus.
    pub fn heard(&mut self, now_ms: u64, from: Incarnation) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.heard_ms = now_ms;
        }
    }

    /// A poll has begun.
    pub fn polled(&mut self, now_ms: u64) {
        self.polled_ms = Some(now_ms);
    }

    /// The database has answered a poll that began at `asked_ms`, with the table of servers and all
    /// that was committed until then.
    pub fn rows(&mut self, asked_ms: u64, rows: &[ServerRow]) {
        self.answered_ms = asked_ms;
        let fresh_ms = self.options.fresh_row_ms;
        let others = rows.iter().filter(|row| row.incarnation != self.own);
        let fresh = others.filter(|row| !row.has_left && row.age_ms < fresh_ms);
        let mut peers = BTreeMap::new();
        self.bus_format = crate::BUS_FORMAT;
        for row in fresh {
            let peer = self.peers.remove(&row.incarnation).unwrap_or(Peer { heard_ms: asked_ms });
            peers.insert(row.incarnation, peer);
            self.bus_format = self.bus_format.min(row.bus_format);
        }
        self.peers = peers;
    }

    /// The number of the heartbeat that is due now; `None` if none is.
    pub fn next_beat(&mut self, now_ms: u64) -> Option<u64> {
        if self.beaten_ms.is_some_and(|beaten_ms| now_ms < beaten_ms + self.options.beat_ms) {
            return None;
        }
        self.beaten_ms = Some(now_ms);
        self.beats += 1;
        Some(self.beats)
    }

    /// Whether the bus brings what all servers publish, as far as this one knows.
    pub fn is_bus_healthy(&self, now_ms: u64) -> bool {
        let is_silent = |peer: &Peer| peer.heard_ms + self.options.silent_ms <= now_ms;
        self.is_bus_up && !self.peers.values().any(is_silent)
    }

    /// When the next poll of the feed is due. A poll that failed counts.
    pub fn next_poll_ms(&self, now_ms: u64) -> u64 {
        let Some(polled_ms) = self.polled_ms else { return now_ms };
        let slow_ms = self.options.slow_poll_ms;
        if self.peers.is_empty() || self.is_bus_healthy(now_ms) {
            return polled_ms + slow_ms;
        }
        let servers = self.peers.len() as u64 + 1;
        let fast_ms = self.options.fast_poll_per_server_ms * servers;
        polled_ms + fast_ms.max(self.options.fast_poll_min_ms).min(slow_ms)
    }

    /// The format in which messages are published: the newest one that all servers read.
    pub fn bus_format(&self) -> u8 {
        self.bus_format
    }

    /// The number of other servers whose rows are fresh.
    pub fn others(&self) -> usize {
        self.peers.len()
    }

    /// What this server may do. One that is alone may do everything: nobody else removes members,
    /// and no other server would take its clients.
    pub fn standing(&self, now_ms: u64) -> Standing {
        if self.peers.is_empty() {
            return Standing::Fine;
        }
        let PeersOptions { removals_known_ms, ready_ms, close_ms, .. } = self.options;
        match now_ms.saturating_sub(self.answered_ms) {
            age_ms if age_ms >= close_ms => Standing::CloseSockets,
            age_ms if age_ms >= ready_ms => Standing::NotReady,
            age_ms if age_ms >= removals_known_ms => Standing::RemovalsUnknown,
            _ => Standing::Fine,
        }
    }

    /// When [`standing`](Self::standing) gets worse unless the database answers by then.
    pub fn next_standing_ms(&self, now_ms: u64) -> Option<u64> {
        let PeersOptions { removals_known_ms, ready_ms, close_ms, .. } = self.options;
        let at_ms = [removals_known_ms, ready_ms, close_ms].map(|after_ms| self.answered_ms + after_ms);
        at_ms.into_iter().find(|at_ms| *at_ms > now_ms)
    }

    /// What an answer of the database says of this server's clock: both in milliseconds since 1970.
    pub fn clock(&self, own_ms: u64, db_ms: u64) -> ClockStanding {
        match own_ms.abs_diff(db_ms) {
            off_ms if off_ms >= self.options.clock_far_off_ms => ClockStanding::FarOff,
            off_ms if off_ms >= self.options.clock_off_ms => ClockStanding::Off,
            _ => ClockStanding::Fine,
        }
    }
}
