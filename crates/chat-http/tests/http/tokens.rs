//! Tokens, and the cookie that holds one.

use chat_core::{SessionId, Username};
use chat_http::PublicUrl;
use chat_store::{Session, SessionRepository as _};

use crate::harness::{Chat, now, tokens};

#[tokio::test]
async fn a_missing_or_invalid_token_is_refused() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    let token = cookie.strip_prefix("auth=").unwrap();
    let missing = (401, "missing auth cookie".to_owned());
    let invalid = (401, "invalid token".to_owned());
    for path in ["/api/me", "/api/users/alice", "/api/rooms", "/ws?room=x"] {
        assert_eq!(chat.call("GET", path, &[], b"").await.refusal(), missing, "{path}");
        assert_eq!(chat.get(path, "other=1; auth=").await.refusal(), missing, "{path}");
        assert_eq!(chat.get(path, "auth=garbage").await.refusal(), invalid, "{path}");
        assert_eq!(chat.get(path, &cookie[..cookie.len() - 2]).await.refusal(), invalid, "{path}");
        // Correctly signed, but: without a session; with that of another user; expired.
        let sid = tokens().verify(token, now()).unwrap().sid.unwrap();
        for forged in [
            tokens().issue(now(), "alice", "no-such-session"),
            tokens().issue(now(), "bob", &sid),
            tokens().issue(now() - 86_400, "alice", &sid),
        ] {
            assert_eq!(chat.get(path, &format!("auth={forged}")).await.refusal(), invalid, "{path}");
        }
    }
    let bearer = format!("Bearer {token}");
    for headers in [
        vec![("Authorization", bearer.as_str())],
        vec![("Authorization", "Basic eDp5"), ("Cookie", &cookie)],
        vec![("Cookie", "a=b"), ("Cookie", &cookie)],
    ] {
        assert_eq!(chat.call("GET", "/api/me", &headers, b"").await.status, 200, "{headers:?}");
    }
    let headers = [("Authorization", "Bearer x"), ("Cookie", &cookie)];
    assert_eq!(chat.call("GET", "/api/me", &headers, b"").await.refusal(), invalid);
}

#[tokio::test]
async fn the_cookie_is_renewed_after_half_its_lifetime() {
    let chat = Chat::start().await;
    chat.register("alice", "password").await;
    let born = now() - 43_201;
    let session = Session {
        id: SessionId::new("s1"),
        user: Username::known("alice").unwrap(),
        device: String::new(),
        address: String::new(),
        created_at_ms: born * 1000,
        expires_at_ms: (born + 86_400) * 1000,
        last_seen_at_ms: born * 1000,
    };
    chat.store.open_session(&session, 1_000).await.unwrap();

    let middle_aged = tokens().issue(born, "alice", "s1");
    let reply = chat.get("/api/me", &format!("auth={middle_aged}")).await;
    let cookie = reply.header("set-cookie").unwrap();
    assert!(cookie.ends_with("; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"), "{cookie}");
    let renewed = cookie.strip_prefix("auth=").unwrap().split(';').next().unwrap();
    let claims = tokens().verify(renewed, now()).unwrap();
    assert_eq!((claims.sub.as_str(), claims.sid.as_deref()), ("alice", Some("s1")));
    assert!(claims.iat.unwrap() >= born + 43_201);
    let stored = chat.store.find_session(&session.id, now() * 1000).await.unwrap().unwrap();
    assert!(stored.expires_at_ms > (now() + 86_390) * 1000, "the session lives as long as its token");

    // A program would ignore a cookie.
    let bearer = format!("Bearer {middle_aged}");
    let reply = chat.call("GET", "/api/me", &[("Authorization", &bearer)], b"").await;
    assert_eq!((reply.status, reply.header("set-cookie")), (200, None));
}

#[tokio::test]
async fn under_https_cookies_are_secure() {
    let url = PublicUrl::parse("https://chat.example.org").unwrap();
    let chat = Chat::with(|options| options.public_url = Some(url)).await;
    chat.register("alice", "password").await;
    let cookie = chat.login("alice", "password").await.header("set-cookie").unwrap().to_owned();
    assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
}
