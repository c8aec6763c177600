//! `GET /api/sessions` and `DELETE /api/sessions/<id>`

use chat_core::SessionId;
use chat_shard::now_ms;
use hyper::header::SET_COOKIE;
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::call::Call;
use crate::answer::{self, Body, Done};
use crate::error::HttpError;
use crate::percent;
use crate::signed_in::SignedIn;

/// Lists the sessions of the user, the newest first. The id of a session is no secret,
/// because a token that names it is signed.
pub(super) async fn list(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let me = SignedIn::check(&app, &request).await?;
    let sessions = app.parts.stores.sessions.sessions_of(&me.user, now_ms()).await?;
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
    /// The sessions of the user, the newest first, at most 100.
    sessions: Vec<ListedSession>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ListedSession {
    id: String,
    /// The beginning of the `User-Agent` of the client that signed in; empty if it sent none.
    device: String,
    /// The IP address of the client that signed in; empty if it is not known.
    address: String,
    /// When the session was opened, in whole seconds since 1970.
    created: u64,
    /// When the session was last used, to within some minutes, in whole seconds since 1970.
    last_seen: u64,
    /// Whether the request was made with this session.
    current: bool,
}

/// Ends a session of the user and closes its sockets.
pub(super) async fn end(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, .. } = call;
    let me = SignedIn::check(&app, &request).await?;
    let id = percent::decode(&part, false).ok_or(HttpError::SessionNotFound)?;
    if id.contains('\0') {
        // Postgres cannot store such a text.
        return Err(HttpError::SessionNotFound);
    }
    let id = SessionId::new(&id);
    let session = app.parts.stores.sessions.find_session(&id, now_ms()).await?;
    if session.is_none_or(|session| session.user != me.user) {
        return Err(HttpError::SessionNotFound);
    }
    let (is_current, cleared) = (me.session.as_ref() == Some(&id), app.cleared_cookie());
    // A task of its own, so that it is completed if the client hangs up.
    let tasks = app.tasks.clone();
    let revocation = tasks.spawn(async move {
        app.parts.stores.sessions.revoke_session(&id).await?;
        app.end_sessions(&[id]).await;
        tracing::info!(user = me.user.as_str(), "ended a session");
        Ok::<_, HttpError>(())
    });
    revocation.await.map_err(HttpError::Task)??;
    let mut response = answer::json(StatusCode::OK, &Done::OK);
    if is_current {
        response.headers_mut().insert(SET_COOKIE, cleared);
    }
    Ok(response)
}
