//! Pictures: what is taken, what is given out, and that nothing stays behind.

use std::sync::atomic::Ordering;

use chat_core::Username;
use chat_store::UserRepository as _;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Chat, FORM, form, until};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR and so on";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0 and so on";
const GIF: &[u8] = b"GIF89a and so on";
const WEBP: &[u8] = b"RIFF\x24\0\0\0WEBPVP8 and so on";

async fn register(chat: &Chat, username: &str, file: &str, avatar: &[u8]) -> crate::harness::Reply {
    let fields = [
        ("avatar", Some(file), avatar),
        ("username", None, username.as_bytes()),
        ("password", None, b"password"),
    ];
    chat.register_form(&fields).await
}

#[tokio::test]
async fn a_picture_is_kept_and_given_out() {
    let chat = Chat::start().await;
    for (name, avatar, extension, content_type) in [
        ("png", PNG, ".png", "image/png"),
        ("jpg", JPEG, ".jpg", "image/jpeg"),
        ("gif", GIF, ".gif", "image/gif"),
        ("webp", WEBP, ".webp", "image/webp"),
    ] {
        // What the client calls it means nothing.
        assert_eq!(register(&chat, name, "../../evil.html", avatar).await.status, 200);
        let reply = chat.login(name, "password").await;
        let address = reply.json()["avatar"].as_str().unwrap().to_owned();
        assert!(address.starts_with("/uploads/") && address.ends_with(extension), "{address}");
        let cookie = reply.header("set-cookie").unwrap();
        let me = chat.get("/api/me", cookie.split(';').next().unwrap()).await;
        assert_eq!(me.json(), json!({ "username": name, "avatar": address }));

        let picture = chat.call("GET", &address, &[], b"").await;
        assert_eq!((picture.status, &picture.body[..]), (200, avatar));
        assert_eq!(picture.header("content-type"), Some(content_type));
        assert_eq!(picture.header("content-length"), Some(avatar.len().to_string().as_str()));
        assert_eq!(picture.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(picture.header("cache-control"), Some("public, max-age=31536000, immutable"));
        let head = chat.call("HEAD", &address, &[], b"").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
    }
    assert_eq!(chat.files().len(), 4);
}

#[tokio::test]
async fn a_large_picture_comes_back_whole() {
    let chat = Chat::start().await;
    let mut large = PNG.to_vec();
    large.extend((0u32..1_000_000).flat_map(u32::to_le_bytes));
    assert_eq!(register(&chat, "alice", "a.png", &large).await.status, 200);
    let address = chat.login("alice", "password").await.json()["avatar"].as_str().unwrap().to_owned();
    assert!(chat.call("GET", &address, &[], b"").await.body == large);
}

#[tokio::test]
async fn a_form_without_a_file_means_no_avatar() {
    let chat = Chat::start().await;
    assert_eq!(register(&chat, "alice", "", b"").await.status, 200);
    assert_eq!(chat.login("alice", "password").await.json()["avatar"], "");
    assert!(chat.files().is_empty());
}

#[tokio::test]
async fn a_refused_registration_leaves_no_file() {
    let chat = Chat::with(|options| options.avatar_max_bytes = 1 << 20).await;
    chat.register("taken", "password").await;
    let not_a_picture = "the avatar must be a picture (png, jpeg, gif or webp)";
    let mut too_large = PNG.to_vec();
    too_large.resize((1 << 20) + 1, 0);
    let mut hidden = b"<script>alert(1)</script>".repeat(10);
    hidden.extend_from_slice(PNG);
    for (username, avatar, sentence) in [
        ("taken", PNG, "username already exists"),
        ("", PNG, "username and password are required"),
        ("bob", b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", not_a_picture),
        ("bob", b"x", not_a_picture),
        ("bob", &hidden, not_a_picture),
        ("bob", &too_large, "the avatar is too large (max 1 MiB)"),
    ] {
        let reply = register(&chat, username, "a.png", avatar).await;
        assert_eq!(reply.refusal(), (400, sentence.to_owned()), "{username}");
        assert_eq!(chat.files(), Vec::<String>::new(), "{sentence}");
    }
    let twice = [
        ("username", None, &b"bob"[..]),
        ("password", None, b"p"),
        ("avatar", Some("a"), PNG),
        ("avatar", Some("b"), GIF),
    ];
    assert_eq!(chat.register_form(&twice).await.error(), "the form has the field avatar twice");
    assert_eq!(chat.files(), Vec::<String>::new());

    chat.store.out.store(true, Ordering::Relaxed);
    assert_eq!(register(&chat, "bob", "a.png", PNG).await.status, 503);
    assert_eq!(chat.files(), Vec::<String>::new());
    // Right up to the limit is fine.
    chat.store.out.store(false, Ordering::Relaxed);
    too_large.pop();
    assert_eq!(register(&chat, "bob", "a.png", &too_large).await.status, 200);
}

#[tokio::test]
async fn a_registration_that_breaks_off_leaves_no_file() {
    let chat = Chat::start().await;
    let mut avatar = PNG.to_vec();
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
    let body = form(&[("avatar", Some("a"), PNG), ("username", None, b"alice"), ("password", None, b"p")]);
    let mut stream = chat.connect().await;
    let request = chat.request("POST", "/api/register", &[("Content-Type", FORM)], &body);
    stream.write_all(&request).await.unwrap();
    until(|| chat.files().iter().any(|file| file.ends_with(".png"))).await;
    // Gone before the store has answered.
    drop(stream);
    chat.server.stop().await;
    let alice = chat.store.find_user(&Username::known("alice").unwrap()).await.unwrap().unwrap();
    assert_eq!(alice.avatar, Some(format!("/uploads/{}", chat.files()[0])));
}

#[tokio::test]
async fn only_so_many_pictures_are_on_their_way() {
    let chat = Chat::with(|options| options.avatar_uploads_max = 1).await;
    let mut avatar = PNG.to_vec();
    avatar.resize(100_000, 0);
    let body = form(&[("avatar", Some("a.png"), &avatar)]);
    let request = chat.request("POST", "/api/register", &[("Content-Type", FORM)], &body);
    let mut stream = chat.connect().await;
    stream.write_all(&request[..50_000]).await.unwrap();
    until(|| chat.files().len() == 1).await;
    let reply = register(&chat, "bob", "a.png", PNG).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert_eq!(chat.register("bob", "password").await.status, 200, "without a picture");
    drop(stream);
    until(|| chat.files().is_empty()).await;
    assert_eq!(register(&chat, "eve", "a.png", PNG).await.status, 200);
}

#[tokio::test]
async fn what_a_crash_left_half_received_is_removed_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for name in [".0f.part", "0f.png", "readme.txt", ".gitkeep"] {
        std::fs::write(folder.path().join(name), PNG).unwrap();
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
