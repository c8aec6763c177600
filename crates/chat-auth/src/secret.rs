//! The secret that signs tokens.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rand::TryRng as _;
use zeroize::Zeroizing;

/// The fewest bytes that a secret may have: as many as the hash of HS256 has (RFC 7518
/// §3.2).
pub const SECRET_MIN_BYTES: usize = 32;

/// The secret that signs tokens. A program that knows it can sign in any user. It is
/// overwritten with zeros when dropped, and `Debug` does not show it.
pub struct SigningSecret(Zeroizing<Vec<u8>>);

impl SigningSecret {
    /// A secret from the configuration, used as it is.
    ///
    /// # Errors
    ///
    /// [`SecretError::TooShort`].
    pub fn new(secret: impl Into<Vec<u8>>) -> Result<Self, SecretError> {
        let secret = Zeroizing::new(secret.into());
        if secret.len() < SECRET_MIN_BYTES {
            return Err(SecretError::TooShort { bytes: secret.len() });
        }
        Ok(Self(secret))
    }

    /// The secret in this file. If the file does not exist, it is created with a random
    /// secret. Two processes that start at once get the same secret.
    ///
    /// The file is one line of text (surrounding white space is ignored), so that it can
    /// be given to another issuer or copied into a configuration. Its folder must exist.
    ///
    /// # Errors
    ///
    /// [`SecretError`], except `TooShort`.
    pub fn load_or_create(path: &Path) -> Result<Self, SecretError> {
        match Self::load(path) {
            Err(SecretError::File { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                create(path).map_err(|cause| SecretError::File { path: path.into(), cause })?;
                Self::load(path)
            }
            done => done,
        }
    }

    /// The secret in this file; `None` if the file does not exist.
    ///
    /// # Errors
    ///
    /// [`SecretError`], except `TooShort`.
    pub fn load_existing(path: &Path) -> Result<Option<Self>, SecretError> {
        match Self::load(path) {
            Err(SecretError::File { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            done => done.map(Some),
        }
    }

    /// A random secret, as it would be made for a file.
    ///
    /// # Errors
    ///
    /// The operating system has no random numbers.
    pub fn random() -> io::Result<Self> {
        random_text().map(|text| Self(Zeroizing::new(text.as_bytes().to_vec())))
    }

    fn load(path: &Path) -> Result<Self, SecretError> {
        let failed = |cause| SecretError::File { path: path.into(), cause };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if mode & READABLE_BY_ALL != 0 {
            return Err(SecretError::ReadableByAll { path: path.into() });
        }
        let mut text = Zeroizing::new(Vec::with_capacity(FILE_MAX_BYTES as usize));
        file.take(FILE_MAX_BYTES).read_to_end(&mut text).map_err(failed)?;
        let secret = text.trim_ascii();
        if secret.len() < SECRET_MIN_BYTES {
            return Err(SecretError::FileTooShort { path: path.into(), bytes: secret.len() });
        }
        Ok(Self(Zeroizing::new(secret.to_vec())))
    }

    /// The secret itself, to be stored where only servers read it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// Why a secret cannot be used. The sentences are for the operator of the server.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The configured secret is so short that it could be guessed.
    #[error(
        "the signing secret has {bytes} bytes, but needs at least {SECRET_MIN_BYTES}: choose a longer one"
    )]
    TooShort {
        /// How many bytes it has.
        bytes: usize,
    },
    /// The secret in the file is too short; the file may have been truncated.
    #[error(
        "the signing secret in {path} has {bytes} bytes, but needs at least {SECRET_MIN_BYTES}: \
         write a longer one into the file, or remove the file, so that a new secret is made \
         (tokens that were issued before become invalid)"
    )]
    FileTooShort {
        /// The file.
        path: PathBuf,
        /// How many bytes it has.
        bytes: usize,
    },
    /// Every user of the machine can read the file.
    #[error("the signing secret in {path} can be read by every user of this machine: run chmod 600 on it")]
    ReadableByAll {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or created.
    #[error("the signing secret in {path} cannot be read or created")]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        cause: io::Error,
    },
}

/// The permissions of users who are neither the owner nor in the group. (A mounted
/// secret is often readable by a group.)
const READABLE_BY_ALL: u32 = 0o007;

/// The most bytes that are read, so that a large file under a wrong path is not read whole.
const FILE_MAX_BYTES: u64 = 4096;

/// 256 random bits in hexadecimal digits.
fn random_text() -> io::Result<Zeroizing<String>> {
    let mut random = Zeroizing::new([0; 32]);
    rand::rngs::SysRng.try_fill_bytes(&mut *random).map_err(io::Error::other)?;
    let mut text = Zeroizing::new(String::with_capacity(2 * random.len() + 1));
    for byte in *random {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or_default());
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or_default());
    }
    Ok(text)
}

/// Creates the file with its whole content. A file that another process created
/// meanwhile is kept.
fn create(path: &Path) -> io::Result<()> {
    let mut line = random_text()?;
    line.push('\n');

    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let temporary = folder.join(format!(".secret-{:016x}.tmp", rand::random::<u64>()));
    let made = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()?;
        // A link and no rename: a rename would replace the secret of a server that
        // started at the same moment.
        match std::fs::hard_link(&temporary, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    })();
    let removed = std::fs::remove_file(&temporary);
    made.and(removed)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_secret_is_refused_with_a_sentence() {
        let error = SigningSecret::new("x".repeat(31)).unwrap_err().to_string();
        assert!(error.contains("31 bytes") && error.contains("at least 32"), "{error}");
        assert!(SigningSecret::new("x".repeat(32)).is_ok());
    }

    #[test]
    fn a_secret_is_made_once_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let made = SigningSecret::load_or_create(&path).unwrap();
        assert_eq!(made.as_bytes().len(), 64);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SigningSecret::load_or_create(&path).unwrap().as_bytes(), made.as_bytes());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");

        let other = SigningSecret::load_or_create(&folder.path().join("other")).unwrap();
        assert_ne!(other.as_bytes(), made.as_bytes());
        // What is in the file is what the configuration would say.
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(SigningSecret::new(text.trim()).unwrap().as_bytes(), made.as_bytes());
    }

    #[test]
    fn servers_that_start_at_once_agree() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("secret");
            let secrets: Vec<Vec<u8>> = std::thread::scope(|scope| {
                let starts: Vec<_> = (0..8)
                    .map(|_| {
                        scope.spawn(|| SigningSecret::load_or_create(&path).unwrap().as_bytes().to_vec())
                    })
                    .collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            assert!(secrets.windows(2).all(|two| two[0] == two[1]));
        }
    }

    #[test]
    fn a_bad_file_is_refused_with_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let write = |text: &str, mode| {
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            SigningSecret::load_or_create(&path).unwrap_err().to_string()
        };
        assert!(write("", 0o600).contains("has 0 bytes"));
        assert!(write(&format!("short{}", " ".repeat(40)), 0o600).contains("has 5 bytes"));
        for mode in [0o644, 0o604, 0o602] {
            assert!(write(&"x".repeat(64), mode).contains("chmod 600"), "{mode:o}");
        }
        let missing = SigningSecret::load_or_create(&folder.path().join("no/folder")).unwrap_err();
        assert!(matches!(missing, SecretError::File { .. }), "{missing}");
    }

    #[test]
    fn a_file_that_is_not_there_is_not_made_where_others_keep_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        assert!(SigningSecret::load_existing(&path).unwrap().is_none());
        assert!(!path.exists());
        let made = SigningSecret::load_or_create(&path).unwrap();
        let found = SigningSecret::load_existing(&path).unwrap().unwrap();
        assert_eq!(found.as_bytes(), made.as_bytes());
        let random = SigningSecret::random().unwrap();
        assert_eq!(random.as_bytes().len(), 64);
        assert_ne!(random.as_bytes(), SigningSecret::random().unwrap().as_bytes());
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = SigningSecret::new("0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(format!("{secret:?}"), "SigningSecret(…)");
    }
}
