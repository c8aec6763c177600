//! Pictures: what is taken, what becomes of it, and that nothing stays behind.

use image::{DynamicImage, ImageFormat, Rgba};
use serde_json::json;

use crate::harness::Chat;
use crate::pictures::*;

/// Registers somebody with that picture, and gives what the others see: the file
/// and the picture in it.
pub async fn made_of(chat: &Chat, username: &str, avatar: &[u8]) -> (Vec<u8>, DynamicImage) {
    let reply = chat.register_with_avatar(username, "a", avatar).await;
    assert_eq!(reply.status, 200, "{username}: {reply:?}");
    let address = chat.avatar_address(username).await;
    let file = chat.call("GET", &address, &[], b"").await;
    assert_eq!((file.status, file.header("content-type")), (200, Some("image/webp")), "{username}");
    let image = image::load_from_memory_with_format(&file.body, ImageFormat::WebP).unwrap();
    (file.body, image)
}

/// Whether that pixel has about that colour.
fn looks(image: &DynamicImage, x: u32, y: u32, color: [u8; 3]) -> bool {
    let Rgba(pixel) = image.to_rgba8()[(x, y)];
    pixel[3] == 255 && color.iter().zip(pixel).all(|(a, b)| a.abs_diff(b) < 8)
}

pub fn size(image: &DynamicImage) -> (u32, u32) {
    (image.width(), image.height())
}

#[tokio::test]
async fn a_picture_is_made_anew_and_given_out() {
    let chat = Chat::start().await;
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
        let name = format!("{format:?}");
        // What the client calls it means nothing.
        let sent = encode(&two_halves(600, 400), format);
        assert_eq!(chat.register_with_avatar(&name, "../../evil.html", &sent).await.status, 200);
        let reply = chat.login(&name, "password").await;
        let address = reply.json()["avatar"].as_str().unwrap().to_owned();
        let stem = address.strip_prefix("/uploads/").and_then(|name| name.strip_suffix(".webp")).unwrap();
        assert!(stem.len() == 64 && stem.chars().all(|c| c.is_ascii_hexdigit()), "{address}");
        let cookie = reply.header("set-cookie").unwrap();
        let me = chat.get("/api/me", cookie.split(';').next().unwrap()).await;
        assert_eq!(me.json(), json!({ "username": name, "avatar": address }));

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
        assert!(looks(&image, 10, 128, RED) && looks(&image, 245, 128, BLUE), "{name}");
    }
}

#[tokio::test]
async fn nothing_that_was_hidden_in_a_picture_is_left() {
    let chat = Chat::start().await;
    let payload =
        b"<script>alert(document.domain)</script><?php system($_GET[0]); ?>PK\x03\x04\x14\0\0\0evil.js";
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
        let mut sent = encode(&two_halves(64, 64), format);
        sent.extend(payload);
        // Also as text that belongs to the picture.
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
        let (file, image) = made_of(&chat, &format!("{format:?}"), &sent).await;
        assert!(looks(&image, 5, 5, RED) && looks(&image, 60, 5, BLUE), "{format:?}");
        for hidden in ["script", "alert", "php", "PK", "evil"] {
            let found = file.windows(hidden.len()).any(|part| part == hidden.as_bytes());
            assert!(!found, "{hidden} in {format:?}");
        }
    }
}

#[tokio::test]
async fn a_photo_is_upright_and_does_not_tell_where_it_was_taken() {
    let chat = Chat::start().await;
    let sent = jpeg_with_exif(&two_halves(64, 32));
    assert!(sent.windows(4).any(|four| four == b"Exif"));
    let (file, image) = made_of(&chat, "alice", &sent).await;
    assert_eq!(size(&image), (32, 32));
    // Left is up.
    assert!(looks(&image, 3, 3, RED) && looks(&image, 28, 3, RED));
    assert!(looks(&image, 3, 28, BLUE) && looks(&image, 28, 28, BLUE));
    for name in [&b"Exif"[..], b"EXIF", b"II*\0", b"VP8X"] {
        assert!(!file.windows(4).any(|four| four == name));
    }
}

#[tokio::test]
async fn of_an_animation_the_first_frame_is_shown() {
    let chat = Chat::start().await;
    let frames = [two_halves(40, 40), two_halves(40, 40).rotate90(), two_halves(40, 40).rotate180()];
    for (name, sent) in [("gif", animated_gif(&frames)), ("webp", animated_webp(&frames))] {
        let (file, image) = made_of(&chat, name, &sent).await;
        assert!(looks(&image, 3, 3, RED) && looks(&image, 3, 36, RED), "{name}");
        assert!(looks(&image, 36, 3, BLUE) && looks(&image, 36, 36, BLUE), "{name}");
        assert!(!file.windows(4).any(|four| four == b"ANMF" || four == b"ANIM"), "{name}");
    }
}

#[tokio::test]
async fn pictures_come_in_many_kinds() {
    let chat = Chat::start().await;
    let halves = two_halves(600, 600);
    // What red is when only its brightness is left.
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
        let image = made_of(&chat, name, &sent).await.1;
        assert_eq!(size(&image), (256, 256), "{name}");
        assert!(looks(&image, 20, 200, left), "{name}: {:?}", image.to_rgba8()[(20, 200)]);
        assert!(!looks(&image, 235, 200, left), "{name}");
    }
    let image = made_of(&chat, "interlaced", &interlaced_png()).await.1;
    assert_eq!(size(&image), (8, 8));
    assert!((0..8).all(|x| (0..8).all(|y| looks(&image, x, y, [x as u8 * 30; 3]))));
    let image = made_of(&chat, "palette", &png_with_palette()).await.1;
    assert!(looks(&image, 0, 0, BLUE), "the one in the middle");
    let image = made_of(&chat, "CMYK", &cmyk_jpeg()).await.1;
    assert!(looks(&image, 4, 4, [255, 128, 128]), "{:?}", image.to_rgba8()[(4, 4)]);
    let image = made_of(&chat, "progressive", &progressive_jpeg(100, 50)).await.1;
    assert!(looks(&image, 4, 4, [128; 3]), "{:?}", image.to_rgba8()[(4, 4)]);
}

#[tokio::test]
async fn what_is_transparent_does_not_shine_through() {
    let chat = Chat::start().await;
    for side in [300, 2000] {
        let sent = encode(&stencil(side), ImageFormat::Png);
        let image = made_of(&chat, &side.to_string(), &sent).await.1.to_rgba8();
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
        let image = made_of(&chat, &name, &sent).await.1;
        assert_eq!(size(&image), (side, side), "{name}");
        if width > 1 && side > 1 {
            assert!(looks(&image, 0, side / 2, RED), "{name}");
            assert!(looks(&image, side - 1, side / 2, BLUE), "{name}");
        }
    }
}
