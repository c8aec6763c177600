//! The formats of pictures that are served.

use chat_pictures::ImageFormat;

/// The format that a file name's extension stands for; `None` if the name cannot be
/// that of a served picture. Such a name contains nothing that could lead out of the
/// folder, and is not that of a hidden file.
///
/// This server names its pictures itself, and all of them are WebP. Pictures of the
/// original chat keep their format and their names.
pub(super) fn format_of_name(name: &str) -> Option<ImageFormat> {
    let (stem, extension) = name.rsplit_once('.')?;
    let is_plain = |c: char| c.is_alphanumeric() || "-_ .,()+@".contains(c);
    if stem.is_empty() || stem.starts_with('.') || name.contains("..") || !stem.chars().all(is_plain) {
        return None;
    }
    match extension.to_ascii_lowercase().as_str() {
        "webp" => Some(ImageFormat::WebP),
        "png" => Some(ImageFormat::Png),
        "jpg" | "jpeg" => Some(ImageFormat::Jpeg),
        "gif" => Some(ImageFormat::Gif),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_pictures_in_the_folder_have_a_format() {
        for good in ["0f-A_9.png", "a.PNG", "a.b.png", "ж.png", "my cat (1).png", "1714_1.Png"] {
            assert_eq!(format_of_name(good), Some(ImageFormat::Png), "{good}");
        }
        assert_eq!(format_of_name("IMG_1.JPG"), Some(ImageFormat::Jpeg));
        assert_eq!(format_of_name("a.jpeg"), Some(ImageFormat::Jpeg));
        for bad in [
            "",
            ".png",
            "a",
            "a.",
            "a.svg",
            "a.html",
            "..",
            "../a.png",
            "a/b.png",
            "a\\b.png",
            "..png",
            "a..png",
            "a..b.png",
            ".a.png",
            "%2e%2e.png",
            "a%2fb.png",
            "a:b.png",
            "a\0.png",
            "a\n.png",
            ".a.part",
        ] {
            assert_eq!(format_of_name(bad), None, "{bad}");
        }
    }
}
