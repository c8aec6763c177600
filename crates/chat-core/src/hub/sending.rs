//! From a client's frame to a draft, and from its receipt back to the client.
//!
//! Credits bound what is on its way to the log: a client, a user or a hub that
//! has too much of it is paused, and nothing is lost.

use std::collections::VecDeque;

use super::planted::planted;
use super::{Hub, Now, Paused, Protocol};
use crate::client::ClientRef;
use crate::frame::v1::{self, Refusal, Request};
use crate::outputs::Outputs;
use crate::{
    ClientId, CloseCode, Draft, DraftId, EntryKind, MessageText, Missed, Outcome, Output, Pair, Receipt,
    RoomName, Topic, Username,
};

/// The drafts without a receipt, in the order of their ids, which are dense:
/// answered ones leave a gap until the oldest is answered or timed out.
#[derive(Default)]
pub(super) struct Drafts {
    first: u64,
    waiting: VecDeque<Option<Waiting>>,
    unanswered: usize,
    bytes: usize,
}

struct Waiting {
    client: ClientRef,
    topic: Topic,
    room: RoomName,
    text: MessageText,
    fails_at_ms: u64,
}

impl Drafts {
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    fn add(&mut self, waiting: Waiting) -> DraftId {
        self.unanswered += 1;
        self.bytes += waiting.text.as_str().len();
        self.waiting.push_back(Some(waiting));
        DraftId(self.first + self.waiting.len() as u64 - 1)
    }

    fn take(&mut self, id: DraftId) -> Option<Waiting> {
        let index = usize::try_from(id.0.checked_sub(self.first)?).ok()?;
        let waiting = self.waiting.get_mut(index)?.take()?;
        self.unanswered -= 1;
        self.bytes -= waiting.text.as_str().len();
        while let Some(None) = self.waiting.front() {
            self.waiting.pop_front();
            self.first += 1;
        }
        Some(waiting)
    }

    /// The oldest draft, if it waits for too long.
    fn overdue(&self, now_ms: u64) -> Option<DraftId> {
        let oldest = self.waiting.front()?.as_ref()?;
        (oldest.fails_at_ms <= now_ms).then_some(DraftId(self.first))
    }
}

impl Hub {
    pub(super) fn frame(&mut self, id: ClientId, frame: &str, now: Now, out: &mut Outputs) {
        let Some(client) = self.client(id).filter(|client| !client.closed && client.settling.is_none())
        else {
            return;
        };
        let (user, Protocol::V1 { room }) = (client.user, client.protocol.clone());
        // Whatever was looked at counts, so that rubbish is no cheaper than a message.
        if let Some(limit) = self.options.rate {
            self.users[user].rate.count(limit, now.mono_ms);
        }
        match v1::parse(frame, self.options.text_max_chars) {
            Ok(Request::Message(text)) => self.draft(id, Topic::Room(room.clone()), room, text, now, out),
            Ok(Request::Private { to, text }) => self.private(id, &to, room, text, now, out),
            Ok(Request::Nothing) | Err(Refusal::Malformed) => {}
            Err(Refusal::TooLong) => self.close(id, CloseCode::TooBig, now, out),
        }
        self.review(id, now, out);
    }

    fn private(
        &mut self,
        id: ClientId,
        to: &str,
        room: RoomName,
        text: MessageText,
        now: Now,
        out: &mut Outputs,
    ) {
        let Some(client) = self.client(id) else { return };
        let from = self.users[client.user].name.clone();
        let author = ClientRef { id, generation: client.generation };
        if planted!(self, ShowBeforeCommit) {
            self.echo(author, to, &text, Some(&room), now.wall_ms, out);
        }
        match Username::known(to) {
            Ok(to) => self.draft(id, Topic::Pair(Pair::new(from, to)), room, text, now, out),
            // No account can have that name.
            Err(_) => self.echo(author, to, &text, Some(&room), now.wall_ms, out),
        }
    }

    /// Asks for an append.
    fn draft(
        &mut self,
        id: ClientId,
        topic: Topic,
        room: RoomName,
        text: MessageText,
        now: Now,
        out: &mut Outputs,
    ) {
        let Some(client) = self.client_mut(id) else { return };
        client.unanswered += 1;
        let user = client.user;
        let client = ClientRef { id, generation: client.generation };
        let from = self.users[user].name.clone();
        let fails_at_ms = now.mono_ms + self.options.append_timeout_ms;
        let waiting =
            Waiting { client, topic: topic.clone(), room: room.clone(), text: text.clone(), fails_at_ms };
        let draft = self.drafts.add(waiting);
        let room = matches!(topic, Topic::Pair(_)).then_some(room);
        out.push(Output::Append(Draft {
            id: draft,
            topic,
            kind: EntryKind::Message,
            from,
            room,
            text,
            nonce: None,
        }));
    }

    /// The log said what became of a draft.
    pub(super) fn answered(&mut self, receipt: &Receipt, now: Now, out: &mut Outputs) {
        // One that was given up meanwhile has nobody left to tell.
        let Some(waiting) = self.drafts.take(receipt.draft) else { return };
        match &receipt.outcome {
            // A v1 draft has no nonce but what a store gives it for itself alone:
            // a duplicate is a commit whose answer was lost, and perhaps its
            // entries with it.
            Outcome::Stored { seq, .. } | Outcome::Duplicate { seq, .. } => {
                let missed = Missed { topic: waiting.topic.clone(), first: *seq, last: *seq };
                self.missed(&missed, now, out);
            }
            Outcome::NoRecipient { at_ms } => {
                if let Topic::Pair(pair) = &waiting.topic
                    && let Some(from) = self.same_client(waiting.client).map(|client| client.user)
                {
                    let to = pair.other(&self.users[from].name).clone();
                    self.echo(waiting.client, to.as_str(), &waiting.text, Some(&waiting.room), *at_ms, out);
                }
            }
            Outcome::Failed => self.failed(waiting.client, now, out),
        }
        self.settle(waiting.client, now, out);
    }

    /// A draft was not stored. There is no other way to tell a v1 client.
    fn failed(&mut self, client: ClientRef, now: Now, out: &mut Outputs) {
        if self.same_client(client).is_some() {
            self.close(client.id, CloseCode::TryAgainLater, now, out);
        }
    }

    /// The client has said its last; it goes once that is answered for.
    pub(super) fn goodbye(&mut self, id: ClientId, now: Now, out: &mut Outputs) {
        let Some(client) = self.client_mut(id).filter(|client| !client.closed) else { return };
        client.settling = Some(CloseCode::Normal);
        if client.unanswered == 0 {
            self.close(id, CloseCode::Normal, now, out);
        }
    }

    /// One draft fewer on its way for this client.
    fn settle(&mut self, author: ClientRef, now: Now, out: &mut Outputs) {
        let Some(client) = self.same_client(author) else { return };
        client.unanswered -= 1;
        if let (Some(code), 0) = (client.settling, client.unanswered) {
            self.close(author.id, code, now, out);
        } else if client.paused == Some(Paused::Credit) {
            self.review(author.id, now, out);
        }
    }

    pub(super) fn time_out_drafts(&mut self, now: Now, out: &mut Outputs) {
        while let Some(overdue) = self.drafts.overdue(now.mono_ms)
            && !planted!(self, NoDraftTimeout)
        {
            self.answered(&Receipt { draft: overdue, outcome: Outcome::Failed }, now, out);
        }
    }

    /// Pauses a client, or lets it go on.
    pub(super) fn review(&mut self, id: ClientId, now: Now, out: &mut Outputs) {
        let Some(client) = self.client(id).filter(|client| !client.closed) else { return };
        let (before, after) = (client.paused, self.reason_to_pause(id, now));
        let client_ref = ClientRef { id, generation: client.generation };
        if let Some(client) = self.client_mut(id) {
            client.paused = after;
        }
        match after {
            Some(Paused::Rate) => self.waiting_for_rate.push(client_ref),
            Some(Paused::Hub) => self.waiting_for_hub.push_back(client_ref),
            Some(Paused::Credit) | None => {}
        }
        match (before, after) {
            (None, Some(_)) => out.push(Output::Pause(id)),
            (Some(_), None) => out.push(Output::Resume(id)),
            _ => {}
        }
    }

    fn reason_to_pause(&self, id: ClientId, now: Now) -> Option<Paused> {
        let client = self.client(id)?;
        if planted!(self, NoCredit) {
            return None;
        }
        if client.unanswered >= self.options.client_unanswered_max {
            return Some(Paused::Credit);
        }
        if !self.has_credit() {
            return Some(Paused::Hub);
        }
        let limit = self.options.rate?;
        (!self.users[client.user].rate.allows(limit, now.mono_ms)).then_some(Paused::Rate)
    }

    fn has_credit(&self) -> bool {
        self.drafts.waiting.len() < self.options.hub_unanswered_max
            && self.drafts.bytes < self.options.hub_unanswered_bytes
    }

    pub(super) fn resume_waiting_for_rate(&mut self, now: Now, out: &mut Outputs) {
        for client in std::mem::take(&mut self.waiting_for_rate) {
            if self.same_client(client).is_some_and(|client| client.paused == Some(Paused::Rate)) {
                self.review(client.id, now, out);
            }
        }
    }

    /// First come, first served, as long as there is credit.
    pub(super) fn resume_waiting_for_hub(&mut self, now: Now, out: &mut Outputs) {
        // Each may use the credit of one frame before it is looked at again.
        let mut free = self.options.hub_unanswered_max.saturating_sub(self.drafts.waiting.len());
        while free > 0
            && self.has_credit()
            && let Some(client) = self.waiting_for_hub.pop_front()
        {
            if self.same_client(client).is_some_and(|client| client.paused == Some(Paused::Hub)) {
                free -= 1;
                self.review(client.id, now, out);
            }
        }
    }
}
