//! Heads that two servers could understand differently, and headers of every response.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use crate::harness::{Chat, Reply};

/// A second request, which no answer may belong to.
const SMUGGLED: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn ambiguous_heads_are_refused_and_the_connection_closed() {
    let chat = Chat::start().await;
    let length =
        |more: &str| format!("POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n{more}\r\n{{}}");
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (what, request) in [
        ("a bare LF behind the request line", "GET /healthz HTTP/1.1\nHost: a\r\n\r\n".to_owned()),
        ("a bare LF behind a field", "GET /healthz HTTP/1.1\r\nHost: a\nX: y\r\n\r\n".to_owned()),
        ("a bare LF at the end", "GET /healthz HTTP/1.1\r\nHost: a\r\n\n".to_owned()),
        ("nothing but bare LFs", "GET /healthz HTTP/1.1\nHost: a\n\n".to_owned()),
        (
            "TE and CL",
            format!("POST /api/login HTTP/1.1\r\nHost: a\r\n{chunked}Content-Length: 5\r\n\r\n0\r\n\r\n"),
        ),
        (
            "CL and TE",
            format!("POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n{chunked}\r\n0\r\n\r\n"),
        ),
        ("two lengths", length("Content-Length: 3\r\n")),
        ("the same length twice", length("Content-Length: 2\r\n")),
        (
            "a list of lengths",
            "POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\n{}".to_owned(),
        ),
        (
            "a length with a sign",
            "POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}".to_owned(),
        ),
        (
            "another coding",
            "POST /api/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n".to_owned(),
        ),
        ("chunked twice", format!("POST /api/login HTTP/1.1\r\nHost: a\r\n{chunked}{chunked}\r\n0\r\n\r\n")),
        ("no Host", "GET /healthz HTTP/1.1\r\n\r\n".to_owned()),
        ("two Hosts", "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned()),
        ("a space before a colon", "GET /healthz HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n".to_owned()),
        ("a folded field", "GET /healthz HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n".to_owned()),
        ("a folded Host", "GET /healthz HTTP/1.1\r\nHost:\r\n a\r\n\r\n".to_owned()),
    ] {
        for before in ["", SMUGGLED] {
            let mut stream = chat.connect().await;
            let _ = stream.write_all(format!("{before}{request}{SMUGGLED}").as_bytes()).await;
            let reading = Reply::read_all(&mut stream);
            let text = tokio::time::timeout(Duration::from_secs(60), reading).await.expect("it is closed");
            let lines: Vec<_> = text.lines().filter(|line| line.starts_with("HTTP/1.1 ")).collect();
            match before {
                "" => assert_eq!(lines, ["HTTP/1.1 400 Bad Request"], "{what}"),
                // Behind another request, hyper may close without an answer.
                _ => assert!(
                    matches!(
                        lines[..],
                        ["HTTP/1.1 200 OK"] | ["HTTP/1.1 200 OK", "HTTP/1.1 400 Bad Request"]
                    ),
                    "{what}: {lines:?}"
                ),
            }
        }
    }
}

#[tokio::test]
async fn what_follows_a_refused_upgrade_is_not_read() {
    let chat = Chat::start().await;
    let mut stream = chat.connect().await;
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(format!("{upgrade}GET /healthz HTTP/1.1\nHost: a\n\n").as_bytes()).await.unwrap();
    let reading = Reply::read_all(&mut stream);
    let text = tokio::time::timeout(Duration::from_secs(60), reading).await.expect("it is closed");
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
    assert!(text.starts_with("HTTP/1.1 401"), "{text}");
}

#[tokio::test]
async fn two_cookies_sign_nobody_in() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    let mallory = chat.sign_in("mallory").await;
    assert_eq!(chat.get("/api/me", &alice).await.status, 200);
    assert_eq!(chat.get("/api/me", &format!("{mallory}; {alice}")).await.status, 401);
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_it() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    for path in ["/", "/app.js", "/api/me", "/healthz", "/nothing", "/uploads/nothing.webp", "/files/a/b"] {
        let reply = chat.raw(&chat.request("GET", path, &[("Cookie", &alice)], b"")).await;
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
        if path != "/app.js" {
            let policy = reply.header("permissions-policy").unwrap();
            assert!(policy.contains("camera=()") && policy.contains("geolocation=()"), "{path}: {policy}");
        }
        assert_eq!(reply.header("strict-transport-security"), None, "{path}");
    }
    let url = chat_http::PublicUrl::parse("https://chat.example.org").unwrap();
    let secure = Chat::with(|options| options.public_url = Some(url)).await;
    for path in ["/", "/app.js", "/healthz"] {
        let reply = secure.raw(&secure.request("GET", path, &[], b"")).await;
        assert_eq!(reply.header("strict-transport-security"), Some("max-age=31536000"), "{path}");
    }
}

#[tokio::test]
async fn metrics_may_have_a_listener_of_their_own() {
    let chat = Chat::with(|options| options.metrics_apart = true).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    chat.server.serve_metrics(listener);
    assert_eq!(chat.raw(&chat.request("GET", "/metrics", &[], b"")).await.status, 404);
    let there = async |path: &str| {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(&chat.request("GET", path, &[], b"")).await.unwrap();
        Reply::read(&mut stream).await
    };
    let reply = there("/metrics").await;
    assert!(String::from_utf8(reply.body).unwrap().contains("chat_http_connections_max 10000"));
    for path in ["/", "/api/me", "/healthz", "/ws"] {
        assert_eq!(there(path).await.status, 404, "{path}");
    }
    chat.server.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
