//! Users whom the host of the chat knows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use chat_http::{Identified, Identity, IdentityFuture, RequestHead, identity_fn};
use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderValue, SET_COOKIE};
use serde_json::json;

use crate::harness::Chat;
use crate::wire::Wire;

/// A host whose sessions are values of `Cookie`.
#[derive(Default)]
struct Host {
    sessions: Mutex<HashMap<String, Identified>>,
    is_out: Mutex<bool>,
}

impl Host {
    fn begin(&self, session: &str, user: &str) {
        let user = Identified { session: Some(session.to_owned()), ..Identified::new(user) };
        self.insert(session, user);
    }

    fn insert(&self, cookie: &str, user: Identified) {
        self.sessions.lock().unwrap().insert(cookie.to_owned(), user);
    }

    fn end(&self, session: &str) {
        self.sessions.lock().unwrap().remove(session);
    }
}

impl Identity for Host {
    fn identify<'a>(&'a self, request: RequestHead<'a>) -> IdentityFuture<'a, Option<Identified>> {
        Box::pin(async move {
            if *self.is_out.lock().unwrap() {
                return Err("no database".into());
            }
            let cookie = request.headers.get(COOKIE).and_then(|cookie| cookie.to_str().ok());
            Ok(cookie.and_then(|cookie| self.sessions.lock().unwrap().get(cookie).cloned()))
        })
    }

    fn sign_out<'a>(
        &'a self,
        _: RequestHead<'a>,
        user: &'a Identified,
        everywhere: bool,
    ) -> IdentityFuture<'a, HeaderMap> {
        Box::pin(async move {
            let is_ended = |other: &Identified| match everywhere {
                true => other.user == user.user,
                false => other == user,
            };
            self.sessions.lock().unwrap().retain(|_, other| !is_ended(other));
            Ok(HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_static("host=; Max-Age=0"))]))
        })
    }
}

async fn start() -> (Arc<Host>, Chat) {
    let host = Arc::new(Host::default());
    let chat = Chat::of_host(host.clone()).await;
    (host, chat)
}

#[tokio::test]
async fn the_host_says_who_a_request_is_from() {
    let (host, chat) = start().await;
    host.begin("one", "alice");
    host.insert("two", Identified { picture: Some("/faces/bob.png".to_owned()), ..Identified::new("bob") });
    host.insert("bad", Identified::new(" \u{0}"));
    let me = chat.get("/api/me", "one").await.json();
    assert_eq!((&me["username"], &me["avatar"]), (&json!("alice"), &json!("")));
    assert_eq!(chat.get("/api/me", "two").await.json()["avatar"], "/faces/bob.png");
    // The account is there from the first request on.
    assert_eq!(chat.get("/api/users/bob", "one").await.json()["avatar"], "/faces/bob.png");
    for cookie in ["", "three", "bad"] {
        assert_eq!(chat.get("/api/me", cookie).await.status, 401, "{cookie}");
    }
    // Notifications without a page belong to a session of the chat, and there is none.
    let me = chat.get("/api/me", "one").await.json();
    assert!(me["push_key"].is_null() && !me["features"].as_array().unwrap().contains(&json!("push")), "{me}");
    // There is no other way in.
    assert_eq!(chat.login("alice", "password").await.status, 404);
    assert_eq!(chat.register("carol", "password").await.status, 404);
    assert_eq!(chat.get("/api/sessions", "one").await.status, 404);
    *host.is_out.lock().unwrap() = true;
    let refused = chat.get("/api/me", "one").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
}

#[tokio::test]
async fn sockets_end_with_the_session_of_the_host() {
    let (host, chat) = start().await;
    for session in ["one", "two", "three"] {
        host.begin(session, "alice");
    }
    host.begin("other", "bob");
    let mut sockets = Vec::new();
    for session in ["one", "two", "three", "other"] {
        sockets.push(Wire::open_v2(&chat, session).await);
    }
    let [one, two, three, other] = &mut sockets[..] else { unreachable!() };
    host.end("one");
    chat.server.chat().sign_out("alice", Some("one")).await;
    assert_eq!(one.close_code().await, Some(4001));
    two.is_open().await;

    // The cookie is the host's, which the documents do not know.
    let sign_out = chat.request("POST", "/api/logout", &[("Cookie", "two")], b"");
    let reply = chat.raw(&sign_out).await;
    assert_eq!((reply.status, reply.header("set-cookie")), (200, Some("host=; Max-Age=0")));
    assert_eq!(two.close_code().await, Some(4001));
    assert_eq!(chat.get("/api/me", "two").await.status, 401);
    three.is_open().await;

    let everywhere = json!({ "everywhere": true }).to_string();
    let sign_out = chat.request("POST", "/api/logout", &[("Cookie", "three")], everywhere.as_bytes());
    assert_eq!(chat.raw(&sign_out).await.status, 200);
    assert_eq!(three.close_code().await, Some(4001));
    other.is_open().await;
    chat.server.chat().sign_out("bob", None).await;
    assert_eq!(other.close_code().await, Some(4001));
    // Signing out twice is no error.
    assert_eq!(chat.raw(&chat.request("POST", "/api/logout", &[], b"")).await.status, 200);
}

#[tokio::test]
async fn a_user_who_signs_in_to_the_host_again_comes_back_at_once() {
    let (host, chat) = start().await;
    let alice =
        [Identified::new("alice"), Identified { session: Some("s".to_owned()), ..Identified::new("alice") }];
    for alice in alice {
        for _ in 0..2 {
            host.insert("one", alice.clone());
            let mut socket = Wire::open_v2(&chat, "one").await;
            socket.is_open().await;
            let sign_out = chat.request("POST", "/api/logout", &[("Cookie", "one")], b"");
            assert_eq!(chat.raw(&sign_out).await.status, 200);
            assert_eq!(socket.close_code().await, Some(4001));
            // The host may say so by itself, too.
            host.insert("one", alice.clone());
            let mut socket = Wire::open_v2(&chat, "one").await;
            socket.is_open().await;
            host.end("one");
            chat.server.chat().sign_out("alice", alice.session.as_deref()).await;
            assert_eq!(socket.close_code().await, Some(4001));
        }
    }
}

#[tokio::test]
async fn a_socket_ends_when_the_host_has_said_so() {
    let (host, chat) = start().await;
    let until = Some(SystemTime::now() + Duration::from_secs(2));
    host.insert("short", Identified { until, ..Identified::new("alice") });
    host.insert("over", Identified { until: Some(SystemTime::UNIX_EPOCH), ..Identified::new("bob") });
    assert_eq!(chat.get("/api/me", "over").await.status, 401);
    let reply = chat.get("/api/me", "short").await;
    if reply.status == 200 {
        let mut stream = chat.connect().await;
        let headers = [("Cookie", "short"), ("Sec-WebSocket-Protocol", "chat.v2")];
        let request = crate::upgrade::handshake(&chat, "/ws", &headers);
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
        // On a slow machine the time may be over by now.
        if crate::harness::Reply::read_head(&mut stream).await.status == 101 {
            assert_eq!(Wire::over(stream).close_code().await, Some(1008));
        }
    }
    // What is private reaches users of the host like all others.
    host.begin("one", "carol");
    host.begin("two", "dave");
    let mut hers = Wire::open(&chat, "a", "one").await;
    let mut his = Wire::open(&chat, "a", "two").await;
    his.next_of("system").await;
    hers.send(&json!({ "type": "private", "to": "dave", "text": "psst" })).await;
    assert_eq!(his.next_of("private").await["text"], "psst");
    // A ban ends their sockets, and they do not come back.
    let ban = chat_store::NewBan {
        user: chat_core::Username::known("dave").unwrap(),
        reason: String::new(),
        delete_messages: false,
        without_account: true,
    };
    use chat_store::AdministrationRepository as _;
    chat.store.memory.ban(&ban, None, 1).await.unwrap().unwrap();
    chat.server.end_user(&ban.user).await;
    assert!(his.close_code().await.is_some());
    assert_eq!(chat.get("/api/me", "two").await.status, 401);
}

#[tokio::test]
async fn a_host_may_be_two_functions() {
    let ended = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&ended);
    let host = identity_fn(
        |request| Some(Identified::new(request.headers.get(COOKIE)?.to_str().ok()?)),
        move |_, user, everywhere| {
            told.lock().unwrap().push((user.user.clone(), everywhere));
            HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_static("host=; Max-Age=0"))])
        },
    );
    let chat = Chat::of_host(host).await;
    assert_eq!(chat.get("/api/me", "alice").await.json()["username"], "alice");
    assert_eq!(chat.get("/api/me", "").await.status, 401);
    let everywhere = json!({ "everywhere": true }).to_string();
    for body in ["", &everywhere] {
        let sign_out = chat.request("POST", "/api/logout", &[("Cookie", "alice")], body.as_bytes());
        let reply = chat.raw(&sign_out).await;
        assert_eq!((reply.status, reply.header("set-cookie")), (200, Some("host=; Max-Age=0")));
    }
    assert_eq!(*ended.lock().unwrap(), [("alice".to_owned(), false), ("alice".to_owned(), true)]);
}
