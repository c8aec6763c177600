//! The calls over HTTP; the test plays the server over a real socket.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chat_client::{Api, ApiError, AttachedFile, NewFile, SearchQuery, ServerUrl, Topic, server_info};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The server's end.
struct Server(TcpListener);

impl Server {
    async fn start() -> (Self, Api) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = ServerUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        (Self(listener), Api::new(url, "token"))
    }

    /// Reads the head of the next request: its lines without the end. The names of its fields
    /// are in small letters.
    async fn head(&self) -> (TcpStream, Vec<String>) {
        let (mut stream, _) = self.0.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        (stream, head.trim_end().split("\r\n").map(str::to_owned).collect())
    }

    /// Answers the next request, which has a body of `bytes` bytes. Returns its head and body.
    async fn answer(&self, bytes: usize, status: &str, body: &str) -> (Vec<String>, String) {
        let (mut stream, head) = self.head().await;
        let mut read = vec![0; bytes];
        stream.read_exact(&mut read).await.unwrap();
        respond(&mut stream, status, body).await;
        (head, String::from_utf8(read).unwrap())
    }
}

async fn respond(stream: &mut TcpStream, status: &str, body: &str) {
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nRetry-After: 7\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
}

fn file() -> AttachedFile {
    AttachedFile {
        id: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        name: "a b.png".to_owned(),
        media_type: "image/png".to_owned(),
        size: 10,
        width: None,
        height: None,
    }
}

const FILE: &str = r#"{"id":"AAAAAAAAAAAAAAAAAAAAAA","name":"a b.png","type":"image/png","size":10}"#;

#[tokio::test]
async fn a_file_is_uploaded_as_it_is_read() {
    let (server, api) = Server::start().await;
    let sent = Arc::new(AtomicU64::new(0));
    let progress = Arc::clone(&sent);
    let size = 300_000;
    let new = NewFile::new("a b.png").media_type("image/png").size(size);
    let bytes = vec![b'x'; size as usize];
    let upload = api.upload(new, io::Cursor::new(bytes), move |bytes| {
        assert!(bytes > progress.swap(bytes, Ordering::Relaxed));
    });
    let (uploaded, (head, body)) = tokio::join!(upload, server.answer(size as usize, "201 Created", FILE));
    assert_eq!(uploaded.unwrap(), file());
    assert_eq!(sent.load(Ordering::Relaxed), size);
    assert_eq!(body.len(), size as usize);
    assert_eq!(head[0], "POST /api/files?name=a%20b.png HTTP/1.1");
    for field in ["authorization: Bearer token", "content-type: image/png", "content-length: 300000"] {
        assert!(head.iter().any(|line| line == field), "{field} in {head:?}");
    }
}

#[tokio::test]
async fn an_upload_of_an_unknown_size_is_chunked() {
    let (server, api) = Server::start().await;
    let upload = api.upload(NewFile::new("x"), io::Cursor::new(b"hello"), |_| {});
    let serve = async {
        let (head, body) = server.answer("5\r\nhello\r\n0\r\n\r\n".len(), "201 Created", FILE).await;
        assert!(head.iter().any(|line| line == "transfer-encoding: chunked"), "{head:?}");
        assert_eq!(body, "5\r\nhello\r\n0\r\n\r\n");
    };
    assert_eq!(tokio::join!(upload, serve).0.unwrap(), file());
    // An empty file is one, too.
    let upload = api.upload_bytes(NewFile::new("empty"), "");
    let serve = async {
        let (head, _) = server.answer(0, "201 Created", FILE).await;
        assert!(head.iter().any(|line| line == "content-length: 0"), "{head:?}");
    };
    tokio::join!(upload, serve).0.unwrap();
}

#[tokio::test]
async fn a_cancelled_upload_closes_its_connection() {
    let (server, api) = Server::start().await;
    let (mut source, other_end) = tokio::io::duplex(1024);
    let upload = tokio::spawn(async move {
        let _ = api.upload(NewFile::new("x").size(1_000_000), other_end, |_| {}).await;
    });
    source.write_all(b"half").await.unwrap();
    let (mut stream, _) = server.head().await;
    let mut four = [0; 4];
    stream.read_exact(&mut four).await.unwrap();
    upload.abort();
    let rest = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut four)).await;
    // The end, or a reset.
    assert!(!matches!(rest.expect("it is closed"), Ok(1..)));
}

#[tokio::test]
async fn a_source_that_fails_or_is_too_short_fails_the_upload() {
    let (server, api) = Server::start().await;
    let short = api.upload(NewFile::new("x").size(10), io::Cursor::new(b"short"), |_| {});
    let serve = async { drop(server.0.accept().await.unwrap()) };
    match tokio::join!(short, serve).0 {
        Err(ApiError::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof),
        other => panic!("{other:?}"),
    }
    // No more is read than the size.
    let long = api.upload(NewFile::new("x").size(3), io::Cursor::new(b"longer"), |_| {});
    let (uploaded, (_, body)) = tokio::join!(long, server.answer(3, "201 Created", FILE));
    assert_eq!((uploaded.unwrap(), &*body), (file(), "lon"));
}

#[tokio::test]
async fn a_refusal_that_comes_before_the_end_of_an_upload_is_read() {
    let (server, api) = Server::start().await;
    let upload = api.upload(NewFile::new("x").size(1 << 40), tokio::io::repeat(0), |_| {});
    let serve = async {
        let (mut stream, _) = server.head().await;
        respond(&mut stream, "413 Payload Too Large", r#"{"error":"too large"}"#).await;
        // The server reads on for a while, so that its answer is not lost in a reset.
        let mut sink = vec![0; 1 << 16];
        for _ in 0..100 {
            if !matches!(stream.read(&mut sink).await, Ok(1..)) {
                break;
            }
        }
        stream
    };
    let (refused, _stream) = tokio::join!(upload, serve);
    match refused {
        Err(ApiError::Refused { status: 413, message }) => assert_eq!(message, "too large"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_file_is_downloaded_in_whole_or_in_part() {
    let (server, api) = Server::start().await;
    let serve = async {
        let (mut stream, head) = server.head().await;
        assert_eq!(head[0], "GET /files/AAAAAAAAAAAAAAAAAAAAAA/a%20b.png HTTP/1.1");
        assert!(head.iter().any(|line| line == "authorization: Bearer token"));
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 10\r\n\r\n01234";
        stream.write_all(answer.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.write_all(b"56789").await.unwrap();
    };
    let download = async {
        let mut download = api.download(&file(), None).await.unwrap();
        assert_eq!((&*download.media_type, download.start, download.len), ("image/png", 0, 10));
        let mut bytes = Vec::new();
        while let Some(chunk) = download.chunk().await.unwrap() {
            bytes.extend_from_slice(&chunk);
        }
        assert_eq!(bytes, b"0123456789");
    };
    tokio::join!(serve, download);

    let serve = async {
        let (mut stream, head) = server.head().await;
        assert!(head.iter().any(|line| line == "range: bytes=2-4"), "{head:?}");
        let answer =
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/10\r\nContent-Length: 3\r\n\r\n234";
        stream.write_all(answer.as_bytes()).await.unwrap();
    };
    let download = async {
        let download = api.download(&file(), Some(2..5)).await.unwrap();
        assert_eq!((download.start, download.len), (2, 3));
        assert_eq!(download.bytes(3).await.unwrap(), b"234");
    };
    tokio::join!(serve, download);
    let nothing = api.download(&file(), Some(5..5)).await.unwrap();
    assert_eq!(nothing.bytes(0).await.unwrap(), b"");
}

#[tokio::test]
async fn a_download_that_breaks_off_is_an_error() {
    let (server, api) = Server::start().await;
    let serve = async {
        let (mut stream, _) = server.head().await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123").await.unwrap();
    };
    let download = async { api.download(&file(), None).await.unwrap().bytes(10).await };
    assert!(matches!(tokio::join!(serve, download).1, Err(ApiError::Io(_))));

    let serve = server.answer(0, "200 OK", "0123456789");
    let download = async { api.preview(&file()).await.unwrap().bytes(9).await };
    match tokio::join!(serve, download) {
        ((head, _), Err(ApiError::Io(error))) => {
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
            assert_eq!(head[0], "GET /files/AAAAAAAAAAAAAAAAAAAAAA/a%20b.png?preview HTTP/1.1");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_are_found_page_by_page() {
    let (server, api) = Server::start().await;
    let query = SearchQuery::new("кот").topic(Topic::room("tech")).limit(2);
    let page = json!({"results": [
        {"room": "tech", "seq": 9, "from": "bob", "text": "", "timestamp": 5,
            "files": [serde_json::from_str::<serde_json::Value>(FILE).unwrap()]},
        {"with": "bob", "seq": 1, "from": "alice", "text": "кот", "timestamp": 4},
    ], "next": "n"})
    .to_string();
    let (found, (head, _)) = tokio::join!(api.search(&query), server.answer(0, "200 OK", &page));
    assert_eq!(head[0], "GET /api/search?q=%D0%BA%D0%BE%D1%82&room=tech&limit=2 HTTP/1.1");
    let found = found.unwrap();
    assert_eq!((found.results.len(), found.next.as_deref()), (2, Some("n")));
    assert_eq!((&found.results[0].topic, &found.results[0].files[..]), (&Topic::room("tech"), &[file()][..]));
    assert_eq!((&found.results[1].topic, &*found.results[1].text), (&Topic::private("bob"), "кот"));
    let query = query.before("n");
    let (found, (head, _)) =
        tokio::join!(api.search(&query), server.answer(0, "200 OK", r#"{"results":[]}"#));
    assert!(head[0].contains("&before=n&"), "{head:?}");
    assert_eq!(found.map(|found| (found.results.len(), found.next)).unwrap(), (0, None));
}

#[tokio::test]
async fn errors_say_whether_another_attempt_helps() {
    let (server, api) = Server::start().await;
    for (answer, body, expected) in [
        (
            "403 Forbidden",
            r#"{"error":"the current password is wrong"}"#,
            "refused (403): the current password is wrong",
        ),
        ("507 Insufficient Storage", r#"{"error":"full"}"#, "refused (507): full"),
        ("404 Not Found", "<html>", "refused (404): status 404"),
        ("429 Too Many Requests", "{}", "the server cannot answer at this moment (429)"),
        ("503 Service Unavailable", "{}", "the server cannot answer at this moment (503)"),
        ("200 OK", "[", "the answer of the server is not understood"),
    ] {
        let body_bytes = r#"{"current":"a","new":"b"}"#.len();
        let (changed, (head, sent)) =
            tokio::join!(api.change_password("a", "b"), server.answer(body_bytes, answer, body));
        let error = changed.unwrap_err();
        assert_eq!(error.to_string(), expected);
        if let ApiError::Unavailable { retry_after_seconds, .. } = error {
            assert_eq!(retry_after_seconds, Some(7));
        }
        assert_eq!(head[0], "POST /api/me/password HTTP/1.1");
        assert_eq!(sent, r#"{"current":"a","new":"b"}"#);
    }
    let (changed, _) = tokio::join!(api.change_password("a", "b"), server.answer(25, "200 OK", "{}"));
    changed.unwrap();
    let nobody = Api::new(ServerUrl::parse("http://127.0.0.1:1").unwrap(), "token");
    assert!(matches!(nobody.me().await, Err(ApiError::Unreachable(_))));
}

#[tokio::test]
async fn anybody_may_ask_what_a_server_is() {
    let (server, api) = Server::start().await;
    let url = ServerUrl::parse(&format!("http://{}", server.0.local_addr().unwrap())).unwrap();
    let info = r#"{"title":"Chat","registration":"open","features":["edit"],"setup":true,"later":1}"#;
    let (info, (head, _)) = tokio::join!(server_info(&url), server.answer(0, "200 OK", info));
    let info = info.unwrap();
    assert!(!head.iter().any(|line| line.starts_with("authorization")), "{head:?}");
    assert_eq!((&*info.title, &*info.registration, info.setup), ("Chat", "open", true));

    let me = r#"{"username":"alice","avatar":"","role":"member","features":[]}"#;
    let (me, _) = tokio::join!(api.me(), server.answer(0, "200 OK", me));
    assert_eq!(me.map(|me| (me.username, me.role)).unwrap(), ("alice".to_owned(), "member".to_owned()));
}
