//! `server serve`: everything put together, and taken apart in order.

use std::error::Error;
use std::io::IsTerminal as _;
use std::net::SocketAddr;

use chat_auth::{Passwords, SigningSecret, Tokens};
use chat_http::{Parts, Server};
use chat_store::{DatabaseUrl, Stores, migrations};
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::backup::unpack_in_place;
use crate::config::Config;
use crate::folder::private_folder;
use crate::limits;
use crate::settings::LogFormat;

/// Runs until it is told to stop.
pub(crate) async fn serve(config: Config) -> Result<(), Box<dyn Error>> {
    log_to_stderr(&config)?;
    let descriptors = limits::raise_descriptors();
    // Before anything is opened, so that no signal finds nobody listening.
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;

    private_folder(&config.data_dir)
        .map_err(|error| format!("the data folder {} cannot be made: {error}", config.data_dir.display()))?;
    if let DatabaseUrl::Sqlite(path) = &config.database_url
        && let Some(folder) = path.parent()
    {
        private_folder(folder)
            .map_err(|error| format!("the folder {} cannot be made: {error}", folder.display()))?;
    }
    let secret = match config.jwt_secret {
        Some(secret) => SigningSecret::new(secret)?,
        None => SigningSecret::load_or_create(&config.data_dir.join("jwt.secret"))?,
    };
    let listener = listen(&config.listen).await?;
    let address = listener.local_addr()?;
    if config.migrate && matches!(config.database_url, DatabaseUrl::Postgres(_)) {
        migrations::up(&config.database_url).await?;
    }
    unpack_in_place(&config.database_url, &config.http.uploads_dir).await?;
    let stores = Stores::open(&config.database_url).await?;
    let parts = Parts {
        users: stores.users.clone(),
        sessions: stores.sessions.clone(),
        log: stores.log.clone(),
        passwords: Passwords::start(config.passwords)?,
        tokens: Tokens::new(&secret, config.tokens),
    };
    let shards = config.http.shards.shards;
    let page = match &config.http.public_url {
        Some(url) => url.origin().to_owned(),
        None => page(address),
    };
    let server = Server::start(listener, parts, config.http).await?;
    tracing::info!(%address, shards, descriptors, database = ?config.database_url, "ready");
    println!("The chat is open: {page}");

    let failed = tokio::select! {
        _ = interrupted.recv() => false,
        _ = terminated.recv() => false,
        () = server.failed() => true,
    };
    tracing::info!("stopping; a second signal ends at once");
    tokio::select! {
        () = server.stop() => {}
        _ = interrupted.recv() => return Err("ended at once, by a second signal".into()),
        _ = terminated.recv() => return Err("ended at once, by a second signal".into()),
    }
    stores.close().await;
    tracing::info!("stopped");
    if failed { Err("a part of the server failed; start it anew".into()) } else { Ok(()) }
}

fn log_to_stderr(config: &Config) -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_new(&config.log_filter).map_err(|error| format!("log: {error}"))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Human => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}

/// Listens on the first address that a name stands for and that is free.
async fn listen(address: &str) -> Result<TcpListener, String> {
    let fail = |error: std::io::Error| format!("listen: cannot listen on {address}: {error}");
    let mut failure = std::io::Error::new(std::io::ErrorKind::NotFound, "no such host");
    for candidate in lookup_host(address).await.map_err(fail)? {
        match listen_on(candidate) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(fail(failure))
}

fn listen_on(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that starts again must not wait for its old connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Connections that wait to be accepted: when everybody comes back at once.
/// The system may allow fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

/// Where to point a browser.
fn page(address: SocketAddr) -> String {
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("http://localhost:{}", address.port())
    } else {
        format!("http://{address}")
    }
}
