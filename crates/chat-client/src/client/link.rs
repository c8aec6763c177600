//! The socket of a client: opening it, with a sign-in if need be, and reading and
//! writing without losing anything.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::Credentials;
use crate::stream::Stream;
use crate::{ServerUrl, SignInError, Unreachable, sign_in};

/// The connection of a client.
pub(super) enum Link {
    None,
    Opening(Pin<Box<dyn Future<Output = Result<Opened, OpenError>> + Send>>),
    Open(Box<Socket>),
}

/// An open socket.
pub(super) struct Opened {
    pub(super) socket: Box<WebSocketStream<Stream>>,
    /// The token, if a sign-in got it for this socket.
    pub(super) new_token: Option<String>,
}

/// Why a socket could not be opened.
pub(super) enum OpenError {
    /// The server was not reached: try again later.
    Unreachable(Unreachable),
    /// The server is busy, fails, or broke off: try again later.
    Later { status: Option<u16> },
    /// The server refused the name and password.
    SignedOut,
    /// The server refused the token.
    BadToken,
    /// The server does not open sockets at this address.
    UnsupportedServer { status: u16 },
}

/// An event of the link.
pub(super) enum LinkEvent {
    Opened(Result<Opened, OpenError>),
    Message(Message),
    Lost,
}

/// A WebSocket, and the messages that wait to be written.
pub(super) struct Socket {
    sink: SplitSink<WebSocketStream<Stream>, Message>,
    stream: SplitStream<WebSocketStream<Stream>>,
    /// What the sink has not accepted yet; bounded by what a session has in flight.
    queue: VecDeque<Message>,
    is_unflushed: bool,
}

impl Link {
    /// Starts to open a socket. Without a token, it signs in first.
    pub(super) fn open(
        server: ServerUrl,
        token: Option<String>,
        credentials: Credentials,
        message_max_bytes: usize,
    ) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(message_max_bytes));
        Self::Opening(Box::pin(async move {
            let (token, is_new) = match (token, credentials) {
                (Some(token), _) | (None, Credentials::Token(token)) => (token, false),
                (None, Credentials::Password { username, password }) => {
                    (sign_in(&server, &username, &password).await?, true)
                }
            };
            let request = server.socket_url("/ws").into_client_request();
            let mut request = request.map_err(|_| OpenError::UnsupportedServer { status: 0 })?;
            let bearer = HeaderValue::try_from(format!("Bearer {token}"));
            let headers = request.headers_mut();
            headers.insert("Authorization", bearer.map_err(|_| OpenError::SignedOut)?);
            headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static("chat.v2"));
            let stream = server.open().await.map_err(OpenError::Unreachable)?;
            let opened = client_async_with_config(request, stream, Some(config)).await;
            let (socket, _) = opened.map_err(|error| OpenError::of_handshake(&server, error))?;
            Ok(Opened { socket: Box::new(socket), new_token: is_new.then_some(token) })
        }))
    }

    /// Queues a text message. Without a socket it is dropped: the session sends it
    /// again on the next one.
    pub(super) fn transmit(&mut self, text: String) {
        if let Self::Open(socket) = self {
            socket.queue.push_back(Message::text(text));
        }
    }

    /// Waits for the next event, and writes queued messages meanwhile. Nothing is
    /// lost if this future is dropped.
    pub(super) async fn next(&mut self, may_read: bool) -> LinkEvent {
        match self {
            Self::None => std::future::pending().await,
            Self::Opening(opening) => LinkEvent::Opened(opening.await),
            Self::Open(socket) => socket.next(may_read).await,
        }
    }

    /// Writes what is queued, sends a close frame and waits until the server has closed the connection,
    /// or for [`CLOSE_TIMEOUT`].
    pub(super) async fn close(self) {
        if let Self::Open(mut socket) = self {
            let closing = async {
                for message in std::mem::take(&mut socket.queue) {
                    let _gone = socket.sink.feed(message).await;
                }
                // The server closes when it has answered everything it was sent.
                let _gone = socket.sink.send(Message::Close(None)).await;
                while let Some(Ok(_)) = socket.stream.next().await {}
            };
            let _late = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
        }
    }
}

impl Socket {
    pub(super) fn new(socket: WebSocketStream<Stream>) -> Self {
        let (sink, stream) = socket.split();
        Self { sink, stream, queue: VecDeque::new(), is_unflushed: false }
    }

    async fn next(&mut self, may_read: bool) -> LinkEvent {
        let Self { sink, stream, queue, is_unflushed } = self;
        let write = async {
            if !may_read {
                // A client that does not read does not learn that a message failed,
                // and must not send the messages behind it.
                std::future::pending::<()>().await;
            }
            while !queue.is_empty() {
                poll_fn(|context| sink.poll_ready_unpin(context)).await?;
                if let Some(message) = queue.pop_front() {
                    *is_unflushed = true;
                    sink.start_send_unpin(message)?;
                }
            }
            if *is_unflushed {
                sink.flush().await?;
                *is_unflushed = false;
            }
            Ok::<(), Error>(())
        };
        let read = async {
            if !may_read {
                std::future::pending::<()>().await;
            }
            match stream.next().await {
                Some(Ok(message)) => LinkEvent::Message(message),
                Some(Err(_)) | None => LinkEvent::Lost,
            }
        };
        tokio::pin!(read);
        tokio::select! {
            biased;
            event = &mut read => event,
            written = write => match written {
                // Messages that came before an error can still be read.
                Ok(()) | Err(_) => read.await,
            },
        }
    }
}

impl From<SignInError> for OpenError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Refused { status: 401, .. } => Self::SignedOut,
            SignInError::Refused { status, .. } => Self::UnsupportedServer { status },
            SignInError::Unavailable { status } => Self::Later { status: Some(status) },
            SignInError::Unreachable(unreachable) => Self::Unreachable(unreachable),
            SignInError::Io(_) => Self::Later { status: None },
        }
    }
}

impl OpenError {
    fn of_handshake(server: &ServerUrl, error: Error) -> Self {
        match error {
            Error::Http(answer) => match answer.status().as_u16() {
                401 | 403 => Self::BadToken,
                status @ (408 | 429 | 500..) => Self::Later { status: Some(status) },
                status => Self::UnsupportedServer { status },
            },
            Error::Io(error) => Self::Unreachable(server.broken(error)),
            // Not a proxy that broke off, but a server of something else.
            Error::HttpFormat(_) | Error::Protocol(ProtocolError::HttparseError(_)) => {
                Self::Unreachable(Unreachable::NotHttp { server: server.authority.clone() })
            }
            Error::Protocol(
                ProtocolError::MissingUpgradeWebSocketHeader
                | ProtocolError::MissingConnectionUpgradeHeader
                | ProtocolError::SecWebSocketAcceptKeyMismatch
                | ProtocolError::SecWebSocketSubProtocolError(_),
            ) => Self::UnsupportedServer { status: 101 },
            _ => Self::Later { status: None },
        }
    }
}

/// Frames are small; tungstenite's default of 128 KiB would be filled with zeros.
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// How long the server may take to close the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
