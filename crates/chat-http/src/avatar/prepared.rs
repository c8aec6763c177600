//! A picture on disk whose account does not have it yet.

use std::path::{Path, PathBuf};

use chat_core::Username;

use super::address::address;
use super::blocking::blocking;
use super::error::AvatarError;
use super::part_file::{PartFile, PartPurpose};
use super::picture::Picture;

/// A picture on disk whose account does not exist or does not have it yet. Dropping this
/// value removes the file.
pub(crate) struct PreparedAvatar {
    file: PartFile,
    /// The path of the avatar's address, below the server's root.
    pub(crate) address: String,
    target: PathBuf,
}

impl PreparedAvatar {
    /// Writes the picture for an account that is about to have it. What is written
    /// survives a power cut.
    ///
    /// # Errors
    ///
    /// [`AvatarError::Io`].
    pub(super) async fn write(folder: &Path, picture: Picture, user: Username) -> Result<Self, AvatarError> {
        let folder = folder.to_owned();
        let prepared = blocking(move || {
            let name = picture.file_name();
            let (mut written, file) = PartFile::create(&folder, &PartPurpose::Prepared { user })?;
            std::io::Write::write_all(&mut written, picture.webp())?;
            written.sync_all()?;
            std::fs::File::open(&folder)?.sync_all()?;
            Ok(Self { file, address: address(&name), target: folder.join(name) })
        });
        Ok(prepared.await?)
    }

    /// Serves the picture from now on: an account that names it exists. If the file
    /// cannot be renamed, the next start of the server does it.
    pub(crate) async fn publish(self) {
        let path = self.file.keep();
        // If another account has the same picture, its file is replaced by an equal one.
        if let Err(error) = tokio::fs::rename(&path, &self.target).await {
            tracing::error!(file = %path.display(), %error, "an avatar is not served before the next start");
        }
    }

    /// Keeps the file for the next start of the server: it is unknown whether the
    /// account exists.
    pub(crate) fn leave(self) {
        self.file.keep();
    }
}
