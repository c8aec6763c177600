//! The names that can be registered, and closed registration.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chat_core::Skeleton;
use chat_http::Registration;
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
    for name in ["admin", "Admin", "аdmin", "root", "SYSTEM", "server", "m0derator", "administrator"] {
        assert_eq!(chat.register(name, "password").await.refusal(), (400, RESERVED.to_owned()), "{name}");
    }
    assert_eq!(chat.register("administer", "password").await.status, 200);

    let chat = Chat::with(|options| options.reserved_names = vec![Skeleton::of("Хозяин")]).await;
    assert_eq!(chat.register("хозяин", "password").await.refusal(), (400, RESERVED.to_owned()));
    assert_eq!(chat.register("admin", "password").await.status, 200);
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
    let reply = tokio::time::timeout(Duration::from_secs(5), Reply::read(&mut stream)).await;
    assert_eq!(reply.expect("a response without a body").refusal(), (403, CLOSED.to_owned()));
}
