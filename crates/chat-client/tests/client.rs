//! The client on tokio; the test plays the server over a real socket.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::time::Duration;

use chat_client::{
    Client, ClientOptions, ConnectError, Credentials, Event, Events, Level, NewChange, NewMessage, PageFrom,
    Refused, RequestError, SendError, ServerUrl, SignInError, Target, Timeline, Topic, Unreachable, sign_in,
};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// The server's end.
struct Server {
    listener: TcpListener,
}

struct Socket(WebSocketStream<TcpStream>);

impl Server {
    async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// Waits for a client and sends `hello`.
    async fn accept(&self) -> Socket {
        let (stream, _) = self.listener.accept().await.unwrap();
        #[expect(clippy::result_large_err, reason = "tungstenite's own type")]
        let check = |request: &Request, mut response: Response| {
            assert_eq!(request.uri().path(), "/ws");
            assert_eq!(request.headers()["authorization"], "Bearer token");
            let protocol = request.headers()["sec-websocket-protocol"].clone();
            assert_eq!(protocol, "chat.v2");
            response.headers_mut().insert("sec-websocket-protocol", protocol);
            Ok(response)
        };
        let mut socket = Socket(accept_hdr_async(stream, check).await.unwrap());
        socket
            .send(json!({"type": "hello", "user": "alice", "epoch": "e", "heartbeat_seconds": 45,
                "limits": {}, "features": ["mentions", "read", "rooms", "edit", "react"], "privates": [], "has_more": false,
                "rooms": [{"room": "tech", "title": "Tech", "access": "open", "role": "member", "top": 0,
                    "read": 0, "unread": 0, "mentions": 0, "level": "mentions"}], "has_more_rooms": false}))
            .await;
        socket
    }

    /// Answers one HTTP request.
    async fn answer(&self, answer: &str) -> String {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request[..read].to_vec()).unwrap()
    }
}

impl Socket {
    async fn send(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    async fn receive(&mut self, kind: &str) -> Value {
        loop {
            if let Message::Text(text) = self.0.next().await.unwrap().unwrap() {
                let frame: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(frame["type"], kind);
                return frame;
            }
        }
    }

    async fn answer_join(&mut self, recovered: bool) -> Value {
        let join = self.receive("join").await;
        self.send(json!({"type": "joined", "room": join["room"], "epoch": "e", "seq": 0,
            "recovered": recovered, "online": 1, "members": ["alice"], "ref": join["ref"]}))
            .await;
        join
    }

    async fn message(&mut self, seq: u64) {
        let text = "hi ".repeat(1_000);
        self.send(json!({"type": "message", "room": "tech", "seq": seq, "from": "bob", "text": text,
            "timestamp": 1}))
            .await;
    }

    async fn ack(&mut self, send: &Value, seq: u64) {
        self.send(json!({"type": "ack", "nonce": send["nonce"], "room": send["room"], "seq": seq,
            "timestamp": 1, "duplicate": false}))
            .await;
    }
}

fn options() -> ClientOptions {
    let mut options = ClientOptions::new(Credentials::Token("token".to_owned()));
    (options.session.backoff_min_ms, options.session.backoff_max_ms) = (1, 20);
    options
}

/// A connected client, and the server's end of its socket.
async fn connected(options: ClientOptions) -> (Server, Client, Events, Socket) {
    let server = Server::start().await;
    let url = server.url();
    let (connected, socket) = tokio::join!(Client::connect(&url, options), server.accept());
    let (client, events) = connected.unwrap();
    (server, client, events, socket)
}

/// A client that has joined a room.
async fn in_room(options: ClientOptions) -> (Server, Client, Events, Socket) {
    let (server, client, events, mut socket) = connected(options).await;
    let (joined, _) = tokio::join!(client.join("tech"), socket.answer_join(false));
    joined.unwrap();
    (server, client, events, socket)
}

/// The numbers of the next `count` messages.
async fn numbers(events: &mut Events, count: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    while (numbers.len() as u64) < count {
        let next = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
        if let Event::Message { entry, .. } = next.expect("an event").expect("open") {
            numbers.push(entry.seq);
        }
    }
    numbers
}

fn tech() -> Topic {
    Topic::room("tech")
}

#[tokio::test]
async fn a_send_survives_the_loss_of_its_connection() {
    let (server, client, mut events, mut socket) = in_room(options()).await;
    socket.message(1).await;
    let sending = tokio::spawn({
        let client = client.clone();
        async move { client.send(tech(), "hello").await }
    });
    let first = socket.receive("message").await;
    drop(socket);
    let mut socket = server.accept().await;
    assert_eq!(socket.answer_join(true).await["since"], 1);
    assert_eq!(socket.receive("message").await, first);
    socket.message(2).await;
    socket.ack(&first, 3).await;
    let receipt = sending.await.unwrap().unwrap();
    assert_eq!((receipt.seq, receipt.topic, json!(receipt.nonce)), (3, tech(), first["nonce"].clone()));
    assert_eq!(numbers(&mut events, 2).await, [1, 2]);
    assert_eq!(events.seen().seq(&tech()), Some(2));
}

#[tokio::test]
async fn errors_reach_their_calls() {
    let (_server, client, _events, mut socket) = in_room(options()).await;
    let refuse = async {
        let send = socket.receive("message").await;
        socket
            .send(json!({"type": "error", "code": "text_too_long", "message": "no", "nonce": send["nonce"]}))
            .await;
        let join = socket.receive("join").await;
        socket.send(json!({"type": "error", "code": "forbidden", "message": "no", "ref": join["ref"]})).await;
        let history = socket.receive("history").await;
        socket
            .send(json!({"type": "history", "room": "tech", "epoch": "e", "first": 1, "messages": [],
                "has_more": false, "ref": history["ref"]}))
            .await;
    };
    let ask = async {
        let sent = client.send_once("n", tech(), "hello").await;
        assert!(matches!(sent, Err(SendError::NotSent { code, .. }) if code == "text_too_long"));
        let joined = client.join("secret").await;
        assert!(matches!(joined, Err(RequestError::NotDone { code, .. }) if code == "forbidden"));
        assert!(matches!(client.send(Topic::room("secret"), "x").await, Err(SendError::Refused(_))));
        let page = client.history(tech(), PageFrom::Latest, None).await.unwrap();
        assert_eq!(page.messages, []);
    };
    tokio::join!(refuse, ask);
}

#[tokio::test]
async fn rooms_marks_and_mentions_are_those_of_the_account() {
    let (_server, client, mut events, mut socket) = in_room(options()).await;
    for seq in 1..=3 {
        socket.message(seq).await;
    }
    assert_eq!(numbers(&mut events, 3).await, [1, 2, 3]);
    assert_eq!(events.account().room("tech").unwrap().unread, Some(3));
    client.read(tech(), 2).await;
    client.set_level(tech(), Level::All).await;
    assert_eq!(socket.receive("read").await["upto"], 2);
    assert_eq!(socket.receive("level").await["level"], "all");
    let level = Event::Level { topic: tech(), level: Level::All };
    while events.next().await.unwrap() != level {}
    let room = events.account().room("tech").unwrap();
    assert_eq!((&*room.title, room.read, room.unread, room.level), ("Tech", 2, Some(1), Level::All));
    // The next mark would be sent half a second after the first.
    client.read(tech(), 3).await;
    assert_eq!(client.marks().await[0].read, Some(3));
    let send = async {
        let message = NewMessage::new(tech(), "@carol").mention("carol");
        assert_eq!(client.send_message(message).await.unwrap().not_members, ["carol"]);
    };
    let acknowledge = async {
        let send = socket.receive("message").await;
        assert_eq!(send["mentions"], json!(["carol"]));
        socket
            .send(json!({"type": "ack", "nonce": send["nonce"], "room": "tech", "seq": 4, "timestamp": 1,
                "duplicate": false, "not_members": ["carol"]}))
            .await;
    };
    tokio::join!(send, acknowledge);
    let (unsent, mark) = tokio::join!(client.close(), socket.receive("read"));
    assert_eq!((unsent.len(), &mark["upto"]), (0, &json!(3)));
}

#[tokio::test]
async fn a_message_is_changed_and_shown() {
    let (_server, client, mut events, mut socket) = in_room(options()).await;
    let mut timeline = Timeline::new("alice", tech());
    let changes = async {
        // The edit waits for the message, of which the caller knows the nonce.
        let edit = client.change(NewChange::edit(tech(), Target::Nonce("n".into()), "hello"));
        let (sent, edited) = tokio::join!(client.send_once("n", tech(), "hullo"), edit);
        assert_eq!((sent.unwrap().seq, edited.unwrap().seq), (1, 2));
        let reacted = client.react(tech(), 1, "👍👍").await;
        assert!(matches!(reacted, Err(SendError::NotSent { code, .. }) if code == "bad_request"));
        let deleted = client.delete(tech(), 1).await;
        assert_eq!(deleted, Err(SendError::Refused(Refused::Unsupported { feature: "delete" })));
    };
    let serve = async {
        let send = socket.receive("message").await;
        socket
            .send(json!({"type": "message", "room": "tech", "seq": 1, "from": "alice", "text": "hullo",
                "timestamp": 1, "nonce": "n"}))
            .await;
        socket.ack(&send, 1).await;
        let edit = socket.receive("edit").await;
        assert_eq!((&edit["target"], &edit["text"]), (&json!(1), &json!("hello")));
        socket
            .send(json!({"type": "edit", "room": "tech", "seq": 2, "from": "alice", "target": 1,
                "text": "hello", "timestamp": 1, "nonce": edit["nonce"]}))
            .await;
        socket.ack(&edit, 2).await;
        let react = socket.receive("react").await;
        socket
            .send(json!({"type": "error", "code": "bad_request", "message": "no", "nonce": react["nonce"]}))
            .await;
    };
    tokio::join!(changes, serve);
    let mut shown = Vec::new();
    let mut refused = false;
    while !refused {
        let event = events.next().await.unwrap();
        refused = matches!(event, Event::NotSent { .. });
        timeline.apply(&event);
        let message = timeline.shown().last();
        shown.extend(message.map(|message| (message.entry.text.clone(), message.pending.len())));
    }
    shown.dedup();
    let expected = [("hullo", 1), ("hello", 2), ("hello", 1), ("hello", 0), ("hello", 1), ("hello", 0)];
    assert_eq!(shown, expected.map(|(text, pending)| (text.to_owned(), pending)));
    assert_eq!(timeline.message(1).unwrap().updated, 2);
}

#[tokio::test]
async fn events_that_are_not_taken_slow_the_server_down() {
    let mut options = options();
    options.events_max = 4;
    let (_server, _client, mut events, mut socket) = in_room(options).await;
    let speaks = tokio::spawn(async move {
        for seq in 1..=6_000 {
            socket.message(seq).await;
        }
        socket
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!speaks.is_finished());
    assert_eq!(numbers(&mut events, 6_000).await, (1..=6_000).collect::<Vec<_>>());
    speaks.await.unwrap();
}

#[tokio::test]
async fn a_send_awaited_between_two_events_does_not_hang() {
    let mut options = options();
    (options.events_max, options.events_max_while_waiting) = (4, 50);
    let (_server, client, mut events, mut socket) = in_room(options).await;
    // The acknowledgement is behind events that the application has not taken: first
    // more than the cap, then fewer.
    for (from, to, is_known) in [(1, 100, false), (101, 120, true)] {
        let send = async {
            let sent = client.send(tech(), "hello").await;
            assert_eq!(sent.is_ok(), is_known);
            if let Err(error) = sent {
                assert_eq!(error, SendError::Undecided);
            }
        };
        let speak = async {
            let send = socket.receive("message").await;
            for seq in from..=to {
                socket.message(seq).await;
            }
            socket.ack(&send, 1_000).await;
        };
        tokio::join!(send, speak);
        assert_eq!(numbers(&mut events, 1 + to - from).await.last(), Some(&to));
        loop {
            if let Event::Stored { seq, .. } = events.next().await.unwrap() {
                assert_eq!(seq, 1_000);
                break;
            }
        }
    }
}

#[tokio::test]
async fn closing_waits_for_answers_and_returns_unsent_messages() {
    let (_server, client, mut events, mut socket) = in_room(options()).await;
    let sending = client.clone();
    let sending = tokio::spawn(async move { sending.send(tech(), "1").await });
    let send = socket.receive("message").await;
    let (unsent, ()) = tokio::join!(client.close(), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        socket.ack(&send, 1).await;
    });
    assert_eq!(unsent, []);
    sending.await.unwrap().unwrap();
    while events.next().await.is_some() {}

    let mut options = options();
    options.close_grace = Duration::from_millis(50);
    let (_server, client, _events, mut socket) = in_room(options).await;
    let sending = client.clone();
    let sending = tokio::spawn(async move { sending.send(tech(), "1").await });
    let send = socket.receive("message").await;
    let late = client.clone();
    let unsent = client.close().await;
    assert_eq!((unsent.len(), json!(unsent[0].nonce)), (1, send["nonce"].clone()));
    assert!(unsent[0].may_be_stored);
    assert_eq!(sending.await.unwrap(), Err(SendError::Closed));
    assert_eq!(late.send(tech(), "2").await, Err(SendError::Closed));
}

#[tokio::test]
async fn a_bad_token_and_an_unsupported_server_are_reported_at_once() {
    for (answer, expected) in [
        (
            "401 Unauthorized",
            "not signed in: the server does not accept the name and password, or the token (1008)",
        ),
        (
            "404 Not Found",
            "this is not the address of a chat: the server answered 404 instead of opening a socket",
        ),
        (
            "308 Permanent Redirect",
            "this is not the address of a chat: the server answered 308 instead of opening a socket \
             (it leads elsewhere: give the address that a browser shows)",
        ),
    ] {
        let server = Server::start().await;
        let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
        let url = server.url();
        let (connected, _) = tokio::join!(Client::connect(&url, options()), server.answer(&answer));
        let error = connected.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let error = Client::connect("ftp://example.org", options()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Url(_)));
}

/// The sentence for people of a client that waits for nothing.
async fn sentence(url: &str, credentials: Credentials) -> String {
    let mut options = options();
    options.connect_patience = Duration::ZERO;
    options.credentials = credentials;
    Client::connect(url, options).await.unwrap_err().to_string()
}

#[tokio::test]
async fn people_read_why_a_server_is_not_reached() {
    let token = || Credentials::Token("token".to_owned());
    let password = || Credentials::Password { username: "alice".to_owned(), password: "secret".to_owned() };
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for credentials in [token(), password()] {
        let refused = sentence(&format!("http://{closed}"), credentials).await;
        assert_eq!(
            refused,
            format!("{closed} refuses connections: check the port, and whether the server runs")
        );
    }
    let unknown = sentence("http://chat.invalid", token()).await;
    assert_eq!(unknown, "the name chat.invalid was not found: check the address and the network");
    for credentials in [token(), password()] {
        let server = Server::start().await;
        let url = server.url();
        let (other, _) =
            tokio::join!(sentence(&url, credentials), server.answer("SSH-2.0-OpenSSH_9.2\r\n\r\n"));
        assert_eq!(other, format!("{} does not speak HTTP: check the port", &url["http://".len()..]));
    }
    let server = Server::start().await;
    let url = server.url();
    let busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    let (busy, _) = tokio::join!(sentence(&url, token()), server.answer(busy));
    assert_eq!(busy, "the server cannot be used at this moment (503)");
}

#[tokio::test]
async fn a_client_that_is_offline_knows_why() {
    let (server, client, mut events, socket) = in_room(options()).await;
    assert!(client.unreachable().await.is_none());
    drop((server, socket));
    while !matches!(client.unreachable().await, Some(Unreachable::ConnectionRefused { .. })) {
        events.next().await.unwrap();
    }
}

#[tokio::test]
async fn an_unreachable_server_is_tried_again() {
    let server = Server::start().await;
    let url = server.url();
    let (connected, _socket) = tokio::join!(Client::connect(&url, options()), async {
        let (stream, _) = server.listener.accept().await.unwrap();
        drop(stream);
        server.answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
        server.accept().await
    });
    connected.unwrap();
}

#[tokio::test]
async fn a_client_with_a_password_signs_in_again() {
    let server = Server::start().await;
    let url = server.url();
    let mut options = options();
    let (username, password) = ("alice".to_owned(), "secret".to_owned());
    options.credentials = Credentials::Password { username, password };
    let answer = "HTTP/1.1 200 OK\r\nset-cookie: auth=token; Path=/\r\nContent-Length: 2\r\n\r\n{}";
    let (connected, mut socket) = tokio::join!(Client::connect(&url, options), async {
        let request = server.answer(answer).await;
        assert!(request.starts_with("POST /api/login HTTP/1.1\r\n"), "{request}");
        assert!(request.ends_with(r#"{"password":"secret","username":"alice"}"#), "{request}");
        server.accept().await
    });
    let (_client, mut events) = connected.unwrap();
    // The token is no longer valid.
    socket.0.close(Some(close(1008))).await.unwrap();
    server.answer(answer).await;
    let mut socket = server.accept().await;
    // The session was ended on purpose: there is no new sign-in.
    socket.0.close(Some(close(4001))).await.unwrap();
    loop {
        if let Event::SignedOut { code } = events.next().await.unwrap() {
            assert_eq!(code, 4001);
            break;
        }
    }
}

fn close(code: u16) -> tokio_tungstenite::tungstenite::protocol::CloseFrame {
    tokio_tungstenite::tungstenite::protocol::CloseFrame { code: code.into(), reason: "".into() }
}

#[tokio::test]
async fn sign_in_errors_are_distinguished() {
    let server = Server::start().await;
    let url = ServerUrl::parse(&server.url()).unwrap();
    let refused =
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 31\r\n\r\n{\"error\":\"invalid credentials\"}";
    let (error, _) = tokio::join!(sign_in(&url, "alice", "wrong"), server.answer(refused));
    let Err(SignInError::Refused { status: 401, message }) = error else { panic!("{error:?}") };
    assert_eq!(message, "invalid credentials");
    let busy = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n";
    let (error, _) = tokio::join!(sign_in(&url, "alice", "wrong"), server.answer(busy));
    assert!(matches!(error, Err(SignInError::Unavailable { status: 429 })));
    let (error, _) = tokio::join!(sign_in(&url, "alice", "wrong"), server.answer("HTTP/1.1 2"));
    assert!(matches!(error, Err(SignInError::Io(_))));
}
