//! The listener, its connections, and how they end.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chat_shard::Shards;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Parts};
use crate::avatar::AvatarFolder;
use crate::client_socket::ClientSocket;
use crate::metrics::Metrics;
use crate::sign_in_failures::SignInFailures;
use crate::store_health::StoreHealth;
use crate::{HttpOptions, assets, retention, routes, session_check};

/// A server that accepts connections on the current tokio runtime.
///
/// It ends in steps: [`stop_accepting`](Self::stop_accepting), and when sockets
/// were told, [`stop_connections`](Self::stop_connections). Dropping it cuts
/// everything off.
pub struct Server {
    app: Arc<App>,
    address: SocketAddr,
    ends: Ends,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder of the avatars cannot be made or read.
    #[error("the folder for uploads, {path}, cannot be used")]
    Uploads {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The threads that own sockets cannot be started.
    #[error("the system gives no threads for sockets")]
    Shards(#[source] io::Error),
    /// The listener does not say where it listens.
    #[error("the listener cannot be used")]
    Listener(#[source] io::Error),
}

impl Server {
    /// Begins to accept.
    pub async fn start(
        listener: TcpListener,
        parts: Parts,
        options: HttpOptions,
    ) -> Result<Self, StartError> {
        let address = listener.local_addr().map_err(StartError::Listener)?;
        let avatars = AvatarFolder::open(&options, &*parts.users)
            .await
            .map_err(|cause| StartError::Uploads { path: options.uploads_dir.clone(), cause })?;
        let shards = Shards::start(options.shards.clone(), parts.log.clone());
        let shards = Arc::new(shards.map_err(StartError::Shards)?);
        let metrics = Metrics::new(shards.metrics());
        let app = Arc::new(App::new(parts, shards, metrics, avatars, options));
        let ends = Ends::default();
        let accepting = tokio::spawn(accept(listener, app.clone(), ends.clone()));
        app.tasks.spawn(session_check::keep_checking(app.clone(), ends.gracefully.clone()));
        app.tasks.spawn(StoreHealth::keep_probing(app.clone(), ends.gracefully.clone()));
        app.tasks.spawn(SignInFailures::keep_logging(app.clone(), ends.gracefully.clone()));
        app.tasks.spawn(retention::keep_trimming(app.clone(), ends.gracefully.clone()));
        app.tasks.spawn_blocking(assets::prepare);
        tracing::info!(%address, "listening");
        Ok(Self { app, address, ends, accepting: Mutex::new(Some(accepting)) })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Whether it takes new work; what `/readyz` says, beside the store's health.
    pub fn is_ready(&self) -> bool {
        self.app.is_ready()
    }

    /// Resolves when a part of the server has ended by a panic: the process
    /// should then end and be started anew. What was acknowledged is stored.
    pub async fn failed(&self) {
        self.app.shards.failed().await;
    }

    /// No longer ready, the listener closed: resolves when nobody can connect
    /// any more. Requests are finished, idle connections closed; sockets that
    /// were upgraded stay with their shards.
    pub async fn stop_accepting(&self) {
        self.app.set_unready();
        self.ends.gracefully.cancel();
        let accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(accepting) = accepting {
            // A panic was reported by the task itself.
            let _ = accepting.await;
        }
    }

    /// Waits for the requests that go on, for at most `stop_grace`; then cuts
    /// them off. Afterwards no task of this server runs.
    pub async fn stop_connections(&self) {
        let tasks = &self.app.tasks;
        tasks.close();
        if tokio::time::timeout(self.app.options.stop_grace, tasks.wait()).await.is_err() {
            tracing::warn!(tasks = tasks.len(), "cutting off what did not end in time");
            self.ends.at_once.cancel();
            tasks.wait().await;
        }
    }

    /// Stops in order: nobody can connect any more, each socket is let go in its
    /// slot with its messages acknowledged, requests are finished, and the last
    /// messages are in the log.
    pub async fn stop(&self) {
        self.stop_accepting().await;
        self.app.shards.drain().await;
        self.stop_connections().await;
        self.app.shards.stop().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.app.set_unready();
        self.ends.gracefully.cancel();
        self.ends.at_once.cancel();
    }
}

/// How connections are told to end.
#[derive(Clone, Default)]
struct Ends {
    /// After the request they are busy with.
    gracefully: CancellationToken,
    at_once: CancellationToken,
}

async fn accept(listener: TcpListener, app: Arc<App>, ends: Ends) {
    tokio::select! {
        () = ends.gracefully.cancelled() => {}
        () = accept_for_ever(&listener, &app, &ends) => {}
    }
}

async fn accept_for_ever(listener: &TcpListener, app: &Arc<App>, ends: &Ends) {
    let mut failing = false;
    // Ends never: the semaphore is not closed.
    while let Ok(place) = app.places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if failing {
                    tracing::info!("accepting connections again");
                    failing = false;
                }
                tracing::trace!(%peer, "connected");
                // Frames are collected before they are written; waiting for more
                // would only delay them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY");
                }
                app.tasks.spawn(serve(stream, peer.ip(), app.clone(), ends.clone(), place));
            }
            // This client is gone already; the next one is not concerned.
            Err(error) if is_of_one_client(&error) => {}
            // Descriptors or memory ran out. The client still waits in the
            // backlog, so `accept` would fail again at once.
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

/// Between two attempts while descriptors are missing.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// One connection, until it ends or becomes a WebSocket.
async fn serve(stream: TcpStream, peer: IpAddr, app: Arc<App>, ends: Ends, _place: OwnedSemaphorePermit) {
    let options = &app.options;
    let io = TokioIo::new(ClientSocket::new(stream, options.write_timeout));
    let service = service_fn(|request| {
        let app = app.clone();
        async move { Ok::<_, Infallible>(routes::answer(app, peer, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_headers(options.headers_max)
        .max_header_size(options.header_max_bytes)
        // A head must fit into the buffer; bodies pass through it in pieces.
        .max_buf_size((2 * options.header_max_bytes).max(BUFFER_MIN_BYTES))
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = ends.at_once.cancelled() => return,
        () = ends.gracefully.cancelled() => {
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

/// The least that hyper accepts.
const BUFFER_MIN_BYTES: usize = 8192;
