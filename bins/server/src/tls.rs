//! TLS in this process: where its certificate comes from, and how it is kept fresh.

mod acme;
mod certificate;
mod files;
mod unchecked;

use std::sync::{Arc, PoisonError, RwLock};

use chat_http::{AcmeChallenges, CertificateEnd};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(crate) use acme::{AcmeOptions, LETS_ENCRYPT};
pub(crate) use files::CertificateFiles;
pub(crate) use unchecked::connect_unchecked;

use self::acme::Acme;
use self::certificate::Certificate;

/// Where the certificate comes from.
#[derive(Debug, Clone)]
pub(crate) enum TlsSource {
    /// Files, which somebody else renews.
    Files(CertificateFiles),
    /// A certificate authority, which this process asks.
    Acme(AcmeOptions),
}

/// The certificate in use, and what keeps it fresh.
pub(crate) struct Tls {
    current: Arc<CurrentCertificate>,
    source: Source,
    hangup: Signal,
}

enum Source {
    Files(CertificateFiles),
    Acme(Box<Acme>),
}

impl Tls {
    /// Loads the certificate. Without one from the certificate authority, handshakes are
    /// refused until there is one: the start does not wait for it.
    ///
    /// # Errors
    /// A sentence, if the files have no certificate that can be used.
    pub(crate) fn load(
        source: &TlsSource,
        challenges: &AcmeChallenges,
        end: &CertificateEnd,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        // For the HTTP client of ACME, too. It may be chosen already.
        let _ = aws_lc_rs::default_provider().install_default();
        let current = Arc::new(CurrentCertificate { end: end.clone(), key: RwLock::default() });
        let source = match source {
            TlsSource::Files(files) => {
                let mut files = files.clone();
                current.replace(files.load()?);
                Source::Files(files)
            }
            TlsSource::Acme(options) => {
                let acme = Acme::open(options.clone(), challenges.clone())?;
                match acme.kept() {
                    Some(certificate) => current.replace(certificate),
                    None => tracing::warn!(
                        "there is no certificate yet: connections with TLS are refused until the \
                         certificate authority has issued one"
                    ),
                }
                Source::Acme(Box::new(acme))
            }
        };
        // Caught from here on: it would end the process.
        Ok(Self { current, source, hangup: signal(SignalKind::hangup())? })
    }

    /// The configuration of the listener.
    ///
    /// # Errors
    /// That of the cryptography.
    pub(crate) fn config(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as _);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Clients that come back need no signature; this server keeps nothing for them.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Arc::new(config))
    }

    /// Keeps the certificate fresh. Never resolves.
    pub(crate) async fn keep_fresh(self) {
        let Self { current, source, hangup } = self;
        match source {
            Source::Files(files) => files.keep_loading(&current, hangup).await,
            Source::Acme(acme) => acme.keep_ordering(&current, hangup).await,
        }
    }
}

/// The certificate that new connections get. Connections that exist are not affected by
/// another one.
#[derive(Debug, Default)]
struct CurrentCertificate {
    key: RwLock<Option<Arc<CertifiedKey>>>,
    /// What the metrics show.
    end: CertificateEnd,
}

impl CurrentCertificate {
    fn replace(&self, certificate: Certificate) {
        certificate.log();
        // Nothing panics while it is locked.
        self.end.set(u64::try_from(certificate.not_after_s).unwrap_or_default());
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = Some(certificate.key);
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
