//! Notifications of browsers that show no page.

use std::time::Duration;

use chat_http::HttpOptions;
use serde_json::{Value, json};

use crate::files::acknowledged;
use crate::harness::{Chat, Receiver};
use crate::wire::Wire;

/// A server whose notifications wait for a moment only.
async fn chat() -> Chat {
    Chat::with(|options| {
        options.push.delay = Duration::from_millis(100);
        options.outgoing_private = true;
    })
    .await
}

fn order(endpoint: &str) -> Value {
    json!({
        "endpoint": endpoint,
        "expirationTime": null,
        "keys": {
            "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "auth": "BTBZMqHH6r4Tts7J_aSIgg",
        },
        "language": "ru",
    })
}

/// Sends a private message, whose author has no socket any more afterwards.
async fn send_private(chat: &Chat, cookie: &str, to: &str, text: &str) {
    let mut socket = Wire::open_v2(chat, cookie).await;
    let nonce = format!("{:016x}", rand::random::<u64>());
    socket.send(&json!({"type": "private", "to": to, "text": text, "nonce": nonce})).await;
    socket.next_of("ack").await;
}

async fn wait_for_metric(chat: &Chat, line: &str) {
    for _ in 0..600 {
        let metrics = String::from_utf8(chat.get("/metrics", "").await.body).unwrap();
        if metrics.contains(line) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no {line}");
}

async fn subscribe(chat: &Chat, cookie: &str, endpoint: &str) {
    let reply = chat.json("PUT", "/api/push", cookie, order(endpoint)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn a_private_message_is_sent_encrypted_to_the_service_of_the_other_user() {
    let (chat, mut service) = (chat().await, Receiver::start().await);
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    subscribe(&chat, &bob, &service.url("/push/bob")).await;
    subscribe(&chat, &alice, &service.url("/push/alice")).await;
    send_private(&chat, &alice, "bob", "a secret text").await;
    let received = service.next().await;
    let request = received.head;
    for part in [
        "post /push/bob http/1.1",
        "authorization: vapid t=",
        "content-encoding: aes128gcm",
        "ttl: 86",
        "urgency: high",
        "topic: ",
    ] {
        assert!(request.contains(part), "{part} in {request}");
    }
    assert!(!request.contains("secret"), "{request}");
    assert!(!String::from_utf8_lossy(&received.body).contains("secret"));
}

#[tokio::test]
async fn a_subscription_that_is_gone_is_removed_and_a_busy_service_is_asked_again() {
    let (chat, mut service) = (chat().await, Receiver::start().await);
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    subscribe(&chat, &bob, &service.url("/push/bob")).await;
    service.answer("429 Too Many Requests\r\nRetry-After: 1", 1);
    service.answer("503 Service Unavailable\r\nRetry-After: 1", 1);
    service.answer("410 Gone", 1);
    send_private(&chat, &alice, "bob", "one").await;
    for _ in 0..3 {
        assert!(service.next().await.head.contains("/push/bob"));
    }
    // The next message goes to the browser that is still there.
    wait_for_metric(&chat, "chat_pushes_total{outcome=\"gone\"} 1").await;
    send_private(&chat, &alice, "bob", "two").await;
    let carol = chat.sign_in("carol").await;
    subscribe(&chat, &carol, &service.url("/push/carol")).await;
    send_private(&chat, &alice, "carol", "three").await;
    assert!(service.next().await.head.contains("/push/carol"));
}

#[tokio::test]
async fn a_user_who_signs_out_gets_nothing() {
    let (chat, mut service) = (chat().await, Receiver::start().await);
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    let carol = chat.sign_in("carol").await;
    subscribe(&chat, &bob, &service.url("/push/bob")).await;
    subscribe(&chat, &carol, &service.url("/push/carol")).await;
    let reply = chat.json("POST", "/api/logout", &bob, Value::Null).await;
    assert_eq!(reply.status, 200);
    let reply = chat.json("DELETE", "/api/push", &alice, Value::Null).await;
    assert_eq!(reply.status, 200);
    send_private(&chat, &alice, "bob", "one").await;
    send_private(&chat, &alice, "carol", "two").await;
    assert!(service.next().await.head.contains("/push/carol"));
}

#[tokio::test]
async fn bad_subscriptions_are_refused() {
    let chat = Chat::start().await;
    let bob = chat.sign_in("bob").await;
    let me = chat.json("GET", "/api/me", &bob, Value::Null).await.json();
    assert_eq!(me["push_key"].as_str().unwrap().len(), 87);
    assert!(me["features"].as_array().unwrap().contains(&json!("push")));
    for endpoint in
        ["http://push.example/x", "https://127.0.0.1/x", "https://[::1]/", "https://10.0.0.1/", "x"]
    {
        let reply = chat.json("PUT", "/api/push", &bob, order(endpoint)).await;
        assert_eq!(reply.status, 400, "{endpoint}");
    }
    let long = format!("https://push.example/{}", "x".repeat(1_024));
    assert_eq!(chat.json("PUT", "/api/push", &bob, order(&long)).await.status, 400);
    let mut damaged = order("https://push.example/x");
    damaged["keys"]["auth"] = json!("short");
    assert_eq!(chat.json("PUT", "/api/push", &bob, damaged).await.status, 400);
    assert_eq!(chat.json("PUT", "/api/push", &bob, order("https://push.example/x")).await.status, 200);
}

#[tokio::test]
async fn a_server_without_notifications_says_so() {
    let chat = Chat::with(|options| options.push.enabled = false).await;
    let bob = chat.sign_in("bob").await;
    let me = chat.json("GET", "/api/me", &bob, Value::Null).await.json();
    assert!(me.get("push_key").is_none());
    assert!(!me["features"].as_array().unwrap().contains(&json!("push")));
    assert_eq!(chat.json("PUT", "/api/push", &bob, order("https://push.example/x")).await.status, 404);
}

#[tokio::test]
async fn slow_services_of_one_user_hold_up_nobody_else() {
    let chat = Chat::with(|options| {
        options.push.delay = Duration::from_millis(100);
        options.push.requests_max = 2;
        options.push.user_requests_max = 1;
        // Longer than this test.
        options.push.timeout = Duration::from_secs(3_600);
        options.outgoing_private = true;
    })
    .await;
    let (mut slow, mut service) = (Receiver::start().await, Receiver::start().await);
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    let first = chat.sign_in("mallory").await;
    let again = chat.login("mallory", "password").await;
    let again = again.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let held = slow.hold("201 Created");
    for (number, cookie) in [first, again].iter().enumerate() {
        subscribe(&chat, cookie, &slow.url(&format!("/push/{number}"))).await;
    }
    subscribe(&chat, &bob, &service.url("/push/bob")).await;
    send_private(&chat, &alice, "mallory", "one").await;
    assert!(slow.next().await.head.contains("/push/"));
    send_private(&chat, &alice, "bob", "two").await;
    assert!(service.next().await.head.contains("/push/bob"));
    // The other browser gets its turn once the first one has answered.
    drop(held);
    assert!(slow.next().await.head.contains("/push/"));
    wait_for_metric(&chat, "chat_pushes_total{outcome=\"sent\"} 3").await;
}

#[tokio::test]
async fn a_new_subscription_does_not_end_the_pause_of_its_service() {
    let (chat, mut service) = (chat().await, Receiver::start().await);
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    let carol = chat.sign_in("carol").await;
    subscribe(&chat, &bob, &service.url("/push/bob")).await;
    subscribe(&chat, &carol, &service.url("/push/carol")).await;
    service.answer("503 Service Unavailable\r\nRetry-After: 3600", 1);
    send_private(&chat, &alice, "bob", "one").await;
    assert!(service.next().await.head.contains("/push/bob"));
    wait_for_metric(&chat, "chat_pushes_total{outcome=\"failed\"} 1").await;
    assert_eq!(chat.json("DELETE", "/api/push", &bob, Value::Null).await.status, 200);
    subscribe(&chat, &bob, &service.url("/push/bob")).await;
    send_private(&chat, &alice, "bob", "two").await;
    send_private(&chat, &alice, "carol", "three").await;
    // Both are due, bob's first.
    assert!(service.next().await.head.contains("/push/carol"));
    wait_for_metric(&chat, "chat_pushes_total{outcome=\"sent\"} 1").await;
}

#[tokio::test]
async fn a_browser_with_an_open_page_gets_nothing() {
    let (chat, service) = (chat().await, Receiver::start().await);
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    subscribe(&chat, &bob, &service.url("/push/bob")).await;
    let _page = Wire::open_v2(&chat, &bob).await;
    send_private(&chat, &alice, "bob", "one").await;
    wait_for_metric(&chat, "chat_pushes_total{outcome=\"unwanted\"} 1").await;
}

/// A chat in which alice's first message to bob waits to be sent to his browser again, as his push
/// service has answered like this. The second value is her cookie.
async fn with_a_failed_push(options: impl FnOnce(&mut HttpOptions), answer: &str) -> (Chat, String) {
    let chat = Chat::with(|all| {
        all.push.delay = Duration::from_millis(100);
        all.outgoing_private = true;
        options(all);
    })
    .await;
    let mut service = Receiver::start().await;
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    subscribe(&chat, &bob, &service.url("/push/bob")).await;
    service.answer(answer, 1);
    send_private(&chat, &alice, "bob", "one").await;
    service.next().await;
    (chat, alice)
}

#[tokio::test]
async fn a_deleted_message_is_not_sent() {
    let (chat, alice) = with_a_failed_push(|_| {}, "503 Service Unavailable\r\nRetry-After: 15").await;
    let mut socket = Wire::open_v2(&chat, &alice).await;
    acknowledged(&mut socket, json!({ "type": "delete", "to": "bob", "target": 1 })).await;
    wait_for_metric(&chat, "chat_pushes_total{outcome=\"unwanted\"} 1").await;
}

#[tokio::test]
async fn an_old_message_is_not_sent() {
    let max_age = |options: &mut HttpOptions| options.push.max_age = Duration::from_secs(10);
    let (chat, _) = with_a_failed_push(max_age, "503 Service Unavailable\r\nRetry-After: 12").await;
    wait_for_metric(&chat, "chat_pushes_total{outcome=\"unwanted\"} 1").await;
}

#[tokio::test]
async fn subscriptions_are_limited_for_each_user() {
    let chat = Chat::start().await;
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    let subscribe = async |cookie: &str| {
        chat.json("PUT", "/api/push", cookie, order("https://push.example/x")).await.status
    };
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) && statuses.len() < 1_000 {
        statuses.push(subscribe(&bob).await);
    }
    assert_eq!((statuses.first(), statuses.last()), (Some(&200), Some(&429)));
    assert_eq!(subscribe(&alice).await, 200);
}
