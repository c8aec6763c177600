//! The roster: the users who are present on the other servers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hasher;

use chat_core::{PresenceChange, PresenceKind, RoomName, Username};
use siphasher::sip::SipHasher13;

use crate::planted::{Planted, can_be_planted, planted};
use crate::{Heartbeat, Incarnation, ServerRow};

/// Connections to rooms: hub, room, user, and how many.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Present {
    connections: BTreeMap<(u32, RoomName, Username), u32>,
    checksum: u64,
}

/// The next changes of a server's presence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delta {
    /// The server.
    pub from: Incarnation,
    /// The number of the delta among those of the server, from 1.
    pub counter: u64,
    /// The changes in their order, at most `DELTA_MAX_CHANGES`.
    pub changes: Vec<PresenceChange>,
}

/// A part of all that is present on a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotPart {
    /// The server.
    pub from: Incarnation,
    /// The last delta that is in it.
    pub counter: u64,
    /// The number of the part, from 0.
    pub part: u32,
    /// How many parts the snapshot has, at most `SNAPSHOT_MAX_PARTS`.
    pub parts: u32,
    /// When it was made, in whole seconds since 1970.
    pub at_s: u64,
    /// Hub, room, user and connections, at most `PART_MAX_CONNECTIONS`.
    pub present: Vec<(u32, RoomName, Username, u32)>,
}

/// Changes in one [`Delta`]: with the longest names, 256 KiB.
pub(crate) const DELTA_MAX_CHANGES: usize = 500;
/// Users in rooms in one [`SnapshotPart`]: with the longest names, 256 KiB.
pub(crate) const PART_MAX_CONNECTIONS: usize = 500;
/// Parts of one snapshot: five million users in rooms on one server.
pub(crate) const SNAPSHOT_MAX_PARTS: u32 = 10_000;

impl Present {
    /// How many connections a user has to a room on a hub.
    pub fn connections(&self, hub: u32, room: &RoomName, user: &Username) -> u32 {
        self.connections.get(&(hub, room.clone(), user.clone())).copied().unwrap_or(0)
    }

    /// The number of users in rooms, each counted for each hub and room.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// A sum over all of it: two servers that have the same have the same sum.
    pub fn checksum(&self) -> u64 {
        self.checksum
    }

    /// Hub, room, user and connections, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &RoomName, &Username, u32)> {
        self.connections.iter().map(|((hub, room, user), count)| (*hub, room, user, *count))
    }

    /// The hubs with somebody on them.
    fn hubs(&self) -> BTreeSet<u32> {
        self.connections.keys().map(|(hub, ..)| *hub).collect()
    }

    fn set(&mut self, hub: u32, room: &RoomName, user: &Username, connections: u32) {
        let key = (hub, room.clone(), user.clone());
        let before = match connections {
            0 => self.connections.remove(&key),
            _ => self.connections.insert(key.clone(), connections),
        };
        if let Some(before) = before {
            self.checksum = self.checksum.wrapping_sub(hash_of(&key, before));
        }
        if connections > 0 {
            self.checksum = self.checksum.wrapping_add(hash_of(&key, connections));
        }
    }
}

/// A hash that is the same on all servers and in all versions (SipHash 1-3).
fn hash_of((hub, room, user): &(u32, RoomName, Username), connections: u32) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(&hub.to_le_bytes());
    hasher.write(&connections.to_le_bytes());
    hasher.write(&(room.as_str().len() as u64).to_le_bytes());
    hasher.write(room.as_str().as_bytes());
    hasher.write(user.as_str().as_bytes());
    hasher.finish()
}

/// What is present on this server, for the others.
#[derive(Clone, Debug)]
pub struct OwnPresence {
    own: Incarnation,
    counter: u64,
    /// As of the last delta.
    present: Present,
    /// Changes since then.
    changes: VecDeque<PresenceChange>,
}

impl OwnPresence {
    /// Nobody is present yet.
    pub fn new(own: Incarnation) -> Self {
        Self { own, counter: 0, present: Present::default(), changes: VecDeque::new() }
    }

    /// A hub of this server has put out a change.
    pub fn change(&mut self, change: PresenceChange) {
        self.changes.push_back(change);
    }

    /// The next delta to publish; `None` if nothing has changed. To be called until it is `None`,
    /// every 250 ms.
    pub fn next_delta(&mut self) -> Option<Delta> {
        let count = self.changes.len().min(DELTA_MAX_CHANGES);
        if count == 0 {
            return None;
        }
        let changes: Vec<PresenceChange> = self.changes.drain(..count).collect();
        for change in &changes {
            self.present.set(change.hub, &change.room, &change.user, change.connections);
        }
        self.counter += 1;
        Some(Delta { from: self.own, counter: self.counter, changes })
    }

    /// The number of the last delta, and the checksum after it, for heartbeats.
    pub fn state(&self) -> (u64, u64) {
        (self.counter, self.present.checksum)
    }

    /// All that is present as of the last delta, for a server that asks.
    pub fn snapshot(&self, at_s: u64) -> Vec<SnapshotPart> {
        let all: Vec<_> = self.present.iter().collect();
        let mut chunks: Vec<&[_]> =
            all.chunks(PART_MAX_CONNECTIONS).take(SNAPSHOT_MAX_PARTS as usize).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        let parts = chunks.len() as u32;
        let copy = |&(hub, room, user, count): &(u32, &RoomName, &Username, u32)| {
            (hub, room.clone(), user.clone(), count)
        };
        let part = |(part, chunk): (u32, &[_])| SnapshotPart {
            from: self.own,
            counter: self.counter,
            part,
            parts,
            at_s,
            present: chunk.iter().map(copy).collect(),
        };
        std::iter::zip(0.., chunks).map(part).collect()
    }
}

/// What is present on the other servers, as this one knows it.
///
/// It puts out changes only, each once: what a hub is told is different from what it knew. A gap
/// between deltas, or a checksum that differs, brings a snapshot, whose comparison with what is
/// known gives the changes. Messages never depend on it.
#[derive(Clone, Debug)]
pub struct Roster {
    own: Incarnation,
    options: RosterOptions,
    peers: BTreeMap<Incarnation, Peer>,
    outputs: VecDeque<RosterOutput>,
    planted: Planted,
}

/// The times of a [`Roster`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RosterOptions {
    /// A server is lost when its heartbeat and its row are both as old, in milliseconds.
    pub lost_after_ms: u64,
    /// The time after which a snapshot is asked for again, in milliseconds.
    pub ask_again_ms: u64,
}

impl Default for RosterOptions {
    fn default() -> Self {
        Self { lost_after_ms: 5_000, ask_again_ms: 500 }
    }
}

/// What a [`Roster`] asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RosterOutput {
    /// All hubs of this server get this change.
    Change(PresenceChange),
    /// All hubs of this server get to know that this hub is lost.
    HubLost(u32),
    /// Ask this server for a snapshot.
    AskSnapshot(Incarnation),
}

#[derive(Clone, Debug, Default)]
struct Peer {
    /// The last delta that is in `present`; `None` before the first snapshot.
    counter: Option<u64>,
    present: Present,
    /// When it was last heard on the bus.
    heard_ms: Option<u64>,
    /// The number of its last heartbeat.
    beat: u64,
    /// When a snapshot was asked for that has not come.
    asked_ms: Option<u64>,
    /// The parts of a snapshot that have come.
    parts: BTreeMap<u32, SnapshotPart>,
}

can_be_planted!(Roster);

impl Roster {
    /// Nothing is known yet.
    pub fn new(own: Incarnation, options: RosterOptions) -> Self {
        let (peers, outputs) = (BTreeMap::new(), VecDeque::new());
        Self { own, options, peers, outputs, planted: Planted::default() }
    }

    /// Changes of another server's presence have come.
    pub fn delta(&mut self, now_ms: u64, delta: Delta) {
        let Self { own, peers, outputs, .. } = self;
        let Some(peer) = hear(peers, *own, now_ms, delta.from) else { return };
        let next = peer.counter.map(|counter| counter + 1);
        let is_stale = next.is_some_and(|next| delta.counter < next);
        if next == Some(delta.counter) || (is_stale && planted!(self.planted, StaleDeltaAfterSnapshot)) {
            peer.counter = Some(delta.counter);
            for change in delta.changes {
                let PresenceChange { hub, room, user, connections, .. } = &change;
                if delta.from.has_hub(*hub) && peer.present.connections(*hub, room, user) != *connections {
                    peer.present.set(*hub, room, user, *connections);
                    outputs.push_back(RosterOutput::Change(change));
                }
            }
        } else if !is_stale {
            self.ask(now_ms, delta.from);
        }
    }

    /// A part of a snapshot has come. It is ignored unless one was asked for: other servers ask too.
    pub fn snapshot(&mut self, now_ms: u64, part: SnapshotPart) {
        let Self { own, peers, outputs, .. } = self;
        let Some(peer) = hear(peers, *own, now_ms, part.from) else { return };
        let is_old = peer.counter.is_some_and(|counter| part.counter < counter);
        let is_sound = part.part < part.parts && part.parts <= SNAPSHOT_MAX_PARTS;
        if peer.asked_ms.is_none() || is_old || !is_sound {
            return;
        }
        // Parts of one snapshot belong together.
        let same = |other: &SnapshotPart| (other.counter, other.parts) == (part.counter, part.parts);
        if !peer.parts.values().all(same) {
            peer.parts.clear();
        }
        let (from, counter, parts, at_s) = (part.from, part.counter, part.parts, part.at_s);
        peer.parts.insert(part.part, part);
        // It is under way: to ask again would bring all of it once more.
        peer.asked_ms = Some(now_ms);
        if peer.parts.len() < parts as usize {
            return;
        }
        let mut present = Present::default();
        for (hub, room, user, count) in
            std::mem::take(&mut peer.parts).into_values().flat_map(|part| part.present)
        {
            if from.has_hub(hub) {
                present.set(hub, &room, &user, count);
            }
        }
        let before = std::mem::replace(&mut peer.present, present);
        (peer.counter, peer.asked_ms) = (Some(counter), None);
        let compare = !planted!(self.planted, SnapshotUncompared);
        let keys: BTreeSet<_> = before.connections.keys().chain(peer.present.connections.keys()).collect();
        for (hub, room, user) in keys {
            let (was, connections) =
                (before.connections(*hub, room, user), peer.present.connections(*hub, room, user));
            if was == connections && compare {
                continue;
            }
            let kind = if connections >= was { PresenceKind::Joined } else { PresenceKind::Left };
            let (hub, room, user) = (*hub, room.clone(), user.clone());
            let change = PresenceChange { hub, room, user, kind, connections, at_s };
            outputs.push_back(RosterOutput::Change(change));
        }
    }

    /// A heartbeat has come.
    pub fn heartbeat(&mut self, now_ms: u64, beat: &Heartbeat) {
        let Some(peer) = self.peers.get(&beat.from) else {
            if hear(&mut self.peers, self.own, now_ms, beat.from).is_some() {
                self.ask(now_ms, beat.from);
            }
            return;
        };
        if beat.beat <= peer.beat {
            // An old one, late or repeated, is no sign of life.
            return;
        }
        let differs = match peer.counter {
            None => true,
            Some(counter) => {
                let is_same = beat.presence_checksum == peer.present.checksum;
                beat.presence_counter > counter || (beat.presence_counter == counter && !is_same)
            }
        };
        if let Some(peer) = hear(&mut self.peers, self.own, now_ms, beat.from) {
            peer.beat = beat.beat;
        }
        if differs {
            self.ask(now_ms, beat.from);
        }
    }

    /// The table of servers was read. Servers are lost here and nowhere else: while the database
    /// does not answer, nobody can know that their rows are old.
    pub fn rows(&mut self, now_ms: u64, rows: &[ServerRow]) {
        let lost_after_ms = self.options.lost_after_ms;
        let is_fresh = |row: &&ServerRow| !row.has_left && row.age_ms < lost_after_ms;
        let fresh: BTreeSet<Incarnation> = rows.iter().filter(is_fresh).map(|row| row.incarnation).collect();
        let left: BTreeSet<Incarnation> =
            rows.iter().filter(|row| row.has_left).map(|row| row.incarnation).collect();
        for &server in &fresh {
            if server != self.own && !self.peers.contains_key(&server) {
                self.peers.insert(server, Peer::default());
                self.ask(now_ms, server);
            }
        }
        let ignores_rows = planted!(self.planted, ExpireOnBusLoss);
        let is_lost = |server: &Incarnation, peer: &Peer| {
            let is_silent = peer.heard_ms.is_none_or(|heard_ms| heard_ms + lost_after_ms <= now_ms);
            left.contains(server) || (is_silent && (!fresh.contains(server) || ignores_rows))
        };
        let lost: Vec<Incarnation> = self
            .peers
            .iter()
            .filter(|(server, peer)| is_lost(server, peer))
            .map(|(server, _)| *server)
            .collect();
        for server in lost {
            if let Some(peer) = self.peers.remove(&server) {
                self.outputs.extend(peer.present.hubs().into_iter().map(RosterOutput::HubLost));
            }
        }
    }

    /// What is to be done next.
    pub fn next_output(&mut self) -> Option<RosterOutput> {
        self.outputs.pop_front()
    }

    /// What is present on another server, as far as this one knows.
    pub fn present(&self, server: Incarnation) -> Option<&Present> {
        self.peers.get(&server).map(|peer| &peer.present)
    }

    /// Whether this server has had a snapshot of another one.
    pub fn knows(&self, server: Incarnation) -> bool {
        self.peers.get(&server).is_some_and(|peer| peer.counter.is_some())
    }

    /// The other servers that this one knows.
    pub fn servers(&self) -> impl Iterator<Item = Incarnation> {
        self.peers.keys().copied()
    }

    fn ask(&mut self, now_ms: u64, server: Incarnation) {
        let Some(peer) = self.peers.get_mut(&server) else { return };
        if peer.asked_ms.is_none_or(|asked_ms| asked_ms + self.options.ask_again_ms <= now_ms) {
            peer.asked_ms = Some(now_ms);
            peer.parts.clear();
            self.outputs.push_back(RosterOutput::AskSnapshot(server));
        }
    }
}

/// Notes a sign of life. Returns the server, unless it is this one.
fn hear(
    peers: &mut BTreeMap<Incarnation, Peer>,
    own: Incarnation,
    now_ms: u64,
    server: Incarnation,
) -> Option<&mut Peer> {
    if server == own {
        return None;
    }
    let peer = peers.entry(server).or_default();
    peer.heard_ms = Some(now_ms);
    Some(peer)
}
