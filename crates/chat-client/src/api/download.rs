//! A file that is being downloaded.

use std::io;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_RANGE, CONTENT_TYPE};

use super::ApiError;
use super::exchange::{Connection, lost, within};
use super::files::IDLE_TIMEOUT;

/// A file that is being downloaded. Dropping it ends the download.
#[derive(Debug)]
pub struct Download {
    /// The media type of the bytes.
    pub media_type: String,
    /// The position of the first byte in the file.
    pub start: u64,
    /// How many bytes come, all together.
    pub len: u64,
    rest: Option<Rest>,
    received: u64,
}

struct Rest {
    body: Incoming,
    _connection: Connection,
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rest")
    }
}

impl Download {
    pub(super) fn begin(response: Response<Incoming>, connection: Connection) -> Result<Self, ApiError> {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let media_type = header(CONTENT_TYPE).unwrap_or_default().to_owned();
        let start = match header(CONTENT_RANGE) {
            Some(range) => first_byte(range).ok_or(ApiError::BadAnswer)?,
            None => 0,
        };
        let body = response.into_body();
        let len = body.size_hint().exact().ok_or(ApiError::BadAnswer)?;
        Ok(Self { media_type, start, len, rest: Some(Rest { body, _connection: connection }), received: 0 })
    }

    /// A download of no bytes.
    pub(super) fn nothing(start: u64) -> Self {
        Self { media_type: String::new(), start, len: 0, rest: None, received: 0 }
    }

    /// The next bytes; `None` once all of them came.
    ///
    /// # Errors
    ///
    /// [`ApiError::Io`] if the connection broke off, as it does when the file is deleted
    /// meanwhile, or if nothing came for a minute.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ApiError> {
        while let Some(rest) = &mut self.rest {
            let frame = within(IDLE_TIMEOUT, async { Ok(rest.body.frame().await) }).await?;
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data()
                        && !bytes.is_empty()
                    {
                        self.received += bytes.len() as u64;
                        return Ok(Some(bytes));
                    }
                }
                Some(Err(error)) => {
                    self.rest = None;
                    return Err(lost(error));
                }
                None => self.rest = None,
            }
        }
        if self.received < self.len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(None)
    }

    /// All bytes that come, if they are not more than `max`.
    ///
    /// # Errors
    ///
    /// Those of [`chunk`](Self::chunk); [`ApiError::Io`] of the kind `FileTooLarge` if there are
    /// more bytes.
    pub async fn bytes(mut self, max: usize) -> Result<Vec<u8>, ApiError> {
        if self.len > max as u64 {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge).into());
        }
        let mut all = Vec::with_capacity(self.len as usize);
        while let Some(bytes) = self.chunk().await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }
}

/// The first number of `bytes 5-9/20`.
fn first_byte(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}
