//! A host that mounts the chat on axum, with users of its own: the other program of `mount-cost`.

use std::error::Error;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, header};
use axum::middleware::map_request;
use chat_http::{
    BasePath, Chat, FilesLocation, HttpOptions, Identified, Identity, IdentityFuture, Parts, Peer,
    RequestHead,
};
use chat_store::{MemoryStore, Stores};

/// The path of the chat in this host.
pub(crate) const PATH: &str = "/chat";

#[derive(clap::Args)]
pub(crate) struct Host {
    /// The folder of its data.
    folder: PathBuf,
}

/// Users whose cookie says who they are, as no real host would do.
struct Users;

impl Identity for Users {
    fn identify<'a>(&'a self, request: RequestHead<'a>) -> IdentityFuture<'a, Option<Identified>> {
        let name = request.headers.get(header::COOKIE).and_then(|cookie| cookie.to_str().ok());
        let name = name.and_then(|cookie| cookie.strip_prefix("user="));
        Box::pin(async move { Ok(name.map(|name| Identified::new(name.to_owned()))) })
    }

    fn sign_out<'a>(
        &'a self,
        _: RequestHead<'a>,
        _: &'a Identified,
        _everywhere: bool,
    ) -> IdentityFuture<'a, HeaderMap> {
        Box::pin(async { Ok(HeaderMap::new()) })
    }
}

/// Serves the chat on a free port of this machine, and prints its address, until the process ends.
pub(crate) async fn serve(shards: usize, host: &Host) -> Result<bool, Box<dyn Error>> {
    let parts = Parts::of_host(Stores::of(Arc::new(MemoryStore::default())), Arc::new(Users))?;
    let mut options = HttpOptions {
        base_path: BasePath::parse(PATH)?,
        uploads_dir: host.folder.join("uploads"),
        // All users come from one address.
        connections_per_address: 1_000_000,
        socket_opens_per_minute: 1_000_000,
        ..HttpOptions::default()
    };
    options.files.location = FilesLocation::Folder(host.folder.join("files"));
    options.shards.shards = NonZeroUsize::new(shards).ok_or("--shards is at least 1")?;
    options.shards.hub.rate = None;
    options.shards.hub.user_clients_max = 1_000_000;
    let chat = Chat::start(parts, options).await?;
    let routes = axum::Router::new().nest_service(PATH, chat.service()).layer(map_request(with_peer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, routes.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(true)
}

async fn with_peer(ConnectInfo(address): ConnectInfo<SocketAddr>, mut request: Request) -> Request {
    request.extensions_mut().insert(Peer(address.ip()));
    request
}
