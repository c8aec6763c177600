//! The recent frames of a room.

use std::collections::VecDeque;

/// The frames of a room's newest entries, ready to be sent, in one piece.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// The numbers of the entries, which rise by one, and where each frame starts.
    frames: VecDeque<Frame>,
    /// The frames, after `gone` bytes of frames that were dropped.
    bytes: Vec<u8>,
    gone: usize,
}

/// How many frames are kept ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecentLimits {
    /// Entries of one room.
    pub entries: usize,
    /// Bytes of frames of one room.
    pub bytes: usize,
    /// Bytes of frames in all rooms of a hub; beyond it, those of the room
    /// that was used longest ago are dropped (approximately: the CLOCK
    /// algorithm).
    pub hub_bytes: usize,
}

#[derive(Debug)]
struct Frame {
    seq: u64,
    start: usize,
}

impl Recent {
    /// Adds the frame of the next entry.
    pub(super) fn push(&mut self, seq: u64, frame: &[u8], limits: RecentLimits) {
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

    /// Drops the frames of entries below `seq`.
    pub(super) fn forget_before(&mut self, seq: u64) {
        while self.frames.pop_front_if(|frame| frame.seq < seq).is_some() {}
        match self.frames.front() {
            Some(first) => self.gone = first.start,
            None => self.clear(),
        }
    }

    /// The frames of the entries from `seq` up to `top`, if it has all of them.
    pub(super) fn from(&self, seq: u64, top: u64) -> Option<&[u8]> {
        let (first, last) = (self.frames.front()?.seq, self.frames.back()?.seq);
        if top > last {
            return None;
        }
        let start = |seq: u64| {
            let index = usize::try_from(seq.checked_sub(first)?).ok()?;
            self.frames.get(index).map(|frame| frame.start)
        };
        let end = if top == last { self.bytes.len() } else { start(top + 1)? };
        self.bytes.get(start(seq)?..end)
    }

    /// Bytes of memory in use.
    pub(super) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// Drops all frames and frees the memory.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
