//! Pictures: what is taken, what becomes of it, and that nothing stays behind.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chat_core::Username;
use chat_store::UserRepository as _;
use image::{DynamicImage, ImageFormat, Rgba};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Chat, FORM, Reply, form, until};
use crate::pictures::*;

async fn register(chat: &Chat, username: &str, file: &str, avatar: &[u8]) -> Reply {
    let fields = [
        ("avatar", Some(file), avatar),
        ("username", None, username.as_bytes()),
        ("password", None, b"password"),
    ];
    chat.register_form(&fields).await
}

/// Registers somebody with that picture, and gives what the others see: the file
/// and the picture in it.
async fn made_of(chat: &Chat, username: &str, avatar: &[u8]) -> (Vec<u8>, DynamicImage) {
    let reply = register(chat, username, "a", avatar).await;
    assert_eq!(reply.status, 200, "{username}: {reply:?}");
    let address = address_of(chat, username).await;
    let file = chat.call("GET", &address, &[], b"").await;
    assert_eq!((file.status, file.header("content-type")), (200, Some("image/webp")), "{username}");
    let image = image::load_from_memory_with_format(&file.body, ImageFormat::WebP).unwrap();
    (file.body, image)
}

async fn address_of(chat: &Chat, username: &str) -> String {
    chat.login(username, "password").await.json()["avatar"].as_str().unwrap().to_owned()
}

/// Whether that pixel has about that colour.
fn looks(image: &DynamicImage, x: u32, y: u32, color: [u8; 3]) -> bool {
    let Rgba(pixel) = image.to_rgba8()[(x, y)];
    pixel[3] == 255 && color.iter().zip(pixel).all(|(a, b)| a.abs_diff(b) < 8)
}

fn size(image: &DynamicImage) -> (u32, u32) {
    (image.width(), image.height())
}

#[tokio::test]
async fn a_picture_is_made_anew_and_given_out() {
    let chat = Chat::start().await;
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
        let name = format!("{format:?}");
        // What the client calls it means nothing.
        let sent = encode(&two_halves(600, 400), format);
        assert_eq!(register(&chat, &name, "../../evil.html", &sent).await.status, 200);
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
async fn people_with_the_same_picture_share_a_file() {
    let chat = Chat::start().await;
    let alice = made_of(&chat, "alice", &png()).await.0;
    assert_eq!(made_of(&chat, "bob", &png()).await.0, alice);
    assert_eq!(chat.files().len(), 1);
    assert_eq!(address_of(&chat, "alice").await, address_of(&chat, "bob").await);
    // Somebody with that picture is refused, at the first look and at the last.
    assert_eq!(register(&chat, "alice", "a", &png()).await.refusal().1, "username already exists");
    chat.store.slow.store(true, Ordering::Relaxed);
    let png = png();
    let (one, two) = tokio::join!(register(&chat, "eve", "a", &png), register(&chat, "eve", "a", &png));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    assert_eq!(chat.files().len(), 1);
    let address = address_of(&chat, "alice").await;
    assert_eq!(chat.call("GET", &address, &[], b"").await.body, alice);
}

#[tokio::test]
async fn pictures_of_the_original_chat_are_given_out_as_they_are() {
    let chat = Chat::start().await;
    for (name, content_type) in [
        ("1699999999123456789_3.png", "image/png"),
        ("0f8fad5b-d9cb-469f-a165-70867728950e.jpg", "image/jpeg"),
        ("1699999999.jpeg", "image/jpeg"),
        ("a.gif", "image/gif"),
        ("a.webp", "image/webp"),
    ] {
        std::fs::write(chat.uploads.path().join("uploads").join(name), name).unwrap();
        let reply = chat.call("GET", &format!("/uploads/{name}"), &[], b"").await;
        assert_eq!((reply.status, reply.body.as_slice()), (200, name.as_bytes()));
        assert_eq!(reply.header("content-type"), Some(content_type));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
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

#[tokio::test]
async fn a_picture_right_at_the_limit_is_taken() {
    let chat = Chat::start().await;
    for (width, height) in [(5000, 5000), (10_000, 2500)] {
        let image = made_of(&chat, &format!("{width}x{height}"), &black_png(width, height)).await.1;
        assert_eq!(size(&image), (256, 256));
    }
    // The first two of these make the same picture.
    assert_eq!(chat.files().len(), 1);
}

#[tokio::test]
async fn a_refused_registration_leaves_no_file() {
    let chat = Chat::with(|options| {
        options.avatar_max_bytes = 1 << 20;
        options.picture_memory_max = 48 << 20;
    })
    .await;
    chat.register("taken", "password").await;
    let not_a_picture = "the avatar must be a picture (png, jpeg, gif or webp)";
    let too_many_pixels = "the avatar has too many pixels (max 25 megapixels, 10000 on a side)";
    let too_much_memory = "the avatar takes too much memory to read, please send a smaller picture";
    let damaged = "the avatar is a damaged picture";
    let mut too_large = png();
    too_large.resize((1 << 20) + 1, 0);
    let mut hidden = b"<script>alert(1)</script>".repeat(10);
    hidden.extend_from_slice(&png());
    let truncated = |mut file: Vec<u8>| {
        file.truncate(file.len() * 2 / 3);
        file
    };
    let noise =
        |x: u32, y: u32| Rgba([x.wrapping_mul(y).wrapping_mul(73) as u8, (x * 31) as u8, y as u8, 255]);
    let photo: DynamicImage = image::RgbaImage::from_fn(200, 200, noise).into();
    let of_photo = |format| truncated(encode(&photo.to_rgb8().into(), format));
    let mut gif_bomb = encode(&two_halves(8, 8), ImageFormat::Gif);
    gif_bomb[6..10].fill(255);
    let mut flipped = png();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for (username, avatar, sentence) in [
        ("taken", png(), "username already exists"),
        ("", png(), "username and password are required"),
        ("svg", b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>".to_vec(), not_a_picture),
        ("bmp", encode_as_bmp(), not_a_picture),
        ("x", b"x".to_vec(), not_a_picture),
        ("hidden", hidden, not_a_picture),
        ("too large", too_large.clone(), "the avatar is too large (max 1 MiB)"),
        ("bomb", png_of_nothing(30_000, 30_000), too_many_pixels),
        ("a pixel too wide", png_of_nothing(10_001, 1), too_many_pixels),
        ("a row too many", png_of_nothing(5000, 5001), too_many_pixels),
        ("more still", png_of_nothing(0x7fff_ffff, 0x7fff_ffff), too_many_pixels),
        ("GIF bomb", gif_bomb, too_many_pixels),
        ("JPEG bomb", progressive_jpeg(10_001, 8), too_many_pixels),
        ("passes", progressive_jpeg(4000, 2500), too_much_memory),
        ("four channels", png_of_nothing(4000, 4000), too_much_memory),
        ("tables", webp_with_many_tables(), too_much_memory),
        ("larger inside", webp_with_a_larger_picture(), damaged),
        ("no pixels", b"GIF89a\0\0\0\0\0\0\0;".to_vec(), damaged),
        ("no frames", b"GIF89a\x01\0\x01\0\0\0\0;".to_vec(), damaged),
        ("nothing", png_of_nothing(10, 10), damaged),
        ("flipped bit", flipped, damaged),
        ("only a signature", b"\x89PNG\r\n\x1a\n".to_vec(), damaged),
        ("only a start", b"\xff\xd8\xff".to_vec(), damaged),
        ("truncated JPEG", of_photo(ImageFormat::Jpeg), damaged),
        ("truncated PNG", of_photo(ImageFormat::Png), damaged),
        ("truncated GIF", of_photo(ImageFormat::Gif), damaged),
        ("truncated WebP", of_photo(ImageFormat::WebP), damaged),
    ] {
        let started = Instant::now();
        let reply = register(&chat, username, "a.png", &avatar).await;
        assert_eq!(reply.refusal(), (400, sentence.to_owned()), "{username}");
        assert!(started.elapsed() < Duration::from_secs(5), "{username}: {:?}", started.elapsed());
        assert_eq!(chat.files(), Vec::<String>::new(), "{username}");
    }
    let twice = [
        ("username", None, &b"bob"[..]),
        ("password", None, b"p"),
        ("avatar", Some("a"), &png()),
        ("avatar", Some("b"), &png()),
    ];
    assert_eq!(chat.register_form(&twice).await.error(), "the form has the field avatar twice");
    assert_eq!(chat.files(), Vec::<String>::new());

    chat.store.out.store(true, Ordering::Relaxed);
    assert_eq!(register(&chat, "bob", "a.png", &png()).await.status, 503);
    assert_eq!(chat.files(), Vec::<String>::new());
    // Right up to the limit is fine.
    chat.store.out.store(false, Ordering::Relaxed);
    too_large.pop();
    assert_eq!(register(&chat, "bob", "a.png", &too_large).await.status, 200);
}

fn encode_as_bmp() -> Vec<u8> {
    [&b"BM"[..], &[0; 100]].concat()
}

#[tokio::test]
async fn a_form_without_a_file_means_no_avatar() {
    let chat = Chat::start().await;
    assert_eq!(register(&chat, "alice", "", b"").await.status, 200);
    assert_eq!(chat.login("alice", "password").await.json()["avatar"], "");
    assert!(chat.files().is_empty());
}

#[tokio::test]
async fn a_registration_that_breaks_off_leaves_no_file() {
    let chat = Chat::start().await;
    let mut avatar = png();
    avatar.resize(100_000, 0);
    let body =
        form(&[("avatar", Some("a.png"), &avatar), ("username", None, b"a"), ("password", None, b"p")]);
    let request = chat.request("POST", "/api/register", &[("Content-Type", FORM)], &body);
    let mut stream = chat.connect().await;
    stream.write_all(&request[..50_000]).await.unwrap();
    until(|| chat.files().len() == 1).await;
    assert!(chat.files()[0].ends_with(".part"));
    drop(stream);
    until(|| chat.files().is_empty()).await;
}

#[tokio::test]
async fn an_account_that_is_being_made_keeps_its_picture() {
    let chat = Chat::start().await;
    chat.store.slow.store(true, Ordering::Relaxed);
    let body = form(&[("avatar", Some("a"), &png()), ("username", None, b"alice"), ("password", None, b"p")]);
    let mut stream = chat.connect().await;
    let request = chat.request("POST", "/api/register", &[("Content-Type", FORM)], &body);
    stream.write_all(&request).await.unwrap();
    let waits_for_alice = |file: &String| file.starts_with(".616c696365.") && file.ends_with(".part");
    until(|| chat.files().iter().any(waits_for_alice)).await;
    // Gone before the store has answered.
    drop(stream);
    chat.server.stop().await;
    let alice = chat.store.find_user(&Username::known("alice").unwrap()).await.unwrap().unwrap();
    assert_eq!(alice.avatar, Some(format!("/uploads/{}", chat.files()[0])));
}

#[tokio::test]
async fn an_account_whose_making_was_not_answered_has_its_picture() {
    let chat = Chat::start().await;
    chat.store.lost.store(true, Ordering::Relaxed);
    made_of(&chat, "alice", &png()).await;
    assert_eq!(chat.files().len(), 1);

    // Where nobody can tell, the picture waits for the next start.
    chat.store.out_after_loss.store(true, Ordering::Relaxed);
    let other = encode(&two_halves(64, 64), ImageFormat::Png);
    assert_eq!(register(&chat, "bob", "a", &other).await.status, 503);
    let files = chat.files();
    let waiting: Vec<_> = files.iter().filter(|file| file.starts_with(".626f62.")).collect();
    assert_eq!((files.len(), waiting.len()), (2, 1), "{files:?}");
    let address = format!("/uploads/{}", waiting[0]);
    assert_eq!(chat.call("GET", &address, &[], b"").await.status, 404);
}

#[tokio::test]
async fn only_so_many_pictures_are_on_their_way() {
    let chat = Chat::with(|options| options.avatar_uploads_max = 1).await;
    let mut avatar = png();
    avatar.resize(100_000, 0);
    let body = form(&[("avatar", Some("a.png"), &avatar)]);
    let request = chat.request("POST", "/api/register", &[("Content-Type", FORM)], &body);
    let mut stream = chat.connect().await;
    stream.write_all(&request[..50_000]).await.unwrap();
    until(|| chat.files().len() == 1).await;
    let reply = register(&chat, "bob", "a.png", &png()).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert_eq!(chat.register("bob", "password").await.status, 200, "without a picture");
    drop(stream);
    until(|| chat.files().is_empty()).await;
    assert_eq!(register(&chat, "eve", "a.png", &png()).await.status, 200);
}

#[tokio::test]
async fn only_so_many_pictures_wait_until_they_are_made() {
    let chat = Chat::with(|options| options.picture_queue_max = 2).await;
    let large = black_png(5000, 5000);
    let names: Vec<_> = (0..10).map(|number| format!("user {number}")).collect();
    let started = Instant::now();
    let replies = futures_util::future::join_all(names.iter().map(|name| async {
        let reply = register(&chat, name, "a", &large).await;
        (reply.status, reply.header("retry-after").map(str::to_owned), started.elapsed())
    }))
    .await;
    let (made, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|(status, ..)| *status == 200);
    assert!(made.len() >= 3 && !refused.is_empty(), "{replies:?}");
    for (status, retry_after, after) in &refused {
        assert_eq!((*status, retry_after.as_deref()), (503, Some("1")));
        let last = made.iter().map(|(.., after)| after).max().unwrap();
        assert!(after < last, "refused at once, not after all the others");
    }
    // They share the one file, and those who were refused have left none.
    assert_eq!(chat.files().len(), 1);
    // The places are free again.
    assert_eq!(register(&chat, "late", "a", &png()).await.status, 200);
}

#[tokio::test]
async fn who_hangs_up_leaves_the_queue_and_no_file() {
    let chat = Chat::with(|options| options.picture_queue_max = 4).await;
    let large = black_png(5000, 5000);
    let mut streams = Vec::new();
    for number in 0..3 {
        let name = format!("user {number}");
        let fields = [
            ("avatar", Some("a"), &large[..]),
            ("username", None, name.as_bytes()),
            ("password", None, b"p"),
        ];
        let mut stream = chat.connect().await;
        let request = chat.request("POST", "/api/register", &[("Content-Type", FORM)], &form(&fields));
        stream.write_all(&request).await.unwrap();
        streams.push(stream);
    }
    until(|| chat.files().len() == 3).await;
    drop(streams);
    until(|| chat.files().is_empty()).await;
    assert_eq!(register(&chat, "late", "a", &png()).await.status, 200);
}

#[tokio::test]
async fn the_server_ends_after_the_picture_that_is_being_made() {
    let chat = Chat::with(|options| options.stop_grace = Duration::ZERO).await;
    let large = black_png(5000, 5000);
    let fields = [("avatar", Some("a"), &large[..]), ("username", None, b"alice"), ("password", None, b"p")];
    let mut stream = chat.connect().await;
    let request = chat.request("POST", "/api/register", &[("Content-Type", FORM)], &form(&fields));
    stream.write_all(&request).await.unwrap();
    let uploads = chat.uploads.path().join("uploads");
    let is_whole =
        |file: &String| std::fs::metadata(uploads.join(file)).is_ok_and(|m| m.len() == large.len() as u64);
    until(|| chat.files().iter().any(is_whole)).await;
    chat.server.stop().await;
    // The thread has what was uploaded, until it ends.
    assert_eq!(chat.files(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_crash_left_half_done_is_finished_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    // The third waits for bob, of whom this store has not heard.
    for name in [".0f.part", "0f.png", ".626f62.0f.part", "readme.txt", ".gitkeep"] {
        std::fs::write(folder.path().join(name), png()).unwrap();
    }
    let chat = Chat::with(|options| options.uploads_dir = folder.path().to_owned()).await;
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".gitkeep", "0f.png", "readme.txt"]);
    assert_eq!(chat.call("GET", "/uploads/0f.png", &[], b"").await.status, 200);
    assert_eq!(chat.call("GET", "/uploads/readme.txt", &[], b"").await.status, 404);
}

#[tokio::test]
async fn no_path_leads_out_of_the_folder() {
    let chat = Chat::start().await;
    std::fs::write(chat.uploads.path().join("secret.png"), "secret").unwrap();
    std::fs::create_dir(chat.uploads.path().join("uploads/folder.png")).unwrap();
    let ups = ["..", "%2e%2e", "%2E.", ".%2e", "..%00", "....", "%252e%252e", "..%c0%af", "\u{ff0e}\u{ff0e}"];
    let slashes = ["/", "%2f", "%5c", "\\", "//", "%252f", "/./", ";/", "%u2215"];
    let targets = ["secret.png", "secret.png%00.png", "uploads/../secret.png", "etc/passwd", "folder.png"];
    let prefixes = ["", "x", ".", "/", "x/"];
    let mut tried = 0;
    for up in ups {
        for slash in slashes {
            for target in targets {
                let prefix = prefixes[tried % prefixes.len()];
                for base in ["/uploads/", "/"] {
                    let path = format!("{base}{prefix}{up}{slash}{target}");
                    let reply = chat.call("GET", &path, &[], b"").await;
                    assert!(matches!(reply.status, 400 | 404), "{path}: {reply:?}");
                    assert!(!String::from_utf8_lossy(&reply.body).contains("secret"), "{path}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried >= 500, "{tried}");
    assert_eq!(chat.call("GET", "/uploads/folder.png", &[], b"").await.status, 404);
    assert_eq!(chat.call("GET", "/uploads/", &[], b"").await.status, 404);
}
