//! Requests and sockets of pages of another origin are refused.

use chat_http::PublicUrl;

use crate::harness::{Chat, Reply};
use crate::upgrade::only_handshake;

/// Origins that are not that of `127.0.0.1:<port>`.
fn foreign(port: u16) -> Vec<String> {
    let other = port ^ 1;
    [
        "null".to_owned(),
        String::new(),
        "http://127.0.0.1".to_owned(),
        format!("http://127.0.0.1:{other}"),
        format!("http://127.0.0.1:{port}0"),
        format!("http://127.0.0.1:{port}.evil.com"),
        format!("http://127.0.0.1.evil.com:{port}"),
        format!("http://evil.com:{port}"),
        format!("http://x127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
        format!("http://127.0.0.2:{port}"),
        format!("http://127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}@evil.com"),
        format!("http://user@127.0.0.1:{port}"),
        format!("HTTP://127.0.0.1:{port}"),
        format!("ftp://127.0.0.1:{port}"),
        format!("127.0.0.1:{port}"),
        format!("http://2130706433:{port}"),
        "https://evil.com".to_owned(),
        "file://".to_owned(),
        "chrome-extension://abc".to_owned(),
    ]
    .into()
}

fn refused(reply: &Reply) -> bool {
    reply.status == 403 && reply.error() == "the request comes from another site"
}

#[tokio::test]
async fn a_page_of_another_origin_can_change_nothing() {
    let chat = Chat::start().await;
    let cookie = chat.sign_in("alice").await;
    for origin in foreign(chat.server.local_addr().port()) {
        let headers = [("Cookie", cookie.as_str()), ("Origin", &origin)];
        for path in ["/api/register", "/api/login", "/api/logout", "/api/unknown"] {
            let reply = chat.call("POST", path, &headers, b"").await;
            assert!(refused(&reply), "{origin} {path}: {reply:?}");
        }
        let reply = chat.raw(only_handshake(&chat, "/ws?room=x", &headers).as_bytes()).await;
        assert!(refused(&reply), "{origin}: {reply:?}");
    }
    for site in ["cross-site", "same-site"] {
        let headers = [("Cookie", cookie.as_str()), ("Sec-Fetch-Site", site)];
        assert!(refused(&chat.call("POST", "/api/logout", &headers, b"").await), "{site}");
        assert!(refused(&chat.raw(only_handshake(&chat, "/ws", &headers).as_bytes()).await), "{site}");
    }
    assert_eq!(chat.get("/api/me", &cookie).await.status, 200, "alice is still signed in");
}

#[tokio::test]
async fn the_own_page_and_programs_are_allowed() {
    let chat = Chat::start().await;
    chat.register("alice", "password").await;
    let body = br#"{"username":"alice","password":"password"}"#;
    let (http, https) = (format!("http://{}", chat.host()), format!("https://{}", chat.host()));
    for headers in [
        vec![],
        vec![("Origin", http.as_str())],
        vec![("Origin", &https)],
        vec![("Origin", &http), ("Sec-Fetch-Site", "same-origin")],
    ] {
        assert_eq!(chat.call("POST", "/api/login", &headers, body).await.status, 200, "{headers:?}");
    }
    // Safe requests are allowed.
    let reply = chat.call("GET", "/healthz", &[("Origin", "https://evil.com")], b"").await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn with_a_public_url_the_host_is_ignored() {
    let url = PublicUrl::parse("https://chat.example.org/").unwrap();
    let chat = Chat::with(|options| options.public_url = Some(url)).await;
    let login = async |origin: &str| {
        let body = br#"{"username":"alice","password":"password"}"#;
        chat.call("POST", "/api/login", &[("Origin", origin)], body).await.status
    };
    assert_eq!(login("https://chat.example.org").await, 401);
    for foreign in
        ["http://chat.example.org", "https://chat.example.org:8443", &format!("http://{}", chat.host())]
    {
        assert_eq!(login(foreign).await, 403, "{foreign}");
    }
}
