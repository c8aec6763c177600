//! Small pictures, made from decoded ones.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageEncoder as _, ImageFormat, RgbaImage};

use crate::PictureLimits;
use crate::decode::{Decoded, decode};
use crate::error::PictureError;

/// The square in the middle of a picture, upright, at most 256 pixels on a side, and only
/// the first frame of an animation. Nothing else of the file is left, such as the position
/// where a photo was taken, or data that was hidden in it.
///
/// The result is a lossless WebP, which keeps transparency and drawn lines as they are.
/// Over some forty pictures it was a tenth smaller than the smallest PNG and a quarter
/// smaller than an ordinary one. (Photos have 120 to 150 KB in both formats; the encoder
/// for lossy WebP is written in C.) Equal files give equal bytes.
///
/// Takes up to a second of one core, and up to the memory of `limits`.
///
/// # Errors
///
/// [`PictureError`].
pub fn square(file: &[u8], format: ImageFormat, limits: PictureLimits) -> Result<Vec<u8>, PictureError> {
    let Decoded { image, orientation, .. } = decode(file, format, limits)?;
    let mut image = shrink(image, middle_square);
    // A square in the middle is that of the upright picture too.
    image.apply_orientation(orientation);
    webp(&image, None)
}

/// The same square as a PNG without transparency: icons of phones need that format, and what is
/// transparent would be black there. Here it is white.
///
/// Takes up to a second of one core, and up to the memory of `limits`.
///
/// # Errors
///
/// [`PictureError`].
pub fn icon(file: &[u8], format: ImageFormat, limits: PictureLimits) -> Result<Vec<u8>, PictureError> {
    let Decoded { image, orientation, .. } = decode(file, format, limits)?;
    let mut image = shrink(image, middle_square);
    image.apply_orientation(orientation);
    let mut rgba = image.into_rgba8();
    for pixel in rgba.chunks_exact_mut(4) {
        let alpha = u16::from(pixel[3]);
        for channel in &mut pixel[..3] {
            *channel = ((u16::from(*channel) * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        }
        pixel[3] = 255;
    }
    let mut png = Vec::new();
    let opaque = DynamicImage::ImageRgba8(rgba).into_rgb8();
    opaque
        .write_with_encoder(PngEncoder::new(&mut png))
        .map_err(|error| PictureError::Damaged(Some(error)))?;
    Ok(png)
}

/// The whole picture, upright, at most [`PREVIEW_SIDE_MAX`] pixels on a side, and only the
/// first frame of an animation: a JPEG, or a lossless WebP where the picture is
/// transparent. Of the metadata only the profile of its colours is left.
///
/// Takes up to a second of one core, and up to the memory of `limits`.
///
/// # Errors
///
/// [`PictureError`].
pub fn preview(file: &[u8], format: ImageFormat, limits: PictureLimits) -> Result<Vec<u8>, PictureError> {
    let Decoded { image, orientation, rgb_profile } = decode(file, format, limits)?;
    let mut image = shrink(image, |image| within(image, PREVIEW_SIDE_MAX));
    image.apply_orientation(orientation);
    // A channel of opacity may say that all is opaque.
    if image.color().has_alpha() && image.to_rgba8().pixels().any(|pixel| pixel[3] < 255) {
        return webp(&image, rgb_profile);
    }
    let mut jpeg = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, PREVIEW_QUALITY);
    if let Some(profile) = rgb_profile {
        // This encoder takes profiles.
        let _ = encoder.set_icc_profile(profile);
    }
    image.to_rgb8().write_with_encoder(encoder).map_err(|error| PictureError::Damaged(Some(error)))?;
    Ok(jpeg)
}

/// The most pixels on a side of a preview: twice the 360 CSS pixels of a phone.
pub const PREVIEW_SIDE_MAX: u32 = 720;
/// The quality of the JPEG: 60 to 120 KB for a photo.
const PREVIEW_QUALITY: u8 = 80;
/// Pixels on each side of an avatar: enough for 128 CSS pixels on a screen with two device
/// pixels for each.
const SQUARE_SIDE_MAX: u32 = 256;

fn webp(image: &DynamicImage, profile: Option<Vec<u8>>) -> Result<Vec<u8>, PictureError> {
    let mut webp = Vec::new();
    let mut encoder = WebPEncoder::new_lossless(&mut webp);
    if let Some(profile) = profile {
        // This encoder takes profiles.
        let _ = encoder.set_icc_profile(profile);
    }
    image.write_with_encoder(encoder).map_err(|error| PictureError::Damaged(Some(error)))?;
    Ok(webp)
}

/// The picture in 8 bits a channel, made smaller by `scale`.
fn shrink(image: DynamicImage, scale: impl Fn(DynamicImage) -> DynamicImage) -> DynamicImage {
    // Colours are weighted by their opacity; otherwise the colours of transparent
    // pixels would show at the edges.
    if image.color().has_alpha() {
        let mut rgba = image.into_rgba8();
        multiply_by_alpha(&mut rgba);
        let mut rgba = scale(DynamicImage::ImageRgba8(rgba)).into_rgba8();
        divide_by_alpha(&mut rgba);
        return DynamicImage::ImageRgba8(rgba);
    }
    DynamicImage::ImageRgb8(scale(image).into_rgb8())
}

/// The square in the middle, at most [`SQUARE_SIDE_MAX`] on a side.
fn middle_square(image: DynamicImage) -> DynamicImage {
    let side = image.width().min(image.height());
    let image = coarse(image, side, SQUARE_SIDE_MAX);
    let side = image.width().min(image.height());
    let (x, y) = ((image.width() - side) / 2, (image.height() - side) / 2);
    let image = image.crop_imm(x, y, side, side);
    if side <= SQUARE_SIDE_MAX {
        return image;
    }
    image.resize_exact(SQUARE_SIDE_MAX, SQUARE_SIDE_MAX, FilterType::Lanczos3)
}

/// The whole picture, at most `side_max` on a side.
fn within(image: DynamicImage, side_max: u32) -> DynamicImage {
    let side = image.width().max(image.height());
    if side <= side_max {
        return image;
    }
    coarse(image, side, side_max).resize(side_max, side_max, FilterType::Lanczos3)
}

/// A picture of which the length `side` is at most twice `side_max`. Averages come first,
/// and the better filter for the rest: that filter alone would take a second, and a copy of
/// the large picture.
fn coarse(image: DynamicImage, side: u32, side_max: u32) -> DynamicImage {
    let coarse = 2 * side_max;
    if side <= coarse {
        return image;
    }
    let scaled = |length: u32| (u64::from(length) * u64::from(coarse) / u64::from(side)).max(1);
    let [width, height] = [image.width(), image.height()].map(|length| scaled(length) as u32);
    image.thumbnail_exact(width, height)
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

#[cfg(test)]
mod tests {
    use image::Rgba;

    use super::*;

    #[test]
    fn an_icon_is_a_png_whose_transparent_pixels_are_white() {
        let [clear, half, red] = [[0, 0, 0, 0], [255, 0, 0, 128], [255, 0, 0, 255]].map(Rgba);
        let picture = RgbaImage::from_fn(30, 30, |x, _| [clear, half, red][x as usize / 10]);
        let webp = webp(&DynamicImage::ImageRgba8(picture), None).unwrap();
        let limits = PictureLimits { pixels_max: 1 << 16, side_max: 256, memory_max: 16 << 20 };
        let png = icon(&webp, ImageFormat::WebP, limits).unwrap();
        let icon = image::load_from_memory_with_format(&png, ImageFormat::Png).unwrap();
        assert!(!icon.color().has_alpha());
        let icon = icon.into_rgb8();
        let colours = [5, 15, 25].map(|x| icon.get_pixel(x, 15).0);
        assert_eq!(colours, [[255, 255, 255], [255, 127, 127], [255, 0, 0]]);
    }
}
