//! The parsers that are fed with damaged inputs, and what each must hold.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use chat_auth::{Passwords, PasswordsOptions, SigningSecret, TokenOptions, Tokens};
use chat_cluster::{Key, Message, OpenError, Opened, decode, encode};
use chat_core::{
    ClientId, Commit, Framing, History, HistoryLimits, Hub, HubOptions, Input, Now, Output, Outputs,
    Protocol, RoomName, Seed, Username,
};
use chat_http::{FilesLocation, HttpOptions, Parts, Server, fuzzing};
use chat_store::{MemoryStore, Stores};
use tokio::net::TcpListener;

/// A parser with its checks.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Makes a fresh state, and what takes an input. It panics where a promise is broken.
    pub(crate) start: fn() -> Check,
    /// The same with a panic where only a deep input gets.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests try whether it is found"))]
    pub(crate) planted: fn() -> Check,
    /// How many inputs the tests try.
    #[cfg_attr(not(test), expect(dead_code, reason = "without them, time is the limit"))]
    pub(crate) inputs_in_tests: u64,
}

type Check = Box<dyn FnMut(&[u8]) -> Depth>;

/// How far an input got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// It was refused at once.
    Shallow,
    /// It got to where a parser decides something rare.
    Deep,
}

macro_rules! targets {
    ($($name:ident: $inputs:literal),* $(,)?) => {
        /// All targets.
        pub(crate) const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            start: || Box::new($name()),
            planted: || {
                let mut check = $name();
                Box::new(move |input| {
                    assert!(check(input) == Depth::Shallow, "planted");
                    Depth::Shallow
                })
            },
            inputs_in_tests: $inputs,
        }),*];
    };
}

targets! { frames: 5_000, resume: 3_000, token: 5_000, multipart: 150, bus: 20_000, cookie: 20_000, forwarded: 20_000, head: 10_000 }

/// A hub with alice on v1 and bob on v2, and its log.
struct Chat {
    hub: Hub,
    out: Outputs,
    log: History,
    now: Now,
    /// The frames that bob got.
    for_bob: Vec<serde_json::Value>,
    open: [bool; 2],
}

impl Chat {
    fn new() -> Self {
        let options = HubOptions { framing: Framing::Lines, ..HubOptions::default() };
        Self {
            hub: Hub::new(options, Seed(1, 2)),
            out: Outputs::default(),
            log: History::new(Seed(3, 4), HistoryLimits::default()),
            now: Now { mono_ms: 1_000, wall_ms: 1_795_371_797_000 },
            for_bob: Vec::new(),
            open: [false; 2],
        }
    }

    fn ensure_open(&mut self) {
        let v1 = Protocol::V1 { room: RoomName::default() };
        for (number, name, protocol) in [(0, "alice", v1), (1, "bob", Protocol::V2)] {
            if !std::mem::replace(&mut self.open[number], true) {
                let (client, user) = (ClientId(number as u32), Username::parse(name).expect("a name"));
                let open = Input::Open { client, user: &user, session: None, good_for_ms: None, protocol };
                self.hub.step(self.now, open, &mut self.out);
                self.perform();
            }
        }
    }

    /// Has a client send a frame, once it may.
    fn send(&mut self, client: usize, text: &str) {
        self.ensure_open();
        let id = ClientId(client as u32);
        for _ in 0..1_000 {
            if !self.hub.is_paused(id) {
                self.hub.step(self.now, Input::Frame { client: id, text }, &mut self.out);
                return self.perform();
            }
            self.pass(100);
            self.ensure_open();
        }
        panic!("client {client} is paused for ever");
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms;
        self.hub.step(self.now, Input::Tick, &mut self.out);
        self.perform();
    }

    /// Performs what the hub puts out, and checks that each frame is a line of JSON.
    fn perform(&mut self) {
        self.hub.end_turn(&mut self.out);
        while let Some(output) = self.out.next() {
            match output {
                Output::Write(write) => {
                    let text = str::from_utf8(self.out.bytes(&write)).expect("frames are UTF-8");
                    let frames =
                        text.lines().map(|line| serde_json::from_str(line).expect("a frame is JSON"));
                    let frames: Vec<serde_json::Value> = frames.collect();
                    if self.out.recipients(&write).contains(&ClientId(1)) {
                        self.for_bob.extend(frames);
                    }
                }
                Output::Append(draft) => {
                    let Commit { entries, receipts, changes, .. } =
                        self.log.append(&[draft], self.now.wall_ms, |_| true);
                    self.hub.step(self.now, Input::Changes(&changes), &mut self.out);
                    let commit = Input::Commit { entries: &entries, receipts: &receipts };
                    self.hub.step(self.now, commit, &mut self.out);
                }
                Output::Read { id, query } => {
                    let answer = self.log.answer(&query);
                    self.hub.step(self.now, Input::Answer { id, answer: &answer }, &mut self.out);
                }
                Output::Keep(mark) => self.log.keep(&mark),
                Output::Close { client, .. } => {
                    self.open[client.0 as usize] = false;
                    self.hub.step(self.now, Input::Closed { client }, &mut self.out);
                }
                _ => {}
            }
            self.hub.end_turn(&mut self.out);
        }
    }
}

/// Frames of a v1 and a v2 client, one a line: every answer is JSON, and the log takes what the
/// hub makes of them.
fn frames() -> impl FnMut(&[u8]) -> Depth {
    let mut chat = Chat::new();
    move |input| {
        chat.for_bob.clear();
        for line in String::from_utf8_lossy(input).lines().take(8) {
            chat.send(0, line);
            chat.send(1, line);
        }
        let is_deep = chat.for_bob.iter().any(|frame| frame["type"] == "ack" || frame["type"] == "history");
        if is_deep { Depth::Deep } else { Depth::Shallow }
    }
}

/// Joins with damaged positions: exactly one answer, and messages that rise without a gap up to
/// what the answer names.
fn resume() -> impl FnMut(&[u8]) -> Depth {
    let mut chat = Chat::new();
    chat.ensure_open();
    for number in 0..30 {
        chat.send(0, &format!(r#"{{"text":"message {number}"}}"#));
        chat.pass(200);
    }
    let hello = chat.for_bob.iter().find(|frame| frame["type"] == "hello").expect("a hello");
    let epoch = hello["epoch"].as_str().expect("an epoch").to_owned();
    move |input| {
        let frame = String::from_utf8_lossy(input).replace("EPOCH", &epoch);
        chat.send(1, r#"{"type":"leave","room":"default"}"#);
        chat.pass(200);
        chat.for_bob.clear();
        chat.send(1, &frame);
        chat.pass(200);
        let kind = |frame: &serde_json::Value| frame["type"].as_str().unwrap_or_default().to_owned();
        let joined: Vec<_> = chat.for_bob.iter().filter(|frame| kind(frame) == "joined").collect();
        assert!(joined.len() <= 1, "{frame}: {joined:?}");
        let Some(joined) = joined.first().filter(|joined| joined["room"] == "default") else {
            return Depth::Shallow;
        };
        let seqs = chat.for_bob.iter().filter(|frame| kind(frame) == "message" && frame["room"] == "default");
        let seqs: Vec<u64> = seqs.filter_map(|frame| frame["seq"].as_u64()).collect();
        assert!(seqs.windows(2).all(|two| two[1] == two[0] + 1), "{frame}: {seqs:?}");
        if joined["recovered"] == true {
            assert!(seqs.is_empty() || seqs.last() == joined["seq"].as_u64().as_ref(), "{frame}: {seqs:?}");
        }
        if joined["recovered"] == true && !seqs.is_empty() { Depth::Deep } else { Depth::Shallow }
    }
}

/// Tokens: only those that were issued are taken, byte for byte, and name whom they are for.
fn token() -> impl FnMut(&[u8]) -> Depth {
    let secret = SigningSecret::new("a secret of tests with more than 32 bytes").expect("long enough");
    let tokens = Tokens::new(&secret, TokenOptions::default());
    let now = 1_795_371_797;
    let issued = [tokens.issue(now, "alice", "a-session"), tokens.issue(now - 90_000, "bob", "another")];
    move |input| {
        let text = String::from_utf8_lossy(input).replace("GOOD", &issued[0]).replace("OLD", &issued[1]);
        // An altered character of a good token, chosen by the input.
        let altered = {
            let mut altered = issued[0].clone().into_bytes();
            let at = input.iter().map(|byte| usize::from(*byte)).sum::<usize>() % altered.len();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(altered).expect("ASCII")
        };
        assert!(tokens.verify(&altered, now).is_err(), "forged: {altered}");
        match tokens.verify(&text, now) {
            Ok(claims) => {
                assert_eq!((text.as_str(), claims.sub.as_str()), (issued[0].as_str(), "alice"), "forged");
            }
            Err(chat_auth::TokenError::Expired) => assert_eq!(text, issued[1], "forged"),
            Err(_) => {}
        }
        // A token for a damaged name is good, and is for that name.
        let name = String::from_utf8_lossy(input);
        match tokens.verify(&tokens.issue(now, &name, "a-session"), now) {
            Ok(claims) => assert_eq!(claims.sub, name),
            Err(error) => assert!(matches!(error, chat_auth::TokenError::TooLong), "{name:?}: {error}"),
        }
        if name.contains(['"', '\\', '\n']) { Depth::Deep } else { Depth::Shallow }
    }
}

/// The body of a registration, on a real server: it answers, and goes on.
fn multipart() -> impl FnMut(&[u8]) -> Depth {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let server = runtime.block_on(async {
        let secret = SigningSecret::new("a secret of tests with more than 32 bytes").expect("long enough");
        let parts = Parts::new(
            Stores::of(Arc::new(MemoryStore::default())),
            Passwords::start(PasswordsOptions::default()).expect("threads"),
            Tokens::new(&secret, TokenOptions::default()),
        );
        let mut options =
            HttpOptions { uploads_dir: folder.path().join("uploads"), ..HttpOptions::default() };
        options.files.location = FilesLocation::Folder(folder.path().join("files"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Server::start(listener, parts, options).await.expect("a server")
    });
    let address = server.local_addr();
    move |input| {
        // Owned by the target, so that they last as long as it.
        let _ = (&runtime, &folder, &server);
        let mut stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
        let head = format!(
            "POST /api/register HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n",
            input.len()
        );
        // The server may answer before it has read everything.
        let _ = stream.write_all(&[head.as_bytes(), input].concat());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let status = answer.get(9..12).and_then(|status| str::from_utf8(status).ok()?.parse::<u16>().ok());
        let status = status.expect("every form is answered");
        assert!(status < 500 || status == 503, "{status}: {}", String::from_utf8_lossy(&answer));
        if matches!(status, 200 | 409 | 429) { Depth::Deep } else { Depth::Shallow }
    }
}

/// Messages of other servers: nobody without the key is heard, and what is read is the same when it
/// is written and read again.
fn bus() -> impl FnMut(&[u8]) -> Depth {
    let key = Key::new(b"a secret of tests", "epoch");
    move |input| {
        let forged = decode(input, &key);
        assert!(matches!(forged, Err(OpenError::Size { .. } | OpenError::Signature)), "forged: {forged:?}");
        let Ok(Opened::Message(message)) = decode(&key.sign(input.to_vec()), &key) else {
            return Depth::Shallow;
        };
        let bytes = encode(&message, &key);
        let again = decode(&bytes, &key);
        let Ok(Opened::Message(again)) = again else { panic!("{again:?}") };
        assert_eq!((encode(&again, &key), &again), (bytes, &message));
        if let Message::Record(record) = message {
            for part in record.parts {
                let count = part.last - part.first + 1;
                assert!(part.entries.is_none_or(|entries| entries.len() as u64 == count), "other numbers");
            }
        }
        Depth::Deep
    }
}

/// Cookies: a token has no character that ends one.
fn cookie() -> impl FnMut(&[u8]) -> Depth {
    |input| match fuzzing::cookie(input) {
        Some(token) => {
            assert!(!token.is_empty() && !token.contains([';', '\n', '\r']), "{token:?}");
            assert!(input.windows(5).filter(|part| part == b"auth=").count() >= 1, "{token:?}");
            Depth::Deep
        }
        None => Depth::Shallow,
    }
}

/// Forwarded addresses: without a trusted peer the peer itself, and never a trusted proxy in
/// place of a client that is named behind it.
fn forwarded() -> impl FnMut(&[u8]) -> Depth {
    let proxies = ["10.0.0.0/8".parse().expect("a network"), "::1/128".parse().expect("a network")];
    move |input| {
        let stranger = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
        assert_eq!(fuzzing::forwarded(input, stranger, &proxies), stranger, "it names itself");
        let proxy = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));
        let client = fuzzing::forwarded(input, proxy, &proxies);
        if client == proxy {
            return Depth::Shallow;
        }
        assert!(str::from_utf8(input).is_err() || !input.is_empty(), "{client} is from nowhere");
        Depth::Deep
    }
}

/// Heads: what is let through is the same in whatever parts it arrives, and a refused head ends
/// the connection.
fn head() -> impl FnMut(&[u8]) -> Depth {
    |input| {
        let whole = fuzzing::head(input, input.len());
        for part in [1, 2, 7, 64] {
            let parts = fuzzing::head(input, part);
            let damaged = |bytes: &[u8]| bytes.iter().zip(input).position(|(one, other)| one != other);
            assert_eq!(damaged(&whole), damaged(&parts), "in parts of {part}");
        }
        let refused = whole.iter().zip(input).position(|(one, other)| one != other);
        match refused {
            Some(at) if at > 40 => Depth::Deep,
            _ => Depth::Shallow,
        }
    }
}
