//! The listener and its connections.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chat_auth::Network;
use chat_core::{SessionId, Username};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::app::{App, Parts};
use crate::body::SentBody;
use crate::chat::{Chat, StartError};
use crate::client_address::{is_unknown_proxy, note_limited};
use crate::client_socket::ClientSocket;
use crate::connections::{Answering, Connection};
use crate::handshake::Failure;
use crate::routes::{Client, Door};
use crate::{HttpOptions, routes};

/// A chat with a listener of its own, whose connections it accepts on the current tokio
/// runtime.
///
/// [`stop`](Self::stop) ends it in order. Dropping it closes all connections at once.
pub struct Server {
    chat: Chat,
    address: SocketAddr,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    /// Starts a [`Chat`], and accepts connections for it.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub async fn start(
        listener: TcpListener,
        parts: Parts,
        options: HttpOptions,
    ) -> Result<Self, StartError> {
        Self::with_chat(listener, Chat::start(parts, options).await?)
    }

    /// Accepts connections for a chat.
    ///
    /// # Errors
    ///
    /// [`StartError::Listener`].
    pub fn with_chat(listener: TcpListener, chat: Chat) -> Result<Self, StartError> {
        let address = listener.local_addr().map_err(StartError::Listener)?;
        let accepting = tokio::spawn(accept(listener, chat.app.clone()));
        tracing::info!(%address, "listening");
        Ok(Self { chat, address, accepting: Mutex::new(Some(accepting)) })
    }

    /// Answers `GET /metrics`, and nothing else, on another listener, until the server stops
    /// accepting. [`HttpOptions::metrics_apart`] takes it from the first one.
    pub fn serve_metrics(&self, listener: TcpListener) {
        self.serve_beside(listener, Door::Metrics);
    }

    /// Sends clients of another listener, which has no TLS, to this server's (308), until the
    /// server stops accepting, and answers [`HttpOptions::acme_challenges`] there.
    pub fn serve_redirects(&self, listener: TcpListener) {
        self.serve_beside(listener, Door::Redirect(self.address.port()));
    }

    fn serve_beside(&self, listener: TcpListener, door: Door) {
        let app = self.chat.app.clone();
        self.chat.app.tasks.spawn(async move {
            tokio::select! {
                () = app.ends.gracefully.cancelled() => {}
                () = accept_forever(&listener, &app, door) => {}
            }
        });
    }

    /// The address on which the server listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The chat behind the listener.
    pub fn chat(&self) -> &Chat {
        &self.chat
    }

    /// Whether the server accepts new work. `/readyz` also checks the store.
    pub fn is_ready(&self) -> bool {
        self.chat.is_ready()
    }

    /// Resolves when a shard has ended by a panic. The process should then be restarted;
    /// every acknowledged message is stored.
    pub async fn failed(&self) {
        self.chat.failed().await;
    }

    /// Closes the sockets of sessions that were ended in the store, and ends their downloads.
    pub async fn end_sessions(&self, sessions: &[SessionId]) {
        self.chat.end_sessions(sessions).await;
    }

    /// Closes all sockets of a user who was banned in the store, also those without a session.
    pub async fn end_user(&self, user: &Username) {
        self.chat.end_user(user).await;
    }

    /// Tells the sockets of a user whose role was changed in the store.
    pub fn role_changed(&self, user: &Username, is_administrator: bool) {
        self.chat.role_changed(user, is_administrator);
    }

    /// Looks for messages to deliver to an outgoing webhook that was made in the store.
    pub fn webhook_made(&self) {
        self.chat.webhook_made();
    }

    /// Makes the server unready and closes the listener; resolves when no client can
    /// connect any more. Requests are finished and idle connections closed. Sockets that
    /// were upgraded stay with their shards.
    pub async fn stop_accepting(&self) {
        self.chat.stop_accepting();
        let accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(accepting) = accepting {
            // A panic was reported by the task.
            let _ = accepting.await;
        }
    }

    /// Waits at most `stop_grace` for the requests that are being answered, and then
    /// closes their connections. Afterwards no task of this server runs.
    pub async fn stop_connections(&self) {
        self.chat.stop_requests().await;
    }

    /// Stops in order: closes the listener, closes each socket in its time slot with its
    /// messages acknowledged, finishes requests, and waits for the last commit. A temporary
    /// folder of files is removed.
    pub async fn stop(&self) {
        self.stop_accepting().await;
        self.chat.stop().await;
    }
}

async fn accept(listener: TcpListener, app: Arc<App>) {
    tokio::select! {
        () = app.ends.gracefully.cancelled() => {}
        () = accept_forever(&listener, &app, Door::People) => {}
    }
}

async fn accept_forever(listener: &TcpListener, app: &Arc<App>, door: Door) {
    let mut failing = false;
    // A door of its own, so that monitoring sees a server that is full.
    let for_metrics = Arc::new(Semaphore::new(METRICS_CONNECTIONS_MAX));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if failing {
                    tracing::info!("accepting connections again");
                    failing = false;
                }
                tracing::trace!(%peer, "connected");
                // Frames are batched before they are written, so Nagle's algorithm would
                // only delay them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY cannot be set");
                }
                let admitted = match door {
                    Door::People | Door::Host | Door::Redirect(_) => admit(app, &stream, peer.ip(), door),
                    Door::Metrics => for_metrics.clone().try_acquire_owned().ok().map(|permit| {
                        let connection = app.connections.enter(None).expect("such ones have no limit");
                        Admitted { permit: Some(permit), connection }
                    }),
                };
                if let Some(admitted) = admitted {
                    app.tasks.spawn(serve(stream, peer.ip(), door, app.clone(), admitted));
                }
            }
            // Only this client is concerned, and it has gone.
            Err(error) if concerns_one_client(&error) => {}
            // No descriptors or no memory is left. The client stays in the backlog, so
            // `accept` would fail again at once.
            Err(error) => {
                if !failing {
                    tracing::error!(%error, "no connection can be accepted");
                    failing = true;
                }
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// The time between two attempts while no descriptors are left.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

fn concerns_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// A connection that may speak HTTP.
struct Admitted {
    /// `None`: once one of those that may is closed.
    permit: Option<OwnedSemaphorePermit>,
    connection: Connection,
}

/// Counts a new connection. `None`: its address has as many connections as it may, and this one
/// is closed.
fn admit(app: &App, stream: &TcpStream, peer: IpAddr, door: Door) -> Option<Admitted> {
    let is_proxy = app.options.trusted_proxies.iter().any(|network| network.contains(&peer.to_canonical()));
    let address = (!is_proxy).then_some(peer);
    let Some(connection) = app.connections.enter(address.map(Network::of)) else {
        app.metrics.limit_refused("connections_per_address");
        note_limited(address, "connections_per_address");
        // A client that reads first sees why; for others, and behind TLS, the connection is
        // closed.
        if door != Door::People || app.options.tls.is_none() {
            let _ = stream.try_write(TOO_MANY_CONNECTIONS);
        }
        return None;
    };
    let permit = app.connection_permits.clone().try_acquire_owned().ok();
    Some(Admitted { permit, connection })
}

/// Waits until a new connection may speak HTTP, because another one has ended: an idle one is
/// closed for it. `None`: too many wait, or none has ended in time.
async fn await_permit(app: &App, connection: &Connection) -> Option<OwnedSemaphorePermit> {
    app.metrics.limit_refused("max_connections");
    let _waiting = app.connections.wait(connection)?;
    let permit = app.connection_permits.clone().acquire_owned();
    tokio::time::timeout(PERMIT_WAIT, permit).await.ok()?.ok()
}

/// How long a new connection waits while all others are busy.
const PERMIT_WAIT: Duration = Duration::from_secs(10);
const ALL_BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

const TOO_MANY_CONNECTIONS: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
/// Connections for metrics at one time.
const METRICS_CONNECTIONS_MAX: usize = 16;

/// Serves one connection, until it ends or becomes a WebSocket.
async fn serve(stream: TcpStream, peer: IpAddr, door: Door, app: Arc<App>, admitted: Admitted) {
    let (options, ends) = (&app.options, &app.ends);
    let client = Client { peer: Some(peer), door };
    let Admitted { permit, connection: of_client } = admitted;
    let of_client = &of_client;
    let tls = options.tls.as_ref().filter(|_| client.door == Door::People);
    let permit = match permit {
        Some(permit) => Some(permit),
        None => tokio::select! {
            permit = await_permit(&app, of_client) => permit,
            () = ends.gracefully.cancelled() => None,
        },
    };
    let Some(_permit) = permit else {
        if tls.is_none() {
            let _ = stream.try_write(ALL_BUSY);
        }
        return;
    };
    // From now on it may be closed in favour of another. Those for metrics make no room.
    let is_closable = client.door != Door::Metrics;
    of_client.set_idle(is_closable);
    let socket = match tls {
        Some(config) => {
            let secured = app.handshakes.secure(stream, Arc::clone(config), options.tls_handshake_timeout);
            let secured = tokio::select! {
                secured = secured => secured,
                () = of_client.closed() => return,
                () = ends.gracefully.cancelled() => return,
                () = ends.at_once.cancelled() => return,
            };
            app.metrics.tls_handshake(match &secured {
                Ok(_) => "ok",
                Err(Failure::Failed) => "failed",
                Err(Failure::TooLate) => "too_late",
                Err(Failure::WithoutTls) => "without_tls",
                Err(Failure::Replaced) => "replaced",
            });
            let Ok(stream) = secured else { return };
            ClientSocket::tls(stream, options.write_timeout)
        }
        None => ClientSocket::plain(stream, options.write_timeout),
    };
    let is_stalled = socket.is_stalled();
    let io = TokioIo::new(socket);
    let answering = Answering::default();
    let service = service_fn(|request: Request<Incoming>| {
        let under_way = answering.begin();
        of_client.set_idle(false);
        if is_unknown_proxy(peer, request.headers(), &app.options.trusted_proxies) {
            of_client.is_of_proxy();
        }
        let app = app.clone();
        async move {
            let answer = routes::answer(app, client, request.map(SentBody::Hyper)).await;
            Ok::<_, Infallible>(answer.map(|body| under_way.with(body)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_headers(options.headers_max)
        .max_header_size(options.header_max_bytes)
        // The head of a request must fit into the buffer; bodies pass through in chunks.
        .max_buf_size((2 * options.header_max_bytes).max(BUFFER_MIN_BYTES))
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let served = poll_fn(|cx| {
        let ended = connection.as_mut().poll(cx);
        if ended.is_pending() {
            let is_busy = answering.is_under_way() || is_stalled.load(Ordering::Relaxed);
            of_client.set_idle(is_closable && !is_busy);
        }
        ended
    });
    let ended = tokio::select! {
        ended = served => Some(ended),
        // A request that has begun since is answered.
        () = of_client.closed() => if of_client.is_idle() { return } else { None },
        () = ends.at_once.cancelled() => return,
        () = ends.gracefully.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = ends.at_once.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// The smallest size that hyper accepts.
const BUFFER_MIN_BYTES: usize = 8192;
