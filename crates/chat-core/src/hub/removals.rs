//! Rooms while this server may have missed that another one has removed a member, or closed a room.

use super::Hub;
use super::planted::planted;
use super::rooms::{Knowledge, RoomSlot};
use crate::outputs::Outputs;
use crate::{Access, ClientId, CloseCode, Withheld};

impl Hub {
    /// Whether nothing of a room is given out now, as a client in it may be of a user who was
    /// removed.
    pub(super) fn waits_for_removals(&self, slot: RoomSlot) -> bool {
        let waits = match self.withheld {
            Withheld::Nothing => false,
            Withheld::ClosedRooms => {
                matches!(self.rooms[slot].info(), Knowledge::Info(info) if info.access == Access::Closed)
            }
            Withheld::AllRooms => true,
        };
        waits && !planted!(self, RemovalsNotWaitedFor)
    }

    /// Notes which rooms wait, and has those catch up that do no longer.
    pub(super) fn withhold(&mut self, withheld: Withheld, out: &mut Outputs) {
        let before = std::mem::replace(&mut self.withheld, withheld);
        if before <= withheld {
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
