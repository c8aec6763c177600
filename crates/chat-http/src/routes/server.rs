//! `GET` and `PATCH /api/server`, and the logo of the server

use chat_core::{RoomCreation, parse_room_title};
use chat_store::ProfileField;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::call::{Call, fixed};
use super::picture::{self, SentPicture};
use super::{administrator, json};
use crate::answer::{self, Body, Nothing};
use crate::error::HttpError;
use crate::options::{Accent, HttpOptions, Registration, parse_welcome};
use crate::profile::Logo;

/// What anybody may know of the server, before signing in.
pub(super) async fn info(call: Call) -> Result<Response<Body>, HttpError> {
    let app = call.app;
    let profile = app.profile().await?;
    let info = ServerInfo {
        title: &profile.title,
        welcome: Some(&*profile.welcome).filter(|welcome| !welcome.is_empty()),
        accent: profile.accent,
        logo: profile.logo.as_ref().map(|logo| app.options.base_path.at(&logo.address())),
        registration: match app.options.registration {
            _ if !app.options.passwords => WhoRegisters::Closed,
            Registration::Open => WhoRegisters::Open,
            Registration::Invite => WhoRegisters::Invite,
            Registration::Closed => WhoRegisters::Closed,
        },
        room_creation: match app.options.shards.hub.room_creation {
            RoomCreation::Everybody => WhoCreatesRooms::Everybody,
            RoomCreation::Administrators => WhoCreatesRooms::Administrators,
        },
        password_min_chars: app.options.password_rule.min_chars,
        features: features(&app.options),
        setup: !app.has_administrator().await?,
        sign_in_url: app.options.sign_in_url.as_deref(),
        passwords: app.options.passwords && app.options.sign_in_url.is_none() && app.parts.identity.is_none(),
        sign_in_with: app.parts.oidc.as_ref().map(|oidc| oidc.name.as_str()),
    };
    Ok(answer::json(StatusCode::OK, &info))
}

/// What this server can do beyond the first version of the protocol v2. `hello` has the same,
/// but for the search, the administration and notifications, which are no matter of sockets.
pub(super) fn features(options: &HttpOptions) -> Vec<&'static str> {
    let more = ["search", "administration"].into_iter().chain(options.push.enabled.then_some(PUSH));
    options.shards.hub.features().chain(more).collect()
}

/// The feature of notifications while no page is open.
pub(super) const PUSH: &str = "push";

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
    /// The path of a square picture, which changes with the picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    logo: Option<String>,
    /// Who can create an account.
    registration: WhoRegisters,
    /// Who can create rooms, also by opening a name that no room has.
    room_creation: WhoCreatesRooms,
    /// The fewest characters (Unicode scalar values) of a new password.
    password_min_chars: usize,
    /// What this server can do beyond the first version of the protocol v2, as in
    /// `GET /api/me`.
    features: Vec<&'static str>,
    /// Whether there was no administrator yet, at most a second ago.
    setup: bool,
    /// Where users sign in instead of here: an address to which clients add the one to come back
    /// to, as the parameter `next` of the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    sign_in_url: Option<&'a str>,
    /// Whether users sign in by passwords of this server.
    passwords: bool,
    /// The name of the OpenID provider that signs users in: a browser goes to
    /// `/api/oidc/start?to=…` for that. Absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    sign_in_with: Option<&'a str>,
}

/// Who can create an account over HTTP.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum WhoRegisters {
    /// Everybody.
    Open,
    /// Everybody who has an invitation.
    Invite,
    /// Nobody: the operator creates accounts.
    Closed,
}

/// Who can create rooms.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum WhoCreatesRooms {
    /// Every user.
    Everybody,
    /// The administrators of the server.
    Administrators,
}

/// What is changed of the profile of the server. A missing field stays as it is.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ServerChanges {
    /// The name of this chat: 1 to 64 characters.
    #[serde(default)]
    title: Option<String>,
    /// What visitors read before they sign in: at most 500 characters. Empty: nothing.
    #[serde(default)]
    welcome: Option<String>,
    /// The colour of the page.
    #[serde(default)]
    accent: Option<Accent>,
}

/// Changes the profile of the server.
pub(super) async fn change(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let (me, body) = administrator::read(&app, request).await?;
    let changes: ServerChanges = json::parse(&body).ok_or(HttpError::InvalidJson)?;
    let title = changes.title.as_deref().map(parse_room_title).transpose()?;
    let welcome =
        changes.welcome.as_deref().map(parse_welcome).transpose().map_err(|_| HttpError::Welcome)?;
    let mut fields = Vec::new();
    if let Some(title) = &title {
        fields.push((ProfileField::Title, Some(title.as_str())));
    }
    if let Some(welcome) = &welcome {
        fields.push((ProfileField::Welcome, Some(welcome.as_str())));
    }
    if let Some(accent) = changes.accent {
        fields.push((ProfileField::Accent, Some(accent.name())));
    }
    if !fields.is_empty() {
        app.change_profile(&fields, &me.user).await?;
    }
    Ok(answer::json(StatusCode::OK, &Nothing {}))
}

/// The logo of the server, for everybody.
pub(super) async fn logo(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let profile = app.profile().await?;
    let logo = profile.logo.as_ref().ok_or(HttpError::NotFound)?;
    let etag = format!("\"{}\"", logo.version);
    let is_known = request.headers().get(IF_NONE_MATCH).is_some_and(|known| known == etag.as_str());
    let mut response = Response::new(answer::bytes(if is_known { Vec::new() } else { logo.webp.to_vec() }));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, fixed("image/webp"));
    headers.insert(CACHE_CONTROL, fixed("no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, etag);
    }
    Ok(response)
}

/// Gives the server another logo, under the limits of avatars.
pub(super) async fn put_logo(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let (user, picture) = picture::receive(&app, request, SentPicture::Logo).await?;
    let written = Logo::written(picture.webp());
    let fields = [(ProfileField::Logo, Some(written.as_str()))];
    app.change_profile(&fields, &user).await?;
    Ok(answer::json(StatusCode::OK, &Nothing {}))
}

/// Removes the logo of the server.
pub(super) async fn remove_logo(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let me = administrator::check(&app, &request).await?;
    let fields = [(ProfileField::Logo, None)];
    app.change_profile(&fields, &me.user).await?;
    Ok(answer::json(StatusCode::OK, &Nothing {}))
}
