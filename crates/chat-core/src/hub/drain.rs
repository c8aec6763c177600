//! Closing the clients of a server that stops, each in a slot of its own, so that
//! they do not all come back at once.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;

use super::Hub;
use super::client::ClientRef;
use crate::frame::Version;
use crate::frame::v2::Reply;
use crate::outputs::Outputs;
use crate::{ClientId, CloseCode};

/// When each client of a stopping server is to be closed.
#[derive(Default)]
pub(super) struct Drain {
    /// With the times in milliseconds, in that order; `None` while the server
    /// does not stop.
    slots: Option<VecDeque<(u64, ClientRef)>>,
}

impl Drain {
    /// Whether the server stops: no client is let in any more.
    pub(super) fn has_begun(&self) -> bool {
        self.slots.is_some()
    }

    /// A client whose time has come.
    fn next_due(&mut self, now_ms: u64) -> Option<ClientRef> {
        let slots = self.slots.as_mut()?;
        slots.pop_front_if(|(at_ms, _)| *at_ms <= now_ms).map(|(_, client)| client)
    }
}

impl Hub {
    /// The server stops: each client gets a slot to be closed in.
    pub(super) fn begin_drain(&mut self) {
        if self.drain.has_begun() {
            return;
        }
        let open = self.clients.open();
        let clients: Vec<ClientRef> = open.map(|(_, client)| client.reference()).collect();
        let count = (clients.len() as u64).max(1);
        let spread_ms = self.options.drain_spread_ms.min(count * self.options.drain_spread_per_client_ms);
        let slot_ms = |index: usize| self.now.mono_ms + index as u64 * spread_ms / count;
        let slots = clients.into_iter().enumerate().map(|(index, client)| (slot_ms(index), client)).collect();
        self.drain.slots = Some(slots);
    }

    /// Takes no more frames of the clients whose time has come, and closes them
    /// once their drafts are answered.
    pub(super) fn continue_drain(&mut self, out: &mut Outputs) {
        while let Some(client) = self.drain.next_due(self.now.mono_ms) {
            let Some(found) = self.clients.same(client) else { continue };
            found.finish(CloseCode::GoingAway);
            if found.finished().is_some() {
                self.dismiss(client.id, out);
            }
        }
    }

    /// Closes a client because the server stops: a v2 client is sent when to come
    /// back.
    pub(super) fn dismiss(&mut self, id: ClientId, out: &mut Outputs) {
        let Some(client) = self.clients.get(id) else { return };
        if client.version() == Version::V1 {
            return self.close(id, CloseCode::GoingAway, out);
        }
        let generation = client.reference().generation;
        if !client.is_being_greeted() {
            self.flush_rooms_of(id, out);
            let spread_ms = self.options.reconnect_spread_ms.max(1);
            let after_ms = self.seed.hash_one((generation, self.now.mono_ms)) % spread_ms;
            self.reply(id, &Reply::Reconnect { after_ms });
        }
        self.close(id, CloseCode::Restarting, out);
    }

    /// Whether the server stops and all clients are closed.
    pub fn is_drained(&self) -> bool {
        self.drain.has_begun() && self.clients() == 0
    }
}
