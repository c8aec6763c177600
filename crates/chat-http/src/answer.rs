//! Responses and their bodies.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body_util::{Either, Full};
use hyper::body::{Frame, SizeHint};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::fs::File;
use tokio::io::{AsyncRead as _, ReadBuf};

use crate::files::Download;

/// The body of a response that only says that the request was successful.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Done {
    /// `ok`, or `registered`.
    status: &'static str,
}

impl Done {
    /// The request was successful.
    pub(crate) const OK: Self = Self { status: "ok" };
    /// The account was created.
    pub(crate) const REGISTERED: Self = Self { status: "registered" };
}

/// The body of a response that has nothing to say.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Nothing {}

/// The body of a response: bytes in memory, an avatar, or a file.
pub(crate) type Body = Either<Full<Bytes>, Either<FileBody, Download>>;

/// A JSON response, which must not be cached.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_vec(value).expect("texts, numbers and lists are always JSON");
    let mut response = Response::new(bytes(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A body of bytes in memory.
pub(crate) fn bytes(bytes: impl Into<Bytes>) -> Body {
    Either::Left(Full::new(bytes.into()))
}

/// Adds the security headers of every response. A response that has a policy keeps it.
/// Scripts and styles, of which the page has dozens, need only some: a browser shows them as
/// text when they are opened directly. `https_only`: browsers must not reach this host over
/// http any more.
pub(crate) fn secure(response: &mut Response<Body>, https_only: bool) {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    if https_only {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    if headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "text/javascript" || kind == "text/css") {
        return;
    }
    headers.insert(PERMISSIONS_POLICY, HeaderValue::from_static(UNUSED_FEATURES));
    // With `no-referrer`, browsers would send `Origin: null` with forms.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox"));
}

/// No page of another origin shows what this server answers.
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
/// What the page never asks for.
const UNUSED_FEATURES: &str = "camera=(), microphone=(), geolocation=(), payment=(), usb=()";

/// A file that is read as fast as the client accepts it.
pub(crate) struct FileBody {
    file: File,
    remaining: u64,
    buffer: BytesMut,
}

impl FileBody {
    /// The first `length` bytes of a file.
    pub(crate) fn new(file: File, length: u64) -> Self {
        Self { file, remaining: length, buffer: BytesMut::new() }
    }
}

/// The number of bytes that are read at a time.
const FILE_CHUNK_BYTES: u64 = 64 * 1024;

impl hyper::body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if this.remaining == 0 {
            return Poll::Ready(None);
        }
        this.buffer.resize(this.remaining.min(FILE_CHUNK_BYTES) as usize, 0);
        let mut buffer = ReadBuf::new(&mut this.buffer);
        ready!(Pin::new(&mut this.file).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        if read == 0 {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        this.remaining -= read as u64;
        Poll::Ready(Some(Ok(Frame::data(this.buffer.split_to(read).freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}
