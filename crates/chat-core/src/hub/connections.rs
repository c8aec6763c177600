//! Clients as they are opened, closed and lost.

use super::client::{Client, ClientProtocol, V2};
use super::join::JoinOrigin;
use super::refusals::ClientLimit;
use super::users::{Connected, UserRate};
use super::{Hub, Protocol};
use crate::outputs::Outputs;
use crate::{ClientId, CloseCode, Output, SessionId, Subscription, Username};

impl Hub {
    /// A client's socket was opened.
    pub(super) fn open(
        &mut self,
        id: ClientId,
        user: &Username,
        session: Option<&SessionId>,
        expires_ms: Option<u64>,
        protocol: Protocol,
        out: &mut Outputs,
    ) {
        let Connected { user: slot, is_first_client } = self.users.connect(user, id);
        if is_first_client {
            out.push(Output::Subscribe(Subscription::User(user.clone())));
        }
        let (state, room) = match protocol {
            Protocol::V1 { room } => (ClientProtocol::V1 { room: room.clone() }, Some(room)),
            Protocol::V2 => (ClientProtocol::V2(Box::new(V2::new(self.now.mono_ms))), None),
        };
        let new = |reference| Client::new(reference, slot, session.cloned(), expires_ms, state);
        let client = self.clients.add(id, new);
        if session.is_some_and(|session| self.revocations.contain(session)) {
            self.close(id, CloseCode::SignedOut, out);
        } else if self.users[slot].clients().len() > self.options.user_clients_max {
            self.refusals.count_limit(ClientLimit::Clients);
            self.close(id, CloseCode::TryAgainLater, out);
        } else if self.drain.has_begun() {
            self.dismiss(id, out);
        } else if room.is_some()
            && !self.users[slot].allows(UserRate::Joins, self.options.join_rate, self.now.mono_ms)
        {
            self.refusals.count_limit(ClientLimit::Joins);
            self.close(id, CloseCode::TryAgainLater, out);
        } else {
            match room {
                Some(room) => {
                    self.users.count(slot, UserRate::Joins, self.options.join_rate, self.now.mono_ms);
                    self.join(id, &room, JoinOrigin::V1, out);
                }
                None => self.prepare_hello(client, out),
            }
            // A new connection lifts no limit.
            self.update_pause(id, out);
        }
    }

    /// Closes a client and forgets it but for its id.
    pub(super) fn close(&mut self, id: ClientId, code: CloseCode, out: &mut Outputs) {
        if self.clients.get(id).is_none_or(Client::is_closed) {
            return;
        }
        if !code.drops_waiting_bytes() {
            // What is queued for it comes before the close.
            self.flush_client(id, out);
            self.flush_rooms_of(id, out);
        }
        self.detach(id, out);
        out.push(Output::Close { client: id, code });
    }

    /// A client's socket is gone: its id is free.
    pub(super) fn closed(&mut self, id: ClientId, out: &mut Outputs) {
        self.detach(id, out);
        self.clients.remove(id);
    }

    /// Takes a client out of its rooms and from its user.
    fn detach(&mut self, id: ClientId, out: &mut Outputs) {
        let Some(client) = self.clients.get_mut(id).filter(|client| !client.is_closed()) else { return };
        let user = client.user();
        for joined in client.close() {
            self.leave(id, user, joined, out);
        }
        self.typist_gone(id, user, out);
        if self.users.disconnect(user, id) {
            let name = self.users[user].name().clone();
            out.push(Output::Unsubscribe(Subscription::User(name.clone())));
            self.unwatch_all(user);
            self.conversations.forget_of(&name, |name| self.users.is_online(name));
            self.users.forget_if_idle(user, self.now.mono_ms);
        }
    }

    // Sessions.

    /// A session is no longer good: its clients are closed.
    pub(super) fn revoke(&mut self, session: &SessionId, out: &mut Outputs) {
        self.revocations.add(session.clone(), self.now.mono_ms);
        for id in self.clients.ids() {
            if self.clients.get(id).is_some_and(|client| client.has_session(session)) {
                self.close(id, CloseCode::SignedOut, out);
            }
        }
    }

    /// A user is banned: the user's clients are closed.
    pub(super) fn end_user(&mut self, user: &Username, out: &mut Outputs) {
        for id in self.users.clients_of(user).to_vec() {
            self.close(id, CloseCode::SignedOut, out);
        }
    }

    /// Closes the clients whose tokens have expired.
    pub(super) fn expire(&mut self, out: &mut Outputs) {
        for id in self.clients.expired(self.now.mono_ms) {
            self.close(id, CloseCode::NoLongerGood, out);
        }
    }
}
