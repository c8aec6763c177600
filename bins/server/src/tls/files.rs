//! A certificate in files, which are read again when they change.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::Signal;

use super::CurrentCertificate;
use super::certificate::Certificate;

/// The files of a certificate and its key.
#[derive(Debug, Clone)]
pub(crate) struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
    /// The contents of the files at the last reading, whether or not they could be used.
    read: Option<(Vec<u8>, Vec<u8>)>,
}

impl CertificateFiles {
    pub(crate) fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self { certificate, key, read: None }
    }

    /// Loads the certificate.
    ///
    /// # Errors
    /// A sentence with the files.
    pub(super) fn load(&mut self) -> Result<Certificate, Box<dyn Error>> {
        let (certificate, key) = (read(&self.certificate)?, read(&self.key)?);
        let (certificate, key) = self.read.insert((certificate, key));
        Certificate::from_pem(certificate, key).map_err(|error| {
            let files = format!("{} and {}", self.certificate.display(), self.key.display());
            format!("{files}: {}", crate::sentence(&error)).into()
        })
    }

    /// Loads the certificate if it is another one than was read last.
    fn load_if_changed(&mut self) -> Result<Option<Certificate>, Box<dyn Error>> {
        let read = (read(&self.certificate)?, read(&self.key)?);
        if self.read.as_ref() == Some(&read) { Ok(None) } else { self.load().map(Some) }
    }

    /// Looks every ten seconds, and at once at a SIGHUP, whether the files have changed. The
    /// old certificate stays in use while they cannot be used. Never resolves.
    ///
    /// The contents are compared: the times of files say little where links are exchanged.
    pub(super) async fn keep_loading(mut self, current: &CurrentCertificate, mut hangup: Signal) {
        let mut complaint = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(CHECK_EVERY) => {}
                _ = hangup.recv() => {}
            }
            // Two small files: no thread of its own.
            match self.load_if_changed() {
                Ok(None) => {}
                Ok(Some(certificate)) => {
                    complaint = None;
                    current.replace(certificate);
                }
                Err(error) => {
                    let error = error.to_string();
                    // Files that are renewed one after another do not fit together for a moment.
                    if complaint.as_ref() != Some(&error) {
                        tracing::error!(%error, "the new certificate cannot be used; the old one stays in use");
                        complaint = Some(error);
                    }
                }
            }
        }
    }
}

const CHECK_EVERY: Duration = Duration::from_secs(10);

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB"));
        }
        Ok(bytes)
    };
    read().map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// Chains have some 10 KiB.
const FILE_MAX_BYTES: u64 = 1024 * 1024;
