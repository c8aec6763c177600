//! What users do in a topic: messages, answers, and changes of messages.

use chat_core::{FileId, Topic, Username};
use serde_json::{Value, json};

use crate::oracle::What;
use crate::wire::text;
use crate::world::World;

/// An act of a user, as a client sends it.
pub(crate) struct Sent {
    pub(crate) what: What,
    /// The text of a message or an edit.
    pub(crate) text: Option<String>,
    pub(crate) files: Vec<FileId>,
    pub(crate) mentions: Vec<&'static str>,
    pub(crate) mention_all: bool,
}

impl Sent {
    /// The frame of a v2 client, but for its nonce.
    pub(crate) fn frame(&self, topic: &Topic, user: &Username) -> Value {
        let (message, place, name) = match topic {
            Topic::Room(room) => ("message", "room", room.as_str()),
            Topic::Pair(pair) => ("private", "to", pair.other(user).as_str()),
        };
        let kind = match self.what {
            What::Message { .. } => message,
            What::Edit { .. } => "edit",
            What::Delete { .. } => "delete",
            What::React { .. } => "react",
            What::Unreact { .. } => "unreact",
        };
        let mut frame = json!({ "type": kind, place: name });
        if let Some(text) = &self.text {
            frame["text"] = text.as_str().into();
        }
        match self.what {
            What::Message { reply_to } => {
                if let Some(reply_to) = reply_to {
                    frame["reply_to"] = reply_to.into();
                }
            }
            What::Edit { target } | What::Delete { target } => frame["target"] = target.into(),
            What::React { target, emoji } | What::Unreact { target, emoji } => {
                frame["target"] = target.into();
                frame["emoji"] = emoji.into();
            }
        }
        if !self.files.is_empty() {
            frame["files"] = self.files.iter().map(FileId::as_str).collect::<Vec<_>>().into();
        }
        if !self.mentions.is_empty() {
            frame["mentions"] = self.mentions.clone().into();
        }
        if self.mention_all {
            frame["mention_all"] = true.into();
        }
        frame
    }
}

impl World {
    /// Chooses what a user does in a topic, and notes it. Returns it with its number.
    pub(crate) fn some_act(&mut self, user: &Username, author: usize, topic: &Topic) -> (usize, Sent) {
        let what = self.some_change_of_message(user, topic);
        let what = what.unwrap_or_else(|| What::Message { reply_to: self.some_answered(topic) });
        let number = self.oracle.add_act(user, author, topic.clone(), what);
        let padding = self.padding();
        let mut sent = Sent { what, text: None, files: Vec::new(), mentions: Vec::new(), mention_all: false };
        if let What::Message { .. } = what {
            sent.files = self.some_files(user);
        }
        if self.may_be_blank(&sent, topic) {
            sent.text = Some(String::new());
        }
        self.oracle.describe_act(number, &sent.files, sent.text.is_some());
        if sent.text.is_some() {
            return (number, sent);
        }
        if let What::Message { .. } | What::Edit { .. } = what {
            let mut text = text(number, padding);
            if let Topic::Room(_) = topic {
                sent.mentions = self.some_mentions(&mut text);
                sent.mention_all = self.random.chance(50);
            }
            sent.text = Some(text);
        }
        (number, sent)
    }

    /// Whether an act is to have no text: a message with files, or an edit of one without, which
    /// the log must refuse. Edits without a text could not be told from each other.
    fn may_be_blank(&mut self, sent: &Sent, topic: &Topic) -> bool {
        match sent.what {
            What::Message { .. } => !sent.files.is_empty() && self.random.chance(300),
            What::Edit { target } => {
                let message = self.oracle.entry(topic, target);
                let has_files = message.is_some_and(|message| !message.body.files().is_empty());
                !has_files && target <= self.oracle.last(topic) && self.random.chance(50)
            }
            What::Delete { .. } | What::React { .. } | What::Unreact { .. } => false,
        }
    }

    /// A change of a message of a topic; `None` if the user writes a message.
    fn some_change_of_message(&mut self, user: &Username, topic: &Topic) -> Option<What> {
        let kind = self.random.between(0, 999);
        let rates = &self.rates;
        let until = [rates.edits, rates.deletes, rates.reactions, rates.unreactions];
        let mut sum = 0;
        let kind = until.into_iter().position(|rate| {
            sum += rate;
            kind < sum
        })?;
        let is_own = kind < 2 && !self.random.chance(self.rates.foreign);
        let target = self.some_target(topic, is_own.then_some(user))?;
        let emoji = EMOJI[self.random.index(EMOJI.len())];
        Some(match kind {
            0 => What::Edit { target },
            1 => What::Delete { target },
            2 => What::React { target, emoji },
            _ => self.some_reaction(user, topic).unwrap_or(What::Unreact { target, emoji }),
        })
    }

    /// The number of a message: one of the newest, or any; of this user, if one is given.
    /// Seldom the number of something else.
    fn some_target(&mut self, topic: &Topic, by: Option<&Username>) -> Option<u64> {
        let last = self.oracle.last(topic);
        if self.random.chance(30) {
            return Some(self.random.between(0, last + 3));
        }
        let from = match self.random.chance(self.rates.old) {
            true => self.random.between(1, last.max(1)),
            false => last,
        };
        let fits = |seq: &u64| {
            let entry = self.oracle.entry(topic, *seq);
            entry.is_some_and(|entry| entry.body.is_message() && by.is_none_or(|by| *by == entry.from))
        };
        let targets: Vec<u64> = (1..=from).rev().take(LOOKED_AT).filter(fits).take(5).collect();
        let index = self.random.index(targets.len().max(1));
        targets.get(index).copied()
    }

    fn some_answered(&mut self, topic: &Topic) -> Option<u64> {
        // A client tells no server of it that does not announce it.
        let is_announced = self.plan.options.features().any(|feature| feature == "reply");
        if is_announced && self.random.chance(self.rates.replies) {
            return self.some_target(topic, None);
        }
        None
    }

    /// A reaction of a user that is there, to be taken back.
    fn some_reaction(&mut self, user: &Username, topic: &Topic) -> Option<What> {
        let last = self.oracle.last(topic);
        let targets = (1..=last).rev().take(LOOKED_AT).filter(|seq| self.oracle.is_message(topic, *seq));
        let mut own = Vec::new();
        for target in targets {
            let Some(version) = self.oracle.version_now(topic, target) else { continue };
            let emoji = EMOJI.into_iter().filter(|emoji| version.reaction(emoji, user).is_some());
            own.extend(emoji.map(|emoji| What::Unreact { target, emoji }));
        }
        if own.is_empty() { None } else { Some(own[self.random.index(own.len())]) }
    }
}

/// The reactions of these users.
const EMOJI: [&str; 6] = ["👍", "❤️", "😂", "🎉", "🇩🇪", "👩🏽‍🚀"];
/// How many entries are looked at for a message that fits.
const LOOKED_AT: usize = 40;
