//! The address of a server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::Unreachable;
use crate::stream::Stream;
#[cfg(feature = "tls")]
use crate::tls::{self, Tls};

/// The address of a server, as in a browser: `https://host` or `http://host:port`, optionally
/// with a path in front of the server's own paths.
///
/// With https, the certificate of the server has to be issued for this host by an authority that
/// the system trusts, or by [one of your own](Self::trusting). Clones of an address share what
/// makes further connections cheaper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// Host and port, as they are written.
    pub(crate) authority: String,
    host: String,
    port: u16,
    path: String,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerUrlError {
    /// Not `http://host:port` or `https://host:port`.
    #[error("not the address of a server, such as https://chat.example.org or http://localhost:8080")]
    Malformed,
    /// This crate was built without its feature `tls`.
    #[error("this program was built without TLS: give an address with http://")]
    NoTls,
    /// The given bytes are no certificates of authorities in PEM.
    #[error("not a certificate of an authority, in PEM")]
    Certificate,
}

impl ServerUrl {
    /// Reads an address; `ws://` means the same as `http://`, and `wss://` as `https://`.
    ///
    /// # Errors
    ///
    /// See [`ServerUrlError`].
    pub fn parse(url: &str) -> Result<Self, ServerUrlError> {
        let uri: Uri = url.parse().map_err(|_| ServerUrlError::Malformed)?;
        let is_secure = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(ServerUrlError::Malformed),
        };
        let authority = uri.authority().ok_or(ServerUrlError::Malformed)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(ServerUrlError::Malformed);
        }
        #[cfg(not(feature = "tls"))]
        if is_secure {
            return Err(ServerUrlError::NoTls);
        }
        Ok(Self {
            authority: authority.as_str().to_owned(),
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 }),
            path: uri.path().trim_end_matches('/').to_owned(),
            #[cfg(feature = "tls")]
            tls: if is_secure { Some(Tls::new(host)?) } else { None },
        })
    }

    /// Also trusts the certificate authorities in this text, which is PEM: for a server whose
    /// certificate is from an authority of your own. It means nothing for an address with http.
    ///
    /// # Errors
    ///
    /// [`ServerUrlError::Certificate`] if the text has no certificate, or one that cannot be an
    /// authority's.
    #[cfg(feature = "tls")]
    pub fn trusting(mut self, pem: &[u8]) -> Result<Self, ServerUrlError> {
        if let Some(tls) = &mut self.tls {
            tls.trust(pem)?;
        }
        Ok(self)
    }

    pub(crate) fn path(&self, below: &str) -> String {
        format!("{}{below}", self.path)
    }

    /// The address of a path below, for the request that opens a WebSocket.
    pub(crate) fn socket_url(&self, below: &str) -> String {
        // The scheme is that of TLS or none; `open` decides by itself.
        format!("ws://{}{}", self.authority, self.path(below))
    }

    /// Opens a connection, with TLS if the address says so.
    pub(crate) async fn open(&self) -> Result<Stream, Unreachable> {
        let opened = tokio::time::timeout(OPEN_TIMEOUT, self.open_at_last());
        opened.await.unwrap_or_else(|_| Err(Unreachable::TimedOut { server: self.authority.clone() }))
    }

    async fn open_at_last(&self) -> Result<Stream, Unreachable> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let addresses: Vec<_> = match found {
            Ok(found) => found.collect(),
            Err(error) => {
                return Err(Unreachable::UnknownHost { host: self.host.clone(), source: Arc::new(error) });
            }
        };
        let stream = TcpStream::connect(&*addresses).await.map_err(|error| self.broken(error))?;
        stream.set_nodelay(true).map_err(|error| self.broken(error))?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let secured = tls.secure(stream).await;
            let secured = secured.map_err(|error| tls::failure(&self.host, &self.authority, error))?;
            return Ok(Stream::Tls(Box::new(secured)));
        }
        Ok(Stream::Plain(stream))
    }

    /// What a failure of the system means.
    pub(crate) fn broken(&self, error: io::Error) -> Unreachable {
        let server = self.authority.clone();
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Unreachable::ConnectionRefused { server },
            io::ErrorKind::TimedOut => Unreachable::TimedOut { server },
            _ => Unreachable::Io { server, source: Arc::new(error) },
        }
    }
}

/// The deadline for a host that does not answer, with the handshake of TLS.
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
        for bad in ["", "localhost:8080", "ftp://x", "http://", "http://me@x", "/x"] {
            assert_eq!(ServerUrl::parse(bad), Err(ServerUrlError::Malformed), "{bad}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn addresses_with_tls_are_read() {
        for address in ["https://example.org/", "wss://example.org"] {
            let url = ServerUrl::parse(address).unwrap();
            assert_eq!((&*url.host, url.port, url.path("/ws")), ("example.org", 443, "/ws".to_owned()));
            assert!(url.tls.is_some());
        }
        assert!(ServerUrl::parse("https://[::1]:8443").is_ok());
        assert_eq!(ServerUrl::parse("https://ex_am%20ple"), Err(ServerUrlError::Malformed));
        let trusting = ServerUrl::parse("https://example.org").unwrap().trusting(b"no certificate");
        assert_eq!(trusting, Err(ServerUrlError::Certificate));
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn without_tls_an_address_with_https_is_an_error() {
        assert_eq!(ServerUrl::parse("https://example.org"), Err(ServerUrlError::NoTls));
    }
}
