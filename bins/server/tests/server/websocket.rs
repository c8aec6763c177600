//! The cases of RFC 6455 against the real server, in raw frames: no library helps the client.
//!
//! They are those of Autobahn's test suite, which needs an echo. Here a message of a v1 client is
//! the echo: the server sends it back as a frame with the same text. Binary messages have no
//! meaning, and compression (cases 12 and 13) is not offered.

use std::time::{Duration, Instant};

use crate::common::{Person, Setup, Store, TestServer, tool};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SETUP: Setup = Setup { store: Store::Memory, shards: 1 };

const CONTINUE: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// The bit of the last frame of a message.
const FINAL: u8 = 0x80;

/// A frame of a client with this first byte: masked, its length in the shortest form.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = header(first, payload.len() as u64, 0x80);
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn header(first: u8, length: u64, masked: u8) -> Vec<u8> {
    match length {
        0..126 => vec![first, masked | length as u8],
        126..0x1_0000 => [&[first, masked | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, masked | 127][..], &length.to_be_bytes()].concat(),
    }
}

/// A message whose text comes back.
fn message(text: &str) -> Vec<u8> {
    json!({ "text": text }).to_string().into_bytes()
}

struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

/// What the server sent.
#[derive(Debug, PartialEq)]
enum Got {
    Text(String),
    Pong(Vec<u8>),
    Close(Option<u16>),
    /// The end without a close frame.
    End,
}

impl Raw {
    async fn open(person: &Person) -> Self {
        let mut stream = TcpStream::connect(person.server).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let upgrade = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nCookie: {}\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            person.server, person.cookie
        );
        stream.write_all(upgrade.as_bytes()).await.unwrap();
        let mut raw = Self { stream, read: Vec::new() };
        let head = loop {
            if let Some(end) = raw.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break String::from_utf8(raw.read.drain(..end + 4).collect()).unwrap();
            }
            assert!(raw.more().await, "no answer");
        };
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        assert!(!head.to_ascii_lowercase().contains("sec-websocket-extensions"), "{head}");
        raw
    }

    async fn send(&mut self, bytes: &[u8]) {
        // The server may have closed already.
        let _ = self.stream.write_all(bytes).await;
    }

    async fn more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let read = timeout(Duration::from_secs(30), self.stream.read(&mut bytes)).await;
        let read = read.expect("the server sends something within 30 s").unwrap_or(0);
        self.read.extend(&bytes[..read]);
        read > 0
    }

    /// The next frame that is no notice, nor a message of before.
    async fn next(&mut self) -> Got {
        loop {
            while self.read.len() < 2 {
                if !self.more().await {
                    return Got::End;
                }
            }
            assert_eq!(self.read[1] & 0x80, 0, "a server masks nothing");
            assert_eq!(self.read[0] & 0x70, 0, "no extension");
            let (size, length) = loop {
                let read = &self.read;
                match read[1] {
                    126 if read.len() >= 4 => break (4, usize::from(u16::from_be_bytes([read[2], read[3]]))),
                    127 if read.len() >= 10 => {
                        break (10, u64::from_be_bytes(read[2..10].try_into().unwrap()) as usize);
                    }
                    length @ 0..126 => break (2, usize::from(length)),
                    _ => assert!(self.more().await, "half a header"),
                }
            };
            while self.read.len() < size + length {
                assert!(self.more().await, "half a frame");
            }
            let first = self.read[0];
            let payload: Vec<u8> = self.read.drain(..size + length).skip(size).collect();
            assert_ne!(first & FINAL, 0, "the server does not fragment");
            match first & 0x0f {
                TEXT => {
                    let value: Value = serde_json::from_slice(&payload).unwrap();
                    if value["type"] == "message" {
                        return Got::Text(value["text"].as_str().unwrap().to_owned());
                    }
                }
                PONG => return Got::Pong(payload),
                PING => {}
                CLOSE => {
                    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    str::from_utf8(payload.get(2..).unwrap_or_default()).unwrap();
                    return Got::Close(code);
                }
                other => panic!("opcode {other}"),
            }
        }
    }

    /// The close frame of the server, before which nothing may come, and the end behind it.
    async fn closed(&mut self, case: &str) -> Option<u16> {
        let got = self.next().await;
        let Got::Close(code) = got else { panic!("{case}: {got:?}") };
        self.send(&frame(FINAL | CLOSE, &code.unwrap_or(1000).to_be_bytes())).await;
        assert_eq!(self.next().await, Got::End, "{case}");
        code
    }
}

async fn alice(server: &TestServer) -> Person {
    server.person("alice").await
}

async fn start() -> TestServer {
    TestServer::start_with(SETUP, &["--message-rate", "off", "--socket-opens-per-minute", "100000"]).await
}

#[tokio::test]
async fn good_frames_are_understood_in_whatever_parts_they_come() {
    let server = start().await;
    let alice = alice(&server).await;
    let long = "ж".repeat(4_000);
    let texts = ["a", "κόσμε, ж, 你好, 🎉", "\u{fffe}\u{ffff}\u{10ffff}", &long];
    let mut number = 0;
    for text in texts {
        for way in 0..WAYS {
            for is_chopped in [false, true] {
                // Earlier messages are replayed: each text is another one.
                number += 1;
                let text = format!("{text} {number}");
                let payload = message(&text);
                let (how, bytes) = in_parts(&payload, way);
                // Single bytes of long messages say nothing more, and last.
                if payload.len() > 900 && (is_chopped || how == "byte by byte") {
                    continue;
                }
                let case = format!("{number}: {how}, chopped: {is_chopped}");
                let mut raw = Raw::open(&alice).await;
                if is_chopped {
                    for byte in &bytes {
                        raw.send(&[*byte]).await;
                    }
                } else {
                    raw.send(&bytes).await;
                }
                loop {
                    match raw.next().await {
                        Got::Text(got) if got == text => break,
                        Got::Text(earlier) => assert!(!earlier.ends_with(&format!(" {number}")), "{case}"),
                        Got::Pong(payload) => assert_eq!(payload, b"between", "{case}"),
                        got => panic!("{case}: {got:?}"),
                    }
                }
            }
        }
    }
}

/// How many ways [`in_parts`] knows.
const WAYS: usize = 6;

/// A message as a client may split it, in the way with that number.
fn in_parts(payload: &[u8], way: usize) -> (&'static str, Vec<u8>) {
    let split = |parts: usize, between: &[u8]| {
        let parts: Vec<_> = payload.chunks(payload.len().div_ceil(parts)).collect();
        let mut bytes = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let last = if index + 1 == parts.len() { FINAL } else { 0 };
            bytes.extend(frame(last | if index == 0 { TEXT } else { CONTINUE }, part));
            if last == 0 {
                bytes.extend(between);
            }
        }
        bytes
    };
    match way {
        0 => ("in one frame", frame(FINAL | TEXT, payload)),
        1 => ("in two", split(2, &[])),
        2 => ("in five with pings", split(5, &frame(FINAL | PING, b"between"))),
        3 => ("with pongs nobody asked for", split(3, &frame(FINAL | PONG, b"x"))),
        4 => ("with empty fragments", split(4, &frame(CONTINUE, b""))),
        _ => ("byte by byte", split(payload.len(), &[])),
    }
}

#[tokio::test]
async fn pings_are_answered_with_what_they_have() {
    let server = start().await;
    let alice = alice(&server).await;
    let mut raw = Raw::open(&alice).await;
    for payload in [&b""[..], b"hello", &[0, 0xff, 0xfe, 0xc0], &[0xfe; 125]] {
        raw.send(&frame(FINAL | PING, payload)).await;
        assert_eq!(raw.next().await, Got::Pong(payload.to_vec()));
    }
    raw.send(&[frame(FINAL | PONG, b"unasked"), frame(FINAL | PING, b"x")].concat()).await;
    assert_eq!(raw.next().await, Got::Pong(b"x".to_vec()), "a pong is not answered");
    // Ten at once: each may be answered, and the last one is (RFC 6455 §5.5.3).
    let ten: Vec<u8> = (0..10).flat_map(|number| frame(FINAL | PING, &[number])).collect();
    raw.send(&ten).await;
    while raw.next().await != Got::Pong(vec![9]) {}
}

/// A message whose frames of other kinds are looked at before it.
fn behind(many: &[u8], text: &str) -> Vec<u8> {
    [many.repeat(500), frame(FINAL | TEXT, &message(text))].concat()
}

#[tokio::test]
async fn frames_of_any_kind_are_looked_at_a_hundred_a_second() {
    let server = TestServer::start(SETUP).await;
    let alice = alice(&server).await;
    let bob = server.person("bob").await;
    let fragments = |text: &str| {
        let payload = message(text);
        let (first, last) = payload.split_at(5);
        let empty = frame(CONTINUE, b"").repeat(500);
        [frame(TEXT, first), empty, frame(FINAL | CONTINUE, last)].concat()
    };
    let cases = [
        ("pings", behind(&frame(FINAL | PING, b""), "pings")),
        ("pongs", behind(&frame(FINAL | PONG, b""), "pongs")),
        ("fragments", fragments("fragments")),
    ];
    // 200 of the 501 frames at once, and the others at 100 a second.
    let least = Duration::from_millis(2_900);
    let floods = cases.map(|(text, bytes)| {
        let alice = &alice;
        async move {
            let mut raw = Raw::open(alice).await;
            let begun = Instant::now();
            raw.send(&bytes).await;
            loop {
                match raw.next().await {
                    Got::Text(got) if got == text => break,
                    // Those of the other connections.
                    Got::Text(_) | Got::Pong(_) => {}
                    got => panic!("{text}: {got:?}"),
                }
            }
            assert!(begun.elapsed() >= least, "{text}: after {:?}", begun.elapsed());
            // It is no slower afterwards than it has to be.
            raw.send(&frame(FINAL | PING, b"well")).await;
            while raw.next().await != Got::Pong(b"well".to_vec()) {}
        }
    });
    // Others are looked at meanwhile.
    let others = async {
        let mut raw = Raw::open(&bob).await;
        for number in 0..10 {
            let text = format!("bob {number}");
            raw.send(&frame(FINAL | TEXT, &message(&text))).await;
            while raw.next().await != Got::Text(text.clone()) {}
        }
    };
    tokio::join!(join_all(floods), others);
    let metrics = String::from_utf8(server.get("/metrics").await.body).unwrap();
    let acted =
        metrics.lines().find(|line| line.starts_with("chat_client_limits_total{limit=\"frame_rate\"}"));
    let acted: u64 = acted.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(acted >= 3, "each connection at least once: {acted}");
}

#[tokio::test]
async fn a_client_that_is_slowed_down_is_closed_like_others() {
    let server = TestServer::start(SETUP).await;
    let alice = alice(&server).await;
    let mut raw = Raw::open(&alice).await;
    // The close frame comes to a client whose frames wait, and its answer stands behind them.
    raw.send(&frame(FINAL | PING, b"").repeat(260)).await;
    while !matches!(raw.next().await, Got::Pong(_)) {}
    server.get("/healthz").await.expect_ok();
    alice.post("/api/logout").await.expect_ok();
    let code = loop {
        match raw.next().await {
            Got::Pong(_) => {}
            got => break got,
        }
    };
    assert_eq!(code, Got::Close(Some(4001)));
    let answered = Instant::now();
    raw.send(&frame(FINAL | CLOSE, &4001_u16.to_be_bytes())).await;
    while !matches!(raw.next().await, Got::End) {}
    // A client that does not answer is cut off after eight seconds.
    assert!(answered.elapsed() < Duration::from_secs(6), "{:?}", answered.elapsed());
}

#[tokio::test]
async fn a_header_has_to_arrive_and_a_client_may_be_silent() {
    let server = TestServer::start_with(SETUP, &["--frame-header-timeout-seconds", "1"]).await;
    let alice = alice(&server).await;
    let mut silent = Raw::open(&alice).await;
    let long = frame(FINAL | TEXT, &message(&"x".repeat(200)));
    // A payload may take longer than its header: the network of a phone stands still sometimes.
    let mut slow = Raw::open(&alice).await;
    let (start, rest) = long.split_at(20);
    slow.send(start).await;
    let ping = frame(FINAL | PING, b"x");
    let trickles = [&b""[..], &ping].map(|before| {
        let (alice, long) = (&alice, &long);
        async move {
            let mut raw = Raw::open(alice).await;
            raw.send(before).await;
            for byte in &long[..8] {
                raw.send(&[*byte]).await;
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
            raw.send(&long[8..]).await;
            loop {
                match raw.next().await {
                    Got::Pong(_) => {}
                    got => break got,
                }
            }
        }
    });
    assert_eq!(join_all(trickles).await, [Got::End, Got::End]);
    slow.send(rest).await;
    assert_eq!(slow.next().await, Got::Text("x".repeat(200)));
    assert_eq!(silent.next().await, Got::Text("x".repeat(200)));
}

#[tokio::test]
async fn violations_are_answered_with_their_code() {
    let server = start().await;
    let alice = alice(&server).await;
    let text = |payload: &[u8]| frame(FINAL | TEXT, payload);
    let begun = frame(TEXT, b"{\"text\":\"a");
    let mut cases: Vec<(String, Vec<u8>, u16)> = Vec::new();
    let mut case = |name: &str, bytes: Vec<u8>, code: u16| cases.push((name.to_owned(), bytes, code));
    for bit in [0x40, 0x20, 0x10, 0x70] {
        case(&format!("reserved bits {bit:x}"), frame(FINAL | bit | TEXT, &message("a")), 1002);
        case(&format!("reserved bits {bit:x} of a ping"), frame(FINAL | bit | PING, b""), 1002);
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        case(&format!("opcode {opcode}"), frame(FINAL | opcode, b"x"), 1002);
    }
    case("no mask", [header(FINAL | TEXT, 2, 0), b"{}".to_vec()].concat(), 1002);
    case("no mask on a ping", header(FINAL | PING, 0, 0), 1002);
    case("a long ping", frame(FINAL | PING, &[0; 126]), 1002);
    case("a long close", frame(FINAL | CLOSE, &[3, 0xe8].repeat(63)), 1002);
    case("half a ping", frame(PING, b"x"), 1002);
    case("half a close", frame(CLOSE, &1000_u16.to_be_bytes()), 1002);
    case("nothing to continue", frame(FINAL | CONTINUE, b"x"), 1002);
    case("nothing to continue, not the last", frame(CONTINUE, b"x"), 1002);
    case("a text in a text", [begun.clone(), text(&message("b"))].concat(), 1002);
    case("a binary in a text", [begun.clone(), frame(FINAL | BINARY, b"b")].concat(), 1002);
    for (name, bytes) in [
        ("a lone continuation byte", &b"\x80"[..]),
        ("an overlong slash", b"\xc0\xaf"),
        ("an overlong NUL", b"\xe0\x80\x80"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("above the last character", b"\xf4\x90\x80\x80"),
        ("five bytes", b"\xf8\x88\x80\x80\x80"),
        ("cut off", b"\xce\xba\xe1\xbd"),
        ("0xff", b"\xff"),
    ] {
        let payload = [b"{\"text\":\"", bytes, b"\"}"].concat();
        case(&format!("UTF-8: {name}"), text(&payload), 1007);
        let (one, two) = payload.split_at(10);
        let split = [frame(TEXT, one), frame(FINAL | CONTINUE, two)].concat();
        case(&format!("UTF-8 in two frames: {name}"), split, 1007);
        case(
            &format!("UTF-8 of a reason: {name}"),
            frame(FINAL | CLOSE, &[b"\x03\xe8", bytes].concat()),
            1007,
        );
    }
    case("more than 64 KiB", [header(FINAL | TEXT, 65_537, 0x80), vec![0; 4]].concat(), 1009);
    case("2^62 bytes", [header(FINAL | TEXT, 1 << 62, 0x80), vec![0; 4]].concat(), 1009);
    let parts = [frame(TEXT, &[b'x'; 40_000]), frame(CONTINUE, &[b'x'; 40_000])].concat();
    case("more than 64 KiB in two", parts, 1009);
    let many: Vec<u8> = [frame(TEXT, b"x"), frame(CONTINUE, b"").repeat(1_001)].concat();
    case("too many fragments", many, 1009);
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        case(&format!("close with {code}"), frame(FINAL | CLOSE, &u16::to_be_bytes(code)), 1002);
    }
    case("close with one byte", frame(FINAL | CLOSE, &[3]), 1002);
    for (name, bytes, code) in cases {
        // Shown when it fails.
        println!("{name}");
        let mut raw = Raw::open(&alice).await;
        raw.send(&bytes).await;
        assert_eq!(raw.closed(&name).await, Some(code), "{name}");
    }
    // The server is well.
    let mut raw = Raw::open(&alice).await;
    raw.send(&frame(FINAL | PING, b"well")).await;
    assert_eq!(raw.next().await, Got::Pong(b"well".to_vec()));
}

#[tokio::test]
async fn closes_are_answered_and_end_the_connection() {
    let server = start().await;
    let alice = alice(&server).await;
    let mut raw = Raw::open(&alice).await;
    raw.send(&frame(FINAL | CLOSE, b"")).await;
    assert!(matches!(raw.closed("without a code").await, None | Some(1000 | 1005)));
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        for reason in ["", "good bye, до свидания", &"x".repeat(123)] {
            let mut raw = Raw::open(&alice).await;
            let payload = [&u16::to_be_bytes(code)[..], reason.as_bytes()].concat();
            // What follows a close is not looked at.
            let behind = [frame(FINAL | PING, b"late"), frame(FINAL | TEXT, &message("late"))].concat();
            raw.send(&[frame(FINAL | CLOSE, &payload), behind].concat()).await;
            let answered = raw.closed(&format!("{code}")).await;
            assert!(
                matches!(answered, Some(answered) if answered == 1000 || answered == code),
                "{answered:?}"
            );
        }
    }
    // A message before the close is stored and comes back first.
    let mut raw = Raw::open(&alice).await;
    let last = [frame(FINAL | TEXT, &message("last words")), frame(FINAL | CLOSE, &1000_u16.to_be_bytes())];
    raw.send(&last.concat()).await;
    assert_eq!(raw.next().await, Got::Text("last words".to_owned()));
}

/// Three hundred slow clients of slowhttptest, in each of its three ways, while somebody chats.
#[tokio::test]
async fn slowhttptest_keeps_nobody_from_chatting() {
    if tool("slowhttptest", "slowhttptest").is_none() {
        return;
    }
    let server = start().await;
    let (_, mut alice) = server.in_room("alice", "default").await;
    let url = format!("http://{}/", server.address);
    for way in [["-H", "-i", "2"], ["-B", "-i", "2"], ["-X", "-n", "2"]] {
        let mut attack = tool("slowhttptest", "slowhttptest").unwrap();
        attack.args(way).args(["-c", "300", "-r", "150", "-u", &url, "-x", "24", "-p", "2", "-l", "12"]);
        attack.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut attack = attack.spawn().unwrap();
        let mut said = 0;
        let mut slowest = Duration::ZERO;
        while attack.try_wait().unwrap().is_none() {
            let started = std::time::Instant::now();
            let text = format!("{way:?} {said}");
            alice.say(&text).await;
            alice.expect("alice", &text).await;
            server.get("/healthz").await.expect_ok();
            slowest = slowest.max(started.elapsed());
            if attack.try_wait().unwrap().is_none() {
                said += 1;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        println!("{way:?}: {said} messages, the slowest took {slowest:?}");
        assert!(said > 0, "{way:?}");
    }
}
