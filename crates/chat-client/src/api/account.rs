//! What concerns oneself, and the server.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use super::exchange::{ANSWER_TIMEOUT, request, send, within};
use super::{Api, ApiError};
use crate::ServerUrl;

/// The user who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Me {
    /// The name in the exact spelling of the account.
    pub username: String,
    /// The path of the picture below the server's address; empty if there is none.
    pub avatar: String,
    /// The role on the server, such as `member` or `administrator`.
    #[serde(default)]
    pub role: String,
    /// What the server has beyond the first servers of protocol v2.
    #[serde(default)]
    pub features: Vec<String>,
}

/// What a server says of itself to anybody.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ServerInfo {
    /// The name of the chat.
    pub title: String,
    /// The setting that says who can create an account: `open` (everybody) or `closed` (nobody
    /// over HTTP).
    pub registration: String,
    /// The fewest characters of a new password.
    #[serde(default)]
    pub password_min_chars: usize,
    /// What the server has beyond the first servers of protocol v2.
    #[serde(default)]
    pub features: Vec<String>,
    /// Whether the server has no administrator yet.
    #[serde(default)]
    pub setup: bool,
}

/// Asks a server for its title and rules (`GET /api/server`), without signing in.
///
/// # Errors
///
/// See [`ApiError`]: [`Refused`](ApiError::Refused) with 404 by an earlier server.
pub async fn server_info(server: &ServerUrl) -> Result<ServerInfo, ApiError> {
    let request = request(server, "GET", "/api/server", Full::new(Bytes::new()))?;
    let answer = within(ANSWER_TIMEOUT, send(server, request)).await?;
    within(ANSWER_TIMEOUT, answer.json()).await
}

impl Api {
    /// The user of the token.
    ///
    /// # Errors
    ///
    /// See [`ApiError`].
    pub async fn me(&self) -> Result<Me, ApiError> {
        self.json("GET", "/api/me", None).await
    }

    /// Changes the password, and ends all other sessions of the user. The session of this token
    /// stays. A [`Client`](crate::Client) that signs in with a password needs the new one
    /// ([`Client::sign_in`](crate::Client::sign_in)) when its session ends.
    ///
    /// # Errors
    ///
    /// See [`ApiError`]: [`Refused`](ApiError::Refused) with 403 if `current` is wrong, 400 if
    /// the server does not take `new` (too short, or the name), 409 for a user who has no
    /// password there; [`Unavailable`](ApiError::Unavailable) with 429 after too many wrong
    /// passwords.
    pub async fn change_password(&self, current: &str, new: &str) -> Result<(), ApiError> {
        let body = json!({ "current": current, "new": new });
        let _nothing: Value = self.json("POST", "/api/me/password", Some(body)).await?;
        Ok(())
    }

    /// Gives the user another picture (PNG, JPEG, GIF or WebP). Returns its path below the
    /// server's address.
    ///
    /// # Errors
    ///
    /// See [`ApiError`]: [`Refused`](ApiError::Refused) with 400 if the server does not take the
    /// picture.
    pub async fn set_avatar(&self, picture: &[u8]) -> Result<String, ApiError> {
        let boundary = format!("{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>());
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"avatar\"; filename=\"avatar\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let end = format!("\r\n--{boundary}--\r\n");
        let body = Bytes::from([head.as_bytes(), picture, end.as_bytes()].concat());
        let mut request = self.request("PUT", "/api/me/avatar", Full::new(body))?;
        let kind = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"));
        request.headers_mut().insert(CONTENT_TYPE, kind.expect("hexadecimal digits are ASCII"));
        let changed: Changed =
            within(UPLOAD_TIMEOUT, async { send(&self.server, request).await?.json().await }).await?;
        Ok(changed.avatar)
    }

    /// Removes the picture of the user.
    ///
    /// # Errors
    ///
    /// See [`ApiError`].
    pub async fn remove_avatar(&self) -> Result<(), ApiError> {
        let _changed: Value = self.json("DELETE", "/api/me/avatar", None).await?;
        Ok(())
    }
}

#[derive(Deserialize)]
struct Changed {
    avatar: String,
}

/// The deadline of a picture: some megabytes, and its turn to be decoded.
const UPLOAD_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(120);
