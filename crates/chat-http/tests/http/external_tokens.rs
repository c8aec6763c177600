//! Users whom another issuer signs in.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chat_auth::{ExternalKeys, FetchedKeys, PasswordsOptions, TokenOptions};
use chat_core::Username;
use chat_store::UserRepository as _;
use serde_json::{Value, json};

use crate::harness::{Chat, SECRET, now, tokens_with};
use crate::wire::Wire;

#[tokio::test]
async fn another_issuer_signs_in_its_own_users() {
    // {"sub":"bot","exp":4102444800}, signed with the shared secret.
    let claims = json!({ "sub": "bot", "exp": 4_102_444_800u64 });
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
    let cookie = format!("auth={token}");
    assert_eq!(Chat::start().await.get("/api/me", &cookie).await.status, 401);

    let external = TokenOptions { accept_external: true, ..TokenOptions::default() };
    let chat = Chat::with_auth(PasswordsOptions::default(), tokens_with(external), |_| {}).await;
    let reply = chat.get("/api/me", &cookie).await;
    let me = json!({ "username": "bot", "avatar": "", "role": "member", "features": ["edit", "delete", "react", "reply", "mentions", "read", "typing", "rooms", "files", "search", "administration"] });
    assert_eq!(reply.json(), me);
    assert_eq!(reply.header("set-cookie"), None);
    assert_eq!(chat.call("POST", "/api/logout", &[("Cookie", &cookie)], b"").await.status, 200);
}

/// The cookie with a token that another issuer signs.
pub fn signed(claims: &Value) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    format!("auth={}", jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).unwrap())
}

pub async fn with_external_tokens() -> Chat {
    let options = TokenOptions { accept_external: true, ..TokenOptions::default() };
    Chat::with_auth(PasswordsOptions::default(), tokens_with(options), |_| {}).await
}

#[tokio::test]
async fn a_user_of_another_issuer_sends_and_receives_messages() {
    let chat = with_external_tokens().await;
    let alice = chat.sign_in("alice").await;
    let guest = signed(&json!({ "sub": "Гость", "exp": now() + 60 }));
    let address = "/api/users/%D0%93%D0%BE%D1%81%D1%82%D1%8C";
    assert_eq!(chat.get(address, &alice).await.status, 404, "not here yet");
    let mut hers = Wire::open(&chat, "a", &alice).await;
    let mut theirs = Wire::open(&chat, "a", &guest).await;
    theirs.next_of("system").await;
    assert_eq!(chat.get(address, &alice).await.json(), json!({ "username": "Гость", "avatar": "" }));

    hers.send(&json!({ "type": "private", "to": "Гость", "text": "psst" })).await;
    assert_eq!(theirs.next_of("private").await["text"], "psst");
    assert_eq!(hers.next_of("private").await["text"], "psst");
    theirs.send(&json!({ "type": "private", "to": "alice", "text": "ah" })).await;
    assert_eq!(hers.next_of("private").await["text"], "ah");
    assert_eq!(chat.store.stored_privately("alice", "Гость").await, ["psst", "ah"]);

    // No other user can register the name.
    assert_eq!(chat.register("Гость", "password").await.status, 400);
    for guess in ["!", "password", ""] {
        assert_eq!(chat.login("Гость", guess).await.status, 401);
    }
    // The token cannot be revoked; it is valid until it expires.
    assert_eq!(chat.sessions(&guest).await, Vec::<Value>::new());
    assert_eq!(chat.call("POST", "/api/logout", &[("Cookie", &guest)], b"").await.status, 200);
    theirs.is_open().await;
}

#[tokio::test]
async fn a_user_of_another_issuer_with_a_bad_name_gets_no_account() {
    let chat = with_external_tokens().await;
    let alice = chat.sign_in("alice").await;
    let mut hers = Wire::open(&chat, "a", &alice).await;
    // Surrounding spaces; a Cyrillic а.
    for odd in [" guest ", "\u{430}lice"] {
        let mut theirs = Wire::open(&chat, "a", &signed(&json!({ "sub": odd, "exp": now() + 60 }))).await;
        theirs.send(&json!({ "type": "message", "text": "hello" })).await;
        let heard = hers.next_of("message").await;
        assert_eq!((&heard["from"], &heard["text"]), (&json!(odd), &json!("hello")));
        assert_eq!(chat.store.memory.find_user(&Username::known(odd).unwrap()).await.unwrap(), None);
        // The sender gets it, and it is not stored.
        hers.send(&json!({ "type": "private", "to": odd, "text": "psst" })).await;
        assert_eq!(hers.next_of("private").await["text"], "psst");
        assert_eq!(chat.store.stored_privately("alice", odd).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_token_of_another_issuer_is_valid_until_it_expires() {
    let chat = with_external_tokens().await;
    let upgrade = async |claims: Value| {
        let cookie = signed(&claims);
        let request = crate::upgrade::only_handshake(&chat, "/ws", &[("Cookie", &cookie)]);
        chat.raw(request.as_bytes()).await.refusal()
    };
    let invalid = (401, "invalid token".to_owned());
    assert_eq!(upgrade(json!({ "sub": "guest", "exp": now() })).await, invalid);
    assert_eq!(upgrade(json!({ "sub": "guest", "exp": now() + 60, "nbf": now() + 30 })).await, invalid);
    assert_eq!(upgrade(json!({ "sub": "guest", "exp": now() + 60, "sid": "theirs" })).await, invalid);
    assert_eq!(upgrade(json!({ "sub": "x".repeat(25), "exp": now() + 60 })).await, invalid);

    let short = signed(&json!({ "sub": "guest", "exp": now() + 8, "nbf": now(), "iss": "host" }));
    let mut socket = Wire::open(&chat, "a", &short).await;
    assert_eq!(socket.close_code().await, Some(1008));
    assert_eq!(chat.get("/api/me", &short).await.refusal(), invalid);
}

#[tokio::test]
async fn a_key_that_its_issuer_withdraws_is_valid_for_a_while_only() {
    let both = include_str!("../../../chat-auth/tests/keys/set.json");
    let mut one: Value = serde_json::from_str(both).unwrap();
    one["keys"].as_array_mut().unwrap().retain(|key| key["kid"] != "ed");
    let published = Arc::new(Mutex::new(both.to_owned()));
    let answer = Arc::clone(&published);
    let fetch = move || -> FetchedKeys {
        let text = answer.lock().unwrap().clone();
        Box::pin(async { Ok(text) })
    };
    let keys = Arc::new(ExternalKeys::fetched(fetch, Duration::ZERO));
    let tokens = tokens_with(TokenOptions::default()).with_external_keys(keys);
    let chat = Chat::with_auth(PasswordsOptions::default(), tokens, |options| {
        options.external_keys_interval = Duration::from_millis(20);
    })
    .await;
    let pem = include_bytes!("../../../chat-auth/tests/keys/ed25519.pem");
    let key = jsonwebtoken::EncodingKey::from_ed_pem(pem).unwrap();
    let header = jsonwebtoken::Header {
        kid: Some("ed".to_owned()),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA)
    };
    let claims = json!({ "sub": "guest", "exp": now() + 600 });
    let cookie = format!("auth={}", jsonwebtoken::encode(&header, &claims, &key).unwrap());
    assert_eq!(chat.get("/api/me", &cookie).await.status, 200);
    *published.lock().unwrap() = one.to_string();
    let begun = Instant::now();
    while chat.get("/api/me", &cookie).await.status != 401 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the key is still valid");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_user_with_both_kinds_of_tokens_ends_all_sessions_with_either() {
    let chat = with_external_tokens().await;
    let phone = chat.sign_in("alice").await;
    let mut socket = Wire::open(&chat, "a", &phone).await;
    let by_host = signed(&json!({ "sub": "alice", "exp": now() + 60 }));
    let listed = chat.sessions(&by_host).await;
    assert_eq!((listed.len(), &listed[0]["current"]), (1, &json!(false)));
    assert_eq!(chat.sign_out_everywhere(&by_host).await.status, 200);
    assert_eq!(socket.close_code().await, Some(4001));
    assert_eq!(chat.get("/api/me", &by_host).await.status, 200, "only the host can end this one");
}

/// The host application signs a token for any name.
#[tokio::test]
async fn a_token_of_another_issuer_makes_nobody_an_administrator() {
    let chat = with_external_tokens().await;
    let alice = chat.sign_in("alice").await;
    chat.store.memory.set_administrator(&Username::known("alice").unwrap(), true, 1).await.unwrap();
    let by_host = signed(&json!({ "sub": "alice", "exp": now() + 60 }));
    let role = async |cookie: &str| chat.get("/api/me", cookie).await.json()["role"].clone();
    assert_eq!((role(&alice).await, role(&by_host).await), (json!("administrator"), json!("member")));
}
