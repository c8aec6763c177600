//! Why a server was not reached.

use std::io;
use std::sync::Arc;

/// Why a server was not reached. It displays a sentence for people, who may have mistyped the
/// address; what the system or TLS said is its source.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Unreachable {
    /// The name of the host was not resolved.
    #[error("the name {host} was not found: check the address and the network")]
    UnknownHost {
        /// The name.
        host: String,
        /// What the resolver said.
        source: Arc<io::Error>,
    },
    /// The host refused the connection.
    #[error("{server} refuses connections: check the port, and whether the server runs")]
    ConnectionRefused {
        /// Host and port.
        server: String,
    },
    /// The host did not answer within 10 seconds.
    #[error("{server} does not answer: check the address, the network, and firewalls")]
    TimedOut {
        /// Host and port.
        server: String,
    },
    /// The connection was not made, or was lost.
    #[error("the connection to {server} failed")]
    Io {
        /// Host and port.
        server: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The certificate of the server was not accepted. It is not accepted by further attempts
    /// either, until somebody acts.
    #[error("the certificate of {host} is not accepted: {problem}")]
    Certificate {
        /// The host of the address.
        host: String,
        /// Why.
        problem: CertificateProblem,
    },
    /// The address begins with `https://`, and the server does not speak TLS.
    #[error("{server} does not speak TLS: check the port, or give an address with http://")]
    NotTls {
        /// Host and port.
        server: String,
    },
    /// Another failure of the handshake.
    #[error("{server} and this program found no way to speak TLS")]
    Tls {
        /// Host and port.
        server: String,
        /// What TLS said.
        source: Arc<io::Error>,
    },
    /// What answers is no HTTP server.
    #[error("{server} does not speak HTTP: check the port")]
    NotHttp {
        /// Host and port.
        server: String,
    },
}

/// Why a certificate was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// No authority that is trusted has issued it.
    #[error(
        "no authority that is trusted here has issued it (for an authority of your own, give its certificate)"
    )]
    UnknownIssuer,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not begun.
    #[error("it is not valid yet: check the clock of this machine")]
    NotYetValid,
    /// It is for other hosts.
    #[error("it is for another host ({})", if names.is_empty() { "without a name".to_owned() } else { names.join(", ") })]
    OtherHost {
        /// The hosts that it is for.
        names: Vec<String>,
    },
    /// Its authority has revoked it.
    #[error("its authority has revoked it")]
    Revoked,
    /// Anything else, in the words of TLS.
    #[error("{0}")]
    Other(String),
}
