//! Who a request comes from.

use chat_core::{SessionId, Username};
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use crate::app::{App, now_ms};
use crate::cookie;
use crate::error::HttpError;

/// Somebody whose token is good and whose session was not revoked.
pub(crate) struct SignedIn {
    pub(crate) user: Username,
    /// None with the token of another issuer.
    pub(crate) session: Option<SessionId>,
    /// Whether a browser brought it, which would take a new one.
    pub(crate) by_cookie: bool,
    /// The first and the last second of its life; the first is not known of
    /// every other issuer's token.
    pub(crate) issued_at: Option<u64>,
    pub(crate) expires_at: u64,
    /// When the session ends, which may have been renewed since, or else the
    /// token; in milliseconds since 1970.
    pub(crate) good_until_ms: u64,
}

impl SignedIn {
    /// Checks the token, and that its session still exists.
    pub(crate) async fn check(app: &App, headers: &HeaderMap) -> Result<Self, HttpError> {
        let mut signed_in = Self::by_token(app, headers)?;
        if let Some(id) = &signed_in.session {
            let session = app.parts.sessions.find_session(id, now_ms()).await?;
            let session = session.filter(|session| session.user == signed_in.user);
            signed_in.good_until_ms = session.ok_or(HttpError::InvalidToken(None))?.expires_at_ms;
        }
        Ok(signed_in)
    }

    /// Checks the token alone; its session may have been revoked.
    pub(crate) fn by_token(app: &App, headers: &HeaderMap) -> Result<Self, HttpError> {
        let bearer = bearer(headers);
        let token = bearer.or_else(|| cookie::token(headers)).ok_or(HttpError::MissingToken)?;
        let claims = app
            .parts
            .tokens
            .verify(token, now_ms() / 1000)
            .map_err(|error| HttpError::InvalidToken(Some(error)))?;
        Ok(Self {
            user: Username::known(&claims.sub).map_err(|_| HttpError::InvalidToken(None))?,
            session: claims.sid.as_deref().map(SessionId::new),
            by_cookie: bearer.is_none(),
            issued_at: claims.iat,
            expires_at: claims.exp,
            good_until_ms: claims.exp.saturating_mul(1000),
        })
    }
}

/// The token of a program (RFC 6750 §2.1). Another scheme, such as the Basic of
/// a proxy in front, is not for us.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
