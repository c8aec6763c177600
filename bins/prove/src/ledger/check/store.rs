//! The stored entries.

use std::collections::{HashMap, HashSet};

use chat_core::Topic;

use super::Check;
use crate::ledger::{Kind, Send, Stored, What};

impl Check<'_> {
    /// Checks the stored entries by themselves, and against the sends.
    pub(super) fn store(&mut self) {
        let ledger = self.ledger;
        let mut sends_by_nonce = HashMap::new();
        let mut sends_by_text = HashMap::new();
        for (index, send) in ledger.sends.iter().enumerate() {
            match &send.nonce {
                Some(nonce) => drop(sends_by_nonce.insert((&*send.user, &**nonce), (index, send))),
                None => drop(sends_by_text.insert((&*send.user, &*send.text), (index, send))),
            }
        }
        let refused: HashMap<(&str, &str), &str> = ledger
            .given_up
            .iter()
            .filter(|given_up| !given_up.may_be_stored)
            .map(|given_up| ((&*given_up.user, &*given_up.nonce), &*given_up.code))
            .collect();
        let mut ends: HashMap<&Topic, u64> = HashMap::new();
        let mut texts = HashSet::new();
        let mut nonces = HashSet::new();
        let mut latest: HashMap<(&Topic, usize), (usize, &str)> = HashMap::new();
        for stored in &ledger.stored {
            let Stored { topic, seq, from, nonce, .. } = stored;
            let text = self.logs[topic].text(stored);
            let end = ends.entry(topic).or_default();
            let expected = *end + 1;
            *end = (*end).max(*seq);
            if *seq > expected {
                self.report(Kind::Gap, format!("{} is stored behind {}", stored.name(), expected - 1));
            } else if *seq < expected {
                self.report(
                    Kind::Duplicated,
                    format!("{} is stored with a number given before", stored.name()),
                );
            }
            let is_new = nonce.as_ref().is_none_or(|nonce| nonces.insert((from, nonce)));
            let has_text = matches!(stored.what, What::Message(_) | What::Edit { .. });
            if (has_text && !texts.insert(text)) || !is_new {
                self.report(Kind::Duplicated, format!("{} is stored twice", stored.name()));
                continue;
            }
            let sent = match nonce {
                Some(nonce) => sends_by_nonce.get(&(&**from, &**nonce)),
                None => sends_by_text.get(&(&**from, text)),
            };
            let is_what = |send: &Send| {
                let is_same =
                    send.what.kind() == stored.what.kind() && send.what.emoji() == stored.what.emoji();
                is_same
                    && match &stored.what {
                        What::Message(state) => {
                            let is_gone = state.deleted || !ledger.cuts.is_empty();
                            is_gone || state.reply_to == send.what.reply_to()
                        }
                        change => self.target(send) == change.target(),
                    }
            };
            let fits = |send: &Send| send.topic == *topic && send.text == *text && is_what(send);
            let Some((index, send)) = sent.filter(|(_, send)| fits(send)) else {
                self.report(Kind::Phantom, format!("no client sent {}", stored.name()));
                continue;
            };
            if let Some(code) = nonce.as_ref().and_then(|nonce| refused.get(&(&**from, &**nonce))) {
                self.report(Kind::Phantom, format!("{} was refused with {code}", stored.name()));
            }
            if let Some((before, text)) = latest.insert((topic, send.client), (*index, text))
                && before > *index
            {
                let what = format!("{} is stored behind {text:?}, which was sent later", stored.name());
                self.report(Kind::Reordered, what);
            }
        }
    }
}
