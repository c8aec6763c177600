//! `GET /api/server`

use hyper::{Response, StatusCode};
use serde::Serialize;

use super::call::Call;
use crate::answer::{self, Body};
use crate::error::HttpError;
use crate::options::{Accent, HttpOptions, Registration};

/// What anybody may know of the server, before signing in.
pub(super) async fn info(call: Call) -> Result<Response<Body>, HttpError> {
    let app = call.app;
    let info = ServerInfo {
        title: &app.options.title,
        welcome: Some(&*app.options.welcome).filter(|welcome| !welcome.is_empty()),
        accent: app.options.accent,
        registration: match app.options.registration {
            Registration::Open => WhoRegisters::Open,
            Registration::Closed => WhoRegisters::Closed,
        },
        password_min_chars: app.options.password_rule.min_chars,
        features: features(&app.options),
        setup: !app.has_administrator().await?,
    };
    Ok(answer::json(StatusCode::OK, &info))
}

/// What this server can do beyond the first version of the protocol v2. `hello` has the same,
/// but for the search, which is no matter of sockets.
pub(super) fn features(options: &HttpOptions) -> Vec<&'static str> {
    options.shards.hub.features().chain(["search"]).collect()
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ServerInfo<'a> {
    /// The name of this chat.
    title: &'a str,
    /// What visitors read before they sign in, at most 500 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    welcome: Option<&'a str>,
    /// The colour of the page; without it, the page's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    accent: Option<Accent>,
    /// Who can create an account.
    registration: WhoRegisters,
    /// The fewest characters (Unicode scalar values) of a new password.
    password_min_chars: usize,
    /// What this server can do beyond the first version of the protocol v2, as in
    /// `GET /api/me`.
    features: Vec<&'static str>,
    /// Whether there was no administrator yet, at most a second ago.
    setup: bool,
}

/// Who can create an account over HTTP.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum WhoRegisters {
    /// Everybody.
    Open,
    /// Nobody: the operator creates accounts.
    Closed,
}
