//! The formats of pictures that are accepted.

use image::ImageFormat;

/// Formats that every browser shows and that cannot carry script.
const FORMATS: [ImageFormat; 4] = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP];

/// The format of a file that begins with these bytes (12 are enough): PNG, JPEG, GIF or
/// WebP. `None` if the file is none of them.
pub fn format_of_bytes(head: &[u8]) -> Option<ImageFormat> {
    image::guess_format(head).ok().filter(|format| FORMATS.contains(format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_judged_by_its_bytes() {
        assert_eq!(format_of_bytes(b"\x89PNG\r\n\x1a\n"), Some(ImageFormat::Png));
        assert_eq!(format_of_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF"), Some(ImageFormat::Jpeg));
        assert_eq!(format_of_bytes(b"GIF89a"), Some(ImageFormat::Gif));
        assert_eq!(format_of_bytes(b"RIFF\x10\0\0\0WEBPVP8L"), Some(ImageFormat::WebP));
        for other in [
            &b"<svg xmlns="[..],
            b"<!DOCTYPE html>",
            b"BM",
            b"II*\0\x08\0\0\0\0\0\0\0",
            b"%PDF-1.7",
            b"PK\x03\x04",
            b"",
        ] {
            assert_eq!(format_of_bytes(other), None, "{other:?}");
        }
    }
}
