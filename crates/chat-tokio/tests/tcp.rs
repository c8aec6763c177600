//! The example, as clients on TCP see it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

#[expect(dead_code, reason = "`main` listens on a fixed port")]
#[path = "../examples/tcp.rs"]
mod lines;

use std::sync::Arc;
use std::time::Duration;

use chat_core::{
    Actor, ChangeRefused, CloseCode, HubOptions, RateLimit, RoomName, Seed, SessionId, Username, WantedChange,
};
use chat_store::test_postgres::TestDatabase;
use chat_store::{EventLog, MemoryStore, StoreError, Stores};
use chat_tokio::{ChangeError, Driver, DriverOptions, Opening, Receiver, Sender};
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// A chat as the example's, where nobody is slowed down.
async fn chat() -> (Driver, std::net::SocketAddr) {
    chat_on(Arc::new(MemoryStore::default())).await
}

async fn chat_on(log: Arc<dyn EventLog>) -> (Driver, std::net::SocketAddr) {
    let hub = HubOptions { rate: None, frame_rate: None, ..DriverOptions::default().hub };
    let options = DriverOptions { hub, ..DriverOptions::default() };
    let chat = Driver::start(options, log, Seed(1, 2));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, driver) = (listener.local_addr().unwrap(), chat.clone());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(lines::serve(driver.clone(), socket));
        }
    });
    (chat, address)
}

struct Client {
    socket: BufReader<TcpStream>,
    epoch: Value,
}

impl Client {
    async fn connect(address: std::net::SocketAddr, name: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let socket = BufReader::new(socket.connect(address).await.unwrap());
        let mut client = Self { socket, epoch: Value::Null };
        client.socket.write_all(format!("{name}\n").as_bytes()).await.unwrap();
        client.epoch = client.until("hello").await["epoch"].clone();
        client
    }

    async fn send(&mut self, frame: Value) {
        self.socket.write_all(format!("{frame}\n").as_bytes()).await.unwrap();
    }

    async fn frame(&mut self) -> Value {
        let mut line = String::new();
        let read = timeout(TIMEOUT, self.socket.read_line(&mut line)).await;
        assert!(read.expect("a frame in time").unwrap() > 0, "the connection was closed");
        serde_json::from_str(&line).unwrap()
    }

    /// The next frame of this type; those before it are passed over.
    async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    async fn join(&mut self, since: Option<u64>) -> Value {
        let mut join = json!({ "type": "join", "room": "kitchen" });
        if let Some(since) = since {
            (join["since"], join["epoch"]) = (since.into(), self.epoch.clone());
        }
        self.send(join).await;
        self.until("joined").await
    }

    async fn say(&mut self, text: &str, nonce: &str) {
        self.send(json!({ "type": "message", "room": "kitchen", "text": text, "nonce": nonce })).await;
    }
}

#[tokio::test]
async fn two_clients_talk_and_one_of_them_comes_back() {
    let (chat, address) = chat().await;
    let (mut alice, mut bob) =
        (Client::connect(address, "alice").await, Client::connect(address, "bob").await);
    alice.join(None).await;
    bob.join(None).await;
    alice.say("hi", "a1").await;
    assert_eq!(alice.until("ack").await["seq"], 1);
    assert_eq!(bob.until("message").await["text"], "hi");

    drop(alice);
    for (text, nonce) in [("one", "b1"), ("two", "b2")] {
        bob.say(text, nonce).await;
        bob.until("ack").await;
    }
    let mut alice = Client::connect(address, "alice").await;
    let rejoined = alice.join(Some(1)).await;
    assert_eq!(rejoined["recovered"], true, "{rejoined}");
    for text in ["one", "two"] {
        assert_eq!(alice.until("message").await["text"], text);
    }
    // The end of the input is a goodbye: what was sent before is stored and acknowledged.
    alice.say("bye", "a2").await;
    alice.socket.get_mut().shutdown().await.unwrap();
    assert_eq!(alice.until("ack").await["nonce"], "a2");
    let mut rest = Vec::new();
    timeout(TIMEOUT, alice.socket.read_to_end(&mut rest)).await.expect("it is closed").unwrap();
    assert_eq!(bob.until("message").await["text"], "two");
    assert_eq!(bob.until("message").await["text"], "bye");
    chat.stop().await;
}

/// A virtual machine was cloned: two processes are one start of a program.
#[tokio::test]
async fn the_copy_of_a_program_ends_its_chat() {
    let Some(database) = TestDatabase::migrated() else { return };
    let stores = Stores::open(&database.url).await.unwrap();
    let (chat, address) = chat_on(Arc::clone(&stores.log)).await;
    let mut alice = Client::connect(address, "alice").await;
    alice.join(None).await;
    alice.say("hi", "a1").await;
    alice.until("ack").await;
    // The other process was faster.
    let mut other = database.text.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    let faster = "INSERT INTO commits (writer, n, at, parts) SELECT writer, max(n) + 1, 0, '[]' FROM commits GROUP BY writer";
    sqlx::raw_sql(faster).execute(&mut other).await.unwrap();
    alice.say("hi again", "a2").await;
    let ended = timeout(TIMEOUT, chat.ended()).await.expect("it ends by itself");
    assert!(matches!(ended, Err(StoreError::ServerTwice)), "{ended:?}");
    assert!(chat.open(Opening::v2(Username::parse("bob").unwrap())).await.is_err());
}

#[tokio::test]
async fn a_slow_client_is_closed_and_the_others_get_everything() {
    let (chat, address) = chat().await;
    let (mut alice, mut slow) =
        (Client::connect(address, "alice").await, Client::connect(address, "slow").await);
    alice.join(None).await;
    slow.join(None).await;
    // More than the buffers of both sockets hold: 700 messages of 16 KiB.
    let text = "👍".repeat(4_096);
    for number in 1..=700_u64 {
        alice.say(&text, &number.to_string()).await;
        assert_eq!(alice.until("ack").await["seq"], number);
    }
    let mut rest = Vec::new();
    timeout(TIMEOUT, slow.socket.read_to_end(&mut rest)).await.expect("it is closed").unwrap();
    let messages = rest.split(|byte| *byte == b'\n').filter(|line| line.ends_with(b"}")).count();
    assert!(messages < 700, "{messages}");
    chat.stop().await;
}

/// The next frame of this type, from a driver without a transport.
async fn frame(frames: &mut Receiver, kind: &str) -> Value {
    loop {
        let bytes = timeout(TIMEOUT, frames.next()).await.expect("bytes in time").expect("not closed");
        let lines = str::from_utf8(&bytes).unwrap().lines();
        let mut parsed = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        if let Some(found) = parsed.find(|frame| frame["type"] == kind) {
            return found;
        }
    }
}

async fn open(chat: &Driver, opening: Opening) -> (Sender, Receiver) {
    chat.open(opening).await.unwrap().split()
}

fn name(name: &str) -> Username {
    Username::parse(name).unwrap()
}

#[tokio::test]
async fn a_session_that_ends_closes_its_client_and_a_stop_closes_all() {
    let (chat, _) = chat().await;
    let session = SessionId::new("s1");
    let opening = Opening { session: Some(session.clone()), ..Opening::v2(name("alice")) };
    let (mut alice, mut frames) = open(&chat, opening).await;
    let (bob, mut bobs) = open(&chat, Opening::v1(name("bob"), RoomName::parse("kitchen").unwrap())).await;
    frame(&mut frames, "hello").await;
    frame(&mut bobs, "system").await;
    assert_eq!(frames.closed(), None);
    chat.revoke(session).await;
    while timeout(TIMEOUT, frames.next()).await.expect("closed in time").is_some() {}
    assert_eq!(frames.closed().unwrap().code, Some(CloseCode::SignedOut));
    assert_eq!(alice.send("{}").await.unwrap_err().code, Some(CloseCode::SignedOut));

    drop((alice, frames));
    let stopping = tokio::spawn(async move { chat.stop().await });
    while timeout(TIMEOUT, bobs.next()).await.expect("closed in time").is_some() {}
    assert_eq!(bobs.closed().unwrap().code, Some(CloseCode::GoingAway));
    drop((bob, bobs));
    timeout(TIMEOUT, stopping).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn a_client_that_is_paused_is_not_read() {
    // After the first frame, the hub takes one a second.
    let rate = RateLimit { burst: 1, per_second: 1 };
    let hub = HubOptions { frame_rate: Some(rate), ..DriverOptions::default().hub };
    let options = DriverOptions { hub, held_frames_max: 2, ..DriverOptions::default() };
    let chat = Driver::start(options, Arc::new(MemoryStore::default()), Seed(1, 2));
    let (mut alice, mut frames) = open(&chat, Opening::v2(name("alice"))).await;
    frame(&mut frames, "hello").await;
    let mut sent = 0;
    while timeout(Duration::from_millis(50), alice.send(r#"{"type":"ping"}"#)).await.is_ok() {
        sent += 1;
        assert!(sent < 100, "nobody waits");
    }
    // Later the hub takes the frames that were held, and the sender goes on.
    timeout(TIMEOUT, alice.send(r#"{"type":"ping"}"#)).await.expect("it goes on").unwrap();
    drop((alice, frames));
    chat.stop().await;
}

#[tokio::test]
async fn a_change_of_a_room_is_refused_or_made() {
    let log = Arc::new(MemoryStore::default());
    let chat = Driver::start(DriverOptions::default(), Arc::clone(&log) as Arc<dyn EventLog>, Seed(1, 2));
    let remove = WantedChange::Remove {
        room: RoomName::parse("nowhere").unwrap(),
        by: Actor { user: name("alice"), is_administrator: false },
        user: name("bob"),
    };
    assert_eq!(chat.change(remove.clone()).await, Err(ChangeError::Refused(ChangeRefused::NoRoom)));
    chat.stop().await;
    assert_eq!(chat.change(remove).await, Err(ChangeError::Unavailable));
    assert!(chat.open(Opening::v2(name("alice"))).await.is_err());
}

/// Waits end by events; this is for runs that would wait for ever.
const TIMEOUT: Duration = Duration::from_secs(60);
