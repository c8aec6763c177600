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
    pub(crate) recent: Recent,
    /// Members that get what is new.
    live: Vec<ClientId>,
    /// Members that became live in this turn, and what was pending by then.
    fresh: Vec<(ClientId, Pending)>,
    /// Members that replay.
    pub(crate) behind: Vec<ClientId>,
    /// Connections of each user that is here, by the user's slot.
    connections: HashMap<usize, u32, Seed>,
    /// Frames for the live members, written at the end of the turn.
    pub(crate) pending: Vec<u8>,
    /// How many there are.
    pub(crate) pending_frames: u64,
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
            recent: Recent::default(),
            live: Vec::new(),
            fresh: Vec::new(),
            behind: Vec::new(),
            connections: HashMap::with_hasher(seed),
            pending: Vec::new(),
            pending_frames: 0,
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

    /// How many connections of a user are here.
    pub(crate) fn connections_of(&self, user: usize) -> u32 {
        self.connections.get(&user).copied().unwrap_or(0)
    }

    /// One more connection of a user; how many there are now.
    pub(crate) fn enter(&mut self, user: usize) -> u32 {
        self.empty_since_ms = None;
        let count = self.connections.entry(user).or_insert(0);
        *count += 1;
        *count
    }

    /// One connection fewer; how many are left.
    pub(crate) fn exit(&mut self, user: usize, now_ms: u64) -> u32 {
        let left = match self.connections.get_mut(&user) {
            Some(count) => {
                *count -= 1;
                *count
            }
            None => 0,
        };
        if left == 0 {
            self.connections.remove(&user);
        }
        if self.connections.is_empty() {
            self.empty_since_ms = Some(now_ms);
        }
        left
    }

    /// From here on this member gets what is new, but nothing that was pending
    /// before.
    pub(crate) fn go_live(&mut self, client: ClientId) {
        let before = Pending { bytes: self.pending.len(), frames: self.pending_frames };
        self.fresh.push((client, before));
    }

    /// Takes a member out, wherever it is.
    pub(crate) fn remove_member(&mut self, client: ClientId) {
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

    /// Puts out what is pending.
    pub(crate) fn flush(&mut self, out: &mut Outputs) {
        self.dirty = false;
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
