//! Rooms that users create, change, enter and leave.

use std::sync::atomic::Ordering::Relaxed;

use chat_auth::{PasswordsOptions, TokenOptions};
use chat_core::{RoomCreation, RoomName, Username};
use chat_store::{RoomRepository as _, UserRepository as _};
use serde_json::{Value, json};

use crate::external_tokens::signed;
use crate::harness::{Chat, Reply, now, tokens_with};
use crate::upgrade::only_handshake;
use crate::wire::Wire;

/// Makes a user an administrator.
pub async fn promote(chat: &Chat, name: &str) {
    let name = Username::known(name).unwrap();
    chat.store.memory.set_administrator(&name, true, 1).await.unwrap();
}

/// A room's path.
pub fn path(room: &str) -> String {
    format!("/api/rooms/{}", encoded(room))
}

pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The members of a room, moderators with `*`.
async fn members(chat: &Chat, room: &str, cookie: &str) -> Vec<String> {
    let reply = chat.get(&format!("{}/members", path(room)), cookie).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let shown = |member: &Value| {
        let role = if member["role"] == "moderator" { "*" } else { "" };
        format!("{}{role}", member["username"].as_str().unwrap())
    };
    reply.json()["members"].as_array().unwrap().iter().map(shown).collect()
}

fn done(reply: &Reply) {
    assert_eq!((reply.status, reply.json()), (200, json!({})), "{reply:?}");
}

#[tokio::test]
async fn a_room_is_created_described_and_archived() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    chat.register("bob", "password").await;
    let new = json!({
        "title": "  Наш Сад ", "description": "What\r\ngrows", "members": ["bob", "alice", "bob"], "icon": 1,
    });
    let reply = chat.json("POST", "/api/rooms", &alice, new).await;
    let mut room = json!({
        "name": "наш-сад", "title": "Наш Сад", "description": "What\ngrows", "access": "open", "members": 2,
        "online": 0, "member": true, "role": "moderator", "archived": false,
    });
    assert_eq!((reply.status, reply.json()), (201, room.clone()));
    assert_eq!(chat.get(&path("наш-сад"), &alice).await.json(), room);
    assert_eq!(members(&chat, "наш-сад", &alice).await, ["alice*", "bob"]);

    let patch = json!({ "title": "Garden", "archived": true, "description": null });
    let reply = chat.json("PATCH", &path("наш-сад"), &alice, patch).await;
    (room["title"], room["archived"]) = (json!("Garden"), json!(true));
    assert_eq!((reply.status, reply.json()), (200, room.clone()));
    assert_eq!(chat.get(&path("наш-сад"), &alice).await.json(), room);
}

#[tokio::test]
async fn a_name_is_given_or_made_of_the_title_and_belongs_to_one_room() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    for name in ["garden", "garden-2", "garden-3"] {
        assert_eq!(chat.create_room(&alice, json!({ "title": "Garden" })).await, name);
    }
    let given = json!({ "title": "Garden", "name": "A/B %2F" });
    assert_eq!(chat.create_room(&alice, given.clone()).await, "A/B %2F");
    assert_eq!(chat.get(&path("A/B %2F"), &alice).await.json()["name"], "A/B %2F");
    assert_eq!(chat.get("/api/rooms/A%2fB%20%252F", &alice).await.status, 200);
    assert_eq!(
        chat.json("POST", "/api/rooms", &alice, given).await.refusal(),
        (409, "there is a room of this name already".to_owned())
    );
    let closed = chat.create_room(&alice, json!({ "title": "Garden", "access": "closed" })).await;
    assert!(closed.starts_with('~') && closed.len() == 23, "{closed}");
}

#[tokio::test]
async fn a_bad_room_is_refused() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    let many: Vec<String> = (0..101).map(|n| format!("u{n}")).collect();
    for (body, status, refusal) in [
        (json!({}), 400, "a room needs a title"),
        (json!({ "title": " " }), 400, "a room needs a title"),
        (json!({ "title": "ж".repeat(65) }), 400, "the title of the room is too long (max 64)"),
        (json!({ "title": "a\nb" }), 400, "the title of the room must not contain control characters"),
        (
            json!({ "title": "x", "description": "ж".repeat(501) }),
            400,
            "the description of the room is too long (max 500)",
        ),
        (json!({ "title": "x", "access": "secret" }), 400, "invalid json"),
        (json!({ "title": 1 }), 400, "invalid json"),
        (json!([]), 400, "invalid json"),
        (json!({ "title": "x", "name": ".." }), 400, "a room cannot have the name . or .."),
        (json!({ "title": "x", "name": "" }), 400, "room name must not be blank"),
        (json!({ "title": "x", "name": "~x" }), 400, "names that begin with ~ are made by the server"),
        (json!({ "title": "x", "name": "ж".repeat(65) }), 400, "room name too long (max 64)"),
        (
            json!({ "title": "x", "access": "closed", "name": "x" }),
            400,
            "the name of a closed room is made by the server",
        ),
        (json!({ "title": "x", "members": many }), 400, "at most 100 members at once"),
        (json!({ "title": "x", "members": ["nobody"] }), 404, "there is no user of this name"),
        (json!({ "title": "x", "members": [""] }), 404, "there is no user of this name"),
    ] {
        let reply = chat.json("POST", "/api/rooms", &alice, body.clone()).await;
        assert_eq!(reply.refusal(), (status, refusal.to_owned()), "{body}");
    }
    let room = path(&chat.create_room(&alice, json!({ "title": "x" })).await);
    for body in [json!({ "title": " " }), json!({ "access": "x" }), json!({ "archived": 1 }), Value::Null] {
        assert_eq!(chat.json("PATCH", &room, &alice, body.clone()).await.status, 400, "{body}");
    }
    let member = format!("{room}/members/alice");
    assert_eq!(chat.json("PUT", &member, &alice, json!({ "role": "king" })).await.status, 400);
    assert_eq!(chat.get("/api/rooms/%FF", &alice).await.status, 400);
    assert_eq!(chat.get(&path(&"ж".repeat(65)), &alice).await.status, 400);
    assert_eq!(chat.get(&path("unknown"), &alice).await.status, 404);
    assert_eq!(chat.get(&format!("{}/members", path("unknown")), &alice).await.status, 404);
    assert_eq!(chat.json("PATCH", &path("unknown"), &alice, json!({})).await.status, 404);
    assert_eq!(
        chat.json("PUT", &format!("{}/membership", path("unknown")), &alice, Value::Null).await.status,
        404
    );
}

#[tokio::test]
async fn members_are_added_appointed_and_removed() {
    let chat = Chat::start().await;
    let [alice, bob, carol] =
        [chat.sign_in("alice").await, chat.sign_in("bob").await, chat.sign_in("carol").await];
    let closed = chat.create_room(&alice, json!({ "title": "Secret", "access": "closed" })).await;
    let member = |name: &str| format!("{}/members/{}", path(&closed), encoded(name));
    let own = format!("{}/membership", path(&closed));
    let put =
        async |cookie: &str, name: &str, body: Value| chat.json("PUT", &member(name), cookie, body).await;
    let delete = async |cookie: &str, path: &str| chat.json("DELETE", path, cookie, Value::Null).await;

    assert_eq!(put(&bob, "bob", Value::Null).await.status, 403, "nobody enters alone");
    done(&put(&alice, "bob", Value::Null).await);
    done(&put(&alice, "bob", json!({ "role": "member" })).await);
    assert_eq!(put(&bob, "carol", json!({ "role": "moderator" })).await.status, 403);
    done(&put(&bob, "carol", json!({})).await);
    assert_eq!(members(&chat, &closed, &carol).await, ["alice*", "bob", "carol"]);
    assert_eq!(delete(&bob, &member("carol")).await.status, 403);
    assert_eq!(put(&alice, "nobody", Value::Null).await.refusal().0, 404);
    assert_eq!(put(&alice, &"x".repeat(25), Value::Null).await.refusal().0, 404);
    assert_eq!(
        put(&alice, "alice", json!({ "role": "member" })).await.refusal(),
        (409, "the only moderator of a room keeps this role: appoint another one first".to_owned())
    );
    assert_eq!(
        chat.json("PATCH", &path(&closed), &alice, json!({ "access": "open" })).await.refusal(),
        (409, "a closed room cannot be opened".to_owned())
    );

    done(&delete(&alice, &member("carol")).await);
    done(&delete(&alice, &member("carol")).await);
    assert_eq!(
        chat.get(&path(&closed), &carol).await.refusal(),
        (403, "only members may see this room".to_owned())
    );
    done(&delete(&alice, &own).await);
    assert_eq!(members(&chat, &closed, &bob).await, ["bob*"], "the longest member becomes moderator");
    assert_eq!(delete(&alice, &own).await.status, 403);
    assert_eq!(chat.json("PUT", &own, &alice, Value::Null).await.status, 403);
}

#[tokio::test]
async fn members_are_listed_in_pages() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    for name in ["bob", "carol", "Анна"] {
        chat.register(name, "password").await;
    }
    let room = chat.create_room(&alice, json!({ "title": "x", "members": ["bob", "carol", "Анна"] })).await;
    let list = async |query: &str| chat.get(&format!("{}/members{query}", path(&room)), &alice).await;
    let first = list("?limit=3").await.json();
    assert_eq!(first["members"][0], json!({ "username": "alice", "role": "moderator", "online": false }));
    assert_eq!((first["members"].as_array().unwrap().len(), &first["next"]), (3, &json!("carol")));
    let second = list("?limit=3&after=carol").await.json();
    assert_eq!((&second["members"][0]["username"], second.get("next")), (&json!("Анна"), None));
    assert_eq!(list("?limit=4").await.json().get("next"), None, "no empty page follows");
    assert_eq!(list("?limit=101").await.refusal(), (400, "limit must be a number from 1 to 100".to_owned()));
    assert_eq!(list("?after=").await.status, 400);
}

#[tokio::test]
async fn anybody_joins_and_leaves_an_open_room() {
    let chat = Chat::start().await;
    let [alice, bob] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    let room = chat.create_room(&alice, json!({ "title": "x" })).await;
    let own = format!("{}/membership", path(&room));
    for _ in 0..2 {
        done(&chat.json("PUT", &own, &bob, Value::Null).await);
        assert_eq!(members(&chat, &room, &bob).await, ["alice*", "bob"]);
    }
    assert_eq!(chat.get(&path(&room), &bob).await.json()["role"], "member");
    for _ in 0..2 {
        done(&chat.json("DELETE", &own, &bob, Value::Null).await);
        assert_eq!(members(&chat, &room, &bob).await, ["alice*"]);
    }
    assert_eq!(chat.get(&path(&room), &bob).await.json().get("role"), None);
}

#[tokio::test]
async fn a_room_that_somebody_opened_by_its_name_can_be_joined() {
    let chat = Chat::start().await;
    let [alice, bob] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    let mut socket = Wire::open(&chat, "kitchen", &alice).await;
    socket.next_of("system").await;
    let shown = json!({
        "name": "kitchen", "title": "kitchen", "description": "", "access": "open", "members": 0, "online": 1,
        "member": false, "archived": false,
    });
    assert_eq!(chat.get(&path("kitchen"), &bob).await.json(), shown);
    assert_eq!(members(&chat, "kitchen", &bob).await, [""; 0]);
    done(&chat.json("PUT", &format!("{}/membership", path("kitchen")), &bob, Value::Null).await);
    assert_eq!(members(&chat, "kitchen", &bob).await, ["bob"]);
}

#[tokio::test]
async fn closed_rooms_are_refused_like_names_that_do_not_exist() {
    let chat = Chat::start().await;
    let [alice, bob] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    promote(&chat, "bob").await;
    let closed = chat.create_room(&alice, json!({ "title": "Secret", "access": "closed" })).await;
    let unknown = "~AAAAAAAAAAAAAAAAAAAAAA";
    for (method, below, body) in [
        ("GET", "", Value::Null),
        ("PATCH", "", json!({ "archived": true })),
        ("GET", "/members", Value::Null),
        ("PUT", "/members/bob", Value::Null),
        ("DELETE", "/members/alice", Value::Null),
        ("PUT", "/membership", Value::Null),
        ("DELETE", "/membership", Value::Null),
    ] {
        let mut answers = Vec::new();
        for room in [&closed, unknown] {
            let before = chat.store.room_queries.load(Relaxed);
            let reply = chat.json(method, &format!("{}{below}", path(room)), &bob, body.clone()).await;
            let queries = chat.store.room_queries.load(Relaxed) - before;
            answers.push((reply.status, reply.json(), queries));
        }
        let expected = (403, json!({ "error": "only members may see this room" }), 1);
        assert_eq!(answers, [expected.clone(), expected], "{method} {below}");
    }
    for room in [&closed, unknown] {
        let handshake = only_handshake(&chat, &format!("/ws?room={room}"), &[("Cookie", &bob)]);
        let reply = chat.raw(handshake.as_bytes()).await;
        assert_eq!(reply.refusal(), (403, "only members may see this room".to_owned()));
    }
    Wire::open(&chat, &closed, &alice).await;
}

#[tokio::test]
async fn a_store_that_is_out_opens_nothing() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    // The session is found, and then the room is not.
    chat.store.rooms_out.store(true, Relaxed);
    let handshake = only_handshake(&chat, "/ws?room=default", &[("Cookie", &cookie)]);
    assert_eq!(chat.raw(handshake.as_bytes()).await.status, 503);
    for path in ["/api/rooms", "/api/rooms/default", "/api/rooms/default/members"] {
        assert_eq!(chat.get(path, &cookie).await.status, 503, "{path}");
    }
}

#[tokio::test]
async fn only_administrators_create_rooms_if_that_is_set() {
    let chat = Chat::with(|options| options.shards.hub.room_creation = RoomCreation::Administrators).await;
    let [alice, bob] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    promote(&chat, "alice").await;
    let refusal = (403, "only administrators create rooms here".to_owned());
    for access in ["open", "closed"] {
        let new = json!({ "title": "x", "access": access });
        assert_eq!(chat.json("POST", "/api/rooms", &bob, new).await.refusal(), refusal);
    }
    let handshake = only_handshake(&chat, "/ws?room=new", &[("Cookie", &bob)]);
    assert_eq!(chat.raw(handshake.as_bytes()).await.refusal(), refusal);
    Wire::open(&chat, "default", &bob).await;
    let _open = Wire::open(&chat, "new", &alice).await;
    chat.create_room(&alice, json!({ "title": "Made" })).await;
    Wire::open(&chat, "made", &bob).await;
}

#[tokio::test]
async fn a_new_room_is_no_impostor_and_can_be_seen() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    let create = async |new: Value| chat.json("POST", "/api/rooms", &alice, new).await.refusal();
    let looks = "looks too much like that of another room, please take another";
    let invisible = "must not contain invisible characters";
    for (name, refusal) in [
        ("Default", looks),
        ("dеfault", looks),
        ("ran-dom", looks),
        ("a\u{202E}b", invisible),
        ("a\u{3164}", invisible),
        ("\u{E0041}a", invisible),
        ("\u{a0}", "must not be blank"),
        ("e\u{301}\u{301}\u{301}\u{301}\u{301}", "must not contain more than 4 marks on one letter"),
    ] {
        let refusal = (400, format!("room name {refusal}"));
        assert_eq!(create(json!({ "title": "x", "name": name })).await, refusal, "{name:?}");
        // The same rule for a room that is opened by its name.
        let handshake = only_handshake(&chat, &format!("/ws?room={}", encoded(name)), &[("Cookie", &alice)]);
        assert_eq!(chat.raw(handshake.as_bytes()).await.refusal(), refusal, "{name:?}");
        let mut wire = Wire::open_v2(&chat, &alice).await;
        wire.send(&json!({ "type": "join", "room": name, "ref": "j" })).await;
        let error = wire.next_of("error").await;
        assert_eq!((&error["code"], &error["ref"]), (&json!("bad_request"), &json!("j")), "{name:?}");
        assert_eq!(error["message"], refusal.1, "{name:?}");
    }
    for (title, refusal) in [
        ("Random", "the title looks too much like that of another room, please take another"),
        ("a\u{200B}b", "the title of the room must not contain invisible characters"),
        ("a\u{202E}b", "the title of the room must not contain control characters"),
        ("\u{3164} ", "a room needs a title"),
    ] {
        for access in ["open", "closed"] {
            let new = json!({ "title": title, "access": access });
            assert_eq!(create(new).await, (400, refusal.to_owned()), "{title:?}");
        }
    }
    // A title whose name would look like that of another room gets a name with a number.
    let room = chat.create_room(&alice, json!({ "title": "rаndom!" })).await;
    assert_eq!(room, "rаndom-2");
    let titled = |title: &str| json!({ "title": title });
    assert_eq!(chat.json("PATCH", &path(&room), &alice, titled("Random")).await.status, 400);
    for title in ["rаndom!", "❤\u{FE0F}\u{200D}🔥 Tiếng Việt", "ภาษาไทย", "می\u{200C}خواهم"]
    {
        assert_eq!(chat.json("PATCH", &path(&room), &alice, titled(title)).await.status, 200, "{title}");
    }
    Wire::open(&chat, "random", &alice).await;
}

/// Rooms that are older than the rules for names and titles.
#[tokio::test]
async fn a_room_that_could_not_be_opened_any_more_goes_on() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    for name in ["Random", "a\u{202E}b"] {
        let room = (RoomName::parse(name).unwrap(), "a\u{200B}b".to_owned());
        chat.store.memory.add_rooms(&[room], 1).await.unwrap();
        Wire::open(&chat, &encoded(name), &alice).await;
        let mut wire = Wire::open_v2(&chat, &alice).await;
        wire.send(&json!({ "type": "join", "room": name })).await;
        wire.next_of("joined").await;
        promote(&chat, "alice").await;
        let same = json!({ "title": "a\u{200B}b", "description": "older" });
        assert_eq!(chat.json("PATCH", &path(name), &alice, same).await.status, 200, "{name:?}");
    }
}

#[tokio::test]
async fn a_user_of_another_issuer_is_no_administrator() {
    let external = TokenOptions { accept_external: true, ..TokenOptions::default() };
    let chat = Chat::with_auth(PasswordsOptions::default(), tokens_with(external), |options| {
        options.shards.hub.room_creation = RoomCreation::Administrators;
    })
    .await;
    let alice = chat.sign_in("alice").await;
    promote(&chat, "alice").await;
    let room = path(&chat.create_room(&alice, json!({ "title": "x" })).await);
    done(&chat.json("DELETE", &format!("{room}/membership"), &alice, Value::Null).await);
    let by_host = signed(&json!({ "sub": "alice", "exp": now() + 60 }));
    assert_eq!(chat.json("POST", "/api/rooms", &by_host, json!({ "title": "x" })).await.status, 403);
    let archive = json!({ "archived": true });
    assert_eq!(chat.json("PATCH", &room, &by_host, archive.clone()).await.status, 403);
    assert_eq!(chat.json("PATCH", &room, &alice, archive).await.status, 200);
}
