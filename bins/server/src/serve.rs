//! `server serve`: starts all parts in order, and stops them in order.

use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use chat_auth::{Passwords, Tokens};
use chat_http::{Parts, Server};
use chat_store::{DatabaseUrl, OtherServers, ServerLock, Stores, migrations, wait_until_reachable};
use tokio::net::TcpListener;

use crate::address::{self, BACKLOG, page_url};
use crate::bus::Bus;
use crate::config::Config;
use crate::control::ControlSocket;
use crate::files_place;
use crate::folder::{database_folder, private_folder};
use crate::limits;
use crate::log;
use crate::oidc::OidcSettings;
use crate::own_secret::OwnSecret;
use crate::requests::Context;
#[cfg(feature = "sqlite")]
use crate::restore::unpack_in_place;
use crate::signals::Signals;
use crate::tls::Tls;

/// Runs until a signal ends it.
pub(crate) async fn serve(config: Config) -> Result<(), Box<dyn Error>> {
    log::to_stderr(&config);
    let descriptors = limits::raise_descriptors();
    // Before anything is opened, so that no signal ends the process half-way.
    let mut signals = Signals::catch()?;

    let started = tokio::select! {
        started = start(config, descriptors) => started,
        () = signals.next() => {
            tracing::info!("stopped before the server was ready");
            return Ok(());
        }
    };
    let Started { server, stores, bus, lock, control, tls } = started?;

    let has_failed = tokio::select! {
        () = signals.next() => false,
        () = server.failed() => true,
        () = answer_commands(control.as_ref(), &server) => false,
        () = keep_fresh(tls) => false,
    };
    drop(control);
    tracing::info!("stopping; a second signal ends the process at once");
    tokio::select! {
        () = server.stop() => {}
        () = signals.next() => return Err("ended at once by a second signal".into()),
    }
    if let Some(bus) = bus {
        bus.stop().await;
    }
    stores.close().await;
    lock.release().await;
    tracing::info!("stopped");
    if has_failed { Err("a part of the server failed; start it again".into()) } else { Ok(()) }
}

/// Answers commands while the server runs. Never resolves.
async fn answer_commands(control: Option<&ControlSocket>, server: &Server) {
    match control {
        Some(control) => control.serve(server).await,
        None => std::future::pending().await,
    }
}

/// Keeps the certificate fresh while the server runs. Never resolves.
async fn keep_fresh(tls: Option<Tls>) {
    match tls {
        Some(tls) => tls.keep_fresh().await,
        None => std::future::pending().await,
    }
}

/// A server that is ready, and what it is stopped with.
struct Started {
    server: Server,
    stores: Stores,
    /// The bus to the other servers on the database.
    bus: Option<Bus>,
    lock: ServerLock,
    /// Where commands reach it.
    control: Option<ControlSocket>,
    tls: Option<Tls>,
}

/// Starts all parts, up to the readiness of the server.
///
/// A signal may drop this future at any of its waits: a database that no longer
/// answers must not keep the process alive. That leaves nothing half-done, as
/// each step of a migration is one transaction, which the lost connection or the
/// end of the process rolls back.
async fn start(mut config: Config, descriptors: Option<u64>) -> Result<Started, Box<dyn Error>> {
    private_folder(&config.data_dir)?;
    database_folder(&config.database_url)?;
    let secret = OwnSecret::find(&mut config)?;
    // Taken before the wait for the database, and open to clients only after it.
    let socket = address::bind(&config.listen).await;
    let socket = socket.map_err(|error| format!("{}: {error}", config.listen_origin))?;
    let metrics = listen_beside(config.metrics_listen.as_ref()).await?;
    let redirects = listen_beside(config.http_listen.as_ref()).await?;
    let tls = config
        .tls
        .as_ref()
        .map(|source| Tls::load(source, &config.http.acme_challenges, &config.http.certificate_end))
        .transpose()?;
    config.http.tls = tls.as_ref().map(Tls::config).transpose()?;
    let lock = lock_database(&config).await?;
    if config.migrate && matches!(config.database_url, DatabaseUrl::Postgres(_)) {
        for step in migrations::up(&config.database_url).await? {
            tracing::info!(version = step.version, name = step.name, "migrated the database");
        }
    }
    #[cfg(feature = "sqlite")]
    unpack_in_place(&config).await?;
    let stores = Stores::open(&config.database_url).await?;
    files_place::claim(&config.http.files.location, &stores).await?;
    let secret = secret.shared(&stores).await?;
    let bus = match &config.bus {
        Some(url) => {
            let (bus, server_bus) = Bus::start(url, &stores).await?;
            config.http.shards.server_bus = Some(server_bus);
            Some(bus)
        }
        None => None,
    };
    let external_keys = match &config.external_keys {
        Some(from) => Some(Arc::new(from.load().await?)),
        None => None,
    };
    let parts = Parts {
        stores: stores.clone(),
        passwords: Passwords::start(config.passwords.clone())?,
        tokens: match &external_keys {
            Some(keys) => Tokens::new(&secret, config.tokens.clone()).with_external_keys(Arc::clone(keys)),
            None => Tokens::new(&secret, config.tokens.clone()),
        },
        identity: None,
        oidc: config.oidc.as_ref().map(OidcSettings::sign_in).transpose()?,
    };
    let listening = socket.listen(BACKLOG);
    let listener = listening
        .map_err(|error| format!("{}: cannot listen on {}: {error}", config.listen_origin, config.listen))?;
    let address = listener.local_addr()?;
    let control = ControlSocket::open(&config, Context::new(&config, stores.clone()));
    let shards = config.http.shards.shards;
    let page = match &config.http.public_url {
        Some(url) => url.origin().to_owned(),
        None => page_url(address, tls.is_some()),
    };
    let page = format!("{}{}", page.trim_end_matches('/'), config.http.base_path.as_str());
    let has_administrator = !stores.users.administrators().await?.is_empty();
    let set_up_code = parts.tokens.set_up_code(stores.administration.set_up_round().await?);
    let server = Server::start(listener, parts, config.http).await?;
    if let Some(metrics) = metrics {
        tracing::info!(address = %metrics.local_addr()?, "listening for metrics");
        server.serve_metrics(metrics);
    }
    if let Some(redirects) = redirects {
        tracing::info!(address = %redirects.local_addr()?, "redirecting HTTP to HTTPS");
        server.serve_redirects(redirects);
    }
    tracing::info!(%address, shards, descriptors, database = %config.database_url, "ready");
    let mut lines = format!("The chat is open: {page}\n");
    if !has_administrator {
        let page = page.trim_end_matches('/');
        lines.push_str(&format!("To become its administrator, sign in at {page}/#setup={set_up_code}\n"));
    }
    // The process that started the server may have read the first line and closed the pipe.
    if let Err(error) = std::io::stdout().write_all(lines.as_bytes()) {
        tracing::debug!(%error, "standard output is closed");
    }
    Ok(Started { server, stores, bus, lock, control, tls })
}

/// Listens on an address beside the one for people, if there is one. `listen` is the address,
/// and the setting that it came from.
async fn listen_beside(listen: Option<&(String, String)>) -> Result<Option<TcpListener>, String> {
    let Some((listen, origin)) = listen else { return Ok(None) };
    let socket = address::bind(listen).await.map_err(|error| format!("{origin}: {error}"))?;
    let listener = socket.listen(BACKLOG);
    listener.map(Some).map_err(|error| format!("{origin}: cannot listen on {listen}: {error}"))
}

/// Waits for the database, and marks it as one that servers use. Several may use one Postgres; a
/// command that needs it for itself sees them.
async fn lock_database(config: &Config) -> Result<ServerLock, Box<dyn Error>> {
    let url = &config.database_url;
    wait_until_reachable(url, config.database_wait).await?;
    Ok(ServerLock::acquire(url, OtherServers::Allow).await?)
}
