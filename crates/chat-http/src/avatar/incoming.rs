//! A picture as it arrives.

use image::ImageFormat;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OwnedSemaphorePermit;

use super::{FileGuard, format_of_bytes};
use crate::error::HttpError;

/// A picture of which parts are here. Its file goes when this is dropped.
pub(crate) struct IncomingAvatar {
    file: File,
    guard: FileGuard,
    /// The first bytes, by which it is judged.
    head: Vec<u8>,
    received: u64,
    max_bytes: u64,
    format: Option<ImageFormat>,
    place: OwnedSemaphorePermit,
}

impl IncomingAvatar {
    pub(super) fn new(
        file: std::fs::File,
        guard: FileGuard,
        max_bytes: u64,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let file = File::from_std(file);
        Self { file, guard, head: Vec::new(), received: 0, max_bytes, format: None, place }
    }

    /// The next part.
    pub(crate) async fn write(&mut self, part: &[u8]) -> Result<(), HttpError> {
        self.received += part.len() as u64;
        if self.received > self.max_bytes {
            return Err(HttpError::AvatarTooLarge { max_mib: self.max_bytes >> 20 });
        }
        if self.format.is_none() {
            let missing = HEAD_BYTES - self.head.len();
            self.head.extend_from_slice(&part[..part.len().min(missing)]);
            if self.head.len() == HEAD_BYTES {
                self.judge()?;
            }
        }
        self.file.write_all(part).await.map_err(HttpError::File)
    }

    /// All parts are here.
    pub(crate) async fn finish(mut self) -> Result<ReceivedAvatar, HttpError> {
        let format = match self.format {
            Some(format) => format,
            None => self.judge()?,
        };
        self.file.flush().await.map_err(HttpError::File)?;
        let file = self.file.into_std().await;
        Ok(ReceivedAvatar { file, format, _guard: self.guard, _place: self.place })
    }

    fn judge(&mut self) -> Result<ImageFormat, HttpError> {
        self.format = format_of_bytes(&self.head);
        self.format.ok_or(HttpError::AvatarNotAPicture)
    }
}

/// A whole file that begins like a picture. It goes when this is dropped.
pub(crate) struct ReceivedAvatar {
    pub(super) file: std::fs::File,
    pub(super) format: ImageFormat,
    _guard: FileGuard,
    _place: OwnedSemaphorePermit,
}

/// More than any format needs to be recognised.
const HEAD_BYTES: usize = 64;
