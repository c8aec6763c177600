//! The text of an answer of another server.

use std::error::Error;

/// Reads the body of an answer.
///
/// # Errors
///
/// It is too large, breaks off, or is no UTF-8.
pub(crate) async fn read(mut response: reqwest::Response) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if text.len() + chunk.len() > MAX_BYTES {
            return Err("the answer is too large".into());
        }
        text.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8(text)?)
}

/// The most bytes of an answer.
const MAX_BYTES: usize = 256 * 1024;
