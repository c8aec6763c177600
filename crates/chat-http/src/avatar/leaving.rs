//! A picture that its account is about to give up.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chat_store::{SharedRepository, User, UserRepository};

use super::address::{address, file_name_in_folder};
use super::blocking::blocking;
use super::part_file::{PartFile, PartPurpose};
use super::removal::remove_avatar;

/// A picture that its account is about to give up. A note in the folder says so: if the
/// server crashes before it has removed the file, its next start does. Dropping this value
/// keeps the note.
pub(crate) struct LeavingAvatar {
    folder: PathBuf,
    note: PathBuf,
    /// The account, as it was before.
    user: User,
    shared: Option<Arc<dyn SharedRepository>>,
}

impl LeavingAvatar {
    /// Writes the note, which survives a power cut. `None` if the account has no picture in
    /// the folder.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(super) async fn note(
        folder: &Path,
        user: User,
        shared: Option<Arc<dyn SharedRepository>>,
    ) -> io::Result<Option<Self>> {
        let Some(name) = user.avatar.as_deref().and_then(file_name_in_folder).map(str::to_owned) else {
            return Ok(None);
        };
        let folder = folder.to_owned();
        let noted = blocking(move || {
            let (mut file, part) = PartFile::create(&folder, &PartPurpose::Leaving)?;
            file.write_all(name.as_bytes())?;
            file.sync_all()?;
            std::fs::File::open(&folder)?.sync_all()?;
            Ok(Self { folder, note: part.keep(), user, shared })
        });
        noted.await.map(Some)
    }

    /// Takes the note back: the account keeps its picture.
    pub(crate) async fn stays(self) {
        self.forget().await;
    }

    /// Removes the file, unless another account has the same picture. If that fails, the
    /// next start of the server tries it again.
    pub(crate) async fn remove(self, users: &dyn UserRepository) {
        match remove_avatar(&self.folder, &self.user, users, self.shared.as_deref()).await {
            Ok(()) => self.forget().await,
            Err(error) => {
                let user = self.user.name.as_str();
                tracing::warn!(user, %error, "a replaced avatar stays until the next start");
            }
        }
    }

    async fn forget(self) {
        if let Err(error) = tokio::fs::remove_file(&self.note).await {
            tracing::warn!(file = %self.note.display(), %error, "a note about an avatar cannot be removed");
        }
    }
}

/// Removes the picture that a note names unless an account has it, and then the note.
pub(super) async fn recover(folder: &Path, note: &Path, users: &dyn UserRepository) -> io::Result<()> {
    let address = address(&tokio::fs::read_to_string(note).await.unwrap_or_default());
    // A note that was not written to its end names no file.
    if let Some(name) = file_name_in_folder(&address) {
        match users.is_avatar_used(&address).await {
            Ok(true) => {}
            Ok(false) => match tokio::fs::remove_file(folder.join(name)).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
            Err(error) => {
                tracing::warn!(name, %error, "it is unknown until the next start whether an avatar is used");
                return Ok(());
            }
        }
    }
    tokio::fs::remove_file(note).await
}
