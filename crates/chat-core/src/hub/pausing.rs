//! Clients whose frames are not taken for now.

use std::collections::VecDeque;

use super::Hub;
use super::client::{Client, ClientProtocol, ClientRef, Greeting, Paused};
use super::planted::planted;
use super::rate::{Rate, RateLimit};
use crate::outputs::Outputs;
use crate::{ClientId, Output};

/// The paused clients that no event of their own resumes.
#[derive(Default)]
pub(super) struct PauseQueues {
    /// Clients whose users send too fast.
    rate: Vec<ClientRef>,
    /// Clients that wait for the hub's credit, in the order in which they get it.
    credit: VecDeque<ClientRef>,
}

impl PauseQueues {
    /// Whether a client waits for time to pass.
    pub(super) fn wait_for_time(&self) -> bool {
        !self.rate.is_empty()
    }
}

impl Hub {
    /// Pauses or resumes a client, as its state demands.
    pub(super) fn update_pause(&mut self, id: ClientId, out: &mut Outputs) {
        if self.clients.get(id).is_none_or(Client::is_closed) {
            // Its user may be forgotten.
            return;
        }
        let after = self.reason_to_pause(id);
        let Some(client) = self.clients.get_mut(id) else { return };
        let before = std::mem::replace(&mut client.paused, after);
        let client = ClientRef { id, generation: client.generation };
        match after {
            Some(Paused::Rate) => self.paused.rate.push(client),
            Some(Paused::HubCredit) => self.paused.credit.push_back(client),
            Some(Paused::Credit | Paused::Greeting | Paused::Order | Paused::Reading) | None => {}
        }
        match (before, after) {
            (None, Some(_)) => out.push(Output::Pause(id)),
            (Some(_), None) => out.push(Output::Resume(id)),
            _ => {}
        }
    }

    fn reason_to_pause(&self, id: ClientId) -> Option<Paused> {
        let client = self.clients.get(id)?;
        if let ClientProtocol::V2(v2) = &client.protocol {
            if let Greeting::Preparing { .. } = v2.greeting {
                return Some(Paused::Greeting);
            }
            if v2.parked.is_some() {
                return Some(Paused::Order);
            }
        }
        if planted!(self, NoCredit) {
            return None;
        }
        if client.reading >= self.options.client_history_reads_max {
            return Some(Paused::Reading);
        }
        if client.unanswered >= self.options.client_unanswered_max {
            return Some(Paused::Credit);
        }
        if !self.drafts.has_credit() {
            return Some(Paused::HubCredit);
        }
        let user = &self.users[client.user];
        let now_ms = self.now.mono_ms;
        let is_within =
            |limit: Option<RateLimit>, rate: &Rate| limit.is_none_or(|limit| rate.allows(limit, now_ms));
        let mut is_allowed = is_within(self.options.rate, &user.messages);
        if let ClientProtocol::V2(v2) = &client.protocol {
            is_allowed &= is_within(self.options.join_rate, &user.joins);
            is_allowed &= is_within(self.options.history_rate, &user.pages);
            is_allowed &= is_within(self.options.frame_rate, &v2.frames);
        }
        (!is_allowed).then_some(Paused::Rate)
    }

    /// Resumes the clients whose users are within their limits again.
    pub(super) fn resume_for_rate(&mut self, out: &mut Outputs) {
        for client in std::mem::take(&mut self.paused.rate) {
            if self.clients.same(client).is_some_and(|client| client.paused == Some(Paused::Rate)) {
                self.update_pause(client.id, out);
            }
        }
    }

    /// Resumes clients as long as the hub has credit, those first that wait longest.
    pub(super) fn resume_for_credit(&mut self, out: &mut Outputs) {
        // Each may use the credit of one frame before it is looked at again.
        let mut free = self.drafts.free();
        while free > 0
            && self.drafts.has_credit()
            && let Some(client) = self.paused.credit.pop_front()
        {
            if self.clients.same(client).is_some_and(|client| client.paused == Some(Paused::HubCredit)) {
                free -= 1;
                self.update_pause(client.id, out);
            }
        }
    }
}
