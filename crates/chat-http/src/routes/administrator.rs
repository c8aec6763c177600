//! Requests that only administrators may make.

use chat_core::Username;
use hyper::HeaderMap;

use crate::app::App;
use crate::error::HttpError;
use crate::signed_in::SignedIn;

/// Checks that the user who asks is an administrator.
///
/// # Errors
///
/// [`HttpError::NotAdministrator`], and those of [`SignedIn::check`].
pub(super) async fn check(app: &App, headers: &HeaderMap) -> Result<SignedIn, HttpError> {
    let me = SignedIn::check(app, headers).await?;
    if is_administrator(app, &me).await? { Ok(me) } else { Err(HttpError::NotAdministrator) }
}

/// Whether the user who asks is an administrator.
///
/// # Errors
///
/// [`HttpError::Store`].
pub(super) async fn is_administrator(app: &App, me: &SignedIn) -> Result<bool, HttpError> {
    // A token without a session is another issuer's, who names any user.
    Ok(me.session.is_some() && app.parts.users.is_administrator(&me.user).await?)
}

/// Who has done something, as it is shown: the name of a user, or `server` for the operator.
pub(super) fn shown(by: Option<&Username>) -> String {
    by.map_or("server", Username::as_str).to_owned()
}
