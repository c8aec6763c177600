//! The chat in a host that accepts connections itself.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use chat_http::{ChatService, Peer};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::json;
use tokio::io::{self, AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::harness::{Chat, Reply};
use crate::upgrade::handshake;
use crate::wire::Wire;

/// What a host serves its connections with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum With {
    /// hyper, directly.
    Hyper,
    /// `auto` of hyper-util, as axum does.
    Auto,
    /// hyper, on a transport that the chat does not know.
    OtherTransport,
}

/// A host on a thread and a runtime of its own.
struct Host {
    address: SocketAddr,
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Host {
    async fn start(chat: &Chat, with: With) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap().into_std().unwrap();
        let address = listener.local_addr().unwrap();
        let service = chat.server.chat().service();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = serve(TcpListener::from_std(listener).unwrap(), service, with) => {}
                    _ = ended => {}
                }
            });
        });
        Self { address, end, thread }
    }

    /// Ends the runtime of the host, with all its tasks.
    fn end(self) {
        let _ = self.end.send(());
        self.thread.join().unwrap();
    }

    async fn call(&self, request: &str) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        Reply::read(&mut stream).await
    }

    async fn open(&self, chat: &Chat, cookie: &str) -> Wire {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let headers = [("Cookie", cookie), ("Sec-WebSocket-Protocol", "chat.v2")];
        stream.write_all(handshake(chat, "/ws", &headers).as_bytes()).await.unwrap();
        let reply = Reply::read_head(&mut stream).await;
        assert_eq!(reply.status, 101, "{reply:?}");
        let mut wire = Wire::over(stream);
        wire.next_of("hello").await;
        wire
    }
}

async fn serve(listener: TcpListener, chat: ChatService, with: With) {
    loop {
        let (stream, peer) = listener.accept().await.unwrap();
        let chat = chat.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer.ip()));
            chat.answer(request)
        });
        tokio::spawn(async move {
            let hyper = hyper::server::conn::http1::Builder::new();
            let auto = auto::Builder::new(TokioExecutor::new());
            let _ = match with {
                With::Hyper => hyper
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await
                    .map_err(Into::into),
                With::OtherTransport => hyper
                    .serve_connection(TokioIo::new(Other(stream)), service)
                    .with_upgrades()
                    .await
                    .map_err(Into::into),
                With::Auto => auto.serve_connection_with_upgrades(TokioIo::new(stream), service).await,
            };
        });
    }
}

/// A transport of another type.
struct Other(TcpStream);

impl AsyncRead for Other {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Other {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_host_answers_requests_and_opens_sockets() {
    for with in [With::Hyper, With::Auto, With::OtherTransport] {
        let chat = Chat::start().await;
        let alice = chat.sign_in("alice").await;
        let bob = chat.sign_in("bob").await;
        let host = Host::start(&chat, with).await;
        let get = |path: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nCookie: {alice}\r\n\r\n")
        };
        let reply = host.call(&get("/api/me")).await;
        assert_eq!((reply.status, &reply.json()["username"]), (200, &json!("alice")), "{with:?}");
        let body = json!({ "title": "Team" }).to_string();
        let create = format!(
            "POST /api/rooms HTTP/1.1\r\nHost: h\r\nConnection: close\r\nCookie: {alice}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(host.call(&create).await.status, 201, "{with:?}");

        let mut hers = host.open(&chat, &alice).await;
        let mut his = Wire::open_v2(&chat, &bob).await;
        for wire in [&mut hers, &mut his] {
            wire.send(&json!({ "type": "join", "room": "r" })).await;
            wire.next_of("joined").await;
        }
        // More than the buffers of a copy and of a socket have.
        let text = "x".repeat(4000);
        for number in 0..50 {
            let nonce = number.to_string();
            his.send(&json!({ "type": "message", "room": "r", "text": text, "nonce": nonce })).await;
        }
        for number in 0..50 {
            let message = hers.next_of("message").await;
            assert_eq!((&message["nonce"], &message["text"]), (&json!(number.to_string()), &json!(text)));
        }
        hers.send(&json!({ "type": "message", "room": "r", "text": "back", "nonce": "b" })).await;
        while his.next_of("message").await["text"] != "back" {}

        if with == With::OtherTransport {
            drop(hers);
            let gone = his.next_of("presence").await;
            assert_eq!((&gone["user"], &gone["online"]), (&json!("alice"), &json!(false)));
        } else {
            // The socket is the chat's own: it does not need the host any more.
            host.end();
            hers.is_open().await;
        }
        chat.server.stop().await;
    }
}

#[tokio::test]
async fn a_host_goes_on_when_the_chat_stops() {
    for with in [With::Auto, With::OtherTransport] {
        let chat = Chat::start().await;
        let alice = chat.sign_in("alice").await;
        let host = Host::start(&chat, with).await;
        let mut wire = host.open(&chat, &alice).await;
        chat.server.stop().await;
        assert_eq!(wire.close_code().await, Some(1012), "{with:?}");
        let reply = host.call("GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        assert_eq!(reply.status, 503, "{with:?}");
        host.end();
    }
}
