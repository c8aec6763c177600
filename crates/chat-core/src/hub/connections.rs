//! Clients as they come and go: their users, and the sessions that end.

use super::{Hub, Now, Protocol};
use crate::client::{Client, ClientRef, Speaks, User, V2};
use crate::outputs::Outputs;
use crate::{ClientId, CloseCode, Output, SessionId, Subscription, Username};

impl Hub {
    #[expect(clippy::too_many_arguments, reason = "the parts of one input")]
    pub(super) fn open(
        &mut self,
        id: ClientId,
        user: &Username,
        session: Option<&SessionId>,
        expires_ms: Option<u64>,
        protocol: Protocol,
        now: Now,
        out: &mut Outputs,
    ) {
        let index = id.0 as usize;
        if self.clients.len() <= index {
            self.clients.resize_with(index + 1, || None);
        }
        assert!(self.clients[index].is_none(), "{id:?} is still in use");
        self.generation = self.generation.wrapping_add(1);
        let user = self.user_slot(user, out);
        self.users[user].clients.push(id);
        let (speaks, room) = match protocol {
            Protocol::V1 { room } => (Speaks::V1 { room: room.clone() }, Some(room)),
            Protocol::V2 => {
                let v2 = V2 { greeting: Some(Vec::new()), greeted_ms: now.mono_ms, ..V2::default() };
                (Speaks::V2(Box::new(v2)), None)
            }
        };
        self.clients[index] = Some(Client {
            generation: self.generation,
            user,
            session: session.cloned(),
            expires_ms,
            speaks,
            memberships: Vec::new(),
            own: Vec::new(),
            pending: 0,
            put_out: 0,
            put_out_in: 0,
            held_back: false,
            unanswered: 0,
            asked: 0,
            paused: None,
            settling: None,
            closed: false,
        });
        self.next_expiry_ms = self.next_expiry_ms.min(expires_ms.unwrap_or(u64::MAX));
        if session.is_some_and(|session| self.revoked.iter().any(|(_, revoked)| revoked == session)) {
            self.close(id, CloseCode::SignedOut, now, out);
        } else if self.users[user].clients.len() > self.options.user_clients_max {
            self.close(id, CloseCode::TryAgainLater, now, out);
        } else if self.leaving.is_some() {
            self.let_client_go(id, now, out);
        } else {
            match room {
                Some(room) => self.join(id, &room, None, now, out),
                None => self.prepare_hello(ClientRef { id, generation: self.generation }, out),
            }
            // Coming back lifts no limit.
            self.review(id, now, out);
        }
    }

    fn user_slot(&mut self, name: &Username, out: &mut Outputs) -> usize {
        let slot = match self.user_by_name.get(name) {
            Some(&slot) => slot,
            None => {
                let user = User {
                    name: name.clone(),
                    clients: Vec::new(),
                    rate: Default::default(),
                    joins: Default::default(),
                    pages: Default::default(),
                    memberships: 0,
                };
                let slot = self.users.insert(user);
                self.user_by_name.insert(name.clone(), slot);
                slot
            }
        };
        if self.users[slot].clients.is_empty() {
            out.push(Output::Subscribe(Subscription::User(name.clone())));
        }
        slot
    }

    /// Says goodbye to a client and forgets it but for its number.
    pub(super) fn close(&mut self, id: ClientId, code: CloseCode, now: Now, out: &mut Outputs) {
        if self.client(id).is_none_or(|client| client.closed) {
            return;
        }
        if !matches!(code, CloseCode::SignedOut | CloseCode::NoLongerGood) {
            // What its rooms have for it comes before the goodbye.
            self.flush_own(id, out);
            self.flush_rooms_of(id, out);
        }
        self.detach(id, now, out);
        out.push(Output::Close { client: id, code });
    }

    pub(super) fn closed(&mut self, id: ClientId, now: Now, out: &mut Outputs) {
        self.detach(id, now, out);
        if let Some(slot) = self.clients.get_mut(id.0 as usize) {
            *slot = None;
        }
    }

    /// Takes a client out of its rooms and from its user.
    fn detach(&mut self, id: ClientId, now: Now, out: &mut Outputs) {
        let Some(client) = self.client_mut(id).filter(|client| !client.closed) else { return };
        client.closed = true;
        client.own = Vec::new();
        let user = client.user;
        for membership in std::mem::take(&mut client.memberships) {
            self.leave(id, user, membership, now, out);
        }
        let state = &mut self.users[user];
        state.clients.retain(|&other| other != id);
        if state.clients.is_empty() {
            out.push(Output::Unsubscribe(Subscription::User(state.name.clone())));
            self.forget_conversations_of(user);
            self.forget_user(user, now.mono_ms);
        }
    }

    /// Forgets a user who has no connection, unless that would let them send
    /// faster than the limit.
    pub(super) fn forget_user(&mut self, slot: usize, now_ms: u64) {
        let user = &self.users[slot];
        if user.clients.is_empty()
            && [&user.rate, &user.joins, &user.pages].iter().all(|rate| rate.is_full(now_ms))
        {
            self.user_by_name.remove(&user.name);
            self.users.remove(slot);
        }
    }

    pub(super) fn revoked(&mut self, session: &SessionId, now: Now, out: &mut Outputs) {
        self.revoked.push_back((now.mono_ms, session.clone()));
        for id in self.client_ids() {
            if self.client(id).is_some_and(|client| client.session.as_ref() == Some(session)) {
                self.close(id, CloseCode::SignedOut, now, out);
            }
        }
    }

    /// The token of a session was renewed.
    pub(super) fn renewed(&mut self, session: &SessionId, expires_ms: u64) {
        for client in self.clients.iter_mut().flatten() {
            if client.session.as_ref() == Some(session) && client.expires_ms.is_some() {
                client.expires_ms = client.expires_ms.max(Some(expires_ms));
            }
        }
    }

    /// Closes those whose tokens are no longer good.
    pub(super) fn expire(&mut self, now: Now, out: &mut Outputs) {
        self.next_expiry_ms = u64::MAX;
        for id in self.client_ids() {
            match self.client(id).filter(|client| !client.closed).and_then(|client| client.expires_ms) {
                Some(expires_ms) if expires_ms <= now.mono_ms => {
                    self.close(id, CloseCode::NoLongerGood, now, out);
                }
                Some(expires_ms) => self.next_expiry_ms = self.next_expiry_ms.min(expires_ms),
                None => {}
            }
        }
    }

    pub(super) fn client_ids(&self) -> impl Iterator<Item = ClientId> + use<> {
        (0..self.clients.len()).map(|index| ClientId(u32::try_from(index).expect("grown by a u32")))
    }
}
