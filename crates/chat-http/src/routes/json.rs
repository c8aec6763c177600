//! JSON bodies of requests.

use bytes::Bytes;
use hyper::Request;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::body::RequestBody;
use crate::error::HttpError;

/// Parses a JSON object.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    // serde would also accept an array of the fields.
    let is_object = json.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(json).ok()).flatten()
}

/// Reads a JSON body.
pub(super) async fn read(app: &App, request: Request<Incoming>) -> Result<Bytes, HttpError> {
    let mut body = RequestBody::new(request.into_body(), &app.options);
    match body.read_whole(app.options.json_max_bytes).await {
        Ok(json) => Ok(json),
        Err(error) => {
            body.discard().await;
            Err(error.into())
        }
    }
}
