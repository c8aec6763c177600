//! Removing the avatar of an account that was removed, or that has another one.

use std::io;
use std::path::Path;

use chat_store::{SharedRepository, User, UserRepository};

use super::address::file_name_in_folder;
use super::part_file::PartPurpose;

/// Removes the avatar of an account that was removed, or that has another one by now,
/// unless an account has the same picture. A server may be running on the folder. `shared` has the
/// pictures of all servers, if there may be several: another one removes it from its folder later.
///
/// # Errors
///
/// Those of the file system, and those of the store as an error of the kind `Other`.
pub async fn remove_avatar(
    folder: &Path,
    removed: &User,
    users: &dyn UserRepository,
    shared: Option<&dyn SharedRepository>,
) -> io::Result<()> {
    let Some(avatar) = removed.avatar.as_deref() else { return Ok(()) };
    let Some(name) = file_name_in_folder(avatar) else { return Ok(()) };
    let is_in_use = async || users.is_avatar_used(avatar).await.map_err(io::Error::other);
    if is_in_use().await? {
        return Ok(());
    }
    if let Some(shared) = shared {
        let dropped = shared.drop_unused_pictures(Some(&[avatar.to_owned()])).await;
        dropped.map_err(io::Error::other)?;
    }
    // A registration or change with the same picture may be under way. Either its account
    // is seen by the second question, or it writes the file after this one was moved.
    let path = folder.join(name);
    let aside = folder.join(PartPurpose::Prepared { user: removed.name.clone() }.new_file_name());
    match tokio::fs::rename(&path, &aside).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        moved => moved?,
    }
    match is_in_use().await {
        Ok(false) => tokio::fs::remove_file(&aside).await,
        Ok(true) => tokio::fs::rename(&aside, &path).await,
        Err(error) => {
            tokio::fs::rename(&aside, &path).await?;
            Err(error)
        }
    }
}
