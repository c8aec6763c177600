//! The search of messages.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};

use crate::harness::Chat;
use crate::rooms::encoded;
use crate::wire::Wire;

/// Sends a frame with a new nonce, and waits for its acknowledgement.
async fn acknowledged(socket: &mut Wire, mut frame: Value) -> Value {
    frame["nonce"] = json!(format!("{:016x}", rand::random::<u64>()));
    socket.send(&frame).await;
    let ack = socket.next_of("ack").await;
    assert_eq!(ack["nonce"], frame["nonce"]);
    ack
}

/// What a search answers.
async fn search(chat: &Chat, cookie: &str, q: &str, rest: &str) -> Value {
    let reply = chat.get(&format!("/api/search?q={}{rest}", encoded(q)), cookie).await;
    assert_eq!(reply.status, 200, "{q}{rest}: {reply:?}");
    reply.json()
}

/// The numbers of the messages that a search finds.
async fn found(chat: &Chat, cookie: &str, q: &str, rest: &str) -> Vec<u64> {
    let answer = search(chat, cookie, q, rest).await;
    answer["results"].as_array().unwrap().iter().map(|found| found["seq"].as_u64().unwrap()).collect()
}

/// Lists of all kinds cost one user's rate, and nobody else's.
#[tokio::test]
async fn lists_have_a_rate_for_each_user() {
    let chat = Chat::with(|options| options.lists_per_minute = 4).await;
    let [alice, bob] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    let room = chat.create_room(&alice, serde_json::json!({ "title": "Lists" })).await;
    let members = format!("/api/rooms/{room}/members");
    let reactions = format!("/api/reactions?room={room}&seq=1");
    let paths = ["/api/rooms", "/api/users", members.as_str(), reactions.as_str()];
    for path in paths {
        assert_ne!(chat.get(path, &alice).await.status, 429, "{path}");
    }
    for path in paths {
        let refused = chat.get(path, &alice).await;
        assert_eq!(refused.status, 429, "{path}");
        assert!(refused.header("retry-after").is_some_and(|after| after.parse::<u64>().is_ok()), "{path}");
    }
    assert_eq!(chat.get("/api/rooms", &bob).await.status, 200);
    assert_eq!(chat.get("/api/me", &alice).await.status, 200);
}

#[tokio::test]
async fn messages_are_found_by_their_words() {
    let chat = Chat::start().await;
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    let mut socket = Wire::open_v2(&chat, &alice).await;
    socket.send(&json!({"type": "join", "room": "tech"})).await;
    socket.next_of("joined").await;
    for text in ["Съешь ещё булок", "no", "булки и чай"] {
        acknowledged(&mut socket, json!({"type": "message", "room": "tech", "text": text})).await;
    }
    acknowledged(&mut socket, json!({"type": "private", "to": "bob", "text": "булка тебе"})).await;
    let answer = search(&chat, &bob, "бул", "").await;
    let results = answer["results"].as_array().unwrap();
    assert_eq!((results.len(), &answer["next"]), (3, &Value::Null));
    let private = results.iter().find(|found| found.get("with").is_some()).unwrap();
    let mut expected = json!({"with": "alice", "seq": 1, "from": "alice", "text": "булка тебе"});
    expected["timestamp"] = private["timestamp"].clone();
    assert_eq!(*private, expected);
    let room = search(&chat, &bob, "ЕЩЕ съешь", "&room=tech").await;
    assert_eq!((&room["results"][0]["room"], &room["results"][0]["seq"]), (&json!("tech"), &json!(1)));
    for (q, rest, expected) in [
        ("бул", "&room=tech", &[3, 1][..]),
        ("бул ", "&room=tech", &[]),
        ("бул", "&with=alice", &[1]),
        ("бул", "&with=%00", &[]),
        ("бул", "&room=tech&from=alice", &[3, 1]),
        ("бул", "&from=bob", &[]),
        ("бул", "&room=unknown", &[]),
        ("…", "", &[]),
    ] {
        assert_eq!(found(&chat, &bob, q, rest).await, expected, "{q}{rest}");
    }
    // Page by page.
    let first = search(&chat, &bob, "бул", "&room=tech&limit=1").await;
    let before = format!("&room=tech&limit=1&before={}", encoded(first["next"].as_str().unwrap()));
    assert_eq!(found(&chat, &bob, "бул", &before).await, [1]);
    assert_eq!(search(&chat, &bob, "бул", &before).await["next"], Value::Null);
    // What is taken back is not found from the acknowledgement on.
    acknowledged(&mut socket, json!({"type": "delete", "room": "tech", "target": 3})).await;
    acknowledged(&mut socket, json!({"type": "edit", "room": "tech", "target": 1, "text": "пирог"})).await;
    assert_eq!(found(&chat, &bob, "бул", "&room=tech").await, [] as [u64; 0]);
    assert_eq!(found(&chat, &bob, "пиро", "&room=tech").await, [1]);
}

#[tokio::test]
async fn a_search_is_refused() {
    let chat = Chat::start().await;
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    let closed = chat.json("POST", "/api/rooms", &alice, json!({"title": "x", "access": "closed"})).await;
    let closed = encoded(closed.json()["name"].as_str().unwrap());
    assert_eq!(found(&chat, &alice, "a", &format!("&room={closed}")).await, [] as [u64; 0]);
    for (query, status, sentence) in [
        ("", 400, "q must not be blank"),
        ("q=%20", 400, "q must not be blank"),
        ("q=a&room=b&with=c", 400, "room and with exclude each other"),
        ("q=a&before=x", 400, "before is not the next of an earlier page"),
        ("q=a&limit=51", 400, "limit must be a number from 1 to 50"),
        (&format!("q=a&room={closed}"), 403, "only members may see this room"),
        ("q=a&room=~AAAAAAAAAAAAAAAAAAAAAA", 403, "only members may see this room"),
    ] {
        let reply = chat.get(&format!("/api/search?{query}"), &bob).await;
        assert_eq!(reply.refusal(), (status, sentence.to_owned()), "{query}");
    }
    assert_eq!(chat.get("/api/search?q=a", "").await.status, 401);
    chat.store.out.store(true, Relaxed);
    assert_eq!(chat.get("/api/search?q=a", &bob).await.status, 503);
}

#[tokio::test]
async fn a_user_searches_at_a_limited_rate() {
    let chat = Chat::with(|options| options.searches_per_minute = 3).await;
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    for _ in 0..3 {
        assert_eq!(chat.get("/api/search?q=a", &alice).await.status, 200);
    }
    let refused = chat.get("/api/search?q=a", &alice).await;
    assert_eq!(refused.refusal(), (429, "too many searches, please try again later".to_owned()));
    assert_eq!(chat.get("/api/search?q=a", &bob).await.status, 200);
}
