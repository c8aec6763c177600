//! For whoever watches over the server.

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::{Response, StatusCode};

use super::{Call, fixed};
use crate::answer::{self, Body, Done};
use crate::error::HttpError;

/// The process answers.
pub(super) async fn alive(_call: Call) -> Result<Response<Body>, HttpError> {
    Ok(answer::json(StatusCode::OK, &Done::OK))
}

/// It also takes new work, and its store answers.
pub(super) async fn ready(call: Call) -> Result<Response<Body>, HttpError> {
    if !call.app.is_ready() {
        return Err(HttpError::Stopping);
    }
    let check = call.app.parts.log.check();
    match tokio::time::timeout(call.app.options.store_check_timeout, check).await {
        Ok(answer) => answer.map_err(HttpError::Store)?,
        Err(_) => return Err(HttpError::StoreSilent),
    }
    Ok(answer::json(StatusCode::OK, &Done::OK))
}

/// Counts and levels, for Prometheus.
pub(super) async fn metrics(call: Call) -> Result<Response<Body>, HttpError> {
    let app = &call.app;
    let passwords = &app.parts.passwords;
    let hashing = (passwords.waiting(), passwords.waiting_max());
    let max = app.options.max_connections;
    let text = app.metrics.text(hashing, (max.saturating_sub(app.places.available_permits()), max));
    let mut response = Response::new(answer::bytes(text));
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(CONTENT_TYPE, fixed(kind));
    response.headers_mut().insert(CACHE_CONTROL, fixed("no-store"));
    Ok(response)
}
