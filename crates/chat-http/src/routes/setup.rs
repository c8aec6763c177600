//! `POST /api/setup`

use chat_store::RoleChange;
use hyper::{Response, StatusCode};
use serde::Deserialize;

use super::call::Call;
use super::json;
use crate::answer::{self, Body, Nothing};
use crate::error::HttpError;

/// The code that the server prints at its start while there is no administrator.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SetupCode {
    /// Case, spaces and hyphens do not matter.
    #[serde(default)]
    code: String,
}

/// Makes the user who has the set-up code the first administrator. A wrong code, one that was
/// used, and any code while there is an administrator, are answered alike.
pub(super) async fn set_up(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let (me, body) = json::read_signed_in(&app, request).await?;
    let SetupCode { code } = json::parse(&body).ok_or(HttpError::InvalidJson)?;
    // A token without a session is another issuer's, who names any user.
    let round = app.parts.stores.administration.set_up_round().await?;
    let is_code = |round| app.parts.tokens.is_set_up_code(round, &code);
    // The administrator whom it has made repeats a call whose answer was lost.
    let is_repeated =
        round > 0 && is_code(round - 1) && app.parts.stores.users.is_administrator(&me.user).await?;
    if me.session.is_none() || !(is_code(round) || is_repeated) {
        return Err(HttpError::SecretNotFound);
    }
    match app.set_up(&me.user).await? {
        Some(RoleChange::Done) => {
            app.shards.role_changed(&me.user, true);
            tracing::warn!(user = me.user.as_str(), "became the first administrator by the set-up code");
            Ok(answer::json(StatusCode::OK, &Nothing {}))
        }
        _ => Err(HttpError::SecretNotFound),
    }
}
