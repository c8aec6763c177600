//! Lists of rooms.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use chat_core::RoomName;
use chat_http::ConfiguredRoom;
use chat_store::RoomRepository as _;
use serde_json::{Value, json};

use crate::harness::Chat;
use crate::rooms::path;
use crate::wire::Wire;

/// The names in an answer, one's own with `+` and archived ones with `-`; and `next`.
async fn listed(chat: &Chat, query: &str, cookie: &str) -> (Vec<String>, Value) {
    let reply = chat.get(&format!("/api/rooms{query}"), cookie).await;
    assert_eq!(reply.status, 200, "{query}: {reply:?}");
    let page = reply.json();
    let shown = |room: &Value| {
        let own = if room["member"] == true { "+" } else { "" };
        let archived = if room["archived"] == true { "-" } else { "" };
        format!("{}{own}{archived}", room["name"].as_str().unwrap())
    };
    (page["rooms"].as_array().unwrap().iter().map(shown).collect(), page["next"].clone())
}

/// Waits until a list, which is computed at most once a second, is this one.
async fn is_listed(chat: &Chat, query: &str, cookie: &str, expected: &[&str]) {
    let mut names = Vec::new();
    for _ in 0..100 {
        names = listed(chat, query, cookie).await.0;
        if names == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{names:?} are listed");
}

/// Says something in a room, and waits until it is stored.
async fn say(chat: &Chat, room: &str, cookie: &str) {
    let mut socket = Wire::open(chat, room, cookie).await;
    socket.send(&json!({ "type": "message", "text": "hi" })).await;
    socket.next_of("message").await;
}

#[tokio::test]
async fn a_new_server_has_two_rooms() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    let room = |name: &str, title: &str| {
        json!({
            "name": name, "title": title, "description": "", "access": "open", "members": 0, "online": 0,
            "member": false, "archived": false,
        })
    };
    let expected = json!({ "rooms": [room("default", "Общая"), room("random", "Болталка")] });
    assert_eq!(chat.get("/api/rooms", &cookie).await.json(), expected);
}

#[tokio::test]
async fn the_rooms_of_the_original_are_listed_if_that_is_set() {
    let chat = Chat::with(|options| options.rooms = ConfiguredRoom::original().into()).await;
    let cookie = chat.sign_in("alice").await;
    let rooms = chat.get("/api/rooms", &cookie).await.json();
    let shown = |room: &Value| [&room["name"], &room["title"]].map(|text| text.as_str().unwrap().to_owned());
    let rooms: Vec<_> = rooms["rooms"].as_array().unwrap().iter().map(shown).collect();
    let expected = [
        ["default", "Основная"],
        ["sports", "Спортивная"],
        ["music", "Музыка"],
        ["movies", "Фильмы"],
        ["tech", "Технологии"],
        ["games", "Игры"],
        ["travel", "Путешествия"],
        ["random", "Болталка"],
    ];
    assert_eq!(rooms, expected);
}

#[tokio::test]
async fn ones_own_rooms_come_first_and_archived_ones_last() {
    let chat = Chat::start().await;
    let [alice, bob] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    let closed = chat.create_room(&alice, json!({ "title": "Secret", "access": "closed" })).await;
    for (title, archived) in [("Old", true), ("Attic", false), ("Gone", true)] {
        let room =
            chat.create_room(if title == "Gone" { &bob } else { &alice }, json!({ "title": title })).await;
        let owner = if title == "Gone" { &bob } else { &alice };
        chat.json("PATCH", &path(&room), owner, json!({ "archived": archived })).await;
    }
    say(&chat, "busy", &bob).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    say(&chat, "attic", &alice).await;
    let mut fresh = Wire::open(&chat, "fresh", &bob).await;
    fresh.next_of("system").await;

    let own = |name: &str| format!("{name}+");
    let of_alice =
        ["attic+", &own(&closed), "busy", "default", "random", "fresh", "old+-", "gone-"].map(str::to_owned);
    let of_alice: Vec<&str> = of_alice.iter().map(String::as_str).collect();
    is_listed(&chat, "", &alice, &of_alice).await;
    let of_bob = ["busy+", "attic", "default", "random", "fresh", "gone+-", "old-"];
    is_listed(&chat, "", &bob, &of_bob).await;

    // A search finds titles and names; one's own closed rooms only for oneself.
    is_listed(&chat, "?q=SECR", &alice, &[&own(&closed)]).await;
    is_listed(&chat, "?q=secr", &bob, &[]).await;
    is_listed(&chat, &format!("?q={}", &closed[..8]), &bob, &[]).await;
    is_listed(&chat, "?q=%D0%B1%D0%9E%D0%BB", &bob, &["random"]).await;
    is_listed(&chat, "?q=%0A", &bob, &of_bob).await;
    is_listed(&chat, "?q=a%0Ad", &bob, &[]).await;

    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    while seen.len() < 20 {
        let (names, next) = listed(&chat, &query, &alice).await;
        seen.extend(names);
        let Some(next) = next.as_str() else { break };
        query = format!("?limit=2&after={}", crate::rooms::encoded(next));
    }
    assert_eq!(seen, of_alice);
    for bad in ["limit=201", "limit=0", "after=x", "after=", "q=%FF"] {
        assert_eq!(chat.get(&format!("/api/rooms?{bad}"), &alice).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_closed_room_is_listed_for_its_members_only() {
    let chat = Chat::start().await;
    let [alice, bob] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    let room = chat.create_room(&alice, json!({ "title": "Plans", "members": ["bob"] })).await;
    chat.json("PATCH", &path(&room), &alice, json!({ "access": "closed" })).await;
    let mut socket = Wire::open(&chat, &room, &bob).await;
    socket.next_of("system").await;
    let carol = chat.sign_in("carol").await;
    is_listed(&chat, "", &bob, &["plans+", "default", "random"]).await;
    for _ in 0..5 {
        is_listed(&chat, "", &carol, &["default", "random"]).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn many_callers_read_the_rooms_once() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    let rooms: Vec<_> = (0..2_000)
        .map(|n| (RoomName::parse(&format!("room-{n:04}")).unwrap(), format!("Room {n}")))
        .collect();
    chat.store.memory.add_rooms(&rooms, 1).await.unwrap();
    let lists: Vec<_> =
        (0..50).map(|n| listed(&chat, if n % 2 == 0 { "?q=room" } else { "" }, &cookie)).collect();
    for (names, next) in futures_util::future::join_all(lists).await {
        assert_eq!(names.len(), 200);
        assert!(next.is_string());
    }
    assert!(chat.store.room_lists.load(Relaxed) <= 3, "{:?}", chat.store.room_lists);
}
