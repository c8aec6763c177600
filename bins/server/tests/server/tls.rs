//! TLS in the server: requests, sockets, its certificate, and the port without TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::{Authority, Https, Process, Request};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::version::{TLS12, TLS13};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::{Error, Message};

/// A server with a certificate of an authority that only its clients trust.
struct Secured {
    process: Process,
    authority: Authority,
    address: SocketAddr,
    folder: TempDir,
}

impl Secured {
    async fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let (certificate, key) = files(folder.path());
        authority.issue(&certificate, &key);
        let mut command = Process::command(&folder.path().join("data"));
        command.arg("--tls-certificate").arg(certificate).arg("--tls-key").arg(key);
        command.args(["--http-listen", "127.0.0.1:0", "--message-rate", "off"]).args(flags);
        let process = Process::spawn(command);
        let address = process.until_listening().await;
        Self { process, authority, address, folder }
    }

    fn client(&self) -> Https {
        self.authority.client(self.address, &[&TLS13, &TLS12])
    }

    /// The address without TLS.
    async fn http(&self) -> SocketAddr {
        self.process.logged_address("redirecting HTTP to HTTPS").await
    }
}

fn files(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("chat.pem"), folder.join("chat.key"))
}

/// The longest text that the tests send.
const LONG: [&str; 2] = ["--text-max-chars", "60000"];

#[tokio::test]
async fn people_chat_over_both_versions_of_tls() {
    let server = Secured::start(&LONG).await;
    for (version, room) in [(&TLS13, "first"), (&TLS12, "second")] {
        let client = server.authority.client(server.address, &[version]);
        let (alice, line) = client.register(&format!("alice-{room}")).await;
        assert!(line.ends_with("; Secure"), "{line}");
        let (bob, _) = client.register(&format!("bob-{room}")).await;
        let mut alice = client.enter(&alice, room).await;
        let mut bob = client.enter(&bob, room).await;
        let texts: Vec<String> = (0..20).map(|number| format!("{number} {}", "д".repeat(29_000))).collect();
        for (number, text) in texts.iter().enumerate() {
            alice.post(room, text, &format!("n{number}")).await;
        }
        bob.post(room, "hi", "n").await;
        let mut from_alice = Vec::new();
        while from_alice.len() < texts.len() {
            let frame = bob.next().await;
            if frame["type"] == "message" && frame["text"] != "hi" {
                from_alice.push(frame["text"].as_str().unwrap().to_owned());
            }
        }
        assert!(from_alice == texts, "they arrive as they were sent");
        let replay = client.enter(&client.register(&format!("carol-{room}")).await.0, room).await.replay;
        assert_eq!(replay.len(), 1 + texts.len() + 1);

        // A close by the client, and the end of the server's side with it.
        alice.stream.send(Message::Close(None)).await.unwrap();
        while let Some(message) = alice.stream.next().await {
            match message {
                Ok(_) | Err(Error::ConnectionClosed) => {}
                Err(error) => panic!("the connection does not end in order: {error}"),
            }
        }
    }
}

/// What a client has sent before it ends its side is stored; the server then ends its own.
#[tokio::test]
async fn the_end_of_one_side_ends_the_connection_in_order() {
    let server = Secured::start(&[]).await;
    let client = server.client();
    let mut bob = client.enter(&client.register("bob").await.0, "room").await;
    let mut alice = client.enter(&client.register("alice").await.0, "room").await;
    alice.post("room", "last words", "n").await;
    let mut stream = alice.stream.into_inner();
    // close_notify, and the end of the stream of TCP.
    stream.shutdown().await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut Vec::new())).await;
    ended.expect("it ends").expect("with close_notify");
    while bob.next().await["text"] != "last words" {}

    // Bytes that are no TLS end the connection, and no other one.
    let carol = client.enter(&client.register("carol").await.0, "room").await;
    let mut stream = carol.stream.into_inner();
    stream.get_mut().0.write_all(&[0xFF; 1_000]).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut Vec::new())).await;
    assert!(ended.expect("it ends").is_err(), "by an alert");
    bob.post("room", "still here", "m").await;
    while bob.next().await["text"] != "still here" {}
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_closed_and_slows_nobody_down() {
    let server = Secured::start(&LONG).await;
    let client = server.client();
    let mut alice = client.enter(&client.register("alice").await.0, "room").await;
    let (bob, _) = client.register("bob").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let stream = client.secure(socket.connect(server.address).await.unwrap()).await.unwrap();
    let mut bob = client.open(stream, &bob).await;
    bob.join(&json!({ "type": "join", "room": "room" })).await;
    let is_closed = async || {
        let metrics = client.send(Request::get("/metrics")).await;
        String::from_utf8(metrics.body).unwrap().contains("chat_slow_closes_total{shard=\"0\"} 1\n")
    };
    let mut sent = 0;
    while !is_closed().await {
        assert!(sent < 400, "not closed with 24 MB unread");
        for _ in 0..5 {
            alice.post("room", &format!("{sent} {}", "x".repeat(59_000)), &format!("n{sent}")).await;
            alice.until_answered(&format!("n{sent}")).await;
            sent += 1;
        }
    }
    // The frames that were written before arrive whole, and then the close frame.
    let mut received = 0;
    let code = loop {
        match bob.next_or_close().await {
            Ok(frame) if frame["type"] == "message" => {
                assert!(frame["text"].as_str().unwrap().starts_with(&format!("{received} ")));
                received += 1;
            }
            Ok(_) => {}
            Err(code) => break code,
        }
    };
    assert_eq!(code, Some(1013));
    assert!(received < sent, "{received} of {sent}");
}

#[tokio::test]
async fn a_new_certificate_is_used_while_sockets_stay() {
    let server = Secured::start(&[]).await;
    let client = server.client();
    let mut alice = client.enter(&client.register("alice").await.0, "room").await;
    let (certificate, key) = files(server.folder.path());
    let first = client.certificate().await;
    let metrics = String::from_utf8(client.send(Request::get("/metrics")).await.body).unwrap();
    let end =
        metrics.lines().find_map(|line| line.strip_prefix("chat_tls_certificate_expires_timestamp_seconds "));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(end.unwrap().parse::<f64>().unwrap() > now, "{metrics}");

    // Half of a renewal: the key does not belong to the certificate. The old pair stays.
    let good_key = std::fs::read(&key).unwrap();
    server.authority.issue(&server.folder.path().join("other.pem"), &key);
    server.process.signal("-HUP").await;
    server.process.until_logged("the new certificate cannot be used; the old one stays in use").await;
    assert_eq!(client.certificate().await, first);

    // Without a signal, too.
    std::fs::copy(server.folder.path().join("other.pem"), &certificate).unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while client.certificate().await == first {
        assert!(tokio::time::Instant::now() < deadline, "the new certificate is not used");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let second = client.certificate().await;

    for broken in [&b"no certificate"[..], &good_key] {
        std::fs::write(&certificate, broken).unwrap();
        server.process.signal("-HUP").await;
    }
    std::fs::remove_file(&certificate).unwrap();
    server.process.signal("-HUP").await;
    server.process.until_logged("chat.pem cannot be read").await;
    assert_eq!(client.certificate().await, second);

    alice.post("room", "still here", "n").await;
    while alice.next().await["text"] != "still here" {}
}

#[tokio::test]
async fn without_a_certificate_that_can_be_used_the_server_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = files(folder.path());
    let start = async || {
        let mut command = Process::command(&folder.path().join("data"));
        command.arg("--tls-certificate").arg(&certificate).arg("--tls-key").arg(&key);
        Process::spawn(command).complaint().await
    };
    assert!(start().await.contains("chat.pem cannot be read: No such file"));
    Authority::new().issue(&certificate, &folder.path().join("other.key"));
    std::fs::copy(&certificate, &key).unwrap();
    let sentence = start().await;
    assert!(sentence.contains("chat.key: the key is not in PEM, or is encrypted"), "{sentence}");
    Authority::new().issue(&folder.path().join("other.pem"), &key);
    let sentence = start().await;
    assert!(sentence.contains("the certificate cannot be used with the key"), "{sentence}");
}

#[tokio::test]
async fn http_is_sent_to_https() {
    let server = Secured::start(&[]).await;
    let http = server.http().await;
    for (request, path) in [
        (Request::get("/r/кухня?a=b"), "/r/кухня?a=b"),
        (Request::post("/api/login").body(b"{}"), "/api/login"),
        (Request::get("//evil.example/"), "//evil.example/"),
        (Request::get("/metrics"), "/metrics"),
    ] {
        let answer = request.send(http).await;
        assert_eq!(answer.status, 308);
        let expected = format!("https://127.0.0.1:{}{path}", server.address.port());
        assert_eq!(answer.header("location"), Some(&*expected));
        assert_eq!(answer.header("strict-transport-security"), None);
    }
    let answer = Request::get("/.well-known/acme-challenge/unknown").send(http).await;
    assert_eq!(answer.status, 404);

    // Without TLS on the port with TLS.
    let answer = Request::get("/").send(server.address).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.body, b"This port speaks HTTPS only: use https:// in the URL.\n");

    // A public URL says where to, and has browsers remember it.
    let server = Secured::start(&["--public-url", "https://chat.example.org"]).await;
    let answer = Request::get("/x").send(server.http().await).await;
    assert_eq!(answer.header("location"), Some("https://chat.example.org/x"));
    let answer = server.client().send(Request::get("/healthz")).await;
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_server"));
    let (certificate, key) = files(server.folder.path());
    command.env_clear().args(["healthcheck", "--listen", &server.address.to_string()]);
    command.arg("--tls-certificate").arg(certificate).arg("--tls-key").arg(key);
    assert!(command.status().await.unwrap().success());
}

/// Connections that say nothing, or half of something, keep nobody out and are closed.
#[tokio::test]
async fn unfinished_handshakes_keep_nobody_out() {
    let server = Secured::start(&[]).await;
    let mut unfinished = Vec::new();
    for number in 0..100 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // The beginning of a ClientHello.
        if number % 2 == 0 {
            stream.write_all(&[0x16, 3, 1, 1, 0, 1]).await.unwrap();
        }
        unfinished.push(stream);
    }
    let client = server.client();
    assert_eq!(client.send(Request::get("/healthz")).await.status, 200);
    for mut stream in unfinished {
        let ended = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut [0])).await;
        assert!(matches!(ended.expect("it is closed"), Ok(0) | Err(_)));
    }
    // They are counted right after the end that the clients have seen.
    let counted = async {
        loop {
            let metrics = String::from_utf8(client.send(Request::get("/metrics")).await.body).unwrap();
            if metrics.contains("chat_tls_handshakes_total{outcome=\"too_late\"} 100\n") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), counted).await.expect("all are counted");
}

#[tokio::test]
async fn a_server_that_stops_closes_its_sockets_in_order() {
    let mut server = Secured::start(&[]).await;
    let client = server.client();
    let mut alice = client.enter(&client.register("alice").await.0, "room").await;
    server.process.terminate().await;
    assert_eq!(alice.close_code().await, Some(1012));
    while let Some(message) = alice.stream.next().await {
        assert!(matches!(message, Ok(_) | Err(Error::ConnectionClosed)), "{message:?}");
    }
    assert!(server.process.ended().await.success());
}
