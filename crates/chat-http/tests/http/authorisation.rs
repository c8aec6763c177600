//! Who may do what: every route and every frame, for each kind of user, in an open, a
//! closed and an archived room.
//!
//! Each cell of a table is a call of its own, in a room of its own.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Chat, Reply};
use crate::rooms::{path, promote};
use crate::upgrade::handshake;
use crate::wire::Wire;
use tokio::io::AsyncWriteExt as _;

/// The kinds of users, in the order of the columns.
const USERS: [&str; 6] = ["stranger", "outsider", "member", "chair", "boss", "boss-outside"];
/// The members of each room, beside its creator.
const MEMBERS: [&str; 3] = ["member", "boss", "extra"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Open,
    Closed,
    Archived,
}

/// A server with a user of each kind. The administrators are those of the server.
struct Cast {
    chat: Chat,
    /// The cookie of each user of [`USERS`]; that of the stranger is empty.
    cookies: Vec<String>,
}

impl Cast {
    async fn new() -> Self {
        // At one read of the store the frames behind it wait, so that the answer to a frame comes
        // before that to the next one.
        let chat = Chat::with(|options| options.shards.hub.client_history_reads_max = 1).await;
        let mut cookies = vec![String::new()];
        for name in &USERS[1..] {
            cookies.push(chat.sign_in(name).await);
        }
        chat.register("extra", "password").await;
        for name in ["boss", "boss-outside"] {
            promote(&chat, name).await;
        }
        Self { chat, cookies }
    }

    fn cookie(&self, name: &str) -> &str {
        &self.cookies[USERS.iter().position(|user| *user == name).unwrap()]
    }

    /// A new room, which was created by `chair`.
    async fn room(&self, kind: Kind) -> String {
        let access = if kind == Kind::Closed { "closed" } else { "open" };
        let mut new = json!({ "title": "Room", "access": access, "members": MEMBERS });
        if kind != Kind::Closed {
            new["name"] = json!(format!("room {:016x}", rand::random::<u64>()));
        }
        let room = self.chat.create_room(self.cookie("chair"), new).await;
        if kind == Kind::Archived {
            let archive = json!({ "archived": true });
            let reply = self.chat.json("PATCH", &path(&room), self.cookie("chair"), archive).await;
            assert_eq!(reply.status, 200, "{reply:?}");
        }
        room
    }
}

/// The statuses of a call, one for each user.
async fn statuses(cast: &Cast, kind: Kind, method: &str, below: &str, body: &Value) -> String {
    let mut statuses = Vec::new();
    for cookie in &cast.cookies {
        let room = cast.room(kind).await;
        let path = format!("{}{below}", path(&room));
        let reply = if cookie.is_empty() {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            cast.chat.call(method, &path, &[], body.as_bytes()).await
        } else {
            cast.chat.json(method, &path, cookie, body.clone()).await
        };
        statuses.push(reply.status.to_string());
    }
    statuses.join(" ")
}

#[tokio::test]
async fn every_route_about_a_room() {
    let cast = Cast::new().await;
    // Columns: stranger, outsider, member, moderator, administrator who is a member, and one
    // who is none.
    let everybody = "401 200 200 200 200 200";
    let members = "401 403 200 200 200 403";
    let moderators = "401 403 403 200 200 200";
    let moderators_who_see_it = "401 403 403 200 200 403";
    for (method, below, body, in_open, in_closed) in [
        ("GET", "", Value::Null, everybody, members),
        ("PATCH", "", json!({ "title": "New" }), moderators, moderators_who_see_it),
        ("PATCH", "", json!({ "description": "New" }), moderators, moderators_who_see_it),
        ("PATCH", "", json!({ "archived": true }), moderators, moderators_who_see_it),
        ("PATCH", "", json!({ "archived": false }), moderators, moderators_who_see_it),
        ("PATCH", "", json!({ "access": "closed" }), moderators, moderators_who_see_it),
        ("PATCH", "", json!({ "access": "open" }), moderators, "401 403 403 409 409 403"),
        ("GET", "/members", Value::Null, everybody, members),
        ("PUT", "/members/outsider", Value::Null, everybody, members),
        ("PUT", "/members/outsider", json!({ "role": "member" }), everybody, members),
        ("PUT", "/members/outsider", json!({ "role": "moderator" }), moderators, moderators_who_see_it),
        ("PUT", "/members/extra", json!({ "role": "moderator" }), moderators, moderators_who_see_it),
        // Only moderators and administrators reach the rule that one moderator stays.
        (
            "PUT",
            "/members/chair",
            json!({ "role": "member" }),
            "401 403 403 409 409 409",
            "401 403 403 409 409 403",
        ),
        ("PUT", "/members/nobody", Value::Null, "401 403 404 404 404 404", "401 403 404 404 404 403"),
        ("DELETE", "/members/extra", Value::Null, moderators, moderators_who_see_it),
        ("DELETE", "/members/chair", Value::Null, moderators, moderators_who_see_it),
        ("PUT", "/membership", Value::Null, everybody, members),
        ("DELETE", "/membership", Value::Null, everybody, members),
    ] {
        for (kind, expected) in [(Kind::Open, in_open), (Kind::Closed, in_closed), (Kind::Archived, in_open)]
        {
            let answered = statuses(&cast, kind, method, below, &body).await;
            assert_eq!(answered, expected, "{method} {below} {body}, {kind:?}");
        }
    }
}

#[tokio::test]
async fn an_outsider_adds_nobody_else() {
    let cast = Cast::new().await;
    for (kind, expected) in [
        (Kind::Open, "401 403 200 200 200 200"),
        (Kind::Closed, "401 403 200 200 200 403"),
        (Kind::Archived, "401 403 200 200 200 200"),
    ] {
        cast.chat.register("new", "password").await;
        assert_eq!(statuses(&cast, kind, "PUT", "/members/new", &Value::Null).await, expected, "{kind:?}");
    }
}

#[tokio::test]
async fn every_other_route() {
    let cast = Cast::new().await;
    for (method, path, body, expected) in [
        ("GET", "/api/rooms", Value::Null, "401 200 200 200 200 200"),
        ("POST", "/api/rooms", json!({ "title": "x" }), "401 201 201 201 201 201"),
        ("POST", "/api/rooms", json!({ "title": "x", "access": "closed" }), "401 201 201 201 201 201"),
        ("GET", "/api/me", Value::Null, "401 200 200 200 200 200"),
        ("GET", "/api/server", Value::Null, "200 200 200 200 200 200"),
        ("DELETE", "/api/me/avatar", Value::Null, "401 200 200 200 200 200"),
        ("POST", "/api/me/password", json!({ "current": "wrong", "new": "x" }), "401 403 403 403 403 403"),
        (
            "POST",
            "/api/me/password",
            json!({ "current": "password", "new": "password" }),
            "401 200 200 200 200 200",
        ),
        ("GET", "/api/users", Value::Null, "401 200 200 200 200 200"),
        ("GET", "/api/users/member", Value::Null, "401 200 200 200 200 200"),
        ("GET", "/api/sessions", Value::Null, "401 200 200 200 200 200"),
        ("PUT", "/api/push", json!({}), "401 400 400 400 400 400"),
        ("DELETE", "/api/push", Value::Null, "401 200 200 200 200 200"),
        ("DELETE", "/api/sessions/x", Value::Null, "401 404 404 404 404 404"),
        ("GET", "/api/rooms/~AAAAAAAAAAAAAAAAAAAAAA", Value::Null, "401 403 403 403 403 403"),
        ("GET", "/api/rooms/never-opened", Value::Null, "401 404 404 404 404 404"),
    ] {
        let mut statuses = Vec::new();
        for cookie in &cast.cookies {
            let reply: Reply = match cookie.is_empty() {
                true => cast.chat.call(method, path, &[], b"").await,
                false => cast.chat.json(method, path, cookie, body.clone()).await,
            };
            statuses.push(reply.status.to_string());
        }
        assert_eq!(statuses.join(" "), expected, "{method} {path}");
    }
}

/// Which users see which rooms in lists and searches.
#[tokio::test]
async fn lists_show_closed_rooms_to_members_only() {
    let cast = Cast::new().await;
    let mut rooms = Vec::new();
    for kind in [Kind::Open, Kind::Closed, Kind::Archived] {
        rooms.push(cast.room(kind).await);
    }
    // Lists of open rooms are read at most once a second.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    for (name, expected) in [
        ("outsider", "yes no yes"),
        ("member", "yes yes yes"),
        ("chair", "yes yes yes"),
        ("boss", "yes yes yes"),
        ("boss-outside", "yes no yes"),
    ] {
        for query in ["", "?q=room"] {
            let list = cast.chat.get(&format!("/api/rooms{query}"), cast.cookie(name)).await.json();
            let is_listed =
                |room: &String| list["rooms"].as_array().unwrap().iter().any(|r| r["name"] == *room);
            let listed: Vec<_> =
                rooms.iter().map(|room| if is_listed(room) { "yes" } else { "no" }).collect();
            assert_eq!(listed.join(" "), expected, "{name} {query}");
        }
        let everything = [
            cast.chat.get("/api/users", cast.cookie(name)).await,
            cast.chat.call("GET", "/metrics", &[], b"").await,
        ];
        for reply in everything {
            assert!(!String::from_utf8_lossy(&reply.body).contains(&rooms[1]), "{name}");
        }
    }
}

/// The upgrade of v1, and what becomes of a message that is sent then: `-` if the upgrade
/// was refused.
#[tokio::test]
async fn entering_and_writing_with_v1() {
    let cast = Cast::new().await;
    for (kind, upgrades, stored) in [
        (Kind::Open, "401 101 101 101 101 101", "- yes yes yes yes yes"),
        (Kind::Closed, "401 403 101 101 101 403", "- - yes yes yes -"),
        (Kind::Archived, "401 101 101 101 101 101", "- no no no no no"),
    ] {
        let (mut statuses, mut results) = (Vec::new(), Vec::new());
        for cookie in &cast.cookies {
            let room = cast.room(kind).await;
            let target = format!("/ws?room={}", crate::rooms::encoded(&room));
            let mut stream = cast.chat.connect().await;
            let headers = [("Cookie", cookie.as_str())];
            stream.write_all(handshake(&cast.chat, &target, &headers).as_bytes()).await.unwrap();
            let status = Reply::read_head(&mut stream).await.status;
            statuses.push(status.to_string());
            if status != 101 {
                results.push("-");
                continue;
            }
            let mut socket = Wire::over(stream);
            socket.next_of("system").await;
            socket.send(&json!({ "type": "message", "text": "hi" })).await;
            // Another message of this socket comes back after the one to the room.
            socket.send(&json!({ "type": "private", "to": "extra", "text": "fence" })).await;
            let mut is_stored = false;
            loop {
                let frame = socket.next().await;
                is_stored |= frame["type"] == "message" && frame["text"] == "hi";
                if frame["type"] == "private" {
                    break;
                }
            }
            results.push(if is_stored { "yes" } else { "no" });
        }
        assert_eq!(
            (statuses.join(" "), results.join(" ")),
            (upgrades.to_owned(), stored.to_owned()),
            "{kind:?}"
        );
    }
}

/// The answer to a frame: the type, or the code of the error; `silence` if none came before
/// the answer to the next frame.
async fn answer(socket: &mut Wire, mut frame: Value) -> String {
    // A nonce is used once by each user.
    let marker = format!("{:016x}", rand::random::<u64>());
    match frame["type"].as_str().unwrap() {
        "message" | "private" | "edit" | "delete" | "react" | "unreact" => frame["nonce"] = json!(marker),
        _ => frame["ref"] = json!(marker),
    }
    let fence = format!("fence {marker}");
    socket.send(&frame).await;
    let waits =
        frame["nonce"] == marker || matches!(frame["type"].as_str().unwrap(), "join" | "history" | "leave");
    if !waits {
        socket.send(&json!({ "type": "fence", "ref": fence })).await;
    }
    loop {
        let next = socket.next().await;
        if next["ref"] == fence {
            return "silence".to_owned();
        }
        if next["ref"] == marker
            || (next["nonce"] == marker && (next["type"] == "ack" || next["type"] == "error"))
        {
            let code = next["code"].as_str();
            return code.or(next["type"].as_str()).unwrap().to_owned();
        }
    }
}

#[tokio::test]
async fn every_frame_about_a_room() {
    let cast = Cast::new().await;
    let of = |room: &str, frame: &Value| {
        let mut frame = frame.clone();
        frame["room"] = json!(room);
        frame
    };
    let columns = &USERS[1..];
    // Columns: outsider, member, moderator, administrator who is a member, and one who is
    // none. First without a join …
    let apart = [
        (json!({ "type": "history" }), "not_joined not_joined not_joined not_joined not_joined"),
        (
            json!({ "type": "message", "text": "hi" }),
            "not_joined not_joined not_joined not_joined not_joined",
        ),
        (
            json!({ "type": "typing", "active": true }),
            "not_joined not_joined not_joined not_joined not_joined",
        ),
        (
            json!({ "type": "edit", "target": 1, "text": "hi" }),
            "not_joined not_joined not_joined not_joined not_joined",
        ),
        (json!({ "type": "delete", "target": 1 }), "not_joined not_joined not_joined not_joined not_joined"),
        (
            json!({ "type": "react", "target": 1, "emoji": "👍" }),
            "not_joined not_joined not_joined not_joined not_joined",
        ),
        (
            json!({ "type": "unreact", "target": 1, "emoji": "👍" }),
            "not_joined not_joined not_joined not_joined not_joined",
        ),
        (json!({ "type": "leave" }), "not_joined not_joined not_joined not_joined not_joined"),
        (json!({ "type": "read", "upto": 1 }), "not_found silence silence silence not_found"),
        (json!({ "type": "level", "level": "all" }), "not_found silence silence silence not_found"),
    ];
    for (frame, expected) in &apart {
        for kind in [Kind::Open, Kind::Closed, Kind::Archived] {
            let mut answers = Vec::new();
            for name in columns {
                let room = cast.room(kind).await;
                let mut socket = Wire::open_v2(&cast.chat, cast.cookie(name)).await;
                answers.push(answer(&mut socket, of(&room, frame)).await);
            }
            assert_eq!(answers.join(" "), *expected, "{frame} without a join, {kind:?}");
        }
    }
    // … then after one, which may be refused.
    let join = json!({ "type": "join" });
    let refused = "forbidden {} {} {} forbidden";
    for (frame, in_open, in_closed, in_archived) in [
        (None, "joined", "joined", "joined"),
        (Some(json!({ "type": "join" })), "already_joined", "already_joined", "already_joined"),
        (Some(json!({ "type": "history" })), "history", "history", "history"),
        (Some(json!({ "type": "message", "text": "hi" })), "ack", "ack", "forbidden"),
        (
            Some(json!({ "type": "message", "text": "@member", "mentions": ["member"] })),
            "ack",
            "ack",
            "forbidden",
        ),
        (Some(json!({ "type": "message", "text": "@all", "mention_all": true })), "ack", "ack", "forbidden"),
        (Some(json!({ "type": "typing", "active": true })), "silence", "silence", "silence"),
        (Some(json!({ "type": "leave" })), "left", "left", "left"),
    ] {
        for (kind, expected) in
            [(Kind::Open, in_open), (Kind::Closed, in_closed), (Kind::Archived, in_archived)]
        {
            let mut answers = Vec::new();
            for name in columns {
                let room = cast.room(kind).await;
                let mut socket = Wire::open_v2(&cast.chat, cast.cookie(name)).await;
                let joined = answer(&mut socket, of(&room, &join)).await;
                answers.push(match &frame {
                    Some(frame) if joined == "joined" => answer(&mut socket, of(&room, frame)).await,
                    _ => joined,
                });
            }
            let expected = match kind {
                Kind::Closed => refused.replace("{}", expected),
                _ => [expected; 5].join(" "),
            };
            assert_eq!(answers.join(" "), expected, "{frame:?} after a join, {kind:?}");
        }
    }
}

/// Changes of a message that `member` has written, and the reactions to it.
#[tokio::test]
async fn every_change_of_a_message() {
    let cast = Cast::new().await;
    let message_in = async |kind: Kind| {
        let room = cast.room(if kind == Kind::Closed { kind } else { Kind::Open }).await;
        let mut author = Wire::open_v2(&cast.chat, cast.cookie("member")).await;
        for frame in [
            json!({ "type": "join", "room": room }),
            json!({ "type": "message", "room": room, "text": "hi" }),
            json!({ "type": "react", "room": room, "target": 1, "emoji": "👍" }),
        ] {
            assert!(matches!(&*answer(&mut author, frame).await, "joined" | "ack"));
        }
        if kind == Kind::Archived {
            let archive = json!({ "archived": true });
            assert_eq!(
                cast.chat.json("PATCH", &path(&room), cast.cookie("chair"), archive).await.status,
                200
            );
        }
        room
    };
    // Columns: outsider, member, who is the author, moderator, administrator who is a member,
    // and one who is none. The closed room refuses the first and the last one.
    for (frame, expected) in [
        (
            json!({ "type": "edit", "target": 1, "text": "hello" }),
            [
                "forbidden ack forbidden forbidden forbidden",
                "forbidden ack forbidden forbidden forbidden",
                NONE,
            ],
        ),
        (
            json!({ "type": "delete", "target": 1 }),
            ["forbidden ack ack ack ack", "forbidden ack ack ack forbidden", "forbidden ack ack ack ack"],
        ),
        (
            json!({ "type": "react", "target": 1, "emoji": "🎉" }),
            ["ack ack ack ack ack", "forbidden ack ack ack forbidden", NONE],
        ),
        (
            json!({ "type": "unreact", "target": 1, "emoji": "👍" }),
            [
                "not_found ack not_found not_found not_found",
                "forbidden ack not_found not_found forbidden",
                NONE,
            ],
        ),
        (
            json!({ "type": "message", "text": "hello", "reply_to": 1 }),
            ["ack ack ack ack ack", "forbidden ack ack ack forbidden", NONE],
        ),
    ] {
        for (kind, expected) in [Kind::Open, Kind::Closed, Kind::Archived].into_iter().zip(expected) {
            let mut answers = Vec::new();
            for name in &USERS[1..] {
                let room = message_in(kind).await;
                let mut socket = Wire::open_v2(&cast.chat, cast.cookie(name)).await;
                let joined = answer(&mut socket, json!({ "type": "join", "room": room })).await;
                let mut frame = frame.clone();
                frame["room"] = json!(room);
                answers.push(match &*joined {
                    "joined" => answer(&mut socket, frame).await,
                    _ => joined,
                });
            }
            assert_eq!(answers.join(" "), expected, "{frame}, {kind:?}");
        }
    }
    for (kind, expected) in [
        (Kind::Open, "401 200 200 200 200 200"),
        (Kind::Closed, "401 403 200 200 200 403"),
        (Kind::Archived, "401 200 200 200 200 200"),
    ] {
        let target = format!("/api/reactions?room={}&seq=1", crate::rooms::encoded(&message_in(kind).await));
        let mut statuses = Vec::new();
        for cookie in &cast.cookies {
            let headers = [("Cookie", cookie.as_str())];
            let reply = cast.chat.call("GET", &target, &headers[usize::from(cookie.is_empty())..], b"").await;
            statuses.push(reply.status.to_string());
        }
        assert_eq!(statuses.join(" "), expected, "{kind:?}");
    }
}

const NONE: &str = "forbidden forbidden forbidden forbidden forbidden";

/// Who gets a message that the moderator sends: on a connection that has joined (`live`), on
/// one that has not (`activity`), by a later join (`replay`).
#[tokio::test]
async fn every_delivery() {
    let cast = Cast::new().await;
    for (kind, expected) in [
        (Kind::Open, "live,replay live,activity,replay live,replay live,activity,replay live,replay"),
        (Kind::Closed, "- live,activity,replay live,replay live,activity,replay -"),
    ] {
        let room = cast.room(kind).await;
        let mut sender = Wire::open_v2(&cast.chat, cast.cookie("chair")).await;
        assert_eq!(answer(&mut sender, json!({ "type": "join", "room": room })).await, "joined");
        let mut sockets = Vec::new();
        for name in &USERS[1..] {
            let mut joined = Wire::open_v2(&cast.chat, cast.cookie(name)).await;
            answer(&mut joined, json!({ "type": "join", "room": room })).await;
            sockets.push((joined, Wire::open_v2(&cast.chat, cast.cookie(name)).await));
        }
        let send = json!({ "type": "message", "room": room, "text": "the news" });
        assert_eq!(answer(&mut sender, send).await, "ack");
        // Activity is shown at most once a second.
        tokio::time::sleep(Duration::from_millis(2_000)).await;
        let mut deliveries = Vec::new();
        for (mut joined, mut apart) in sockets {
            let mut delivered = Vec::new();
            for (socket, kind) in [(&mut joined, "live"), (&mut apart, "activity")] {
                if everything(socket).await.iter().any(|frame| frame["room"] == room && is_news(frame)) {
                    delivered.push(kind);
                }
            }
            apart.send(&json!({ "type": "join", "room": room })).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            if everything(&mut apart).await.iter().any(is_news) {
                delivered.push("replay");
            }
            deliveries.push(if delivered.is_empty() { "-".to_owned() } else { delivered.join(",") });
        }
        assert_eq!(deliveries.join(" "), expected, "{kind:?}");
    }
}

fn is_news(frame: &Value) -> bool {
    frame["text"] == "the news" || frame["type"] == "activity"
}

/// All frames that were sent to a socket until now.
async fn everything(socket: &mut Wire) -> Vec<Value> {
    socket.send(&json!({ "type": "fence", "ref": "end" })).await;
    let mut frames = Vec::new();
    loop {
        let frame = socket.next().await;
        if frame["ref"] == "end" {
            return frames;
        }
        frames.push(frame);
    }
}
