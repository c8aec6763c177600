//! A host on axum with users of its own: `/` greets, `/sign-in` signs in by a name, `/deployed` posts to
//! a room, and the whole chat is under `/chat`. [docs/embedding.md](../../../docs/embedding.md) explains it.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::map_request;
use axum::response::{Html, IntoResponse, Redirect};
use axum::routing::{get, post};
use chat_http::{
    Author, BasePath, Chat, ChatHandle, FilesLocation, HookFuture, HookSet, Hooks, HttpOptions, Identified,
    Identity, IdentityFuture, Parts, Peer, Post, Proposed, RequestHead, RoomName, Topic, Username, Verdict,
};
use chat_store::{MemoryStore, Stores};

/// The users of the host. A real host has sessions that nobody can make up; this one believes a
/// cookie with a name.
struct Users;

// The chat: from here to its end, these are the lines that a host writes for it.
impl Identity for Users {
    fn identify<'a>(&'a self, request: RequestHead<'a>) -> IdentityFuture<'a, Option<Identified>> {
        Box::pin(async move { Ok(user_of(request.headers).map(Identified::new)) })
    }

    fn sign_out<'a>(
        &'a self,
        _: RequestHead<'a>,
        _: &'a Identified,
        _everywhere: bool,
    ) -> IdentityFuture<'a, HeaderMap> {
        Box::pin(async { Ok(HeaderMap::from_iter([(header::SET_COOKIE, cookie("", 0).parse()?)])) })
    }
}

/// What the host says of messages before they are stored.
struct Manners;

impl Hooks for Manners {
    fn before_append<'a>(&'a self, proposed: Proposed<'a>) -> HookFuture<'a, Verdict> {
        Box::pin(async move {
            match proposed.text.contains("password:") {
                true => Verdict::Refuse("Passwords do not belong here.".to_owned()),
                false => Verdict::Accept,
            }
        })
    }
}

/// The host posts under a name that is no user's.
async fn deployed(State(chat): State<ChatHandle>, version: String) -> Result<String, String> {
    let post = async {
        let (room, author) = (RoomName::parse("default")?, Author::Server(Username::parse("Deploys")?));
        let post = Post::new(Topic::Room(room), author, format!("Version {version} is live."));
        Ok::<_, Box<dyn Error + Send + Sync>>(chat.post(post).await?.seq)
    };
    post.await.map(|seq| format!("message {seq}\n")).map_err(|error| format!("{error}\n"))
}

async fn chat(data: &std::path::Path) -> Result<Chat, Box<dyn Error>> {
    let parts = Parts::of_host(Stores::of(Arc::new(MemoryStore::default())), Arc::new(Users))?;
    let mut options = HttpOptions {
        base_path: BasePath::parse("/chat")?,
        sign_in_url: Some("/sign-in".to_owned()),
        uploads_dir: data.join("uploads"),
        ..HttpOptions::default()
    };
    options.shards.hooks = HookSet::new(Arc::new(Manners));
    options.files.location = FilesLocation::Folder(data.join("files"));
    Ok(Chat::start(parts, options).await?)
}

/// Tells the chat the address of its client.
async fn with_peer(ConnectInfo(address): ConnectInfo<SocketAddr>, mut request: Request) -> Request {
    request.extensions_mut().insert(Peer(address.ip()));
    request
}
// The end of the chat, but for two lines of `main`.

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let data = arguments.next().unwrap_or_else(|| "data".to_owned());
    let chat = chat(data.as_ref()).await?;
    let routes = Router::new()
        .route("/", get(home))
        .route("/sign-in", get(sign_in))
        .route("/deployed", post(deployed).with_state(chat.handle()))
        .nest_service("/chat", chat.service())
        .layer(map_request(with_peer));
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("The host is open: http://{}", listener.local_addr()?);
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    let stopped = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    tokio::select! {
        served = axum::serve(listener, service) => served?,
        () = stopped => {}
    }
    chat.stop().await;
    Ok(())
}

async fn home(headers: HeaderMap) -> Html<String> {
    let user = user_of(&headers).unwrap_or_else(|| "nobody".to_owned());
    Html(format!("{HEAD}<p id=who>{user}</p><a href=/chat/>Chat</a>"))
}

const HEAD: &str = "<!doctype html><title>Host</title><link rel=icon href=data:,>";

/// The form, or what was typed into it.
async fn sign_in(Query(form): Query<SignIn>) -> axum::response::Response {
    match form.name {
        Some(name) if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            let next = form.next.filter(|next| next.starts_with("/chat")).unwrap_or_else(|| "/".to_owned());
            ([(header::SET_COOKIE, cookie(&name, 3600))], Redirect::to(&next)).into_response()
        }
        _ => {
            let next = form.next.unwrap_or_default();
            let next = next.replace('&', "&amp;").replace('"', "&quot;");
            Html(format!(
                "{HEAD}<form><input name=name aria-label=Name>\
                 <input type=hidden name=next value=\"{next}\"><button>Sign in</button></form>"
            ))
            .into_response()
        }
    }
}

#[derive(serde::Deserialize)]
struct SignIn {
    name: Option<String>,
    next: Option<String>,
}

fn cookie(name: &str, seconds: u32) -> String {
    format!("user={name}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax")
}

fn user_of(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let names = cookies.split(';').filter_map(|cookie| cookie.trim().strip_prefix("user="));
    names.map(str::to_owned).find(|name| !name.is_empty())
}
