//! What users change of themselves: their picture and their password; and what anybody may
//! know of the server.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chat_auth::PasswordRule;
use chat_core::{RoomCreation, Username};
use chat_http::Registration;
use chat_store::{NewUser, SessionRepository as _, UserRepository as _};
use image::ImageFormat;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::external_tokens::{signed, with_external_tokens};
use crate::harness::{Chat, FORM, Reply, form, now, until};
use crate::pictures::*;
use crate::wire::Wire;

impl Chat {
    async fn put_avatar(&self, cookie: &str, picture: &[u8]) -> Reply {
        let body = form(&[("avatar", Some("a"), picture)]);
        self.call("PUT", "/api/me/avatar", &[("Cookie", cookie), ("Content-Type", FORM)], &body).await
    }

    async fn change_password(&self, cookie: &str, current: &str, new: &str) -> Reply {
        let body = json!({ "current": current, "new": new });
        self.json("POST", "/api/me/password", cookie, body).await
    }
}

fn another_png() -> Vec<u8> {
    encode(&two_halves(64, 64), ImageFormat::Png)
}

#[tokio::test]
async fn a_picture_is_replaced_and_removed_with_its_file() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    let bob = chat.sign_in("bob").await;
    let mut addresses = Vec::new();
    for picture in [png(), another_png()] {
        let reply = chat.put_avatar(&alice, &picture).await;
        let address = reply.json()["avatar"].as_str().unwrap().to_owned();
        assert_eq!((reply.status, reply.json()), (200, json!({ "username": "alice", "avatar": address })));
        assert_eq!(chat.get("/api/me", &alice).await.json()["avatar"], *address);
        assert_eq!(chat.get("/api/users/alice", &bob).await.json()["avatar"], *address);
        assert_eq!(chat.get("/api/users?name=alice", &bob).await.json()["users"][0]["avatar"], *address);
        assert_eq!(chat.call("GET", &address, &[], b"").await.status, 200);
        assert_eq!(chat.files(), [address.strip_prefix("/uploads/").unwrap()], "and no other");
        addresses.push(address);
    }
    assert_eq!(chat.call("GET", &addresses[0], &[], b"").await.status, 404);
    // The same picture again.
    assert_eq!(chat.put_avatar(&alice, &another_png()).await.json()["avatar"], *addresses[1]);
    assert_eq!(chat.files().len(), 1);

    for _ in 0..2 {
        let reply = chat.call("DELETE", "/api/me/avatar", &[("Cookie", &alice)], b"").await;
        assert_eq!((reply.status, reply.json()), (200, json!({ "username": "alice", "avatar": "" })));
        assert!(chat.files().is_empty());
    }
    assert_eq!(chat.get("/api/me", &alice).await.json()["avatar"], "");
}

#[tokio::test]
async fn a_picture_of_others_stays() {
    let chat = Chat::start().await;
    chat.register_with_avatar("bob", "a", &png()).await;
    let alice = chat.sign_in("alice").await;
    chat.put_avatar(&alice, &png()).await;
    chat.put_avatar(&alice, &another_png()).await;
    assert_eq!(chat.files().len(), 2);
    let address = chat.avatar_address("bob").await;
    assert_eq!(chat.call("GET", &address, &[], b"").await.status, 200);
}

#[tokio::test]
async fn a_picture_that_is_refused_changes_nothing() {
    let chat = Chat::with(|options| options.avatar_max_bytes = 200_000).await;
    let alice = chat.sign_in("alice").await;
    chat.put_avatar(&alice, &png()).await;
    let before = chat.files();
    let mut large = png();
    large.resize(300_000, 0);
    for (picture, sentence) in [
        (&b"<svg onload=alert(1)>"[..], "the avatar must be a picture (png, jpeg, gif or webp)"),
        (&large, "the avatar is too large (max 0 MiB)"),
        (b"", "a picture is required in the field avatar"),
        (&png()[..60], "the avatar is a damaged picture"),
    ] {
        assert_eq!(chat.put_avatar(&alice, picture).await.refusal(), (400, sentence.to_owned()));
    }
    let headers = [("Cookie", alice.as_str()), ("Content-Type", "application/json")];
    let reply = chat.call("PUT", "/api/me/avatar", &headers, b"{}").await;
    assert_eq!(reply.refusal(), (400, "the form must be sent as multipart/form-data".to_owned()));
    // Nobody who is not signed in leaves a file, and none is read to its end.
    assert_eq!(chat.put_avatar("auth=x", &another_png()).await.status, 401);
    assert_eq!(chat.files(), before);
    assert_eq!(chat.get("/api/me", &alice).await.json()["avatar"], *format!("/uploads/{}", before[0]));
}

#[tokio::test]
async fn pictures_of_several_devices_at_once_leave_one_file() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    let pictures: Vec<_> =
        (1..=6).map(|side| encode(&two_halves(side * 8, side * 8), ImageFormat::Png)).collect();
    let changes = pictures.iter().map(|picture| chat.put_avatar(&alice, picture));
    for reply in futures_util::future::join_all(changes).await {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let address = chat.get("/api/me", &alice).await.json()["avatar"].as_str().unwrap().to_owned();
    assert_eq!(chat.files(), [address.strip_prefix("/uploads/").unwrap()]);
}

#[tokio::test]
async fn a_picture_that_is_being_replaced_is_replaced_though_the_client_hangs_up() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    chat.put_avatar(&alice, &png()).await;
    chat.store.slow.store(true, Ordering::Relaxed);
    let headers = [("Cookie", alice.as_str()), ("Content-Type", FORM)];
    let request =
        chat.request("PUT", "/api/me/avatar", &headers, &form(&[("avatar", Some("a"), &another_png())]));
    let mut stream = chat.connect().await;
    stream.write_all(&request).await.unwrap();
    until(|| chat.files().iter().any(|file| file.ends_with(".leaving"))).await;
    drop(stream);
    chat.server.stop().await;
    let account = chat.store.find_user(&Username::known("alice").unwrap()).await.unwrap().unwrap();
    let files = chat.files();
    assert_eq!((files.len(), account.avatar), (1, Some(format!("/uploads/{}", files[0]))));
}

#[tokio::test]
async fn a_lost_answer_of_the_store_leaves_the_picture_that_the_account_has() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    chat.put_avatar(&alice, &png()).await;
    chat.store.lost.store(true, Ordering::Relaxed);
    let reply = chat.put_avatar(&alice, &another_png()).await;
    assert_eq!(reply.status, 200, "the store was asked again");
    let second = reply.json()["avatar"].as_str().unwrap().to_owned();
    assert_eq!(chat.files(), [second.strip_prefix("/uploads/").unwrap()]);

    // If the outcome is unknown, the next start finds it out.
    chat.store.out_after_loss.store(true, Ordering::Relaxed);
    assert_eq!(chat.put_avatar(&alice, &png()).await.status, 503);
    assert_eq!(chat.files().len(), 3, "both pictures and the note: {:?}", chat.files());
    chat.store.out.store(false, Ordering::Relaxed);
    let account = chat.store.find_user(&Username::known("alice").unwrap()).await.unwrap().unwrap();
    let third = account.avatar.unwrap();
    assert_ne!(third, second);
    let uploads = chat.uploads.path().join("uploads");
    let (user, hash) = (account.name, account.password_hash);
    let restarted = Chat::with_users(&uploads, &[(user.as_str(), &hash, Some(&third))]).await;
    let left: Vec<_> = std::fs::read_dir(&uploads).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, [third.strip_prefix("/uploads/").unwrap()]);
    assert_eq!(restarted.call("GET", &third, &[], b"").await.status, 200);
}

/// What is in the folder after a crash between every two steps of a change.
#[tokio::test]
async fn a_crash_during_a_change_leaves_the_picture_of_the_account_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let note = |name: &str| std::fs::write(folder.path().join(".0f.leaving"), name).unwrap();
    let picture = |name: &str| std::fs::write(folder.path().join(name), "x").unwrap();
    for (account_has, noted, expected) in [
        // Before the account has the other picture, and after.
        (Some("old.png"), "old.png", &["new.png", "old.png"][..]),
        (Some("new.png"), "old.png", &["new.png"]),
        (None, "old.png", &["new.png"]),
        // The file is gone, or the note was not written to its end.
        (Some("new.png"), "gone.png", &["new.png", "old.png"]),
        (Some("new.png"), "", &["new.png", "old.png"]),
        (Some("new.png"), "ol", &["new.png", "old.png"]),
        (Some("new.png"), "../outside.png", &["new.png", "old.png"]),
    ] {
        picture("old.png");
        picture("new.png");
        note(noted);
        let avatar = account_has.map(|name| format!("/uploads/{name}"));
        let _chat = Chat::with_users(folder.path(), &[("alice", "", avatar.as_deref())]).await;
        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, expected, "{account_has:?} {noted}");
    }
}

impl Chat {
    /// A server on a folder of uploads that exists, with these accounts: name, password
    /// hash, avatar.
    async fn with_users(uploads: &std::path::Path, users: &[(&str, &str, Option<&str>)]) -> Self {
        let store = crate::harness::Store::default();
        for (name, password_hash, avatar) in users {
            let user = NewUser {
                name: Username::known(name).unwrap(),
                password_hash: (*password_hash).to_owned(),
                avatar: avatar.map(str::to_owned),
                created_at_ms: 0,
            };
            store.memory.create_user(&user).await.unwrap();
        }
        Self::on(store, |options| options.uploads_dir = uploads.to_owned()).await
    }
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_and_their_sockets() {
    let chat = Chat::start().await;
    let phone = chat.sign_in("alice").await;
    let laptop = chat.sign_in_again("alice", "").await;
    let bob = chat.sign_in("bob").await;
    let mut sockets = [
        Wire::open(&chat, "a", &phone).await,
        Wire::open(&chat, "a", &laptop).await,
        Wire::open_v2(&chat, &laptop).await,
        Wire::open(&chat, "a", &bob).await,
    ];
    let reply = chat.change_password(&phone, "password", "correct horse").await;
    assert_eq!((reply.status, reply.json()), (200, json!({})));
    assert_eq!(sockets[1].close_code().await, Some(4001));
    assert_eq!(sockets[2].close_code().await, Some(4001));
    sockets[0].is_open().await;
    sockets[3].is_open().await;
    assert_eq!(chat.get("/api/me", &laptop).await.refusal(), (401, "invalid token".to_owned()));
    assert_eq!(chat.get("/api/me", &phone).await.status, 200);
    assert_eq!(chat.get("/api/me", &bob).await.status, 200);
    assert_eq!(chat.sessions(&phone).await.len(), 1);
    assert_eq!(chat.login("alice", "password").await.status, 401);
    assert_eq!(chat.login("alice", "correct horse").await.status, 200);
    // Again, with the password of the first change.
    assert_eq!(chat.change_password(&phone, "correct horse", "correct horse").await.status, 200);
    assert_eq!(chat.sessions(&phone).await.len(), 1);
}

#[tokio::test]
async fn a_wrong_current_password_changes_nothing_and_counts_as_a_failed_sign_in() {
    let chat = Chat::with(|options| options.sign_in_limits.from_address_max = 4).await;
    let (phone, laptop) = (chat.sign_in("alice").await, chat.sign_in_again("alice", "").await);
    let wrong = (403, "the current password is wrong".to_owned());
    // What cannot be a password is no guess.
    for current in ["Password", "", &"p".repeat(2_000), "password ", "passwor"] {
        assert_eq!(chat.change_password(&phone, current, "correct horse").await.refusal(), wrong);
    }
    assert_eq!(chat.get("/api/me", &laptop).await.status, 200);
    // A sign-in and a change count together, whatever the case of the name.
    assert_eq!(chat.login("ALICE", "wrong").await.status, 401);
    for reply in [
        chat.change_password(&laptop, "password", "correct horse").await,
        chat.login("alice", "password").await,
    ] {
        let sentence = "too many failed sign-ins, please try again later";
        assert_eq!(reply.refusal(), (429, sentence.to_owned()));
        assert!(reply.header("retry-after").is_some());
    }
    assert_eq!(chat.get("/api/me", &laptop).await.status, 200);
}

#[tokio::test]
async fn a_new_password_follows_the_rule() {
    let chat =
        Chat::with(|options| options.password_rule = PasswordRule { min_chars: 8, allow_common: true }).await;
    let name = "Анна-Мария";
    let short = "password too short (min 8 characters)";
    let is_name = "password must not be the username";
    for (password, sentence) in
        [("жжжжжжж", short), ("p", short), ("Анна-Мария", is_name), (" АННА-МАРИЯ ", is_name)]
    {
        assert_eq!(chat.register(name, password).await.refusal(), (400, sentence.to_owned()));
    }
    let cookie = chat.sign_in(name).await;
    for (new, sentence) in [
        ("", "password must not be empty"),
        ("1234567", short),
        (&"p".repeat(1025), "password too long (max 1024 bytes)"),
        ("анна-мария", is_name),
    ] {
        // The rule comes first, so that these are no guesses.
        let reply = chat.change_password(&cookie, "wrong", new).await;
        assert_eq!(reply.refusal(), (400, sentence.to_owned()), "{new}");
    }
    for body in ["", "[]", r#"{"current":1}"#] {
        let headers = [("Cookie", cookie.as_str())];
        let reply = chat.call("POST", "/api/me/password", &headers, body.as_bytes()).await;
        assert_eq!(reply.refusal(), (400, "invalid json".to_owned()));
    }
    assert_eq!(chat.change_password(&cookie, "password", "жжжжжжжж").await.status, 200);
    assert_eq!(chat.login(name, "жжжжжжжж").await.status, 200);
}

#[tokio::test]
async fn an_account_with_a_short_password_still_signs_in() {
    let chat = Chat::start().await;
    assert_eq!(chat.register("alice", "p").await.status, 200, "the rule of these tests");
    let alice = chat.store.memory.find_user(&Username::known("alice").unwrap()).await.unwrap().unwrap();
    let strict = Chat::with(|options| options.password_rule = PasswordRule::default()).await;
    let user =
        NewUser { name: alice.name, password_hash: alice.password_hash, avatar: None, created_at_ms: 0 };
    strict.store.memory.create_user(&user).await.unwrap();
    assert_eq!(strict.login("alice", "p").await.status, 200);
}

#[tokio::test]
async fn users_of_another_issuer_have_no_password_to_change() {
    let chat = with_external_tokens().await;
    chat.sign_in("alice").await;
    let sentence = "you are signed in by another service: there is no password to change here";
    for name in ["alice", "guest"] {
        let by_host = signed(&json!({ "sub": name, "exp": now() + 60 }));
        let reply = chat.change_password(&by_host, "password", "correct horse").await;
        assert_eq!(reply.refusal(), (409, sentence.to_owned()), "{name}");
    }
    // They have a picture as soon as they have an account, with their first socket.
    let guest = signed(&json!({ "sub": "guest", "exp": now() + 60 }));
    assert_eq!(chat.put_avatar(&guest, &png()).await.refusal(), (404, "user not found".to_owned()));
    assert!(chat.files().is_empty());
    Wire::open(&chat, "a", &guest).await.next_of("system").await;
    let reply = chat.put_avatar(&guest, &png()).await;
    assert_eq!(chat.get("/api/me", &guest).await.json()["avatar"], reply.json()["avatar"]);
}

#[tokio::test]
async fn a_change_whose_answer_the_store_loses_is_made() {
    let chat = Chat::start().await;
    let (phone, laptop) = (chat.sign_in("alice").await, chat.sign_in_again("alice", "").await);
    let mut socket = Wire::open(&chat, "a", &laptop).await;
    chat.store.lost.store(true, Ordering::Relaxed);
    assert_eq!(chat.change_password(&phone, "password", "correct horse").await.status, 200);
    assert_eq!(socket.close_code().await, Some(4001));
    assert_eq!(chat.login("alice", "correct horse").await.status, 200);
    // Of two changes at once, the second finds that what it has checked is wrong by now.
    chat.store.lost.store(false, Ordering::Relaxed);
    let another = chat.sign_in_again_with("alice", "correct horse").await;
    let (one, other) = tokio::join!(
        chat.change_password(&phone, "correct horse", "one of two"),
        chat.change_password(&another, "correct horse", "other of two"),
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert!(matches!(statuses, [200, 401 | 403]), "{statuses:?}");
}

impl Chat {
    async fn sign_in_again_with(&self, username: &str, password: &str) -> String {
        let reply = self.login(username, password).await;
        reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }
}

/// A sign-in with an outdated hash that is replaced while the password is changed.
#[tokio::test]
async fn a_sign_in_with_an_old_hash_that_a_change_overtook_is_refused() {
    let chat = Chat::start().await;
    let name = Username::known("alice").unwrap();
    let password_hash = "$2a$10$N9qo8uLOickgx2ZMRZoMye7hLCKuEIm4BcKHuoCJsBy/5Q0NErxWS".to_owned();
    let user = NewUser { name: name.clone(), password_hash, avatar: None, created_at_ms: 0 };
    chat.store.memory.create_user(&user).await.unwrap();
    chat.store.changed_before_renewal.store(true, Ordering::Relaxed);
    let reply = chat.login("alice", "correct horse").await;
    assert_eq!(reply.refusal(), (401, "invalid credentials".to_owned()));
    assert_eq!(chat.store.memory.sessions_of(&name, 0).await.unwrap(), []);
}

#[tokio::test]
async fn anybody_may_know_the_title_and_the_rules_of_the_server() {
    let chat = Chat::with(|options| options.title = "Наш чат".to_owned()).await;
    let info = async |chat: &Chat| chat.call("GET", "/api/server", &[], b"").await.json();
    let alice = chat.sign_in("alice").await;
    let features = chat.get("/api/me", &alice).await.json()["features"].clone();
    let expected = json!({
        "title": "Наш чат",
        "registration": "open",
        "room_creation": "everybody",
        "password_min_chars": 1,
        "features": features,
        "setup": true,
        "passwords": true,
    });
    assert_eq!(info(&chat).await, expected);
    chat.store.memory.set_administrator(&Username::known("alice").unwrap(), true, 1).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(info(&chat).await["setup"], false);

    let closed = Chat::with(|options| {
        options.registration = Registration::Closed;
        options.shards.hub.room_creation = RoomCreation::Administrators;
        options.password_rule = PasswordRule::default();
    })
    .await;
    let info = info(&closed).await;
    assert_eq!((&info["title"], &info["registration"]), (&json!("Chat"), &json!("closed")));
    assert_eq!(info["password_min_chars"], 8);
    assert_eq!(info["room_creation"], "administrators");
    closed.store.out.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(closed.call("GET", "/api/server", &[], b"").await.status, 503);
}
