//! All messages of a banned user are deleted, also by a server that is killed meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{Person, Setup, Store, TestServer};
use chat_core::{Body, PageFrom, PageLimits, RoomName, Topic};
use chat_store::Stores;
use serde_json::json;

const SETUPS: [Setup; 2] =
    [Setup { store: Store::Sqlite, shards: 1 }, Setup { store: Store::Postgres, shards: 2 }];

/// Messages of bob: several transactions of deletions.
const MESSAGES: u64 = 400;

#[tokio::test]
async fn a_deletion_survives_kill_9() {
    for setup in SETUPS.into_iter().filter(|setup| setup.store.is_here()) {
        let mut server = TestServer::start_with(setup, &["--message-rate", "off"]).await;
        let (alice, bob) = (server.person("alice").await, server.person("bob").await);
        let mut socket = bob.enter("default").await;
        for number in 0..MESSAGES {
            socket.say(&format!("spam {number}")).await;
        }
        let mut hers = alice.enter_v2("default").await;
        until_stored(&mut hers).await;

        let mut command = server.command();
        command.args(["user", "ban", "bob", "--delete-messages"]);
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.contains("deletes the messages in the background"), "{printed}");
        assert_eq!(socket.close_code().await, Some(4001));
        // The first deletions have come, and not the last one.
        assert_eq!(hers.next_of("delete").await["from"], "bob");
        server.kill().await;
        server.restart().await;

        let alice = alice.on(server.address);
        until_gone(&alice).await;
        assert!(server.terminate().await.success());
        check_the_log(&server).await;
    }
}

async fn until_stored(socket: &mut crate::common::Socket) {
    let seen = |frame: &serde_json::Value| frame["seq"].as_u64() == Some(MESSAGES);
    if !socket.replay.iter().any(&seen) {
        while !seen(&socket.next_of("message").await) {}
    }
}

/// Waits until the newest message is deleted: deletions go through a room from its oldest on.
async fn until_gone(alice: &Person) {
    let (mut socket, _) = alice.open_v2().await;
    socket.send(&json!({ "type": "join", "room": "default", "limit": 0 })).await;
    while socket.next().await["type"] != "joined" {}
    let gone = async {
        loop {
            socket.send(&json!({ "type": "history", "room": "default", "seqs": [MESSAGES] })).await;
            // The deletions come meanwhile.
            let mut page = socket.next().await;
            while page["type"] != "history" {
                page = socket.next().await;
            }
            if page["messages"][0]["deleted"] == true {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), gone).await.expect("all are deleted");
}

/// Each message is deleted, once, by its author.
async fn check_the_log(server: &TestServer) {
    let stores = Stores::open(&server.database()).await.unwrap();
    let topic = Topic::Room(RoomName::default());
    let limits = PageLimits { entries: usize::MAX >> 1, bytes: usize::MAX >> 1 };
    let page = stores.log.page(&topic, PageFrom::After(0), limits).await.unwrap();
    let (mut messages, mut deleted) = (BTreeSet::new(), BTreeSet::new());
    for entry in &page.entries {
        assert_eq!(entry.from.as_str(), "bob");
        match &entry.body {
            Body::Message { .. } => {
                assert!(entry.body.is_deleted() && entry.body.text().is_empty(), "{entry:?}");
                messages.insert(entry.seq);
            }
            Body::Delete { target } => assert!(deleted.insert(*target), "{target} was deleted twice"),
            _ => panic!("something else: {entry:?}"),
        }
    }
    assert_eq!((messages.len() as u64, &messages), (MESSAGES, &deleted));
    stores.close().await;
}
