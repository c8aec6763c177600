//! Files of messages: who may read them, how they are served, and what is left of them.

use std::io::Cursor;
use std::time::{Duration, Instant};

use chat_core::{FileId, FilesUsage, Username};
use chat_store::{FileRepository as _, SessionRepository as _};
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{Chat, Reply, until};
use crate::pictures::{black_png, encode, jpeg_with_exif, png, two_halves};
use crate::wire::Wire;

/// Uploads a file.
pub async fn upload(chat: &Chat, cookie: &str, name: &str, kind: &str, bytes: &[u8]) -> Reply {
    let path = format!("/api/files?name={}", crate::rooms::encoded(name));
    chat.call("POST", &path, &[("Cookie", cookie), ("Content-Type", kind)], bytes).await
}

/// Uploads a file, and returns what the server says of it.
pub async fn uploaded(chat: &Chat, cookie: &str, name: &str, bytes: &[u8]) -> Value {
    let reply = upload(chat, cookie, name, "application/octet-stream", bytes).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.json()
}

/// The path of a file.
pub fn address(file: &Value) -> String {
    format!(
        "/files/{}/{}",
        file["id"].as_str().unwrap(),
        crate::rooms::encoded(file["name"].as_str().unwrap())
    )
}

/// Sends a frame with a nonce, and returns the number of the acknowledgement.
pub async fn acknowledged(socket: &mut Wire, mut frame: Value) -> Value {
    frame["nonce"] = json!(format!("{:x}", rand::random::<u64>()));
    socket.send(&frame).await;
    loop {
        let answer = socket.next().await;
        assert_ne!(answer["type"], "error", "{answer}");
        if answer["nonce"] == frame["nonce"] && answer["type"] == "ack" {
            return answer["seq"].clone();
        }
    }
}

/// Files in the folder of the files, without its folders and locks.
fn stored(chat: &Chat) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![chat.uploads.path().join("files")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => names.push(entry.file_name().into_string().unwrap()),
            }
        }
    }
    names.retain(|name| !name.ends_with(".lock"));
    names.sort();
    names
}

#[tokio::test]
async fn a_file_belongs_to_its_uploader_until_a_message_has_it() {
    let chat = Chat::start().await;
    let [alice, bob, carol] =
        [chat.sign_in("alice").await, chat.sign_in("bob").await, chat.sign_in("carol").await];
    let reply = upload(&chat, &alice, "../notes é.txt", "Text/Plain; charset=utf-8", b"hello").await;
    assert_eq!(reply.status, 201);
    let file = reply.json();
    assert_eq!(
        (&file["name"], &file["type"], &file["size"]),
        (&json!("notes é.txt"), &json!("text/plain"), &json!(5))
    );
    assert!(file.get("width").is_none());
    let address = address(&file);

    let served = chat.get(&address, &alice).await;
    assert_eq!((served.status, &*served.body), (200, &b"hello"[..]));
    let refusal = (404, "there is no such file".to_owned());
    for cookie in [&bob, &carol] {
        assert_eq!(chat.get(&address, cookie).await.refusal(), refusal);
    }
    assert_eq!(chat.call("GET", &address, &[], b"").await.status, 401);

    let mut socket = Wire::open_v2(&chat, &alice).await;
    let private = json!({ "type": "private", "to": "bob", "text": "", "files": [file["id"]] });
    let seq = acknowledged(&mut socket, private).await;
    for (cookie, status) in [(&alice, 200), (&bob, 200), (&carol, 404)] {
        assert_eq!(chat.get(&address, cookie).await.status, status);
    }
    acknowledged(&mut socket, json!({ "type": "delete", "to": "bob", "target": seq })).await;
    for cookie in [&alice, &bob, &carol] {
        assert_eq!(chat.get(&address, cookie).await.refusal(), refusal);
    }
    until(|| stored(&chat).is_empty()).await;
    assert_eq!(chat.get("/files/x/y", &alice).await.refusal(), refusal);
}

#[tokio::test]
async fn a_file_of_a_room_is_for_those_who_may_read_it_now() {
    let chat = Chat::start().await;
    let [alice, bob] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    let room =
        chat.create_room(&alice, json!({ "title": "Secret", "access": "closed", "members": ["bob"] })).await;
    let file = uploaded(&chat, &alice, "a.bin", b"\x01\x02").await;
    let mut socket = Wire::open_v2(&chat, &alice).await;
    socket.send(&json!({ "type": "join", "room": room })).await;
    acknowledged(&mut socket, json!({ "type": "message", "room": room, "text": "", "files": [file["id"]] }))
        .await;
    assert_eq!(chat.get(&address(&file), &bob).await.status, 200);
    let path = format!("/api/rooms/{}/members/bob", crate::rooms::encoded(&room));
    assert_eq!(chat.json("DELETE", &path, &alice, Value::Null).await.status, 200);
    assert_eq!(chat.get(&address(&file), &bob).await.status, 404);
    assert_eq!(chat.get(&address(&file), &alice).await.status, 200);
}

#[tokio::test]
async fn headers_let_no_file_act_in_the_page() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    let html = b"<!DOCTYPE html><script>alert(1)</script>";
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>";
    let gif = b"GIF89a/*\x01\0\0\0\0*/=1;alert(1)";
    let pdf = b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>";
    let mp4 = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41";
    let bomb = black_png(60_000, 2_000);
    // Name, said type, bytes; type in frames, served type, disposition, name as it is shown.
    let download = "application/octet-stream";
    for (name, said, bytes, kind, served, disposition, shown) in [
        ("a.html", "text/html", &html[..], "text/html", download, "attachment", "a.html"),
        ("a.png", "image/png", html, download, download, "attachment", "a.png"),
        ("a.svg", "image/svg+xml", svg, "image/svg+xml", download, "attachment", "a.svg"),
        ("a.js", "text/javascript", gif, "image/gif", "image/gif", "inline", "a.js"),
        ("a.pdf", "application/pdf", pdf, "application/pdf", download, "attachment", "a.pdf"),
        ("a.mp4", "", mp4, "video/mp4", "video/mp4", "inline", "a.mp4"),
        ("bomb.png", "image/png", &bomb, "image/png", "image/png", "inline", "bomb.png"),
        ("../../etc/passwd", "", b"x", download, download, "attachment", "passwd"),
        ("..\\..\\win.ini", "", b"x", download, download, "attachment", "win.ini"),
        (
            "\u{202e}gnp.exe",
            "",
            b"MZ",
            "application/vnd.microsoft.portable-executable",
            download,
            "attachment",
            "gnp.exe",
        ),
        (
            &format!("{}.html", "a".repeat(300)),
            "",
            b"x",
            download,
            download,
            "attachment",
            &format!("{}.html", "a".repeat(250)),
        ),
        ("a\r\nX-Evil: 1\".txt", "", b"x", download, download, "attachment", "aX-Evil: 1\".txt"),
        ("empty", "", b"", download, download, "attachment", "empty"),
    ] {
        let reply = upload(&chat, &alice, name, said, bytes).await;
        assert_eq!(reply.status, 201, "{name}: {reply:?}");
        let file = reply.json();
        assert_eq!((&file["name"], &file["type"]), (&json!(shown), &json!(kind)), "{name}");
        for method in ["GET", "HEAD"] {
            let reply = chat.call(method, &address(&file), &[("Cookie", &alice)], b"").await;
            assert_eq!(reply.status, 200, "{name}");
            let header = |name: &str| reply.header(name).unwrap_or_default().to_owned();
            assert_eq!(header("content-type"), served, "{name}");
            assert!(
                header("content-disposition").starts_with(&format!("{disposition}; filename=\"")),
                "{name}"
            );
            assert_eq!(header("content-security-policy"), "sandbox; default-src 'none'");
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert_eq!(header("cross-origin-resource-policy"), "same-origin");
            assert_eq!(header("cache-control"), "private, no-cache");
            assert_eq!(header("content-length"), bytes.len().to_string());
            assert!(reply.header("x-evil").is_none() && reply.header("content-encoding").is_none());
            assert_eq!(reply.body, if method == "GET" { bytes } else { b"" }, "{name}");
        }
    }
}

#[tokio::test]
async fn parts_and_tags_are_those_of_http() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
    let file = uploaded(&chat, &alice, "a.bin", &bytes).await;
    let get = async |headers: &[(&str, &str)]| {
        let headers = [&[("Cookie", alice.as_str())], headers].concat();
        chat.call("GET", &address(&file), &headers, b"").await
    };
    let whole = get(&[]).await;
    assert_eq!((whole.status, whole.header("accept-ranges")), (200, Some("bytes")));
    assert!(whole.body == bytes);
    let tag = whole.header("etag").unwrap();
    for (range, start, end) in
        [("0-0", 0, 1), ("100-250000", 100, 250_001), ("299999-", 299_999, 300_000), ("-5", 299_995, 300_000)]
    {
        let part = get(&[("Range", &format!("bytes={range}")), ("If-Range", tag)]).await;
        assert_eq!(part.status, 206, "{range}");
        assert!(part.body == bytes[start..end], "{range}");
        assert_eq!(part.header("content-range").unwrap(), format!("bytes {start}-{}/300000", end - 1));
        assert_eq!(part.header("content-length").unwrap(), (end - start).to_string());
    }
    let behind = get(&[("Range", "bytes=300000-")]).await;
    assert_eq!((behind.status, behind.header("content-range")), (416, Some("bytes */300000")));
    assert_eq!(get(&[("Range", "bytes=0-1"), ("If-Range", "\"other\"")]).await.status, 200);
    let known = get(&[("If-None-Match", tag)]).await;
    assert_eq!((known.status, known.body.len(), known.header("etag")), (304, 0, Some(tag)));
    // The tag does not help who may not read the file.
    let bob = chat.sign_in("bob").await;
    let reply = chat.call("GET", &address(&file), &[("Cookie", &bob), ("If-None-Match", tag)], b"").await;
    assert_eq!(reply.status, 404);
}

#[tokio::test]
async fn a_file_is_sent_as_it_is_whatever_its_reader_decodes() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    let text = b"the same words again, ".repeat(5_000);
    let pages = [("a.html", "text/html"), ("a.js", "text/javascript"), ("a.svg", "image/svg+xml")];
    for (name, kind) in [("a.txt", "text/plain"), ("a.json", "application/json")].into_iter().chain(pages) {
        let reply = upload(&chat, &alice, name, kind, &text).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        let file = reply.json();
        for method in ["GET", "HEAD"] {
            for (range, status, start, end) in [
                ("", 200, 0, text.len()),
                ("bytes=22-65999", 206, 22, 66_000),
                ("bytes=-7", 206, text.len() - 7, text.len()),
            ] {
                let mut headers =
                    vec![("Cookie", &*alice), ("Accept-Encoding", "br, gzip, deflate, *;q=0.1")];
                let is_part = !range.is_empty() && method == "GET";
                if !range.is_empty() {
                    headers.push(("Range", range));
                }
                let reply = chat.call(method, &address(&file), &headers, b"").await;
                let what = format!("{method} {name} {range}");
                let (start, end) = if is_part { (start, end) } else { (0, text.len()) };
                assert_eq!(reply.status, if is_part { status } else { 200 }, "{what}");
                assert_eq!(reply.header("content-encoding"), None, "{what}");
                assert_eq!(reply.header("content-length").unwrap(), (end - start).to_string(), "{what}");
                assert!(reply.body == if method == "GET" { &text[start..end] } else { b"" }, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn downloads_of_a_user_are_limited_at_one_time() {
    let chat = Chat::with(|options| options.files.downloads_per_user = 2).await;
    let [alice, bob] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    let files =
        [uploaded(&chat, &alice, "a", &vec![7; 20 << 20]).await, uploaded(&chat, &bob, "b", b"b").await];
    let begin = async || {
        let mut stream = chat.connect().await;
        stream
            .write_all(&chat.request("GET", &address(&files[0]), &[("Cookie", &alice)], b""))
            .await
            .unwrap();
        let mut head = [0; 1000];
        stream.read_exact(&mut head).await.unwrap();
        assert!(head.starts_with(b"HTTP/1.1 200 OK"));
        stream
    };
    let streams = (begin().await, begin().await);
    let headers = [("Cookie", &*alice), ("Range", "bytes=0-0")];
    let part = async || chat.call("GET", &address(&files[0]), &headers, b"").await;
    let refused = part().await;
    let sentence = "too many files at once, please wait until you have one of them";
    assert_eq!(refused.refusal(), (429, sentence.to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    // What has no bytes of a file is no download, and others have places of their own.
    assert_eq!(chat.call("HEAD", &address(&files[0]), &headers[..1], b"").await.status, 200);
    assert_eq!(chat.get(&address(&files[1]), &bob).await.status, 200);
    drop(streams);
    let given_back = async {
        while part().await.status != 206 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), given_back).await.expect("the places are given back");
}

#[tokio::test]
async fn a_file_that_comes_too_late_leaves_nothing() {
    let chat = Chat::with(|options| {
        options.files.unattached_lifetime = Duration::from_millis(1);
        options.files.sweep_interval = Duration::from_millis(20);
    })
    .await;
    let alice = chat.sign_in("alice").await;
    let request = chat.request("POST", "/api/files?name=a", &[("Cookie", &alice)], b"hello");
    let (most, last) = request.split_at(request.len() - 1);
    let mut stream = chat.connect().await;
    stream.write_all(most).await.unwrap();
    // The record is there before the bytes are, and goes while the last one is awaited.
    until(|| stored(&chat).len() == 1).await;
    let forgotten = async {
        while usage(&chat).await.files > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), forgotten).await.expect("the record goes");
    stream.write_all(last).await.unwrap();
    assert_eq!(Reply::read(&mut stream).await.refusal(), (404, "there is no such file".to_owned()));
    assert_eq!((stored(&chat), usage(&chat).await), (Vec::new(), FilesUsage::default()));
}

#[tokio::test]
async fn uploads_are_refused_with_a_sentence_and_leave_nothing() {
    let chat = Chat::with(|options| {
        options.files.max_bytes = 100_000;
        options.files.user_bytes_max = Some(150_000);
        options.files.bytes_max = Some(200_000);
    })
    .await;
    let [alice, bob] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    let post = async |path: &str, cookie: &str, bytes: &[u8]| {
        chat.call("POST", path, &[("Cookie", cookie)], bytes).await.refusal()
    };
    let unnamed = (400, "the file needs a name, as in ?name=cat.png".to_owned());
    for path in [
        "/api/files",
        "/api/files?name=",
        "/api/files?name=%E2%80%AE",
        "/api/files?name=..",
        "/api/files?x=1",
    ] {
        assert_eq!(post(path, &alice, b"x").await, unnamed, "{path}");
    }
    assert_eq!(post("/api/files?name=%FF", &alice, b"x").await.0, 400);
    assert_eq!(post("/api/files?name=a", "", b"x").await.0, 401);
    let large = vec![7; 100_001];
    let too_large = (413, "the file is too large (max 100000 bytes)".to_owned());
    assert_eq!(post("/api/files?name=a", &alice, &large).await, too_large);
    assert_eq!(chunked(&chat, &alice, &large).await.refusal(), too_large);
    assert_eq!(stored(&chat), Vec::<String>::new());

    assert_eq!(chunked(&chat, &alice, &large[..100_000]).await.status, 201);
    // What was reserved for refused uploads is given back after them.
    for _ in 0..6_000 {
        if usage(&chat).await.bytes == 100_000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let own = "your files take all the space that is yours here, please delete some";
    assert_eq!(post("/api/files?name=a", &alice, &large[..60_000]).await, (507, own.to_owned()));
    uploaded(&chat, &bob, "b", &large[..80_000]).await;
    let all = "the files of this chat take all the space for them, please tell whoever runs this chat";
    assert_eq!(post("/api/files?name=a", &bob, &large[..30_000]).await, (507, all.to_owned()));
    assert_eq!(stored(&chat).len(), 2);
    let metrics = chat.get("/metrics", &alice).await.body;
    let metrics = String::from_utf8(metrics).unwrap();
    for line in [
        "chat_uploads_total{outcome=\"stored\"} 2",
        "chat_uploads_total{outcome=\"quota\"} 2",
        "chat_uploads_total{outcome=\"too_large\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

/// Uploads without `Content-Length`.
async fn chunked(chat: &Chat, cookie: &str, bytes: &[u8]) -> Reply {
    let mut request = format!(
        "POST /api/files?name=a HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nCookie: {cookie}\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
        chat.host()
    )
    .into_bytes();
    for chunk in bytes.chunks(10_000) {
        request.extend(format!("{:x}\r\n", chunk.len()).bytes());
        request.extend(chunk);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    chat.raw(&request).await
}

#[tokio::test]
async fn the_disk_has_a_floor_for_uploads_and_a_lower_one_for_registrations() {
    let folder = tempfile::tempdir().unwrap();
    let free = chat_files::free_bytes(folder.path()).unwrap();
    let refusal =
        (507, "the disk of the server is almost full, please tell whoever runs this chat".to_owned());

    let chat = Chat::with(|options| options.files.disk_free_min_bytes = free / 2 * 3).await;
    let [alice, _] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    assert_eq!(upload(&chat, &alice, "a", "", b"x").await.refusal(), refusal);
    let mut socket = Wire::open_v2(&chat, &alice).await;
    acknowledged(&mut socket, json!({ "type": "private", "to": "bob", "text": "chat goes on" })).await;

    let chat = Chat::with(|options| options.files.disk_free_min_bytes = free.saturating_mul(3)).await;
    assert_eq!(chat.register("alice", "password").await.refusal(), refusal);
    let metrics = String::from_utf8(chat.get("/metrics", "").await.body).unwrap();
    assert!(metrics.contains("chat_registrations_refused_by_disk_total 1"), "{metrics}");
}

#[tokio::test]
async fn a_broken_upload_leaves_nothing() {
    let chat = Chat::with(|options| options.body_timeout = Duration::from_secs(3)).await;
    let alice = chat.sign_in("alice").await;
    let head = format!(
        "POST /api/files?name=a HTTP/1.1\r\nHost: {}\r\nCookie: {alice}\r\nContent-Length: 1000000\r\n\r\n",
        chat.host()
    );
    let part = [head.as_bytes(), &vec![7; 400_000]].concat();
    // The client goes.
    let mut stream = chat.connect().await;
    stream.write_all(&part).await.unwrap();
    until(|| stored(&chat).len() == 1).await;
    drop(stream);
    until(|| stored(&chat).is_empty()).await;
    // The client stays, and sends nothing.
    let slow = chat.raw(&part[..100_000]).await;
    assert_eq!(slow.refusal(), (408, "the request came too slowly".to_owned()));
    until(|| stored(&chat).is_empty()).await;
    // Nor in the store, once the server has looked.
    for _ in 0..6_000 {
        if usage(&chat).await == FilesUsage::default() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(usage(&chat).await, FilesUsage::default());

    // The server stops.
    let chat = Chat::with(|options| options.stop_grace = Duration::from_millis(100)).await;
    let alice = chat.sign_in("alice").await;
    let request = chat.request("POST", "/api/files?name=a", &[("Cookie", &alice)], &vec![7; 1_000_000]);
    let mut stream = chat.connect().await;
    stream.write_all(&request[..500_000]).await.unwrap();
    until(|| stored(&chat).len() == 1).await;
    chat.server.stop().await;
    // A part of it may still be on its way to the disk.
    until(|| stored(&chat).is_empty()).await;
    assert_eq!(chat.store.memory.files_to_delete(0, 10).await.unwrap().len(), 1, "found at the next start");
}

/// How many files the store knows of.
pub async fn usage(chat: &Chat) -> FilesUsage {
    chat.store.memory.files_usage().await.unwrap()
}

#[tokio::test]
async fn uploads_of_a_user_are_limited_at_one_time() {
    let chat = Chat::with(|options| {
        options.files.uploads_per_user = 2;
        options.files.uploads_max = 3;
    })
    .await;
    let [alice, bob, carol] =
        [chat.sign_in("alice").await, chat.sign_in("bob").await, chat.sign_in("carol").await];
    let begin = async |cookie: &str| {
        let request = chat.request("POST", "/api/files?name=a", &[("Cookie", cookie)], b"hello");
        let mut stream = chat.connect().await;
        stream.write_all(&request[..request.len() - 1]).await.unwrap();
        stream
    };
    let mut first = begin(&alice).await;
    let _second = begin(&alice).await;
    until(|| stored(&chat).len() == 2).await;
    let refused = upload(&chat, &alice, "a", "", b"x").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    let _third = begin(&bob).await;
    until(|| stored(&chat).len() == 3).await;
    assert_eq!(upload(&chat, &bob, "a", "", b"x").await.status, 503);
    first.write_all(b"o").await.unwrap();
    assert_eq!(Reply::read(&mut first).await.status, 201);
    // The last place is not for a user who has one.
    assert_eq!(upload(&chat, &alice, "a", "", b"x").await.status, 429);
    assert_eq!(upload(&chat, &carol, "a", "", b"x").await.status, 201);
}

#[tokio::test]
async fn uploads_of_a_user_are_limited_in_a_minute() {
    let chat = Chat::with(|options| options.files.uploads_per_minute = 2).await;
    let [alice, bob] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    for _ in 0..2 {
        uploaded(&chat, &alice, "a", b"").await;
    }
    let refused = upload(&chat, &alice, "a", "", b"").await;
    assert_eq!(refused.refusal(), (429, "too many files, please try again later".to_owned()));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=31).contains(&seconds), "{seconds}");
    assert_eq!(usage(&chat).await.files, 2);
    uploaded(&chat, &bob, "a", b"").await;
}

#[tokio::test]
async fn files_whose_records_do_not_outlive_the_process_go_with_it() {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("files");
    std::fs::create_dir_all(folder.join("ab")).unwrap();
    std::fs::write(folder.join("ab/abc"), b"of a process that was killed").unwrap();
    let chat = Chat::with(|options| {
        options.files.location = chat_files::FilesLocation::Folder(folder.clone());
        options.files.is_temporary = true;
    })
    .await;
    assert!(!folder.join("ab").exists());
    let alice = chat.sign_in("alice").await;
    let file = uploaded(&chat, &alice, "a", b"x").await;
    assert_eq!(chat.get(&address(&file), &alice).await.body, b"x");
    chat.server.stop().await;
    assert!(!folder.exists() && outside.path().exists());
}

#[tokio::test]
async fn a_download_ends_when_its_message_is_deleted_or_its_reader_removed() {
    let chat = Chat::start().await;
    let [alice, bob] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    let room =
        chat.create_room(&alice, json!({ "title": "Secret", "access": "closed", "members": ["bob"] })).await;
    let mut socket = Wire::open_v2(&chat, &alice).await;
    socket.send(&json!({ "type": "join", "room": room })).await;
    let large = vec![7; 20 << 20];
    let mut begun = Vec::new();
    for name in ["deleted", "removed"] {
        let file = uploaded(&chat, &alice, name, &large).await;
        let message = json!({ "type": "message", "room": room, "text": "", "files": [file["id"]] });
        let seq = acknowledged(&mut socket, message).await;
        let mut stream = chat.connect().await;
        stream.write_all(&chat.request("GET", &address(&file), &[("Cookie", &bob)], b"")).await.unwrap();
        let mut head = [0; 1000];
        stream.read_exact(&mut head).await.unwrap();
        assert!(head.starts_with(b"HTTP/1.1 200 OK"));
        begun.push((seq, stream));
    }
    let (_, mut removed) = begun.pop().unwrap();
    let (seq, mut deleted) = begun.pop().unwrap();
    acknowledged(&mut socket, json!({ "type": "delete", "room": room, "target": seq })).await;
    // What the buffers of both ends hold may still arrive.
    let mut rest = Vec::new();
    let _ = deleted.read_to_end(&mut rest).await;
    assert!(rest.len() < large.len() - 1000, "{}", rest.len());

    let path = format!("/api/rooms/{}/members/bob", crate::rooms::encoded(&room));
    assert_eq!(chat.json("DELETE", &path, &alice, Value::Null).await.status, 200);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    rest.clear();
    let _ = removed.read_to_end(&mut rest).await;
    assert!(rest.len() < large.len() - 1000, "{}", rest.len());
}

#[tokio::test]
async fn a_download_ends_with_the_session_of_its_reader() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    let large = vec![7; 20 << 20];
    let file = uploaded(&chat, &alice, "a", &large).await;
    // The session is ended here, then elsewhere.
    for is_here in [true, false] {
        let reply = chat.login("alice", "password").await;
        let cookie = reply.header("set-cookie").unwrap().split(';').next().unwrap();
        let mut stream = chat.connect().await;
        stream.write_all(&chat.request("GET", &address(&file), &[("Cookie", cookie)], b"")).await.unwrap();
        let mut head = [0; 1000];
        stream.read_exact(&mut head).await.unwrap();
        assert!(head.starts_with(b"HTTP/1.1 200 OK"));
        if is_here {
            let reply = chat.call("POST", "/api/logout", &[("Cookie", cookie)], b"").await;
            assert_eq!(reply.status, 200);
        } else {
            chat.store.memory.revoke_sessions_of(&Username::known("alice").unwrap()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
        // What the buffers of both ends hold may still arrive.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.len() < large.len() - 1000, "{}", rest.len());
    }
}

#[tokio::test]
async fn bytes_that_cannot_be_removed_keep_no_others() {
    let chat = Chat::with(|options| options.files.sweep_interval = Duration::from_millis(100)).await;
    let alice = chat.sign_in("alice").await;
    let folder = chat.uploads.path().join("files");
    let path = |file: &Value| {
        let id = file["id"].as_str().unwrap();
        folder.join(&id[..2]).join(id)
    };
    // More than are deleted in one step.
    let mut stuck = Vec::new();
    for _ in 0..101 {
        stuck.push(uploaded(&chat, &alice, "stuck", b"x").await);
    }
    for file in &stuck {
        std::fs::remove_file(path(file)).unwrap();
        std::fs::create_dir(path(file)).unwrap();
    }
    let drop_one = async |file: &Value| {
        let id = FileId::parse(file["id"].as_str().unwrap()).unwrap();
        chat.store.memory.drop_file(&id).await.unwrap();
    };
    for file in &stuck {
        drop_one(file).await;
    }
    for _ in 0..5 {
        drop_one(&uploaded(&chat, &alice, "other", b"x").await).await;
    }
    wait_for_files(&chat, 101).await;
    assert_eq!(stored(&chat), Vec::<String>::new());
    // They go once they can.
    for file in &stuck {
        std::fs::remove_dir(path(file)).unwrap();
    }
    wait_for_files(&chat, 0).await;
}

/// Waits until the store has so many files.
async fn wait_for_files(chat: &Chat, count: u64) {
    for _ in 0..6_000 {
        if usage(chat).await.files == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", usage(chat).await);
}

#[tokio::test]
async fn a_picture_loses_its_metadata_and_has_a_preview() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    let photo = jpeg_with_exif(&two_halves(64, 32));
    let file = uploaded(&chat, &alice, "photo.jpg", &photo).await;
    assert_eq!((&file["width"], &file["height"]), (&json!(32), &json!(64)), "upright");
    let served = chat.get(&address(&file), &alice).await.body;
    assert_eq!(file["size"], served.len());
    let position = [52, 0, 0, 0, 1, 0, 0, 0, 31];
    let has_position = |file: &[u8]| file.windows(position.len()).any(|part| part == position);
    assert!(has_position(&photo) && !has_position(&served));

    let rgba = RgbaImage::from_fn(1500, 900, |x, _| Rgba([255, 0, 0, if x < 750 { 255 } else { 0 }]));
    for (image, format, kind, expected) in [
        (two_halves(3000, 1000), ImageFormat::Jpeg, "image/jpeg", (720, 240)),
        (two_halves(400, 300), ImageFormat::Png, "image/jpeg", (400, 300)),
        (DynamicImage::from(rgba), ImageFormat::Png, "image/webp", (720, 432)),
        (two_halves(10, 2000), ImageFormat::WebP, "image/jpeg", (4, 720)),
        (two_halves(900, 900), ImageFormat::Gif, "image/jpeg", (720, 720)),
    ] {
        let file = uploaded(&chat, &alice, "picture", &encode(&image, format)).await;
        assert_eq!((&file["width"], &file["height"]), (&json!(image.width()), &json!(image.height())));
        for _ in 0..2 {
            let preview = chat.get(&format!("{}?preview", address(&file)), &alice).await;
            assert_eq!((preview.status, preview.header("content-type")), (200, Some(kind)), "{format:?}");
            let decoded = image::ImageReader::new(Cursor::new(&preview.body)).with_guessed_format().unwrap();
            assert_eq!(decoded.into_dimensions().unwrap(), expected, "{format:?}");
            let tag = preview.header("etag").unwrap();
            let headers = [("Cookie", &*alice), ("If-None-Match", tag)];
            let known = chat.call("GET", &format!("{}?preview=1", address(&file)), &headers, b"").await;
            assert_eq!(known.status, 304);
        }
    }
    let metrics = String::from_utf8(chat.get("/metrics", "").await.body).unwrap();
    assert!(metrics.contains("chat_previews_total{outcome=\"made\"} 5"), "each is made once: {metrics}");

    let mut damaged = png();
    damaged.truncate(damaged.len() / 2);
    for (name, bytes) in
        [("text", &b"hello"[..]), ("bomb", &black_png(60_000, 2_000)), ("damaged", &damaged), ("empty", b"")]
    {
        let file = uploaded(&chat, &alice, name, bytes).await;
        for _ in 0..2 {
            assert_eq!(chat.get(&format!("{}?preview", address(&file)), &alice).await.status, 404, "{name}");
        }
        assert_eq!(chat.get(&address(&file), &alice).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn files_that_no_message_has_go_after_their_time_with_their_previews() {
    let chat = Chat::with(|options| {
        options.files.unattached_lifetime = Duration::from_secs(8);
        options.files.sweep_interval = Duration::from_millis(100);
    })
    .await;
    let [alice, _] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    let kept = uploaded(&chat, &alice, "kept.png", &png()).await;
    let mut socket = Wire::open_v2(&chat, &alice).await;
    acknowledged(&mut socket, json!({ "type": "private", "to": "bob", "text": "", "files": [kept["id"]] }))
        .await;
    let forgotten = uploaded(&chat, &alice, "forgotten.png", &png()).await;
    for file in [&kept, &forgotten] {
        assert_eq!(chat.get(&format!("{}?preview", address(file)), &alice).await.status, 200);
    }
    assert_eq!(stored(&chat).len(), 4);
    until(|| stored(&chat).len() == 2).await;
    assert_eq!(chat.get(&address(&forgotten), &alice).await.status, 404);
    let kept_id = kept["id"].as_str().unwrap();
    assert_eq!(stored(&chat), [kept_id.to_owned(), format!("{kept_id}.preview")]);
}

/// 20 clients of one user upload pictures and ask for their previews in a loop; another user
/// does so once in a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_of_one_user_do_not_keep_another_waiting() {
    let chat = Chat::with(|options| options.files.uploads_per_minute = 1_000_000).await;
    let chat = std::sync::Arc::new(chat);
    let [greedy, other] = [chat.sign_in("greedy").await, chat.sign_in("other").await];
    let picture = encode(&two_halves(800, 600), ImageFormat::Png);
    let once = async |chat: &Chat, cookie: &str, picture: &[u8]| {
        let started = Instant::now();
        let reply = upload(chat, cookie, "a.png", "", picture).await;
        if reply.status != 201 {
            return (reply.status, started.elapsed());
        }
        let reply = chat.get(&format!("{}?preview", address(&reply.json())), cookie).await;
        (reply.status, started.elapsed())
    };
    let (_, alone) = once(&chat, &other, &picture).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (chat, greedy, picture) = (chat.clone(), greedy.clone(), picture.clone());
        clients.spawn(async move {
            loop {
                if once(&chat, &greedy, &picture).await.0 != 200 {
                    // Less than `Retry-After` asks for, but the machine is shared.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
    }
    let mut times = Vec::new();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (status, time) = once(&chat, &other, &picture).await;
        assert_eq!(status, 200, "the other user is served");
        times.push(time);
    }
    clients.shutdown().await;
    times.sort();
    println!("alone {alone:?}; beside 20 clients: median {:?}, longest {:?}", times[5], times[9]);
    // One picture of the greedy user is being made, and one more may be before this one.
    assert!(times[5] < 10 * alone + Duration::from_secs(2), "{times:?}");
}
