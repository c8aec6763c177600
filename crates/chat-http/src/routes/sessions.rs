//! `GET /api/sessions` and `DELETE /api/sessions/<id>`

use chat_core::SessionId;
use chat_shard::now_ms;
use hyper::header::SET_COOKIE;
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::Call;
use super::sign_in::is_secure;
use crate::answer::{self, Body, Done};
use crate::error::HttpError;
use crate::signed_in::SignedIn;
use crate::{cookie, percent};

/// The sign-ins of who is asking, the newest first. An id is no secret: a token
/// that names it is signed.
pub(super) async fn list(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let me = SignedIn::check(&app, request.headers()).await?;
    let sessions = app.parts.sessions.sessions_of(&me.user, now_ms()).await?;
    let sessions = sessions
        .into_iter()
        .map(|session| ListedSession {
            id: session.id.as_str().to_owned(),
            current: me.session.as_ref() == Some(&session.id),
            device: session.device,
            address: session.address,
            created: session.created_at_ms / 1000,
            last_seen: session.last_seen_at_ms / 1000,
        })
        .collect();
    Ok(answer::json(StatusCode::OK, &SessionList { sessions }))
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SessionList {
    /// The newest first, at most 100.
    sessions: Vec<ListedSession>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ListedSession {
    id: String,
    /// What signed in, in its own words (the beginning of its `User-Agent`); empty
    /// if it said nothing.
    device: String,
    /// The IP address from which it signed in; empty if that is not known.
    address: String,
    /// When, in whole seconds since 1970.
    created: u64,
    /// When it was last used, give or take minutes, in whole seconds since 1970.
    last_seen: u64,
    /// Whether the request was made with it.
    current: bool,
}

/// Ends one of one's own, its sockets first.
pub(super) async fn end(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, .. } = call;
    let me = SignedIn::check(&app, request.headers()).await?;
    let id = percent::decode(&part, false).ok_or(HttpError::SessionNotFound)?;
    if id.contains('\0') {
        // Postgres knows no such text.
        return Err(HttpError::SessionNotFound);
    }
    let id = SessionId::new(&id);
    let session = app.parts.sessions.find_session(&id, now_ms()).await?;
    if session.is_none_or(|session| session.user != me.user) {
        return Err(HttpError::SessionNotFound);
    }
    let (is_current, secure) = (me.session.as_ref() == Some(&id), is_secure(&app));
    // Not to be left half done by a client that hangs up.
    let tasks = app.tasks.clone();
    let revocation = tasks.spawn(async move {
        app.parts.sessions.revoke_session(&id).await?;
        app.shards.revoke(&[id]).await;
        tracing::info!(user = me.user.as_str(), "ended a session");
        Ok::<_, HttpError>(())
    });
    revocation.await.map_err(HttpError::Task)??;
    let mut response = answer::json(StatusCode::OK, &Done::OK);
    if is_current {
        response.headers_mut().insert(SET_COOKIE, cookie::clear(secure));
    }
    Ok(response)
}
