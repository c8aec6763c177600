//! For whoever watches over the server.

use hyper::{Response, StatusCode};
use serde_json::json;

use super::Call;
use crate::answer::{self, Body};
use crate::error::HttpError;

/// The process answers.
pub(super) async fn alive(_call: Call) -> Result<Response<Body>, HttpError> {
    Ok(answer::json(StatusCode::OK, &json!({ "status": "ok" })))
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
    Ok(answer::json(StatusCode::OK, &json!({ "status": "ok" })))
}
