//! A message to send.

use crate::{AttachedFile, Topic};

/// A message that an application sends.
///
/// ```
/// use chat_client::{NewMessage, Topic};
///
/// let message = NewMessage::new(Topic::room("tech"), "@bob, look at this").mention("bob");
/// assert_eq!(message.mentions, ["bob"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// The topic it is sent to.
    pub to: Topic,
    /// Its text. It may be blank if there are files.
    pub text: String,
    /// The caller's own nonce, 1 to 64 characters that no other message of the user
    /// has: a message with a nonce that the server knows is not stored again. `None`:
    /// the session makes one.
    pub nonce: Option<String>,
    /// The users whom it mentions, at most [`MENTIONS_MAX`]. The server drops names
    /// that do not occur in the text as `@name`, and names without an account. Private
    /// messages mention nobody.
    pub mentions: Vec<String>,
    /// Whether it mentions every member of its room. In rooms of more than 100 members
    /// only moderators may do so; the server refuses the message of another user with
    /// `forbidden`.
    pub mention_all: bool,
    /// The number of the message in the same topic that it answers. The server leaves it
    /// out if there is no such message; a server without the feature `reply` is not told.
    pub reply_to: Option<u64>,
    /// Its files, at most [`FILES_MAX`](crate::FILES_MAX), each once. The user has
    /// [uploaded](crate::Api::upload) them, and attached them to no other message; otherwise
    /// the server refuses the message with `bad_request`.
    pub files: Vec<AttachedFile>,
}

/// How many users a message mentions at most: the protocol's limit.
pub const MENTIONS_MAX: usize = 20;

impl NewMessage {
    /// A message that mentions nobody.
    pub fn new(to: Topic, text: impl Into<String>) -> Self {
        Self {
            to,
            text: text.into(),
            nonce: None,
            mentions: Vec::new(),
            mention_all: false,
            reply_to: None,
            files: Vec::new(),
        }
    }

    /// Sets the [nonce](Self::nonce).
    #[must_use]
    pub fn nonce(self, nonce: impl Into<String>) -> Self {
        Self { nonce: Some(nonce.into()), ..self }
    }

    /// Adds a user to those whom it [mentions](Self::mentions).
    #[must_use]
    pub fn mention(mut self, user: impl Into<String>) -> Self {
        self.mentions.push(user.into());
        self
    }

    /// Mentions every member of the room: see [`mention_all`](Self::mention_all).
    #[must_use]
    pub fn mention_all(self) -> Self {
        Self { mention_all: true, ..self }
    }

    /// Adds a file to its [files](Self::files).
    #[must_use]
    pub fn file(mut self, file: AttachedFile) -> Self {
        self.files.push(file);
        self
    }

    /// Makes it an answer to the message with this number: see
    /// [`reply_to`](Self::reply_to).
    #[must_use]
    pub fn reply_to(self, seq: u64) -> Self {
        Self { reply_to: Some(seq), ..self }
    }
}
