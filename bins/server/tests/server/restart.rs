//! Messages survive a stop and a `kill -9` of the server.

use std::time::Duration;

use crate::common::{Person, Setup, Socket, Store, TestServer};
use chat_core::{PageFrom, PageLimits, Pair, RoomName, Topic, Username};
use chat_store::Stores;
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

const SETUPS: [Setup; 3] = [
    Setup { store: Store::Sqlite, shards: 1 },
    Setup { store: Store::Sqlite, shards: 3 },
    Setup { store: Store::Postgres, shards: 2 },
];

/// The setups that this machine can run.
fn setups() -> impl Iterator<Item = Setup> {
    SETUPS.into_iter().filter(|setup| setup.store.is_here())
}

#[tokio::test]
async fn a_room_is_as_it_was_after_a_restart() {
    for setup in setups() {
        let mut server = TestServer::start(setup).await;
        let (alice, mut socket) = server.in_room("Алиса", "кухня").await;
        let mut sent = Vec::new();
        for number in 0..60 {
            let text = format!("№{number} 👩‍💻 مرحبا");
            socket.say(&text).await;
            sent.push(socket.next_message().await);
        }
        assert!(server.terminate().await.success());
        server.restart().await;

        // The account, the cookie of the session and the last 50 messages with
        // their timestamps are still there.
        let alice = alice.on(server.address);
        assert_eq!(alice.get("/api/me").await.expect_ok().json()["username"], "Алиса");
        let again = alice.sign_in().await.enter("кухня").await;
        assert_eq!(again.replay, sent[10..]);
        let empty = alice.enter("другая").await;
        assert!(empty.replay.is_empty());
    }
}

#[tokio::test]
async fn a_session_that_was_ended_stays_ended() {
    let mut server = TestServer::start(SETUPS[0]).await;
    let alice = server.person("alice").await;
    alice.post("/api/logout").await.expect_ok();
    server.kill_and_restart().await;
    assert_eq!(alice.on(server.address).get("/api/me").await.error(), "invalid token");
}

/// Users talk in two rooms and in private while the server is killed several
/// times. Each message that a user had received is in the log once, in the order
/// in which they received it.
#[tokio::test]
async fn received_messages_survive_kill_9() {
    for setup in setups() {
        let mut server = TestServer::start_with(setup, &["--message-rate", "off"]).await;
        let mut people = Vec::new();
        for name in ["alice", "bob", "carol", "dave"] {
            people.push(server.person(name).await);
        }
        let mut seen: Vec<Vec<Value>> = Vec::new();
        for round in 0..5 {
            let mut talking = Vec::new();
            for (number, person) in people.iter().enumerate() {
                let person = person.on(server.address);
                // Before the kill's time begins: a slow machine may need longer for it.
                let socket = person.enter(["one", "two"][number % 2]).await;
                talking.push(tokio::spawn(talk(person, socket, round)));
            }
            // Each kill comes at another moment.
            tokio::time::sleep(Duration::from_millis(150 + 37 * round)).await;
            server.kill_and_restart().await;
            for talk in talking {
                seen.push(talk.await.unwrap());
            }
        }
        assert!(server.terminate().await.success());
        assert!(seen.iter().map(Vec::len).sum::<usize>() > 500, "too few messages");
        check_against_the_log(&server, &seen).await;
    }
}

/// Talks until the connection is lost; returns every received message.
async fn talk(person: Person, mut socket: Socket, round: u64) -> Vec<Value> {
    // Replayed messages count as received, too.
    let mut seen = std::mem::take(&mut socket.replay);
    let mut sent = 0;
    loop {
        // At most 8 messages are unanswered.
        while sent < 8 + seen.iter().filter(|frame| frame["from"] == person.name.as_str()).count() {
            let text = format!("{} {round} {sent}", person.name);
            let frame = match sent % 5 {
                4 => json!({ "to": "alice", "text": text }),
                _ => json!({ "text": text }),
            };
            sent += 1;
            if socket.stream.send(Message::text(frame.to_string())).await.is_err() {
                return seen;
            }
        }
        match socket.next_or_close().await {
            Ok(frame) if frame["type"] == "system" => {}
            Ok(frame) => seen.push(frame),
            Err(_) => return seen,
        }
    }
}

async fn check_against_the_log(server: &TestServer, seen: &[Vec<Value>]) {
    let stores = Stores::open(&server.database()).await.unwrap();
    let user = |name| Username::known(name).unwrap();
    let mut topics: Vec<Topic> =
        ["one", "two"].into_iter().map(|room| Topic::Room(RoomName::parse(room).unwrap())).collect();
    for name in ["alice", "bob", "carol", "dave"] {
        topics.push(Topic::Pair(Pair::new(user("alice"), user(name))));
    }
    for topic in topics {
        let limits = PageLimits { entries: usize::MAX >> 1, bytes: usize::MAX >> 1 };
        let page = stores.log.page(&topic, PageFrom::After(0), limits).await.unwrap();
        let stored: Vec<&str> = page.entries.iter().map(|entry| entry.body.text()).collect();
        for (entry, seq) in page.entries.iter().zip(1..) {
            assert_eq!(entry.seq, seq);
        }
        for frames in seen {
            let mine = frames.iter().filter(|frame| is_in(&topic, frame));
            let positions: Vec<usize> = mine
                .map(|frame| {
                    let text = frame["text"].as_str().unwrap();
                    let mut positions = stored.iter().enumerate().filter(|(_, stored)| **stored == text);
                    let (position, _) =
                        positions.next().unwrap_or_else(|| panic!("lost: {text:?} in {topic:?}"));
                    assert!(positions.next().is_none(), "stored twice: {text:?}");
                    position
                })
                .collect();
            for pair in positions.windows(2) {
                assert_eq!(pair[1], pair[0] + 1, "a gap, a duplicate or another order in {topic:?}");
            }
        }
    }
    stores.close().await;
}

fn is_in(topic: &Topic, frame: &Value) -> bool {
    let text = |field: &str| frame[field].as_str().unwrap_or_default().to_owned();
    match topic {
        Topic::Room(room) => frame["type"] == "message" && frame["room"] == room.as_str(),
        Topic::Pair(pair) => {
            let (low, high) = (pair.low().as_str(), pair.high().as_str());
            let (from, to) = (text("from"), text("to"));
            frame["type"] == "private" && (from == low && to == high || from == high && to == low)
        }
    }
}
