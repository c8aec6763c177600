//! A room as one hub has it: who is in it, how far it is, what is on its way.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::feed::Feed;
use crate::outputs::Outputs;
use crate::seed::Seed;
use crate::{ClientId, ReadId, RoomName};

/// A room that somebody on this hub is in, or was a moment ago.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: RoomName,
    pub(crate) feed: Feed,
    /// The members, by the version of the protocol that they speak.
    pub(crate) sides: [Side; 2],
    /// Connections of each user that is here, by the user's slot.
    connections: HashMap<usize, Connections, Seed>,
    /// Is on the hub's list of rooms with pending frames.
    pub(crate) dirty: bool,
    /// The newest time shown in this room, in whole seconds: times never run
    /// backwards, notices included.
    pub(crate) shown_s: u64,
    /// Pages on their way, by the number they start after.
    pub(crate) reads: Vec<RoomRead>,
    /// Nobody has been here since then.
    pub(crate) empty_since_ms: Option<u64>,
    /// Used since the sweep for recent frames last passed.
    pub(crate) used: bool,
    /// See `PlantedBug::ReadBeforeSubscribe`.
    #[cfg(feature = "planted-bugs")]
    pub(crate) forgot: bool,
}

/// The connections of one user in a room.
#[derive(Debug, Default)]
struct Connections {
    all: u32,
    /// Those that the others were told of: one that still waits for its answer
    /// may go without a word.
    announced: u32,
}

/// The members of a room that speak one version of the protocol.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// The newest entries, while there are members.
    pub(crate) recent: Recent,
    /// Members that get what is new.
    live: Vec<ClientId>,
    /// Members that became live in this turn, and what was pending by then.
    fresh: Vec<(ClientId, Pending)>,
    /// Members that replay.
    pub(crate) behind: Vec<ClientId>,
    /// Frames for the live members, written at the end of the turn.
    pub(crate) pending: Vec<u8>,
    /// How many there are.
    pub(crate) pending_frames: u64,
}

/// Where in a room's pending frames somebody begins.
#[derive(Debug)]
struct Pending {
    bytes: usize,
    frames: u64,
}

/// A page of a room that is being read, for everybody who waits for it.
#[derive(Debug)]
pub(crate) struct RoomRead {
    pub(crate) id: ReadId,
    /// `None`: the newest entries, to learn how far the room is.
    pub(crate) after: Option<u64>,
    /// It is for the room itself, not only for members who replay. A room has
    /// one such read at a time: a second one, begun a few entries later, would
    /// go on beside the first and read the same entries again.
    pub(crate) for_room: bool,
}

impl Room {
    pub(crate) fn new(name: RoomName, seed: Seed, now_ms: u64) -> Self {
        Self {
            name,
            feed: Feed::default(),
            sides: Default::default(),
            connections: HashMap::with_hasher(seed),
            dirty: false,
            shown_s: 0,
            reads: Vec::new(),
            empty_since_ms: Some(now_ms),
            used: true,
            #[cfg(feature = "planted-bugs")]
            forgot: false,
        }
    }

    /// How many users are here, each counted once.
    pub(crate) fn online(&self) -> usize {
        self.connections.len()
    }

    /// One more connection of a user, that nobody was told of yet.
    pub(crate) fn enter(&mut self, user: usize) {
        self.empty_since_ms = None;
        self.connections.entry(user).or_default().all += 1;
    }

    /// The others are told of a connection; of how many by now.
    pub(crate) fn announce(&mut self, user: usize) -> u32 {
        let connections = self.connections.entry(user).or_default();
        connections.announced += 1;
        connections.announced
    }

    /// One connection fewer; how many are left that the others were told of.
    pub(crate) fn exit(&mut self, user: usize, was_announced: bool, now_ms: u64) -> u32 {
        let Some(connections) = self.connections.get_mut(&user) else { return 0 };
        connections.all -= 1;
        connections.announced -= u32::from(was_announced);
        let announced = connections.announced;
        if connections.all == 0 {
            self.connections.remove(&user);
        }
        if self.connections.is_empty() {
            self.empty_since_ms = Some(now_ms);
        }
        announced
    }

    /// Bytes of recent frames.
    pub(crate) fn held(&self) -> usize {
        self.sides.iter().map(|side| side.recent.held()).sum()
    }

    /// Members that replay, of both versions.
    pub(crate) fn all_behind(&self) -> Vec<ClientId> {
        self.sides.iter().flat_map(|side| &side.behind).copied().collect()
    }

    /// Takes a member out, wherever it is.
    pub(crate) fn remove_member(&mut self, client: ClientId) {
        for side in &mut self.sides {
            side.remove_member(client);
        }
    }

    /// Puts out what is pending.
    pub(crate) fn flush(&mut self, out: &mut Outputs) {
        self.dirty = false;
        for side in &mut self.sides {
            side.flush(out);
        }
    }
}

impl Side {
    /// From here on this member gets what is new, but nothing that was pending
    /// before.
    pub(crate) fn go_live(&mut self, client: ClientId) {
        self.behind.retain(|&member| member != client);
        let before = Pending { bytes: self.pending.len(), frames: self.pending_frames };
        self.fresh.push((client, before));
    }

    fn remove_member(&mut self, client: ClientId) {
        // A search over dense numbers costs a microsecond in a room of
        // thousands, once in a membership.
        if let Some(index) = self.live.iter().position(|&member| member == client) {
            self.live.swap_remove(index);
        } else {
            self.fresh.retain(|&(member, _)| member != client);
            self.behind.retain(|&member| member != client);
        }
    }

    /// Somebody here gets what is new.
    pub(crate) fn has_live(&self) -> bool {
        !self.live.is_empty() || !self.fresh.is_empty()
    }

    /// Everybody who gets what is new.
    pub(crate) fn all_live(&self) -> Vec<ClientId> {
        self.live.iter().copied().chain(self.fresh.iter().map(|(member, _)| *member)).collect()
    }

    /// Nobody of this version is here: nothing need be encoded for it.
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_live() && self.behind.is_empty()
    }

    fn flush(&mut self, out: &mut Outputs) {
        if !self.pending.is_empty() {
            let bytes = out.store(&self.pending);
            out.write(self.live.iter().copied(), bytes.clone(), self.pending_frames);
            for (member, before) in &self.fresh {
                let from = u32::try_from(before.bytes).expect("within the bytes just stored");
                let frames = self.pending_frames - before.frames;
                out.write([*member], bytes.start + from..bytes.end, frames);
            }
            self.pending_frames = 0;
            self.pending.clear();
            self.pending.shrink_to(PENDING_KEPT_BYTES);
        }
        self.live.extend(self.fresh.drain(..).map(|(member, _)| member));
    }
}

/// The newest entries of a room as ready frames, in one piece.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// Where each frame ends, with its entry's number, which rise by one.
    frames: VecDeque<Frame>,
    /// The frames, after `gone` bytes of frames that were dropped.
    bytes: Vec<u8>,
    gone: usize,
}

#[derive(Debug)]
struct Frame {
    seq: u64,
    start: usize,
}

/// How much of a room is kept ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecentLimits {
    /// Entries a room.
    pub entries: usize,
    /// Bytes of frames a room.
    pub bytes: usize,
    /// Bytes of frames in all rooms of a hub; beyond it, those of the room
    /// that was used longest ago are dropped (approximately: the CLOCK
    /// algorithm).
    pub hub_bytes: usize,
}

impl Recent {
    /// Adds the frame of the next entry.
    pub(crate) fn push(&mut self, seq: u64, frame: &[u8], limits: RecentLimits) {
        if self.frames.back().is_some_and(|last| last.seq + 1 != seq) {
            self.clear();
        }
        self.frames.push_back(Frame { seq, start: self.bytes.len() });
        self.bytes.extend_from_slice(frame);
        while self.frames.len() > limits.entries || self.bytes.len() - self.gone > limits.bytes {
            self.frames.pop_front();
            self.gone = self.frames.front().map_or(self.bytes.len(), |first| first.start);
        }
        // Moving the rest down whenever half is gone costs each byte at most one move.
        if self.gone > self.bytes.len() / 2 {
            self.bytes.drain(..self.gone);
            for frame in &mut self.frames {
                frame.start -= self.gone;
            }
            self.gone = 0;
        }
    }

    /// Forgets the frames of entries below `seq`.
    pub(crate) fn forget_before(&mut self, seq: u64) {
        while self.frames.pop_front_if(|frame| frame.seq < seq).is_some() {}
        match self.frames.front() {
            Some(first) => self.gone = first.start,
            None => self.clear(),
        }
    }

    /// The frames from `seq` up to `top`, if they are all here.
    pub(crate) fn from(&self, seq: u64, top: u64) -> Option<&[u8]> {
        self.frames.back().filter(|last| last.seq == top)?;
        let first = self.frames.front()?.seq;
        let frame = self.frames.get(usize::try_from(seq.checked_sub(first)?).ok()?)?;
        Some(&self.bytes[frame.start..])
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// Forgets everything and gives the memory back.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What a room's buffer for one turn keeps.
const PENDING_KEPT_BYTES: usize = 4 * 1024;
