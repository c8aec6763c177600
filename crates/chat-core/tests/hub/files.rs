//! Messages with files.

use chat_core::{AttachedFile, ClientId, FileId, FileName, FileQuotas, Input, MediaType, ReservedFile};
use serde_json::{Value, json};

use crate::harness::{Scenario, name};

/// Uploads the file with this number.
fn upload(scenario: &mut Scenario, owner: &str, number: u8, called: &str) {
    let (owner, id) = (name(owner), FileId::from_bytes([number; 16]));
    let file = AttachedFile {
        id,
        name: FileName::clean(called).expect("a name"),
        media_type: MediaType::parse("image/png").expect("a type"),
        size: 7,
        dimensions: (number == 1).then_some((640, 480)),
    };
    let reserved = ReservedFile { id, owner: owner.clone(), bytes: 9 };
    scenario.history.reserve_file(&reserved, FileQuotas::default(), 1).expect("there is space");
    assert!(scenario.history.store_file(&owner, &file, 2));
}

fn id(number: u8) -> String {
    FileId::from_bytes([number; 16]).to_string()
}

/// A client sends a message with files to the room `tech`.
fn send(scenario: &mut Scenario, client: ClientId, nonce: &str, text: &str, files: &[u8]) {
    let files: Vec<String> = files.iter().map(|number| id(*number)).collect();
    let frame = json!({"type": "message", "room": "tech", "text": text, "nonce": nonce, "files": files});
    scenario.request(client, frame);
}

/// The answer to one more frame.
fn answer(scenario: &mut Scenario, client: ClientId, frame: Value) -> Vec<String> {
    scenario.frames(client);
    scenario.request(client, frame);
    scenario.received(client)
}

/// Alice's and bob's clients in the room `tech`, and three files of alice.
fn with_uploads() -> (Scenario, [ClientId; 2]) {
    let mut scenario = Scenario::with(|options| options.files_base = "https://chat.example".into());
    for (number, called) in [(1, "кот.png"), (2, "a b.txt"), (3, "c")] {
        upload(&mut scenario, "alice", number, called);
    }
    let clients = ["alice", "bob"].map(|user| scenario.open_in_room(user, "tech"));
    for client in clients {
        scenario.frames(client);
    }
    (scenario, clients)
}

#[test]
fn everybody_is_sent_the_files_of_a_message_live_and_in_replays() {
    let (mut scenario, [alice, bob]) = with_uploads();
    send(&mut scenario, alice, "n", " ", &[2, 1]);
    let files = json!([
        {"id": id(2), "name": "a b.txt", "type": "image/png", "size": 7},
        {"id": id(1), "name": "кот.png", "type": "image/png", "size": 7, "width": 640, "height": 480},
    ]);
    let timestamp = scenario.now.wall_ms / 1000;
    let expected = json!({"type": "message", "room": "tech", "seq": 1, "from": "alice", "text": "",
        "timestamp": timestamp, "nonce": "n", "files": files});
    assert_eq!(scenario.frames(bob), std::slice::from_ref(&expected));
    assert_eq!(scenario.received(alice), ["ack n 1", "1 alice: "]);
    let carol = scenario.open_v2("carol");
    scenario.frames(carol);
    scenario.join(carol, "tech");
    assert_eq!(scenario.frames(carol)[1], expected);
    scenario.request(bob, json!({"type": "history", "room": "tech", "fold": true}));
    assert_eq!(scenario.frames(bob).pop().expect("a page")["messages"], json!([expected]));
    scenario.request(alice, json!({"type": "private", "to": "bob", "nonce": "p", "files": [id(3)]}));
    let private = scenario.frames(bob).pop().expect("a message");
    assert_eq!(private["files"], json!([{"id": id(3), "name": "c", "type": "image/png", "size": 7}]));
    assert_eq!((&private["type"], &private["text"]), (&json!("private"), &json!("")));
}

#[test]
fn v1_clients_get_a_line_for_each_file() {
    let (mut scenario, [alice, bob]) = with_uploads();
    let old = scenario.open("carol", "tech");
    scenario.received(old);
    send(&mut scenario, alice, "n", "look", &[1, 2]);
    send(&mut scenario, alice, "o", "", &[3]);
    let base = "https://chat.example/files";
    let lines = [
        format!(
            "alice: look\n📎 кот.png {base}/{}/%D0%BA%D0%BE%D1%82.png\n📎 a b.txt {base}/{}/a%20b.txt",
            id(1),
            id(2)
        ),
        format!("alice: 📎 c {base}/{}/c", id(3)),
    ];
    assert_eq!(scenario.received(old), lines);
    // Also one that joins later, and after the files were read from the log again.
    scenario.request(bob, json!({"type": "react", "room": "tech", "target": 1, "emoji": "👍", "nonce": "r"}));
    let later = scenario.open("dave", "tech");
    assert_eq!(scenario.received(later)[..2], lines);
    // A deleted one is left out, and what stays after an edit is shown.
    let change = |kind, target, nonce| json!({"type": kind, "room": "tech", "target": target, "nonce": nonce, "text": ""});
    scenario.request(alice, change("edit", 1, "e"));
    scenario.request(alice, change("delete", 2, "d"));
    let last = scenario.open("erin", "tech");
    let got = scenario.received(last);
    assert!(got[0].starts_with("alice: 📎 кот.png ") && got[1] == "+erin", "{got:?}");
}

#[test]
fn without_a_public_url_an_address_is_a_path() {
    let mut scenario = Scenario::new();
    upload(&mut scenario, "alice", 1, "a");
    let old = scenario.open("alice", "tech");
    let alice = scenario.open_in_room("alice", "tech");
    scenario.received(old);
    send(&mut scenario, alice, "n", "", &[1]);
    assert_eq!(scenario.received(old), [format!("alice: 📎 a /files/{}/a", id(1))]);
}

#[test]
fn bad_files_and_blank_texts_are_refused_and_their_nonces_can_be_used() {
    let (mut scenario, [alice, bob]) = with_uploads();
    upload(&mut scenario, "bob", 4, "d");
    let message =
        |files: Value| json!({"type": "message", "room": "tech", "text": "a", "nonce": "n", "files": files});
    let eleven: Vec<String> = (1..=11).map(id).collect();
    for files in [
        json!([id(4)]),
        json!([id(1), id(9)]),
        json!([id(1), id(1)]),
        json!(["x"]),
        json!([7]),
        json!("x"),
        json!(eleven),
    ] {
        assert_eq!(answer(&mut scenario, alice, message(files.clone())), ["error bad_request n"], "{files}");
    }
    let without = json!({"type": "message", "room": "tech", "text": " ", "nonce": "n", "files": []});
    assert_eq!(answer(&mut scenario, alice, without), ["error bad_request n"]);
    assert_eq!(answer(&mut scenario, alice, message(json!([id(1)]))), ["ack n 1", "1 alice: a"]);
    // A retry gets the first result, whatever it names.
    assert_eq!(answer(&mut scenario, alice, message(json!([id(4), id(9)]))), ["ack n 1 again"]);
    let again = json!({"type": "message", "room": "tech", "text": "a", "nonce": "o", "files": [id(1)]});
    assert_eq!(answer(&mut scenario, alice, again), ["error bad_request o"]);
    scenario.send_v2(bob, "tech", "b");
    let edit = |target: u64, text: Value| json!({"type": "edit", "room": "tech", "target": target, "text": text, "nonce": "e"});
    assert_eq!(answer(&mut scenario, bob, edit(2, json!(" "))), ["error bad_request e"]);
    assert_eq!(answer(&mut scenario, bob, edit(2, json!("c"))), ["ack e 3", "3 bob edits 2: c"]);
    assert_eq!(answer(&mut scenario, alice, edit(1, Value::Null)), ["error bad_request e"]);
    assert_eq!(answer(&mut scenario, alice, edit(1, json!(" "))), ["ack e 4", "4 alice edits 1: "]);
}

#[test]
fn a_page_that_was_read_before_a_deletion_shows_no_files_and_one_before_an_edit_shows_them() {
    let (mut scenario, [alice, bob]) = with_uploads();
    send(&mut scenario, alice, "n", "a", &[1]);
    send(&mut scenario, alice, "o", "b", &[2]);
    scenario.frames(bob);
    scenario.hold_reads = true;
    scenario.request(bob, json!({"type": "history", "room": "tech", "fold": true}));
    let (read, page) = scenario.take_answer();
    scenario.request(alice, json!({"type": "delete", "room": "tech", "target": 1, "nonce": "d"}));
    scenario.request(alice, json!({"type": "edit", "room": "tech", "target": 2, "text": "", "nonce": "e"}));
    scenario.frames(bob);
    scenario.turn(Input::Answer { id: read, answer: &page });
    let frames = scenario.frames(bob);
    let messages = &frames[0]["messages"];
    assert_eq!((&messages[0]["deleted"], &messages[0]["files"]), (&json!(true), &Value::Null));
    assert_eq!((&messages[1]["text"], &messages[1]["files"][0]["name"]), (&json!(""), &json!("a b.txt")));
}

#[test]
fn recent_frames_forget_the_files_of_a_deleted_message() {
    let (mut scenario, [alice, _]) = with_uploads();
    send(&mut scenario, alice, "n", "a", &[1]);
    scenario.request(alice, json!({"type": "delete", "room": "tech", "target": 1, "nonce": "d"}));
    let carol = scenario.open_in_room("carol", "other");
    for fold in [true, false] {
        scenario.request(carol, json!({"type": "join", "room": "tech", "fold": fold}));
        let frames = scenario.frames(carol);
        let message = frames.iter().find(|frame| frame["type"] == "message").expect("it is there");
        assert_eq!((&message["deleted"], &message["files"]), (&json!(true), &Value::Null));
        scenario.request(carol, json!({"type": "leave", "room": "tech"}));
        scenario.frames(carol);
    }
}

#[test]
fn files_are_announced_where_the_server_takes_them() {
    for max in [None, Some(1_000)] {
        let mut scenario = Scenario::with(|options| options.file_max_bytes = max);
        let alice = scenario.open_v2("alice");
        let hello = scenario.frames(alice).remove(0);
        let features = hello["features"].as_array().expect("features");
        assert_eq!(features.contains(&json!("files")), max.is_some());
        assert_eq!(hello["limits"]["file_max_bytes"].as_u64(), max);
        assert_eq!(hello["limits"]["files_max"].as_u64(), max.map(|_| 10));
    }
}

/// The names count for the bytes of a page.
#[test]
fn a_page_of_many_files_fits_into_a_frame() {
    let mut scenario = Scenario::with(|options| options.rate = None);
    let alice = scenario.open_in_room("alice", "tech");
    for message in 0..25_u8 {
        let numbers: Vec<u8> = (message * 10..message * 10 + 10).collect();
        for number in &numbers {
            upload(&mut scenario, "alice", *number, &"\"".repeat(255));
        }
        send(&mut scenario, alice, &format!("n{message}"), "", &numbers);
    }
    scenario.frames(alice);
    let mut seen = 0;
    let mut before = 26;
    while before > 1 {
        let page = json!({"type": "history", "room": "tech", "before": before, "limit": 100});
        scenario.request(alice, page);
        let frame = scenario.frames(alice).pop().expect("a page");
        assert!(frame.to_string().len() < 128 * 1024, "{}", frame.to_string().len());
        let messages = frame["messages"].as_array().expect("messages");
        assert!(messages.iter().all(|message| message["files"].as_array().map(Vec::len) == Some(10)));
        seen += messages.len();
        before = messages[0]["seq"].as_u64().expect("a number");
    }
    assert_eq!(seen, 25);
}
