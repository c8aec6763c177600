//! The user who sends a request.

use std::sync::Arc;

use chat_auth::TokenError;
use chat_core::{ReservedNames, SessionId, Username};
use chat_shard::{causes, now_ms};
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::cookie;
use crate::error::HttpError;
use crate::identity::{self, OfHost, RequestHead};

/// A user with a valid token, and the session of that token; or a user of the host, and the
/// session there.
pub(crate) struct SignedIn {
    pub(crate) user: Username,
    /// `None` for a token of another issuer.
    pub(crate) session: Option<SessionId>,
    /// Whether the token came in a cookie, which can be renewed.
    pub(crate) by_cookie: bool,
    /// When the token was issued, in seconds since 1970. Another issuer may omit it.
    pub(crate) issued_at: Option<u64>,
    /// When the token expires, in seconds since 1970.
    pub(crate) expires_at: u64,
    /// When the session expires, which may have been renewed after the token was issued;
    /// without a session, when the token expires. In milliseconds since 1970.
    pub(crate) good_until_ms: u64,
    /// When the session was last used, in milliseconds since 1970.
    pub(crate) last_seen_at_ms: u64,
    /// What the host has said of its user.
    pub(crate) of_host: Option<Arc<OfHost>>,
}

impl SignedIn {
    /// Checks the token of a request, and that its session still exists; or asks the host.
    ///
    /// # Errors
    ///
    /// [`HttpError::MissingToken`], [`HttpError::InvalidToken`], [`HttpError::Identity`] and
    /// those of the store.
    pub(crate) async fn check<'a>(app: &App, request: impl Into<RequestHead<'a>>) -> Result<Self, HttpError> {
        let request = request.into();
        match &app.parts.identity {
            Some(identity) => identity::identify(app, &**identity, request).await,
            None => Self::by_known_token(app, request.headers).await?.with_session(app).await,
        }
    }

    /// Checks that the session of a valid token still exists.
    pub(crate) async fn with_session(mut self, app: &App) -> Result<Self, HttpError> {
        if let Some(id) = &self.session {
            let session = app.parts.stores.sessions.find_session(id, now_ms()).await?;
            let session = session.filter(|session| session.user == self.user);
            let session = session.ok_or(HttpError::InvalidToken(None))?;
            self.good_until_ms = session.expires_at_ms;
            self.last_seen_at_ms = session.last_seen_at_ms;
        } else if !app.parts.stores.administration.bans_of(std::slice::from_ref(&self.user)).await?.is_empty()
        {
            // A ban ends all sessions. A token of another issuer has none.
            return Err(HttpError::InvalidToken(None));
        }
        Ok(self)
    }

    /// Whether the session, which was valid at the request, still is; without a session,
    /// whether the token has not expired.
    ///
    /// # Errors
    ///
    /// Those of the store and of the host.
    pub(crate) async fn is_signed_in(&self, app: &App) -> Result<bool, HttpError> {
        if let Some(of_host) = &self.of_host {
            let again = match Self::check(app, of_host.head()).await {
                Ok(again) => Some(again),
                Err(HttpError::MissingToken | HttpError::InvalidToken(_)) => None,
                Err(error) => return Err(error),
            };
            return Ok(again.is_some_and(|again| again.user == self.user));
        }
        let now = now_ms();
        match &self.session {
            Some(id) => {
                let session = app.parts.stores.sessions.find_session(id, now).await?;
                Ok(session.is_some_and(|session| session.user == self.user))
            }
            None => {
                let banned =
                    app.parts.stores.administration.bans_of(std::slice::from_ref(&self.user)).await?;
                Ok(now < self.good_until_ms && banned.is_empty())
            }
        }
    }

    /// Checks the token of a request without its session, which may have been revoked.
    pub(crate) fn by_token(app: &App, headers: &HeaderMap) -> Result<Self, HttpError> {
        let bearer = bearer(headers);
        let token = bearer.or_else(|| cookie::token(headers)).ok_or(HttpError::MissingToken)?;
        let claims = app
            .parts
            .tokens
            .verify(token, now_ms() / 1000)
            .map_err(|error| HttpError::InvalidToken(Some(error)))?;
        let user = Username::known(&claims.sub).map_err(|_| HttpError::InvalidToken(None))?;
        if claims.sid.is_none() && ReservedNames::is_operator(&user) {
            // What this user does would be shown as done by the operator.
            return Err(HttpError::InvalidToken(None));
        }
        Ok(Self {
            user,
            session: claims.sid.as_deref().map(SessionId::new),
            by_cookie: bearer.is_none(),
            issued_at: claims.iat,
            expires_at: claims.exp,
            good_until_ms: claims.exp.saturating_mul(1000),
            last_seen_at_ms: 0,
            of_host: None,
        })
    }

    /// The same. A token that no known key has signed is checked again, with the keys that its
    /// issuer has now.
    pub(crate) async fn by_known_token(app: &App, headers: &HeaderMap) -> Result<Self, HttpError> {
        let first = Self::by_token(app, headers);
        let is_unknown = matches!(first, Err(HttpError::InvalidToken(Some(TokenError::UnknownKey))));
        if is_unknown && app.parts.tokens.refresh_external_keys().await {
            return Self::by_token(app, headers);
        }
        first
    }

    /// Stores when the session was last used, in the background and at most once in
    /// `last_seen_interval`. If that fails, or as many writes as allowed are under way, a
    /// later request does it.
    pub(crate) fn note_seen(&self, app: &Arc<App>) {
        let now = now_ms();
        let interval = u64::try_from(app.options.last_seen_interval.as_millis()).unwrap_or(u64::MAX);
        let Some(session) = self.session.clone() else { return };
        if now < self.last_seen_at_ms.saturating_add(interval) {
            return;
        }
        let Ok(permit) = Arc::clone(&app.last_seen_permits).try_acquire_owned() else { return };
        let app_of_task = Arc::clone(app);
        app.tasks.spawn(async move {
            let _permit = permit;
            if let Err(error) = app_of_task.parts.stores.sessions.touch_session(&session, now).await {
                tracing::debug!(error = %causes(&error), "the last use of a session was not stored");
            }
        });
    }
}

/// The token of a program (RFC 6750 §2.1). Other schemes, such as Basic for a proxy in
/// front, are ignored.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Fetches the keys of another issuer again, every `external_keys_interval`. Without another
/// issuer there is nothing to do.
pub(crate) async fn keep_fetching_keys(app: Arc<App>, stopping: CancellationToken) {
    if !app.parts.tokens.accepts_external() {
        return;
    }
    let fetch = async {
        loop {
            tokio::time::sleep(app.options.external_keys_interval).await;
            app.parts.tokens.refresh_external_keys().await;
        }
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = fetch => {}
    }
}
