//! Registering, signing in and out, and the listing of users.

use serde_json::json;

use crate::harness::{Chat, now, tokens};

#[tokio::test]
async fn alice_registers_signs_in_and_out() {
    let chat = Chat::start().await;
    let reply = chat.register("Алиса", "correct horse").await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "status": "registered" })));

    let reply = chat.login("Алиса", "correct horse").await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "status": "ok", "avatar": "" })));
    let cookie = reply.header("set-cookie").unwrap();
    let (auth, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Max-Age=86400; HttpOnly; SameSite=Lax");
    let claims = tokens().verify(auth.strip_prefix("auth=").unwrap(), now()).unwrap();
    assert_eq!(claims.sub, "Алиса");
    assert_eq!(claims.exp, claims.iat.unwrap() + 86_400);
    assert!(claims.sid.is_some());

    let reply = chat.get("/api/me", auth).await;
    let push_key = reply.json()["push_key"].clone();
    assert_eq!(push_key.as_str().map(str::len), Some(87), "a point of P-256 in base64url");
    let created_at = reply.json()["created_at"].as_u64().expect("when the account was made");
    assert!(now().abs_diff(created_at) <= 60, "{created_at}");
    let me = json!({ "username": "Алиса", "avatar": "", "created_at": created_at, "role": "member", "features": ["edit", "delete", "react", "reply", "mentions", "read", "typing", "rooms", "files", "search", "administration", "push"], "push_key": push_key });
    assert_eq!((reply.status, reply.json()), (200, me));
    assert_eq!(reply.header("set-cookie"), None, "too young to be renewed");

    let reply = chat.call("POST", "/api/logout", &[("Cookie", auth)], b"").await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "status": "ok" })));
    assert_eq!(reply.header("set-cookie"), Some("auth=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"));
    assert_eq!(chat.get("/api/me", auth).await.refusal(), (401, "invalid token".to_owned()));
    // Signing out again succeeds too.
    assert_eq!(chat.call("POST", "/api/logout", &[("Cookie", auth)], b"").await.status, 200);
    assert_eq!(chat.call("POST", "/api/logout", &[], b"").await.status, 200);
}

#[tokio::test]
async fn signing_out_ends_one_session_only() {
    let chat = Chat::start().await;
    let phone = chat.sign_in("alice").await;
    let reply = chat.login("alice", "password").await;
    let laptop = reply.header("set-cookie").unwrap().split(';').next().unwrap();
    chat.call("POST", "/api/logout", &[("Cookie", &phone)], b"").await;
    assert_eq!(chat.get("/api/me", &phone).await.status, 401);
    assert_eq!(chat.get("/api/me", laptop).await.status, 200);
}

#[tokio::test]
async fn a_user_with_an_account_is_found_by_name() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("Алиса +1/2").await;
    let path = "/api/users/%D0%90%D0%BB%D0%B8%D1%81%D0%B0%20+1%2F2";
    assert_eq!(chat.get(path, &cookie).await.json(), json!({ "username": "Алиса +1/2", "avatar": "" }));
    for nobody in ["bob", "%D0", "%zz", "%00", "%20", &"x".repeat(100)] {
        let reply = chat.get(&format!("/api/users/{nobody}"), &cookie).await;
        assert_eq!(reply.refusal(), (404, "user not found".to_owned()), "{nobody}");
    }
    for elsewhere in ["/api/users/", "/api/users/a/b"] {
        assert_eq!(chat.get(elsewhere, &cookie).await.refusal(), (404, "not found".to_owned()));
    }
}
