//! A member who is removed from a closed room under load gets nothing more of it, on any
//! connection, and knows it within a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::common::{Answer, Person, Request, Setup, Socket, TestServer};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_tungstenite::MaybeTlsStream;

on_every_setup!(a_removed_member_gets_nothing_more, who_is_no_member_is_out_when_a_room_is_closed);

/// The promise is a second; the rest is for a slow machine. That nothing is delivered afterwards is
/// tested by numbers, not by time.
const BOUND: Duration = Duration::from_secs(30);

async fn call(person: &Person, method: &'static str, path: &str, body: &Value) -> Answer {
    let request = Request::new(method, path).header("Cookie", &person.cookie);
    let request = if body.is_null() { request } else { request.json(body) };
    request.send(person.server).await
}

fn path(room: &str) -> String {
    format!("/api/rooms/{}", encoded(room))
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Writers that send some hundred messages a second, until they are stopped.
struct Load {
    stopped: Arc<AtomicBool>,
    /// The highest number that was acknowledged.
    top: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    async fn start(writers: &[Person], room: &str) -> Self {
        let (stopped, top) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tasks = Vec::new();
        for writer in writers {
            let mut socket = writer.enter_v2(room).await;
            let (stopped, top) = (Arc::clone(&stopped), Arc::clone(&top));
            let (room, name) = (room.to_owned(), writer.name.clone());
            tasks.push(tokio::spawn(async move {
                for number in 0.. {
                    if stopped.load(Relaxed) {
                        return;
                    }
                    let nonce = format!("{name} {number}");
                    socket.post(&room, &nonce, &nonce).await;
                    let answer = socket.until_answered(&nonce).await.pop().unwrap();
                    top.fetch_max(answer["seq"].as_u64().expect("the message is stored"), Relaxed);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }));
        }
        Self { stopped, top, tasks }
    }

    /// Waits until this many further messages are stored.
    async fn runs(&self, messages: u64) {
        let start = self.top.load(Relaxed);
        let begun = Instant::now();
        while self.top.load(Relaxed) < start + messages {
            assert!(begun.elapsed() < Duration::from_secs(120), "the writers are too slow");
            assert!(!self.tasks.iter().any(JoinHandle::is_finished), "a writer has stopped");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(self) {
        self.stopped.store(true, Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// What a connection was sent of the room.
#[derive(Debug, Default)]
struct Heard {
    /// The highest number of a message, live, replayed or in a page.
    top: u64,
    /// The last text that came.
    text: String,
    /// When the connection was told that it may not read the room, or was closed, and how.
    end: Option<(Instant, String)>,
    /// Frames of the room that came after that.
    after: Vec<Value>,
}

impl Heard {
    fn note(&mut self, frame: Value, room: &str) {
        if frame["room"] != room {
            return;
        }
        let kind = frame["type"].as_str().unwrap().to_owned();
        if let Some((_, end)) = &self.end {
            // The membership is shown beside the end of the stay.
            if kind != "room" && !(kind == "left" && end == "room") {
                self.after.push(frame);
            }
            return;
        }
        let pages = frame["messages"].as_array().into_iter().flatten();
        for message in pages.chain([&frame]) {
            self.top = self.top.max(message["seq"].as_u64().filter(|_| kind != "joined").unwrap_or(0));
        }
        if kind == "message" {
            frame["text"].as_str().unwrap().clone_into(&mut self.text);
        }
        if kind == "left" {
            let reason = frame["reason"].as_str().expect("nobody asked for it");
            self.end = Some((Instant::now(), reason.to_owned()));
        }
    }
}

/// Reads a socket until it is closed, or until nothing has come for a time after the end.
async fn listen(mut socket: Socket, room: String, pause: Duration) -> (Heard, Option<Socket>) {
    let mut heard = Heard::default();
    loop {
        let next = socket.next_or_close();
        let next = match &heard.end {
            Some(_) => match tokio::time::timeout(Duration::from_secs(1), next).await {
                Ok(next) => next,
                Err(_) => return (heard, Some(socket)),
            },
            None => next.await,
        };
        match next {
            Ok(frame) => heard.note(frame, &room),
            Err(code) => {
                heard.end.get_or_insert((Instant::now(), format!("{code:?}")));
                return (heard, None);
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Waits, without reading, until the server resets a connection.
async fn until_reset(socket: Socket) -> (Socket, Instant) {
    let begun = Instant::now();
    while begun.elapsed() < 2 * BOUND {
        let MaybeTlsStream::Plain(stream) = socket.stream.get_ref() else { panic!("no TLS here") };
        if stream.take_error().unwrap().is_some() {
            return (socket, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a connection that takes nothing is not cut");
}

/// The people, and a closed room with many messages.
struct Scene {
    server: TestServer,
    chair: Person,
    bob: Person,
    writers: Vec<Person>,
    room: String,
    epoch: Value,
}

impl Scene {
    async fn new(setup: Setup, access: &str) -> Self {
        // Without a limit on messages, as it is about a fast room.
        let server = TestServer::start_with(setup, &["--message-rate", "off"]).await;
        let [chair, bob] = [server.person("chair").await, server.person("bob").await];
        let writers = vec![server.person("wanda").await, server.person("will").await];
        let mut members = json!(["wanda", "will"]);
        if access == "closed" {
            members.as_array_mut().unwrap().push(json!("bob"));
        }
        let new = json!({ "title": "Plans", "access": access, "members": members });
        let answer = call(&chair, "POST", "/api/rooms", &new).await;
        assert_eq!(answer.status, 201);
        let room = answer.json()["name"].as_str().unwrap().to_owned();

        // More than the buffers of a connection hold: 12 MB.
        let (mut socket, hello) = chair.open_v2().await;
        socket.join(&json!({ "type": "join", "room": room })).await;
        let text = "много слов ".repeat(370);
        for batch in 0..100 {
            for number in 0..16 {
                socket.post(&room, &text, &format!("old {}", batch * 16 + number)).await;
            }
            socket.until_answered(&format!("old {}", batch * 16 + 15)).await;
        }
        Self { server, chair, bob, writers, room, epoch: hello["epoch"].clone() }
    }
}

async fn a_removed_member_gets_nothing_more(setup: Setup) {
    let Scene { server: _server, chair, bob, writers, room, epoch } = Scene::new(setup, "closed").await;
    let load = Load::start(&writers, &room).await;
    let bound_to = |socket, pause| tokio::spawn(listen(socket, room.clone(), Duration::from_millis(pause)));

    let joined = bound_to(bob.enter_v2(&room).await, 0);
    let slow = bound_to(bob.enter_v2(&room).await, 10);
    let old = bob.open(&room).await.unwrap();
    let v1 = bound_to(old, 0);
    let (apart, _) = bob.open_v2().await;
    let apart = tokio::spawn(async move {
        let (mut apart, mut frames) = (apart, Vec::new());
        // After the membership there is silence, or activity, which must not come.
        let (begun, mut patience) = (Instant::now(), BOUND);
        while begun.elapsed() < 4 * BOUND {
            let next = tokio::time::timeout(patience, apart.next_or_close()).await;
            let Ok(Ok(frame)) = next else { break };
            let is_activity = frame["type"] == "activity";
            if frame["type"] == "room" && frame["member"] == false {
                patience = Duration::from_secs(4);
            }
            frames.push(frame);
            if is_activity && patience < BOUND {
                break;
            }
        }
        frames
    });
    // It reads nothing of a replay that fills all buffers.
    let (mut stuck, _) = bob.open_v2().await;
    stuck.send(&json!({ "type": "join", "room": room, "since": 1, "epoch": epoch })).await;
    load.runs(200).await;
    // Pages are outstanding on this one.
    let mut paging = bob.enter_v2(&room).await;
    for _ in 0..20 {
        paging.send(&json!({ "type": "history", "room": room, "before": 1_000, "limit": 100 })).await;
    }
    let paging = bound_to(paging, 0);
    let stuck = tokio::spawn(until_reset(stuck));

    let answer = call(&chair, "DELETE", &format!("{}/members/bob", path(&room)), &Value::Null).await;
    let removed = Instant::now();
    assert_eq!(answer.status, 200);
    // A message that is sent now is behind the removal.
    let mut late = chair.enter_v2(&room).await;
    late.post(&room, "behind the removal", "late").await;
    let behind = late.until_answered("late").await.pop().unwrap()["seq"].as_u64().unwrap();
    load.runs(200).await;

    let (stuck, cut) = stuck.await.unwrap();
    let cut = cut.saturating_duration_since(removed);
    println!("{setup:?}: stuck: cut {cut:?} after the answer");
    assert!(cut < BOUND, "a connection that takes nothing is cut too late");
    let (joined, socket) = joined.await.unwrap();
    let top = joined.top;
    assert!(top < behind, "number {top} was delivered, and the removal was before {behind}");
    let (slow, _) = slow.await.unwrap();
    let (paging, _) = paging.await.unwrap();
    let (v1, _) = v1.await.unwrap();
    let (stuck, _) = listen(stuck, room.clone(), Duration::ZERO).await;
    for (what, heard) in
        [("joined", &joined), ("slow", &slow), ("paging", &paging), ("v1", &v1), ("stuck", &stuck)]
    {
        let (at, end) = heard.end.as_ref().unwrap();
        println!(
            "{setup:?}: {what}: {end} {:?} after the answer, up to {}",
            at.saturating_duration_since(removed),
            heard.top
        );
        assert!(heard.top <= top, "{what} got {}, and the removal was at {top}", heard.top);
        assert_eq!(heard.after, [Value::Null; 0], "{what} got frames of the room afterwards");
        assert_ne!(heard.text, "behind the removal");
        let expected = match what {
            "v1" => "Some(1008)",
            "stuck" => "None",
            _ => "removed",
        };
        assert_eq!(end, expected, "{what}");
        // The slow one and the stuck one read what was in their buffers first.
        if !matches!(what, "slow" | "stuck") {
            assert!(*at < removed + BOUND, "{what} was told {:?} after the answer", *at - removed);
        }
    }
    assert_eq!(v1.text, joined.text, "both versions end at the same message");

    // One that had not joined is told, and gets no activity from then on.
    let frames = apart.await.unwrap();
    let is_gone = |frame: &Value| frame["type"] == "room" && frame["member"] == json!(false);
    let gone_at = frames.iter().position(is_gone).expect("the membership has ended");
    assert!(!frames[gone_at..].iter().any(|frame| frame["type"] == "activity"), "activity afterwards");

    // Nothing is left that could be asked.
    let mut socket = socket.unwrap();
    for (frame, code) in [
        (json!({ "type": "join", "room": room }), "forbidden"),
        (json!({ "type": "join", "room": room, "since": 1, "epoch": epoch }), "forbidden"),
        (json!({ "type": "history", "room": room }), "not_joined"),
        (json!({ "type": "message", "room": room, "text": "x", "nonce": "x" }), "not_joined"),
        (json!({ "type": "read", "room": room, "upto": 1 }), "not_found"),
    ] {
        socket.send(&frame).await;
        assert_eq!(socket.next().await["code"], code, "{frame}");
    }
    assert_eq!(call(&bob, "GET", &path(&room), &Value::Null).await.status, 403);
    assert!(bob.open(&room).await.is_err());

    // A user who is added again reads the whole history.
    let again = call(&chair, "PUT", &format!("{}/members/bob", path(&room)), &Value::Null).await;
    assert_eq!(again.status, 200);
    load.stop().await;
    let (mut again, _) = bob.open_v2().await;
    again.send(&json!({ "type": "join", "room": room, "since": top, "epoch": epoch })).await;
    let joined = again.next_of("joined").await;
    assert_eq!(joined["recovered"], true, "{joined}");
    assert_eq!(again.next_of("message").await["seq"], json!(top + 1));
}

async fn who_is_no_member_is_out_when_a_room_is_closed(setup: Setup) {
    let Scene { chair, bob, writers, room, server: _server, .. } = Scene::new(setup, "open").await;
    let load = Load::start(&writers, &room).await;
    let bound_to = |socket| tokio::spawn(listen(socket, room.clone(), Duration::ZERO));
    let joined = bound_to(bob.enter_v2(&room).await);
    let v1 = bound_to(bob.open(&room).await.unwrap());
    load.runs(100).await;
    let answer = call(&chair, "PATCH", &path(&room), &json!({ "access": "closed" })).await;
    let closed = Instant::now();
    assert_eq!(answer.status, 200);
    let mut late = chair.enter_v2(&room).await;
    late.post(&room, "behind the closing", "late").await;
    let behind = late.until_answered("late").await.pop().unwrap()["seq"].as_u64().unwrap();
    load.runs(100).await;
    let ((joined, socket), (v1, _)) = (joined.await.unwrap(), v1.await.unwrap());
    for (what, heard, expected) in [("joined", &joined, "closed"), ("v1", &v1, "Some(1008)")] {
        let (at, end) = heard.end.as_ref().unwrap();
        assert_eq!(end, expected, "{what}");
        assert!(heard.top < behind, "{what} got {}", heard.top);
        assert_eq!(heard.after, [Value::Null; 0], "{what} got frames of the room afterwards");
        assert!(*at < closed + BOUND, "{what} was told {:?} after the answer", *at - closed);
    }
    assert_eq!(v1.text, joined.text, "both versions end at the same message");
    let mut socket = socket.unwrap();
    socket.send(&json!({ "type": "join", "room": room })).await;
    assert_eq!(socket.next().await["code"], "forbidden");
    let list = call(&bob, "GET", "/api/rooms", &Value::Null).await.json();
    assert_eq!(list["rooms"].as_array().unwrap().len(), 2, "{list}");
    load.stop().await;
}
