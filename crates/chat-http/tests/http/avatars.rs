//! How uploaded avatars are re-encoded.

use image::{DynamicImage, ImageFormat, Rgba};
use serde_json::json;

use crate::harness::Chat;
use crate::pictures::*;

/// Registers a user with this picture. Returns the avatar that is served: its file, and the
/// picture in it.
pub async fn served_avatar(chat: &Chat, username: &str, avatar: &[u8]) -> (Vec<u8>, DynamicImage) {
    let reply = chat.register_with_avatar(username, "a", avatar).await;
    assert_eq!(reply.status, 200, "{username}: {reply:?}");
    let address = chat.avatar_address(username).await;
    let file = chat.call("GET", &address, &[], b"").await;
    assert_eq!((file.status, file.header("content-type")), (200, Some("image/webp")), "{username}");
    let image = image::load_from_memory_with_format(&file.body, ImageFormat::WebP).unwrap();
    (file.body, image)
}

/// Whether this pixel has about this colour.
fn has_color(image: &DynamicImage, x: u32, y: u32, color: [u8; 3]) -> bool {
    let Rgba(pixel) = image.to_rgba8()[(x, y)];
    pixel[3] == 255 && color.iter().zip(pixel).all(|(a, b)| a.abs_diff(b) < 8)
}

pub fn size(image: &DynamicImage) -> (u32, u32) {
    (image.width(), image.height())
}

#[tokio::test]
async fn a_picture_is_re_encoded_and_served() {
    let chat = Chat::start().await;
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
        let name = format!("{format:?}");
        // The file name that the client sends is ignored.
        let sent = encode(&two_halves(600, 400), format);
        assert_eq!(chat.register_with_avatar(&name, "../../evil.html", &sent).await.status, 200);
        let reply = chat.login(&name, "password").await;
        let address = reply.json()["avatar"].as_str().unwrap().to_owned();
        let stem = address.strip_prefix("/uploads/").and_then(|name| name.strip_suffix(".webp")).unwrap();
        assert!(stem.len() == 64 && stem.chars().all(|c| c.is_ascii_hexdigit()), "{address}");
        let cookie = reply.header("set-cookie").unwrap();
        let me = chat.get("/api/me", cookie.split(';').next().unwrap()).await;
        let me = me.json();
        assert_eq!((&me["username"], &me["avatar"]), (&json!(name), &json!(address)));

        let picture = chat.call("GET", &address, &[], b"").await;
        assert_eq!(picture.status, 200);
        assert_eq!(picture.header("content-type"), Some("image/webp"));
        assert_eq!(picture.header("content-length"), Some(picture.body.len().to_string().as_str()));
        assert_eq!(picture.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(picture.header("cache-control"), Some("public, max-age=31536000, immutable"));
        let head = chat.call("HEAD", &address, &[], b"").await;
        assert_eq!((head.status, head.body.len()), (200, 0));

        let image = image::load_from_memory_with_format(&picture.body, ImageFormat::WebP).unwrap();
        assert_eq!(size(&image), (256, 256), "{name}");
        assert!(has_color(&image, 10, 128, RED) && has_color(&image, 245, 128, BLUE), "{name}");
    }
}

#[tokio::test]
async fn data_hidden_in_a_picture_is_removed() {
    let chat = Chat::start().await;
    let payload =
        b"<script>alert(document.domain)</script><?php system($_GET[0]); ?>PK\x03\x04\x14\0\0\0evil.js";
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
        let mut sent = encode(&two_halves(64, 64), format);
        sent.extend(payload);
        // Also in a comment of the picture.
        match format {
            ImageFormat::Jpeg => {
                let comment = [&[0xff, 0xfe, 0, payload.len() as u8 + 2], &payload[..]].concat();
                sent.splice(2..2, comment);
            }
            ImageFormat::Gif => {
                let comment = [&[0x21, 0xfe, payload.len() as u8], &payload[..], &[0]].concat();
                let at = sent.windows(2).position(|two| two == [0x21, 0xf9]).unwrap();
                sent.splice(at..at, comment);
            }
            _ => {}
        }
        let (file, image) = served_avatar(&chat, &format!("{format:?}"), &sent).await;
        assert!(has_color(&image, 5, 5, RED) && has_color(&image, 60, 5, BLUE), "{format:?}");
        for hidden in ["script", "alert", "php", "PK", "evil"] {
            let found = file.windows(hidden.len()).any(|part| part == hidden.as_bytes());
            assert!(!found, "{hidden} in {format:?}");
        }
    }
}

#[tokio::test]
async fn a_photo_is_made_upright_and_loses_its_position() {
    let chat = Chat::start().await;
    let sent = jpeg_with_exif(&two_halves(64, 32));
    assert!(sent.windows(4).any(|four| four == b"Exif"));
    let (file, image) = served_avatar(&chat, "alice", &sent).await;
    assert_eq!(size(&image), (32, 32));
    // The left half is now above.
    assert!(has_color(&image, 3, 3, RED) && has_color(&image, 28, 3, RED));
    assert!(has_color(&image, 3, 28, BLUE) && has_color(&image, 28, 28, BLUE));
    for name in [&b"Exif"[..], b"EXIF", b"II*\0", b"VP8X"] {
        assert!(!file.windows(4).any(|four| four == name));
    }
}

#[tokio::test]
async fn the_first_frame_of_an_animation_is_kept() {
    let chat = Chat::start().await;
    let frames = [two_halves(40, 40), two_halves(40, 40).rotate90(), two_halves(40, 40).rotate180()];
    for (name, sent) in [("gif", animated_gif(&frames)), ("webp", animated_webp(&frames))] {
        let (file, image) = served_avatar(&chat, name, &sent).await;
        assert!(has_color(&image, 3, 3, RED) && has_color(&image, 3, 36, RED), "{name}");
        assert!(has_color(&image, 36, 3, BLUE) && has_color(&image, 36, 36, BLUE), "{name}");
        assert!(!file.windows(4).any(|four| four == b"ANMF" || four == b"ANIM"), "{name}");
    }
}

#[tokio::test]
async fn all_kinds_of_pictures_are_accepted() {
    let chat = Chat::start().await;
    let halves = two_halves(600, 600);
    // The brightness of red.
    let grey = [54; 3];
    let png = |image: DynamicImage| encode(&image, ImageFormat::Png);
    for (name, sent, left) in [
        ("grey", png(halves.to_luma8().into()), grey),
        ("grey, 16 bits", png(halves.to_luma16().into()), grey),
        ("grey and alpha", png(halves.to_luma_alpha8().into()), grey),
        ("grey and alpha, 16 bits", png(halves.to_luma_alpha16().into()), grey),
        ("16 bits", png(halves.to_rgb16().into()), RED),
        ("alpha", png(halves.to_rgba8().into()), RED),
        ("alpha, 16 bits", png(halves.to_rgba16().into()), RED),
        ("JPEG, grey", encode(&halves.to_luma8().into(), ImageFormat::Jpeg), grey),
        ("WebP with alpha", encode(&halves.to_rgba8().into(), ImageFormat::WebP), RED),
    ] {
        let image = served_avatar(&chat, name, &sent).await.1;
        assert_eq!(size(&image), (256, 256), "{name}");
        assert!(has_color(&image, 20, 200, left), "{name}: {:?}", image.to_rgba8()[(20, 200)]);
        assert!(!has_color(&image, 235, 200, left), "{name}");
    }
    let image = served_avatar(&chat, "interlaced", &interlaced_png()).await.1;
    assert_eq!(size(&image), (8, 8));
    assert!((0..8).all(|x| (0..8).all(|y| has_color(&image, x, y, [x as u8 * 30; 3]))));
    let image = served_avatar(&chat, "palette", &png_with_palette()).await.1;
    assert!(has_color(&image, 0, 0, BLUE), "the one in the middle");
    let image = served_avatar(&chat, "CMYK", &cmyk_jpeg()).await.1;
    assert!(has_color(&image, 4, 4, [255, 128, 128]), "{:?}", image.to_rgba8()[(4, 4)]);
    let image = served_avatar(&chat, "progressive", &progressive_jpeg(100, 50)).await.1;
    assert!(has_color(&image, 4, 4, [128; 3]), "{:?}", image.to_rgba8()[(4, 4)]);
}

#[tokio::test]
async fn colours_of_transparent_pixels_do_not_show() {
    let chat = Chat::start().await;
    for side in [300, 2000] {
        let sent = encode(&stencil(side), ImageFormat::Png);
        let image = served_avatar(&chat, &side.to_string(), &sent).await.1.to_rgba8();
        assert_eq!((image[(0, 0)].0[3], image[(128, 128)].0), (0, [0, 0, 0, 255]));
        for Rgba([red, _, _, alpha]) in image.pixels() {
            assert!(*red < 8 || *alpha == 0, "{red} under {alpha}");
        }
    }
}

#[tokio::test]
async fn the_square_in_the_middle_is_kept_and_never_enlarged() {
    let chat = Chat::start().await;
    for (width, height, side) in [
        (1, 1, 1),
        (10_000, 1, 1),
        (1, 10_000, 1),
        (255, 300, 255),
        (256, 256, 256),
        (257, 257, 256),
        (10_000, 255, 255),
        (10_000, 600, 256),
        (513, 700, 256),
    ] {
        let name = format!("{width}x{height}");
        let sent = encode(&two_halves(width, height), ImageFormat::Png);
        let image = served_avatar(&chat, &name, &sent).await.1;
        assert_eq!(size(&image), (side, side), "{name}");
        if width > 1 && side > 1 {
            assert!(has_color(&image, 0, side / 2, RED), "{name}");
            assert!(has_color(&image, side - 1, side / 2, BLUE), "{name}");
        }
    }
}
