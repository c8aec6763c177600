//! The recent frames of a room.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::{Body, Entry};

/// The frames of a room's newest entries, ready to be sent, in one piece.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// The numbers of the entries, which rise by one, and where each frame starts. An
    /// entry that is not shown to the clients has an empty frame.
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
    /// The message whose text it may show: the entry itself, or the message that it edits;
    /// 0 if it shows none.
    text_of: u64,
}

impl Frame {
    fn new(entry: &Entry, start: usize) -> Self {
        let text_of = match &entry.body {
            Body::Message { .. } => entry.seq,
            Body::Edit { target, .. } => *target,
            Body::Delete { .. } | Body::React { .. } | Body::Unreact { .. } => 0,
        };
        Self { seq: entry.seq, start, text_of }
    }

    fn is_message(&self) -> bool {
        self.text_of == self.seq
    }
}

/// Frames that are ready to be sent.
#[derive(Debug, Clone, Copy)]
pub(in crate::hub) struct RecentFrames<'a> {
    pub(in crate::hub) bytes: &'a [u8],
    /// How many frames these are.
    pub(in crate::hub) count: u64,
}

impl Recent {
    /// Adds the frame of the next entry.
    pub(super) fn push(&mut self, entry: &Entry, frame: &[u8], limits: RecentLimits) {
        if self.frames.back().is_some_and(|last| last.seq + 1 != entry.seq) {
            self.clear();
        }
        self.frames.push_back(Frame::new(entry, self.bytes.len()));
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

    /// Drops the frames up to the newest one that may show a text of this message.
    pub(super) fn forget_text_of(&mut self, target: u64) {
        if let Some(newest) = self.frames.iter().rev().find(|frame| frame.text_of == target) {
            self.forget_before(newest.seq + 1);
        }
    }

    /// See `PlantedBug::OldEditText`.
    #[cfg(feature = "planted-bugs")]
    pub(super) fn forget_message(&mut self, target: u64) {
        if self.frames.iter().any(|frame| frame.seq == target) {
            self.forget_before(target + 1);
        }
    }

    /// The frames of the entries with these numbers, if it has all of them.
    pub(super) fn range(&self, seqs: RangeInclusive<u64>) -> Option<RecentFrames<'_>> {
        let (frames, end) = self.indices(seqs)?;
        let start = self.frames.get(*frames.start())?.start;
        let starts = self.frames.range(frames).map(|frame| frame.start);
        // An empty frame starts where the next one does.
        let ends = starts.clone().skip(1).chain([end]);
        let count = starts.zip(ends).filter(|(start, end)| start < end).count() as u64;
        Some(RecentFrames { bytes: self.bytes.get(start..end)?, count })
    }

    /// Whether it has the frames of all entries with these numbers, and all of them are
    /// messages.
    pub(super) fn has_only_messages(&self, seqs: RangeInclusive<u64>) -> bool {
        self.indices(seqs).is_some_and(|(frames, _)| self.frames.range(frames).all(Frame::is_message))
    }

    /// The indices of the frames with these numbers, and where the last of them ends.
    fn indices(&self, seqs: RangeInclusive<u64>) -> Option<(RangeInclusive<usize>, usize)> {
        let first = self.frames.front()?.seq;
        let index = |seq: u64| {
            let index = usize::try_from(seq.checked_sub(first)?).ok()?;
            (index < self.frames.len()).then_some(index)
        };
        let (from, upto) = (index(*seqs.start())?, index(*seqs.end())?);
        let end = self.frames.get(upto + 1).map_or(self.bytes.len(), |next| next.start);
        (from <= upto).then_some((from..=upto, end))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
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
