//! The messages that a user of a device may change, and what the user changes.

use std::collections::VecDeque;

use chat_client::{ChangeKind, Entry, NewChange, Rng, Target, Topic as ClientTopic};

use crate::ledger::{Target as Named, Wanted};

/// The newest messages that a client has shown or sent.
#[derive(Default)]
pub(super) struct Changeable {
    shown: VecDeque<Known>,
    /// The nonces of its own messages, which need not be stored.
    sent: VecDeque<(ClientTopic, String)>,
    reacted: VecDeque<(ClientTopic, u64, &'static str)>,
}

/// A message that was shown.
#[derive(Clone)]
pub(super) struct Known {
    topic: ClientTopic,
    pub(super) seq: u64,
    /// It is by this user, and has a nonce: the ledger knows its text.
    is_own: bool,
    /// It is by another user, who alone may change it.
    is_of_another: bool,
}

impl Changeable {
    pub(super) fn shows(&mut self, topic: &ClientTopic, entry: &Entry, user: &str) {
        let is_own = entry.from == user && entry.nonce.is_some();
        let is_of_another = entry.from != user;
        self.shown.push_back(Known { topic: topic.clone(), seq: entry.seq, is_own, is_of_another });
        if self.shown.len() > KNOWN_MAX {
            self.shown.pop_front();
        }
    }

    pub(super) fn sends(&mut self, topic: &ClientTopic, nonce: &str) {
        self.sent.push_back((topic.clone(), nonce.to_owned()));
        if self.sent.len() > SENT_MAX {
            self.sent.pop_front();
        }
    }

    /// Any message of a topic.
    pub(super) fn any(&self, rng: &mut Rng, topic: &ClientTopic) -> Option<Known> {
        self.some(rng, |known| known.topic == *topic)
    }

    fn some(&self, rng: &mut Rng, fits: impl Fn(&Known) -> bool) -> Option<Known> {
        let fitting: Vec<&Known> = self.shown.iter().filter(|known| fits(known)).collect();
        if fitting.is_empty() { None } else { Some(fitting[rng.index(fitting.len())].clone()) }
    }

    /// A change of a message of a topic, and what the ledger notes of it; `None` if there is
    /// no message. An edit has this text.
    pub(super) fn some_change(
        &mut self,
        rng: &mut Rng,
        topic: &ClientTopic,
        text: &str,
    ) -> Option<(NewChange, Wanted)> {
        let emoji = EMOJI[rng.index(EMOJI.len())];
        let (kind, of): (ChangeKind, fn(Named, &str) -> Wanted) = match rng.index(20) {
            0..=8 => (ChangeKind::edit(text), |target, _| Wanted::Edit(target)),
            9..=11 => (ChangeKind::Delete, |target, _| Wanted::Delete(target)),
            12..=16 => {
                let emoji = emoji.to_owned();
                (ChangeKind::React { emoji }, |target, emoji| Wanted::React(target, emoji.to_owned()))
            }
            _ => {
                let index = self.reacted.iter().position(|(of, ..)| of == topic)?;
                let (_, target, emoji) = self.reacted.remove(index)?;
                let change = NewChange::unreact(topic.clone(), target, emoji);
                return Some((change, Wanted::Unreact(Named::Number(target), emoji.to_owned())));
            }
        };
        let is_reaction = matches!(kind, ChangeKind::React { .. });
        // Sometimes a message of another user, which only reactions may change.
        let must_be_own = !is_reaction && !rng.random_bool(0.03);
        let sent = self.sent.iter().rev().find(|(of, _)| of == topic).map(|(_, nonce)| nonce.clone());
        let (target, named) = match sent.filter(|_| must_be_own && rng.random_bool(0.4)) {
            Some(nonce) => (Target::Nonce(nonce.clone()), Named::Nonce(nonce)),
            None => {
                let fits = |known: &Known| {
                    let is_for_this = known.is_own || (!must_be_own && known.is_of_another) || is_reaction;
                    known.topic == *topic && is_for_this
                };
                let seq = self.some(rng, fits)?.seq;
                if is_reaction {
                    self.reacted.push_back((topic.clone(), seq, emoji));
                }
                (Target::Number(seq), Named::Number(seq))
            }
        };
        self.reacted.truncate(KNOWN_MAX);
        Some((NewChange { to: topic.clone(), target, kind, nonce: None }, of(named, emoji)))
    }
}

const EMOJI: [&str; 4] = ["👍", "❤️", "🎉", "🇪🇺"];
/// How many messages a user may change or answer.
const KNOWN_MAX: usize = 60;
/// How many nonces of own messages are kept: a session knows those that it has just sent.
const SENT_MAX: usize = 6;
