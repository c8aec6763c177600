//! JSON bodies of requests.

use bytes::Bytes;
use hyper::Request;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::body::{RequestBody, SentBody};
use crate::error::HttpError;
use crate::signed_in::SignedIn;

/// Parses a JSON object.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    // serde would also accept an array of the fields.
    let is_object = json.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(json).ok()).flatten()
}

/// Reads the JSON body of a request of a user who is signed in. The user is checked once more
/// when the body is there: a body may arrive slowly, and a right that ends meanwhile does not
/// count.
pub(super) async fn read_signed_in(
    app: &App,
    request: Request<SentBody>,
) -> Result<(SignedIn, Bytes), HttpError> {
    let (head, body) = request.into_parts();
    SignedIn::check(app, &head).await?;
    let body = read_body(app, body).await?;
    Ok((SignedIn::check(app, &head).await?, body))
}

/// Reads a JSON body.
pub(super) async fn read(app: &App, request: Request<SentBody>) -> Result<Bytes, HttpError> {
    read_body(app, request.into_body()).await
}

/// Reads a JSON body whose head was looked at before.
pub(super) async fn read_body(app: &App, body: SentBody) -> Result<Bytes, HttpError> {
    let mut body = RequestBody::new(body, &app.options);
    match body.read_whole(app.options.json_max_bytes).await {
        Ok(json) => Ok(json),
        Err(error) => {
            body.discard().await;
            Err(error.into())
        }
    }
}
