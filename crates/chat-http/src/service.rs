//! The chat as a service that other programs mount.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::answer;
use crate::app::App;
use crate::body::{BoxError, SentBody};
use crate::error::HttpError;
use crate::routes::{self, Client, Door};

/// Answers requests that a host accepts: a [`tower_service::Service`] for any
/// [`http_body::Body`] of [`Bytes`], and a [`hyper::service::Service`]. Clones are cheap.
///
/// The host serves it with HTTP/1.1 and upgrades (axum does; with hyper, call
/// `with_upgrades()`). A WebSocket on a TCP socket is taken over as it is, so that it is as
/// fast as with a [`Server`](crate::Server). One on another transport, such as TLS of the
/// host, is copied from and to it.
///
/// The host adds a [`Peer`] to the extensions of each request. Limits on connections, and on
/// how slowly a request may arrive, are those of the host.
#[derive(Clone)]
pub struct ChatService {
    app: Arc<App>,
    requests: TaskTracker,
}

/// The address of the client that sent a request: an extension of the request, which the host
/// sets. It is the other end of the connection; behind a proxy,
/// [`trusted_proxies`](crate::HttpOptions::trusted_proxies) decides whether what it writes into
/// `X-Forwarded-For` counts. Without this extension, limits for each address do not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

impl ChatService {
    pub(crate) fn new(app: Arc<App>, requests: TaskTracker) -> Self {
        Self { app, requests }
    }

    /// Answers a request.
    pub fn answer<B>(&self, request: Request<B>) -> AnswerFuture
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (app, under_way) = (self.app.clone(), self.requests.token());
        let mut request = request.map(SentBody::new);
        name_host(&mut request);
        let peer = request.extensions().get().map(|Peer(address)| *address);
        Box::pin(async move {
            let at_once = app.ends.at_once.clone();
            let (answered, at_once) = tokio::select! {
                biased;
                () = at_once.cancelled() => (HttpError::Stopping.into_response(), None),
                answered = routes::answer(app, Client { peer, door: Door::Host }, request) => {
                    (answered, Some(at_once.clone()))
                }
            };
            Ok(answered.map(|body| ResponseBody { body, at_once, _under_way: under_way }))
        })
    }
}

/// What [`ChatService::answer`] returns.
pub type AnswerFuture = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Infallible>> + Send>>;

/// With HTTP/2 the host of a request is in its URI.
fn name_host(request: &mut Request<SentBody>) {
    let host = request.uri().authority().filter(|_| !request.headers().contains_key(HOST));
    if let Some(Ok(host)) = host.map(|authority| HeaderValue::from_str(authority.as_str())) {
        request.headers_mut().insert(HOST, host);
    }
}

impl<B> tower_service::Service<Request<B>> for ChatService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = AnswerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> AnswerFuture {
        self.answer(request)
    }
}

impl<B> hyper::service::Service<Request<B>> for ChatService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = AnswerFuture;

    fn call(&self, request: Request<B>) -> AnswerFuture {
        self.answer(request)
    }
}

/// The body of a response. It fails once the chat has stopped and its time for requests is
/// over.
pub struct ResponseBody {
    body: answer::Body,
    /// `None`: it says that the chat has stopped.
    at_once: Option<CancellationToken>,
    _under_way: TaskTrackerToken,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let is_over = self.at_once.as_ref().is_some_and(CancellationToken::is_cancelled);
        if is_over && !self.body.is_end_stream() {
            return Poll::Ready(Some(Err("the chat has stopped".into())));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
