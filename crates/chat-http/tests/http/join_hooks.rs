//! What the program around the chat says about joins, for every way into a room.

use std::sync::Arc;
use std::time::Duration;

use chat_core::{RoomName, Username};
use chat_shard::{HookFuture, HookSet, Hooks};
use serde_json::{Value, json};

use crate::harness::{Chat, FORM, Reply, form};
use crate::upgrade::handshake;
use crate::wire::Wire;

/// Lets nobody but alice into rooms whose names begin with `v`, and never answers about `silent`.
struct Door;

impl Hooks for Door {
    fn may_join<'a>(&'a self, user: &'a Username, room: &'a RoomName) -> HookFuture<'a, bool> {
        Box::pin(async move {
            if room.as_str() == "silent" {
                std::future::pending::<()>().await;
            }
            user.as_str() == "alice" || !room.as_str().starts_with('v')
        })
    }

    fn judges_joins(&self) -> bool {
        true
    }
}

async fn chat() -> Chat {
    Chat::with(|options| {
        options.shards.hooks = HookSet::new(Arc::new(Door));
        options.shards.hook_timeout = Duration::from_millis(200);
    })
    .await
}

async fn v1(chat: &Chat, room: &str, cookie: &str) -> u16 {
    let mut stream = chat.connect().await;
    let request = handshake(chat, &format!("/ws?room={room}"), &[("Cookie", cookie)]);
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    Reply::read_head(&mut stream).await.status
}

async fn v2(chat: &Chat, room: &str, cookie: &str) -> Value {
    let mut socket = Wire::open_v2(chat, cookie).await;
    socket.send(&json!({ "type": "join", "room": room, "id": "1" })).await;
    loop {
        let frame = socket.next().await;
        if frame["type"] == "joined" || frame["type"] == "error" {
            return frame;
        }
    }
}

#[tokio::test]
async fn every_way_into_a_room_asks() {
    let chat = chat().await;
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    chat.create_room(&alice, json!({ "name": "vault", "title": "V" })).await;
    chat.create_room(&alice, json!({ "name": "kitchen", "title": "K" })).await;
    let mut secrets = Vec::new();
    for room in ["vault", "kitchen"] {
        let made = chat.json("POST", "/api/invites", &alice, json!({ "room": room })).await;
        assert_eq!(made.status, 201, "{made:?}");
        secrets.push(made.json()["secret"].as_str().unwrap().to_owned());
    }
    let refusal = (403, "you may not join this room".to_owned());

    // Each way is closed to the one room, and open to the other one.
    for (room, secret, is_open) in [("vault", &secrets[0], false), ("kitchen", &secrets[1], true)] {
        let message = json!({ "text": "hi" });
        let ways = [
            ("PUT", format!("/api/rooms/{room}/membership"), &bob, json!({})),
            ("PUT", format!("/api/rooms/{room}/members/bob"), &alice, json!({})),
            ("POST", format!("/api/join/{secret}"), &bob, json!({})),
            ("GET", format!("/api/rooms/{room}"), &bob, json!({})),
            ("GET", format!("/api/rooms/{room}/members"), &bob, json!({})),
            ("GET", format!("/api/rooms/{room}/messages"), &bob, json!({})),
            ("POST", format!("/api/rooms/{room}/messages"), &bob, message),
            ("GET", format!("/api/search?q=hi&room={room}"), &bob, json!({})),
            ("GET", format!("/api/reactions?room={room}&seq=1"), &bob, json!({})),
        ];
        for (method, path, cookie, body) in ways {
            let reply = match method {
                "GET" => chat.get(&path, cookie).await,
                _ => chat.json(method, &path, cookie, body).await,
            };
            if is_open {
                assert!(
                    (200..300).contains(&reply.status) || reply.status == 404,
                    "{method} {path}: {reply:?}"
                );
            } else {
                assert_eq!(reply.refusal(), refusal, "{method} {path}");
            }
        }
        assert_eq!(v1(&chat, room, &bob).await, if is_open { 101 } else { 403 }, "{room}");
        let joined = v2(&chat, room, &bob).await;
        assert_eq!(joined["type"], if is_open { "joined" } else { "error" }, "{joined}");
        // An invitation makes an account and a member at once.
        let fields: [(&str, Option<&str>, &[u8]); 3] = [
            ("username", None, if is_open { b"dave" } else { b"carol" }),
            ("password", None, b"password"),
            ("invite", None, secret.as_bytes()),
        ];
        let headers = [("Content-Type", FORM)];
        let reply = chat.call("POST", "/api/register", &headers, &form(&fields)).await;
        assert_eq!(reply.status, if is_open { 200 } else { 403 }, "{reply:?}");
    }
    assert_eq!(chat.get("/api/users/carol", &alice).await.status, 404, "nothing is left of a refusal");
    // The user whom the hook lets in is not concerned.
    assert_eq!(v1(&chat, "vault", &alice).await, 101);

    // New rooms, too.
    for body in [
        json!({ "name": "veranda", "title": "V" }),
        json!({ "title": "vestibule" }),
        json!({ "name": "vx", "title": "V", "members": ["bob"] }),
    ] {
        let by = if body.get("members").is_some() { &alice } else { &bob };
        let reply = chat.json("POST", "/api/rooms", by, body.clone()).await;
        assert_eq!(reply.refusal(), refusal, "{body}");
    }
    let rooms = chat.get("/api/rooms", &alice).await.json();
    let names: Vec<_> = rooms["rooms"].as_array().unwrap().iter().map(|room| room["name"].clone()).collect();
    assert!(
        !names.iter().any(|name| ["veranda", "vestibule", "vx"].contains(&name.as_str().unwrap())),
        "{names:?}"
    );
}

#[tokio::test]
async fn a_hook_that_does_not_answer_lets_nobody_in() {
    let chat = chat().await;
    let alice = chat.sign_in("alice").await;
    let reply = chat.get("/api/rooms/silent/messages", &alice).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{reply:?}");
    assert_eq!(v1(&chat, "silent", &alice).await, 503);
}

#[tokio::test]
async fn who_may_not_join_any_more_may_still_leave() {
    // The hooks know the room by its name, which is not judged at first.
    let store = crate::harness::Store::default();
    let chat = Chat::on(store, |options| {
        options.shards.hooks = HookSet::new(Arc::new(Door));
    })
    .await;
    let alice = chat.sign_in("alice").await;
    chat.create_room(&alice, json!({ "name": "vault", "title": "V" })).await;
    let bob = chat.sign_in("bob").await;
    use chat_store::EventLog as _;
    let wanted = chat_core::WantedChange::Put {
        room: RoomName::parse("vault").unwrap(),
        user: Username::known("bob").unwrap(),
        role: None,
        by: chat_core::Actor { user: Username::known("alice").unwrap(), is_administrator: false },
    };
    chat.store.memory.change(&wanted, 1).await.unwrap().unwrap();
    assert_eq!(chat.get("/api/rooms/vault", &bob).await.status, 403);
    let left = chat.call("DELETE", "/api/rooms/vault/membership", &[("Cookie", &bob)], b"").await;
    assert_eq!(left.status, 200, "{left:?}");
}
