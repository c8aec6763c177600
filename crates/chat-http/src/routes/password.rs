//! `POST /api/me/password`

use chat_auth::{HashFor, Password, SignInName, Verdict};
use chat_core::{SessionId, Username};
use chat_store::{PasswordChange, User};
use hyper::{Response, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use super::call::Call;
use super::{json, sign_in};
use crate::answer::{self, Body, Nothing};
use crate::app::App;
use crate::error::HttpError;
use crate::signed_in::SignedIn;

/// The password that the user has, and the one that is to replace it. A missing field is
/// an empty one.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct NewPassword {
    #[serde(default)]
    current: String,
    /// Verbatim, at most 1,024 bytes, at least as many characters as
    /// `password_min_chars` of `GET /api/server`, and not the user's name.
    #[serde(default)]
    new: String,
}

/// Changes the password of the user, ends all other sessions, and closes their sockets.
pub(super) async fn change(call: Call) -> Result<Response<Body>, HttpError> {
    let address = call.address();
    let Call { app, request, .. } = call;
    let me = SignedIn::check(&app, &request).await?;
    let body = json::read(&app, request).await?;
    let NewPassword { current, new } = json::parse(&body).ok_or(HttpError::InvalidJson)?;
    let Some(session) = me.session else { return Err(HttpError::NoPassword) };
    let new = Password::parse(new).map_err(HttpError::NewPassword)?;
    let rule = app.options.password_rule;
    rule.check(&new, |text| me.user.is_written_as(text)).map_err(HttpError::NewPassword)?;

    // Guesses are limited as at the sign-in: a session that was left open is not enough to
    // find out the password.
    let folded = me.user.folded_case();
    let name = SignInName { typed: me.user.as_str(), folded: &folded };
    let started = Instant::now();
    // What cannot be a password is no guess.
    let Ok(current) = Password::parse(current) else { return Err(HttpError::WrongPassword) };
    let attempt = app.begin_sign_in(name, address).await;
    let mut attempt = attempt.inspect_err(|refused| sign_in::note_refused(&app, address, refused))?;
    attempt.has_found(me.user.as_str());
    match check(&app, &me.user, current).await {
        Ok(Some(user)) => {
            attempt.succeeded().await;
            replace(app, user, new, session).await?;
            Ok(answer::json(StatusCode::OK, &Nothing {}))
        }
        Ok(None) => {
            attempt.failed().await;
            app.sign_in_failures.note(me.user.as_str(), address.ip, started);
            Err(HttpError::WrongPassword)
        }
        Err(error) => {
            attempt.not_checked().await;
            Err(error)
        }
    }
}

/// The account, if this is its password.
async fn check(app: &App, user: &Username, current: Password) -> Result<Option<User>, HttpError> {
    let user = app.parts.stores.users.find_user(user).await?.ok_or(HttpError::InvalidToken(None))?;
    if !user.has_password() {
        return Err(HttpError::NoPassword);
    }
    let on_behalf = HashFor::KnownUser(user.name.as_str());
    let verdict = app.parts.passwords.verify_login(on_behalf, current, Some(&user.password_hash)).await?;
    Ok((verdict != Verdict::Wrong).then_some(user))
}

/// Replaces the password that was checked.
async fn replace(
    app: std::sync::Arc<App>,
    user: User,
    password: Password,
    kept: SessionId,
) -> Result<(), HttpError> {
    let new = app.parts.passwords.hash(HashFor::KnownUser(user.name.as_str()), password).await?;
    // A task of its own, so that the sockets are closed even if the client hangs up.
    let tasks = app.tasks.clone();
    let replacement = tasks.spawn(async move {
        // Listed before the change: a session that is opened with the new password stays. An
        // earlier attempt may have ended sessions and have lost the answer.
        let mut ended = app.shards.open_sessions().of(&user.name);
        ended.retain(|session| *session != kept);
        let change = PasswordChange { user: &user.name, old: &user.password_hash, new: &new, kept: &kept };
        match app.parts.stores.users.change_password(change).await {
            Ok(Some(sessions)) => ended.extend(sessions),
            // Another request has changed the password: what was checked is wrong by now.
            Ok(None) => return Err(HttpError::WrongPassword),
            // The connection may have been lost after the commit. No other hash has this
            // salt.
            Err(error) => match app.parts.stores.users.find_user(&user.name).await {
                Ok(Some(found)) if found.password_hash == new => {}
                _ => return Err(error.into()),
            },
        }
        ended.sort();
        ended.dedup();
        app.end_sessions(&ended).await;
        tracing::info!(user = user.name.as_str(), sessions_ended = ended.len(), "changed the password");
        Ok(())
    });
    replacement.await.map_err(HttpError::Task)?
}
