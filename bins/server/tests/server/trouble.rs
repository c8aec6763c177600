//! A server in trouble: a locked database, a slow client, no file descriptors.

use std::time::{Duration, Instant};

use crate::common::{Setup, Store, TestServer};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

const SETUP: Setup = Setup { store: Store::Sqlite, shards: 1 };

/// Another program locks the database: a message that is not stored is not
/// delivered, its sender is closed with 1013, and the server recovers by itself.
#[tokio::test]
async fn a_message_that_cannot_be_stored_closes_its_senders_connection_only() {
    let server = TestServer::start(SETUP).await;
    let (alice, mut sender) = server.in_room("alice", "default").await;
    let (_, mut watcher) = server.in_room("bob", "default").await;
    sender.say("до").await;
    sender.expect("alice", "до").await;

    let database = SqliteConnectOptions::new().filename(server.folder().join("data/chat.db"));
    let mut other = database.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let started = Instant::now();
    sender.say("потеряно").await;
    assert_eq!(sender.close_code().await, Some(1013));
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    // The store waits a little longer than the sender; with a lock that is gone by
    // then, it would still store the message.
    while append_failures(&metrics(&server).await) == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "the batch does not fail");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();

    let mut sender = alice.enter("default").await;
    sender.say("после").await;
    sender.expect("alice", "после").await;
    watcher.expect("alice", "до").await;
    let between = watcher.all_up_to("после").await;
    assert!(between.iter().all(|frame| frame["type"] == "system"), "{between:?}");
}

/// The batches that were not stored.
fn append_failures(metrics: &str) -> u64 {
    let value = metrics.lines().find_map(|line| line.strip_prefix("chat_append_failures_total "));
    value.expect("the counter is always there").parse().unwrap()
}

async fn metrics(server: &TestServer) -> String {
    String::from_utf8(server.get("/metrics").await.body).unwrap()
}

/// A client that stops reading is closed once too many bytes wait for it; the
/// others receive everything, and see it leave.
#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_harms_nobody() {
    let server = TestServer::start_with(SETUP, &["--message-rate", "off"]).await;
    let (_, mut alice) = server.in_room("alice", "default").await;
    let slow = server.person("slow").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let upgrade = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nCookie: {}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address, slow.cookie
    );
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    assert_eq!(alice.next().await["from"], "slow");

    // More than the buffers of the system and the outbox (256 KiB) hold.
    let text = "ж".repeat(4000);
    let mut left = false;
    for number in 0..1500 {
        alice.say(&format!("{number} {text}")).await;
        loop {
            let frame = alice.next().await;
            if frame["type"] == "system" {
                assert_eq!(frame["text"], "покинул комнату default");
                left = true;
                continue;
            }
            assert!(frame["text"].as_str().unwrap().starts_with(&format!("{number} ")));
            break;
        }
        if left {
            break;
        }
    }
    assert!(left, "the slow client is still there");

    // The slow client then reads whole frames, and the reason at the end.
    let mut found = Vec::new();
    let reading = stream.read_to_end(&mut found);
    let _ = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the server ends it");
    let close = [&[0x88, 2 + 18][..], &1013_u16.to_be_bytes(), b"reading too slowly"].concat();
    assert!(found.ends_with(&close), "{:?}", &found[found.len() - 40..]);
}

/// More connections at once than there are file descriptors: the server serves
/// again as soon as some are free.
#[tokio::test]
async fn descriptors_run_out_and_come_back() {
    let server = TestServer::start(SETUP).await;
    let alice = server.person("alice").await;
    let limit = format!("--nofile={}", 64);
    let pid = server.pid().to_string();
    let limited = std::process::Command::new("prlimit")
        .args(["--pid", &pid, &limit])
        .status()
        .expect("prlimit, of util-linux");
    assert!(limited.success());
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(tokio::net::TcpStream::connect(server.address).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(crowd);
    let freed = Instant::now();
    alice.get("/api/me").await.expect_ok();
    assert!(freed.elapsed() < Duration::from_secs(30), "{:?}", freed.elapsed());
}
