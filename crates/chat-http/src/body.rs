//! The body of a request, with limits on its size and its time.

use std::any::Any;
use std::error::Error;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Instant;

use crate::HttpOptions;

/// The body of a request, as its connection gives it.
pub(crate) enum SentBody {
    /// From hyper.
    Hyper(Incoming),
    /// From the program around the chat. Only [`Body::is_end_stream`] and
    /// [`Body::size_hint`] take the lock, which nobody else holds: it makes the body `Sync`.
    Host(Mutex<HostBody>),
}

type HostBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;
/// The cause of a failure, of any type.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

impl SentBody {
    /// Takes any body. One of hyper stays as it is.
    pub(crate) fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut body = Some(body);
        let any: &mut dyn Any = &mut body;
        match any.downcast_mut::<Option<Incoming>>().and_then(Option::take) {
            Some(incoming) => Self::Hyper(incoming),
            None => {
                let body = body.expect("only a body of hyper was taken");
                Self::Host(Mutex::new(Box::pin(body.map_err(Into::into))))
            }
        }
    }
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Hyper(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Host(body) => {
                body.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll_frame(cx)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Hyper(body) => body.is_end_stream(),
            Self::Host(body) => body.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Hyper(body) => body.size_hint(),
            Self::Host(body) => body.lock().unwrap_or_else(PoisonError::into_inner).size_hint(),
        }
    }
}

/// The body of a request, read in chunks. The deadline is `body_timeout` after the start,
/// and one second later for each `body_min_rate` bytes that arrived.
pub(crate) struct RequestBody {
    incoming: SentBody,
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
    Broken(#[source] BoxError),
}

impl RequestBody {
    pub(crate) fn new(incoming: SentBody, options: &HttpOptions) -> Self {
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
