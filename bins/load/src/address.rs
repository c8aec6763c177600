//! Where the server is, and connections to it: TCP, or TLS on it.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

/// The address of a server, with what its certificate is checked by.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) socket: SocketAddr,
    /// The path below which the chat is mounted; may be empty.
    pub(crate) path: &'static str,
    pub(crate) tls: Option<TlsConnector>,
}

/// A connection to the server.
pub(crate) type Stream = Box<dyn ReadWrite>;

pub(crate) trait ReadWrite: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> ReadWrite for T {}

impl Address {
    pub(crate) async fn open(&self) -> io::Result<Stream> {
        self.open_from(Ipv4Addr::LOCALHOST).await
    }

    /// Opens a connection from an address of this machine (127.x.x.x).
    pub(crate) async fn open_from(&self, from: Ipv4Addr) -> io::Result<Stream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = socket.connect(self.socket).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some(tls) => {
                let name = ServerName::IpAddress(self.socket.ip().into());
                Ok(Box::new(tls.connect(name, stream).await?))
            }
        }
    }
}

/// Writes a certificate for this machine and its key. Returns clients that trust it.
pub(crate) fn certify(certificate: &Path, key: &Path) -> Result<TlsConnector, Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
    std::fs::write(certificate, made.cert.pem())?;
    std::fs::write(key, made.signing_key.serialize_pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
