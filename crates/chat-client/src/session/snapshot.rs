//! What a session needs to continue in another run of its program.

use serde::{Deserialize, Serialize};

use crate::{AttachedFile, Level, Seen, Topic, UnsentChange};

/// The state from which another session continues.
///
/// It is complete when all outputs were taken and all their events handled: an
/// event that was put out counts as seen.
///
/// A snapshot of an earlier version of this crate can be read. An earlier version
/// cannot read one of this version, which writes names that are newer (`private`,
/// `privates`, `caught_up_at`): a program that goes back to an earlier version needs
/// the snapshot that it saved there. One with unsent changes of messages is refused by
/// every version that does not know them; one that does not know files would send a message
/// without its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// How far the application has seen each topic; its rooms are joined again.
    pub seen: Seen,
    /// The sends without a final answer, in order.
    pub outbox: Vec<Unsent>,
    /// The read marks and levels that the server may not have kept yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
}

/// A send without a final answer: a message, or a change of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsent {
    /// The nonce of the send.
    pub nonce: String,
    /// The topic it is sent to.
    pub to: Topic,
    /// The text of the message. A change has none here: an earlier version of this crate,
    /// which would send it as a message, must not read it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// An earlier attempt was not answered: the server may have stored it.
    pub may_be_stored: bool,
    /// The users whom it mentions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<String>,
    /// Whether it mentions every member of its room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mention_all: bool,
    /// The number of the message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<u64>,
    /// Its files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<AttachedFile>,
    /// The change, if it is no message. Its `text`, `mentions`, `reply_to` and `files` above
    /// are empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<UnsentChange>,
}

/// What the user has read or chosen in a topic, and the server may not have kept yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The topic.
    pub topic: Topic,
    /// The number up to which the user has read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<u64>,
    /// What the user has chosen to be notified of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
}

impl Unsent {
    /// What it counts against [`Options::outbox_max_bytes`](crate::Options::outbox_max_bytes).
    pub(super) fn bytes(&self) -> usize {
        let change = self.change.as_ref().map_or(0, |change| change.kind.bytes());
        let mentions: usize = self.mentions.iter().map(String::len).sum();
        let files: usize = self.files.iter().map(AttachedFile::bytes).sum();
        self.text.len() + mentions + files + change
    }
}
