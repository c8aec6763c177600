//! Who may register, and under which names.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chat_core::{Skeleton, Username};
use chat_http::{Registration, remove_avatar};
use chat_store::{NewUser, SessionRepository as _, User, UserRepository as _};
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Chat, FORM, Reply};

const ALIKE: &str = "username looks too much like an existing one, please take another";
const RESERVED: &str = "username is reserved, please take another";
const CLOSED: &str = "registration is closed here: ask whoever runs this chat for an account";

#[tokio::test]
async fn nobody_can_pass_for_somebody_else() {
    let chat = Chat::start().await;
    assert_eq!(chat.register("alice", "password").await.status, 200);
    for name in ["Alice", "ALICE", "аlice", "a1ice", "AIice"] {
        assert_eq!(chat.register(name, "password").await.refusal(), (400, ALIKE.to_owned()), "{name}");
    }
    let taken = chat.register("alice", "password").await.refusal();
    assert_eq!(taken, (400, "username already exists".to_owned()));
    assert_eq!(chat.register("alicia", "password").await.status, 200);
}

#[tokio::test]
async fn of_two_who_register_at_once_the_later_is_told_the_same() {
    let chat = Chat::start().await;
    chat.store.slow.store(true, Ordering::Relaxed);
    let (one, other) = tokio::join!(chat.register("alice", "password"), chat.register("Alice", "password"));
    let (won, lost) = if one.status == 200 { (one, other) } else { (other, one) };
    assert_eq!((won.status, lost.refusal()), (200, (400, ALIKE.to_owned())));
}

#[tokio::test]
async fn some_names_are_reserved() {
    let chat = Chat::start().await;
    for name in ["admin", "Admin", "аdmin", "root", "SYSTEM", "server", "m0derator", "administrator"] {
        assert_eq!(chat.register(name, "password").await.refusal(), (400, RESERVED.to_owned()), "{name}");
    }
    assert_eq!(chat.register("administer", "password").await.status, 200);

    let chat = Chat::with(|options| options.reserved_names = vec![Skeleton::of("Хозяин")]).await;
    assert_eq!(chat.register("хозяин", "password").await.refusal(), (400, RESERVED.to_owned()));
    assert_eq!(chat.register("admin", "password").await.status, 200);
}

#[tokio::test]
async fn who_has_a_reserved_name_or_one_like_anothers_signs_in() {
    let chat = Chat::with(|options| options.reserved_names.clear()).await;
    assert_eq!(chat.register("admin", "password").await.status, 200);
    let hash = chat.store.memory.find_user(&Username::known("admin").unwrap()).await.unwrap().unwrap();
    let chat = Chat::start().await;
    let name = Username::known("admin").unwrap();
    let taken_over = NewUser { name, password_hash: hash.password_hash, avatar: None, created_at_ms: 0 };
    chat.store.memory.create_user(&taken_over).await.unwrap();
    assert_eq!(chat.login("admin", "password").await.status, 200);
}

#[tokio::test]
async fn where_registration_is_closed_nothing_is_read() {
    let chat = Chat::with(|options| options.registration = Registration::Closed).await;
    assert_eq!(chat.register("alice", "password").await.refusal(), (403, CLOSED.to_owned()));
    assert_eq!(chat.login("alice", "password").await.status, 401, "there is no such account");
    // Not even looked at, so that it does not matter what it is.
    assert_eq!(chat.call("POST", "/api/register", &[], b"{}").await.refusal().0, 403);
    let picture = vec![0; 3 << 20];
    let fields = [("username", None, &b"alice"[..]), ("avatar", Some("a.png"), &picture)];
    let large = chat.register_form(&fields).await;
    assert_eq!(large.refusal(), (403, CLOSED.to_owned()));
    assert_eq!(chat.files(), [""; 0]);

    // Who asks before it sends is told at once.
    let mut stream = chat.connect().await;
    let head = format!(
        "POST /api/register HTTP/1.1\r\nHost: {}\r\nContent-Type: {FORM}\r\nContent-Length: 9000000\r\n\
         Expect: 100-continue\r\n\r\n",
        chat.host()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(5), Reply::read(&mut stream)).await;
    assert_eq!(told.expect("an answer without a body").refusal(), (403, CLOSED.to_owned()));
}

#[tokio::test]
async fn a_sign_in_that_was_overtaken_by_a_new_password_is_refused() {
    let chat = Chat::start().await;
    assert_eq!(chat.register("alice", "password").await.status, 200);
    let name = Username::known("alice").unwrap();
    let User { password_hash, .. } = chat.store.memory.find_user(&name).await.unwrap().unwrap();
    let alice = NewUser { name: name.clone(), password_hash, avatar: None, created_at_ms: 0 };
    for (what, happens) in
        [("another password", &chat.store.changed_first), ("removed", &chat.store.removed_first)]
    {
        let sessions = async || chat.store.memory.sessions_of(&name, 0).await.unwrap();
        happens.store(true, Ordering::Relaxed);
        let reply = chat.login("alice", "password").await;
        assert_eq!(reply.refusal(), (401, "invalid credentials".to_owned()), "{what}");
        assert_eq!((reply.header("set-cookie"), sessions().await), (None, vec![]), "{what}");
        chat.store.memory.remove_user(&name).await.unwrap();
        chat.store.memory.recreate_user(&alice).await.unwrap();
        assert_eq!(chat.login("alice", "password").await.status, 200);
        chat.store.memory.revoke_sessions_of(&name).await.unwrap();
    }
}

/// A picture as it is kept: some bytes under a name.
async fn with_picture(chat: &Chat, name: &str, picture: &str) {
    let name = Username::known(name).unwrap();
    let avatar = Some(format!("/uploads/{picture}"));
    let user = NewUser { name, password_hash: String::new(), avatar, created_at_ms: 0 };
    chat.store.memory.create_user(&user).await.unwrap();
    std::fs::write(chat.uploads.path().join("uploads").join(picture), picture).unwrap();
}

#[tokio::test]
async fn a_picture_goes_with_the_last_account_that_has_it() {
    let chat = Chat::start().await;
    for (name, picture) in [("alice", "same.webp"), ("bob", "same.webp"), ("carol", "own.webp")] {
        with_picture(&chat, name, picture).await;
    }
    let folder = chat.uploads.path().join("uploads");
    for (name, left) in [("carol", &["same.webp"][..]), ("alice", &["same.webp"]), ("bob", &[])] {
        let name = Username::known(name).unwrap();
        let user = chat.store.memory.find_user(&name).await.unwrap().unwrap();
        chat.store.memory.remove_user(&name).await.unwrap();
        // The second time there is nothing left to do.
        for _ in 0..2 {
            remove_avatar(&folder, &user, &chat.store.memory).await.unwrap();
            assert_eq!(chat.files(), left, "{name}");
        }
    }
}

#[tokio::test]
async fn no_file_elsewhere_goes_with_a_picture() {
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
        remove_avatar(&folder, &user, &chat.store.memory).await.unwrap();
        assert!(outside.exists() && folder.exists(), "{avatar}");
    }
}
