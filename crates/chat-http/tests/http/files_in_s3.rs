//! The routes of files on S3-compatible storage: what they promise of a folder.

use std::time::Duration;

use chat_core::FilesUsage;
use chat_files::FilesLocation;
use chat_files::test_s3::TestS3;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::files::{acknowledged, address, uploaded, usage};
use crate::harness::{Chat, until};
use crate::pictures::{jpeg_with_exif, png, two_halves};
use crate::wire::Wire;

/// A server whose files are in the bucket, and the bucket; `None` (and a printed line) if this
/// machine has no such storage.
async fn start(unattached_lifetime: Duration) -> Option<(Chat, TestS3)> {
    let s3 = TestS3::start()?;
    let chat = Chat::with(|options| {
        options.files.location = FilesLocation::S3(s3.location("of/a-chat"));
        options.files.unattached_lifetime = unattached_lifetime;
        options.files.sweep_interval = Duration::from_millis(50);
    })
    .await;
    Some((chat, s3))
}

const DAY: Duration = Duration::from_secs(24 * 3600);

fn name_of(file: &Value) -> String {
    let id = file["id"].as_str().unwrap();
    format!("of/a-chat/{}/{id}", &id[..2])
}

/// Waits until the store knows of no file.
async fn until_forgotten(chat: &Chat) {
    let forgotten = async {
        while usage(chat).await != FilesUsage::default() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), forgotten).await.expect("the records go");
}

#[tokio::test]
async fn a_file_is_uploaded_read_in_parts_and_gone_with_its_message() {
    let Some((chat, s3)) = start(DAY).await else { return };
    let [alice, bob, carol] =
        [chat.sign_in("alice").await, chat.sign_in("bob").await, chat.sign_in("carol").await];
    // The last one is larger than the buffers of both ends of a download.
    let sizes = [0, 5, 300_000, 12_000_000];
    let mut files = Vec::new();
    for size in sizes {
        let bytes: Vec<u8> = (0..size as u32).map(|index| (index % 251) as u8).collect();
        files.push((uploaded(&chat, &alice, "a.bin", &bytes).await, bytes));
    }
    let mut names: Vec<_> = files.iter().map(|(file, _)| name_of(file)).collect();
    names.sort();
    assert_eq!(s3.objects(), names);
    let mut socket = Wire::open_v2(&chat, &alice).await;
    let ids: Vec<_> = files.iter().map(|(file, _)| &file["id"]).collect();
    let message = json!({ "type": "private", "to": "bob", "text": "", "files": ids });
    let seq = acknowledged(&mut socket, message).await;
    for (file, bytes) in &files {
        let get = async |method: &str, cookie: &str, headers: &[(&str, &str)]| {
            let headers = [&[("Cookie", cookie)], headers].concat();
            chat.call(method, &address(file), &headers, b"").await
        };
        for cookie in [&alice, &bob] {
            let whole = get("GET", cookie, &[]).await;
            assert!(whole.status == 200 && whole.body == *bytes);
        }
        assert_eq!(get("GET", &carol, &[]).await.status, 404);
        let head = get("HEAD", &bob, &[]).await;
        assert_eq!(head.header("content-length").unwrap(), bytes.len().to_string());
        let mut ranges = vec![(0, 1), (1, bytes.len()), (bytes.len().saturating_sub(3), bytes.len())];
        ranges.extend([(100, 250_001), (9_000_000, 11_999_999)]);
        for (start, end) in ranges.into_iter().filter(|(start, end)| start < end && *end <= bytes.len()) {
            let part = get("GET", &bob, &[("Range", &format!("bytes={start}-{}", end - 1))]).await;
            assert_eq!(part.status, 206);
            assert_eq!(part.header("content-length").unwrap(), (end - start).to_string());
            let range = format!("bytes {start}-{}/{}", end - 1, bytes.len());
            assert_eq!(part.header("content-range"), Some(&*range));
            assert!(part.body == bytes[start..end], "{range}");
        }
        assert_eq!(get("GET", &bob, &[("Range", "bytes=12000000-")]).await.status, 416);
    }

    // A download that is under way ends.
    let mut stream = chat.connect().await;
    let (file, bytes) = &files[3];
    stream.write_all(&chat.request("GET", &address(file), &[("Cookie", &bob)], b"")).await.unwrap();
    let mut head = [0; 1000];
    stream.read_exact(&mut head).await.unwrap();
    assert!(head.starts_with(b"HTTP/1.1 200 OK"));
    acknowledged(&mut socket, json!({ "type": "delete", "to": "bob", "target": seq })).await;
    for cookie in [&alice, &bob] {
        assert_eq!(chat.get(&address(file), cookie).await.status, 404);
    }
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.len() < bytes.len() - 1000, "{}", rest.len());
    until(|| s3.objects().is_empty()).await;
    until_forgotten(&chat).await;
}

#[tokio::test]
async fn a_picture_has_a_preview_which_goes_with_it() {
    let Some((chat, s3)) = start(DAY).await else { return };
    let [alice, bob] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    let photo = jpeg_with_exif(&two_halves(1_600, 1_200));
    let file = uploaded(&chat, &alice, "a.jpg", &photo).await;
    let mut socket = Wire::open_v2(&chat, &alice).await;
    let message = json!({ "type": "private", "to": "bob", "text": "", "files": [file["id"]] });
    let seq = acknowledged(&mut socket, message).await;
    let path = format!("{}?preview", address(&file));
    let first = chat.get(&path, &bob).await;
    assert_eq!((first.status, first.header("content-type")), (200, Some("image/jpeg")));
    assert!(first.body.starts_with(b"\xff\xd8"));
    assert_eq!(s3.objects(), [name_of(&file), format!("{}.preview", name_of(&file))]);
    assert!(std::fs::read(s3.path(&s3.objects()[1])).unwrap() == first.body);
    assert!(chat.get(&path, &alice).await.body == first.body);
    let metrics = String::from_utf8(chat.get("/metrics", "").await.body).unwrap();
    assert!(metrics.contains("chat_previews_total{outcome=\"made\"} 1"), "it is made once: {metrics}");
    acknowledged(&mut socket, json!({ "type": "delete", "to": "bob", "target": seq })).await;
    assert_eq!(chat.get(&path, &bob).await.status, 404);
    until(|| s3.objects().is_empty()).await;
    until_forgotten(&chat).await;
}

#[tokio::test]
async fn what_no_message_has_and_what_breaks_off_goes() {
    let Some((chat, s3)) = start(Duration::from_secs(8)).await else { return };
    let [alice, _] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    let kept = uploaded(&chat, &alice, "kept.png", &png()).await;
    let mut socket = Wire::open_v2(&chat, &alice).await;
    acknowledged(&mut socket, json!({ "type": "private", "to": "bob", "text": "", "files": [kept["id"]] }))
        .await;
    let forgotten = uploaded(&chat, &alice, "forgotten.png", &png()).await;
    let request = chat.request("POST", "/api/files?name=a", &[("Cookie", &alice)], &[7; 100_000]);
    let mut stream = chat.connect().await;
    stream.write_all(&request[..50_000]).await.unwrap();
    drop(stream);
    until(|| s3.objects() == [name_of(&kept)]).await;
    assert_eq!(chat.get(&address(&forgotten), &alice).await.status, 404);
    assert!(chat.get(&address(&kept), &alice).await.body == png());
    let one_record = async {
        while usage(&chat).await.files != 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), one_record).await.expect("the other records go");
}
