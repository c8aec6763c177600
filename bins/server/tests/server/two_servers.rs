//! Two servers on one Postgres: what is said on one is heard on the other.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::{Answer, Person, Request, Setup, Socket, Store, TestServer, free_address, tool};
use chat_store::test_postgres::TestDatabase;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Child;

/// Two servers on a new database; `None` where no Postgres is installed.
async fn servers() -> Option<(TestServer, TestServer)> {
    servers_with(&[]).await
}

/// The same with further settings.
async fn servers_with(flags: &[&str]) -> Option<(TestServer, TestServer)> {
    let database = TestDatabase::migrated()?;
    let setup = Setup { store: Store::Postgres, shards: 2 };
    let one = TestServer::start_on(setup, database, &[&["--message-rate", "off"], flags].concat()).await;
    let two = one.beside().await;
    Some((one, two))
}

/// A NATS server on a port of its own, which it keeps when it starts again.
struct Nats {
    address: SocketAddr,
    process: Child,
}

impl Nats {
    /// `None` where it is not installed.
    async fn start() -> Option<Self> {
        let address = free_address();
        Some(Self { address, process: Self::run(address).await? })
    }

    async fn run(address: SocketAddr) -> Option<Child> {
        let mut command = tokio::process::Command::from(tool("nats-server", "nats-server")?);
        command.args(["-a", "127.0.0.1", "-p", &address.port().to_string()]).kill_on_drop(true);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("nats-server listens", async || TcpStream::connect(address).await.is_ok()).await;
        Some(process)
    }

    async fn stop(&mut self) {
        self.process.kill().await.unwrap();
    }

    async fn start_again(&mut self) {
        self.process = Self::run(self.address).await.unwrap();
    }
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The value of a metric without labels.
async fn metric(server: &TestServer, name: &str) -> u64 {
    let text = String::from_utf8(server.get("/metrics").await.body).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

async fn call(person: &Person, method: &'static str, path: &str, body: &Value) -> Answer {
    let request = Request::new(method, path).header("Cookie", &person.cookie);
    let request = if body.is_null() { request } else { request.json(body) };
    request.send(person.server).await
}

/// The next frame of a type, whatever comes before it.
async fn next_of(socket: &mut Socket, kind: &str) -> Value {
    loop {
        let frame = socket.next().await;
        if frame["type"] == kind {
            return frame;
        }
    }
}

/// Sends a frame; returns the number under which it is stored. What comes before the answer is left
/// out.
async fn store(socket: &mut Socket, frame: Value, nonce: &str) -> u64 {
    Line { socket, heard: VecDeque::new() }.store(frame, nonce).await
}

/// A connection that keeps what came while an answer was awaited.
struct Line<'a> {
    socket: &'a mut Socket,
    heard: VecDeque<Value>,
}

impl Line<'_> {
    async fn store(&mut self, mut frame: Value, nonce: &str) -> u64 {
        frame["nonce"] = json!(nonce);
        self.socket.send(&frame).await;
        let mut frames = self.socket.until_answered(nonce).await;
        let answer = frames.pop().unwrap();
        self.heard.extend(frames);
        answer["seq"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    }

    /// The next entry of a type from a user; others are passed over.
    async fn hear(&mut self, kind: &str, from: &str) -> Value {
        loop {
            let frame = match self.heard.pop_front() {
                Some(frame) => frame,
                None => self.socket.next().await,
            };
            if frame["type"] == kind && frame["from"] == from {
                return frame;
            }
        }
    }
}

#[tokio::test]
async fn messages_changes_and_conversations_are_heard_on_the_other_server() {
    let Some((one, two)) = servers().await else { return };
    let alice = one.person("alice").await;
    let bob = two.person("bob").await;
    let (mut a, mut b) = (alice.enter_v2("kitchen").await, bob.enter_v2("kitchen").await);
    let mut a = Line { socket: &mut a, heard: VecDeque::new() };
    let mut b = Line { socket: &mut b, heard: VecDeque::new() };
    // As v1 shows it, too.
    let mut old = bob.enter("kitchen").await;
    let mut took = Vec::new();
    for round in 0..20 {
        let (one, two) = (format!("one {round}"), format!("two {round}"));
        let first = a.store(json!({ "type": "message", "room": "kitchen", "text": one }), &one).await;
        let stored = Instant::now();
        let heard = b.hear("message", "alice").await;
        took.push(stored.elapsed());
        assert_eq!((&heard["seq"], &heard["text"]), (&json!(first), &json!(one)));
        old.expect("alice", &one).await;
        let second = b.store(json!({ "type": "message", "room": "kitchen", "text": two }), &two).await;
        assert_eq!(second, first + 1);
        let heard = a.hear("message", "bob").await;
        assert_eq!((&heard["seq"], &heard["text"]), (&json!(second), &json!(two)));
        old.expect("bob", &two).await;
    }
    took.sort();
    println!(
        "heard on the other server after its answer: {:?} in the middle, {:?} at most",
        took[10], took[19]
    );
    let edit = json!({ "type": "edit", "room": "kitchen", "target": 1, "text": "edited" });
    let seq = a.store(edit, "edit").await;
    let heard = b.hear("edit", "alice").await;
    assert_eq!((&heard["seq"], &heard["text"]), (&json!(seq), &json!("edited")));
    b.store(json!({ "type": "react", "room": "kitchen", "target": 1, "emoji": "👍" }), "react").await;
    assert_eq!(a.hear("react", "bob").await["target"], 1);

    // The conversation of the two is written to on both servers in turn: each hears all of it, in its
    // order.
    let to = |to: &str, text: &str| json!({ "type": "private", "to": to, "text": text });
    for round in 0..10 {
        let (one, two) = (format!("psst {round}"), format!("what {round}"));
        a.store(to("bob", &one), &one).await;
        b.store(to("alice", &two), &two).await;
    }
    for round in 0..10 {
        assert_eq!(a.hear("private", "bob").await["text"], format!("what {round}"));
        assert_eq!(b.hear("private", "alice").await["text"], format!("psst {round}"));
    }
}

#[tokio::test]
async fn rooms_members_and_removals_reach_the_other_server() {
    let Some((one, two)) = servers().await else { return };
    let alice = one.person("alice").await;
    let bob = two.person("bob").await;
    let (mut b, _) = bob.open_v2().await;
    let new = json!({ "title": "Plans", "access": "closed", "members": ["bob"] });
    let answer = call(&alice, "POST", "/api/rooms", &new).await;
    assert_eq!(answer.status, 201);
    let room = answer.json()["name"].as_str().unwrap().to_owned();
    let shown = next_of(&mut b, "room").await;
    assert_eq!(shown["room"], room.as_str());
    let mut b = bob.enter_v2(&room).await;
    let mut a = alice.enter_v2(&room).await;
    let say = |text: &str| json!({ "type": "message", "room": room, "text": text });
    store(&mut a, say("before"), "before").await;
    assert_eq!(next_of(&mut b, "message").await["text"], "before");

    let members: String = room.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let answer = call(&alice, "DELETE", &format!("/api/rooms/{members}/members/bob"), &Value::Null).await;
    assert_eq!(answer.status, 200);
    let removed = Instant::now();
    let left = next_of(&mut b, "left").await;
    assert_eq!((&left["room"], &left["reason"]), (&json!(room), &json!("removed")));
    println!("the other server's client is out {:?} after the answer", removed.elapsed());
    store(&mut a, say("after"), "after").await;
    // Nothing of it is sent any more, also when much time has passed.
    tokio::time::sleep(Duration::from_millis(500)).await;
    b.send(&json!({ "type": "join", "room": "kitchen" })).await;
    loop {
        let frame = b.next().await;
        assert!(frame["text"] != "after", "{frame}");
        if frame["type"] == "joined" {
            break;
        }
    }
}

#[tokio::test]
async fn a_session_that_ends_on_one_server_ends_on_the_other() {
    let Some((one, two)) = servers().await else { return };
    let alice = one.person("alice").await;
    let (mut here, _) = alice.open_v2().await;
    let mut there = alice.on(two.address).enter_v2("kitchen").await;
    alice.post("/api/logout").await.expect_ok();
    assert_eq!(here.close_code().await, Some(4001));
    assert_eq!(there.close_code().await, Some(4001));
    assert_eq!(alice.on(two.address).get("/api/me").await.error(), "invalid token");
}

/// A server is killed while it stores messages: the other one shows its clients all that were
/// committed, up to the last one, and nothing that was acknowledged is missing.
#[tokio::test]
async fn the_last_message_of_a_killed_server_is_heard_on_the_other() {
    let Some((mut one, two)) = servers().await else { return };
    let alice = one.person("alice").await;
    let carol = two.person("carol").await;
    let mut c = carol.enter_v2("kitchen").await;
    // Numbers of the room, as carol hears them.
    let mut heard: Vec<u64> = Vec::new();
    for round in 0..4 {
        let alice = alice.on(one.address);
        let mut a = alice.enter_v2("kitchen").await;
        let talking = tokio::spawn(async move {
            let mut acknowledged = 0;
            for number in 0.. {
                let nonce = format!("{round} {number}");
                let text = json!({ "type": "message", "room": "kitchen", "text": nonce, "nonce": nonce });
                // The server is gone in the middle of a send, or of an answer.
                use futures_util::SinkExt as _;
                let message = tokio_tungstenite::tungstenite::Message::text(text.to_string());
                if a.stream.send(message).await.is_err() {
                    break;
                }
                loop {
                    match a.next_or_close().await {
                        Ok(frame) if frame["type"] == "ack" => {
                            acknowledged = frame["seq"].as_u64().unwrap();
                            break;
                        }
                        Ok(_) => {}
                        Err(_) => return acknowledged,
                    }
                }
            }
            acknowledged
        });
        let before = heard.len();
        while heard.len() < before + 20 {
            heard.push(next_of(&mut c, "message").await["seq"].as_u64().unwrap());
        }
        one.kill().await;
        let acknowledged = talking.await.unwrap();
        // The newest number is what a client that joins now is told, once the second server has read
        // it; a transaction that is under way at the kill ends within moments.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let killed = Instant::now();
        let top = loop {
            let top = carol.enter_v2("kitchen").await.replay[0]["seq"].as_u64().unwrap();
            if top >= acknowledged {
                break top;
            }
            let late = killed.elapsed() > Duration::from_secs(30);
            assert!(!late, "round {round}: {acknowledged} was acknowledged, and there are {top}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        while heard.last().is_none_or(|last| *last < top) {
            heard.push(next_of(&mut c, "message").await["seq"].as_u64().unwrap());
        }
        assert_eq!(heard, (1..=heard.len() as u64).collect::<Vec<_>>());
        one.restart().await;
    }
    // Each start of the first server is another one for the second.
    let mut b = two.person("bob").await.enter_v2("kitchen").await;
    let mut a = alice.on(one.address).enter_v2("kitchen").await;
    store(&mut b, json!({ "type": "message", "room": "kitchen", "text": "hi" }), "hi").await;
    assert_eq!(next_of(&mut a, "message").await["text"], "hi");
}

/// Messages arrive over NATS, without it, and over it again. While it is there, the database is asked
/// twice a second only.
#[tokio::test]
async fn nats_carries_messages_and_its_outage_stops_none() {
    let Some(mut nats) = Nats::start().await else { return };
    let url = format!("nats://{}", nats.address);
    let Some((one, two)) = servers_with(&["--bus", &url]).await else { return };
    let alice = one.person("alice").await;
    let bob = two.person("bob").await;
    let (mut a, mut b) = (alice.enter_v2("kitchen").await, bob.enter_v2("kitchen").await);
    let mut a = Line { socket: &mut a, heard: VecDeque::new() };
    let mut b = Line { socket: &mut b, heard: VecDeque::new() };
    let mut talk = async |name: &str, rounds: usize| {
        for round in 0..rounds {
            let (one, two) = (format!("{name} one {round}"), format!("{name} two {round}"));
            a.store(json!({ "type": "message", "room": "kitchen", "text": one }), &one).await;
            assert_eq!(b.hear("message", "alice").await["text"], *one);
            b.store(json!({ "type": "private", "to": "alice", "text": two }), &two).await;
            assert_eq!(a.hear("private", "bob").await["text"], *two);
        }
    };
    let bus_is = async |is_up: u64| {
        for server in [&one, &two] {
            until("the bus is as it should be", async || metric(server, "chat_bus_up").await == is_up).await;
        }
    };
    for server in [&one, &two] {
        until("each server sees the other", async || metric(server, "chat_other_servers").await == 1).await;
    }
    bus_is(1).await;
    reads_are_slow(&two).await;
    let received = metric(&two, "chat_bus_received_total").await;
    // Where a heartbeat is late by 2 s, a server reads often: on a slow machine that may be so once.
    let mut were_slow = false;
    for round in 0..5 {
        let (reads, begun) = (metric(&two, "chat_feed_reads_total").await, Instant::now());
        talk(&format!("over NATS {round}"), 30).await;
        let reads = metric(&two, "chat_feed_reads_total").await - reads;
        println!("30 messages each way over NATS: {:?}, {reads} reads of the feed", begun.elapsed());
        // Every 500 ms, and a few because a heartbeat has overtaken what it tells of.
        were_slow = u128::from(reads) <= 10 + begun.elapsed().as_millis() / 250;
        if were_slow {
            break;
        }
    }
    assert!(were_slow, "the feed is read often, though the bus is up");
    // What the bus has done is counted twice a second.
    until("messages have come over the bus", async || {
        metric(&two, "chat_bus_received_total").await >= received + 30
    })
    .await;
    assert_eq!(metric(&two, "chat_bus_refused_total").await, 0);

    nats.stop().await;
    talk("while it stops", 5).await;
    bus_is(0).await;
    talk("without NATS", 10).await;

    nats.start_again().await;
    talk("while it starts", 5).await;
    bus_is(1).await;
    talk("over NATS again", 5).await;
    for server in [&one, &two] {
        until("it is connected again", async || metric(server, "chat_bus_connections_total").await >= 2)
            .await;
        reads_are_slow(server).await;
    }
}

/// Waits until a server reads the feed every 500 ms, and not every 25 ms.
async fn reads_are_slow(server: &TestServer) {
    until("the feed is read less often", async || {
        let (reads, begun) = (metric(server, "chat_feed_reads_total").await, Instant::now());
        tokio::time::sleep(Duration::from_millis(500)).await;
        let reads = metric(server, "chat_feed_reads_total").await - reads;
        u128::from(reads) <= 1 + begun.elapsed().as_millis() / 250
    })
    .await;
}

/// The next `presence` of a user in the kitchen; others are passed over.
async fn sees(socket: &mut Socket, user: &str, online: bool) {
    loop {
        let frame = next_of(socket, "presence").await;
        if (&frame["user"], &frame["online"]) == (&json!(user), &json!(online)) {
            return assert_eq!(frame["room"], "kitchen");
        }
    }
}

/// How many users `GET /api/rooms` says are in the kitchen.
async fn online_in_kitchen(person: &Person) -> u64 {
    let rooms = person.get("/api/rooms").await.json();
    let mut rooms = rooms["rooms"].as_array().unwrap().iter();
    let kitchen = rooms.find(|room| room["name"] == "kitchen");
    kitchen.map_or(0, |room| room["online"].as_u64().unwrap())
}

async fn people_of_two_servers_see_each_other(flags: &[&str], mut nats: Option<Nats>) {
    let flags = [flags, &["--lists-per-minute", "1000000"]].concat();
    let Some((mut one, two)) = servers_with(&flags).await else { return };
    let alice = one.person("alice").await;
    let bob = two.person("bob").await;
    let mut b = bob.enter_v2("kitchen").await;
    let mut old = bob.enter("kitchen").await;
    let (mut phone, _) = bob.on(one.address).open_v2().await;
    for server in [&one, &two] {
        until("each server sees the other", async || metric(server, "chat_other_servers").await == 1).await;
    }
    // Users who were there before this server knew of them are shown without a notice.
    let _dora = one.person("dora").await.enter_v2("kitchen").await;
    sees(&mut b, "dora", true).await;

    // One comes, and there is one notice.
    let mut a = alice.enter_v2("kitchen").await;
    sees(&mut b, "alice", true).await;
    old.say("marker").await;
    let frames = old.all_up_to("marker").await;
    let is_notice = |frame: &&Value| frame["type"] == "system" && frame["from"] == "alice";
    assert_eq!(frames.iter().filter(is_notice).count(), 1, "{frames:?}");
    until("who comes later is told who is there", async || {
        alice.enter_v2("kitchen").await.replay[0]["members"] == json!(["alice", "bob", "dora"])
    })
    .await;
    for person in [&alice, &bob] {
        until("all count for both", async || online_in_kitchen(person).await == 3).await;
    }

    // A user who types, and what a user has read, are shown on the other server.
    a.send(&json!({ "type": "typing", "room": "kitchen", "active": true })).await;
    let typing = next_of(&mut b, "typing").await;
    assert_eq!((&typing["user"], &typing["active"]), (&json!("alice"), &json!(true)));
    let seq = store(&mut a, json!({ "type": "message", "room": "kitchen", "text": "hi" }), "hi").await;
    assert_eq!(next_of(&mut b, "message").await["seq"], seq);
    // Whoever has written is a member of the room, and has a mark there.
    let seq = store(&mut b, json!({ "type": "message", "room": "kitchen", "text": "ho" }), "ho").await;
    b.send(&json!({ "type": "read", "room": "kitchen", "upto": seq })).await;
    loop {
        let read = next_of(&mut phone, "read").await;
        if read["upto"] == seq {
            break assert_eq!((&read["room"], &read["unread"]), (&json!("kitchen"), &json!(0)));
        }
    }

    if let Some(nats) = &mut nats {
        // An outage of the bus empties nothing: longer than the 5 s after which a silent server
        // without a row would be lost.
        nats.stop().await;
        let begun = Instant::now();
        let mut looked = Instant::now();
        while begun.elapsed() < Duration::from_secs(7) {
            let online = online_in_kitchen(&bob).await;
            // A machine that stood still says nothing of the servers.
            assert!(online == 3 || looked.elapsed() > Duration::from_secs(2), "{online} are there");
            looked = Instant::now();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        // A user who comes is seen on the other server, without NATS and with it.
        let _carol = one.person("carol").await.enter_v2("kitchen").await;
        sees(&mut b, "carol", true).await;
        nats.start_again().await;
        let _erin = one.person("erin").await.enter_v2("kitchen").await;
        sees(&mut b, "erin", true).await;
    }

    // A server that is killed takes its people with it.
    one.kill().await;
    sees(&mut b, "alice", false).await;
    until("nobody else counts", async || online_in_kitchen(&bob).await == 1).await;
    while old.next().await["text"] != "покинул комнату kitchen" {}
    // And brings them back, without a notice for those who were here all the time.
    one.restart().await;
    let mut returned = alice.on(one.address).enter("kitchen").await;
    sees(&mut b, "alice", true).await;
    old.say("still here").await;
    let frames = returned.all_up_to("still here").await;
    assert!(!frames.iter().any(|frame| frame["type"] == "system" && frame["from"] == "bob"), "{frames:?}");
}

#[tokio::test]
async fn people_of_two_servers_see_each_other_without_a_bus() {
    people_of_two_servers_see_each_other(&[], None).await;
}

#[tokio::test]
async fn people_of_two_servers_see_each_other_over_nats() {
    let Some(nats) = Nats::start().await else { return };
    let url = format!("nats://{}", nats.address);
    people_of_two_servers_see_each_other(&["--bus", &url], Some(nats)).await;
}
