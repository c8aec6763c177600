//! The address of a server.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::http::Uri;

/// The address of a server, as in a browser: `http://host:port`, optionally with a
/// path in front of the server's own paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// Host and port, as they are written.
    pub(crate) authority: String,
    host: String,
    port: u16,
    path: String,
}

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerUrlError {
    /// Not `http://host:port`.
    #[error("not the address of a server, such as http://localhost:8080")]
    Malformed,
    /// This crate speaks no TLS: connect to the server behind the proxy.
    #[error("TLS is not supported: give the address behind the proxy (http://…)")]
    Tls,
}

impl ServerUrl {
    /// Reads an address; `ws://` means the same as `http://`.
    ///
    /// # Errors
    ///
    /// See [`ServerUrlError`].
    pub fn parse(url: &str) -> Result<Self, ServerUrlError> {
        let uri: Uri = url.parse().map_err(|_| ServerUrlError::Malformed)?;
        match uri.scheme_str() {
            Some("http" | "ws") => {}
            Some("https" | "wss") => return Err(ServerUrlError::Tls),
            _ => return Err(ServerUrlError::Malformed),
        }
        let authority = uri.authority().ok_or(ServerUrlError::Malformed)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(ServerUrlError::Malformed);
        }
        Ok(Self {
            authority: authority.as_str().to_owned(),
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(80),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    pub(crate) fn path(&self, below: &str) -> String {
        format!("{}{below}", self.path)
    }

    pub(crate) async fn open(&self) -> std::io::Result<TcpStream> {
        let stream =
            tokio::time::timeout(OPEN_TIMEOUT, TcpStream::connect((self.host.as_str(), self.port))).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// The deadline for a host that does not answer.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let url = ServerUrl::parse("http://localhost:8080").unwrap();
        assert_eq!((&*url.host, url.port, url.path("/ws")), ("localhost", 8080, "/ws".to_owned()));
        let url = ServerUrl::parse("ws://[::1]/chat/").unwrap();
        assert_eq!((&*url.host, url.port, url.path("/ws")), ("::1", 80, "/chat/ws".to_owned()));
        assert_eq!(ServerUrl::parse("https://example.org"), Err(ServerUrlError::Tls));
        for bad in ["", "localhost:8080", "ftp://x", "http://", "http://me@x", "/x"] {
            assert_eq!(ServerUrl::parse(bad), Err(ServerUrlError::Malformed), "{bad}");
        }
    }
}
