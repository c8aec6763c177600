//! From a client's frame to a draft, and from its receipt back to the client.
//!
//! Credits bound what is on its way to the log: a client, a user or a hub that
//! has too much of it is paused, and nothing is lost.

use std::collections::VecDeque;

use super::asking::RETRY_AFTER_S;
use super::planted::planted;
use super::{Hub, Now, Paused};
use crate::client::{ClientRef, Rate, Send, Speaks};
use crate::frame::v1::{self, Refusal, Request};
use crate::frame::v2::{self, About, ErrorCode};
use crate::outputs::Outputs;
use crate::{
    Body, ClientId, CloseCode, Draft, DraftId, MessageText, Missed, Nonce, Outcome, Output, Pair, RateLimit,
    Receipt, RoomName, Topic, Username,
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
    /// Of a v1 client: where it is.
    room: Option<RoomName>,
    body: Body,
    nonce: Option<Nonce>,
    /// See [`Send::order`]; 0 with v1.
    order: u64,
    fails_at_ms: u64,
}

impl Drafts {
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    fn add(&mut self, waiting: Waiting) -> DraftId {
        self.unanswered += 1;
        self.bytes += waiting.body.bytes();
        self.waiting.push_back(Some(waiting));
        DraftId(self.first + self.waiting.len() as u64 - 1)
    }

    fn take(&mut self, id: DraftId) -> Option<Waiting> {
        let index = usize::try_from(id.0.checked_sub(self.first)?).ok()?;
        let waiting = self.waiting.get_mut(index)?.take()?;
        self.unanswered -= 1;
        self.bytes -= waiting.body.bytes();
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
        match &client.speaks {
            Speaks::V1 { room } => self.frame_v1(id, room.clone(), frame, now, out),
            Speaks::V2(_) => self.frame_v2(id, frame, now, out),
        }
        self.review(id, now, out);
    }

    fn frame_v1(&mut self, id: ClientId, room: RoomName, frame: &str, now: Now, out: &mut Outputs) {
        // Whatever was looked at counts, so that rubbish is no cheaper than a message.
        self.count_against_rate(id, now);
        match v1::parse(frame, self.options.text_max_chars) {
            Ok(Request::Message(text)) => {
                self.draft(id, Topic::Room(room.clone()), Some(room), text, None, 0, now, out);
            }
            Ok(Request::Private { to, text }) => self.private_v1(id, &to, room, text, now, out),
            Ok(Request::Nothing) | Err(Refusal::Malformed) => {}
            Err(Refusal::TooLong) => self.close(id, CloseCode::TooBig, now, out),
        }
    }

    fn private_v1(
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
            Ok(to) => self.draft(id, Topic::Pair(Pair::new(from, to)), Some(room), text, None, 0, now, out),
            // No account can have that name.
            Err(_) => self.echo(author, to, &text, Some(&room), now.wall_ms, out),
        }
    }

    fn frame_v2(&mut self, id: ClientId, frame: &str, now: Now, out: &mut Outputs) {
        if let Some(limit) = self.options.frame_rate
            && let Some(v2) = self.client_mut(id).and_then(|client| client.v2())
        {
            v2.frames.count(limit, now.mono_ms);
        }
        match v2::parse(frame, self.options.text_max_chars, self.options.history_max) {
            Ok(v2::Request::Join { room, resume, reference }) => {
                if let (Some(limit), Some(user)) = (self.options.join_rate, self.user_of(id)) {
                    self.users[user].joins.count(limit, now.mono_ms);
                }
                self.ask_to_join(id, &room, resume, reference.into(), now, out);
            }
            Ok(v2::Request::Leave { room, reference }) => {
                self.ask_to_leave(id, &room, &reference.into(), now, out);
            }
            Ok(v2::Request::Message { room, text, nonce }) => {
                self.count_against_rate(id, now);
                if self.is_in(id, &room) {
                    self.send(id, Send { topic: Topic::Room(room), text, nonce, order: 0 }, now, out);
                } else {
                    self.answered_for_good(id, &nonce);
                    let about = About::Nonce(nonce);
                    self.refuse(id, ErrorCode::NotJoined, "join the room first", &about, None);
                }
            }
            Ok(v2::Request::Private { to, text, nonce }) => {
                self.count_against_rate(id, now);
                let Some(from) = self.user_of(id).map(|user| self.users[user].name.clone()) else { return };
                match Username::known(&to) {
                    Ok(to) => {
                        self.send(
                            id,
                            Send { topic: Topic::Pair(Pair::new(from, to)), text, nonce, order: 0 },
                            now,
                            out,
                        );
                    }
                    Err(_) => {
                        self.answered_for_good(id, &nonce);
                        self.refuse(id, ErrorCode::NotFound, NOBODY, &About::Nonce(nonce), None);
                    }
                }
            }
            Ok(v2::Request::History { of, from, limit, reference }) => {
                if let (Some(limit), Some(user)) = (self.options.history_rate, self.user_of(id)) {
                    self.users[user].pages.count(limit, now.mono_ms);
                }
                self.ask_history(id, of, from, limit, reference.into(), out);
            }
            Err(refusal) => {
                if let About::Nonce(nonce) = &refusal.about {
                    self.answered_for_good(id, nonce);
                }
                self.refuse(id, refusal.code, refusal.message, &refusal.about, None);
            }
        }
    }

    /// What became of a send is certain: nothing waits for it any more.
    fn answered_for_good(&mut self, id: ClientId, nonce: &Nonce) {
        if let Some(v2) = self.client_mut(id).and_then(|client| client.v2()) {
            v2.failed.retain(|failed| failed.nonce != *nonce);
        }
    }

    fn user_of(&self, id: ClientId) -> Option<usize> {
        self.client(id).map(|client| client.user)
    }

    fn count_against_rate(&mut self, id: ClientId, now: Now) {
        if let (Some(limit), Some(user)) = (self.options.rate, self.user_of(id)) {
            self.users[user].rate.count(limit, now.mono_ms);
        }
    }

    /// Has something stored for a v2 client, unless it must come behind
    /// something that failed.
    fn send(&mut self, id: ClientId, mut send: Send, now: Now, out: &mut Outputs) {
        let side_by_side = self.options.topics_side_by_side;
        let is_careless = planted!(self, NoRefusing);
        let Some(client) = self.client_mut(id) else { return };
        let is_waiting = client.unanswered > 0;
        let Some(v2) = client.v2() else { return };
        match v2.order_of(&send.nonce, now.mono_ms) {
            Some(order) => send.order = order,
            None if is_careless => {}
            None => return self.unavailable(id, send.nonce),
        }
        if side_by_side && is_waiting && v2.topic.as_ref() != Some(&send.topic) {
            v2.parked = Some(send);
            return;
        }
        self.have_stored(id, send, now, out);
    }

    /// Nothing that the client sent before is on its way any more.
    fn unpark(&mut self, id: ClientId, send: Send, now: Now, out: &mut Outputs) {
        let is_careless = planted!(self, NoRefusing);
        let Some(v2) = self.client_mut(id).and_then(|client| client.v2()) else { return };
        if v2.is_behind_failed(send.order, now.mono_ms) && !is_careless {
            v2.note_failed(send.nonce.clone(), send.order);
            return self.unavailable(id, send.nonce);
        }
        self.have_stored(id, send, now, out);
    }

    fn have_stored(&mut self, id: ClientId, send: Send, now: Now, out: &mut Outputs) {
        if let Some(v2) = self.client_mut(id).and_then(|client| client.v2()) {
            v2.topic = Some(send.topic.clone());
        }
        if planted!(self, AckBeforeCommit) {
            let seq = self.next_seq(&send.topic);
            self.acknowledge(id, &send.nonce, &send.topic, seq, now.wall_ms, false);
        }
        self.draft(id, send.topic, None, send.text, Some(send.nonce), send.order, now, out);
    }

    /// The number that something would get, as far as this hub knows.
    fn next_seq(&self, topic: &Topic) -> u64 {
        let top = match topic {
            Topic::Room(name) => self.room_by_name.get(name).and_then(|&slot| self.rooms[slot].feed.top()),
            Topic::Pair(pair) => self.delivered_up_to(pair),
        };
        top.unwrap_or(0) + 1
    }

    fn unavailable(&mut self, id: ClientId, nonce: Nonce) {
        let message = "not stored: try again";
        self.refuse(id, ErrorCode::Unavailable, message, &About::Nonce(nonce), Some(RETRY_AFTER_S));
    }

    fn acknowledge(
        &mut self,
        id: ClientId,
        nonce: &Nonce,
        topic: &Topic,
        seq: u64,
        at_ms: u64,
        duplicate: bool,
    ) {
        self.answered_for_good(id, nonce);
        let Some(user) = self.user_of(id) else { return };
        let author = self.users[user].name.clone();
        self.tell(id, &v2::ack(nonce, topic, &author, seq, at_ms, duplicate));
    }

    /// Asks for an append. `room` is where a v1 author is.
    #[expect(clippy::too_many_arguments, reason = "the parts of a draft")]
    fn draft(
        &mut self,
        id: ClientId,
        topic: Topic,
        room: Option<RoomName>,
        text: MessageText,
        nonce: Option<Nonce>,
        order: u64,
        now: Now,
        out: &mut Outputs,
    ) {
        let Some(client) = self.client_mut(id) else { return };
        client.unanswered += 1;
        let user = client.user;
        let client = ClientRef { id, generation: client.generation };
        let from = self.users[user].name.clone();
        let body = Body::Message { text };
        let draft = self.drafts.add(Waiting {
            client,
            topic: topic.clone(),
            room: room.clone(),
            body: body.clone(),
            nonce: nonce.clone(),
            order,
            fails_at_ms: now.mono_ms + self.options.append_timeout_ms,
        });
        let room = room.filter(|_| matches!(topic, Topic::Pair(_)));
        out.push(Output::Append(Draft { id: draft, topic, from, room, body, nonce }));
    }

    /// The log said what became of a draft.
    pub(super) fn answered(&mut self, receipt: &Receipt, now: Now, out: &mut Outputs) {
        // One that was given up meanwhile has nobody left to tell.
        let Some(waiting) = self.drafts.take(receipt.draft) else { return };
        let client = waiting.client;
        match (&receipt.outcome, &waiting.nonce) {
            (Outcome::Stored { seq, at_ms }, nonce) => {
                let missed = Missed { topic: waiting.topic.clone(), first: *seq, last: *seq };
                self.missed(&missed, now, out);
                if let Some(nonce) = nonce
                    && self.same_client(client).is_some()
                    && !planted!(self, AckBeforeCommit)
                {
                    self.acknowledge(client.id, nonce, &waiting.topic, *seq, *at_ms, false);
                }
            }
            // A v1 draft has no nonce but what a store gives it for itself alone:
            // a duplicate is a commit whose answer was lost, and perhaps its
            // entries with it.
            (Outcome::Duplicate { seq, .. }, None) => {
                let missed = Missed { topic: waiting.topic.clone(), first: *seq, last: *seq };
                self.missed(&missed, now, out);
            }
            (Outcome::Duplicate { topic, seq, at_ms }, Some(nonce)) => {
                self.heard(topic, *seq, out);
                if self.same_client(client).is_some() {
                    self.acknowledge(client.id, nonce, topic, *seq, *at_ms, true);
                }
            }
            (Outcome::NoRecipient { at_ms }, None) => {
                if let (Topic::Pair(pair), Some(room)) = (&waiting.topic, &waiting.room)
                    && let Some(from) = self.same_client(client).map(|client| client.user)
                {
                    let Body::Message { text } = &waiting.body;
                    let to = pair.other(&self.users[from].name).clone();
                    self.echo(client, to.as_str(), text, Some(room), *at_ms, out);
                }
            }
            (Outcome::NoRecipient { .. }, Some(nonce)) => {
                if self.same_client(client).is_some() {
                    self.answered_for_good(client.id, nonce);
                    let about = About::Nonce(nonce.clone());
                    self.refuse(client.id, ErrorCode::NotFound, NOBODY, &about, None);
                }
            }
            (Outcome::Failed, nonce) => self.failed(client, waiting.order, nonce.as_ref(), now, out),
        }
        self.settle(client, now, out);
    }

    /// A draft was not stored. There is no other way to tell a v1 client than
    /// to close it.
    fn failed(&mut self, client: ClientRef, order: u64, nonce: Option<&Nonce>, now: Now, out: &mut Outputs) {
        let until_ms = now.mono_ms + self.options.refusing_ms;
        let Some(found) = self.same_client(client) else { return };
        let (Some(v2), Some(nonce)) = (found.v2(), nonce) else {
            return self.close(client.id, CloseCode::TryAgainLater, now, out);
        };
        // They need not fail in the order in which they were sent: one that the
        // log's queue had no place for fails before those that wait there.
        v2.note_failed(nonce.clone(), order);
        v2.refusing_until_ms = until_ms;
        self.unavailable(client.id, nonce.clone());
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
        if client.unanswered == 0
            && let Some(parked) = client.v2().and_then(|v2| v2.parked.take())
        {
            // What arrived is not thrown away, whatever came behind it.
            self.unpark(author.id, parked, now, out);
        }
        let Some(client) = self.same_client(author) else { return };
        match (client.settling, client.unanswered, client.paused) {
            (Some(CloseCode::GoingAway), 0, _) => self.let_client_go(author.id, now, out),
            (Some(code), 0, _) => self.close(author.id, code, now, out),
            (_, _, Some(Paused::Credit | Paused::Order)) => self.review(author.id, now, out),
            _ => {}
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
            Some(Paused::Credit | Paused::Greeting | Paused::Order | Paused::Asking) | None => {}
        }
        match (before, after) {
            (None, Some(_)) => out.push(Output::Pause(id)),
            (Some(_), None) => out.push(Output::Resume(id)),
            _ => {}
        }
    }

    fn reason_to_pause(&self, id: ClientId, now: Now) -> Option<Paused> {
        let client = self.client(id)?;
        if let Speaks::V2(v2) = &client.speaks {
            if v2.greeting.is_some() {
                return Some(Paused::Greeting);
            }
            if v2.parked.is_some() {
                return Some(Paused::Order);
            }
        }
        if planted!(self, NoCredit) {
            return None;
        }
        if client.asked >= self.options.client_asked_max {
            return Some(Paused::Asking);
        }
        if client.unanswered >= self.options.client_unanswered_max {
            return Some(Paused::Credit);
        }
        if !self.has_credit() {
            return Some(Paused::Hub);
        }
        let user = &self.users[client.user];
        let is_within =
            |limit: Option<RateLimit>, rate: &Rate| limit.is_none_or(|limit| rate.allows(limit, now.mono_ms));
        let mut allowed = is_within(self.options.rate, &user.rate);
        if let Speaks::V2(v2) = &client.speaks {
            allowed &= is_within(self.options.join_rate, &user.joins);
            allowed &= is_within(self.options.history_rate, &user.pages);
            allowed &= is_within(self.options.frame_rate, &v2.frames);
        }
        (!allowed).then_some(Paused::Rate)
    }

    fn has_credit(&self) -> bool {
        self.drafts.unanswered < self.options.hub_unanswered_max
            && self.drafts.waiting.len() < ANSWERED_KEPT * self.options.hub_unanswered_max
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
        let mut free = self.options.hub_unanswered_max.saturating_sub(self.drafts.unanswered);
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

/// Answered drafts behind one that hangs, for each that may be unanswered.
const ANSWERED_KEPT: usize = 16;
/// Said of a name that has no account.
const NOBODY: &str = "there is nobody of that name";
