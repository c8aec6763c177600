//! The names that can be registered, and closed registration.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chat_core::{ReservedNames, Username};
use chat_http::Registration;
use chat_store::{NewUser, UserRepository as _};
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Chat, FORM, Reply};

const ALIKE: &str = "username looks too much like an existing one, please take another";

const RESERVED: &str = "username is reserved, please take another";

const CLOSED: &str = "registration is closed here: ask whoever runs this chat for an account";

#[tokio::test]
async fn a_name_that_is_confusable_with_another_is_refused() {
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
async fn of_two_registrations_at_once_the_later_is_refused_in_the_same_way() {
    let chat = Chat::start().await;
    chat.store.slow.store(true, Ordering::Relaxed);
    let (one, other) = tokio::join!(chat.register("alice", "password"), chat.register("Alice", "password"));
    let (won, lost) = if one.status == 200 { (one, other) } else { (other, one) };
    assert_eq!((won.status, lost.refusal()), (200, (400, ALIKE.to_owned())));
}

#[tokio::test]
async fn some_names_are_reserved() {
    let chat = Chat::start().await;
    for name in [
        "admin",
        "Admin",
        "аdmin",
        "root",
        "SYSTEM",
        "server",
        "m0derator",
        "administrator",
        "admin1",
        "system.",
        "sys tem",
        "support",
        "everyone",
        "all",
        "Система",
        "Администратор",
        "Модератор",
        "Поддержка",
    ] {
        assert_eq!(chat.register(name, "password").await.refusal(), (400, RESERVED.to_owned()), "{name}");
    }
    for name in ["administer", "ALI"] {
        assert_eq!(chat.register(name, "password").await.status, 200, "{name}");
    }

    let chat = Chat::with(|options| options.reserved_names = ReservedNames::new(["Хозяин"])).await;
    assert_eq!(chat.register("хозяин", "password").await.refusal(), (400, RESERVED.to_owned()));
    assert_eq!(chat.register("admin", "password").await.status, 200);
}

#[tokio::test]
async fn a_name_can_be_seen_and_called() {
    let chat = Chat::start().await;
    for (name, refusal) in [
        ("...", "username must have a letter, a digit or an emoji"),
        ("· ·", "username must have a letter, a digit or an emoji"),
        (
            "Z\u{335}\u{321}\u{327}\u{322}\u{328}algo",
            "username must not contain more than 4 marks on one letter",
        ),
        ("ali\u{202E}ce", "username must not contain control or invisible characters"),
        ("bob1\u{FE0F}", "username must not contain control or invisible characters"),
    ] {
        assert_eq!(chat.register(name, "password").await.refusal(), (400, refusal.to_owned()), "{name:?}");
    }
    for name in ["Nguyễn Thị Ánh", "श्रीमती", "กำลังที่", "مُحَمَّدٌ", "J. R. R.", "👩\u{200D}💻"]
    {
        assert_eq!(chat.register(name, "password").await.status, 200, "{name}");
    }
}

/// Accounts that are older than the rules for names.
#[tokio::test]
async fn an_account_whose_name_cannot_be_registered_any_more_signs_in() {
    let chat = Chat::start().await;
    assert_eq!(chat.register("alice", "password").await.status, 200);
    let alice = chat.store.memory.find_user(&Username::known("alice").unwrap()).await.unwrap().unwrap();
    for name in ["...", "Z\u{335}\u{321}\u{327}\u{322}\u{328}algo", "sys tem", "Система", "bob1\u{FE0F}"]
    {
        let name = Username::known(name).unwrap();
        let older = NewUser {
            name: name.clone(),
            password_hash: alice.password_hash.clone(),
            avatar: None,
            created_at_ms: 0,
        };
        chat.store.memory.create_user(&older).await.unwrap();
        for written in [name.to_string(), format!(" {name} ")] {
            // White space was cut off only where the rest could be typed.
            let is_typed = Username::typed(&written).is_ok() || written == name.as_str();
            let status = chat.login(&written, "password").await.status;
            assert_eq!(status, if is_typed { 200 } else { 401 }, "{written:?}");
        }
    }
}

#[tokio::test]
async fn where_registration_is_closed_nothing_is_read() {
    let chat = Chat::with(|options| options.registration = Registration::Closed).await;
    assert_eq!(chat.register("alice", "password").await.refusal(), (403, CLOSED.to_owned()));
    assert_eq!(chat.login("alice", "password").await.status, 401, "there is no such account");
    // The body is not parsed, so it may be anything.
    assert_eq!(chat.call("POST", "/api/register", &[], b"{}").await.refusal().0, 403);
    let picture = vec![0; 3 << 20];
    let fields = [("username", None, &b"alice"[..]), ("avatar", Some("a.png"), &picture)];
    let large = chat.register_form(&fields).await;
    assert_eq!(large.refusal(), (403, CLOSED.to_owned()));
    assert_eq!(chat.files(), [""; 0]);

    // A client that waits for `100 Continue` gets the response at once.
    let mut stream = chat.connect().await;
    let head = format!(
        "POST /api/register HTTP/1.1\r\nHost: {}\r\nContent-Type: {FORM}\r\nContent-Length: 9000000\r\n\
         Expect: 100-continue\r\n\r\n",
        chat.host()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let reply = tokio::time::timeout(Duration::from_secs(30), Reply::read(&mut stream)).await;
    assert_eq!(reply.expect("a response without a body").refusal(), (403, CLOSED.to_owned()));
}
