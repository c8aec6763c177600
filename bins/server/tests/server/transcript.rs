//! The transcript in `docs/protocol.md` is recorded from a client and a whole
//! server.

use std::path::Path;

use crate::common::{Person, Setup, Socket, Store, TestServer, published};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

/// The frames on one user's connections, line by line.
#[derive(Default)]
struct Transcript {
    text: String,
}

impl Transcript {
    fn note(&mut self, note: &str) {
        self.text += &format!("# {note}\n");
    }

    async fn send(&mut self, socket: &mut Socket, frame: &str) {
        self.text += &format!("→ {frame}\n");
        socket.send_text(frame).await;
    }

    /// Records the next frames of the server; returns the last one.
    async fn receive(&mut self, socket: &mut Socket, count: usize) -> Value {
        let mut last = Value::Null;
        for _ in 0..count {
            last = loop {
                match socket.stream.next().await.unwrap().unwrap() {
                    Message::Text(text) => {
                        self.text += &format!("← {text}\n");
                        let frame = serde_json::from_str(&text).unwrap();
                        published::check(&frame);
                        break frame;
                    }
                    Message::Close(frame) => {
                        let code = u16::from(frame.unwrap().code);
                        self.text += &format!("← close {code}\n");
                        break Value::Null;
                    }
                    _ => {}
                }
            };
        }
        last
    }

    async fn connect(&mut self, person: &Person) -> (Socket, Value) {
        let mut socket = person.open_with("", Some("chat.v2")).await.unwrap();
        let hello = self.receive(&mut socket, 1).await;
        (socket, hello)
    }
}

/// A connection is lost before an answer arrives; the client resumes, and sends the
/// unanswered message again.
async fn record() -> String {
    let mut server = TestServer::start(Setup { store: Store::Sqlite, shards: 1 }).await;
    let alice = server.person("alice").await;
    let mut bob = server.person("bob").await.enter_v2("tech").await;
    for (nonce, text) in [("b1", "Кто-нибудь здесь?"), ("b2", "Ау!")] {
        bob.post("tech", text, nonce).await;
        bob.until_answered(nonce).await;
    }

    let mut lines = Transcript::default();
    lines.note("GET /ws with Cookie: auth=… and Sec-WebSocket-Protocol: chat.v2");
    let (mut socket, hello) = lines.connect(&alice).await;
    let epoch = hello["epoch"].as_str().unwrap();
    lines.send(&mut socket, r#"{"type":"join","room":"tech","ref":"1"}"#).await;
    lines.receive(&mut socket, 3).await;
    lines.send(&mut socket, r#"{"type":"message","room":"tech","text":"Я здесь.","nonce":"a1"}"#).await;
    // Her first message makes alice a member.
    lines.receive(&mut socket, 3).await;
    bob.post("tech", "Привет, Алиса!", "b3").await;
    lines.receive(&mut socket, 1).await;
    lines.send(&mut socket, r#"{"type":"message","room":"tech","text":"Привет, Боб!","nonce":"a2"}"#).await;
    while bob.next().await["nonce"] != "a2" {}
    drop(socket);
    lines.note("The connection is lost, and with it the answer to a2. Others go on.");

    bob.post("tech", "Алиса?", "b4").await;
    bob.until_answered("b4").await;
    bob.send_text(r#"{"type":"private","to":"alice","text":"Ты где?","nonce":"b5"}"#).await;
    bob.until_answered("b5").await;

    lines.note("A new connection. It has everything of the room up to 4, in this epoch.");
    let (mut socket, _) = lines.connect(&alice).await;
    let join = format!(r#"{{"type":"join","room":"tech","since":4,"epoch":"{epoch}","ref":"2"}}"#);
    lines.send(&mut socket, &join).await;
    lines.receive(&mut socket, 3).await;
    lines.note(
        "a2 was stored after all: it is in the replay. Its answer was lost, so the client sends it again:",
    );
    lines.send(&mut socket, r#"{"type":"message","room":"tech","text":"Привет, Боб!","nonce":"a2"}"#).await;
    lines.receive(&mut socket, 1).await;
    lines.note("hello said that bob's conversation goes to 1, which this client does not have yet:");
    lines.send(&mut socket, r#"{"type":"history","with":"bob","after":0,"ref":"3"}"#).await;
    lines.receive(&mut socket, 1).await;
    lines.note("A room of which it has something from another epoch: that is refused, as a whole.");
    lines.send(&mut socket, r#"{"type":"leave","room":"tech","ref":"4"}"#).await;
    lines.receive(&mut socket, 1).await;
    lines
        .send(
            &mut socket,
            r#"{"type":"join","room":"tech","since":6,"epoch":"of-a-lost-database","ref":"5"}"#,
        )
        .await;
    lines.receive(&mut socket, 7).await;
    lines.note("The server is restarted.");
    let (status, _) = tokio::join!(server.terminate(), lines.receive(&mut socket, 2));
    assert!(status.success());
    lines.text
}

/// The transcript without what differs from run to run.
fn shape(transcript: &str) -> Vec<String> {
    let mut epochs: Vec<String> = Vec::new();
    let mut shape = Vec::new();
    for line in transcript.lines() {
        let Some((direction, frame)) =
            line.split_once(' ').filter(|(direction, frame)| *direction != "#" && frame.starts_with('{'))
        else {
            shape.push(line.to_owned());
            continue;
        };
        let mut frame: Value = serde_json::from_str(frame).unwrap();
        for (name, value) in frame.as_object_mut().unwrap() {
            match (name.as_str(), value) {
                ("timestamp" | "after_ms", value) => *value = Value::Null,
                ("epoch", Value::String(epoch)) => {
                    // Only which one it is matters, not its name.
                    let index = epochs.iter().position(|known| known == epoch).unwrap_or(epochs.len());
                    epochs.push(epoch.clone());
                    *epoch = index.min(epochs.len()).to_string();
                }
                ("messages", Value::Array(messages)) => {
                    messages.iter_mut().for_each(|message| message["timestamp"] = Value::Null);
                }
                ("rooms" | "privates", Value::Array(places)) => {
                    places.iter_mut().for_each(|place| place["at"] = Value::Null);
                }
                _ => {}
            }
        }
        shape.push(format!("{direction} {frame}"));
    }
    shape
}

/// To record it again: `UPDATE_DOCS=1 cargo test -p server --test server transcript`.
#[tokio::test]
async fn the_documented_transcript_is_what_happens() {
    let recorded = record().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once("<!-- transcript -->\n```text\n").unwrap();
    let (documented, after) = rest.split_once("```\n<!-- end of transcript -->").unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let text =
            format!("{before}<!-- transcript -->\n```text\n{recorded}```\n<!-- end of transcript -->{after}");
        std::fs::write(&path, text).unwrap();
    } else {
        assert_eq!(
            shape(documented),
            shape(&recorded),
            "docs/protocol.md: UPDATE_DOCS=1 cargo test -p server --test server transcript"
        );
    }
}
