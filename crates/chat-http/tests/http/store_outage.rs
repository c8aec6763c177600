//! What the server does while its store is unavailable.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Chat, Logs, until};
use crate::sessions::sid;
use crate::wire::Wire;

#[tokio::test]
async fn while_the_store_is_unavailable_requests_are_answered_503() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    chat.store.out.store(true, Ordering::Relaxed);
    for reply in [
        chat.login("alice", "password").await,
        chat.register("bob", "password").await,
        chat.get("/api/me", &cookie).await,
        chat.get("/api/users/alice", &cookie).await,
        chat.get("/api/rooms", &cookie).await,
        chat.call("POST", "/api/logout", &[("Cookie", &cookie)], b"").await,
    ] {
        let sentence = "the server cannot reach its store, please try again in a moment";
        assert_eq!(reply.refusal(), (503, sentence.to_owned()));
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert_eq!(reply.header("set-cookie"), None, "who is still signed in keeps the cookie");
    }
    chat.store.out.store(false, Ordering::Relaxed);
    assert_eq!(chat.get("/api/me", &cookie).await.status, 200);
}

#[tokio::test]
async fn while_the_store_is_unavailable_no_session_ends() {
    let chat = Chat::start().await;
    let (phone, laptop) = (chat.sign_in("alice").await, chat.sign_in_again("alice", "").await);
    let mut socket = Wire::open(&chat, "a", &laptop).await;
    for outage in [&chat.store.out, &chat.store.sessions_stay] {
        outage.store(true, Ordering::Relaxed);
        for reply in [chat.sign_out_everywhere(&phone).await, chat.end(&sid(&laptop), &phone).await] {
            assert_eq!((reply.status, reply.header("set-cookie")), (503, None));
        }
        socket.is_open().await;
        outage.store(false, Ordering::Relaxed);
    }
    assert_eq!(chat.sessions(&laptop).await.len(), 2);
}

#[tokio::test]
async fn ready_means_that_the_store_answers() {
    let chat = Chat::with(|options| options.store_check_timeout = Duration::from_millis(100)).await;
    until_readyz(&chat, 200).await;
    chat.store.out.store(true, Ordering::Relaxed);
    until_readyz(&chat, 503).await;
    assert_eq!(chat.call("GET", "/healthz", &[], b"").await.status, 200);
    chat.store.out.store(false, Ordering::Relaxed);
    until_readyz(&chat, 200).await;
    chat.store.silent.store(true, Ordering::Relaxed);
    until_readyz(&chat, 503).await;
}

#[tokio::test]
async fn a_server_that_cannot_store_messages_is_not_ready() {
    let logs = Logs::collect();
    let chat = Chat::start().await;
    chat.store.has_writer.store(true, Ordering::Relaxed);
    let cookie = chat.sign_in("alice").await;
    let mut socket = Wire::open(&chat, "a", &cookie).await;
    socket.next_of("system").await;
    chat.store.full.store(true, Ordering::Relaxed);
    until_readyz(&chat, 200).await;
    socket.send(&json!({ "text": "lost" })).await;
    until_readyz(&chat, 503).await;
    assert_eq!(metric(&chat, "chat_append_failures_total").await, "1");
    assert_eq!(chat.call("GET", "/healthz", &[], b"").await.status, 200);

    // There is space again, and nobody writes.
    chat.store.full.store(false, Ordering::Relaxed);
    until_readyz(&chat, 200).await;
    assert_eq!(metric(&chat, "chat_entries_total").await, "0");

    let mut socket = Wire::open(&chat, "a", &cookie).await;
    socket.send(&json!({ "text": "kept" })).await;
    assert_eq!(socket.next_of("message").await["text"], "kept");
    until(|| logs.with_message("messages are stored again").len() == 1).await;
    assert_eq!(logs.with_message("messages are stored again")[0]["failed_attempts"], 1);
    assert_eq!(metric(&chat, "chat_entries_total").await, "1");
}

/// Waits until the server is ready (200) or not (503). The result of a check is reused
/// for a moment.
async fn until_readyz(chat: &Chat, status: u16) {
    let answered = async {
        while chat.call("GET", "/readyz", &[], b"").await.status != status {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), answered).await.expect("that status within 60 s");
}

/// The value of a metric without labels.
async fn metric(chat: &Chat, name: &str) -> String {
    let text = String::from_utf8(chat.call("GET", "/metrics", &[], b"").await.body).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    lines.next().unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

#[tokio::test]
async fn an_outage_is_logged_once_when_it_begins_and_once_when_it_ends() {
    let logs = Logs::collect();
    let chat = Chat::with(|options| options.session_check_interval = Duration::from_millis(20)).await;
    let cookie = chat.sign_in("alice").await;
    let _socket = Wire::open(&chat, "default", &cookie).await;
    for outage in 1..=2 {
        chat.store.out.store(true, Ordering::Relaxed);
        for _ in 0..5 {
            assert_eq!(chat.get("/api/me", &cookie).await.status, 503);
            assert_eq!(chat.login("alice", "password").await.status, 503);
        }
        let checks = chat.store.checks.load(Ordering::Relaxed);
        until(|| chat.store.checks.load(Ordering::Relaxed) >= checks + 3).await;
        chat.store.out.store(false, Ordering::Relaxed);
        // No request comes: the server notices the recovery itself.
        until(|| logs.with_message("the store is available again").len() == outage).await;
        let began = logs.with_message("the store is unavailable");
        assert_eq!(began.len(), outage, "{began:?}");
        assert_eq!(began[0]["error"], "the store is not available: disk on fire");
    }
    assert!(logs.with_message("request failed").is_empty());
}
