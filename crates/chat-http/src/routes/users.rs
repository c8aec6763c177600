//! `GET /api/me` and `GET /api/users/<name>`

use chat_core::Username;
use chat_shard::now_ms;
use hyper::header::SET_COOKIE;
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::call::Call;
use crate::answer::{self, Body};
use crate::app::App;
use crate::error::HttpError;
use crate::signed_in::SignedIn;
use crate::{cookie, percent};

/// The user who asks. A user of another issuer needs no account.
pub(super) async fn me(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let me = SignedIn::check(&app, request.headers()).await?;
    me.note_seen(&app);
    let account = app.parts.users.find_user(&me.user).await?;
    let mut response = profile(&me.user, account.and_then(|user| user.avatar));
    if let Some(token) = renew(&app, &me).await? {
        let cookie = cookie::set(&token, app.parts.tokens.lifetime_seconds(), app.cookies_are_secure());
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// A user with an account.
pub(super) async fn user(call: Call) -> Result<Response<Body>, HttpError> {
    SignedIn::check(&call.app, call.request.headers()).await?;
    let name = percent::decode(&call.part, false).ok_or(HttpError::UserNotFound)?;
    let name = Username::known(&name).map_err(|_| HttpError::UserNotFound)?;
    let user = call.app.parts.users.find_user(&name).await?.ok_or(HttpError::UserNotFound)?;
    Ok(profile(&user.name, user.avatar))
}

fn profile(name: &Username, avatar: Option<String>) -> Response<Body> {
    let avatar = avatar.unwrap_or_default();
    answer::json(StatusCode::OK, &Profile { username: name.as_str(), avatar })
}

/// A user.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Profile<'a> {
    /// The name in its exact spelling.
    username: &'a str,
    /// The path of the avatar, such as `/uploads/….webp`; empty if there is none.
    avatar: String,
}

/// A new token for a browser, once half the lifetime of its token has passed.
async fn renew(app: &App, me: &SignedIn) -> Result<Option<String>, HttpError> {
    let (true, Some(session), Some(issued_at)) = (me.by_cookie, &me.session, me.issued_at) else {
        return Ok(None);
    };
    let now = now_ms();
    if now / 1000 < issued_at.midpoint(me.expires_at) {
        return Ok(None);
    }
    let tokens = &app.parts.tokens;
    let expires_at = now + tokens.lifetime_seconds() * 1000;
    app.parts.sessions.renew_session(session, now, expires_at).await?;
    app.shards.renew(session, expires_at);
    Ok(Some(tokens.issue(now / 1000, me.user.as_str(), session.as_str())))
}
