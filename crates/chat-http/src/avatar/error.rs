//! Why an avatar is refused, or cannot be stored or served.

use std::io;

use image::ImageError;

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
    /// The file system or the system's threads failed.
    #[error("the folder of the avatars cannot be used")]
    Io(#[from] io::Error),
}

/// Why an uploaded picture is refused. The sentences are shown to people.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PictureError {
    /// The picture, or one of its sides, has too many pixels.
    #[error("the avatar has too many pixels (max {max_megapixels} megapixels, {max_side} on a side)")]
    TooManyPixels {
        /// The most pixels that are accepted, in millions.
        max_megapixels: u64,
        /// The most pixels on one side.
        max_side: u32,
    },
    /// Decoding would take more memory than allowed.
    #[error("the avatar takes too much memory to read, please send a smaller picture")]
    TooMuchMemory,
    /// The file does not follow its format.
    #[error("the avatar is a damaged picture")]
    Damaged(#[source] Option<ImageError>),
}
