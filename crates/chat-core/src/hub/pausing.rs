//! Clients whose frames are not taken for now.

use std::collections::VecDeque;

use super::Hub;
use super::client::{Client, ClientProtocol, ClientRef, Paused};
use super::planted::planted;
use super::refusals::ClientLimit;
use super::users::UserRate;
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
        let before = client.set_paused(after);
        let client = client.reference();
        if after == Some(Paused::Rate)
            && before != after
            && let Some(limit) = self.rate_that_acts(id)
        {
            self.refusals.count_limit(limit);
        }
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
        if let ClientProtocol::V2(v2) = client.protocol() {
            if v2.is_being_greeted() {
                return Some(Paused::Greeting);
            }
            if v2.has_parked() {
                return Some(Paused::Order);
            }
        }
        if planted!(self, NoCredit) {
            return None;
        }
        if client.reading() >= self.options.client_history_reads_max {
            return Some(Paused::Reading);
        }
        if client.unanswered() >= self.options.client_unanswered_max {
            return Some(Paused::Credit);
        }
        if !self.drafts.has_credit() {
            return Some(Paused::HubCredit);
        }
        self.rate_that_acts(id).map(|_| Paused::Rate)
    }

    /// The first limit on rates that a client, or its user, has reached.
    fn rate_that_acts(&self, id: ClientId) -> Option<ClientLimit> {
        let client = self.clients.get(id)?;
        let user = &self.users[client.user()];
        let (options, now_ms) = (&self.options, self.now.mono_ms);
        if !user.allows(UserRate::Messages, options.rate, now_ms) {
            return Some(ClientLimit::Messages);
        }
        let ClientProtocol::V2(v2) = client.protocol() else { return None };
        if !user.allows(UserRate::Joins, options.join_rate, now_ms) {
            Some(ClientLimit::Joins)
        } else if !user.allows(UserRate::Pages, options.history_rate, now_ms) {
            Some(ClientLimit::Pages)
        } else if !v2.allows_frame(options.frame_rate, now_ms) {
            Some(ClientLimit::Frames)
        } else {
            None
        }
    }

    /// Resumes the clients whose users are within their limits again.
    pub(super) fn resume_for_rate(&mut self, out: &mut Outputs) {
        for client in std::mem::take(&mut self.paused.rate) {
            if self.clients.same(client).is_some_and(|client| client.paused() == Some(Paused::Rate)) {
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
            if self.clients.same(client).is_some_and(|client| client.paused() == Some(Paused::HubCredit)) {
                free -= 1;
                self.update_pause(client.id, out);
            }
        }
    }
}
