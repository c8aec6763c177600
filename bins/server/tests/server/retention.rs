//! Old messages are deleted, and connected clients do not notice.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::common::{Person, Setup, Socket, Store, TestServer};
use chat_core::{Body, Draft, DraftId, MessageText, Nonce, Outcome, Pair, RoomName, Topic, Username};
use chat_store::Stores;
use serde_json::{Value, json};

const HOUR_MS: u64 = 3_600_000;

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Stores messages of alice with an older timestamp.
async fn store_messages(stores: &Stores, topic: Topic, nonces: impl Iterator<Item = String>, at_ms: u64) {
    let drafts: Vec<Draft> = nonces
        .map(|nonce| Draft {
            id: DraftId(0),
            topic: topic.clone(),
            from: Username::known("alice").unwrap(),
            room: None,
            body: Body::message(MessageText::parse(&nonce, 100).unwrap()),
            files: Vec::new(),
            nonce: Nonce::parse(&nonce),
            check: false,
            may_administer: true,
            by_server: false,
            refused: None,
            rules: chat_core::ChangeRules::default(),
        })
        .collect();
    let commit = stores.log.append(&drafts, at_ms).await.unwrap();
    assert!(commit.receipts.iter().all(|receipt| matches!(receipt.outcome, Outcome::Stored { .. })));
}

fn room(name: &str) -> Topic {
    Topic::Room(RoomName::parse(name).unwrap())
}

/// Asks for a history until it begins with that number.
async fn until_first(socket: &mut Socket, about: (&str, &str), first: u64) -> Value {
    loop {
        socket.send(&json!({ "type": "history", about.0: about.1, "after": 0, "limit": 3 })).await;
        let page = loop {
            let frame = socket.next().await;
            if frame["type"] == "history" {
                break frame;
            }
        };
        let oldest = page["first"].as_u64().unwrap();
        assert!(oldest <= first, "{page}");
        if oldest == first {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn resume(person: &Person, room: &str, since: u64, epoch: &Value) -> Value {
    let (mut socket, _) = person.open_v2().await;
    socket.send(&json!({ "type": "join", "room": room, "since": since, "epoch": epoch })).await;
    socket.next_of("joined").await["recovered"].clone()
}

async fn ack(socket: &mut Socket, room: &str, nonce: &str) -> Value {
    socket.post(room, nonce, nonce).await;
    socket.until_answered(nonce).await.pop().unwrap()
}

async fn old_messages_are_deleted_and_connected_clients_do_not_notice(setup: Setup) {
    let flags = ["--retention-entries", "40", "--retention-days", "5", "--retention-check-seconds", "2"];
    let mut server = TestServer::start_with(setup, &flags).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    assert!(server.terminate().await.success());
    let now = now_ms();
    let numbered = |prefix: &'static str, count: u64| (1..=count).map(move |n| format!("{prefix}{n}"));
    let stores = Stores::open(&server.database()).await.unwrap();
    store_messages(&stores, room("tech"), numbered("old", 10), now - 8 * 24 * HOUR_MS).await;
    store_messages(&stores, room("tech"), numbered("n", 90), now - HOUR_MS).await;
    store_messages(&stores, room("games"), numbered("g", 7), now - 6 * 24 * HOUR_MS).await;
    let pair = Pair::new(Username::known("alice").unwrap(), Username::known("bob").unwrap());
    store_messages(&stores, Topic::Pair(pair), numbered("p", 50), now - HOUR_MS).await;
    stores.close().await;
    server.restart().await;

    let (alice, bob) = (alice.on(server.address), bob.on(server.address));
    let mut live = bob.enter_v2("tech").await;
    let epoch = live.replay[0]["epoch"].clone();
    let mut v1 = bob.enter("tech").await;
    let mut socket = alice.enter_v2("tech").await;
    let page = until_first(&mut socket, ("room", "tech"), 61).await;
    assert_eq!(page["messages"][0]["seq"], 61, "{page}");
    assert_eq!(until_first(&mut socket, ("with", "bob"), 11).await["messages"][0]["text"], "p11");
    // With each new message an old one is deleted.
    for n in 1..=10 {
        assert_eq!(ack(&mut socket, "tech", &format!("new{n}")).await["seq"], 100 + n);
    }
    until_first(&mut socket, ("room", "tech"), 71).await;
    assert_eq!(resume(&alice, "tech", 10, &epoch).await, false);
    assert_eq!(resume(&alice, "tech", 69, &epoch).await, false);
    assert_eq!(resume(&alice, "tech", 70, &epoch).await, true);
    assert_eq!(resume(&alice, "tech", 110, &epoch).await, true);
    // The connected clients have received all of them.
    for n in 1..=10 {
        let frame = live.next_of("message").await;
        assert_eq!((&frame["seq"], &frame["text"]), (&json!(100 + n), &json!(format!("new{n}"))));
        v1.expect("alice", &format!("new{n}")).await;
    }

    // A retry is recognised although its message is deleted, but not for ever.
    for (nonce, seq) in [("n1", 11), ("n50", 60), ("n90", 100)] {
        let ack = ack(&mut socket, "tech", nonce).await;
        assert_eq!((&ack["seq"], &ack["duplicate"]), (&json!(seq), &json!(true)), "{ack}");
    }
    let again = ack(&mut socket, "tech", "old1").await;
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(111), &json!(false)), "{again}");

    // A room without messages keeps its numbering.
    let mut games = alice.open_v2().await.0;
    games.send(&json!({ "type": "join", "room": "games" })).await;
    assert_eq!(games.next_of("joined").await["seq"], 7);
    until_first(&mut games, ("room", "games"), 8).await;
    assert_eq!(ack(&mut games, "games", "next").await["seq"], 8);
    let metrics = String::from_utf8(server.get("/metrics").await.body).unwrap();
    let trimmed = metrics.lines().find_map(|line| line.strip_prefix("chat_trimmed_total "));
    // 70, and one for "old1", in the room, 10 in private, 7 in the other one.
    let trimmed: u64 = trimmed.unwrap().parse().unwrap();
    assert!((87..=88).contains(&trimmed), "{trimmed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_messages_are_deleted_from_sqlite() {
    for shards in [1, 3] {
        old_messages_are_deleted_and_connected_clients_do_not_notice(Setup { store: Store::Sqlite, shards })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_messages_are_deleted_from_postgres() {
    if Store::Postgres.is_here() {
        old_messages_are_deleted_and_connected_clients_do_not_notice(Setup {
            store: Store::Postgres,
            shards: 2,
        })
        .await;
    }
}

#[tokio::test]
async fn without_the_settings_everything_stays() {
    let setup = Setup { store: Store::Sqlite, shards: 1 };
    let mut server = TestServer::start_with(setup, &["--retention-check-seconds", "1"]).await;
    let alice = server.person("alice").await;
    assert!(server.terminate().await.success());
    let stores = Stores::open(&server.database()).await.unwrap();
    store_messages(&stores, room("tech"), (1..=20).map(|n| format!("{n}")), 1).await;
    stores.close().await;
    server.restart().await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut socket = alice.on(server.address).enter_v2("tech").await;
    until_first(&mut socket, ("room", "tech"), 1).await;
}
