//! The table of all routes, and how a request finds its handler.

mod accounts;
mod administrator;
mod audit;
mod avatar;
mod bans;
mod bots;
mod call;
mod files;
mod health;
mod hooks;
mod invites;
mod json;
mod members;
mod messages;
mod oidc;
mod password;
mod picture;
#[cfg(test)]
mod published;
mod push;
mod query;
mod reactions;
mod redirect;
mod register;
mod reports;
mod room_call;
mod rooms;
mod search;
mod security;
mod sender;
mod server;
mod sessions;
mod setup;
mod sign_in;
mod sign_out;
mod upgrade;
mod uploads;
mod users;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

#[cfg(feature = "page")]
use hyper::header::ACCEPT;
use hyper::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use tokio::time::Instant;

use self::call::Call;
pub(crate) use self::messages::ListedMessage;
use crate::answer::{self, Body};
use crate::app::App;
#[cfg(feature = "page")]
use crate::assets::{Asset, ICON, MANIFEST};
use crate::body::SentBody;
use crate::error::HttpError;
#[cfg(feature = "page")]
use crate::negotiation;
use crate::oidc::OidcSignIn;
#[cfg(feature = "page")]
use crate::profile::Logo;
use crate::store_health::StoreUse;

/// Every route of the server. A path that is in no row is a file of the page, or not
/// found.
const ROUTES: &[Route] = &[
    Route { method: Method::POST, path: "/api/register", handler: |call| Box::pin(register::register(call)) },
    Route { method: Method::POST, path: "/api/login", handler: |call| Box::pin(sign_in::login(call)) },
    Route { method: Method::POST, path: "/api/logout", handler: |call| Box::pin(sign_out::logout(call)) },
    Route { method: Method::GET, path: "/api/oidc/start", handler: |call| Box::pin(oidc::start(call)) },
    Route { method: Method::GET, path: OidcSignIn::CALLBACK, handler: |call| Box::pin(oidc::callback(call)) },
    Route { method: Method::GET, path: "/api/me", handler: |call| Box::pin(users::me(call)) },
    Route { method: Method::PUT, path: "/api/me/avatar", handler: |call| Box::pin(avatar::put(call)) },
    Route { method: Method::DELETE, path: "/api/me/avatar", handler: |call| Box::pin(avatar::remove(call)) },
    Route {
        method: Method::POST,
        path: "/api/me/password",
        handler: |call| Box::pin(password::change(call)),
    },
    Route { method: Method::GET, path: "/api/server", handler: |call| Box::pin(server::info(call)) },
    Route { method: Method::PATCH, path: "/api/server", handler: |call| Box::pin(server::change(call)) },
    Route { method: Method::GET, path: "/api/server/logo", handler: |call| Box::pin(server::logo(call)) },
    Route { method: Method::PUT, path: "/api/server/logo", handler: |call| Box::pin(server::put_logo(call)) },
    Route {
        method: Method::DELETE,
        path: "/api/server/logo",
        handler: |call| Box::pin(server::remove_logo(call)),
    },
    Route { method: Method::POST, path: "/api/setup", handler: |call| Box::pin(setup::set_up(call)) },
    Route { method: Method::GET, path: "/api/invites", handler: |call| Box::pin(invites::list(call)) },
    Route { method: Method::POST, path: "/api/invites", handler: |call| Box::pin(invites::create(call)) },
    Route {
        method: Method::DELETE,
        path: "/api/invites/{name}",
        handler: |call| Box::pin(invites::remove(call)),
    },
    Route { method: Method::GET, path: "/api/join/{name}", handler: |call| Box::pin(invites::show(call)) },
    Route { method: Method::POST, path: "/api/join/{name}", handler: |call| Box::pin(invites::join(call)) },
    Route { method: Method::GET, path: "/api/bans", handler: |call| Box::pin(bans::list(call)) },
    Route { method: Method::PUT, path: "/api/users/{name}/ban", handler: |call| Box::pin(bans::put(call)) },
    Route {
        method: Method::DELETE,
        path: "/api/users/{name}/ban",
        handler: |call| Box::pin(bans::remove(call)),
    },
    Route {
        method: Method::POST,
        path: "/api/users/{name}/password",
        handler: |call| Box::pin(accounts::create_password_link(call)),
    },
    Route {
        method: Method::POST,
        path: "/api/password",
        handler: |call| Box::pin(accounts::use_password_link(call)),
    },
    Route { method: Method::GET, path: "/api/reports", handler: |call| Box::pin(reports::list(call)) },
    Route { method: Method::POST, path: "/api/reports", handler: |call| Box::pin(reports::create(call)) },
    Route {
        method: Method::PATCH,
        path: "/api/reports/{name}",
        handler: |call| Box::pin(reports::change(call)),
    },
    Route { method: Method::GET, path: "/api/audit", handler: |call| Box::pin(audit::list(call)) },
    Route { method: Method::GET, path: "/api/users", handler: |call| Box::pin(users::list(call)) },
    Route { method: Method::GET, path: "/api/users/{name}", handler: |call| Box::pin(users::user(call)) },
    Route {
        method: Method::PATCH,
        path: "/api/users/{name}",
        handler: |call| Box::pin(accounts::change(call)),
    },
    Route { method: Method::GET, path: "/api/rooms", handler: |call| Box::pin(rooms::list(call)) },
    Route { method: Method::POST, path: "/api/rooms", handler: |call| Box::pin(rooms::create(call)) },
    Route { method: Method::GET, path: "/api/rooms/{name}", handler: |call| Box::pin(rooms::show(call)) },
    Route { method: Method::PATCH, path: "/api/rooms/{name}", handler: |call| Box::pin(rooms::change(call)) },
    Route {
        method: Method::GET,
        path: "/api/rooms/{name}/members",
        handler: |call| Box::pin(members::list(call)),
    },
    Route {
        method: Method::PUT,
        path: "/api/rooms/{name}/members/{user}",
        handler: |call| Box::pin(members::put(call)),
    },
    Route {
        method: Method::DELETE,
        path: "/api/rooms/{name}/members/{user}",
        handler: |call| Box::pin(members::remove(call)),
    },
    Route {
        method: Method::PUT,
        path: "/api/rooms/{name}/membership",
        handler: |call| Box::pin(members::join(call)),
    },
    Route {
        method: Method::DELETE,
        path: "/api/rooms/{name}/membership",
        handler: |call| Box::pin(members::leave(call)),
    },
    Route {
        method: Method::GET,
        path: "/api/rooms/{name}/messages",
        handler: |call| Box::pin(messages::list_of_room(call)),
    },
    Route {
        method: Method::POST,
        path: "/api/rooms/{name}/messages",
        handler: |call| Box::pin(messages::post_to_room(call)),
    },
    Route {
        method: Method::GET,
        path: "/api/users/{name}/messages",
        handler: |call| Box::pin(messages::list_of_user(call)),
    },
    Route {
        method: Method::POST,
        path: "/api/users/{name}/messages",
        handler: |call| Box::pin(messages::post_to_user(call)),
    },
    Route { method: Method::GET, path: "/api/bots", handler: |call| Box::pin(bots::list(call)) },
    Route { method: Method::POST, path: "/api/bots", handler: |call| Box::pin(bots::create(call)) },
    Route { method: Method::DELETE, path: "/api/bots/{name}", handler: |call| Box::pin(bots::revoke(call)) },
    Route {
        method: Method::POST,
        path: "/api/bots/{name}/webhooks",
        handler: |call| Box::pin(bots::create_webhook(call)),
    },
    Route {
        method: Method::POST,
        path: "/api/bots/{name}/outgoing-webhooks",
        handler: |call| Box::pin(bots::create_outgoing(call)),
    },
    Route {
        method: Method::DELETE,
        path: "/api/bots/{name}/outgoing-webhooks/{user}",
        handler: |call| Box::pin(bots::remove_outgoing(call)),
    },
    Route { method: Method::POST, path: "/hooks/{name}", handler: |call| Box::pin(hooks::receive(call)) },
    Route { method: Method::GET, path: "/api/reactions", handler: |call| Box::pin(reactions::list(call)) },
    Route { method: Method::GET, path: "/api/search", handler: |call| Box::pin(search::search(call)) },
    Route { method: Method::GET, path: "/api/sessions", handler: |call| Box::pin(sessions::list(call)) },
    Route {
        method: Method::DELETE,
        path: "/api/sessions/{name}",
        handler: |call| Box::pin(sessions::end(call)),
    },
    Route { method: Method::PUT, path: "/api/push", handler: |call| Box::pin(push::put(call)) },
    Route { method: Method::DELETE, path: "/api/push", handler: |call| Box::pin(push::remove(call)) },
    Route { method: Method::POST, path: "/api/files", handler: |call| Box::pin(files::upload(call)) },
    Route { method: Method::GET, path: "/files/{name}/{file}", handler: |call| Box::pin(files::file(call)) },
    Route { method: Method::GET, path: "/uploads/{name}", handler: |call| Box::pin(uploads::upload(call)) },
    Route { method: Method::GET, path: "/ws", handler: |call| Box::pin(upgrade::upgrade(call)) },
    Route {
        method: Method::GET,
        path: "/.well-known/security.txt",
        handler: |call| Box::pin(security::contact(call)),
    },
    Route { method: Method::GET, path: "/healthz", handler: |call| Box::pin(health::alive(call)) },
    Route { method: Method::GET, path: "/readyz", handler: |call| Box::pin(health::ready(call)) },
    Route { method: Method::GET, path: METRICS, handler: |call| Box::pin(health::metrics(call)) },
];

const METRICS: &str = "/metrics";

struct Route {
    method: Method,
    /// `{name}` and `{user}` match one part of a path, up to the next `/`. The handler gets
    /// them with their escapes.
    path: &'static str,
    handler: fn(Call) -> Answer,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, HttpError>> + Send>>;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    /// Its address. `None`: the host has not told it, and no limit for each address holds.
    pub(crate) peer: Option<IpAddr>,
    pub(crate) door: Door,
}

/// Which listener has accepted a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// The one for everybody.
    People,
    /// One of a host, which may take the base off the paths of its requests.
    Host,
    /// The one for metrics only.
    Metrics,
    /// The one without TLS, which sends everybody to the one with TLS on this port.
    Redirect(u16),
}

/// Answers any request.
pub(crate) async fn answer(app: Arc<App>, client: Client, mut request: Request<SentBody>) -> Response<Body> {
    let outside = take_base_off(&app, client.door, &mut request);
    let (method, path) = (request.method().clone(), loggable(request.uri().path()));
    let started = Instant::now();
    let place = ROUTER.at(request.uri().path()).map_or("page", |found| found.value[0].path);
    let is_upgrade = request.headers().contains_key(UPGRADE);
    let answered = match outside {
        Some(outside) => outside,
        None => route(Arc::clone(&app), client, request).await,
    };
    if let Err(HttpError::Store(error)) = &answered {
        app.store_health.failed(StoreUse::Requests, error, Instant::now());
    }
    if let Some(limit) = answered.as_ref().err().and_then(HttpError::limit) {
        app.metrics.limit_refused(limit);
    }
    let mut response = answered.unwrap_or_else(HttpError::into_response);
    // A header without TLS could come from anybody, so that browsers ignore it.
    let https_only = app.is_https_only() && !matches!(client.door, Door::Redirect(_));
    answer::secure(&mut response, https_only);
    if is_upgrade && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        // `HeadFilter` does not look at what follows.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    app.metrics.answered(place, response.status(), started.elapsed());
    tracing::debug!(%method, path, status = response.status().as_u16(), "answered");
    response
}

/// Takes the base off the path of a request. Returns the answer to one that is not below it.
fn take_base_off(
    app: &App,
    door: Door,
    request: &mut Request<SentBody>,
) -> Option<Result<Response<Body>, HttpError>> {
    let base = &app.options.base_path;
    if base.as_str().is_empty() || matches!(door, Door::Metrics | Door::Redirect(_)) {
        return None;
    }
    let path = request.uri().path();
    match base.below(path) {
        Some("") => Some(redirect::within(request, &base.at("/"))),
        Some(_) => {
            let below = base.take_off(request.uri());
            below.map_or(Some(Err(HttpError::NotFound)), |below| {
                *request.uri_mut() = below;
                None
            })
        }
        None if door == Door::Host || WITHOUT_BASE.contains(&path) => None,
        None if path == "/" => Some(redirect::within(request, &base.at("/"))),
        None => Some(Err(HttpError::NotFound)),
    }
}

/// What monitoring, and who finds a flaw, ask for at the root of any server.
const WITHOUT_BASE: [&str; 4] = ["/healthz", "/readyz", METRICS, "/.well-known/security.txt"];

/// A path as it is logged: without the names of rooms, which may be closed ones, and of
/// files, and without secrets.
fn loggable(path: &str) -> String {
    if WITH_SECRETS.iter().all(|start| !path.starts_with(start)) {
        return path.to_owned();
    }
    if !path.starts_with("/api/") && !path.starts_with("/files/") {
        return "…".to_owned();
    }
    ROUTER.at(path).map_or("…", |found| found.value[0].path).to_owned()
}

async fn route(
    app: Arc<App>,
    client: Client,
    request: Request<SentBody>,
) -> Result<Response<Body>, HttpError> {
    check_host(request.version(), request.headers())?;
    let path = request.uri().path();
    let is_hidden = match client.door {
        Door::People | Door::Host => app.options.metrics_apart && path == METRICS,
        Door::Metrics => path != METRICS,
        Door::Redirect(port) => return redirect::answer(&app, &request, port),
    };
    if is_hidden {
        return Err(HttpError::NotFound);
    }
    let in_api = path == "/api" || path.starts_with("/api/");
    if in_api && !request.method().is_safe() {
        app.origin.check(request.headers())?;
    }
    let Ok(found) = ROUTER.at(path) else { return file_of_page(&app, &request).await };
    // HEAD is GET without the body, which hyper omits.
    let method = if *request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let Some(route) = found.value.iter().find(|route| route.method == *method) else {
        return Err(HttpError::Method { allow: allow(found.value) });
    };
    let is_elsewhere = match (&app.parts.identity, &app.options.sign_in_url) {
        (Some(_), _) => OF_OWN_SIGN_IN.contains(&route.path),
        (None, _) if !app.options.passwords => OF_PASSWORDS.contains(&route.path),
        (None, Some(_)) => matches!(route.path, "/api/register" | "/api/login"),
        (None, None) => false,
    };
    if is_elsewhere {
        return Err(HttpError::NotFound);
    }
    let part = |name| found.params.get(name).unwrap_or_default().to_owned();
    let (part, user) = (part("name"), part("user"));
    (route.handler)(Call { app, peer: client.peer, request, part, user }).await
}

/// The file of the page at a path that is in no row.
#[cfg(feature = "page")]
async fn file_of_page(app: &App, request: &Request<SentBody>) -> Result<Response<Body>, HttpError> {
    let (path, base) = (request.uri().path(), &app.options.base_path);
    let asset = match path.strip_prefix('/') {
        Some(MANIFEST) => {
            let profile = app.profile().await?;
            let logo = profile.logo.as_ref().map(Logo::address);
            Asset::manifest(&profile.title, logo.as_deref(), base)
        }
        Some(ICON) => {
            let profile = app.profile().await?;
            let logo = profile.logo.as_ref().and_then(Logo::icon);
            Asset::icon(logo.as_deref())
        }
        _ => Asset::find(path).map(|asset| asset.based(base)),
    };
    match asset {
        Some(asset) if matches!(*request.method(), Method::GET | Method::HEAD) => {
            Ok(asset.answer(request.headers()))
        }
        Some(_) => Err(HttpError::Method { allow: "GET, HEAD".to_owned() }),
        None if is_navigation(request) => {
            Asset::not_found(request.headers(), base).ok_or(HttpError::NotFound)
        }
        None => Err(HttpError::NotFound),
    }
}

/// There is no page.
#[cfg(not(feature = "page"))]
async fn file_of_page(_: &App, _: &Request<SentBody>) -> Result<Response<Body>, HttpError> {
    Err(HttpError::NotFound)
}

/// Whether a browser asks for a page that a person will look at, as opposed to a program
/// or a script.
#[cfg(feature = "page")]
fn is_navigation(request: &Request<SentBody>) -> bool {
    let first = request.uri().path().split('/').nth(1).unwrap_or_default();
    matches!(*request.method(), Method::GET | Method::HEAD)
        && !FOR_PROGRAMS.contains(&first)
        && negotiation::accepts(request.headers(), &ACCEPT, "text/html")
}

/// What there is only where the chat signs its users in itself.
const OF_OWN_SIGN_IN: [&str; 7] = [
    "/api/register",
    "/api/login",
    "/api/me/password",
    "/api/password",
    "/api/sessions",
    "/api/sessions/{name}",
    "/api/users/{name}/password",
];

/// What there is only where users have passwords here.
const OF_PASSWORDS: [&str; 5] =
    ["/api/register", "/api/login", "/api/me/password", "/api/password", "/api/users/{name}/password"];

/// Beginnings of paths whose next part is not logged.
const WITH_SECRETS: [&str; 6] = ["/api/rooms/", "/api/join/", "/files/", "/join/", "/password/", "/hooks/"];

/// First parts of paths below which there is no page.
#[cfg(feature = "page")]
const FOR_PROGRAMS: [&str; 8] = ["api", "uploads", "files", "ws", "metrics", "healthz", "readyz", "hooks"];

/// Checks that there is one `Host`, which only HTTP/1.0 may omit (RFC 9112 §3.2).
fn check_host(version: Version, headers: &HeaderMap) -> Result<(), HttpError> {
    let mut hosts = headers.get_all(HOST).iter();
    let good = match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => !host.is_empty(),
        (Some(_), Some(_)) => false,
    };
    if good { Ok(()) } else { Err(HttpError::Host) }
}

/// The value of `Allow` for a path with these routes.
fn allow(routes: &[&Route]) -> String {
    let mut methods: Vec<&str> = Vec::new();
    for route in routes {
        methods.push(route.method.as_str());
        if route.method == Method::GET {
            methods.push("HEAD");
        }
    }
    methods.join(", ")
}

/// The routes of each path.
static ROUTER: LazyLock<matchit::Router<Vec<&'static Route>>> = LazyLock::new(|| {
    let mut router = matchit::Router::new();
    for first in ROUTES {
        let rows: Vec<_> = ROUTES.iter().filter(|row| row.path == first.path).collect();
        if std::ptr::eq(rows[0], first) {
            router.insert(first.path, rows).expect("no two paths of the table match one path");
        }
    }
    router
});
