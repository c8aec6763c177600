//! Who reacted to a message.

use serde_json::{Value, json};

use crate::harness::Chat;
use crate::rooms::encoded;
use crate::wire::Wire;

/// A socket that has joined the room `tech`.
async fn joined(chat: &Chat, cookie: &str) -> Wire {
    let mut socket = Wire::open_v2(chat, cookie).await;
    socket.send(&json!({"type": "join", "room": "tech"})).await;
    socket.next_of("joined").await;
    socket
}

/// Sends a frame with a new nonce, and waits for its acknowledgement.
async fn acknowledged(socket: &mut Wire, mut frame: Value) {
    frame["nonce"] = json!(format!("{:016x}", rand::random::<u64>()));
    socket.send(&frame).await;
    assert_eq!(socket.next_of("ack").await["nonce"], frame["nonce"]);
}

fn react(place: &Value, target: u64, emoji: &str) -> Value {
    let mut frame = place.clone();
    frame["type"] = json!("react");
    frame["target"] = json!(target);
    frame["emoji"] = json!(emoji);
    frame
}

/// The reactions in an answer in short (`❤ 2 mine: alice bob`), and its `next`.
async fn listed(chat: &Chat, query: &str, cookie: &str) -> (Vec<String>, Option<String>) {
    let reply = chat.get(&format!("/api/reactions?{query}"), cookie).await;
    assert_eq!(reply.status, 200, "{query}: {reply:?}");
    let list = reply.json();
    let short = |reaction: &Value| {
        let users: Vec<&str> =
            reaction["users"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let mine = if reaction["mine"] == true { " mine" } else { "" };
        format!("{} {}{mine}: {}", reaction["emoji"].as_str().unwrap(), reaction["count"], users.join(" "))
    };
    let reactions = list["reactions"].as_array().unwrap().iter().map(short).collect();
    (reactions, list["next"].as_str().map(str::to_owned))
}

#[tokio::test]
async fn reactions_are_listed_with_their_users() {
    let chat = Chat::start().await;
    let mut people = Vec::new();
    for name in ["alice", "bob", "carol"] {
        let cookie = chat.sign_in(name).await;
        let socket = joined(&chat, &cookie).await;
        people.push((cookie, socket));
    }
    let room = json!({"room": "tech"});
    let message = json!({"type": "message", "room": "tech", "text": "hi"});
    acknowledged(&mut people[0].1, message).await;
    for (person, emoji) in [(1, "❤"), (0, "👍"), (2, "❤")] {
        acknowledged(&mut people[person].1, react(&room, 1, emoji)).await;
    }
    let both =
        |mine: &str, other: &str| [format!("❤\u{FE0F} 2{mine}: bob carol"), format!("👍 1{other}: alice")];
    assert_eq!(listed(&chat, "room=tech&seq=1", &people[1].0).await.0, both(" mine", ""));
    assert_eq!(listed(&chat, "room=tech&seq=1", &people[0].0).await.0, both("", " mine"));
    for (emoji, expected) in [("👍", &["👍 1 mine: alice"][..]), ("🎉", &[])] {
        let query = format!("room=tech&seq=1&emoji={}", encoded(emoji));
        assert_eq!(
            listed(&chat, &query, &people[0].0).await,
            (expected.iter().map(|&s| s.to_owned()).collect(), None)
        );
    }
    // In a private conversation, and not for others.
    acknowledged(&mut people[0].1, json!({"type": "private", "to": "bob", "text": "hi"})).await;
    acknowledged(&mut people[1].1, react(&json!({"to": "alice"}), 1, "👍")).await;
    assert_eq!(listed(&chat, "with=bob&seq=1", &people[0].0).await.0, ["👍 1: bob"]);
    assert_eq!(listed(&chat, "with=alice&seq=1", &people[1].0).await.0, ["👍 1 mine: bob"]);
    let gone = (404, "there is no such message".to_owned());
    for query in
        ["with=bob&seq=1", "with=%00&seq=1", "room=tech&seq=9", "room=tech&seq=2", "room=other&seq=1"]
    {
        assert_eq!(
            chat.get(&format!("/api/reactions?{query}"), &people[2].0).await.refusal(),
            gone,
            "{query}"
        );
    }
    for (query, refusal) in [
        ("room=tech", "seq must be the number of a message"),
        ("seq=1", "either room or with is needed"),
        ("room=tech&seq=1&emoji=x", "not exactly one emoji"),
        ("room=tech&seq=1&after=x", "after is not the next of an earlier page"),
    ] {
        let reply = chat.get(&format!("/api/reactions?{query}"), &people[0].0).await;
        assert_eq!(reply.refusal(), (400, refusal.to_owned()));
    }
    acknowledged(&mut people[0].1, json!({"type": "delete", "room": "tech", "target": 1})).await;
    assert_eq!(chat.get("/api/reactions?room=tech&seq=1", &people[0].0).await.refusal(), gone);
    let unknown = chat.get("/api/reactions?room=~AAAAAAAAAAAAAAAAAAAAAA&seq=1", &people[0].0).await;
    assert_eq!(unknown.status, 403);
}

#[tokio::test]
async fn many_users_are_listed_in_pages() {
    use chat_core::{Body, ChangeRules, Draft, DraftId, Emoji, MessageText, RoomName, Topic, Username};
    use chat_store::EventLog as _;

    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    let draft = |from: &str, body: Body| Draft {
        id: DraftId(0),
        topic: Topic::Room(RoomName::parse("tech").unwrap()),
        from: Username::known(from).unwrap(),
        room: None,
        body,
        files: Vec::new(),
        nonce: None,
        check: false,
        may_administer: true,
        by_server: false,
        refused: None,
        rules: ChangeRules::default(),
    };
    let reaction =
        |from: &str, emoji: &str| draft(from, Body::React { target: 1, emoji: Emoji::parse(emoji).unwrap() });
    let names: Vec<String> = (0..150).map(|index| format!("user {index:03}")).collect();
    let message = draft("alice", Body::message(MessageText::parse("hi", 10).unwrap()));
    chat.store.memory.append(&[message], 1).await.unwrap();
    let hearts = names[..60].iter().map(|name| reaction(name, "❤"));
    let thumbs = names.iter().map(|name| reaction(name, "👍"));
    let drafts: Vec<Draft> = hearts.chain(thumbs).chain([reaction("alice", "🎉")]).collect();
    chat.store.memory.append(&drafts, 2).await.unwrap();

    for (query, sizes, expected) in [
        ("room=tech&seq=1".to_owned(), &[100, 100, 11][..], 211),
        (format!("room=tech&seq=1&emoji={}", encoded("👍")), &[100, 50], 150),
    ] {
        let (mut seen, mut pages, mut after) = (Vec::new(), Vec::new(), String::new());
        loop {
            let reply = chat.get(&format!("/api/reactions?{query}{after}"), &cookie).await.json();
            let mut count = 0;
            for reaction in reply["reactions"].as_array().unwrap() {
                let users = reaction["users"].as_array().unwrap();
                count += users.len();
                seen.extend(users.iter().map(|user| format!("{} {user}", reaction["emoji"])));
            }
            pages.push(count);
            match reply["next"].as_str() {
                Some(next) => after = format!("&after={}", encoded(next)),
                None => break,
            }
        }
        assert_eq!(pages, sizes, "{query}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), expected, "{query}: each user once");
    }
}
