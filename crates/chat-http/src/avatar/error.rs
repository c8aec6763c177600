//! Why an avatar is refused, or cannot be stored or served.

use std::io;

use chat_pictures::{PictureError, QueueFull};
use chat_store::StoreError;

/// Why an avatar is refused, or cannot be stored or served. The sentences about the
/// avatar itself are shown to people.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AvatarError {
    /// The avatar has more bytes than allowed.
    #[error("the avatar is too large (max {max_mib} MiB)")]
    TooLarge {
        /// The largest size that is accepted, in MiB.
        max_mib: u64,
    },
    /// The first bytes are not those of a format that is accepted.
    #[error("the avatar must be a picture (png, jpeg, gif or webp)")]
    NotAPicture,
    /// The picture is refused.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// As many avatars as allowed are being received, or wait for a thread.
    #[error("too many avatars at once")]
    Busy,
    /// There is no avatar of that name.
    #[error("there is no such avatar")]
    NotFound,
    /// The store of the pictures that servers share failed.
    #[error("the store of the avatars cannot be used")]
    Store(#[from] StoreError),
    /// The file system or the system's threads failed.
    #[error("the folder of the avatars cannot be used")]
    Io(#[from] io::Error),
}

impl From<QueueFull> for AvatarError {
    fn from(_: QueueFull) -> Self {
        Self::Busy
    }
}
