//! The calls over HTTP: files, search, and what concerns oneself.

mod account;
mod download;
mod exchange;
mod files;
mod search;
mod upload;

pub use self::account::{Me, ServerInfo, server_info};
pub use self::download::Download;
pub use self::files::NewFile;
pub use self::search::{Found, SearchPage, SearchQuery};
use crate::{ServerUrl, Unreachable};

/// The calls of a user over HTTP: each takes a connection of its own.
///
/// It has a token, and uses it until the server refuses it (401); a
/// [`Client`](crate::Client) gives one with its present token ([`Client::api`](crate::Client::api)).
///
/// ```no_run
/// # async fn example(client: chat_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use chat_client::{NewFile, NewMessage, SearchQuery, Topic};
///
/// let api = client.api().await.ok_or("not signed in")?;
/// let path = "report.pdf";
/// let size = tokio::fs::metadata(path).await?.len();
/// let file = NewFile::new(path).media_type("application/pdf").size(size);
/// let source = tokio::fs::File::open(path).await?;
/// let file = api.upload(file, source, move |sent| println!("{sent} of {size} bytes")).await?;
/// client.send_message(NewMessage::new(Topic::room("tech"), "").file(file)).await?;
///
/// let mut query = SearchQuery::new("quarterly report").topic(Topic::room("tech"));
/// loop {
///     let page = api.search(&query).await?;
///     for found in page.results {
///         println!("{} {}: {}", found.seq, found.from, found.text);
///     }
///     // A page may be short, also empty: only a missing `next` ends.
///     let Some(next) = page.next else { break };
///     query = query.before(next);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Api {
    server: ServerUrl,
    token: String,
}

impl std::fmt::Debug for Api {
    /// Shows no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Api {
    /// The calls of the user with this token, from [`sign_in`](crate::sign_in()) or of another
    /// issuer.
    pub fn new(server: ServerUrl, token: impl Into<String>) -> Self {
        Self { server, token: token.into() }
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The server refused: the same call would be refused again.
    #[error("refused ({status}): {message}")]
    Refused {
        /// The HTTP status: 401 if the token is not valid (any more), 404 if there is no such
        /// file for this user, 413 if a file is too large, 507 if the user's files are, or the
        /// server has no space.
        status: u16,
        /// The server's sentence.
        message: String,
    },
    /// The server is busy or fails (429 or 5xx, but 507): try again later.
    #[error("the server cannot answer at this moment ({status})")]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// After how many seconds to try again, if the server says so.
        retry_after_seconds: Option<u64>,
    },
    /// The answer is not that of a server of the chat, or of a later version.
    #[error("the answer of the server is not understood")]
    BadAnswer,
    /// The server was not reached.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// A connection broke off, nothing was transferred for a minute, or the source of an upload
    /// failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A text as a part of a path or of a query (RFC 3986 §2.1).
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_encoded_for_a_path_and_a_query() {
        assert_eq!(encoded("a-Z_0.~"), "a-Z_0.~");
        assert_eq!(encoded("a b/ж&=?#%+"), "a%20b%2F%D0%B6%26%3D%3F%23%25%2B");
    }

    #[test]
    fn a_token_is_not_shown() {
        let api = Api::new(ServerUrl::parse("http://localhost").unwrap(), "secret");
        assert!(!format!("{api:?}").contains("secret"));
    }
}
