//! `GET /uploads/<name>`

use http_body_util::Either;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::call::{Call, fixed};
use crate::answer::{Body, FileBody};
use crate::avatar::StoredAvatar;
use crate::error::HttpError;

/// Serves an avatar. The content of a file never changes under its name.
pub(super) async fn upload(call: Call) -> Result<Response<Body>, HttpError> {
    let StoredAvatar { file, bytes, content_type } = call.app.avatars.find(&call.part).await?;
    let mut response = Response::new(Either::Right(Either::Left(FileBody::new(file, bytes))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, fixed(content_type));
    headers.insert(CACHE_CONTROL, fixed("public, max-age=31536000, immutable"));
    Ok(response)
}
