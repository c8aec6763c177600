//! Files that messages have. Their bytes are read and written over HTTP.

use serde::{Deserialize, Serialize};

/// A file of a message, or one that waits to be attached to a message.
///
/// The server made it of the bytes that a user has uploaded
/// ([`Api::upload`](crate::Api::upload)); only this user may attach it, to one message. One
/// that is not attached within a day is deleted, and one that is attached goes with its message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttachedFile {
    /// Its id: 22 characters that nobody can guess.
    pub id: String,
    /// Its name, which is never a path.
    pub name: String,
    /// Its media type: by its bytes where they are known, else as its sender said.
    #[serde(rename = "type")]
    pub media_type: String,
    /// The bytes of what is stored: a picture loses its metadata.
    pub size: u64,
    /// The width of a picture in pixels, as it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// The height of a picture in pixels, as it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

/// How many files a message has at most: the protocol's limit.
pub const FILES_MAX: usize = 10;

impl AttachedFile {
    /// The bytes that a file counts against
    /// [`Options::outbox_max_bytes`](crate::Options::outbox_max_bytes): its texts and numbers.
    pub(crate) fn bytes(&self) -> usize {
        self.id.len() + self.name.len() + self.media_type.len() + size_of::<Self>()
    }
}
