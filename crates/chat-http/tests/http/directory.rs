//! The directory of users, and roles.

use chat_core::Username;
use chat_store::{RoleChange, UserRepository as _};
use serde_json::{Value, json};

use crate::harness::Chat;
use crate::wire::Wire;

/// The names in an answer, each with `+` if the user is online; and `next`.
async fn listed(chat: &Chat, query: &str, cookie: &str) -> (Vec<String>, Value) {
    let reply = chat.get(&format!("/api/users{query}"), cookie).await;
    assert_eq!(reply.status, 200, "{query}: {reply:?}");
    let page = reply.json();
    let shown = |user: &Value| {
        let online = if user["online"] == true { "+" } else { "" };
        format!("{}{online}", user["username"].as_str().unwrap())
    };
    (page["users"].as_array().unwrap().iter().map(shown).collect(), page["next"].clone())
}

#[tokio::test]
async fn users_are_listed_searched_and_named() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    for person in ["Анна Мария", "bob", "Carol Bobson"] {
        assert_eq!(chat.register(person, "password").await.status, 200);
    }
    let all = ["alice", "bob", "Carol Bobson", "Анна Мария"];
    assert_eq!(listed(&chat, "", &cookie).await, (all.map(str::to_owned).into(), Value::Null));

    let (mut pages, mut query) = (Vec::new(), "?limit=3".to_owned());
    while pages.len() < 5 {
        let (names, next) = listed(&chat, &query, &cookie).await;
        pages.push(names);
        let Some(next) = next.as_str() else { break };
        query = format!("?limit=3&after={}", next.replace(' ', "%20"));
    }
    assert_eq!(pages, [&all[..3], &all[3..]]);
    assert_eq!(listed(&chat, "?limit=4", &cookie).await.1, Value::Null, "no empty page follows");

    for (query, expected) in [
        ("?q=BOB", &["bob", "Carol Bobson"][..]),
        ("?q=%D0%BC%D0%B0%D1%80", &["Анна Мария"]),
        ("?q=carol+b", &["Carol Bobson"]),
        ("?q=ob", &[]),
        ("?q=%00", &[]),
        ("?name=bob&name=nobody&name=alice&name=bob&name=Bob", &["bob", "alice"]),
        ("?name=", &[]),
    ] {
        let (names, next) = listed(&chat, query, &cookie).await;
        assert!(names == expected && next == Value::Null, "{query}: {names:?}");
    }
    for (query, refusal) in [
        ("limit=0", "limit must be a number from 1 to 100"),
        ("name=bob&q=b", "name and q exclude each other"),
        (&"name=x&".repeat(101), "at most 100 names at once"),
    ] {
        let reply = chat.get(&format!("/api/users?{query}"), &cookie).await;
        assert_eq!(reply.refusal(), (400, refusal.to_owned()));
    }
    assert_eq!(
        chat.call("GET", "/api/users", &[], b"").await.refusal(),
        (401, "missing auth cookie".to_owned())
    );
}

#[tokio::test]
async fn a_listed_user_is_online_with_a_connection() {
    let chat = Chat::start().await;
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    assert_eq!(listed(&chat, "", &alice).await.0, ["alice", "bob"]);
    let socket = Wire::open(&chat, "kitchen", &bob).await;
    // The set is computed at most once a second.
    let is_shown = async |expected: &[&str]| {
        for _ in 0..1_200 {
            if listed(&chat, "", &alice).await.0 == expected {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        false
    };
    assert!(is_shown(&["alice", "bob+"]).await);
    assert_eq!(listed(&chat, "?name=bob", &alice).await.0, ["bob+"]);
    drop(socket);
    assert!(is_shown(&["alice", "bob"]).await);
}

#[tokio::test]
async fn the_own_role_is_shown_at_once() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    let role = async || chat.get("/api/me", &cookie).await.json()["role"].clone();
    assert_eq!(role().await, "member");
    let alice = Username::known("alice").unwrap();
    let made = chat.store.memory.set_administrator(&alice, true, 1).await.unwrap();
    assert_eq!((made, role().await), (RoleChange::Done, json!("administrator")));
}
