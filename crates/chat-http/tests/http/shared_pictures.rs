//! Pictures of accounts, where several servers have one database.

use std::sync::Arc;
use std::time::Duration;

use chat_core::Username;
use chat_store::{NewUser, SharedRepository as _, UserRepository as _};

use crate::avatars::served_avatar;
use crate::harness::{Chat, Store, until};
use crate::pictures::*;

#[tokio::test]
async fn a_picture_is_shown_by_every_server_until_its_account_gives_it_up() {
    let store = Arc::new(Store::default());
    let one = Chat::among_others(&store, |_| {}).await;
    let other = Chat::among_others(&store, |_| {}).await;
    let alices = served_avatar(&one, "alice", &png()).await.0;
    let address = one.avatar_address("alice").await;
    assert!(other.files().is_empty());
    for _ in 0..2 {
        let found = other.call("GET", &address, &[], b"").await;
        assert_eq!((found.status, &found.body), (200, &alices));
        assert_eq!(found.header("content-type"), Some("image/webp"));
    }
    assert_eq!(other.files(), one.files());
    let unknown = format!("/uploads/{}.webp", "0".repeat(64));
    assert_eq!(other.call("GET", &unknown, &[], b"").await.status, 404);

    // The folder of a server may be lost.
    std::fs::remove_file(one.uploads.path().join("uploads").join(&one.files()[0])).unwrap();
    assert_eq!(one.call("GET", &address, &[], b"").await.body, alices);

    let cookie = one.login("alice", "password").await.header("set-cookie").unwrap().to_owned();
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(one.call("DELETE", "/api/me/avatar", &[("Cookie", cookie)], b"").await.status, 200);
    assert_eq!(one.call("GET", &address, &[], b"").await.status, 404);
    // Nor does a server get it that has not shown it.
    let third = Chat::among_others(&store, |_| {}).await;
    assert_eq!(third.call("GET", &address, &[], b"").await.status, 404);
}

#[tokio::test]
async fn the_pictures_of_a_folder_are_brought_to_the_others() {
    let store = Arc::new(Store::default());
    // From before there were several servers, and one of the original chat.
    let before = tempfile::tempdir().unwrap();
    for (name, picture) in [("alice", "1699999999_cat picture.png"), ("bob", "0f.webp")] {
        let avatar = Some(format!("/uploads/{picture}"));
        let name = Username::known(name).unwrap();
        let user = NewUser { name, password_hash: String::new(), avatar, created_at_ms: 0 };
        store.memory.create_user(&user).await.unwrap();
        std::fs::write(before.path().join(picture), png()).unwrap();
    }
    // What nobody has, and what is not of this program.
    let stale = format!("{}.webp", "a".repeat(64));
    for other in [&stale, "unused.png", "readme.txt"] {
        std::fs::write(before.path().join(other), png()).unwrap();
    }
    let one = Chat::among_others(&store, |options| options.uploads_dir = before.path().to_owned()).await;
    let other = Chat::among_others(&store, |_| {}).await;
    until(|| !before.path().join(&stale).exists()).await;
    for (address, picture) in [
        ("/uploads/1699999999_cat%20picture.png", "1699999999_cat picture.png"),
        ("/uploads/0f.webp", "0f.webp"),
    ] {
        while store.memory.picture(&format!("/uploads/{picture}")).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(other.call("GET", address, &[], b"").await.body, png());
    }
    assert!(before.path().join("unused.png").exists() && before.path().join("readme.txt").exists());
    assert_eq!(other.call("GET", "/uploads/unused.png", &[], b"").await.status, 404);
    drop(one);
}
