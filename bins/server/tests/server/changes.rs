//! Messages that are answered, edited, taken back and reacted to: on every store, with one
//! shard and with three, as a client sees it that knows only the published protocol.

use crate::common::{Answer, Person, Request, Setup, Socket, Store, TestServer};
use serde_json::{Value, json};

on_every_setup!(
    an_edit_replaces_text_and_mentions,
    a_delete_takes_everything_back,
    reactions_are_counted_in_their_order,
    only_one_emoji_is_a_reaction,
    nonces_are_looked_up_first,
    a_reply_names_an_earlier_message,
    a_replay_shows_states_and_changes,
    a_folded_join_brings_messages_only,
    folded_pages_meet,
    around_and_seqs,
    v1_sees_the_newest_texts,
    pairs_have_changes_too,
    who_may_do_what,
    deleted_messages_are_not_unread,
    wrong_changes_are_refused,
);

/// A v2 connection in a room, which counts its nonces.
struct Line {
    socket: Socket,
    name: String,
    nonces: u32,
    /// Frames that came while an answer was awaited.
    heard: Vec<Value>,
}

impl Line {
    async fn open(person: &Person) -> Self {
        let (socket, _) = person.open_v2().await;
        Self { socket, name: person.name.clone(), nonces: 0, heard: Vec::new() }
    }

    async fn in_room(person: &Person, room: &str) -> Self {
        let mut line = Self::open(person).await;
        line.join(&json!({ "room": room })).await;
        line
    }

    /// Joins a room; returns `joined`, the replay, and `replayed` if it was folded.
    async fn join(&mut self, request: &Value) -> Vec<Value> {
        let mut frame = request.clone();
        frame["type"] = json!("join");
        self.socket.send(&frame).await;
        let joined = loop {
            let frame = self.socket.next().await;
            match frame["type"].as_str().unwrap() {
                "joined" => break frame,
                "error" => return vec![frame],
                _ => {}
            }
        };
        let top = joined["seq"].as_u64().unwrap();
        let is_folded = request["fold"] == true && joined["recovered"] == false;
        let mut seen = match request["since"].as_u64() {
            Some(since) if joined["recovered"] == true => since,
            _ => 0,
        };
        if request["limit"] == 0 && !is_folded {
            seen = top;
        }
        let mut frames = vec![joined];
        while is_folded || seen < top {
            let frame = self.socket.next().await;
            let kind = frame["type"].as_str().unwrap().to_owned();
            if kind == "replayed" {
                frames.push(frame);
                break;
            }
            if let Some(seq) = frame["seq"].as_u64() {
                seen = seq;
                frames.push(frame);
            }
        }
        frames
    }

    /// Sends a frame with a new nonce, and returns the answer.
    async fn ask(&mut self, frame: Value) -> Value {
        self.nonces += 1;
        let nonce = format!("{} {}", self.name, self.nonces);
        self.ask_as(frame, &nonce).await
    }

    async fn ask_as(&mut self, mut frame: Value, nonce: &str) -> Value {
        frame["nonce"] = json!(nonce);
        self.socket.send(&frame).await;
        let mut frames = self.socket.until_answered(nonce).await;
        let answer = frames.pop().unwrap();
        self.heard.extend(frames);
        answer
    }

    /// Sends what must be stored; returns its number.
    async fn store(&mut self, frame: Value) -> u64 {
        let answer = self.ask(frame.clone()).await;
        assert_eq!(
            (&answer["type"], &answer["duplicate"]),
            (&json!("ack"), &json!(false)),
            "{frame} {answer}"
        );
        answer["seq"].as_u64().unwrap()
    }

    async fn say(&mut self, room: &str, text: &str) -> u64 {
        self.store(json!({ "type": "message", "room": room, "text": text })).await
    }

    /// Sends what must be refused with this code.
    async fn refused(&mut self, frame: Value, code: &str) {
        let answer = self.ask(frame.clone()).await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{frame} {answer}");
    }

    /// The next frame with this number, which may have been heard before.
    async fn entry(&mut self, seq: u64) -> Value {
        if let Some(index) = self.heard.iter().position(|frame| is_entry(frame, seq)) {
            return self.heard.remove(index);
        }
        loop {
            let frame = self.socket.next().await;
            if is_entry(&frame, seq) {
                return frame;
            }
            self.heard.push(frame);
        }
    }

    async fn history(&mut self, request: Value) -> Value {
        let mut frame = request;
        frame["type"] = json!("history");
        frame["ref"] = json!("page");
        self.socket.send(&frame).await;
        loop {
            let frame = self.socket.next().await;
            if frame["ref"] == "page" {
                return frame;
            }
            self.heard.push(frame);
        }
    }

    /// One message as the log shows it.
    async fn message(&mut self, place: &Value, seq: u64) -> Value {
        let mut request = place.clone();
        request["seqs"] = json!([seq]);
        let page = self.history(request).await;
        page["messages"][0].clone()
    }
}

fn is_entry(frame: &Value, seq: u64) -> bool {
    let kind = frame["type"].as_str().unwrap();
    let kinds = ["message", "private", "edit", "delete", "react", "unreact"];
    kinds.contains(&kind) && frame["seq"] == seq
}

fn edit(target: u64, text: &str) -> Value {
    json!({ "type": "edit", "room": "tech", "target": target, "text": text })
}

fn delete(target: u64) -> Value {
    json!({ "type": "delete", "room": "tech", "target": target })
}

fn react(target: u64, emoji: &str) -> Value {
    json!({ "type": "react", "room": "tech", "target": target, "emoji": emoji })
}

fn unreact(target: u64, emoji: &str) -> Value {
    json!({ "type": "unreact", "room": "tech", "target": target, "emoji": emoji })
}

fn tech() -> Value {
    json!({ "room": "tech" })
}

fn seqs(frames: &[Value]) -> Vec<u64> {
    frames.iter().filter_map(|frame| frame["seq"].as_u64()).collect()
}

/// The fields of a frame that are there.
fn fields(frame: &Value) -> Vec<&str> {
    let mut fields: Vec<&str> = frame.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    fields
}

async fn two(setup: Setup) -> (TestServer, Person, Person, Line, Line) {
    let server = TestServer::start(setup).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let a = Line::in_room(&alice, "tech").await;
    let b = Line::in_room(&bob, "tech").await;
    (server, alice, bob, a, b)
}

async fn an_edit_replaces_text_and_mentions(setup: Setup) {
    let (_server, _, bob, mut a, mut b) = two(setup).await;
    let hello = {
        let (_socket, hello) = bob.open_v2().await;
        hello
    };
    let features: Vec<&str> =
        hello["features"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
    for feature in ["edit", "delete", "react", "reply"] {
        assert!(features.contains(&feature), "{features:?}");
    }
    assert_eq!(hello["limits"]["reactions_max"], 20);
    assert!(hello["limits"].get("edit_seconds").is_none(), "there is no limit by default");

    let first = a.say("tech", "helo @bob").await;
    let original = b.entry(first).await;
    assert_eq!(fields(&original), ["from", "nonce", "room", "seq", "text", "timestamp", "type"]);
    let mut request = edit(first, "hello @bob");
    request["mentions"] = json!(["bob"]);
    let second = a.store(request).await;
    assert_eq!(second, first + 1);
    for line in [&mut a, &mut b] {
        let live = line.entry(second).await;
        let expected = ["from", "mentions", "nonce", "room", "seq", "target", "text", "timestamp", "type"];
        assert_eq!(fields(&live), expected, "{live}");
        assert_eq!(
            (&live["type"], &live["target"], &live["text"]),
            (&json!("edit"), &json!(first), &json!("hello @bob"))
        );
        assert_eq!((&live["from"], &live["mentions"]), (&json!("alice"), &json!(["bob"])));
        let shown = line.message(&tech(), first).await;
        assert_eq!(
            (&shown["text"], &shown["updated"], &shown["nonce"]),
            (&json!("hello @bob"), &json!(second), &original["nonce"])
        );
        assert_eq!((&shown["edited"], &shown["mentions"]), (&live["timestamp"], &json!(["bob"])));
        assert_eq!(
            (&shown["timestamp"], shown.get("deleted"), shown.get("reactions")),
            (&original["timestamp"], None, None)
        );
    }
    // The next one takes the mentions away, and the text of the edit before it.
    let third = a.store(edit(first, "hello all")).await;
    let shown = b.message(&tech(), first).await;
    assert_eq!(
        (&shown["text"], shown.get("mentions"), &shown["updated"]),
        (&json!("hello all"), None, &json!(third))
    );
    let page = b.history(tech()).await;
    let page = page["messages"].as_array().unwrap();
    assert_eq!(seqs(page), [first, second, third]);
    let old = &page[1];
    assert_eq!((&old["type"], old.get("text"), old.get("mentions")), (&json!("edit"), None, None), "{old}");
    assert_eq!((&page[2]["text"], &page[2]["target"]), (&json!("hello all"), &json!(first)));

    b.refused(edit(first, "mine"), "forbidden").await;
    a.refused(edit(first, "  \n "), "bad_request").await;
    a.refused(edit(first, &"x".repeat(10_001)), "text_too_long").await;
    a.refused(edit(second, "a change is no message"), "not_found").await;
    a.refused(edit(third + 1, "not there yet"), "not_found").await;
    let shown = a.message(&tech(), first).await;
    assert_eq!(shown["text"], "hello all");
}

async fn a_delete_takes_everything_back(setup: Setup) {
    let (_server, alice, _, mut a, mut b) = two(setup).await;
    let first = b.say("tech", "a question").await;
    let mut answer = json!({ "type": "message", "room": "tech", "text": "a secret @bob", "reply_to": first });
    answer["mentions"] = json!(["bob"]);
    let second = a.store(answer).await;
    a.store(edit(second, "another secret")).await;
    b.store(react(second, "👍")).await;
    let original = a.message(&tech(), second).await;
    assert_eq!(original["reply_to"], first);
    let gone = a.store(delete(second)).await;
    let live = b.entry(gone).await;
    assert_eq!(fields(&live), ["from", "nonce", "room", "seq", "target", "timestamp", "type"]);
    assert_eq!(
        (&live["type"], &live["target"], &live["from"]),
        (&json!("delete"), &json!(second), &json!("alice"))
    );
    for line in [&mut a, &mut b] {
        let shown = line.message(&tech(), second).await;
        let expected = ["deleted", "from", "nonce", "room", "seq", "text", "timestamp", "type", "updated"];
        assert_eq!(fields(&shown), expected, "{shown}");
        assert_eq!(
            (&shown["deleted"], &shown["text"], &shown["updated"]),
            (&json!(true), &json!(""), &json!(gone))
        );
        for field in ["from", "nonce", "timestamp", "seq"] {
            assert_eq!(shown[field], original[field]);
        }
    }
    let page = b.history(tech()).await.to_string();
    assert!(!page.contains("secret"), "{page}");
    // Somebody who comes now reads nothing of it.
    let mut late = Line::open(&alice).await;
    let replay = late.join(&tech()).await;
    assert!(!json!(replay).to_string().contains("secret"));
    assert_eq!(seqs(&replay[1..]), (1..=gone).collect::<Vec<_>>());

    // A second deletion stores nothing.
    let again = a.ask(delete(second)).await;
    assert_eq!(
        (&again["type"], &again["seq"], &again["duplicate"]),
        (&json!("ack"), &json!(gone), &json!(true))
    );
    for change in [edit(second, "back"), react(second, "👍"), unreact(second, "👍")] {
        a.refused(change, "not_found").await;
    }
    b.refused(delete(second), "forbidden").await;
    assert_eq!(b.say("tech", "next").await, gone + 1);
}

async fn reactions_are_counted_in_their_order(setup: Setup) {
    let (server, alice, bob, mut a, mut b) = two(setup).await;
    let first = a.say("tech", "vote").await;
    let up = a.store(react(first, "👍")).await;
    let live = b.entry(up).await;
    assert_eq!(fields(&live), ["emoji", "from", "nonce", "room", "seq", "target", "timestamp", "type"]);
    assert_eq!((&live["type"], &live["emoji"]), (&json!("react"), &json!("👍")));
    b.store(react(first, "🎉")).await;
    b.store(react(first, "👍")).await;
    let shown = a.message(&tech(), first).await;
    let both = json!([
        { "emoji": "👍", "count": 2, "users": ["alice", "bob"] },
        { "emoji": "🎉", "count": 1, "users": ["bob"] }
    ]);
    assert_eq!(shown["reactions"], both);
    // It is there already.
    let again = a.ask(react(first, "👍")).await;
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(up), &json!(true)), "{again}");
    // The first ones go, and come back last.
    a.store(unreact(first, "👍")).await;
    a.refused(unreact(first, "👍"), "not_found").await;
    a.refused(unreact(first, "🎉"), "not_found").await;
    let shown = a.message(&tech(), first).await;
    assert_eq!(shown["reactions"][0], json!({ "emoji": "👍", "count": 1, "users": ["bob"] }));
    b.store(unreact(first, "👍")).await;
    a.store(react(first, "👍")).await;
    let shown = b.message(&tech(), first).await;
    assert_eq!(shown["reactions"][0]["emoji"], "🎉");
    assert_eq!(shown["reactions"][1], json!({ "emoji": "👍", "count": 1, "users": ["alice"] }));

    // Five names, and the sixth when one of them goes.
    for number in 0..6 {
        let person = server.person(&format!("voter{number}")).await;
        let mut line = Line::in_room(&person, "tech").await;
        line.store(react(first, "👍")).await;
    }
    let shown = b.message(&tech(), first).await;
    let users = json!(["alice", "voter0", "voter1", "voter2", "voter3"]);
    assert_eq!(shown["reactions"][1], json!({ "emoji": "👍", "count": 7, "users": users }));
    a.store(unreact(first, "👍")).await;
    let shown = b.message(&tech(), first).await;
    let users = json!(["voter0", "voter1", "voter2", "voter3", "voter4"]);
    assert_eq!(shown["reactions"][1], json!({ "emoji": "👍", "count": 6, "users": users }));

    // All of them.
    let path = format!("/api/reactions?room=tech&seq={first}");
    let all = bob.get(&path).await.expect_ok().json();
    let reactions = all["reactions"].as_array().unwrap();
    assert_eq!(
        (&reactions[0]["emoji"], &reactions[0]["count"], &reactions[0]["mine"]),
        (&json!("🎉"), &json!(1), &json!(true)),
        "{all}"
    );
    assert_eq!((&reactions[1]["count"], &reactions[1]["mine"]), (&json!(6), &json!(false)));
    assert_eq!(reactions[1]["users"], json!(["voter0", "voter1", "voter2", "voter3", "voter4", "voter5"]));
    assert!(all.get("next").is_none_or(Value::is_null));
    let missing = alice.get("/api/reactions?room=tech&seq=999").await;
    assert_eq!(missing.status, 404);
    let blank = alice.get("/api/reactions?seq=1").await;
    assert_eq!(blank.status, 400);

    // Twenty different emoji, and no more.
    let many = [
        "😀", "😁", "😂", "🤣", "😃", "😄", "😅", "😆", "😉", "😊", "😋", "😎", "😍", "😘", "🥰", "😗", "😙",
        "😚",
    ];
    for emoji in many {
        a.store(react(first, emoji)).await;
    }
    a.refused(react(first, "🙂"), "too_many").await;
    b.store(react(first, "😀")).await;
    b.store(unreact(first, "🎉")).await;
    a.store(react(first, "🙂")).await;
}

async fn only_one_emoji_is_a_reaction(setup: Setup) {
    if setup.shards > 1 || setup.store == Store::Postgres {
        return;
    }
    let (_server, _, _, mut a, _b) = two(setup).await;
    let first = a.say("tech", "vote").await;
    let good = [
        ("👍", "👍"),
        ("👍🏽", "👍🏽"),
        ("❤️", "❤️"),
        ("❤", "❤️"),
        ("🇷🇺", "🇷🇺"),
        ("🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"),
        ("👩‍👩‍👧‍👦", "👩‍👩‍👧‍👦"),
        ("1️⃣", "1️⃣"),
        ("🏳️‍🌈", "🏳️‍🌈"),
        ("👩🏻‍❤️‍💋‍👨🏿", "👩🏻‍❤️‍💋‍👨🏿"),
        ("☺️", "☺️"),
    ];
    for (sent, stored) in good {
        let seq = a.store(react(first, sent)).await;
        assert_eq!(a.entry(seq).await["emoji"], stored);
        if sent != stored {
            let again = a.ask(react(first, stored)).await;
            assert_eq!(again["duplicate"], true, "the same emoji");
        }
        a.store(unreact(first, sent)).await;
    }
    let bad = [
        "",
        " ",
        "a",
        "1",
        "👍👍",
        "👍 ",
        ":+1:",
        "🏽",
        "🇷",
        "🇽🇽",
        "❤︎",
        "👍\u{200d}",
        "\u{200d}",
        "\u{fe0f}",
        "👍a",
        "№",
    ];
    for emoji in bad {
        a.refused(react(first, emoji), "bad_request").await;
    }
    let long = ["👩"; 12].join("\u{200d}");
    a.refused(react(first, &long), "bad_request").await;
    a.refused(json!({ "type": "react", "room": "tech", "target": first }), "bad_request").await;
    a.refused(json!({ "type": "react", "room": "tech", "target": first, "emoji": 7 }), "bad_request").await;
}

async fn nonces_are_looked_up_first(setup: Setup) {
    let (mut server, alice, bob, mut a, mut b) = two(setup).await;
    let first = a.say("tech", "one").await;
    let second = b.say("tech", "two").await;
    let edited = a.ask_as(edit(first, "one!"), "n edit").await;
    let reacted = a.ask_as(react(second, "👍"), "n react").await;
    // It is there already: this nonce is remembered, too.
    let also = a.ask_as(react(second, "👍"), "n again").await;
    assert_eq!((&also["seq"], &also["duplicate"]), (&reacted["seq"], &json!(true)));
    a.store(unreact(second, "👍")).await;
    let deleted = b.ask_as(delete(second), "n delete").await;
    let seq = |answer: &Value| answer["seq"].as_u64().unwrap();
    let check = async |a: &mut Line, b: &mut Line| {
        // Whatever the frame says, and although the message is deleted by now.
        let cases = [
            ("n edit", edit(second, "mine"), &edited),
            ("n edit", json!({ "type": "message", "room": "tech", "text": "x" }), &edited),
            ("n react", react(second, "👍"), &reacted),
            ("n again", react(second, "👍"), &reacted),
            ("n again", delete(999), &reacted),
        ];
        for (nonce, frame, first) in cases {
            let answer = a.ask_as(frame.clone(), nonce).await;
            assert_eq!(
                (&answer["type"], &answer["duplicate"]),
                (&json!("ack"), &json!(true)),
                "{nonce} {frame} {answer}"
            );
            assert_eq!(seq(&answer), seq(first), "{nonce} {frame}");
        }
        let answer = b.ask_as(delete(second), "n delete").await;
        assert_eq!((seq(&answer), &answer["duplicate"]), (seq(&deleted), &json!(true)));
        // The nonce of the deleted message itself stays.
        let answer = b.ask_as(json!({ "type": "message", "room": "tech", "text": "two" }), "bob 1").await;
        assert_eq!((seq(&answer), &answer["duplicate"]), (second, &json!(true)));
    };
    check(&mut a, &mut b).await;
    // Errors leave the nonce unused.
    let answer = a.ask_as(edit(second, "x"), "n error").await;
    assert_eq!(answer["code"], "not_found");
    let answer = a.ask_as(edit(first, "one?"), "n error").await;
    assert_eq!(answer["duplicate"], false, "{answer}");
    if setup.store != Store::Memory {
        server.kill_and_restart().await;
        let mut a = Line::in_room(&alice.on(server.address), "tech").await;
        let mut b = Line::in_room(&bob.on(server.address), "tech").await;
        check(&mut a, &mut b).await;
        assert_eq!(a.message(&tech(), first).await["text"], "one?");
        assert_eq!(a.message(&tech(), second).await["deleted"], true);
    }
}

async fn a_reply_names_an_earlier_message(setup: Setup) {
    let (_server, _, _, mut a, mut b) = two(setup).await;
    let reply =
        |target: Value| json!({ "type": "message", "room": "tech", "text": "yes", "reply_to": target });
    let first = a.say("tech", "tea?").await;
    let second = b.store(reply(json!(first))).await;
    assert_eq!(a.entry(second).await["reply_to"], first);
    assert_eq!(a.message(&tech(), second).await["reply_to"], first);
    let changed = b.store(react(first, "☕")).await;
    // Left out: itself, a later number, a change, nothing.
    for target in [changed + 1, changed + 2, changed, 0] {
        let answer = b.ask(reply(json!(target))).await;
        if target == 0 && answer["type"] == "error" {
            assert_eq!(answer["code"], "bad_request");
            continue;
        }
        let seq = answer["seq"].as_u64().unwrap_or_else(|| panic!("{target} {answer}"));
        assert_eq!(a.entry(seq).await.get("reply_to"), None, "{target}");
    }
    // Kept: a deleted one.
    a.store(delete(first)).await;
    let late = b.store(reply(json!(first))).await;
    assert_eq!(a.entry(late).await["reply_to"], first);
    b.refused(reply(json!("x")), "bad_request").await;
    // An edit keeps it.
    b.store(edit(late, "yes!")).await;
    assert_eq!(a.message(&tech(), late).await["reply_to"], first);
}

async fn a_replay_shows_states_and_changes(setup: Setup) {
    let (_server, alice, _, mut a, mut b) = two(setup).await;
    let first = a.say("tech", "one").await;
    let second = b.say("tech", "two").await;
    let since = second;
    let e1 = a.store(edit(first, "one!")).await;
    let e2 = a.store(edit(first, "one!!")).await;
    let r = a.store(react(second, "👍")).await;
    let third = a.say("tech", "three").await;
    let d = b.store(delete(second)).await;
    let epoch = {
        let mut line = Line::open(&alice).await;
        let replay = line.join(&tech()).await;
        assert_eq!(seqs(&replay[1..]), [first, second, e1, e2, r, third, d]);
        assert_eq!((&replay[1]["text"], &replay[1]["updated"]), (&json!("one!!"), &json!(e2)));
        assert_eq!((&replay[2]["deleted"], &replay[2]["updated"]), (&json!(true), &json!(d)));
        assert_eq!((replay[3].get("text"), &replay[4]["text"]), (None, &json!("one!!")));
        replay[0]["epoch"].clone()
    };
    let mut line = Line::open(&alice).await;
    let replay = line.join(&json!({ "room": "tech", "since": since, "epoch": epoch })).await;
    assert_eq!(replay[0]["recovered"], true);
    assert_eq!(seqs(&replay[1..]), [e1, e2, r, third, d]);
    b.refused(edit(third, "not mine"), "forbidden").await;
}

async fn a_folded_join_brings_messages_only(setup: Setup) {
    let (_server, alice, _, mut a, mut b) = two(setup).await;
    let mut messages = Vec::new();
    for number in 0..6 {
        messages.push(a.say("tech", &format!("message {number}")).await);
        b.store(react(messages[number], "👍")).await;
    }
    b.store(react(messages[0], "🎉")).await;
    let last = a.store(edit(messages[1], "message 1, edited")).await;
    for limit in [0, 1, 3, 50, 6] {
        let mut line = Line::open(&alice).await;
        let replay = line.join(&json!({ "room": "tech", "fold": true, "limit": limit })).await;
        let (joined, rest) = (&replay[0], &replay[1..replay.len() - 1]);
        let expected: Vec<u64> = messages.iter().copied().rev().take(limit).rev().collect();
        assert_eq!(seqs(rest), expected, "limit {limit}");
        assert!(rest.iter().all(|frame| frame["type"] == "message"));
        assert_eq!(joined["seq"], last);
        let from = joined["from"].as_u64().unwrap();
        match expected.first() {
            Some(first) => assert!(from <= *first && from >= 1, "limit {limit}: {joined}"),
            None => assert_eq!(from, last + 1),
        }
        let replayed = replay.last().unwrap();
        assert_eq!((&replayed["type"], &replayed["upto"]), (&json!("replayed"), &json!(last)));
        if let Some(second) = rest.iter().find(|frame| frame["seq"] == messages[1]) {
            assert_eq!((&second["text"], &second["updated"]), (&json!("message 1, edited"), &json!(last)));
        }
        if limit == 6 {
            assert_eq!(rest[0]["reactions"].as_array().unwrap().len(), 2);
            // The page before meets it exactly.
            let page = line.history(json!({ "room": "tech", "before": from, "fold": true })).await;
            assert_eq!((&page["upto"], page["messages"].as_array().unwrap().len()), (&json!(from - 1), 0));
            // Live entries follow the replay.
            let next = a.say("tech", "live").await;
            assert_eq!(next, last + 1);
            assert_eq!(line.entry(next).await["text"], "live");
            break;
        }
    }
    // A resume is dense.
    let mut line = Line::open(&alice).await;
    let replay = line.join(&json!({ "room": "tech", "fold": true, "since": 1, "epoch": "x" })).await;
    assert_eq!(replay[0]["code"], "bad_request");
}

async fn folded_pages_meet(setup: Setup) {
    let (_server, _, _, mut a, mut b) = two(setup).await;
    let mut messages = Vec::new();
    for number in 0..25_usize {
        messages.push(a.say("tech", &format!("message {number}")).await);
        for emoji in ["👍", "🎉", "😀"].iter().take(number % 4) {
            b.store(react(messages[number], emoji)).await;
        }
    }
    let top = b.store(react(messages[3], "😎")).await;
    // Backwards.
    let (mut before, mut found, mut upto) = (None, Vec::new(), top);
    loop {
        let mut request = json!({ "room": "tech", "fold": true, "limit": 4 });
        if let Some(before) = before {
            request["before"] = json!(before);
        }
        let page = a.history(request).await;
        let entries = page["messages"].as_array().unwrap();
        assert_eq!(page["upto"], upto, "{page}");
        let from = page["from"].as_u64().unwrap();
        assert!(entries.iter().all(|entry| entry["type"] == "message"), "{page}");
        let numbers = seqs(entries);
        assert!(numbers.iter().all(|seq| (from..=upto).contains(seq)), "{page}");
        assert!(numbers.len() == 4 || page["has_more"] == false, "{page}");
        found.splice(0..0, numbers);
        if page["has_more"] == false {
            break;
        }
        (before, upto) = (Some(from), from - 1);
    }
    assert_eq!(found, messages);
    // Forwards.
    let (mut after, mut found) = (0, Vec::new());
    loop {
        let page = a.history(json!({ "room": "tech", "after": after, "fold": true, "limit": 7 })).await;
        assert_eq!(page["from"], after + 1, "{page}");
        found.extend(seqs(page["messages"].as_array().unwrap()));
        after = page["upto"].as_u64().unwrap();
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!((found, after), (messages.clone(), top));
    // Dense pages have every number.
    let (mut after, mut found) = (0, Vec::new());
    loop {
        let page = a.history(json!({ "room": "tech", "after": after, "limit": 10 })).await;
        let numbers = seqs(page["messages"].as_array().unwrap());
        assert!(numbers.len() == 10 || page["has_more"] == false);
        after = *numbers.last().unwrap();
        found.extend(numbers);
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(found, (1..=top).collect::<Vec<_>>());
}

async fn around_and_seqs(setup: Setup) {
    let (_server, _, _, mut a, mut b) = two(setup).await;
    let mut messages = Vec::new();
    for number in 0..12_usize {
        messages.push(a.say("tech", &format!("message {number}")).await);
        b.store(react(messages[number], "👍")).await;
    }
    let around =
        |seq: u64, limit: usize| json!({ "room": "tech", "around": seq, "limit": limit, "fold": true });
    let page = a.history(around(messages[6], 5)).await;
    assert_eq!(seqs(page["messages"].as_array().unwrap()), messages[4..9]);
    assert_eq!((&page["has_more_before"], &page["has_more_after"]), (&json!(true), &json!(true)), "{page}");
    // A number between two messages.
    let page = a.history(around(messages[6] + 1, 4)).await;
    assert_eq!(seqs(page["messages"].as_array().unwrap()), messages[5..9]);
    // No refilling at the ends.
    let page = a.history(around(messages[1], 6)).await;
    assert_eq!(seqs(page["messages"].as_array().unwrap()), messages[0..4]);
    assert_eq!((&page["has_more_before"], &page["has_more_after"]), (&json!(false), &json!(true)));
    let page = a.history(around(messages[11], 6)).await;
    assert_eq!(seqs(page["messages"].as_array().unwrap()), messages[8..12]);
    assert_eq!((&page["has_more_before"], &page["has_more_after"]), (&json!(true), &json!(false)));

    b.refused(edit(messages[2], "x"), "forbidden").await;
    a.store(delete(messages[2])).await;
    let wanted = json!([messages[5], 2, messages[2], 999, messages[5]]);
    let page = a.history(json!({ "room": "tech", "seqs": wanted })).await;
    let entries = page["messages"].as_array().unwrap();
    assert_eq!(seqs(entries), [messages[2], messages[5]]);
    assert_eq!((&entries[0]["deleted"], &entries[1]["text"]), (&json!(true), &json!("message 5")));
    let many: Vec<u64> = (1..=51).collect();
    for wrong in [
        json!({ "room": "tech", "seqs": many }),
        json!({ "room": "tech", "seqs": [1], "before": 3 }),
        json!({ "room": "tech", "around": 3, "after": 1 }),
        json!({ "room": "tech", "around": -1 }),
        json!({ "room": "tech", "seqs": ["1"] }),
        json!({ "room": "tech", "fold": "yes" }),
        json!({ "room": "tech", "limit": 101 }),
    ] {
        let answer = a.history(wrong.clone()).await;
        assert_eq!(answer["code"], "bad_request", "{wrong} {answer}");
    }
}

async fn v1_sees_the_newest_texts(setup: Setup) {
    let (server, alice, _, mut a, mut b) = two(setup).await;
    let (_, mut old) = server.in_room("carol", "tech").await;
    let first = a.say("tech", "first").await;
    let second = a.say("tech", "second").await;
    let third = b.say("tech", "third").await;
    a.store(edit(first, "first, edited")).await;
    a.store(delete(second)).await;
    for emoji in ["👍", "🎉"] {
        b.store(react(third, emoji)).await;
    }
    a.say("tech", "end").await;
    // Nothing of changes live.
    let mut texts = Vec::new();
    while texts.last().is_none_or(|last| last != "end") {
        let frame = old.next_message().await;
        texts.push(frame["text"].as_str().unwrap().to_owned());
    }
    assert_eq!(texts, ["first", "second", "third", "end"]);
    let again = alice.enter("tech").await;
    let texts: Vec<&str> = again.replay.iter().filter_map(|frame| frame["text"].as_str()).collect();
    assert_eq!(texts, ["first, edited", "third", "end"]);
    // The newest 50 messages, however many changes there are.
    for number in 0..50 {
        let seq = a.say("tech", &format!("later {number}")).await;
        b.store(react(seq, "👍")).await;
    }
    let again = alice.enter("tech").await;
    let texts: Vec<&str> = again.replay.iter().filter_map(|frame| frame["text"].as_str()).collect();
    assert_eq!(texts.len(), 50);
    assert_eq!((texts[0], texts[49]), ("later 0", "later 49"));
}

async fn pairs_have_changes_too(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (alice, bob, eve) =
        (server.person("alice").await, server.person("bob").await, server.person("eve").await);
    let (mut a, mut a2, mut b) = (Line::open(&alice).await, Line::open(&alice).await, Line::open(&bob).await);
    let mut e = Line::open(&eve).await;
    let first = a.store(json!({ "type": "private", "to": "bob", "text": "psst" })).await;
    let second =
        b.store(json!({ "type": "private", "to": "alice", "text": "what", "reply_to": first })).await;
    let live = a.entry(second).await;
    assert_eq!((&live["reply_to"], &live["to"]), (&json!(first), &json!("alice")));
    let edited = a
        .store(json!({ "type": "edit", "to": "bob", "target": first, "text": "psst!", "mentions": ["bob"] }))
        .await;
    for line in [&mut a, &mut a2, &mut b] {
        let live = line.entry(edited).await;
        assert_eq!(fields(&live), ["from", "nonce", "seq", "target", "text", "timestamp", "to", "type"]);
        assert_eq!(
            (&live["from"], &live["to"], &live["text"]),
            (&json!("alice"), &json!("bob"), &json!("psst!"))
        );
    }
    let reacted = b.store(json!({ "type": "react", "to": "alice", "target": first, "emoji": "🤫" })).await;
    let live = a2.entry(reacted).await;
    assert_eq!((&live["from"], &live["to"], &live["emoji"]), (&json!("bob"), &json!("alice"), &json!("🤫")));
    // Only the author deletes; the numbers of a pair mean nothing to others.
    b.refused(json!({ "type": "delete", "to": "alice", "target": first }), "forbidden").await;
    e.refused(json!({ "type": "react", "to": "alice", "target": first, "emoji": "🤫" }), "not_found").await;
    e.refused(json!({ "type": "delete", "to": "nobody", "target": first }), "not_found").await;
    let with = json!({ "with": "bob" });
    let shown = a.message(&with, first).await;
    assert_eq!(
        (&shown["type"], &shown["text"], &shown["updated"]),
        (&json!("private"), &json!("psst!"), &json!(reacted))
    );
    assert_eq!(shown["reactions"], json!([{ "emoji": "🤫", "count": 1, "users": ["bob"] }]));
    let all = alice.get(&format!("/api/reactions?with=bob&seq={first}")).await.expect_ok().json();
    assert_eq!(
        (&all["reactions"][0]["users"], &all["reactions"][0]["mine"]),
        (&json!(["bob"]), &json!(false))
    );
    let gone = a.store(json!({ "type": "delete", "to": "bob", "target": first })).await;
    assert_eq!(b.entry(gone).await["type"], "delete");
    let page = b.history(json!({ "with": "alice", "fold": true })).await;
    assert_eq!((&page["from"], &page["upto"]), (&json!(first), &json!(gone)), "{page}");
    let entries = page["messages"].as_array().unwrap();
    assert_eq!((seqs(entries), &entries[0]["deleted"]), (vec![first, second], &json!(true)));
}

async fn call(person: &Person, method: &'static str, path: &str, body: &Value) -> Answer {
    let request = Request::new(method, path).header("Cookie", &person.cookie);
    let request = if body.is_null() { request } else { request.json(body) };
    request.send(person.server).await
}

async fn who_may_do_what(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (alice, bob, carol) =
        (server.person("alice").await, server.person("bob").await, server.person("carol").await);
    let room = json!({ "title": "Kitchen", "name": "kitchen", "members": ["bob"] });
    assert_eq!(call(&alice, "POST", "/api/rooms", &room).await.status, 201);
    let (mut a, mut b) = (Line::in_room(&alice, "kitchen").await, Line::in_room(&bob, "kitchen").await);
    let mut c = Line::open(&carol).await;
    let on = |kind: &str, target: u64| json!({ "type": kind, "room": "kitchen", "target": target });
    let with = |mut frame: Value, field: &str, value: &str| {
        frame[field] = json!(value);
        frame
    };
    let ours = b.say("kitchen", "from bob").await;
    c.refused(on("delete", ours), "not_joined").await;
    c.join(&json!({ "room": "kitchen" })).await;
    // An open room: anybody reacts, nobody else edits or deletes.
    c.store(with(on("react", ours), "emoji", "👍")).await;
    c.refused(with(on("edit", ours), "text", "x"), "forbidden").await;
    c.refused(on("delete", ours), "forbidden").await;
    // A change makes nobody a member.
    let members = call(&alice, "GET", "/api/rooms/kitchen/members", &Value::Null).await.json().to_string();
    assert!(!members.contains("carol"), "{members}");
    // A moderator deletes, and does not edit.
    a.refused(with(on("edit", ours), "text", "x"), "forbidden").await;
    a.store(on("delete", ours)).await;
    let mine = b.say("kitchen", "again").await;
    let archived = call(&alice, "PATCH", "/api/rooms/kitchen", &json!({ "archived": true })).await;
    assert_eq!(archived.status, 200);
    b.refused(with(on("react", mine), "emoji", "👍"), "forbidden").await;
    b.refused(with(on("edit", mine), "text", "x"), "forbidden").await;
    c.refused(on("delete", mine), "forbidden").await;
    b.store(on("delete", mine)).await;
}

async fn deleted_messages_are_not_unread(setup: Setup) {
    let (_server, alice, bob, mut a, mut b) = two(setup).await;
    b.say("tech", "a member").await;
    let mut numbers = Vec::new();
    for number in 0..3 {
        let text = format!("for @bob {number}");
        let message = json!({ "type": "message", "room": "tech", "text": text, "mentions": ["bob"] });
        numbers.push(a.store(message).await);
    }
    let unread = async |person: &Person| {
        let (_socket, hello) = person.open_v2().await;
        let room =
            hello["rooms"].as_array().unwrap().iter().find(|room| room["room"] == "tech").cloned().unwrap();
        (room["unread"].as_u64().unwrap(), room["mentions"].as_u64().unwrap())
    };
    assert_eq!(unread(&bob).await, (3, 3));
    a.store(delete(numbers[1])).await;
    a.store(edit(numbers[2], "nobody")).await;
    a.store(react(numbers[0], "👍")).await;
    assert_eq!(unread(&bob).await, (2, 1));
    assert_eq!(unread(&alice).await, (0, 0));
}

async fn wrong_changes_are_refused(setup: Setup) {
    let (_server, _, _, mut a, _b) = two(setup).await;
    let first = a.say("tech", "one").await;
    let room = |frame: Value| {
        let mut frame = frame;
        frame["room"] = json!("tech");
        frame
    };
    for wrong in [
        json!({ "type": "edit", "target": first, "text": "x" }),
        json!({ "type": "edit", "room": "tech", "to": "bob", "target": first, "text": "x" }),
        room(json!({ "type": "edit", "target": first })),
        room(json!({ "type": "edit", "text": "x" })),
        room(json!({ "type": "edit", "target": "1", "text": "x" })),
        room(json!({ "type": "edit", "target": -1, "text": "x" })),
        room(json!({ "type": "edit", "target": 1.5, "text": "x" })),
        room(json!({ "type": "edit", "target": first, "text": "x", "mentions": "bob" })),
        room(json!({ "type": "delete" })),
        room(json!({ "type": "react", "target": first, "emoji": null })),
        json!({ "type": "delete", "room": 7, "target": first }),
    ] {
        a.refused(wrong, "bad_request").await;
    }
    let many: Vec<String> = (0..21).map(|number| format!("user{number}")).collect();
    a.refused(room(json!({ "type": "edit", "target": first, "text": "x", "mentions": many })), "bad_request")
        .await;
    a.refused(json!({ "type": "delete", "room": "elsewhere", "target": 1 }), "not_joined").await;
    a.socket.send(&json!({ "type": "delete", "room": "tech", "target": first })).await;
    let answer = loop {
        let frame = a.socket.next().await;
        if frame["type"] == "error" {
            break frame;
        }
    };
    assert_eq!(answer["code"], "bad_request", "a nonce is missing");
    assert_eq!(a.message(&tech(), first).await["text"], "one");
}
