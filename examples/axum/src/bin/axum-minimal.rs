//! The least that a host on axum with users of its own writes for the chat: at most 30 lines, which a
//! test counts. [docs/embedding.md](../../../../docs/embedding.md) has this file.

use std::collections::HashMap;
use std::error::Error;

use axum::Router;
use axum::extract::Query;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use tokio::net::TcpListener;

// The lines for the chat are those from here to the end of `with_peer`, and the marked ones in `main`.
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request};
use axum::middleware::map_request;
use chat_http::{BasePath, Chat, HttpOptions, Identified, Parts, Peer, identity_fn};
use chat_store::{DatabaseUrl, Stores};

async fn start_chat(stores: &Stores) -> Result<Chat, Box<dyn Error>> {
    let users = identity_fn(
        |request| user_of(request.headers).map(Identified::new),
        |_, _, _| HeaderMap::from_iter([(header::SET_COOKIE, HeaderValue::from_static(NOBODY))]),
    );
    let options = HttpOptions {
        base_path: BasePath::parse("/chat")?,
        sign_in_url: Some("/sign-in".to_owned()),
        ..HttpOptions::in_folder("data")
    };
    Ok(Chat::start(Parts::of_host(stores.clone(), users)?, options).await?)
}

/// Tells the chat the address of its client.
async fn with_peer(ConnectInfo(address): ConnectInfo<SocketAddr>, mut request: Request) -> Request {
    request.extensions_mut().insert(Peer(address.ip()));
    request
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all("data")?; // chat
    let stores = Stores::open(&DatabaseUrl::parse("sqlite:data/chat.db")?).await?; // chat
    let chat = start_chat(&stores).await?; // chat
    let routes = Router::new()
        .route("/sign-in", get(sign_in))
        .nest_service("/chat", chat.service()) // chat
        .layer(map_request(with_peer)); // chat
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("The chat is at http://{}/chat/", listener.local_addr()?);
    let service = routes.into_make_service_with_connect_info::<SocketAddr>(); // chat
    tokio::select! {
        served = axum::serve(listener, service) => served?,
        _ = tokio::signal::ctrl_c() => {}
    }
    chat.stop().await; // chat
    stores.close().await; // chat
    Ok(())
}

/// The user of a session. A real host has sessions that nobody can make up; this one believes a cookie.
fn user_of(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let user = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("user="))?;
    (!user.is_empty()).then(|| user.to_owned())
}

const NOBODY: &str = "user=; Path=/; Max-Age=0";
const FORM: &str = "<form><input name=name aria-label=Name><button>Sign in</button></form>";

/// The form, or the session of the name that was typed into it.
async fn sign_in(Query(form): Query<HashMap<String, String>>) -> Response {
    let is_name = |name: &&String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match form.get("name").filter(is_name) {
        Some(name) => {
            let cookie = format!("user={name}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
            ([(header::SET_COOKIE, cookie)], Redirect::to("/chat/")).into_response()
        }
        None => Html(FORM).into_response(),
    }
}
