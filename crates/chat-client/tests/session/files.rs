//! Messages with files.

use chat_client::{AttachedFile, Entry, FILES_MAX, NewMessage, Options, Refused, Snapshot, Timeline};
use serde_json::json;

use crate::harness::{Harness, bob, tech};

fn file(id: &str) -> AttachedFile {
    AttachedFile {
        id: id.to_owned(),
        name: "кот.png".to_owned(),
        media_type: "image/png".to_owned(),
        size: 1_234,
        width: Some(640),
        height: Some(480),
    }
}

fn file_frame(id: &str) -> serde_json::Value {
    json!({"id": id, "name": "кот.png", "type": "image/png", "size": 1234, "width": 640, "height": 480})
}

/// A session in a room of a server that has files, or has not.
fn in_room(features: &[&str]) -> Harness {
    let mut client = Harness::online();
    let mut hello = Harness::hello_frame("e", json!([]), false);
    hello["features"] = json!(features);
    client.lose_and_hello(hello);
    client.join("tech");
    client.joined("tech", 0, false);
    client.events.clear();
    client.sent.clear();
    client
}

#[test]
fn a_message_with_files_names_them_and_may_have_no_text() {
    let mut client = in_room(&["files"]);
    let message = NewMessage::new(tech(), "").file(file("a")).file(file("b")).nonce("1");
    client.session.send_message(client.now_ms, message).unwrap();
    let private = NewMessage::new(bob(), "look").file(file("c")).nonce("2");
    client.session.send_message(client.now_ms, private).unwrap();
    client.collect();
    assert_eq!(
        client.sent,
        [
            json!({"type": "message", "room": "tech", "text": "", "nonce": "1", "files": ["a", "b"]}),
            json!({"type": "private", "to": "bob", "text": "look", "nonce": "2", "files": ["c"]}),
        ]
    );
}

#[test]
fn files_come_with_their_message_and_go_with_it() {
    let mut client = in_room(&["files"]);
    let mut timeline = Timeline::new("alice", tech());
    client.frame(json!({"type": "message", "room": "tech", "seq": 1, "from": "bob", "text": "",
        "timestamp": 1, "files": [file_frame("a")]}));
    // A server may leave a blank text out.
    client.frame(json!({"type": "message", "room": "tech", "seq": 2, "from": "bob", "timestamp": 1,
        "files": [{"id": "b", "name": "x", "type": "text/plain", "size": 0, "later": true}]}));
    client
        .frame(json!({"type": "edit", "room": "tech", "seq": 3, "target": 1, "from": "bob", "text": "look",
        "timestamp": 2}));
    client.events.iter().for_each(|event| timeline.apply(event));
    let first = timeline.message(1).unwrap();
    assert_eq!((&*first.text, &first.files[..]), ("look", &[file("a")][..]), "files stay");
    let plain = AttachedFile {
        name: "x".into(),
        media_type: "text/plain".into(),
        size: 0,
        width: None,
        height: None,
        ..file("b")
    };
    assert_eq!(timeline.message(2).unwrap().files, [plain]);
    client.events.clear();
    client.frame(
        json!({"type": "delete", "room": "tech", "seq": 4, "target": 1, "from": "bob", "timestamp": 3}),
    );
    client.events.iter().for_each(|event| timeline.apply(event));
    assert_eq!(timeline.message(1).unwrap().files, []);
}

#[test]
fn a_server_without_files_is_sent_no_message_without_its_files() {
    let mut client = in_room(&["edit"]);
    let message = || NewMessage::new(tech(), "look").file(file("a")).nonce("1");
    let refused = client.session.send_message(client.now_ms, message());
    assert_eq!(refused, Err(Refused::Unsupported { feature: "files" }));

    // It was accepted by another server, or before the first `hello`.
    let mut client = in_room(&["files"]);
    client.session.send_message(client.now_ms, message()).unwrap();
    let snapshot = client.session.snapshot();
    let mut client = Harness::with(Options::default(), snapshot);
    client.hello(json!([]));
    client.joined("tech", 0, true);
    assert_eq!(client.sent(), ["join tech since 0"]);
    assert_eq!(client.events(), ["online", "joined tech", "not sent 1 unsupported perhaps"]);
}

#[test]
fn a_snapshot_has_the_files_of_what_is_not_sent() {
    let mut client = in_room(&["files"]);
    let message = NewMessage::new(tech(), "").file(file("a")).nonce("1");
    client.session.send_message(client.now_ms, message).unwrap();
    let snapshot = serde_json::to_string(&client.session.snapshot()).unwrap();
    let snapshot: Snapshot = serde_json::from_str(&snapshot).unwrap();
    assert_eq!(snapshot, client.session.snapshot());
    let mut timeline = Timeline::new("alice", tech());
    timeline.queue(&snapshot.outbox[0]);
    let shown: Vec<_> = timeline.shown().collect();
    assert_eq!(shown[0].entry.files, [file("a")]);

    let mut client = Harness::with(Options::default(), snapshot);
    let mut hello = Harness::hello_frame("e", json!([]), false);
    hello["features"] = json!(["files"]);
    client.receive_hello(hello);
    client.joined("tech", 0, true);
    assert_eq!(client.sent[1]["files"], json!(["a"]));
    // Its entry replaces it.
    client.frame(json!({"type": "message", "room": "tech", "seq": 1, "from": "alice", "text": "",
        "timestamp": 1, "nonce": "1", "files": [file_frame("a")]}));
    client.events.iter().for_each(|event| timeline.apply(event));
    let shown: Vec<_> = timeline.shown().collect();
    assert_eq!(shown.len(), 1);
    assert_eq!((shown[0].entry.seq, shown[0].pending.len()), (1, 0));
}

#[test]
fn files_count_against_the_limits() {
    let mut client = in_room(&["files"]);
    let many = NewMessage { files: vec![file("a"); FILES_MAX + 1], ..NewMessage::new(tech(), "x") };
    let refused = client.session.send_message(client.now_ms, many);
    assert_eq!(refused, Err(Refused::TooManyFiles { max: 10 }));

    let options = Options { outbox_max_bytes: 2_000, ..Options::default() };
    let mut client = Harness::with(options, Snapshot::default());
    let message = |name: String| NewMessage::new(bob(), "").file(AttachedFile { name, ..file("a") });
    assert!(client.session.send_message(0, message("x".repeat(1_000))).is_ok());
    assert!(matches!(
        client.session.send_message(0, message("x".repeat(1_000))),
        Err(Refused::OutboxFull { .. })
    ));
}

#[test]
fn an_entry_of_an_earlier_version_has_no_files() {
    let entry: Entry = serde_json::from_value(json!({"seq": 1, "from": "bob", "text": "hi"})).unwrap();
    assert_eq!(entry.files, []);
    assert!(!serde_json::to_string(&entry).unwrap().contains("files"));
}
