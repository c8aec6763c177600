//! Avatars that are refused, or wait.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use image::{DynamicImage, ImageFormat, Rgba};
use tokio::io::AsyncWriteExt as _;

use crate::avatars::{served_avatar, size};
use crate::harness::{Chat, FORM, form, until};
use crate::pictures::*;

#[tokio::test]
async fn a_picture_at_the_limit_is_accepted() {
    let chat = Chat::start().await;
    for (width, height) in [(5000, 5000), (10_000, 2500)] {
        let image = served_avatar(&chat, &format!("{width}x{height}"), &black_png(width, height)).await.1;
        assert_eq!(size(&image), (256, 256));
    }
    // Both make the same picture.
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
        let reply = chat.register_with_avatar(username, "a.png", &avatar).await;
        assert_eq!(reply.refusal(), (400, sentence.to_owned()), "{username}");
        assert!(started.elapsed() < Duration::from_secs(30), "{username}: {:?}", started.elapsed());
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
    assert_eq!(chat.register_with_avatar("bob", "a.png", &png()).await.status, 503);
    assert_eq!(chat.files(), Vec::<String>::new());
    // A file of exactly the limit is accepted.
    chat.store.out.store(false, Ordering::Relaxed);
    too_large.pop();
    assert_eq!(chat.register_with_avatar("bob", "a.png", &too_large).await.status, 200);
}

fn encode_as_bmp() -> Vec<u8> {
    [&b"BM"[..], &[0; 100]].concat()
}

#[tokio::test]
async fn the_number_of_avatars_that_are_received_is_limited() {
    let chat = Chat::with(|options| options.avatar_uploads_max = 1).await;
    let mut avatar = png();
    avatar.resize(100_000, 0);
    let body = form(&[("avatar", Some("a.png"), &avatar)]);
    let request = chat.request("POST", "/api/register", &[("Content-Type", FORM)], &body);
    let mut stream = chat.connect().await;
    stream.write_all(&request[..50_000]).await.unwrap();
    until(|| chat.files().len() == 1).await;
    let reply = chat.register_with_avatar("bob", "a.png", &png()).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert_eq!(chat.register("bob", "password").await.status, 200, "without a picture");
    drop(stream);
    until(|| chat.files().is_empty()).await;
    assert_eq!(chat.register_with_avatar("eve", "a.png", &png()).await.status, 200);
}

#[tokio::test]
async fn the_queue_of_pictures_is_limited() {
    let chat = Chat::with(|options| options.picture_queue_max = 2).await;
    let large = black_png(5000, 5000);
    let names: Vec<_> = (0..10).map(|number| format!("user {number}")).collect();
    let started = Instant::now();
    let replies = futures_util::future::join_all(names.iter().map(|name| async {
        let reply = chat.register_with_avatar(name, "a", &large).await;
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
    // All accounts share one file, and refused registrations left none.
    assert_eq!(chat.files().len(), 1);
    // The queue is free again.
    assert_eq!(chat.register_with_avatar("late", "a", &png()).await.status, 200);
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_the_queue_and_no_file() {
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
    // The first may have been whole already.
    let is_upload = |file: &String| file.ends_with(".part");
    until(|| !chat.files().iter().any(is_upload)).await;
    assert!(chat.files().len() <= 1, "{:?}", chat.files());
    assert_eq!(chat.register_with_avatar("late", "a", &png()).await.status, 200);
}

#[tokio::test]
async fn the_server_waits_for_the_picture_that_is_being_made() {
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
    // The thread keeps the upload until it ends; the account may have been made after it.
    let files = chat.files();
    assert!(files.iter().all(|file| !file.ends_with(".part")), "{files:?}");
}
