//! The list of a user's sessions, and how sessions end: one, all, and elsewhere.

use std::sync::atomic::Ordering;
use std::time::Duration;

use chat_core::{SessionId, Username};
use chat_store::{Session, SessionRepository as _};
use serde_json::{Value, json};

use crate::harness::{Chat, Reply, now, tokens, until};
use crate::wire::Wire;

impl Chat {
    /// Signs a user in again. Returns the value of `Cookie`.
    pub async fn sign_in_again(&self, username: &str, user_agent: &str) -> String {
        let body = json!({ "username": username, "password": "password" }).to_string();
        let headers = [("User-Agent", user_agent)];
        let reply = self.call("POST", "/api/login", &headers, body.as_bytes()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }

    pub async fn sessions(&self, cookie: &str) -> Vec<Value> {
        let reply = self.get("/api/sessions", cookie).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["sessions"].as_array().unwrap().clone()
    }

    pub async fn end(&self, id: &str, cookie: &str) -> Reply {
        self.call("DELETE", &format!("/api/sessions/{id}"), &[("Cookie", cookie)], b"").await
    }

    pub async fn sign_out_everywhere(&self, cookie: &str) -> Reply {
        self.call("POST", "/api/logout", &[("Cookie", cookie)], br#"{"everywhere": true}"#).await
    }
}

/// The id of the session in a cookie.
pub fn sid(cookie: &str) -> String {
    tokens().verify(cookie.strip_prefix("auth=").unwrap(), now()).unwrap().sid.unwrap()
}

/// Opens a session of alice that is `age` seconds old and expires in `left` seconds. Returns
/// the value of `Cookie`.
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
    chat.store.memory.open_session(&session, 1_000).await.unwrap();
    format!("auth={}", tokens().issue(now() - age, "alice", id))
}

#[tokio::test]
async fn a_user_has_only_some_sessions() {
    let chat = Chat::with(|options| options.user_sessions_max = 2).await;
    let first = chat.sign_in("alice").await;
    let bob = chat.sign_in("bob").await;
    // The oldest is told by the time, in milliseconds.
    let again = async || {
        tokio::time::sleep(Duration::from_millis(2)).await;
        chat.sign_in_again("alice", "").await
    };
    let [second, third] = [again().await, again().await];
    for (cookie, status) in [(&first, 401), (&second, 200), (&third, 200), (&bob, 200)] {
        assert_eq!(chat.get("/api/me", cookie).await.status, status);
    }
}

#[tokio::test]
async fn the_sessions_of_a_user_are_listed() {
    let chat = Chat::start().await;
    let phone = chat.sign_in("alice").await;
    let laptop = chat.sign_in_again("alice", "Mozilla/5.0\t(Ноутбук)").await;
    let toaster = chat.sign_in_again("alice", &"x".repeat(300)).await;
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
    // The ids in the list are no tokens.
    assert_eq!(chat.get("/api/me", &format!("auth={}", ids[0])).await.status, 401);
    assert_eq!(chat.get("/api/sessions", "").await.status, 401);
}

#[tokio::test]
async fn a_user_ends_one_session() {
    let chat = Chat::start().await;
    let (phone, laptop) = (chat.sign_in("alice").await, chat.sign_in_again("alice", "").await);
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

    // The current session.
    let reply = chat.end(&sid(&laptop), &laptop).await;
    assert_eq!(reply.header("set-cookie"), Some("auth=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"));
    assert_eq!(on_laptop.close_code().await, Some(4001));
}

#[tokio::test]
async fn a_user_signs_out_everywhere() {
    let chat = Chat::start().await;
    let (phone, laptop) = (chat.sign_in("alice").await, chat.sign_in_again("alice", "").await);
    let bob = chat.sign_in("bob").await;
    let mut hers = [Wire::open(&chat, "a", &phone).await, Wire::open(&chat, "b", &laptop).await];
    let mut bobs = Wire::open(&chat, "a", &bob).await;

    // Malformed and foreign requests change nothing.
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

    // A session that has ended cannot end newer ones.
    let new = chat.sign_in_again("alice", "").await;
    assert_eq!(chat.sign_out_everywhere(&phone).await.status, 200);
    assert_eq!(chat.get("/api/me", &new).await.status, 200);
    // Nor those of another user, and a sign-out of one session ends no others.
    let stolen = format!("auth={}", tokens().issue(now(), "bob", &sid(&new)));
    assert_eq!(chat.sign_out_everywhere(&stolen).await.status, 200);
    assert_eq!(chat.get("/api/me", &bob).await.status, 200);
    let newer = chat.sign_in_again("alice", "").await;
    for body in ["{}", r#"{"everywhere":false}"#, " "] {
        let one = chat.sign_in_again("alice", "").await;
        assert_eq!(chat.call("POST", "/api/logout", &[("Cookie", &one)], body.as_bytes()).await.status, 200);
        assert_eq!(chat.get("/api/me", &one).await.status, 401);
    }
    assert_eq!(chat.get("/api/me", &newer).await.status, 200);
}

#[tokio::test]
async fn the_last_use_of_a_session_is_stored_at_intervals() {
    let chat = Chat::start().await;
    chat.register("alice", "password").await;
    let touches = || chat.store.touches.load(Ordering::Relaxed);
    let fresh = chat.sign_in_again("alice", "").await;
    let old = session(&chat, "old", 600, 600).await;
    chat.get("/api/me", &old).await;
    until(|| touches() == 1).await;
    let seen = async || {
        let found = chat.store.memory.find_session(&SessionId::new("old"), now() * 1000).await.unwrap();
        found.unwrap().last_seen_at_ms
    };
    assert!(seen().await >= (now() - 30) * 1000);
    // Not again so soon, nor for a session that was opened just now.
    for cookie in [&old, &fresh, &old, &fresh] {
        chat.get("/api/me", cookie).await;
        Wire::open(&chat, "a", cookie).await;
    }
    assert_eq!(touches(), 1);
    // Opening a socket is a use as well.
    let older = session(&chat, "older", 900, 600).await;
    let _socket = Wire::open(&chat, "a", &older).await;
    until(|| touches() == 2).await;
    // If the store cannot write it, the request succeeds all the same.
    chat.store.sessions_stay.store(true, Ordering::Relaxed);
    let oldest = session(&chat, "oldest", 1200, 600).await;
    assert_eq!(chat.get("/api/me", &oldest).await.status, 200);
    until(|| touches() == 3).await;
}

#[tokio::test]
async fn a_session_that_was_ended_elsewhere_loses_its_sockets() {
    let chat = Chat::with(|options| options.session_check_interval = Duration::from_millis(20)).await;
    let (phone, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    let mut socket = Wire::open(&chat, "a", &phone).await;
    let mut bobs = Wire::open(&chat, "a", &bob).await;
    let checks = || chat.store.checks.load(Ordering::Relaxed);

    // While the store is unavailable, nothing is closed.
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
async fn an_expired_session_is_not_closed_as_signed_out() {
    let chat = Chat::with(|options| options.session_check_interval = Duration::from_millis(20)).await;
    chat.register("alice", "password").await;
    let short = session(&chat, "short", 10, 8).await;
    assert_eq!(Wire::open(&chat, "a", &short).await.close_code().await, Some(1008));
}

#[tokio::test]
async fn a_session_that_was_renewed_elsewhere_keeps_its_sockets() {
    let chat = Chat::with(|options| options.session_check_interval = Duration::from_millis(20)).await;
    chat.register("alice", "password").await;
    let short = session(&chat, "short", 10, 8).await;
    let mut socket = Wire::open(&chat, "a", &short).await;
    let later = (now() + 600) * 1000;
    chat.store.memory.renew_session(&SessionId::new("short"), now() * 1000, later).await.unwrap();
    tokio::time::sleep(Duration::from_millis(9_500)).await;
    socket.is_open().await;
}

#[tokio::test]
async fn a_renewal_during_an_upgrade_reaches_the_socket() {
    let chat = Chat::start().await;
    chat.register("alice", "password").await;
    // The session expires in eight seconds.
    let old = session(&chat, "s", 86_392, 8).await;
    // The upgrade reads the old end, and is then held up.
    chat.store.hold_next_session.store(true, Ordering::Relaxed);
    let opening = async {
        let mut socket = Wire::open(&chat, "a", &old).await;
        tokio::time::sleep(Duration::from_millis(9_500)).await;
        socket.is_open().await;
    };
    let renewing = async {
        until(|| chat.store.held.load(Ordering::Relaxed)).await;
        assert!(chat.get("/api/me", &old).await.header("set-cookie").is_some(), "renewed");
        chat.store.release.notify_one();
    };
    tokio::join!(opening, renewing);
}

#[tokio::test]
async fn a_sign_out_during_an_upgrade_closes_the_socket() {
    let chat = Chat::start().await;
    let phone = chat.sign_in("alice").await;
    let laptop = chat.sign_in_again("alice", "").await;
    chat.store.hold_next_session.store(true, Ordering::Relaxed);
    let opening = async { Wire::open(&chat, "a", &phone).await.close_code().await };
    let leaving = async {
        until(|| chat.store.held.load(Ordering::Relaxed)).await;
        assert_eq!(chat.sign_out_everywhere(&laptop).await.status, 200);
        chat.store.release.notify_one();
    };
    assert_eq!(tokio::join!(opening, leaving).0, Some(4001));
}

#[tokio::test]
async fn a_program_signs_a_user_out_everywhere() {
    let chat = Chat::start().await;
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    let second = chat.sign_in_again("alice", "curl").await;
    let mut sockets = Vec::new();
    for cookie in [&alice, &second, &bob] {
        sockets.push(Wire::open_v2(&chat, cookie).await);
    }
    let alice_name = Username::known("alice").unwrap();
    chat.server.chat().handle().sign_out(&alice_name).await.unwrap();
    let [one, two, other] = &mut sockets[..] else { unreachable!() };
    assert_eq!((one.close_code().await, two.close_code().await), (Some(4001), Some(4001)));
    other.is_open().await;
    for (cookie, status) in [(&alice, 401), (&second, 401), (&bob, 200)] {
        assert_eq!(chat.get("/api/me", cookie).await.status, status);
    }
}
