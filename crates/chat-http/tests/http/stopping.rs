//! How a server stops.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Chat, FORM, Reply, form};

#[tokio::test]
async fn requests_are_finished_and_new_ones_refused() {
    let chat = Chat::start().await;
    let mut idle = chat.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(Reply::read_head(&mut idle).await.status, 200);

    let body = form(&[("username", None, b"alice"), ("password", None, b"p")]);
    let request = chat.request("POST", "/api/register", &[("Content-Type", FORM)], &body);
    let mut busy = chat.connect().await;
    busy.write_all(&request[..request.len() - 20]).await.unwrap();
    // Once the server answers a third connection, it has accepted both.
    chat.call("GET", "/healthz", &[], b"").await;
    tokio::time::sleep(Duration::from_millis(50)).await;

    assert!(chat.server.is_ready());
    chat.server.stop_accepting().await;
    assert!(!chat.server.is_ready());
    assert!(TcpStream::connect(chat.server.local_addr()).await.is_err());
    // The idle connection is closed, the busy one gets its response.
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(20), idle.read_to_end(&mut rest));
    closed.await.expect("at once, not when it was idle for too long").unwrap();
    busy.write_all(&request[request.len() - 20..]).await.unwrap();
    assert_eq!(Reply::read(&mut busy).await.status, 200);
    let started = Instant::now();
    chat.server.stop_connections().await;
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_server_that_stops_is_not_ready() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    // Two connections that are busy while the server begins to stop.
    let mut streams = Vec::new();
    for request in [
        "GET /readyz HTTP/1.1\r\nHost: a\r\n".to_owned(),
        crate::upgrade::handshake(&chat, "/ws", &[("Cookie", &cookie)]).trim_end().to_owned() + "\r\n",
    ] {
        let mut stream = chat.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    chat.call("GET", "/healthz", &[], b"").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    chat.server.stop_accepting().await;
    for mut stream in streams {
        // Either it was idle and is closed, or it gets the error.
        let _ = stream.write_all(b"\r\n").await;
        let reply = Reply::read(&mut stream).await;
        assert!(matches!(reply.status, 503 | 0), "{reply:?}");
    }
}

#[tokio::test]
async fn a_request_that_does_not_end_in_time_is_disconnected() {
    let chat = Chat::with(|options| options.stop_grace = Duration::from_millis(200)).await;
    let mut stuck = chat.connect().await;
    stuck.write_all(b"POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{").await.unwrap();
    chat.call("GET", "/healthz", &[], b"").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let started = Instant::now();
    chat.server.stop().await;
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(Reply::read(&mut stuck).await.status, 0);
}
