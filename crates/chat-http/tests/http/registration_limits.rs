//! How many accounts may be created.

use std::time::Duration;

use chat_auth::PasswordRule;

use crate::harness::{Chat, FORM, form};

async fn register_from(chat: &Chat, from: &str, name: &str, password: &str) -> crate::harness::Reply {
    let fields = [("username", None, name.as_bytes()), ("password", None, password.as_bytes())];
    let headers = [("Content-Type", FORM), ("X-Forwarded-For", from)];
    chat.call("POST", "/api/register", &headers, &form(&fields)).await
}

async fn metrics(chat: &Chat) -> String {
    String::from_utf8(chat.get("/metrics", "").await.body).unwrap()
}

#[tokio::test]
async fn an_address_and_all_of_them_create_only_some_accounts() {
    let proxy = "127.0.0.1/32".parse().unwrap();
    let chat = Chat::with(|options| {
        options.trusted_proxies = vec![proxy];
        options.registration_limits.per_address = 3;
        options.registration_limits.per_hour = 5;
    })
    .await;
    let sentence = "too many accounts were created, please try again later";
    for name in ["a", "b", "c"] {
        // What is refused for another reason does not count.
        assert_eq!(register_from(&chat, "192.0.2.1", name, "").await.status, 400);
        assert_eq!(register_from(&chat, "192.0.2.1", name, "p").await.status, 200);
        let again = if name == "c" { 429 } else { 400 };
        assert_eq!(register_from(&chat, "192.0.2.1", name, "p").await.status, again);
    }
    let reply = register_from(&chat, "192.0.2.1", "d", "p").await;
    assert_eq!(reply.refusal(), (429, sentence.to_owned()));
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1_000..=1_201).contains(&wait), "a third of an hour: {wait}");
    assert_eq!(register_from(&chat, "2001:db8::1", "d", "p").await.status, 200, "another address");
    assert_eq!(register_from(&chat, "2001:db8:0:ff::2", "e", "p").await.status, 200);
    let reply = register_from(&chat, "192.0.2.7", "f", "p").await;
    assert_eq!(reply.refusal(), (429, sentence.to_owned()));
    let metrics = metrics(&chat).await;
    for limit in ["registrations_per_address", "registrations_per_hour"] {
        let line = format!("chat_limit_refusals_total{{limit=\"{limit}\"}}");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn a_registration_that_fails_late_does_not_count() {
    let chat = Chat::with(|options| options.registration_limits.per_address = 1).await;
    // The names are free when they are checked, and one account is made.
    let together = ["bob", "Bob", "boB"].map(|name| chat.register(name, "p"));
    let registered = futures_util::future::join_all(together).await;
    assert!(registered.iter().any(|reply| reply.status == 200), "{registered:?}");
    drop(chat);
    let chat = Chat::with(|options| {
        options.registration_limits.per_address = 1;
        options.registration_limits.accounts_max = Some(1);
    })
    .await;
    let alice = chat_store::NewUser {
        name: chat_core::Username::known("alice").unwrap(),
        password_hash: "$".to_owned(),
        avatar: None,
        created_at_ms: 1,
    };
    // The number of accounts is reused for a second, and counted again before an account is made.
    assert_eq!(chat.register("bob", "").await.status, 400);
    chat_store::UserRepository::create_user(&chat.store.memory, &alice).await.unwrap();
    let late = chat.register("bob", "p").await;
    assert_eq!(late.status, 429, "{late:?}");
    assert!(late.error().contains("as many accounts"), "{late:?}");
    chat_store::UserRepository::remove_user(&chat.store.memory, &alice.name).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(chat.register("carol", "p").await.status, 200);
}

#[tokio::test]
async fn a_proxy_on_this_machine_that_is_not_trusted_is_no_address() {
    let chat = Chat::with(|options| options.registration_limits.per_address = 1).await;
    for name in ["a", "b", "c"] {
        assert_eq!(register_from(&chat, "192.0.2.1", name, "p").await.status, 200);
    }
    assert_eq!(chat.register("d", "p").await.status, 200);
    assert_eq!(chat.register("e", "p").await.status, 429);
}

#[tokio::test]
async fn a_chat_has_only_some_accounts() {
    let chat = Chat::with(|options| options.registration_limits.accounts_max = Some(2)).await;
    let registered =
        futures_util::future::join_all(["a", "b", "c", "d"].map(|name| chat.register(name, "p"))).await;
    let mut statuses: Vec<_> = registered.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 429, 429]);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let sentence = "this chat has as many accounts as it may have: ask whoever runs this chat";
    assert_eq!(chat.register("e", "p").await.refusal(), (429, sentence.to_owned()));
    assert!(metrics(&chat).await.contains("{limit=\"accounts_max\"}"));
}

#[tokio::test]
async fn common_passwords_are_refused() {
    let rule = PasswordRule { min_chars: 1, allow_common: false };
    let chat = Chat::with(|options| options.password_rule = rule).await;
    let sentence = "password is one of the most common ones, please take another";
    assert_eq!(chat.register("alice", "Password").await.refusal(), (400, sentence.to_owned()));
    assert_eq!(chat.register("alice", "верный пароль").await.status, 200);
}
