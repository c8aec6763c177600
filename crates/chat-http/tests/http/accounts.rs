//! Registering, signing in and out, and who is who.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chat_auth::{PasswordsOptions, TokenOptions};
use chat_core::{SessionId, Username};
use chat_http::PublicUrl;
use chat_store::{NewUser, Session, SessionRepository as _, User, UserRepository as _};
use serde_json::json;

use crate::harness::{Chat, FORM, SECRET, form, now, tokens, tokens_with};

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
    assert_eq!((reply.status, reply.json()), (200, json!({ "username": "Алиса", "avatar": "" })));
    assert_eq!(reply.header("set-cookie"), None, "too young to be renewed");

    let reply = chat.call("POST", "/api/logout", &[("Cookie", auth)], b"").await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "status": "ok" })));
    assert_eq!(reply.header("set-cookie"), Some("auth=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"));
    assert_eq!(chat.get("/api/me", auth).await.refusal(), (401, "invalid token".to_owned()));
    // Once more does no harm.
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
async fn under_https_cookies_are_secure() {
    let url = PublicUrl::parse("https://chat.example.org").unwrap();
    let chat = Chat::with(|options| options.public_url = Some(url)).await;
    chat.register("alice", "password").await;
    let cookie = chat.login("alice", "password").await.header("set-cookie").unwrap().to_owned();
    assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
}

#[tokio::test]
async fn a_bad_registration_gets_its_sentence() {
    let chat = Chat::start().await;
    chat.register("taken", "password").await;
    let required = "username and password are required";
    let long = "password too long (max 1024 bytes)";
    let kilobyte = "p".repeat(1024);
    let byte_more = "p".repeat(1025);
    for (fields, sentence) in [
        (vec![("username", "taken"), ("password", "p")], "username already exists"),
        (vec![("username", "  taken "), ("password", "p")], "username already exists"),
        (vec![], required),
        (vec![("username", "bob")], required),
        (vec![("password", "p")], required),
        (vec![("username", " \t"), ("password", "p")], required),
        (vec![("username", "bob"), ("password", "")], required),
        (vec![("username", &"ж".repeat(25)), ("password", "p")], "username too long (max 24)"),
        (vec![("username", &kilobyte), ("password", "p")], "username too long (max 24)"),
        (vec![("username", &kilobyte.repeat(2)), ("password", "p")], "username too long (max 24)"),
        (
            vec![("username", "b\u{200b}ob"), ("password", "p")],
            "username must not contain control or invisible characters",
        ),
        (vec![("username", "bob"), ("password", &byte_more)], long),
        (vec![("password", &kilobyte.repeat(30)), ("username", "bob")], long),
        (
            vec![("username", "bob"), ("username", "eve"), ("password", "p")],
            "the form has the field username twice",
        ),
        (
            vec![("username", "bob"), ("password", "p"), ("password", "q")],
            "the form has the field password twice",
        ),
        (vec![("x", "y"); 40], "the form has too many fields"),
    ] {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, None, value.as_bytes())).collect();
        let reply = chat.register_form(&fields).await;
        assert_eq!(reply.refusal(), (400, sentence.to_owned()), "{fields:?}");
    }
    let reply = chat.register_form(&[("username", None, b"b\xffb"), ("password", None, b"p")]).await;
    assert_eq!(reply.refusal(), (400, "the field username is not UTF-8 text".to_owned()));
    assert_eq!(chat.login("bob", "p").await.status, 401);
}

#[tokio::test]
async fn fields_come_in_any_order_and_unknown_ones_are_passed_over() {
    let chat = Chat::start().await;
    let fields = [
        ("theme", None, &b"dark"[..]),
        ("password", None, b" p "),
        ("notes", Some("a.txt"), b"--Y\r\n\r\n"),
        ("username", None, b"\xd0\x90"),
    ];
    assert_eq!(chat.register_form(&fields).await.status, 200);
    assert_eq!(chat.login("А", "p").await.status, 401, "a password is verbatim");
    assert_eq!(chat.login("А", " p ").await.status, 200);
}

#[tokio::test]
async fn only_a_form_can_register() {
    let chat = Chat::start().await;
    let good = form(&[("username", None, b"bob"), ("password", None, b"p")]);
    let long = format!("multipart/form-data; boundary={}", "X".repeat(71));
    for content_type in [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=X",
        "",
        &long,
    ] {
        let reply = chat.call("POST", "/api/register", &[("Content-Type", content_type)], &good).await;
        let sentence = "the registration must be sent as multipart/form-data";
        assert_eq!(reply.refusal(), (400, sentence.to_owned()), "{content_type}");
    }
    assert_eq!(chat.call("POST", "/api/register", &[], &good).await.status, 400);
    for damaged in [&b""[..], b"--X", b"--X\r\nnonsense\r\n\r\n", &good[..good.len() - 10], b"{}"] {
        let reply = chat.call("POST", "/api/register", &[("Content-Type", FORM)], damaged).await;
        assert_eq!(reply.refusal(), (400, "the form is damaged".to_owned()), "{damaged:?}");
    }
}

#[tokio::test]
async fn headers_of_a_field_have_an_end() {
    let chat = Chat::start().await;
    let mut body = b"--X\r\nContent-Disposition: form-data; name=\"username\"; x=\"".to_vec();
    body.resize(1 << 20, b'x');
    let reply = chat.call("POST", "/api/register", &[("Content-Type", FORM)], &body).await;
    assert_eq!(reply.status, 413, "{reply:?}");
}

#[tokio::test]
async fn a_bad_sign_in_gets_its_sentence() {
    let chat = Chat::start().await;
    chat.register("alice", "password").await;
    let credentials = (401, "invalid credentials".to_owned());
    for (username, password) in [
        ("alice", "Password"),
        ("alice", "password "),
        ("alice", ""),
        ("Alice", "password"),
        ("bob", "password"),
        ("", ""),
        ("a\u{0}b", "password"),
        (&"x".repeat(100), "password"),
        ("alice", &"p".repeat(2000)),
    ] {
        assert_eq!(chat.login(username, password).await.refusal(), credentials, "{username} {password}");
    }
    let call = async |body: &[u8]| chat.call("POST", "/api/login", &[], body).await.refusal();
    for nothing in ["{}", r#"{"username":"alice"}"#, r#"{"password":"password"}"#] {
        assert_eq!(call(nothing.as_bytes()).await, credentials, "{nothing}");
    }
    let json = (400, "invalid json".to_owned());
    for bad in ["", "{", "[]", "null", "\"alice\"", r#"{"username":1,"password":"x"}"#, "{} {}", "a=b"] {
        assert_eq!(call(bad.as_bytes()).await, json, "{bad}");
    }
    assert_eq!(call(b"{\"username\":\"\xff\"}").await, json);
    let unknown = br#"{"username":"alice","password":"password","remember":true}"#;
    assert_eq!(chat.call("POST", "/api/login", &[], unknown).await.status, 200);
}

#[tokio::test]
async fn a_name_may_be_typed_as_it_could_have_been_registered() {
    let chat = Chat::start().await;
    chat.register("Й", "password").await;
    for typed in ["Й", " Й\n", "\u{418}\u{306}"] {
        assert_eq!(chat.login(typed, "password").await.status, 200, "{typed:?}");
    }
}

#[tokio::test]
async fn a_failed_sign_in_is_never_answered_early() {
    // Above what any hash costs; that it is not much more is for a measurement.
    let floor = Duration::from_millis(300);
    let chat = Chat::with(|options| options.login_floor = floor).await;
    chat.register("alice", "password").await;
    from_the_original(&chat, "bob").await;
    let long = "correct horse".repeat(6);
    for (username, password) in [
        ("alice", "wrong"),
        ("nobody", "wrong"),
        ("bob", "wrong"),
        ("bob", &long),
        ("alice", ""),
        ("a\0", "x"),
    ] {
        let started = Instant::now();
        assert_eq!(chat.login(username, password).await.status, 401);
        assert!(started.elapsed() >= floor, "{username}");
    }
}

#[tokio::test]
async fn a_sign_in_that_succeeds_does_not_wait() {
    let floor = Duration::from_secs(600);
    let chat = Chat::with(|options| options.login_floor = floor).await;
    chat.register("alice", "password").await;
    let login = tokio::time::timeout(floor / 2, chat.login("alice", "password"));
    assert_eq!(login.await.unwrap().status, 200);
}

/// An account with a bcrypt hash, as the original chat made them. Its password is
/// "correct horse".
async fn from_the_original(chat: &Chat, name: &str) -> User {
    let user = NewUser {
        name: Username::known(name).unwrap(),
        password_hash: "$2a$10$N9qo8uLOickgx2ZMRZoMye7hLCKuEIm4BcKHuoCJsBy/5Q0NErxWS".to_owned(),
        avatar: None,
        created_at_ms: 0,
    };
    chat.store.create_user(&user).await.unwrap();
    chat.store.find_user(&user.name).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_account_of_the_original_chat_gets_a_hash_of_today_at_its_first_sign_in() {
    let chat = Chat::start().await;
    let old = from_the_original(&chat, "alice").await;
    let hash = async || chat.store.find_user(&old.name).await.unwrap().unwrap().password_hash;
    assert_eq!(chat.login("alice", "correct hors").await.status, 401);
    assert_eq!(hash().await, old.password_hash);
    // A store that cannot write it down locks nobody out.
    chat.store.hashes_stay.store(true, Ordering::Relaxed);
    assert_eq!(chat.login("alice", "correct horse").await.status, 200);
    assert_eq!(hash().await, old.password_hash);
    chat.store.hashes_stay.store(false, Ordering::Relaxed);
    assert_eq!(chat.login("alice", "correct horse").await.status, 200);
    let new = hash().await;
    assert!(new.starts_with("$argon2id$"), "{new}");
    assert_eq!(chat.login("alice", "correct horse").await.status, 200);
    assert_eq!(chat.login("alice", "correct hors").await.status, 401);
    assert_eq!(hash().await, new);
}

#[tokio::test]
async fn a_crowd_at_the_door_is_told_to_come_back() {
    let passwords = PasswordsOptions { queue_max: 0, ..PasswordsOptions::default() };
    let chat = Chat::with_auth(passwords, tokens(), |_| {}).await;
    for reply in [chat.login("alice", "password").await, chat.register("alice", "password").await] {
        assert_eq!(reply.refusal(), (503, "too many at once, please try again in a moment".to_owned()));
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
}

#[tokio::test]
async fn whose_token_is_no_good_is_told_so() {
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
        // Well signed, but of no session; of another person's; expired.
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
async fn a_host_application_signs_its_own_people_in() {
    // {"sub":"bot","exp":4102444800}, signed with the shared secret.
    let claims = json!({ "sub": "bot", "exp": 4_102_444_800u64 });
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
    let cookie = format!("auth={token}");
    assert_eq!(Chat::start().await.get("/api/me", &cookie).await.status, 401);

    let external = TokenOptions { accept_external: true, ..TokenOptions::default() };
    let chat = Chat::with_auth(PasswordsOptions::default(), tokens_with(external), |_| {}).await;
    let reply = chat.get("/api/me", &cookie).await;
    assert_eq!(reply.json(), json!({ "username": "bot", "avatar": "" }));
    assert_eq!(reply.header("set-cookie"), None);
    assert_eq!(chat.call("POST", "/api/logout", &[("Cookie", &cookie)], b"").await.status, 200);
}

#[tokio::test]
async fn half_a_life_later_the_cookie_is_renewed() {
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
    chat.store.open_session(&session).await.unwrap();

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

    // A program would not look at a cookie.
    let bearer = format!("Bearer {middle_aged}");
    let reply = chat.call("GET", "/api/me", &[("Authorization", &bearer)], b"").await;
    assert_eq!((reply.status, reply.header("set-cookie")), (200, None));
}

#[tokio::test]
async fn everybody_with_an_account_can_be_looked_up() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("Алиса +1/2").await;
    let path = "/api/users/%D0%90%D0%BB%D0%B8%D1%81%D0%B0%20+1%2F2";
    assert_eq!(chat.get(path, &cookie).await.json(), json!({ "username": "Алиса +1/2", "avatar": "" }));
    for nobody in ["bob", "%D0", "%zz", "%00", "%20", &"x".repeat(100)] {
        let reply = chat.get(&format!("/api/users/{nobody}"), &cookie).await;
        assert_eq!(reply.refusal(), (404, "user not found".to_owned()), "{nobody}");
    }
    for elsewhere in ["/api/users/", "/api/users", "/api/users/a/b"] {
        assert_eq!(chat.get(elsewhere, &cookie).await.refusal(), (404, "not found".to_owned()));
    }
}

#[tokio::test]
async fn while_the_store_is_out_nothing_is_said_about_it() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    chat.store.out.store(true, Ordering::Relaxed);
    for reply in [
        chat.login("alice", "password").await,
        chat.register("bob", "password").await,
        chat.get("/api/me", &cookie).await,
        chat.get("/api/users/alice", &cookie).await,
        chat.get("/api/rooms", &cookie).await,
        chat.call("POST", "/api/logout", &[("Cookie", &cookie)], b"").await,
    ] {
        let sentence = "the server cannot reach its store, please try again in a moment";
        assert_eq!(reply.refusal(), (503, sentence.to_owned()));
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert_eq!(reply.header("set-cookie"), None, "who is still signed in keeps the cookie");
    }
    chat.store.out.store(false, Ordering::Relaxed);
    assert_eq!(chat.get("/api/me", &cookie).await.status, 200);
}

#[tokio::test]
async fn the_rooms_of_the_original_are_listed() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    let rooms = chat.get("/api/rooms", &cookie).await.json();
    let rooms: Vec<_> = rooms["rooms"].as_array().unwrap().iter().take(8).collect();
    let expected = [
        ("default", "Основная"),
        ("sports", "Спортивная"),
        ("music", "Музыка"),
        ("movies", "Фильмы"),
        ("tech", "Технологии"),
        ("games", "Игры"),
        ("travel", "Путешествия"),
        ("random", "Болталка"),
    ];
    let expected: Vec<_> =
        expected.map(|(name, title)| json!({ "name": name, "title": title, "online": 0 })).into();
    assert_eq!(rooms, expected.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn who_guesses_passwords_is_stopped_and_nobody_else() {
    let proxy = "127.0.0.1/32".parse().unwrap();
    let chat = Chat::with(|options| {
        options.sign_in_limits.from_address_max = 3;
        options.sign_in_limits.of_account_max = 8;
        options.trusted_proxies = vec![proxy];
    })
    .await;
    let cookie = chat.sign_in("alice").await;
    chat.register("bob", "password").await;
    let login = async |from: &str, name: &str, password: &str| {
        let body = json!({ "username": name, "password": password }).to_string();
        chat.call("POST", "/api/login", &[("X-Forwarded-For", from)], body.as_bytes()).await
    };
    for name in ["alice", "nobody"] {
        for spelling in [name.to_owned(), format!(" {name}"), name.to_owned()] {
            let reply = login("192.0.2.1", &spelling, "wrong").await;
            assert_eq!(reply.refusal(), (401, "invalid credentials".to_owned()));
        }
        let reply = login("192.0.2.1", name, "wrong").await;
        assert_eq!(reply.refusal(), (429, "too many failed sign-ins, please try again later".to_owned()));
        let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((800..=900).contains(&wait), "{wait}");
    }
    assert_eq!(login("192.0.2.1", "alice", "password").await.status, 429, "not even if it is right");
    assert_eq!(login("192.0.2.1", "bob", "password").await.status, 200, "another account");
    assert_eq!(login("192.0.2.2", "alice", "password").await.status, 200, "another address");
    assert_eq!(chat.get("/api/me", &cookie).await.status, 200, "who is signed in stays so");

    // What is right forgives what was wrong there, for this address.
    for number in 0..2 {
        assert_eq!(login("192.0.2.2", "alice", "wrong").await.status, 401, "{number}");
    }
    assert_eq!(login("192.0.2.2", "alice", "password").await.status, 200);
    // From many addresses: three and two so far, and no more than eight.
    for number in 3..6 {
        assert_eq!(login(&format!("192.0.2.{number}"), "alice", "wrong").await.status, 401, "{number}");
    }
    let reply = login("192.0.2.7", "alice", "password").await;
    assert_eq!(reply.status, 429);
    assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() > 3_400);
    assert_eq!(login("192.0.2.2", "alice", "password").await.status, 200, "it was there before");
    let sessions = chat.get("/api/sessions", &cookie).await.json();
    let addresses: Vec<_> = sessions["sessions"].as_array().unwrap().iter().map(|s| &s["address"]).collect();
    assert!(addresses.contains(&&json!("192.0.2.2")), "{addresses:?}");
}

#[tokio::test]
async fn many_who_know_the_password_may_sign_in_at_once() {
    let chat = Chat::start().await;
    chat.register("team", "password").await;
    let replies = futures_util::future::join_all((0..30).map(|_| chat.login("team", "password"))).await;
    let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [200; 30]);
}
