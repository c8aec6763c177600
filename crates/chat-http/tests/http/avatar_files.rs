//! The files of avatars: which are served, kept and removed.

use std::sync::atomic::Ordering;

use chat_core::Username;
use chat_http::remove_avatar;
use chat_store::{NewUser, UserRepository as _};
use image::ImageFormat;
use tokio::io::AsyncWriteExt as _;

use crate::avatars::served_avatar;
use crate::harness::{Chat, FORM, form, until};
use crate::pictures::*;

#[tokio::test]
async fn accounts_with_the_same_picture_share_a_file() {
    let chat = Chat::start().await;
    let alice = served_avatar(&chat, "alice", &png()).await.0;
    assert_eq!(served_avatar(&chat, "bob", &png()).await.0, alice);
    assert_eq!(chat.files().len(), 1);
    assert_eq!(chat.avatar_address("alice").await, chat.avatar_address("bob").await);
    // Registrations with this picture are refused, by the first check of the name and by the
    // last.
    assert_eq!(chat.register_with_avatar("alice", "a", &png()).await.refusal().1, "username already exists");
    chat.store.slow.store(true, Ordering::Relaxed);
    let png = png();
    let (one, two) = tokio::join!(
        chat.register_with_avatar("eve", "a", &png),
        chat.register_with_avatar("eve", "a", &png)
    );
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    assert_eq!(chat.files().len(), 1);
    let address = chat.avatar_address("alice").await;
    assert_eq!(chat.call("GET", &address, &[], b"").await.body, alice);
}

#[tokio::test]
async fn pictures_of_the_original_chat_are_served_unchanged() {
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
async fn a_form_without_a_file_means_no_avatar() {
    let chat = Chat::start().await;
    assert_eq!(chat.register_with_avatar("alice", "", b"").await.status, 200);
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
async fn an_account_that_is_being_created_keeps_its_picture() {
    let chat = Chat::start().await;
    chat.store.slow.store(true, Ordering::Relaxed);
    let body = form(&[("avatar", Some("a"), &png()), ("username", None, b"alice"), ("password", None, b"p")]);
    let mut stream = chat.connect().await;
    let request = chat.request("POST", "/api/register", &[("Content-Type", FORM)], &body);
    stream.write_all(&request).await.unwrap();
    let waits_for_alice = |file: &String| file.starts_with(".616c696365.") && file.ends_with(".part");
    until(|| chat.files().iter().any(waits_for_alice)).await;
    // The client hangs up before the store has answered.
    drop(stream);
    chat.server.stop().await;
    let alice = chat.store.find_user(&Username::known("alice").unwrap()).await.unwrap().unwrap();
    assert_eq!(alice.avatar, Some(format!("/uploads/{}", chat.files()[0])));
}

#[tokio::test]
async fn an_account_whose_creation_was_not_answered_has_its_picture() {
    let chat = Chat::start().await;
    chat.store.lost.store(true, Ordering::Relaxed);
    served_avatar(&chat, "alice", &png()).await;
    assert_eq!(chat.files().len(), 1);

    // If the outcome is unknown, the picture is kept for the next start.
    chat.store.out_after_loss.store(true, Ordering::Relaxed);
    let other = encode(&two_halves(64, 64), ImageFormat::Png);
    assert_eq!(chat.register_with_avatar("bob", "a", &other).await.status, 503);
    let files = chat.files();
    let waiting: Vec<_> = files.iter().filter(|file| file.starts_with(".626f62.")).collect();
    assert_eq!((files.len(), waiting.len()), (2, 1), "{files:?}");
    let address = format!("/uploads/{}", waiting[0]);
    assert_eq!(chat.call("GET", &address, &[], b"").await.status, 404);
}

#[tokio::test]
async fn files_that_a_crash_left_are_recovered_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    // The third waits for bob, who has no account in this store.
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

/// Creates an account with a picture, whose file contains its name.
async fn create_with_picture(chat: &Chat, name: &str, picture: &str) {
    let name = Username::known(name).unwrap();
    let avatar = Some(format!("/uploads/{picture}"));
    let user = NewUser { name, password_hash: String::new(), avatar, created_at_ms: 0 };
    chat.store.memory.create_user(&user).await.unwrap();
    std::fs::write(chat.uploads.path().join("uploads").join(picture), picture).unwrap();
}

#[tokio::test]
async fn a_picture_is_removed_with_the_last_account_that_has_it() {
    let chat = Chat::start().await;
    for (name, picture) in [("alice", "same.webp"), ("bob", "same.webp"), ("carol", "own.webp")] {
        create_with_picture(&chat, name, picture).await;
    }
    let folder = chat.uploads.path().join("uploads");
    for (name, left) in [("carol", &["same.webp"][..]), ("alice", &["same.webp"]), ("bob", &[])] {
        let name = Username::known(name).unwrap();
        let user = chat.store.memory.find_user(&name).await.unwrap().unwrap();
        chat.store.memory.remove_user(&name).await.unwrap();
        // The second removal finds nothing.
        for _ in 0..2 {
            remove_avatar(&folder, &user, &chat.store.memory, None).await.unwrap();
            assert_eq!(chat.files(), left, "{name}");
        }
    }
}

#[tokio::test]
async fn no_file_outside_the_folder_is_removed() {
    let chat = Chat::start().await;
    let outside = chat.uploads.path().join("outside.webp");
    std::fs::write(&outside, "x").unwrap();
    let folder = chat.uploads.path().join("uploads");
    for avatar in ["/uploads/../outside.webp", "/uploads/..", "/uploads/.", "/uploads/", "/outside.webp", ""]
    {
        let name = Username::known("mallory").unwrap();
        let user =
            NewUser { name, password_hash: String::new(), avatar: Some(avatar.into()), created_at_ms: 0 };
        chat.store.memory.recreate_user(&user).await.unwrap();
        let user = chat.store.memory.find_user(&user.name).await.unwrap().unwrap();
        chat.store.memory.remove_user(&user.name).await.unwrap();
        remove_avatar(&folder, &user, &chat.store.memory, None).await.unwrap();
        assert!(outside.exists() && folder.exists(), "{avatar}");
    }
}
