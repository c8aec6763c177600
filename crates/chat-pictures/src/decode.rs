//! The decoding of a picture under limits.

use std::io::Cursor;

use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::error::LimitErrorKind;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, Limits};

use crate::PictureLimits;
use crate::error::PictureError;
use crate::jpeg_header::JpegHeader;
use crate::webp_header::WebpHeader;

/// A decoded picture.
pub(crate) struct Decoded {
    pub(crate) image: DynamicImage,
    /// How the picture has to be turned to be upright.
    pub(crate) orientation: Orientation,
    /// The profile of its colours, if they are RGB, and if it is not too large to be kept.
    pub(crate) rgb_profile: Option<Vec<u8>>,
}

/// Decodes a file; of an animation, the first frame. Takes up to a second of one core, and
/// up to the memory of `limits`.
///
/// # Errors
///
/// [`PictureError`].
pub(crate) fn decode(
    file: &[u8],
    format: ImageFormat,
    limits: PictureLimits,
) -> Result<Decoded, PictureError> {
    let mut left = Limits::no_limits();
    left.max_image_width = Some(limits.side_max);
    left.max_image_height = Some(limits.side_max);
    left.max_alloc = Some(limits.memory_max);
    let refusal = |error| match error {
        ImageError::Limits(error) => match error.kind() {
            LimitErrorKind::InsufficientMemory => PictureError::TooMuchMemory,
            _ => limits.too_many_pixels(),
        },
        error => PictureError::Damaged(Some(error)),
    };

    // Bytes that a decoder allocates beside its output. Each decoder counts some of
    // them against its limits, and none counts all.
    let (mut decoder, extra_bytes): (Box<dyn ImageDecoder + '_>, u64) = match format {
        ImageFormat::Png => {
            let decoder = PngDecoder::with_limits(Cursor::new(file), left.clone()).map_err(refusal)?;
            (Box::new(decoder), 0)
        }
        ImageFormat::Jpeg => {
            let header = JpegHeader::read(file).ok_or(PictureError::Damaged(None))?;
            (Box::new(JpegDecoder::new(Cursor::new(file)).map_err(refusal)?), header.coefficient_bytes())
        }
        ImageFormat::Gif => (Box::new(GifDecoder::new(Cursor::new(file)).map_err(refusal)?), 0),
        ImageFormat::WebP => {
            let decoder = WebPDecoder::new(Cursor::new(file)).map_err(refusal)?;
            let (width, height) = decoder.dimensions();
            limits.check(width, height)?;
            let has_alpha = decoder.color_type().has_alpha();
            let is_animated = decoder.has_animation();
            let header = WebpHeader { width, height, has_alpha, is_animated };
            (Box::new(decoder), header.extra_bytes(file, limits.memory_max)?)
        }
        _ => return Err(PictureError::Damaged(None)),
    };

    let (width, height) = decoder.dimensions();
    limits.check(width, height)?;
    let color = decoder.color_type();
    // `shrink` converts these to RGBA of 8 bits.
    let copied = color.has_alpha() && color != ColorType::Rgba8;
    let copy = if copied { 4 * u64::from(width) * u64::from(height) } else { 0 };
    for bytes in [decoder.total_bytes(), extra_bytes, copy] {
        left.reserve(bytes).map_err(refusal)?;
    }
    decoder.set_limits(left).map_err(refusal)?;
    // A damaged orientation is ignored.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let rgb_profile = decoder.icc_profile().ok().flatten().filter(|profile| is_small_rgb(profile));
    let image = DynamicImage::from_decoder(decoder).map_err(refusal)?;
    Ok(Decoded { image, orientation, rgb_profile })
}

impl PictureLimits {
    fn check(&self, width: u32, height: u32) -> Result<(), PictureError> {
        if width.max(height) > self.side_max || u64::from(width) * u64::from(height) > self.pixels_max {
            return Err(self.too_many_pixels());
        }
        if width == 0 || height == 0 { Err(PictureError::Damaged(None)) } else { Ok(()) }
    }

    fn too_many_pixels(&self) -> PictureError {
        PictureError::TooManyPixels { max_megapixels: self.pixels_max / 1_000_000, max_side: self.side_max }
    }
}

/// Whether a profile (ICC.1 §7.2) describes RGB, as decoded pictures are.
fn is_small_rgb(profile: &[u8]) -> bool {
    profile.len() <= PROFILE_MAX_BYTES && profile.get(16..20) == Some(b"RGB ")
}

/// The usual profiles of RGB have some 500 to 4,000 bytes.
const PROFILE_MAX_BYTES: usize = 16 * 1024;
