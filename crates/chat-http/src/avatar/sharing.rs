//! The pictures of several servers of one database: what this server has in its folder, and the
//! others may not have.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use chat_store::{MissingPicture, SharedRepository};
use tokio_util::sync::CancellationToken;

use super::address::{address, avatar_file_name};
use super::error::AvatarError;
use super::folder::AvatarFolder;
use super::format::format_of_name;
use super::transfer::read_avatar;
use crate::app::App;

/// Compares the folder with the store at the start, and every `pictures_interval`. Attempts that count
/// no more are removed then, too.
pub(crate) async fn keep_sharing(app: Arc<App>, stopping: CancellationToken) {
    let Some(shared) = app.avatars.shared.clone() else { return };
    let share = async {
        loop {
            if let Err(error) = app.avatars.share(&*shared).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the avatars are not compared");
            }
            let longest = 2 * app.registrations.longest_period().as_secs();
            let longest = u32::try_from(longest).unwrap_or(u32::MAX);
            if let Err(error) = shared.drop_attempts(longest).await {
                tracing::warn!(%error, "old attempts are not removed");
            }
            tokio::time::sleep(app.options.pictures_interval).await;
        }
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = share => {}
    }
}

impl AvatarFolder {
    /// Stores what accounts have and the store lacks: a picture from before there were several
    /// servers, or of a backup. Removes what no account has any more, which another server has
    /// removed.
    async fn share(&self, shared: &dyn SharedRepository) -> Result<(), AvatarError> {
        shared.drop_unused_pictures(None).await?;
        for addresses in self.addresses().await?.chunks(ADDRESSES_AT_ONCE) {
            for MissingPicture { address, is_used } in shared.missing_pictures(addresses).await? {
                let Some(name) = avatar_file_name(&address) else { continue };
                if !is_used {
                    self.forget(name).await?;
                } else if let Some(bytes) = read_avatar(&self.path, name).await? {
                    shared.put_picture(&address, &bytes).await?;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// The addresses of all pictures in the folder.
    async fn addresses(&self) -> io::Result<Vec<String>> {
        let mut addresses = Vec::new();
        let mut entries = tokio::fs::read_dir(&self.path).await?;
        while let Some(entry) = entries.next_entry().await? {
            if let Ok(name) = entry.file_name().into_string()
                && format_of_name(&name).is_some()
            {
                addresses.push(address(&name));
            }
        }
        Ok(addresses)
    }

    /// Removes a picture of this program. What others have put into the folder stays.
    async fn forget(&self, name: &str) -> io::Result<()> {
        let is_own = name.strip_suffix(".webp").is_some_and(|stem| {
            stem.len() == HASH_DIGITS && stem.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        if !is_own {
            return Ok(());
        }
        match tokio::fs::remove_file(self.path.join(name)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The digits of a SHA-256 hash, of which this program makes names.
const HASH_DIGITS: usize = 64;
/// Pictures in one question to the store …
const ADDRESSES_AT_ONCE: usize = 500;
/// … and the pause after it, in which others may ask.
const PAUSE: Duration = Duration::from_millis(50);
