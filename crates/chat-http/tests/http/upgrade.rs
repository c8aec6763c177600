//! The upgrade to a WebSocket.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{Chat, Reply};

/// A valid handshake, with these headers added.
pub fn handshake(chat: &Chat, path: &str, headers: &[(&str, &str)]) -> String {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        chat.host()
    );
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request + "\r\n"
}

/// The same, on a connection that is closed after it.
pub fn only_handshake(chat: &Chat, path: &str, headers: &[(&str, &str)]) -> String {
    handshake(chat, path, headers).replace("keep-alive, Upgrade", "close, Upgrade")
}

#[tokio::test]
async fn a_good_handshake_is_answered_with_101() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    let bearer = format!("Bearer {}", cookie.strip_prefix("auth=").unwrap());
    let origin = format!("http://{}", chat.host());
    for (path, headers) in [
        ("/ws?room=tech", vec![("Cookie", cookie.as_str())]),
        ("/ws", vec![("Cookie", &cookie)]),
        ("/ws?room=", vec![("Authorization", &bearer)]),
        ("/ws?room=%D0%9A+%D0%96", vec![("Cookie", &cookie), ("Origin", &origin)]),
        ("/ws?room=x", vec![("Cookie", &cookie), ("Sec-WebSocket-Extensions", "permessage-deflate")]),
    ] {
        let mut stream = chat.connect().await;
        stream.write_all(handshake(&chat, path, &headers).as_bytes()).await.unwrap();
        let reply = Reply::read_head(&mut stream).await;
        assert_eq!(reply.status, 101, "{path} {headers:?}: {reply:?}");
        assert_eq!(reply.header("upgrade"), Some("websocket"));
        assert_eq!(reply.header("connection"), Some("Upgrade"));
        // The example of RFC 6455 §1.3.
        assert_eq!(reply.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(reply.header("sec-websocket-extensions"), None);
    }
}

#[tokio::test]
async fn bytes_sent_with_the_handshake_are_not_lost() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    let text = r#"{"type":"message","text":"in one packet"}"#;
    // A whole text frame, masked with zeros (RFC 6455 §5.2).
    let mut request = handshake(&chat, "/ws?room=x", &[("Cookie", &cookie)]).into_bytes();
    request.extend_from_slice(&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0]);
    request.extend_from_slice(text.as_bytes());
    let mut stream = chat.connect().await;
    stream.write_all(&request).await.unwrap();
    let mut received = Vec::new();
    let echo = async {
        while !String::from_utf8_lossy(&received).contains("in one packet") {
            assert_ne!(stream.read_buf(&mut received).await.unwrap(), 0, "closed");
        }
    };
    tokio::time::timeout(Duration::from_secs(30), echo).await.expect("the message comes back");
}

#[tokio::test]
async fn a_bad_handshake_is_refused_in_json() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    let good = handshake(&chat, "/ws?room=x", &[("Cookie", &cookie)]);
    let without = |header: &str| -> String {
        let lines = good.split_inclusive("\r\n").filter(|line| !line.starts_with(header));
        lines.collect()
    };
    let long_room = format!("/ws?room={}", "%D0%96".repeat(65));
    let host = chat.host();
    for (what, request, status) in [
        ("no Upgrade", without("Upgrade"), 400),
        ("another Upgrade", good.replace("Upgrade: websocket", "Upgrade: h2c"), 400),
        ("two Upgrades", good.replace("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: websocket"), 400),
        ("no Connection", without("Connection"), 400),
        ("another Connection", good.replace("keep-alive, Upgrade", "keep-alive"), 400),
        ("upgrade as part of a word", good.replace("keep-alive, Upgrade", "upgraded"), 400),
        ("no version", without("Sec-WebSocket-Version"), 426),
        ("another version", good.replace("Version: 13", "Version: 8"), 426),
        ("two versions", good.replace("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 8"), 426),
        ("no key", without("Sec-WebSocket-Key"), 400),
        ("a short key", good.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), 400),
        ("a key that is not base64", good.replace("dGhlIHNhbXBs", "dGhl!HNhbXBs"), 400),
        ("two keys", good.replace("Sec-WebSocket-Key", "Sec-WebSocket-Key: x\r\nSec-WebSocket-Key"), 400),
        ("a subprotocol", good.replace("Upgrade: ", "Sec-WebSocket-Protocol: chat.v9\r\nUpgrade: "), 400),
        ("a body", good.replace("Upgrade: ", "Content-Length: 5\r\nUpgrade: ") + "12345", 400),
        ("HTTP/1.0", good.replace("HTTP/1.1", "HTTP/1.0"), 400),
        ("a long room", good.replace("/ws?room=x", &long_room), 400),
        ("a control character", good.replace("room=x", "room=%07"), 400),
        ("bytes that are no text", good.replace("room=x", "room=%FF"), 400),
        ("no host", good.replace(&format!("Host: {host}\r\n"), ""), 400),
        ("no token", without("Cookie"), 401),
        ("a bad token", good.replace("auth=", "auth=x"), 401),
    ] {
        // The connection may stay open after a refused request.
        let request = match request.contains("keep-alive, Upgrade") {
            true => request.replace("keep-alive, Upgrade", "close, Upgrade"),
            false => request.replacen("\r\n", "\r\nConnection: close\r\n", 1),
        };
        let reply = chat.raw(request.as_bytes()).await;
        assert_eq!(reply.status, status, "{what}: {reply:?}");
        assert!(!reply.error().is_empty());
        if status == 426 {
            assert_eq!(reply.header("sec-websocket-version"), Some("13"), "{what}");
        }
    }
    let headers = [("Cookie", cookie.as_str()), ("Sec-WebSocket-Protocol", "chat.v9")];
    let subprotocol = only_handshake(&chat, "/ws", &headers);
    assert_eq!(chat.raw(subprotocol.as_bytes()).await.error(), "unknown subprotocol");
}

#[tokio::test]
async fn a_session_that_has_ended_gets_no_socket() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    chat.call("POST", "/api/logout", &[("Cookie", &cookie)], b"").await;
    let request = only_handshake(&chat, "/ws", &[("Cookie", &cookie)]);
    assert_eq!(chat.raw(request.as_bytes()).await.refusal(), (401, "invalid token".to_owned()));
}

#[tokio::test]
async fn a_user_opens_sockets_at_a_limited_rate() {
    let chat = Chat::with(|options| options.socket_opens_per_minute = 3).await;
    let [alice, bob] = [chat.sign_in("alice").await, chat.sign_in("bob").await];
    let open = async |cookie: &str| {
        let mut stream = chat.connect().await;
        stream.write_all(handshake(&chat, "/ws", &[("Cookie", cookie)]).as_bytes()).await.unwrap();
        Reply::read_head(&mut stream).await
    };
    // A request that is no handshake opens none.
    let bad = only_handshake(&chat, "/ws?room=%00", &[("Cookie", &alice)]);
    assert_eq!(chat.raw(bad.as_bytes()).await.status, 400);
    for _ in 0..3 {
        assert_eq!(open(&alice).await.status, 101);
    }
    let refused = open(&alice).await;
    assert_eq!(refused.status, 429);
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=21).contains(&seconds), "{seconds}");
    assert_eq!(open(&bob).await.status, 101);
}
