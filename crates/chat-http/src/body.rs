//! The body of a request, which may neither be endless nor take for ever.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use crate::HttpOptions;

/// Reads a body in pieces, each in its time: a body gets `body_timeout`, and one
/// second more for each `body_min_rate` bytes that came.
pub(crate) struct RequestBody {
    incoming: Incoming,
    started: Instant,
    timeout: Duration,
    min_rate: u64,
    received: u64,
}

/// Why there is no whole body.
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

    /// The next piece, `None` at the end. Trailers are skipped.
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

    /// All of it, at most `max` bytes.
    pub(crate) async fn whole(&mut self, max: usize) -> Result<Bytes, BodyError> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.len() + chunk.len() > max {
                return Err(BodyError::TooLarge { max_bytes: max as u64 });
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// Reads on after the answer is known, up to [`DISCARD_MAX_BYTES`]: a client
    /// that is still sending when its connection is closed gets a reset, and
    /// never sees why it was refused.
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

/// A photo as cameras make them still gets its sentence.
const DISCARD_MAX_BYTES: u64 = 16 * 1024 * 1024;
