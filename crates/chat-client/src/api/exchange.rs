//! One request and its answer, on a connection of their own.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use super::{Api, ApiError};
use crate::ServerUrl;

/// An answer whose body may still arrive.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) connection: Connection,
}

/// The task that reads and writes the connection. Dropping this value closes the connection.
pub(super) struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Api {
    /// A request of the user.
    pub(super) fn request<B>(&self, method: &str, path: &str, body: B) -> Result<Request<B>, ApiError> {
        let mut request = request(&self.server, method, path, body)?;
        let bearer = HeaderValue::try_from(format!("Bearer {}", self.token));
        request.headers_mut().insert(AUTHORIZATION, bearer.map_err(invalid)?);
        Ok(request)
    }

    /// Sends a request with a JSON body, or without one, and reads the answer.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Result<T, ApiError> {
        let has_body = body.is_some();
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let mut request = self.request(method, path, Full::new(Bytes::from(body)))?;
        if has_body {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let answer = within(ANSWER_TIMEOUT, send(&self.server, request)).await?;
        within(ANSWER_TIMEOUT, answer.json()).await
    }
}

/// A request of anybody.
pub(super) fn request<B>(
    server: &ServerUrl,
    method: &str,
    path: &str,
    body: B,
) -> Result<Request<B>, ApiError> {
    let request = Request::builder().method(method).uri(server.path(path));
    request.header(HOST, &server.authority).body(body).map_err(invalid)
}

/// Sends a request; resolves with the head of the answer, which may come before the body of
/// the request is sent.
pub(super) async fn send<B>(server: &ServerUrl, request: Request<B>) -> Result<Answer, ApiError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TokioIo::new(server.open().await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(lost)?;
    // An error of the connection is that of the request, too.
    let connection = Connection(tokio::spawn(async move { drop(connection.await) }));
    let response = sender.send_request(request).await.map_err(lost)?;
    Ok(Answer { response, connection })
}

impl Answer {
    /// The body, if the request was successful.
    pub(super) async fn json<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        let bytes = self.successful().await?.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|_| ApiError::BadAnswer)
    }

    /// The answer, if the request was successful.
    pub(super) async fn successful(self) -> Result<Self, ApiError> {
        let status = self.response.status();
        if status.is_success() {
            return Ok(self);
        }
        let status = status.as_u16();
        if (status == 429 || status >= 500) && status != NO_SPACE {
            let retry_after = self.response.headers().get(RETRY_AFTER);
            let retry_after_seconds = retry_after.and_then(|after| after.to_str().ok()?.parse().ok());
            return Err(ApiError::Unavailable { status, retry_after_seconds });
        }
        #[derive(Deserialize)]
        struct Refusal {
            error: String,
        }
        // A proxy may answer in a form of its own.
        let bytes = self.bytes().await.unwrap_or_default();
        let refusal: Option<Refusal> = serde_json::from_slice(&bytes).ok();
        let message = refusal.map_or_else(|| format!("status {status}"), |refusal| refusal.error);
        Err(ApiError::Refused { status, message })
    }

    async fn bytes(self) -> Result<Bytes, ApiError> {
        let body = Limited::new(self.response.into_body(), ANSWER_MAX_BYTES);
        Ok(body.collect().await.map_err(io::Error::other)?.to_bytes())
    }
}

/// Waits for a part of an exchange.
///
/// # Errors
///
/// [`ApiError::Io`] of the kind `TimedOut` after this time.
pub(super) async fn within<T>(
    timeout: Duration,
    part: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    tokio::time::timeout(timeout, part).await.map_err(|late| ApiError::Io(late.into()))?
}

/// The connection broke off, or the other end speaks no HTTP. A failed source of an upload is
/// passed through.
pub(super) fn lost(error: hyper::Error) -> ApiError {
    use std::error::Error as _;
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match source.map(io::Error::kind) {
        Some(kind) => ApiError::Io(io::Error::new(kind, error)),
        None => ApiError::Io(io::Error::other(error)),
    }
}

/// A path, host or token that cannot be in a request.
fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ApiError {
    ApiError::Io(io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// Insufficient storage: a quota, which does not pass by itself.
const NO_SPACE: u16 = 507;
/// The deadline of a small answer. A password takes the server a quarter of a second, and
/// pictures wait for each other.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest JSON answer: 50 found messages with their files.
const ANSWER_MAX_BYTES: usize = 4 * 1024 * 1024;
