//! Calls that wait for an answer of the server.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::{Receipt, RequestError, SendError};
use crate::{Event, HistoryPage};

/// The calls that wait, each until its event comes.
#[derive(Default)]
pub(super) struct Calls {
    /// By nonce.
    pub(super) sends: BTreeMap<String, oneshot::Sender<Result<Receipt, SendError>>>,
    /// By room; several calls may join one room.
    pub(super) joins: Vec<(String, oneshot::Sender<Result<(), RequestError>>)>,
    /// By the number of the request.
    pub(super) pages: BTreeMap<u64, oneshot::Sender<Result<HistoryPage, RequestError>>>,
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.joins.is_empty() && self.pages.is_empty()
    }

    /// Answers the calls that wait for this event. Returns the event unless it was
    /// for a call only.
    pub(super) fn answer(&mut self, event: Event) -> Option<Event> {
        match &event {
            Event::Stored { nonce, topic, seq, timestamp, duplicate, not_members } => {
                if let Some(call) = self.sends.remove(nonce) {
                    let receipt = Receipt {
                        nonce: nonce.clone(),
                        topic: topic.clone(),
                        seq: *seq,
                        timestamp: *timestamp,
                        duplicate: *duplicate,
                        not_members: not_members.clone(),
                    };
                    reply(call, Ok(receipt));
                }
            }
            Event::NotSent { nonce, code, message, may_be_stored } => {
                if let Some(call) = self.sends.remove(nonce) {
                    let (code, message) = (code.clone(), message.clone());
                    reply(call, Err(SendError::NotSent { code, message, may_be_stored: *may_be_stored }));
                }
            }
            Event::Joined { room, .. } => self.answer_joins(room, &Ok(())),
            Event::NotJoined { room, code, message } => {
                let (code, message) = (code.clone(), message.clone());
                self.answer_joins(room, &Err(RequestError::NotDone { code, message }));
            }
            Event::Left { room, reason } => {
                let code = if reason.is_some() { "forbidden" } else { "not_joined" }.to_owned();
                let message = "the room was left".to_owned();
                self.answer_joins(room, &Err(RequestError::NotDone { code, message }));
            }
            _ => {}
        }
        match event {
            Event::History { request, page } => {
                if let Some(call) = self.pages.remove(&request) {
                    reply(call, Ok(page));
                }
                None
            }
            Event::NoHistory { request, code, message } => {
                if let Some(call) = self.pages.remove(&request) {
                    reply(call, Err(RequestError::NotDone { code, message }));
                }
                None
            }
            event => Some(event),
        }
    }

    /// Ends all calls without an answer.
    pub(super) fn end(&mut self) {
        let Self { sends, joins, pages } = std::mem::take(self);
        for call in sends.into_values() {
            reply(call, Err(SendError::Undecided));
        }
        for (_, call) in joins {
            reply(call, Err(RequestError::Undecided));
        }
        for call in pages.into_values() {
            reply(call, Err(RequestError::Undecided));
        }
    }

    fn answer_joins(&mut self, room: &str, result: &Result<(), RequestError>) {
        for (_, call) in self.joins.extract_if(.., |(joined, _)| joined == room) {
            reply(call, result.clone());
        }
    }
}

/// Answers a call, which may have been dropped.
pub(super) fn reply<T>(call: oneshot::Sender<T>, answer: T) {
    let _dropped = call.send(answer);
}
