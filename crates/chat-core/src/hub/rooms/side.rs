//! The clients of one room and one version of the protocol.

use std::ops::RangeInclusive;

use super::recent::{Recent, RecentFrames, RecentLimits};
use crate::frame::{Encoding, Version};
use crate::outputs::Outputs;
use crate::{ClientId, Entry, Framing};

/// The clients in a room that speak one version of the protocol, and their frames.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// The frames of the newest entries, while there are clients.
    recent: Recent,
    /// Clients that get entries as they are delivered.
    live: Vec<ClientId>,
    /// Clients that became live in this turn, and what was pending by then.
    fresh: Vec<(ClientId, Pending)>,
    /// Clients that are not live yet.
    joining: Vec<ClientId>,
    /// Frames for the live clients, written at the end of the turn.
    pending: Vec<u8>,
    pending_frames: u64,
}

/// A position in the pending frames.
#[derive(Debug)]
struct Pending {
    bytes: usize,
    frames: u64,
}

impl Side {
    pub(super) fn enter(&mut self, client: ClientId) {
        self.joining.push(client);
    }

    /// From here on this client gets what is delivered, but nothing that was
    /// pending before.
    pub(super) fn go_live(&mut self, client: ClientId) {
        self.joining.retain(|&joining| joining != client);
        let before = Pending { bytes: self.pending.len(), frames: self.pending_frames };
        self.fresh.push((client, before));
    }

    pub(super) fn remove_client(&mut self, client: ClientId) {
        // A search over dense numbers costs a microsecond in a room of
        // thousands, once for each join.
        if let Some(index) = self.live.iter().position(|&live| live == client) {
            self.live.swap_remove(index);
        } else {
            self.fresh.retain(|&(fresh, _)| fresh != client);
            self.joining.retain(|&joining| joining != client);
        }
    }

    /// The clients that are not live yet.
    pub(super) fn joining(&self) -> &[ClientId] {
        &self.joining
    }

    /// The clients that are live.
    pub(super) fn live(&self) -> Vec<ClientId> {
        self.live.iter().copied().chain(self.fresh.iter().map(|(client, _)| *client)).collect()
    }

    pub(super) fn has_live(&self) -> bool {
        !self.live.is_empty() || !self.fresh.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_live() && self.joining.is_empty()
    }

    /// Makes the frame of the next entry, shown at `shown_s`. Returns whether it is
    /// pending. An entry that this version does not show is among the recent ones, too,
    /// without bytes.
    pub(super) fn deliver(
        &mut self,
        version: Version,
        entry: &Entry,
        shown_s: u64,
        encoding: Encoding<'_>,
        recent: RecentLimits,
        scratch: &mut Vec<u8>,
    ) -> bool {
        let start = self.pending.len();
        let is_shown = encoding.entry(&mut self.pending, version, entry, shown_s);
        if version == Version::V1 && shown_s > entry.at_ms / 1000 {
            // A notice was shown meanwhile; a replay has no notices.
            self.keep(version, entry, encoding, recent, scratch);
        } else {
            self.recent.push(entry, &self.pending[start..], recent);
        }
        if self.has_live() {
            self.pending_frames += u64::from(is_shown);
            is_shown
        } else {
            self.pending.truncate(start);
            false
        }
    }

    /// Adds the frame of an entry, shown at its own time, to the recent frames only.
    pub(super) fn keep(
        &mut self,
        version: Version,
        entry: &Entry,
        encoding: Encoding<'_>,
        recent: RecentLimits,
        scratch: &mut Vec<u8>,
    ) {
        scratch.clear();
        encoding.entry(scratch, version, entry, entry.at_ms / 1000);
        self.recent.push(entry, scratch, recent);
    }

    /// Writes a frame for the live clients.
    pub(super) fn write(&mut self, framing: Framing, write: impl FnOnce(&mut Vec<u8>)) {
        framing.append(&mut self.pending, write);
        self.pending_frames += 1;
    }

    /// Queues a frame for the live clients; returns whether there are any.
    pub(super) fn queue(&mut self, frame: &[u8]) -> bool {
        if !self.has_live() {
            return false;
        }
        self.pending.extend_from_slice(frame);
        self.pending_frames += 1;
        true
    }

    /// Puts out what is pending.
    pub(super) fn flush(&mut self, out: &mut Outputs) {
        if !self.pending.is_empty() {
            let bytes = out.store(&self.pending);
            out.write(self.live.iter().copied(), bytes.clone(), self.pending_frames);
            for (client, before) in &self.fresh {
                let from = u32::try_from(before.bytes).expect("within the bytes just stored");
                let frames = self.pending_frames - before.frames;
                out.write([*client], bytes.start + from..bytes.end, frames);
            }
            self.pending_frames = 0;
            self.pending.clear();
            self.pending.shrink_to(PENDING_KEPT_BYTES);
        }
        self.live.extend(self.fresh.drain(..).map(|(client, _)| client));
    }

    /// The recent frames of the entries with these numbers, if all are there.
    pub(super) fn recent(&self, seqs: RangeInclusive<u64>) -> Option<RecentFrames<'_>> {
        self.recent.range(seqs)
    }

    /// Whether these entries are among the recent frames, and all of them are messages.
    pub(super) fn has_only_messages(&self, seqs: RangeInclusive<u64>) -> bool {
        self.recent.has_only_messages(seqs)
    }

    pub(super) fn has_recent(&self) -> bool {
        !self.recent.is_empty()
    }

    pub(super) fn recent_bytes(&self) -> usize {
        self.recent.held()
    }

    /// Drops the recent frames of entries below `first`.
    pub(super) fn forget_before(&mut self, first: u64) {
        self.recent.forget_before(first);
    }

    /// Drops the recent frames up to the newest one that may show a text of this message.
    pub(super) fn forget_text_of(&mut self, target: u64) {
        self.recent.forget_text_of(target);
    }

    /// See `PlantedBug::OldEditText`.
    #[cfg(feature = "planted-bugs")]
    pub(super) fn forget_message(&mut self, target: u64) {
        self.recent.forget_message(target);
    }

    /// Drops all recent frames.
    pub(super) fn forget_recent(&mut self) {
        self.recent.clear();
    }
}

/// What the buffer of pending frames keeps from turn to turn, in bytes.
const PENDING_KEPT_BYTES: usize = 4 * 1024;
