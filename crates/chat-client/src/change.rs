//! Changes of messages: edits, deletions and reactions.

use serde::{Deserialize, Serialize};

use crate::{Features, Topic};

/// A change of a message: an entry of the log of its topic, with a number of its own.
///
/// It comes once and in the order of its topic, like a message. [`Timeline`](crate::Timeline)
/// applies it to the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its number in its topic.
    pub seq: u64,
    /// The number of the message that it changes.
    pub target: u64,
    /// The name of the user who made it.
    pub from: String,
    /// Whole seconds since 1970.
    pub timestamp: u64,
    /// The user's id for the send.
    pub nonce: Option<String>,
    /// The message that it changes.
    pub kind: ChangeKind,
}

/// What a change does to its message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChangeKind {
    /// The text and the mentions are replaced. Only the author edits a message.
    Edit {
        /// The new text. `None` in an event: the server no longer has it, because the message
        /// was edited again or deleted, which another change reports, or is not kept any
        /// more. An application ignores such an edit.
        text: Option<String>,
        /// The users whom the new text mentions.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mentions: Vec<String>,
        /// Whether it mentions every member of the room.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        mention_all: bool,
    },
    /// The message is taken back, by its author, or in a room by a moderator.
    Delete,
    /// The user reacts to the message.
    React {
        /// Exactly one emoji.
        emoji: String,
    },
    /// The user takes a reaction back.
    Unreact {
        /// The emoji of the reaction.
        emoji: String,
    },
}

impl ChangeKind {
    /// An edit whose text mentions nobody.
    pub fn edit(text: impl Into<String>) -> Self {
        Self::Edit { text: Some(text.into()), mentions: Vec::new(), mention_all: false }
    }

    /// The feature that a server must have for it, by its name in `hello.features`.
    pub fn feature(&self) -> &'static str {
        match self {
            Self::Edit { .. } => "edit",
            Self::Delete => "delete",
            Self::React { .. } | Self::Unreact { .. } => "react",
        }
    }

    /// Whether a server with these features takes it.
    pub(crate) fn is_in(&self, features: Features) -> bool {
        match self {
            Self::Edit { .. } => features.edit,
            Self::Delete => features.delete,
            Self::React { .. } | Self::Unreact { .. } => features.react,
        }
    }

    /// The bytes of its texts and names.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Edit { text, mentions, .. } => {
                text.as_deref().map_or(0, str::len) + mentions.iter().map(String::len).sum::<usize>()
            }
            Self::Delete => 0,
            Self::React { emoji } | Self::Unreact { emoji } => emoji.len(),
        }
    }
}

/// Names the message that a change is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The message with this number in its topic.
    Number(u64),
    /// This user's own message with this nonce, which this session is sending: the change
    /// waits until the message is stored.
    Nonce(String),
}

impl From<u64> for Target {
    fn from(seq: u64) -> Self {
        Self::Number(seq)
    }
}

/// A change that an application makes.
///
/// ```
/// use chat_client::{ChangeKind, NewChange, Target, Topic};
///
/// let edit = NewChange::edit(Topic::room("tech"), 17, "@bob, look at that").mention("bob");
/// assert_eq!(edit.target, Target::Number(17));
/// let react = NewChange::react(Topic::private("bob"), 3, "👍");
/// assert_eq!(react.kind, ChangeKind::React { emoji: "👍".to_owned() });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChange {
    /// The topic of the message.
    pub to: Topic,
    /// The message.
    pub target: Target,
    /// What to change.
    pub kind: ChangeKind,
    /// As in [`NewMessage::nonce`](crate::NewMessage::nonce).
    pub nonce: Option<String>,
}

impl NewChange {
    /// Replaces the text of one's own message, and whom it mentions (nobody, without
    /// [`mention`](Self::mention)). A server may allow it for some time only
    /// (`hello.limits.edit_seconds`).
    pub fn edit(to: Topic, target: impl Into<Target>, text: impl Into<String>) -> Self {
        Self::new(to, target, ChangeKind::edit(text))
    }

    /// Takes a message back: one's own, or in a room that of another user, if one moderates
    /// the room.
    pub fn delete(to: Topic, target: impl Into<Target>) -> Self {
        Self::new(to, target, ChangeKind::Delete)
    }

    /// Reacts to a message with exactly one emoji.
    pub fn react(to: Topic, target: impl Into<Target>, emoji: impl Into<String>) -> Self {
        Self::new(to, target, ChangeKind::React { emoji: emoji.into() })
    }

    /// Takes a reaction back.
    pub fn unreact(to: Topic, target: impl Into<Target>, emoji: impl Into<String>) -> Self {
        Self::new(to, target, ChangeKind::Unreact { emoji: emoji.into() })
    }

    fn new(to: Topic, target: impl Into<Target>, kind: ChangeKind) -> Self {
        Self { to, target: target.into(), kind, nonce: None }
    }

    /// Sets the [nonce](Self::nonce).
    #[must_use]
    pub fn nonce(self, nonce: impl Into<String>) -> Self {
        Self { nonce: Some(nonce.into()), ..self }
    }

    /// Adds a user to those whom the new text of an edit mentions. Other changes mention
    /// nobody.
    #[must_use]
    pub fn mention(mut self, user: impl Into<String>) -> Self {
        if let ChangeKind::Edit { mentions, .. } = &mut self.kind {
            mentions.push(user.into());
        }
        self
    }

    /// Lets the new text of an edit mention every member of the room: see
    /// [`NewMessage::mention_all`](crate::NewMessage::mention_all).
    #[must_use]
    pub fn mention_all(mut self) -> Self {
        if let ChangeKind::Edit { mention_all, .. } = &mut self.kind {
            *mention_all = true;
        }
        self
    }
}

/// A change that has no final answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsentChange {
    /// The message that it changes.
    pub target: Target,
    /// The message that it changes.
    pub kind: ChangeKind,
}
