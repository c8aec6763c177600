//! Who a request comes from.

use std::sync::Arc;

use chat_core::{SessionId, Username};
use chat_shard::{causes, now_ms};
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use crate::app::App;
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
    /// When the session was last seen, in milliseconds since 1970.
    pub(crate) last_seen_at_ms: u64,
}

impl SignedIn {
    /// Checks the token, and that its session still exists.
    pub(crate) async fn check(app: &App, headers: &HeaderMap) -> Result<Self, HttpError> {
        Self::by_token(app, headers)?.with_session(app).await
    }

    /// Checks that the session of a good token still exists.
    pub(crate) async fn with_session(mut self, app: &App) -> Result<Self, HttpError> {
        if let Some(id) = &self.session {
            let session = app.parts.sessions.find_session(id, now_ms()).await?;
            let session = session.filter(|session| session.user == self.user);
            let session = session.ok_or(HttpError::InvalidToken(None))?;
            self.good_until_ms = session.expires_at_ms;
            self.last_seen_at_ms = session.last_seen_at_ms;
        }
        Ok(self)
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
            last_seen_at_ms: 0,
        })
    }

    /// Notes that the session is in use, beside the request and at most once in
    /// `last_seen_interval`. What does not succeed, or comes while the store is
    /// busy with as many as may be noted at once, is left to the next request.
    pub(crate) fn note_seen(&self, app: &Arc<App>) {
        let now = now_ms();
        let interval = u64::try_from(app.options.last_seen_interval.as_millis()).unwrap_or(u64::MAX);
        let Some(session) = self.session.clone() else { return };
        if now < self.last_seen_at_ms.saturating_add(interval) {
            return;
        }
        let Ok(place) = Arc::clone(&app.seen_places).try_acquire_owned() else { return };
        let noting = Arc::clone(app);
        app.tasks.spawn(async move {
            let _place = place;
            if let Err(error) = noting.parts.sessions.touch_session(&session, now).await {
                tracing::debug!(error = %causes(&error), "a session's last use was not noted");
            }
        });
    }
}

/// The token of a program (RFC 6750 §2.1). Another scheme, such as the Basic of
/// a proxy in front, is not for us.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
