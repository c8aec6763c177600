//! `PUT` and `DELETE /api/push`: notifications of a browser that shows no page

use std::time::Instant;

use chat_shard::now_ms;
use chat_store::NewPushSubscription;
use hyper::{Response, StatusCode};
use serde::Deserialize;

use super::call::Call;
use super::json;
use crate::answer::{self, Body, Nothing};
use crate::error::HttpError;
use crate::push::BrowserKeys;
use crate::signed_in::SignedIn;

/// A subscription, as the browser's `PushSubscription.toJSON()` has it.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct PushOrder {
    /// The address of the push service for this browser: https, at most 1,024 bytes.
    endpoint: String,
    /// The keys of the browser.
    keys: PushKeys,
    /// The language of the page, such as `en`, for the texts of notifications.
    #[serde(default)]
    language: String,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PushKeys {
    /// Its public key: an uncompressed point on P-256, base64url.
    p256dh: String,
    /// The secret that it shares with the server: 16 bytes, base64url.
    auth: String,
}

/// Subscribes the browser of this session, in place of what it subscribed before.
pub(super) async fn put(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let (me, body) = json::read_signed_in(&app, request).await?;
    if !app.options.push.enabled {
        return Err(HttpError::NotFound);
    }
    let counted = app.push_rate.count(&me.user, Instant::now());
    counted.map_err(|retry_after_seconds| HttpError::PushesTooOften { retry_after_seconds })?;
    let PushOrder { endpoint, keys, mut language } = json::parse(&body).ok_or(HttpError::InvalidJson)?;
    let session = me.session.filter(|_| me.of_host.is_none()).ok_or(HttpError::NoSession)?;
    if endpoint.len() > ENDPOINT_MAX_BYTES || app.pushes.target(&endpoint).is_err() {
        return Err(HttpError::PushEndpoint);
    }
    BrowserKeys::parse(&keys.p256dh, &keys.auth).ok_or(HttpError::PushKeys)?;
    language.retain(|c| c.is_ascii_alphanumeric() || c == '-');
    language.truncate(LANGUAGE_MAX_BYTES);
    let user = me.user;
    let PushKeys { p256dh, auth } = keys;
    let new = NewPushSubscription { session, user, endpoint, p256dh, auth, language };
    if !app.parts.stores.push.subscribe_push(&new, app.options.push.browsers_max, now_ms()).await? {
        return Err(HttpError::InvalidToken(None));
    }
    app.pushes.subscribed();
    Ok(answer::json(StatusCode::OK, &Nothing {}))
}

/// Ends the subscription of the browser of this session, if there is one.
pub(super) async fn remove(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let me = SignedIn::check(&app, &request).await?;
    if let Some(session) = &me.session {
        app.parts.stores.push.unsubscribe_push(session).await?;
    }
    Ok(answer::json(StatusCode::OK, &Nothing {}))
}

/// Those of the known services have 150 to 500.
const ENDPOINT_MAX_BYTES: usize = 1_024;
const LANGUAGE_MAX_BYTES: usize = 16;
