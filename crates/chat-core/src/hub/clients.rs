//! The clients of a hub.

use super::client::{Client, ClientRef, V2};
use super::join::Join;
use super::rooms::RoomSlot;
use super::users::Users;
use crate::outputs::Outputs;
use crate::{ClientId, RoomChange, SessionId};

/// The clients of a hub by their id, those included whose close was put out.
#[derive(Default)]
pub(super) struct Clients {
    slots: Vec<Option<Client>>,
    /// Counts the clients that were opened.
    generation: u32,
    /// No client's token expires before this, in milliseconds of the monotonic
    /// clock; `None` if none expires.
    next_expiry_ms: Option<u64>,
    /// Clients with queued frames.
    queued: Vec<ClientId>,
}

impl Clients {
    /// Adds a client, which `new` makes of its reference.
    ///
    /// # Panics
    ///
    /// If the id is still in use.
    pub(super) fn add(&mut self, id: ClientId, new: impl FnOnce(ClientRef) -> Client) -> ClientRef {
        let index = id.0 as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        assert!(self.slots[index].is_none(), "{id:?} is still in use");
        self.generation = self.generation.wrapping_add(1);
        let reference = ClientRef { id, generation: self.generation };
        let client = new(reference);
        self.note_expiry(client.expires_ms());
        self.slots[index] = Some(client);
        reference
    }

    /// Frees an id.
    pub(super) fn remove(&mut self, id: ClientId) {
        if let Some(slot) = self.slots.get_mut(id.0 as usize) {
            *slot = None;
        }
    }

    /// Notes a change for the clients whose `hello` is being prepared.
    pub(super) fn note_change(&mut self, change: &RoomChange, users: &Users) {
        let ids: Vec<ClientId> = match change {
            RoomChange::Info { .. } => self.ids().collect(),
            RoomChange::Member { user, .. } | RoomChange::Gone { user, .. } => {
                users.clients_of(user).to_vec()
            }
        };
        for id in ids {
            if let Some(v2) = self.v2(id) {
                v2.note_change(change);
            }
        }
    }

    /// Forgets for which clients a time was set to take a removal, if they have taken it.
    pub(super) fn forget_taken_removals(&mut self) {
        for client in self.iter_mut() {
            client.forget_taken();
        }
    }

    /// The clients that have not taken in time that they may not read a room any more.
    pub(super) fn overdue_removals(&self, now_ms: u64) -> Vec<ClientId> {
        self.open().filter(|(_, client)| client.is_overdue(now_ms)).map(|(id, _)| id).collect()
    }

    pub(super) fn get(&self, id: ClientId) -> Option<&Client> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }

    /// The client that was meant, if it is not closed.
    pub(super) fn same(&mut self, client: ClientRef) -> Option<&mut Client> {
        self.get_mut(client.id).filter(|found| found.reference() == client && !found.is_closed())
    }

    /// The state of a v2 client; `None` for others.
    pub(super) fn v2(&mut self, id: ClientId) -> Option<&mut V2> {
        self.get_mut(id)?.v2()
    }

    /// How far a client has got with joining a room.
    pub(super) fn join_in(&mut self, id: ClientId, room: RoomSlot) -> Option<&mut Join> {
        self.get_mut(id)?.join_in(room)
    }

    /// The ids of all clients, and some that are free.
    pub(super) fn ids(&self) -> impl Iterator<Item = ClientId> + use<> {
        (0..self.slots.len()).map(|index| ClientId(u32::try_from(index).expect("grown by a u32")))
    }

    /// The clients that are not closed.
    pub(super) fn open(&self) -> impl Iterator<Item = (ClientId, &Client)> {
        self.ids().zip(&self.slots).filter_map(|(id, slot)| {
            let client = slot.as_ref().filter(|client| !client.is_closed())?;
            Some((id, client))
        })
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Client> {
        self.slots.iter_mut().flatten()
    }

    // Tokens.

    /// Whether a token has expired by now.
    pub(super) fn has_expired(&self, now_ms: u64) -> bool {
        self.next_expiry_ms.is_some_and(|expiry_ms| expiry_ms <= now_ms)
    }

    /// The clients whose tokens have expired.
    pub(super) fn expired(&mut self, now_ms: u64) -> Vec<ClientId> {
        let is_expired = |client: &Client| client.expires_ms().is_some_and(|expires_ms| expires_ms <= now_ms);
        let expired = self.open().filter(|(_, client)| is_expired(client)).map(|(id, _)| id).collect();
        self.next_expiry_ms =
            self.open().filter_map(|(_, client)| client.expires_ms()).filter(|&at_ms| at_ms > now_ms).min();
        expired
    }

    /// Notes that the tokens of a session are good until `expires_ms`.
    pub(super) fn renew(&mut self, session: &SessionId, expires_ms: u64) {
        for client in self.iter_mut() {
            if client.has_session(session) {
                client.renew(expires_ms);
            }
        }
    }

    fn note_expiry(&mut self, expires_ms: Option<u64>) {
        if let Some(expires_ms) = expires_ms {
            self.next_expiry_ms = Some(self.next_expiry_ms.map_or(expires_ms, |next| next.min(expires_ms)));
        }
    }

    // Frames.

    /// Queues a frame for one client until the end of the turn.
    pub(super) fn queue(&mut self, id: ClientId, frame: &[u8]) {
        let Some(client) = self.slots.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        if !client.is_closed() && client.queue(frame) {
            self.queued.push(id);
        }
    }

    /// Puts out the frames queued for one client.
    pub(super) fn flush(&mut self, id: ClientId, turn: u64, out: &mut Outputs) {
        if let Some(client) = self.get_mut(id) {
            client.flush(id, turn, out);
        }
    }

    /// Puts out the frames queued for all clients.
    pub(super) fn flush_all(&mut self, turn: u64, out: &mut Outputs) {
        for id in self.queued.drain(..) {
            if let Some(client) = self.slots.get_mut(id.0 as usize).and_then(Option::as_mut) {
                client.flush(id, turn, out);
            }
        }
    }
}
