//! Protocol v1 on a whole server over real sockets, as clients of the original
//! chat speak it: on every store, with one shard and with three.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{Request, Setup, TestServer};
use serde_json::{Value, json};

on_every_setup!(
    accounts_and_their_errors,
    signing_in_and_out,
    upgrades_that_are_refused,
    rooms_are_apart,
    texts_are_trimmed_and_otherwise_kept,
    texts_in_every_script_are_kept,
    private_messages_reach_two_people_only,
    private_messages_without_a_recipient,
    forged_fields_are_ignored,
    malformed_frames_close_nothing,
    a_message_that_is_too_long_closes_the_connection,
    a_burst_is_complete_and_in_order,
    messages_above_the_rate_limit_are_delayed_and_not_lost,
    joining_in_the_middle_of_traffic,
    each_connection_joins_and_leaves_once,
    the_last_message_comes_before_the_leave_notice,
    signing_out_closes_the_sockets,
    rooms_in_use_are_listed,
    a_stop_closes_with_a_code,
);

async fn accounts_and_their_errors(setup: Setup) {
    // As the original had it.
    let server = TestServer::start_with(setup, &["--password-min-chars", "1"]).await;
    let register = async |name: &str, password: &str| {
        let fields = [("username", name), ("password", password)];
        server.send(Request::post("/api/register").form(&fields, None)).await
    };
    assert_eq!(register(" Алиса ", "секрет").await.expect_ok().json(), json!({ "status": "registered" }));
    for (name, password, sentence) in [
        ("Алиса", "another", "username already exists"),
        ("", "secret", "username and password are required"),
        ("   ", "secret", "username and password are required"),
        ("bob", "", "username and password are required"),
        ("abcdefghijklmnopqrstuvwxy", "secret", "username too long (max 24)"),
    ] {
        let answer = register(name, password).await;
        assert_eq!((answer.status, answer.error().as_str()), (400, sentence), "{name:?}");
    }
    assert_eq!(register("a\u{200B}b", "secret").await.status, 400);
    let not_a_form = Request::post("/api/register").json(&json!({ "username": "bob", "password": "x" }));
    assert_eq!(server.send(not_a_form).await.status, 400);

    let fields = [("username", "bob"), ("password", "secret")];
    let not_a_picture = Some(("avatar", "me.png", b"<svg onload=alert(1)>".as_slice()));
    let answer = server.send(Request::post("/api/register").form(&fields, not_a_picture)).await;
    assert_eq!(answer.status, 400);
    let uploads = std::fs::read_dir(server.folder().join("uploads")).unwrap();
    assert_eq!(uploads.count(), 0, "a refused registration leaves no file");

    let picture = Some(("avatar", "me.txt", PNG));
    server.send(Request::post("/api/register").form(&fields, picture)).await.expect_ok();
    let login = json!({ "username": "bob", "password": "secret" });
    let answer = server.send(Request::post("/api/login").json(&login)).await.expect_ok().json();
    let address = answer["avatar"].as_str().unwrap().to_owned();
    assert!(address.starts_with("/uploads/") && address.ends_with(".webp"), "{address}");
    let file = server.get(&address).await.expect_ok();
    assert_eq!(file.header("content-type"), Some("image/webp"));
    assert!(file.body.starts_with(b"RIFF"), "encoded again");
    assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
}

async fn signing_in_and_out(setup: Setup) {
    let server = TestServer::start(setup).await;
    let alice = server.person("alice").await;

    let login = async |body: Value| server.send(Request::post("/api/login").json(&body)).await;
    let wrong = login(json!({ "username": "alice", "password": "guess" })).await;
    assert_eq!((wrong.status, wrong.error().as_str()), (401, "invalid credentials"));
    let unknown = login(json!({ "username": "nobody", "password": "guess" })).await;
    assert_eq!((unknown.status, unknown.error().as_str()), (401, "invalid credentials"));
    let malformed = login(json!([1])).await;
    assert_eq!((malformed.status, malformed.error().as_str()), (400, "invalid json"));

    let fine =
        login(json!({ "username": "alice", "password": common_password(), "more": 1 })).await.expect_ok();
    assert_eq!(fine.json(), json!({ "status": "ok", "avatar": "" }));
    let cookie = fine.header("set-cookie").unwrap();
    assert!(cookie.starts_with("auth=ey"), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"), "{cookie}");

    let me = alice.get("/api/me").await.expect_ok().json();
    assert_eq!((&me["username"], &me["avatar"]), (&json!("alice"), &json!("")));
    assert_eq!(alice.get("/api/users/alice").await.expect_ok().json()["username"], "alice");
    assert_eq!(alice.get("/api/users/nobody").await.status, 404);
    let missing = server.get("/api/me").await;
    assert_eq!((missing.status, missing.error().as_str()), (401, "missing auth cookie"));
    let bad = server.send(Request::get("/api/me").header("Cookie", "auth=nonsense")).await;
    assert_eq!((bad.status, bad.error().as_str()), (401, "invalid token"));
    let token = alice.cookie.strip_prefix("auth=").unwrap();
    let bearer = Request::get("/api/me").header("Authorization", &format!("Bearer {token}"));
    server.send(bearer).await.expect_ok();

    let foreign =
        Request::post("/api/logout").header("Cookie", &alice.cookie).header("Origin", "http://evil.example");
    assert_eq!(server.send(foreign).await.status, 403);
    let out = alice.post("/api/logout").await.expect_ok();
    assert_eq!(out.json(), json!({ "status": "ok" }));
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"), "{out:?}");
    assert_eq!(alice.get("/api/me").await.error(), "invalid token");

    assert_eq!(server.get("/api/nothing").await.status, 404);
    let wrong_method = server.get("/api/login").await;
    assert_eq!((wrong_method.status, wrong_method.header("allow")), (405, Some("POST")));
}

async fn upgrades_that_are_refused(setup: Setup) {
    let server = TestServer::start(setup).await;
    let alice = server.person("alice").await;
    let upgrade = |path: &str| {
        Request::get(path)
            .header("Connection", "keep-alive, Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    let with_version = |path: &str| upgrade(path).header("Sec-WebSocket-Version", "13");
    let stranger = server.send(with_version("/ws")).await;
    assert_eq!((stranger.status, stranger.error().as_str()), (401, "missing auth cookie"));
    let forged = server.send(with_version("/ws").header("Cookie", "auth=a.b.c")).await;
    assert_eq!((forged.status, forged.error().as_str()), (401, "invalid token"));
    let foreign = with_version("/ws").header("Cookie", &alice.cookie).header("Origin", "http://evil.example");
    assert_eq!(server.send(foreign).await.status, 403);
    let old = upgrade("/ws").header("Sec-WebSocket-Version", "8").header("Cookie", &alice.cookie);
    let old = server.send(old).await;
    assert_eq!((old.status, old.header("sec-websocket-version")), (426, Some("13")));
    let long = format!("/ws?room={}", "x".repeat(65));
    assert_eq!(server.send(with_version(&long).header("Cookie", &alice.cookie)).await.status, 400);
    let control = with_version("/ws?room=a%0Ab").header("Cookie", &alice.cookie);
    assert_eq!(server.send(control).await.status, 400);
    let subprotocol =
        with_version("/ws").header("Cookie", &alice.cookie).header("Sec-WebSocket-Protocol", "chat.v9");
    assert_eq!(server.send(subprotocol).await.status, 400);
    let own = format!("http://{}", server.address);
    let fine = with_version("/ws").header("Cookie", &alice.cookie).header("Origin", &own);
    // No frame is sent, so the answer ends when the server closes.
    drop(tokio::time::timeout(std::time::Duration::from_millis(200), server.send(fine)).await);
    alice.enter("default").await;
}

async fn rooms_are_apart(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (_, mut alice) = server.in_room("alice", "кухня").await;
    let (_, mut bob) = server.in_room("bob", "кухня").await;
    let (_, mut carol) = server.in_room("carol", "Кухня").await;
    alice.say("чай готов").await;
    carol.say("никого нет").await;
    for socket in [&mut alice, &mut bob] {
        let frame = socket.next_message().await;
        let (from, text, room) = (&frame["from"], &frame["text"], &frame["room"]);
        assert_eq!((from, text, room), (&json!("alice"), &json!("чай готов"), &json!("кухня")));
        assert_eq!(frame["type"], "message");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert!(frame["timestamp"].as_u64().unwrap().abs_diff(now) <= 60, "{frame}");
    }
    carol.expect("carol", "никого нет").await;
    alice.say("дальше").await;
    alice.expect("alice", "дальше").await;
    bob.expect("alice", "дальше").await;
    // A room that is not named is `default`.
    let dave = server.person("dave").await;
    let mut unnamed = dave.open("").await.unwrap();
    assert_eq!(unnamed.next().await["room"], "default");
}

async fn texts_are_trimmed_and_otherwise_kept(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (_, mut alice) = server.in_room("alice", "default").await;
    for blank in ["", "   ", "\n\t\u{3000}"] {
        alice.say(blank).await;
    }
    alice.say("  a\n  b\t \u{3000}").await;
    alice.expect("alice", "a\n  b").await;
    let longest = "ж".repeat(4096);
    alice.say(&format!("  {longest}  ")).await;
    alice.expect("alice", &longest).await;
}

async fn texts_in_every_script_are_kept(setup: Setup) {
    let server = TestServer::start(setup).await;
    let texts = [
        "Привет, мир!",
        "👩‍💻🏳️‍🌈❤️‍🔥",
        "مرحبا بالعالم abc",
        "e\u{301} é",
        "\u{202E}evil\u{202C}",
        "\"\\/<b>&amp;\u{7f}",
    ];
    let room = "комната 🏠 بيت";
    let (person, mut alice) = server.in_room("Алиса 👩‍💻", room).await;
    let (_, mut bob) = server.in_room("بوب", room).await;
    for text in texts {
        alice.say(text).await;
        alice.expect("Алиса 👩‍💻", text).await;
        bob.expect("Алиса 👩‍💻", text).await;
    }
    let again = person.enter(room).await;
    let replayed: Vec<_> = again.replay.iter().map(|frame| frame["text"].as_str().unwrap()).collect();
    assert_eq!(replayed, texts);
}

async fn private_messages_reach_two_people_only(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (alice, mut alice_1) = server.in_room("alice", "one").await;
    let mut alice_2 = alice.enter("two").await;
    let (bob, mut bob_1) = server.in_room("bob", "one").await;
    let mut bob_2 = bob.enter("three").await;
    let (_, mut carol) = server.in_room("carol", "one").await;
    alice_1.whisper("bob", "секрет").await;
    for socket in [&mut alice_1, &mut alice_2, &mut bob_1, &mut bob_2] {
        let frame = socket.next_message().await;
        let expected = json!({
            "type": "private", "from": "alice", "to": "bob", "text": "секрет",
            "timestamp": frame["timestamp"], "room": "one",
        });
        assert_eq!(frame, expected);
    }
    // `to` makes a message private, whatever its `type`.
    bob_2.send(&json!({ "type": "message", "to": " alice ", "text": "ответ" })).await;
    for socket in [&mut alice_1, &mut alice_2, &mut bob_1, &mut bob_2] {
        let frame = socket.next_message().await;
        assert_eq!(
            (&frame["type"], &frame["text"], &frame["room"]),
            (&json!("private"), &json!("ответ"), &json!("three"))
        );
    }
    alice_1.whisper("alice", "себе").await;
    for socket in [&mut alice_1, &mut alice_2] {
        socket.expect("alice", "себе").await;
    }
    // No recipient got a message twice, and no other client got one.
    for socket in [&mut alice_1, &mut alice_2, &mut bob_1, &mut bob_2, &mut carol] {
        socket.say("конец").await;
    }
    for socket in [&mut alice_1, &mut alice_2, &mut bob_1, &mut bob_2, &mut carol] {
        let before = socket.all_up_to("конец").await;
        assert!(before.iter().all(|frame| frame["type"] != "private"), "{before:?}");
    }
    // Private messages are not part of a room's history.
    let again = alice.enter("one").await;
    assert!(again.replay.iter().all(|frame| frame["type"] == "message"), "{:?}", again.replay);
}

async fn private_messages_without_a_recipient(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (_, mut alice) = server.in_room("alice", "default").await;
    let (_, mut bob) = server.in_room("bob", "default").await;
    for nobody in ["nobody", "Bob", "abcdefghijklmnopqrstuvwxyz0123456789"] {
        alice.whisper(nobody, "есть кто?").await;
        let echo = alice.next_message().await;
        assert_eq!(
            (&echo["type"], &echo["to"], &echo["text"]),
            (&json!("private"), &json!(nobody), &json!("есть кто?"))
        );
    }
    alice.send(&json!({ "type": "private", "text": "никому" })).await;
    alice.send(&json!({ "type": "private", "text": "никому", "to": "  " })).await;
    alice.say("всем").await;
    alice.expect("alice", "всем").await;
    bob.expect("alice", "всем").await;
}

async fn forged_fields_are_ignored(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (_, mut alice) = server.in_room("alice", "default").await;
    let (_, mut bob) = server.in_room("bob", "default").await;
    let (_, mut other) = server.in_room("carol", "other").await;
    alice
        .send(&json!({
            "type": "system", "text": "покинул комнату default", "from": "bob", "timestamp": 1, "room": "other",
        }))
        .await;
    let frame = bob.next_message().await;
    assert_eq!(
        (&frame["type"], &frame["from"], &frame["room"]),
        (&json!("message"), &json!("alice"), &json!("default"))
    );
    assert!(frame["timestamp"].as_u64().unwrap() > 1_700_000_000);
    alice.expect("alice", "покинул комнату default").await;
    other.say("тихо").await;
    other.expect("carol", "тихо").await;
}

async fn malformed_frames_close_nothing(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (_, mut alice) = server.in_room("alice", "default").await;
    for frame in
        ["", "hi", "[]", "1", r#"{"text":1}"#, r#"{"text":"x","to":[]}"#, r#"["message","hi","bob"]"#, "{"]
    {
        alice.send_text(frame).await;
    }
    alice.say("дальше").await;
    alice.expect("alice", "дальше").await;
}

async fn a_message_that_is_too_long_closes_the_connection(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (person, mut alice) = server.in_room("alice", "default").await;
    alice.say(&"ж".repeat(4097)).await;
    assert_eq!(alice.close_code().await, Some(1009));
    let mut alice = person.enter("default").await;
    alice.send_text(&format!("{{\"text\":\"x\",\"filler\":\"{}\"}}", "x".repeat(64 * 1024))).await;
    assert_eq!(alice.close_code().await, Some(1009));
    let again = person.enter("default").await;
    assert!(again.replay.is_empty(), "{:?}", again.replay);
}

async fn a_burst_is_complete_and_in_order(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (_, mut alice) = server.in_room("alice", "default").await;
    let (_, mut bob) = server.in_room("bob", "default").await;
    for number in 0..60 {
        alice.say(&format!("№{number}")).await;
    }
    for number in 0..60 {
        alice.expect("alice", &format!("№{number}")).await;
        bob.expect("alice", &format!("№{number}")).await;
    }
}

async fn messages_above_the_rate_limit_are_delayed_and_not_lost(setup: Setup) {
    let server = TestServer::start_with(setup, &["--message-rate", "10,20"]).await;
    let (person, mut alice) = server.in_room("alice", "default").await;
    let (_, mut bob) = server.in_room("bob", "default").await;
    let mut second = person.enter("default").await;
    let started = std::time::Instant::now();
    for number in 0..40 {
        alice.say(&format!("a{number}")).await;
        second.say(&format!("b{number}")).await;
    }
    bob.say("между тем").await;
    let mut from_alice = (0, 0);
    let mut bobs_position = 0;
    for place in 0..81 {
        let frame = bob.next_message().await;
        let text = frame["text"].as_str().unwrap().to_owned();
        if let Some(number) = text.strip_prefix('a') {
            assert_eq!(number, from_alice.0.to_string());
            from_alice.0 += 1;
        } else if let Some(number) = text.strip_prefix('b') {
            assert_eq!(number, from_alice.1.to_string());
            from_alice.1 += 1;
        } else {
            bobs_position = place;
        }
    }
    assert_eq!(from_alice, (40, 40));
    // 80 messages, 10 at once and then 20 a second, take at least 3.5 s.
    assert!(started.elapsed().as_millis() >= 3_200, "{:?}", started.elapsed());
    assert!(bobs_position < 75, "others are not slowed down, but bob's message came {bobs_position}.");
}

/// Several hundred joins during traffic: each client receives an unbroken run of
/// messages, each once, which begins at most 50 messages before its join.
async fn joining_in_the_middle_of_traffic(setup: Setup) {
    const JOINS: usize = 100;
    let server = TestServer::start_with(setup, &["--message-rate", "off"]).await;
    let (_, mut alice) = server.in_room("alice", "default").await;
    let joiner = server.person("bob").await;
    let enough = Arc::new(AtomicBool::new(false));
    let is_enough = Arc::clone(&enough);
    let talking = tokio::spawn(async move {
        // More than the joins take; the end is reached only if something is wrong.
        for number in 0..100_000 {
            if is_enough.load(Ordering::Relaxed) {
                break;
            }
            alice.say(&number.to_string()).await;
            let own = alice.next_message().await;
            assert_eq!(own["text"], number.to_string());
        }
    });
    let mut joined = 0;
    while joined < JOINS {
        let mut sockets = Vec::new();
        for _ in 0..10 {
            sockets.push(joiner.open("default").await.unwrap());
            joined += 1;
        }
        for mut socket in sockets {
            let mut numbers: Vec<u64> = Vec::new();
            let mut notices = 0;
            let mut live = 0;
            while live < 5 {
                let frame = socket.next().await;
                if frame["type"] == "system" {
                    notices += u32::from(frame["from"] == "bob");
                } else {
                    numbers.push(frame["text"].as_str().unwrap().parse().unwrap());
                    live += u32::from(notices > 0);
                }
            }
            for pair in numbers.windows(2) {
                assert_eq!(pair[1], pair[0] + 1, "a gap or a duplicate in {numbers:?}");
            }
        }
    }
    assert!(!talking.is_finished(), "there was traffic all the time");
    enough.store(true, Ordering::Relaxed);
    talking.await.unwrap();
}

async fn each_connection_joins_and_leaves_once(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (_, mut watcher) = server.in_room("watcher", "default").await;
    let mut people = Vec::new();
    for name in ["alice", "bob", "carol"] {
        people.push(server.person(name).await);
    }
    let mut sockets = Vec::new();
    for person in &people {
        for _ in 0..3 {
            sockets.push(person.enter("default").await);
        }
    }
    for (number, mut socket) in sockets.into_iter().enumerate() {
        if number % 2 == 0 {
            // Lost without a close frame.
            drop(socket);
        } else {
            socket.stream.close(None).await.unwrap();
        }
    }
    // Lost before the replay.
    for person in &people {
        drop(person.open("default").await.unwrap());
    }
    let mut notices: HashMap<(String, bool), u32> = HashMap::new();
    while notices.values().sum::<u32>() < 24 {
        let frame = watcher.next().await;
        assert_eq!(frame["type"], "system");
        let text = frame["text"].as_str().unwrap();
        let joined = text == "присоединился к комнате default";
        assert!(joined || text == "покинул комнату default", "{text}");
        *notices.entry((frame["from"].as_str().unwrap().to_owned(), joined)).or_default() += 1;
    }
    watcher.say("конец").await;
    assert_eq!(
        watcher.all_up_to("конец").await,
        Vec::<Value>::new(),
        "one notice each, and no further frame"
    );
    assert_eq!(notices.len(), 6);
    assert!(notices.values().all(|&count| count == 4), "{notices:?}");
}

async fn the_last_message_comes_before_the_leave_notice(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (_, mut bob) = server.in_room("bob", "default").await;
    let alice = server.person("alice").await;
    for round in 0..10 {
        let mut socket = alice.enter("default").await;
        assert_eq!(bob.next().await["text"], "присоединился к комнате default");
        let last = format!("пока {round}");
        socket.say(&last).await;
        socket.stream.close(None).await.unwrap();
        assert_eq!(bob.next().await["text"], last.as_str());
        assert_eq!(bob.next().await["text"], "покинул комнату default");
        assert_eq!(socket.close_code().await, Some(1000));
    }
    let metrics = server.get("/metrics").await.expect_ok();
    let metrics = String::from_utf8(metrics.body).unwrap();
    let entries = metrics.lines().find_map(|line| line.strip_prefix("chat_entries_total "));
    assert_eq!(entries, Some("10"), "each stored once: {metrics}");
    assert!(metrics.contains("chat_logins_total{outcome=\"accepted\"} 2"), "{metrics}");
}

async fn signing_out_closes_the_sockets(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (alice, mut first) = server.in_room("alice", "one").await;
    let mut second = alice.enter("two").await;
    let elsewhere = alice.sign_in().await;
    let mut other_session = elsewhere.enter("one").await;
    alice.post("/api/logout").await.expect_ok();
    assert_eq!(first.close_code().await, Some(4001));
    assert_eq!(second.close_code().await, Some(4001));
    assert!(alice.open("one").await.is_err(), "the token is no longer good");
    other_session.say("ещё здесь").await;
    other_session.expect("alice", "ещё здесь").await;
}

async fn rooms_in_use_are_listed(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (alice, _one) = server.in_room("alice", "кухня").await;
    let _two = alice.enter("кухня").await;
    let (_, _three) = server.in_room("bob", "кухня").await;
    let (_, _four) = server.in_room("carol", "сад").await;
    let listed = alice.get("/api/rooms").await.expect_ok().json();
    let rooms = listed["rooms"].as_array().unwrap();
    let names: Vec<_> = rooms.iter().map(|room| room["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["default", "random", "кухня", "сад"]);
    let shown = |room: &serde_json::Value| [&room["name"], &room["title"], &room["online"]].map(Clone::clone);
    assert_eq!(shown(&rooms[0]), [json!("default"), json!("Общая"), json!(0)]);
    assert_eq!(shown(&rooms[2]), [json!("кухня"), json!("кухня"), json!(2)]);
}

async fn a_stop_closes_with_a_code(setup: Setup) {
    let mut server = TestServer::start(setup).await;
    let (_, mut alice) = server.in_room("alice", "default").await;
    let (_, mut bob) = server.in_room("bob", "default").await;
    alice.next().await;
    alice.say("последнее").await;
    alice.expect("alice", "последнее").await;
    let ended = server.terminate();
    let (ended, alice_saw, bob_saw) = tokio::join!(ended, alice.next_or_close(), async {
        bob.expect("alice", "последнее").await;
        bob.next_or_close().await
    });
    assert!(ended.success(), "{ended}");
    // The server stops, the users do not leave: no leave notices.
    assert_eq!((alice_saw, bob_saw), (Err(Some(1001)), Err(Some(1001))));
}

fn common_password() -> &'static str {
    "верный пароль"
}

/// One black pixel.
const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0,
    1, 8, 0, 0, 0, 0, 0x3A, 0x7E, 0x9B, 0x55, 0, 0, 0, 10, b'I', b'D', b'A', b'T', 0x78, 0x9C, 0x63, 0x60, 0,
    0, 0, 2, 0, 1, 0x48, 0xAF, 0xA4, 0x71, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xAE, 0x42, 0x60, 0x82,
];
