//! The body of a request, with limits on its size and its time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use crate::HttpOptions;

/// The body of a request, read in chunks. The deadline is `body_timeout` after the start,
/// and one second later for each `body_min_rate` bytes that arrived.
pub(crate) struct RequestBody {
    incoming: Incoming,
    started: Instant,
    timeout: Duration,
    min_rate: u64,
    received: u64,
}

/// Why a body is not complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the request is too large (max {max_bytes} bytes)")]
    TooLarge { max_bytes: u64 },
    #[error("the request came too slowly")]
    TooSlow,
    #[error("the request broke off")]
    Broken(#[source] hyper::Error),
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, options: &HttpOptions) -> Self {
        Self {
            incoming,
            started: Instant::now(),
            timeout: options.body_timeout,
            min_rate: options.body_min_rate.max(1),
            received: 0,
        }
    }

    /// The next chunk, `None` at the end. Trailers are skipped.
    ///
    /// # Errors
    ///
    /// [`BodyError::TooSlow`] and [`BodyError::Broken`].
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let deadline = self.started + self.timeout + Duration::from_secs(self.received / self.min_rate);
            let frame = tokio::time::timeout_at(deadline, self.incoming.frame()).await;
            match frame.map_err(|_| BodyError::TooSlow)? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() {
                        self.received += data.len() as u64;
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The rest of the body, at most `max` bytes.
    ///
    /// # Errors
    ///
    /// [`BodyError`].
    pub(crate) async fn read_whole(&mut self, max: usize) -> Result<Bytes, BodyError> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.len() + chunk.len() > max {
                return Err(BodyError::TooLarge { max_bytes: max as u64 });
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// Reads and drops the rest of a refused request, up to [`DISCARD_MAX_BYTES`]. If the
    /// connection were closed while the client sends, the client would get a reset and
    /// not see the response.
    pub(crate) async fn discard(&mut self) {
        let end = self.received + DISCARD_MAX_BYTES;
        while !self.incoming.is_end_stream() && self.received < end {
            match self.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }
}

/// More than photos have that cameras take, so that a client whose photo is too large
/// sees the response.
const DISCARD_MAX_BYTES: u64 = 16 * 1024 * 1024;
