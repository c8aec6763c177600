//! `GET /api/me` and `GET /api/users/<name>`

use chat_core::Username;
use chat_shard::now_ms;
use hyper::header::SET_COOKIE;
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::Call;
use super::sign_in::is_secure;
use crate::answer::{self, Body};
use crate::app::App;
use crate::error::HttpError;
use crate::signed_in::SignedIn;
use crate::{cookie, percent};

/// Who is asking. Somebody whom another issuer signed in needs no account.
pub(super) async fn me(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let me = SignedIn::check(&app, request.headers()).await?;
    me.note_seen(&app);
    let account = app.parts.users.find_user(&me.user).await?;
    let mut response = profile(&me.user, account.and_then(|user| user.avatar));
    if let Some(token) = renew(&app, &me).await? {
        let cookie = cookie::set(&token, app.parts.tokens.lifetime_seconds(), is_secure(&app));
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Anybody who has an account.
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

/// Somebody.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Profile<'a> {
    /// The exact spelling.
    username: &'a str,
    /// The address of the picture, such as `/uploads/….webp`; empty if there is none.
    avatar: String,
}

/// A new token for a browser whose old one has lived half its life.
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
