//! Sockets to the server that is tested.

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::Pin;

use futures_util::stream::SplitStream;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Which protocol a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    V1,
    V2,
}

/// The socket of a device, or the attempt to open it.
#[derive(Default)]
pub(super) enum Link {
    #[default]
    None,
    Connecting(Connecting),
    Open(Socket),
}

type Connecting = Pin<Box<dyn Future<Output = Result<WebSocketStream<TcpStream>, Option<u16>>> + Send>>;

/// An open socket, with a task that writes.
pub(super) struct Socket {
    reader: SplitStream<WebSocketStream<TcpStream>>,
    writer: mpsc::UnboundedSender<Message>,
    writing: JoinHandle<()>,
}

/// An event of a link.
pub(super) enum LinkEvent {
    Opened(Socket),
    /// The close code that a session understands: 1008 for a refused token.
    NotOpened(Option<u16>),
    Message(Message),
    Lost,
}

impl Link {
    pub(super) fn connect(server: SocketAddr, cookie: String, receive_buffer: Option<u32>) -> Self {
        Self::Connecting(Box::pin(async move {
            connect(server, &cookie, "", Protocol::V2, receive_buffer).await.map_err(|error| match error {
                Error::Http(answer) if matches!(answer.status().as_u16(), 401 | 403) => Some(1008),
                _ => None,
            })
        }))
    }

    /// Waits for the next event. Nothing is lost if this future is dropped.
    pub(super) async fn next(&mut self) -> LinkEvent {
        match self {
            Self::None => pending().await,
            Self::Connecting(connecting) => match connecting.await {
                Ok(stream) => LinkEvent::Opened(Socket::new(stream)),
                Err(code) => LinkEvent::NotOpened(code),
            },
            Self::Open(socket) => match socket.reader.next().await {
                Some(Ok(message)) => LinkEvent::Message(message),
                Some(Err(_)) | None => LinkEvent::Lost,
            },
        }
    }

    pub(super) fn transmit(&self, text: String) {
        if let Self::Open(socket) = self {
            // A writer that has ended met an error, which the reader meets, too.
            let _ = socket.writer.send(Message::text(text));
        }
    }
}

impl Socket {
    fn new(stream: WebSocketStream<TcpStream>) -> Self {
        let (mut sink, reader) = stream.split();
        let (writer, mut messages) = mpsc::unbounded_channel();
        let writing = tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                if sink.send(message).await.is_err() {
                    // The reader sees the end, too.
                    break;
                }
            }
        });
        Self { reader, writer, writing }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.writing.abort();
    }
}

/// Opens a WebSocket; `receive_buffer` is the system's buffer in bytes.
pub(crate) async fn connect(
    server: SocketAddr,
    cookie: &str,
    query: &str,
    protocol: Protocol,
    receive_buffer: Option<u32>,
) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut request = format!("ws://{server}/ws?{query}").into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("Cookie", cookie.parse().expect("a cookie of the server is a header value"));
    if protocol == Protocol::V2 {
        headers.insert("Sec-WebSocket-Protocol", "chat.v2".parse().expect("a token is a header value"));
    }
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    let small = WebSocketConfig::default().read_buffer_size(4096);
    Ok(client_async_with_config(request, stream, Some(small)).await?.0)
}
