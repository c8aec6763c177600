//! Why bytes of a file cannot be kept or read.

use std::error::Error;
use std::io;

/// Why bytes of a file cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// More bytes came than were announced, or are allowed.
    #[error("the file is too large (max {max_bytes} bytes)")]
    TooLarge {
        /// The most bytes that are accepted.
        max_bytes: u64,
    },
    /// The disk has no space left.
    #[error("the disk is full")]
    DiskFull(#[source] io::Error),
    /// The file system failed.
    #[error("the folder of the files cannot be used")]
    Io(#[source] io::Error),
    /// The storage failed, or did not answer: what was asked for may be done or not.
    #[error("the storage of the files cannot be used")]
    Storage(#[source] Box<dyn Error + Send + Sync>),
}

impl From<io::Error> for FilesError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(error),
            _ => Self::Io(error),
        }
    }
}

impl From<object_store::Error> for FilesError {
    fn from(error: object_store::Error) -> Self {
        Self::Storage(Box::new(error))
    }
}
