//! Signing in: one request over a connection of its own.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{ServerUrl, Unreachable};

/// Why a sign-in failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// The server refused; the same request would be refused again.
    #[error("not signed in ({status}): {message}")]
    Refused {
        /// The HTTP status: 401 for a wrong name or password.
        status: u16,
        /// The server's sentence.
        message: String,
    },
    /// The server is busy or fails (429 or 5xx): try again later.
    #[error("the server cannot answer sign-ins at this moment ({status})")]
    Unavailable {
        /// The HTTP status.
        status: u16,
    },
    /// The server was not reached.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The connection broke off, or the server did not answer within 20 seconds.
    #[error("the server did not answer the sign-in")]
    Io(#[from] std::io::Error),
}

/// Signs in (`POST /api/login`) and returns the token, which is valid for a day.
///
/// # Errors
///
/// See [`SignInError`].
pub async fn sign_in(server: &ServerUrl, username: &str, password: &str) -> Result<String, SignInError> {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, ask(server, username, password));
    let answer = answer.await.map_err(std::io::Error::from)??;
    if !answer.is_empty() && !answer.starts_with(b"HTTP/1.") {
        return Err(Unreachable::NotHttp { server: server.authority.clone() }.into());
    }
    let cut_off = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(cut_off)?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut_off)?;
    let token = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let value = value.trim().strip_prefix("auth=").filter(|_| name.eq_ignore_ascii_case("set-cookie"))?;
        value.split(';').next().filter(|token| !token.is_empty())
    });
    match (status, token) {
        (200, Some(token)) => Ok(token.to_owned()),
        (429 | 500.., _) => Err(SignInError::Unavailable { status }),
        _ => {
            #[derive(Deserialize)]
            struct Refusal {
                error: String,
            }
            let refusal = serde_json::from_slice(&answer[end + 4..]);
            let message =
                refusal.map_or_else(|_| "the answer has no token".to_owned(), |Refusal { error }| error);
            Err(SignInError::Refused { status, message })
        }
    }
}

async fn ask(server: &ServerUrl, username: &str, password: &str) -> Result<Vec<u8>, SignInError> {
    let body = json!({ "username": username, "password": password }).to_string();
    let (path, host, length) = (server.path("/api/login"), &server.authority, body.len());
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    let mut stream = server.open().await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    match stream.take(ANSWER_MAX_BYTES).read_to_end(&mut answer).await {
        // A proxy may end TLS without a word; the answer has its length.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof && !answer.is_empty() => {}
        read => drop(read?),
    }
    Ok(answer)
}

/// The deadline of a sign-in. A password takes the server a quarter of a second,
/// and sign-ins wait for each other.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
const ANSWER_MAX_BYTES: u64 = 64 * 1024;
