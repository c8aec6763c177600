//! What administrators do to accounts: `PATCH /api/users/<name>` and
//! `POST /api/users/<name>/password`; and `POST /api/password`, where the link of the second
//! leads to.

use chat_auth::{HashFor, Password};
use chat_core::{RoomTextError, Username, parse_room_description};
use chat_shard::now_ms;
use chat_store::RoleChange;
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::users::UserRole;
use super::{administrator, json};
use crate::answer::{self, Body, Nothing};
use crate::app::App;
use crate::error::HttpError;
use crate::percent;
use crate::secret;

/// The user whom a part of a path names.
pub(super) fn named(part: &str) -> Result<Username, HttpError> {
    let name = percent::decode(part, false).ok_or(HttpError::UserNotFound)?;
    Username::known(&name).map_err(|_| HttpError::UserNotFound)
}

/// The reason of a ban or a report: trimmed, at most 500 characters.
pub(super) fn reason(text: &str) -> Result<String, HttpError> {
    parse_room_description(text).map_err(|error| match error {
        RoomTextError::TooLong { max, .. } => HttpError::ReasonTooLong { max },
        _ => HttpError::Reason,
    })
}

/// The fields of an account that an administrator changes.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct AccountChanges {
    /// What the user may do on this server from now on.
    role: UserRole,
}

/// Makes a user an administrator, or a member again.
pub(super) async fn change(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, .. } = call;
    let (me, body) = administrator::read(&app, request).await?;
    let user = named(&part)?;
    let AccountChanges { role } = json::parse(&body).ok_or(HttpError::InvalidJson)?;
    let is_administrator = matches!(role, UserRole::Administrator);
    let administration = &app.parts.stores.administration;
    match administration.set_role(&user, is_administrator, Some(&me.user), now_ms()).await? {
        RoleChange::Done => {
            tracing::warn!(user = user.as_str(), by = me.user.as_str(), is_administrator, "changed a role");
            app.shards.role_changed(&user, is_administrator);
            Ok(answer::json(StatusCode::OK, &Nothing {}))
        }
        RoleChange::Banned => Err(HttpError::Banned),
        RoleChange::NoPassword => Err(no_password(&app, &user).await?),
        RoleChange::LastAdministrator => Err(HttpError::LastAdministrator),
    }
}

/// Why an account has no password here: there is none, or another issuer signs the user in.
async fn no_password(app: &App, user: &Username) -> Result<HttpError, HttpError> {
    let found = app.parts.stores.users.find_user(user).await?;
    Ok(if found.is_some() { HttpError::NoPasswordHere } else { HttpError::UserNotFound })
}

/// A link that can be used once.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct OneTimeLink {
    /// The secret of the link, for `POST /api/password`.
    secret: String,
    /// The link to the page, below the public URL of the server where it is known.
    url: String,
    /// When the link ends, in whole seconds since 1970.
    expires: u64,
}

/// Makes a link with which a user sets a new password. It replaces an earlier one.
pub(super) async fn create_password_link(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, .. } = call;
    let me = administrator::check(&app, &request).await?;
    let user = named(&part)?;
    let now = now_ms();
    let (link, secret) = secret::new_password_link(user, now);
    if !app.parts.stores.administration.create_password_link(&link, Some(&me.user), now).await? {
        return Err(no_password(&app, &link.user).await?);
    }
    tracing::warn!(user = link.user.as_str(), by = me.user.as_str(), "made a link that sets a password");
    let link = OneTimeLink {
        url: app.link(&format!("/password/{secret}")),
        secret,
        expires: link.expires_at_ms / 1000,
    };
    Ok(answer::json(StatusCode::CREATED, &link))
}

/// The secret of a link, and the password that it sets.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct PasswordOfLink {
    #[serde(default)]
    secret: String,
    /// Verbatim, at most 1,024 bytes, at least as many characters as
    /// `password_min_chars` of `GET /api/server`, and not the user's name.
    #[serde(default)]
    new: String,
}

/// Sets the password of the account that a link is for, and ends all its sessions. Nobody
/// needs to be signed in.
pub(super) async fn use_password_link(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let body = json::read(&app, request).await?;
    let PasswordOfLink { secret, new } = json::parse(&body).ok_or(HttpError::InvalidJson)?;
    let hash = secret::hash(&secret);
    // The password is hashed, which is expensive, only for a link that can be used.
    let found = app.parts.stores.administration.find_password_link(&hash, now_ms()).await?;
    let user = found.ok_or(HttpError::SecretNotFound)?;
    let new = Password::parse(new).map_err(HttpError::NewPassword)?;
    let rule = app.options.password_rule;
    rule.check(&new, |text| user.is_written_as(text)).map_err(HttpError::NewPassword)?;
    let new = app.parts.passwords.hash(HashFor::KnownUser(user.as_str()), new).await?;
    // A task of its own, so that the sockets are closed even if the client hangs up.
    let tasks = app.tasks.clone();
    let replacement = tasks.spawn(async move {
        let mut ended = app.shards.open_sessions().of(&user);
        let used = app.parts.stores.administration.use_password_link(&hash, &new, now_ms()).await?;
        let (user, sessions) = used.ok_or(HttpError::SecretNotFound)?;
        ended.extend(sessions);
        ended.sort();
        ended.dedup();
        app.end_sessions(&ended).await;
        tracing::info!(user = user.as_str(), sessions_ended = ended.len(), "set a password by a link");
        Ok::<_, HttpError>(())
    });
    replacement.await.map_err(HttpError::Task)??;
    Ok(answer::json(StatusCode::OK, &Nothing {}))
}
