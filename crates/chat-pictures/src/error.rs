//! Why a picture is refused.

use image::ImageError;

/// Why an uploaded picture is refused. The sentences are shown to people.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
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
    /// The crate was built without the feature `decoders`.
    #[error("this server takes no avatars")]
    NoDecoders,
    /// The file does not follow its format.
    #[error("the avatar is a damaged picture")]
    Damaged(#[source] Option<ImageError>),
}
