//! What the log must answer to each draft, from what it has committed before.

use std::collections::BTreeMap;

use chat_core::{Access, Body, Draft, Outcome, Role, Topic};

use super::{Check, Oracle, ensure};
use crate::wire::NO_ACCOUNT;

/// The answer that a draft must get.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Stored,
    /// The draft repeats another, or what it wants is so already, by this entry.
    Duplicate(Topic, u64),
    NoRecipient,
    NotFound,
    Forbidden,
    TooMany,
    InvalidFiles,
    BlankText,
    Refused,
}

/// The last numbers of the topics of a batch before it: a change names a message that was
/// stored earlier.
pub(crate) type Tops = BTreeMap<Topic, u64>;

impl Oracle {
    /// The last numbers of the topics of some drafts.
    pub(crate) fn tops(&self, drafts: &[Draft]) -> Tops {
        drafts.iter().map(|draft| (draft.topic.clone(), self.last(&draft.topic))).collect()
    }

    /// Checks what the log answers to a draft, and notes which entry its nonce stands for.
    /// The drafts before it in its batch were judged already.
    pub(crate) fn judged(
        &mut self,
        draft: &Draft,
        outcome: &Outcome,
        tops: &Tops,
        now_ms: u64,
        wall_ms: u64,
    ) -> Check {
        let mut expected = self.judge(draft, tops, wall_ms);
        if expected == Answer::Stored {
            match self.may_attach(draft, now_ms) {
                Some(true) => {}
                Some(false) => expected = Answer::InvalidFiles,
                // A sweep may have found one of them.
                None if *outcome == Outcome::InvalidFiles => expected = Answer::InvalidFiles,
                None => {}
            }
        }
        let answer = match outcome {
            Outcome::Stored { .. } => Answer::Stored,
            Outcome::Duplicate { topic, seq, at_ms } => {
                let first = self.entry(topic, *seq).ok_or_else(|| format!("{topic:?} has no {seq}"))?;
                ensure(first.at_ms == *at_ms, || format!("{outcome:?}, but {first:?} is there"))?;
                if let Some(nonce) = &draft.nonce {
                    let key = (draft.from.clone(), nonce.as_str().to_owned());
                    self.nonces.entry(key).or_insert_with(|| (topic.clone(), *seq));
                }
                self.count("duplicate");
                Answer::Duplicate(topic.clone(), *seq)
            }
            Outcome::NoRecipient { .. } => Answer::NoRecipient,
            Outcome::NotFound => Answer::NotFound,
            Outcome::Forbidden => Answer::Forbidden,
            Outcome::TooMany => Answer::TooMany,
            Outcome::InvalidFiles => Answer::InvalidFiles,
            Outcome::BlankText => Answer::BlankText,
            Outcome::Refused(_) => {
                self.count("a hook refuses");
                Answer::Refused
            }
            Outcome::Failed => return Ok(()),
        };
        if !draft.files.is_empty() {
            self.count(match answer {
                Answer::Stored => "message with files",
                Answer::Duplicate(..) => "message with files again",
                _ => "files refused",
            });
        }
        if !draft.body.is_message() {
            self.count(match answer {
                Answer::Stored => "changed a message",
                Answer::Duplicate(..) => "change again",
                Answer::NotFound => "change of nothing",
                Answer::Forbidden => "change forbidden",
                Answer::TooMany => "too many reactions",
                Answer::NoRecipient => "no recipient",
                Answer::InvalidFiles => "a change with files",
                Answer::BlankText => "blank edit",
                Answer::Refused => "edit refused",
            });
        }
        ensure(answer == expected, || format!("the log answers {outcome:?} to {draft:?}, not {expected:?}"))
    }

    fn judge(&self, draft: &Draft, tops: &Tops, wall_ms: u64) -> Answer {
        let Draft { topic, from, nonce, body, .. } = draft;
        let known =
            nonce.as_ref().and_then(|nonce| self.nonces.get(&(from.clone(), nonce.as_str().to_owned())));
        if let Some((topic, seq)) = known {
            return Answer::Duplicate(topic.clone(), *seq);
        }
        if self.hook.refuses(body) {
            return Answer::Refused;
        }
        let mut is_moderator = false;
        if let Topic::Room(name) = topic {
            let room = self.rooms.get(name);
            let role = room.and_then(|room| room.members.get(from));
            let info = room.and_then(|room| room.info.as_ref());
            is_moderator = role == Some(&Role::Moderator) || from.as_str() == ADMINISTRATOR;
            let is_closed = info.map_or(name.is_made_by_server(), |info| info.access == Access::Closed);
            let is_archived = info.is_some_and(|info| info.archived);
            let is_deletion = matches!(body, Body::Delete { .. });
            if (is_closed && role.is_none()) || (is_archived && !is_deletion) {
                return Answer::Forbidden;
            }
        } else if body.is_message() && draft.recipient().is_some_and(|to| to.as_str() == NO_ACCOUNT) {
            return Answer::NoRecipient;
        }
        let Some(target) = body.target() else { return Answer::Stored };
        let is_kept = self.is_target(topic, target, tops);
        let message = self.entry(topic, target).filter(|_| is_kept);
        let (Some(message), Some(now)) = (message, self.version_now(topic, target)) else {
            return Answer::NotFound;
        };
        let is_own = message.from == *from;
        match body {
            Body::Message { .. } => Answer::Stored,
            Body::Edit { .. } if now.deletion.is_some() => Answer::NotFound,
            Body::Edit { .. } => {
                let edit_ms = self.options.change_rules.edit_ms;
                let is_late = edit_ms.is_some_and(|edit_ms| message.at_ms + edit_ms < wall_ms);
                if !is_own || is_late {
                    Answer::Forbidden
                } else if body.text().is_empty() && message.body.files().is_empty() {
                    Answer::BlankText
                } else {
                    Answer::Stored
                }
            }
            Body::Delete { .. } if !is_own && !is_moderator => Answer::Forbidden,
            Body::Delete { .. } => match now.deletion {
                Some(first) => Answer::Duplicate(topic.clone(), first.seq),
                None => Answer::Stored,
            },
            Body::React { .. } if now.deletion.is_some() => Answer::NotFound,
            Body::React { emoji, .. } => match now.reaction(emoji.as_str(), from) {
                Some(first) => Answer::Duplicate(topic.clone(), first),
                None => {
                    let is_new = now.reactions.iter().all(|(shown, _)| *shown != emoji.as_str());
                    let is_full = now.reactions.len() >= self.options.change_rules.reactions_max;
                    if is_new && is_full { Answer::TooMany } else { Answer::Stored }
                }
            },
            Body::Unreact { emoji, .. } => match now.reaction(emoji.as_str(), from) {
                Some(_) => Answer::Stored,
                None => Answer::NotFound,
            },
        }
    }

    /// Whether a change or an answer may name this message.
    pub(super) fn is_target(&self, topic: &Topic, target: u64, tops: &Tops) -> bool {
        let top = tops.get(topic).copied().unwrap_or(0);
        target <= top && target >= self.first(topic) && self.is_message(topic, target)
    }
}

/// The user who is an administrator of the servers.
pub(crate) const ADMINISTRATOR: &str = "fay";
