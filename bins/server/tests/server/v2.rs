//! Protocol v2 on a whole server over real sockets: on every store, with one
//! shard and with three.

use crate::common::{Person, Setup, Socket, Store, TestServer};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

on_every_setup!(
    the_subprotocol_decides,
    hello_describes_the_server,
    a_conversation_of_both_versions,
    one_connection_many_rooms,
    a_resume_has_no_gap,
    a_new_epoch_is_recognised,
    a_retry_is_no_duplicate,
    private_conversations_continue_after_hello,
    history_is_read_in_pages,
    presence_reaches_all_shards,
    typing_reaches_all_shards,
    a_folded_join_ends,
    changes_are_kept_and_shown_to_both_versions,
    errors_close_nothing,
    a_frame_that_is_too_big_closes_the_connection,
    signing_out_closes_the_connection,
    a_stop_asks_clients_to_reconnect,
);

fn seqs(frames: &[Value]) -> Vec<u64> {
    frames.iter().filter_map(|frame| frame["seq"].as_u64()).collect()
}

/// Sends a message; returns its number.
async fn stored(socket: &mut Socket, room: &str, nonce: &str) -> u64 {
    socket.post(room, nonce, nonce).await;
    let ack = socket.until_answered(nonce).await.pop().unwrap();
    assert_eq!((&ack["type"], &ack["duplicate"]), (&json!("ack"), &json!(false)), "{ack}");
    ack["seq"].as_u64().unwrap()
}

async fn the_subprotocol_decides(setup: Setup) {
    let server = TestServer::start(setup).await;
    let alice = server.person("alice").await;
    for unknown in ["chat.v3", "graphql-ws", "chat.v", "chat.v2x", ""] {
        match alice.open_with("room=tech", Some(unknown)).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 400, "{unknown:?}"),
            _ => panic!("{unknown:?} was taken"),
        }
    }
    // v2 ignores the room of the URL, even an invalid one.
    for offered in ["chat.v2", "chat.v3, chat.v2"] {
        let mut socket = alice.open_with("room=%0A", Some(offered)).await.unwrap();
        assert_eq!(socket.next().await["type"], "hello");
        socket.send(&json!({ "type": "history", "room": "default" })).await;
        assert_eq!(socket.next().await["code"], "not_joined");
    }
}

async fn hello_describes_the_server(setup: Setup) {
    let server = TestServer::start(setup).await;
    let alice = server.person("Алиса").await;
    let (_socket, hello) = alice.open_v2().await;
    assert_eq!((&hello["protocol"], &hello["user"]), (&json!(2), &json!("Алиса")));
    assert!(hello["epoch"].as_str().unwrap().len() > 8);
    assert_eq!(hello["heartbeat_seconds"], 45);
    assert_eq!(hello["limits"]["message_max_bytes"], 65_536);
    assert_eq!(hello["limits"]["frame_max_bytes"], 131_072);
    assert_eq!(
        hello["features"],
        json!(["edit", "delete", "react", "reply", "mentions", "read", "typing", "rooms", "files"])
    );
    assert_eq!((&hello["privates"], &hello["has_more"]), (&json!([]), &json!(false)));
}

async fn a_conversation_of_both_versions(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (_, mut bob) = server.in_room("bob", "tech").await;
    let alice = server.person("alice").await;
    let mut alice = alice.enter_v2("tech").await;
    assert_eq!(alice.replay[0]["members"], json!(["alice", "bob"]));
    assert_eq!(bob.next().await["from"], "alice");
    alice.post("tech", "  Привет, \"мир\"! 👩‍👩‍👧 ", "n1").await;
    bob.expect("alice", "Привет, \"мир\"! 👩‍👩‍👧").await;
    let frames = alice.until_answered("n1").await;
    let ack = frames.last().unwrap();
    assert_eq!((&ack["room"], &ack["seq"], &ack["duplicate"]), (&json!("tech"), &json!(1), &json!(false)));
    bob.say("здорово").await;
    let mut own_and_his = frames[..frames.len() - 1].to_vec();
    // Her first message makes alice a member.
    own_and_his.retain(|frame| frame["type"] != "room");
    while own_and_his.len() < 2 {
        own_and_his.push(alice.next_of("message").await);
    }
    assert_eq!(own_and_his[0]["nonce"], "n1");
    assert_eq!(own_and_his[0]["timestamp"], ack["timestamp"]);
    assert_eq!((&own_and_his[1]["seq"], &own_and_his[1]["text"]), (&json!(2), &json!("здорово")));
    assert!(own_and_his[1].get("nonce").is_none());
    alice.send(&json!({ "type": "leave", "room": "tech", "ref": "bye" })).await;
    assert_eq!(alice.next_of("left").await, json!({ "type": "left", "room": "tech", "ref": "bye" }));
    bob.expect("bob", "здорово").await;
    assert_eq!(bob.next().await["text"], "покинул комнату tech");
}

async fn one_connection_many_rooms(setup: Setup) {
    let server = TestServer::start_with(setup, &["--message-rate", "off"]).await;
    let alice = server.person("alice").await;
    let bob = server.person("bob").await;
    let (mut alice, _) = alice.open_v2().await;
    let (mut bob, _) = bob.open_v2().await;
    let rooms: Vec<String> = (0..100).map(|n| format!("комната {n}")).collect();
    for room in &rooms {
        alice.send(&json!({ "type": "join", "room": room, "ref": room })).await;
        bob.send(&json!({ "type": "join", "room": room })).await;
    }
    for socket in [&mut alice, &mut bob] {
        let mut joined = Vec::new();
        while joined.len() < rooms.len() {
            joined.push(socket.next_of("joined").await["room"].as_str().unwrap().to_owned());
        }
        joined.sort();
        joined.dedup();
        assert_eq!(joined.len(), rooms.len());
    }
    for room in &rooms {
        bob.post(room, "hi", &format!("n {room}")).await;
    }
    let mut heard = Vec::new();
    while heard.len() < rooms.len() {
        let frame = alice.next_of("message").await;
        assert_eq!(frame["seq"], 1);
        heard.push(frame["room"].as_str().unwrap().to_owned());
    }
    heard.sort();
    let mut expected = rooms.clone();
    expected.sort();
    assert_eq!(heard, expected);
}

async fn a_resume_has_no_gap(setup: Setup) {
    let server = TestServer::start_with(setup, &["--message-rate", "off"]).await;
    let alice = server.person("alice").await;
    let mut bob = server.person("bob").await.enter_v2("tech").await;
    let socket = alice.enter_v2("tech").await;
    let epoch = socket.replay[0]["epoch"].clone();
    drop(socket);
    for n in 1..=250 {
        bob.post("tech", &n.to_string(), &n.to_string()).await;
    }
    bob.until_answered("250").await;
    for since in [0, 1, 100, 249, 250] {
        let (mut socket, _) = alice.open_v2().await;
        socket.join(&json!({ "type": "join", "room": "tech", "since": since, "epoch": epoch })).await;
        let joined = socket.replay.remove(0);
        assert_eq!((&joined["recovered"], &joined["seq"]), (&json!(true), &json!(250)), "since {since}");
        assert_eq!(seqs(&socket.replay), (since + 1..=250).collect::<Vec<_>>());
        let texts: Vec<_> = socket.replay.iter().map(|frame| frame["text"].as_str().unwrap()).collect();
        assert_eq!(texts, (since + 1..=250).map(|n| n.to_string()).collect::<Vec<_>>());
    }
    for refused in [
        json!({ "type": "join", "room": "tech", "since": 251, "epoch": epoch }),
        json!({ "type": "join", "room": "tech", "since": 200, "epoch": "another" }),
        json!({ "type": "join", "room": "tech" }),
    ] {
        let (mut socket, _) = alice.open_v2().await;
        socket.join(&refused).await;
        assert_eq!(socket.replay[0]["recovered"], false, "{refused}");
        assert_eq!(seqs(&socket.replay[1..]), (201..=250).collect::<Vec<_>>());
    }
}

async fn a_new_epoch_is_recognised(setup: Setup) {
    let mut server = TestServer::start(setup).await;
    let alice = server.person("alice").await;
    let mut socket = alice.enter_v2("tech").await;
    let epoch = socket.replay[0]["epoch"].clone();
    assert_eq!(stored(&mut socket, "tech", "before").await, 1);
    server.kill_and_restart().await;
    let is_memory = setup.store == Store::Memory;
    let alice = if is_memory { server.person("alice").await } else { alice.on(server.address) };
    let (mut socket, hello) = alice.open_v2().await;
    assert_eq!(hello["epoch"] != epoch, is_memory);
    socket.join(&json!({ "type": "join", "room": "tech", "since": 1, "epoch": epoch })).await;
    assert_eq!(socket.replay[0]["recovered"], !is_memory);
    assert_eq!(stored(&mut socket, "tech", "after").await, if is_memory { 1 } else { 2 });
}

async fn a_retry_is_no_duplicate(setup: Setup) {
    let mut server = TestServer::start(setup).await;
    let mut alice = server.person("alice").await;
    let mut socket = alice.enter_v2("tech").await;
    assert_eq!(stored(&mut socket, "tech", "n").await, 1);
    assert_eq!(stored(&mut socket, "tech", "m").await, 2);
    if setup.store != Store::Memory {
        server.kill_and_restart().await;
        alice = alice.on(server.address);
    }
    let mut again = alice.enter_v2("games").await;
    // In another room and with another text, the answer is still the first result.
    again.post("games", "something else", "n").await;
    let ack = again.until_answered("n").await.pop().unwrap();
    let expected = (&json!("tech"), &json!(1), &json!(true));
    assert_eq!((&ack["room"], &ack["seq"], &ack["duplicate"]), expected, "{ack}");
    let whisper = json!({ "type": "private", "to": "alice", "text": "note", "nonce": "p" });
    for duplicate in [false, true] {
        again.send(&whisper).await;
        let ack = again.until_answered("p").await.pop().unwrap();
        let expected = (&json!("alice"), &json!(1), &json!(duplicate));
        assert_eq!((&ack["to"], &ack["seq"], &ack["duplicate"]), expected, "{ack}");
    }
    // Of two at the same time on two connections, one is stored.
    let (mut one, mut other) = (alice.enter_v2("tech").await, alice.enter_v2("tech").await);
    one.post("tech", "x", "both").await;
    other.post("tech", "x", "both").await;
    let one = one.until_answered("both").await.pop().unwrap();
    let other = other.until_answered("both").await.pop().unwrap();
    assert_eq!((&one["seq"], &other["seq"]), (&json!(3), &json!(3)));
    assert_ne!(one["duplicate"], other["duplicate"]);
}

async fn private_conversations_continue_after_hello(setup: Setup) {
    let mut server = TestServer::start(setup).await;
    let (mut alice, mut bob) = (server.person("alice").await, server.person("bob").await);
    let mut eve = server.person("eve").await.enter_v2("tech").await;
    let whisper = |nonce: &str| json!({ "type": "private", "to": "bob", "text": nonce, "nonce": nonce });
    let (mut at_alice, _) = alice.open_v2().await;
    for nonce in ["1", "2", "3"] {
        at_alice.send(&whisper(nonce)).await;
        at_alice.until_answered(nonce).await;
    }
    if setup.store != Store::Memory {
        server.kill_and_restart().await;
        (alice, bob) = (alice.on(server.address), bob.on(server.address));
        (at_alice, _) = alice.open_v2().await;
    }
    let (mut at_bob, hello) = bob.open_v2().await;
    let with_alice = json!({ "with": "alice", "seq": 3, "at": hello["privates"][0]["at"], "read": 0,
        "unread": 3, "level": "all" });
    assert_eq!(hello["privates"], json!([with_alice]));
    at_alice.send(&whisper("4")).await;
    let frame = at_bob.next_of("private").await;
    assert_eq!(frame["timestamp"].as_u64().map(|at| at > 1_700_000_000), Some(true));
    let expected = json!({ "type": "private", "from": "alice", "to": "bob", "seq": 4, "text": "4",
        "timestamp": frame["timestamp"], "nonce": "4" });
    assert_eq!(frame, expected);
    at_bob.send(&json!({ "type": "history", "with": "alice", "after": 1, "ref": "h" })).await;
    let page = at_bob.next_of("history").await;
    assert_eq!(
        (&page["with"], &page["first"], &page["has_more"]),
        (&json!("alice"), &json!(1), &json!(false))
    );
    assert_eq!(seqs(page["messages"].as_array().unwrap()), [2, 3, 4]);
    at_bob.send(&json!({ "type": "private", "to": "nobody", "text": "?", "nonce": "x" })).await;
    assert_eq!(at_bob.until_answered("x").await[0]["code"], "not_found");
    if setup.store == Store::Memory {
        stored(&mut eve, "tech", "mark").await;
    }
}

async fn history_is_read_in_pages(setup: Setup) {
    let server = TestServer::start_with(setup, &["--message-rate", "off"]).await;
    let alice = server.person("alice").await;
    let mut socket = alice.enter_v2("tech").await;
    for n in 1..=230 {
        socket.post("tech", &n.to_string(), &n.to_string()).await;
    }
    socket.until_answered("230").await;
    drop(socket);
    let mut socket = alice.enter_v2("tech").await;
    let (mut before, mut all) = (231, Vec::new());
    loop {
        let request = json!({ "type": "history", "room": "tech", "before": before, "limit": 100 });
        socket.send(&request).await;
        let page = socket.next_of("history").await;
        let mut seqs = seqs(page["messages"].as_array().unwrap());
        before = seqs[0];
        seqs.extend(all);
        all = seqs;
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(all, (1..=230).collect::<Vec<_>>());
    socket.send(&json!({ "type": "history", "with": "nobody" })).await;
    let nothing = socket.next_of("history").await;
    assert_eq!((&nothing["messages"], &nothing["has_more"]), (&json!([]), &json!(false)));
}

async fn presence_reaches_all_shards(setup: Setup) {
    let server = TestServer::start(setup).await;
    let mut names: Vec<String> = (0..8).map(|n| format!("user{n}")).collect();
    let mut people: Vec<Person> = Vec::new();
    for name in &names {
        people.push(server.person(name).await);
    }
    let mut first = people[0].enter_v2("tech").await;
    let mut sockets = Vec::new();
    for person in &people[1..] {
        sockets.push(person.enter_v2("tech").await);
        let presence = first.next().await;
        let expected = json!({ "type": "presence", "room": "tech", "user": person.name, "online": true });
        assert_eq!(presence, expected);
    }
    // A second connection of a user changes no presence.
    let second = people[1].enter_v2("tech").await;
    let latest = people[0].enter_v2("tech").await;
    assert_eq!(latest.replay[0]["online"], 8);
    names.sort();
    assert_eq!(latest.replay[0]["members"], json!(names));
    drop((second, sockets.remove(0)));
    let presence = first.next().await;
    assert_eq!((&presence["user"], &presence["online"]), (&json!("user1"), &json!(false)));
    let rooms = people[0].get("/api/rooms").await.expect_ok().json();
    let tech = rooms["rooms"].as_array().unwrap().iter().find(|room| room["name"] == "tech").unwrap().clone();
    assert_eq!(tech["online"], 7);
}

async fn typing_reaches_all_shards(setup: Setup) {
    let server = TestServer::start(setup).await;
    let alice = server.person("alice").await;
    let mut alice = alice.enter_v2("tech").await;
    // Users of all shards, most likely.
    let bob = server.person("bob").await;
    let others = [server.person("carol").await, server.person("dave").await, server.person("erin").await];
    for reader in [&bob].into_iter().chain(&others) {
        let mut reader = reader.enter_v2("tech").await;
        alice.send(&json!({ "type": "typing", "room": "tech", "active": true })).await;
        let typing = |active| json!({ "type": "typing", "room": "tech", "user": "alice", "active": active });
        assert_eq!(reader.next_of("typing").await, typing(true));
        alice.send(&json!({ "type": "typing", "room": "tech", "active": false })).await;
        assert_eq!(reader.next_of("typing").await, typing(false));
        // No more than one in two seconds.
        tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    }
    alice.send(&json!({ "type": "private", "to": "bob", "text": "psst", "nonce": "n1" })).await;
    alice.until_answered("n1").await;
    let (mut bob, _) = bob.open_v2().await;
    alice.send(&json!({ "type": "typing", "to": "bob", "active": true })).await;
    assert_eq!(bob.next_of("typing").await, json!({ "type": "typing", "from": "alice", "active": true }));
    drop(alice);
    assert_eq!(bob.next_of("typing").await, json!({ "type": "typing", "from": "alice", "active": false }));
}

async fn a_folded_join_ends(setup: Setup) {
    let server = TestServer::start(setup).await;
    let alice = server.person("alice").await;
    let mut alice = alice.enter_v2("tech").await;
    for nonce in ["n1", "n2", "n3"] {
        stored(&mut alice, "tech", nonce).await;
    }
    let bob = server.person("bob").await;
    let (mut bob, _) = bob.open_v2().await;
    bob.send(&json!({ "type": "join", "room": "tech", "limit": 2, "fold": true })).await;
    let joined = bob.next().await;
    assert_eq!((&joined["seq"], &joined["from"]), (&json!(3), &json!(2)));
    assert_eq!((&bob.next().await["seq"], &bob.next().await["seq"]), (&json!(2), &json!(3)));
    assert_eq!(bob.next().await, json!({ "type": "replayed", "room": "tech", "upto": 3 }));
}

async fn changes_are_kept_and_shown_to_both_versions(setup: Setup) {
    let mut server = TestServer::start_with(setup, &["--reactions-max", "1"]).await;
    let (mut alice, bob) = (server.person("alice").await, server.person("bob").await);
    let mut socket = alice.enter_v2("tech").await;
    let mut reader = bob.enter_v2("tech").await;
    for nonce in ["a", "b"] {
        stored(&mut socket, "tech", nonce).await;
    }
    let change = |kind: &str, target: u64, nonce: &str, emoji: &str| json!({ "type": kind, "room": "tech", "target": target, "nonce": nonce, "text": "edited", "emoji": emoji });
    for (frame, expected) in [
        (change("edit", 1, "e", "👍"), "ack"),
        (change("react", 1, "r", "❤"), "ack"),
        (change("react", 1, "r2", "👍"), "too_many"),
        (change("delete", 2, "d", "👍"), "ack"),
        (change("edit", 2, "e2", "👍"), "not_found"),
    ] {
        socket.send(&frame).await;
        let answer = socket.until_answered(frame["nonce"].as_str().unwrap()).await.pop().unwrap();
        assert!(answer["type"] == expected || answer["code"] == expected, "{frame}: {answer}");
    }
    for (kind, seq) in [("message", 1), ("message", 2), ("edit", 3), ("react", 4), ("delete", 5)] {
        assert_eq!(reader.next_of(kind).await["seq"], seq);
    }
    if setup.store != Store::Memory {
        server.kill_and_restart().await;
        alice = alice.on(server.address);
    }
    let (mut socket, hello) = alice.open_v2().await;
    assert_eq!(hello["limits"]["reactions_max"], 1);
    socket.send(&json!({ "type": "join", "room": "tech", "fold": true })).await;
    while socket.next().await["type"] != "replayed" {}
    socket.send(&change("delete", 2, "d2", "👍")).await;
    let ack = socket.until_answered("d2").await.pop().unwrap();
    assert_eq!((&ack["seq"], &ack["duplicate"]), (&json!(5), &json!(true)));
    socket.send(&json!({ "type": "history", "room": "tech", "fold": true, "ref": "h" })).await;
    let page = socket.next_of("history").await;
    let messages = page["messages"].as_array().unwrap();
    assert_eq!(seqs(messages), [1, 2]);
    let heart = json!([{ "emoji": "❤\u{FE0F}", "count": 1, "users": ["alice"] }]);
    assert_eq!((&messages[0]["text"], &messages[0]["reactions"]), (&json!("edited"), &heart));
    assert_eq!((&messages[1]["text"], &messages[1]["deleted"]), (&json!(""), &json!(true)));
    // A v1 client sees the newest text only.
    let (_, mut old) = server.in_room("carol", "tech").await;
    old.say("hi").await;
    old.expect("carol", "hi").await;
}

async fn errors_close_nothing(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (mut alice, _) = server.person("alice").await.open_v2().await;
    for (frame, code) in [
        ("rubbish".to_owned(), "bad_request"),
        ("[]".to_owned(), "bad_request"),
        (r#"{"type":"message","room":"tech","text":"\ud800","nonce":"n"}"#.to_owned(), "bad_request"),
        (json!({ "type": "dance" }).to_string(), "unknown_type"),
        (json!({ "type": "message", "room": "tech", "text": "x", "nonce": "n" }).to_string(), "not_joined"),
        (json!({ "type": "leave", "room": "tech" }).to_string(), "not_joined"),
    ] {
        alice.send_text(&frame).await;
        assert_eq!(alice.next_of("error").await["code"], code, "{frame}");
    }
    alice.join(&json!({ "type": "join", "room": "tech" })).await;
    alice.send(&json!({ "type": "join", "room": "tech", "ref": "twice" })).await;
    let error = alice.next_of("error").await;
    assert_eq!((&error["code"], &error["ref"]), (&json!("already_joined"), &json!("twice")));
    alice.post("tech", &"я".repeat(4097), "long").await;
    assert_eq!(alice.next_of("error").await["code"], "text_too_long");
    assert_eq!(stored(&mut alice, "tech", "fine").await, 1);
}

async fn a_frame_that_is_too_big_closes_the_connection(setup: Setup) {
    let server = TestServer::start(setup).await;
    let mut alice = server.person("alice").await.enter_v2("tech").await;
    alice.post("tech", &"x".repeat(70_000), "n").await;
    assert_eq!(alice.close_code().await, Some(1009));
}

async fn signing_out_closes_the_connection(setup: Setup) {
    let server = TestServer::start(setup).await;
    let alice = server.person("alice").await;
    let phone = alice.sign_in().await;
    let mut socket = alice.enter_v2("tech").await;
    let mut other = phone.enter_v2("tech").await;
    alice.post("/api/logout").await.expect_ok();
    stored(&mut other, "tech", "after").await;
    loop {
        match socket.next_or_close().await {
            Ok(frame) => assert_ne!(frame["nonce"], "after"),
            Err(code) => break assert_eq!(code, Some(4001)),
        }
    }
}

async fn a_stop_asks_clients_to_reconnect(setup: Setup) {
    let mut server = TestServer::start(setup).await;
    let alice = server.person("alice").await;
    let mut socket = alice.enter_v2("tech").await;
    stored(&mut socket, "tech", "n").await;
    let bob = server.person("bob").await;
    let (mut bob, _) = bob.open_v2().await;
    let (status, ()) = tokio::join!(server.terminate(), async {
        for socket in [&mut socket, &mut bob] {
            let mut reconnect = socket.next().await;
            while reconnect["type"] != "reconnect" {
                reconnect = socket.next().await;
            }
            assert!(reconnect["after_ms"].as_u64().unwrap() < 10_000);
            assert_eq!(socket.close_code().await, Some(1012));
        }
    });
    assert!(status.success());
}
