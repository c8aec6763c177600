//! Signing in.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chat_auth::{HashCost, PasswordsOptions};
use chat_core::{ReservedNames, Username};
use chat_store::{NewUser, SessionRepository as _, User, UserRepository as _};
use serde_json::json;

use crate::harness::{Chat, Logs, now, tokens, until};

#[tokio::test]
async fn a_bad_sign_in_gets_its_sentence() {
    let chat = Chat::start().await;
    chat.register("alice", "password").await;
    let credentials = (401, "invalid credentials".to_owned());
    for (username, password) in [
        ("alice", "Password"),
        ("alice", "password "),
        ("alice", ""),
        ("Alice", "Password"),
        ("a1ice", "password"),
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
async fn a_name_is_normalised_as_in_a_registration() {
    let chat = Chat::start().await;
    chat.register("Й", "password").await;
    for typed in ["Й", " Й\n", "\u{418}\u{306}"] {
        assert_eq!(chat.login(typed, "password").await.status, 200, "{typed:?}");
    }
}

#[tokio::test]
async fn a_failed_sign_in_is_never_answered_early() {
    // More than any hash takes.
    let floor = Duration::from_millis(300);
    let chat = Chat::with(|options| options.login_floor = floor).await;
    chat.register("alice", "password").await;
    create_original_account(&chat, "bob").await;
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

/// Creates an account with a bcrypt hash, as in the original chat. Its password is "correct
/// horse".
async fn create_original_account(chat: &Chat, name: &str) -> User {
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
async fn an_account_of_the_original_chat_gets_a_new_hash_at_its_first_sign_in() {
    let chat = Chat::start().await;
    let old = create_original_account(&chat, "alice").await;
    let hash = async || chat.store.find_user(&old.name).await.unwrap().unwrap().password_hash;
    assert_eq!(chat.login("alice", "correct hors").await.status, 401);
    assert_eq!(hash().await, old.password_hash);
    // If the store cannot replace the hash, the sign-in succeeds all the same.
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
async fn with_a_full_queue_of_passwords_the_client_is_asked_to_retry() {
    let passwords = PasswordsOptions {
        queue_max: 0,
        registration_queue_max: 0,
        cost: HashCost { memory_kib: 64 * 1024, passes: 6, lanes: 1 },
        ..PasswordsOptions::default()
    };
    let chat = Chat::with_auth(passwords, tokens(), |_| {}).await;
    let names: Vec<_> = (0..8).map(|number| format!("user {number}")).collect();
    let sign_ins =
        futures_util::future::join_all(names.iter().map(|name| chat.login(name, "password"))).await;
    let registrations =
        futures_util::future::join_all(names.iter().map(|name| chat.register(name, "password"))).await;
    for (replies, usual) in [(sign_ins, 401), (registrations, 200)] {
        let (refused, others): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 503);
        assert!(!refused.is_empty() && others.iter().all(|reply| reply.status == usual), "{replies:?}");
        for reply in refused {
            assert_eq!(reply.error(), "too many at once, please try again in a moment");
            assert_eq!(reply.header("retry-after"), Some("1"));
        }
    }
}

#[tokio::test]
async fn many_successful_sign_ins_at_once_are_allowed() {
    let chat = Chat::start().await;
    chat.register("team", "password").await;
    let replies = futures_util::future::join_all((0..30).map(|_| chat.login("team", "password"))).await;
    let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [200; 30]);
}

#[tokio::test]
async fn an_account_with_a_reserved_name_signs_in() {
    let chat = Chat::with(|options| options.reserved_names = ReservedNames::default()).await;
    assert_eq!(chat.register("admin", "password").await.status, 200);
    let hash = chat.store.memory.find_user(&Username::known("admin").unwrap()).await.unwrap().unwrap();
    let chat = Chat::start().await;
    let name = Username::known("admin").unwrap();
    let taken_over = NewUser { name, password_hash: hash.password_hash, avatar: None, created_at_ms: 0 };
    chat.store.memory.create_user(&taken_over).await.unwrap();
    assert_eq!(chat.login("admin", "password").await.status, 200);
}

#[tokio::test]
async fn a_sign_in_that_was_overtaken_by_a_new_password_is_refused() {
    let chat = Chat::start().await;
    assert_eq!(chat.register("alice", "password").await.status, 200);
    let name = Username::known("alice").unwrap();
    let User { password_hash, .. } = chat.store.memory.find_user(&name).await.unwrap().unwrap();
    let alice = NewUser { name: name.clone(), password_hash, avatar: None, created_at_ms: 0 };
    for (what, happens) in
        [("another password", &chat.store.changed_first), ("removed", &chat.store.removed_first)]
    {
        let sessions = async || chat.store.memory.sessions_of(&name, 0).await.unwrap();
        happens.store(true, Ordering::Relaxed);
        let reply = chat.login("alice", "password").await;
        assert_eq!(reply.refusal(), (401, "invalid credentials".to_owned()), "{what}");
        assert_eq!((reply.header("set-cookie"), sessions().await), (None, vec![]), "{what}");
        chat.store.memory.remove_user(&name).await.unwrap();
        chat.store.memory.recreate_user(&alice).await.unwrap();
        assert_eq!(chat.login("alice", "password").await.status, 200);
        chat.store.memory.revoke_sessions_of(&name).await.unwrap();
    }
}

#[tokio::test]
async fn a_name_is_found_in_any_case_and_used_as_it_was_registered() {
    let chat = Chat::start().await;
    chat.register("Алиса", "password").await;
    for typed in ["Алиса", "алиса", "АЛИСА", " аЛиСа "] {
        let reply = chat.login(typed, "password").await;
        assert_eq!(reply.status, 200, "{typed}: {reply:?}");
        let cookie = reply.header("set-cookie").unwrap().split(';').next().unwrap();
        let claims = tokens().verify(cookie.strip_prefix("auth=").unwrap(), now()).unwrap();
        assert_eq!(claims.sub, "Алиса");
        assert_eq!(chat.get("/api/me", cookie).await.json()["username"], "Алиса");
    }
    let sessions = chat.store.memory.sessions_of(&Username::known("Алиса").unwrap(), 0).await.unwrap();
    assert_eq!(sessions.len(), 4);
    let wrong = chat.login("алиса", "Password").await.refusal();
    assert_eq!(wrong, (401, "invalid credentials".to_owned()));
    assert_eq!(chat.login("олиса", "password").await.refusal(), wrong);
}

#[tokio::test]
async fn a_name_with_an_account_costs_as_many_queries_as_one_without() {
    let chat = Chat::start().await;
    chat.register("alice", "password").await;
    for name in ["alice", "Alice", " alice", "nobody", " nobody"] {
        let before = chat.store.name_queries.load(Ordering::Relaxed);
        assert_eq!(chat.login(name, "wrong").await.status, 401);
        assert_eq!(chat.store.name_queries.load(Ordering::Relaxed) - before, 1, "{name}");
    }
}

#[tokio::test]
async fn failed_sign_ins_are_logged_once_for_a_burst() {
    let logs = Logs::collect();
    let chat = Chat::start().await;
    chat.register("alice", "password").await;
    let forged = "alice\n\u{1b}[2JINFO signed in user=\"bob\"";
    for (name, failures) in [("alice", 5), (forged, 3), ("nobody", 1)] {
        for _ in 0..failures {
            assert_eq!(chat.login(name, "wrong").await.status, 401);
        }
    }
    let escaped = "alice\\n\\u{1b}[2JINFO signed in user=\"bob\"";
    let line = |user: &str| json!({ "message": "a sign-in failed", "user": user, "address": "127.0.0.1" });
    assert_eq!(logs.with_message("a sign-in failed"), [line("alice"), line(escaped), line("nobody")]);
    assert!(logs.with_message("more sign-ins failed").is_empty());
    // A server that stops does not wait for the end of a burst.
    chat.server.stop().await;
    let mut summaries: Vec<_> = logs
        .with_message("more sign-ins failed")
        .iter()
        .map(|line| (line["user"].as_str().unwrap().to_owned(), line["failures"].clone()))
        .collect();
    summaries.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(summaries, [("alice".to_owned(), json!(4)), (escaped.to_owned(), json!(2))]);
}

#[tokio::test]
async fn names_are_logged_without_quotes_of_their_own() {
    let logs = Logs::collect();
    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    chat.call("POST", "/api/logout", &[("Cookie", &cookie)], b"").await;
    until(|| !logs.with_message("signed out").is_empty()).await;
    for message in ["registered", "signed in", "signed out"] {
        assert_eq!(logs.with_message(message), [json!({ "message": message, "user": "alice" })]);
    }
}
