//! The types of files, by their bytes.

use chat_core::MediaType;
use chat_pictures::{ImageFormat, format_of_bytes};

/// Types that a browser may show in the page: pictures, sound and films that cannot carry
/// script. A file has one of these types only if its bytes say so.
const INLINE: [&str; 16] = [
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mpeg",
    "audio/mp4",
    "audio/webm",
    "audio/ogg",
    "audio/wav",
    "audio/flac",
    "audio/aac",
    "audio/amr",
];

/// Whether a browser may show a file of this type. Everything else is a download.
pub fn is_inline(media_type: &MediaType) -> bool {
    INLINE.contains(&media_type.as_str())
}

/// The format of a picture of this type, if previews are made of it.
pub fn picture_format(media_type: &MediaType) -> Option<ImageFormat> {
    match media_type.as_str() {
        "image/png" => Some(ImageFormat::Png),
        "image/jpeg" => Some(ImageFormat::Jpeg),
        "image/gif" => Some(ImageFormat::Gif),
        "image/webp" => Some(ImageFormat::WebP),
        _ => None,
    }
}

/// Bytes at the start of a file from which its type is recognised.
pub(crate) const HEAD_BYTES: usize = 4096;

/// The type of a file that begins with `head`: by these bytes where they are known, else as
/// the sender said. `is_picture` says whether a file that begins like a picture is one.
pub(crate) fn media_type(head: &[u8], is_picture: bool, said: Option<MediaType>) -> MediaType {
    match by_bytes(head, is_picture) {
        Some(known) => {
            // Containers of sound and of films begin alike.
            let said = said.as_ref().map_or("", MediaType::as_str);
            let said_sound = matches!(
                (known, said),
                ("video/mp4", "audio/mp4") | ("video/webm", "audio/webm") | ("audio/ogg", "video/ogg")
            );
            MediaType::parse(if said_sound { said } else { known }).unwrap_or_default()
        }
        None => said.filter(|said| !is_inline(said)).unwrap_or_default(),
    }
}

fn by_bytes(head: &[u8], is_picture: bool) -> Option<&'static str> {
    if let Some(format) = format_of_bytes(head) {
        return is_picture.then(|| format.to_mime_type());
    }
    let known = infer::get(head)?.mime_type();
    match known {
        "video/x-m4v" => Some("video/mp4"),
        "audio/m4a" => Some("audio/mp4"),
        "audio/opus" => Some("audio/ogg"),
        "audio/x-flac" => Some("audio/flac"),
        "audio/x-wav" => Some("audio/wav"),
        // What a text is, its sender knows better; and pictures were recognised above.
        _ if known.starts_with("text/") => None,
        "image/png" | "image/jpeg" | "image/gif" | "image/webp" => None,
        known => Some(known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(head: &[u8], said: &str) -> String {
        media_type(head, true, MediaType::parse(said)).as_str().to_owned()
    }

    #[test]
    fn a_type_is_that_of_the_bytes() {
        let mp4 = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41";
        let mut webm = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm".to_vec();
        webm.resize(300, 0);
        for (head, said, expected) in [
            (&b"\x89PNG\r\n\x1a\n"[..], "text/html", "image/png"),
            (b"GIF89a/*\0\0\0\0*/=alert(1)", "text/javascript", "image/gif"),
            (b"%PDF-1.7 <script>", "image/png", "application/pdf"),
            (mp4, "", "video/mp4"),
            (mp4, "audio/mp4", "audio/mp4"),
            (mp4, "audio/mpeg", "video/mp4"),
            (&webm, "", "video/webm"),
            (&webm, "audio/webm", "audio/webm"),
            (b"OggS\0\x02\0\0\0\0\0\0\0\0", "", "audio/ogg"),
            (b"ID3\x04\0\0\0\0\0\0", "", "audio/mpeg"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "", "audio/wav"),
            (b"PK\x03\x04\x14\0\0\0\0\0", "", "application/zip"),
        ] {
            assert_eq!(typed(head, said), expected, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn unknown_bytes_have_the_type_that_was_said_unless_it_would_be_shown() {
        assert_eq!(typed(b"hello", "text/plain"), "text/plain");
        assert_eq!(typed(b"<svg xmlns=", "image/svg+xml"), "image/svg+xml");
        assert_eq!(typed(b"<!DOCTYPE html><script>", "text/html"), "text/html");
        for said in ["", "image/png", "video/mp4", "audio/mpeg"] {
            assert_eq!(typed(b"<!DOCTYPE html><script>", said), "application/octet-stream", "{said}");
        }
        let damaged = media_type(b"\x89PNG\r\n\x1a\n", false, MediaType::parse("image/png"));
        assert_eq!(damaged, MediaType::default());
        for shown in ["text/html", "image/svg+xml", "application/pdf", "text/plain", "image/svg"] {
            assert!(!is_inline(&MediaType::parse(shown).unwrap()), "{shown}");
        }
    }
}
