//! TLS: of clients on the listener, and of requests that this server sends.

use std::io;
use std::sync::{Arc, OnceLock};

use chat_shard::TlsConnection;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::outgoing::OutgoingError;

/// The certificates and the cryptography of a listener.
pub use rustls::ServerConfig as TlsConfig;

/// The connection of a client, whose handshake is over.
pub(crate) type TlsStream = server::TlsStream<TcpStream>;

/// Makes the handshake with a client.
pub(crate) async fn accept(stream: TcpStream, config: Arc<TlsConfig>) -> io::Result<TlsStream> {
    TlsAcceptor::from(config).accept(stream).await
}

/// The connection below, and TLS on it.
pub(crate) fn into_parts(stream: TlsStream) -> (TcpStream, Box<TlsConnection>) {
    let (stream, connection) = stream.into_inner();
    (stream, Box::new(connection))
}

/// Makes connections to servers whose certificates the system trusts.
#[derive(Default)]
pub(crate) struct TlsClient {
    /// Reading the system's certificates takes a while.
    config: OnceLock<Result<Arc<ClientConfig>, rustls::Error>>,
}

impl TlsClient {
    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<client::TlsStream<TcpStream>, OutgoingError> {
        let config = self.config.get_or_init(config).clone();
        let config = config.map_err(|error| OutgoingError::Trust(Box::new(error)))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| OutgoingError::Address)?;
        TlsConnector::from(config).connect(name, stream).await.map_err(OutgoingError::Connect)
    }
}

fn config() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_platform_verifier()?.with_no_client_auth()))
}
