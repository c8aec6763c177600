//! Requests that only administrators may make.

use bytes::Bytes;
use chat_core::Username;
use hyper::Request;

use super::json;
use crate::app::App;
use crate::body::SentBody;
use crate::error::HttpError;
use crate::identity::RequestHead;
use crate::signed_in::SignedIn;

/// Checks that the user who asks is an administrator.
///
/// # Errors
///
/// [`HttpError::NotAdministrator`], and those of [`SignedIn::check`].
pub(super) async fn check<'a>(app: &App, request: impl Into<RequestHead<'a>>) -> Result<SignedIn, HttpError> {
    let me = SignedIn::check(app, request).await?;
    if is_administrator(app, &me).await? { Ok(me) } else { Err(HttpError::NotAdministrator) }
}

/// Reads the JSON body of a request that only an administrator may make. Whether the user
/// is one is judged when the body is there.
///
/// # Errors
///
/// Those of [`check`] and of the body.
pub(super) async fn read(app: &App, request: Request<SentBody>) -> Result<(SignedIn, Bytes), HttpError> {
    let (me, body) = json::read_signed_in(app, request).await?;
    if is_administrator(app, &me).await? { Ok((me, body)) } else { Err(HttpError::NotAdministrator) }
}

/// Whether the user who asks is an administrator.
///
/// # Errors
///
/// [`HttpError::Store`].
pub(super) async fn is_administrator(app: &App, me: &SignedIn) -> Result<bool, HttpError> {
    // A token without a session is another issuer's, who names any user.
    Ok(me.session.is_some() && app.parts.stores.users.is_administrator(&me.user).await?)
}

/// Who has done something, as it is shown: the name of a user, or `server` for the operator.
pub(super) fn shown(by: Option<&Username>) -> String {
    by.map_or("server", Username::as_str).to_owned()
}
