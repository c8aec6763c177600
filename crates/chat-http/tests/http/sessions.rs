//! The list of one's sign-ins, and how they end: here, everywhere, and elsewhere.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chat_auth::{PasswordsOptions, TokenOptions};
use chat_core::{SessionId, Username};
use chat_store::{Session, SessionRepository as _, UserRepository as _};
use serde_json::{Value, json};

use crate::harness::{Chat, Reply, SECRET, now, tokens, tokens_with, until};
use crate::wire::Wire;

impl Chat {
    /// Another sign-in of somebody; the `Cookie` to send.
    async fn again(&self, username: &str, user_agent: &str) -> String {
        let body = json!({ "username": username, "password": "password" }).to_string();
        let headers = [("User-Agent", user_agent)];
        let reply = self.call("POST", "/api/login", &headers, body.as_bytes()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }

    async fn sessions(&self, cookie: &str) -> Vec<Value> {
        let reply = self.get("/api/sessions", cookie).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["sessions"].as_array().unwrap().clone()
    }

    async fn end(&self, id: &str, cookie: &str) -> Reply {
        self.call("DELETE", &format!("/api/sessions/{id}"), &[("Cookie", cookie)], b"").await
    }

    async fn sign_out_everywhere(&self, cookie: &str) -> Reply {
        self.call("POST", "/api/logout", &[("Cookie", cookie)], br#"{"everywhere": true}"#).await
    }
}

/// The id of a token's session.
fn sid(cookie: &str) -> String {
    tokens().verify(cookie.strip_prefix("auth=").unwrap(), now()).unwrap().sid.unwrap()
}

/// A session of alice that is `age` old and has `left` to live, and its token.
async fn session(chat: &Chat, id: &str, age: u64, left: u64) -> String {
    let session = Session {
        id: SessionId::new(id),
        user: Username::known("alice").unwrap(),
        device: String::new(),
        address: String::new(),
        created_at_ms: (now() - age) * 1000,
        expires_at_ms: (now() + left) * 1000,
        last_seen_at_ms: (now() - age) * 1000,
    };
    chat.store.memory.open_session(&session).await.unwrap();
    format!("auth={}", tokens().issue(now() - age, "alice", id))
}

#[tokio::test]
async fn my_sign_ins_are_listed() {
    let chat = Chat::start().await;
    let phone = chat.sign_in("alice").await;
    let laptop = chat.again("alice", "Mozilla/5.0\t(Ноутбук)").await;
    let toaster = chat.again("alice", &"x".repeat(300)).await;
    chat.sign_in("bob").await;

    let listed = chat.sessions(&laptop).await;
    let ids: Vec<_> = listed.iter().map(|session| session["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3);
    for (cookie, device) in [(&phone, ""), (&laptop, "Mozilla/5.0(Ноутбук)"), (&toaster, &"x".repeat(200))]
    {
        let id = sid(cookie);
        let session = listed.iter().find(|session| session["id"] == id).unwrap();
        let (created, seen) = (session["created"].as_u64().unwrap(), session["last_seen"].as_u64().unwrap());
        assert!(created.abs_diff(now()) < 30 && seen == created, "whole seconds: {session}");
        assert_eq!(
            *session,
            json!({
                "id": id, "device": device, "address": "127.0.0.1",
                "created": created, "last_seen": seen, "current": *cookie == laptop,
            })
        );
    }
    // What the list tells signs nobody in.
    assert_eq!(chat.get("/api/me", &format!("auth={}", ids[0])).await.status, 401);
    assert_eq!(chat.get("/api/sessions", "").await.status, 401);
}

#[tokio::test]
async fn one_of_my_sign_ins_is_ended() {
    let chat = Chat::start().await;
    let (phone, laptop) = (chat.sign_in("alice").await, chat.again("alice", "").await);
    let bob = chat.sign_in("bob").await;
    let mut on_phone = Wire::open(&chat, "kitchen", &phone).await;
    let mut on_laptop = Wire::open(&chat, "kitchen", &laptop).await;

    let reply = chat.end(&sid(&phone), &laptop).await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "status": "ok" })));
    assert_eq!(reply.header("set-cookie"), None);
    assert_eq!(on_phone.close_code().await, Some(4001));
    assert_eq!(chat.get("/api/me", &phone).await.status, 401);
    on_laptop.is_open().await;

    let not_found = (404, "session not found".to_owned());
    for nobodys in [&sid(&phone), &sid(&bob), "x", "%00", "%FF", "a%2Fb"] {
        assert_eq!(chat.end(nobodys, &laptop).await.refusal(), not_found, "{nobodys}");
    }
    assert_eq!(chat.get("/api/me", &bob).await.status, 200);
    assert_eq!(chat.end(&sid(&laptop), "").await.status, 401);
    let path = format!("/api/sessions/{}", sid(&laptop));
    let foreign = [("Cookie", laptop.as_str()), ("Origin", "https://evil.example")];
    assert_eq!(chat.call("DELETE", &path, &foreign, b"").await.status, 403);
    assert_eq!(chat.get(&path, &laptop).await.header("allow"), Some("DELETE"));
    on_laptop.is_open().await;

    // The one that asks.
    let reply = chat.end(&sid(&laptop), &laptop).await;
    assert_eq!(reply.header("set-cookie"), Some("auth=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"));
    assert_eq!(on_laptop.close_code().await, Some(4001));
}

#[tokio::test]
async fn alice_signs_out_everywhere() {
    let chat = Chat::start().await;
    let (phone, laptop) = (chat.sign_in("alice").await, chat.again("alice", "").await);
    let bob = chat.sign_in("bob").await;
    let mut hers = [Wire::open(&chat, "a", &phone).await, Wire::open(&chat, "b", &laptop).await];
    let mut bobs = Wire::open(&chat, "a", &bob).await;

    // Nothing happens where it is not clear what is wanted, or by whom.
    for bad in ["{", "[true]", r#"{"everywhere":"yes"}"#, "everywhere"] {
        let reply = chat.call("POST", "/api/logout", &[("Cookie", &phone)], bad.as_bytes()).await;
        assert_eq!(reply.refusal(), (400, "invalid json".to_owned()), "{bad}");
    }
    let foreign = [("Cookie", phone.as_str()), ("Origin", "https://evil.example")];
    assert_eq!(chat.call("POST", "/api/logout", &foreign, br#"{"everywhere":true}"#).await.status, 403);
    assert_eq!(chat.sessions(&phone).await.len(), 2);

    let reply = chat.sign_out_everywhere(&phone).await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "status": "ok" })));
    assert_eq!(reply.header("set-cookie"), Some("auth=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"));
    for socket in &mut hers {
        assert_eq!(socket.close_code().await, Some(4001));
    }
    for cookie in [&phone, &laptop] {
        assert_eq!(chat.get("/api/me", cookie).await.status, 401);
    }
    bobs.is_open().await;
    assert_eq!(chat.get("/api/me", &bob).await.status, 200);

    // A session that was ended has no say over those that came since.
    let new = chat.again("alice", "").await;
    assert_eq!(chat.sign_out_everywhere(&phone).await.status, 200);
    assert_eq!(chat.get("/api/me", &new).await.status, 200);
    // Nor over another person's, nor has one sign-out any over the others.
    let stolen = format!("auth={}", tokens().issue(now(), "bob", &sid(&new)));
    assert_eq!(chat.sign_out_everywhere(&stolen).await.status, 200);
    assert_eq!(chat.get("/api/me", &bob).await.status, 200);
    let newer = chat.again("alice", "").await;
    for body in ["{}", r#"{"everywhere":false}"#, " "] {
        let one = chat.again("alice", "").await;
        assert_eq!(chat.call("POST", "/api/logout", &[("Cookie", &one)], body.as_bytes()).await.status, 200);
        assert_eq!(chat.get("/api/me", &one).await.status, 401);
    }
    assert_eq!(chat.get("/api/me", &newer).await.status, 200);
}

#[tokio::test]
async fn while_the_store_is_out_nobody_is_signed_out() {
    let chat = Chat::start().await;
    let (phone, laptop) = (chat.sign_in("alice").await, chat.again("alice", "").await);
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
async fn when_a_session_was_seen_is_noted_now_and_then() {
    let chat = Chat::start().await;
    chat.register("alice", "password").await;
    let touches = || chat.store.touches.load(Ordering::Relaxed);
    let fresh = chat.again("alice", "").await;
    let old = session(&chat, "old", 600, 600).await;
    chat.get("/api/me", &old).await;
    until(|| touches() == 1).await;
    let seen = async || {
        let found = chat.store.memory.find_session(&SessionId::new("old"), now() * 1000).await.unwrap();
        found.unwrap().last_seen_at_ms
    };
    assert!(seen().await >= (now() - 30) * 1000);
    // Neither again, nor for one that signed in just now.
    for cookie in [&old, &fresh, &old, &fresh] {
        chat.get("/api/me", cookie).await;
        Wire::open(&chat, "a", cookie).await;
    }
    assert_eq!(touches(), 1);
    // A socket is a sign of life, too.
    let older = session(&chat, "older", 900, 600).await;
    let _socket = Wire::open(&chat, "a", &older).await;
    until(|| touches() == 2).await;
    // A store that cannot write it down refuses nobody.
    chat.store.sessions_stay.store(true, Ordering::Relaxed);
    let oldest = session(&chat, "oldest", 1200, 600).await;
    assert_eq!(chat.get("/api/me", &oldest).await.status, 200);
    until(|| touches() == 3).await;
}

#[tokio::test]
async fn what_was_ended_elsewhere_loses_its_sockets() {
    let chat = Chat::with(|options| options.session_check_interval = Duration::from_millis(20)).await;
    let (phone, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    let mut socket = Wire::open(&chat, "a", &phone).await;
    let mut bobs = Wire::open(&chat, "a", &bob).await;
    let checks = || chat.store.checks.load(Ordering::Relaxed);

    // While the store is out, nobody can know.
    chat.store.out.store(true, Ordering::Relaxed);
    chat.store.memory.revoke_sessions_of(&Username::known("alice").unwrap()).await.unwrap();
    let seen = checks();
    until(|| checks() >= seen + 3).await;
    socket.is_open().await;

    chat.store.out.store(false, Ordering::Relaxed);
    assert_eq!(socket.close_code().await, Some(4001));
    let seen = checks();
    until(|| checks() >= seen + 3).await;
    bobs.is_open().await;
}

#[tokio::test]
async fn a_session_whose_time_is_over_is_not_taken_for_a_sign_out() {
    let chat = Chat::with(|options| options.session_check_interval = Duration::from_millis(20)).await;
    chat.register("alice", "password").await;
    let short = session(&chat, "short", 10, 3).await;
    assert_eq!(Wire::open(&chat, "a", &short).await.close_code().await, Some(1008));
}

#[tokio::test]
async fn what_was_renewed_elsewhere_goes_on() {
    let chat = Chat::with(|options| options.session_check_interval = Duration::from_millis(20)).await;
    chat.register("alice", "password").await;
    let short = session(&chat, "short", 10, 3).await;
    let mut socket = Wire::open(&chat, "a", &short).await;
    let later = (now() + 600) * 1000;
    chat.store.memory.renew_session(&SessionId::new("short"), now() * 1000, later).await.unwrap();
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    socket.is_open().await;
}

#[tokio::test]
async fn a_renewal_reaches_a_socket_that_is_still_on_its_way() {
    let chat = Chat::start().await;
    chat.register("alice", "password").await;
    // In the last three seconds of its life.
    let old = session(&chat, "s", 86_397, 3).await;
    // The upgrade learns of the old end, and then takes its time.
    chat.store.hold_next_session.store(true, Ordering::Relaxed);
    let opening = async {
        let mut socket = Wire::open(&chat, "a", &old).await;
        tokio::time::sleep(Duration::from_millis(4_500)).await;
        socket.is_open().await;
    };
    let renewing = async {
        until(|| chat.store.held.load(Ordering::Relaxed)).await;
        assert!(chat.get("/api/me", &old).await.header("set-cookie").is_some(), "renewed");
        chat.store.go_on.notify_one();
    };
    tokio::join!(opening, renewing);
}

#[tokio::test]
async fn a_sign_out_reaches_a_socket_that_is_still_on_its_way() {
    let chat = Chat::start().await;
    let phone = chat.sign_in("alice").await;
    let laptop = chat.again("alice", "").await;
    chat.store.hold_next_session.store(true, Ordering::Relaxed);
    let opening = async { Wire::open(&chat, "a", &phone).await.close_code().await };
    let leaving = async {
        until(|| chat.store.held.load(Ordering::Relaxed)).await;
        assert_eq!(chat.sign_out_everywhere(&laptop).await.status, 200);
        chat.store.go_on.notify_one();
    };
    assert_eq!(tokio::join!(opening, leaving).0, Some(4001));
}

/// What a host application signs.
fn signed(claims: &Value) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    format!("auth={}", jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).unwrap())
}

async fn with_external_tokens() -> Chat {
    let options = TokenOptions { accept_external: true, ..TokenOptions::default() };
    Chat::with_auth(PasswordsOptions::default(), tokens_with(options), |_| {}).await
}

#[tokio::test]
async fn a_hosts_people_talk_and_are_written_to() {
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

    // Nobody else becomes them.
    assert_eq!(chat.register("Гость", "password").await.status, 400);
    for guess in ["!", "password", ""] {
        assert_eq!(chat.login("Гость", guess).await.status, 401);
    }
    // Nobody can end what the host gave out, but it says so itself.
    assert_eq!(chat.sessions(&guest).await, Vec::<Value>::new());
    assert_eq!(chat.call("POST", "/api/logout", &[("Cookie", &guest)], b"").await.status, 200);
    theirs.is_open().await;
}

#[tokio::test]
async fn a_name_of_a_host_that_could_not_be_registered_talks_in_rooms_only() {
    let chat = with_external_tokens().await;
    let alice = chat.sign_in("alice").await;
    let mut hers = Wire::open(&chat, "a", &alice).await;
    // Two spaces around; an а that is another letter.
    for odd in [" guest ", "\u{430}lice"] {
        let mut theirs = Wire::open(&chat, "a", &signed(&json!({ "sub": odd, "exp": now() + 60 }))).await;
        theirs.send(&json!({ "type": "message", "text": "hello" })).await;
        let heard = hers.next_of("message").await;
        assert_eq!((&heard["from"], &heard["text"]), (&json!(odd), &json!("hello")));
        assert_eq!(chat.store.memory.find_user(&Username::known(odd).unwrap()).await.unwrap(), None);
        // It comes back to who wrote it.
        hers.send(&json!({ "type": "private", "to": odd, "text": "psst" })).await;
        assert_eq!(hers.next_of("private").await["text"], "psst");
        assert_eq!(chat.store.stored_privately("alice", odd).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_hosts_token_is_good_for_as_long_as_it_says() {
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

    let short = signed(&json!({ "sub": "guest", "exp": now() + 2, "nbf": now(), "iss": "host" }));
    let mut socket = Wire::open(&chat, "a", &short).await;
    assert_eq!(socket.close_code().await, Some(1008));
    assert_eq!(chat.get("/api/me", &short).await.refusal(), invalid);
}

#[tokio::test]
async fn who_has_an_account_and_a_host_ends_all_sessions_by_either() {
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
