//! Closed rooms while this server may have missed that another one has removed a member.

use super::Hub;
use super::planted::planted;
use super::rooms::{Knowledge, RoomSlot};
use crate::outputs::Outputs;
use crate::{Access, ClientId, CloseCode};

impl Hub {
    /// Whether nothing of a room is given out now, as a client in it may be of a user who was
    /// removed.
    pub(super) fn waits_for_removals(&self, slot: RoomSlot) -> bool {
        let is_closed =
            || matches!(self.rooms[slot].info(), Knowledge::Info(info) if info.access == Access::Closed);
        !self.are_removals_known && is_closed() && !planted!(self, RemovalsNotWaitedFor)
    }

    /// Notes whether removals are known, and has rooms that have waited for them catch up.
    pub(super) fn know_removals(&mut self, are_known: bool, out: &mut Outputs) {
        self.are_removals_known = are_known;
        if !are_known {
            return;
        }
        for slot in self.rooms.slots() {
            self.catch_up_room(slot, out);
        }
    }

    /// Closes all clients: this server can do nothing for them for now.
    pub(super) fn close_all(&mut self, out: &mut Outputs) {
        let clients: Vec<ClientId> = self.clients.open().map(|(id, _)| id).collect();
        for client in clients {
            self.close(client, CloseCode::TryAgainLater, out);
        }
    }
}
