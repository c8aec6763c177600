//! An avatar while it is received.

use std::io::{Read as _, Seek as _};

use chat_pictures::{ImageFormat, PictureError, PictureLimits, PictureTurn, format_of_bytes};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OwnedSemaphorePermit;

use super::error::AvatarError;
use super::part_file::PartFile;
use super::picture::Picture;

/// An avatar of which some chunks have arrived. Dropping this value removes its file.
pub(crate) struct IncomingAvatar {
    file: File,
    guard: PartFile,
    /// The first bytes, from which the format is recognised.
    head: Vec<u8>,
    received: u64,
    max_bytes: u64,
    format: Option<ImageFormat>,
    permit: OwnedSemaphorePermit,
}

impl IncomingAvatar {
    pub(super) fn new(
        file: std::fs::File,
        guard: PartFile,
        max_bytes: u64,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let file = File::from_std(file);
        Self { file, guard, head: Vec::new(), received: 0, max_bytes, format: None, permit }
    }

    /// Appends a chunk to the file.
    ///
    /// # Errors
    ///
    /// [`AvatarError::TooLarge`], [`AvatarError::NotAPicture`], [`AvatarError::Io`].
    pub(crate) async fn write(&mut self, chunk: &[u8]) -> Result<(), AvatarError> {
        self.received += chunk.len() as u64;
        if self.received > self.max_bytes {
            return Err(AvatarError::TooLarge { max_mib: self.max_bytes >> 20 });
        }
        if self.format.is_none() {
            let missing = HEAD_BYTES - self.head.len();
            self.head.extend_from_slice(&chunk[..chunk.len().min(missing)]);
            if self.head.len() == HEAD_BYTES {
                self.recognise()?;
            }
        }
        Ok(self.file.write_all(chunk).await?)
    }

    /// Ends the file: all chunks have been written.
    ///
    /// # Errors
    ///
    /// [`AvatarError::NotAPicture`] and [`AvatarError::Io`].
    pub(crate) async fn finish(mut self) -> Result<ReceivedAvatar, AvatarError> {
        let format = match self.format {
            Some(format) => format,
            None => self.recognise()?,
        };
        self.file.flush().await?;
        let file = self.file.into_std().await;
        Ok(ReceivedAvatar { file, format, _guard: self.guard, _permit: self.permit })
    }

    fn recognise(&mut self) -> Result<ImageFormat, AvatarError> {
        self.format = format_of_bytes(&self.head);
        self.format.ok_or(AvatarError::NotAPicture)
    }
}

/// A complete file that begins like a picture. Dropping this value removes the file.
pub(crate) struct ReceivedAvatar {
    file: std::fs::File,
    format: ImageFormat,
    _guard: PartFile,
    _permit: OwnedSemaphorePermit,
}

impl ReceivedAvatar {
    /// The picture of an upload, whose file is removed.
    ///
    /// # Errors
    ///
    /// [`AvatarError::Picture`] and [`AvatarError::Io`].
    pub(crate) async fn picture(self, turn: PictureTurn) -> Result<Picture, AvatarError> {
        match turn.run(move |limits| self.read(limits)).await? {
            Some(made) => made,
            // A decoder panics on a file that it does not expect.
            None => Err(PictureError::Damaged(None).into()),
        }
    }

    fn read(&self, limits: PictureLimits) -> Result<Picture, AvatarError> {
        // Its size was limited when it was written.
        let mut file = Vec::with_capacity(self.file.metadata()?.len().try_into().unwrap_or(0));
        (&self.file).rewind()?;
        (&self.file).read_to_end(&mut file)?;
        Ok(Picture::read(&file, self.format, limits)?)
    }
}

/// More bytes than any accepted format needs to be recognised.
const HEAD_BYTES: usize = 64;
