//! The first frame that a v2 client gets: what it needs to know, and how far
//! its private conversations go.

use super::reads::Retry;
use super::{Hub, Now};
use crate::client::ClientRef;
use crate::frame::v2::{ConversationTop, Limits, REF_MAX_CHARS, Reply};
use crate::outputs::Outputs;
use crate::{ClientId, CloseCode, Conversations, NONCE_MAX_CHARS, Pair, ROOM_NAME_MAX_CHARS, Topic};

impl Hub {
    /// Has the log read what belongs into the `hello`. The hub hears of private
    /// messages already, so that nothing falls between the two.
    pub(super) fn prepare_hello(&mut self, client: ClientRef, out: &mut Outputs) {
        let Some(found) = self.same_client(client) else { return };
        let user = found.user;
        let (user, limit) = (self.users[user].name.clone(), self.options.hello_conversations);
        self.reads.conversations(client, user, limit, out);
    }

    /// The answer of the log.
    pub(super) fn conversations(
        &mut self,
        client: ClientRef,
        conversations: Option<&Conversations>,
        now: Now,
        out: &mut Outputs,
    ) {
        if self.same_client(client).is_none_or(|found| !found.is_being_greeted()) {
            return;
        }
        match conversations {
            Some(conversations) => self.say_hello(client.id, conversations, now, out),
            None => self.reads.retry_at(now.mono_ms + self.options.read_retry_ms, Retry::Hello(client)),
        }
    }

    fn say_hello(&mut self, id: ClientId, conversations: &Conversations, now: Now, out: &mut Outputs) {
        let Some(client) = self.client_mut(id) else { return };
        let slot = client.user;
        let Some(v2) = client.v2() else { return };
        let said_meanwhile = v2.greeting.take().unwrap_or_default();
        let user = self.users[slot].name.clone();
        // Live messages go on behind what this hub has delivered; where it has
        // delivered nothing yet, behind what the log says.
        let mut bases: Vec<(Pair, u64)> = Vec::new();
        for pair in said_meanwhile {
            bases.push((pair, 0));
        }
        for (other, seq) in &conversations.latest {
            let pair = Pair::new(user.clone(), other.clone());
            match bases.iter_mut().find(|(known, _)| *known == pair) {
                Some((_, base)) => *base = *seq,
                None => bases.push((pair, *seq)),
            }
        }
        for (pair, base) in &mut bases {
            if let Some(top) = self.delivered_up_to(pair) {
                // What this hub was not carried, because nobody here wanted it
                // for a moment, it must look for.
                let last = std::mem::replace(base, top);
                self.heard(&Topic::Pair(pair.clone()), last, out);
            }
        }
        let has_more = conversations.has_more || bases.len() > self.options.hello_conversations;
        let privates = bases
            .iter()
            .take(self.options.hello_conversations)
            .map(|(pair, seq)| ConversationTop { with: pair.other(&user).as_str(), seq: *seq })
            .collect();
        let rate = self.options.rate;
        let epoch = self.options.epoch.clone();
        let hello = Reply::Hello {
            protocol: 2,
            user: user.as_str(),
            epoch: &epoch,
            heartbeat_seconds: self.options.heartbeat_seconds,
            limits: Limits {
                text_max_chars: self.options.text_max_chars,
                message_max_bytes: self.options.message_max_bytes,
                nonce_max_chars: NONCE_MAX_CHARS,
                ref_max_chars: REF_MAX_CHARS,
                room_name_max_chars: ROOM_NAME_MAX_CHARS,
                rooms_max: self.options.client_rooms_max,
                history_max: self.options.history_max,
                resume_max_messages: self.options.resume_max_messages,
                unanswered_max: self.options.client_unanswered_max,
                rate_burst: rate.map(|rate| rate.burst),
                rate_per_second: rate.map(|rate| rate.per_second),
            },
            privates,
            has_more,
        };
        self.tell(id, &hello);
        self.flush_own(id, out);
        if let Some(v2) = self.client_mut(id).and_then(|client| client.v2()) {
            (v2.bases, v2.greeted_ms) = (bases, now.mono_ms);
        }
        self.review(id, now, out);
    }

    /// Whether a private message is for a client: not before its `hello`, and
    /// not if that has counted it already.
    pub(super) fn is_for(
        &mut self,
        id: ClientId,
        pair: &Pair,
        seq: u64,
        now: Now,
        out: &mut Outputs,
    ) -> bool {
        let most = self.options.hello_conversations;
        let Some(client) = self.client_mut(id) else { return false };
        let Some(v2) = client.v2() else { return true };
        if let Some(said_meanwhile) = &mut v2.greeting {
            if !said_meanwhile.contains(pair) {
                said_meanwhile.push(pair.clone());
            }
            if said_meanwhile.len() > most {
                // A log that does not answer while everybody writes to them.
                self.close(id, CloseCode::TryAgainLater, now, out);
            }
            return false;
        }
        !v2.bases.iter().any(|(known, base)| known == pair && seq <= *base)
    }

    /// What was on its way when somebody was greeted has arrived long ago.
    pub(super) fn forget_bases(&mut self, now_ms: u64) {
        for client in self.clients.iter_mut().flatten() {
            if let Some(v2) = client.v2()
                && v2.greeted_ms + BASES_KEPT_MS <= now_ms
            {
                v2.bases = Vec::new();
            }
        }
    }
}

/// A committed entry is carried to this hub sooner than this, in milliseconds.
const BASES_KEPT_MS: u64 = 120_000;
