//! `POST /api/login` and `POST /api/logout`

use chat_auth::{Password, Verdict};
use chat_core::{SessionId, Username};
use chat_store::{Session, User};
use hyper::header::SET_COOKIE;
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::Call;
use crate::answer::{self, Body};
use crate::app::{App, now_ms};
use crate::body::RequestBody;
use crate::cookie;
use crate::error::HttpError;
use crate::signed_in::SignedIn;

#[derive(Deserialize)]
struct Credentials {
    // What is missing is wrong, as it was in the original.
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

impl Credentials {
    fn parse(json: &[u8]) -> Option<Self> {
        // serde would also take a list of the two.
        let is_object = json.trim_ascii_start().starts_with(b"{");
        is_object.then(|| serde_json::from_slice(json).ok()).flatten()
    }
}

pub(super) async fn login(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let mut body = RequestBody::new(request.into_body(), &app.options);
    let json = match body.whole(app.options.json_max_bytes).await {
        Ok(json) => json,
        Err(error) => {
            body.discard().await;
            return Err(error.into());
        }
    };
    let credentials = Credentials::parse(&json).ok_or(HttpError::InvalidJson)?;

    // Whatever a client does to make this request slow is over: from here on the
    // time would tell which names exist.
    let started = Instant::now();
    let Some(user) = check(&app, credentials).await.inspect_err(|_| app.metrics.login("error"))? else {
        app.metrics.login("refused");
        tokio::time::sleep_until(started + app.options.login_floor).await;
        return Err(HttpError::InvalidCredentials);
    };

    let now = now_ms();
    let lifetime = app.parts.tokens.lifetime_seconds();
    let session = Session {
        id: SessionId::new(&Uuid::new_v4().to_string()),
        user: user.name,
        created_at_ms: now,
        expires_at_ms: now + lifetime * 1000,
    };
    app.parts.sessions.open_session(&session).await?;
    app.metrics.login("accepted");
    tracing::info!(user = ?session.user, "signed in");
    let token = app.parts.tokens.issue(now / 1000, session.user.as_str(), session.id.as_str());
    let avatar = user.avatar.unwrap_or_default();
    let mut response = answer::json(StatusCode::OK, &json!({ "status": "ok", "avatar": avatar }));
    response.headers_mut().insert(SET_COOKIE, cookie::set(&token, lifetime, is_secure(&app)));
    Ok(response)
}

/// The account, if name and password are right. Every name costs a hash.
async fn check(app: &App, credentials: Credentials) -> Result<Option<User>, HttpError> {
    let user = find(app, &credentials.username).await?;
    let Ok(password) = Password::parse(credentials.password) else { return Ok(None) };
    let hash = user.as_ref().map(|user| user.password_hash.as_str());
    let verdict = app.parts.passwords.verify_login(password, hash).await?;
    if let (Some(user), Verdict::RightButOutdated { new_hash }) = (&user, &verdict) {
        renew_hash(app, user, new_hash).await;
    }
    Ok(user.filter(|_| verdict.is_right()))
}

/// Replaces a hash that was made by other rules, now that the password is known.
/// If that fails, the old one stays good, and the next sign-in tries again.
async fn renew_hash(app: &App, user: &User, new_hash: &str) {
    match app.parts.users.set_password_hash(&user.name, &user.password_hash, new_hash).await {
        Ok(true) => tracing::info!(user = ?user.name, "the password's hash was renewed"),
        // Somebody else was faster.
        Ok(false) => {}
        Err(error) => tracing::warn!(user = ?user.name, %error, "the password's hash was not renewed"),
    }
}

/// The account of that name as it is written, or else as it would have been
/// registered: keyboards differ in how they compose a letter.
async fn find(app: &App, written: &str) -> Result<Option<User>, HttpError> {
    let exact = Username::known(written).ok();
    if let Some(name) = &exact
        && let Some(user) = app.parts.users.find_user(name).await?
    {
        return Ok(Some(user));
    }
    match Username::parse(written) {
        Ok(name) if Some(&name) != exact.as_ref() => Ok(app.parts.users.find_user(&name).await?),
        _ => Ok(None),
    }
}

/// Ends the session, its sockets first. Who is not signed in (any more) gets
/// what was asked for as well.
pub(super) async fn logout(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let secure = is_secure(&app);
    if let Ok(SignedIn { user, session: Some(session), .. }) = SignedIn::by_token(&app, request.headers()) {
        // Not to be left half done by a client that hangs up.
        let tasks = app.tasks.clone();
        let revocation = tasks.spawn(async move {
            // One that was ended before has no sockets to close.
            if app.parts.sessions.find_session(&session, now_ms()).await?.is_some() {
                app.parts.sessions.revoke_session(&session).await?;
                app.shards.revoke(&session).await;
                tracing::info!(?user, "signed out");
            }
            Ok::<_, HttpError>(())
        });
        revocation.await.map_err(HttpError::Task)??;
    }
    let mut response = answer::json(StatusCode::OK, &json!({ "status": "ok" }));
    response.headers_mut().insert(SET_COOKIE, cookie::clear(secure));
    Ok(response)
}

/// Whether cookies are for https only.
pub(super) fn is_secure(app: &App) -> bool {
    app.options.public_url.as_ref().is_some_and(|url| url.is_https())
}
