//! What stands for TLS in a server that is compiled without it, so that the rest is written once.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use chat_http::{AcmeChallenges, CertificateEnd, TlsConfig};

/// Where the certificate comes from: nowhere.
#[derive(Debug, Clone)]
pub(crate) enum TlsSource {}

/// The certificate in use.
pub(crate) enum Tls {}

impl Tls {
    pub(crate) fn load(
        source: &TlsSource,
        _: &AcmeChallenges,
        _: &CertificateEnd,
    ) -> Result<Self, Box<dyn Error>> {
        match *source {}
    }

    pub(crate) fn config(&self) -> io::Result<Arc<TlsConfig>> {
        match *self {}
    }

    pub(crate) async fn keep_fresh(self) {
        match self {}
    }
}

/// A connection to a server with TLS, which does not run here.
pub(crate) fn connect_unchecked(_: TcpStream, _: SocketAddr) -> io::Result<TcpStream> {
    Err(io::Error::other(WITHOUT_TLS))
}

pub(crate) const WITHOUT_TLS: &str = "needs TLS, without which this server was built (the feature `tls`)";
