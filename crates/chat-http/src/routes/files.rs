//! `POST /api/files` and `GET /files/<id>/<name>`

use std::sync::Arc;
use std::time::Instant;

use chat_core::{AttachedFile, FileId, FileName, MediaType, ReservedFile};
use chat_files::{FilesError, Upload, failpoint, is_inline};
use chat_shard::{causes, now_ms};
use http_body_util::Either;
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, EXPECT, HeaderName, HeaderValue,
};
use hyper::http::request;
use hyper::{HeaderMap, Method, Response, StatusCode};
use serde::Serialize;

use super::call::{Call, fixed};
use super::query::parameters;
use crate::answer::{self, Body};
use crate::app::App;
use crate::body::RequestBody;
use crate::error::HttpError;
use crate::files::{Asked, Download, PendingFile, asked_range, content_disposition, preview};
use crate::permits::TooMany;
use crate::signed_in::SignedIn;

/// A file whose bytes are stored.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct UploadedFile<'a> {
    /// Its id, for `files` of a message.
    id: &'a str,
    /// Its name, as it is shown: never a path.
    name: &'a str,
    /// Its media type: by its bytes where they are known, else as the request said.
    #[serde(rename = "type")]
    media_type: &'a str,
    /// The bytes of what is stored. Of a picture the metadata is missing.
    size: u64,
    /// The width of a picture in pixels, as it is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    /// The height of a picture in pixels, as it is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
}

/// Receives a file, and answers once it is stored for good. A broken upload leaves nothing.
pub(super) async fn upload(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let (head, body) = request.into_parts();
    let mut body = RequestBody::new(body, &app.options);
    let stored = match receive(&app, &head, &mut body).await {
        Ok(stored) => stored,
        Err(error) => {
            app.metrics.upload(error.upload_outcome());
            // A client that sent `Expect: 100-continue` has not sent the body.
            if !head.headers.contains_key(EXPECT) {
                body.discard().await;
            }
            return Err(error);
        }
    };
    app.metrics.upload("stored");
    app.metrics.uploaded(stored.size);
    let (width, height) = stored.dimensions.unzip();
    let uploaded = UploadedFile {
        id: stored.id.as_str(),
        name: stored.name.as_str(),
        media_type: stored.media_type.as_str(),
        size: stored.size,
        width,
        height,
    };
    Ok(answer::json(StatusCode::CREATED, &uploaded))
}

async fn receive(
    app: &Arc<App>,
    head: &request::Parts,
    body: &mut RequestBody,
) -> Result<AttachedFile, HttpError> {
    let me = SignedIn::check(app, head).await?;
    let name = name(head.uri.query().unwrap_or_default())?;
    let text = |header: HeaderName| head.headers.get(header).and_then(|value| value.to_str().ok());
    let said = text(CONTENT_TYPE).and_then(MediaType::parse);
    let options = &app.options.files;
    let announced: Option<u64> = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let bytes = announced.unwrap_or(options.max_bytes);
    if bytes > options.max_bytes {
        return Err(HttpError::FileTooLarge { max_bytes: options.max_bytes });
    }
    if !app.is_ready() {
        return Err(HttpError::Stopping);
    }
    let counted = app.files.upload_rate.count(&me.user, Instant::now());
    counted.map_err(|retry_after_seconds| HttpError::UploadsTooOften { retry_after_seconds })?;
    let permit = app.files.uploads.take(&me.user).map_err(|too_many| match too_many {
        TooMany::OfOne => HttpError::TooManyUploads,
        TooMany::InAll => HttpError::Busy,
    })?;
    let space = app.files.disk.take(bytes)?;
    let id = FileId::from_bytes(rand::random());
    let reserved = ReservedFile { id, owner: me.user.clone(), bytes };
    // Without an answer nobody knows whether the id is reserved.
    let pending = PendingFile::new(Arc::clone(app), id);
    if let Err(refused) = app.parts.stores.files.reserve_file(&reserved, app.files.quotas, now_ms()).await? {
        pending.leave();
        return Err(HttpError::FileQuota(refused));
    }
    failpoint::reached("reserved");

    let upload = app.files.objects.receive(&id, bytes).await?;
    let receiving = tokio::time::timeout(options.upload_timeout, write_all(upload, body));
    let upload = receiving.await.map_err(|_| crate::body::BodyError::TooSlow)??;
    let received = upload.finish(said).await?;

    // If the client hangs up, this future is dropped. A task of its own goes on, so that a
    // file never appears after its record was removed.
    let app = Arc::clone(app);
    let tasks = app.tasks.clone();
    let storing = tasks.spawn(async move {
        let _held = (permit, space);
        let file = AttachedFile {
            id,
            name,
            media_type: received.media_type().clone(),
            size: received.size(),
            dimensions: received.dimensions(),
        };
        if let Err(error) = received.commit().await {
            if app.files.objects.may_appear_later() {
                pending.leave();
            }
            return Err(error.into());
        }
        failpoint::reached("renamed");
        if !app.parts.stores.files.store_file(&me.user, &file, now_ms()).await? {
            // Its record may be removed already, and nobody else would find the bytes then.
            if let Some(error) = app.files.objects.delete(&[id]).await.error {
                tracing::warn!(error = %causes(&error), "the bytes of a file that came too late remain");
            }
            return Err(HttpError::FileNotFound);
        }
        failpoint::reached("stored");
        pending.leave();
        tracing::debug!(user = me.user.as_str(), bytes = file.size, "a file was uploaded");
        Ok(file)
    });
    storing.await.map_err(HttpError::Task)?
}

async fn write_all(mut upload: Upload, body: &mut RequestBody) -> Result<Upload, HttpError> {
    while let Some(chunk) = body.chunk().await? {
        upload.write(chunk).await?;
    }
    Ok(upload)
}

fn name(query: &str) -> Result<FileName, HttpError> {
    for parameter in parameters(query) {
        let (key, value) = parameter?;
        if key == "name" {
            return FileName::clean(&value).ok_or(HttpError::FileName);
        }
    }
    Err(HttpError::FileName)
}

/// Serves a file, or its preview, to those who may read it now.
pub(super) async fn file(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, .. } = call;
    let (head, _) = request.into_parts();
    let me = SignedIn::check(&app, &head).await?;
    let id = FileId::parse(&part).ok_or(HttpError::FileNotFound)?;
    // Before the question who may read it: what is taken back meanwhile is not sent.
    let sending = app.files.downloads.begin(&id, me.session.as_ref());
    let file = app.parts.stores.files.readable_file(&id, &me.user).await?.ok_or(HttpError::FileNotFound)?;
    let is_head = head.method == Method::HEAD;
    if head.uri.query().is_some_and(asks_for_preview) {
        return preview_of(&app, &file, &me, &head.headers, || sending.is_revoked()).await;
    }

    let etag = format!("\"{id}\"");
    let range = match asked_range(&head.headers, &etag, file.size) {
        Asked::Known => return Ok(with_headers(not_modified(), &file, &etag)),
        // `Range` is defined for GET only.
        _ if is_head => None,
        Asked::Whole => None,
        Asked::Part(range) => Some(range),
        Asked::Nothing => return Err(HttpError::Range { size: file.size }),
    };
    let whole = 0..file.size;
    let (start, end) = range.as_ref().map_or((whole.start, whole.end), |part| (part.start, part.end));
    let body = if is_head {
        answer::bytes("")
    } else {
        let permit = app.files.sending.take(&me.user).map_err(|_| HttpError::TooManyDownloads)?;
        let bytes = app.files.objects.read(&id, start..end).await?;
        let Some(bytes) = bytes else {
            if app.parts.stores.files.readable_file(&id, &me.user).await?.is_some() {
                tracing::error!(%id, "the bytes of a file are missing");
            }
            return Err(HttpError::FileNotFound);
        };
        Either::Right(Either::Right(Download::new(bytes, sending, permit, me, &app)))
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, (end - start).into());
    headers.insert(ACCEPT_RANGES, fixed("bytes"));
    if range.is_some() {
        let range = format!("bytes {start}-{}/{}", end - 1, file.size);
        headers.insert(CONTENT_RANGE, HeaderValue::from_str(&range).expect("digits and signs"));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    app.metrics.download();
    Ok(with_headers(response, &file, &etag))
}

fn asks_for_preview(query: &str) -> bool {
    parameters(query).any(|parameter| parameter.is_ok_and(|(key, _)| key == "preview"))
}

async fn preview_of(
    app: &Arc<App>,
    file: &AttachedFile,
    me: &SignedIn,
    headers: &HeaderMap,
    is_revoked: impl Fn() -> bool,
) -> Result<Response<Body>, HttpError> {
    let Some(made) = preview(app, file, &me.user).await? else { return Err(HttpError::FileNotFound) };
    // It may have taken a while.
    if is_revoked() || app.parts.stores.files.readable_file(&file.id, &me.user).await?.is_none() {
        return Err(HttpError::FileNotFound);
    }
    let etag = format!("\"{}-preview\"", file.id);
    if asked_range(headers, &etag, 0) == Asked::Known {
        return Ok(with_headers(not_modified(), file, &etag));
    }
    let kind = if made.starts_with(b"RIFF") { "image/webp" } else { "image/jpeg" };
    let mut response = with_headers(Response::new(answer::bytes(made)), file, &etag);
    response.headers_mut().insert(CONTENT_TYPE, fixed(kind));
    Ok(response)
}

fn not_modified() -> Response<Body> {
    let mut response = Response::new(answer::bytes(""));
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// Adds what keeps a file from acting in the page: it is shown only if its bytes are those
/// of a picture, sound or a film; everything else is a download of an unknown type, which
/// no script, style or worker is loaded from.
fn with_headers(mut response: Response<Body>, file: &AttachedFile, etag: &str) -> Response<Body> {
    let is_inline = is_inline(&file.media_type);
    let headers = response.headers_mut();
    let kind = HeaderValue::from_str(file.media_type.as_str()).ok().filter(|_| is_inline);
    headers.insert(CONTENT_TYPE, kind.unwrap_or(fixed("application/octet-stream")));
    headers.insert(CONTENT_DISPOSITION, content_disposition(is_inline, &file.name));
    headers.insert(CONTENT_SECURITY_POLICY, fixed("sandbox; default-src 'none'"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), fixed("same-origin"));
    headers.insert(CACHE_CONTROL, fixed("private, no-cache"));
    headers.insert(ETAG, HeaderValue::from_str(etag).expect("an id is ASCII"));
    response
}

impl HttpError {
    /// What a refused upload is counted as.
    fn upload_outcome(&self) -> &'static str {
        match self {
            Self::FileTooLarge { .. } | Self::Files(FilesError::TooLarge { .. }) => "too_large",
            Self::FileQuota(_) => "quota",
            Self::DiskLow | Self::Files(FilesError::DiskFull(_)) => "disk",
            Self::TooManyUploads | Self::UploadsTooOften { .. } | Self::Busy => "busy",
            Self::Body(_) => "broken",
            error if error.status().is_server_error() => "failed",
            _ => "refused",
        }
    }
}
