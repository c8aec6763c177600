//! `POST /api/login`

use chat_auth::{HashFor, Password, SignInLimit, SignInName, SignInRefused, Verdict};
use chat_core::{SessionId, Username};
use chat_shard::now_ms;
use chat_store::{Session, User};
use hyper::header::{HeaderMap, HeaderValue, SET_COOKIE, USER_AGENT};
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::call::Call;
use super::json;
use crate::answer::{self, Body};
use crate::app::App;
use crate::client_address::{ClientAddress, note_limited};
use crate::error::HttpError;
use crate::shared_attempts::SignInAttempt;

/// Name and password. A missing field is wrong, as in the original.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Credentials {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

/// The response to a sign-in, beside the cookie.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Welcome {
    status: &'static str,
    /// The path of the avatar, such as `/uploads/….webp`; empty if there is none.
    avatar: String,
}

/// The `User-Agent` of a client, which is shown to the user in the list of sessions.
pub(super) fn device(headers: &HeaderMap) -> String {
    let words = headers.get(USER_AGENT).map(|words| String::from_utf8_lossy(words.as_bytes()));
    let words = words.unwrap_or_default();
    words.trim().chars().filter(|c| !c.is_control()).take(DEVICE_MAX_CHARS).collect()
}

/// Of a longer `User-Agent`, the beginning is kept.
const DEVICE_MAX_CHARS: usize = 200;

/// Signs a user in: opens a session, and sets the cookie with its token.
pub(super) async fn login(call: Call) -> Result<Response<Body>, HttpError> {
    let address = call.address();
    let Call { app, request, .. } = call;
    let device = device(request.headers());
    let body = json::read(&app, request).await?;
    let credentials: Credentials = json::parse(&body).ok_or(HttpError::InvalidJson)?;

    // From here on, the time until a refusal must not show which names have accounts.
    // Everything by which the client could delay it is over.
    let started = Instant::now();
    let Credentials { username, password } = credentials;
    let refuse = async || {
        app.metrics.login("refused");
        app.sign_in_failures.note(&username, address.ip, started);
        tokio::time::sleep_until(started + app.options.login_floor).await;
        HttpError::InvalidCredentials
    };
    // What cannot be a password costs no hash, and must not fill the memory of failures.
    let Ok(password) = Password::parse(password) else { return Err(refuse().await) };
    let folded = folded_name(&username);
    let name = SignInName { typed: &username, folded: &folded };
    let attempt = app.begin_sign_in(name, address).await;
    let mut attempt = attempt.inspect_err(|refused| {
        app.metrics.login("limited");
        note_refused(&app, address, refused);
        if is_after_failures(refused) {
            app.sign_in_failures.note(&username, address.ip, started);
        }
    })?;
    let network = address.network().map_or_else(|| folded.clone(), |network| network.to_string());
    let on_behalf = attempt.on_behalf(&folded, &network);
    let user = match check(&app, &username, password, &mut attempt, on_behalf).await {
        Ok(Some(user)) => user,
        Ok(None) => {
            attempt.failed().await;
            return Err(refuse().await);
        }
        Err(error) => {
            app.metrics.login("error");
            if matches!(error, HttpError::Busy) {
                app.metrics.limit_refused("hash_queue_max");
            }
            attempt.not_checked().await;
            return Err(error);
        }
    };
    attempt.succeeded().await;

    let opened = open_session(&app, &user.name, device, address).await?;
    if was_overtaken(&app, &user).await? {
        app.metrics.login("refused");
        app.parts.stores.sessions.revoke_session(&opened.id).await?;
        return Err(HttpError::InvalidCredentials);
    }
    if !opened.is_open {
        // Only who knows the password learns of the ban.
        app.metrics.login("banned");
        return Err(HttpError::AccountBanned);
    }
    app.metrics.login("accepted");
    tracing::info!(user = user.name.as_str(), "signed in");
    let avatar = app.picture_address(user.avatar);
    let mut response = answer::json(StatusCode::OK, &Welcome { status: "ok", avatar });
    response.headers_mut().insert(SET_COOKIE, opened.cookie);
    Ok(response)
}

/// A session of a user who has just signed in.
pub(super) struct OpenedSession {
    pub(super) id: SessionId,
    /// Not if the user is banned.
    pub(super) is_open: bool,
    /// The value of `Set-Cookie` with its token.
    pub(super) cookie: HeaderValue,
}

/// Opens a session.
pub(super) async fn open_session(
    app: &App,
    user: &Username,
    device: String,
    address: ClientAddress,
) -> Result<OpenedSession, HttpError> {
    let now = now_ms();
    let lifetime = app.parts.tokens.lifetime_seconds();
    let session = Session {
        id: SessionId::new(&Uuid::new_v4().to_string()),
        user: user.clone(),
        device,
        address: address.ip.to_string(),
        created_at_ms: now,
        expires_at_ms: now + lifetime * 1000,
        last_seen_at_ms: now,
    };
    let is_open = app.parts.stores.sessions.open_session(&session, app.options.user_sessions_max).await?;
    let token = app.parts.tokens.issue(now / 1000, user.as_str(), session.id.as_str());
    Ok(OpenedSession { id: session.id, is_open, cookie: app.cookie(&token, lifetime) })
}

/// Whether the account was removed, or got another password, after the password was
/// checked. That has ended all sessions of the account except this one, which was not
/// open yet.
async fn was_overtaken(app: &App, user: &User) -> Result<bool, HttpError> {
    let now = app.parts.stores.users.find_user(&user.name).await?;
    Ok(now.is_none_or(|now| now.password_hash != user.password_hash))
}

/// The account, if name and password are right. A hash is computed for every name,
/// whether or not it has an account.
async fn check(
    app: &App,
    username: &str,
    password: Password,
    attempt: &mut SignInAttempt<'_>,
    on_behalf: HashFor<'_>,
) -> Result<Option<User>, HttpError> {
    let user = find(app, username).await?;
    if let Some(user) = &user {
        attempt.has_found(user.name.as_str());
    }
    let again = password.clone();
    let hash = user.as_ref().map(|user| user.password_hash.as_str());
    let verdict = app.parts.passwords.verify_login(on_behalf, password, hash).await?;
    match (user, verdict) {
        (Some(user), Verdict::Right) => Ok(Some(user)),
        (Some(user), Verdict::RightButOutdated { new_hash }) => {
            renew_hash(app, user, new_hash, again, on_behalf).await
        }
        _ => Ok(None),
    }
}

/// Replaces an outdated hash of a password that is right. If that fails, the old hash stays
/// valid, and the next sign-in tries again. If another call was first, the account is
/// returned only if the password is right by the hash that it has now: the call was another
/// sign-in, or a change of the password.
async fn renew_hash(
    app: &App,
    mut user: User,
    new_hash: String,
    password: Password,
    on_behalf: HashFor<'_>,
) -> Result<Option<User>, HttpError> {
    let users = &app.parts.stores.users;
    match users.set_password_hash(&user.name, &user.password_hash, &new_hash).await {
        Ok(true) => {
            tracing::info!(user = user.name.as_str(), "replaced an outdated password hash");
            user.password_hash = new_hash;
            Ok(Some(user))
        }
        Ok(false) => {
            let Some(user) = users.find_user(&user.name).await? else { return Ok(None) };
            let verdict =
                app.parts.passwords.verify_login(on_behalf, password, Some(&user.password_hash)).await?;
            Ok(verdict.is_right().then_some(user))
        }
        Err(error) => {
            tracing::warn!(user = user.name.as_str(), %error, "an outdated password hash could not be replaced");
            Ok(Some(user))
        }
    }
}

/// Whether a refusal follows failures: a server that is busy refuses attempts of which
/// none may have failed.
fn is_after_failures(refused: &SignInRefused) -> bool {
    matches!(refused, SignInRefused::TooMany { .. })
}

/// Counts an attempt that a limit refuses.
pub(super) fn note_refused(app: &App, address: ClientAddress, refused: &SignInRefused) {
    let limit = match refused {
        SignInRefused::TooMany { limit: SignInLimit::FromAddress, .. } => "address_failures_max",
        SignInRefused::TooMany { limit: SignInLimit::OfAccount, .. } => "account_failures_max",
        SignInRefused::TooMany { limit: SignInLimit::OfAddress, .. } => "network_failures_max",
        SignInRefused::TooMany { limit: SignInLimit::Attempts, .. } => "network_sign_ins_max",
        SignInRefused::Busy => "sign_ins_waiting",
    };
    app.metrics.limit_refused(limit);
    if limit != "account_failures_max" {
        note_limited(address.limited(), limit);
    }
}

/// A text that is the same for all spellings with which [`find`] finds one account.
fn folded_name(written: &str) -> String {
    let name = Username::typed(written).or_else(|_| Username::known(written));
    name.map_or_else(|_| written.to_owned(), |name| name.folded_case())
}

/// The account of that name as it is written; otherwise as it would have been
/// registered (keyboards differ in how they compose a letter), in any case if only one
/// account matches. One query for every name, so that its time does not show which names
/// have accounts.
async fn find(app: &App, written: &str) -> Result<Option<User>, HttpError> {
    let (typed, name) = match (Username::known(written), Username::typed(written)) {
        (Ok(typed), Ok(name)) => (typed, name),
        // An account of the original chat may have a name that cannot be registered.
        (Ok(name), Err(_)) | (Err(_), Ok(name)) => (name.clone(), name),
        // No account can have such a name.
        (Err(_), Err(_)) => return Ok(None),
    };
    Ok(app.parts.stores.users.find_user_ignoring_case(&typed, &name).await?)
}
