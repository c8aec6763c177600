//! TLS to a server: rustls with aws-lc-rs, and the certificates that the system trusts.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, Error, InvalidMessage};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use crate::{CertificateProblem, ServerUrlError, Unreachable};

/// What the connections to one server have in common.
#[derive(Clone)]
pub(crate) struct Tls {
    name: ServerName<'static>,
    /// Authorities besides those of the system.
    roots: Vec<CertificateDer<'static>>,
    /// Made by the first connection: the system's certificates are files. Clones share it, and
    /// so the tickets that shorten the handshakes of later connections.
    config: Arc<OnceCell<Arc<ClientConfig>>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).field("roots", &self.roots.len()).finish()
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.roots) == (&other.name, &other.roots)
    }
}

impl Eq for Tls {}

impl Tls {
    pub(crate) fn new(host: &str) -> Result<Self, ServerUrlError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ServerUrlError::Malformed)?;
        Ok(Self { name, roots: Vec::new(), config: Arc::default() })
    }

    /// Trusts the authorities of these certificates, too.
    pub(crate) fn trust(&mut self, pem: &[u8]) -> Result<(), ServerUrlError> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => self.roots.extend(certificates),
            _ => return Err(ServerUrlError::Certificate),
        }
        // A certificate that cannot be an authority is an error now, and not at each connection.
        let mut roots = rustls::RootCertStore::empty();
        for root in &self.roots {
            roots.add(root.clone()).map_err(|_| ServerUrlError::Certificate)?;
        }
        self.config = Arc::default();
        Ok(())
    }

    pub(crate) async fn secure(
        &self,
        stream: TcpStream,
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let config = self.config.get_or_try_init(|| async {
            let roots = self.roots.clone();
            tokio::task::spawn_blocking(move || config(roots)).await.map_err(io::Error::other)?
        });
        let connector = TlsConnector::from(Arc::clone(config.await?));
        connector.connect(self.name.clone(), stream).await
    }
}

fn config(roots: Vec<CertificateDer<'static>>) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(roots, Arc::clone(&provider)).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config
        .map_err(io::Error::other)?
        .dangerous()
        // "Dangerous" is what any verifier could be; this one is the system's.
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Why a handshake failed, for people.
pub(crate) fn failure(host: &str, server: &str, error: io::Error) -> Unreachable {
    let tls = error.get_ref().and_then(|source| source.downcast_ref::<Error>());
    match tls {
        Some(Error::InvalidCertificate(problem)) => {
            Unreachable::Certificate { host: host.to_owned(), problem: certificate(problem) }
        }
        // The server does not speak TLS: its first bytes are no record of TLS.
        Some(Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        )) => Unreachable::NotTls { server: server.to_owned() },
        Some(_) => Unreachable::Tls { server: server.to_owned(), source: Arc::new(error) },
        None => Unreachable::Io { server: server.to_owned(), source: Arc::new(error) },
    }
}

fn certificate(error: &CertificateError) -> CertificateProblem {
    match error {
        CertificateError::UnknownIssuer => CertificateProblem::UnknownIssuer,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateProblem::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CertificateProblem::NotYetValid
        }
        CertificateError::NotValidForName => CertificateProblem::OtherHost { names: Vec::new() },
        CertificateError::NotValidForNameContext { presented, .. } => {
            CertificateProblem::OtherHost { names: presented.iter().map(|name| plain(name)).collect() }
        }
        CertificateError::Revoked => CertificateProblem::Revoked,
        other => CertificateProblem::Other(other.to_string()),
    }
}

/// A name as people write it: rustls shows `DnsName("example.org")` and `IpAddress(127.0.0.1)`.
fn plain(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"').to_owned()
}
