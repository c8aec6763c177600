//! A picture made anew from an uploaded one.

use std::fmt::Write as _;
use std::io::Cursor;

use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::{WebPDecoder, WebPEncoder};
use image::error::LimitErrorKind;
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, Limits, RgbaImage};
use sha2::{Digest as _, Sha256};

use super::{jpeg, webp};

/// What people will see of an uploaded picture: the square in its middle, upright,
/// at most [`SIDE_MAX`] pixels a side, of an animation the first frame. Everything
/// else of the file is gone: where a photo was taken, and what was hidden in it.
///
/// It is a lossless WebP: that keeps transparency and drawn lines as they are, and
/// over some forty pictures it was a tenth smaller than the smallest PNG, a quarter
/// smaller than an ordinary one (of photos both have 120 to 150 KB; the encoder
/// for WebP with losses is written in C). The same picture gives the same bytes.
pub(crate) struct Picture {
    webp: Vec<u8>,
}

/// Pixels on each side of a picture as it is stored: enough for 128 on a screen
/// that has two for one.
const SIDE_MAX: u32 = 256;

/// What an uploaded picture may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PictureLimits {
    pub(crate) pixels_max: u64,
    pub(crate) side_max: u32,
    /// Bytes while it is read, beside twice the file itself.
    pub(crate) memory_max: u64,
}

/// Why an uploaded picture is refused. The sentences are shown to people.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PictureError {
    #[error("the avatar has too many pixels (max {max_megapixels} megapixels, {max_side} on a side)")]
    TooManyPixels { max_megapixels: u64, max_side: u32 },
    #[error("the avatar takes too much memory to read, please send a smaller picture")]
    TooMuchMemory,
    #[error("the avatar is a damaged picture")]
    Damaged(#[source] Option<ImageError>),
}

impl Picture {
    /// Makes it. Takes up to a second of a core, and the memory of `limits`: for
    /// one thread at a time.
    pub(crate) fn read(
        file: &[u8],
        format: ImageFormat,
        limits: PictureLimits,
    ) -> Result<Self, PictureError> {
        let (image, orientation) = decode(file, format, limits)?;
        let mut image = shrink(image);
        // A square in the middle is that of the upright picture too.
        image.apply_orientation(orientation);
        let mut webp = Vec::new();
        image
            .write_with_encoder(WebPEncoder::new_lossless(&mut webp))
            .map_err(|error| PictureError::Damaged(Some(error)))?;
        Ok(Self { webp })
    }

    /// The name of its file: what is in it decides.
    pub(crate) fn file_name(&self) -> String {
        file_name(&self.webp)
    }

    /// Its file.
    pub(crate) fn webp(&self) -> &[u8] {
        &self.webp
    }
}

/// The name of the file of a picture with that content.
pub(super) fn file_name(webp: &[u8]) -> String {
    format!("{}.webp", hex(&Sha256::digest(webp)))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn decode(
    file: &[u8],
    format: ImageFormat,
    limits: PictureLimits,
) -> Result<(DynamicImage, Orientation), PictureError> {
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

    // What a decoder takes beside its output; each of them counts some of it, and
    // none all.
    let (mut decoder, aside): (Box<dyn ImageDecoder + '_>, u64) = match format {
        ImageFormat::Png => {
            let decoder = PngDecoder::with_limits(Cursor::new(file), left.clone()).map_err(refusal)?;
            (Box::new(decoder), 0)
        }
        ImageFormat::Jpeg => {
            let jpeg = jpeg::Outline::read(file).ok_or(PictureError::Damaged(None))?;
            (Box::new(JpegDecoder::new(Cursor::new(file)).map_err(refusal)?), jpeg.coefficient_bytes())
        }
        ImageFormat::Gif => (Box::new(GifDecoder::new(Cursor::new(file)).map_err(refusal)?), 0),
        ImageFormat::WebP => {
            let decoder = WebPDecoder::new(Cursor::new(file)).map_err(refusal)?;
            let (width, height) = decoder.dimensions();
            limits.check(width, height)?;
            let has_alpha = decoder.color_type().has_alpha();
            let webp = webp::Outline { width, height, has_alpha, is_animated: decoder.has_animation() };
            (Box::new(decoder), webp.bytes_aside(file, limits.memory_max)?)
        }
        _ => return Err(PictureError::Damaged(None)),
    };

    let (width, height) = decoder.dimensions();
    limits.check(width, height)?;
    let color = decoder.color_type();
    // See `shrink`.
    let copied = color.has_alpha() && color != ColorType::Rgba8;
    let copy = if copied { 4 * u64::from(width) * u64::from(height) } else { 0 };
    for bytes in [decoder.total_bytes(), aside, copy] {
        left.reserve(bytes).map_err(refusal)?;
    }
    decoder.set_limits(left).map_err(refusal)?;
    // A damaged note of how the camera was held is as good as none.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(refusal)?;
    Ok((image, orientation))
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

/// The square in the middle, in 8 bits a channel and not larger than it is kept.
fn shrink(image: DynamicImage) -> DynamicImage {
    // Colours are mixed by how much they can be seen: else what lies under the
    // transparent parts would shine through at the edges.
    if image.color().has_alpha() {
        let mut rgba = image.into_rgba8();
        multiply_by_alpha(&mut rgba);
        let mut rgba = square(DynamicImage::ImageRgba8(rgba)).into_rgba8();
        divide_by_alpha(&mut rgba);
        return DynamicImage::ImageRgba8(rgba);
    }
    DynamicImage::ImageRgb8(square(image).into_rgb8())
}

fn square(mut image: DynamicImage) -> DynamicImage {
    let side = image.width().min(image.height());
    // Averages first, and the good filter for the rest: it alone would take a
    // second, and a copy of the large picture.
    const COARSE: u32 = 2 * SIDE_MAX;
    if side > COARSE {
        let scaled = |length: u32| u64::from(length) * u64::from(COARSE) / u64::from(side);
        let [width, height] = [image.width(), image.height()].map(|length| scaled(length) as u32);
        image = image.thumbnail_exact(width, height);
    }
    let side = image.width().min(image.height());
    let (x, y) = ((image.width() - side) / 2, (image.height() - side) / 2);
    let image = image.crop_imm(x, y, side, side);
    if side <= SIDE_MAX { image } else { image.resize_exact(SIDE_MAX, SIDE_MAX, FilterType::Lanczos3) }
}

fn multiply_by_alpha(rgba: &mut RgbaImage) {
    for pixel in rgba.chunks_exact_mut(4) {
        let alpha = u16::from(pixel[3]);
        if alpha < 255 {
            for channel in &mut pixel[..3] {
                *channel = ((u16::from(*channel) * alpha + 127) / 255) as u8;
            }
        }
    }
}

fn divide_by_alpha(rgba: &mut RgbaImage) {
    for pixel in rgba.chunks_exact_mut(4) {
        let alpha = u16::from(pixel[3]);
        if alpha < 255 {
            for channel in &mut pixel[..3] {
                let divided = (u16::from(*channel) * 255 + alpha / 2).checked_div(alpha);
                *channel = divided.unwrap_or(0).min(255) as u8;
            }
        }
    }
}
