//! `GET /healthz`, `GET /readyz` and `GET /metrics`, for monitoring.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::{Response, StatusCode};

use super::call::{Call, fixed};
use crate::answer::{self, Body, Done};
use crate::app::App;
use crate::error::HttpError;
use crate::unready::Unready;

/// Answers as long as the process runs.
pub(super) async fn alive(_call: Call) -> Result<Response<Body>, HttpError> {
    Ok(answer::json(StatusCode::OK, &Done::OK))
}

/// Answers 200 if the server accepts new work and its store works.
pub(super) async fn ready(call: Call) -> Result<Response<Body>, HttpError> {
    if !call.app.is_ready() {
        return Err(HttpError::Stopping);
    }
    // The check is not cancelled when the client hangs up: it has the log's writer.
    let app = Arc::clone(&call.app);
    let checking = call.app.tasks.spawn(async move { app.check_store().await });
    checking.await.map_err(HttpError::Task)?.map_err(|unready| match unready {
        Unready::Store(error) => HttpError::Store(error),
        Unready::Silent => HttpError::StoreSilent,
        Unready::Clock => HttpError::ClockFarOff,
    })?;
    Ok(answer::json(StatusCode::OK, &Done::OK))
}

/// Writes all metrics, for Prometheus.
pub(super) async fn metrics(call: Call) -> Result<Response<Body>, HttpError> {
    let app = &call.app;
    let passwords = &app.parts.passwords;
    let hashing = (passwords.waiting(), passwords.waiting_max());
    let max = app.options.max_connections;
    let disk = &app.files.disk;
    app.metrics.store(!app.store_health.is_out() && !app.shards.last_append_failed(), last_backup(app).await);
    app.metrics.certificate(app.options.certificate_end.seconds());
    app.metrics.disk_and_pictures(disk.free().unwrap_or_default(), disk.min(), app.pictures.waiting());
    let text =
        app.metrics.text(hashing, (max.saturating_sub(app.connection_permits.available_permits()), max));
    let mut response = Response::new(answer::bytes(text));
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(CONTENT_TYPE, fixed(kind));
    response.headers_mut().insert(CACHE_CONTROL, fixed("no-store"));
    Ok(response)
}

/// When the last backup was made, in seconds of Unix time: the time of a file that the command
/// leaves behind.
async fn last_backup(app: &App) -> Option<u64> {
    let made = tokio::fs::metadata(app.options.backup_mark.as_ref()?).await.ok()?.modified().ok()?;
    made.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}
