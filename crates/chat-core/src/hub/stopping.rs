//! Letting the clients go, each in a slot of its own, so that they do not all
//! come back at once.

use std::hash::BuildHasher as _;

use super::{Hub, Now};
use crate::client::{ClientRef, Version};
use crate::frame::v2::Reply;
use crate::outputs::Outputs;
use crate::{ClientId, CloseCode};

impl Hub {
    /// From here on nobody is let in, and everybody gets a slot to leave in.
    pub(super) fn drain(&mut self, now: Now) {
        if self.leaving.is_some() {
            return;
        }
        let clients: Vec<ClientRef> = self
            .client_ids()
            .filter_map(|id| {
                let client = self.client(id).filter(|client| !client.closed)?;
                Some(ClientRef { id, generation: client.generation })
            })
            .collect();
        let count = (clients.len() as u64).max(1);
        let spread = self.options.drain_spread_ms.min(count * self.options.drain_spread_per_client_ms);
        let slot = |index: usize| now.mono_ms + index as u64 * spread / count;
        self.leaving =
            Some(clients.into_iter().enumerate().map(|(index, client)| (slot(index), client)).collect());
    }

    /// Lets those go whose time has come: no more of their messages are taken,
    /// and they are closed once their drafts are answered.
    pub(super) fn let_go(&mut self, now: Now, out: &mut Outputs) {
        while let Some(leaving) = &mut self.leaving
            && leaving.front().is_some_and(|(at, _)| *at <= now.mono_ms)
            && let Some((_, client)) = leaving.pop_front()
        {
            let Some(found) = self.same_client(client) else { continue };
            found.settling = Some(CloseCode::GoingAway);
            if found.unanswered == 0 {
                self.let_client_go(client.id, now, out);
            }
        }
    }

    /// The server stops: a v2 client is told when to come back.
    pub(super) fn let_client_go(&mut self, id: ClientId, now: Now, out: &mut Outputs) {
        let Some(client) = self.client(id) else { return };
        if client.version() == Version::V1 {
            return self.close(id, CloseCode::GoingAway, now, out);
        }
        let generation = client.generation;
        if !client.is_being_greeted() {
            self.flush_rooms_of(id, out);
            let spread = self.options.reconnect_spread_ms.max(1);
            let after_ms = self.seed.hash_one((generation, now.mono_ms)) % spread;
            self.tell(id, &Reply::Reconnect { after_ms });
        }
        self.close(id, CloseCode::Restarting, now, out);
    }

    /// Draining, and everybody is gone.
    pub fn is_drained(&self) -> bool {
        self.leaving.is_some() && self.clients() == 0
    }
}
