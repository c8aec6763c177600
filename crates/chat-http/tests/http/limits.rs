//! Limits on slow clients and large requests.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{Chat, FORM, Reply, form};

const SHORT: Duration = Duration::from_millis(300);
/// Less than the limits are by default.
const DEFAULT: Duration = Duration::from_millis(4_500);

#[tokio::test]
async fn a_head_has_a_deadline() {
    let chat = Chat::with(|options| options.header_timeout = SHORT).await;
    for start in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\nX: "] {
        let mut stream = chat.connect().await;
        stream.write_all(start.as_bytes()).await.unwrap();
        let started = Instant::now();
        assert_ne!(Reply::read(&mut stream).await.status, 200);
        assert!(started.elapsed() < DEFAULT, "{start:?}: {:?}", started.elapsed());
    }
    // Single bytes do not extend the deadline.
    let mut stream = chat.connect().await;
    let started = Instant::now();
    while stream.write_all(b"G").await.is_ok() && started.elapsed() < 2 * DEFAULT {
        tokio::time::sleep(SHORT / 10).await;
    }
    assert!(started.elapsed() < DEFAULT, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_body_has_a_deadline() {
    let chat = Chat::with(|options| options.body_timeout = SHORT).await;
    for path in ["/api/login", "/api/register"] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nContent-Length: 1000\r\n\r\n--X\r\n"
        );
        let mut stream = chat.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let started = Instant::now();
        let reply = Reply::read(&mut stream).await;
        assert_eq!(reply.refusal(), (408, "the request came too slowly".to_owned()), "{path}");
        let took = started.elapsed();
        assert!(took >= SHORT - Duration::from_millis(50) && took < DEFAULT, "{path}: {took:?}");
    }
}

#[tokio::test]
async fn a_body_that_keeps_arriving_gets_more_time() {
    let chat = Chat::with(|options| {
        options.body_timeout = SHORT;
        // The first part earns seven seconds.
        options.body_min_rate = 1_000;
    })
    .await;
    let mut avatar = crate::pictures::png();
    avatar.resize(40_000, 0);
    let body = form(&[("username", None, b"a"), ("password", None, b"p"), ("avatar", Some("a"), &avatar)]);
    let request = chat.request("POST", "/api/register", &[("Content-Type", FORM)], &body);
    let mut stream = chat.connect().await;
    let started = Instant::now();
    for part in request.chunks(8_000) {
        stream.write_all(part).await.unwrap();
        tokio::time::sleep(SHORT / 2).await;
    }
    assert!(started.elapsed() > 2 * SHORT);
    assert_eq!(Reply::read(&mut stream).await.status, 200);
}

#[tokio::test]
async fn a_large_head_is_refused() {
    let chat = Chat::start().await;
    let call = async |headers: String| {
        chat.raw(format!("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n").as_bytes())
            .await
            .status
    };
    assert_eq!(call("X: y\r\n".repeat(90)).await, 200);
    assert_eq!(call("X: y\r\n".repeat(500)).await, 431);
    assert_eq!(call(format!("X: {}\r\n", "y".repeat(15_000))).await, 200);
    assert_eq!(call(format!("X: {}\r\n", "y".repeat(17_000))).await, 431);
    // Far more than the server reads: the response, or only a closed connection.
    assert!(matches!(call(format!("X: {}\r\n", "y".repeat(20_000_000))).await, 431 | 0));
}

#[tokio::test]
async fn a_large_body_is_refused_so_that_the_client_sees_it() {
    let chat = Chat::start().await;
    let fits = format!("{{\"username\":\"{}\"}}", "x".repeat(60 * 1024));
    assert_eq!(chat.call("POST", "/api/login", &[], fits.as_bytes()).await.status, 401);
    for size in [65 * 1024, 8 * 1024 * 1024] {
        let large = format!("{{\"username\":\"{}\"}}", "x".repeat(size));
        let mut stream = chat.connect().await;
        let request = chat.request("POST", "/api/login", &[], large.as_bytes());
        stream.write_all(&request).await.expect("nothing is reset while the client is sending");
        let reply = Reply::read(&mut stream).await;
        assert_eq!(reply.refusal(), (413, "the request is too large (max 65536 bytes)".to_owned()));
    }
    let mut avatar = b"GIF89a".to_vec();
    avatar.resize(12 * 1024 * 1024, 0);
    let fields = [("username", None, &b"a"[..]), ("password", None, b"p"), ("avatar", Some("a"), &avatar)];
    let reply = chat.register_form(&fields).await;
    assert_eq!(reply.refusal(), (400, "the avatar is too large (max 10 MiB)".to_owned()));
    assert!(chat.files().is_empty());
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_requests_and_close_what_is_idle() {
    let chat = Chat::with(|options| {
        options.max_connections = 2;
        // Nothing else ends an idle connection.
        options.header_timeout = Duration::from_secs(600);
        options.body_timeout = Duration::from_secs(600);
        options.body_min_rate = 1;
    })
    .await;
    // Two requests whose bodies are on their way.
    let (mut first, _second) = (begun(&chat).await, begun(&chat).await);
    let mut third = chat.connect().await;
    third.write_all(&chat.request("GET", "/healthz", &[], b"")).await.unwrap();
    let mut byte = [0];
    let waited = tokio::time::timeout(SHORT, third.read(&mut byte)).await;
    assert!(waited.is_err(), "answered although two requests are under way");
    // The first one is answered, and closed then.
    first.write_all(b"}").await.unwrap();
    assert_eq!(Reply::read_head(&mut first).await.status, 401);
    assert_eq!(Reply::read(&mut third).await.status, 200);
    // A connection that is idle between two requests makes room at once.
    let mut idle = spoken(&chat).await;
    assert_eq!(chat.call("GET", "/healthz", &[], b"").await.status, 200);
    let closed = tokio::time::timeout(Duration::from_secs(60), idle.read_to_end(&mut Vec::new())).await;
    closed.expect("the idle one is closed").ok();
}

/// A connection with a sign-in whose last byte is missing.
async fn begun(chat: &Chat) -> tokio::net::TcpStream {
    let mut stream = chat.connect().await;
    let body = r#"{"username":"nobody","password":"a wrong password""#;
    let head = format!(
        "POST /api/login HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        chat.host(),
        body.len() + 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // It is asked for by the request that is being answered.
    assert_eq!(Reply::read_head(&mut stream).await.status, 100);
    stream.write_all(body.as_bytes()).await.unwrap();
    stream
}

/// A connection that has sent a request, and stays.
async fn spoken(chat: &Chat) -> tokio::net::TcpStream {
    let mut stream = chat.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(Reply::read_head(&mut stream).await.status, 200);
    stream
}

#[tokio::test]
async fn silent_connections_are_closed_when_the_server_is_full() {
    let chat = Chat::with(|options| {
        options.max_connections = 20;
        options.header_timeout = Duration::from_secs(600);
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..60 {
        let mut stream = chat.connect().await;
        // Also those that have begun a head.
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        silent.push(stream);
    }
    for _ in 0..5 {
        let answered = chat.call("GET", "/healthz", &[], b"");
        let reply = tokio::time::timeout(Duration::from_secs(60), answered).await.expect("an answer");
        assert_eq!(reply.status, 200);
    }
    // The oldest were closed.
    let mut byte = [0];
    let closed = tokio::time::timeout(Duration::from_secs(60), silent[0].read(&mut byte)).await;
    assert!(matches!(closed.expect("closed"), Ok(0) | Err(_)));
    let metrics = String::from_utf8(chat.get("/metrics", "").await.body).unwrap();
    assert!(metrics.contains("chat_limit_refusals_total{limit=\"max_connections\"}"), "{metrics}");
}

#[tokio::test]
async fn one_address_has_only_some_connections() {
    let proxy = "127.0.0.9/32".parse().unwrap();
    let chat = Chat::with(|options| {
        options.connections_per_address = 3;
        options.trusted_proxies = vec![proxy];
    })
    .await;
    let from = async |last: u8| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, last], 0).into()).unwrap();
        let mut stream = socket.connect(chat.server.local_addr()).await.unwrap();
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let status = Reply::read_head(&mut stream).await.status;
        (stream, status)
    };
    let mut kept = Vec::new();
    for _ in 0..3 {
        let (stream, status) = from(1).await;
        assert_eq!(status, 200);
        kept.push(stream);
    }
    // Who sends first may see only that the connection is closed.
    assert!(matches!(from(1).await.1, 429 | 0));
    assert_eq!(from(2).await.1, 200, "another address of the machine");
    for _ in 0..10 {
        let (stream, status) = from(9).await;
        assert_eq!(status, 200, "a proxy");
        kept.push(stream);
    }
    drop(kept.remove(0));
    let deadline = Instant::now() + Duration::from_secs(60);
    while from(1).await.1 != 200 {
        assert!(Instant::now() < deadline, "its place is not free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_proxy_on_this_machine_that_is_not_trusted_has_no_limit_of_connections() {
    let chat = Chat::with(|options| options.connections_per_address = 3).await;
    let mut kept = Vec::new();
    for _ in 0..10 {
        let mut stream = chat.connect().await;
        let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Real-IP: 192.0.2.1\r\n\r\n";
        stream.write_all(request).await.unwrap();
        assert_eq!(Reply::read_head(&mut stream).await.status, 200);
        kept.push(stream);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_a_response_is_disconnected() {
    let chat = Chat::with(|options| {
        options.write_timeout = SHORT;
        options.max_connections = 1;
    })
    .await;
    // A picture of the original chat.
    std::fs::write(chat.uploads.path().join("uploads/large.gif"), vec![0; 9 * 1024 * 1024]).unwrap();

    let mut greedy = chat.connect().await;
    // More than the system's buffers on both sides hold.
    let request = chat.request("GET", "/uploads/large.gif", &[], b"");
    let request = String::from_utf8(request).unwrap().replace("Connection: close\r\n", "");
    greedy.write_all(request.repeat(4).as_bytes()).await.unwrap();
    // The only permit becomes free.
    assert_eq!(chat.call("GET", "/healthz", &[], b"").await.status, 200);
}
