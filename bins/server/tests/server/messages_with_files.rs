//! Messages with files: on every store, with one shard and with three, as a client sees it
//! that knows only the published protocol.

use crate::common::{Person, Request, Setup, Socket, Store, TestServer};
use serde_json::{Value, json};

on_every_setup!(
    files_are_shown_wherever_a_message_is,
    only_ones_own_files_are_attached_once,
    a_deletion_takes_files_along_and_an_edit_does_not,
    who_reads_the_message_reads_its_files,
);

/// Uploads a text file; returns what messages show of it.
async fn upload(person: &Person, called: &str) -> Value {
    let path = format!("/api/files?name={called}");
    let answer = Request::post(&path)
        .header("Cookie", &person.cookie)
        .header("Content-Type", "text/plain")
        .body(b"a file")
        .send(person.server)
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

/// The status of a download.
async fn download(person: &Person, file: &Value) -> u16 {
    let (id, name) = (file["id"].as_str().unwrap(), file["name"].as_str().unwrap());
    let answer = person.get(&format!("/files/{id}/{name}")).await;
    assert!(answer.status == 404 || answer.body == b"a file", "{answer:?}");
    answer.status
}

/// Sends a frame that gets an answer; returns the frames up to the answer.
async fn ask(socket: &mut Socket, mut frame: Value, nonce: &str) -> Vec<Value> {
    frame["nonce"] = json!(nonce);
    socket.send(&frame).await;
    socket.until_answered(nonce).await
}

async fn store(socket: &mut Socket, frame: Value, nonce: &str) -> u64 {
    let answer = ask(socket, frame, nonce).await.pop().unwrap();
    assert_eq!((&answer["type"], &answer["duplicate"]), (&json!("ack"), &json!(false)), "{answer}");
    answer["seq"].as_u64().unwrap()
}

async fn refused(socket: &mut Socket, frame: Value, nonce: &str) {
    let answer = ask(socket, frame, nonce).await.pop().unwrap();
    assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("bad_request")), "{answer}");
}

fn message(text: &str, files: &[&Value]) -> Value {
    let ids: Vec<&Value> = files.iter().map(|file| &file["id"]).collect();
    json!({ "type": "message", "room": "tech", "text": text, "files": ids })
}

/// The messages of a folded page of the whole room.
async fn page(socket: &mut Socket) -> Vec<Value> {
    socket.send(&json!({ "type": "history", "room": "tech", "fold": true, "ref": "page" })).await;
    loop {
        let frame = socket.next().await;
        if frame["ref"] == "page" {
            return frame["messages"].as_array().unwrap().clone();
        }
    }
}

async fn files_are_shown_wherever_a_message_is(setup: Setup) {
    let mut server = TestServer::start(setup).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let (_, hello) = alice.open_v2().await;
    assert!(hello["features"].as_array().unwrap().contains(&json!("files")));
    assert_eq!(hello["limits"]["files_max"], 10);
    assert_eq!(hello["limits"]["file_max_bytes"], 25 * 1024 * 1024);
    let (one, two) = (upload(&alice, "one.txt").await, upload(&alice, "two.txt").await);
    assert_eq!((&one["size"], &one["name"]), (&json!(6), &json!("one.txt")));
    let (mut a, mut b) = (alice.enter_v2("tech").await, bob.enter_v2("tech").await);
    let (_, mut old) = server.in_room("carol", "tech").await;
    assert_eq!(store(&mut a, message("", &[&two, &one]), "n").await, 1);
    let live = b.next_of("message").await;
    assert_eq!((&live["files"], &live["text"]), (&json!([two, one]), &json!("")));
    let address =
        |file: &Value| format!("/files/{}/{}", file["id"].as_str().unwrap(), file["name"].as_str().unwrap());
    let lines = format!("📎 two.txt {}\n📎 one.txt {}", address(&two), address(&one));
    assert_eq!(old.next_message().await["text"], lines.as_str());
    let three = upload(&alice, "three.txt").await;
    let private = json!({ "type": "private", "to": "bob", "text": "psst", "files": [three["id"]] });
    store(&mut a, private, "p").await;
    let private = b.next_of("private").await;
    assert_eq!(private["files"], json!([three]));

    if setup.store != Store::Memory {
        server.kill_and_restart().await;
    }
    let (alice, bob) = (alice.on(server.address), bob.on(server.address));
    let mut b = bob.enter_v2("tech").await;
    assert_eq!(b.replay[1], live);
    assert_eq!(page(&mut b).await, [live]);
    b.send(&json!({ "type": "history", "with": "alice", "ref": "page" })).await;
    assert_eq!(b.next_of("history").await["messages"], json!([private]));
    let again = server.in_room("dave", "tech").await.1;
    assert_eq!(again.replay[0]["text"], lines.as_str());
    for file in [&one, &two, &three] {
        assert_eq!((download(&alice, file).await, download(&bob, file).await), (200, 200));
    }
}

async fn only_ones_own_files_are_attached_once(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let (own, other, bobs) =
        (upload(&alice, "own").await, upload(&alice, "other").await, upload(&bob, "bobs").await);
    let mut a = alice.enter_v2("tech").await;
    refused(&mut a, message("hi", &[&own, &bobs]), "n").await;
    refused(&mut a, message("hi", &[&own, &own]), "n").await;
    refused(&mut a, message("hi", &[&json!({ "id": "AAAAAAAAAAAAAAAAAAAAAA" })]), "n").await;
    refused(&mut a, message(" ", &[]), "n").await;
    let eleven = vec![&own; 11];
    refused(&mut a, message("hi", &eleven), "n").await;
    assert_eq!(store(&mut a, message("hi", &[&own]), "n").await, 1);
    // A retry gets the first result, whatever it names; another message does not get the file.
    let again = ask(&mut a, message("hi", &[&bobs]), "n").await.pop().unwrap();
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(1), &json!(true)));
    refused(&mut a, message("hi", &[&own, &other]), "o").await;
    assert_eq!(store(&mut a, message("hi", &[&other]), "o").await, 2);
    let shown: Vec<Value> = page(&mut a).await.iter().map(|message| message["files"].clone()).collect();
    assert_eq!(shown, [json!([own]), json!([other])]);
}

async fn a_deletion_takes_files_along_and_an_edit_does_not(setup: Setup) {
    let server = TestServer::start(setup).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let (one, two) = (upload(&alice, "one").await, upload(&alice, "two").await);
    let mut a = alice.enter_v2("tech").await;
    store(&mut a, message("first", &[&one]), "1").await;
    store(&mut a, message("second", &[&two]), "2").await;
    store(&mut a, message_without("third"), "3").await;
    let change = |kind: &str, target: u64, text: &str| json!({ "type": kind, "room": "tech", "target": target, "text": text });
    store(&mut a, change("edit", 1, " "), "4").await;
    refused(&mut a, change("edit", 3, " "), "5").await;
    store(&mut a, change("delete", 2, ""), "6").await;
    // The deletion is acknowledged: nobody reads the file any more.
    assert_eq!((download(&alice, &two).await, download(&bob, &two).await), (404, 404));
    assert_eq!((download(&alice, &one).await, download(&bob, &one).await), (200, 200));
    let (mut b, _) = bob.open_v2().await;
    b.send(&json!({ "type": "join", "room": "tech", "fold": true })).await;
    let shown = page(&mut b).await;
    assert_eq!((&shown[0]["text"], &shown[0]["files"]), (&json!(""), &json!([one])));
    assert_eq!((&shown[1]["deleted"], &shown[1]["files"]), (&json!(true), &Value::Null));
    // v1 shows what is left.
    let old = server.in_room("carol", "tech").await.1;
    let texts: Vec<&str> = old.replay.iter().map(|frame| frame["text"].as_str().unwrap()).collect();
    assert!(texts.len() == 2 && texts[0].starts_with("📎 one /files/") && texts[1] == "third", "{texts:?}");
}

fn message_without(text: &str) -> Value {
    json!({ "type": "message", "room": "tech", "text": text })
}

async fn who_reads_the_message_reads_its_files(setup: Setup) {
    let server = TestServer::start(setup).await;
    let people = [server.person("alice").await, server.person("bob").await, server.person("carol").await];
    let [alice, ..] = &people;
    let readers = async |file: &Value| {
        let mut statuses = Vec::new();
        for person in &people {
            statuses.push(download(person, file).await);
        }
        statuses
    };
    let (file, secret) = (upload(alice, "file").await, upload(alice, "secret").await);
    assert_eq!(readers(&file).await, [200, 404, 404]);
    let new = json!({ "title": "Cellar", "access": "closed", "members": ["bob"] });
    let answer =
        Request::post("/api/rooms").header("Cookie", &alice.cookie).json(&new).send(server.address).await;
    let cellar = answer.json()["name"].as_str().unwrap().to_owned();
    let mut a = alice.enter_v2(&cellar).await;
    let mut to_cellar = message("look", &[&file]);
    to_cellar["room"] = json!(cellar);
    store(&mut a, to_cellar, "1").await;
    assert_eq!(readers(&file).await, [200, 200, 404]);
    store(&mut a, json!({ "type": "private", "to": "carol", "text": "", "files": [secret["id"]] }), "2")
        .await;
    assert_eq!(readers(&secret).await, [200, 404, 200]);
    // A member who is removed reads it no more.
    let path = format!("/api/rooms/{cellar}/members/bob");
    let removed = Request::new("DELETE", &path).header("Cookie", &alice.cookie).send(server.address).await;
    assert_eq!(removed.status, 200, "{removed:?}");
    assert_eq!(readers(&file).await, [200, 404, 404]);
}
