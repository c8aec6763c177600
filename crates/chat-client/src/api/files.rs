//! Uploading and downloading files.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RANGE};
use tokio::io::AsyncRead;

use super::exchange::{ANSWER_TIMEOUT, Answer, send, within};
use super::upload::UploadBody;
use super::{Api, ApiError, Download, encoded};
use crate::AttachedFile;

/// A file to upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Its name. The server makes a name of it that is no path and hides nothing.
    pub name: String,
    /// What its sender takes for its media type. It counts only where the bytes do not show
    /// another one.
    pub media_type: Option<String>,
    /// How many bytes it has, if that is known: a file that is too large is refused at once.
    pub size: Option<u64>,
}

impl NewFile {
    /// A file of an unknown type and size.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), media_type: None, size: None }
    }

    /// Sets the [media type](Self::media_type).
    #[must_use]
    pub fn media_type(self, media_type: impl Into<String>) -> Self {
        Self { media_type: Some(media_type.into()), ..self }
    }

    /// Sets the [size](Self::size) in bytes.
    #[must_use]
    pub fn size(self, bytes: u64) -> Self {
        Self { size: Some(bytes), ..self }
    }
}

impl Api {
    /// Uploads a file; returns when it is stored for good. Until a message has it, only this
    /// user can read it, and after a day it is deleted.
    ///
    /// `progress` is called with the number of bytes that were handed to the connection until
    /// then. Dropping the future cancels the upload, which leaves nothing on the server.
    ///
    /// # Errors
    ///
    /// See [`ApiError`]: [`Refused`](ApiError::Refused) with 413 or 507 if there is no room for
    /// it; [`Io`](ApiError::Io) also if the source fails, ends before the [size](NewFile::size),
    /// or nothing moves for a minute. The source is read up to the size.
    pub async fn upload(
        &self,
        file: NewFile,
        source: impl AsyncRead + Send + Unpin + 'static,
        progress: impl FnMut(u64) + Send + Unpin + 'static,
    ) -> Result<AttachedFile, ApiError> {
        let NewFile { name, media_type, size } = file;
        let moved = Arc::new(AtomicU64::new(0));
        let body = UploadBody::new(source, size, progress, Arc::clone(&moved));
        let mut request = self.request("POST", &format!("/api/files?name={}", encoded(&name)), body)?;
        if let Some(size) = size {
            // hyper leaves it out if there are no bytes.
            request.headers_mut().insert(CONTENT_LENGTH, size.into());
        }
        if let Some(media_type) = media_type
            && let Ok(media_type) = HeaderValue::try_from(media_type)
        {
            request.headers_mut().insert(CONTENT_TYPE, media_type);
        }
        let mut sending = std::pin::pin!(send(&self.server, request));
        let answer = loop {
            let before = moved.load(Ordering::Relaxed);
            tokio::select! {
                answer = &mut sending => break answer?,
                () = tokio::time::sleep(IDLE_TIMEOUT) => {
                    if moved.load(Ordering::Relaxed) == before {
                        return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
                    }
                }
            }
        };
        within(ANSWER_TIMEOUT, answer.json()).await
    }

    /// Uploads a file that is in memory: see [`upload`](Self::upload).
    ///
    /// # Errors
    ///
    /// Those of [`upload`](Self::upload).
    pub async fn upload_bytes(
        &self,
        file: NewFile,
        bytes: impl Into<Bytes>,
    ) -> Result<AttachedFile, ApiError> {
        let bytes = bytes.into();
        let file = file.size(bytes.len() as u64);
        self.upload(file, std::io::Cursor::new(bytes), |_| {}).await
    }

    /// Downloads a file that this user may read: all of it, or a range of its bytes.
    ///
    /// # Errors
    ///
    /// See [`ApiError`]: [`Refused`](ApiError::Refused) with 404 if the file, or its message, is
    /// not there any more, or this user may not read it; with 416 if it has no such bytes.
    pub async fn download(
        &self,
        file: &AttachedFile,
        range: Option<Range<u64>>,
    ) -> Result<Download, ApiError> {
        self.get(&address(file), range).await
    }

    /// Downloads a preview of a picture: at most 720 pixels on a side, as JPEG, or as WebP
    /// where the picture is transparent.
    ///
    /// # Errors
    ///
    /// Those of [`download`](Self::download); 404 also for a file that is no picture.
    pub async fn preview(&self, file: &AttachedFile) -> Result<Download, ApiError> {
        self.get(&format!("{}?preview", address(file)), None).await
    }

    async fn get(&self, path: &str, range: Option<Range<u64>>) -> Result<Download, ApiError> {
        let mut request = self.request("GET", path, Full::new(Bytes::new()))?;
        if let Some(Range { start, end }) = &range {
            if start >= end {
                return Ok(Download::nothing(*start));
            }
            let value = format!("bytes={start}-{}", end - 1);
            request.headers_mut().insert(RANGE, HeaderValue::try_from(value).expect("digits are ASCII"));
        }
        let Answer { response, connection } =
            within(ANSWER_TIMEOUT, async { send(&self.server, request).await?.successful().await }).await?;
        let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
        if range.is_some() && !is_part {
            // A server that sends the whole file instead.
            return Err(ApiError::BadAnswer);
        }
        Download::begin(response, connection)
    }
}

/// The path of a file.
fn address(file: &AttachedFile) -> String {
    format!("/files/{}/{}", encoded(&file.id), encoded(&file.name))
}

/// An upload or a download in which nothing moves for this time has failed.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
