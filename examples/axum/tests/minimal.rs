//! The smallest host: its lines for the chat are counted, it is the one that the documents show, and
//! it works.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const SOURCE: &str = include_str!("../src/bin/axum-minimal.rs");

/// Every line but blank ones and comments, with the `use` lines: those of the part for the chat, and those
/// of the host that the chat needs.
#[test]
fn the_chat_takes_at_most_thirty_lines() {
    let start = SOURCE.find("// The lines for the chat").unwrap();
    let end = SOURCE.find("#[tokio::main]").unwrap();
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    let part = SOURCE[start..end].lines().filter(is_code).count();
    let marked = SOURCE[end..].lines().filter(|line| line.ends_with("// chat")).count();
    // What names the chat elsewhere would not be counted.
    let (before, after) = (&SOURCE[..start], &SOURCE[end..]);
    for name in ["chat_http", "chat_store", "start_chat(", "chat.", "stores.", "with_peer"] {
        let mut others = before.lines().chain(after.lines()).filter(|line| !line.starts_with("//!"));
        let unmarked = others.find(|line| line.contains(name) && !line.ends_with("// chat"));
        assert_eq!(unmarked, None, "it is for the chat, and is not marked");
    }
    assert!(part + marked <= 30, "{part} and {marked} lines");
}

#[test]
fn the_documents_show_it_whole() {
    let document = include_str!("../../../docs/embedding.md");
    let (_, code) = SOURCE.split_once("\n\n").unwrap();
    assert!(document.contains(&format!("```rust\n{code}```\n")), "docs/embedding.md has another one");
}

struct Host {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Host {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_axum-minimal"))
            .arg("127.0.0.1:0")
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split('/').nth(2).unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        Self { process, address, _folder: folder }
    }

    /// The head and the body of an answer.
    async fn call(&self, method: &str, path: &str, cookie: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_ascii_lowercase(), body.to_owned())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn its_users_chat_in_it() {
    let mut host = Host::start();
    let (head, body) = host.call("GET", "/chat/", "").await;
    assert!(head.starts_with("http/1.1 200") && body.contains("<!doctype html>"), "{head}");
    let (head, _) = host.call("GET", "/chat/api/me", "").await;
    assert!(head.starts_with("http/1.1 401"), "{head}");
    let (_, server) = host.call("GET", "/chat/api/server", "").await;
    assert!(server.contains(r#""sign_in_url":"/sign-in""#), "{server}");

    let (_, form) = host.call("GET", "/sign-in?next=/chat/", "").await;
    assert!(form.contains("<form>"), "{form}");
    let (head, _) = host.call("GET", "/sign-in?name=alice", "").await;
    assert!(head.contains("location: /chat/"), "{head}");
    let cookie = head.split_once("set-cookie: ").unwrap().1.split(';').next().unwrap();
    let (_, me) = host.call("GET", "/chat/api/me", cookie).await;
    assert!(me.contains(r#""username":"alice""#), "{me}");

    let mut request = format!("ws://{}/chat/ws", host.address).into_client_request().unwrap();
    for (name, value) in [("cookie", cookie), ("sec-websocket-protocol", "chat.v2")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(&host.address).await.unwrap();
    let (mut socket, _) = client_async(request, stream).await.unwrap();
    let frames = [
        json!({"type": "join", "room": "default"}),
        json!({"type": "message", "room": "default", "text": "hello", "nonce": "1"}),
    ];
    for frame in frames {
        socket.send(Message::text(frame.to_string())).await.unwrap();
    }
    let acknowledged = async {
        loop {
            let frame = socket.next().await.unwrap().unwrap();
            let frame: Value = serde_json::from_str(frame.to_text().unwrap()).unwrap_or_default();
            if frame["type"] == "ack" {
                return frame["seq"].clone();
            }
        }
    };
    let acknowledged = tokio::time::timeout(Duration::from_secs(30), acknowledged).await;
    assert_eq!(acknowledged.unwrap(), 1);

    // Signing out in the chat ends the session of the host, and the socket.
    let (head, _) = host.call("POST", "/chat/api/logout", cookie).await;
    assert!(head.contains("set-cookie: user=; path=/; max-age=0"), "{head}");
    let closed = async {
        while socket.next().await.is_some_and(|frame| frame.is_ok_and(|frame| !frame.is_close())) {}
    };
    tokio::time::timeout(Duration::from_secs(30), closed).await.unwrap();

    let interrupted = Command::new("kill").args(["-INT", &host.process.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let status = tokio::task::spawn_blocking(move || host.process.wait().map(|status| (status, host)));
    let (status, _host) = status.await.unwrap().unwrap();
    assert!(status.success(), "{status}");
}
