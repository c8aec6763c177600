//! From a message or a change to a draft, and from its receipt back to the client.
//!
//! Credits bound what is on its way to the log: a client, a user or a hub that
//! has too much of it is paused, and nothing is lost.

use super::Hub;
use super::client::{AdmittedSend, ClientRef, Paused, Send};
use super::drafts::{DraftOrigin, OpenDraft};
use super::planted::planted;
use super::reads::AccessCheck;
use super::replies::{NO_ACCOUNT, RETRY_AFTER_S};
use crate::frame::v2::{self, About, Ack, ErrorCode};
use crate::outputs::Outputs;
use crate::{
    ClientId, CloseCode, Content, Draft, Missed, Nonce, Outcome, Output, Receipt, RoomName, Topic, Username,
};

impl Hub {
    // To the log.

    /// Appends what a v2 client sends, unless its order demands that it is refused
    /// or waits.
    pub(super) fn send(&mut self, id: ClientId, send: Send, out: &mut Outputs) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let has_unanswered = client.unanswered() > 0;
        let Some(v2) = client.v2() else { return };
        let position = match v2.sends.admit(&send.nonce, self.now.mono_ms) {
            Some(position) => position,
            None if planted!(self, NoRefusing) => 0,
            None => return self.send_unavailable(id, send.nonce),
        };
        let send = AdmittedSend { send, position };
        if self.options.topics_side_by_side && has_unanswered && v2.must_wait(&send.send.topic) {
            v2.park(send);
            return;
        }
        self.append_v2(id, send, out);
    }

    /// Appends a send that waited for those before it, which are answered now.
    fn unpark(&mut self, id: ClientId, parked: AdmittedSend, out: &mut Outputs) {
        let Some(v2) = self.clients.v2(id) else { return };
        let is_admitted = v2.sends.admit_again(&parked.send.nonce, parked.position, self.now.mono_ms);
        if !is_admitted && !planted!(self, NoRefusing) {
            return self.send_unavailable(id, parked.send.nonce);
        }
        self.append_v2(id, parked, out);
    }

    fn append_v2(&mut self, id: ClientId, admitted: AdmittedSend, out: &mut Outputs) {
        let AdmittedSend { send: Send { topic, content, nonce }, position } = admitted;
        if let Some(v2) = self.clients.v2(id) {
            v2.set_topic(topic.clone());
        }
        if planted!(self, AckBeforeCommit) {
            let seq = self.next_seq(&topic);
            self.acknowledge(id, &nonce, &topic, seq, self.now.wall_ms, Stored::Now(&[]));
        }
        self.append(id, topic, content, DraftOrigin::V2 { nonce, position }, out);
    }

    /// The number that the next entry of a topic would get, as far as this hub knows.
    fn next_seq(&self, topic: &Topic) -> u64 {
        let top = match topic {
            Topic::Room(name) => self.rooms.slot_of(name).and_then(|slot| self.rooms[slot].top()),
            Topic::Pair(pair) => self.conversations.delivered_up_to(pair),
        };
        top.unwrap_or(0) + 1
    }

    /// Has the log store a message or a change.
    pub(super) fn append(
        &mut self,
        id: ClientId,
        topic: Topic,
        content: Content,
        origin: DraftOrigin,
        out: &mut Outputs,
    ) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.begin_draft();
        let may_administer = client.is_of_a_session();
        let author = client.reference();
        let user = client.user();
        let from = self.users[user].name().clone();
        let bytes = content.bytes();
        let Content { body, files } = content;
        let is_message = body.is_message();
        if is_message {
            self.typist_sends(user, &topic, out);
        }
        let (room, nonce) = match (&origin, &topic) {
            // The name of a closed room is not for the recipient.
            (DraftOrigin::V1 { room, .. }, Topic::Pair(_)) if room.is_made_by_server() => {
                (Some(RoomName::default()), None)
            }
            (DraftOrigin::V1 { room, .. }, Topic::Pair(_)) => (Some(room.clone()), None),
            (DraftOrigin::V1 { .. }, Topic::Room(_)) => (None, None),
            (DraftOrigin::V2 { nonce, .. }, _) => (None, Some(nonce.clone())),
        };
        let check = match &topic {
            Topic::Room(room) => self.must_check(room, user),
            Topic::Pair(_) => false,
        };
        let draft = self.drafts.add(OpenDraft {
            author,
            topic: topic.clone(),
            origin,
            bytes,
            fails_at_ms: self.now.mono_ms + self.options.append_timeout_ms,
            check,
            is_message,
        });
        out.push(Output::Append(Draft {
            id: draft,
            topic,
            from,
            room,
            body,
            files,
            nonce,
            check,
            may_administer,
            rules: self.options.change_rules,
            by_server: false,
            refused: None,
        }));
    }

    // Back from the log.

    /// The log answered a draft.
    pub(super) fn receipt(&mut self, receipt: &Receipt, out: &mut Outputs) {
        // One that timed out was answered then.
        let Some(OpenDraft { author, topic, origin, check, is_message, .. }) =
            self.drafts.take(receipt.draft)
        else {
            return;
        };
        let is_there = self.clients.same(author).is_some();
        match (&receipt.outcome, origin) {
            (Outcome::Stored { seq, at_ms }, origin) => {
                self.note_stored(&topic, *seq, out);
                // A change makes nobody a member.
                if check
                    && is_message
                    && let (Topic::Room(room), Some(client)) = (&topic, self.clients.same(author))
                {
                    let user = client.user();
                    self.sender_is_member(room, user);
                    self.check_membership(author, &topic, out);
                }
                if let DraftOrigin::V2 { nonce, .. } = origin
                    && self.clients.same(author).is_some()
                    && !planted!(self, AckBeforeCommit)
                {
                    let stored = Stored::Now(&receipt.not_members);
                    self.acknowledge(author.id, &nonce, &topic, *seq, *at_ms, stored);
                }
            }
            // A v1 draft has no nonce but what a store gives it for itself alone:
            // a duplicate is a commit whose answer was lost, and perhaps its
            // entries with it.
            (Outcome::Duplicate { seq, .. }, DraftOrigin::V1 { .. }) => {
                self.missed(&Missed { topic, first: *seq, last: *seq }, out);
            }
            (Outcome::Duplicate { topic, seq, at_ms }, DraftOrigin::V2 { nonce, .. }) => {
                self.note_committed(topic, *seq, out);
                if self.clients.same(author).is_some() {
                    self.acknowledge(author.id, &nonce, topic, *seq, *at_ms, Stored::Before);
                    if is_message {
                        self.check_membership(author, topic, out);
                    }
                }
            }
            (Outcome::NoRecipient { at_ms }, DraftOrigin::V1 { room, text }) => {
                if let (Topic::Pair(pair), Some(client)) = (&topic, self.clients.same(author)) {
                    let user = client.user();
                    let to = pair.other(self.users[user].name()).clone();
                    self.echo(user, to.as_str(), &text, &room, *at_ms, out);
                }
            }
            (Outcome::NoRecipient { .. }, DraftOrigin::V2 { nonce, .. }) if is_there => {
                self.refuse_send(author.id, ErrorCode::NotFound, NO_ACCOUNT, nonce);
            }
            (Outcome::Forbidden, DraftOrigin::V2 { nonce, .. }) if is_there => {
                let message = match is_message {
                    true => "you may not write to this room",
                    false => "you may not change this message so",
                };
                self.refuse_send(author.id, ErrorCode::Forbidden, message, nonce);
            }
            (Outcome::NotFound, DraftOrigin::V2 { nonce, .. }) if is_there => {
                let message = "there is no such message, or no such reaction";
                self.refuse_send(author.id, ErrorCode::NotFound, message, nonce);
            }
            (Outcome::TooMany, DraftOrigin::V2 { nonce, .. }) if is_there => {
                let message = "this message has too many different reactions";
                self.refuse_send(author.id, ErrorCode::TooMany, message, nonce);
            }
            (Outcome::InvalidFiles, DraftOrigin::V2 { nonce, .. }) if is_there => {
                let message = "a file is not there, is not yours, or is attached already";
                self.refuse_send(author.id, ErrorCode::BadRequest, message, nonce);
            }
            (Outcome::BlankText, DraftOrigin::V2 { nonce, .. }) if is_there => {
                self.refuse_send(author.id, ErrorCode::BadRequest, "the text is blank", nonce);
            }
            (Outcome::Refused(sentence), DraftOrigin::V2 { nonce, .. }) if is_there => {
                match planted!(self, RetryRefusal) {
                    true => self.send_unavailable(author.id, nonce),
                    false => self.refuse_by_program(author.id, sentence, &nonce),
                }
            }
            // A v1 client can only learn of a failure by being closed.
            (Outcome::Failed, DraftOrigin::V1 { .. }) if is_there => {
                self.close(author.id, CloseCode::TryAgainLater, out);
            }
            (Outcome::Failed, DraftOrigin::V2 { nonce, position }) if is_there => {
                let refusing_until_ms = self.now.mono_ms + self.options.refusing_ms;
                if let Some(v2) = self.clients.v2(author.id) {
                    v2.sends.fail(nonce.clone(), position, refusing_until_ms);
                }
                self.send_unavailable(author.id, nonce);
            }
            // A v1 client is not told that its text was dropped.
            (
                Outcome::NoRecipient { .. }
                | Outcome::Forbidden
                | Outcome::NotFound
                | Outcome::TooMany
                | Outcome::InvalidFiles
                | Outcome::BlankText
                | Outcome::Refused(_)
                | Outcome::Failed,
                _,
            ) => {}
        }
        self.draft_answered(author, out);
    }

    /// Asks the store whether a user is a member of the open room to which a message was
    /// stored before: if the answer to that commit was lost, so was the change that made
    /// the author a member.
    fn check_membership(&mut self, author: ClientRef, topic: &Topic, out: &mut Outputs) {
        let Topic::Room(room) = topic else { return };
        let Some(client) = self.clients.same(author) else { return };
        let user = client.user();
        let is_known = self.rooms.slot_of(room).is_none_or(|slot| self.rooms[slot].watcher(user).is_some());
        // A hub does not watch all rooms of a user who has very many.
        if !is_known && self.users[user].watched() < self.options.user_memberships_max {
            let question = self.reads.next_question();
            let check = AccessCheck { client: author, room: room.clone(), question, is_over: false };
            self.read_access(check, out);
        }
    }

    /// Fails the drafts that the log has not answered in time.
    pub(super) fn time_out_drafts(&mut self, out: &mut Outputs) {
        while let Some(draft) = self.drafts.overdue(self.now.mono_ms)
            && !planted!(self, NoDraftTimeout)
        {
            self.receipt(&Receipt::new(draft, Outcome::Failed), out);
        }
    }

    /// A client has sent a close frame: it is closed once its drafts are answered.
    pub(super) fn goodbye(&mut self, id: ClientId, out: &mut Outputs) {
        let Some(client) = self.clients.get_mut(id).filter(|client| !client.is_closed()) else { return };
        client.finish(CloseCode::Normal);
        if client.finished().is_some() {
            self.close(id, CloseCode::Normal, out);
        }
    }

    /// A client has one unanswered draft fewer.
    fn draft_answered(&mut self, author: ClientRef, out: &mut Outputs) {
        let Some(client) = self.clients.same(author) else { return };
        if let Some(parked) = client.end_draft() {
            // What has arrived is not dropped, also if the client is to be closed.
            self.unpark(author.id, parked, out);
        }
        let Some(client) = self.clients.same(author) else { return };
        match (client.finished(), client.paused()) {
            (Some(CloseCode::GoingAway), _) => self.dismiss(author.id, out),
            (Some(code), _) => self.close(author.id, code, out),
            (None, Some(Paused::Credit | Paused::Order)) => self.update_pause(author.id, out),
            (None, _) => {}
        }
    }

    // Answers to sends.

    fn acknowledge(
        &mut self,
        id: ClientId,
        nonce: &Nonce,
        topic: &Topic,
        seq: u64,
        at_ms: u64,
        stored: Stored<'_>,
    ) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let author = self.users[client.user()].name().clone();
        if let Some(v2) = client.v2() {
            v2.sends.finish(nonce);
        }
        let (duplicate, not_members) = match stored {
            Stored::Now(not_members) => (false, not_members),
            Stored::Before => (true, &[][..]),
        };
        self.reply(id, &Ack { nonce, topic, author: &author, seq, at_ms, duplicate, not_members }.into());
    }

    /// Refuses a send for good.
    pub(super) fn refuse_send(&mut self, id: ClientId, code: ErrorCode, message: &str, nonce: Nonce) {
        if let Some(v2) = self.clients.v2(id) {
            v2.sends.finish(&nonce);
        }
        self.refuse(id, code, message, &About::Nonce(nonce), None);
    }

    /// Answers a send that the program around the chat has refused with this sentence.
    fn refuse_by_program(&mut self, id: ClientId, sentence: &str, nonce: &Nonce) {
        if let Some(v2) = self.clients.v2(id) {
            v2.sends.finish(nonce);
        }
        self.refusals.count_frame(ErrorCode::Forbidden);
        self.reply(id, &v2::refused_by_program(sentence, nonce));
    }

    /// Asks a client to repeat a send.
    fn send_unavailable(&mut self, id: ClientId, nonce: Nonce) {
        let message = "not stored: try again";
        self.refuse(id, ErrorCode::Unavailable, message, &About::Nonce(nonce), Some(RETRY_AFTER_S));
    }
}

/// Which send of a nonce was stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stored<'a> {
    /// This one. These mentioned users are no members of its room.
    Now(&'a [Username]),
    /// An earlier one.
    Before,
}
