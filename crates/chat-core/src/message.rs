//! Messages as changes have made them: edited, deleted, with reactions.

use std::collections::BTreeMap;

use crate::{Body, Emoji, Entry, FileId, Mentions, MessageText, Topic, Username};

/// What changes have made of a message, as the log shows it when the message is read.
/// A message that was never changed has none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MessageState {
    /// The highest number of a change that this state contains.
    pub updated: u64,
    /// When the newest edit was stored, in milliseconds since 1970 (UTC); `None` also of a
    /// deleted message.
    pub edited_at_ms: Option<u64>,
    /// The message is deleted: its text is empty, and it has nothing else.
    pub deleted: bool,
    /// Its reactions, in the order in which the count of each last rose from 0.
    pub reactions: Vec<Reaction>,
}

/// The users who reacted to a message with one emoji.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reaction {
    /// The emoji.
    pub emoji: Emoji,
    /// How many users reacted with it; at least 1.
    pub count: u64,
    /// The first of them, in the order of their reactions; at most
    /// [`REACTION_USERS_SHOWN`].
    pub users: Vec<Username>,
}

/// The number of users whom a [`Reaction`] names.
pub const REACTION_USERS_SHOWN: usize = 5;
/// The number of different emoji on one message, unless it is set otherwise.
pub const REACTIONS_MAX: usize = 20;

/// The limits for changes of messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChangeRules {
    /// For how many milliseconds after it was stored a message may be edited; `None`:
    /// always.
    pub edit_ms: Option<u64>,
    /// The number of different emoji on one message.
    pub reactions_max: usize,
    /// Whether the author of a message deletes it also where the author may not read any more:
    /// the server does so with the messages of a banned user.
    pub deletes_anywhere: bool,
}

impl Default for ChangeRules {
    fn default() -> Self {
        Self { edit_ms: None, reactions_max: REACTIONS_MAX, deletes_anywhere: false }
    }
}

/// Where and when an entry was stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Its number.
    pub seq: u64,
    /// See [`Entry::at_ms`].
    pub at_ms: u64,
}

/// What a log keeps of a changed message beside its entry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeptState {
    /// See [`MessageState::updated`]; 0 of a message that was never changed.
    pub updated: u64,
    /// The newest edit. It stays when the message is deleted.
    pub edited: Option<Stamp>,
    /// The deletion.
    pub deleted: Option<Stamp>,
    /// See [`MessageState::reactions`].
    pub reactions: Vec<Reaction>,
}

impl KeptState {
    /// The state as it is shown; `None` of a message that was never changed.
    pub fn shown(&self) -> Option<Box<MessageState>> {
        let deleted = self.deleted.is_some();
        (self.updated > 0).then(|| {
            Box::new(MessageState {
                updated: self.updated,
                edited_at_ms: self.edited.filter(|_| !deleted).map(|edited| edited.at_ms),
                deleted,
                reactions: self.reactions.clone(),
            })
        })
    }

    /// Whether the edit with this number is the newest, of a message that is not deleted:
    /// then its text is that of the message. Other edits have no text any more.
    pub fn shows_edit(&self, seq: u64) -> bool {
        self.deleted.is_none() && self.edited.is_some_and(|edited| edited.seq == seq)
    }
}

/// A message that a change names, as a log has it before a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetFacts {
    /// Its author.
    pub from: Username,
    /// See [`Entry::at_ms`].
    pub at_ms: u64,
    /// What changes have made of it.
    pub state: KeptState,
    /// Its files.
    pub files: Vec<FileId>,
    /// The reactions in question that are there: those of the users who want to react, or
    /// to take a reaction back.
    pub reacted: BTreeMap<(Emoji, Username), Stamp>,
    /// The first users of the emoji in question, in the order of their reactions: see
    /// [`ReactorsQuestion`].
    pub reactors: BTreeMap<Emoji, Vec<Username>>,
}

/// A question for the first users who reacted to a message with an emoji: somebody takes
/// this reaction back, and the next one is shown in their place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReactorsQuestion<'a> {
    /// The topic of the message.
    pub topic: &'a Topic,
    /// Its number.
    pub target: u64,
    /// The emoji.
    pub emoji: &'a Emoji,
    /// How many users.
    pub limit: usize,
}

/// What a log writes for one message that a batch has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangedMessage {
    /// The topic of the message.
    pub topic: Topic,
    /// Its number.
    pub seq: u64,
    /// Its author.
    pub from: Username,
    /// What changes have made of it.
    pub state: KeptState,
    /// The text and mentions that replace those before; `None`: they stay. A message that
    /// was deleted has an empty text.
    pub text: Option<(MessageText, Option<Box<Mentions>>)>,
    /// The batch has deleted it: its text, mentions, `reply_to`, files and reactions are
    /// removed.
    pub is_deleted: bool,
    /// The files of a message that the batch has deleted; else none.
    pub files_taken_back: Vec<FileId>,
    /// Reactions that are removed, if they are there. They come before `reacted`.
    pub unreacted: Vec<(Emoji, Username)>,
    /// New reactions.
    pub reacted: Vec<(Emoji, Username, Stamp)>,
}

/// A message while the changes of a batch are applied to it, in the order of their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    facts: TargetFacts,
    text: Option<(MessageText, Option<Box<Mentions>>)>,
    is_deleted: bool,
    /// The reactions that the batch has added or removed.
    touched: BTreeMap<(Emoji, Username), Option<Stamp>>,
}

impl Target {
    pub(crate) fn new(facts: TargetFacts) -> Self {
        Self { facts, text: None, is_deleted: false, touched: BTreeMap::new() }
    }

    /// Applies a change of this message that a log has accepted.
    pub(crate) fn apply(&mut self, change: &Entry) {
        let stamp = Stamp { seq: change.seq, at_ms: change.at_ms };
        let state = &mut self.facts.state;
        match &change.body {
            Body::Message { .. } => return,
            Body::Edit { text, mentions, .. } => {
                state.edited = Some(stamp);
                self.text = text.clone().map(|text| (text, mentions.clone()));
            }
            Body::Delete { .. } => {
                state.deleted = Some(stamp);
                state.reactions.clear();
                self.is_deleted = true;
                self.text = Some((MessageText::stored(""), None));
                self.touched.clear();
            }
            Body::React { emoji, .. } => {
                self.react(emoji, &change.from, stamp);
            }
            Body::Unreact { emoji, .. } => {
                self.unreact(emoji, &change.from);
            }
        }
        self.facts.state.updated = change.seq;
    }

    fn react(&mut self, emoji: &Emoji, user: &Username, stamp: Stamp) {
        let Self { facts, touched, .. } = self;
        touched.insert((emoji.clone(), user.clone()), Some(stamp));
        let known = facts.state.reactions.iter_mut().find(|reaction| reaction.emoji == *emoji);
        match known {
            Some(reaction) => {
                if let Some(reactors) = facts.reactors.get_mut(emoji)
                    && reactors.len() as u64 == reaction.count
                {
                    reactors.push(user.clone());
                }
                reaction.count += 1;
                if reaction.users.len() < REACTION_USERS_SHOWN {
                    reaction.users.push(user.clone());
                }
            }
            None => {
                if let Some(reactors) = facts.reactors.get_mut(emoji) {
                    *reactors = vec![user.clone()];
                }
                let (emoji, users) = (emoji.clone(), vec![user.clone()]);
                facts.state.reactions.push(Reaction { emoji, count: 1, users });
            }
        }
    }

    fn unreact(&mut self, emoji: &Emoji, user: &Username) {
        let Self { facts, touched, .. } = self;
        touched.insert((emoji.clone(), user.clone()), None);
        let reactions = &mut facts.state.reactions;
        let Some(index) = reactions.iter().position(|reaction| reaction.emoji == *emoji) else { return };
        let reaction = &mut reactions[index];
        reaction.count = reaction.count.saturating_sub(1);
        if reaction.count == 0 {
            reactions.remove(index);
            if let Some(reactors) = facts.reactors.get_mut(emoji) {
                reactors.clear();
            }
            return;
        }
        if let Some(reactors) = facts.reactors.get_mut(emoji) {
            reactors.retain(|name| name != user);
            reaction.users = reactors.iter().take(REACTION_USERS_SHOWN).cloned().collect();
        } else {
            reaction.users.retain(|name| name != user);
        }
    }

    /// A message as it was read, with its state: the users of a reaction that it does not
    /// name are not known.
    pub(crate) fn read(message: &Entry) -> Self {
        let shown = message.body.state().cloned().unwrap_or_default();
        let stamp = |at_ms| Stamp { seq: 0, at_ms };
        let all_named =
            shown.reactions.iter().filter(|reaction| reaction.users.len() as u64 == reaction.count);
        let reactors = all_named.map(|reaction| (reaction.emoji.clone(), reaction.users.clone())).collect();
        Self::new(TargetFacts {
            from: message.from.clone(),
            at_ms: message.at_ms,
            state: KeptState {
                updated: shown.updated,
                edited: shown.edited_at_ms.map(stamp),
                deleted: shown.deleted.then(|| stamp(0)),
                reactions: shown.reactions,
            },
            files: Vec::new(),
            reacted: BTreeMap::new(),
            reactors,
        })
    }

    /// Whether it names the first users of each reaction: after one of them has taken the
    /// reaction back, it may not know the next one.
    pub(crate) fn names_first_users(&self) -> bool {
        let are_named = |reaction: &Reaction| {
            reaction.users.len() as u64 == reaction.count.min(REACTION_USERS_SHOWN as u64)
        };
        self.facts.state.reactions.iter().all(are_named)
    }

    /// What the log writes, once all changes of the batch are applied.
    pub(crate) fn finish(self, topic: Topic, seq: u64) -> ChangedMessage {
        let Self { facts, text, is_deleted, touched } = self;
        let (mut unreacted, mut reacted) = (Vec::new(), Vec::new());
        for ((emoji, user), stamp) in touched {
            if facts.reacted.contains_key(&(emoji.clone(), user.clone())) {
                unreacted.push((emoji.clone(), user.clone()));
            }
            reacted.extend(stamp.map(|stamp| (emoji, user, stamp)));
        }
        let TargetFacts { from, state, files, .. } = facts;
        let files_taken_back = if is_deleted { files } else { Vec::new() };
        ChangedMessage { topic, seq, from, state, text, is_deleted, files_taken_back, unreacted, reacted }
    }
}
