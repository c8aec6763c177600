//! Outgoing webhooks: messages of a room, delivered to the address of a program.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chat_http::HttpOptions;
use serde_json::{Value, json};

use crate::files::acknowledged;
use crate::harness::{Chat, Received, Receiver};
use crate::rooms::promote;
use crate::wire::Wire;

/// A server that delivers to this machine, with a room of anna, who administers, and a bot for it.
struct Scene {
    chat: Chat,
    root: String,
    room: String,
}

impl Scene {
    async fn start() -> Self {
        Self::with(|_| {}, json!({"title": "Deploys"})).await
    }

    async fn with(change: impl FnOnce(&mut HttpOptions), room: Value) -> Self {
        let chat = Chat::with(|options| {
            options.webhooks.private_addresses = vec!["127.0.0.0/8".parse().unwrap()];
            change(options);
        })
        .await;
        let root = chat.sign_in("anna").await;
        promote(&chat, "anna").await;
        let room = chat.create_room(&root, room).await;
        let made = chat.json("POST", "/api/bots", &root, json!({"name": "robot", "rooms": [room]})).await;
        assert_eq!(made.status, 201, "{made:?}");
        Self { chat, root, room }
    }

    /// Makes a webhook; returns its id and secret.
    async fn hook(&self, url: &str, only_mentions: bool) -> (String, String) {
        let order = json!({"room": self.room, "url": url, "only_mentions": only_mentions});
        let made = self.chat.json("POST", "/api/bots/robot/outgoing-webhooks", &self.root, order).await;
        assert_eq!(made.status, 201, "{made:?}");
        let part = |name: &str| made.json()[name].as_str().unwrap().to_owned();
        (part("id"), part("secret"))
    }

    async fn post(&self, text: &str) -> u64 {
        let path = format!("/api/rooms/{}/messages", self.room);
        let posted = self.chat.json("POST", &path, &self.root, json!({ "text": text })).await;
        assert_eq!(posted.status, 201, "{posted:?}");
        posted.json()["seq"].as_u64().unwrap()
    }

    /// The first outgoing webhook, as administrators see it, once it is so.
    async fn listed(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..600 {
            let bots = self.chat.get("/api/bots", &self.root).await.json();
            let webhook = bots["bots"][0]["outgoing_webhooks"][0].clone();
            if is_so(&webhook) {
                return webhook;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the webhook does not become so");
    }
}

impl Scene {
    async fn wait_for_metric(&self, line: &str) {
        for _ in 0..600 {
            let metrics = String::from_utf8(self.chat.get("/metrics", "").await.body).unwrap();
            if metrics.contains(line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no {line}");
    }
}

fn text(received: &Received) -> String {
    received.json()["data"]["message"]["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_message_is_delivered_with_a_signature() {
    let (scene, mut receiver) = (Scene::start().await, Receiver::start().await);
    scene.post("before").await;
    let (id, secret) = scene.hook(&receiver.url("/hook?a=b"), false).await;
    scene.post("hi @robot").await;
    let received = receiver.next().await;
    assert!(received.head.starts_with("post /hook?a=b http/1.1"), "{received:?}");
    assert_eq!(received.header("webhook-id"), format!("{id}-2"));
    assert_eq!(received.header("content-type"), "application/json");
    let event = received.json();
    assert_eq!((&event["type"], &event["data"]["bot"]), (&json!("message.created"), &json!("robot")));
    assert_eq!(event["data"]["room"], scene.room);
    let message = &event["data"]["message"];
    assert_eq!(
        (&message["seq"], &message["from"], &message["text"]),
        (&json!(2), &json!("anna"), &json!("hi @robot"))
    );
    assert_eq!(message.get("edited"), None);
    assert!(event["timestamp"].as_str().unwrap().ends_with('Z'), "{event}");

    // As the specification says.
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signed = format!("{id}-2.{}.", received.header("webhook-timestamp"));
    let signed = [signed.as_bytes(), &received.body].concat();
    let signature = STANDARD.decode(received.header("webhook-signature").strip_prefix("v1,").unwrap());
    hmac::verify(&key, &signed, &signature.unwrap()).unwrap();

    let listed = scene.listed(|webhook| webhook["last_result"] == "status 200").await;
    assert_eq!(
        (&listed["id"], &listed["failures"], &listed["switched_off"]),
        (&json!(id), &json!(0), &json!(false))
    );
    assert_eq!(listed.get("secret"), None);
}

#[tokio::test]
async fn only_what_was_asked_for_is_delivered() {
    let (scene, mut receiver) = (Scene::start().await, Receiver::start().await);
    scene.hook(&receiver.url("/mentions"), true).await;
    scene.post("nobody").await;
    scene.post("hi @robot").await;
    let received = receiver.next().await;
    assert_eq!((received.head.starts_with("post /mentions"), &text(&received)[..]), (true, "hi @robot"));
}

#[tokio::test]
async fn what_fails_is_delivered_again_with_the_same_id() {
    let (scene, mut receiver) = (Scene::start().await, Receiver::start().await);
    let (id, _) = scene.hook(&receiver.url("/hook"), false).await;
    receiver.answer("500 Internal Server Error\r\nRetry-After: 1", 1);
    // A redirect is not followed.
    receiver.answer(&format!("307 Temporary Redirect\r\nLocation: {}", receiver.url("/other")), 1);
    scene.post("one").await;
    for _ in 0..3 {
        let received = receiver.next().await;
        assert!(received.head.starts_with("post /hook "), "{received:?}");
        assert_eq!(received.header("webhook-id"), format!("{id}-1"));
    }
    let listed = scene.listed(|webhook| webhook["last_result"] == "status 200").await;
    assert_eq!(listed["failures"], 0);
}

#[tokio::test]
async fn a_message_that_the_bot_may_not_read_is_not_delivered() {
    let closed = json!({"title": "Board", "access": "closed"});
    let (scene, mut receiver) = (Scene::with(|_| {}, closed).await, Receiver::start().await);
    let member = format!("/api/rooms/{}/members/robot", scene.room);
    scene.hook(&receiver.url("/hook"), false).await;
    scene.post("before the bot is a member").await;
    // It was looked at: the next message alone is to be delivered.
    scene.wait_for_metric("chat_webhook_deliveries_total{outcome=\"unwanted\"} 1").await;
    assert_eq!(scene.chat.json("PUT", &member, &scene.root, json!({})).await.status, 200);
    scene.post("after the bot is a member").await;
    assert_eq!(text(&receiver.next().await), "after the bot is a member");
}

#[tokio::test]
async fn a_bot_that_is_removed_from_a_closed_room_gets_nothing_more() {
    let closed = json!({"title": "Board", "access": "closed"});
    let (scene, mut receiver) = (Scene::with(|_| {}, closed).await, Receiver::start().await);
    let member = format!("/api/rooms/{}/members/robot", scene.room);
    assert_eq!(scene.chat.json("PUT", &member, &scene.root, json!({})).await.status, 200);
    scene.hook(&receiver.url("/hook"), false).await;
    scene.post("for the bot, too").await;
    assert_eq!(text(&receiver.next().await), "for the bot, too");
    assert_eq!(scene.chat.json("DELETE", &member, &scene.root, Value::Null).await.status, 200);
    scene.post("not for the bot").await;
    scene.wait_for_metric("chat_webhook_deliveries_total{outcome=\"unwanted\"} 1").await;
    assert_eq!(scene.chat.json("PUT", &member, &scene.root, json!({})).await.status, 200);
    scene.post("for the bot again").await;
    assert_eq!(text(&receiver.next().await), "for the bot again");
}

#[tokio::test]
async fn a_message_that_is_deleted_between_two_attempts_is_not_delivered_again() {
    let patient = |options: &mut HttpOptions| options.webhooks.timeout = Duration::from_secs(60);
    let scene = Scene::with(patient, json!({"title": "Deploys"})).await;
    let mut receiver = Receiver::start().await;
    let mut socket = Wire::open_v2(&scene.chat, &scene.root).await;
    socket.send(&json!({ "type": "join", "room": scene.room })).await;
    socket.next_of("joined").await;
    scene.hook(&receiver.url("/hook"), false).await;
    let held = receiver.hold("500 Internal Server Error\r\nRetry-After: 1");
    let seq = scene.post("a slip").await;
    assert_eq!(text(&receiver.next().await), "a slip");
    acknowledged(&mut socket, json!({ "type": "delete", "room": scene.room, "target": seq })).await;
    drop(held);
    scene.wait_for_metric("chat_webhook_deliveries_total{outcome=\"unwanted\"} 1").await;
    scene.post("the next one").await;
    assert_eq!(text(&receiver.next().await), "the next one");
}

#[tokio::test]
async fn a_receiver_that_is_gone_or_fails_for_too_long_is_switched_off() {
    let (scene, mut receiver) = (Scene::start().await, Receiver::start().await);
    receiver.answer("410 Gone", 1);
    let (id, _) = scene.hook(&receiver.url("/hook"), false).await;
    scene.post("one").await;
    receiver.next().await;
    let listed = scene.listed(|webhook| webhook["switched_off"] == true).await;
    assert_eq!(listed["last_result"], "status 410");
    let path = format!("/api/bots/robot/outgoing-webhooks/{id}");
    assert_eq!(scene.chat.json("DELETE", &path, &scene.root, Value::Null).await.status, 200);
    assert_eq!(scene.chat.json("DELETE", &path, &scene.root, Value::Null).await.status, 404);

    let off = |options: &mut HttpOptions| options.webhooks.off_after = Duration::ZERO;
    let scene = Scene::with(off, json!({"title": "Deploys"})).await;
    receiver.answer("500 Internal Server Error\r\nRetry-After: 1", 2);
    scene.hook(&receiver.url("/hook"), false).await;
    scene.post("one").await;
    receiver.next().await;
    receiver.next().await;
    scene.listed(|webhook| webhook["switched_off"] == true).await;
}

#[tokio::test]
async fn a_message_that_is_too_old_is_given_up_after_an_attempt() {
    let give_up = |options: &mut HttpOptions| options.webhooks.retry_max = Duration::ZERO;
    let scene = Scene::with(give_up, json!({"title": "Deploys"})).await;
    let mut receiver = Receiver::start().await;
    receiver.answer("500 Internal Server Error\r\nRetry-After: 1", 1);
    scene.hook(&receiver.url("/hook"), false).await;
    scene.post("one").await;
    assert_eq!(text(&receiver.next().await), "one");
    scene.wait_for_metric("chat_webhook_deliveries_total{outcome=\"given_up\"} 1").await;
    scene.post("two").await;
    assert_eq!(text(&receiver.next().await), "two");
}

#[tokio::test]
async fn private_addresses_are_refused_and_not_connected_to() {
    let chat = Chat::start().await;
    let root = chat.sign_in("anna").await;
    promote(&chat, "anna").await;
    let room = chat.create_room(&root, json!({"title": "Deploys"})).await;
    chat.json("POST", "/api/bots", &root, json!({"name": "robot", "rooms": [room]})).await;
    let hook = async |room: &str, url: &str| {
        let order = json!({ "room": room, "url": url });
        chat.json("POST", "/api/bots/robot/outgoing-webhooks", &root, order).await
    };
    let long = format!("https://bot.example/{}", "x".repeat(2_048));
    for url in
        ["http://bot.example/", "https://127.0.0.1/x", "https://[::1]/", "https://10.0.0.1/", "x", &long]
    {
        let refused = hook(&room, url).await;
        let sentence = "not an https address of a server on the internet".to_owned();
        assert_eq!(refused.refusal(), (400, sentence), "{url}");
    }
    assert_eq!(hook("general", "https://bot.example/").await.status, 404, "not its room");
    // The name leads to this machine.
    assert_eq!(hook(&room, "https://localhost/x").await.status, 201);
    let path = format!("/api/rooms/{room}/messages");
    assert_eq!(chat.json("POST", &path, &root, json!({"text": "hi"})).await.status, 201);
    let scene = Scene { chat, root, room };
    let listed = scene.listed(|webhook| webhook["failures"] == 1).await;
    assert_eq!(listed["last_result"], "the name of the server leads to private addresses");
    let alice = scene.chat.sign_in("alice").await;
    let order = json!({"room": scene.room, "url": "https://bot.example/"});
    let refused = scene.chat.json("POST", "/api/bots/robot/outgoing-webhooks", &alice, order).await;
    assert_eq!(refused.status, 403);
}

#[tokio::test]
async fn many_messages_are_all_delivered() {
    let (scene, mut receiver) = (Scene::start().await, Receiver::start().await);
    scene.hook(&receiver.url("/hook"), false).await;
    for number in 0..20 {
        scene.post(&number.to_string()).await;
    }
    let mut texts = Vec::new();
    while texts.len() < 20 {
        let text = text(&receiver.next().await);
        assert!(!texts.contains(&text), "{text} was delivered twice");
        texts.push(text);
    }
}
