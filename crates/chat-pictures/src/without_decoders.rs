//! What stands for the making of small pictures where the feature `decoders` is missing.

use image::ImageFormat;

use crate::{PictureError, PictureLimits};

/// Refuses every picture.
///
/// # Errors
///
/// [`PictureError::NoDecoders`].
pub fn square(_: &[u8], _: ImageFormat, _: PictureLimits) -> Result<Vec<u8>, PictureError> {
    Err(PictureError::NoDecoders)
}

/// Refuses every picture.
///
/// # Errors
///
/// [`PictureError::NoDecoders`].
pub fn icon(_: &[u8], _: ImageFormat, _: PictureLimits) -> Result<Vec<u8>, PictureError> {
    Err(PictureError::NoDecoders)
}

/// Refuses every picture.
///
/// # Errors
///
/// [`PictureError::NoDecoders`].
pub fn preview(_: &[u8], _: ImageFormat, _: PictureLimits) -> Result<Vec<u8>, PictureError> {
    Err(PictureError::NoDecoders)
}
