//! The page, and what holds for every path.

use crate::harness::Chat;

#[tokio::test]
async fn the_page_is_served_with_a_strict_policy() {
    let chat = Chat::start().await;
    let page = chat.call("GET", "/", &[], b"").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'; "), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");

    assert_eq!(page.header("cross-origin-opener-policy"), Some("same-origin"));

    // The tag is weak, because it is also that of the compressed page.
    let etag = page.header("etag").unwrap();
    let opaque = etag.strip_prefix("W/").unwrap();
    for tags in [etag, opaque, "*", &format!("\"x\", {etag}")] {
        let again = chat.call("GET", "/", &[("If-None-Match", tags)], b"").await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{tags}");
        assert_eq!(again.header("etag"), Some(etag));
    }
    assert_eq!(chat.call("GET", "/", &[("If-None-Match", "\"x\"")], b"").await.status, 200);

    let page = String::from_utf8(page.body).unwrap();
    let named: Vec<_> = page.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert!(named.iter().any(|path| path.ends_with("/app.js")), "{named:?}");
    for path in named {
        let file = chat.call("GET", path, &[], b"").await;
        assert_eq!(file.status, 200, "{path}");
        // A release build makes them immutable, under the version in their path.
        let is_asked_again = file.header("cache-control") == Some("no-cache");
        assert_eq!(file.header("etag").is_some(), is_asked_again, "{path}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"), "{path}");
        let policy = file.header("content-security-policy");
        match file.header("content-type").unwrap() {
            "text/javascript" | "text/css" => assert_eq!(policy, None, "{path}"),
            _ => assert!(policy.unwrap().ends_with("; sandbox"), "{path}"),
        }
    }
    for path in ["/sw.js", "/manifest.webmanifest", "/icons/icon-512.png"] {
        let file = chat.call("GET", path, &[], b"").await;
        assert_eq!((file.status, file.header("cache-control")), (200, Some("no-cache")), "{path}");
    }
}

#[tokio::test]
async fn a_browser_gets_the_page_compressed() {
    let chat = Chat::start().await;
    let whole = chat.call("GET", "/", &[], b"").await;
    let small = chat.call("GET", "/", &[("Accept-Encoding", "gzip")], b"").await;
    assert_eq!((whole.header("content-encoding"), small.header("content-encoding")), (None, Some("gzip")));
    assert_eq!(small.header("vary"), Some("accept-encoding"));
    assert_eq!(small.header("etag"), whole.header("etag"));
    assert!(small.body.len() * 2 < whole.body.len());
    // The magic bytes of gzip (RFC 1952 §2.3.1).
    assert_eq!(small.body[..2], [0x1f, 0x8b]);
    let smaller = chat.call("GET", "/", &[("Accept-Encoding", "gzip, deflate, br, zstd")], b"").await;
    assert_eq!(smaller.header("content-encoding"), Some("br"));
    assert!(smaller.body.len() < small.body.len());
    let mut read = Vec::new();
    brotli::BrotliDecompress(&mut &smaller.body[..], &mut read).unwrap();
    assert_eq!(read, whole.body);
    let picture = chat.call("GET", "/icons/icon-512.png", &[("Accept-Encoding", "gzip")], b"").await;
    assert_eq!(picture.header("content-encoding"), None, "it is compressed as it is");
}

#[tokio::test]
async fn a_link_into_the_chat_gives_the_page() {
    let chat = Chat::start().await;
    let page = chat.call("GET", "/", &[], b"").await;
    for path in ["/r/default", "/r/%D1%87%D0%B0%D0%B9", "/r/a%2Fb?x=1", "/u/alice"] {
        let reply = chat.call("GET", path, &[], b"").await;
        assert_eq!((reply.status, reply.header("etag")), (200, page.header("etag")), "{path}");
    }
}

#[tokio::test]
async fn unknown_paths_are_404_and_wrong_methods_405() {
    let chat = Chat::start().await;
    for (method, path) in [
        ("GET", "/api"),
        ("GET", "/api/"),
        ("POST", "/api/unknown"),
        ("DELETE", "/api/unknown"),
        ("GET", "/api/login/"),
        ("POST", "/api/%6Cogin"),
        ("POST", "/API/login"),
        ("GET", "/api/../"),
        ("GET", "/unknown"),
        ("GET", "/r/"),
        ("GET", "/r/a/b"),
        ("GET", "/assets/0000000000000000/app.js"),
        ("POST", "/unknown"),
        ("GET", "/../Cargo.toml"),
        ("GET", "//"),
        ("GET", "/uploads"),
    ] {
        let reply = chat.call(method, path, &[], b"").await;
        assert_eq!(reply.refusal(), (404, "not found".to_owned()), "{method} {path}");
    }
    for (method, path, allow) in [
        ("GET", "/api/login", "POST"),
        ("HEAD", "/api/login", "POST"),
        ("PUT", "/api/register", "POST"),
        ("OPTIONS", "/api/logout", "POST"),
        ("POST", "/api/me", "GET, HEAD"),
        ("DELETE", "/api/users/alice", "GET, HEAD, PATCH"),
        ("POST", "/uploads/a.png", "GET, HEAD"),
        ("POST", "/ws", "GET, HEAD"),
        ("HEAD", "/ws", "GET"),
        ("POST", "/", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
    ] {
        let reply = chat.call(method, path, &[], b"").await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{method} {path}");
        if method != "HEAD" {
            assert_eq!(reply.error(), "method not allowed");
        }
    }
    for path in ["/", "/healthz", "/readyz"] {
        let (get, head) = (chat.call("GET", path, &[], b"").await, chat.call("HEAD", path, &[], b"").await);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(head.header("content-length"), get.header("content-length"));
    }
}

#[tokio::test]
async fn every_response_has_security_headers() {
    let chat = Chat::start().await;
    for path in ["/", "/api/me", "/api/unknown", "/healthz", "/uploads/none.png", "/none"] {
        let reply = chat.call("GET", path, &[], b"").await;
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("referrer-policy"), Some("same-origin"), "{path}");
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
    }
}

#[tokio::test]
async fn a_request_has_one_host() {
    let chat = Chat::start().await;
    for (request, status) in [
        ("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\nConnection: close\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200),
        ("GET /healthz HTTP/1.0\r\n\r\n", 200),
    ] {
        assert_eq!(chat.raw(request.as_bytes()).await.status, status, "{request}");
    }
}

#[tokio::test]
async fn an_ambiguous_length_of_a_body_ends_the_connection() {
    let chat = Chat::start().await;
    let smuggled = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    for headers in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: 4, 5\r\n",
        "Content-Length: +4\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        let request = format!("POST /api/login HTTP/1.1\r\nHost: a\r\n{headers}\r\n0\r\n\r\n{smuggled}");
        // `raw` returns once the connection is closed.
        let reply = chat.raw(request.as_bytes()).await;
        assert_eq!(reply.status, 400, "{headers}");
        assert!(!String::from_utf8_lossy(&reply.body).contains("HTTP/1.1"), "one answer: {headers}");
    }
}

#[tokio::test]
async fn a_browser_at_an_unknown_path_gets_a_page_in_its_language() {
    let chat = Chat::start().await;
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for (path, languages, language, sentence) in [
        ("/nope", "ru-RU,ru;q=0.9,en;q=0.8", "ru", "Такой страницы нет"),
        ("/nope?x=1", "en-US,en", "en", "There is no such page"),
        ("/r/a/b", "de", "en", "There is no such page"),
        ("/index.html", "ru", "ru", "Такой страницы нет"),
        ("/nope.png", "de;q=0.9, ru;q=0.1", "ru", "Такой страницы нет"),
    ] {
        let headers = [("Accept", browser), ("Accept-Language", languages)];
        let page = chat.call("GET", path, &headers, b"").await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (404, Some("text/html; charset=utf-8")),
            "{path}"
        );
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'; "), "{policy}");
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("etag"), None);
        let text = String::from_utf8(page.body).unwrap();
        assert!(text.contains(sentence) && text.contains("<a href=\"/\">"), "{path}: {text}");
        assert!(text.contains(&format!("<html lang=\"{language}\">")), "{path}");
        assert_eq!(text.matches("<main").count(), 1, "{path}");
        for style in text.split('"').filter(|part| part.starts_with("/assets/")) {
            assert_eq!(chat.call("GET", style, &[], b"").await.status, 200, "{style}");
        }

        let head = chat.call("HEAD", path, &headers, b"").await;
        assert_eq!((head.status, head.body.len()), (404, 0), "{path}");
        let compressed = [headers[0], headers[1], ("Accept-Encoding", "gzip"), ("If-None-Match", "*")];
        let compressed = chat.call("GET", path, &compressed, b"").await;
        assert_eq!((compressed.status, compressed.header("content-encoding")), (404, Some("gzip")), "{path}");
        assert_eq!(compressed.header("vary"), Some("accept, accept-encoding, accept-language"));

        // Programs and scripts get JSON.
        for other in ["*/*", "application/json", ""] {
            let reply = chat.call("GET", path, &[("Accept", other)], b"").await;
            assert_eq!(reply.refusal(), (404, "not found".to_owned()), "{path} {other}");
        }
        assert_eq!(chat.call("POST", path, &headers, b"").await.refusal().0, 404, "{path}");
    }
    for path in [
        "/api/nope",
        "/api",
        "/uploads/nope.png",
        "/uploads",
        "/ws/x",
        "/metrics/x",
        "/healthz/x",
        "/readyz/",
    ] {
        let reply = chat.call("GET", path, &[("Accept", browser)], b"").await;
        assert_eq!(reply.refusal(), (404, "not found".to_owned()), "{path}");
    }
}
