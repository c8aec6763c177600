//! Removing the avatar of an account that was removed.

use std::io;
use std::path::Path;

use chat_core::Username;
use chat_store::{User, UserRepository};

use super::address::file_name_in_folder;
use super::part_file::PartPurpose;

/// Removes the avatar of an account that was removed, unless another account has the
/// same picture. A server may be running on the folder.
///
/// # Errors
///
/// Those of the file system, and those of the store as an error of the kind `Other`.
pub async fn remove_avatar(folder: &Path, removed: &User, users: &dyn UserRepository) -> io::Result<()> {
    let Some(name) = removed.avatar.as_deref().and_then(file_name_in_folder) else { return Ok(()) };
    if is_in_use(removed, users).await? {
        return Ok(());
    }
    // A registration with the same picture may be under way. Either its account is
    // seen by the second question, or it writes the file after this one was moved.
    let path = folder.join(name);
    let aside = folder.join(PartPurpose::Prepared { user: removed.name.clone() }.new_file_name());
    match tokio::fs::rename(&path, &aside).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        moved => moved?,
    }
    match is_in_use(removed, users).await {
        Ok(false) => tokio::fs::remove_file(&aside).await,
        Ok(true) => tokio::fs::rename(&aside, &path).await,
        Err(error) => {
            tokio::fs::rename(&aside, &path).await?;
            Err(error)
        }
    }
}

/// Whether any account has the picture that the removed account had.
async fn is_in_use(removed: &User, users: &dyn UserRepository) -> io::Result<bool> {
    let mut last: Option<Username> = None;
    loop {
        let page = users.list_users(last.as_ref(), USERS_PER_PAGE).await.map_err(io::Error::other)?;
        if page.iter().any(|user| user.avatar == removed.avatar) {
            return Ok(true);
        }
        match page.last() {
            Some(user) => last = Some(user.name.clone()),
            None => return Ok(false),
        }
    }
}

/// Accounts in one page of the listing.
const USERS_PER_PAGE: usize = 1_000;
