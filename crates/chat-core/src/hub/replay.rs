//! Replays: the stored entries that a joining client is sent.
//!
//! A client that is not live has a cursor, not a queue: pages are read for it
//! only while its socket takes them, and it goes live in the step in which the
//! rest is among the room's recent frames.

use std::collections::VecDeque;
use std::ops::Range;

use super::Hub;
use super::client::ClientRef;
use super::join::{Continuity, Join, JoinOrigin, Recovery, ReplayKind};
use super::planted::planted;
use super::reads::TopicPage;
use super::rooms::{RoomReadFor, RoomSlot};
use crate::frame::Version;
use crate::outputs::Outputs;
use crate::{ClientId, CloseCode, Page};

/// What the replays of a hub have in common.
#[derive(Default)]
pub(super) struct Replays {
    /// Clients whose replays continue in the next turn.
    held_back: VecDeque<ClientRef>,
    /// The recent frames that were put out last: often the next client needs the
    /// same.
    last: Option<RecentInArena>,
}

/// Recent frames of a room in the arena of the outputs.
struct RecentInArena {
    slot: RoomSlot,
    version: Version,
    after: u64,
    upto: u64,
    /// See [`Outputs::generation`].
    generation: u64,
    bytes: Range<u32>,
}

impl Replays {
    /// Whether a replay waits for the next turn.
    pub(super) fn wait_for_turn(&self) -> bool {
        !self.held_back.is_empty()
    }
}

impl Hub {
    /// Continues the replay of a room for a client, as far as its socket takes
    /// it, or begins to read the next page.
    pub(super) fn catch_up(&mut self, id: ClientId, slot: RoomSlot, out: &mut Outputs) {
        let Some(top) = self.rooms[slot].top() else { return };
        match self.clients.join_in(id, slot) {
            Some(join @ Join::Waiting { origin: JoinOrigin::V1, .. }) => {
                let limit = self.options.join_replay_entries;
                let Some(cursor) = self.rooms[slot].newest_after(limit) else {
                    return self.read_newest(slot, out);
                };
                let (kind, progress_ms, fold_end) = (ReplayKind::V1, self.now.mono_ms, Some(top));
                *join = Join::Replaying { cursor, reading: false, kind, fold_end, progress_ms };
            }
            Some(Join::Waiting { origin: JoinOrigin::V2(_), .. }) => self.answer_join(id, slot, top, out),
            Some(Join::Asking { .. } | Join::Checking { .. } | Join::Replaying { .. } | Join::Live)
            | None => {}
        }
        self.replay_recent(id, slot, top, out);
    }

    /// Sends a replaying client the rest from the recent frames, if they have it:
    /// then it is live. Else the next page is read.
    fn replay_recent(&mut self, id: ClientId, slot: RoomSlot, top: u64, out: &mut Outputs) {
        let page_bytes = self.options.page_bytes;
        self.end_fold(id, slot, out);
        let Some(client) = self.clients.get_mut(id) else { return };
        let (pending, version) = (client.pending(), client.version());
        let Some(join) = client.join_in(slot) else { return };
        let Some(next_page) = join.next_page() else { return };
        let Join::Replaying { cursor, reading, kind, fold_end, .. } = join else { return };
        let (after, kind, is_folded) = (*cursor, *kind, fold_end.is_some());
        let end = fold_end.map_or(top, |end| end.min(top));
        if planted!(self, SkipWhenSlow) && pending >= page_bytes {
            *cursor = top;
        }
        if pending >= page_bytes || *reading {
            return;
        }
        if after < end {
            let room = &self.rooms[slot];
            let recent = match is_folded {
                true => room.recent_messages(version, after, end),
                false => room.recent(version, after, end),
            };
            let Some(count) = recent.map(|frames| frames.count) else {
                *reading = true;
                return self.read_room(slot, next_page, RoomReadFor::Clients, out);
            };
            if !self.can_take_replay(id, out) {
                return;
            }
            let bytes = self.recent_in_arena(slot, version, after, end, out);
            self.count_in_turn(id, bytes.len());
            out.write([id], bytes, count);
        }
        let Some(join) = self.clients.join_in(id, slot) else { return };
        join.advance(end, end.saturating_sub(after), self.now.mono_ms);
        if end < top {
            // The folded replay is over, and newer entries follow.
            return self.replay_recent(id, slot, top, out);
        }
        self.end_fold(id, slot, out);
        let Some(join) = self.clients.join_in(id, slot) else { return };
        *join = Join::Live;
        self.rooms.go_live(slot, id, version);
        if kind == ReplayKind::V1 {
            self.announce(id, slot, out);
        }
    }

    /// The recent frames after a number, stored once for all clients that need them.
    fn recent_in_arena(
        &mut self,
        slot: RoomSlot,
        version: Version,
        after: u64,
        upto: u64,
        out: &mut Outputs,
    ) -> Range<u32> {
        let generation = out.generation();
        if let Some(last) = &self.replays.last
            && (last.slot, last.version, last.after, last.upto, last.generation)
                == (slot, version, after, upto, generation)
        {
            return last.bytes.clone();
        }
        let frames = self.rooms[slot].recent(version, after, upto);
        let bytes = out.store(frames.map_or(&[], |frames| frames.bytes));
        let bytes_again = bytes.clone();
        self.replays.last = Some(RecentInArena { slot, version, after, upto, generation, bytes });
        bytes_again
    }

    /// Sends a page to the clients of one version that wait for it, encoded once.
    pub(super) fn replay_page(
        &mut self,
        slot: RoomSlot,
        version: Version,
        which: TopicPage,
        page: &Page,
        waiting: &[ClientId],
        out: &mut Outputs,
    ) {
        // All entries of the page are at most the room's top by now, so that no
        // client gets one of them again when it is live.
        let top = self.rooms[slot].top().unwrap_or(0);
        let (after, end) = match which {
            TopicPage::Newest => return,
            TopicPage::After(after) => (after, top),
            TopicPage::Messages { after, end } => (after, end),
        };
        let mut clients = waiting.to_vec();
        clients.retain(|&id| {
            let client = self.clients.get_mut(id).filter(|client| client.version() == version);
            let join = client.and_then(|client| client.join_in(slot));
            join.is_some_and(|join| join.next_page() == Some(which))
        });
        if clients.is_empty() {
            return;
        }
        let entries = page.entries.iter().filter(|entry| entry.seq > after && entry.seq <= end);
        self.scratch.clear();
        let (mut cursor, mut frames, mut is_cut) = (after, 0, false);
        for entry in entries {
            // Written as JSON, a text may be six times as long as it is: then
            // the rest is for another page.
            if self.scratch.len() >= self.options.page_bytes {
                is_cut = true;
                break;
            }
            cursor = entry.seq;
            let at_s = entry.at_ms / 1000;
            frames += u64::from(self.options.encoding().entry(&mut self.scratch, version, entry, at_s));
            if version == Version::V1 {
                self.rooms.note_shown(slot, at_s);
            }
        }
        let has_more = match which {
            TopicPage::Messages { .. } => {
                is_cut || page.has_newer && page.entries.last().is_some_and(|last| last.seq <= end)
            }
            // Those up to the end may be no longer kept.
            TopicPage::After(_) | TopicPage::Newest => page.entries.iter().any(|entry| entry.seq <= end),
        };
        if !has_more {
            cursor = cursor.max(page.last.min(end));
            if planted!(self, FoldToTheTop) && cursor == end {
                cursor = top;
            }
        }
        let bytes = out.store(&self.scratch);
        for &id in &clients {
            self.count_in_turn(id, bytes.len());
        }
        out.write(clients.iter().copied(), bytes, frames);
        for &id in &clients {
            if let Some(join) = self.clients.join_in(id, slot) {
                join.advance(cursor, frames, self.now.mono_ms);
            }
        }
    }

    /// Decides by the page after a number, for a client that waited for it,
    /// whether all that it has missed is still stored.
    pub(super) fn judge_resume(
        &mut self,
        id: ClientId,
        slot: RoomSlot,
        after: u64,
        page: &Page,
        out: &mut Outputs,
    ) {
        let top = self.rooms[slot].top().unwrap_or(0);
        let is_complete =
            (page.first <= after.saturating_add(1) && after <= page.last) || planted!(self, ResumeUnchecked);
        let Some(join) = self.clients.join_in(id, slot) else { return };
        match join {
            Join::Waiting { origin: JoinOrigin::V2(request), .. } if !is_complete => request.resume = None,
            Join::Waiting { origin: JoinOrigin::V2(_), .. } if after <= top => {
                self.send_joined(id, slot, Recovery::Complete { since: after }, top, out);
            }
            // A part of what must come next is no longer stored.
            Join::Replaying { kind: ReplayKind::V2(Continuity::Required), .. } if !is_complete => {
                self.close(id, CloseCode::TryAgainLater, out);
            }
            // Also a client that is further than this hub: it waits for the room.
            Join::Asking { .. }
            | Join::Waiting { .. }
            | Join::Checking { .. }
            | Join::Replaying { .. }
            | Join::Live => {}
        }
    }

    /// Whether a client can be sent a part of a replay: as much as a page may
    /// wait in its socket, or be put out for it in one turn. If not, its replay
    /// continues when the socket has taken something, or in the next turn.
    pub(super) fn can_take_replay(&mut self, id: ClientId, out: &Outputs) -> bool {
        let page_bytes = self.options.page_bytes;
        let Some(client) = self.clients.get_mut(id) else { return false };
        if client.pending() >= page_bytes {
            return false;
        }
        if client.bytes_in_turn(self.turn) < page_bytes && !out.is_full() {
            return true;
        }
        if client.hold_back() {
            self.replays.held_back.push_back(client.reference());
        }
        false
    }

    fn count_in_turn(&mut self, id: ClientId, bytes: usize) {
        if let Some(client) = self.clients.get_mut(id) {
            client.count_in_turn(bytes, self.turn);
        }
    }

    /// Continues the replays that were held back in the last turn: its bytes are
    /// written by now, or wait in the sockets.
    pub(super) fn continue_held_back(&mut self, out: &mut Outputs) {
        for client in std::mem::take(&mut self.replays.held_back) {
            if let Some(found) = self.clients.same(client) {
                found.end_hold_back();
                self.catch_up_everywhere(client.id, out);
            }
        }
    }

    /// Continues all replays of a client.
    fn catch_up_everywhere(&mut self, id: ClientId, out: &mut Outputs) {
        let Some(client) = self.clients.get(id) else { return };
        let joining = client.rooms().iter().filter(|joined| !joined.join.is_live());
        let joining: Vec<RoomSlot> = joining.map(|joined| joined.room).collect();
        for slot in joining {
            self.catch_up(id, slot, out);
        }
    }

    /// A client's socket has this many bytes that it has not taken.
    pub(super) fn pending(&mut self, id: ClientId, bytes: usize, out: &mut Outputs) {
        let page_bytes = self.options.page_bytes;
        let Some(client) = self.clients.get_mut(id) else { return };
        let was_full = client.set_pending(bytes) >= page_bytes;
        if !was_full || bytes >= page_bytes {
            return;
        }
        // Until now the client waited for its own socket; from now on, for the log.
        client.restart_deadlines(self.now.mono_ms);
        self.catch_up_everywhere(id, out);
    }

    /// Closes the clients for which the log has not answered for too long.
    pub(super) fn close_stuck(&mut self, out: &mut Outputs) {
        for id in self.clients.ids() {
            self.time_out_joins(id, out);
            if self.is_stuck(id) {
                self.close(id, CloseCode::TryAgainLater, out);
            }
        }
    }

    fn is_stuck(&self, id: ClientId) -> bool {
        let Some(client) = self.clients.get(id) else { return false };
        let is_overdue = |since_ms: u64| since_ms + self.options.catch_up_timeout_ms <= self.now.mono_ms;
        let mut joins = client.rooms().iter().filter_map(|joined| joined.join.progress_ms());
        client.greeting_since_ms().is_some_and(is_overdue)
            || client.pending() < self.options.page_bytes && joins.any(is_overdue)
    }
}
