//! A certificate with its key.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;

/// A certificate with its key, and what is known of it.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// The host names for which it is.
    pub(super) names: Vec<String>,
    /// From when and until when it is valid, in seconds since 1970.
    pub(super) not_before_s: i64,
    pub(super) not_after_s: i64,
}

/// Why a certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    #[error("the certificate is not in PEM")]
    Pem(#[source] pem::Error),
    #[error("the key is not in PEM, or is encrypted")]
    KeyPem(#[source] pem::Error),
    #[error("there is no certificate in PEM")]
    Missing,
    #[error("the certificate cannot be used with the key")]
    Unfit(#[source] rustls::Error),
    #[error("the certificate cannot be parsed")]
    Malformed(#[source] x509_parser::nom::Err<x509_parser::error::X509Error>),
}

impl Certificate {
    /// Parses a chain of certificates, the server's own first, and its key: RSA, ECDSA or
    /// Ed25519 in PKCS #8, PKCS #1 or SEC 1. Both texts are PEM.
    ///
    /// # Errors
    /// [`CertificateError`], also if they do not belong together.
    pub(super) fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(CertificateError::Pem)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(CertificateError::KeyPem)?;
        let own = chain.first().ok_or(CertificateError::Missing)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(own).map_err(CertificateError::Malformed)?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        let (names, validity) = (names.collect(), parsed.validity());
        let (not_before_s, not_after_s) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let key = Arc::new(key.map_err(CertificateError::Unfit)?);
        Ok(Self { key, names, not_before_s, not_after_s })
    }

    /// Logs that the certificate is in use from now on.
    pub(super) fn log(&self) {
        let names = self.names.join(", ");
        let until = Timestamp::from_second(self.not_after_s).unwrap_or(Timestamp::MAX);
        let left_s = self.not_after_s - Timestamp::now().as_second();
        if left_s < 0 {
            tracing::error!(%names, %until, "the certificate has expired");
        } else {
            tracing::info!(%names, %until, "new connections get this certificate");
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};

    use super::*;

    #[test]
    fn keys_of_the_usual_kinds_can_be_used_and_others_cannot() {
        let key = |kind| KeyPair::generate_for(kind).unwrap();
        let (rsa, ecdsa, ed25519) = (key(&PKCS_RSA_SHA256), key(&PKCS_ECDSA_P256_SHA256), key(&PKCS_ED25519));
        let pem = |key: &KeyPair| {
            let names = vec!["chat.example.org".to_owned(), "chat.example.net".to_owned()];
            CertificateParams::new(names).unwrap().self_signed(key).unwrap().pem()
        };
        for key in [&rsa, &ecdsa, &ed25519] {
            let loaded = Certificate::from_pem(pem(key).as_bytes(), key.serialize_pem().as_bytes()).unwrap();
            assert_eq!(loaded.names, ["chat.example.org", "chat.example.net"]);
            assert!(loaded.not_before_s < loaded.not_after_s);
        }
        let load = |chain: &str, key: &str| {
            Certificate::from_pem(chain.as_bytes(), key.as_bytes()).map(|_| ()).unwrap_err().to_string()
        };
        let (good, good_key) = (pem(&rsa), rsa.serialize_pem());
        assert_eq!(
            load(&good, &ecdsa.serialize_pem()),
            CertificateError::Unfit(rustls::Error::DecryptError).to_string()
        );
        assert_eq!(load("", &good_key), CertificateError::Missing.to_string());
        assert_eq!(load(&good, &good), CertificateError::KeyPem(pem::Error::NoItemsFound).to_string());
        assert_eq!(
            load(&good[..good.len() / 2], &good_key),
            CertificateError::Pem(pem::Error::NoItemsFound).to_string()
        );
    }
}
