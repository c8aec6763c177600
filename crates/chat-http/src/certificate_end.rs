//! When the certificate of the server ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The end of the validity of the certificate that new connections get, as whoever sets it says.
/// Clones are one value, so that a certificate that is replaced while the server runs is seen.
#[derive(Debug, Clone, Default)]
pub struct CertificateEnd {
    seconds: Arc<AtomicU64>,
}

impl CertificateEnd {
    /// Sets the end of the certificate that is in use from now on, in whole seconds since 1970.
    pub fn set(&self, seconds: u64) {
        self.seconds.store(seconds, Ordering::Relaxed);
    }

    /// The end in whole seconds since 1970; 0 without a certificate.
    pub(crate) fn seconds(&self) -> u64 {
        self.seconds.load(Ordering::Relaxed)
    }
}
