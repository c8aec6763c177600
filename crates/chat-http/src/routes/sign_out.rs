//! `POST /api/logout`

use std::sync::Arc;

use chat_core::{SessionId, Username};
use chat_shard::now_ms;
use hyper::header::SET_COOKIE;
use hyper::http::request;
use hyper::{HeaderMap, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::{json, oidc};
use crate::answer::{self, Body, Done};
use crate::app::App;
use crate::error::HttpError;
use crate::identity::{Identity, RequestHead};
use crate::signed_in::SignedIn;

/// What to sign out; without a body, only this session.
#[derive(Deserialize, Default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SignOut {
    /// Whether to end all sessions of the user, instead of this one.
    #[serde(default)]
    everywhere: bool,
}

/// The answer to signing out.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SignedOut {
    /// `ok`.
    status: &'static str,
    /// Where the browser signs out of the OpenID provider that has signed the user in, and then
    /// comes back. Absent if there is nothing more to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_session_url: Option<String>,
}

/// Ends the session, or all sessions of the user, and closes their sockets. A request
/// without a valid session succeeds too: it is signed out already.
pub(super) async fn logout(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let cleared = app.cleared_cookie();
    let (head, body) = request.into_parts();
    let signed_in = SignedIn::by_token(&app, &head.headers);
    let body = json::read_body(&app, body).await?;
    let SignOut { everywhere } = match body.trim_ascii().is_empty() {
        true => SignOut::default(),
        false => json::parse(&body).ok_or(HttpError::InvalidJson)?,
    };
    if let Some(identity) = app.parts.identity.clone() {
        return of_host(app, identity, head, everywhere).await;
    }
    if let Ok(SignedIn { user, session, .. }) = signed_in {
        // A task of its own, so that it is completed if the client hangs up.
        let (app, tasks) = (Arc::clone(&app), app.tasks.clone());
        let revocation = tasks.spawn(async move {
            if let Some(session) = &session {
                // A session that has ended may not end others.
                let found = app.parts.stores.sessions.find_session(session, now_ms()).await?;
                if found.is_none_or(|found| found.user != user) {
                    return Ok(());
                }
            }
            match session {
                _ if everywhere => end_all(&app, &user).await?,
                Some(session) => end(&app, &user, session).await?,
                // A token of another issuer cannot be revoked.
                None => {}
            }
            Ok::<_, HttpError>(())
        });
        revocation.await.map_err(HttpError::Task)??;
    }
    let (end_session_url, also_cleared) = oidc::end_session(&app, &head.headers).await.unzip();
    let mut response = answer::json(StatusCode::OK, &SignedOut { status: "ok", end_session_url });
    response.headers_mut().insert(SET_COOKIE, cleared);
    if let Some(cookie) = also_cleared {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Signs a user of the host out there, and closes their sockets here.
async fn of_host(
    app: Arc<App>,
    identity: Arc<dyn Identity>,
    head: request::Parts,
    everywhere: bool,
) -> Result<Response<Body>, HttpError> {
    // A task of its own, so that it is completed if the client hangs up.
    let tasks = app.tasks.clone();
    let signing_out = tasks.spawn(async move {
        let me = match SignedIn::check(&app, &head).await {
            Ok(me) => me,
            Err(HttpError::MissingToken | HttpError::InvalidToken(_)) => return Ok(HeaderMap::new()),
            Err(error) => return Err(error),
        };
        let Some(of_host) = &me.of_host else { return Ok(HeaderMap::new()) };
        let signed_out = identity.sign_out(RequestHead::from(&head), &of_host.identified, everywhere).await;
        let headers = signed_out.map_err(HttpError::Identity)?;
        let open = app.shards.open_sessions().of(&me.user);
        let session = of_host.identified.session.as_deref().filter(|_| !everywhere);
        let ended = app.host_sessions.end(open, &me.user, session);
        app.end_sessions(&ended).await;
        tracing::info!(user = me.user.as_str(), everywhere, "signed out of the host");
        Ok(headers)
    });
    let headers = signing_out.await.map_err(HttpError::Task)??;
    let mut response = answer::json(StatusCode::OK, &Done::OK);
    for (name, value) in &headers {
        response.headers_mut().append(name, value.clone());
    }
    Ok(response)
}

/// Ends one session of a user.
async fn end(app: &App, user: &Username, session: SessionId) -> Result<(), HttpError> {
    app.parts.stores.sessions.revoke_session(&session).await?;
    app.end_sessions(&[session]).await;
    tracing::info!(user = user.as_str(), "signed out");
    Ok(())
}

/// Ends all sessions of a user.
async fn end_all(app: &App, user: &Username) -> Result<(), HttpError> {
    // Sessions with sockets here are included even if they are not in the answer of the
    // store: an earlier attempt may have revoked them and lost the answer.
    let mut sessions = app.shards.open_sessions().of(user);
    sessions.extend(app.parts.stores.sessions.revoke_sessions_of(user).await?);
    sessions.sort();
    sessions.dedup();
    app.end_sessions(&sessions).await;
    tracing::info!(user = user.as_str(), "signed out everywhere");
    Ok(())
}
