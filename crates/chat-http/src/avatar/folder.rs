//! The folder of the avatars.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chat_core::Username;
use chat_store::{SharedRepository, User, UserRepository};
use tokio::fs::File;
use tokio::sync::Semaphore;

use super::address::address;
use super::blocking::blocking;
use super::error::AvatarError;
use super::format::format_of_name;
use super::incoming::IncomingAvatar;
use super::leaving::{self, LeavingAvatar};
use super::part_file::{PartFile, PartPurpose};
use super::picture::{self, Picture};
use super::prepared::PreparedAvatar;
use super::removal::remove_avatar;
use super::transfer::write_avatar;
use crate::{HttpOptions, percent};

/// The folder of the avatars, which belongs to one server.
///
/// Where a database has several servers, a picture is stored there before its account has it, and
/// each of the other servers brings it into its folder when it is first asked for
/// ([`sharing`](super::sharing)).
///
/// A served picture has a name made from its content, so that accounts with the same
/// picture share a file. The file gets that name only once an account names it, and
/// is removed once the last such account has another one ([`LeavingAvatar`]) or is removed
/// ([`remove_avatar`]). Before, it is a part file, whose name says
/// for which account it waits. After a crash in between, the next start asks the store
/// whether an account has the picture, and serves or removes it.
pub(crate) struct AvatarFolder {
    pub(super) path: PathBuf,
    max_bytes: u64,
    /// One permit for each avatar that is being received.
    uploads: Arc<Semaphore>,
    /// The pictures of all servers, if there may be several.
    pub(super) shared: Option<Arc<dyn SharedRepository>>,
    /// One permit for each picture that is being brought from there.
    fetches: Semaphore,
}

impl AvatarFolder {
    /// Makes the folder, and completes or removes the part files that a crash left.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) async fn open(
        options: &HttpOptions,
        users: &dyn UserRepository,
        shared: Option<Arc<dyn SharedRepository>>,
    ) -> io::Result<Self> {
        let path = options.uploads_dir.clone();
        tokio::fs::create_dir_all(&path).await?;
        let mut entries = tokio::fs::read_dir(&path).await?;
        while let Some(entry) = entries.next_entry().await? {
            if let Some(purpose) = PartPurpose::of_file_name(&entry.file_name().to_string_lossy()) {
                recover(&path, &entry.path(), purpose, users).await?;
            }
        }
        Ok(Self {
            path,
            max_bytes: options.avatar_max_bytes,
            uploads: Arc::new(Semaphore::new(options.avatar_uploads_max)),
            shared,
            fetches: Semaphore::new(FETCHES_AT_ONCE),
        })
    }

    /// Begins to receive an avatar.
    ///
    /// # Errors
    ///
    /// [`AvatarError::Busy`] if `avatar_uploads_max` avatars are being received, and
    /// [`AvatarError::Io`].
    pub(crate) async fn receive(&self) -> Result<IncomingAvatar, AvatarError> {
        let permit = self.uploads.clone().try_acquire_owned().map_err(|_| AvatarError::Busy)?;
        let folder = self.path.clone();
        let (file, guard) = blocking(move || PartFile::create(&folder, &PartPurpose::Upload)).await?;
        Ok(IncomingAvatar::new(file, guard, self.max_bytes, permit))
    }

    /// Writes the picture for an account that is about to have it.
    ///
    /// # Errors
    ///
    /// [`AvatarError::Io`] and [`AvatarError::Store`].
    pub(crate) async fn prepare(
        &self,
        picture: Picture,
        user: Username,
    ) -> Result<PreparedAvatar, AvatarError> {
        if let Some(shared) = &self.shared {
            shared.put_picture(&address(&picture.file_name()), picture.webp()).await?;
        }
        PreparedAvatar::write(&self.path, picture, user).await
    }

    /// Notes that an account is about to give up its picture. `None` if it has none in this
    /// folder.
    ///
    /// # Errors
    ///
    /// [`AvatarError::Io`].
    pub(crate) async fn note_leaving(&self, user: User) -> Result<Option<LeavingAvatar>, AvatarError> {
        Ok(LeavingAvatar::note(&self.path, user, self.shared.clone()).await?)
    }

    /// Removes the picture of this account, unless an account has it in the store.
    pub(crate) async fn remove_unused(&self, user: &User, users: &dyn UserRepository) {
        if let Err(error) = remove_avatar(&self.path, user, users, self.shared.as_deref()).await {
            tracing::warn!(user = user.name.as_str(), %error, "it is unknown whether a picture is still used: its file stays");
        }
    }

    /// Opens the avatar with this percent-encoded file name.
    ///
    /// # Errors
    ///
    /// [`AvatarError::NotFound`], [`AvatarError::Io`] and [`AvatarError::Store`].
    pub(crate) async fn find(&self, encoded_name: &str) -> Result<StoredAvatar, AvatarError> {
        let name = percent::decode(encoded_name, false).ok_or(AvatarError::NotFound)?;
        let format = format_of_name(&name).ok_or(AvatarError::NotFound)?;
        let (file, bytes) = match self.open_file(&name).await {
            Err(AvatarError::NotFound) if self.fetch(&name).await? => self.open_file(&name).await?,
            opened => opened?,
        };
        Ok(StoredAvatar { file, bytes, content_type: format.to_mime_type() })
    }

    /// Opens a file of the folder; returns its size, too.
    async fn open_file(&self, name: &str) -> Result<(File, u64), AvatarError> {
        let opened = match File::open(self.path.join(name)).await {
            Ok(file) => file.metadata().await.map(|metadata| (file, metadata)),
            Err(error) => Err(error),
        };
        match opened {
            Ok((file, metadata)) if metadata.is_file() => Ok((file, metadata.len())),
            Ok(_) => Err(AvatarError::NotFound),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(AvatarError::NotFound),
            Err(error) => Err(error.into()),
        }
    }

    /// Brings a picture that another server has stored into the folder; `false` if no account has
    /// it.
    async fn fetch(&self, name: &str) -> Result<bool, AvatarError> {
        let Some(shared) = &self.shared else { return Ok(false) };
        // The semaphore is never closed. Whoever asks for pictures that do not exist waits here.
        let _permit = self.fetches.acquire().await;
        let Some(bytes) = shared.picture(&address(name)).await? else { return Ok(false) };
        write_avatar(&self.path, name, bytes).await?;
        Ok(true)
    }
}

/// Pictures that are brought from the store at the same time: it has other work, too.
const FETCHES_AT_ONCE: usize = 4;

/// An avatar that is served.
pub(crate) struct StoredAvatar {
    /// The open file.
    pub(crate) file: File,
    /// Its size in bytes.
    pub(crate) bytes: u64,
    /// Its media type.
    pub(crate) content_type: &'static str,
}

/// Serves the picture in a part file if an account has it, and removes it if not. An
/// upload is removed, and so is a picture that its account has given up.
async fn recover(
    folder: &Path,
    path: &Path,
    purpose: PartPurpose,
    users: &dyn UserRepository,
) -> io::Result<()> {
    let user = match purpose {
        PartPurpose::Prepared { user } => user,
        PartPurpose::Leaving => return leaving::recover(folder, path, users).await,
        PartPurpose::Upload => return tokio::fs::remove_file(path).await,
    };
    let name = picture::file_name(&tokio::fs::read(path).await?);
    match users.is_avatar_used(&address(&name)).await {
        Ok(true) => tokio::fs::rename(path, folder.join(name)).await,
        Ok(false) => tokio::fs::remove_file(path).await,
        Err(error) => {
            tracing::warn!(
                user = user.as_str(),
                %error,
                "the account of an unpublished avatar is unknown until the next start"
            );
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_pictures::{ImageFormat, PictureLimits};
    use chat_store::{MemoryStore, NewUser};

    use super::*;

    #[tokio::test]
    async fn a_crash_leaves_no_account_without_its_picture_and_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let options = HttpOptions { uploads_dir: folder.path().to_owned(), ..HttpOptions::default() };
        let users = MemoryStore::default();
        let avatars = AvatarFolder::open(&options, &users, None).await.unwrap();
        let mut addresses = Vec::new();
        for (name, color) in [("alice", 1), ("bob", 2), ("carol", 3)] {
            let mut sent = io::Cursor::new(Vec::new());
            let image = image::RgbImage::from_pixel(8, 8, image::Rgb([color; 3]));
            image.write_to(&mut sent, ImageFormat::Png).unwrap();
            let limits = PictureLimits { pixels_max: 64, side_max: 8, memory_max: 1 << 20 };
            let picture = Picture::read(sent.get_ref(), ImageFormat::Png, limits).unwrap();
            let prepared = avatars.prepare(picture, Username::known(name).unwrap()).await.unwrap();
            addresses.push(prepared.address.clone());
            prepared.leave();
        }
        // Alice's account was made, bob's not; carol's was, by another registration.
        for (name, avatar) in [("alice", Some(addresses[0].clone())), ("carol", None)] {
            let name = Username::known(name).unwrap();
            let user = NewUser { name, password_hash: String::new(), avatar, created_at_ms: 0 };
            users.create_user(&user).await.unwrap();
        }
        AvatarFolder::open(&options, &users, None).await.unwrap();
        let left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, [addresses[0].strip_prefix("/uploads/").unwrap()]);
    }
}
