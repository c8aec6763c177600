//! The picture of an avatar, as it is served.

use chat_pictures::{ImageFormat, PictureError, PictureLimits};
use sha2::{Digest as _, Sha256};

use crate::hex;

/// The picture of an avatar, as it is served: the [square](chat_pictures::square) in the
/// middle of an uploaded picture, as WebP.
pub(crate) struct Picture {
    webp: Vec<u8>,
}

impl Picture {
    /// Decodes and re-encodes an uploaded file. Takes up to a second of one core, and up
    /// to the memory of `limits`.
    ///
    /// # Errors
    ///
    /// [`PictureError`].
    pub(crate) fn read(
        file: &[u8],
        format: ImageFormat,
        limits: PictureLimits,
    ) -> Result<Self, PictureError> {
        Ok(Self { webp: chat_pictures::square(file, format, limits)? })
    }

    /// The name of the file in which the picture is stored.
    pub(crate) fn file_name(&self) -> String {
        file_name(&self.webp)
    }

    /// The encoded picture.
    pub(crate) fn webp(&self) -> &[u8] {
        &self.webp
    }
}

/// The name of the file of a picture with this content, made from its hash.
pub(super) fn file_name(webp: &[u8]) -> String {
    format!("{}.webp", hex::encode(&Sha256::digest(webp)))
}
